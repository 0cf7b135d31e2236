"""Writes ../runs.json: whole trainings of classifiers with torch 2.15.0, numpy 2.4.6, x86-64, one thread, in float32.

    pip install torch==2.15.0 numpy==2.4.6 scipy && python runs.py > ../runs.json

Everything random is the same as in Blemish: PCG is Go's math/rand/v2 generator (O'Neill's PCG-DXSM), from which batch orders, crops,
dropout masks and the last layer's first weights are drawn in the same order. Pictures and pretrained weights are Noise(pattern, i) of
detecttest/given.go. The network is VGG-16 with a sixteenth of its channels, its head with 64 hidden units.
"""
import json
import math

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar
from torch import nn

torch.set_num_threads(1)
M64, M128 = 2**64 - 1, 2**128 - 1


class PCG:
    def __init__(self, a, b):
        self.state = (a & M64) << 64 | (b & M64)

    def uint64(self):
        self.state = (self.state * (2549297995355413924 << 64 | 4865540595714422341) + (6364136223846793005 << 64 | 1442695040888963407)) & M128
        hi, lo = self.state >> 64, self.state & M64
        hi ^= hi >> 32
        hi = hi * 0xDA942042E4DD58B5 & M64
        hi ^= hi >> 48
        return hi * (lo | 1) & M64

    def float64(self):
        return (self.uint64() & (1 << 53) - 1) / (1 << 53)

    def intn(self, n):
        if n & (n - 1) == 0:
            return self.uint64() & (n - 1)
        x = self.uint64() * n
        if x & M64 < n:
            thresh = (1 << 64) % n
            while x & M64 < thresh:
                x = self.uint64() * n
        return x >> 64

    def perm(self, n):
        p = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.intn(i + 1)
            p[i], p[j] = p[j], p[i]
        return p

    def floats(self, *shape):
        return np.array([self.float64() for _ in range(math.prod(shape))]).reshape(shape)


def mix(x):
    x = x + 0x9E3779B97F4A7C15 & M64
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & M64
    x = (x ^ x >> 27) * 0x94D049BB133111EB & M64
    return x ^ x >> 31


def generator(seed, epoch, sample):
    return PCG(mix(mix(seed) + epoch & M64), mix(sample & M64))


def noise(pattern, *shape):
    x = np.arange(math.prod(shape), dtype=np.uint64) * 2654435761 + pattern * 40503 & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 2246822519 & 0xFFFFFFFF
    x ^= x >> 13
    x = x * 3266489917 & 0xFFFFFFFF
    x ^= x >> 16
    return ((x >> 8).astype(np.float64) / (1 << 23) - 1).reshape(shape)


def float32(x):
    return torch.from_numpy(np.asarray(x, np.float32))


SEED, WIDTH, DIVISOR = 245, 64, 16


def features():
    layers, channels, k = [], 3, 0
    for convs, out in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        out //= DIVISOR
        for _ in range(convs):
            c = nn.Conv2d(channels, out, 3, padding=1)
            c.weight.data = float32(noise(1000 + k, out, channels, 3, 3) * math.sqrt(6 / (channels * 9)))
            c.bias.data = float32(noise(2000 + k, out) * 0.1)
            layers += [c, nn.ReLU()]
            channels, k = out, k + 1
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers).eval().requires_grad_(False)


def picture(i):
    """Noise; that of the second class is coarser along the rows."""
    x = noise(i, 3, 70, 70)
    if i % 2:
        x = (x + np.roll(x, 1, 2) + np.roll(x, 2, 2)) * 1.2 + 0.8
    return np.asarray(x, np.float32)


def uniform(rng, bound, *shape):
    return float32((2 * rng.floats(*shape) - 1) * bound)


class Masks(nn.Module):
    """Dropout of masks that are drawn in Blemish's order."""

    def __init__(self, p, rng):
        super().__init__()
        self.p, self.rng = p, rng

    def forward(self, x):
        if not self.training or self.p == 0:
            return x
        keep = self.rng.floats(*x.shape) >= self.p
        return x * float32(keep * np.float32(1 / (1 - self.p)))


def accuracy(logits, labels):
    return (logits.argmax(1) == labels).double().mean().item()


