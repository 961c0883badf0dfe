"""The frame of fitting: losses and learning rates know one scale, targets come in any."""

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.shapes import Shape, bounds


def unit_from_target(target: Shape) -> Float[Tensor, "4 4"]:
    """The map to the cube [-1, 1]^3: the middle of the target's bounds to the origin, its longest half side to 1.

    The inverse brings a result back to the target's own frame. A target that is a single point is an error.
    """
    low, high = bounds(target).unbind(-2)
    if low.ndim != 1:
        raise ValueError(f"unit_from_target: bounds have shape {tuple(low.shape)}; give one shape, not a batch")
    half = float((high - low).max()) / 2
    if not half > 0 or not bool(torch.isfinite(high - low).all()):
        raise ValueError(f"unit_from_target: the target spans {(high - low).tolist()}; give one with a surface")
    return transforms.scale_translate(1 / half, -(low + high) / 2 / half)
