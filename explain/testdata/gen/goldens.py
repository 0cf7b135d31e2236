"""Class activation maps of a small network, by the papers' formulas in PyTorch float64.

torch 2.15.0; no random numbers: weights and picture are Noise(pattern, i) of detecttest/given.go.
Run: python goldens.py > ../goldens.json
"""
import json

import torch
import torch.nn.functional as F


def noise(pattern, n):
    out = []
    for i in range(n):
        x = (i * 2654435761 + pattern * 40503) & 0xFFFFFFFF
        x ^= x >> 15
        x = x * 2246822519 & 0xFFFFFFFF
        x ^= x >> 13
        x = x * 3266489917 & 0xFFFFFFFF
        x ^= x >> 16
        out.append((x >> 8) / (1 << 23) - 1)
    return torch.tensor(out, dtype=torch.float64)


def shaped(pattern, *shape):
    n = 1
    for d in shape:
        n *= d
    return noise(pattern, n).reshape(shape)


torch.set_default_dtype(torch.float64)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2), torch.nn.Conv2d(6, 8, 3, padding=1), torch.nn.ReLU(),
    torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 3),
)
with torch.no_grad():
    for k, p in enumerate(net.parameters()):
        p.copy_(shaped(10 + k, *p.shape))
picture = shaped(1, 1, 3, 12, 16)


def score(logits, question):
    if question == "class 2":
        return logits[0, 2]
    assert question == "against 0"
    return torch.logsumexp(logits[0, 1:], 0) - logits[0, 0]


cases = []
for layer, upto in (("pool", 3), ("last", 5)):
    for question in ("class 2", "against 0"):
        a = net[:upto](picture).detach().requires_grad_()
        logits = net[upto:](a)
        (g,) = torch.autograd.grad(score(logits, question), a)
        a, g = a[0].detach(), g[0]
        grad_cam = (g.mean((1, 2), keepdim=True) * a).sum(0)
        alpha = torch.where(g != 0, g**2 / (2 * g**2 + a.sum((1, 2), keepdim=True) * g**3), 0)
        plus = ((alpha * F.relu(g)).sum((1, 2), keepdim=True) * a).sum(0)
        layer_cam = (F.relu(g) * a).sum(0)
        maps = {"evidence": grad_cam, "grad-cam": F.relu(grad_cam), "grad-cam++": F.relu(plus), "layer-cam": F.relu(layer_cam)}
        cases.append({
            "layer": layer, "question": question, "logits": logits[0].tolist(),
            "maps": {k: {"shape": list(v.shape), "data": v.flatten().tolist()} for k, v in maps.items()},
        })
a = net[:5](picture)[0]
cam = (net[7].weight[2].reshape(-1, 1, 1) * a).sum(0)
print(json.dumps({"cases": cases, "cam": cam.detach().flatten().tolist()}))
