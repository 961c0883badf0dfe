"""Where rays hit a mesh. N rays, V vertices, F faces."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette import ops
from maquette.ops.rays import meet
from maquette.shapes.closest import at_faces, check_points
from maquette.shapes.mesh import Mesh, check


@dataclass(frozen=True)
class Hits:
    """The first face that each ray meets."""

    faces: Int64[Tensor, "*batch N"]
    """-1 where a ray meets none."""
    distance: Float[Tensor, "*batch N"]
    """In lengths of the ray's direction: the hit is `origin + distance * direction`. Infinite where there is none.

    Along `Camera.rays()`, whose directions have depth 1, it is the depth that `render` gives.
    """
    barycentric: Float[Tensor, "*batch N 3"]
    """Weights of the face's corners, non-negative, sum 1; 0 where there is no hit."""


def cast(mesh: Mesh, origins: Float[Tensor, "*some #N 3"], directions: Float[Tensor, "*other #N 3"]) -> Hits:
    """What each ray `origin + t direction`, t >= 0, meets first. Faces have two sides (`ops.ray_hits` tells the rest).

    The batches of mesh, origins and directions broadcast. The choice of the face is held fixed; distance and
    barycentrics are differentiable in origins, directions and vertices. A mesh without faces is met nowhere. Rays or
    vertices that are not finite are errors; a direction of length 0 meets nothing.
    """
    check_points(origins, "cast")
    check_points(directions, "cast")
    # NumPy's, because torch's imports sympy, which takes half a second.
    batch = np.broadcast_shapes(origins.shape[:-2], directions.shape[:-2], mesh.vertices.shape[:-2])
    shape = (*batch, *np.broadcast_shapes(origins.shape[-2:], directions.shape[-2:]))
    origins, directions = origins.expand(shape), directions.expand(shape)
    faces = torch.full(shape[:-1], -1, dtype=torch.int64, device=origins.device)
    distance, barycentric = origins.new_full(shape[:-1], torch.inf), torch.zeros_like(origins)
    if len(mesh.faces) == 0:
        return Hits(faces, distance, barycentric)
    vertices = check(mesh, "cast").vertices.expand(*batch, *mesh.vertices.shape[-2:])
    faces = ops.ray_hits(origins, directions, vertices, mesh.faces)
    place = (faces >= 0).nonzero(as_tuple=True)
    corners = at_faces(mesh.with_vertices(vertices).corners(), faces.clamp(min=0))[place]
    t, weights, _ = meet(origins[place], directions[place], corners)
    return Hits(faces, distance.index_put(place, t.to(distance)), barycentric.index_put(place, weights.to(distance)))
