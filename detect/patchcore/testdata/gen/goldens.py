"""Goldens for golden_test.go: PatchCore on given feature maps, written from the paper (arXiv:2106.08265), and by anomalib's own parts.

torch 2.15.0, anomalib 2.7.0, numpy 2.4.6. Usage: python goldens.py ../goldens.json
Feature maps are by formula (see maps() here and in golden_test.go); pictures differ in size.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from anomalib.models.components import GaussianBlur2d
from anomalib.models.components.sampling import KCenterGreedy
from anomalib.models.image.patchcore.torch_model import PatchcoreModel

CHANNELS = [5, 7]
SIZES = [(8, 10), (8, 10), (6, 12), (8, 10), (10, 8), (8, 9)]  # of the first tap's map; the second's is half, rounded up
START, RATIO, NEIGHBOURS = 17, 0.25, 9
BLUR = GaussianBlur2d(sigma=(4.0, 4.0), channels=1, kernel_size=(33, 33))


def pseudo(seed, n):
    with np.errstate(over="ignore"):
        x = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
        x ^= x >> np.uint32(15)
        x *= np.uint32(2246822519)
        x ^= x >> np.uint32(13)
        x *= np.uint32(3266489917)
        x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2**23 - 1


def maps(picture, h, w):
    out = []
    for t, c in enumerate(CHANNELS):
        hh, ww = (h + t) // (t + 1), (w + t) // (t + 1)
        out.append(torch.from_numpy(pseudo(1000 * picture + t, c * hh * ww).astype(np.float32)).reshape(1, c, hh, ww))
    return out


def embed(ms):
    """Eq. 1 to 3: neighbourhoods of 3x3 averaged, deeper maps resized to the first, joined."""
    pooled = [F.avg_pool2d(m, 3, 1, 1) for m in ms]
    size = pooled[0].shape[-2:]
    return torch.cat([F.interpolate(p, size=size, mode="bilinear", align_corners=False) if i else p for i, p in enumerate(pooled)], 1)


def rows(e):
    return e[0].permute(1, 2, 0).reshape(-1, e.shape[1])


bank_all = torch.cat([rows(embed(maps(i, *s))) for i, s in enumerate(SIZES)])
m = int(RATIO * len(bank_all))

# the paper's algorithm 1, in float64
p = bank_all.double().numpy()
chosen, nearest = [START], np.full(len(p), np.inf)
while len(chosen) < m:
    nearest = np.minimum(nearest, ((p - p[chosen[-1]]) ** 2).sum(1))
    chosen.append(int(nearest.argmax()))

# anomalib's, from the same start, without its random projection
greedy = KCenterGreedy(embedding=bank_all, sampling_ratio=RATIO)
greedy.model.fit = lambda x: None
greedy.model.transform = lambda x: x
real = torch.randint
torch.randint = lambda *a, **k: torch.tensor([START])
theirs = greedy.select_coreset_idxs()
torch.randint = real
assert theirs == chosen, "anomalib chooses otherwise"

bank = bank_all[chosen]
cases = []
for i, (h, w) in [(100, (8, 10)), (101, (6, 12)), (102, (11, 7))]:
    e = embed(maps(i, h, w))
    q = rows(e).double()
    d = torch.cdist(q, bank.double())
    near, at = d.min(1)
    worst = int(near.argmax())
    support = torch.cdist(bank[at[worst]][None].double(), bank.double())[0].topk(NEIGHBOURS, largest=False).indices
    ds = torch.linalg.norm(q[worst] - bank[support].double(), dim=1)
    score = float((1 - torch.exp(ds[0]) / torch.exp(ds).sum()) * near[worst])  # eq. 7; support[0] is m* itself
    model = PatchcoreModel.__new__(PatchcoreModel)
    torch.nn.Module.__init__(model)
    model.register_buffer("memory_bank", bank)
    model.num_neighbors = NEIGHBOURS
    scores, locations = PatchcoreModel.nearest_neighbors(model, rows(e), 1)
    own = float(PatchcoreModel.compute_anomaly_score(model, scores[None], locations[None], rows(e)))
    assert abs(own - score) < 1e-4, (own, score)
    size = (h * 4, w * 4)
    # the paper (4.3) resizes bilinearly, then blurs; anomalib 2.7's AnomalyMapGenerator repeats the nearest score instead
    smooth = BLUR(F.interpolate(near.float().reshape(1, 1, h, w), size=size, mode="bilinear", align_corners=False))[0, 0]
    cases.append({"Picture": i, "H": h, "W": w, "Score": score, "Map": smooth.flatten()[::13].tolist()})
Path(sys.argv[1]).write_text(json.dumps({"Sizes": SIZES, "Start": START, "Chosen": chosen, "Cases": cases}))
