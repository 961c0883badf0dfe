"""Rasterising discs on the CPU: bands of rows, each with a depth buffer, or counts of layers, of its own."""

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def disc_bands(lo, hi, bands, centers, radii, index):
    """Bands `lo..hi-1` of rows, `bands` to a view: writes the front-most disc of each pixel into `index`."""
    height, width = index.shape[1], index.shape[2]
    depth = np.empty(((height - 1) // bands + 1, width))
    for item in range(lo, hi):
        b = item // bands
        band = item - b * bands
        top = height * band // bands
        bottom = height * (band + 1) // bands
        depth[:] = np.inf
        index[b, top:bottom] = -1
        for n in range(centers.shape[1]):
            cx, cy, cz = np.float64(centers[b, n, 0]), np.float64(centers[b, n, 1]), np.float64(centers[b, n, 2])
            r = np.float64(radii[b, n])
            if not (cz > 0 and r >= 0):
                continue
            x0, x1, y0, y1 = cx - r - 1, cx + r + 1, cy - r - 1, cy + r + 1
            if not (x0 <= width and x1 >= 0 and y0 <= bottom and y1 >= top):
                continue
            for y in range(int(max(y0, float(top))), min(int(min(y1, float(bottom))) + 1, bottom)):
                dy = y + 0.5 - cy
                for x in range(int(max(x0, 0.0)), min(int(min(x1, float(width))) + 1, width)):
                    dx = x + 0.5 - cx
                    if dx * dx + dy * dy <= r * r and cz < depth[y - top, x]:
                        depth[y - top, x] = cz
                        index[b, y, x] = n


@njit(nogil=True, cache=True)
def disc_layers(lo, hi, bands, centers, radii, order, index):
    """Bands `lo..hi-1` of rows, `bands` to a view: writes the front-most discs of each pixel into `index`.

    Discs come sorted by depth; `order` is what each is called. A pixel takes those that cover it until it is full.
    """
    height, width, layers = index.shape[1], index.shape[2], index.shape[3]
    count = np.empty(((height - 1) // bands + 1, width), np.int64)
    for item in range(lo, hi):
        b = item // bands
        band = item - b * bands
        top = height * band // bands
        bottom = height * (band + 1) // bands
        count[:] = 0
        index[b, top:bottom] = -1
        for n in range(centers.shape[1]):
            cx, cy, cz = np.float64(centers[b, n, 0]), np.float64(centers[b, n, 1]), np.float64(centers[b, n, 2])
            r = np.float64(radii[b, n])
            if not (0 < cz < np.inf and r >= 0):
                continue
            x0, x1, y0, y1 = cx - r - 1, cx + r + 1, cy - r - 1, cy + r + 1
            if not (x0 <= width and x1 >= 0 and y0 <= bottom and y1 >= top):
                continue
            for y in range(int(max(y0, float(top))), min(int(min(y1, float(bottom))) + 1, bottom)):
                dy = y + 0.5 - cy
                for x in range(int(max(x0, 0.0)), min(int(min(x1, float(width))) + 1, width)):
                    dx = x + 0.5 - cx
                    k = count[y - top, x]
                    if k < layers and dx * dx + dy * dy <= r * r:
                        index[b, y, x, k] = order[b, n]
                        count[y - top, x] = k + 1
