"""Nearest faces of points, and nearest points of faces, on a GPU: every point meets every face, a tile at a time.

A face is a column of 39 numbers: `nearest_face.rows_of`, turned. Distances round as the reference's: ties are the same.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.nearest_face import SHRINK, rows_of

SEEKERS, SOUGHT = 32, 32
"""Pairs of a program's step; powers of two."""
LAST = 0x7FFFFFFFFFFFFFFF
"""Larger than any index."""


@triton.jit
def _to_segment(ax, ay, az, columns, edge: tl.constexpr, over: tl.constexpr, face, there, faces, best):
    """The least of `best` and the squared distance to an edge, where the foot of the perpendicular lies within it."""
    ex = tl.load(columns + edge * faces + face, there, 0.0)
    ey = tl.load(columns + (edge + 1) * faces + face, there, 0.0)
    ez = tl.load(columns + (edge + 2) * faces + face, there, 0.0)
    t = (ax * ex + ay * ey + az * ez) * tl.load(columns + over * faces + face, there, 0.0)
    rx, ry, rz = ax - t * ex, ay - t * ey, az - t * ez
    d = rx * rx + ry * ry + rz * rz
    return tl.where((t > 0) & (t < 1) & (d < best), d, best)


@triton.jit
def _along(ax, ay, az, columns, first: tl.constexpr, face, there, faces):
    x = tl.load(columns + first * faces + face, there, 0.0)
    y = tl.load(columns + (first + 1) * faces + face, there, 0.0)
    z = tl.load(columns + (first + 2) * faces + face, there, 0.0)
    return ax * x + ay * y + az * z


@triton.jit
def _beside(p, columns, axis: tl.constexpr, face, there, faces):
    low = tl.load(columns + (33 + axis) * faces + face, there, 0.0)
    high = tl.load(columns + (36 + axis) * faces + face, there, 0.0)
    return tl.maximum(tl.maximum(low - p, p - high), 0.0)


@triton.jit
def _squared(points, point, columns, face, point_there, there, faces, shrink):
    """Squared distances: see `squared_distances` of the reference. Points and faces lie along different axes."""
    x = tl.load(points + 3 * point, point_there, 0.0)
    y = tl.load(points + 3 * point + 1, point_there, 0.0)
    z = tl.load(points + 3 * point + 2, point_there, 0.0)
    ax, ay, az = (
        x - tl.load(columns + face, there, 0.0),
        y - tl.load(columns + faces + face, there, 0.0),
        z - tl.load(columns + 2 * faces + face, there, 0.0),
    )
    bx, by, bz = (
        x - tl.load(columns + 3 * faces + face, there, 0.0),
        y - tl.load(columns + 4 * faces + face, there, 0.0),
        z - tl.load(columns + 5 * faces + face, there, 0.0),
    )
    cx, cy, cz = (
        x - tl.load(columns + 6 * faces + face, there, 0.0),
        y - tl.load(columns + 7 * faces + face, there, 0.0),
        z - tl.load(columns + 8 * faces + face, there, 0.0),
    )
    best = ax * ax + ay * ay + az * az
    d = bx * bx + by * by + bz * bz
    best = tl.where(d < best, d, best)
    d = cx * cx + cy * cy + cz * cz
    best = tl.where(d < best, d, best)
    best = _to_segment(ax, ay, az, columns, 9, 30, face, there, faces, best)
    best = _to_segment(ax, ay, az, columns, 12, 31, face, there, faces, best)
    best = _to_segment(bx, by, bz, columns, 15, 32, face, there, faces, best)
    u = _along(ax, ay, az, columns, 18, face, there, faces)
    v = _along(ax, ay, az, columns, 21, face, there, faces)
    w = _along(bx, by, bz, columns, 24, face, there, faces)
    height = _along(ax, ay, az, columns, 27, face, there, faces)
    d = height * height
    best = tl.where((u > 0) & (v > 0) & (w > 0) & (d < best), d, best)
    dx = _beside(x, columns, 0, face, there, faces)
    dy = _beside(y, columns, 1, face, there, faces)
    dz = _beside(z, columns, 2, face, there, faces)
    d = (dx * dx + dy * dy + dz * dz) * shrink
    best = tl.where(d > best, d, best)
    return tl.where(best < float("inf"), best, float("inf"))


@triton.jit
def _nearest_kernel(
    points, columns, shrink, found, count, faces,
    TO_FACES: tl.constexpr, SEEKERS: tl.constexpr, SOUGHT: tl.constexpr, LAST: tl.constexpr,
):  # fmt: skip
    """Points that seek faces, or faces that seek points."""
    slack = tl.load(shrink)
    seeker = tl.program_id(0).to(tl.int64) * SEEKERS + tl.arange(0, SEEKERS)
    if TO_FACES:
        seekers, sought = count, faces
    else:
        seekers, sought = faces, count
    here = (seeker < seekers)[:, None]
    best = tl.full((SEEKERS,), float("inf"), tl.float64)
    best_index = tl.full((SEEKERS,), LAST, tl.int64)
    for start in range(0, sought, SOUGHT):
        index = start + tl.arange(0, SOUGHT)
        there = (index < sought)[None]
        if TO_FACES:
            d = _squared(points, seeker[:, None], columns, index[None], here, there, faces, slack)
        else:
            d = _squared(points, index[None], columns, seeker[:, None], there, here, faces, slack)
        d = tl.where(there, d, float("inf"))
        least = tl.min(d, 1)
        lowest = tl.min(tl.where(d == least[:, None], index[None].to(tl.int64), LAST), 1)
        # Indices rise from step to step, so of equals the one found first stays.
        nearer = least < best
        best, best_index = tl.where(nearer, least, best), tl.where(nearer, lowest, best_index)
    tl.store(found + seeker, tl.where(best_index == LAST, -1, best_index), seeker < seekers)


def nearest_face_triton(
    points: Float[Tensor, "B N 3"], vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"]
) -> Int64[Tensor, "B N"]:
    """The compiled kernel behind `nearest_face` on a GPU."""
    return _seek(points, vertices, faces, to_faces=True)


def nearest_to_face_triton(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], points: Float[Tensor, "B N 3"]
) -> Int64[Tensor, "B F"]:
    """The compiled kernel behind `nearest_to_face` on a GPU."""
    return _seek(points, vertices, faces, to_faces=False)


def _seek(points: Tensor, vertices: Tensor, faces: Tensor, *, to_faces: bool) -> Tensor:
    seekers, sought = (points.shape[1], len(faces)) if to_faces else (len(faces), points.shape[1])
    found = torch.full((len(points), seekers), -1, dtype=torch.int64, device=points.device)
    if seekers and sought:
        # As a tensor: a number would be passed in float32.
        shrink = torch.tensor([SHRINK], dtype=torch.float64, device=points.device)
        for cloud, corners, row in zip(points.double(), vertices, found, strict=True):
            columns = rows_of(corners[faces]).t().contiguous()
            _nearest_kernel[(triton.cdiv(seekers, SEEKERS),)](
                cloud.contiguous(), columns, shrink, row, len(cloud), len(faces), to_faces, SEEKERS, SOUGHT, LAST,
                enable_fp_fusion=False,  # distances round as the reference's
            )  # fmt: skip
    return found
