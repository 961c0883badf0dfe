"""Regularisers of a mesh's shape. V vertices, F faces, E edges."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette.shapes import Mesh


def edges_of(faces: Int[Tensor, "F 3"]) -> Int[Tensor, "E 2"]:
    """The undirected edges of the faces, each once, lower vertex first, sorted."""
    low, high = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).long().sort(1).values.unbind(1)
    proper = low != high
    count = int(faces.max()) + 1 if len(faces) else 1
    code = torch.unique(low[proper] * count + high[proper])  # 30 times quicker than unique rows
    return torch.stack([code // count, code % count], 1)


def laplacian_uniform(mesh: Mesh, edges: Int[Tensor, "E 2"] | None = None) -> Float[Tensor, "*batch"]:
    """Mean over the vertices of |mean of its neighbours - vertex|, in units of the vertices (a length, not its square).

    Weights are uniform: each neighbour along an edge counts once (Desbrun et al. 1999, the umbrella operator). A vertex
    without edges counts as 0. `edges` are `edges_of(mesh.faces)`; a loop over one topology finds them once.
    """
    count = mesh.vertices.shape[-2]
    edges = edges_of(mesh.faces) if edges is None else edges
    start, end = torch.cat([edges, edges.flip(1)]).unbind(1)
    # Vertices first: sums along the first axis move whole rows, 3 times quicker on a CPU than along a middle axis.
    rows = mesh.vertices.movedim(-2, 0)
    flat = rows.reshape(count, -1)
    degree = torch.bincount(start, minlength=count).to(flat)[:, None]
    total = torch.zeros_like(flat).index_add(0, start, flat.index_select(0, end))
    laplacian = total / degree.clamp(min=1) - flat * (degree > 0)
    return laplacian.reshape(rows.shape).norm(dim=-1).mean(0)
