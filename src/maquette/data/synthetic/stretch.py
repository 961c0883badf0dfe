"""Objects stretched unevenly along their axes: proportions that no list of choices holds.

Each axis is mapped by an increasing function of its own. So what is level, upright or joined stays so, while a seat
grows deep, legs thick and short, a back low. The map can be undone: truth follows from the object's own. N points.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from maquette.data.synthetic.objects import OuterSamples, SyntheticObject, sample_outer_surface, signed_distance
from maquette.shapes import FaceColors, Mesh
from maquette.shapes.closest import offsets

SCALE = 0.22
"""Standard deviation of the logarithm of each axis' scale."""
UNEVEN = 0.28
"""Standard deviation of the height of each of the three waves that make up the logarithm of an axis' slope."""
EVEN = 0.2
"""Share of the axes that are scaled and nothing else."""
LOPSIDED = 0.1
"""Share of the objects whose left and right may differ."""
KNOTS = 129
"""An axis' function is linear between so many places."""
LONGEST = 0.13
"""Edges are halved until none is longer, in diagonals of the object before: straight edges bend with the map."""
SPARE = 3
"""Samples of the object before, drawn at a time for each of the stretched one: most are not kept."""


@dataclass(frozen=True)
class Stretch:
    """An increasing, piecewise linear function for each axis; beyond its first and last knot the slope is 1."""

    before: Float[np.ndarray, "3 K"]
    """Knots, increasing."""
    after: Float[np.ndarray, "3 K"]
    """Where they go, increasing."""

    def of(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        return _along_axes(self.before, self.after, points)

    def undone(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        return _along_axes(self.after, self.before, points)

    def slopes(self, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
        """How much longer each axis becomes at points between its knots, before the stretch."""
        slopes = np.diff(self.after) / np.diff(self.before)
        return np.stack(
            [
                slopes[axis, (np.searchsorted(self.before[axis], points[:, axis]) - 1).clip(0, slopes.shape[1] - 1)]
                for axis in range(3)
            ],
            1,
        )


@dataclass(frozen=True)
class StretchedObject:
    """An object after a stretch, in the frame of learning."""

    mesh: Mesh
    """The object's closed parts, their long edges halved, with a colour per face."""
    face_labels: Int[np.ndarray, " F"]
    before: SyntheticObject
    stretch: Stretch


def draw_stretch(rng: np.random.Generator, half: Float[np.ndarray, "3"]) -> Stretch:
    """Of an object whose centred bounding box has the half sides `half`: the box stays centred, its diagonal is 1."""
    assert (half > 0).all()  # parts are solid
    symmetric = rng.random() >= LOPSIDED
    at = np.linspace(-1, 1, KNOTS)
    to, scale = np.empty((3, KNOTS)), np.empty(3)
    for axis in range(3):
        heights = rng.normal(0.0, UNEVEN, 3) * (rng.random() >= EVEN)
        phases = rng.uniform(0, 2 * math.pi, 3)
        # Left and right are each other's mirror image when the slope depends on the distance from the middle alone.
        along = 2 * np.abs(at) - 1 if axis == 0 and symmetric else at
        waves = np.cos(math.pi * (along + 1) / 2 * np.arange(1, 4)[:, None] + phases[:, None])
        slope = np.exp((heights[:, None] * waves).sum(0))
        length = np.concatenate([[0.0], np.cumsum(slope[1:] + slope[:-1])])
        to[axis] = 2 * length / length[-1] - 1
        scale[axis] = math.exp(rng.normal(0.0, SCALE))
    sides = half * scale
    sides = sides / math.sqrt(float((2 * sides) @ (2 * sides)))
    return Stretch(half[:, None] * at, sides[:, None] * to)


def stretched(obj: SyntheticObject, stretch: Stretch) -> StretchedObject:
    mesh, face_labels = obj.mesh, obj.face_labels
    assert isinstance(mesh.appearance, FaceColors)
    corners, origin = _halved(mesh.vertices.numpy().astype(np.float64)[mesh.faces.numpy()], LONGEST)
    # Corners of one part that lie in one place are one vertex; parts stay apart.
    owner = np.repeat(obj.face_parts[origin], 3).astype(np.float64)
    rows, faces = np.unique(np.column_stack([owner, corners.reshape(-1, 3)]), axis=0, return_inverse=True)
    vertices = stretch.of(rows[:, 1:])
    finer = Mesh(
        torch.from_numpy(vertices.astype(np.float32)),
        torch.from_numpy(faces.reshape(-1, 3).astype(np.int64)),
        FaceColors(mesh.appearance.colors[torch.from_numpy(origin)]),
    )
    return StretchedObject(finer, face_labels[origin], obj, stretch)


def in_stretched(obj: StretchedObject, points: Float[np.ndarray, "N 3"]) -> Bool[np.ndarray, " N"]:
    """Exact: whether the object before holds the places that the points come from."""
    return signed_distance(obj.before, obj.stretch.undone(points)) < 0


def stretched_distance(obj: StretchedObject, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
    """Signed distance to the union of the stretched parts, of exact sign, negative inside.

    Its size is that to the nearest face of the mesh: within a chord's height of the truth outside, and inside never
    further from 0, for walls that lie inside another part count.
    """
    away = offsets(obj.mesh, torch.from_numpy(points).float()).norm(dim=-1).double().numpy()
    return np.where(in_stretched(obj, points), -away, away)


def sample_stretched_surface(obj: StretchedObject, n: int, rng: np.random.Generator) -> OuterSamples:
    """`n` points on the outer surface, uniform by area; `faces` are those of the object before.

    Points of the object before are kept with the share of the largest area that their surroundings may get. Normals are
    those of the stretched surface.
    """
    most = np.sort((np.diff(obj.stretch.after) / np.diff(obj.stretch.before)).max(1))
    bound = float(most[1] * most[2])  # no element of area grows more than by its two longest axes
    points, normals, faces, found = [], [], [], 0
    while found < n:
        samples = sample_outer_surface(obj.before, SPARE * n, rng)
        slopes = obj.stretch.slopes(samples.points)
        # Nanson's formula: an element of area n dA becomes det(J) J^-T n dA.
        across = samples.normals / slopes
        length = np.sqrt((across * across).sum(1))
        kept = rng.random(len(length)) * bound < slopes.prod(1) * length
        points.append(obj.stretch.of(samples.points[kept]))
        normals.append(across[kept] / length[kept, None])
        faces.append(samples.faces[kept])
        found += int(kept.sum())
    return OuterSamples(np.concatenate(points)[:n], np.concatenate(normals)[:n], np.concatenate(faces)[:n])


def _along_axes(
    places: Float[np.ndarray, "3 K"], values: Float[np.ndarray, "3 K"], points: Float[np.ndarray, "N 3"]
) -> Float[np.ndarray, "N 3"]:
    within = points.clip(places[:, 0], places[:, -1])
    moved = [np.interp(within[:, axis], places[axis], values[axis]) for axis in range(3)]
    return np.stack(moved, 1) + (points - within)


def _halved(
    corners: Float[np.ndarray, "F 3 3"], longest: float
) -> tuple[Float[np.ndarray, "G 3 3"], Int[np.ndarray, " G"]]:
    """Triangles cut across their longest edge until no edge is longer, and the triangle each comes from.

    Whether an edge is halved depends on its length alone, so both triangles at it halve it alike: nothing opens.
    """
    origin = np.arange(len(corners))
    done: list[tuple[np.ndarray, np.ndarray]] = []
    while len(corners):
        edges = np.roll(corners, -1, axis=1) - corners
        squared = (edges * edges).sum(-1)
        first = squared.argmax(1)
        long = squared[np.arange(len(first)), first] > longest * longest
        done.append((corners[~long], origin[~long]))
        corners, origin, first = corners[long], origin[long], first[long]
        row = np.arange(len(corners))
        a, b, c = (corners[row, (first + k) % 3] for k in range(3))
        middle = (a + b) / 2
        corners = np.concatenate([np.stack([a, middle, c], 1), np.stack([middle, b, c], 1)])
        origin = np.concatenate([origin, origin])
    return np.concatenate([tri for tri, _ in done]), np.concatenate([index for _, index in done])
