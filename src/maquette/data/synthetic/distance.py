"""The exact signed distance of a union of parts, as one numba kernel over packed parts.

Each part is a row of `pose` (rotation from world to solid, translation, bounding box in its own frame) and a slice of
`data`. Convex: its planes (n, d), then per face normal, offset and corners. Extrude: half depth, then points. Lathe:
sides, then points. Tube: radius, then points.
The distance of the union is the least distance of the parts: exact outside, and of exact sign everywhere.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numba import njit

from maquette.data.synthetic.parts import Convex, Extrude, Lathe, Part, Tube, solid_mesh

CONVEX, EXTRUDE, LATHE, TUBE = 0, 1, 2, 3


@dataclass(frozen=True)
class Packed:
    """Parts as the kernel reads them."""

    kind: Int[np.ndarray, " K"]
    pose: Float[np.ndarray, "K 18"]
    """Rotation (rows are the solid's axes in the world), translation, centre and half sides of the solid's own box."""
    start: Int[np.ndarray, " K+1"]
    """Slices of `data`."""
    data: Float[np.ndarray, " D"]


def pack(parts: Sequence[Part]) -> Packed:
    """Parts in the form the kernel reads."""
    kinds, poses, chunks = [], [], []
    for part in parts:
        solid = part.solid
        if isinstance(solid, Convex):
            a, b, c = (solid.vertices[solid.faces[:, k]] for k in range(3))
            normal = np.cross(b - a, c - a)
            normal = normal / np.sqrt((normal * normal).sum(1, keepdims=True))
            offset = (normal * a).sum(1, keepdims=True)
            # Flat sides of four or more corners are two or more faces: their plane is kept once.
            planes = np.concatenate([normal, offset], axis=1)
            planes = planes[np.unique(np.round(planes, 9), axis=0, return_index=True)[1]]
            rows = np.concatenate([normal, offset, a, b, c], axis=1)
            kind, chunk = CONVEX, np.concatenate([[float(len(planes))], planes.ravel(), rows.ravel()])
        elif isinstance(solid, Extrude):
            kind, chunk = EXTRUDE, np.concatenate([[solid.half_depth], solid.polygon.ravel()])
        elif isinstance(solid, Lathe):
            kind, chunk = LATHE, np.concatenate([[float(solid.sides)], solid.profile.ravel()])
        else:
            kind, chunk = TUBE, np.concatenate([[solid.radius], solid.axis.ravel()])
        vertices, _ = solid_mesh(solid)
        low, high = vertices.min(0), vertices.max(0)
        # A tube's mesh lies partly within its capsules; a hair of slack keeps the others' bounds below their distance.
        slack = 0.2 * solid.radius if isinstance(solid, Tube) else 1e-9
        kinds.append(kind)
        poses.append(
            np.concatenate([part.rotation.T.ravel(), part.translation, (low + high) / 2, (high - low) / 2 + slack])
        )
        chunks.append(chunk)
    start = np.concatenate([[0], np.cumsum([len(chunk) for chunk in chunks])])
    return Packed(np.array(kinds, dtype=np.int64), np.stack(poses), start.astype(np.int64), np.concatenate(chunks))


def union_distance(packed: Packed, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
    """Signed distance of the union of all parts, negative inside, in the units of the points."""
    out = np.empty(len(points))
    _union(packed.kind, packed.pose, packed.start, packed.data, np.ascontiguousarray(points, dtype=np.float64), out)
    return out


def buried(
    packed: Packed,
    points: Float[np.ndarray, "N 3"],
    normals: Float[np.ndarray, "N 3"],
    own: Int[np.ndarray, " N"],
    gap: float,
) -> Bool[np.ndarray, " N"]:
    """Whether a point on the surface of part `own` is not on the outer surface of the union.

    A point counts as buried if the place `gap` in front of it is within gap / 2 of another part or inside it, or if it
    lies on a part that comes earlier in the list (of two coincident faces one is kept).
    """
    out = np.empty(len(points), dtype=np.bool_)
    _buried(packed.kind, packed.pose, packed.start, packed.data, points, normals, own, gap, out)
    return out


@njit(cache=True, nogil=True)
def _segment(px, py, ax, ay, bx, by):
    """Squared distance to a segment in the plane."""
    ux, uy, vx, vy = bx - ax, by - ay, px - ax, py - ay
    t = (ux * vx + uy * vy) / (ux * ux + uy * uy)
    t = min(max(t, 0.0), 1.0)
    dx, dy = vx - t * ux, vy - t * uy
    return dx * dx + dy * dy


@njit(cache=True, nogil=True)
def _segment3(px, py, pz, ax, ay, az, bx, by, bz):
    """Squared distance to a segment in space."""
    ux, uy, uz = bx - ax, by - ay, bz - az
    vx, vy, vz = px - ax, py - ay, pz - az
    t = (ux * vx + uy * vy + uz * vz) / (ux * ux + uy * uy + uz * uz)
    t = min(max(t, 0.0), 1.0)
    dx, dy, dz = vx - t * ux, vy - t * uy, vz - t * uz
    return dx * dx + dy * dy + dz * dz


@njit(cache=True, nogil=True)
def _convex(data, lo, hi, x, y, z, best):
    """Inside, the largest plane distance; outside, the least distance to a face that the point sees."""
    worst = -1e300
    faces = lo + 1 + 4 * int(data[lo])
    for f in range(lo + 1, faces, 4):
        d = data[f] * x + data[f + 1] * y + data[f + 2] * z - data[f + 3]
        if d > worst:
            worst = d
    if worst <= 0.0 or worst >= best:
        return worst
    least = 1e300
    for f in range(faces, hi, 13):
        d = data[f] * x + data[f + 1] * y + data[f + 2] * z - data[f + 3]
        if d <= 0.0 or d * d >= least:
            continue
        # The foot of the perpendicular lies in the triangle, or else the nearest point is on an edge.
        nx, ny, nz = data[f], data[f + 1], data[f + 2]
        inside = True
        for e in range(3):
            a = f + 4 + 3 * e
            b = f + 4 + 3 * ((e + 1) % 3)
            ux, uy, uz = data[b] - data[a], data[b + 1] - data[a + 1], data[b + 2] - data[a + 2]
            vx, vy, vz = x - data[a], y - data[a + 1], z - data[a + 2]
            side = nx * (uy * vz - uz * vy) + ny * (uz * vx - ux * vz) + nz * (ux * vy - uy * vx)
            if side < 0.0:
                inside = False
                square = _segment3(x, y, z, data[a], data[a + 1], data[a + 2], data[b], data[b + 1], data[b + 2])
                if square < least:
                    least = square
        if inside:
            least = d * d
    return math.sqrt(least)


@njit(cache=True, nogil=True)
def _polygon(data, lo, hi, x, y):
    """Signed distance to a simple polygon in the plane: nearest edge, and even-odd crossings for the sign."""
    least, inside = 1e300, False
    ax, ay = data[hi - 2], data[hi - 1]
    for k in range(lo, hi, 2):
        bx, by = data[k], data[k + 1]
        square = _segment(x, y, ax, ay, bx, by)
        if square < least:
            least = square
        if (ay > y) != (by > y) and x < ax + (y - ay) * (bx - ax) / (by - ay):
            inside = not inside
        ax, ay = bx, by
    return -math.sqrt(least) if inside else math.sqrt(least)


@njit(cache=True, nogil=True)
def _extrude(data, lo, hi, x, y, z):
    plane = _polygon(data, lo + 1, hi, x, y)
    depth = abs(z) - data[lo]
    if plane <= 0.0 and depth <= 0.0:
        return max(plane, depth)
    a, b = max(plane, 0.0), max(depth, 0.0)
    return math.sqrt(a * a + b * b)


@njit(cache=True, nogil=True)
def _lathe(data, lo, hi, x, y, z):
    """By symmetry the nearest point of the surface lies in the query's own half side: fold, then measure panels."""
    sector = math.pi / data[lo]
    angle = math.atan2(-z, x)
    angle -= 2 * sector * math.floor(angle / (2 * sector)) + sector
    radius = math.sqrt(x * x + z * z)
    u, v = radius * math.cos(angle), radius * abs(math.sin(angle))
    cosine, tangent = math.cos(sector), math.tan(sector)
    least, inside = 1e300, False
    ar, ay = data[hi - 2], data[hi - 1]
    section = u / cosine
    for k in range(lo + 1, hi, 2):
        br, by = data[k], data[k + 1]
        if (ay > y) != (by > y) and section < ar + (y - ay) * (br - ar) / (by - ay):
            inside = not inside
        if ar > 1e-12 or br > 1e-12:
            au, bu = ar * cosine, br * cosine
            ex, ey = bu - au, by - ay
            t = ((u - au) * ex + (y - ay) * ey) / (ex * ex + ey * ey)
            t = min(max(t, 0.0), 1.0)
            fu = au + t * ex
            if v <= fu * tangent:
                dy = y - ay - t * ey
                square = (u - fu) * (u - fu) + dy * dy
            else:
                square = _segment3(u, y, v, au, ay, au * tangent, bu, by, bu * tangent)
            if square < least:
                least = square
        ar, ay = br, by
    return -math.sqrt(least) if inside else math.sqrt(least)


@njit(cache=True, nogil=True)
def _tube(data, lo, hi, x, y, z):
    least = 1e300
    for k in range(lo + 1, hi - 3, 3):
        square = _segment3(x, y, z, data[k], data[k + 1], data[k + 2], data[k + 3], data[k + 4], data[k + 5])
        if square < least:
            least = square
    return math.sqrt(least) - data[lo]


@njit(cache=True, nogil=True)
def _bound(pose, k, px, py, pz):
    """Squared distance to the box around part k."""
    dx, dy, dz = px - pose[k, 9], py - pose[k, 10], pz - pose[k, 11]
    x = abs(pose[k, 0] * dx + pose[k, 1] * dy + pose[k, 2] * dz - pose[k, 12]) - pose[k, 15]
    y = abs(pose[k, 3] * dx + pose[k, 4] * dy + pose[k, 5] * dz - pose[k, 13]) - pose[k, 16]
    z = abs(pose[k, 6] * dx + pose[k, 7] * dy + pose[k, 8] * dz - pose[k, 14]) - pose[k, 17]
    x, y, z = max(x, 0.0), max(y, 0.0), max(z, 0.0)
    return x * x + y * y + z * z


@njit(cache=True, nogil=True)
def _part(kind, pose, start, data, k, px, py, pz, best):
    """Distance to part k; any value >= best may stand for a larger one."""
    dx, dy, dz = px - pose[k, 9], py - pose[k, 10], pz - pose[k, 11]
    x = pose[k, 0] * dx + pose[k, 1] * dy + pose[k, 2] * dz
    y = pose[k, 3] * dx + pose[k, 4] * dy + pose[k, 5] * dz
    z = pose[k, 6] * dx + pose[k, 7] * dy + pose[k, 8] * dz
    lo, hi = start[k], start[k + 1]
    if kind[k] == CONVEX:
        return _convex(data, lo, hi, x, y, z, best)
    if kind[k] == EXTRUDE:
        return _extrude(data, lo, hi, x, y, z)
    if kind[k] == LATHE:
        return _lathe(data, lo, hi, x, y, z)
    return _tube(data, lo, hi, x, y, z)


@njit(cache=True, nogil=True)
def _union(kind, pose, start, data, points, out):
    """The part whose box is nearest goes first; of the others only those whose box is nearer than the best so far."""
    count = len(kind)
    bound = np.empty(count)
    for i in range(len(points)):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        first = 0
        for k in range(count):
            bound[k] = _bound(pose, k, px, py, pz)
            if bound[k] < bound[first]:
                first = k
        best = _part(kind, pose, start, data, first, px, py, pz, 1e300)
        for k in range(count):
            if k == first or (bound[k] > 0.0 and (best <= 0.0 or bound[k] >= best * best)):
                continue
            best = min(best, _part(kind, pose, start, data, k, px, py, pz, best))
        out[i] = best


@njit(cache=True, nogil=True)
def _buried(kind, pose, start, data, points, normals, own, gap, out):
    tiny, half = 1e-3 * gap, 0.5 * gap
    for i in range(len(points)):
        px, py, pz = points[i, 0], points[i, 1], points[i, 2]
        qx, qy, qz = px + gap * normals[i, 0], py + gap * normals[i, 1], pz + gap * normals[i, 2]
        out[i] = False
        for k in range(len(kind)):
            if k == own[i] or _bound(pose, k, qx, qy, qz) > 4 * gap * gap:
                continue
            if _part(kind, pose, start, data, k, qx, qy, qz, half) < half or (
                k < own[i] and _part(kind, pose, start, data, k, px, py, pz, tiny) < tiny
            ):
                out[i] = True
                break
