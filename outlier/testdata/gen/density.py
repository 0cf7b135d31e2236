"""Goldens of the detectors by statistics, covariance, components, density and histograms: run in outlier/testdata/density. cases.json is of the data
sets made here, others.json of those of neighbours.py, whose sets.json it reads.

scikit-learn 1.9.1, pyod 3.6.7, numpy, scipy; seeds below. Values of the data are rounded to three decimals, so that JSON holds them exactly.
"""

import json
import warnings

import numpy as np
from pyod.models.copod import COPOD
from pyod.models.ecod import ECOD
from pyod.models.hbos import HBOS
from pyod.models.mad import MAD
from sklearn.covariance import OAS, EmpiricalCovariance, LedoitWolf, MinCovDet
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings("ignore")
rng = np.random.default_rng(414)
tidy = lambda x: np.round(x, 3) + 0.0


def sets():
    centers = np.array([[0, 0, 0], [6, 6, 0], [-6, 5, 3.0]])
    yield "blobs", np.repeat(centers, 40, axis=0) + rng.normal(size=(120, 3)), rng.normal(size=(12, 3)) * 4
    a = rng.normal(size=(4, 4))
    yield "correlated", rng.normal(size=(110, 4)) @ a + 20, rng.normal(size=(12, 4)) @ a * 2 + 20
    yield "ties", rng.integers(0, 6, size=(90, 2)), rng.integers(-2, 9, size=(12, 2))
    yield "duplicates", np.repeat(rng.normal(size=(8, 3)), [12, 1, 9, 11, 2, 10, 5, 3], axis=0), rng.normal(size=(10, 3))
    constant = rng.normal(size=(60, 4))
    constant[:, 1] = 3
    yield "constant column", constant, np.c_[rng.normal(size=10), np.full(10, 3), rng.normal(size=(10, 2))]
    yield "more columns than rows", rng.normal(size=(12, 30)), rng.normal(size=(8, 30))
    yield "two rows", np.array([[0.0, 1, 2], [1, 3, 4]]), rng.normal(size=(6, 3))
    yield "one column", np.exp(rng.normal(size=(75, 1))), np.exp(rng.normal(size=(9, 1)) * 2)
    digits = load_digits().data
    yield "digits", digits[:100], digits[100:112]


data = [(name, tidy(x.astype(float)), tidy(q.astype(float))) for name, x, q in sets()]
with open("../neighbours/sets.json") as f:
    shaped = lambda s, part: np.array(s[part]).reshape(-1, s["cols"])
    others = [("neighbours/" + s["name"], shaped(s, "rows"), shaped(s, "queries")) for s in json.load(f)]


def write(name, value):
    with open(name, "w") as f:
        json.dump(value, f, separators=(",", ":"))
        f.write("\n")


write("sets.json", [{"name": n, "cols": x.shape[1], "rows": x.ravel().tolist(), "queries": q.ravel().tolist()} for n, x, q in data])
cases = []


def case(method, name, config, score, **more):
    try:
        values = np.asarray(score()).tolist()
    except (ValueError, IndexError) as e:
        values = None
        more["error"] = type(e).__name__
    cases.append({"method": method, "set": name, "config": config, "scores": values, **more})


