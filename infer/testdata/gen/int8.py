"""Small quantised networks (onnx/int8_*.onnx) in the forms that quantizers write, and what ONNX Runtime computes with them and with the
quantised ResNet-18 of the shared weights (int8.json), in integers: all optimisations on.

Made with onnx 1.23.2 and onnxruntime 1.32.0 on an AVX2 CPU, whose products of bytes saturate unless weights have 7 bits: reduce_range sees
to that. Run in this folder: python int8.py SHARED/weights/resnet18_layer2_layer3_int8_qdq.onnx.
"""
import json
import pathlib
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

here = pathlib.Path(__file__).parent.parent


def picture(*shape):
    i = np.arange(np.prod(shape), dtype=np.float64)
    return np.sin(0.37 * i + 1.3 * np.sin(0.011 * i)).astype(np.float32).reshape(shape)


def network(pooling, turned):
    """Convolutions with strides, a residual, clamps and maxima; with pooling, a classifier's head, its matrix turned or not."""
    rng = np.random.default_rng(5)
    constants, nodes = [], []

    def weight(name, *shape):
        scale = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        constants.append(numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name))
        return name

    def node(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))

    node("Conv", ["x", weight("w1", 16, 3, 5, 5), weight("b1", 16)], "c1", kernel_shape=[5, 5], strides=[2, 2], pads=[2] * 4)
    node("Relu", ["c1"], "r1")
    node("MaxPool", ["r1"], "p1", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    node("Conv", ["p1", weight("w2", 20, 16, 3, 3), weight("b2", 20)], "c2", kernel_shape=[3, 3], pads=[1] * 4)
    constants.append(numpy_helper.from_array(np.float32(0), "lo"))
    constants.append(numpy_helper.from_array(np.float32(1.5), "hi"))
    node("Clip", ["c2", "lo", "hi"], "r2")
    node("Conv", ["r2", weight("w3", 20, 20, 3, 3), weight("b3", 20)], "c3", kernel_shape=[3, 3], pads=[1] * 4)
    node("Conv", ["p1", weight("w4", 20, 16, 1, 1)], "c4", kernel_shape=[1, 1])
    node("Add", ["c3", "c4"], "a1")
    node("Relu", ["a1"], "r3")
    out, shape = "r3", [1, 20, 8, 10]
    if pooling:
        node("GlobalAveragePool", ["r3"], "g")
        node("Flatten", ["g"], "f")
        shape = (20, 10) if turned else (10, 20)
        node("Gemm", ["f", weight("w5", *shape), weight("b5", 10)], "y", transB=int(not turned))
        out, shape = "y", [1, 10]
    graph = helper.make_graph(nodes, "int8", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 30, 37])],
                              [helper.make_tensor_value_info(out, TensorProto.FLOAT, shape)], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class Calibration(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": picture(1, 3, 30, 37) * s} for s in (1, 0.7, -1)]

    def get_next(self):
        return self.left.pop() if self.left else None


def run(model, factor=1):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    shape = session.get_inputs()[0].shape
    return session.run(None, {session.get_inputs()[0].name: picture(*shape) * np.float32(factor)})


def unfused_weights(model):
    """Weights as torch keeps them: floats, quantised and dequantised in the graph; and biases of floats."""
    init = {t.name: t for t in model.graph.initializer}
    for n in list(model.graph.node):
        t = init.get(n.input[0]) if n.op_type == "DequantizeLinear" else None
        if t is None:
            continue
        q, s = numpy_helper.to_array(t), numpy_helper.to_array(init[n.input[1]])
        axis = next((a.i for a in n.attribute if a.name == "axis"), 0)
        s = s.reshape([-1 if i == axis else 1 for i in range(q.ndim)]) if s.ndim else s
        floats = (q.astype(np.float32) * s).astype(np.float32)
        model.graph.initializer.remove(t)
        if t.data_type == TensorProto.INT32:
            model.graph.node.remove(n)
            model.graph.initializer.append(numpy_helper.from_array(floats, n.output[0]))
            continue
        model.graph.initializer.append(numpy_helper.from_array(floats, t.name + "_floats"))
        quantize = helper.make_node("QuantizeLinear", [t.name + "_floats", n.input[1], n.input[2]], [t.name], axis=axis)
        model.graph.node.insert(list(model.graph.node).index(n), quantize)
    return model


variants = {
    "u8_channels": dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True),
    "s8_tensor": dict(activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, per_channel=False),
    "s8_symmetric": dict(activation_type=QuantType.QInt8, weight_type=QuantType.QInt8, per_channel=True, extra_options={"ActivationSymmetric": True, "DedicatedQDQPair": True}),
    "torch": dict(activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True),
}
out = {}
with tempfile.TemporaryDirectory() as tmp:
    for name, options in variants.items():
        model, quantized = pathlib.Path(tmp) / "m.onnx", pathlib.Path(tmp) / "q.onnx"
        onnx.save(network(name != "s8_symmetric", name != "torch"), model)
        quantize_static(str(model), str(quantized), Calibration(), quant_format=QuantFormat.QDQ, reduce_range=True, **options)
        q = onnx.load(quantized)
        if name == "torch":
            q = unfused_weights(q)
        onnx.save(q, here / "onnx" / f"int8_{name}.onnx")
        scales = {t.name: numpy_helper.to_array(t) for t in q.graph.initializer}
        last = next(n for n in q.graph.node if q.graph.output[0].name in n.output)
        y = run(q.SerializeToString())[0]
        out[name] = {"level": float(scales[last.input[1]]), "shape": list(y.shape), "step": 1, "values": [float(f"{v:.8g}") for v in y.ravel()]}
# not the picture of quantized.py: there a sum of conv2d_32, which ONNX Runtime computes in floats, lies on a tie, and all of layer 3 sees it
for name, level, y in zip(["relu_43", "relu_64"], [0.052684378, 0.040552385], run(open(sys.argv[1], "rb").read(), 0.75)):
    flat = y.ravel()
    step = len(flat) // 3000
    out[name] = {"level": level, "shape": list(y.shape), "step": step, "values": [float(f"{v:.8g}") for v in flat[::step]]}
(here / "int8.json").write_text(json.dumps(out) + "\n")
