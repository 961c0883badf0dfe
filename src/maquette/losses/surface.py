"""Distances between points and the faces or edges of a mesh. N points, V vertices, F faces, E edges.

What is nearest is found by a kernel and held fixed; distances are torch's, and gradients flow to points and vertices.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette import ops
from maquette.shapes import Mesh, check, edges_of
from maquette.shapes.closest import check_points, offsets, offsets_from, together, weights_of_closest


def point_to_mesh(points: Float[Tensor, "*some N 3"], mesh: Mesh) -> Float[Tensor, "*batch N"]:
    """Squared distance from each point to the surface, in squared units of the points (PyTorch3D's point_face).

    The batch of the points and that of the mesh broadcast. A face without area counts as the segment or the point that
    it is. A mesh without faces, and points or vertices that are not finite, are errors. No points give no distances.
    """
    return offsets(mesh, points).square().sum(-1)


def mesh_to_point(mesh: Mesh, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch F"]:
    """Squared distance from each face to its nearest point, in squared units (PyTorch3D's face_point).

    Otherwise as `point_to_mesh`. No points are an error.
    """
    check(mesh, "mesh_to_point")
    return _to_nearest(mesh, points, mesh.faces, "mesh_to_point")


def point_to_edges(
    points: Float[Tensor, "*some N 3"], mesh: Mesh, edges: Int[Tensor, "E 2"] | None = None
) -> Float[Tensor, "*batch N"]:
    """Squared distance from each point to the nearest edge, in squared units (PyTorch3D's point_edge).

    `edges` are `edges_of(mesh.faces)`; a loop over one topology finds them once. Otherwise as `point_to_mesh`.
    """
    return point_to_mesh(points, _wires(mesh, edges))


def edges_to_point(
    mesh: Mesh, points: Float[Tensor, "*some N 3"], edges: Int[Tensor, "E 2"] | None = None
) -> Float[Tensor, "*batch E"]:
    """Squared distance from each edge to its nearest point, in squared units (PyTorch3D's edge_point)."""
    wires = _wires(mesh, edges)
    return _to_nearest(wires, points, wires.faces, "edges_to_point")


def point_mesh_face_distance(mesh: Mesh, points: Float[Tensor, "*some N 3"]) -> Float[Tensor, "*batch"]:
    """Mean squared distance of the points to the surface plus that of the faces to their nearest points.

    In squared units. Every point counts alike, and every face, whatever its area; as PyTorch3D's loss of this name, for
    each mesh of the batch. A set without points is an error.
    """
    return point_to_mesh(points, mesh).mean(-1) + mesh_to_point(mesh, points).mean(-1)


def point_mesh_edge_distance(
    mesh: Mesh, points: Float[Tensor, "*some N 3"], edges: Int[Tensor, "E 2"] | None = None
) -> Float[Tensor, "*batch"]:
    """As `point_mesh_face_distance`, with the edges in place of the faces (PyTorch3D's loss of this name)."""
    edges = edges_of(mesh.faces) if edges is None else edges
    return point_to_edges(points, mesh, edges).mean(-1) + edges_to_point(mesh, points, edges).mean(-1)


def _wires(mesh: Mesh, edges: Int[Tensor, "E 2"] | None) -> Mesh:
    """The edges as faces without area."""
    edges = edges_of(check(mesh, "point_to_edges").faces) if edges is None else edges
    return Mesh(mesh.vertices, edges[:, [0, 1, 1]])


def _to_nearest(
    mesh: Mesh, points: Float[Tensor, "*some N 3"], faces: Int[Tensor, "F 3"], name: str
) -> Float[Tensor, "*batch F"]:
    check_points(points, name)
    if points.shape[-2] == 0:
        raise ValueError(f"{name}: there are no points; give at least one")
    points, corners = together(points, mesh.corners())
    vertices = mesh.vertices.detach().expand(*points.shape[:-2], *mesh.vertices.shape[-2:])
    index = ops.nearest_to_face(vertices, faces, points.detach()).reshape(-1, len(faces))
    index = index + points.shape[-2] * torch.arange(len(index), device=index.device)[:, None]
    found = points.reshape(-1, 3).index_select(0, index.reshape(-1)).reshape(*corners.shape[:-2], 3)
    return offsets_from(found, corners, weights_of_closest(found, corners)).square().sum(-1)
