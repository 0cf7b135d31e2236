"""Makes networks of one operator or few, and notes what ONNX Runtime computes with them.

Made with onnx 1.23.2, onnxruntime 1.32.0, numpy on a CPU. Run in this folder: python operators.py. It writes ../operators.json.
"""
import base64
import json
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

here = pathlib.Path(__file__).parent.parent
cases = []
rng = np.random.default_rng(7)


def picture(shape):
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    return np.sin(0.37 * i + 1.3 * np.sin(0.011 * i)).astype(np.float32).reshape(shape)


def w(*shape):
    return rng.uniform(-1, 1, shape).astype(np.float32)


def ints(*values):
    return np.array(values, dtype=np.int64)


def case(name, op, shape=(1, 3, 9, 11), opset=17, constants=(), cast=False, **attributes):
    """x goes in first, then the constants; None is an absent input."""
    inputs, initializers = ["x"], []
    for i, c in enumerate(constants):
        if c is None:
            inputs.append("")
            continue
        inputs.append(f"c{i}")
        initializers.append(numpy_helper.from_array(np.asarray(c), f"c{i}"))
    nodes = [helper.make_node(op, inputs, ["y"], name=f"{op}_0", **attributes)]
    if cast:
        nodes.append(helper.make_node("Cast", ["y"], ["z"], to=TensorProto.FLOAT))
    graph(name, nodes, initializers, shape, opset)


