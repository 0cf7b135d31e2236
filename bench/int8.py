"""The peer's side of the int8 comparison: ONNX Runtime on a quantised network and on its float form, without QuantizeLinear and
DequantizeLinear, kept warm in one process.

Started as: int8.py QUANTISED FLOAT. It writes the float network to FLOAT, says so with a line of JSON, and then reads and answers lines as
inference.py does; "work" is int8 or float. onnxruntime 1.32.0, onnx 1.23.2.
"""

import json
import sys
import time

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

PAUSE = 0.04
quantised, plain = sys.argv[1:]


def without_levels(model):
    """The network of floats: weights dequantised, and every other QuantizeLinear and DequantizeLinear gone."""
    constants = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    names, nodes, weights = {}, [], {}
    for n in model.graph.node:
        if n.op_type == "DequantizeLinear" and n.input[0] in constants:
            q, s, z = (constants[x] for x in n.input)
            shape = [-1] + [1] * (q.ndim - 1) if s.ndim else []
            weights[n.output[0]] = ((q.astype(np.float32) - z.reshape(shape)) * s.reshape(shape)).astype(np.float32)
        elif n.op_type in ("QuantizeLinear", "DequantizeLinear"):
            names[n.output[0]] = names.get(n.input[0], n.input[0])
        else:
            n.input[:] = [names.get(x, x) for x in n.input]
            nodes.append(n)
    for o in model.graph.output:
        o.name = names.get(o.name, o.name)
    graph = onnx.helper.make_graph(nodes, "float", model.graph.input, model.graph.output, [numpy_helper.from_array(v, k) for k, v in weights.items()])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=7)


onnx.save(without_levels(onnx.load(quantised)), plain)
print(json.dumps({"float": plain}), flush=True)
ready = {}
x = np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)
for line in sys.stdin:
    job = json.loads(line)
    key = job["work"], job["threads"]
    if key not in ready:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = job["threads"], 3
        ready[key] = ort.InferenceSession(quantised if job["work"] == "int8" else plain, options, providers=["CPUExecutionProvider"])
    session = ready[key]
    feed = {session.get_inputs()[0].name: x}
    session.run(None, feed)
    ms = []
    for _ in range(job["runs"]):
        time.sleep(PAUSE)
        start = time.perf_counter()
        session.run(None, feed)
        ms.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"ms": ms}), flush=True)
