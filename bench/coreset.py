"""The peer's side of the coreset comparison: anomalib's KCenterGreedy, without its random projection.

Reads one JSON object a line, {"file": raw float32 rows of "width" values, of which "dim" count, "ratio", "threads"}, and answers each with one line,
{"seconds", "chosen": [...]}. anomalib 2.7.0, torch 2.15.0.
"""

import json
import sys
import time

out = open(1, "w", buffering=1)
sys.stdout = sys.stderr  # where progress goes

import numpy as np
import torch
from anomalib.models.components.sampling import KCenterGreedy

for line in sys.stdin:
    job = json.loads(line)
    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    rows = np.fromfile(job["file"], dtype=np.float32).reshape(-1, job["width"])[:, : job["dim"]]
    points = torch.from_numpy(np.ascontiguousarray(rows))[:, :, None]  # rows of more than one dimension are not projected
    start = time.perf_counter()
    chosen = KCenterGreedy(embedding=points, sampling_ratio=job["ratio"]).select_coreset_idxs()
    print(json.dumps({"seconds": time.perf_counter() - start, "chosen": chosen}), file=out)
