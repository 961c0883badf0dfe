"""Which points lie within a radius of each query.

B batch, N queries, M points, K places, S offsets of a union. Only indices come out: distances are torch's part.
"""

import importlib.util
import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.checks import check_batch, check_shape
from maquette.ops.compiled import compiled
from maquette.ops.nearest import planted
from maquette.ops.splits import check_as_many, check_splits, equal_splits
from maquette.ops.threads import parallel

PAIRS = 1 << 22
"""Distances the reference holds at a time."""


def ball_query(
    queries: Float[Tensor, "*batch N 3"], points: Float[Tensor, "*batch M 3"], *, radius: float, k: int
) -> Int64[Tensor, "*batch N {k}"]:
    """Indices of the first `k` points at most `radius` away from each query, ascending; -1 fills what is left over.

    "First" is by index, as in PointNet++ (Qi et al. 2017, section 3.2) and PyTorch3D: of points in random order that is
    a fair draw from the ball, where the nearest would shrink it. (For the `k` nearest within a radius take `nearest`
    and drop what is too far.) Squared distances are compared as they round in the clouds' own type, and the boundary
    belongs to the ball. What is not finite is within no radius; no points give -1 throughout. No gradient flows.
    """
    check_shape("ball_query", "queries", queries, "*batch N 3")
    check_shape("ball_query", "points", points, "*batch M 3")
    check_batch("ball_query", queries, points)
    _check(queries, points, radius, k, "ball_query")
    count = math.prod(queries.shape[:-2])
    query_splits, point_splits = (equal_splits(count, cloud.shape[-2]) for cloud in (queries, points))
    flat_queries, flat_points = queries.detach().reshape(-1, 3), points.detach().reshape(-1, 3)
    found = _ball(flat_queries, flat_points, query_splits, point_splits, radius, k)
    return found.reshape(*queries.shape[:-1], k)


def ball_query_ragged(
    queries: Float[Tensor, "N 3"],
    points: Float[Tensor, "M 3"],
    *,
    query_splits: Int64[Tensor, " S"],
    point_splits: Int64[Tensor, " S"],
    radius: float,
    k: int,
) -> Int64[Tensor, "N {k}"]:
    """`ball_query` of several clouds of different sizes: queries of cloud s look among the points of cloud s.

    Cloud s holds items `splits[s] .. splits[s + 1] - 1` of a union; the indices count through the union of points.
    """
    check_shape("ball_query_ragged", "queries", queries, "N 3")
    check_shape("ball_query_ragged", "points", points, "M 3")
    _check(queries, points, radius, k, "ball_query_ragged")
    check_splits("ball_query_ragged", "query_splits", query_splits, len(queries), "queries")
    check_splits("ball_query_ragged", "point_splits", point_splits, len(points), "points")
    check_as_many("ball_query_ragged", query_splits, point_splits)
    found = _ball(queries.detach(), points.detach(), query_splits.cpu(), point_splits.cpu(), radius, k)
    first = point_splits[:-1].repeat_interleave(query_splits.diff(), output_size=len(queries))
    return torch.where(found < 0, found, found + first.to(found.device)[:, None])


def _check(queries: Tensor, points: Tensor, radius: float, k: int, function: str) -> None:
    if queries.dtype != points.dtype or queries.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{function}: queries are {queries.dtype} and points {points.dtype}; make both float32 or both float64"
        )
    if queries.device != points.device:
        raise ValueError(f"{function}: queries are on {queries.device} and points on {points.device}; move one")
    if not radius >= 0:
        raise ValueError(f"{function}: radius is {radius}; give a length of at least 0")
    if k < 1:
        raise ValueError(f"{function}: k is {k}; ask for at least one point")


def reach(radius: float, dtype: torch.dtype) -> float:
    """The square of the radius as it rounds in `dtype`."""
    return float(torch.tensor(radius, dtype=dtype).square())


def ball_reference(
    queries: Float[Tensor, "N 3"],
    points: Float[Tensor, "M 3"],
    query_splits: Int64[Tensor, " S"],
    point_splits: Int64[Tensor, " S"],
    radius: float,
    k: int,
) -> Int64[Tensor, "N {k}"]:
    """What `ball_query` means, with indices that count from the first point of each cloud: all distances, in pieces."""
    limit = reach(radius, queries.dtype)
    indices = torch.full((len(queries), k), -1, dtype=torch.int64, device=queries.device)
    bounds, ends = query_splits.tolist(), point_splits.tolist()
    for s in range(len(bounds) - 1):
        cloud = points[ends[s] : ends[s + 1]]
        piece = max(1, PAIRS // max(len(cloud), 1))
        for start in range(bounds[s], bounds[s + 1], piece):
            part = slice(start, min(start + piece, bounds[s + 1]))
            dx, dy, dz = (queries[part, None] - cloud).unbind(-1)
            squared = dx * dx + dy * dy + dz * dz
            inside = (squared <= limit) & squared.isfinite()
            place = inside.cumsum(1)
            row, point = (inside & (place <= k)).nonzero(as_tuple=True)
            indices[part][row, place[row, point] - 1] = point
    return indices


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define(
    "maquette::ball",
    "(Tensor queries, Tensor points, Tensor query_splits, Tensor point_splits, float radius, int k) -> Tensor",
)
_ball = torch.ops.maquette.ball.default


@torch.library.impl("maquette::ball", "CompositeExplicitAutograd")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor, radius: float, k: int) -> Tensor:
    return ball_reference(queries, points, query_splits, point_splits, radius, k)


@torch.library.register_fake("maquette::ball")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor, radius: float, k: int) -> Tensor:
    return queries.new_empty((len(queries), k), dtype=torch.int64)


@torch.library.impl("maquette::ball", "CPU")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor, radius: float, k: int) -> Tensor:
    return (ball_numba if compiled() else ball_reference)(queries, points, query_splits, point_splits, radius, k)


@torch.library.impl("maquette::ball", "CUDA")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor, radius: float, k: int) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return ball_reference(queries, points, query_splits, point_splits, radius, k)
    from maquette.ops.ball_triton import ball_triton

    return ball_triton(queries, points, query_splits, point_splits, radius, k)


def ball_numba(
    queries: Float[Tensor, "N 3"],
    points: Float[Tensor, "M 3"],
    query_splits: Int64[Tensor, " S"],
    point_splits: Int64[Tensor, " S"],
    radius: float,
    k: int,
) -> Int64[Tensor, "N {k}"]:
    """The compiled kernel behind `ball_query` on the CPU: a k-d tree of each cloud, pruned by index as well."""
    from maquette.ops.ball_numba import collect, find_least_each

    indices = torch.empty(len(queries), k, dtype=torch.int64)
    if indices.numel() == 0:
        return indices
    forest = planted(points, point_splits)
    least = np.empty(len(forest[-1]), np.int32)
    parallel(find_least_each, len(point_splits) - 1, forest, least)
    limit = reach(radius, queries.dtype)
    seekers, bounds = queries.contiguous().numpy(), query_splits.contiguous().numpy()
    parallel(collect, len(queries), seekers, bounds, forest, least, limit, indices.numpy(), chunks_per_thread=4)
    return indices
