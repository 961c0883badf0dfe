"""Which point sets are nearest to each query set, by chamfer distance.

Q query sets, T sets to search, N M points in each, K results.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.compiled import compiled
from maquette.ops.threads import parallel

PAIRS = 1 << 22
"""Distances the reference holds at a time."""


def nearest_sets(
    queries: Float[Tensor, "Q N 3"], sets: Float[Tensor, "T M 3"], k: int = 1
) -> tuple[Int64[Tensor, "Q {k}"], Float[Tensor, "Q {k}"]]:
    """Indices of the `k` sets with the least chamfer distance to each query set, nearest first, and those distances.

    The distance is the mean squared distance to the nearest point, both directions added. Of equally distant sets the
    lowest comes first. The search is exact: sets are passed over only on proof. float32 on the CPU; no gradient flows.
    """
    if not 1 <= k <= len(sets):
        raise ValueError(f"nearest_sets: k = {k} of {len(sets)} sets; choose 1 <= k <= sets")
    if queries.shape[1] == 0 or sets.shape[1] == 0:
        raise ValueError(f"nearest_sets: sets of {queries.shape[1]} and {sets.shape[1]} points; give at least one each")
    for name, points in (("queries", queries), ("sets", sets)):
        if not bool(torch.isfinite(points).all()):
            raise ValueError(f"nearest_sets: {name} are not all finite; leave such sets out")
    queries, sets = (points.detach().to("cpu", torch.float32).contiguous() for points in (queries, sets))
    if not compiled():
        return nearest_sets_reference(queries, sets, k)
    return _nearest_sets_numba(queries, sets, k)


def nearest_sets_reference(
    queries: Float[Tensor, "Q N 3"], sets: Float[Tensor, "T M 3"], k: int = 1
) -> tuple[Int64[Tensor, "Q {k}"], Float[Tensor, "Q {k}"]]:
    """What `nearest_sets` means: every chamfer distance, sorted stably."""
    piece = max(1, PAIRS // (queries.shape[1] * sets.shape[1]))
    distances = torch.empty(len(queries), len(sets), dtype=queries.dtype, device=queries.device)
    for q, query in enumerate(queries):
        for start in range(0, len(sets), piece):
            dx, dy, dz = (query[None, :, None] - sets[start : start + piece, None]).unbind(-1)
            squared = dx * dx + dy * dy + dz * dz
            distances[q, start : start + piece] = squared.amin(2).mean(1) + squared.amin(1).mean(1)
    values, order = distances.sort(dim=1, stable=True)
    return order[:, :k].contiguous(), values[:, :k].contiguous()


def _nearest_sets_numba(
    queries: Float[Tensor, "Q N 3"], sets: Float[Tensor, "T M 3"], k: int
) -> tuple[Int64[Tensor, "Q {k}"], Float[Tensor, "Q {k}"]]:
    from maquette.ops.nearest_sets_numba import CELLS, search

    low = torch.minimum(queries.amin((0, 1)), sets.amin((0, 1)))
    edge = float((torch.maximum(queries.amax((0, 1)), sets.amax((0, 1))) - low).max()) / CELLS
    indices = np.empty((len(queries), k), np.int64)
    values = np.empty((len(queries), k), np.float32)
    parallel(
        search, len(queries), queries.numpy(), sets.numpy(), low.numpy(), np.float32(max(edge, 1e-30)), indices, values,
        chunks_per_thread=4,
    )  # fmt: skip
    return torch.from_numpy(indices), torch.from_numpy(values)
