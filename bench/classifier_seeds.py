"""PyTorch's side of the accuracies in docs/classifier.md: of classifiers on EfficientNet-Lite0's real weights, with Blemish's settings, by seed.

    python classifier_seeds.py DATA WEIGHTS.safetensors default|chapter SEEDS

timm's network is given the same tensors, by the order in backbone/testdata/gen. Default: plain and augmented views' pooled features of the last
layer, at 448 and 256 pixels, are computed once for all seeds, which decide the head's first weights, the order and the dropout; the verdict is
that on the mean of both sizes' features. Chapter: random crops of 64 from 70x70,
the whole head of torchvision's VGG-16 on the 2x2 feature map, drawn anew by each seed. Prints a JSON object: seed to test accuracy.
"""
import json
import math
import pathlib
import random
import sys

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from torch import nn
from torchvision import transforms as T
from torchvision.datasets import ImageFolder

root, weights, preset, seeds = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
net = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=1000).eval().requires_grad_(False)
source = load_file(weights)
order = json.loads((pathlib.Path(__file__).parents[1] / "backbone/testdata/gen/efficientnet_order.json").read_text())
for name, (_, to) in zip(order, [(k, v) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")], strict=True):
    to.copy_(source[name].float())
end = [T.ToTensor(), T.Normalize([127 / 255] * 3, [128 / 255] * 3)]


def maps(x):
    with torch.no_grad():
        return net.blocks(net.bn1(net.conv_stem(x)))  # the last of 320 channels, before the head's convolution


def turned(p):
    """By up to 10 degrees; what lies outside is mirrored."""
    m = max(p.size) // 8
    q = Image.fromarray(np.pad(np.asarray(p), ((m, m), (m, m), (0, 0)), mode="reflect")).rotate(random.uniform(-10, 10), Image.BILINEAR)
    return q.crop((m, m, m + p.size[0], m + p.size[1]))


def pictures(split):
    return [(Image.open(path).convert("RGB"), label) for path, label in ImageFolder(f"{root}/{split}").samples]


def default():
    random.seed(0)
    torch.manual_seed(0)
    changes = T.Compose([T.RandomHorizontalFlip(), T.RandomVerticalFlip(), turned, T.ColorJitter(0.2, 0.2, 0.2)])

    def features(split, views):
        """(pictures, 2 sizes of the picture, then 2 of each further view, channels)"""
        xs, ys = [], []
        for p, label in pictures(split):
            own = [p] + [changes(p) for _ in range(views - 1)]
            xs.append(torch.cat([maps(T.Compose([T.Resize(size)] + end)(v)[None]).mean((2, 3)) for v in own for size in (448, 256)]))
            ys.append(label)
        return torch.stack(xs), torch.tensor(ys)

    x, y = features("train", 4)
    x = torch.cat([x[:, :2].mean(1, keepdim=True), x], 1)
    tx, ty = features("test", 1)
    mean, std = x.mean((0, 1)), x.std((0, 1), correction=0)
    x, tx = (x - mean) / std, (tx.mean(1) - mean) / std
    found = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        head = nn.Sequential(nn.Dropout(0.2), nn.Linear(x.shape[2], 2))
        epochs, batch = 200, 64
        optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
        steps = math.ceil(len(y) / batch)
        warm, total = 3 * steps, epochs * steps
        rate = lambda s: (s + 1) / warm if s < warm else (1 + math.cos(math.pi * (s - warm) / (total - warm))) / 2
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        head.train()
        for _ in range(epochs):
            for chosen in torch.randperm(len(y)).split(batch):
                loss = F.cross_entropy(head(x[chosen, torch.randint(x.shape[1], (len(chosen),))]), y[chosen], label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
        head.eval()
        with torch.no_grad():
            found[seed] = 100 * (head(tx).argmax(1) == ty).double().mean().item()
    return found


def chapter():
    train, valid, test = pictures("train"), pictures("valid"), pictures("test")
    small = T.Resize((70, 70))
    data = {}
    for name, split in (("train", train), ("valid", valid), ("test", test)):
        data[name] = torch.stack([T.Compose([small] + end)(p) for p, _ in split]), torch.tensor([label for _, label in split])
    middle = lambda x: x[:, :, 3:67, 3:67]
    with torch.no_grad():
        held = {k: (torch.cat([maps(b) for b in middle(data[k][0]).split(64)]), data[k][1]) for k in ("valid", "test")}
    x, y = data["train"]
    found = {}
    for seed in range(seeds):
        torch.manual_seed(seed)
        head = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(320 * 49, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(),
                             nn.Dropout(0.5), nn.Linear(4096, 2))
        for k in (2, 5):  # torchvision's start of VGG-16
            nn.init.normal_(head[k].weight, 0, 0.01)
            nn.init.zeros_(head[k].bias)
        optimizer = torch.optim.SGD(head.parameters(), lr=0.01, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, mode="max")
        share = lambda k: 100 * (head(held[k][0]).argmax(1) == held[k][1]).double().mean().item()
        for _ in range(5):
            head.train()
            chosen = torch.randperm(len(y))[:128]  # one whole batch: the rest is dropped
            crops = torch.stack([x[i, :, t:t + 64, s:s + 64] for i, (t, s) in zip(chosen, torch.randint(7, (128, 2)).tolist())])
            loss = F.cross_entropy(head(maps(crops)), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            head.eval()
            with torch.no_grad():
                scheduler.step(share("valid"))
        with torch.no_grad():
            found[seed] = [share("test")]
    return found


print(json.dumps({"default": default, "chapter": chapter}[preset]()))
