"""Losses between point sets. N and M points; nothing depends on N = M, nor on the size of the batch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette import ops


def squared_distances(
    queries: Float[Tensor, "*batch N 3"], points: Float[Tensor, "*batch M 3"]
) -> Float[Tensor, "*batch N"]:
    """Squared distance from each query to its nearest point, in squared units of the points.

    The match is held fixed: gradients flow to the query and to the point it found.
    """
    return _squared(queries, points, ops.nearest(queries, points)[..., 0])


def _squared(
    queries: Float[Tensor, "*batch N 3"], points: Float[Tensor, "*batch M 3"], match: Int[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N"]:
    """Squared distances to the points matched."""
    index = match.reshape(-1, queries.shape[-2])
    # One flat index_select: its backward on a CPU is far quicker than that of indexing or of an expanded gather.
    index = index + points.shape[-2] * torch.arange(len(index), device=index.device)[:, None]
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
    b_of_a, a_of_b = ops.nearest_both(a, b)
    return _squared(a, b, b_of_a).mean(-1) + _squared(b, a, a_of_b).mean(-1)
