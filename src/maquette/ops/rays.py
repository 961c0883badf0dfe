"""Which face each ray hits first.

B batch, N rays, V vertices, F faces. Only indices come out: distance and barycentrics are torch's part, for autograd
(`meet`). Everything is compared in float64, whatever the input's type.
"""

import importlib.util
import math

import torch
from jaxtyping import Bool, Float, Int, Int64
from torch import Tensor

from maquette.ops.checks import check_shape
from maquette.ops.compiled import compiled
from maquette.ops.nearest_face import check_same, trees
from maquette.ops.threads import parallel

PAIRS = 1 << 18
"""Pairs of a ray and a face that the reference holds at a time."""

SLACK = 2.0**-40
"""Part of the greatest distance from the ray's origin by which a face's box is made larger, against rounding."""


def ray_hits(
    origins: Float[Tensor, "*batch N 3"],
    directions: Float[Tensor, "*batch N 3"],
    vertices: Float[Tensor, "*batch V 3"],
    faces: Int[Tensor, "F 3"],
) -> Int64[Tensor, "*batch N"]:
    """The face that each ray `origin + t direction`, t >= 0, meets first; -1 where it meets none.

    Faces are met from both sides, and of equally near ones the lowest counts. A ray through an edge or a vertex meets
    every face there, so none slips through between neighbours (Woop et al. 2013). Faces that the ray sees edge-on, or
    that have no area, are not met; what is not finite and directions of length 0 meet nothing. No gradient flows.
    """
    check_shape("ray_hits", "directions", directions, "*batch N 3")
    if origins.shape != directions.shape:
        raise ValueError(
            f"ray_hits: origins have shape {tuple(origins.shape)} and directions {tuple(directions.shape)}; expand one"
        )
    if origins.dtype != directions.dtype:
        raise ValueError(f"ray_hits: origins are {origins.dtype} and directions {directions.dtype}; make them one type")
    if origins.device != directions.device:
        raise ValueError(f"ray_hits: origins are on {origins.device} and directions on {directions.device}; move one")
    check_same("ray_hits", "origins", origins, vertices, faces)
    count = math.prod(origins.shape[:-2])
    rays = torch.cat([origins, directions], -1).detach().double().reshape(count, -1, 6)
    corners = vertices.detach().reshape(count, -1, 3)
    return _ray_hits(rays, corners, faces.long()).reshape(origins.shape[:-1])


def meet(
    origins: Float[Tensor, "*#some 3"], directions: Float[Tensor, "*#some 3"], corners: Float[Tensor, "*#some 3 3"]
) -> tuple[Float[Tensor, "*some"], Float[Tensor, "*some 3"], Bool[Tensor, "*some"]]:
    """Where rays meet triangles: t in lengths of the direction, barycentrics, and whether they do, in float64.

    The corners are sheared so that the ray becomes an axis, along the direction's greatest coordinate; the barycentrics
    are then areas in the plane across (Woop et al. 2013, section 3). Neighbours find the area at their shared edge the
    same but for its sign, so no ray passes between them. Differentiable where they meet, 0 elsewhere.
    """
    origins, directions, corners = origins.double(), directions.double(), corners.double()
    x, y, z = directions.detach().abs().unbind(-1)
    axis = torch.where((z >= x) & (z >= y), 2, torch.where(y >= x, 1, 0))[..., None]
    axes = [(axis + i) % 3 for i in (1, 2, 0)]
    dx, dy, dz = (directions.gather(-1, a)[..., 0] for a in axes)
    along = dz != 0
    over = torch.where(along, 1 / torch.where(along, dz, 1.0), 0.0)
    shear_x, shear_y = dx * over, dy * over
    relative = corners - origins[..., None, :]
    size = torch.broadcast_tensors(relative[..., 0], axis)[0].shape
    relative = relative.expand(*size, 3)
    x, y, z = (relative.gather(-1, a[..., None].expand(*size, 1))[..., 0] for a in axes)
    x, y = x - shear_x[..., None] * z, y - shear_y[..., None] * z
    (ax, bx, cx), (ay, by, cy), (az, bz, cz) = x.unbind(-1), y.unbind(-1), (z * over[..., None]).unbind(-1)
    u, v, w = cx * by - cy * bx, ax * cy - ay * cx, bx * ay - by * ax
    area = u + v + w
    within = ((u >= 0) & (v >= 0) & (w >= 0)) | ((u <= 0) & (v <= 0) & (w <= 0))
    hit = within & (area != 0) & area.isfinite() & along
    divisor = torch.where(hit, area, 1.0)
    weights = torch.stack([torch.where(hit, s, 0.0) for s in (u, v, w)], -1) / divisor[..., None]
    t = torch.where(hit, u * az + v * bz + w * cz, 0.0) / divisor
    return t, weights, hit & (t >= 0)


