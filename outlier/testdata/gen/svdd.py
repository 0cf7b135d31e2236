"""Writes ../svdd.json: Deep SVDD in plain PyTorch (torch 2.15.0, numpy 2.3.5, x86-64, one thread), after density.py and neighbours.py have written
their data sets. Objectives, center and radius are those of Ruff et al., ICML 2018.

Weights and orders come from an integer hash, the same in autoencoder_test.go: SplitMix64 of stream·2^32 + counter, its upper 24 bits.
Stream i is the weight of layer i, 50+i that of the decoder's, 100+e the order of epoch e, pretraining's epochs before the others.
"""
import json
import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.set_num_threads(1)
MASK = 2**64 - 1
here = Path(__file__).parent.parent


def number(stream, counter):
    z = ((stream << 32) + counter + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return (z ^ (z >> 31)) >> 40


def order(epoch, n):  # Fisher and Yates
    p = list(range(n))
    for i in range(n - 1, 0, -1):
        j = number(100 + epoch, i) % (i + 1)
        p[i], p[j] = p[j], p[i]
    return p


def network(sizes, stream):
    layers = []
    for i in range(len(sizes) - 1):
        linear = nn.Linear(sizes[i], sizes[i + 1], bias=False)
        bound = 1 / math.sqrt(sizes[i])
        values = [(2 * number(stream + i, k) / 2**24 - 1) * bound for k in range(linear.weight.numel())]
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.array(values, np.float32)).reshape(linear.weight.shape))
        layers += ([nn.LeakyReLU(0.01)] if i > 0 else []) + [linear]
    return nn.Sequential(*layers)


def run(x, q, objective="one-class", pretrain=0, nu=0.1, warm_up=2, epochs=12, batch=16, lr=0.01):
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation <= 1e-12 * np.abs(mean)] = 1
    scale = lambda rows: torch.from_numpy(((rows - mean) / deviation).astype(np.float32))
    t, d = scale(x), x.shape[1]
    net = network([d, 6, 3], 0)
    epoch = 0

    def epochs_of(count, parameters, decay, loss_of):
        nonlocal epoch
        opt = torch.optim.Adam(parameters, lr=lr, weight_decay=decay)
        losses = []
        for e in range(count):
            p, total, steps = order(epoch, len(t)), 0.0, 0
            for at in range(0, len(t), batch):
                opt.zero_grad()
                loss = loss_of(t[p[at:at + batch]], e)
                loss.backward()
                opt.step()
                total += loss.item()
                steps += 1
            losses.append(total / steps)
            epoch += 1
        return losses

    if pretrain:
        decoder = network([3, 6, d], 50)
        both = nn.Sequential(net, nn.LeakyReLU(0.01), decoder)
        epochs_of(pretrain, both.parameters(), 0.5e-3, lambda rows, _: ((both(rows) - rows) ** 2).sum(1).mean())
    with torch.no_grad():
        c = net(t).mean(0)
        c[(c.abs() < 0.1) & (c < 0)] = -0.1
        c[(c.abs() < 0.1) & (c > 0)] = 0.1
    radius = 0.0

    def loss_of(rows, e):
        nonlocal radius
        dist = ((net(rows) - c) ** 2).sum(1)
        if objective == "one-class":
            return dist.mean()
        loss = radius**2 + (1 / nu) * torch.clamp(dist - radius**2, min=0).mean()
        if e >= warm_up:
            radius = float(np.quantile(np.sqrt(dist.detach().numpy().astype(float)), 1 - nu))
        return loss

    losses = epochs_of(epochs, net.parameters(), 0.5e-6, loss_of)
    with torch.no_grad():
        scores = lambda rows: ((net(scale(rows)).double() - c.double()) ** 2).sum(1).numpy()
        own, new = scores(x), scores(q)
    threshold = np.quantile(np.sqrt(own), 1 - nu) ** 2 if objective == "soft-boundary" else np.quantile(own, 0.9)
    return {"objective": objective, "pretrain": pretrain, "losses": losses, "center": c.tolist(), "radius": radius, "score": new.tolist(), "threshold": float(threshold)}


out = []
for family in ("density", "neighbours"):
    for s in json.loads((here / family / "sets.json").read_text()):
        shape = (-1, s["cols"])
        x, q = np.array(s["rows"]).reshape(shape), np.array(s["queries"]).reshape(shape)
        for options in ({}, {"objective": "soft-boundary"}, {"pretrain": 5}):
            out.append({"set": f"{family}/{s['name']}", **run(x, q, **options)})
(here / "svdd.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
