"""Writes ../reduce.json: scikit-learn 1.9.1's RobustScaler and PCA (full SVD) of 60 rows of 12 values, numpy 2.3.5, seed 3."""
import json
from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import RobustScaler

rng = np.random.default_rng(3)
x = rng.standard_normal((60, 4)) * [9, 5, 2, 1] @ rng.standard_normal((4, 12)) + 0.1 * rng.standard_normal((60, 12)) + 50
x[7] += 300
x = x.round(4)
pca = PCA(svd_solver="full").fit(x)
out = {
    "x": x.tolist(), "scaled": RobustScaler().fit_transform(x).tolist(),
    "coordinates": pca.transform(x)[:, :5].tolist(), "share": pca.explained_variance_ratio_[:5].tolist(),
}
(Path(__file__).parent.parent / "reduce.json").write_text(json.dumps(out) + "\n")
