"""Goldens of embed, padim and knn, on feature maps by the formula of detecttest.Given.

numpy 2.4.6, torch 2.15.0, anomalib 2.7.0; everything in float64. Usage: python goldens.py ../../../..

Each figure is computed from the papers here, and held to anomalib's own code where that does the same. It does not in these points:
PaDiM's deeper maps are repeated instead of resized bilinearly, and its covariances get 1e-5·I more than the paper's 0.01·I.
"""

import json
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from anomalib.models.components import KCenterGreedy
from anomalib.models.components.stats import MultiVariateGaussian
from anomalib.models.image.padim.anomaly_map import AnomalyMapGenerator as PadimMap
from anomalib.models.image.patchcore.torch_model import PatchcoreModel

torch.set_default_dtype(torch.float64)
root = Path(sys.argv[1])


def noise(pattern, n):
    x = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(pattern * 40503 % 2**32)
    x ^= x >> np.uint32(15)
    x *= np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    x *= np.uint32(3266489917)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2**23 - 1


def features(number, height, width, taps):
    maps = []
    for k, (channels, stride) in enumerate(taps):
        h, w = height // stride, width // stride
        n = channels * h * w
        m = (noise(k, n) / 2 + noise(100 + number * 10 + k, n) / 2).reshape(channels, h, w)
        if number >= 100:
            m[:, h // 2 - 1 : h // 2 + 1, w // 2] += 1.5
        maps.append(torch.from_numpy(m.astype(np.float32).astype(np.float64))[None])
    return maps


def resize(m, size):
    return F.interpolate(m, size=size, mode="bilinear", align_corners=False)


def concat(maps):
    return torch.cat([resize(m, maps[0].shape[-2:]) for m in maps], 1)


def digits(a):
    return [float(f"{v:.8g}") for v in np.asarray(a, np.float64).ravel()]


def write(name, golden):
    path = root / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(golden) + "\n")


def embeddings(maps):
    """PatchCore's patches (h·w, C) of a picture, by anomalib's pooling and joining."""
    model = PatchcoreModel(["layer1", "layer2", "layer3"][: len(maps)], "resnet18", pre_trained=False)
    pooled = {layer: model.feature_pooler(m) for layer, m in zip(model.layers, maps)}
    joined = model.generate_embedding(pooled)
    assert torch.allclose(joined, concat([F.avg_pool2d(m, 3, 1, 1, count_include_pad=True) for m in maps]), atol=1e-14)
    return model.reshape_embedding(joined)


def greedy(points, m, first):
    """Greedy k-centre, as defined; no choice may be so close that rounding decides it."""
    nearest = np.full(len(points), np.inf)
    chosen = [first]
    while len(chosen) < m:
        nearest = np.minimum(nearest, np.linalg.norm(points - points[chosen[-1]], axis=1))
        second, best = np.sort(nearest)[-2:]
        assert best - second > 2e-6 * best, (len(chosen), best, second)
        chosen.append(int(nearest.argmax()))
    # without its random projection, which anomalib leaves out for points of more than one axis, and from a given start
    with mock.patch("torch.randint", lambda **_: torch.tensor([first])):
        peer = KCenterGreedy(torch.from_numpy(points)[:, :, None], m / len(points) + 1e-9).select_coreset_idxs()
    assert peer == chosen
    return chosen


def write_embed():
    cases = []
    for height, width, taps in [(20, 28, [[3, 4], [2, 8], [2, 20]]), (7, 30, [[2, 5]]), (4, 4, [[2, 4], [1, 2]]), (40, 9, [[1, 8], [2, 3]])]:
        maps = features(3, height, width, taps)
        cases.append({"Height": height, "Width": width, "Taps": taps, "Patches": digits(embeddings(maps))})
    write("detect/embed/testdata/patches.json", cases)


def write_padim():
    cases = []
    for what, taps, train, dims, epsilon, tests in [
        ("paper, pictures of many sizes", [[5, 4], [7, 8]], [[26, 34], [34, 26], [16, 24], [27, 35], [30, 30], [22, 38]], None, 0.01,
         [(20, 26, 34), (100, 27, 31), (101, 40, 20)]),
        ("paper, dimensions drawn", [[5, 4], [7, 8]], [[27, 19]] * 9, DIMS, 0.01, [(20, 27, 19), (100, 27, 19)]),
        ("paper, one picture", [[3, 4]], [[17, 21]], None, 0.5, [(100, 17, 21)]),
        ("anomalib", [[6, 4]], [[26, 22]] * 5, None, 0.01 + 1e-5, [(20, 26, 22), (100, 26, 22)]),
    ]:
        height, width = (sorted(s)[len(s) // 2] for s in zip(*train))
        grid = (height // taps[0][1], width // taps[0][1])

        def embed(number, h, w):
            x = resize(concat(features(number, h, w, taps)), grid)
            return x if dims is None else x[:, dims]

        x = torch.cat([embed(i, *size) for i, size in enumerate(train)])
        n, d = x.shape[:2]
        flat = x.reshape(n, d, -1).numpy()
        mean = flat.mean(0)
        inverse = []
        for p in range(flat.shape[2]):
            delta = flat[:, :, p] - mean[:, p]
            inverse.append(np.linalg.inv(delta.T @ delta / max(n - 1, 1) + epsilon * np.eye(d)))  # eq. 1
        blur = PadimMap(sigma=2).blur
        blur.kernel = blur.kernel.double()
        pictures = []
        for number, h, w in tests:
            e = embed(number, h, w)
            delta = e.reshape(d, -1).numpy() - mean
            distances = np.sqrt([delta[:, p] @ inverse[p] @ delta[:, p] for p in range(delta.shape[1])])  # eq. 2
            sharp = resize(torch.from_numpy(distances).reshape(1, 1, *grid), (h, w))
            blurred = blur(sharp)
            if what == "anomalib":
                generator = PadimMap(sigma=2)
                generator.blur = blur
                fitted = MultiVariateGaussian().fit(x)
                peer = generator(embedding=e, mean=fitted[0], inv_covariance=fitted[1], image_size=(h, w))
                assert torch.allclose(peer, blurred, rtol=1e-12)
            pictures.append({
                "Number": number, "Height": h, "Width": w, "Score": float(blurred.max()), "Sharp": digits(sharp), "Blurred": digits(blurred.ravel()[::4]),
            })
        cases.append({
            "Name": what, "Taps": taps, "Train": train, "Seed": 5, "Dimensions": dims, "Regularization": epsilon,
            "Grid": grid, "Mean": digits(mean.T), "Pictures": pictures,
        })
    write("detect/padim/testdata/golden.json", cases)


def write_coreset():
    cases = []
    for n, dim, m, first in [(3000, 24, 300, 17), (700, 3, 120, 0)]:
        points = noise(1000 + dim, n * dim).reshape(n, dim)
        cases.append({"N": n, "Dim": dim, "First": first, "Chosen": greedy(points, m, first)})
    write("knn/testdata/coreset.json", cases)


# What Go draws from seed 5: the first 7 of rand.New(rand.NewPCG(5, 0)).Perm(12), sorted.
DIMS = [2, 3, 6, 7, 8, 9, 10]

write_embed()
write_padim()
write_coreset()
