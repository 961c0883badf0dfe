"""Solids with a closed triangle mesh and an exact signed distance, and the parts that objects are made of.

Four solids suffice: `Convex` (polytope), `Extrude` (prism over any simple polygon), `Lathe` (a polygon turned into a
solid with N flat sides) and `Tube` (a chain of capsules). The first three are polyhedra: mesh and distance describe the
same surface. A `Tube` with bends of at most 45 degrees has a mesh within 0.15 radii of its capsules: less than 0.3 % of
an object's diagonal up to a radius of 2 %.
Letters: V vertices, F faces, P profile points, A points of an axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int

from maquette.data.synthetic.palette import Palette

Vec = Sequence[float | int] | Float[np.ndarray, "..."]
"""Three (or, in a plane, two) coordinates."""

Choice = TypeVar("Choice")

IDENTITY = np.eye(3)


@dataclass(frozen=True)
class Convex:
    """A convex polytope given by its boundary."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    """Counter-clockwise seen from outside; coplanar triangles are allowed, empty ones are not."""


@dataclass(frozen=True)
class Extrude:
    """A prism: the polygon in the x-y plane, from -half_depth to +half_depth along z."""

    polygon: Float[np.ndarray, "P 2"]
    """Simple, counter-clockwise, not necessarily convex."""
    half_depth: float


@dataclass(frozen=True)
class Lathe:
    """A closed profile (r, y) turned around the y axis with `sides` flat sides: r is the radius of the corners."""

    profile: Float[np.ndarray, "P 2"]
    """Simple, counter-clockwise with r to the right and y up, r >= 0; an edge on the axis closes a full solid."""
    sides: int
    """At least 3. Side k is centred on the angle (k + 1/2) 2 pi / sides from +x towards -z."""


@dataclass(frozen=True)
class Tube:
    """The points within `radius` of a polyline."""

    axis: Float[np.ndarray, "A 3"]
    radius: float


Solid = Convex | Extrude | Lathe | Tube


@dataclass(frozen=True)
class Part:
    """A solid in its place: world point = rotation @ point of the solid + translation."""

    solid: Solid
    label: str
    """What it is: leg, seat, wheel, ..."""
    colour: tuple[float, float, float]
    """sRGB in 0..1."""
    material: str
    """What it looks made of: wood, fabric, metal, paint, glass, ..."""
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]


# meshes of the solids


def solid_mesh(solid: Solid) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """Closed surface of a solid in its own frame, counter-clockwise seen from outside."""
    if isinstance(solid, Convex):
        return solid.vertices, solid.faces
    if isinstance(solid, Extrude):
        return _extrude_mesh(solid)
    if isinstance(solid, Lathe):
        return _lathe_mesh(solid)
    return _tube_mesh(solid)


def part_mesh(part: Part) -> tuple[Float[np.ndarray, "V 3"], Int[np.ndarray, "F 3"]]:
    """Closed surface of a part in the frame of its object."""
    vertices, faces = solid_mesh(part.solid)
    return rotate(part.rotation, vertices) + part.translation, faces


def rotate(rotation: Float[np.ndarray, "3 3"], points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    """Rotation of row vectors, written out so that no BLAS decides the last bit."""
    x, y, z = points[:, 0:1], points[:, 1:2], points[:, 2:3]
    return x * rotation[:, 0] + y * rotation[:, 1] + z * rotation[:, 2]


def after(first: Float[np.ndarray, "3 3"], then: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation that turns by `first`, then by `then`."""
    return rotate(then, first.T).T.copy()


def scaled(part: Part, factor: float, shift: Float[np.ndarray, "3"]) -> Part:
    """The part after world = factor * (world + shift)."""
    solid = part.solid
    if isinstance(solid, Convex):
        solid = replace(solid, vertices=solid.vertices * factor)
    elif isinstance(solid, Extrude):
        solid = replace(solid, polygon=solid.polygon * factor, half_depth=solid.half_depth * factor)
    elif isinstance(solid, Lathe):
        solid = replace(solid, profile=solid.profile * factor)
    else:
        solid = replace(solid, axis=solid.axis * factor, radius=solid.radius * factor)
    return replace(part, solid=solid, translation=(part.translation + shift) * factor)


