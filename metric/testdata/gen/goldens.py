"""Goldens for metric_test.go: image figures by scikit-learn, pixel figures by brute force over every distinct threshold.

numpy 2.4.6, scipy, scikit-learn 1.9.1. Usage: python goldens.py ..
"""

import json
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

rng = np.random.default_rng(7)
out = Path(sys.argv[1])


def f1max(y, s):
    p, r, _ = precision_recall_curve(y, s)
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(2 * p * r / (p + r)))


image = []
for n, ties in [(4, 0), (50, 0), (200, 5), (300, 2), (30, 1)]:
    y = rng.random(n) < 0.4
    y[:2] = [True, False]
    s = rng.normal(size=n) + y
    if ties:
        s = np.round(s * ties) / ties
    image.append({"Scores": s.tolist(), "Anomalous": y.tolist(), "AUROC": roc_auc_score(y, s), "AP": average_precision_score(y, s), "F1Max": f1max(y, s)})
image.append({"Scores": [1.0] * 6, "Anomalous": [True, False] * 3, "AUROC": 0.5, "AP": 0.5, "F1Max": 2 / 3})
(out / "image.json").write_text(json.dumps(image))


def aupro(maps, masks, limit):
    """Per-region overlap as a function of the false-positive rate, at every distinct score (Bergmann et al. 2021, 6.2)."""
    regions, good = [], []
    for m, k in zip(maps, masks):
        k = np.zeros(m.shape, bool) if k is None else k
        labels, n = ndimage.label(k, structure=np.ones((3, 3)))
        regions += [m[labels == i] for i in range(1, n + 1)]
        good.append(m[~k])
    good = np.concatenate(good)
    xs, ys = [0.0], [0.0]
    for t in np.unique(np.concatenate([good] + regions))[::-1]:
        xs.append((good >= t).mean())
        ys.append(np.mean([(r >= t).mean() for r in regions]))
    xs, ys = np.array(xs), np.array(ys)
    area = 0.0
    for i in range(1, len(xs)):
        x0, x1, y0, y1 = xs[i - 1], xs[i], ys[i - 1], ys[i]
        if x0 >= limit:
            break
        if x1 > limit:
            y1 = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            x1 = limit
        area += (x1 - x0) * (y0 + y1) / 2
    return area / limit


def figures(maps, masks):
    s = np.concatenate([m.ravel() for m in maps]).astype(np.float64)
    y = np.concatenate([(np.zeros(m.shape, bool) if k is None else k).ravel() for m, k in zip(maps, masks)])
    return {
        "AUROC": roc_auc_score(y, s), "AP": average_precision_score(y, s), "F1Max": f1max(y, s),
        "AUPRO": aupro(maps, masks, 0.3), "AUPRO05": aupro(maps, masks, 0.05),
    }


pixels = []
for w, h, ties in [(9, 7, 0), (16, 12, 8), (20, 20, 2), (12, 10, 0)]:
    maps, masks, kinds = [], [], []
    for i in range(8):
        m = rng.normal(size=(h, w)).astype(np.float32)
        kind, mask = "good", None
        if i % 3:
            kind = ["crack", "spot"][i % 2]
            mask = ndimage.gaussian_filter(rng.normal(size=(h, w)), 1.2) > 0.25
            mask[0, 0] = True
            m = (m + mask * rng.uniform(0.3, 1.5)).astype(np.float32)
        if ties:
            m = (np.round(m * ties) / ties).astype(np.float32)
        maps.append(m), masks.append(mask), kinds.append(kind)
    pick = lambda kind: [i for i in range(len(kinds)) if kinds[i] in ("good", kind)]
    pixels.append({
        "Width": w, "Height": h, "Kinds": kinds,
        "Maps": [m.ravel().tolist() for m in maps],
        "Masks": [None if k is None else k.ravel().astype(int).tolist() for k in masks],
        "All": figures(maps, masks),
        "ByKind": {kind: figures([maps[i] for i in pick(kind)], [masks[i] for i in pick(kind)]) for kind in ("crack", "spot")},
    })
(out / "pixels.json").write_text(json.dumps(pixels))
