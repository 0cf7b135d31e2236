"""Writes ../losses.json: losses and their gradients. Made with torch 2.15.0 and torchvision 0.29.2 on x86-64, in float64, the inputs exact
in float32. SSIM is computed here from its paper (Wang et al. 2004), with a window in two dimensions.

    pip install torch==2.15.0 torchvision==0.29.2 numpy==2.4.6 && python losses.py
"""
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision

assert torch.__version__.startswith("2.15.0") and torchvision.__version__.startswith("0.29.2")
rng = np.random.default_rng(11)
cases = []
MEAN, SUM, BATCH, NONE = "mean", "sum", "batchmean", "none"


def value(shape, low=-1.0, high=1.0, step=256):
    return torch.from_numpy(np.asarray(np.round(rng.uniform(low, high, shape) * step) / step))


def flat(t):
    return [float(f"{v:.8g}") for v in t.detach().flatten().tolist()]


def array(t):
    return {"shape": list(t.shape), "data": flat(t)}


def case(loss, f, inputs, leaves=None, **args):
    """leaves: how many of the inputs have gradients; all by default. kink: central differences say nothing there."""
    inputs = [x.double() for x in inputs]
    n = len(inputs) if leaves is None else leaves
    xs = [x.clone().requires_grad_(i < n) for i, x in enumerate(inputs)]
    out = f(*xs)
    # PyTorch's own gradients are held to central differences in float64; Blemish's are held to PyTorch's
    assert args.get("kink") or torch.autograd.gradcheck(f, xs), loss
    weight = value(out.shape, 0.5, 1.5, 256)  # what a later operator multiplies the loss by
    grads = torch.autograd.grad((out * weight).sum(), xs[:n])
    cases.append({"loss": loss, "args": args, "inputs": [array(x) for x in inputs], "weight": flat(weight), "out": array(out),
                  "grads": [flat(g) for g in grads]})


def apart(shape):
    """Pairs whose differences are 1/16 at least from 0, 1/2 and 1, where slopes jump."""
    return [value(shape, -2, 2, 8), value(shape, -2, 2, 8) + 1 / 16]


for r in (MEAN, SUM, NONE):
    for shape in ((3, 5), (2, 2, 1, 3)):
        case("mse", lambda x, y: F.mse_loss(x, y, reduction=r), [value(shape, -3, 3), value(shape)], reduction=r)
        case("l1", lambda x, y: F.l1_loss(x, y, reduction=r), apart(shape), reduction=r)
        case("smooth_l1", lambda x, y: F.smooth_l1_loss(x, y, reduction=r), apart(shape), beta=1, reduction=r)
    case("smooth_l1", lambda x, y: F.smooth_l1_loss(x, y, reduction=r, beta=0.5), apart((4, 6)), beta=0.5, reduction=r)
case("smooth_l1", lambda x, y: F.smooth_l1_loss(x, y, beta=0.0), apart((4, 6)), beta=0)
case("mse", F.mse_loss, [value((7,)), value((7,))])
equal = value((2, 3))
case("l1", F.l1_loss, [equal, equal.clone()], kink=True)
case("smooth_l1", lambda x, y: F.smooth_l1_loss(x, y, beta=0.5), [torch.tensor([0.5, 0, -0.5, 0]), torch.tensor([0, 0.5, 0, 0])], beta=0.5, kink=True)

extreme = torch.tensor([[80.0, -80, 80, -80, 0, 0, 20, -20], [80, -80, 0.5, -0.5, 30, -30, 100, -100]], dtype=torch.float64)
extreme_y = torch.tensor([[1.0, 1, 0, 0, 1, 0, 1, 0], [0.5, 0.25, 0.75, 1, 0, 1, 1, 0]], dtype=torch.float64)


def bce(x, y, r, weight=None, pos=None):
    args = {"reduction": r}
    if weight is not None:
        args["weight"] = array(weight)
    if pos is not None:
        args["pos_weight"] = array(pos)
    case("bce", lambda x, y: F.binary_cross_entropy_with_logits(x, y, weight, pos_weight=pos, reduction=r), [x, y], **args)


