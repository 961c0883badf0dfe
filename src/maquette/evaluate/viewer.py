"""The viewer's frame: truth and answers turned so that the camera of a picture stands at azimuth 0, elevation 0.

A network that learnt in it (`Augmentation.frame`) predicts in it, and is measured in it. Q places, N points.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.data.augment import turned_voxels, viewer_from_object
from maquette.data.dataset import Truth
from maquette.shapes import Mesh, PointCloud


def turn_of(azimuth: float, elevation: float, whose: str) -> Float[Tensor, "3 3"]:
    """The rotation from the object's frame to that of a viewer at (azimuth, elevation), radians."""
    if not (math.isfinite(azimuth) and math.isfinite(elevation)):
        raise ValueError(
            f"evaluate: the run learnt in the viewer's frame, and the camera of {whose} is not known; choose data "
            "with cameras, or a run that learnt in the frame of the object"
        )
    return viewer_from_object(torch.tensor(azimuth), torch.tensor(elevation))


def turned_truth(truth: Truth, turn: Float[Tensor, "3 3"]) -> Truth:
    """The truth after a rotation about the origin.

    Cells are looked up where their middles came from. Places stay evenly strewn, over the turned cube.
    """
    rotation = turn.numpy()

    def moved(vectors: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        return vectors @ rotation.T

    about, cells = truth.surroundings, truth.voxels
    return replace(
        truth,
        points=moved(truth.points),
        normals=None if truth.normals is None else moved(truth.normals),
        voxels=None if cells is None else turned_cells(torch.from_numpy(cells), turn).numpy(),
        surroundings=None if about is None else replace(about, places=moved(about.places)),
    )


def turned_cells(cells: Bool[Tensor, "Z Y X"], turn: Float[Tensor, "3 3"]) -> Bool[Tensor, "Z Y X"]:
    return turned_voxels(cells[None].float(), turn[None])[0] > 0.5


def turned_surface(surface: Mesh | PointCloud, turn: Float[Tensor, "3 3"]) -> Mesh | PointCloud:
    if isinstance(surface, Mesh):
        return surface.with_vertices(surface.vertices @ turn.T)
    normals = None if surface.normals is None else surface.normals @ turn.T
    return PointCloud(surface.points @ turn.T, normals=normals)
