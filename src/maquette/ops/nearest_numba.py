"""Nearest points on the CPU: queries in the SIMD lanes."""

import numpy as np
from numba import njit

LANES = 32


@njit(nogil=True, cache=True)
def brute(lo, hi, queries, points, indices):
    """Blocks `lo..hi-1` of LANES queries each, over the flattened batch: `ceil(N / LANES)` blocks a cloud."""
    n = queries.shape[1]
    m = points.shape[1]
    k = indices.shape[2]
    blocks = (n + LANES - 1) // LANES
    qx = np.empty(LANES, queries.dtype)
    qy = np.empty(LANES, queries.dtype)
    qz = np.empty(LANES, queries.dtype)
    best = np.empty(LANES, queries.dtype)
    slot = np.empty(LANES, np.int32)
    kth = np.empty(k, queries.dtype)
    for block in range(lo, hi):
        b = block // blocks
        start = (block - b * blocks) * LANES
        if k == 1:
            for lane in range(LANES):
                q = min(start + lane, n - 1)
                qx[lane] = queries[b, q, 0]
                qy[lane] = queries[b, q, 1]
                qz[lane] = queries[b, q, 2]
                best[lane] = np.inf
                slot[lane] = 0
            for j in range(m):
                px = points[b, j, 0]
                py = points[b, j, 1]
                pz = points[b, j, 2]
                for lane in range(LANES):
                    dx = qx[lane] - px
                    dy = qy[lane] - py
                    dz = qz[lane] - pz
                    d = dx * dx + dy * dy + dz * dz
                    closer = d < best[lane]
                    best[lane] = d if closer else best[lane]
                    slot[lane] = np.int32(j) if closer else slot[lane]
            for lane in range(min(LANES, n - start)):
                indices[b, start + lane, 0] = slot[lane]
        else:
            for q in range(start, min(start + LANES, n)):
                kth[:] = np.inf
                indices[b, q, :] = 0
                for i in range(k):
                    indices[b, q, i] = i
                for j in range(m):
                    dx = queries[b, q, 0] - points[b, j, 0]
                    dy = queries[b, q, 1] - points[b, j, 1]
                    dz = queries[b, q, 2] - points[b, j, 2]
                    d = dx * dx + dy * dy + dz * dz
                    if d < kth[k - 1]:
                        i = k - 1
                        while i > 0 and kth[i - 1] > d:
                            kth[i] = kth[i - 1]
                            indices[b, q, i] = indices[b, q, i - 1]
                            i -= 1
                        kth[i] = d
                        indices[b, q, i] = j
