"""Points that lie as far from each other as can be: farthest point sampling.

B batch, N points, K chosen, S clouds of a disjoint union, T = S + 1 offsets.
"""

import importlib.util
import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.checks import check_shape
from maquette.ops.compiled import compiled
from maquette.ops.nearest import planted
from maquette.ops.splits import check_splits, equal_splits
from maquette.ops.threads import parallel

WORTH = 64
"""Choosing more points than this from a cloud pays for a tree."""


def farthest_points(
    points: Float[Tensor, "*batch N 3"], k: int, *, start: int | Int64[Tensor, "*batch"] = 0
) -> Int64[Tensor, "*batch {k}"]:
    """Indices of `k` points, the first `start`, each next the one farthest from all those before it.

    Exact greedy farthest point sampling (Eldar et al. 1997; Qi et al. 2017, section 3.2); its covering radius is at
    most twice the best (Gonzalez 1985). Of equally far points the lowest index is taken, distances compared as their
    squares round in the points' own type. No point is taken twice: repeated points come after all others, then those
    that are not finite, by index. `start` is one index for all clouds or one each (`torch.randint` for random ones).
    No gradient flows; take the points by index.
    """
    _check("farthest_points", points, "*batch N 3")
    *batch, n, _ = points.shape
    if not 0 <= k <= n:
        raise ValueError(f"farthest_points: k = {k} of {n} points; choose 0 <= k <= points")
    count = math.prod(batch)
    starts = start if isinstance(start, Tensor) else torch.full(batch, start)
    if starts.ndim == 0:
        starts = starts.expand(batch)
    if list(starts.shape) != batch:
        raise ValueError(f"farthest_points: start has shape {tuple(starts.shape)}; give one index, or {tuple(batch)}")
    starts, counts = starts.reshape(-1).cpu(), torch.full((count,), k)
    splits = equal_splits(count, n)
    _check_starts("farthest_points", starts, splits, counts)
    return _farthest(points.detach().reshape(-1, 3), splits, counts, starts).reshape(*batch, k)


def farthest_points_ragged(
    points: Float[Tensor, "N 3"],
    counts: Int64[Tensor, " S"],
    *,
    splits: Int64[Tensor, " T"],
    starts: Int64[Tensor, " S"] | None = None,
) -> Int64[Tensor, " K"]:
    """`farthest_points` of several clouds of different sizes: `counts[s]` of cloud s, one after the other.

    Cloud s holds points `splits[s] .. splits[s + 1] - 1` of a union, through which the indices count; what was chosen
    from it lies between the offsets that are the running sums of `counts`. `starts` count from the first point of
    each cloud, and are 0 unless given.
    """
    function = "farthest_points_ragged"
    _check(function, points, "N 3")
    check_splits(function, "splits", splits, len(points), "points")
    splits, counts = splits.cpu(), counts.cpu()
    starts = torch.zeros_like(counts) if starts is None else starts.cpu()
    for name, values in (("counts", counts), ("starts", starts)):
        if values.shape != splits[1:].shape:
            raise ValueError(
                f"{function}: {name} has shape {tuple(values.shape)}; give one for each of the {len(splits) - 1} clouds"
            )
        if values.dtype != torch.int64:
            raise ValueError(f"{function}: {name} are {values.dtype}; make them int64")
    wrong = ((counts < 0) | (counts > splits.diff())).nonzero()
    if len(wrong):
        s = int(wrong[0])
        raise ValueError(
            f"{function}: {int(counts[s])} points are wanted of cloud {s}, which has {int(splits.diff()[s])}; "
            "choose 0 <= counts <= points"
        )
    _check_starts(function, starts, splits, counts)
    chosen = _farthest(points.detach(), splits, counts, starts)
    return chosen + splits[:-1].repeat_interleave(counts).to(chosen.device)


def _check(function: str, points: Tensor, shape: str) -> None:
    check_shape(function, "points", points, shape)
    if points.dtype not in (torch.float32, torch.float64):
        raise ValueError(f"{function}: points are {points.dtype}; make them float32 or float64")


def _check_starts(function: str, starts: Tensor, splits: Tensor, counts: Tensor) -> None:
    if starts.dtype != torch.int64:
        raise ValueError(f"{function}: start is {starts.dtype}; make it int64")
    wrong = ((counts > 0) & ((starts < 0) | (starts >= splits.diff()))).nonzero()
    if len(wrong):
        s = int(wrong[0])
        raise ValueError(
            f"{function}: the start is point {int(starts[s])} of {int(splits.diff()[s])} (cloud {s}); "
            "choose 0 <= start < points"
        )


