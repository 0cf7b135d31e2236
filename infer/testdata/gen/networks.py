"""Exports tiny networks with random weights to ONNX and notes what ONNX Runtime computes with them.

Made with torch 2.15.0, torchvision 0.29.2, timm 1.0.31, onnx 1.23.2, onnxruntime 1.32.0, onnxscript 0.7.2 on a CPU.
Run in this folder: python networks.py. It writes ../onnx/*.onnx and ../networks.json.
"""
import json
import pathlib
import warnings

import numpy as np
import onnx
import onnxruntime
import timm.layers
import timm.models.convnext
import timm.models.efficientnet
import timm.models.resnet
import timm.models.vision_transformer
import torch
import torchvision
from torch import nn
from torchvision.models import mobilenetv2, mobilenetv3, vgg

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
here = pathlib.Path(__file__).parent.parent
golden = []


def picture(shape):
    """The same in Go: sin(0.37·i + 1.3·sin(0.011·i)) in float64, rounded to float32."""
    i = np.arange(int(np.prod(shape)), dtype=np.float64)
    return np.sin(0.37 * i + 1.3 * np.sin(0.011 * i)).astype(np.float32).reshape(shape)


def randomise(model):
    """Weights and statistics that no layer is blind to."""
    torch.manual_seed(7)
    for m in model.modules():
        if isinstance(m, (nn.BatchNorm2d, nn.LayerNorm)) or hasattr(m, "running_mean"):
            nn.init.uniform_(m.weight, 0.7, 1.3)
            nn.init.uniform_(m.bias, -0.3, 0.3)
            if getattr(m, "running_mean", None) is not None:
                nn.init.uniform_(m.running_mean, -0.3, 0.3)
                nn.init.uniform_(m.running_var, 0.5, 1.5)
        elif isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_uniform_(m.weight)
            if m.bias is not None:
                nn.init.uniform_(m.bias, -0.2, 0.2)
        for name in ("gamma",):  # ConvNeXt's layer scale begins near zero
            if isinstance(getattr(m, name, None), nn.Parameter):
                nn.init.uniform_(getattr(m, name), 0.5, 1.5)
    return model.eval()


