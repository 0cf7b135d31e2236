"""Writes ../lite.json: the default preset's training of a head on EfficientNet-Lite0's real weights, and trainings of its last block with the
head, each at a learning rate of its own, with torch 2.15.0, timm 1.0.31, safetensors 0.8.0, numpy 2.3.5, x86-64, one thread, in float32.

    python lite.py ../../../../backbone/weights/efficientnet-lite0.safetensors > ../lite.json

timm's network is given the same tensors, by the order in backbone/testdata/gen. Pictures are Noise(pattern, i) of detecttest/given.go; in
every second one, neighbours along the rows are alike. Each has two views, itself and its mirror image. Random numbers are Go's: see runs.py.
"""
import copy
import json
import math
import pathlib
import sys

import numpy as np
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from runs import PCG, SEED, Masks, accuracy, float32, generator, noise, uniform

SIDE, TRAIN, VALID = 64, 48, 32
EPOCHS, BATCH, WARM, RATE = 20, 16, 3, 3e-3


def network(file):
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=1000).eval().requires_grad_(False)
    source = load_file(file)
    order = json.loads((pathlib.Path(__file__).parents[4] / "backbone/testdata/gen/efficientnet_order.json").read_text())
    for name, (_, to) in zip(order, [(k, v) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")], strict=True):
        to.copy_(source[name].float())
    return net


def pictures(first, n):
    out = []
    for i in range(first, first + n):
        x = noise(i, 3, SIDE, SIDE)
        if i % 2:
            x = x + 0.25 * np.roll(x, 1, 2)
        out.append(np.asarray(x, np.float32))
    return float32(np.stack(out)), torch.tensor([i % 2 for i in range(first, first + n)])


net = network(sys.argv[1])


def frozen():
    """The head alone learns, from two views of each picture."""
    features = lambda x: net.blocks(net.bn1(net.conv_stem(x))).double().mean((2, 3)).float()  # of the 320 channels before the head's convolution
    pixels, y = pictures(0, TRAIN)
    x = torch.stack([features(pixels), features(pixels.flip(3))], 1).double()
    pixels, vy = pictures(500, VALID)
    vx = features(pixels).double()
    mean, std = x.mean((0, 1)), x.std((0, 1), correction=0)
    x, vx = ((x - mean) / std).float(), ((vx - mean) / std).float()

    rng, masks = PCG(SEED, 0x636C617373), PCG(SEED, 0x64726F70)
    linear = nn.Linear(x.shape[2], 2)
    linear.weight.data, linear.bias.data = uniform(rng, 1 / math.sqrt(x.shape[2]), 2, x.shape[2]), uniform(rng, 1 / math.sqrt(x.shape[2]), 2)
    head = nn.Sequential(Masks(0.2, masks), linear)
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE, weight_decay=0.05)
    steps = -(-TRAIN // BATCH)
    warm, total = WARM * steps, 0
    history = []
    for epoch in range(EPOCHS):
        order = generator(SEED, epoch, -1).perm(TRAIN)
        head.train()
        own = []
        for at in range(0, TRAIN, BATCH):
            chosen = order[at:at + BATCH]
            views = [generator(SEED, epoch, i).intn(2) for i in chosen]
            rising = 1 / warm + (1 - 1 / warm) * total / warm
            falling = (1 + math.cos(math.pi * (total - warm) / (EPOCHS * steps - warm))) / 2
            optimizer.param_groups[0]["lr"] = RATE * (rising if total < warm else falling)
            total += 1
            optimizer.zero_grad()
            loss = F.cross_entropy(head(x[chosen, views]), y[chosen], label_smoothing=0.1)  # both classes have 24 pictures: they weigh 1
            loss.backward()
            optimizer.step()
            own.append(loss.item())
        head.eval()
        with torch.no_grad():
            history.append({
                "loss": sum(own) / len(own), "train": accuracy(head(x[:, 0]), y), "valid": accuracy(head(vx), vy),
                "valid_loss": F.cross_entropy(head(vx), vy).item(), "learning_rate": optimizer.param_groups[0]["lr"],
            })
    return {"history": history}


def block(adamw):
    """The last block learns, too, from the feature maps before it: its parameters are a group of their own."""
    before = lambda x: net.blocks[:6](net.bn1(net.conv_stem(x)))
    with torch.no_grad():
        (pixels, y), (held, vy) = pictures(0, TRAIN), pictures(500, VALID)
        x, vx = before(pixels), before(held)
    last = copy.deepcopy(net.blocks[6]).requires_grad_(True)  # in evaluation: the batch norms keep the statistics of the pretraining
    linear = nn.Linear(320, 2)
    linear.weight.data, linear.bias.data = float32(noise(5000, 2, 320) * 0.05), float32(noise(5001, 2) * 0.05)
    head = nn.Sequential(Masks(0.2, PCG(SEED, 0x64726F70)), linear)
    forward = lambda x: head(last(x).mean((2, 3)))
    rates = [3e-3, 3e-4] if adamw else [1e-3, 3e-4]
    groups = [{"params": linear.parameters(), "lr": rates[0]}, {"params": last.parameters(), "lr": rates[1]}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.05) if adamw else torch.optim.SGD(groups, momentum=0.9)
    epochs, steps, total = 6, TRAIN // BATCH, 0
    history = []
    for epoch in range(epochs):
        order = generator(SEED, epoch, -1).perm(TRAIN)
        head.train()
        own = []
        for at in range(0, TRAIN, BATCH):
            chosen = order[at:at + BATCH]
            if adamw:  # an epoch of warm-up, then a cosine
                rising = 1 / steps + (1 - 1 / steps) * total / steps
                falling = (1 + math.cos(math.pi * (total - steps) / (epochs * steps - steps))) / 2
                for g, rate in zip(optimizer.param_groups, rates):
                    g["lr"] = rate * (rising if total < steps else falling)
            total += 1
            optimizer.zero_grad()
            loss = F.cross_entropy(forward(x[chosen]), y[chosen], label_smoothing=0.1)
            loss.backward()
            optimizer.step()
            own.append(loss.item())
        head.eval()
        with torch.no_grad():
            history.append({
                "loss": sum(own) / len(own), "train": accuracy(forward(x), y), "valid": accuracy(forward(vx), vy),
                "valid_loss": F.cross_entropy(forward(vx), vy).item(), "learning_rate": optimizer.param_groups[0]["lr"],
            })
    return {"history": history}


print(json.dumps({"lite": frozen(), "block by adamw": block(True), "block by sgd": block(False)}, indent=1))
