"""Isotropic remeshing: edges of one length, valences near 6, on the same surface (Botsch & Kobbelt 2004, section 4).

V vertices, F faces; W and G of the new mesh.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette.shapes import FaceSamples, Mesh, check, closest_points, face_areas, positions_at
from maquette.shapes.topology import topology_of

SPLIT, COLLAPSE = 4 / 3, 4 / 5
"""Edges above and below these parts of the wanted length are cut or merged: so neither makes work for the other."""


def remesh(
    mesh: Mesh,
    length: float | Float[Tensor, " V"],
    *,
    rounds: int = 3,
    feature: float = math.pi,
    most_faces: int = 1 << 22,
) -> Mesh:
    """The surface with edges of about `length`, in units of the vertices; positions alone, without appearance.

    Each round splits long edges, collapses short ones, flips where valences become more even, moves vertices within
    their tangent planes and puts them back on the surface that was given. A length per vertex makes the mesh finer
    where it is smaller. Edges whose faces' normals differ by more than `feature` radians stay where they are, as do
    boundaries. The mesh stays a manifold, its Euler characteristic is kept. More than two faces at an edge, or two that
    are wound against each other, are errors. The result lies in the type and on the device of the vertices.
    """
    check(mesh, "remesh")
    if mesh.vertices.ndim != 2:
        raise ValueError(f"remesh: vertices have shape {tuple(mesh.vertices.shape)}; give one mesh at a time")
    if rounds < 1:
        raise ValueError(f"remesh: rounds is {rounds}; give at least 1")
    count = len(mesh.vertices)
    wanted = torch.as_tensor(length, dtype=torch.float64).detach().cpu().expand(count)
    if not bool((wanted > 0).all()) or not bool(torch.isfinite(wanted).all()):
        raise ValueError("remesh: a length is not positive and finite; give one above 0")
    from maquette.fitting import remesh_numba as kernels

    surface = Mesh(mesh.vertices.detach().cpu().double(), mesh.faces.cpu().long())
    twin = _twins(surface)
    points, org = surface.vertices.numpy().copy(), surface.faces.numpy().reshape(-1).copy()
    out, sizes, sharp = _leaving(org, count), wanted.numpy().copy(), np.zeros(len(org), np.bool_)
    for _ in range(rounds):
        # Room for the splits of this round; what is gone after a collapse is packed away at its end.
        room_f = min(most_faces, 8 * (len(org) // 3) + 256)
        faces, vertices = len(org) // 3, len(points)
        org, twin, sharp = (_grown(x, 3 * max(room_f, faces)) for x in (org, twin, sharp))
        room_v = vertices + max(room_f, faces) - faces
        points, out, sizes = (_grown(x, room_v) for x in (points, out, sizes))
        kernels.mark_sharp(org[: 3 * faces], twin, sharp, points, math.cos(min(feature, math.pi)) - 1e-9)
        limits = sizes * SPLIT
        faces, vertices = kernels.split_long(org, twin, sharp, out, points, faces, vertices, limits)
        sizes = limits / SPLIT
        kernels.collapse_short(org, twin, sharp, out, points, faces, sizes * COLLAPSE, limits)
        kernels.flip_uneven(org, twin, sharp, out, points, faces)
        kernels.relax(org, twin, sharp, out, points, vertices, 1.0)
        org, twin, sharp, out, points, sizes = _packed(org, twin, sharp, out, points, sizes, faces, vertices)
        found = closest_points(surface, torch.from_numpy(points))
        points = positions_at(surface, found).numpy().copy()
    vertices = torch.from_numpy(points).to(mesh.vertices)
    return Mesh(vertices, torch.from_numpy(org.reshape(-1, 3)).to(mesh.faces.device))


def length_for(mesh: Mesh, faces: int) -> float:
    """The edge of `faces` equal triangles with the area of the mesh, in units of its vertices."""
    if faces < 1:
        raise ValueError(f"length_for: {faces} faces; give at least 1")
    return math.sqrt(4 * float(face_areas(mesh).double().sum()) / (math.sqrt(3) * faces))


def carried(values: Float[Tensor, "V C"], mesh: Mesh, places: FaceSamples) -> Float[Tensor, "W C"]:
    """Values of the vertices of a mesh, read at places on it."""
    return positions_at(Mesh(values, mesh.faces), places) if values.shape[1] == 3 else _read(values, mesh, places)


def _read(values: Tensor, mesh: Mesh, places: FaceSamples) -> Tensor:
    corners = values.index_select(0, mesh.faces[places.faces].reshape(-1)).reshape(-1, 3, values.shape[1])
    return (corners * places.barycentric[..., None]).sum(1)


def _twins(mesh: Mesh) -> np.ndarray:
    """The half-edge on the other side of each, -1 on a boundary."""
    topology = topology_of(mesh.faces)
    collapsed = int((topology.face_edges < 0).any(1).sum())
    if collapsed:
        raise ValueError(f"remesh: {collapsed} faces repeat a vertex; remove them first")
    crowded, against = int((topology.uses > 2).sum()), int((~topology.opposed).sum())
    if crowded or against:
        raise ValueError(
            f"remesh: {crowded} edges have more than two faces, {against} pairs of faces are wound against each other; "
            "give a manifold"
        )
    half = topology.face_edges.reshape(-1)
    order = half.argsort(stable=True)
    inner = topology.uses[half[order]] == 2
    pairs = order[inner].reshape(-1, 2)
    twin = torch.full((len(half),), -1, dtype=torch.int64)
    twin[pairs[:, 0]], twin[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    return twin.numpy()


def _leaving(org: np.ndarray, vertices: int) -> np.ndarray:
    out = np.full(vertices, -1, np.int64)
    out[org] = np.arange(len(org))
    return out


def _grown(values: np.ndarray, count: int) -> np.ndarray:
    larger = np.zeros((count, *values.shape[1:]), values.dtype)
    larger[: len(values)] = values
    return larger


def _packed(org, twin, sharp, out, points, sizes, faces: int, vertices: int):
    """Without faces and vertices that are gone."""
    alive_f = org[: 3 * faces].reshape(-1, 3)[:, 0] >= 0
    alive_v = out[:vertices] >= 0
    new_v = np.cumsum(alive_v) - 1
    half = np.repeat(alive_f, 3)
    new_h = np.cumsum(half) - 1
    twin = twin[: 3 * faces][half]
    twin = np.where(twin >= 0, new_h[twin], -1)
    org = new_v[org[: 3 * faces][half]]
    return (
        org,
        twin,
        sharp[: 3 * faces][half],
        new_h[out[:vertices][alive_v]],
        points[:vertices][alive_v],
        sizes[:vertices][alive_v],
    )
