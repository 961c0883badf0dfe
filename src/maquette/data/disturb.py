"""What goes wrong in photographs and their masks, done to training pictures: uneven light, bad masks, occlusion.

Pictures are B squares of S pixels, straight RGBA, channels first. Every picture has its own generator.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


@dataclass(frozen=True)
class Disturbance:
    """How much is done to pictures, nothing unless told; shares are of the pictures of a batch."""

    shading: float = 0.0
    """Standard deviation of the logarithm of a smooth field by which brightness is multiplied."""
    bad_masks: float = 0.0
    """Share whose mask is too wide or too narrow by a pixel or two, unevenly, with background at its rim."""
    occluded: float = 0.0
    """Share of which something in front hides up to a quarter."""

    def __post_init__(self) -> None:
        for name, most in (("shading", 2.0), ("bad_masks", 1.0), ("occluded", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"Disturbance: {name} is {getattr(self, name)}; give 0 to {most:g}")


PHOTOGRAPHS = Disturbance(shading=0.3, bad_masks=0.3, occluded=0.15)
"""As photographs with guessed masks are."""


def disturbed(
    pictures: Float[Tensor, "B 4 S S"], disturbance: Disturbance, draws: list[np.random.Generator]
) -> Float[Tensor, "B 4 S S"]:
    """The pictures under uneven light, some with bad masks, some with a part hidden."""
    rgb, alpha = pictures[:, :3], pictures[:, 3:]
    if disturbance.shading:
        rgb = (rgb * (disturbance.shading * _smooth(rgb, 3, draws)).exp()).clamp(0, 1)
    # Every picture draws the same numbers whatever happens to the others, so that parts of a batch are as in the whole.
    rgb, alpha = _bad_masks(rgb, alpha, _some(disturbance.bad_masks, draws), draws)
    size = pictures.shape[-1]
    free = np.zeros((size, size), dtype=bool)
    hidden = np.stack([_occluder(size, rng) if rng.random() < disturbance.occluded else free for rng in draws])
    alpha = torch.where(torch.from_numpy(hidden)[:, None], 0.0, alpha)
    return torch.cat([rgb, alpha], 1)


def _each(draw: Callable[[np.random.Generator], ArrayLike], draws: list[np.random.Generator]) -> Tensor:
    """Numbers for every picture from its own generator, (B, ...)."""
    return torch.from_numpy(np.stack([np.asarray(draw(rng), dtype=np.float32) for rng in draws]))


def _some(share: float, draws: list[np.random.Generator]) -> Bool[Tensor, "B 1 1 1"]:
    return (_each(lambda rng: rng.random(), draws) < share)[:, None, None, None]


def _smooth(rgb: Float[Tensor, "B 3 S S"], cells: int, draws: list[np.random.Generator]) -> Float[Tensor, "B 1 S S"]:
    """Normal numbers on a grid of `cells` a side, interpolated."""
    coarse = _each(lambda rng: rng.normal(size=(1, cells, cells)), draws)
    return interpolate(coarse, rgb.shape[2:], mode="bicubic", align_corners=True)


def _bad_masks(
    rgb: Float[Tensor, "B 3 S S"],
    alpha: Float[Tensor, "B 1 S S"],
    bad: Bool[Tensor, "B 1 1 1"],
    draws: list[np.random.Generator],
) -> tuple[Float[Tensor, "B 3 S S"], Float[Tensor, "B 1 S S"]]:
    """The mask cut at another level of its blurred self; what it gains has the colour of a plain background."""
    blurred = avg_pool2d(alpha, 5, 1, 2)
    shift = _each(lambda rng: rng.uniform(-0.3, 0.3), draws)[:, None, None, None]
    cut = (4 * (blurred + shift + 0.12 * _smooth(rgb, 6, draws) - 0.5) + 0.5).clamp(0, 1)
    background = _each(lambda rng: rng.random(3), draws)[:, :, None, None]
    return torch.where(bad, rgb * alpha + background * (1 - alpha), rgb), torch.where(bad, cut, alpha)


def _occluder(size: int, rng: np.random.Generator) -> Bool[np.ndarray, "S S"]:
    """An ellipse or a bar anywhere, of up to a quarter of the square."""
    x, y, angle, long, flat, kind = rng.uniform((0.1, 0.1, 0.0, 0.1, 0.2, 0.0), (0.9, 0.9, np.pi, 0.4, 1.0, 1.0))
    short = long * flat * 0.5
    axis = (np.arange(size) + 0.5) / size
    across, down = axis[None, :] - x, axis[:, None] - y
    u, v = across * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - across * np.sin(angle)
    ellipse = (u / long) ** 2 + (v / short) ** 2 < 1
    return ellipse | (np.abs(v) < 0.3 * short) if kind < 0.5 else ellipse
