"""What pictures and truth are made of: an object as it was drawn, or stretched. N points, F faces."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from maquette.data.synthetic.objects import OuterSamples, SyntheticObject, sample_outer_surface, signed_distance
from maquette.data.synthetic.stretch import (
    draw_stretch,
    in_stretched,
    sample_stretched_surface,
    stretched,
    stretched_distance,
)
from maquette.shapes import Mesh


@dataclass(frozen=True)
class Solid:
    """A mesh to look at, and the functions that know its truth."""

    mesh: Mesh
    """Closed parts that intersect, with a colour per face."""
    face_labels: Int[np.ndarray, " F"]
    sample: Callable[[int, np.random.Generator], OuterSamples]
    """So many points on the outer surface, uniform by area. Their faces are those of the object as it was drawn, not of
    `mesh`."""
    distance: Callable[[Float[np.ndarray, "N 3"]], Float[np.ndarray, " N"]]
    """Signed distance, negative inside."""
    inside: Callable[[Float[np.ndarray, "N 3"]], Bool[np.ndarray, " N"]]


def as_drawn(made: SyntheticObject) -> Solid:
    distance = partial(signed_distance, made)
    return Solid(
        made.mesh, made.face_labels, partial(sample_outer_surface, made), distance, lambda points: distance(points) < 0
    )


def as_stretched(made: SyntheticObject, rng: np.random.Generator) -> Solid:
    other = stretched(made, draw_stretch(rng, made.mesh.vertices.abs().amax(0).double().numpy()))
    return Solid(
        other.mesh,
        other.face_labels,
        partial(sample_stretched_surface, other),
        partial(stretched_distance, other),
        partial(in_stretched, other),
    )
