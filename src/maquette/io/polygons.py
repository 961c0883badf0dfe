"""Polygons of files into triangles.

Letters: C corners of all polygons in a row, P polygons, T triangles, V vertices.
"""

import numpy as np
from jaxtyping import Float, Int

LARGEST_CLIPPED = 1000
"""Ear clipping is quadratic; a polygon with more corners becomes a fan."""


def triangulate(
    points: Float[np.ndarray, "V 3"], corners: Int[np.ndarray, " C"], sizes: Int[np.ndarray, " P"]
) -> Int[np.ndarray, "T 3"]:
    """Triangles as positions in `corners`, polygon after polygon; polygon p has `sizes[p]` >= 3 corners and gives
    `sizes[p] - 2`.

    A quad is cut along the diagonal that keeps both halves facing the same way, a convex polygon becomes a fan and a
    concave one is cut ear by ear in the plane of its (Newell) normal.
    """
    starts = np.cumsum(sizes) - sizes
    owner, triangles = [], []

    three = np.flatnonzero(sizes == 3)
    owner.append(three)
    triangles.append(starts[three, None] + np.arange(3))

    four = np.flatnonzero(sizes == 4)
    a, b, c, d = (points[corners[starts[four] + k]] for k in range(4))
    with np.errstate(invalid="ignore", over="ignore"):
        folded = (np.cross(b - a, c - a) * np.cross(c - a, d - a)).sum(-1) < 0
    halves = np.where(folded[:, None], [[0, 1, 3, 1, 2, 3]], [[0, 1, 2, 0, 2, 3]])
    owner.append(np.repeat(four, 2))
    triangles.append((starts[four, None] + halves).reshape(-1, 3))

    for polygon in np.flatnonzero(sizes > 4):
        ring = points[corners[starts[polygon] : starts[polygon] + sizes[polygon]]]
        owner.append(np.full(len(ring) - 2, polygon))
        triangles.append(starts[polygon] + _cut(ring))

    order = np.argsort(np.concatenate(owner), kind="stable")
    return np.concatenate(triangles)[order].astype(np.int64)


def _cut(ring: Float[np.ndarray, "N 3"]) -> Int[np.ndarray, "N-2 3"]:
    """Triangles of one polygon, as positions in `ring`."""
    n = len(ring)
    fan = np.stack([np.zeros(n - 2, np.int64), np.arange(1, n - 1), np.arange(2, n)], -1)
    if n > LARGEST_CLIPPED or not np.isfinite(ring).all():
        return fan
    ring = ring - ring.mean(0)
    following = np.roll(ring, -1, 0)
    normal = np.cross(ring, following).sum(0)  # Newell: twice the area vector, whatever the shape.
    drop = int(np.abs(normal).argmax())
    keep = [(1, 2), (2, 0), (0, 1)][drop]
    plane = ring[:, keep] * (1.0 if normal[drop] >= 0 else -1.0, 1.0)  # counter-clockwise in this plane
    edge = np.roll(plane, -1, 0) - plane
    turn = _cross(np.roll(edge, 1, 0), edge)
    # Convex: every corner turns left, and the turns together go round once.
    angles = np.arctan2(turn, (np.roll(edge, 1, 0) * edge).sum(-1))
    if (turn >= 0).all() and abs(angles.sum() - 2 * np.pi) < 1e-6:
        return fan
    return _clip_ears(plane)


def _clip_ears(plane: Float[np.ndarray, "N 2"]) -> Int[np.ndarray, "N-2 3"]:
    """Ear clipping of a counter-clockwise polygon; where no ear is left (it crosses itself) any corner is cut."""
    n = len(plane)
    before, after = np.roll(np.arange(n), 1), np.roll(np.arange(n), -1)
    alive = np.ones(n, bool)

    def is_ear(i: int) -> bool:
        a, b, c = plane[before[i]], plane[i], plane[after[i]]
        if (b[0] - a[0]) * (c[1] - b[1]) <= (b[1] - a[1]) * (c[0] - b[0]):  # turns right, or goes straight on
            return False
        others = plane[alive]
        inside = (_cross(b - a, others - a) >= 0) & (_cross(c - b, others - b) >= 0) & (_cross(a - c, others - c) >= 0)
        corner = (others == a).all(-1) | (others == b).all(-1) | (others == c).all(-1)
        return not (inside & ~corner).any()

    ears = [i for i in range(n) if is_ear(i)]
    ear = np.zeros(n, bool)
    ear[ears] = True
    triangles = []
    for _ in range(n - 2):
        while ears and not (alive[ears[-1]] and ear[ears[-1]]):
            ears.pop()
        i = ears.pop() if ears else int(np.flatnonzero(alive)[0])
        triangles.append((before[i], i, after[i]))
        alive[i] = False
        after[before[i]], before[after[i]] = after[i], before[i]
        for neighbour in (int(before[i]), int(after[i])):
            ear[neighbour] = is_ear(neighbour)
            if ear[neighbour]:
                ears.append(neighbour)
    return np.array(triangles, np.int64)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