def graph(name, nodes, initializers, shape, opset):
    g = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", shape[1], "h", "w"])],
                          [helper.make_tensor_value_info(nodes[-1].output[0], TensorProto.FLOAT, None)], initializers)
    m = helper.make_model(g, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    out = onnxruntime.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": picture(shape)})[0]
    flat = out.astype(np.float64).ravel()
    step = max(1, len(flat) // 100)
    cases.append({"name": name, "model": base64.b64encode(m.SerializeToString()).decode(), "input": list(shape),
                  "output": {"shape": list(out.shape), "step": step, "values": [float(f"{v:.8g}") for v in flat[::step]]}})


def main():
    conv = lambda n, *c, **a: case("conv-" + n, "Conv", constants=c, **a)
    conv("stride", w(5, 3, 3, 3), w(5), strides=[2, 2], pads=[1, 1, 1, 1])
    conv("uneven", w(5, 3, 3, 2), w(5), strides=[2, 1], pads=[2, 0, 1, 1], dilations=[1, 2])
    conv("uneven-3", w(5, 3, 2, 3), strides=[1, 3])
    conv("dilated", w(4, 3, 3, 3), w(4), dilations=[2, 3], pads=[2, 3, 2, 3])
    conv("groups", w(6, 2, 3, 3), w(6), group=3, shape=(2, 6, 9, 11), pads=[1, 1, 1, 1], strides=[2, 2])
    conv("depthwise-twice", w(6, 1, 3, 3), group=3, auto_pad="SAME_UPPER", strides=[2, 2])
    conv("same-lower", w(2, 3, 2, 4), auto_pad="SAME_LOWER")
    conv("valid", w(2, 3, 2, 4), auto_pad="VALID")
    conv("1x1", w(17, 3, 1, 1), w(17))
    conv("1x1-stride", w(17, 3, 1, 1), w(17), strides=[2, 2])
    conv("large", w(20, 16, 7, 7), shape=(1, 16, 15, 14), strides=[4, 4], pads=[3, 3, 3, 3])
    up = lambda n, *c, **a: case("transposed-" + n, "ConvTranspose", constants=c, **a)
    up("plain", w(3, 4, 3, 3), w(4))
    up("stride", w(3, 4, 4, 4), w(4), strides=[2, 2], pads=[1, 1, 1, 1])
    up("output-padding", w(3, 4, 3, 3), strides=[2, 3], pads=[1, 0, 1, 2], output_padding=[1, 1], dilations=[2, 1])
    up("groups", w(6, 2, 3, 2), group=3, shape=(2, 6, 5, 4), strides=[2, 2])
    up("output-shape", w(3, 2, 3, 3), strides=[2, 2], output_shape=[18, 22])
    up("same-upper", w(3, 2, 3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    for n, a in {"plain": {}, "stride": {"strides": [2, 2]}, "pads": {"strides": [2, 2], "pads": [1, 0, 1, 1]}, "ceil": {"strides": [2, 2], "ceil_mode": 1},
                 "ceil-pads": {"strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1}, "same": {"strides": [2, 2], "auto_pad": "SAME_UPPER"}}.items():
        case("maxpool-" + n, "MaxPool", kernel_shape=[3, 2], **a)
        case("averagepool-" + n, "AveragePool", kernel_shape=[3, 2], **a)
        if n != "same":
            case("averagepool-padded-" + n, "AveragePool", kernel_shape=[3, 2], count_include_pad=1, opset=19, **a)
    case("maxpool-dilated", "MaxPool", kernel_shape=[2, 3], dilations=[3, 2], pads=[1, 1, 0, 1])
    case("averagepool-dilated", "AveragePool", kernel_shape=[2, 3], dilations=[3, 2], opset=19)
    case("global-average", "GlobalAveragePool")
    case("global-max", "GlobalMaxPool")
    for mode in ("nearest", "linear", "cubic"):
        for transform in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"):
            case(f"resize-{mode}-{transform}-up", "Resize", constants=(None, None, ints(1, 3, 20, 17)), mode=mode, coordinate_transformation_mode=transform)
        case(f"resize-{mode}-scales", "Resize", constants=(None, np.array([1, 1, 1.7, 0.6], np.float32)), mode=mode, opset=13)
    case("resize-nearest-floor", "Resize", constants=(None, np.array([1, 1, 2, 3], np.float32)), mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric", opset=11 + 2)
    case("resize-nearest-ceil", "Resize", constants=(None, np.array([1, 1, 1.5, 2], np.float32)), mode="nearest", nearest_mode="ceil")
    case("resize-nearest-prefer-ceil", "Resize", constants=(None, np.array([1, 1, 1.5, 2], np.float32)), mode="nearest", nearest_mode="round_prefer_ceil")
    case("resize-cubic-outside", "Resize", constants=(None, None, ints(1, 3, 13, 30)), mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)
    case("resize-axes", "Resize", constants=(None, None, ints(5, 6)), mode="linear", axes=[2, 3], opset=18)
    case("batchnorm", "BatchNormalization", constants=(w(3), w(3), w(3), np.abs(w(3))), epsilon=1e-3)
    case("instancenorm", "InstanceNormalization", constants=(w(3), w(3)))
    case("layernorm", "LayerNormalization", constants=(w(11), w(11)))
    case("layernorm-two-axes", "LayerNormalization", constants=(w(9, 11), w(9, 11)), axis=2, epsilon=1e-6)
    case("softmax", "Softmax", axis=1)
    case("softmax-before-13", "Softmax", axis=2, opset=11)
    case("logsoftmax", "LogSoftmax", axis=-1)
    for op in ("Relu", "Sigmoid", "Tanh", "Erf", "Exp", "Neg", "Abs", "Floor", "Ceil", "Round", "Softplus", "HardSwish", "Sin", "Cos"):
        case(op.lower(), op)
    case("mish", "Mish", opset=18)
    case("leakyrelu", "LeakyRelu", alpha=0.2)
    case("elu", "Elu", alpha=0.7)
    case("hardsigmoid", "HardSigmoid", alpha=0.3, beta=0.4)
    case("gelu", "Gelu", opset=20)
    case("gelu-tanh", "Gelu", opset=20, approximate="tanh")
    case("clip", "Clip", constants=(np.float32(-0.3), np.float32(0.6)))
    case("clip-above", "Clip", constants=(None, np.float32(0.6)))
    for op in ("Add", "Sub", "Mul", "Div", "Min", "Max", "PRelu"):
        case(op.lower() + "-channel", op, constants=(w(3, 1, 1),))
    case("add-row", "Add", constants=(w(11),))
    case("add-number", "Add", constants=(np.float32(2),))
    case("mul-larger", "Mul", constants=(w(1, 1, 3, 1, 11),))
    case("mul-column", "Mul", constants=(w(9, 1),))
    case("pow-2", "Pow", constants=(np.float32(2),))
    case("pow-3", "Pow", constants=(np.float32(3),))
    case("pow-integer", "Pow", constants=(ints(4),))
    case("greater", "Greater", constants=(np.float32(0.2),), cast=True)
    case("matmul", "MatMul", constants=(w(11, 6),))
    case("matmul-batched", "MatMul", constants=(w(3, 11, 6),))
    case("matmul-column", "MatMul", constants=(w(11),))
    for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2"):
        case(op.lower(), op, axes=[2, 3])
        case(op.lower() + "-18", op, constants=(ints(-1, 1),), keepdims=0, opset=18)
    case("reducesum", "ReduceSum", constants=(ints(1),))
    case("transpose", "Transpose", perm=[0, 2, 3, 1])
    case("transpose-back", "Transpose", perm=[0, 3, 1, 2])
    case("reshape", "Reshape", constants=(ints(0, -1, 11),))
    case("flatten", "Flatten", axis=-3)
    case("squeeze", "Squeeze", shape=(1, 3, 1, 5), constants=(ints(2),))
    case("squeeze-11", "Squeeze", shape=(1, 3, 1, 5), axes=[2], opset=11)
    case("unsqueeze", "Unsqueeze", constants=(ints(1, -1),))
    case("expand", "Expand", shape=(1, 3, 1, 5), constants=(ints(1, 1, 4, 5),))
    case("slice", "Slice", constants=(ints(1, -8), ints(2**62, -2), ints(1, 3), ints(1, 3)))
    case("slice-back", "Slice", constants=(ints(-1,), ints(-2**62,), ints(2,), ints(-2,)))
    case("gather", "Gather", constants=(np.array([[2, 0], [-1, 1]], np.int64),), axis=2)
    case("tile", "Tile", constants=(ints(1, 2, 1, 2),))
    case("pad-constant", "Pad", constants=(ints(0, 0, 1, 2, 0, 0, 3, 0), np.float32(0.5)))
    case("pad-reflect", "Pad", constants=(ints(0, 0, 1, 2, 0, 0, 3, 4),), mode="reflect")
    case("pad-edge", "Pad", constants=(ints(0, 0, 1, 2, 0, 0, 3, 4),), mode="edge")
    case("pad-negative", "Pad", constants=(ints(0, 0, -1, 2, 0, 0, -2, -3),))
    case("pad-axes", "Pad", constants=(ints(1, 2), np.float32(0), ints(3)), opset=18)
    case("depth-to-space", "DepthToSpace", shape=(1, 8, 3, 4), blocksize=2)
    case("depth-to-space-crd", "DepthToSpace", shape=(1, 8, 3, 4), blocksize=2, mode="CRD")
    case("space-to-depth", "SpaceToDepth", shape=(1, 2, 6, 4), blocksize=2)
    joined()
    quantized()
    for n, strides in (("divides", [2, 5]), ("leaves-some", [3, 2]), ("rows", [2, 1]), ("columns", [1, 2])):  # of 9 x 11 pixels
        conv("1x1-uneven-" + n, w(17, 3, 1, 1), w(17), strides=strides)
    conv("1x1-cut", w(4, 3, 1, 1), strides=[4, 3], shape=(2, 3, 10, 12))
    conv("1x1-grouped-uneven", w(6, 2, 1, 1), group=3, strides=[4, 2], shape=(2, 6, 10, 12))
    conv("1x1-padded-uneven", w(4, 3, 1, 1), strides=[3, 2], pads=[1, 0, 0, 1])
    conv("1x1-padded-behind", w(4, 3, 1, 1), pads=[0, 0, 1, 2])
    case("mod", "Mod", constants=(w(3, 1, 1),), fmod=1)
    for fmod in (0, 1):  # of whole numbers of both signs
        graph(f"mod-whole-{fmod}", [helper.make_node("Mul", ["x", "ten"], ["t"]), helper.make_node("Cast", ["t"], ["i"], to=TensorProto.INT64),
                                    helper.make_node("Mod", ["i", "by"], ["m"], fmod=fmod), helper.make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT)],
              [numpy_helper.from_array(np.float32(10), "ten"), numpy_helper.from_array(ints(3, -3, 4, -5, 1), "by")], (1, 3, 4, 5), 17)
    n = helper.make_node
    for dtype in (TensorProto.INT8, TensorProto.INT16):
        graph(f"quantize-output-dtype-{dtype}", [n("QuantizeLinear", ["x", "s"], ["q"], output_dtype=dtype), n("DequantizeLinear", ["q", "s"], ["y"])],
              [numpy_helper.from_array(np.float32(0.006), "s")], (1, 3, 5, 7), 21)
    graph("quantized-convolution-output-dtype", [n("QuantizeLinear", ["x", "s"], ["q"], output_dtype=TensorProto.INT8), n("DequantizeLinear", ["q", "s"], ["d"]),
                                                 n("DequantizeLinear", ["w", "s"], ["f"]), n("Conv", ["d", "f"], ["c"]), n("QuantizeLinear", ["c", "t", "z"], ["p"]), n("DequantizeLinear", ["p", "t", "z"], ["y"])],
          [numpy_helper.from_array(np.float32(1 / 128), "s"), numpy_helper.from_array(rng.integers(-128, 128, (4, 3, 1, 1)).astype(np.int8), "w"),
           numpy_helper.from_array(np.float32(1 / 16), "t"), numpy_helper.from_array(np.int8(3), "z")], (1, 3, 5, 7), 21)
    (here / "operators.json").write_text(json.dumps(cases, separators=(",", ":")) + "\n")
    print(len(cases), (here / "operators.json").stat().st_size)


def joined():
    n = helper.make_node
    graph("split-concat", [n("Split", ["x"], ["a", "b"], axis=3), n("Concat", ["b", "a", "b"], ["y"], axis=1)], [], (1, 3, 4, 6), 11)
    graph("split-sizes", [n("Split", ["x", "s"], ["a", "b"], axis=3), n("Concat", ["b", "a"], ["y"], axis=-1)], [numpy_helper.from_array(ints(2, 9), "s")], (1, 3, 4, 11), 13)
    graph("split-18", [n("Split", ["x"], ["a", "b", "c"], axis=3, num_outputs=3), n("Concat", ["c", "a"], ["y"], axis=-1)], [], (1, 3, 4, 11), 18)
    # a shape computed as torch's exporter writes it
    graph("shape-chain", [n("Shape", ["x"], ["s"]), n("Gather", ["s", "zero"], ["b"], axis=0), n("Unsqueeze", ["b", "axis"], ["u"]),
                          n("Concat", ["u", "rest"], ["t"], axis=0), n("Reshape", ["x", "t"], ["y"])],
          [numpy_helper.from_array(np.array(0, np.int64), "zero"), numpy_helper.from_array(ints(0), "axis"), numpy_helper.from_array(ints(-1, 11), "rest")], (1, 3, 9, 11), 13)
    graph("gemm", [n("Flatten", ["x"], ["f"]), n("Gemm", ["f", "w", "c"], ["y"], transB=1, alpha=0.5, beta=2.0)],
          [numpy_helper.from_array(w(5, 12), "w"), numpy_helper.from_array(w(5), "c")], (1, 3, 2, 2), 13)
    graph("gemm-transposed", [n("Flatten", ["x"], ["f"]), n("Transpose", ["f"], ["g"]), n("Gemm", ["g", "w"], ["z"], transA=1),
                              n("Unsqueeze", ["z", "axis"], ["y"])],
          [numpy_helper.from_array(w(12, 5), "w"), numpy_helper.from_array(ints(1), "axis")], (1, 3, 2, 2), 13)
    graph("reciprocal", [n("Add", ["x", "two"], ["a"]), n("Reciprocal", ["a"], ["r"]), n("Log", ["r"], ["l"]), n("Neg", ["l"], ["p"]), n("Sqrt", ["p"], ["y"])],
          [numpy_helper.from_array(np.float32(2.5), "two")], (1, 3, 5, 7), 13)
    graph("matmul-both", [n("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]), n("MatMul", ["x", "t"], ["y"])], [], (1, 3, 5, 7), 13)
    graph("where", [n("Greater", ["x", "half"], ["g"]), n("Not", ["g"], ["h"]), n("Where", ["h", "x", "half"], ["y"])], [numpy_helper.from_array(np.float32(0.3), "half")], (1, 3, 5, 7), 13)
    graph("range", [n("Shape", ["x"], ["s"]), n("Gather", ["s", "three"], ["w"], axis=0), n("Range", ["zero", "w", "one"], ["r"]), n("Cast", ["r"], ["f"], to=TensorProto.FLOAT),
                    n("Add", ["x", "f"], ["y"])], [numpy_helper.from_array(np.array(i, np.int64), k) for i, k in ((0, "zero"), (1, "one"), (3, "three"))], (1, 3, 5, 7), 13)
    graph("constants", [n("Constant", [], ["a"], value_floats=[1.0, 2.0, 3.0, 4.0]), n("Constant", [], ["k"], value_ints=[4]),
                        n("ConstantOfShape", ["k"], ["o"], value=numpy_helper.from_array(np.array([0.5], np.float32))), n("Mul", ["a", "o"], ["m"]), n("Add", ["x", "m"], ["y"])], [], (1, 3, 2, 4), 13)


def quantized():
    n = helper.make_node
    for dtype, zero in ((np.int8, -3), (np.uint8, 120)):
        graph(f"quantize-{np.dtype(dtype).name}", [n("QuantizeLinear", ["x", "s", "z"], ["q"]), n("DequantizeLinear", ["q", "s", "z"], ["y"])],
              [numpy_helper.from_array(np.float32(0.006), "s"), numpy_helper.from_array(np.array(zero, dtype), "z")], (1, 3, 5, 7), 13)
    graph("quantize-channels", [n("QuantizeLinear", ["x", "s", "z"], ["q"], axis=1), n("DequantizeLinear", ["q", "s", "z"], ["y"], axis=1)],
          [numpy_helper.from_array(np.array([0.01, 0.02, 0.003], np.float32), "s"), numpy_helper.from_array(np.array([0, 5, -7], np.int8), "z")], (1, 3, 5, 7), 13)
    graph("dequantized-weights", [n("DequantizeLinear", ["w", "s", "z"], ["d"], axis=0), n("Conv", ["x", "d"], ["y"])],
          [numpy_helper.from_array(rng.integers(-128, 128, (4, 3, 3, 3)).astype(np.int8), "w"), numpy_helper.from_array(np.abs(w(4)), "s"),
           numpy_helper.from_array(np.zeros(4, np.int8), "z")], (1, 3, 9, 11), 13)


main()