def ray_hits_reference(
    rays: Float[Tensor, "B N 6"], vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"]
) -> Int64[Tensor, "B N"]:
    """What `ray_hits` means: every ray (origin and direction, float64) against every face, in pieces."""
    found = torch.full(rays.shape[:2], -1, dtype=torch.int64, device=rays.device)
    if found.numel() == 0 or len(faces) == 0:
        return found
    piece = max(1, PAIRS // len(faces))
    for b in range(len(rays)):
        corners = vertices[b, faces].double()
        low, high = corners.amin(1), corners.amax(1)
        for start in range(0, rays.shape[1], piece):
            origins, directions = rays[b, start : start + piece, None].split(3, -1)
            t, _, hit = meet(origins, directions, corners)
            first, last = _crossing(origins, directions, low, high)
            finite = rays[b, start : start + piece].isfinite().all(-1, keepdim=True)
            t = torch.where(hit & (first <= last) & finite, torch.maximum(t, first), torch.inf)
            least = t.amin(1, keepdim=True)
            lowest = (t == least).to(torch.uint8).argmax(1)  # argmin promises no order among equals
            found[b, start : start + piece] = torch.where(least[:, 0] < torch.inf, lowest, -1)
    return found


def _crossing(
    origins: Float[Tensor, "N 1 3"],
    directions: Float[Tensor, "N 1 3"],
    low: Float[Tensor, "F 3"],
    high: Float[Tensor, "F 3"],
) -> tuple[Float[Tensor, "N F"], Float[Tensor, "N F"]]:
    """The stretch of t >= 0 within each box, made a little larger; empty (first > last) where the ray misses it."""
    low, high = low - origins, high - origins
    slack = SLACK * torch.maximum(low.abs(), high.abs()).amax(-1, keepdim=True)
    low, high = low - slack, high + slack
    over = 1 / directions
    moves = (directions != 0) & over.isfinite()
    over = torch.where(moves, over, 0.0)
    beside = ((low <= 0) & (high >= 0)) | moves
    s, t = low * over, high * over
    first = torch.where(moves, torch.minimum(s, t), 0.0).amax(-1).clamp(min=0)
    last = torch.where(moves, torch.maximum(s, t), torch.inf).amin(-1)
    inside = beside.all(-1)
    return torch.where(inside, first, torch.inf), torch.where(inside, last, -torch.inf)


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define("maquette::ray_hits", "(Tensor rays, Tensor vertices, Tensor faces) -> Tensor")
_ray_hits = torch.ops.maquette.ray_hits.default


@torch.library.impl("maquette::ray_hits", "CompositeExplicitAutograd")
def _(rays: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    return ray_hits_reference(rays, vertices, faces)


@torch.library.register_fake("maquette::ray_hits")
def _(rays: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    return rays.new_empty(rays.shape[:2], dtype=torch.int64)


@torch.library.impl("maquette::ray_hits", "CPU")
def _(rays: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    return (ray_hits_numba if compiled() else ray_hits_reference)(rays, vertices, faces)


@torch.library.impl("maquette::ray_hits", "CUDA")
def _(rays: Tensor, vertices: Tensor, faces: Tensor) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return ray_hits_reference(rays, vertices, faces)
    from maquette.ops.rays_triton import ray_hits_triton

    return ray_hits_triton(rays, vertices, faces)


def ray_hits_numba(
    rays: Float[Tensor, "B N 6"], vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"]
) -> Int64[Tensor, "B N"]:
    """The compiled kernel behind `ray_hits` on the CPU."""
    from maquette.ops.rays_numba import FACES, first_hits

    found = torch.full(rays.shape[:2], -1, dtype=torch.int64)
    if found.numel() == 0 or len(faces) == 0:
        return found
    corners = vertices[:, faces].double()
    boxes = torch.cat([corners.amin(2), corners.amax(2)], -1)
    order, nodes = trees(boxes, FACES)
    arrays = rays.contiguous(), corners, boxes, order, nodes, found
    parallel(first_hits, found.numel(), *(array.numpy() for array in arrays), chunks_per_thread=4)
    return found