def chapter(last, patience):
    net = features()
    flat = 512 // DIVISOR * 49
    rng = PCG(SEED, 0x636C617373)
    masks = PCG(SEED, 0x64726F70)
    linears = [nn.Linear(flat, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 2)]
    for l in linears:
        bound = 1 / math.sqrt(l.in_features)
        l.weight.data, l.bias.data = uniform(rng, bound, *l.weight.shape), uniform(rng, bound, *l.bias.shape)
    for k, l in enumerate(linears[:2]):
        l.weight.data = float32(noise(3000 + k, *l.weight.shape) * math.sqrt(6 / l.in_features))
        l.bias.data = float32(noise(4000 + k, *l.bias.shape) * 0.1)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), linears[0], nn.ReLU(), Masks(0.5, masks), linears[1], nn.ReLU(), Masks(0.5, masks), linears[2])
    head.requires_grad_(False)
    for l in linears[3 - last:]:
        l.requires_grad_(True)
    optimizer = torch.optim.SGD([p for p in head.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, mode="max", patience=patience)
    train, valid, batch = 50, 20, 16
    labels = torch.tensor([i % 2 for i in range(train)])
    pictures = [picture(i) for i in range(train)]

    def crops(seed, epoch, order):
        out = []
        for i in order:
            g = generator(seed, epoch, i)
            top = g.intn(7)
            left = g.intn(7)
            out.append(pictures[i][:, top:top + 64, left:left + 64])
        return net(float32(np.stack(out)))

    held = net(float32(np.stack([picture(500 + i)[:, 3:67, 3:67] for i in range(valid)])))
    held_labels = torch.tensor([(500 + i) % 2 for i in range(valid)])
    history, losses = [], []
    for epoch in range(5):
        order = generator(SEED, epoch, -1).perm(train)
        head.train()
        own = []
        for at in range(0, train // batch * batch, batch):
            chosen = order[at:at + batch]
            optimizer.zero_grad()
            loss = F.cross_entropy(head(crops(SEED, epoch, chosen)), labels[chosen])
            loss.backward()
            optimizer.step()
            own.append(loss.item())
        head.eval()
        with torch.no_grad():
            out = head(held)
            e = {
                "loss": sum(own) / len(own), "train": accuracy(head(crops(SEED + 1, epoch, range(train))), labels),
                "valid": accuracy(out, held_labels), "valid_loss": F.cross_entropy(out, held_labels).item(),
                "learning_rate": optimizer.param_groups[0]["lr"],
            }
        scheduler.step(100 * e["valid"])
        history.append(e)
        losses += own
    return {"history": history, "losses": losses}


def default():
    """The linear head on features (6,) that are given: AdamW, warm-up and cosine, smoothing, class weights, early stopping."""
    epochs, batch, dropout, smoothing, lr, decay, warm, classes = 30, 16, 0.2, 0.1, 0.05, 0.05, 3, 3
    count = {"train": 60, "valid": 24}

    def data(kind):
        first = 0 if kind == "train" else 500
        x, y = [], []
        for i in range(count[kind]):
            label = 0 if i % 2 else 1 + i // 2 % 2  # unbalanced
            v = noise(first + i, 6)
            v[label] += 1.2
            v[5] *= 40
            x.append(np.asarray(v, np.float32))
            y.append(label)
        return np.stack(x).astype(np.float64), torch.tensor(y)

    (x, y), (vx, vy) = data("train"), data("valid")
    mean, std = x.mean(0), x.std(0)
    x, vx = float32((x - mean) / std), float32((vx - mean) / std)
    rng, masks = PCG(SEED, 0x636C617373), PCG(SEED, 0x64726F70)
    out = nn.Linear(6, classes)
    out.weight.data, out.bias.data = uniform(rng, 1 / math.sqrt(6), classes, 6), uniform(rng, 1 / math.sqrt(6), classes)
    head = nn.Sequential(Masks(dropout, masks), out)
    weight = float32([len(y) / (classes * (y == k).sum().item()) for k in range(classes)])
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr, weight_decay=decay)
    steps = -(-len(y) // batch)
    history, total = [], 0
    best, stop = None, 5
    for epoch in range(epochs):
        order = generator(SEED, epoch, -1).perm(len(y))
        head.train()
        own = []
        for at in range(0, len(y), batch):
            chosen = order[at:at + batch]
            w = warm * steps
            if total < w:
                optimizer.param_groups[0]["lr"] = lr * (1 / w + (1 - 1 / w) * total / w)
            else:
                optimizer.param_groups[0]["lr"] = lr * (1 + math.cos(math.pi * (total - w) / (epochs * steps - w))) / 2
            total += 1
            optimizer.zero_grad()
            loss = F.cross_entropy(head(x[chosen]), y[chosen], weight=weight, label_smoothing=smoothing)
            loss.backward()
            optimizer.step()
            own.append(loss.item())
        head.eval()
        with torch.no_grad():
            e = {
                "loss": sum(own) / len(own), "train": accuracy(head(x), y), "valid": accuracy(head(vx), vy),
                "valid_loss": F.cross_entropy(head(vx), vy).item(), "learning_rate": optimizer.param_groups[0]["lr"],
            }
        history.append(e)
        if best is None or e["valid_loss"] < history[best]["valid_loss"]:
            best, kept = epoch, head(vx).detach().double()
        if epoch - best >= stop:
            break
    n = torch.bincount(vy, minlength=classes).double()
    targets = ((F.one_hot(vy, classes) * n + 1) / (n + classes)[vy][:, None])  # Platt's: see finish.go
    found = minimize_scalar(lambda u: F.cross_entropy(kept / math.exp(u), targets).item(), bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    return {"history": history, "best_epoch": best + 1, "temperature": math.exp(found.x)}


if __name__ == "__main__":
    print(json.dumps({"all three": chapter(3, 10), "the last": chapter(1, 10), "plateau": chapter(3, 0), "default": default()}, indent=1))
