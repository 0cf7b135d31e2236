"""Writes ../operators.json: results and gradients of every operator. Made with torch 2.15.0 on x86-64, in float64, inputs rounded to float32.

    pip install torch==2.15.0 numpy==2.4.6 && python operators.py
"""
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

KINKS = ("relu", "relu6", "leaky_relu", "hardswish", "elu", "abs", "max_pool2d", "residual")  # a value may lie on one
rng = np.random.default_rng(7)
cases = []


def value(shape, low=-1.0, high=1.0):
    return torch.from_numpy(rng.uniform(low, high, shape)).mul(4096).round().div(4096)  # exact in float32, and short


def flat(t, digits=9):
    return [float(f"{v:.{digits}g}") for v in t.detach().flatten().tolist()]


def case(op, f, inputs, **args):
    xs = [x.clone().requires_grad_(True) for x in inputs]
    out = f(*xs)
    # PyTorch's own gradients are held to central differences in float64, away from kinks; Blemish's are held to PyTorch's
    assert op in KINKS or torch.autograd.gradcheck(f, xs), op
    weight = value(out.shape).mul(256).round().div(256)  # short numbers
    grads = torch.autograd.grad((out * weight).sum(), xs, allow_unused=True)
    cases.append({
        "op": op, "args": args,
        "inputs": [{"shape": list(x.shape), "data": flat(x)} for x in inputs],
        "weight": flat(weight),
        "out": {"shape": list(out.shape), "data": flat(out, 7)},
        "grads": [flat(torch.zeros_like(x) if g is None else g, 7) for x, g in zip(xs, grads)],
    })


for a, b in [((2, 3), (2, 3)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 1)), ((3, 1), (2, 1, 5)), ((2, 3, 4, 5), (1, 3, 1, 1)), ((4,), ())]:
    for op, f in (("add", torch.add), ("sub", torch.sub), ("mul", torch.mul)):
        case(op, f, [value(a), value(b)])
case("scale", lambda x: -2.5 * x + 0.75, [value((3, 7))], s=-2.5, c=0.75)
for op, f in [("relu", F.relu), ("relu6", F.relu6), ("sigmoid", torch.sigmoid), ("tanh", torch.tanh), ("silu", F.silu), ("gelu", F.gelu),
              ("hardswish", F.hardswish), ("elu", F.elu), ("softplus", F.softplus), ("exp", torch.exp), ("square", torch.square), ("abs", torch.abs),
              ("leaky_relu", lambda x: F.leaky_relu(x, 0.1))]:
    case(op, f, [value((5, 9), -8, 8)])
for op, f in [("log", torch.log), ("sqrt", torch.sqrt), ("reciprocal", torch.reciprocal)]:
    case(op, f, [value((5, 9), 0.1, 4)])
case("linear", F.linear, [value((5, 7)), value((3, 7)), value((3,))])
case("linear", F.linear, [value((2, 3, 6)), value((21, 6)), value((21,))])
case("linear", lambda x, w: F.linear(x, w), [value((40, 5)), value((18, 5))])
case("matmul", torch.matmul, [value((5, 4)), value((4, 6))])
case("matmul", torch.matmul, [value((2, 3, 5, 4)), value((2, 3, 4, 6))])
case("matmul_t", lambda x, y: x @ y.transpose(-1, -2), [value((2, 3, 5, 4)), value((2, 3, 7, 4))])
for x, w, k in [
    ((2, 3, 6, 7), (4, 3, 3, 3), dict(padding=1)),
    ((1, 3, 9, 8), (5, 3, 3, 3), dict(stride=2, padding=1)),
    ((2, 2, 11, 10), (3, 2, 7, 7), dict(stride=2, padding=3)),
    ((2, 4, 5, 6), (6, 4, 1, 1), dict()),
    ((2, 4, 5, 6), (6, 4, 1, 1), dict(stride=2)),
    ((1, 4, 9, 9), (6, 2, 3, 3), dict(groups=2, padding=1)),
    ((2, 6, 8, 7), (6, 1, 3, 3), dict(groups=6, padding=1)),
    ((2, 4, 9, 9), (4, 1, 5, 5), dict(groups=4, padding=2, stride=2)),
    ((1, 2, 12, 11), (3, 2, 3, 3), dict(dilation=2, padding=2)),
    ((1, 2, 12, 11), (3, 2, 3, 2), dict(dilation=3, stride=2, padding=1)),
    ((1, 2, 10, 10), (3, 2, 4, 4), dict(stride=3)),
    ((1, 3, 8, 8), (2, 3, 2, 2), dict(stride=4)),
]:
    case("conv2d", lambda x, w, b: F.conv2d(x, w, b, **k), [value(x), value(w), value((w[0],))], **k)
