"""One side of `go run . classifier`: a whole training of a classifier in PyTorch, as its users write it. Takes one JSON object, prints another.

The chapter's preset: VGG-16, random weights, features frozen, the three linear layers learn. The default: the pooled features of an
EfficientNet-Lite0 are computed once for four views at 448 and 256 pixels, and a linear layer learns from them.
"""
import json
import math
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms as T
from torchvision.datasets import ImageFolder
from torchvision.models import vgg16

job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])
torch.manual_seed(245)
start = time.time()


def accuracy(model, loader):
    model.eval()
    right = n = 0
    with torch.no_grad():
        for x, y in loader:
            right += (model(x).argmax(1) == y).sum().item()
            n += len(y)
    return 100 * right / n


def chapter():
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    end = [T.ToTensor(), T.Normalize(mean, std)]
    train = DataLoader(ImageFolder(job["dir"] + "/train", T.Compose([T.Resize((70, 70)), T.RandomCrop((64, 64))] + end)), 128, shuffle=True,
                       drop_last=True, num_workers=job["threads"])
    valid = DataLoader(ImageFolder(job["dir"] + "/valid", T.Compose([T.Resize((70, 70)), T.CenterCrop((64, 64))] + end)), 206)
    model = vgg16(weights=None)
    model.classifier[6] = nn.Linear(4096, 2)
    model.features.requires_grad_(False)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, mode="max")
    for _ in range(job["epochs"]):
        model.train()
        for x, y in train:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        accuracy(model, train)
        scheduler.step(accuracy(model, valid))


def default():
    import timm

    net = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0).eval()
    end = [T.ToTensor(), T.Normalize([127 / 255] * 3, [128 / 255] * 3)]
    changes = T.Compose([T.RandomHorizontalFlip(), T.RandomVerticalFlip(), T.RandomRotation(10), T.ColorJitter(0.2, 0.2, 0.2)])
    large = T.Compose([T.Resize(448)] + end)
    augmented = T.Compose([T.Resize(448), changes] + end)
    smaller = lambda x: F.interpolate(x, scale_factor=4 / 7, mode="bilinear", antialias=True)

    def features(split, how):
        """(2 sizes, pictures, channels)"""
        xs, ys = [], []
        with torch.no_grad():
            for x, y in DataLoader(ImageFolder(job["dir"] + "/" + split, how), 32, num_workers=job["threads"]):
                xs.append(torch.stack([pooled(x), pooled(smaller(x))]))
                ys.append(y)
        return torch.cat(xs, 1), torch.cat(ys)

    pooled = lambda x: net.blocks(net.bn1(net.conv_stem(x))).mean((2, 3))  # as Blemish, without the convolution before ImageNet's classes
    views = [features("train", large)] + [features("train", augmented) for _ in range(3)]
    vx, vy = features("valid", large)
    y = views[0][1]
    x = torch.cat([views[0][0].mean(0, keepdim=True)] + [v[0] for v in views])
    mean, std = x.mean((0, 1)), x.std((0, 1)) + 1e-6
    x, vx = (x - mean) / std, (vx.mean(0) - mean) / std
    head = nn.Sequential(nn.Dropout(0.2), nn.Linear(x.shape[2], 2))
    optimizer = torch.optim.AdamW(head.parameters(), lr=3e-3, weight_decay=0.05)
    epochs, batch = job["epochs"], 64
    steps = math.ceil(len(y) / batch)
    warm = 3 * steps
    rate = lambda s: (s + 1) / warm if s < warm else (1 + math.cos(math.pi * (s - warm) / (epochs * steps - warm))) / 2
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    for _ in range(epochs):
        head.train()
        for chosen in torch.randperm(len(y)).split(batch):
            loss = F.cross_entropy(head(x[torch.randint(len(x), (len(chosen),)), chosen]), y[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        head.eval()
        with torch.no_grad():
            head(x[0]), F.cross_entropy(head(vx), vy)


{"chapter": chapter, "default": default}[job["preset"]]()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"fit_s": time.time() - start, "peak_mib": peak}))
