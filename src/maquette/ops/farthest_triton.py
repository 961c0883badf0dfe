"""Farthest point sampling on a GPU: one program a cloud, which goes over its points once for every point it takes."""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

POINTS = 1024
"""Of a program's step; a power of two."""
LAST = 0x7FFFFFFFFFFFFFFF
"""Larger than any index."""


@triton.jit
def _choose_kernel(points, splits, chosen_splits, starts, apart, chosen, POINTS: tl.constexpr, LAST: tl.constexpr):
    cloud = tl.program_id(0)
    first, last = tl.load(splits + cloud), tl.load(splits + cloud + 1)
    begin, end = tl.load(chosen_splits + cloud), tl.load(chosen_splits + cloud + 1)
    current = tl.load(starts + cloud)
    for place in range(begin, end):
        tl.store(chosen + place, current)
        point = points + 3 * (first + current)
        cx, cy, cz = tl.load(point), tl.load(point + 1), tl.load(point + 2)
        most, best = tl.full((), -float("inf"), cx.dtype), tl.full((), LAST, tl.int64)
        for start in range(first, last, POINTS):
            at = start + tl.arange(0, POINTS)
            there = at < last
            dx = tl.load(points + 3 * at, there, 0.0) - cx
            dy = tl.load(points + 3 * at + 1, there, 0.0) - cy
            dz = tl.load(points + 3 * at + 2, there, 0.0) - cz
            squared = dx * dx + dy * dy + dz * dz
            # Below every distance where a point is not finite (-1) or has been taken (-inf).
            distance = tl.load(apart + at, there, -float("inf"))
            distance = tl.where(squared < distance, squared, distance)
            distance = tl.where(at - first == current, -float("inf"), distance)
            tl.store(apart + at, distance, there)
            farthest = tl.max(distance, 0)
            lowest = tl.min(tl.where(there & (distance == farthest), at - first, LAST), 0)
            # Indices rise from step to step, so of equals the one found first stays.
            farther = (farthest > most) | ((best == LAST) & (lowest < LAST))
            most = tl.where(farther, farthest, most)
            best = tl.where(farther, lowest, best)
        current = best
        tl.debug_barrier()  # what this round stored is what the next one loads


def farthest_triton(
    points: Float[Tensor, "N 3"],
    splits: Int64[Tensor, " T"],
    counts: Int64[Tensor, " S"],
    starts: Int64[Tensor, " S"],
) -> Int64[Tensor, " K"]:
    """The compiled kernel behind `farthest_points` on a GPU."""
    chosen_splits = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
    chosen = torch.empty(int(chosen_splits[-1]), dtype=torch.int64, device=points.device)
    if len(chosen):
        apart = torch.where(points.isfinite().all(-1), torch.inf, -1.0).to(points.dtype)
        arrays = (each.to(points.device) for each in (splits, chosen_splits, starts))
        _choose_kernel[(len(counts),)](
            points.contiguous(), *arrays, apart, chosen, POINTS, LAST,
            enable_fp_fusion=False,  # distances round as the reference's
        )  # fmt: skip
    return chosen
