"""Which points are nearest to each query.

B batch, N queries, M points, K neighbours. Only indices come out: distances are torch's part, for autograd.
"""

import importlib.util
import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

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
    if queries.dtype != points.dtype or queries.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"nearest: queries are {queries.dtype} and points {points.dtype}; make both float32 or both float64"
        )
    if queries.device != points.device:
        raise ValueError(f"nearest: queries are on {queries.device} and points on {points.device}; move one")
    if not 1 <= k <= points.shape[-2]:
        raise ValueError(f"nearest: k = {k} neighbours of {points.shape[-2]} points; choose 1 <= k <= points")
    count = math.prod(queries.shape[:-2])
    flat_queries = queries.detach().reshape(count, *queries.shape[-2:])
    flat_points = points.detach().reshape(count, *points.shape[-2:])
    return _nearest(flat_queries, flat_points, k).reshape(*queries.shape[:-1], k)


def nearest_reference(
    queries: Float[Tensor, "B N 3"], points: Float[Tensor, "B M 3"], k: int = 1
) -> Int64[Tensor, "B N {k}"]:
    """What `nearest` means: every distance, in pieces of bounded memory, sorted stably."""
    piece = max(1, PAIRS // points.shape[1])
    indices = torch.empty(*queries.shape[:2], k, dtype=torch.int64, device=queries.device)
    for b in range(len(queries)):
        for start in range(0, queries.shape[1], piece):
            dx, dy, dz = (queries[b, start : start + piece, None] - points[b]).unbind(-1)
            squared = dx * dx + dy * dy + dz * dz
            squared = torch.where(squared.isfinite(), squared, torch.inf)
            if k == 1:  # argmin promises no order among equals
                closest = squared == squared.amin(1, keepdim=True)
                order = closest.to(torch.uint8).argmax(1, keepdim=True)
            else:
                order = squared.argsort(dim=1, stable=True)[:, :k]
            indices[b, start : start + piece] = order
    return indices


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define("maquette::nearest", "(Tensor queries, Tensor points, int k) -> Tensor")
_nearest = torch.ops.maquette.nearest.default


@torch.library.impl("maquette::nearest", "CompositeExplicitAutograd")
def _(queries: Tensor, points: Tensor, k: int) -> Tensor:
    return nearest_reference(queries, points, k)


@torch.library.register_fake("maquette::nearest")
def _(queries: Tensor, points: Tensor, k: int) -> Tensor:
    return queries.new_empty((*queries.shape[:2], k), dtype=torch.int64)


@torch.library.impl("maquette::nearest", "CPU")
def _(queries: Tensor, points: Tensor, k: int) -> Tensor:
    if importlib.util.find_spec("numba") is None:
        return nearest_reference(queries, points, k)
    return nearest_numba(queries, points, k)


def nearest_numba(
    queries: Float[Tensor, "B N 3"], points: Float[Tensor, "B M 3"], k: int = 1
) -> Int64[Tensor, "B N {k}"]:
    """The compiled kernel behind `nearest` on the CPU."""
    from maquette.ops.nearest_numba import LEAF, plant_both, walk

    indices = torch.empty(*queries.shape[:2], k, dtype=torch.int64)
    if indices.numel() == 0:
        return indices
    point_tree, query_tree = [], []
    for cloud, tree in ((points, point_tree), (queries, query_tree)):
        leaves = -(-cloud.shape[1] // LEAF)
        kind = cloud.contiguous().numpy()
        order = np.empty((len(cloud), leaves * LEAF), np.int32)
        sites = np.empty((len(cloud), leaves * LEAF * 3), kind.dtype)
        boxes = np.empty((len(cloud), 2 << (leaves - 1).bit_length(), 6), kind.dtype)
        tree += [kind, order, sites, boxes]
    parallel(plant_both, 2 * len(points), *point_tree, *query_tree)
    _, order, sites, _ = query_tree
    packets = order.size // LEAF
    parallel(walk, packets, order, sites, points.shape[1], *point_tree[1:], indices.numpy(), chunks_per_thread=4)
    return indices
