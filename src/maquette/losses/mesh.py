"""Regularisers of a mesh's shape: edge lengths, bends, Laplacians. V vertices, F faces, E edges, P pairs of faces.

Every loss is one number per mesh of the batch, and takes the `topology_of` the faces, which a loop finds once.
Inside, coordinates come first (3 *batch V): on a CPU that is three times quicker than rows of three, both ways.
"""

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from maquette.shapes.laplacian import (
    areas_around,
    checked_topology,
    coordinates,
    cotangent_weights,
    degrees,
    flat_sine,
    neighbor_sums,
)
from maquette.shapes.mesh import Mesh
from maquette.shapes.topology import Topology


def edge_loss(mesh: Mesh, topology: Topology | None = None, *, target: float = 0.0) -> Float[Tensor, "*batch"]:
    """Mean over the edges of (length - target)^2, in squared units of the vertices (PyTorch3D's mesh_edge_loss).

    An edge between faces counts once. An edge without length has no direction to grow in: its gradient is zero. No
    edges: 0.
    """
    edges = checked_topology(mesh, topology, "edge_loss").edges
    start, end = _columns(coordinates(mesh.vertices), edges)
    squared = (end - start).square().sum(0)
    error = squared if target == 0 else (_root(squared) - target).square()
    return error.sum(-1) / max(len(edges), 1)


def normal_consistency(mesh: Mesh, topology: Topology | None = None) -> Float[Tensor, "*batch"]:
    """Mean over the pairs of faces that share an edge of 1 - cos of the angle between their normals.

    0 on a plane, 1 at a right angle, 2 for a fold. An edge with n > 2 faces gives all n (n - 1) / 2 pairs. The sign of
    a normal follows the shared edge, not the winding (PyTorch3D's mesh_normal_consistency), so that flipped faces do
    not count as folds. A pair with a face without area adds 0 and has no gradient. No pairs: 0.
    """
    topology = checked_topology(mesh, topology, "normal_consistency")
    a, b, c = _columns(coordinates(mesh.vertices), topology.faces)
    u, v = b - a, c - a
    with torch.no_grad():
        # A normal knows no scale: with sides of about 1, products of four lengths stay in the range of float32.
        longest = torch.maximum(u.square().sum(0), v.square().sum(0))
        scale = torch.where(longest > 0, longest, 1.0).rsqrt()
    (ux, uy, uz), (vx, vy, vz) = (u * scale).unbind(0), (v * scale).unbind(0)
    normals = torch.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx])
    squared = normals.square().sum(0)
    usable = squared > flat_sine(squared.dtype) ** 2
    units = normals * (torch.where(usable, squared, 1.0).rsqrt() * usable)
    first, second = _columns(units, topology.pairs)
    either, other = _columns(usable, topology.pairs)
    sign = torch.where(topology.opposed, 1.0, -1.0).to(units)
    # |n - m|^2 / 2 is 1 - cos, without its cancellation where the surface is nearly flat.
    bends = (first - sign * second).square().sum(0) * (either & other)
    return bends.sum(-1) / max(2 * len(topology.pairs), 1)


def laplacian_uniform(mesh: Mesh, topology: Topology | None = None) -> Float[Tensor, "*batch"]:
    """Mean over the vertices of |mean of its neighbours - vertex|, in units of the vertices (a length, not its square).

    Weights are uniform: each neighbour along an edge counts once (Desbrun et al. 1999, the umbrella operator). A vertex
    without edges counts as 0.
    """
    edges = checked_topology(mesh, topology, "laplacian_uniform").edges
    rows = coordinates(mesh.vertices)
    degree = degrees(edges, rows.shape[-1]).to(rows)
    delta = neighbor_sums(rows, edges) / degree.clamp(min=1) - rows * (degree > 0)
    return _mean_length(delta)


def laplacian_cot(mesh: Mesh, topology: Topology | None = None) -> Float[Tensor, "*batch"]:
    """Mean over the vertices of |weighted mean of its neighbours - vertex|, weights cot a + cot b, in units of them.

    a and b are the angles opposite to an edge (Nealen et al. 2006, section 3); where neighbours are evenly spread it
    moves a vertex along the normal alone. Weights are held fixed; they are negative at very obtuse triangles, but a
    vertex's weights sum to more than zero. Faces without area weigh nothing; a vertex without weights counts as 0.
    """
    topology = checked_topology(mesh, topology, "laplacian_cot")
    weights, rows = cotangent_weights(mesh, topology), coordinates(mesh.vertices)
    total = neighbor_sums(torch.ones_like(rows[:1]), topology.edges, weights)[0]
    known = total > 0
    delta = neighbor_sums(rows, topology.edges, weights) / torch.where(known, total, 1.0) - rows
    return _mean_length(delta * known)


def laplacian_cotcurv(mesh: Mesh, topology: Topology | None = None) -> Float[Tensor, "*batch"]:
    """Mean over the vertices of |sum_j (cot a + cot b) (v_j - v_i)| / (4 A_i), in 1 / units of the vertices.

    A_i is the area of all faces at the vertex (Desbrun et al. 1999, eq. 14, as in PyTorch3D). That counts each face at
    its three corners, so the value is a third of the mean curvature: 1 / (3 r) on a sphere of radius r. Weights and
    areas are held fixed. Faces without area weigh nothing; a vertex without area counts as 0.
    """
    topology = checked_topology(mesh, topology, "laplacian_cotcurv")
    weights, rows, areas = cotangent_weights(mesh, topology), coordinates(mesh.vertices), areas_around(mesh)
    total = neighbor_sums(torch.ones_like(rows[:1]), topology.edges, weights)[0]
    scale = torch.where(areas > 0, 0.25 / areas, 0.0)
    return _mean_length((neighbor_sums(rows, topology.edges, weights) - rows * total) * scale)


def _columns(values: Shaped[Tensor, "*some V"], index: Int64[Tensor, "N C"]) -> list[Shaped[Tensor, "*some N"]]:
    """Values at each column of the index, apart: a slice of one gather would cost a copy on the way back."""
    return [values.index_select(-1, column) for column in index.unbind(1)]


def _mean_length(delta: Float[Tensor, "3 *batch V"]) -> Float[Tensor, "*batch"]:
    return _root(delta.square().sum(0)).sum(-1) / max(delta.shape[-1], 1)


def _root(squared: Float[Tensor, "*some"]) -> Float[Tensor, "*some"]:
    """Square root whose gradient at zero is zero. (`norm` along the first axis has that too, 15 times slower.)"""
    positive = squared > 0
    return torch.where(positive, squared, 1.0).sqrt() * positive
