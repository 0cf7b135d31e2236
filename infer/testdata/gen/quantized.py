"""Notes what ONNX Runtime computes with the quantised ResNet-18 of the shared weights, which are not part of the repository.

Made with onnxruntime 1.32.0 on a CPU, optimisations off: QuantizeLinear and DequantizeLinear as they stand. With all optimisations on
(integer arithmetic) it gives the same numbers. Run in this folder: python quantized.py SHARED/weights/resnet18_layer2_layer3_int8_qdq.onnx.
"""
import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

here = pathlib.Path(__file__).parent.parent
values = ["relu_8_DequantizeLinear_Output", "relu_22_DequantizeLinear_Output", "relu_43", "relu_64"]
model = onnx.load(sys.argv[1])
known = {o.name for o in model.graph.output}
for v in values:
    if v not in known:
        model.graph.output.append(onnx.ValueInfoProto(name=v))
options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
i = np.arange(3 * 224 * 224, dtype=np.float64)
x = np.sin(0.37 * i + 1.3 * np.sin(0.011 * i)).astype(np.float32).reshape(1, 3, 224, 224)
taps = {}
for name, out in zip(values, session.run(values, {session.get_inputs()[0].name: x})):
    flat = out.astype(np.float64).ravel()
    step = len(flat) // 1500
    levels = np.unique(flat)
    taps[name] = {"level": float(np.diff(levels).min()), "shape": list(out.shape), "step": step, "values": [float(f"{v:.8g}") for v in flat[::step]]}
(here / "quantized.json").write_text(json.dumps(taps) + "\n")
