"""Which points are nearest to each query.

B batch, N queries, M points, K neighbours, S clouds of a disjoint union. Only indices come out: distances are torch's
part, for autograd.
"""

import importlib.util
import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.checks import check_batch, check_shape
from maquette.ops.compiled import compiled
from maquette.ops.splits import check_as_many, check_splits, equal_splits
from maquette.ops.threads import parallel

PAIRS = 1 << 22
"""Distances the reference holds at a time."""


def nearest(
    queries: Float[Tensor, "*batch N 3"], points: Float[Tensor, "*batch M 3"], k: int = 1
) -> Int64[Tensor, "*batch N {k}"]:
    """Indices of the `k` points nearest to each query, by distance, and of equally distant ones the lowest first.

    Distances are compared as they round in the clouds' own type. No gradient flows; take the points by index and
    compute with them. A distance that is not finite counts as infinite.
    """
    _check("nearest", queries, points)
    if not 1 <= k <= points.shape[-2]:
        raise ValueError(f"nearest: k = {k} neighbours of {points.shape[-2]} points; choose 1 <= k <= points")
    flat = _nearest(*_union("nearest", queries, points), k)
    return flat.reshape(*queries.shape[:-1], k)


def nearest_both(
    a: Float[Tensor, "*batch N 3"], b: Float[Tensor, "*batch M 3"]
) -> tuple[Int64[Tensor, "*batch N"], Int64[Tensor, "*batch M"]]:
    """For each point of `a` its nearest in `b`, and for each of `b` its nearest in `a`, as `nearest` has them.

    Both ways at once cost less than one after the other: the search trees are the same.
    """
    check_shape("nearest_both", "a", a, "*batch N 3")
    check_shape("nearest_both", "b", b, "*batch M 3")
    _check("nearest_both", a, b)
    if a.shape[-2] == 0 or b.shape[-2] == 0:
        raise ValueError(f"nearest_both: clouds of {a.shape[-2]} and {b.shape[-2]} points; give at least one each")
    b_of_a, a_of_b = _nearest_both(*_union("nearest_both", a, b))
    return b_of_a.reshape(a.shape[:-1]), a_of_b.reshape(b.shape[:-1])


def nearest_ragged(
    queries: Float[Tensor, "N 3"],
    points: Float[Tensor, "M 3"],
    *,
    query_splits: Int64[Tensor, " S"],
    point_splits: Int64[Tensor, " S"],
    k: int = 1,
) -> Int64[Tensor, "N {k}"]:
    """`nearest` of several clouds of different sizes: queries of cloud s look among the points of cloud s.

    Cloud s holds items `splits[s] .. splits[s + 1] - 1` of a union; the indices count through the union of points, and
    -1 stands where a cloud has fewer than `k`.
    """
    _check("nearest_ragged", queries, points, "N 3", "M 3")
    if k < 1:
        raise ValueError(f"nearest_ragged: k is {k}; ask for at least one neighbour")
    check_splits("nearest_ragged", "query_splits", query_splits, len(queries), "queries")
    check_splits("nearest_ragged", "point_splits", point_splits, len(points), "points")
    check_as_many("nearest_ragged", query_splits, point_splits)
    found = _nearest(queries.detach(), points.detach(), query_splits.cpu(), point_splits.cpu(), k)
    first = point_splits[:-1].repeat_interleave(query_splits.diff(), output_size=len(queries))
    return torch.where(found < 0, found, found + first.to(found.device)[:, None])


def _check(
    function: str, queries: Tensor, points: Tensor, shape: str = "*batch N 3", other: str = "*batch M 3"
) -> None:
    check_shape(function, "queries", queries, shape)
    check_shape(function, "points", points, other)
    if queries.dtype != points.dtype or queries.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{function}: queries are {queries.dtype} and points {points.dtype}; make both float32 or both float64"
        )
    if queries.device != points.device:
        raise ValueError(f"{function}: queries are on {queries.device} and points on {points.device}; move one")


