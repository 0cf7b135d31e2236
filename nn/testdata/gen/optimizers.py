"""Writes ../optimizers.json: parameters after steps of torch.optim, rates of torch.optim.lr_scheduler. torch 2.15.0, numpy 2.4.6, x86-64.

    pip install torch==2.15.0 numpy==2.4.6 && python optimizers.py
"""
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.optim import lr_scheduler as ls

warnings.simplefilter("ignore")
rng = np.random.default_rng(3)
start = [rng.uniform(-1, 1, n).astype(np.float32) for n in (5, 37)]
grads = [[rng.normal(0, 1, p.size).astype(np.float32) for p in start] for _ in range(20)]
floats = lambda a: [float(f"{v:.9g}") for v in np.asarray(a, np.float64).flatten()]

optimizers = []
for name, cls, kw in [
    ("sgd", torch.optim.SGD, dict(lr=0.1)),
    ("sgd", torch.optim.SGD, dict(lr=0.1, momentum=0.9)),
    ("sgd", torch.optim.SGD, dict(lr=0.1, momentum=0.9, dampening=0.5)),
    ("sgd", torch.optim.SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.01)),
    ("sgd", torch.optim.SGD, dict(lr=0.1, momentum=0.8, weight_decay=0.01, nesterov=True)),
    ("sgd", torch.optim.SGD, dict(lr=0.1, weight_decay=0.1)),
    ("adam", torch.optim.Adam, dict(lr=0.01)),
    ("adam", torch.optim.Adam, dict(lr=0.01, betas=(0.8, 0.9), eps=1e-3)),
    ("adam", torch.optim.Adam, dict(lr=0.01, weight_decay=0.1)),
    ("adam", torch.optim.Adam, dict(lr=0.01, amsgrad=True)),
    ("adamw", torch.optim.AdamW, dict(lr=0.01)),
    ("adamw", torch.optim.AdamW, dict(lr=0.01, weight_decay=0.3, amsgrad=True)),
]:
    ps = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in start]
    # the second parameter has a rate of its own
    o = cls([{"params": [ps[0]]}, {"params": [ps[1]], "lr": kw["lr"] / 2}], **kw)
    for i, gs in enumerate(grads):
        for p, g in zip(ps, gs):
            p.grad = torch.from_numpy(g.copy())
        if i == 7:
            ps[0].grad = None
        o.step()
    optimizers.append({"name": name, "args": {k: v for k, v in kw.items()}, "after": [floats(p.detach().numpy()) for p in ps]})

schedules = []


def rates(name, make, base=0.5, **args):
    o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base, momentum=0.9)
    s = make(o)
    out = []
    for _ in range(40):
        out.append(o.param_groups[0]["lr"])
        o.step()
        s.step()
    schedules.append({"name": name, "args": args, "base": base, "rates": out})


rates("step", lambda o: ls.StepLR(o, 7, 0.3))
rates("multistep", lambda o: ls.MultiStepLR(o, [3, 10, 11, 30], 0.5))
rates("cosine", lambda o: ls.CosineAnnealingLR(o, 40, 0.01))
rates("linear", lambda o: ls.LinearLR(o, 0.1, 1.0, 12))
rates("warmup", lambda o: ls.SequentialLR(o, [ls.LinearLR(o, 0.1, 1.0, 5), ls.CosineAnnealingLR(o, 35, 0)], [5]))
rates("onecycle", lambda o: ls.OneCycleLR(o, 0.5, total_steps=41))
rates("onecycle2", lambda o: ls.OneCycleLR(o, 0.5, total_steps=41, pct_start=0.5, div_factor=10, final_div_factor=100))

figures = [float(f"{v:.6g}") for v in 1 + np.concatenate([np.linspace(0, -0.5, 10), -0.5 + 0.02 * rng.normal(size=30)])]
plateaus = []
for kw in [dict(patience=2), dict(mode="max", patience=3, factor=0.5), dict(patience=1, threshold=0.05, cooldown=3), dict(patience=1, threshold=0.05, threshold_mode="abs", min_lr=0.02),
           dict(patience=0, factor=0.1, eps=1e-3), dict(mode="max", patience=0, threshold=0.01, threshold_mode="abs", factor=0.9)]:
    o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    s = ls.ReduceLROnPlateau(o, **kw)
    out = []
    for f in figures:
        s.step(f)
        out.append(o.param_groups[0]["lr"])
    plateaus.append({"args": kw, "rates": out})

clip = []
for most in (0.5, 100.0):
    ps = [torch.nn.Parameter(torch.from_numpy(p.copy())) for p in start]
    for p, g in zip(ps, grads[0]):
        p.grad = torch.from_numpy(g.copy())
    norm = float(torch.nn.utils.clip_grad_norm_(ps, most))
    clip.append({"most": most, "norm": norm, "grads": [floats(p.grad.numpy()) for p in ps]})

Path(__file__).parent.parent.joinpath("optimizers.json").write_text(json.dumps({
    "start": [floats(p) for p in start], "grads": [[floats(g) for g in gs] for gs in grads],
    "optimizers": optimizers, "schedules": schedules, "figures": figures, "plateaus": plateaus, "clip": clip}, separators=(",", ":")))
