"""Finer meshes: every face cut into four at its edges' middles; the surface stays (midpoint) or is smoothed (Loop).

V vertices, W vertices of the finer mesh, F faces, N terms of the sums. Differentiable in the vertices, batched, too.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors
from maquette.shapes.topology import Topology, topology_of

CHILDREN = ((0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5))
"""The four faces in a face: 0, 1 and 2 are its corners, 3, 4 and 5 the middles of its edges 0-1, 1-2 and 2-0."""


@dataclass(frozen=True)
class Refinement:
    """One step of subdivision of one topology, to be applied to anything that vertices carry."""

    faces: Int64[Tensor, "F4 3"]
    """Of the finer mesh; face f became faces 4 f to 4 f + 3, the last of which lies in its middle."""
    rows: Int64[Tensor, " N"]
    columns: Int64[Tensor, " N"]
    weights: Float[Tensor, " N"]
    """Vertex `rows` of the finer mesh is the sum of `weights` times vertex `columns`; float64."""
    before: int
    """V. The finer mesh has these vertices first, in their order."""
    after: int
    """W: one vertex more for every edge, in the order of `edges_of`."""


def subdivide_midpoint(mesh: Mesh, steps: int = 1) -> Mesh:
    """Every face cut into four, `steps` times; the surface and its appearance stay where they are."""
    for _ in range(_checked(steps, "subdivide_midpoint")):
        mesh = subdivide(mesh, midpoint_refinement(mesh.faces, mesh.vertices.shape[-2]))
    return mesh


def subdivide_loop(mesh: Mesh, steps: int = 1) -> Mesh:
    """Every face cut into four and rounded, `steps` times: a smooth surface in the limit (Loop 1987).

    The surface shrinks towards its limit (`loop_limit`). A rim becomes a smooth curve of its own.
    """
    for _ in range(_checked(steps, "subdivide_loop")):
        mesh = subdivide(mesh, loop_refinement(mesh.faces, mesh.vertices.shape[-2]))
    return mesh


def subdivide(mesh: Mesh, refinement: Refinement) -> Mesh:
    """The finer mesh. Vertex colours take the weights of the vertices; face colours and textures stay on their face."""
    match mesh.appearance:
        case VertexColors(colors):
            appearance = VertexColors(refined(colors, refinement))
        case FaceColors(colors):
            appearance = FaceColors(colors.repeat_interleave(4, 0))
        case Texture(uv, image):
            six = torch.cat([uv, (uv + uv.roll(-1, 1)) / 2], 1)
            appearance = Texture(six[:, torch.tensor(CHILDREN, device=uv.device)].reshape(-1, 3, 2), image)
        case None:
            appearance = None
    return Mesh(refined(mesh.vertices, refinement), refinement.faces, appearance)


def refined(values: Float[Tensor, "*batch V C"], refinement: Refinement) -> Float[Tensor, "*batch W C"]:
    """Any feature of the vertices, carried to those of the finer mesh."""
    if values.shape[-2] != refinement.before:
        raise ValueError(f"refined: values of {values.shape[-2]} vertices, the refinement is of {refinement.before}")
    # Vertices first: rows of the whole batch are gathered and added at once.
    first = values.movedim(-2, 0)
    flat = first.flatten(1)
    terms = flat.index_select(0, refinement.columns) * refinement.weights.to(flat)[:, None]
    total = flat.new_zeros((refinement.after, flat.shape[1])).index_add(0, refinement.rows, terms)
    return total.reshape(refinement.after, *first.shape[1:]).movedim(0, -2)


def midpoint_refinement(faces: Int[Tensor, "F 3"], vertices: int) -> Refinement:
    """New vertices at the middles of the edges; the old ones stay."""
    topology = _topology(faces, vertices, "midpoint_refinement")
    kept = torch.arange(vertices, device=faces.device)
    added = vertices + torch.arange(len(topology.edges), device=faces.device)
    terms = [(kept, kept, 1.0), (added, topology.edges[:, 0], 0.5), (added, topology.edges[:, 1], 0.5)]
    return _refinement(faces, vertices, topology, terms)


def loop_refinement(faces: Int[Tensor, "F 3"], vertices: int) -> Refinement:
    """Loop's weights (Loop 1987, section 3.1): 3/8 and 1/8 for a new vertex, 1 - n beta and beta for an old one.

    beta = (5/8 - (3/8 + cos(2 pi / n) / 4)^2) / n for n neighbours. On an edge with one face, or with more than two, a
    new vertex is its middle; an old vertex on two such edges has 3/4, and 1/8 for their other ends, so that a rim does
    not see what is inside. A vertex on another number of them stays (a corner).
    """
    topology = _topology(faces, vertices, "loop_refinement")
    edges, inner = topology.edges, topology.uses == 2
    kept = torch.arange(vertices, device=faces.device)
    added = vertices + torch.arange(len(edges), device=faces.device)
    low, high = edges.unbind(1)

    along = torch.where(inner, 3 / 8, 1 / 2).double()
    terms = [(added, low, along), (added, high, along)]
    # The corner opposite to the edge from corner i to i + 1 is corner i + 2.
    opposite = faces.long().roll(1, 1).reshape(-1)
    across = topology.face_edges.reshape(-1)
    terms.append((vertices + across, opposite, inner[across].double() / 8))

    rims = torch.bincount(edges[~inner].reshape(-1), minlength=vertices)
    degree = torch.bincount(edges.reshape(-1), minlength=vertices)
    smooth, rim = (rims == 0) & (degree > 0), rims == 2
    share = torch.where(smooth, _beta(degree), rim.double() / 8)
    terms.append((kept, kept, 1 - share * torch.where(smooth, degree, rims * rim)))
    for end, other in ((low, high), (high, low)):
        terms.append((end, other, share[end] * (smooth[end] | ~inner)))
    return _refinement(faces, vertices, topology, terms)


def loop_limit(mesh: Mesh) -> Float[Tensor, "*batch V 3"]:
    """Where the vertices of a mesh end when Loop's subdivision never does.

    Inside, (1 - n chi) v + chi (sum of the n neighbours) with chi = 1 / (3 / (8 beta) + n) (Hoppe et al. 1994,
    appendix); on a rim, 2/3 v + 1/6 of each of its neighbours along the rim. Corners stay.
    """
    count = mesh.vertices.shape[-2]
    topology = _topology(mesh.faces, count, "loop_limit")
    edges, inner = topology.edges, topology.uses == 2
    rims = torch.bincount(edges[~inner].reshape(-1), minlength=count)
    degree = torch.bincount(edges.reshape(-1), minlength=count)
    smooth, rim = (rims == 0) & (degree > 0), rims == 2
    chi = 1 / (3 / (8 * _beta(degree)) + degree)
    share = torch.where(smooth, chi, rim.double() / 6)
    kept = torch.arange(count, device=edges.device)
    low, high = edges.unbind(1)
    terms = [(kept, kept, 1 - share * torch.where(smooth, degree, rims * rim))]
    terms += [(a, b, share[a] * (smooth[a] | ~inner)) for a, b in ((low, high), (high, low))]
    limit = _refinement(mesh.faces, count, topology, terms)
    return refined(mesh.vertices, limit)[..., :count, :]


def _beta(degree: Int64[Tensor, " V"]) -> Float[Tensor, " V"]:
    """Loop's weight of each neighbour of an inner vertex; in float64, nothing is divided by zero."""
    n = degree.clamp(min=1).double()
    return (5 / 8 - (3 / 8 + torch.cos(2 * math.pi / n) / 4).square()) / n


