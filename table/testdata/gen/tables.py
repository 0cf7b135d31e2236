"""Writes ../*.npy and ../*.parquet with numpy 2.3.5 and pyarrow 26.0.1. Cell (i, j) of each is i·10 + j - 7 where its type can hold that."""
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

out = Path(__file__).parent.parent
x = np.arange(5)[:, None] * 10 + np.arange(3) - 7
for name in ("<f8", ">f8", "<f4", ">f4", "<f2", ">f2", "<i8", ">i8", "<i4", "<i2", "|i1"):
    np.save(out / f"{name[1:]}{'-big' if name[0] == '>' else ''}.npy", x.astype(name))
np.save(out / "fortran.npy", np.asfortranarray(x.astype("<f8")))
for name in ("<u8", "<u4", "<u2", "|u1"):
    np.save(out / f"{name[1:]}.npy", (x + 7).astype(name))
np.save(out / "b1.npy", x > 0)
np.save(out / "cube.npy", np.zeros((2, 2, 2)))
np.save(out / "nan.npy", np.array([[1, 2], [3, np.nan], [5, 6.0]]))
np.save(out / "object.npy", np.array([[1, "a"]], dtype=object))

names = ["a", "b", "c"]
types = [pa.float64(), pa.int32(), pa.uint64()]
plain = pa.table({n: pa.array((x[:, j] + 7).tolist(), t) for j, (n, t) in enumerate(zip(names, types))} | {"kind": pa.array(list("vwxyz"))})
for codec in ("none", "snappy", "zstd", "gzip"):
    pq.write_table(plain, out / f"{codec}.parquet", compression=codec, row_group_size=2)
pq.write_table(pa.table({"a": pa.array([1.0, None, 3.0]), "b": pa.array([True, False, None])}), out / "null.parquet")
pq.write_table(pa.table({"a": pa.array([1.0, 2.0]), "when": pa.array([1, 2], pa.timestamp("ms"))}), out / "dated.parquet")
pq.write_table(pa.table({"a": pa.array([[1.0], [2.0, 3.0]])}), out / "nested.parquet")
np.save(out / "empty.npy", np.zeros((0, 3)))
pq.write_table(pa.table({"a": pa.array([], pa.float64())}), out / "empty.parquet")
