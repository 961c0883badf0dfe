"""Which face is nearest to each point, and which point to each face.

B batch, N points, V vertices, F faces. Only indices come out: closest points and distances are torch's part, for
autograd (`maquette.shapes.closest`). Distances are compared in float64, whatever the input's type.
"""

import importlib.util
import math

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from maquette.ops.checks import check_batch, check_indices, check_shape, check_triangles
from maquette.ops.compiled import compiled
from maquette.ops.threads import parallel

PAIRS = 1 << 18
"""Distances between a point and a face that the reference holds at a time."""

FLAT = 1e-20
"""A face is its edges when the squared sine between two of them is below this: what it has of a plane is rounding."""

SHRINK = 1 - 2.0**-40
"""The distance to a face counts at least as that to its box times this, so that a search cuts boxes off exactly."""


def nearest_face(
    points: Float[Tensor, "*batch N 3"], vertices: Float[Tensor, "*batch V 3"], faces: Int[Tensor, "F 3"]
) -> Int64[Tensor, "*batch N"]:
    """The face nearest to each point by Euclidean distance; of equally near ones the lowest.

    A face without area counts as the segment, or the point, that it is. A face or a point that is not finite is at no
    finite distance; -1 where no face is. So an edge (i, j) may be asked for as the face (i, j, j). No gradient flows.
    The part of the surface nearest to a point may be an edge or a vertex: its faces are then equally near, exactly.
    """
    check_same("nearest_face", "points", points, vertices, faces)
    count = math.prod(points.shape[:-2])
    flat_points = points.detach().reshape(count, *points.shape[-2:])
    flat_vertices = vertices.detach().reshape(count, *vertices.shape[-2:])
    return _nearest_face(flat_points, flat_vertices, faces.long()).reshape(points.shape[:-1])


def nearest_to_face(
    vertices: Float[Tensor, "*batch V 3"], faces: Int[Tensor, "F 3"], points: Float[Tensor, "*batch N 3"]
) -> Int64[Tensor, "*batch F"]:
    """The point nearest to each face by Euclidean distance; of equally near ones the lowest. As `nearest_face`."""
    check_same("nearest_to_face", "points", points, vertices, faces)
    count = math.prod(points.shape[:-2])
    flat_points = points.detach().reshape(count, *points.shape[-2:])
    flat_vertices = vertices.detach().reshape(count, *vertices.shape[-2:])
    found = _nearest_to_face(flat_vertices, faces.long(), flat_points)
    return found.reshape(*points.shape[:-2], len(faces))


def check_same(name: str, what: str, points: Tensor, vertices: Tensor, faces: Tensor) -> None:
    """Refuse `what`, vertices and faces that do not go together; `name` stands in the error."""
    check_shape(name, what, points, "*batch N 3")
    check_triangles(name, vertices, faces)
    check_batch(name, points, vertices)
    if points.dtype != vertices.dtype or points.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{name}: {what} are {points.dtype} and vertices {vertices.dtype}; make both float32 or both float64"
        )
    if not points.device == vertices.device == faces.device:
        raise ValueError(
            f"{name}: {what} are on {points.device}, vertices on {vertices.device} and faces on {faces.device}; "
            "bring them together"
        )
    check_indices(name, faces, vertices.shape[-2])


def rows_of(corners: Float[Tensor, "*some 3 3"]) -> Float[Tensor, "*some 39"]:
    """What a distance to a face needs, in float64: see `squared_distances`.

    Corners are sorted, so that faces that share an edge or a vertex find the same distance to it, to the last bit.
    """
    a, b, c = _sorted(corners.double())
    ab, ac, bc = b - a, c - a, c - b
    normal = _cross(ab, ac)
    length = _dot(normal, normal)
    plane = length > FLAT * _dot(ab, ab) * _dot(ac, ac)
    normal = torch.where(plane, normal, 0.0)
    unit = torch.where(plane, normal / length.sqrt(), 0.0)
    inward = _cross(normal, ab), _cross(ac, normal), _cross(normal, bc)
    over = [torch.where(_dot(e, e) > 0, 1 / _dot(e, e), 0.0) for e in (ab, ac, bc)]
    finite = corners.isfinite().all(-1).all(-1)[..., None]
    low = torch.where(finite, torch.minimum(torch.minimum(a, b), c), torch.inf)
    high = torch.where(finite, torch.maximum(torch.maximum(a, b), c), -torch.inf)
    return torch.cat([a, b, c, ab, ac, bc, *inward, unit, *over, low, high], -1)


