"""The losses of a small autoencoder and a small VAE over 12 steps of training: ../../../autoencoder/testdata/losses.json and ../../../vae/testdata/losses.json.

torch 2.15.0, kornia 0.9.0 (its SSIM), numpy 2.4.6; everything in float64. Usage: python losses.py

Pictures, first weights and the VAE's noise are the formula of detecttest.Noise; the batches' order is written down here and in the tests.
"""
import json
from pathlib import Path

import numpy as np
import torch
from torch import nn
from kornia.metrics import ssim

torch.set_default_dtype(torch.float64)
BASE, DEPTH, LATENT, TILE, BETA, LR = 4, 2, 3, 16, 2.0, 0.01
BATCHES = [[3, 0], [5, 1], [2, 4], [1, 2], [0, 5], [4, 3], [5, 4], [3, 2], [1, 0], [0, 1], [2, 3], [4, 5]]


def noise(pattern, n):
    x = np.arange(n, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(pattern * 40503 % 2**32)
    x ^= x >> np.uint32(15)
    x *= np.uint32(2246822519)
    x ^= x >> np.uint32(13)
    x *= np.uint32(3266489917)
    x ^= x >> np.uint32(16)
    return (x >> np.uint32(8)).astype(np.float64) / 2**23 - 1


pictures = torch.stack([torch.from_numpy(noise(p, 3 * TILE * TILE)).reshape(3, TILE, TILE) * 0.5 + 0.1 * p for p in range(6)])
mean, deviation = pictures.mean(), pictures.std(correction=0)
span = float(pictures.max() - pictures.min())


def networks(code):
    """encoder and decoder, with the names of Blemish's parameters; code is the channels that the encoder ends in."""
    encoder, decoder = [], []
    channels = 3
    for i in range(DEPTH):
        encoder += [(f"encoder.{i}", nn.Conv2d(channels, BASE << i, 4, 2, 1)), nn.LeakyReLU(0.2)]
        channels = BASE << i
    encoder += [("encoder.code", nn.Conv2d(channels, code, 1))]
    decoder += [("decoder.code", nn.Conv2d(LATENT, channels, 1)), nn.LeakyReLU(0.2)]
    for i in range(DEPTH - 1, 0, -1):
        decoder += [(f"decoder.{i}", nn.ConvTranspose2d(channels, channels // 2, 4, 2, 1)), nn.LeakyReLU(0.2)]
        channels //= 2
    decoder += [("decoder.0", nn.ConvTranspose2d(channels, 3, 4, 2, 1))]
    named = [m for m in encoder + decoder if isinstance(m, tuple)]
    with torch.no_grad():
        k = 0
        for _, m in named:
            for p in (m.weight, m.bias):
                p.copy_(torch.from_numpy(noise(100 + k, p.numel())).reshape(p.shape) * 0.25)
                k += 1
    build = lambda layers: nn.Sequential(*[m[1] if isinstance(m, tuple) else m for m in layers])
    return build(encoder), build(decoder), dict(named)


def train(method, loss, optimizer):
    encoder, decoder, named = networks(2 * LATENT if method == "vae" else LATENT)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    o = torch.optim.Adam(parameters, lr=LR) if optimizer == "adam" else torch.optim.SGD(parameters, lr=LR, momentum=0.9)
    losses = []
    for step, batch in enumerate(BATCHES):
        x = pictures[batch]
        code = encoder((x - mean) / deviation)
        penalty = 0.0
        if method == "vae":
            mu, logvar = code[:, :LATENT], code[:, LATENT:]
            eps = torch.from_numpy(noise(1000 + step, mu.numel())).reshape(mu.shape) * 1.7
            code = mu + torch.exp(0.5 * logvar) * eps
            divergence = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum((1, 2, 3)).mean()  # Kingma and Welling, appendix B
            penalty = BETA * divergence / x[0].numel()
        back = decoder(code)
        value = penalty
        if loss != "ssim":
            value = value + nn.functional.mse_loss(back, (x - mean) / deviation)
        if loss != "mse":
            value = value + 1 - ssim(back * deviation + mean, x, 11, max_val=span, padding="valid").mean()
        o.zero_grad()
        value.backward()
        o.step()
        losses.append(value.item())
    return {"loss": loss, "optimizer": optimizer, "losses": losses, "last": named["decoder.0"].weight.flatten()[:16].tolist()}


root = Path(__file__).resolve().parents[3]
for method in ("autoencoder", "vae"):
    runs = [train(method, loss, optimizer) for loss in ("mse", "ssim", "both") for optimizer in ("adam", "sgd")]
    (root / method / "testdata" / "losses.json").write_text(json.dumps(runs, indent=1) + "\n")
