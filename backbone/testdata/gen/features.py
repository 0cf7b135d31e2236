"""Golden feature maps for backbone_test.go: torchvision's networks with weights by formula, and timm's tf_efficientnet_lite0 with
the real weights, embedded ones rounded to 16 bits as they are embedded.

torch 2.15.0, torchvision 0.29.2, timm 1.0.31, safetensors 0.8.0. Usage: python features.py ../features.json
The formula for parameter p, element i, is pseudo(seed(name), i), scaled; see weight() here and in backbone_test.go.
"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from safetensors.torch import load_file


def pseudo(seed, n):
    """Uniform in [-1,1): a 32-bit mix of seed and index."""
    with np.errstate(over="ignore"):
        x = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
        x ^= x >> np.uint32(15)
        x *= np.uint32(2246822519)
        x ^= x >> np.uint32(13)
        x *= np.uint32(3266489917)
        x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2**23 - 1


def seed(name):
    h = 2166136261
    for c in name.encode():
        h = (h ^ c) * 16777619 % 2**32
    return h


def weight(name, shape):
    n = math.prod(shape)
    u = pseudo(seed(name), n)
    if name.endswith("running_var"):
        v = 1 + 0.5 * u
    elif name.endswith("running_mean") or name.endswith("bias"):
        v = 0.1 * u
    elif len(shape) == 1:
        v = 1 + 0.2 * u
    else:
        v = u * math.sqrt(6 / math.prod(shape[1:]))
    return torch.from_numpy(v.astype(np.float32)).reshape(shape)


def picture(n, h, w):
    return torch.from_numpy(pseudo(12345, n * 3 * h * w).astype(np.float32)).reshape(n, 3, h, w)


def sample(t):
    """Shape, mean, deviation, and 16 values at fixed places."""
    flat = t.flatten()
    at = [(i * 7919 + 13) % flat.numel() for i in range(16)]
    return {"shape": list(t.shape), "mean": float(flat.double().mean()), "std": float(flat.double().std()), "at": at, "values": [float(flat[i]) for i in at]}


def run(net, x, modules):
    out = {}
    hooks = [m.register_forward_hook(lambda _m, _i, o, n=n: out.__setitem__(n, o.clone())) for n, m in modules.items()]
    with torch.no_grad():
        net(x)
    for h in hooks:
        h.remove()
    return {n: sample(t) for n, t in out.items()}


cases = []
for name, arch, taps, size in [
    ("resnet18", "resnet18", ["relu", "layer1", "layer2", "layer3", "layer4"], (2, 65, 97)),
    ("resnet34", "resnet34", ["layer2", "layer3"], (1, 64, 64)),
    ("resnet50", "resnet50", ["layer1", "layer2", "layer3", "layer4"], (1, 64, 96)),
    ("wide-resnet50-2", "wide_resnet50_2", ["layer2", "layer3"], (1, 64, 64)),
    ("vgg16", "vgg16", ["features.3", "features.9", "features.16", "features.30"], (1, 66, 49)),
    ("mobilenet-v2", "mobilenet_v2", ["features.1", "features.3", "features.6", "features.13", "features.18"], (1, 65, 64)),
]:
    net = getattr(torchvision.models, arch)(weights=None).eval()
    state = net.state_dict()
    for k, v in state.items():
        if not k.endswith("num_batches_tracked"):
            v.copy_(weight(k, tuple(v.shape)))
    modules = dict(net.named_modules())
    if name == "vgg16":  # ReLUs in place would overwrite what a hook on the convolution before them saw
        for m in net.modules():
            if isinstance(m, torch.nn.ReLU):
                m.inplace = False
    if name.startswith("resnet") or name.startswith("wide"):
        net.fc = torch.nn.Identity()
    if name == "vgg16" or name == "mobilenet-v2":
        net.classifier = torch.nn.Identity()
    names = {k: list(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked") and not k.startswith(("fc.", "classifier."))}
    first = {t: modules[t] for t in taps}
    if name == "resnet18":  # net.relu is used once in forward, after the stem
        first["relu"] = modules["relu"]
    cases.append({"backbone": name, "input": list(size), "params": names, "taps": run(net, picture(*size), first)})

net = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=1000).eval()
source = load_file(Path(__file__).parents[2] / "weights" / "efficientnet-lite0.safetensors")
order = json.loads((Path(__file__).parent / "efficientnet_order.json").read_text())
target = [(k, v) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")]
assert len(order) == len(target), (len(order), len(target))
with torch.no_grad():
    for k, (tk, tv) in zip(order, target):
        assert source[k].shape == tv.shape, (k, tk)
        tv.copy_(source[k].float())
stages = {"_blocks.0": "blocks.0.0", "_blocks.2": "blocks.1.1", "_blocks.4": "blocks.2.1", "_blocks.7": "blocks.3.2", "_blocks.10": "blocks.4.2", "_blocks.15": "blocks.6.0"}
modules = dict(net.named_modules())
for size in [(2, 64, 96), (1, 65, 97)]:
    cases.append({
        "backbone": "efficientnet-lite0", "input": list(size),
        "params": {k: list(source[k].shape) for k in order if not k.startswith(("_fc", "_conv_head", "_bn1."))},
        "taps": run(net, picture(*size), {t: modules[m] for t, m in stages.items()}),
    })
Path(sys.argv[1]).write_text(json.dumps(cases, indent=0))
