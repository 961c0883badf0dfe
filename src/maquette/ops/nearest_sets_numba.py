"""Nearest point sets on the CPU: a lower bound for every set first, then exact distances in its order, left off early.

The bound: a grid holds the distance d of every cell's centre to the query set, so a point p in the cell with centre c
is at least d - |p - c| away. Its square, averaged over a set, bounds one direction of the chamfer distance from below.
"""

import math

import numpy as np
from numba import njit

CELLS = 32
LANES = 32
SLACK = np.float32(1 - 1e-4)
"""Bounds are shrunk by more than they can be rounded up."""


@njit(nogil=True, cache=True, fastmath=True)
def block_minima(xs, ys, zs, start, points, best):
    """Squared distances from LANES queries to their nearest of `points`."""
    for lane in range(LANES):
        best[lane] = np.float32(3e38)  # fast arithmetic knows no infinity
    for j in range(points.shape[0]):
        px, py, pz = points[j, 0], points[j, 1], points[j, 2]
        for lane in range(LANES):
            dx = xs[start + lane] - px
            dy = ys[start + lane] - py
            dz = zs[start + lane] - pz
            best[lane] = min(best[lane], dx * dx + dy * dy + dz * dz)


@njit(nogil=True, cache=True)
def split(points, xs, ys, zs):
    """Coordinates in rows of their own; the last block is filled up with the last point."""
    n = points.shape[0]
    for i in range(xs.shape[0]):
        j = min(i, n - 1)
        xs[i], ys[i], zs[i] = points[j, 0], points[j, 1], points[j, 2]


@njit(nogil=True, cache=True)
def direction(xs, ys, zs, n, points, best, so_far, limit):
    """`so_far` plus the mean squared distance of n queries to `points`; infinity as soon as it must exceed `limit`."""
    total = 0.0
    for start in range(0, n, LANES):
        block_minima(xs, ys, zs, start, points, best)
        for lane in range(min(LANES, n - start)):
            total += best[lane]
        if so_far + total / n > limit:
            return np.inf
    return so_far + total / n


@njit(nogil=True, cache=True)
def bounds_of(sets, low, edge, field, bound):
    """For every set the mean of max(0, d - |p - c|)^2."""
    m = sets.shape[1]
    for t in range(sets.shape[0]):
        total = np.float32(0)
        for j in range(m):
            x = (sets[t, j, 0] - low[0]) / edge
            y = (sets[t, j, 1] - low[1]) / edge
            z = (sets[t, j, 2] - low[2]) / edge
            i, k, l = min(int(x), CELLS - 1), min(int(y), CELLS - 1), min(int(z), CELLS - 1)
            dx, dy, dz = x - i - np.float32(0.5), y - k - np.float32(0.5), z - l - np.float32(0.5)
            gap = field[(i * CELLS + k) * CELLS + l] - edge * math.sqrt(dx * dx + dy * dy + dz * dz)
            gap = max(gap, np.float32(0))
            total += gap * gap
        bound[t] = total / m * SLACK


@njit(nogil=True, cache=True)
def search(lo, hi, queries, sets, low, edge, indices, values):
    """Query sets `lo..hi-1`."""
    n, m, k = queries.shape[1], sets.shape[1], indices.shape[1]
    cells = CELLS * CELLS * CELLS
    cx, cy, cz = np.empty(cells, np.float32), np.empty(cells, np.float32), np.empty(cells, np.float32)
    for cell in range(cells):
        cx[cell] = low[0] + (cell // (CELLS * CELLS) + np.float32(0.5)) * edge
        cy[cell] = low[1] + (cell // CELLS % CELLS + np.float32(0.5)) * edge
        cz[cell] = low[2] + (cell % CELLS + np.float32(0.5)) * edge
    field = np.empty(cells, np.float32)
    bound = np.empty(sets.shape[0], np.float32)
    best = np.empty(LANES, np.float32)
    rows = (n + LANES - 1) // LANES * LANES
    qx, qy, qz = np.empty(rows, np.float32), np.empty(rows, np.float32), np.empty(rows, np.float32)
    rows = (m + LANES - 1) // LANES * LANES
    sx, sy, sz = np.empty(rows, np.float32), np.empty(rows, np.float32), np.empty(rows, np.float32)
    for q in range(lo, hi):
        split(queries[q], qx, qy, qz)
        for start in range(0, cells, LANES):
            block_minima(cx, cy, cz, start, queries[q], best)
            for lane in range(LANES):
                field[start + lane] = math.sqrt(best[lane])
        bounds_of(sets, low, edge, field, bound)
        values[q] = np.inf
        indices[q] = -1
        for t in np.argsort(bound):
            limit = values[q, k - 1]
            if bound[t] > limit:
                break
            split(sets[t], sx, sy, sz)
            distance = direction(qx, qy, qz, n, sets[t], best, bound[t], limit)
            if distance == np.inf:
                continue
            distance = direction(sx, sy, sz, m, queries[q], best, distance - bound[t], limit)
            distance = np.float32(distance)
            i = k
            while i > 0 and (distance < values[q, i - 1] or (distance == values[q, i - 1] and t < indices[q, i - 1])):
                i -= 1
            if i < k:
                for at in range(k - 1, i, -1):
                    values[q, at], indices[q, at] = values[q, at - 1], indices[q, at - 1]
                values[q, i], indices[q, i] = distance, t