def farthest_reference(
    points: Float[Tensor, "N 3"],
    splits: Int64[Tensor, " T"],
    counts: Int64[Tensor, " S"],
    starts: Int64[Tensor, " S"],
) -> Int64[Tensor, " K"]:
    """What `farthest_points` means, with indices that count from the first point of each cloud.

    Clouds of one size that want one number of points go together, others one by one.
    """
    sizes, wanted = splits.diff().tolist(), counts.tolist()
    if len(set(sizes)) == 1 and len(set(wanted)) == 1:
        return _greedy(points.reshape(len(sizes), sizes[0], 3), wanted[0], starts.to(points.device)).reshape(-1)
    clouds = points.split(sizes)
    chosen = [
        _greedy(cloud[None], k, first[None].to(points.device))[0]
        for cloud, k, first in zip(clouds, wanted, starts, strict=True)
    ]
    return torch.cat([torch.empty(0, dtype=torch.int64, device=points.device), *chosen])


def _greedy(points: Float[Tensor, "B N 3"], k: int, current: Int64[Tensor, " B"]) -> Int64[Tensor, "B {k}"]:
    chosen = torch.empty(len(points), k, dtype=torch.int64, device=points.device)
    everyone = torch.arange(len(points), device=points.device)
    # Squared distance to the nearest chosen point: below every distance where a point is not finite, or is chosen.
    apart = torch.where(points.isfinite().all(-1), torch.inf, -1.0).to(points.dtype)
    for i in range(k):
        chosen[:, i] = current
        dx, dy, dz = (points - points[everyone, current][:, None]).unbind(-1)
        squared = dx * dx + dy * dy + dz * dz
        apart = torch.where(squared < apart, squared, apart)
        apart[everyone, current] = -torch.inf
        if apart.numel():
            current = apart.argmax(1)  # the first of equals
    return chosen


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define("maquette::farthest", "(Tensor points, Tensor splits, Tensor counts, Tensor starts) -> Tensor")
_farthest = torch.ops.maquette.farthest.default


@torch.library.impl("maquette::farthest", "CompositeExplicitAutograd")
def _(points: Tensor, splits: Tensor, counts: Tensor, starts: Tensor) -> Tensor:
    return farthest_reference(points, splits, counts, starts)


@torch.library.register_fake("maquette::farthest")
def _(points: Tensor, splits: Tensor, counts: Tensor, starts: Tensor) -> Tensor:
    total = torch.library.get_ctx().new_dynamic_size()  # the sum of counts, which are data
    return points.new_empty(total, dtype=torch.int64)


@torch.library.impl("maquette::farthest", "CPU")
def _(points: Tensor, splits: Tensor, counts: Tensor, starts: Tensor) -> Tensor:
    return (farthest_numba if compiled() else farthest_reference)(points, splits, counts, starts)


@torch.library.impl("maquette::farthest", "CUDA")
def _(points: Tensor, splits: Tensor, counts: Tensor, starts: Tensor) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return farthest_reference(points, splits, counts, starts)
    from maquette.ops.farthest_triton import farthest_triton

    return farthest_triton(points, splits, counts, starts)


def farthest_numba(
    points: Float[Tensor, "N 3"],
    splits: Int64[Tensor, " T"],
    counts: Int64[Tensor, " S"],
    starts: Int64[Tensor, " S"],
) -> Int64[Tensor, " K"]:
    """The compiled kernel behind `farthest_points` on the CPU, one cloud a work item."""
    from maquette.ops.farthest_numba import choose
    from maquette.ops.nearest_numba import LEAF

    chosen_splits = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    chosen = torch.empty(int(chosen_splits[-1]), dtype=torch.int64)
    if len(chosen) and int(counts.max()) > WORTH:
        _, _, leaf_splits, _, neighbors, _, _ = planted(points, splits)
        firsts = leaf_splits * LEAF
    else:
        first = splits[:-1].repeat_interleave(splits.diff(), output_size=len(points))
        neighbors, firsts = (torch.arange(len(points)) - first).int().numpy(), splits.contiguous().numpy()
    cloud, bounds, *rest = (each.contiguous().numpy() for each in (points, splits, chosen_splits, starts, chosen))
    parallel(choose, len(counts), cloud, bounds, neighbors, firsts, *rest, chunks_per_thread=4)
    return chosen
