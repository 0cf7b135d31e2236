"""Goldens of the detectors by neighbours, trees and support vectors: run in outlier/testdata/neighbours, for all files or those named. Besides the
data sets made here, they are of those of density.py, whose sets.json it reads.

scikit-learn 1.9.1, pyod 3.6.7, numpy, scipy; seeds below. Values of the data are rounded to three decimals, so that JSON holds them exactly.
"""

import json
import sys
import warnings

import numpy as np
from pyod.models.knn import KNN
from scipy.spatial.distance import cdist
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.svm import OneClassSVM

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20260)
tidy = lambda x: np.round(x, 3) + 0.0


def sets():
    normal = rng.normal(size=(150, 5))
    normal[:6] += 5
    yield "normal", normal, rng.normal(size=(15, 5)) * 2
    yield "ties", rng.integers(0, 5, size=(120, 2)), rng.integers(-1, 7, size=(15, 2))
    yield "duplicates", np.repeat(rng.normal(size=(6, 3)), [30, 1, 25, 22, 2, 10], axis=0), rng.normal(size=(15, 3))
    constant = rng.normal(size=(80, 4))
    constant[:, 1] = 3
    constant[:, 3] = 0
    yield "constant columns", constant, np.c_[rng.normal(size=15), np.full(15, 3), rng.normal(size=15), np.r_[np.zeros(10), np.ones(5)]]
    yield "more columns than rows", rng.normal(size=(12, 40)), rng.normal(size=(10, 40))
    yield "two rows", np.array([[0.0, 1, 2], [1, 1, 4]]), rng.normal(size=(6, 3))
    yield "far away", 1e4 + rng.normal(size=(100, 3)), 1e4 + rng.normal(size=(15, 3))
    yield "skewed", np.exp(rng.normal(size=(150, 4)) * 1.5), np.exp(rng.normal(size=(15, 4)) * 1.5)


data = [(name, tidy(x.astype(float)), tidy(q.astype(float))) for name, x, q in sets()]
with open("../density/sets.json") as f:
    shaped = lambda s, part: np.array(s[part]).reshape(-1, s["cols"])
    others = [("density/" + s["name"], shaped(s, "rows"), shaped(s, "queries")) for s in json.load(f)]


def write(name, value):
    with open(name, "w") as f:
        json.dump(value, f, separators=(",", ":"))
        f.write("\n")


write("sets.json", [{"name": n, "cols": x.shape[1], "rows": x.ravel().tolist(), "queries": q.ravel().tolist()} for n, x, q in data])


def lof():
    """scikit-learn leaves open which of equally near neighbours count. Distances given to it are tilted by 5e-16 an index: the lowest does."""
    out = []
    for name, x, q in data + others:
        for k in (3, 20):
            tilt = 1 + 5e-16 * np.arange(len(x))
            d, dq = cdist(x, x) * tilt, cdist(q, x) * tilt
            near = np.sort(cdist(x, x), axis=1)
            gap = near[:, min(k + 1, len(x) - 1)] / np.maximum(near[:, min(k, len(x) - 1)], 1e-300) - 1
            if ((gap > 0) & (gap < 1e-12)).any():
                continue  # rows of three decimals, equally near but for rounding: which of them counts is left open, too
            own = LocalOutlierFactor(k, metric="precomputed", contamination=0.1).fit(d)
            new = LocalOutlierFactor(k, metric="precomputed", novelty=True).fit(d)
            case = {"set": name, "k": k, "rank": (-own.negative_outlier_factor_).tolist(), "threshold": -own.offset_,
                    "score": (-new.score_samples(dq)).tolist(), "auto": -new.offset_}
            if name in ("normal", "skewed"):  # without ties: the usual way gives the same
                usual = LocalOutlierFactor(k, algorithm="kd_tree").fit(x)
                np.testing.assert_allclose(usual.negative_outlier_factor_, own.negative_outlier_factor_, rtol=1e-9)
            out.append(case)
    return out


def knn():
    out = []
    for name, x, q in data + others:
        for method in ("largest", "mean", "median"):
            m = KNN(n_neighbors=min(4, len(x) - 1), method=method, algorithm="ball_tree").fit(x)
            out.append({"set": name, "method": method, "k": min(4, len(x) - 1), "rank": m.decision_scores_.tolist(), "score": m.decision_function(q).tolist(),
                        "threshold": m.threshold_})
    return out


def forest():
    """A few trees of scikit-learn's, as it keeps them."""
    out = []
    for name, x, q in data + others:
        f = IsolationForest(n_estimators=5, max_samples=min(64, len(x)), max_features=0.75, contamination=0.1, random_state=3).fit(x)
        trees = [{"left": t.tree_.children_left.tolist(), "right": t.tree_.children_right.tolist(),
                  "feature": [int(c[v]) if v >= 0 else -1 for v in t.tree_.feature], "threshold": t.tree_.threshold.tolist(),
                  "samples": t.tree_.n_node_samples.tolist()} for t, c in zip(f.estimators_, f.estimators_features_)]
        out.append({"set": name, "samples": f.max_samples_, "trees": trees, "fitted": (-f.score_samples(x)).tolist(),
                    "score": (-f.score_samples(q)).tolist(), "threshold": -f.offset_})
    return out


def quality():
    """AUROC over 30 seeds, with the rows farthest from the median (in sums of absolute deviations) as the outliers."""
    out = []
    for name, x, _ in data:
        if name not in ("normal", "skewed", "far away"):
            continue
        d = np.abs(x - np.median(x, axis=0)).sum(axis=1)
        labels = d > np.quantile(d, 0.9)
        a = [roc_auc_score(labels, -IsolationForest(random_state=s).fit(x).score_samples(x)) for s in range(30)]
        out.append({"set": name, "labels": labels.tolist(), "mean": np.mean(a), "deviation": np.std(a, ddof=1)})
    return out


def support():
    """At a tol where the solution is one (at 1e-6 a single column leaves shares open to 1e-3); at the default 1e-3 it depends on the way to it. Rows of other kernels than rbf are rounded more coarsely."""
    out = []
    for name, x, q in data + others:
        for c in ({}, {"nu": 0.1, "gamma": 0.3}, {"gamma": "auto", "nu": 0.9}, {"kernel": "linear"}, {"kernel": "poly", "coef0": 1.0, "degree": 2, "nu": 0.3},
                  {"kernel": "sigmoid", "gamma": 0.05, "coef0": 0.2, "nu": 0.4}, {"shrinking": False, "nu": 0.2}):
            if name == "normal" and c.get("kernel") == "linear":  # the origin lies among the rows: w = 0, and scores are rounding alone
                continue
            c = {"tol": 1e-5 if "kernel" in c else 1e-9, **c}
            m = OneClassSVM(**c).fit(x)
            alpha = np.zeros(len(x))
            alpha[m.support_] = m.dual_coef_[0]
            out.append({"set": name, "config": c, "alpha": alpha.tolist(), "offset": float(m.offset_[0]), "score": (-m.score_samples(q)).tolist()})
    return out


every = (("lof", lof), ("knn", knn), ("iforest", forest), ("iforest_auroc", quality), ("ocsvm", support))
for name, make in every:
    if name in sys.argv[1:] or len(sys.argv) == 1:
        write(name + ".json", make())