for r in (MEAN, SUM, NONE):
    bce(value((3, 5), -4, 4), value((3, 5), 0, 1), r)
    bce(extreme, extreme_y, r)
    bce(value((2, 3, 2, 1), -4, 4), value((2, 3, 2, 1), 0, 1).round(), r, pos=value((3, 1, 1), 0.5, 3))
    bce(value((3, 5), -4, 4), value((3, 5), 0, 1), r, value((3, 1), 0, 2), value((5,), 0.5, 3))
    bce(extreme, extreme_y, r, pos=torch.tensor(2.5, dtype=torch.float64))

for r in (MEAN, SUM, NONE):
    for alpha, gamma in ((0.25, 2), (-1, 2), (0.75, 1.5), (0.5, 0)):
        focal = lambda x, y: torchvision.ops.sigmoid_focal_loss(x, y, alpha, gamma, r)
        case("focal", focal, [value((3, 4), -4, 4), value((3, 4), 0, 1).round()], alpha=alpha, gamma=gamma, reduction=r)
        case("focal", focal, [value((3, 4), -4, 4), value((3, 4), 0, 1)], alpha=alpha, gamma=gamma, reduction=r)
case("focal", lambda x, y: torchvision.ops.sigmoid_focal_loss(x, y, 0.25, 2, "sum"), [extreme, extreme_y], alpha=0.25, gamma=2, reduction=SUM)


def classes(x, r, weight=None, smoothing=0.0, y=None):
    args = {"reduction": r, "smoothing": smoothing}
    if weight is not None:
        args["weight"] = array(weight)
    inputs = [x]
    if y is None:
        labels = torch.from_numpy(rng.integers(0, x.shape[1], (x.shape[0],) + tuple(x.shape[2:])))
        args["labels"] = labels.flatten().tolist()
    else:
        labels = None
        inputs.append(y)
    case("cross_entropy" if y is None else "cross_entropy_soft",
         lambda x, y=labels: F.cross_entropy(x, y, weight, reduction=r, label_smoothing=smoothing), inputs, **args)


hot = torch.tensor([[80.0, -80, 0, 1], [-80, 80, 80, -80], [0, 0, 0, 0], [80, 79, -80, 80]], dtype=torch.float64)
for r in (MEAN, SUM, NONE):
    for smoothing in (0.0, 0.1):
        for weight in (None, value((4,), 0.25, 2)):
            classes(value((5, 4), -4, 4), r, weight, smoothing)
            classes(hot, r, weight, smoothing)
            classes(value((2, 4, 1, 3), -4, 4), r, weight, smoothing)
            y = torch.softmax(value((5, 4), -2, 2), 1).mul(256).round().div(256)
            classes(value((5, 4), -4, 4), r, weight, smoothing, y)
    classes(value((2, 4, 3), -4, 4), r, value((4,), 0.25, 2), 0.1, value((2, 4, 3), 0, 1))


def focal_softmax(x, labels, gamma, alpha, r):
    """Lin et al. 2017, equation 5, with the probability of the label's class."""
    log_p = F.log_softmax(x, 1).gather(1, labels.unsqueeze(1)).squeeze(1)
    loss = -((1 - log_p.exp()) ** gamma) * log_p
    if alpha is not None:
        loss = loss * alpha[labels]
    return {MEAN: loss.mean, SUM: loss.sum, NONE: lambda: loss}[r]()


for r in (MEAN, SUM, NONE):
    for shape, gamma, alpha in (((5, 4), 2, None), ((2, 3, 4, 2), 2, value((3,), 0.25, 1)), ((6, 2), 0.5, None), ((3, 4), 0, None)):
        x = value(shape, -4, 4)
        labels = torch.from_numpy(rng.integers(0, shape[1], (shape[0],) + shape[2:]))
        args = {} if alpha is None else {"weight": array(alpha)}
        case("focal_softmax", lambda x: focal_softmax(x, labels, gamma, alpha, r), [x], gamma=gamma, reduction=r, labels=labels.flatten().tolist(), **args)

