"""What a single-view network is taught: the truth beside a batch of pictures. B objects, M points, Q queries."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Truth in the frame of learning."""

    points: Float[Tensor, "B M 3"]
    """Of the outer surface."""
    voxels: Float[Tensor, "B Z Y X"]
    """0 or 1."""
    queries: Float[Tensor, "B Q 3"]
    """Places in and about the cube [-0.5, 0.5]^3, as many inside as outside where both are known."""
    inside: Float[Tensor, "B Q"]
    """0 or 1: whether a query lies in the solid."""
    azimuth: Float[Tensor, "B"]
    """Radians, of the camera that took the picture."""
    elevation: Float[Tensor, "B"]
    """Radians."""
    distance: Float[Tensor, "B"]
    """In diagonals of the object."""
    has_camera: Bool[Tensor, "B"]
    """False where the data does not know the camera; nothing is learnt from its numbers there."""
    generator: torch.Generator | None = None
    """Of random draws that a loss makes."""

    def first(self, count: int) -> "Targets":
        """The truth of the first `count` objects."""
        kept = {name: value[:count] for name, value in vars(self).items() if isinstance(value, Tensor)}
        return Targets(**kept, generator=self.generator)
