"""Nearest points on a GPU: every query meets every point of its cloud, QUERIES x POINTS pairs at a time.

The k-th neighbour is the least (distance, index) after the one before it, so the points are passed over k times.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

QUERIES, POINTS = 64, 128
"""Pairs of a program's step; powers of two."""
LAST = 0x7FFFFFFFFFFFFFFF
"""Larger than any index."""


@triton.jit
def _nearest_kernel(
    queries,
    points,
    query_splits,
    point_splits,
    indices,
    K: tl.constexpr,
    QUERIES: tl.constexpr,
    POINTS: tl.constexpr,
    LAST: tl.constexpr,
):
    cloud = tl.program_id(1)
    first, last = tl.load(point_splits + cloud), tl.load(point_splits + cloud + 1)
    row = tl.load(query_splits + cloud) + tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    there = row < tl.load(query_splits + cloud + 1)
    x = tl.load(queries + 3 * row, there, 0.0)
    y = tl.load(queries + 3 * row + 1, there, 0.0)
    z = tl.load(queries + 3 * row + 2, there, 0.0)
    before = tl.full((QUERIES,), -1.0, x.dtype)
    before_index = tl.full((QUERIES,), -1, tl.int64)
    for k in range(K):
        best = tl.full((QUERIES,), float("inf"), x.dtype)
        best_index = tl.full((QUERIES,), LAST, tl.int64)
        for start in range(first, last, POINTS):
            at = start + tl.arange(0, POINTS)
            dx = x[:, None] - tl.load(points + 3 * at, at < last, 0.0)[None]
            dy = y[:, None] - tl.load(points + 3 * at + 1, at < last, 0.0)[None]
            dz = z[:, None] - tl.load(points + 3 * at + 2, at < last, 0.0)[None]
            distance = dx * dx + dy * dy + dz * dz
            distance = tl.where(distance < float("inf"), distance, float("inf"))
            index = (at - first)[None]
            later = (distance > before[:, None]) | ((distance == before[:, None]) & (index > before_index[:, None]))
            later = later & (at < last)[None]
            least = tl.min(tl.where(later, distance, float("inf")), 1)
            lowest = tl.min(tl.where(later & (distance == least[:, None]), index, LAST), 1)
            # Indices rise from step to step, so of equals the one found first stays.
            nearer = (lowest < LAST) & ((least < best) | (best_index == LAST))
            best = tl.where(nearer, least, best)
            best_index = tl.where(nearer, lowest, best_index)
        tl.store(indices + K * row + k, tl.where(best_index == LAST, -1, best_index), there)
        before, before_index = best, best_index


def nearest_triton(
    queries: Float[Tensor, "N 3"],
    points: Float[Tensor, "M 3"],
    query_splits: Int64[Tensor, " S"],
    point_splits: Int64[Tensor, " S"],
    k: int = 1,
) -> Int64[Tensor, "N {k}"]:
    """The compiled kernel behind `nearest` on a GPU."""
    indices = torch.empty(len(queries), k, dtype=torch.int64, device=queries.device)
    if len(queries):
        blocks = triton.cdiv(int(query_splits.diff().max()), QUERIES)
        splits = query_splits.to(queries.device), point_splits.to(queries.device)
        _nearest_kernel[(blocks, len(query_splits) - 1)](
            queries.contiguous(), points.contiguous(), *splits, indices, k, QUERIES, POINTS, LAST,
            enable_fp_fusion=False,  # distances round as torch's, so that ties are ties in both
        )  # fmt: skip
    return indices
