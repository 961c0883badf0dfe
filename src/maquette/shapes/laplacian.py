"""Laplacians of a mesh: weights of its edges, and sparse matrices that take vertices to their differences.

V vertices, F faces, E edges. Row i of L @ x is sum_j w_ij (x_j - x_i): rows sum to zero, the diagonal is negative.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.checks import check_shape
from maquette.shapes.mesh import Mesh
from maquette.shapes.topology import Topology, topology_of

LaplacianKind = Literal["graph", "uniform", "inverse length", "cot", "cotcurv"]


def laplacian(mesh: Mesh, kind: LaplacianKind, topology: Topology | None = None) -> Float[Tensor, "V V"]:
    """The sparse (coalesced COO) matrix of one mesh, a constant for autograd. Row i of L @ x is

    - graph: sum_j (x_j - x_i); symmetric, negative semidefinite,
    - uniform: the neighbours' mean - x_i, the umbrella operator of Taubin (1995),
    - inverse length: sum_j (x_j - x_i) / |v_j - v_i| (Fujiwara 1995); an edge without length has weight 0,
    - cot: sum_j (cot a_ij + cot b_ij) (x_j - x_i), a and b opposite to the edge (Pinkall & Polthier 1993); symmetric,
    - cotcurv: the cot row over 4 A_i, A_i the area of all faces at i (Desbrun et al. 1999, eq. 14).

    A vertex without edges, or without area where it divides, has a row of zeros. Faces without area weigh nothing.
    """
    if mesh.vertices.ndim != 2:
        raise ValueError(f"laplacian: vertices have shape {tuple(mesh.vertices.shape)}; give one mesh at a time")
    topology = checked_topology(mesh, topology, "laplacian")
    vertices, edges = mesh.vertices.detach(), topology.edges
    scale = vertices.new_ones(len(vertices))
    match kind:
        case "graph":
            weights = vertices.new_ones(len(edges))
        case "uniform":
            weights = vertices.new_ones(len(edges))
            scale = 1 / degrees(edges, len(vertices)).clamp(min=1).to(vertices)
        case "inverse length":
            weights = inverse_lengths(vertices, edges)
        case "cot":
            weights = cotangent_weights(mesh, topology)
        case "cotcurv":
            weights, areas = cotangent_weights(mesh, topology), areas_around(mesh)
            scale = torch.where(areas > 0, 0.25 / areas, 0.0)
        case _:
            raise ValueError(
                f"laplacian: kind is {kind!r}; one of 'graph', 'uniform', 'inverse length', 'cot', 'cotcurv'"
            )
    return _matrix(edges, weights, scale)


def cotangent_weights(mesh: Mesh, topology: Topology | None = None) -> Float[Tensor, "*batch E"]:
    """cot a + cot b of every edge, a and b the angles opposite to it; at a boundary one, at non-manifold edges all.

    Detached: weights are held fixed where they are used. Negative where a + b > pi; yet the weights around a vertex
    always sum to more than zero, as each face adds sin / (sin sin) of its angles. Faces without area add 0.
    """
    topology = checked_topology(mesh, topology, "cotangent_weights")
    corners = coordinates(mesh.vertices.detach()).index_select(-1, mesh.faces.reshape(-1).long())
    a, b, c = corners.unflatten(-1, (-1, 3)).unbind(-1)  # each 3 *batch F
    ab, bc, ca = b - a, c - b, a - c
    longest = torch.maximum(ab.square().sum(0), torch.maximum(bc.square().sum(0), ca.square().sum(0)))
    # Angles know no scale: with sides of about 1, products of four lengths stay in the range of float32.
    ab, bc, ca = (edge * torch.where(longest > 0, longest, 1.0).rsqrt() for edge in (ab, bc, ca))
    double_area = _cross(ab, ca).square().sum(0).sqrt()
    usable = double_area > flat_sine(double_area.dtype)
    # Opposite to ab is the corner c, and so on, in the order of `face_edges`.
    cosines = torch.stack([-(bc * ca).sum(0), -(ca * ab).sum(0), -(ab * bc).sum(0)], -1)
    cotangents = cosines / torch.where(usable, double_area, 1.0)[..., None] * usable[..., None]
    # Collapsed faces have index -1 and no area: what they add to edge 0 is zero.
    index = topology.face_edges.reshape(-1).clamp(min=0)
    weights = cotangents.new_zeros((*cotangents.shape[:-2], len(topology.edges)))
    return weights.index_add(-1, index, cotangents.flatten(-2)) if len(topology.edges) else weights


def areas_around(mesh: Mesh) -> Float[Tensor, "*batch V"]:
    """Total area of the faces at each vertex, detached; a third of it is the vertex's own (barycentric) area."""
    corners = coordinates(mesh.vertices.detach()).index_select(-1, mesh.faces.reshape(-1).long())
    a, b, c = corners.unflatten(-1, (-1, 3)).unbind(-1)
    areas = _cross(b - a, c - a).square().sum(0).sqrt() / 2
    total = areas.new_zeros(mesh.vertices.shape[:-1])
    return total.index_add(-1, mesh.faces.reshape(-1).long(), areas.repeat_interleave(3, -1))


