"""Places spread evenly over a square or a sphere, any number of them, always the same ones. N places."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

PLASTIC = 1.32471795724474602596
"""The real root of x^3 = x + 1; its powers give the most even sequence known in two dimensions (Roberts 2018, R2)."""


def in_square(count: int, *, device: torch.device | None = None) -> Float[Tensor, "N 2"]:
    """The first `count` of an endless even sequence in [0, 1)^2: fewer places are a part of more."""
    index = torch.arange(1, count + 1, dtype=torch.float64)[:, None]
    steps = torch.tensor([1 / PLASTIC, 1 / PLASTIC**2], dtype=torch.float64)
    return ((0.5 + index * steps) % 1).float().to(device)


def on_sphere(square: Float[Tensor, "*some 2"]) -> Float[Tensor, "*some 3"]:
    """From [0, 1]^2 to the unit sphere; areas keep their ratios (Archimedes), so that even places stay even."""
    z, angle = 2 * square[..., 0] - 1, 2 * math.pi * square[..., 1]
    radius = (1 - z * z).clamp(min=0).sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)
