"""What a single-view network is taught: the truth beside a batch of pictures. B objects, M points, Q queries."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from maquette.shapes.voxelize import pooled


@dataclass(frozen=True)
class Targets:
    """Truth in the frame of learning."""

    points: Float[Tensor, "B M 3"]
    """Of the outer surface."""
    voxels: Float[Tensor, "B Z Y X"] | None
    """0 or 1; None where the data has no grids. `grid` gives them at a network's own resolution."""
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
    seeds: Int64[Tensor, "B"] | None = None
    """One an object, on the CPU, that `uniform` draws from; none: torch's own random state."""

    def first(self, count: int) -> "Targets":
        """The truth of the first `count` objects."""
        return replace(self, **{name: value[:count] for name, value in self._tensors().items()})

    def grid(self, resolution: int | None = None) -> Float[Tensor, "B Z Y X"]:
        """The voxels as they were prepared, or pooled to `resolution` cells a side."""
        if self.voxels is None:
            raise ValueError("train: this data set has no voxels; choose a model that learns from points or queries")
        return self.voxels if resolution is None else pooled(self.voxels, resolution)

    def to(self, device: torch.device) -> "Targets":
        """On `device`, but for the seeds; the copy of pinned memory does not wait."""
        tensors = self._tensors()
        tensors.pop("seeds", None)
        return replace(self, **{name: value.to(device, non_blocking=True) for name, value in tensors.items()})

    def pinned(self) -> "Targets":
        """In memory that a GPU can copy from while the processor goes on."""
        return replace(self, **{name: value.pin_memory() for name, value in self._tensors().items()})

    def uniform(self, *shape: int, use: int = 0) -> Float64[Tensor, "B *shape"]:
        """Numbers in [0, 1) of `shape` for each object, on the CPU.

        An object's numbers follow from its own seed: a loss that draws them does not depend on how a batch is shared
        out between processes. `use` tells apart several draws for one batch.
        """
        if self.seeds is None:
            return torch.rand(len(self.points), *shape, dtype=torch.float64)
        drawn = torch.empty(len(self.points), *shape, dtype=torch.float64)
        generator = torch.Generator()
        for row, seed in zip(drawn, self.seeds.tolist(), strict=True):
            row.uniform_(generator=generator.manual_seed(seed + use))
        return drawn

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
