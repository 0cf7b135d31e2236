"""The peer's side of the PatchCore comparison as its users run it: anomalib's Engine, data module and metrics, without pictures drawn.

Reads the same JSON object as anomalib_patchcore.py from the command line (dir, train, test, size, backbone, layers, coreset, threads, seed,
save) and prints one JSON object. The backbone's weights are random: they serve for time, and are saved for the other side.
anomalib 2.7.0, timm 1.0.31, torch 2.15.0.
"""

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from anomalib.data import Folder
from anomalib.engine import Engine
from anomalib.models import Patchcore


def link(paths, folder):
    folder.mkdir(parents=True)
    for i, path in enumerate(paths):
        os.symlink(path.resolve(), folder / f"{i:04d}_{path.name}")


def main():
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    source = Path(job["dir"])
    with tempfile.TemporaryDirectory() as tmp:
        root = Path(tmp)
        link(sorted((source / "train" / "good").iterdir())[: job["train"]], root / "good")
        test = sorted((source / "test").glob("*/*"))
        test = test[:: max(1, len(test) // job["test"])][: job["test"]]
        link([p for p in test if p.parent.name == "good"], root / "good_test")
        link([p for p in test if p.parent.name != "good"], root / "defect")
        data = Folder(name="bench", root=root, normal_dir="good", normal_test_dir="good_test", abnormal_dir="defect",
                      train_batch_size=32, eval_batch_size=32, num_workers=0, val_split_mode="same_as_test", test_split_mode="from_dir")
        model = Patchcore(backbone=job["backbone"], layers=job["layers"], pre_trained=False, coreset_sampling_ratio=job["coreset"],
                          pre_processor=Patchcore.configure_pre_processor((job["size"], job["size"])), visualizer=False)
        net = model.model.feature_extractor.feature_extractor
        for module in net.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        if job.get("save"):
            from safetensors.torch import save_file

            save_file({k: v.contiguous() for k, v in net.state_dict().items() if v.is_floating_point()}, job["save"])
        engine = Engine(accelerator="cpu", devices=1, default_root_dir=root / "results", logger=False, enable_progress_bar=False)
        begin = time.perf_counter()
        engine.fit(model=model, datamodule=data)
        fitted = time.perf_counter()
        results = engine.test(model=model, datamodule=data, verbose=False)
        tested = time.perf_counter()
    print(json.dumps({
        "fit_s": fitted - begin,
        "ms_per_image": 1e3 * (tested - fitted) / len(test),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "image_auroc": results[0]["image_AUROC"],
    }))


main()
