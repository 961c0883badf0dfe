"""From a picture with a mask to what a network sees: a square about the object, S pixels a side.

The same function serves training and `maquette reconstruct`, so that both see the same framing.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

MARGIN = 0.06
"""Empty border on every side, as a share of the object's longer side."""


@dataclass(frozen=True)
class Crop:
    """A square cut from a picture."""

    rgba: Float[Tensor, "S S 4"]
    """sRGB 0..1 and straight alpha; colour is 0 where alpha is 0."""
    corner: tuple[float, float]
    """(x, y) in source pixels of the square's upper left corner; may lie outside the picture."""
    side: float
    """Of the square, in source pixels."""


def crop_to_mask(rgba: Float[Tensor, "H W 4"], size: int, *, margin: float = MARGIN) -> Crop:
    """The square about the pixels with alpha above a half, resampled to `size` x `size` with antialiasing.

    Whatever lies beyond the picture is transparent. A picture without such pixels is an error.
    """
    solid = rgba[..., 3] > 0.5
    rows, columns = solid.any(1).nonzero()[:, 0], solid.any(0).nonzero()[:, 0]
    if len(rows) == 0:
        raise ValueError("crop_to_mask: no pixel is more than half opaque; the picture shows no object")
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    side = round(max(bottom - top, right - left) * (1 + 2 * margin))
    y0, x0 = (top + bottom - side) // 2, (left + right - side) // 2
    # Colours are weighted by alpha while resampling, or the background would bleed in at the edges.
    premultiplied = torch.cat([rgba[..., :3] * rgba[..., 3:], rgba[..., 3:]], -1)
    height, width = solid.shape
    inside = premultiplied[max(y0, 0) : y0 + side, max(x0, 0) : x0 + side]
    pad = (max(-x0, 0), max(x0 + side - width, 0), max(-y0, 0), max(y0 + side - height, 0))
    square = torch.nn.functional.pad(inside.permute(2, 0, 1), pad)
    small = torch.nn.functional.interpolate(square[None], (size, size), mode="bilinear", antialias=True)[0]
    small = small.permute(1, 2, 0).clamp(0, 1)
    alpha = small[..., 3:]
    color = torch.where(alpha > 1e-3, small[..., :3] / alpha.clamp(min=1e-3), 0).clamp(0, 1)
    return Crop(torch.cat([color, alpha], -1), (float(x0), float(y0)), float(side))
