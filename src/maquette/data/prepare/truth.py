"""Truth of a triangle mesh that may be open, double-sided or made of parts that intersect.

N points, F faces. Inside is where the generalised winding number (Jacobson et al. 2013) is above one half, read with the fast
approximation of Barill et al. 2018, which is robust to holes.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float

from maquette.shapes import cell_centers

RESOLUTION = 32
"""Cells along each edge of the voxel cube."""


def solid_cells(
    is_inside: Callable[[Float[np.ndarray, "N 3"]], Bool[np.ndarray, " N"]],
    touched: Bool[np.ndarray, "Z Y X"],
    surface: Float[np.ndarray, "M 3"],
) -> Bool[np.ndarray, "Z Y X"]:
    """The cells that the surface touches and those whose centre is inside; asks only about centres in the surface's box."""
    centers = cell_centers(len(touched), dtype=torch.float64).numpy()
    low, high = surface.min(0), surface.max(0)
    ask = ~touched & ((centers >= low) & (centers <= high)).all(-1)
    solid = touched.copy()
    solid[ask] = is_inside(centers[ask])
    return solid


def cells_touched(points: Float[np.ndarray, "N 3"], resolution: int) -> Bool[np.ndarray, "Z Y X"]:
    """The cells of the cube [-0.5, 0.5]^3 that hold a point; a point on the cube's faces, give or take rounding, counts as inside."""
    index = np.clip(np.floor((points + 0.5) * resolution).astype(np.int64), 0, resolution - 1)
    grid = np.zeros((resolution, resolution, resolution), dtype=bool)
    grid[index[:, 2], index[:, 1], index[:, 0]] = True
    return grid
