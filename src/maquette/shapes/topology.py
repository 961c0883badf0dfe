"""Who neighbours whom on a mesh: edges, faces that share one, neighbours of a vertex.

V vertices, F faces, E edges, P pairs of faces that share an edge, S splits. All of it follows from the faces alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int, Int64
from torch import Tensor

from maquette.ops.checks import INTEGERS, check_shape

MOST_PAIRS = 1 << 27
"""Pairs of faces that share an edge; n faces at one edge are n (n - 1) / 2 of them."""


@dataclass(frozen=True)
class Topology:
    """What a loop over one mesh needs to know of its faces, found once by `topology_of`.

    A face that repeats a vertex is collapsed: its edges are edges, but it is no neighbour and borders nothing, so that
    the faces on its two sides meet as if it were not there.
    """

    faces: Int64[Tensor, "F 3"]
    """What it is the topology of."""
    vertices: int
    """One more than the highest vertex index."""
    edges: Int64[Tensor, "E 2"]
    """Each undirected edge once, lower vertex first, sorted."""
    face_edges: Int64[Tensor, "F 3"]
    """The edges from corner 0 to 1, 1 to 2 and 2 to 0 of each face; -1 for a collapsed face."""
    uses: Int64[Tensor, " E"]
    """Number of faces at each edge: 1 on a boundary, 2 inside, more where the surface is not a manifold."""
    pairs: Int64[Tensor, "P 2"]
    """Faces that share an edge, lower face first; where more than two meet, every pair of them."""
    pair_edges: Int64[Tensor, " P"]
    """The edge that each pair shares."""
    opposed: Bool[Tensor, " P"]
    """The pair's faces run through their edge in opposite directions, as they do where their winding agrees."""


def edges_of(faces: Int[Tensor, "F 3"]) -> Int64[Tensor, "E 2"]:
    """The undirected edges of the faces, each once, lower vertex first, sorted. ValueError for a negative index."""
    _check("edges_of", faces)
    low, high = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).long().sort(1).values.unbind(1)
    proper = low != high
    count = int(faces.max()) + 1 if len(faces) else 1
    code = torch.unique(low[proper] * count + high[proper])  # 30 times quicker than unique rows
    return torch.stack([code // count, code % count], 1)


def topology_of(faces: Int[Tensor, "F 3"]) -> Topology:
    """Edges and neighbourhoods of the faces. ValueError for a negative index and for more than 2^27 pairs of faces."""
    _check("topology_of", faces)
    faces = faces.long()
    count = int(faces.max()) + 1 if len(faces) else 0
    start, end = faces.reshape(-1), faces.roll(-1, 1).reshape(-1)
    collapsed = ((start == end).reshape(-1, 3).any(1, keepdim=True)).expand(-1, 3).reshape(-1)
    edges = edges_of(faces)
    code = torch.minimum(start, end) * count + torch.maximum(start, end)
    known = edges[:, 0] * count + edges[:, 1]
    index = torch.where(collapsed, -1, torch.searchsorted(known, code))

    # Half-edges by their edge; in each group, every half-edge is paired with those before it.
    order = index.argsort(stable=True)[int(collapsed.sum()) :]
    uses = torch.bincount(index[order], minlength=len(edges))
    first = (uses.cumsum(0) - uses)[index[order]]
    place = torch.arange(len(order), device=faces.device)
    rank = place - first
    total = int(rank.sum())
    if total > MOST_PAIRS:
        a, b = edges[int(uses.argmax())].tolist()
        raise ValueError(
            f"topology_of: {total} pairs of faces share an edge, {int(uses.max())} faces meet at the edge from vertex "
            f"{a} to {b}; at most {MOST_PAIRS} pairs are held, remove duplicate faces first"
        )
    later = place.repeat_interleave(rank)
    earlier = first[later] + torch.arange(total, device=faces.device) - (rank.cumsum(0) - rank)[later]
    upwards = start < end
    return Topology(
        faces=_by_columns(faces.unbind(1)),
        vertices=count,
        edges=_by_columns(edges.unbind(1)),
        face_edges=index.reshape(-1, 3),
        uses=uses,
        pairs=_by_columns((order[earlier] // 3, order[later] // 3)),
        pair_edges=index[order[later]],
        opposed=upwards[order[earlier]] != upwards[order[later]],
    )


def _check(name: str, faces: Tensor) -> None:
    check_shape(name, "faces", faces, "F 3")
    if faces.dtype not in INTEGERS:
        raise ValueError(f"{name}: faces are {faces.dtype}; give vertex indices as int64")
    if len(faces) and int(faces.min()) < 0:
        raise ValueError(f"{name}: vertex indices go down to {int(faces.min())}; indices start at 0")


def _by_columns(columns: Sequence[Int64[Tensor, " N"]]) -> Int64[Tensor, "N C"]:
    """Columns side by side, each in one piece of memory: a loop that gathers by them copies nothing."""
    return torch.stack(tuple(columns)).T


def boundary_edges(topology: Topology) -> Int64[Tensor, "B 2"]:
    """The edges with one face."""
    return topology.edges[topology.uses == 1]


def nonmanifold_edges(topology: Topology) -> Int64[Tensor, "N 2"]:
    """The edges with more than two faces."""
    return topology.edges[topology.uses > 2]


def vertex_neighbors(edges: Int[Tensor, "E 2"], vertices: int) -> tuple[Int64[Tensor, " S"], Int64[Tensor, " N"]]:
    """Splits (one more than `vertices`) and neighbours: those of vertex i are neighbors[splits[i] : splits[i + 1]].

    Each neighbour along an edge stands there once, in ascending order; a vertex without edges has none.
    """
    both = torch.cat([edges, edges.flip(1)]).long()
    start, end = both.unbind(1)
    splits = both.new_zeros(vertices + 1)
    splits[1:] = torch.bincount(start, minlength=vertices).cumsum(0)
    return splits, end[(start * vertices + end).argsort()]


def connected(links: Int64[Tensor, "2 L"], nodes: int) -> Int64[Tensor, " N"]:
    """The number of the connected component of each of the `nodes`, from 0 on; a link joins two of them."""
    from scipy import sparse

    rows, columns = links.cpu().numpy()
    graph = sparse.coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(nodes, nodes))
    labels = sparse.csgraph.connected_components(graph, directed=False)[1] if nodes else np.zeros(0)
    return torch.from_numpy(labels).long().to(links.device)
