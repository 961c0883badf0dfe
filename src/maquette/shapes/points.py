"""PointCloud: positions, and what is known at them. N points."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class PointCloud:
    """Unordered points, or `*batch` clouds of equal size."""

    points: Float[Tensor, "*batch N 3"]
    """World-space positions."""
    colors: Float[Tensor, "*batch N 3"] | None = None
    """sRGB in 0..1."""
    normals: Float[Tensor, "*batch N 3"] | None = None
    """Unit vectors to the outside."""