def squared_distances(points: Float[Tensor, "*#some 3"], rows: Float[Tensor, "*#some 39"]) -> Float[Tensor, "*some"]:
    """Squared distances between points (float64) and faces: the least of those to corners, edges and the plane.

    An edge counts where the foot of the perpendicular lies within it, the plane where its foot lies within the face.
    Infinite where it is not a finite number.
    """
    x, y, z = points.unbind(-1)
    value = rows.unbind(-1)
    a, b, c = ((x - value[i], y - value[i + 1], z - value[i + 2]) for i in (0, 3, 6))
    best = _inner(a, a)
    for d in (_inner(b, b), _inner(c, c)):
        best = torch.where(d < best, d, best)
    for start, edge, over in ((a, value[9:12], value[30]), (a, value[12:15], value[31]), (b, value[15:18], value[32])):
        t = _inner(start, edge) * over
        rest = tuple(s - t * e for s, e in zip(start, edge, strict=True))
        d = _inner(rest, rest)
        best = torch.where((t > 0) & (t < 1) & (d < best), d, best)
    u, v, w = _inner(a, value[18:21]), _inner(a, value[21:24]), _inner(b, value[24:27])
    d = _inner(a, value[27:30]) ** 2
    best = torch.where((u > 0) & (v > 0) & (w > 0) & (d < best), d, best)
    beside = tuple(torch.maximum(value[33 + i] - p, p - value[36 + i]).clamp(min=0) for i, p in enumerate((x, y, z)))
    d = _inner(beside, beside) * SHRINK
    best = torch.where(d > best, d, best)
    return torch.where(best.isfinite(), best, torch.inf)


