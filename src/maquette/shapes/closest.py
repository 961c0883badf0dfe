"""Where a mesh is closest to given points, as places on its faces. N points, F faces, P pairs of a point and a face."""

import math

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette import ops
from maquette.ops.checks import FLOATS, check_shape
from maquette.ops.nearest_face import FLAT
from maquette.shapes.mesh import FaceSamples, Mesh, check


def closest_points(mesh: Mesh, points: Float[Tensor, "*some N 3"]) -> FaceSamples:
    """The place on the mesh nearest to each point; `positions_at`, `colors_at` and `interpolate` read there.

    The batch of the mesh and that of the points broadcast. Of equally near faces the lowest is taken. Faces without
    area count as the segment or point they are. The choice of the face is held fixed, and so is whether the place lies
    within the face, on an edge or at a corner; the barycentrics are differentiable in points and vertices otherwise.
    A mesh without faces, and points or vertices that are not finite, are errors.
    """
    check(mesh, "closest_points")
    check_points(points, "closest_points")
    points, corners = together(points, mesh.corners())
    vertices = mesh.vertices.detach().expand(*points.shape[:-2], *mesh.vertices.shape[-2:])
    face = ops.nearest_face(points.detach(), vertices, mesh.faces)
    if bool((face < 0).any()):
        raise ValueError("closest_points: distances overflow float64; bring the coordinates below 1e70")
    return FaceSamples(face, weights_of_closest(points, at_faces(corners, face)))


def offsets(mesh: Mesh, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N 3"]:
    """From the closest place on the mesh to each point; differentiable in both."""
    samples = closest_points(mesh, points)
    points, corners = together(points, mesh.corners())
    return offsets_from(points, at_faces(corners, samples.faces), samples.barycentric)


def offsets_from(
    points: Float[Tensor, "*pairs 3"], corners: Float[Tensor, "*pairs 3 3"], weights: Float[Tensor, "*pairs 3"]
) -> Float[Tensor, "*pairs 3"]:
    """From a place on each triangle to the point beside it."""
    # By way of the offsets from each corner, so that where the whole lies in space does not round.
    return ((points[..., None, :] - corners) * weights[..., None]).sum(-2)


def weights_of_closest(
    points: Float[Tensor, "*pairs 3"], corners: Float[Tensor, "*pairs 3 3"]
) -> Float[Tensor, "*pairs 3"]:
    """Barycentrics of the point of each triangle that is closest to the point beside it; non-negative, sum 1.

    The closest point is the foot of the perpendicular to the plane if that lies within the triangle (Ericson 2005,
    section 5.1.5); else the nearest of those on the three edges, each a foot on its line, clamped to its ends. Computed
    in float64. A degenerate triangle is its edges, an edge without length its first end; gradients are finite there.
    """
    p, (a, b, c) = points.double(), corners.double().unbind(-2)
    ab, ac = b - a, c - a
    places = [_on_edge(p, s, e) for s, e in ((a, b), (b, c), (c, a))]
    with torch.no_grad():
        distances = torch.stack([(p - s - t[..., None] * (e - s)).square().sum(-1) for t, s, e in places], -1)
        nearest = distances.argmin(-1)
    normal = torch.linalg.cross(ab, ac)
    area = normal.square().sum(-1)
    plane = area.detach() > FLAT * (ab.square().sum(-1) * ac.square().sum(-1)).detach()
    divisor = torch.where(plane, area, 1.0)
    # Twice the signed areas over that of the triangle, each from its own corner: small where the foot is near an edge.
    v = (torch.linalg.cross(p - a, ac) * normal).sum(-1) / divisor
    w = (torch.linalg.cross(ab, p - a) * normal).sum(-1) / divisor
    inside = plane & (v > 0) & (w > 0) & (v + w < 1)
    weights = torch.stack([1 - v - w, v, w], -1)
    nothing = torch.zeros_like(v)
    for i, (t, _, _) in enumerate(places):
        on_edge = [nothing, nothing, nothing]
        on_edge[i], on_edge[(i + 1) % 3] = 1 - t, t
        weights = torch.where((~inside & (nearest == i))[..., None], torch.stack(on_edge, -1), weights)
    return weights.to(corners.dtype)


def _on_edge(p: Tensor, start: Tensor, end: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """How far along the segment its point closest to `p` lies, 0..1, and the segment."""
    edge = end - start
    squared = edge.square().sum(-1)
    proper = squared.detach() > 0
    along = ((p - start) * edge).sum(-1) / torch.where(proper, squared, 1.0)
    return torch.where(proper, along, 0.0).clamp(0, 1), start, end


def at_faces(corners: Float[Tensor, "*batch F 3 3"], face: Int[Tensor, "*batch N"]) -> Float[Tensor, "*batch N 3 3"]:
    """The corners of the faces of one's choice."""
    count = math.prod(face.shape[:-1])
    start = corners.shape[-3] * torch.arange(count, device=face.device)[:, None]
    # One flat index_select: its backward on a CPU is far quicker than that of an expanded gather.
    flat = corners.reshape(-1, 9).index_select(0, (face.reshape(count, -1) + start).reshape(-1))
    return flat.reshape(*face.shape, 3, 3)


def together(
    points: Float[Tensor, "*some N 3"], corners: Float[Tensor, "*other F 3 3"]
) -> tuple[Float[Tensor, "*batch N 3"], Float[Tensor, "*batch F 3 3"]]:
    """Points and corners with a batch in common."""
    # NumPy's, because torch's imports sympy, which takes half a second.
    batch = np.broadcast_shapes(points.shape[:-2], corners.shape[:-3])
    return points.expand(*batch, *points.shape[-2:]), corners.expand(*batch, *corners.shape[-3:])


def check_points(points: Float[Tensor, "*batch N 3"], name: str) -> None:
    """Refuse points of the wrong shape or type, and those that are not finite; `name` stands in the error."""
    check_shape(name, "points", points, "*batch N 3")
    if points.dtype not in FLOATS:
        raise ValueError(f"{name}: points are {points.dtype}; make them float32 or float64")
    bad = ~torch.isfinite(points).all(-1)
    if bool(bad.any()):
        first = int(bad.reshape(-1).nonzero()[0]) % points.shape[-2]
        raise ValueError(
            f"{name}: {int(bad.sum())} of {bad.numel()} points are not finite, the first is number {first}"
        )
