"""A picture seen several times: as it is, in the mirror, a little smaller, a little aside. B pictures of S pixels.

A network's answers to these differ where it is unsure. Clouds unite them: what one answer misses, another may hold.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from maquette.models.features import Features


@dataclass(frozen=True)
class Look:
    """What an encoder makes of pictures, seen in one way."""

    features: Features
    mirrored: bool = False
    """Left and right exchanged: the answer is the mirrored solid."""


WAYS: tuple[tuple[bool, float, tuple[float, float]], ...] = (
    (False, 1.0, (0.0, 0.0)),
    (True, 1.0, (0.0, 0.0)),
    (False, 1.05, (0.0, 0.0)),
    (True, 1.05, (0.0, 0.0)),
    (False, 1.0, (0.03, 0.03)),
    (True, 1.0, (0.03, -0.03)),
)
"""Mirrored or not, how much wider the square is that is seen, and how far it is moved, in half sides; first the picture
itself. Chosen on validation objects of the bundled network: two looks give most, six the rest."""


def seen(
    images: Float[Tensor, "B 4 S S"], mirrored: bool, width: float, shift: tuple[float, float]
) -> Float[Tensor, "B 4 S S"]:
    """Straight RGBA pictures seen in one of `WAYS`; what lies beyond them is transparent."""
    images = images.flip(-1) if mirrored else images
    if width == 1 and shift == (0.0, 0.0):
        return images
    theta = images.new_tensor([[width, 0, shift[0]], [0, width, shift[1]]])
    grid = affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    # Colours are weighted by alpha while resampling, or hidden ones would bleed in.
    alpha = images[:, 3:]
    moved = grid_sample(torch.cat([images[:, :3] * alpha, alpha], 1), grid, align_corners=False)
    alpha = moved[:, 3:]
    return torch.cat([moved[:, :3] / alpha.clamp(min=1e-3), alpha], 1).clamp(0, 1)
