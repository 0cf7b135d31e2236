"""scikit-learn's side of the comparison of outlier detectors: one JSON object on the command line, one printed. scikit-learn 1.9.1, numpy.

Rows are float64. Each work is as scikit-learn does it by default, with n_jobs as many as the threads given where it has that parameter (the
forest's scoring uses joblib's threads; the one-class SVM and the density estimate have none). A work that is named after fitting is timed without
scoring, and the other way round; k-NN and LOF rank the rows fitted, which is one step. The mixture runs 20 steps from the same weights, means and
precisions on both sides, or (gmm-kmeans) by its defaults.
"""

import json
import sys
import time
import warnings

import joblib
import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.svm import OneClassSVM

warnings.filterwarnings("ignore")


class Ranked:
    """Scores that fitting finds by itself."""

    def __init__(self, scores):
        self.scores = scores

    def score_samples(self, _):
        return self.scores


def fit(method, step, x, jobs):
    match method:
        case "lof":
            return Ranked(LocalOutlierFactor(n_jobs=jobs).fit(x).negative_outlier_factor_)
        case "knn":
            return Ranked(-NearestNeighbors(n_neighbors=5, n_jobs=jobs).fit(x).kneighbors()[0][:, -1])
        case "iforest":
            return IsolationForest(random_state=0, n_jobs=jobs).fit(x)
        case "ocsvm":
            return OneClassSVM().fit(x)
        case "sgd":
            gamma = 1 / (x.shape[1] * x.var())  # as of OneClassSVM
            return make_pipeline(Nystroem(gamma=gamma, random_state=0, n_jobs=jobs), SGDOneClassSVM(random_state=0)).fit(x)
        case "kde":
            return KernelDensity().fit(x)
        case "gmm":
            if step == "kmeans":
                return GaussianMixture(8, random_state=0).fit(x)
            start = {"weights_init": np.full(8, 1 / 8), "means_init": x[:8], "precisions_init": np.tile(np.eye(x.shape[1]), (8, 1, 1))}
            return GaussianMixture(8, tol=0, max_iter=20, random_state=0, **start).fit(x)


def main():
    job = json.loads(sys.argv[1])
    jobs = job["threads"]
    method, _, step = job["work"].partition("-")
    x = np.fromfile(job["rows"]).reshape(-1, job["cols"])
    q = np.fromfile(job["queries"]).reshape(-1, job["cols"]) if job["queries"] else x
    start = time.perf_counter()
    model = fit(method, step, x, jobs)
    fitted = time.perf_counter()
    with joblib.parallel_backend("threading", n_jobs=jobs):
        scores = -model.score_samples(q)
    scored = time.perf_counter()
    scores.astype(np.float64).tofile(job["scores"])
    print(json.dumps({"seconds": scored - fitted if step == "score" else fitted - start}))


main()
