"""Fewer faces for the same surface. V vertices, F faces."""

import numpy as np
import torch

from maquette.shapes.closest import closest_points
from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors, check, colors_at


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """The mesh with about `faces` faces: edges collapse in the order of their quadric error (Garland & Heckbert 1997).

    By the library fast-simplification, in the mesh's own scale, so that the result does not depend on units. It can end
    above `faces` where another collapse would fold the surface, and far below a mesh's features it may pinch it: ask
    `report`. A mesh that has no more faces than asked for is given back as it is.

    Appearance: vertex colours are read at the closest place of the old surface, face colours at that of each new face's
    middle; a texture becomes vertex colours read from it. To keep its detail, `bake(simplify(mesh, n), source=mesh)`.
    No gradient flows. Empty meshes, vertices that are not finite and wrong indices are errors.
    """
    from fast_simplification import simplify as collapse

    check(mesh, "simplify")
    if faces < 1:
        raise ValueError(f"simplify: faces is {faces}; ask for at least 1")
    if mesh.vertices.ndim != 2:
        raise ValueError(f"simplify: vertices have shape {tuple(mesh.vertices.shape)}; give one mesh at a time")
    if len(mesh.faces) <= faces:
        return mesh
    vertices = mesh.vertices.detach().double()
    low, high = vertices.amin(0), vertices.amax(0)
    # The library's thresholds are lengths: they are meant for a mesh of size 1.
    size = (high - low).max().clamp(min=torch.finfo(torch.float64).tiny)
    scaled = ((vertices - low) / size).cpu().numpy()
    points, triangles = collapse(scaled, mesh.faces.cpu().numpy().astype(np.int32), target_count=faces)
    if len(triangles) == 0:
        raise ValueError(f"simplify: nothing is left of {len(mesh.faces)} faces at {faces}; ask for more")
    moved = torch.from_numpy(np.ascontiguousarray(points)).to(vertices) * size + low
    corners = torch.from_numpy(triangles.astype(np.int64)).to(mesh.faces.device)
    return _colored(Mesh(moved.to(mesh.vertices.dtype), corners), mesh)


def _colored(mesh: Mesh, source: Mesh) -> Mesh:
    """The mesh with the colours of the source where it is closest."""
    still = source.with_vertices(source.vertices.detach())
    match source.appearance:
        case None:
            return mesh
        case FaceColors():
            colors = colors_at(still, closest_points(still, mesh.corners().mean(1)))
            assert colors is not None
            return mesh.with_appearance(FaceColors(colors))
        case VertexColors() | Texture():
            colors = colors_at(still, closest_points(still, mesh.vertices))
            assert colors is not None
            return mesh.with_appearance(VertexColors(colors))
