"""Inside and outside of meshes that may be open, and the signed distance to them. N points, V vertices, F faces.

Inside is where the generalised winding number (Jacobson et al. 2013) is beyond one half; it is read with the fast
approximation of Barill et al. 2018 from libigl, which tolerates holes, flaps and parts that intersect.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.shapes.closest import check_points, offsets
from maquette.shapes.mesh import Mesh, check

PIECE = 1 << 20
"""Points asked for at a time."""


def winding_number(mesh: Mesh, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N"]:
    """How often the surface goes round each point: 1 inside a closed surface, 2 inside two of them, -1 inside out.

    Fractions beside open surfaces; right to a few hundredths. The batch of the mesh and that of the points broadcast.
    Computed on the CPU in float64, given in the type and on the device of the points. No gradient flows. A mesh without
    faces goes round nothing: 0. Vertices and points that are not finite are errors.
    """
    check_points(points, "winding_number")
    batch = np.broadcast_shapes(points.shape[:-2], mesh.vertices.shape[:-2])
    if len(mesh.faces) == 0:
        return points.new_zeros(*batch, points.shape[-2])
    check(mesh, "winding_number")
    import igl

    faces = np.ascontiguousarray(mesh.faces.cpu().numpy(), dtype=np.int64)
    vertices, exact = mesh.vertices.detach().cpu().double(), points.detach().cpu().double()
    if mesh.vertices.ndim == 2:
        pairs = [(vertices, exact.reshape(-1, 3))]  # all points at once, so that libigl builds its tree once
    else:
        vertices, exact = vertices.expand(*batch, -1, 3), exact.expand(*batch, -1, 3)
        pairs = list(zip(vertices.flatten(0, -3), exact.flatten(0, -3), strict=True))
    found = [
        igl.fast_winding_number(np.ascontiguousarray(v.numpy()), faces, np.ascontiguousarray(piece.numpy()))
        for v, p in pairs
        for piece in p.split(PIECE)
        if len(piece)
    ]
    numbers = torch.from_numpy(np.concatenate(found)) if found else torch.zeros(0)
    return numbers.to(points).reshape(*batch, points.shape[-2])


def is_inside(mesh: Mesh, points: Float[Tensor, "*some N 3"]) -> Bool[Tensor, "*batch N"]:
    """Where the winding number is beyond one half, either way round: a mesh that is inside out is solid, too."""
    return winding_number(mesh, points).abs() > 0.5


def signed_distance(mesh: Mesh, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch N"]:
    """Distance from each point to the surface in world units, negative inside (`is_inside`).

    Gradients flow to points and vertices; the sign and the choice of the face are held fixed. On the surface itself,
    where the distance has no gradient, it is 0. Parts that intersect keep their inner walls: the distance is to the
    nearest face, outer or not. A mesh without faces, and what is not finite, are errors.
    """
    squared = offsets(mesh, points).square().sum(-1)
    away = squared.detach() > 0
    distance = torch.where(away, torch.where(away, squared, 1.0).sqrt(), 0.0)
    return torch.where(is_inside(mesh, points), -distance, distance)
