"""The digits autoencoder in PyTorch: python digits.py optdigits.tra sgd|adam SEEDS EPOCHS. Prints JSON: the worst row and errors for each seed,
and the seconds that one network takes for an epoch, trained by itself in the plain loop that everyone writes.

The seeds' networks are trained side by side, as batched matrices: each sees its own batches, and none sees another's gradient.
"""
import json
import sys
import time

import numpy as np
import torch
from torch import nn

torch.set_num_threads(1)
path, kind, seeds, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
rows = np.loadtxt(path, delimiter=",", dtype=np.float32) / np.array([16.0] * 64 + [9.0], np.float32)
x = torch.from_numpy(rows)
n = len(x)
make = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[kind]
SIZES = [65, 48, 32, 8, 32, 48, 65]


def network(seed):
    torch.manual_seed(seed)
    layers = []
    for i in range(6):
        layers += [nn.Linear(SIZES[i], SIZES[i + 1]), nn.Tanh() if i < 5 else nn.Sigmoid()]
    return nn.Sequential(*layers)


def forward(weights, biases, h):
    for i, (w, b) in enumerate(zip(weights, biases)):
        h = torch.baddbmm(b, h, w)
        h = torch.tanh(h) if i < 5 else torch.sigmoid(h)
    return h


nets = [network(s) for s in range(seeds)]
weights = [nn.Parameter(torch.stack([net[2 * i].weight.detach().T for net in nets]).contiguous()) for i in range(6)]
biases = [nn.Parameter(torch.stack([net[2 * i].bias.detach()[None] for net in nets])) for i in range(6)]
optimizer = make(weights + biases, lr=0.002)
shuffles = [torch.Generator().manual_seed(1000 + s) for s in range(seeds)]
for epoch in range(epochs):
    order = torch.stack([torch.randperm(n, generator=g) for g in shuffles])
    for at in range(0, n, 10):
        batch = x[order[:, at:at + 10]]
        optimizer.zero_grad()
        ((forward(weights, biases, batch) - batch) ** 2).mean((1, 2)).sum().backward()
        optimizer.step()
with torch.no_grad():
    errors = ((forward(weights, biases, x.expand(seeds, -1, -1)) - x).double() ** 2).mean(2)

net = network(0)
optimizer = make(net.parameters(), lr=0.002)
timed = 4
for epoch in range(timed + 1):  # the first warms up
    if epoch == 1:
        start = time.perf_counter()
    order = torch.randperm(n)
    for at in range(0, n, 10):
        batch = x[order[at:at + 10]]
        optimizer.zero_grad()
        nn.functional.mse_loss(net(batch), batch).backward()
        optimizer.step()
print(json.dumps({
    "worst": errors.argmax(1).tolist(), "mse": errors.max(1).values.tolist(), "mean": errors.mean(1).tolist(),
    "mse486": errors[:, 486].tolist(), "rank486": ((errors > errors[:, 486:487]).sum(1) + 1).tolist(), "epoch_s": (time.perf_counter() - start) / timed,
}))
