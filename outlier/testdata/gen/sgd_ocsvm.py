"""Goldens of the SGD one-class SVM: run in outlier/testdata/sgd, after density.py and neighbours.py have written their data sets.

scikit-learn 1.9.1, numpy 2.3.5. Rows are taken in their order (shuffle=False), the basis and the random features are given: nothing is left to chance.
"""

import json
import warnings

import numpy as np
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import SGDOneClassSVM
from sklearn.svm import OneClassSVM

warnings.filterwarnings("ignore")
data = []
for family in ("density", "neighbours"):
    for s in json.load(open(f"../{family}/sets.json")):
        shape = (-1, s["cols"])
        data.append((f"{family}/{s['name']}", np.array(s["rows"]).reshape(shape), np.array(s["queries"]).reshape(shape)))

SCHEDULES = (
    {}, {"nu": 0.1}, {"learning_rate": "constant", "nu": 0.2}, {"learning_rate": "invscaling", "eta0": 0.05, "power_t": 0.3, "nu": 0.9},
    {"learning_rate": "adaptive", "eta0": 0.1, "tol": 1e-4, "nu": 0.3}, {"average": 1, "nu": 0.25}, {"average": 50, "learning_rate": "constant"},
    {"average": 10**6}, {"fit_intercept": False, "nu": 0.4}, {"max_iter": 3}, {"tol": 0.0, "max_iter": 40},
    {"learning_rate": "constant", "eta0": 4.0, "max_iter": 8},  # 1 - eta·nu is negative
)
KERNELS = (
    {"kernel": "rbf"}, {"kernel": "laplacian", "gamma": 0.2}, {"kernel": "linear"}, {"kernel": "poly", "degree": 2, "coef0": 1.0, "gamma": 0.01},
    {"kernel": "sigmoid", "gamma": 0.05, "coef0": 0.2}, {"kernel": "cosine"},
)
cases = []


def judge(name, config, options, z, zq, **more):
    try:
        m = SGDOneClassSVM(shuffle=False, **options).fit(z)
    except ValueError as e:  # the plane overflows
        cases.append({"set": name, "config": {"shuffle": False, **config, **options}, "error": type(e).__name__, **more})
        return
    cases.append({"set": name, "config": {"shuffle": False, **config, **options}, "coef": m.coef_.tolist(), "offset": float(m.offset_[0]),
                  "passes": int(m.n_iter_), "score": (-m.score_samples(zq)).tolist(), **more})


def features(x, q, basis, kernel):
    """Nystroem's of a given basis: fit permutes its rows, which are put back into their order."""
    n = Nystroem(**kernel, n_components=len(basis), random_state=0).fit(x[basis])
    back = np.argsort(n.component_indices_)
    n.components_ = n.components_[back]
    n.normalization_ = n.normalization_[np.ix_(back, back)]
    assert np.array_equal(n.components_, x[basis])
    return n.transform(x), n.transform(q)


for name, x, q in data:
    scale = 1 / (x.shape[1] * x.var())
    short = {"n_components": 9}
    for k, options in enumerate(SCHEDULES):
        if x.shape[1] > 30 and k > 4:
            continue  # the file stays small
        judge(name, {"feature_map": "linear"}, options, x, q)
    basis = [int(i) for i in np.random.default_rng(len(x)).permutation(len(x))[:9]]
    for kernel in KERNELS:
        gamma = {"gamma": scale} if kernel["kernel"] == "rbf" else {}
        z, zq = features(x, q, basis, {**kernel, **gamma})
        again = features(x, q, basis[::-1], {**kernel, **gamma})[0][:, ::-1]
        apart = np.abs(z - again).max() / np.abs(z).max()
        if apart > 1e-7:  # its inverse root raises rounding: scikit-learn's own features of the same basis in another order
            print(f"left out: {name} {kernel['kernel']}, {apart:.2g} from itself")
            continue
        judge(name, {"feature_map": "nystroem", **short, **kernel}, {"nu": 0.2}, z, zq, basis=basis, features=zq[:3].ravel().tolist())
    r = RBFSampler(gamma="scale", n_components=7, random_state=4).fit(x)
    z, zq = r.transform(x), r.transform(q)
    weights = r.random_weights_.T.ravel().tolist() if x.shape[1] <= 5 else []
    if weights:
        judge(name, {"feature_map": "rbf_sampler", "n_components": 7}, {"nu": 0.3}, z, zq, weights=weights, shift=r.random_offset_.tolist(),
              features=zq[:3].ravel().tolist())

with open("sgd_ocsvm.json", "w") as f:
    json.dump(cases, f, separators=(",", ":"))
    f.write("\n")


def ranks(v):
    return np.argsort(np.argsort(v, kind="stable"), kind="stable").astype(float)


# Shuffled rows, random basis or features: rank correlation of scores with the exact one-class SVM's, over 30 seeds.
quality = []
for name, x, q in data:
    if name not in ("density/blobs", "density/correlated", "density/digits", "neighbours/normal", "neighbours/skewed"):
        continue
    exact = OneClassSVM(nu=0.5, tol=1e-6).fit(x).score_samples(x)
    gamma = 1 / (x.shape[1] * x.var())
    for kind, make in (("nystroem", lambda s: Nystroem(gamma=gamma, n_components=40, random_state=s)),
                       ("rbf_sampler", lambda s: RBFSampler(gamma=gamma, n_components=400, random_state=s))):
        r = []
        for s in range(30):
            z = make(s).fit_transform(x)
            r.append(np.corrcoef(ranks(SGDOneClassSVM(random_state=s).fit(z).score_samples(z)), ranks(exact))[0, 1])
        quality.append({"set": name, "map": kind, "components": 40 if kind == "nystroem" else 400, "mean": np.mean(r), "deviation": np.std(r, ddof=1)})
with open("quality.json", "w") as f:
    json.dump(quality, f, indent=0)
    f.write("\n")
