"""Writes ../runs.json: the loss curves of whole trainings with torch 2.15.0, numpy 2.4.6, x86-64, one thread; in float32, which Blemish is
compared with, and in float64, which says how far float32's own rounding carries a curve.

    pip install torch==2.15.0 numpy==2.4.6 && python runs.py optdigits.tra

Weights, data and orders come from one integer generator, the same in runs_test.go: state' = state·6364136223846793005 + 1442695040888963407
modulo 2^64 (Knuth's MMIX), its upper 24 bits being the number. Each parameter has a stream that starts from FNV-1a of its name.
"""
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)
MASK = 2**64 - 1


class Stream:
    def __init__(self, name):
        self.state = 14695981039346656037
        for b in name.encode():
            self.state = ((self.state ^ b) * 1099511628211) & MASK

    def next(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) & MASK
        return self.state >> 40

    def uniform(self, bound):
        return (2 * (self.next() / 2**24) - 1) * bound

    def array(self, *shape, bound=1.0, around=0.0):
        return np.array([around + self.uniform(bound) for _ in range(math.prod(shape))], np.float32).reshape(shape)

    def order(self, n):  # Fisher and Yates
        p = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.next() % (i + 1)
            p[i], p[j] = p[j], p[i]
        return p


def start(model, dtype):
    """Weights within 1/sqrt(fan_in); vectors within 0.1 around 0, those of norms' weights around 1."""
    norms = {name for name, m in model.named_modules() if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm))}
    with torch.no_grad():
        for name, p in model.named_parameters():
            owner, _, kind = name.rpartition(".")
            if p.dim() > 1:
                value = Stream(name).array(*p.shape, bound=1 / math.sqrt(math.prod(p.shape[1:])))
            else:
                value = Stream(name).array(*p.shape, bound=0.1, around=1.0 if owner in norms and kind == "weight" else 0.0)
            p.copy_(torch.from_numpy(value))
    return model.to(dtype)


def digits(dtype, path):
    """The autoencoder 65-48-32-8-32-48-65 on pixels/16 and digit/9: plain SGD, batches of 10, 200 epochs. Mean loss of each epoch."""
    rows = np.loadtxt(path, delimiter=",", dtype=np.float32) / np.array([16.0] * 64 + [9.0], np.float32)
    x = torch.from_numpy(rows).to(dtype)
    sizes = [65, 48, 32, 8, 32, 48, 65]
    layers = []
    for i in range(6):
        layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.Tanh() if i < 5 else nn.Sigmoid()]
    net = start(nn.Sequential(*layers), dtype)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.002)
    orders, curve = Stream("order"), []
    for _ in range(200):
        total, steps = 0.0, 0
        order = orders.order(len(x))
        for at in range(0, len(x), 10):
            batch = x[order[at:at + 10]]
            optimizer.zero_grad()
            loss = F.mse_loss(net(batch), batch)
            loss.backward()
            optimizer.step()
            total += loss.item()
            steps += 1
        curve.append(total / steps)
    return curve


class Block(nn.Module):
    def __init__(self, ins, outs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(ins, outs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outs)
        self.conv2 = nn.Conv2d(outs, outs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outs)
        self.downsample = nn.Sequential(nn.Conv2d(ins, outs, 1, stride, bias=False), nn.BatchNorm2d(outs)) if stride > 1 else nn.Identity()

    def forward(self, x):
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.downsample(x))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = nn.Sequential(Block(8, 8, 1))
        self.layer2 = nn.Sequential(Block(8, 16, 2))
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        x = self.layer2(self.layer1(F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)))
        return self.fc(x.mean((2, 3)))


def pictures(images, labels, n):
    """n noisy pictures (3, 16, 16) of 4 classes: one quadrant of each is brighter."""
    x = images.array(n, 3, 16, 16)
    y = [labels.next() % 4 for _ in range(n)]
    for i, c in enumerate(y):
        x[i, :, c // 2 * 8:c // 2 * 8 + 8, c % 2 * 8:c % 2 * 8 + 8] += np.float32(0.5)
    return torch.from_numpy(x), torch.tensor(y)


def classify(net, optimizer, dtype):
    images, labels, curve = Stream("images"), Stream("labels"), []
    for _ in range(50):
        x, y = pictures(images, labels, 8)
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x.to(dtype)), y)
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    return curve


def resnet(dtype):
    """SGD with momentum and weight decay; then the loss of one more batch by running statistics."""
    net = start(ResNet(), dtype)
    curve = classify(net, torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4), dtype)
    x, y = pictures(Stream("validation"), Stream("validation labels"), 8)
    net.eval()
    with torch.no_grad():
        return curve + [F.cross_entropy(net(x.to(dtype)), y).item()]


class Encoder(nn.Module):
    def __init__(self, d, heads, hidden):
        super().__init__()
        self.ln_1 = nn.LayerNorm(d, 1e-6)
        self.self_attention = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(d, 1e-6)
        self.mlp = nn.Sequential(nn.Linear(d, hidden), nn.GELU(), nn.Dropout(0), nn.Linear(hidden, d))

    def forward(self, x):
        h = self.ln_1(x)
        x = x + self.self_attention(h, h, h, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class ViT(nn.Module):
    def __init__(self):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, 32))
        self.pos_embedding = nn.Parameter(torch.zeros(1, 17, 32))
        self.conv_proj = nn.Conv2d(3, 32, 4, 4)
        self.layers = nn.ModuleList([Encoder(32, 4, 64) for _ in range(2)])
        self.ln = nn.LayerNorm(32, 1e-6)
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.pos_embedding
        for layer in self.layers:
            x = layer(x)
        return self.head(self.ln(x)[:, 0])


def vit(dtype):
    net = start(ViT(), dtype)
    return classify(net, torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.05), dtype)


runs = {}
for name, run in (("resnet", resnet), ("vit", vit), ("digits", lambda dtype: digits(dtype, sys.argv[1]))):
    single, double = run(torch.float32), run(torch.float64)
    rounding = max(abs(a - b) / abs(b) for a, b in zip(single, double))
    runs[name] = {"losses": [float(f"{v:.9g}") for v in single], "rounding": float(f"{rounding:.3g}")}
    print(name, single[0], single[-1], "float32 from float64 at most", rounding)
Path(__file__).parent.parent.joinpath("runs.json").write_text(json.dumps(runs, separators=(",", ":")))
