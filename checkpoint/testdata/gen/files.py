"""Small real files for checkpoint_test.go, and what they hold, in goldens.json.

torch 2.15.0, safetensors 0.8.0, onnx 1.23.2, numpy 2.4.6. Usage: python files.py ..
"""

import json
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

out = Path(sys.argv[1])
torch.manual_seed(3)

base = torch.arange(24, dtype=torch.float32).reshape(4, 6) / 7
state = OrderedDict(
    [
        ("conv.weight", torch.randn(2, 3, 2, 2)),
        ("f64", torch.tensor([1.5, -2.25, 1e-3], dtype=torch.float64)),
        ("f16", torch.tensor([0.1, -65504.0, 6e-8], dtype=torch.float16)),
        ("bf16", torch.tensor([0.1, 3e38, -1.0], dtype=torch.bfloat16)),
        ("i64", torch.tensor([1, -2, 1 << 40])),
        ("i32", torch.tensor([[7, -8]], dtype=torch.int32)),
        ("i16", torch.tensor([300, -300], dtype=torch.int16)),
        ("i8", torch.tensor([-128, 127], dtype=torch.int8)),
        ("u8", torch.tensor([0, 255], dtype=torch.uint8)),
        ("bool", torch.tensor([True, False, True])),
        ("scalar", torch.tensor(4.5)),
        ("empty", torch.zeros(0, 3)),
        ("transposed", base.t()),
        ("slice", base[1:3, 2:5]),
        ("shared.a", base),
        ("shared.b", base.view(-1)[5:9]),
        ("parameter", torch.nn.Parameter(torch.tensor([1.0, 2.0]))),
    ]
)
state._metadata = OrderedDict([("", {"version": 1})])


def describe(tensors):
    return {k: {"shape": list(v.shape), "values": [float(x) for x in v.detach().reshape(-1).to(torch.float64).to(torch.float32)]} for k, v in tensors.items()}


goldens = {}


def torch_file(name, obj, tensors, **how):
    torch.save(obj, out / name, **how)
    goldens[name] = describe(tensors)


torch_file("state.zip.pth", state, state)
torch_file("state.legacy.pth", state, state, _use_new_zipfile_serialization=False)
some = {"a": state["scalar"], "b": state["f64"]}
wrapped = {"epoch": 3, "lr": 0.1, "note": "text", "state_dict": OrderedDict(some), "optimizer": {"state": {0: {"m": torch.ones(2)}}, "groups": [{"lr": 0.1}]}}
torch_file("wrapped.pth", wrapped, some)
nested = {"x": {"y": [state["i8"], (state["u8"], None)]}, "big": 10**30, "z": state["bool"]}
torch_file("nested.legacy.pth", nested, {"x.y.0": state["i8"], "x.y.1.0": state["u8"], "z": state["bool"]}, _use_new_zipfile_serialization=False)
for protocol in (3, 4, 5):
    torch_file(f"protocol{protocol}.pth", some, some, pickle_protocol=protocol)

contiguous = {k: v.detach().contiguous().clone() for k, v in state.items() if k != "empty"}
save_file(contiguous, out / "state.safetensors", metadata={"format": "pt", "note": "hello"})
goldens["state.safetensors"] = describe(contiguous)

values = np.array([[1.5, -2.0, 3.25]], np.float32)
initializers = [
    helper.make_tensor("raw", TensorProto.FLOAT, [1, 3], values.tobytes(), raw=True),
    helper.make_tensor("floats", TensorProto.FLOAT, [3, 1], values.ravel().tolist()),
    helper.make_tensor("doubles", TensorProto.DOUBLE, [3], values.ravel().tolist()),
    helper.make_tensor("longs", TensorProto.INT64, [2], [5, -6]),
    helper.make_tensor("half", TensorProto.FLOAT16, [3], values.ravel().astype(np.float16).tolist()),
    helper.make_tensor("bytes", TensorProto.INT8, [2], np.array([-1, 2], np.int8).tobytes(), raw=True),
    helper.make_tensor("scalar", TensorProto.FLOAT, [], [7.0]),
]
graph = helper.make_graph(
    [helper.make_node("Add", ["raw", "raw"], ["y"])], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])], initializer=initializers
)
model = helper.make_model(graph)
onnx.save(model, str(out / "model.onnx"))
flat = [1.5, -2.0, 3.25]
goldens["model.onnx"] = {
    "raw": {"shape": [1, 3], "values": flat}, "floats": {"shape": [3, 1], "values": flat}, "doubles": {"shape": [3], "values": flat},
    "longs": {"shape": [2], "values": [5, -6]}, "half": {"shape": [3], "values": flat}, "bytes": {"shape": [2], "values": [-1, 2]},
    "scalar": {"shape": [], "values": [7]},
}
initializers[0].data_location = TensorProto.EXTERNAL
external = helper.make_model(helper.make_graph(graph.node, "g", [], graph.output, initializer=initializers))
(out / "external.onnx").write_bytes(external.SerializeToString())


class Evil:
    def __init__(self, f, args):
        self.f, self.args = f, args

    def __reduce__(self):
        return self.f, self.args


import os

for name, f in [("system", os.system), ("eval", eval)]:
    torch.save({"w": torch.ones(1), "x": Evil(f, ("echo pwned",))}, out / f"evil.{name}.pth")
torch.save({"w": torch.ones(1), "x": np.float64(3)}, out / "evil.numpy.pth")
torch.save({"w": torch.ones(1), "x": Evil(os.system, ("echo pwned",))}, out / "evil.legacy.pth", _use_new_zipfile_serialization=False)
(out / "goldens.json").write_text(json.dumps(goldens))