def _refinement(faces: Int[Tensor, "F 3"], vertices: int, topology: Topology, terms) -> Refinement:
    """From sums given as (rows, columns, weight or weights); weights that are zero are left out."""
    six = torch.cat([faces.long(), vertices + topology.face_edges], 1)
    children = six[:, torch.tensor(CHILDREN, device=faces.device)].reshape(-1, 3)
    rows, columns = torch.cat([term[0] for term in terms]), torch.cat([term[1] for term in terms])
    weights = torch.cat([torch.ones(len(rows), dtype=torch.float64).to(rows.device) * w for rows, _, w in terms])
    used = weights != 0
    return Refinement(children, rows[used], columns[used], weights[used], vertices, vertices + len(topology.edges))


def _topology(faces: Int[Tensor, "F 3"], vertices: int, name: str) -> Topology:
    topology = topology_of(faces)
    if topology.vertices > vertices:
        raise ValueError(f"{name}: faces use vertex {topology.vertices - 1}, but there are {vertices} vertices")
    collapsed = (topology.face_edges < 0).any(1)
    if bool(collapsed.any()):
        first = int(collapsed.nonzero()[0])
        raise ValueError(
            f"{name}: {int(collapsed.sum())} faces repeat a vertex, the first is face {first} = "
            f"{faces[first].tolist()}; remove them first"
        )
    return topology


def _checked(steps: int, name: str) -> int:
    if steps < 0:
        raise ValueError(f"{name}: {steps} steps; give 0 or more")
    return steps
