"""Losses of Wang et al. 2018, "Pixel2Mesh": edges at right angles to the target's normals, Laplacians kept.

V vertices, E edges, M target points. Each is one number per mesh of the batch.
"""

from jaxtyping import Float
from torch import Tensor

from maquette import ops
from maquette.losses.points import matched, unit_or_zero
from maquette.shapes.laplacian import checked_topology, coordinates, degrees, neighbor_sums
from maquette.shapes.mesh import Mesh
from maquette.shapes.topology import Topology


def edge_normal_p2m(
    mesh: Mesh,
    points: Float[Tensor, "*batch M 3"],
    *,
    normals: Float[Tensor, "*batch M 3"],
    topology: Topology | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean over the edges, seen from both ends, of |cos| between the edge and the target's normal there; 0..1.

    From the end p, the normal is that of the target point nearest to p (Wang et al. 2018, section 3.4, with the edges
    at length 1 and the absolute value in place of the square, as their program has it). The match and the normals,
    which need no length of 1, are held fixed: gradients flow to the vertices. An edge or a normal without length counts
    as 0 and has no gradient. No edges: 0; no points are an error.
    """
    topology = checked_topology(mesh, topology, "edge_normal_p2m")
    if normals.shape != points.shape:
        raise ValueError(
            f"edge_normal_p2m: points have shape {tuple(points.shape)}, normals {tuple(normals.shape)}; give one each"
        )
    if points.shape[-2] == 0:
        raise ValueError("edge_normal_p2m: there are no target points; give at least one")
    vertices = mesh.vertices
    there = matched(unit_or_zero(normals.detach()), ops.nearest(vertices, points)[..., 0])
    start, end = topology.edges.unbind(1)
    rows, normal = coordinates(vertices), coordinates(there)
    along = unit_or_zero((rows.index_select(-1, end) - rows.index_select(-1, start)).movedim(0, -1)).movedim(-1, 0)
    cosines = [(along * normal.index_select(-1, tip)).sum(0).abs() for tip in (start, end)]
    return (cosines[0] + cosines[1]).sum(-1) / max(2 * len(topology.edges), 1)


def laplacian_delta(before: Mesh, after: Mesh, topology: Topology | None = None) -> Float[Tensor, "*batch"]:
    """Mean over the vertices of |d' - d|^2, d a vertex's neighbours' mean less itself, in squared units of them.

    d is before and d' after a deformation of one topology (Wang et al. 2018, section 3.4, Laplacian regularisation):
    what it costs is the change of detail, not detail itself, so that moving all vertices alike is free. Gradients flow
    to both meshes. A vertex without edges counts as 0.
    """
    topology = checked_topology(before, topology, "laplacian_delta")
    if before.vertices.shape != after.vertices.shape or len(before.faces) != len(after.faces):
        raise ValueError(
            f"laplacian_delta: vertices {tuple(before.vertices.shape)} with {len(before.faces)} faces before, "
            f"{tuple(after.vertices.shape)} with {len(after.faces)} after; give one topology"
        )
    # The operator is linear: the change of the differences is the difference of the change.
    moved = coordinates(after.vertices - before.vertices)
    degree = degrees(topology.edges, moved.shape[-1]).to(moved)
    change = neighbor_sums(moved, topology.edges) / degree.clamp(min=1) - moved * (degree > 0)
    return change.square().sum(0).sum(-1) / max(moved.shape[-1], 1)
