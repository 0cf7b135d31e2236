"""The peer's side of the comparison of training: PyTorch on the works of training_works.go, which says what they are.

Reads one JSON object from the command line, {"work", "threads", "steps"}, and prints one: {"seconds": of a step (of all 100 epochs for
digits), "loss": the last, "peak_mib"}. torch 2.15.0, torchvision 0.29.2.
"""

import json
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])
torch.manual_seed(1)


def digits():
    x = torch.rand(3823, 65)
    sizes = [65, 48, 32, 8, 32, 48, 65]
    layers = []
    for i in range(6):
        layers += [nn.Linear(sizes[i], sizes[i + 1]), nn.Tanh() if i < 5 else nn.Sigmoid()]
    net = nn.Sequential(*layers)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.002)
    batches = [x[at:at + 10] for at in range(0, len(x), 10)]  # the order is no part of the work

    def epoch():
        for b in batches:
            optimizer.zero_grad()
            loss = F.mse_loss(net(b), b)
            loss.backward()
            optimizer.step()
        return loss

    return epoch


def step(net, optimizer, loss_of):
    def run():
        optimizer.zero_grad()
        loss = loss_of(net)
        loss.backward()
        optimizer.step()
        return loss

    return run


def vgg_head():
    x, y = torch.rand(206, 512, 2, 2), torch.arange(206) % 2
    net = nn.Sequential(nn.AdaptiveAvgPool2d((7, 7)), nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(True), nn.Dropout(),
                        nn.Linear(4096, 4096), nn.ReLU(True), nn.Dropout(), nn.Linear(4096, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    return step(net, optimizer, lambda net: F.cross_entropy(net(x), y))


def autoencoder():
    x = torch.rand(16, 3, 128, 128)
    net = nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU(True), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU(True), nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(True),
                        nn.ConvTranspose2d(128, 64, 3, 2, 1, 1), nn.ReLU(True), nn.ConvTranspose2d(64, 32, 3, 2, 1, 1), nn.ReLU(True),
                        nn.ConvTranspose2d(32, 3, 3, 2, 1, 1), nn.Sigmoid())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    return step(net, optimizer, lambda net: F.mse_loss(net(x), x))


def resnet18():
    import torchvision

    x, y = torch.rand(8, 3, 224, 224), torch.arange(8)
    net = torchvision.models.resnet18()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2, momentum=0.9)
    return step(net, optimizer, lambda net: F.cross_entropy(net(x), y))


run = {"digits": digits, "vgg16-head": vgg_head, "conv-autoencoder": autoencoder, "resnet18": resnet18}[job["work"]]()
run()  # memory is found and code is warm
times = []
for _ in range(job["steps"]):
    start = time.perf_counter()
    loss = run()
    loss = loss.item()
    times.append(time.perf_counter() - start)
seconds = sum(times) if job["work"] == "digits" else sorted(times)[len(times) // 2]
print(json.dumps({"seconds": seconds, "loss": loss, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
