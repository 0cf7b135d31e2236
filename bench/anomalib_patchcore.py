"""The peer's side of the PatchCore comparison: anomalib's PatchcoreModel on a folder of pictures in MVTec AD layout.

Reads one JSON object from the command line and prints one JSON object:
  {"dir", "train": how many good pictures, "test": how many test pictures (0: all), "size", "backbone": timm name,
   "weights": .pth file with the backbone's tensors in timm's order, or null for seeded random weights,
   "save": file to write the random weights to, so that the other side can use the same,
   "layers": [...], "mean", "std": of the backbone's input, "coreset": ratio, "threads", "seed"}
Everything that anomalib does around the model (Lightning's loops, metrics, visualisation) is left out: it would only add time.
anomalib 2.7.0, timm 1.0.31, torch 2.15.0, scikit-learn 1.9.1.
"""

import json
import resource
import sys
import time
from pathlib import Path

start = time.perf_counter()
import numpy as np
import torch
from anomalib.metrics.aupro import _AUPRO as AUPRO
from anomalib.models.components.sampling import KCenterGreedy
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from PIL import Image
from sklearn.metrics import roc_auc_score

imported = time.perf_counter() - start


def load(path, size, mean, std):
    with Image.open(path) as picture:
        picture = picture.convert("RGB").resize((size, size), Image.BILINEAR)
    x = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1).float() / 255
    return ((x - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None])[None]


def tensors(path):
    return torch.load(path, map_location="cpu", weights_only=True)


def use_weights(model, path, seed, save):
    """Copies a file's tensors into the feature extractor by order: both list the same layers in the same sequence."""
    net = model.feature_extractor.feature_extractor
    if path is None:
        torch.manual_seed(seed)
        for module in net.modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
        if save:
            from safetensors.torch import save_file

            save_file({k: v.contiguous() for k, v in net.state_dict().items() if v.is_floating_point()}, save)
        return
    source = [(k, v) for k, v in tensors(path).items() if not k.endswith("num_batches_tracked")]
    target = [(k, v) for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")]
    with torch.no_grad():
        for (sk, sv), (tk, tv) in zip(source, target):
            if sv.shape != tv.shape:
                raise SystemExit(f"{sk} {tuple(sv.shape)} does not fit {tk} {tuple(tv.shape)}")
            tv.copy_(sv.float())


def main():
    job = json.loads(sys.argv[1])
    torch.set_num_threads(job["threads"])
    root = Path(job["dir"])
    model = PatchcoreModel(layers=job["layers"], backbone=job["backbone"], pre_trained=False)
    use_weights(model, job["weights"], job["seed"], job.get("save"))
    torch.manual_seed(job["seed"])
    prepare = lambda p: load(p, job["size"], job["mean"], job["std"])

    train = sorted((root / "train" / "good").iterdir())[: job["train"]]
    begin = time.perf_counter()
    model.train()
    model.feature_extractor.eval()
    with torch.no_grad():
        for path in train:
            model(prepare(path))
    embedded = time.perf_counter()
    bank = torch.vstack(model.embedding_store)
    model.embedding_store.clear()
    model.memory_bank = KCenterGreedy(embedding=bank, sampling_ratio=job["coreset"]).sample_coreset()
    fitted = time.perf_counter()
    patches = len(bank)
    del bank

    model.eval()
    test = sorted(p for p in (root / "test").glob("*/*"))
    if job["test"]:
        test = test[:: max(1, len(test) // job["test"])][: job["test"]]
    scores, labels, maps, masks = [], [], [], []
    in_model = 0.0
    began_test = time.perf_counter()
    with torch.no_grad():
        for path in test:
            x = prepare(path)
            t = time.perf_counter()
            out = model(x)
            in_model += time.perf_counter() - t
            scores.append(float(out.pred_score))
            kind = path.parent.name
            labels.append(kind != "good")
            mask_path = root / "ground_truth" / kind / f"{path.stem}_mask.png"
            if kind == "good" or mask_path.exists():
                mask = np.zeros((job["size"], job["size"]), bool)
                if mask_path.exists():
                    with Image.open(mask_path) as m:
                        mask = np.asarray(m.convert("L").resize((job["size"], job["size"]), Image.NEAREST)) > 0
                maps.append(out.anomaly_map[0, 0].numpy().copy())
                masks.append(mask)
    tested = time.perf_counter() - began_test
    result = {
        "import_s": imported,
        "embed_s": embedded - begin,
        "coreset_s": fitted - embedded,
        "fit_s": fitted - begin,
        "patches": patches,
        "coreset": len(model.memory_bank),
        "ms_per_image": 1e3 * tested / len(test),
        "ms_in_model": 1e3 * in_model / len(test),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "image_auroc": roc_auc_score(labels, scores),
    }
    if job.get("pixels"):
        result["pixel_auroc"] = roc_auc_score(np.concatenate([m.ravel() for m in masks]), np.concatenate([m.ravel() for m in maps]))
        aupro = AUPRO()
        for m, t in zip(maps, masks):
            aupro.update(torch.from_numpy(m)[None], torch.from_numpy(t)[None].int())
        result["aupro"] = float(aupro.compute())
    print(json.dumps(result))


main()
