"""Exports a small ResNet, MobileNetV3 and vision transformer with random weights for each opset from 11 to 21, and writes a network as tf2onnx lays
it out, and notes what ONNX Runtime computes with them.

torch's TorchScript exporter (dynamo=False) writes all of them, batch norms as they are where the opset is odd and folded where it is even; torch's newer
exporter (dynamo=True) writes 18 to 21.

Made with torch 2.15.0, torchvision 0.29.2, timm 1.0.31, onnx 1.23.2, onnxruntime 1.32.0, onnxscript 0.7.2 on a CPU.
Run in this folder: python opsets.py. It writes ../opsets.tar.gz, a sixth of the files as they are since most of their weights are the same, and
../opsets.json.
"""
import gzip
import io
import json
import tarfile
import tempfile

import numpy as np
import onnx
import onnxruntime
import timm.layers
import timm.models.vision_transformer
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torchvision.models import mobilenetv3
from torchvision.models.resnet import BasicBlock

from networks import here, picture, randomise, sampled

golden, files = [], {}


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1, self.relu, self.maxpool = nn.Conv2d(3, 6, 7, 2, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        self.layer1 = BasicBlock(6, 6)
        self.layer2 = BasicBlock(6, 8, 2, nn.Sequential(nn.Conv2d(6, 8, 1, 2, bias=False), nn.BatchNorm2d(8)))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x):
        x = self.layer2(self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x))))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def mobilenet():
    block = mobilenetv3.InvertedResidualConfig
    return mobilenetv3.MobileNetV3([block(8, 3, 8, 8, True, "RE", 2, 1, 1.0), block(8, 5, 16, 8, True, "HS", 1, 1, 1.0)], 16, num_classes=5)


def vit():
    return timm.models.vision_transformer.VisionTransformer(img_size=24, patch_size=6, embed_dim=12, depth=1, num_heads=2, mlp_ratio=2, num_classes=5)


networks = {"resnet": (ResNet, (1, 3, 32, 24)), "mobilenetv3": (mobilenet, (1, 3, 24, 32)), "vit": (vit, (1, 3, 24, 24))}


