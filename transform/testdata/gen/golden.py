"""Prints the expected values of transform_test.go. Made with Pillow 13.0.0, torchvision 0.29.2, torch 2.15.0 and numpy 2.4.6, on x86-64.

    pip install pillow==13.0.0 torchvision==0.29.2 torch==2.15.0 numpy==2.4.6 && python golden.py
"""
import zlib

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional as F


def noise(n):
    s, out = 1, []
    for _ in range(n):
        s = (s * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(s >> 16)
    return np.array(out, np.uint16)


def picture(w, h, channels):
    a = (noise(w * h * channels) & 255).astype(np.uint8).reshape(h, w, channels)
    return Image.fromarray(a[:, :, 0] if channels == 1 else a)


def crc(image):
    return f"{zlib.crc32(np.asarray(image).tobytes()):#010x}"


print("resize: gray, RGB")
for w, h, tw, th in [(37, 23, 16, 16), (16, 11, 45, 33), (1, 9, 5, 4), (9, 1, 4, 5), (64, 48, 64, 20), (64, 48, 20, 48), (50, 31, 1, 1),
                     (300, 200, 77, 51), (7, 7, 49, 49), (5, 3, 1000, 3), (640, 3, 333, 2)]:
    for name in ("BILINEAR", "BICUBIC", "NEAREST"):
        how = getattr(Image.Resampling, name)
        print(w, h, tw, th, name, *(crc(picture(w, h, c).resize((tw, th), how)) for c in (1, 3)))

print("apply")
for w, h, c, size, cw, ch in [(37, 23, 3, 16, 0, 0), (23, 37, 1, 16, 0, 0), (40, 31, 3, 17, 12, 13), (31, 40, 3, 17, 14, 16), (20, 20, 1, 20, 0, 0),
                              (97, 10, 3, 7, 5, 4)]:
    # transforms.v2.ToDtype multiplies by 1/255 instead of dividing: up to 7e-7 apart.
    steps = [transforms.Resize(size)] + ([transforms.CenterCrop((ch, cw))] if cw else [])
    steps += [transforms.ToTensor(), transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])]
    x = transforms.Compose(steps)(picture(w, h, c).convert("RGB"))
    print(w, h, c, size, cw, ch, tuple(x.shape), f"{zlib.crc32(x.contiguous().numpy().tobytes()):#010x}")

print("crop and flips of 9x7 RGB")
p = picture(9, 7, 3)
print("center 4x4", crc(F.center_crop(p, [4, 4])), "center 6x3", crc(F.center_crop(p, [3, 6])), "crop (2,1) 5x4", crc(F.crop(p, 1, 2, 4, 5)),
      "hflip", crc(F.hflip(p)), "vflip", crc(F.vflip(p)))

print("maps")
m = torch.from_numpy(noise(20).astype(np.float32) / 65536).reshape(1, 1, 5, 4)
print(torch.nn.functional.interpolate(m, size=(7, 9), mode="bilinear", align_corners=False))
print(torch.nn.functional.interpolate(m, size=(3, 2), mode="bilinear", align_corners=False))
try:
    from anomalib.models.components import GaussianBlur2d
    grown = torch.nn.functional.interpolate(m, size=(7, 9), mode="bilinear", align_corners=False)
    print(GaussianBlur2d(sigma=0.8, channels=1, kernel_size=7)(grown))
except ImportError:
    print("anomalib 2.7.0 is not installed: no blurred map")

print("16 bit")
x = torch.from_numpy(noise(63).astype(np.float32)).reshape(1, 7, 9)
for w, h in ((4, 5), (13, 10)):
    print(F.resize(x, [h, w], transforms.InterpolationMode.BILINEAR, antialias=True).round().int().flatten().tolist())
