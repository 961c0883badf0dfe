"""Voxels as a NumPy archive: `occupancy` (Z Y X, float32) and `world_from_grid` (4 x 4). Read without pickle."""

import io
from pathlib import Path

import numpy as np
import torch

from maquette.io.archive import read_archive
from maquette.io.atomic import write_bytes
from maquette.shapes.voxels import Voxels

MOST_CELLS = 512**3
"""Half a gigabyte. An archive may unpack to a thousand times its size; a larger grid is refused from its header."""


def read_voxels(path: Path) -> Voxels:
    """A grid that `save` wrote, or anybody's .npz with the same two arrays."""
    arrays = read_archive(path, {"occupancy": MOST_CELLS, "world_from_grid": 16})
    occupancy, matrix = (arrays[name].astype(np.float32) for name in ("occupancy", "world_from_grid"))
    if occupancy.ndim != 3 or 0 in occupancy.shape or matrix.shape != (4, 4):
        raise OSError(
            f"{path}: occupancy {occupancy.shape} and world_from_grid {matrix.shape} are not (Z, Y, X) and (4, 4)"
        )
    if not np.isfinite(occupancy).all() or not np.isfinite(matrix).all():
        raise OSError(f"{path}: holds values that are NaN or infinite")
    return Voxels(torch.from_numpy(occupancy), torch.from_numpy(matrix))


def write_voxels(voxels: Voxels, path: Path) -> None:
    """A compressed archive with both arrays in float32."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        occupancy=voxels.occupancy.detach().cpu().float().numpy(),
        world_from_grid=voxels.world_from_grid.detach().cpu().float().numpy(),
    )
    write_bytes(path, file.getvalue())
