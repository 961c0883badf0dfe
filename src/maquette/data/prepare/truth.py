"""Truth of a triangle mesh that may be open, double-sided or made of parts that intersect.

N points, F faces. Inside is where the generalised winding number (Jacobson et al. 2013) is above one half, read with the fast
approximation of Barill et al. 2018, which is robust to holes.
"""

import numpy as np
from jaxtyping import Bool, Float
import torch

from maquette.shapes import cell_centers

RESOLUTION = 32
"""Cells along each edge of the voxel cube."""


def cell_points(resolution: int) -> Float[np.ndarray, "N 3"]:
    """The centres of all cells in a row, x fastest; float64."""
    return cell_centers(resolution, dtype=torch.float64).reshape(-1, 3).numpy()


def cells_touched(points: Float[np.ndarray, "N 3"], resolution: int) -> Bool[np.ndarray, "Z Y X"]:
    """The cells of the cube [-0.5, 0.5]^3 that hold a point; a point on the cube's faces, give or take rounding, counts as inside."""
    index = np.clip(np.floor((points + 0.5) * resolution).astype(np.int64), 0, resolution - 1)
    grid = np.zeros((resolution, resolution, resolution), dtype=bool)
    grid[index[:, 2], index[:, 1], index[:, 0]] = True
    return grid