for name, x, q in data + others:
    n, d = x.shape
    own = "/" not in name
    case("zscore", name, {}, lambda: np.abs(StandardScaler().fit(x).transform(q)).max(axis=1))
    if all(np.median(np.abs(x - np.median(x, axis=0)), axis=0) > 0):  # PyOD's takes one column, and divides by 0 where there is no spread
        columns = [(x[:, [j]], q[:, [j]]) for j in range(d)]
        case("mad", name, {}, lambda: np.max([MAD().fit(a).decision_function(b) for a, b in columns], axis=0))
    for kind, estimator in {"empirical": EmpiricalCovariance, "ledoit_wolf": LedoitWolf, "oas": OAS}.items():
        case("mahalanobis", name, {"covariance": kind}, lambda: estimator().fit(x).mahalanobis(q))
    if name in ("blobs", "correlated", "one column", "neighbours/normal", "neighbours/far away", "neighbours/skewed"):  # the least determinant of 20 random states
        for fraction in (None, 0.8) if own else (None,):
            fits = [MinCovDet(support_fraction=fraction, random_state=s).fit(x) for s in range(20)]
            best = min(fits, key=lambda f: np.linalg.slogdet(f.raw_covariance_)[1])
            case("mahalanobis", name, {"covariance": "robust", "support_fraction": fraction or 0}, lambda: best.mahalanobis(q),
                 log_det=np.linalg.slogdet(best.raw_covariance_)[1])
    for components in (1, 2, 0.5, 0.9):
        if components == 2 and n == 2:
            continue  # the second is any direction at all
        back = lambda p: ((q - p.inverse_transform(p.transform(q))) ** 2).sum(axis=1)
        case("pca", name, {"n_components": components}, lambda: back(PCA(components, svd_solver="full").fit(x)))
    for kernel in ("gaussian", "tophat", "epanechnikov", "exponential", "linear", "cosine"):
        for bandwidth in (1.0, 3.5, "scott", "silverman"):
            if bandwidth in (1.0, "silverman") and kernel != "gaussian" or kernel == "cosine" and (d % 2 == 0 or d > 9):
                continue  # of even d scikit-learn's integral of the cosine lacks its last term (NaN of d = 4); of many it has lost its digits
            # one leaf: bounds of inner nodes cancel in far tails (0.1 to 250 in log-density on digits, where the exact sum is known)
            kde = lambda rows: KernelDensity(kernel=kernel, bandwidth=bandwidth, leaf_size=10**6).fit(rows)
            clip = lambda s: np.minimum(-s, np.finfo(float).max)
            alone = [float(clip(kde(np.delete(x, i, 0)).score_samples(x[i:i + 1]))[0]) for i in range(n)] if own and not isinstance(bandwidth, str) else []
            case("kde", name, {"kernel": kernel, "bandwidth": bandwidth}, lambda: clip(kde(x).score_samples(q)), rank=alone)
    for kind in ("full", "tied", "diag", "spherical"):
        k = min(3, n)
        means = x[np.linspace(0, n - 1, k).astype(int)]
        weights = np.full(k, 1 / k)
        var = x.var() + 0.1
        full = np.eye(d) / var + 0.1 / var * (np.ones((d, d)) - np.eye(d)) / d
        precisions = {"full": np.stack([full] * k), "tied": full, "diag": np.full((k, d), 1 / var), "spherical": np.full(k, 1 / var)}[kind]
        flat = {"full": lambda p: p.reshape(k, -1), "tied": lambda p: p.reshape(1, -1), "diag": lambda p: p, "spherical": lambda p: p.reshape(k, 1)}[kind]
        if name == "digits" and kind == "full":
            continue
        config = {"n_components": k, "covariance_type": kind, "weights_init": weights.tolist(), "means_init": means.tolist(),
                  "precisions_init": flat(precisions).tolist(), "max_iter": 15}
        mixture = GaussianMixture(k, covariance_type=kind, weights_init=weights, means_init=means, precisions_init=precisions, max_iter=15)
        try:
            mixture.fit(x)
            case("gmm", name, config, lambda: -mixture.score_samples(q), bound=mixture.lower_bound_, iterations=mixture.n_iter_)
        except ValueError as e:
            cases.append({"method": "gmm", "set": name, "config": config, "scores": None, "error": type(e).__name__})
    for bins in (10, 5, "auto"):
        h = HBOS(n_bins=bins).fit(x)
        case("hbos", name, {"n_bins": bins}, lambda: h.decision_function(q), rank=h.decision_scores_.tolist(), threshold=float(h.threshold_))
    for method, model in (("ecod", ECOD), ("copod", COPOD)):  # each query alone joins the rows
        m = model().fit(x)
        case(method, name, {}, lambda: np.concatenate([m.decision_function(q[i:i + 1]) for i in range(len(q))]), rank=m.decision_scores_.tolist(), threshold=float(m.threshold_))

write("cases.json", [c for c in cases if "/" not in c["set"]])
write("others.json", [c for c in cases if "/" in c["set"]])
