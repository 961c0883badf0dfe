"""Voxels: how full every cell of a box is. Array order Z Y X; cell centres at (i + 0.5) / R - 0.5 of the unit cube."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Voxels:
    """A grid of occupancies, or `*batch` of them in one box."""

    occupancy: Float[Tensor, "*batch Z Y X"]
    """0 empty .. 1 full; a network's probabilities, never logits."""
    world_from_grid: Float[Tensor, "4 4"]
    """Takes the cube [-0.5, 0.5]^3 in x, y, z that the grid fills to the world."""


def cell_centers(resolution: int, *, dtype=torch.float32, device=None) -> Float[Tensor, "Z Y X 3"]:
    """(x, y, z) of every cell's centre in the cube [-0.5, 0.5]^3, in the array order of `Voxels`."""
    line = (torch.arange(resolution, dtype=dtype, device=device) + 0.5) / resolution - 0.5
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([x, y, z], -1)


def cells_of_points(points: Float[Tensor, "N 3"], resolution: int) -> Float[Tensor, "Z Y X"]:
    """1 in the cells of the cube [-0.5, 0.5]^3 that hold a point, else 0; points outside the cube are an error."""
    index = ((points + 0.5) * resolution).floor().long()
    # A point on the far face belongs to the last cell.
    index = torch.where(points == 0.5, resolution - 1, index)
    if bool(((index < 0) | (index >= resolution)).any()):
        raise ValueError(f"cells_of_points: points reach {points.abs().max().item():g}, the cube ends at 0.5")
    grid = torch.zeros(resolution**3, dtype=points.dtype, device=points.device)
    grid[(index[:, 2] * resolution + index[:, 1]) * resolution + index[:, 0]] = 1
    return grid.reshape(resolution, resolution, resolution)
