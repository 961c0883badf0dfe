"""Other people's meshes, cameras and grids taken to the frame of learning. S is the stored frame, L that of learning.

A stored mesh has a front axis by its data set's convention; the frame of learning has the box centred, diagonal 1,
front +z. Cameras go along by a similarity, grids by their filled box.
"""

import functools
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera
from maquette.shapes import Mesh, cell_centers, learning_from_world
from maquette.shapes.voxelize import cells_touched


def stored_mesh(path: Path) -> Mesh:
    """The surface in a file as it stands there, float64, without its materials."""
    from maquette.io import load

    with warnings.catch_warnings():
        # What the reader says concerns materials, and they are not used.
        warnings.simplefilter("ignore")
        shape = load(path)
    if not isinstance(shape, Mesh):
        raise ValueError(f"{path}: has no faces")
    return Mesh(shape.vertices.double(), shape.faces)


@functools.lru_cache(maxsize=65536)
def learning_from_stored(path: Path, front: str) -> Float[Tensor, "4 4"]:
    """The turn of the axis `front` to +z, then box centred and diagonal 1. Kept: every view of a model asks for it."""
    stored = stored_mesh(path)
    turn = transforms.z_from_front(front).double()
    turned = stored.with_vertices(transforms.apply(turn, stored.vertices))
    return learning_from_world(turned).double() @ turn


def learning_mesh(path: Path, front: str) -> Mesh:
    """The surface in a file in the frame of learning."""
    stored = stored_mesh(path)
    return stored.with_vertices(transforms.apply(learning_from_stored(path, front), stored.vertices).float())


def moved(camera: Camera, b_from_a: Float[Tensor, "4 4"]) -> Camera:
    """The camera after a similarity of the world: its position goes along, its axes stay unit vectors."""
    b_from_a = b_from_a.to(camera.world_from_cam)
    scale = torch.linalg.det(b_from_a[:3, :3]).abs() ** (1 / 3)
    rotation = b_from_a[:3, :3] / scale @ camera.world_from_cam[:3, :3]
    position = transforms.apply(b_from_a, camera.world_from_cam[None, :3, 3])[0]
    return replace(camera, world_from_cam=transforms.rigid(rotation, position))


def cells_on_box(
    ours: Bool[np.ndarray, "Z Y X"],
    low: Float[np.ndarray, "3"],
    high: Float[np.ndarray, "3"],
    resolution: int,
) -> Bool[np.ndarray, "D D D"]:
    """Cells of a file, in our axes and order, as our voxels: their filled box is laid on the mesh's box (low, high).

    The file's own scale is not used: it belongs to the program's input, not to the mesh as distributed. Our cell is
    filled when its centre lies in a filled cell, or when it holds the centre of one.
    """
    index = np.argwhere(ours)[:, ::-1]
    if len(index) == 0:
        raise ValueError("cells_on_box: no cell is filled")
    first, last = index.min(0), index.max(0) + 1
    cell = np.where(high > low, (high - low) / (last - first), 1.0)
    voxels = cells_touched(low + (index - first + 0.5) * cell, resolution)
    centers = cell_centers(resolution, dtype=torch.float64).numpy()
    place = np.floor((centers - low) / cell).astype(np.int64) + first
    inside = ((place >= first) & (place < last)).all(-1)
    place = place[inside]
    voxels[inside] |= ours[place[:, 2], place[:, 1], place[:, 0]]
    return voxels
