"""From what a network predicts to a surface that people like to look at: closed, smooth, without floating dust."""

from collections.abc import Sequence

import numpy as np
import torch

from maquette.models.features import Features
from maquette.models.network import SingleView
from maquette.models.occupancy import Meshing, OccupancyDecoder
from maquette.shapes import Mesh, Voxels, to_mesh, without_floaters

PREFERRED = ("occupancy", "voxels", "mesh", "points", "atlas")
"""Which of a network's answers is shown unless told: the first of these that it gives."""
FINE = 128
"""Cells along each side of the cube in which a field's surface is found."""
LEVEL = 0.25
"""Occupancy at which the surface of predicted voxels is taken: below the 0.5 of the best score, since a person minds a
leg that is missing more than one that is too thick."""
FIELD_LEVEL = 0.4
"""As `LEVEL`, of fields, which are sharper: lower, the gaps between legs close; higher, wings are lost."""
SPECKS = 0.02
"""Pieces of a predicted solid smaller than this part of the largest are dropped."""


def preferred(held: Sequence[str]) -> str:
    """The first of `PREFERRED` among the representations of a network."""
    return next(kind for kind in PREFERRED if kind in held)


def fine_surface(model: SingleView, features: Features) -> Mesh:
    """The surface of a picture's field of occupancy: closed, `FINE` cells a side, without small floating pieces.

    At `FIELD_LEVEL`, or lower where a hesitant field does not reach it.
    """
    decoder = model.decoders["occupancy"]
    assert isinstance(decoder, OccupancyDecoder)
    level = min(FIELD_LEVEL, decoder.config.meshing.level)
    for part in (1, 0.5, 0.2, 0.1):
        mesh = decoder.meshes(features, Meshing(FINE, max(1e-4, level * part)))[0]
        if len(mesh.faces):
            return without_floaters(mesh, SPECKS)
    raise ValueError(f"the network's field is nowhere fuller than {0.1 * level:g} for this picture; there is no solid")


def solid_surface(voxels: Voxels) -> Mesh:
    """The surface of predicted occupancies, without small floating pieces.

    At `LEVEL`, or lower where a hesitant prediction has hardly a cell above it, so that every picture gives a solid.
    """
    from scipy import ndimage

    occupancy = voxels.occupancy
    least = max(8, round(0.002 * occupancy.numel()))
    level = min(LEVEL, 0.99 * float(occupancy.flatten().topk(least).values[-1]))
    labels, _ = ndimage.label((occupancy >= level).numpy())
    areas = np.bincount(labels.reshape(-1))
    areas[0] = 0
    specks = (areas < SPECKS * areas.max())[labels] & (labels > 0)
    # Around a dropped piece one more cell is emptied, or its half-full neighbours would stay as dust.
    gone = ndimage.binary_dilation(specks, np.ones((3, 3, 3))) & ~((labels > 0) & ~specks)
    kept = torch.where(torch.from_numpy(gone), 0.0, occupancy)
    return relaxed(to_mesh(Voxels(kept, voxels.world_from_grid), level=level))


def relaxed(mesh: Mesh, rounds: int = 4) -> Mesh:
    """The mesh without the steps of its grid: Taubin's two-step smoothing (1995), which does not shrink it."""
    from scipy import sparse

    count = len(mesh.vertices)
    edges = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).numpy()
    adjacent = sparse.coo_array((np.ones(len(edges), np.float32), (edges[:, 0], edges[:, 1])), (count, count)).tocsr()
    mean = sparse.diags_array(1 / np.maximum(adjacent.sum(1), 1)).astype(np.float32) @ adjacent
    vertices = mesh.vertices.numpy()
    for _ in range(rounds):
        for step in (0.5, -0.53):
            vertices = vertices + np.float32(step) * (mean @ vertices - vertices)
    return mesh.with_vertices(torch.from_numpy(vertices))
