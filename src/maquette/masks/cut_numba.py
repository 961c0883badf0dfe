"""The minimum cut of a picture, by its convex relaxation, for the CPU. H W pixels.

The cut min_u sum(cost u) + sum(across |du|), u in {0, 1}, is relaxed to u in 0..1 (Chan, Esedoglu, Nikolova 2006: every
threshold of a minimiser is a minimum cut) and solved by primal-dual steps (Chambolle, Pock 2011, algorithm 1).
"""

import numpy as np
from numba import njit

STEP = np.float32(0.35)
"""Of both variables: STEP^2 times the squared norm of the gradient, 8, is below 1."""


@njit(nogil=True, cache=True)
def minimum_cut(cost, right, down, start, rounds):
    """u (H W float32 in 0..1): `cost` of being foreground, `right` and `down` of parting from the next pixel there."""
    height, width = cost.shape
    flow_x = np.zeros((height, width), np.float32)
    flow_y = np.zeros((height, width), np.float32)
    u = start.copy()
    ahead = start.copy()
    for _ in range(rounds):
        for i in range(height):
            for j in range(width - 1):
                flow = flow_x[i, j] + STEP * (ahead[i, j + 1] - ahead[i, j])
                flow_x[i, j] = min(max(flow, -right[i, j]), right[i, j])
            if i < height - 1:
                for j in range(width):
                    flow = flow_y[i, j] + STEP * (ahead[i + 1, j] - ahead[i, j])
                    flow_y[i, j] = min(max(flow, -down[i, j]), down[i, j])
        for i in range(height):
            for j in range(width):
                inflow = flow_x[i, j] + flow_y[i, j]
                if j > 0:
                    inflow -= flow_x[i, j - 1]
                if i > 0:
                    inflow -= flow_y[i - 1, j]
                new = min(max(u[i, j] + STEP * (inflow - cost[i, j]), np.float32(0)), np.float32(1))
                ahead[i, j] = 2 * new - u[i, j]
                u[i, j] = new
    return u