def triangulate(polygon: Float[np.ndarray, "P 2"]) -> list[tuple[int, int, int]]:
    """Triangles of a simple counter-clockwise polygon by cutting ears, the best-shaped ear first."""
    points = [(float(x), float(y)) for x, y in polygon]
    left = list(range(len(points)))
    triangles = []
    while len(left) > 3:
        best, best_quality = -1, -1.0
        for k in range(len(left)):
            ia, ib, ic = left[k - 1], left[k], left[(k + 1) % len(left)]
            a, b, c = points[ia], points[ib], points[ic]
            area = _cross(a, b, c)
            longest = max(_squared(a, b), _squared(b, c), _squared(c, a))
            quality = area / longest
            if quality <= max(best_quality, 1e-12):
                continue
            if any(
                _cross(a, b, points[i]) >= 0 and _cross(b, c, points[i]) >= 0 and _cross(c, a, points[i]) >= 0
                for i in left
                if i not in (ia, ib, ic)
            ):
                continue
            best, best_quality = k, quality
        if best < 0:
            raise ValueError(
                f"triangulate: no ear among {len(left)} points; the polygon must be simple, counter-clockwise"
            )
        triangles.append((left[best - 1], left[best], left[(best + 1) % len(left)]))
        del left[best]
    triangles.append((left[0], left[1], left[2]))
    return triangles


