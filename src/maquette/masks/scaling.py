"""Pictures and masks at another number of pixels: area means when smaller, linear when larger."""

import torch
from jaxtyping import Float
from torch import Tensor


def resized(values: Float[Tensor, "H W C"], size: tuple[int, int]) -> Float[Tensor, "h w C"]:
    channels = values.movedim(-1, 0)[None]
    mode = "area" if size[0] < values.shape[0] else "bilinear"
    return torch.nn.functional.interpolate(channels, size, mode=mode)[0].movedim(0, -1)


def reduced(values: Float[Tensor, "H W C"], side: int) -> Float[Tensor, "h w C"]:
    """At most `side` pixels on the longer side, at least 8 on the shorter; smaller pictures as they are."""
    height, width = values.shape[:2]
    ratio = side / max(height, width)
    if ratio >= 1:
        return values
    return resized(values, (max(8, round(height * ratio)), max(8, round(width * ratio))))
