"""Pieces of a mesh: connected components, what is left without the small ones, vertices that coincide.

V vertices, F faces. Faces that share a vertex index are connected; that they touch is not enough (see `weld`).
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int, Int64, Shaped
from torch import Tensor

from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors, face_areas
from maquette.shapes.topology import connected


def component_of_faces(faces: Int[Tensor, "F 3"]) -> Int64[Tensor, " F"]:
    """The number of the connected component of every face, from 0 on in the order of their first faces."""
    if len(faces) == 0:
        return torch.zeros(0, dtype=torch.int64, device=faces.device)
    links = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]]]).T.long()
    found = connected(links, int(faces.max()) + 1)[faces[:, 0].long()]
    _, number = found.unique(return_inverse=True)
    first = torch.full((int(number.max()) + 1,), len(faces), device=faces.device)
    first = first.scatter_reduce(0, number, torch.arange(len(faces), device=faces.device), "amin")
    return first.argsort().argsort()[number]


def components(mesh: Mesh) -> list[Mesh]:
    """The connected components, each a mesh with its own vertices and appearance, in the order of their first faces."""
    component = component_of_faces(mesh.faces)
    count = int(component.max()) + 1 if len(component) else 0
    return [keep_faces(mesh, component == i) for i in range(count)]


def without_floaters(mesh: Mesh, keep: float = 0.05) -> Mesh:
    """The mesh without the components whose area is below `keep` (0..1) of the largest component's.

    With 1 only the largest stays, and what equals it. Vertices that no face uses go; appearance is carried along.
    """
    if not 0 <= keep <= 1:
        raise ValueError(f"without_floaters: keep is {keep}; give a part of the largest component's area, 0..1")
    if mesh.vertices.ndim != 2:
        raise ValueError(f"without_floaters: vertices have shape {tuple(mesh.vertices.shape)}; give one mesh at a time")
    component = component_of_faces(mesh.faces)
    if len(component) == 0:
        return mesh
    areas = component_areas(mesh, component)
    # Equal pieces at different places differ by rounding.
    kept = areas >= keep * float(areas.max()) * (1 - 1e-6)
    return keep_faces(mesh, kept[component])


def component_areas(mesh: Mesh, component: Int64[Tensor, " F"]) -> Float[Tensor, " C"]:
    """Area of each component, in float64; faces that are not finite count as nothing."""
    areas = face_areas(mesh.with_vertices(mesh.vertices.detach().double())).nan_to_num(0, 0, 0)
    count = int(component.max()) + 1 if len(component) else 0
    return areas.new_zeros(count).index_add(0, component, areas)


def keep_faces(mesh: Mesh, keep: Bool[Tensor, " F"]) -> Mesh:
    """The faces that are told to stay, with the vertices they use, in their order; appearance is carried along."""
    if len(keep) != len(mesh.faces):
        raise ValueError(f"keep_faces: {len(keep)} choices for {len(mesh.faces)} faces; give one each")
    faces = mesh.faces[keep].long()
    used = torch.zeros(mesh.vertices.shape[-2], dtype=torch.bool, device=faces.device)
    used[faces.reshape(-1)] = True
    index = used.cumsum(0) - 1
    match mesh.appearance:
        case VertexColors(colors):
            appearance = VertexColors(colors[..., used, :])
        case FaceColors(colors):
            appearance = FaceColors(colors[keep])
        case Texture(uv, image):
            appearance = Texture(uv[keep], image)
        case None:
            appearance = None
    return Mesh(mesh.vertices[..., used, :], index[faces], appearance)


def weld(mesh: Mesh) -> Mesh:
    """Vertices at exactly the same place (in every mesh of a batch), and of the same colour, become one: the first.

    Nothing else changes: faces keep their order and may now repeat a vertex.
    """
    rows = mesh.vertices.detach().movedim(-2, 0).flatten(1)
    if isinstance(mesh.appearance, VertexColors):
        colors = mesh.appearance.colors.detach().movedim(-2, 0).flatten(1)
        rows = torch.cat([rows, colors.to(rows.dtype)], 1)
    first = first_equal(rows)
    kept = first == torch.arange(len(first), device=first.device)
    faces = ((kept.cumsum(0) - 1)[first])[mesh.faces.long()]
    appearance = mesh.appearance
    if isinstance(appearance, VertexColors):
        appearance = VertexColors(appearance.colors[..., kept, :])
    return replace(mesh, vertices=mesh.vertices[..., kept, :], faces=faces, appearance=appearance)


def first_equal(rows: Shaped[Tensor, "V C"]) -> Int64[Tensor, " V"]:
    """For every row the first that equals it; NaN equals nothing. By sorts: unique rows are many times slower."""
    order = torch.arange(len(rows), device=rows.device)
    for column in reversed(rows.unbind(1)):
        order = order[column[order].argsort(stable=True)]
    new = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    new[1:] = (rows[order[1:]] != rows[order[:-1]]).any(1)
    group = new.cumsum(0) - 1
    first = torch.empty_like(order)
    first[order] = order[new][group]
    return first