def nearest_face_reference(
    points: Float[Tensor, "B N 3"], vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"]
) -> Int64[Tensor, "B N"]:
    """What `nearest_face` means: every face against every point, in pieces of bounded memory."""
    found = torch.full(points.shape[:2], -1, dtype=torch.int64, device=points.device)
    if found.numel() == 0 or len(faces) == 0:
        return found
    piece = max(1, PAIRS // len(faces))
    for b in range(len(points)):
        rows = rows_of(vertices[b, faces])
        for start in range(0, points.shape[1], piece):
            squared = squared_distances(points[b, start : start + piece, None].double(), rows)
            found[b, start : start + piece] = _first_least(squared)
    return found


def nearest_to_face_reference(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], points: Float[Tensor, "B N 3"]
) -> Int64[Tensor, "B F"]:
    """What `nearest_to_face` means: every point against every face, in pieces of bounded memory."""
    found = torch.full((len(points), len(faces)), -1, dtype=torch.int64, device=points.device)
    if found.numel() == 0 or points.shape[1] == 0:
        return found
    piece = max(1, PAIRS // points.shape[1])
    for b in range(len(points)):
        rows = rows_of(vertices[b, faces])
        for start in range(0, len(faces), piece):
            squared = squared_distances(points[b].double(), rows[start : start + piece, None])
            found[b, start : start + piece] = _first_least(squared)
    return found


def _first_least(squared: Float[Tensor, "N M"]) -> Int64[Tensor, " N"]:
    least = squared.amin(1, keepdim=True)
    first = (squared == least).to(torch.uint8).argmax(1)  # argmin promises no order among equals
    return torch.where(least[:, 0] < torch.inf, first, -1)


def _sorted(corners: Float[Tensor, "*some 3 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """The corners in the order of their coordinates."""
    a, b, c = corners.unbind(-2)
    for step in range(3):
        if step == 1:
            b, c = _swap(b, c)
        else:
            a, b = _swap(a, b)
    return a, b, c


def _swap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    after = ((ax > bx) | ((ax == bx) & ((ay > by) | ((ay == by) & (az > bz)))))[..., None]
    return torch.where(after, b, a), torch.where(after, a, b)


def _inner(a: tuple[Tensor, ...], b: tuple[Tensor, ...]) -> Tensor:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return _inner(a.unbind(-1), b.unbind(-1))[..., None]


def _cross(a: Tensor, b: Tensor) -> Tensor:
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define("maquette::nearest_face", "(Tensor points, Tensor vertices, Tensor faces) -> Tensor")
torch.library.define("maquette::nearest_to_face", "(Tensor vertices, Tensor faces, Tensor points) -> Tensor")
_nearest_face = torch.ops.maquette.nearest_face.default
_nearest_to_face = torch.ops.maquette.nearest_to_face.default


@torch.library.impl("maquette::nearest_face", "CompositeExplicitAutograd")
def _(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    return nearest_face_reference(points, vertices, faces)


@torch.library.register_fake("maquette::nearest_face")
def _(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    return points.new_empty(points.shape[:2], dtype=torch.int64)


@torch.library.impl("maquette::nearest_face", "CPU")
def _(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    return (nearest_face_numba if compiled() else nearest_face_reference)(points, vertices, faces)


@torch.library.impl("maquette::nearest_to_face", "CompositeExplicitAutograd")
def _(vertices: Tensor, faces: Tensor, points: Tensor) -> Tensor:
    return nearest_to_face_reference(vertices, faces, points)


@torch.library.register_fake("maquette::nearest_to_face")
def _(vertices: Tensor, faces: Tensor, points: Tensor) -> Tensor:
    return points.new_empty((points.shape[0], faces.shape[0]), dtype=torch.int64)


@torch.library.impl("maquette::nearest_to_face", "CPU")
def _(vertices: Tensor, faces: Tensor, points: Tensor) -> Tensor:
    return (nearest_to_face_numba if compiled() else nearest_to_face_reference)(vertices, faces, points)


@torch.library.impl("maquette::nearest_face", "CUDA")
def _(points: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return nearest_face_reference(points, vertices, faces)
    from maquette.ops.nearest_face_triton import nearest_face_triton

    return nearest_face_triton(points, vertices, faces)


@torch.library.impl("maquette::nearest_to_face", "CUDA")
def _(vertices: Tensor, faces: Tensor, points: Tensor) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return nearest_to_face_reference(vertices, faces, points)
    from maquette.ops.nearest_face_triton import nearest_to_face_triton

    return nearest_to_face_triton(vertices, faces, points)


def nearest_face_numba(
    points: Float[Tensor, "B N 3"], vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"]
) -> Int64[Tensor, "B N"]:
    """The compiled kernel behind `nearest_face` on the CPU."""
    from maquette.ops.nearest_face_numba import FACES, LANES, faces_of_points

    found = torch.full(points.shape[:2], -1, dtype=torch.int64)
    if found.numel() == 0 or len(faces) == 0:
        return found
    exact = points.double().contiguous()
    rows = rows_of(vertices[:, faces])
    point_order, _ = trees(exact.repeat(1, 1, 2), LANES)
    face_order, nodes = trees(rows[..., 33:].contiguous(), FACES)
    packets = len(points) * -(-points.shape[1] // LANES)
    arrays = exact.numpy(), point_order.numpy(), rows.numpy(), face_order.numpy(), nodes.numpy(), found.numpy()
    parallel(faces_of_points, packets, *arrays, chunks_per_thread=4)
    return found


def nearest_to_face_numba(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], points: Float[Tensor, "B N 3"]
) -> Int64[Tensor, "B F"]:
    """The compiled kernel behind `nearest_to_face` on the CPU."""
    from maquette.ops.nearest_face_numba import LANES, points_of_faces

    found = torch.full((len(points), len(faces)), -1, dtype=torch.int64)
    if found.numel() == 0 or points.shape[1] == 0:
        return found
    exact = points.double().contiguous()
    rows = rows_of(vertices[:, faces])
    order, nodes = trees(exact.repeat(1, 1, 2), LANES)
    arrays = rows.numpy(), exact.numpy(), order.numpy(), nodes.numpy(), found.numpy()
    parallel(points_of_faces, found.numel(), *arrays, chunks_per_thread=4)
    return found


def trees(boxes: Float[Tensor, "B N 6"], leaf: int) -> tuple[Int[Tensor, "B N"], Float[Tensor, "B nodes 6"]]:
    """A tree of boxes for each of the batch: see `tree_numba`."""
    from maquette.ops.tree_numba import grow_each

    leaves = -(-boxes.shape[1] // leaf)
    order = torch.empty(boxes.shape[:2], dtype=torch.int32)
    nodes = torch.empty(len(boxes), 2 << (leaves - 1).bit_length(), 6, dtype=torch.float64)
    parallel(grow_each, len(boxes), boxes.numpy(), leaf, order.numpy(), nodes.numpy())
    return order, nodes
