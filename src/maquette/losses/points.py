"""Losses between point sets. N and M points; nothing depends on N = M, nor on the size of the batch."""

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import ops


def squared_distances(
    queries: Float[Tensor, "*batch N 3"], points: Float[Tensor, "*batch M 3"]
) -> Float[Tensor, "*batch N"]:
    """Squared distance from each query to its nearest point, in squared units of the points.

    The match is held fixed: gradients flow to the query and to the point it found.
    """
    m = points.shape[-2]
    index = ops.nearest(queries, points).reshape(-1, queries.shape[-2])
    # One flat index_select: its backward on a CPU is far quicker than that of indexing or of an expanded gather.
    index = index + m * torch.arange(len(index), device=index.device)[:, None]
    found = points.reshape(-1, 3).index_select(0, index.reshape(-1)).reshape(queries.shape)
    return (queries - found).square().sum(-1)


def chamfer(a: Float[Tensor, "*batch N 3"], b: Float[Tensor, "*batch M 3"]) -> Float[Tensor, "*batch"]:
    """Symmetric mean squared distance between point sets, in squared units of the points.

    Each direction averages |p - nearest(p)|^2; the two means are added (Fan et al. 2017, section 4.1, as means instead
    of sums, so that the number of points does not scale it). The match is held fixed: gradients flow through the
    distances only. A set without points is an error.
    """
    if a.shape[-2] == 0 or b.shape[-2] == 0:
        raise ValueError(f"chamfer: the sets have {a.shape[-2]} and {b.shape[-2]} points; give at least one each")
    return squared_distances(a, b).mean(-1) + squared_distances(b, a).mean(-1)
