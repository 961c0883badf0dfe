"""What every renderer returns, and the choice of what happens at silhouettes."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Rendering:
    """Pictures of one shape, aligned pixel by pixel."""

    rgb: Float[Tensor, "*batch H W 3"]
    """sRGB 0..1, composited over the background."""
    alpha: Float[Tensor, "*batch H W"]
    """Coverage 0..1."""
    depth: Float[Tensor, "*batch H W"]
    """Distance along the camera's z axis, in world units; 0 where there is nothing."""
    normal: Float[Tensor, "*batch H W 3"]
    """World axes, unit length, turned to the camera; 0 where there is nothing."""


@dataclass(frozen=True)
class Hard:
    """A pixel belongs to the surface in front at its centre. No gradient flows across silhouettes."""


Edges = Hard
"""How silhouettes are drawn and differentiated; the other choices of the union come with the rendering engine."""
