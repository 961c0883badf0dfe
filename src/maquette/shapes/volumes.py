"""Features of points on a grid of cells and back, trilinear. N points, C channels; array order Z Y X.

The grid fills the cube [-0.5, 0.5]^3 in x, y, z, cell centres at (i + 0.5) / R - 0.5, as in `Voxels`. Between the
outermost centres and the sides of the cube values stay as at the centres, so that the weights of a point in the cube
sum to 1 everywhere. Splatting and reading share their weights: each is the transpose of the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maquette.ops.checks import check_shape


@dataclass(frozen=True)
class Volume:
    """What points have left in the cells of the cube."""

    sums: Float[Tensor, "*batch Z Y X C"]
    """Features of the points, each times its weight in the cell."""
    density: Float[Tensor, "*batch Z Y X"]
    """Weights of the points; over all cells, the number of points in the cube."""

    def mean(self, least: float = 1e-4) -> Float[Tensor, "*batch Z Y X C"]:
        """The weighted mean of the features; it fades to 0 where the density is below `least`."""
        return self.sums / self.density.clamp(min=least)[..., None]


def points_to_volume(
    points: Float[Tensor, "*batch N 3"],
    features: Float[Tensor, "*batch N C"],
    *,
    resolution: int | tuple[int, int, int],
) -> Volume:
    """Every point spreads its features over the eight cell centres around it, trilinearly.

    `points` are in the frame of the grid (`transforms.apply(torch.linalg.inv(world_from_grid), points)` takes world
    points there); `resolution` is one number or (Z, Y, X). Points outside the cube, and those not finite, leave nothing
    and get no gradient; no points leave zeros. Gradients flow to points and features. (PyTorch3D's
    `add_pointclouds_to_volumes` gives `mean()` and `density`.)
    """
    size = _size("points_to_volume", resolution)
    check_shape("points_to_volume", "points", points, "*batch N 3")
    if points.shape[:-1] != features.shape[:-1] or points.dtype != features.dtype or points.device != features.device:
        raise ValueError(
            f"points_to_volume: points are {tuple(points.shape)}, {points.dtype} on {points.device}, features "
            f"{tuple(features.shape)}, {features.dtype} on {features.device}; give one row of features a point, alike"
        )
    batch, channels = points.shape[:-2], features.shape[-1]
    places, inside = _places(points, size)
    # Points outside must not bring in NaN, not even times zero.
    kept = torch.where(inside[..., None], features, 0.0)
    rows = torch.cat([kept, inside[..., None].to(points.dtype)], -1).reshape(-1, channels + 1)
    cells = size[0] * size[1] * size[2]
    total = rows.new_zeros(batch.numel() * cells, channels + 1)
    for index, weight in _around(places, size):
        total.index_add_(0, _in_batch(index, cells), rows * weight.reshape(-1, 1))
    grid = total.reshape(*batch, *size, channels + 1)
    return Volume(grid[..., :-1], grid[..., -1])


def volume_at(
    volume: Float[Tensor, "*batch Z Y X C"], points: Float[Tensor, "*batch N 3"]
) -> Float[Tensor, "*batch N C"]:
    """Values of a grid at points of its cube, trilinear between the cell centres.

    0 at points outside the cube and at those not finite, which get no gradient. Gradients flow to the volume and to
    the points.
    """
    check_shape("volume_at", "volume", volume, "*batch Z Y X C")
    check_shape("volume_at", "points", points, "*batch N 3")
    if volume.shape[:-4] != points.shape[:-2] or volume.dtype != points.dtype or volume.device != points.device:
        raise ValueError(
            f"volume_at: the volume is {tuple(volume.shape)}, {volume.dtype} on {volume.device}, the points "
            f"{tuple(points.shape)}, {points.dtype} on {points.device}; give both the same batch, type and device"
        )
    size = _size("volume_at", (volume.shape[-4], volume.shape[-3], volume.shape[-2]))
    channels, cells = volume.shape[-1], size[0] * size[1] * size[2]
    places, inside = _places(points, size)
    flat = volume.reshape(-1, channels)
    total = flat.new_zeros(places.shape[:-1].numel(), channels)
    for index, weight in _around(places, size):
        total = total + flat.index_select(0, _in_batch(index, cells)) * weight.reshape(-1, 1)
    return torch.where(inside[..., None], total.reshape(*points.shape[:-1], channels), 0.0)


def _size(name: str, resolution: int | tuple[int, int, int]) -> tuple[int, int, int]:
    size = (resolution, resolution, resolution) if isinstance(resolution, int) else resolution
    if len(size) != 3 or min(size) < 1:
        raise ValueError(
            f"{name}: resolution is {resolution}; give one number, or (Z, Y, X), of at least one cell along each axis"
        )
    return size


def _places(
    points: Float[Tensor, "*batch N 3"], size: tuple[int, int, int]
) -> tuple[Float[Tensor, "*batch N 3"], Bool[Tensor, "*batch N"]]:
    """Coordinates x, y, z in steps between cell centres, from 0, of the points inside; the middle for the others."""
    inside = (points.abs() <= 0.5).all(-1)
    cells = torch.tensor(size[::-1], dtype=points.dtype, device=points.device)
    steps = (torch.where(inside[..., None], points, 0.0) + 0.5) * cells - 0.5
    return steps.clamp(min=torch.zeros_like(cells), max=cells - 1), inside


def _around(
    places: Float[Tensor, "*batch N 3"], size: tuple[int, int, int]
) -> Iterator[tuple[Int64[Tensor, "*batch N"], Float[Tensor, "*batch N"]]]:
    """The eight cells around each point, one after the other: their numbers in the grid and their weights, of sum 1."""
    last = torch.tensor(size[::-1], device=places.device) - 1
    low = places.detach().floor().long().minimum((last - 1).clamp(min=0))
    high = (low + 1).minimum(last)
    fraction = places - low
    axes = [((low[..., a], 1 - fraction[..., a]), (high[..., a], fraction[..., a])) for a in range(3)]
    for z, weight_z in axes[2]:
        for y, weight_y in axes[1]:
            for x, weight_x in axes[0]:
                yield (z * size[1] + y) * size[2] + x, weight_z * weight_y * weight_x


def _in_batch(index: Int64[Tensor, "*batch N"], cells: int) -> Int64[Tensor, " M"]:
    """Numbers in all grids of the batch, one after the other."""
    flat = index.reshape(index.shape[:-1].numel(), index.shape[-1])
    return (flat + torch.arange(len(flat), device=index.device)[:, None] * cells).reshape(-1)