case("conv2d", lambda x, w: F.conv2d(x, w), [value((1, 2, 4, 4)), value((2, 2, 3, 3))])
for x, w, k in [
    ((2, 3, 4, 5), (3, 4, 3, 3), dict(padding=1)),
    ((2, 3, 4, 5), (3, 4, 2, 2), dict(stride=2)),
    ((1, 3, 4, 5), (3, 4, 3, 3), dict(stride=2, padding=1, output_padding=1)),
    ((1, 4, 4, 3), (4, 3, 4, 4), dict(stride=2, padding=1, groups=2)),
    ((1, 4, 3, 3), (4, 2, 3, 3), dict(stride=3, padding=1, output_padding=2, dilation=2)),
]:
    o = w[1] * k.get("groups", 1)
    case("conv_transpose2d", lambda x, w, b: F.conv_transpose2d(x, w, b, **k), [value(x), value(w), value((o,))], **k)
for n, training in [((4, 3), True), ((2, 3, 4, 5), True), ((2, 3, 4, 5), False)]:
    mean, var = value((3,)), value((3,), 0.5, 2)
    m, v = mean.clone(), var.clone()
    f = lambda x, w, b: F.batch_norm(x, mean.clone(), var.clone(), w, b, training, 0.3, 1e-3)
    x = value(n) + 3
    case("batch_norm", f, [x, value((3,)), value((3,))], training=training, mean=flat(mean), var=flat(var))
    F.batch_norm(x, m, v, None, None, training, 0.3, 1e-3)
    cases[-1]["args"].update(mean_after=flat(m), var_after=flat(v))
case("layer_norm", lambda x, w, b: F.layer_norm(x, (6,), w, b, 1e-5), [value((2, 3, 6)) + 2, value((6,)), value((6,))])
for k in [dict(k=2, stride=2), dict(k=3, stride=2, padding=1), dict(k=3, stride=1, padding=1), dict(k=2, stride=1, dilation=2)]:
    case("max_pool2d", lambda x: F.max_pool2d(x, k["k"], k["stride"], k.get("padding", 0), k.get("dilation", 1)), [value((2, 3, 7, 8))], **k)
for k in [dict(k=2, stride=2), dict(k=3, stride=2, padding=1)]:
    case("avg_pool2d", lambda x: F.avg_pool2d(x, k["k"], k["stride"], k.get("padding", 0)), [value((2, 3, 7, 8))], **k)
for h, w in [(1, 1), (3, 4), (7, 7), (9, 5)]:
    case("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (h, w)), [value((2, 2, 5, 7))], h=h, w=w)
for h, w in [(10, 14), (3, 4), (5, 11)]:
    case("upsample_nearest", lambda x: F.interpolate(x, size=(h, w), mode="nearest"), [value((2, 2, 5, 7))], h=h, w=w)
    case("upsample_bilinear", lambda x: F.interpolate(x, size=(h, w), mode="bilinear", align_corners=False), [value((2, 2, 5, 7))], h=h, w=w)
case("softmax", lambda x: F.softmax(x, -1), [value((3, 6), -6, 6)])
case("log_softmax", lambda x: F.log_softmax(x, -1), [value((3, 6), -6, 6)])
case("reshape", lambda x: x.reshape(4, -1), [value((2, 6, 3))], shape=[4, -1])
case("permute", lambda x: x.permute(2, 0, 3, 1), [value((2, 3, 4, 5))], order=[2, 0, 3, 1])
case("concat", lambda x, y, z: torch.cat([x, y, z], 1), [value((2, 3, 2)), value((2, 1, 2)), value((2, 4, 2))], dim=1)
case("narrow", lambda x: x.narrow(1, 1, 2), [value((2, 4, 3))], dim=1, start=1, n=2)
case("sum", torch.sum, [value((3, 4))])
case("mean", torch.mean, [value((3, 4))])
case("mean_last", lambda x: x.mean(-1), [value((3, 4, 5))])
# a value that is used twice, and operators that work in place
case("residual", lambda x, w: F.relu(F.linear(x, w) + x), [value((4, 5)), value((5, 5))])

Path(__file__).parent.parent.joinpath("operators.json").write_text(json.dumps(cases, separators=(",", ":")))
