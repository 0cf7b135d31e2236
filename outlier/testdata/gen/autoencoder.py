"""Writes ../autoencoder.json: PyTorch's mean loss of each epoch of the digits autoencoder (torch 2.15.0, numpy 2.3.5, x86-64, one thread), by
plain SGD over 200 epochs and by Adam over 40, and its final rows' errors; and ../autoencoder_sets.json: those of a small one on the data sets of
density.py and neighbours.py, with the queries' errors.

    pip install torch==2.15.0 numpy==2.3.5 && python autoencoder.py [optdigits.tra]

Weights and orders come from an integer hash, the same in autoencoder_test.go: SplitMix64 of stream·2^32 + counter, its upper 24 bits.
Stream 2i is the weight of layer i, 2i+1 its bias, 100+e the order of epoch e.
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


def network(sizes, output):
    layers = []
    for i in range(len(sizes) - 1):
        linear = nn.Linear(sizes[i], sizes[i + 1])
        with torch.no_grad():
            for stream, p in ((2 * i, linear.weight), (2 * i + 1, linear.bias)):
                bound = 1 / math.sqrt(sizes[i])
                values = [(2 * number(stream, k) / 2**24 - 1) * bound for k in range(p.numel())]
                p.copy_(torch.tensor(np.array(values, np.float32)).reshape(p.shape))
        layers += [linear, nn.Tanh() if i < len(sizes) - 2 else output]
    return nn.Sequential(*layers)


def train(net, opt, x, size, epochs):
    losses = []
    for epoch in range(epochs):
        total, steps = 0.0, 0
        p = order(epoch, len(x))
        for at in range(0, len(x), size):
            batch = x[p[at:at + size]]
            opt.zero_grad()
            loss = F.mse_loss(net(batch), batch)
            loss.backward()
            opt.step()
            total += loss.item()
            steps += 1
        losses.append(total / steps)
    return losses


def run(x, optimizer, epochs):
    net = network([65, 48, 32, 8, 32, 48, 65], nn.Sigmoid())
    losses = train(net, optimizer(net.parameters(), lr=0.002), x, 10, epochs)
    with torch.no_grad():
        errors = ((net(x) - x).double() ** 2).mean(1)
    worst = int(errors.argmax())
    return {"losses": losses, "mean": float(errors.mean()), "worst": worst, "mse": float(errors[worst])}


def small(x, q, epochs=12):
    mean, deviation = x.mean(0), x.std(0)
    deviation[deviation <= 1e-12 * np.abs(mean)] = 1
    x, q = (torch.from_numpy(((rows - mean) / deviation).astype(np.float32)) for rows in (x, q))
    net = network([x.shape[1], 4, 2, 4, x.shape[1]], nn.Identity())
    losses = train(net, torch.optim.Adam(net.parameters(), lr=0.01), x, 16, epochs)
    with torch.no_grad():
        scores = lambda rows: ((net(rows) - rows).double() ** 2).mean(1).numpy()
        return {"losses": losses, "score": scores(q).tolist(), "threshold": float(np.quantile(scores(x), 0.9))}


sets = []
for family in ("density", "neighbours"):
    for s in json.loads((Path(__file__).parent.parent / family / "sets.json").read_text()):
        x, q = (np.array(s[part]).reshape(-1, s["cols"]) for part in ("rows", "queries"))
        sets.append({"set": f"{family}/{s['name']}", **small(x, q)})
(Path(__file__).parent.parent / "autoencoder_sets.json").write_text(json.dumps(sets) + "\n")
if len(sys.argv) == 1:
    sys.exit()
rows = np.loadtxt(sys.argv[1], delimiter=",", dtype=np.float32) / np.array([16.0] * 64 + [9.0], np.float32)
x = torch.from_numpy(rows)
out = {"sgd": run(x, torch.optim.SGD, 200), "adam": run(x, torch.optim.Adam, 40)}
(Path(__file__).parent.parent / "autoencoder.json").write_text(json.dumps(out) + "\n")
print({k: {q: v[q] for q in ("mean", "worst", "mse")} for k, v in out.items()})
