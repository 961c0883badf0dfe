"""Balls on a GPU: a block of queries meets the points in their order, until each query has found its k."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.ball import reach

QUERIES, POINTS = 32, 128
"""Pairs of a program's step; powers of two."""


@triton.jit
def _ball_kernel(
    queries,
    points,
    query_splits,
    point_splits,
    found,
    limit,
    K: tl.constexpr,
    QUERIES: tl.constexpr,
    POINTS: tl.constexpr,
):
    cloud = tl.program_id(1)
    first, last = tl.load(point_splits + cloud), tl.load(point_splits + cloud + 1)
    row = tl.load(query_splits + cloud) + tl.program_id(0) * QUERIES + tl.arange(0, QUERIES)
    there = row < tl.load(query_splits + cloud + 1)
    x = tl.load(queries + 3 * row, there, 0.0)
    y = tl.load(queries + 3 * row + 1, there, 0.0)
    z = tl.load(queries + 3 * row + 2, there, 0.0)
    most = tl.load(limit)
    count = tl.where(there, 0, K)
    start = first
    while (start < last) & (tl.min(count, 0) < K):
        at = start + tl.arange(0, POINTS)
        dx = x[:, None] - tl.load(points + 3 * at, at < last, 0.0)[None]
        dy = y[:, None] - tl.load(points + 3 * at + 1, at < last, 0.0)[None]
        dz = z[:, None] - tl.load(points + 3 * at + 2, at < last, 0.0)[None]
        squared = dx * dx + dy * dy + dz * dz
        inside = ((squared <= most) & (squared < float("inf")) & (at < last)[None]).to(tl.int32)
        place = count[:, None] + tl.cumsum(inside, 1) - 1
        index = (at - first)[None] + tl.zeros_like(place)
        tl.store(found + K * row[:, None] + place, index, (inside > 0) & (place < K) & there[:, None])
        count += tl.sum(inside, 1)
        start += POINTS


def ball_triton(
    queries: Float[Tensor, "N 3"],
    points: Float[Tensor, "M 3"],
    query_splits: Int64[Tensor, " S"],
    point_splits: Int64[Tensor, " S"],
    radius: float,
    k: int,
) -> Int64[Tensor, "N {k}"]:
    """The compiled kernel behind `ball_query` on a GPU."""
    found = torch.full((len(queries), k), -1, dtype=torch.int64, device=queries.device)
    if len(queries):
        blocks = triton.cdiv(int(query_splits.diff().max()), QUERIES)
        splits = query_splits.to(queries.device), point_splits.to(queries.device)
        # As a tensor: a number would be passed in float32.
        limit = torch.tensor([reach(radius, queries.dtype)], dtype=queries.dtype, device=queries.device)
        _ball_kernel[(blocks, len(query_splits) - 1)](
            queries.contiguous(), points.contiguous(), *splits, found, limit, k, QUERIES, POINTS,
            enable_fp_fusion=False,  # distances round as the reference's
        )  # fmt: skip
    return found