def sampled(value, count=300):
    flat = value.astype(np.float64).ravel()
    step = max(1, len(flat) // count)
    return {"shape": list(value.shape), "step": step, "values": [float(f"{v:.8g}") for v in flat[::step]]}


def export(name, model, shape, opset, taps=(), dynamo=False, dynamic=False, fused=False, run=None):
    """taps are node-name parts, as Blemish resolves them; the first output is always compared. run is another input shape."""
    randomise(model)
    path = here / "onnx" / f"{name}.onnx"
    options = {"dynamo": dynamo}
    if dynamic:
        options["dynamic_axes"] = {"input": {0: "n", 2: "h", 3: "w"}}
    if dynamo:
        options["external_data"] = False
    torch.onnx.export(model, (torch.from_numpy(picture(shape)),), str(path), opset_version=opset, input_names=["input"], output_names=["output"], **options)
    m = onnx.load(path)
    if dynamo:  # notes on where each node comes from are most of the file
        for node in m.graph.node:
            del node.metadata_props[:]
        del m.graph.value_info[:]
        m.doc_string = ""
        onnx.save(m, path)
    m = onnx.load(path)
    values = {"output": "output"}
    for tap in taps:
        values[tap] = [n.output[0] for n in m.graph.node if tap in n.name.split("/")][-1]
    wide = onnx.ModelProto()
    wide.CopyFrom(m)
    known = {o.name for o in wide.graph.output}
    for v in values.values():
        if v not in known:
            wide.graph.output.append(onnx.ValueInfoProto(name=v))
            known.add(v)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(wide.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shape = run or shape
    out = dict(zip(values, session.run(list(values.values()), {"input": picture(shape)})))
    actual = [o.version for o in m.opset_import if o.domain in ("", "ai.onnx")][0]
    golden.append({"name": name, "opset": actual, "input": list(shape), "fused": fused, "taps": {k: sampled(v) for k, v in out.items()}})
    print(f"{name}: opset {actual}, {path.stat().st_size} bytes, {sorted({n.op_type for n in m.graph.node})}")
    assert path.stat().st_size < 200_000, name


class Body(nn.Module):
    def __init__(self, *parts):
        super().__init__()
        self.body = nn.Sequential(*parts)

    def forward(self, x):
        return self.body(x)


def resnet(block, channels=(8, 12, 16, 20), **options):
    return timm.models.resnet.ResNet(block, [1, 2, 1, 1], channels=channels, stem_width=8, num_classes=5, **options)


def main():
    export("vgg", vgg.make_layers([8, "M", 12, 12, "M", 16], batch_norm=True), (1, 3, 32, 40), 11, fused=True)
    export("resnet", Body(*list(torch_resnet().children())[:-2]), (1, 3, 64, 48), 13, taps=["body.5", "body.6"], fused=True)
    export("resnet-head", resnet(timm.models.resnet.BasicBlock), (1, 3, 32, 32), 12, taps=["layer2", "layer3"])
    export("wide-resnet", resnet(timm.models.resnet.Bottleneck, channels=(4, 6, 8, 8), base_width=128), (2, 3, 40, 32), 17, taps=["layer2"])
    export("mobilenet-v2", mobilenetv2.MobileNetV2(num_classes=5, inverted_residual_setting=[[1, 8, 1, 1], [6, 8, 2, 2], [6, 16, 2, 2]]), (1, 3, 48, 48), 13, dynamic=True, run=(1, 3, 40, 64))
    v3 = mobilenetv3.InvertedResidualConfig
    export("mobilenet-v3", mobilenetv3.MobileNetV3([v3(16, 3, 16, 16, True, "RE", 2, 1, 1.0), v3(16, 5, 32, 24, False, "HS", 2, 1, 1.0), v3(24, 5, 48, 24, True, "HS", 1, 1, 1.0)], 32, num_classes=5),
           (1, 3, 48, 32), 14, taps=["features.2"])
    lite = timm.models.efficientnet._gen_efficientnet_lite("efficientnet_lite0", channel_multiplier=0.12, depth_multiplier=0.3)
    export("efficientnet-lite", Body(lite.conv_stem, lite.bn1, *lite.blocks[:5]), (1, 3, 64, 64), 11, fused=True)
    b0 = timm.models.efficientnet._gen_efficientnet("efficientnet_b0", channel_multiplier=0.12, depth_multiplier=0.3)
    export("efficientnet", Body(b0.conv_stem, b0.bn1, *b0.blocks[:5]), (1, 3, 64, 64), 16)
    export("convnext", timm.models.convnext.ConvNeXt(depths=(1, 1, 2, 1), dims=(8, 12, 16, 20), num_classes=5), (1, 3, 64, 64), 17)
    export("convnext-decomposed", timm.models.convnext.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 12, 12, 8), num_classes=5), (1, 3, 32, 32), 11)
    vit = lambda **o: timm.models.vision_transformer.VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3, num_classes=5, **o)
    export("vit", vit(), (1, 3, 32, 32), 17, taps=["blocks.0"])
    timm.layers.set_fused_attn(False)
    export("vit-decomposed", vit(qkv_bias=False), (1, 3, 32, 32), 11)
    timm.layers.set_fused_attn(True)
    export("vit-tanh", vit(act_layer=lambda: nn.GELU(approximate="tanh"), reg_tokens=2), (1, 3, 32, 32), 17)
    export("vit-dynamo", vit(), (1, 3, 32, 32), 18, dynamo=True)
    export("convnext-dynamo", timm.models.convnext.ConvNeXt(depths=(1, 1, 1, 1), dims=(8, 12, 12, 8), num_classes=5), (1, 3, 32, 32), 21, dynamo=True)
    export("resnet-dynamo", resnet(timm.models.resnet.BasicBlock), (1, 3, 32, 32), 20, dynamo=True)
    (here / "networks.json").write_text(json.dumps(golden) + "\n")


def torch_resnet():
    net = torchvision.models.resnet18()
    net.inplanes = 8
    net.conv1, net.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
    block = torchvision.models.resnet.BasicBlock
    net.layer1, net.layer2 = net._make_layer(block, 8, 1), net._make_layer(block, 16, 2, stride=2)
    net.layer3, net.layer4 = net._make_layer(block, 20, 1, stride=2), net._make_layer(block, 24, 1, stride=2)
    return net


if __name__ == "__main__":
    main()
