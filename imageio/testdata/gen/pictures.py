"""Small pictures of every kind for imageio_test.go, with the pixels Pillow reads from them, in goldens.json.

pillow 13.0.0, numpy 2.4.6. Usage: python pictures.py ..
"""

import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

out = Path(sys.argv[1])
rng = np.random.default_rng(5)
y, x = np.mgrid[0:6, 0:9]
rgb = np.stack([x * 28, y * 45, 255 - x * 14 - y * 20], -1).astype(np.uint8)
gray = (x * 20 + y * 12).astype(np.uint8)
deep = (x * 6000 + y * 1111 + 7).astype(np.uint16)
alpha = np.concatenate([rgb, ((x + y) % 3 * 127)[..., None].astype(np.uint8)], -1)
goldens = {}


def add(name, picture, tolerance=0, expect=None, **how):
    picture.save(out / name, **how)
    with Image.open(out / name) as p:
        if expect is None:
            expect = np.asarray(p if p.mode in ("L", "I;16") else p.convert("RGB"))
        channels = 1 if expect.ndim == 2 else 3
        goldens[name] = {
            "Width": expect.shape[1], "Height": expect.shape[0], "Channels": channels, "Depth": 16 if expect.dtype == np.uint16 else 8,
            "Tolerance": tolerance, "Pixels": expect.ravel().tolist(),
        }


L, RGB, RGBA = Image.fromarray(gray), Image.fromarray(rgb), Image.fromarray(alpha, "RGBA")
DEEP = Image.fromarray(deep)
add("gray.png", L)
add("gray16.png", DEEP)
add("rgb.png", RGB)
add("rgba.png", RGBA)
add("palette.png", RGB.quantize(16))
add("bilevel.png", L.point(lambda v: 255 * (v > 100)).convert("1"), expect=((gray > 100) * 255).astype(np.uint8))
add("la.png", Image.merge("LA", [L, RGBA.getchannel("A")]))
add("gray.bmp", L)
add("rgb.bmp", RGB)
add("gray.tiff", L)
add("gray16.tiff", DEEP)
add("rgb.tiff", RGB, compression="tiff_lzw")
add("rgba.tiff", RGBA)
add("lossless.webp", RGB, lossless=True)
add("alpha.webp", RGBA, lossless=True, exact=True)
flat = Image.fromarray(np.full((16, 16, 3), (200, 90, 40), np.uint8))
add("lossy.webp", flat, tolerance=3, quality=95)
faded = Image.fromarray(np.concatenate([np.full((16, 16, 3), (200, 90, 40), np.uint8), np.full((16, 16, 1), 60, np.uint8)], -1), "RGBA")
add("lossyalpha.webp", faded, tolerance=3, quality=95, exact=True)
add("gray.jpg", L, tolerance=2, quality=95)
add("rgb.jpg", flat, tolerance=3, quality=95)
add("cmyk.jpg", flat.convert("CMYK"), tolerance=4, quality=95)
for o in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = o
    from PIL import ImageOps

    RGB.save(out / f"orient{o}.png", exif=exif)
    with Image.open(out / f"orient{o}.png") as p:
        add(f"orient{o}.png", RGB, expect=np.asarray(ImageOps.exif_transpose(p)), exif=exif)
    L.save(out / f"orient{o}.jpg", exif=exif, quality=95)
    with Image.open(out / f"orient{o}.jpg") as p:
        add(f"orient{o}.jpg", L, tolerance=2, expect=np.asarray(ImageOps.exif_transpose(p)), exif=exif, quality=95)
exif = Image.Exif()
exif[0x0112] = 6
RGB.save(out / "orient6.webp", exif=exif, lossless=True)
with Image.open(out / "orient6.webp") as p:
    add("orient6.webp", RGB, expect=np.asarray(ImageOps.exif_transpose(p)), exif=exif, lossless=True)
np.save(out / "map.npy", (deep / 7).astype("<f4"))
goldens["map.npy"] = {"Width": 9, "Height": 6, "Pixels": [float(v) for v in (deep / 7).astype("<f4").ravel()]}
(out / "goldens.json").write_text(json.dumps(goldens))
