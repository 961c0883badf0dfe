"""What goes wrong in photographs and their masks, done to training pictures: uneven light, bad masks, occlusion.

Pictures are B squares of S pixels, straight RGBA, channels first. All draws come from the generator handed in.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


@dataclass(frozen=True)
class Disturbance:
    """How much is done to pictures; shares are of the pictures of a batch."""

    shading: float = 0.3
    """Standard deviation of the logarithm of a smooth field by which brightness is multiplied."""
    bad_masks: float = 0.3
    """Share whose mask is too wide or too narrow by a pixel or two, unevenly, with background at its rim."""
    occluded: float = 0.15
    """Share of which something in front hides up to a quarter."""

    def __post_init__(self) -> None:
        for name, most in (("shading", 2.0), ("bad_masks", 1.0), ("occluded", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"Disturbance: {name} is {getattr(self, name)}; give 0 to {most:g}")


def disturbed(
    pictures: Float[Tensor, "B 4 S S"], disturbance: Disturbance, rng: np.random.Generator
) -> Float[Tensor, "B 4 S S"]:
    """The pictures under uneven light, some with bad masks, some with a part hidden."""
    rgb, alpha = pictures[:, :3], pictures[:, 3:]
    if disturbance.shading:
        rgb = (rgb * (disturbance.shading * _smooth(pictures, 3, rng)).exp()).clamp(0, 1)
    bad = _some(len(pictures), disturbance.bad_masks, rng)
    if bad.any():
        rgb, alpha = _bad_masks(rgb, alpha, bad, rng)
    hidden = _some(len(pictures), disturbance.occluded, rng)
    if hidden.any():
        alpha = torch.where(hidden[:, None, None, None] & _occluder(pictures, rng), 0.0, alpha)
    return torch.cat([rgb, alpha], 1)


def _some(count: int, share: float, rng: np.random.Generator) -> Bool[Tensor, "B"]:
    return torch.from_numpy(rng.random(count) < share)


def _smooth(pictures: Float[Tensor, "B 4 S S"], cells: int, rng: np.random.Generator) -> Float[Tensor, "B 1 S S"]:
    """Normal numbers on a grid of `cells` a side, interpolated."""
    coarse = rng.normal(size=(len(pictures), 1, cells, cells)).astype(np.float32)
    return interpolate(torch.from_numpy(coarse), pictures.shape[2:], mode="bicubic", align_corners=True)


def _bad_masks(
    rgb: Float[Tensor, "B 3 S S"], alpha: Float[Tensor, "B 1 S S"], bad: Bool[Tensor, "B"], rng: np.random.Generator
) -> tuple[Float[Tensor, "B 3 S S"], Float[Tensor, "B 1 S S"]]:
    """The mask cut at another level of its blurred self; what it gains has the colour of a plain background."""
    count = len(rgb)
    blurred = avg_pool2d(alpha, 5, 1, 2)
    shift = torch.from_numpy(rng.uniform(-0.3, 0.3, (count, 1, 1, 1)).astype(np.float32))
    cut = (4 * (blurred + shift + 0.12 * _smooth(rgb.new_zeros(count, 4, *rgb.shape[2:]), 6, rng) - 0.5) + 0.5).clamp(
        0, 1
    )
    background = torch.from_numpy(rng.random((count, 3, 1, 1)).astype(np.float32))
    chosen = bad[:, None, None, None]
    return torch.where(chosen, rgb * alpha + background * (1 - alpha), rgb), torch.where(chosen, cut, alpha)


def _occluder(pictures: Float[Tensor, "B 4 S S"], rng: np.random.Generator) -> Bool[Tensor, "B 1 S S"]:
    """An ellipse or a bar anywhere, of up to a quarter of the square."""
    count, size = len(pictures), pictures.shape[-1]
    x, y, angle = (
        torch.from_numpy(rng.uniform(*span, (count, 1, 1)).astype(np.float32))
        for span in ((0.1, 0.9), (0.1, 0.9), (0, np.pi))
    )
    long, flat = (
        torch.from_numpy(rng.uniform(*span, (count, 1, 1)).astype(np.float32)) for span in ((0.1, 0.4), (0.2, 1.0))
    )
    axis = (torch.arange(size) + 0.5) / size
    across, down = axis[None, None, :] - x, axis[None, :, None] - y
    u, v = across * angle.cos() + down * angle.sin(), down * angle.cos() - across * angle.sin()
    short = long * flat * 0.5
    ellipse = (u / long).square() + (v / short).square() < 1
    bar = (v.abs() < 0.3 * short) & torch.from_numpy(rng.random((count, 1, 1)) < 0.5)
    return (ellipse | bar)[:, None]