def _cross(a: Vec, b: Vec, c: Vec) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _squared(a: Vec, b: Vec) -> float:
    return (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2


def _extrude_mesh(solid: Extrude) -> tuple[np.ndarray, np.ndarray]:
    n = len(solid.polygon)
    back = np.column_stack([solid.polygon, np.full(n, -solid.half_depth)])
    front = np.column_stack([solid.polygon, np.full(n, solid.half_depth)])
    cap = np.array(triangulate(solid.polygon))
    i = np.arange(n)
    j = (i + 1) % n
    sides = np.concatenate([np.column_stack([i, j, j + n]), np.column_stack([i, j + n, i + n])])
    return np.concatenate([back, front]), np.concatenate([cap[:, ::-1], cap + n, sides])


def _lathe_mesh(solid: Lathe) -> tuple[np.ndarray, np.ndarray]:
    profile, sides = solid.profile, solid.sides
    n = len(profile)
    axis = [bool(r < 1e-12) for r in profile[:, 0]]
    start, count = [], 0
    for on_axis in axis:
        start.append(count)
        count += 1 if on_axis else sides
    angle = np.arange(sides) * (2 * np.pi / sides)
    circle = np.column_stack([np.cos(angle), np.zeros(sides), -np.sin(angle)])
    vertices = np.concatenate(
        [
            np.array([[0.0, y, 0.0]]) if on_axis else circle * r + np.array([0.0, y, 0.0])
            for (r, y), on_axis in zip(profile, axis, strict=True)
        ]
    )
    i = np.arange(sides)
    j = (i + 1) % sides
    faces = []
    for p in range(n):
        q = (p + 1) % n
        if axis[p] and axis[q]:
            continue
        a, b = start[p], start[q]
        if axis[p]:
            faces.append(np.column_stack([np.full(sides, a), b + j, b + i]))
        elif axis[q]:
            faces.append(np.column_stack([a + i, a + j, np.full(sides, b)]))
        else:
            faces.append(np.column_stack([a + i, a + j, b + j]))
            faces.append(np.column_stack([a + i, b + j, b + i]))
    return vertices, np.concatenate(faces)


def _tube_mesh(solid: Tube, sides: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Rings on mitre planes, a round cap of two rings at each end; corners lie as far outside as sides lie inside."""
    axis, n = solid.axis, len(solid.axis)
    radius = solid.radius * 2 / (1 + math.cos(math.pi / sides))
    step = np.diff(axis, axis=0)
    step = step / np.sqrt((step * step).sum(1, keepdims=True))
    tangent = np.concatenate([step[:1], step[:-1] + step[1:], step[-1:]])
    tangent /= np.sqrt((tangent * tangent).sum(1, keepdims=True))
    helper = np.zeros(3)
    helper[int(np.argmin(np.abs(step[0])))] = 1.0
    side = np.cross(step[0], helper)
    side = side / math.sqrt(float((side * side).sum()))
    angle = np.arange(sides) * (2 * np.pi / sides)
    rings = []
    for k in range(n):
        # The frame is carried around each bend by the least rotation, then cut by the mitre plane.
        along = step[min(k, n - 2)]
        if 0 < k < n - 1:
            side = side - (step[k - 1] + along) * ((side * along).sum() / (1 + (step[k - 1] * along).sum()))
        up = np.cross(along, side)
        ring = radius * (np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * up)
        ring = ring - along * ((ring * tangent[k]).sum(1, keepdims=True) / (along * tangent[k]).sum())
        rings.append(axis[k] + ring)
    first, last = axis[0], axis[-1]
    half = math.sqrt(0.5)
    start = first + (rings[0] - first) * half - step[0] * solid.radius * half
    end = last + (rings[-1] - last) * half + step[-1] * solid.radius * half
    rings = [start, *rings, end]
    tips = np.stack([first - step[0] * solid.radius, last + step[-1] * solid.radius])
    vertices = np.concatenate([*rings, tips])
    i = np.arange(sides)
    j = (i + 1) % sides
    faces = [np.column_stack([np.full(sides, len(vertices) - 2), j, i])]
    for k in range(len(rings) - 1):
        a, b = k * sides, (k + 1) * sides
        faces.append(np.column_stack([a + i, a + j, b + j]))
        faces.append(np.column_stack([a + i, b + j, b + i]))
    top = (len(rings) - 1) * sides
    faces.append(np.column_stack([top + i, top + j, np.full(sides, len(vertices) - 1)]))
    return vertices, np.concatenate(faces)


# making convex solids


def loft(rings: Sequence[tuple[float, Sequence[Vec]]]) -> Convex:
    """A polytope through rings (y, polygon of (x, z)), from the lowest to the highest.

    All rings have the same number of points and parallel edges (so that the sides between them are flat), and run from
    +x towards -z, counter-clockwise seen from above.
    """
    n = len(rings[0][1])
    vertices = np.array([(x, y, z) for y, polygon in rings for x, z in polygon], dtype=np.float64)
    i = np.arange(n)
    j = (i + 1) % n
    fan = np.column_stack([np.zeros(n - 2, dtype=np.int64), np.arange(1, n - 1), np.arange(2, n)])
    faces = [fan[:, ::-1]]
    for k in range(len(rings) - 1):
        a, b = k * n, (k + 1) * n
        faces.append(np.column_stack([a + i, a + j, b + j]))
        faces.append(np.column_stack([a + i, b + j, b + i]))
    faces.append(fan + (len(rings) - 1) * n)
    return Convex(vertices, np.concatenate(faces))


def rectangle(width: float, depth: float, cut: float = 0.0, centre: Vec = (0.0, 0.0)) -> list[Vec]:
    """Corners (x, z) of a rectangle, its corners cut off at 45 degrees by `cut`, in the order that `loft` wants."""
    a, b, x, z = width / 2, depth / 2, centre[0], centre[1]
    if cut <= 0:
        return [(x + a, z + b), (x + a, z - b), (x - a, z - b), (x - a, z + b)]
    c = min(cut, 0.95 * a, 0.95 * b)
    return [
        (x + a, z + b - c),
        (x + a, z - b + c),
        (x + a - c, z - b),
        (x - a + c, z - b),
        (x - a, z - b + c),
        (x - a, z + b - c),
        (x - a + c, z + b),
        (x + a - c, z + b),
    ]


def block(size: Vec, bevel: float = 0.0, steps: int = 1) -> Convex:
    """A box (width x, height y, depth z) around the origin; all edges bevelled, in `steps` flats."""
    width, height, depth = (float(side) for side in size)
    bevel = min(bevel, 0.45 * min(width, height, depth))
    if bevel <= 0:
        return loft([(-height / 2, rectangle(width, depth)), (height / 2, rectangle(width, depth))])
    rings = []
    for k in range(steps + 1):
        angle = 0.5 * math.pi * k / steps
        inset = bevel * (1 - math.sin(angle))
        cut = max(bevel * (0.75 if steps > 1 else 1.0) - 0.5858 * inset, 0.2 * bevel)
        rings.append((bevel * (1 - math.cos(angle)) - height / 2, rectangle(width - 2 * inset, depth - 2 * inset, cut)))
    return loft([*rings, *[(-y, polygon) for y, polygon in reversed(rings)]])


def taper(height: float, bottom: Vec, top: Vec, shift: Vec = (0.0, 0.0), bevel: float = 0.0) -> Convex:
    """A frustum standing on y = 0: rectangles (width, depth) at bottom and top, the top's centre moved by (x, z)."""
    if bevel <= 0:
        return loft([(0.0, rectangle(bottom[0], bottom[1])), (height, rectangle(top[0], top[1], 0.0, shift))])
    cut = min(bevel, 0.4 * min(*bottom, *top))
    drop = min(bevel, 0.3 * height)
    small = (max(top[0] - 2 * bevel, 0.3 * top[0]), max(top[1] - 2 * bevel, 0.3 * top[1]))
    t = 1 - drop / height
    return loft(
        [
            (0.0, rectangle(bottom[0], bottom[1], cut)),
            (
                height - drop,
                rectangle(
                    bottom[0] + (top[0] - bottom[0]) * t,
                    bottom[1] + (top[1] - bottom[1]) * t,
                    cut,
                    (shift[0] * t, shift[1] * t),
                ),
            ),
            (height, rectangle(small[0], small[1], 0.5 * cut, shift)),
        ]
    )


def disc(radius: float, height: float, sides: int, *, top: float | None = None, bevel: float = 0.0) -> Lathe:
    """A solid cylinder or cone frustum around the y axis, standing on y = 0, with `top` as its upper radius."""
    upper = radius if top is None else top
    bevel = min(bevel, 0.45 * height, 0.6 * upper)
    if bevel <= 0:
        return Lathe(np.array([(0.0, 0.0), (radius, 0.0), (upper, height), (0.0, height)]), sides)
    return Lathe(
        np.array([(0.0, 0.0), (radius, 0.0), (upper, height - bevel), (upper - bevel, height), (0.0, height)]), sides
    )


def turned(profile: Sequence[Vec], sides: int) -> Lathe:
    """A full solid of revolution from (r, y), bottom to top; the axis closes it."""
    points = [(float(r), float(y)) for r, y in profile]
    if points[0][0] > 0:
        points = [(0.0, points[0][1]), *points]
    if points[-1][0] > 0:
        points = [*points, (0.0, points[-1][1])]
    return Lathe(np.array(points), sides)


def ring(inner: float, outer: float, height: float, sides: int) -> Lathe:
    """A flat ring around the y axis, standing on y = 0."""
    return Lathe(np.array([(inner, 0.0), (outer, 0.0), (outer, height), (inner, height)]), sides)


def beam_pose(a: Vec, b: Vec, up: Vec = (0.0, 0.0, 1.0)) -> tuple[np.ndarray, np.ndarray, float]:
    """Rotation that turns +y to the direction from a to b (and +z as near to `up` as it can), midpoint, length."""
    start, end = np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)
    along = end - start
    length = math.sqrt(float((along * along).sum()))
    y = along / length
    z = np.array(up, dtype=np.float64)
    z = z - y * (z * y).sum()
    norm = math.sqrt(float((z * z).sum()))
    if norm < 1e-6:
        return beam_pose(a, b, (1.0, 0.0, 0.0) if abs(y[0]) < 0.9 else (0.0, 1.0, 0.0))
    z = z / norm
    x = np.cross(y, z)
    return np.column_stack([x, y, z]), (start + end) / 2, length


def turn_x(angle: float) -> Float[np.ndarray, "3 3"]:
    """Rotation about x by `angle` radians: +y goes towards +z."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


def turn_y(angle: float) -> Float[np.ndarray, "3 3"]:
    """Rotation about y by `angle` radians: +z goes towards +x."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def turn_z(angle: float) -> Float[np.ndarray, "3 3"]:
    """Rotation about z by `angle` radians: +x goes towards +y."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


ALONG_X = turn_z(-math.pi / 2)
"""Turns the y axis of a solid to +x (wheels, rolls)."""
ALONG_Z = turn_x(math.pi / 2)
"""Turns the y axis of a solid to +z (noses, engines)."""


def rounded_path(points: Sequence[Vec] | Float[np.ndarray, "B 3"], radius: float) -> Float[np.ndarray, "A 3"]:
    """The polyline with each inner corner replaced by an arc of three points, at most `radius` from the corner."""
    out = [np.array(points[0], dtype=np.float64)]
    for a, b, c in zip(points[:-2], points[1:-1], points[2:], strict=True):
        p, q, r = (np.array(v, dtype=np.float64) for v in (a, b, c))
        before, after = p - q, r - q
        before = before / math.sqrt(float((before * before).sum()))
        after = after / math.sqrt(float((after * after).sum()))
        out += [q + radius * before, q + 0.29 * radius * (before + after), q + radius * after]
    out.append(np.array(points[-1], dtype=np.float64))
    return np.stack(out)


# putting parts in place


def place(
    solid: Solid,
    label: str,
    palette: Palette,
    material: str,
    at: Vec = (0.0, 0.0, 0.0),
    *,
    turn: Float[np.ndarray, "3 3"] = IDENTITY,
) -> Part:
    """A part with the palette's colour for its material, its solid's origin at `at`."""
    return Part(solid, label, getattr(palette, material), material, turn, np.array(at, dtype=np.float64))


def rod(
    a: Vec, b: Vec, thickness: Vec, label: str, palette: Palette, material: str, *, up: Vec = (0.0, 0.0, 1.0)
) -> Part:
    """A straight bar from a to b, `thickness` wide across `up` and deep along it, with flat ends."""
    rotation, middle, length = beam_pose(a, b, up)
    return place(block((thickness[0], length, thickness[1])), label, palette, material, middle, turn=rotation)


def spindle(a: Vec, b: Vec, radius: float, sides: int, label: str, palette: Palette, material: str) -> Part:
    """A round bar from a to b with flat ends."""
    rotation, middle, length = beam_pose(a, b)
    solid = Lathe(np.array([(0.0, -length / 2), (radius, -length / 2), (radius, length / 2), (0.0, length / 2)]), sides)
    return place(solid, label, palette, material, middle, turn=rotation)


def moved(parts: Sequence[Part], turn: Float[np.ndarray, "3 3"], at: Vec) -> list[Part]:
    """Parts turned about the origin, then shifted."""
    shift = np.array(at, dtype=np.float64)
    return [
        replace(
            part,
            rotation=after(part.rotation, turn),
            translation=rotate(turn, part.translation[None])[0] + shift,
        )
        for part in parts
    ]


@dataclass(frozen=True)
class Finish:
    """How finely an object is modelled, from sharp boxes to soft bevels."""

    bevel: float
    """Width of bevels as a share of a part's typical thickness, 0 for sharp edges."""
    steps: int
    """Flats per bevel."""
    sides: int
    """Flat sides of round parts: 6 for coarse models to 24."""


def draw_finish(rng: np.random.Generator) -> Finish:
    """Half of the objects is sharp, the others are bevelled."""
    bevel = 0.0 if rng.uniform() < 0.45 else float(rng.uniform(0.08, 0.45))
    return Finish(bevel, 1 + int(rng.uniform() < 0.35), int(rng.choice([6, 8, 8, 10, 12, 16, 20, 24])))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A uniform number as a plain float."""
    return float(low + (high - low) * rng.random())


def pick(rng: np.random.Generator, options: Sequence[Choice], weights: Sequence[float | int] | None = None) -> Choice:
    """One of the options, by weight."""
    if weights is None:
        return options[int(rng.random() * len(options))]
    level = rng.random() * sum(weights)
    for option, weight in zip(options, weights, strict=True):
        level -= weight
        if level < 0:
            return option
    return options[-1]