def inverse_lengths(vertices: Float[Tensor, "*batch V 3"], edges: Int64[Tensor, "E 2"]) -> Float[Tensor, "*batch E"]:
    """1 / length of every edge, detached; 0 for an edge without length."""
    start, end = vertices.detach().index_select(-2, edges.T.reshape(-1)).chunk(2, -2)
    lengths = (end - start).norm(dim=-1)
    return torch.where(lengths > 0, 1 / lengths, 0.0)


def degrees(edges: Int64[Tensor, "E 2"], vertices: int) -> Int64[Tensor, " V"]:
    """Number of edges at each vertex."""
    return torch.bincount(edges.reshape(-1), minlength=vertices)


def neighbor_sums(
    values: Float[Tensor, "C *batch V"], edges: Int64[Tensor, "E 2"], weights: Float[Tensor, "*batch E"] | None = None
) -> Float[Tensor, "C *batch V"]:
    """sum_j w_ij x_j over the neighbours j of every vertex i, weights 1 unless given; coordinates first.

    Rows of one coordinate, not of three, are what makes this quick on a CPU, forwards and backwards.
    """
    low, high = edges.unbind(1)
    start, end = torch.cat([low, high]), torch.cat([high, low])
    across = values.index_select(-1, end)
    if weights is not None:
        across = across * torch.cat([weights, weights], -1)
    return torch.zeros_like(values).index_add(-1, start, across)


def coordinates(vertices: Float[Tensor, "*batch V 3"]) -> Float[Tensor, "3 *batch V"]:
    """x, y and z apart, each in one piece of memory."""
    return vertices.movedim(-1, 0).contiguous()


def flat_sine(dtype: torch.dtype) -> float:
    """A triangle whose double area is not above this part of its squared longest edge has no area but rounding."""
    return 8 * torch.finfo(dtype).eps


def checked_topology(mesh: Mesh, topology: Topology | None, name: str) -> Topology:
    """The topology given, or that of the mesh; ValueError, with `name` in it, where it does not fit the mesh."""
    check_shape(name, "vertices", mesh.vertices, "*batch V 3")
    topology = topology_of(mesh.faces) if topology is None else topology
    count = mesh.vertices.shape[-2]
    if topology.vertices > count:
        raise ValueError(f"{name}: faces use vertex {topology.vertices - 1}, but there are {count} vertices")
    if len(topology.faces) != len(mesh.faces):
        raise ValueError(
            f"{name}: the topology is of {len(topology.faces)} faces, the mesh has {len(mesh.faces)}; "
            "give topology_of(mesh.faces)"
        )
    if topology.edges.device != mesh.vertices.device:
        raise ValueError(
            f"{name}: vertices are on {mesh.vertices.device}, the topology on {topology.edges.device}; "
            "bring both to one device"
        )
    return topology


def _cross(a: Float[Tensor, "3 *some"], b: Float[Tensor, "3 *some"]) -> Float[Tensor, "3 *some"]:
    (ax, ay, az), (bx, by, bz) = a.unbind(0), b.unbind(0)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def _matrix(
    edges: Int64[Tensor, "E 2"], weights: Float[Tensor, " E"], scale: Float[Tensor, " V"]
) -> Float[Tensor, "V V"]:
    """scale_i w_ij beside the diagonal, and on it what makes every row sum to zero."""
    count = len(scale)
    rows, columns = edges.T.reshape(-1), edges.T.flip(0).reshape(-1)
    values = scale[rows] * torch.cat([weights, weights])
    diagonal = -torch.zeros_like(scale).index_add(0, rows, values)
    every = torch.arange(count, device=edges.device)
    index = torch.stack([torch.cat([rows, every]), torch.cat([columns, every])])
    return torch.sparse_coo_tensor(
        index, torch.cat([values, diagonal]), (count, count), check_invariants=False
    ).coalesce()
