"""Nearest point sets on the CPU: a lower bound for every set first, then exact distances in its order, left off early.

The bound: a grid holds the distance d of every cell's centre to the query set, so a point p in the cell with centre c
is at least d - |p - c| away. Its square, averaged over a set, bounds one direction of the chamfer distance from below.
"""

import math

import numpy as np
from numba import njit

CELLS = 32
"""Along each edge of the grid."""
SLACK = np.float32(1e-4)
"""Bounds are shrunk by this part of a cell's edge and of themselves: more than they can be rounded up."""


@njit(nogil=True, cache=True, fastmath=True)
def least_squared(x, y, z, xs, ys, zs):
    """Squared distance from one point to the nearest of many: a reduction that runs in SIMD lanes."""
    best = np.float32(3e38)  # fast arithmetic knows no infinity
    for j in range(xs.shape[0]):
        dx = x - xs[j]
        dy = y - ys[j]
        dz = z - zs[j]
        d = dx * dx + dy * dy + dz * dz
        best = d if d < best else best
    return best


@njit(nogil=True, cache=True)
def direction(ax, ay, az, bx, by, bz, so_far, limit):
    """`so_far` plus the mean squared distance from points a to points b; infinity as soon as it must exceed `limit`."""
    n = ax.shape[0]
    total = 0.0
    for i in range(n):
        total += least_squared(ax[i], ay[i], az[i], bx, by, bz)
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
            cx, cy, cz = min(int(x), CELLS - 1), min(int(y), CELLS - 1), min(int(z), CELLS - 1)
            dx, dy, dz = x - np.float32(cx + 0.5), y - np.float32(cy + 0.5), z - np.float32(cz + 0.5)
            gap = field[(cx * CELLS + cy) * CELLS + cz] - edge * (math.sqrt(dx * dx + dy * dy + dz * dz) + SLACK)
            gap = max(gap, np.float32(0))
            total += gap * gap
        bound[t] = total / m * (1 - SLACK)


@njit(nogil=True, cache=True)
def search(lo, hi, queries, sets, low, edge, indices, values):
    """Query sets `lo..hi-1`."""
    n, m, k = queries.shape[1], sets.shape[1], indices.shape[1]
    cells = CELLS * CELLS * CELLS
    field = np.empty(cells, np.float32)
    bound = np.empty(sets.shape[0], np.float32)
    query, other = np.empty((3, n), np.float32), np.empty((3, m), np.float32)
    for q in range(lo, hi):
        for i in range(n):
            for axis in range(3):  # from the grid's corner, so that a far origin costs no digits
                query[axis, i] = queries[q, i, axis] - low[axis]
        for cell in range(cells):
            x = np.float32((cell // (CELLS * CELLS) + 0.5) * edge)
            y = np.float32((cell // CELLS % CELLS + 0.5) * edge)
            z = np.float32((cell % CELLS + 0.5) * edge)
            field[cell] = math.sqrt(least_squared(x, y, z, query[0], query[1], query[2]))
        bounds_of(sets, low, edge, field, bound)
        values[q] = np.inf
        indices[q] = -1
        for t in np.argsort(bound):
            limit = values[q, k - 1]
            if bound[t] > limit:
                break
            for i in range(m):
                for axis in range(3):
                    other[axis, i] = sets[t, i, axis] - low[axis]
            # The bound stands for the direction from the set to the query until that is computed.
            there = direction(query[0], query[1], query[2], other[0], other[1], other[2], bound[t], limit)
            if there == np.inf:
                continue
            both = direction(other[0], other[1], other[2], query[0], query[1], query[2], there - bound[t], limit)
            distance = np.float32(both)
            i = k
            while i > 0 and (distance < values[q, i - 1] or (distance == values[q, i - 1] and t < indices[q, i - 1])):
                i -= 1
            if i < k:
                for at in range(k - 1, i, -1):
                    values[q, at], indices[q, at] = values[q, at - 1], indices[q, at - 1]
                values[q, i], indices[q, i] = distance, t
