"""`maquette errors PREDICTION TRUTH --out DIR`: where one shape is wrong, measured by another, blue to red."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro

from maquette.diagnose.error_pictures import Errors, write_errors
from maquette.diagnose.errors import errors_between
from maquette.io.load_save import load
from maquette.metrics import failure_of
from maquette.shapes import Shape, bounds, learning_from_world, to_mesh, transform
from maquette.shapes.voxels import Voxels

Normalise = Literal["no", "truth", "each"]


@dataclass(frozen=True)
class ErrorsConfig:
    """Colour two shapes by how far each is from the other: PLY, GLB, a turntable, a histogram and numbers.

    The distance to a mesh is that to its nearest place, exact. A cloud is compared point by point: its distance to
    another sampling of the same surface is not 0.
    """

    prediction: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off, voxels .npz"""
    truth: tyro.conf.Positional[Path]
    """The shape that it should be."""
    out: Path
    """Folder for prediction.ply, truth.ply, both as .glb, the turntable, histogram.png and errors.json. Existing files
    are replaced."""
    normalise: Normalise = "no"
    """no: the files' own frames and units. truth: the truth's box is centred, its diagonal 1, and the prediction goes
    along. each: every shape by its own box."""
    limit: float | None = None
    """Distance from which on the colour is red; 5 % of the diagonal of the truth's box unless told."""
    points: int = 10_000
    """Drawn from each surface for the numbers; a cloud has its own."""
    film: Literal["webp", "gif"] = "webp"
    """Of the turntable."""
    frames: int = 36
    """Pictures of one turn."""
    size: int = 300
    """Width and height of each of the two solids in the turntable, in pixels."""
    seed: int = 0
    """Of the points drawn."""

    def __post_init__(self) -> None:
        if self.limit is not None and not 0 < self.limit < float("inf"):
            raise ValueError(f"errors: limit is {self.limit}; give a distance above 0")
        if self.points < 1 or self.frames < 1 or self.size < 64:
            raise ValueError(
                f"errors: points {self.points}, frames {self.frames}, size {self.size}; give at least 1, 1 and 64"
            )


def write_file_errors(config: ErrorsConfig) -> Errors:
    """Load both, bring them to one frame, measure and write."""
    prediction, truth = (_surface(path) for path in (config.prediction, config.truth))
    prediction, truth = in_one_frame(prediction, truth, config.normalise)
    low, high = bounds(truth).unbind(-2)
    diagonal = float((high - low).norm())
    limit = 0.05 * diagonal if config.limit is None else config.limit
    if not limit > 0:
        raise ValueError(f"{config.truth}: all of it is one point; give a shape with an extent, or --limit")
    generator = torch.Generator().manual_seed(config.seed)
    ours, theirs = errors_between(prediction, truth, points=config.points, generator=generator)
    unit = "in units of the files" if config.normalise == "no" else "the diagonal of the truth's box is 1"
    errors = Errors(ours, theirs, limit, f"distance, {unit}")
    written = write_errors(errors, config.out, film=config.film, frames=config.frames, size=config.size)
    for title, side in (("prediction to truth", ours), ("truth to prediction", theirs)):
        found = side.distances
        print(
            f"{title}: mean {float(found.mean()):.4g}, median {float(found.median()):.4g}, largest "
            f"{float(found.max()):.4g}; {100 * float((found >= limit).double().mean()):.1f} % at {limit:.3g} or more"
        )
    print(unit if config.normalise != "no" else f"the truth's box has a diagonal of {diagonal:.4g} {unit}")
    print(f"{config.out}: {'  '.join(written)}")
    return errors


def in_one_frame(prediction: Shape, truth: Shape, normalise: Normalise) -> tuple[Shape, Shape]:
    """Both as they are, or taken to the frame of the truth's box, or each to that of its own."""
    if normalise == "no":
        return prediction, truth
    to_truth = learning_from_world(truth)
    own = learning_from_world(prediction) if normalise == "each" else to_truth
    return transform(prediction, own), transform(truth, to_truth)


def _surface(path: Path) -> Shape:
    """What is in a file, voxels as their surface; an error where there is none."""
    shape = load(path)
    surface = to_mesh(shape) if isinstance(shape, Voxels) else shape
    failure = failure_of(surface)
    if failure:
        raise ValueError(f"{path}: {failure}; give a shape with a surface")
    return surface
