"""Triangles against the cells of their boxes on the CPU: the tests of the reference, those of a whole row first."""

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def touch(lo, hi, corners, grid):
    """Mark the cells that triangles `lo..hi-1` touch."""
    depth, height, width = grid.shape
    # For the product of edge k with axis a, row 3 k + a: factors of the centre, least and greatest place it may have.
    axes = np.empty((9, 4))
    for f in range(lo, hi):
        v = corners[f]
        finite = True
        for k in range(3):
            for a in range(3):
                finite &= math.isfinite(v[k, a])
        if not finite:
            continue
        x0 = max(math.ceil(min(v[0, 0], v[1, 0], v[2, 0])) - 1.0, 0.0)
        y0 = max(math.ceil(min(v[0, 1], v[1, 1], v[2, 1])) - 1.0, 0.0)
        z0 = max(math.ceil(min(v[0, 2], v[1, 2], v[2, 2])) - 1.0, 0.0)
        x1 = min(math.floor(max(v[0, 0], v[1, 0], v[2, 0])) + 1.0, width)
        y1 = min(math.floor(max(v[0, 1], v[1, 1], v[2, 1])) + 1.0, height)
        z1 = min(math.floor(max(v[0, 2], v[1, 2], v[2, 2])) + 1.0, depth)
        if x0 >= x1 or y0 >= y1 or z0 >= z1:
            continue
        ax, ay, az = v[1, 0] - v[0, 0], v[1, 1] - v[0, 1], v[1, 2] - v[0, 2]
        bx, by, bz = v[2, 0] - v[1, 0], v[2, 1] - v[1, 1], v[2, 2] - v[1, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        plane = (abs(nx) + abs(ny) + abs(nz)) * 0.5
        for k in range(3):
            for a in range(3):
                i, j = (a + 1) % 3, (a + 2) % 3
                ei, ej = v[(k + 1) % 3, i] - v[k, i], v[(k + 1) % 3, j] - v[k, j]
                p, q, r = v[0, j] * ei - v[0, i] * ej, v[1, j] * ei - v[1, i] * ej, v[2, j] * ei - v[2, i] * ej
                reach = (abs(ei) + abs(ej)) * 0.5
                row = axes[3 * k + a]
                row[0], row[1] = ei, ej
                row[2], row[3] = min(p, q, r) - reach, max(p, q, r) + reach
        for z in range(int(z0), int(z1)):
            cz = z + 0.5
            for y in range(int(y0), int(y1)):
                cy = y + 0.5
                apart = False
                for k in range(3):  # across x
                    place = cz * axes[3 * k, 0] - cy * axes[3 * k, 1]
                    apart |= not (axes[3 * k, 2] <= place <= axes[3 * k, 3])
                if apart:
                    continue
                for x in range(int(x0), int(x1)):
                    cx = x + 0.5
                    offset = nx * (v[0, 0] - cx) + ny * (v[0, 1] - cy) + nz * (v[0, 2] - cz)
                    if not abs(offset) <= plane:
                        continue
                    apart = False
                    for k in range(3):
                        across_y, across_z = axes[3 * k + 1], axes[3 * k + 2]
                        place = cx * across_y[0] - cz * across_y[1]
                        apart |= not (across_y[2] <= place <= across_y[3])
                        place = cy * across_z[0] - cx * across_z[1]
                        apart |= not (across_z[2] <= place <= across_z[3])
                    if not apart:
                        grid[z, y, x] = True
