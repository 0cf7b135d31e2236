"""The peers' side of the inference comparison: ONNX Runtime, PyTorch and faiss, kept warm in one process.

Reads one JSON object a line, {"work", "threads", "runs", "pause"} (or {"work", "export"}: a file to write the network to, as ONNX), and answers each with one line, {"ms": [...]}: milliseconds a run, after a pause
in which ONNX Runtime's workers stop spinning; runs without "pause" follow one another, behind some that are not timed. An object with "peer" chooses among several peers of a work. Weights are random: they serve for time.
onnxruntime 1.32.0, torch 2.15.0, torchvision 0.30.0, timm 1.0.31, faiss-cpu 1.13.
"""

import io
import json
import sys
import time

import numpy as np
import onnxruntime as ort
import torch

sys.stdout = open(1, "w", buffering=1)
PAUSE = 0.04
WARM = 0.05


class Features(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.forward_features(x)


def network(name):
    """A network's convolutional part, and its input."""
    import timm
    import torchvision.models as tv

    if name.startswith("conv "):
        channels, side = (int(v) for v in name.removeprefix("conv ").split("@"))
        return torch.nn.Conv2d(channels, channels, 3, padding=1), torch.randn(1, channels, side, side)
    if name == "vgg16":
        return tv.vgg16().features, torch.randn(8, 3, 64, 64)
    if name == "efficientnet-lite0":
        return timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(4,)), torch.randn(1, 3, 224, 224)
    if name == "mobilenet-v2":
        return tv.mobilenet_v2().features, torch.randn(1, 3, 224, 224)
    if name == "vit-s14":
        return Features(timm.create_model("vit_small_patch14_dinov2", img_size=224)), torch.randn(1, 3, 224, 224)
    if name == "mobilenet-v3":
        return tv.mobilenet_v3_large().features, torch.randn(1, 3, 224, 224)
    if name == "convnext-tiny":
        return Features(timm.create_model("convnext_tiny")), torch.randn(1, 3, 224, 224)
    full = {"resnet18": tv.resnet18, "resnet50": tv.resnet50, "wide-resnet50-2": tv.wide_resnet50_2}[name]()
    return torch.nn.Sequential(*list(full.children())[:-2]), torch.randn(1, 3, 224, 224)


def exported(name):
    torch.manual_seed(0)
    model, x = network(name)
    model.eval()
    file = io.BytesIO()
    torch.onnx.export(model, x, file, input_names=["x"], dynamo=False)
    return file, x


def onnx_runtime(name, threads):
    file, x = exported(name)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    feed = {"x": x.numpy()}
    return lambda: session.run(None, feed)


def neighbours(peer, threads):
    rng = np.random.default_rng(0)
    bank, queries = (rng.standard_normal((n, 384), dtype=np.float32) for n in (16384, 1024))
    if peer == "faiss":
        import faiss

        faiss.omp_set_num_threads(threads)
        index = faiss.IndexFlatL2(384)
        index.add(bank)
        return lambda: index.search(queries, 1)
    a, b = torch.from_numpy(queries), torch.from_numpy(bank)

    def run():
        torch.set_num_threads(threads)
        torch.cdist(a, b).min(dim=1)

    return run


ready = {}
for line in sys.stdin:
    job = json.loads(line)
    if "export" in job:
        with torch.no_grad(), open(job["export"], "wb") as f:
            f.write(exported(job["work"])[0].getvalue())
        print(json.dumps({"ms": []}))
        continue
    key = (job["work"], job.get("peer"), job["threads"])
    if key not in ready:
        ready.clear()
        with torch.no_grad():
            ready[key] = neighbours(job["peer"], job["threads"]) if job["work"] == "nearest" else onnx_runtime(job["work"], job["threads"])
        ready[key]()
    ms = []
    time.sleep(PAUSE)
    if not job["pause"]:
        end = time.perf_counter() + WARM
        while time.perf_counter() < end:
            ready[key]()
    for _ in range(job["runs"]):
        if job["pause"]:
            time.sleep(PAUSE)
        start = time.perf_counter()
        ready[key]()
        ms.append(1e3 * (time.perf_counter() - start))
    print(json.dumps({"ms": ms}))