def run(model, shape, values=("output",)):
    wide = onnx.ModelProto()
    wide.CopyFrom(model)
    wide.graph.output.extend(onnx.ValueInfoProto(name=v) for v in values if v != "output")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(wide.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(list(values), {"input": picture(shape)})


def note(name, model, shape, how, *values):
    model.doc_string = ""
    del model.graph.value_info[:]
    for node in model.graph.node:
        for entry in [e for e in node.metadata_props if e.key != "pkg.torch.onnx.name_scopes"]:
            node.metadata_props.remove(entry)
        node.doc_string = ""
    version = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")][0]
    files[f"{name}.onnx"] = model.SerializeToString()
    values = ("output", *values)
    taps = {v: sampled(out, 60) for v, out in zip(values, run(model, shape, values))}
    golden.append({"name": name, "opset": version, "how": how, "input": list(shape), "taps": taps})
    print(f"{name}: {how}, {len(files[name + '.onnx'])} bytes, {sorted({n.op_type for n in model.graph.node})}")


def exported(build, shape, opset, dynamo):
    timm.layers.set_fused_attn(opset >= 14)  # scaled_dot_product_attention has no older form
    model = randomise(build())
    options = {"external_data": False} if dynamo else {"training": torch.onnx.TrainingMode.PRESERVE} if opset % 2 else {}  # which leaves batch norms as they are
    return saved(model, shape, opset, dynamo, **options)


def saved(model, shape, opset, dynamo, **options):
    with tempfile.NamedTemporaryFile(suffix=".onnx") as f:
        torch.onnx.export(model, (torch.from_numpy(picture(shape)),), f.name, opset_version=opset, input_names=["input"], output_names=["output"], dynamo=dynamo, **options)
        m = onnx.load(f.name)
    with torch.no_grad():
        want = model(torch.from_numpy(picture(shape))).numpy()
    assert np.allclose(run(m, shape)[0], want, rtol=1e-4, atol=1e-4), "ONNX Runtime differs from torch"
    assert [o.version for o in m.opset_import if o.domain == ""] == [opset], [o.version for o in m.opset_import]
    return m


def tensorflow():
    """Layers as tf2onnx writes Keras's: sums, means and products with channels last, transposed for the convolutions and back; TensorFlow's padding; swish
    and hard sigmoid in parts; squeeze and excitation."""
    rng = np.random.default_rng(11)
    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(op, *inputs, **attributes):
        name = f"functional/{len(nodes)}/{op}"
        nodes.append(helper.make_node(op, list(inputs), [name + ":0"], name=name, **attributes))
        return name + ":0"

    def w(*shape):
        return rng.uniform(-1, 1, shape).astype(np.float32) * (2 / np.sqrt(np.prod(shape[1:]) if len(shape) > 1 else 4)).astype(np.float32)

    def last(x):
        return node("Transpose", x, perm=[0, 2, 3, 1])

    def first(x):
        return node("Transpose", x, perm=[0, 3, 1, 2])

    x = node("Sub", last("input"), constant("mean", np.array([0.1, -0.05, 0.2], np.float32)))
    x = node("Mul", x, constant("std", np.array([1.5, 2, 0.5], np.float32)))
    x = node("Conv", first(x), constant("stem", w(8, 3, 3, 3)), constant("stem/bias", w(8)), strides=[2, 2], dilations=[1, 1], group=1, auto_pad="SAME_UPPER", kernel_shape=[3, 3])
    x = node("Clip", x, constant("zero", np.float32(0)), constant("six", np.float32(6)))
    x = node("Conv", x, constant("depthwise", w(8, 1, 3, 3)), strides=[2, 2], dilations=[1, 1], group=8, pads=[0, 0, 1, 1], kernel_shape=[3, 3])
    x = node("BatchNormalization", x, constant("gamma", np.abs(w(8)) + 0.5), constant("beta", w(8)), constant("moving_mean", w(8)), constant("moving_variance", np.abs(w(8)) + 0.5), epsilon=1e-3)
    x = last(x)
    x = node("Mul", x, node("Sigmoid", x))
    s = node("ReduceMean", x, axes=[1, 2], keepdims=1)
    s = last(node("Relu", node("Conv", first(s), constant("squeeze", w(4, 8, 1, 1)), constant("squeeze/bias", w(4)), kernel_shape=[1, 1])))
    s = last(node("Conv", first(s), constant("excite", w(8, 4, 1, 1)), constant("excite/bias", w(8)), kernel_shape=[1, 1]))
    s = node("Mul", node("Clip", node("Add", s, constant("three", np.float32(3))), "zero", "six"), constant("sixth", np.float32(1 / 6)))
    x = node("Mul", x, s)
    y = last(node("Conv", first(x), constant("project", w(8, 8, 1, 1)), kernel_shape=[1, 1]))
    x = node("Add", node("Add", y, constant("project/bias", w(8))), x)
    features = nodes[-1].output[0]
    x = last(node("AveragePool", first(x), kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID"))
    x = node("ReduceMean", x, axes=[1, 2], keepdims=0)
    x = node("Add", node("MatMul", x, constant("dense", w(8, 5))), constant("dense/bias", w(5)))
    nodes.append(helper.make_node("Softmax", [x], ["output"], name="functional/softmax/Softmax", axis=-1))
    graph = helper.make_graph(nodes, "tf2onnx", [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["unk__1", 3, 33, 26])],
                              [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["unk__1", 5])], constants)
    m = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)], ir_version=7)
    onnx.checker.check_model(m)
    return m, features


def main():
    for name, (build, shape) in networks.items():
        for opset in range(11, 22):
            note(f"{name}-{opset}", exported(build, shape, opset, False), shape, "torch, dynamo=False")
        for opset in range(18, 22):
            note(f"{name}-{opset}-dynamo", exported(build, shape, opset, True), shape, "torch, dynamo=True")
    # nn.MultiheadAttention, and open sizes that the positions do not follow
    net = randomise(torchvision.models.VisionTransformer(image_size=24, patch_size=6, num_layers=1, num_heads=2, hidden_dim=12, mlp_dim=24, num_classes=5))
    note("torchvision-vit-17", saved(net, (1, 3, 24, 24), 17, False, dynamic_axes={"input": {0: "n", 2: "h", 3: "w"}}), (1, 3, 24, 24), "torchvision, dynamo=False")
    m, features = tensorflow()
    note("tf2onnx-13", m, (1, 3, 33, 26), "onnx.helper", features)
    (here / "opsets.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    (here / "opsets.tar.gz").write_bytes(gzip.compress(archive.getvalue(), 9, mtime=0))
    print(len(golden), sum(map(len, files.values())), "bytes, packed", (here / "opsets.tar.gz").stat().st_size)


if __name__ == "__main__":
    main()
