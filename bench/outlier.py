"""scikit-learn's side of the comparison of outlier detectors: one JSON object on the command line, one printed. scikit-learn 1.9.1, numpy.

Rows are float64. Each work is as scikit-learn does it by default, with n_jobs as many as the threads given where it has that parameter (the
forest's scoring uses joblib's threads). The mixture runs 20 steps from the same means on both sides.
"""

import json
import sys
import time
import warnings

import joblib
import numpy as np
from sklearn.ensemble import IsolationForest
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.svm import OneClassSVM

warnings.filterwarnings("ignore")


def main():
    job = json.loads(sys.argv[1])
    jobs = job["threads"]
    x = np.fromfile(job["rows"]).reshape(-1, job["cols"])
    q = np.fromfile(job["queries"]).reshape(-1, job["cols"]) if job["queries"] else x
    scores = np.zeros(1)
    start = time.perf_counter()
    match job["work"]:
        case "lof":
            scores = -LocalOutlierFactor(n_jobs=jobs).fit(x).negative_outlier_factor_
        case "knn":
            scores = NearestNeighbors(n_neighbors=5, n_jobs=jobs).fit(x).kneighbors()[0][:, -1]
        case "iforest-fit":
            IsolationForest(random_state=0, n_jobs=jobs).fit(x)
        case "iforest-score":
            forest = IsolationForest(random_state=0, n_jobs=jobs).fit(x)
            start = time.perf_counter()
            with joblib.parallel_backend("threading", n_jobs=jobs):
                scores = -forest.score_samples(x)
        case "ocsvm-fit":
            OneClassSVM().fit(x)
        case "kde":
            scores = -KernelDensity().fit(x).score_samples(q)
        case "gmm":
            m = GaussianMixture(8, tol=0, max_iter=20, means_init=x[:8], random_state=0).fit(x)
            scores = -m.score_samples(x)
    print(json.dumps({"seconds": time.perf_counter() - start, "mean": float(scores.mean())}))


main()
