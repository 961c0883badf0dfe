"""Where pictures and truths come from: photographs, the views of a data set's object, files of solids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.data.augment import Frame
from maquette.data.dataset import Dataset, Truth, open_dataset
from maquette.data.entries import Entry
from maquette.data.prepare.truth import mesh_truth
from maquette.evaluate.scoring import truth_seen
from maquette.evaluate.viewer import turn_of
from maquette.io import load
from maquette.masks import cut_from_file
from maquette.shapes import Mesh, PointCloud, learning_from_world, transform

POINTS = 4096
"""Drawn from the surface in a file."""


@dataclass(frozen=True)
class Source:
    """A picture to be explained."""

    name: str
    cut: Callable[[], Float[Tensor, "H W 4"]]
    """Reads it and cuts its object out."""


def photographs(paths: Sequence[Path]) -> list[Source]:
    """Files; the object in each is found by `foreground`."""

    return [Source(str(path), partial(cut_from_file, path)) for path in paths]


def object_named(data: Path, id: str, view: int, *, frame: Frame) -> tuple[Source, Truth]:
    """A view of a data set's object, and its truth in the frame that a run predicts in."""
    dataset = open_dataset(data)
    entry = entry_named(dataset, id)
    seen = dataset.view(entry, view)
    name = f"{entry.id}-{view:02d}"
    turn = turn_of(seen.azimuth, seen.elevation, f"view {view} of {entry.id}") if frame == "viewer" else None
    rgba = torch.from_numpy(seen.rgba.astype(np.float32) / 255)
    return Source(name, lambda: rgba), truth_seen(dataset, entry, turn)


def entry_named(dataset: Dataset, id: str) -> Entry:
    for entry in dataset.entries:
        if entry.id == id:
            return entry
    first = ", ".join(entry.id for entry, _ in zip(dataset.entries, range(3), strict=False))
    raise ValueError(f"explain: {dataset.name} has no object {id!r}; its objects are called {first} and so on")


def truth_of_file(path: Path) -> Truth:
    """The solid in a file, front +z, taken to the frame of learning: its box centred, its diagonal 1.

    Of a cloud nothing is known but its points.
    """
    shape = load(path)
    if isinstance(shape, Mesh):
        bare = Mesh(shape.vertices, shape.faces)
        fitted = transform(bare, learning_from_world(bare))
        assert isinstance(fitted, Mesh)
        return mesh_truth(fitted, POINTS, 0)[0]
    if isinstance(shape, PointCloud):
        points = transforms.apply(learning_from_world(shape), shape.points).float().numpy()
        order = np.random.default_rng(0).permutation(len(points))
        return Truth(points[order], None, np.zeros(len(points), np.int16), ("surface",), None)
    raise ValueError(f"explain: {path} holds {type(shape).__name__}; give a mesh or a cloud as --truth")