def _union(function: str, queries: Tensor, points: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two batches as disjoint unions: rows of queries and of points, then the splits of each."""
    check_batch(function, queries, points)
    count = math.prod(queries.shape[:-2])
    query_splits, point_splits = (equal_splits(count, cloud.shape[-2]) for cloud in (queries, points))
    return queries.detach().reshape(-1, 3), points.detach().reshape(-1, 3), query_splits, point_splits


def nearest_reference(
    queries: Float[Tensor, "N 3"],
    points: Float[Tensor, "M 3"],
    query_splits: Int64[Tensor, " S"],
    point_splits: Int64[Tensor, " S"],
    k: int = 1,
) -> Int64[Tensor, "N {k}"]:
    """What `nearest` means, in indices of each cloud: every distance, in pieces of bounded memory, sorted stably."""
    indices = torch.full((len(queries), k), -1, dtype=torch.int64, device=queries.device)
    for s in range(len(query_splits) - 1):
        first, last = query_splits[s : s + 2].tolist()
        cloud = points[point_splits[s] : point_splits[s + 1]]
        if len(cloud) == 0:
            continue
        piece = max(1, PAIRS // len(cloud))
        for start in range(first, last, piece):
            end = min(start + piece, last)
            dx, dy, dz = (queries[start:end, None] - cloud).unbind(-1)
            squared = dx * dx + dy * dy + dz * dz
            squared = torch.where(squared.isfinite(), squared, torch.inf)
            if k == 1:  # argmin promises no order among equals
                closest = squared == squared.amin(1, keepdim=True)
                indices[start:end] = closest.to(torch.uint8).argmax(1, keepdim=True)
            else:
                order = squared.argsort(dim=1, stable=True)[:, :k]
                indices[start:end, : order.shape[1]] = order
    return indices


def nearest_both_reference(
    a: Float[Tensor, "N 3"], b: Float[Tensor, "M 3"], a_splits: Int64[Tensor, " S"], b_splits: Int64[Tensor, " S"]
) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " M"]]:
    """What `nearest_both` means."""
    return nearest_reference(a, b, a_splits, b_splits)[:, 0], nearest_reference(b, a, b_splits, a_splits)[:, 0]


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
_SPLITS = "Tensor queries, Tensor points, Tensor query_splits, Tensor point_splits"
torch.library.define("maquette::nearest", f"({_SPLITS}, int k) -> Tensor")
torch.library.define("maquette::nearest_both", f"({_SPLITS}) -> (Tensor, Tensor)")
_nearest = torch.ops.maquette.nearest.default
_nearest_both = torch.ops.maquette.nearest_both.default
torch.library.impl("maquette::nearest", "CompositeExplicitAutograd", nearest_reference)
torch.library.impl("maquette::nearest_both", "CompositeExplicitAutograd", nearest_both_reference)


@torch.library.register_fake("maquette::nearest")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor, k: int) -> Tensor:
    return queries.new_empty((len(queries), k), dtype=torch.int64)


@torch.library.register_fake("maquette::nearest_both")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor) -> tuple[Tensor, Tensor]:
    found, back = (cloud.new_empty((len(cloud),), dtype=torch.int64) for cloud in (queries, points))
    return found, back


@torch.library.impl("maquette::nearest", "CPU")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor, k: int) -> Tensor:
    return (nearest_numba if compiled() else nearest_reference)(queries, points, query_splits, point_splits, k)


@torch.library.impl("maquette::nearest_both", "CPU")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor) -> tuple[Tensor, Tensor]:
    return (nearest_both_numba if compiled() else nearest_both_reference)(queries, points, query_splits, point_splits)


@torch.library.impl("maquette::nearest", "CUDA")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor, k: int) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return nearest_reference(queries, points, query_splits, point_splits, k)
    from maquette.ops.nearest_triton import nearest_triton

    return nearest_triton(queries, points, query_splits, point_splits, k)


@torch.library.impl("maquette::nearest_both", "CUDA")
def _(queries: Tensor, points: Tensor, query_splits: Tensor, point_splits: Tensor) -> tuple[Tensor, Tensor]:
    found = _nearest(queries, points, query_splits, point_splits, 1)
    return found[:, 0], _nearest(points, queries, point_splits, query_splits, 1)[:, 0]


Forest = tuple[np.ndarray, ...]
"""Search trees of a union: clouds, splits, leaf_splits, node_splits, order, sites, boxes (see nearest_numba.py)."""


def nearest_numba(
    queries: Float[Tensor, "N 3"],
    points: Float[Tensor, "M 3"],
    query_splits: Int64[Tensor, " S"],
    point_splits: Int64[Tensor, " S"],
    k: int = 1,
) -> Int64[Tensor, "N {k}"]:
    """The compiled kernel behind `nearest` on the CPU."""
    from maquette.ops.nearest_numba import walk

    query_trees, point_trees = _plant(queries, points, query_splits, point_splits)
    indices = torch.empty(len(queries), k, dtype=torch.int64)
    parallel(walk, int(query_trees[2][-1]), query_trees, point_trees, indices.numpy(), chunks_per_thread=4)
    return indices


def nearest_both_numba(
    a: Float[Tensor, "N 3"], b: Float[Tensor, "M 3"], a_splits: Int64[Tensor, " S"], b_splits: Int64[Tensor, " S"]
) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " M"]]:
    """The compiled kernel behind `nearest_both` on the CPU."""
    from maquette.ops.nearest_numba import walk_both

    a_trees, b_trees = _plant(a, b, a_splits, b_splits)
    b_of_a, a_of_b = (torch.empty(len(cloud), 1, dtype=torch.int64) for cloud in (a, b))
    packets = int(a_trees[2][-1] + b_trees[2][-1])
    parallel(walk_both, packets, a_trees, b_trees, b_of_a.numpy(), a_of_b.numpy(), chunks_per_thread=4)
    return b_of_a[:, 0], a_of_b[:, 0]


def _plant(a: Tensor, b: Tensor, a_splits: Tensor, b_splits: Tensor) -> tuple[Forest, Forest]:
    from maquette.ops.nearest_numba import plant_both

    forests = _ground(a, a_splits), _ground(b, b_splits)
    parallel(plant_both, 2 * (len(a_splits) - 1), *forests)
    return forests


def planted(cloud: Float[Tensor, "N 3"], splits: Int64[Tensor, " S"]) -> Forest:
    """The trees of every cloud of the union."""
    from maquette.ops.nearest_numba import plant_each

    forest = _ground(cloud, splits)
    parallel(plant_each, len(splits) - 1, forest)
    return forest


def _ground(cloud: Tensor, splits: Tensor) -> Forest:
    """Room for the trees of every cloud of the union."""
    from maquette.ops.nearest_numba import LEAF

    sites = cloud.contiguous().numpy()
    leaves = -(-splits.diff().numpy() // LEAF)
    nodes = 2 << np.ceil(np.log2(np.maximum(leaves, 1))).astype(np.int64)
    leaf_splits, node_splits = (np.concatenate([[0], np.cumsum(counts)]) for counts in (leaves, nodes))
    slots = int(leaf_splits[-1]) * LEAF
    order, boxes = np.empty(slots, np.int32), np.empty((int(node_splits[-1]), 6), sites.dtype)
    return sites, splits.contiguous().numpy(), leaf_splits, node_splits, order, np.empty(slots * 3, sites.dtype), boxes
