"""Farthest point sampling on the CPU: blocks of neighbouring points, of which a new point touches only those in reach.

A block knows its box, and its peak: the greatest squared distance of its points to what is chosen. A new point farther
from the box than the peak changes nothing in it, so it is passed by; bounds round as distances do, and the choice is
the reference's. Neighbours come together by the k-d tree of `nearest` where that pays; in any order the result is the
same.
"""

import math

import numpy as np
from numba import njit

BLOCK = 64
"""Points that come to be looked at together; they fill the SIMD lanes."""


@njit(nogil=True, cache=True)
def update(x, y, z, px, py, pz, apart):
    """Lower the squared distances of a block by a new point."""
    for j in range(BLOCK):
        dx, dy, dz = px[j] - x, py[j] - y, pz[j] - z
        d = dx * dx + dy * dy + dz * dz
        apart[j] = d if d < apart[j] else apart[j]


@njit(nogil=True, cache=True)
def peak_of(apart, order):
    """The greatest squared distance in a block, and the slot of the lowest index that has it."""
    best = apart[0]
    for j in range(1, BLOCK):
        best = apart[j] if apart[j] > best else best
    slot = -1
    for j in range(BLOCK):
        if apart[j] == best and (slot < 0 or order[j] < order[slot]):
            slot = j
    return best, slot


@njit(nogil=True, cache=True)
def choose(lo, hi, points, splits, neighbors, firsts, chosen_splits, starts, chosen):
    """Choose from clouds `lo..hi-1`; `neighbors[firsts[s]..]` lists the points of cloud s, neighbours together."""
    for s in range(lo, hi):
        k = chosen_splits[s + 1] - chosen_splits[s]
        if k > 0:
            cloud = points[splits[s] : splits[s + 1]]
            ranked = neighbors[firsts[s] : firsts[s] + cloud.shape[0]]
            choose_from(cloud, ranked, starts[s], chosen[chosen_splits[s] : chosen_splits[s + 1]])


@njit(nogil=True, cache=True)
def choose_from(cloud, ranked, start, chosen):
    """Choose from one cloud, whose points `ranked` lists."""
    n, k = cloud.shape[0], chosen.shape[0]
    blocks = -(-n // BLOCK)
    order = np.empty(blocks * BLOCK, np.int32)
    for slot in range(order.shape[0]):  # not rows to rows, whose check of shapes takes numba seconds to compile
        order[slot] = ranked[slot] if slot < n else n  # behind all others

    # Squared distance to the nearest chosen: -1 where a point is not finite, -inf where it is chosen or there is none.
    apart = np.full(order.shape[0], -np.inf, cloud.dtype)
    places = np.zeros((3, order.shape[0]), cloud.dtype)
    low, high = np.full((3, blocks), np.inf, cloud.dtype), np.full((3, blocks), -np.inf, cloud.dtype)
    last = 0
    for slot in range(n):
        if order[slot] == start:
            last = slot
        point, b = cloud[order[slot]], slot // BLOCK
        for axis in range(3):
            places[axis, slot] = point[axis]
        apart[slot] = -1
        if math.isfinite(point[0]) and math.isfinite(point[1]) and math.isfinite(point[2]):
            apart[slot] = np.inf
            for axis in range(3):
                low[axis, b], high[axis, b] = min(low[axis, b], point[axis]), max(high[axis, b], point[axis])

    peaks, slots = np.full(blocks, np.inf, cloud.dtype), np.zeros(blocks, np.int64)
    zero = cloud.dtype.type(0)
    for i in range(k):
        chosen[i] = order[last]
        x, y, z = places[0, last], places[1, last], places[2, last]
        apart[last] = -np.inf
        home, last = last // BLOCK, -1
        for b in range(blocks):
            dx = max(low[0, b] - x, x - high[0, b], zero)
            dy = max(low[1, b] - y, y - high[1, b], zero)
            dz = max(low[2, b] - z, z - high[2, b], zero)
            if i == 0 or b == home or dx * dx + dy * dy + dz * dz < peaks[b]:
                a, e = b * BLOCK, (b + 1) * BLOCK
                update(x, y, z, places[0, a:e], places[1, a:e], places[2, a:e], apart[a:e])
                peaks[b], slots[b] = peak_of(apart[a:e], order[a:e])
                slots[b] += a
            if (
                last < 0
                or peaks[b] > peaks[last // BLOCK]
                or (peaks[b] == peaks[last // BLOCK] and order[slots[b]] < order[last])
            ):
                last = slots[b]