for r in (MEAN, SUM, BATCH, NONE):
    x, y = F.log_softmax(value((4, 5), -3, 3), 1).mul(256).round().div(256), F.softmax(value((4, 5), -3, 3), 1).mul(256).round().clamp(32).div(256)
    case("kl_div", lambda x, y: F.kl_div(x, y, reduction=r), [x, y], reduction=r)
    y = F.log_softmax(value((4, 5), -3, 3), 1).mul(256).round().div(256)
    case("kl_div_log", lambda x, y: F.kl_div(x, y, reduction=r, log_target=True), [x, y], reduction=r)
y = torch.tensor([[0, 0.5, 0.5], [1, 0, 0]], dtype=torch.float64)
case("kl_div", lambda x: F.kl_div(x, y, reduction=BATCH), [value((2, 3), -3, 0)], reduction=BATCH)
cases[-1]["inputs"].append(array(y))  # where the target is 0 its gradient is not defined: none is asked for
for shape in ((4, 3), (2, 3, 4, 2)):
    case("gaussian_kl", lambda m, v: -0.5 * (1 + v - m**2 - v.exp()).sum() / m.shape[0], [value(shape, -2, 2), value(shape, -3, 3)])

cosine = lambda r: lambda x, y: {MEAN: torch.mean, SUM: torch.sum, NONE: lambda v: v}[r](1 - F.cosine_similarity(x, y, dim=1))
for r in (MEAN, SUM, NONE):
    for shape in ((4, 6), (2, 5, 2, 2), (1, 2, 9, 8))[: 3 if r == NONE else 2]:  # the last has more vectors than a strip
        case("cosine", cosine(r), [value(shape), value(shape)], reduction=r)
x, y = value((4, 3)), value((4, 3))
x[0] = 0
x[1] = torch.tensor([3.0, -2, 1]) * 2**-31  # shorter than the least length
y[2] = 0
case("cosine", cosine(NONE), [x, y], reduction=NONE, kink=True)

i = torch.arange(11, dtype=torch.float64) - 5
g = torch.exp(-i * i / (2 * 1.5**2))
window = torch.outer(g, g) / g.sum() ** 2


def ssim(x, y, data_range):
    mean = lambda v: F.conv2d(v.flatten(0, 1).unsqueeze(1), window[None, None]).unflatten(0, v.shape[:2]).squeeze(2)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx**2, mean(y * y) - my**2, mean(x * y) - mx * my
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


for shape, r in (((2, 1, 12, 11), 1.0), ((1, 2, 11, 13), 2.0)):
    x = value(shape, 0, r)
    y = (x + value(shape, -0.3, 0.3)).clamp(0, r)
    if r == 1:
        case("ssim", lambda x, y: 1 - ssim(x, y, r).mean(), [x, y], range=r)
    if shape[0] * shape[1] > 1:
        case("ssim_map", lambda x, y: ssim(x, y, r), [x, y], range=r)
x = value((1, 1, 12, 13), 0, 255, 1)
case("ssim", lambda x, y: 1 - ssim(x, y, 255).mean(), [x, value((1, 1, 12, 13), 0, 255, 1)], range=255)
case("ssim", lambda x, y: 1 - ssim(x, y, 1).mean(), [torch.full((1, 1, 12, 12), 0.5), torch.full((1, 1, 12, 12), 0.75)], range=1)

for r in (MEAN, SUM, NONE):
    for weight in (None, value((4,), 0.25, 2)):
        labels = torch.tensor([2, -100, 0, 3, -100, 1])  # -100: ignored
        args = {"reduction": r, "smoothing": 0.1, "labels": labels.tolist()}
        if weight is not None:
            args["weight"] = array(weight)
        case("cross_entropy", lambda x: F.cross_entropy(x, labels, weight, reduction=r, label_smoothing=0.1), [value((6, 4), -4, 4)], **args)

Path(__file__).parent.parent.joinpath("losses.json").write_text(json.dumps(cases, separators=(",", ":")))
