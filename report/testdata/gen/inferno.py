"""Writes ../inferno.json: matplotlib's table "inferno", 256 entries of three values from 0 to 255.

Made with matplotlib 3.11.2 (the table is CC0). No randomness.
"""

import json
import pathlib

import matplotlib

assert matplotlib.__version__ == "3.11.2"
table = matplotlib.colormaps["inferno"]
entries = [[round(255 * v) for v in table(i)[:3]] for i in range(256)]
pathlib.Path(__file__).parent.with_name("inferno.json").write_text(json.dumps(entries) + "\n")
