"""Rasterising on the CPU: boxes of all faces first, then bands of rows, each with a depth buffer of its own."""

import math

import numpy as np
from numba import njit

DEGENERATE = 1e-14
"""As in the reference."""

SPAN = 12
"""Boxes wider than this many pixels find the covered part of a row by division; narrower ones test every pixel."""


@njit(nogil=True, cache=True)
def face_boxes(lo, hi, vertices, faces, height, width, boxes):
    """Pixel ranges `x0 x1 y0 y1` (half open) that hold faces `lo..hi-1` of the flattened `B F`; empty where skipped."""
    count = faces.shape[0]
    for item in range(lo, hi):
        b = item // count
        f = item - b * count
        left, right, top, bottom = np.inf, -np.inf, np.inf, -np.inf
        bad = False
        for i in range(3):
            v = faces[f, i]
            x, y, w = np.float64(vertices[b, v, 0]), np.float64(vertices[b, v, 1]), np.float64(vertices[b, v, 2])
            if not (math.isfinite(x) and math.isfinite(y) and math.isfinite(w)):
                bad = True
            elif w > 0:
                px, py = x / w, y / w
                left, right = min(left, px), max(right, px)
                top, bottom = min(top, py), max(bottom, py)
                for other in range(3):
                    v = faces[f, other]
                    x2, y2, w2 = (
                        np.float64(vertices[b, v, 0]),
                        np.float64(vertices[b, v, 1]),
                        np.float64(vertices[b, v, 2]),
                    )
                    if w2 <= 0:
                        # On screen the edge is a ray, in the direction of its point in the plane w = 0.
                        s, t = x2 * w, x * w2
                        if s - t <= 1e-12 * (abs(s) + abs(t)):
                            left = -np.inf
                        if s - t >= -1e-12 * (abs(s) + abs(t)):
                            right = np.inf
                        s, t = y2 * w, y * w2
                        if s - t <= 1e-12 * (abs(s) + abs(t)):
                            top = -np.inf
                        if s - t >= -1e-12 * (abs(s) + abs(t)):
                            bottom = np.inf
        # Pixel x has its centre at x + 0.5; a thousandth of a pixel more than covers rounding.
        x0, x1 = max(left - 0.501, 0.0), min(right - 0.499, width - 1.0)
        y0, y1 = max(top - 0.501, 0.0), min(bottom - 0.499, height - 1.0)
        if bad or not (x0 <= x1 and y0 <= y1):
            x0, x1, y0, y1 = 0.0, -1.0, 0.0, -1.0
        boxes[b, f, 0] = math.ceil(x0)
        boxes[b, f, 1] = math.floor(x1) + 1
        boxes[b, f, 2] = math.ceil(y0)
        boxes[b, f, 3] = math.floor(y1) + 1


@njit(nogil=True, cache=True)
def raster_bands(lo, hi, bands, vertices, faces, boxes, index):
    """Bands `lo..hi-1` of rows, `bands` to a view: writes the nearest face of each pixel into `index`."""
    height, width = index.shape[1], index.shape[2]
    nearness = np.empty(((height - 1) // bands + 1, width))
    for item in range(lo, hi):
        b = item // bands
        band = item - b * bands
        top = height * band // bands
        bottom = height * (band + 1) // bands
        nearness[:] = 0
        index[b, top:bottom] = -1
        for f in range(faces.shape[0]):
            y0, y1 = max(boxes[b, f, 2], top), min(boxes[b, f, 3], bottom)
            x0, x1 = boxes[b, f, 0], boxes[b, f, 1]
            if y0 >= y1 or x0 >= x1:
                continue
            ux, uy, uw, vx, vy, vw, wx, wy, ww, det = edge_functions(vertices, faces, b, f)
            if det == 0:
                continue
            inverse = 1.0 / det
            zx, zy, zw = (ux + vx + wx) * inverse, (uy + vy + wy) * inverse, (uw + vw + ww) * inverse
            wide = x1 - x0 > SPAN
            ru = rv = rw = 0.0
            if wide:
                ru, rv, rw = reciprocal(ux), reciprocal(vx), reciprocal(wx)
            for y in range(y0, y1):
                py = y + 0.5
                u0, v0, w0, z0 = uy * py + uw, vy * py + vw, wy * py + ww, zy * py + zw
                first, last = x0, x1
                if wide:
                    first, last = span(first, last, ux, u0, ru)
                    first, last = span(first, last, vx, v0, rv)
                    first, last = span(first, last, wx, w0, rw)
                    for x in range(first, last):
                        near = zx * (x + 0.5) + z0
                        if near > nearness[y - top, x]:
                            nearness[y - top, x] = near
                            index[b, y, x] = f
                else:
                    for x in range(x0, x1):
                        px = x + 0.5
                        if ux * px + u0 >= 0 and vx * px + v0 >= 0 and wx * px + w0 >= 0:
                            near = zx * px + z0
                            if near > nearness[y - top, x]:
                                nearness[y - top, x] = near
                                index[b, y, x] = f


@njit(nogil=True, cache=True)
def layer_bands(lo, hi, bands, vertices, faces, boxes, index):
    """As `raster_bands`, and writes the nearest faces of each pixel, in order, as many as `index` has room for."""
    height, width, layers = index.shape[1], index.shape[2], index.shape[3]
    nearness = np.empty(((height - 1) // bands + 1, width, layers))
    for item in range(lo, hi):
        b = item // bands
        band = item - b * bands
        top = height * band // bands
        bottom = height * (band + 1) // bands
        nearness[:] = 0
        index[b, top:bottom] = -1
        for f in range(faces.shape[0]):
            y0, y1 = max(boxes[b, f, 2], top), min(boxes[b, f, 3], bottom)
            x0, x1 = boxes[b, f, 0], boxes[b, f, 1]
            if y0 >= y1 or x0 >= x1:
                continue
            ux, uy, uw, vx, vy, vw, wx, wy, ww, det = edge_functions(vertices, faces, b, f)
            if det == 0:
                continue
            inverse = 1.0 / det
            zx, zy, zw = (ux + vx + wx) * inverse, (uy + vy + wy) * inverse, (uw + vw + ww) * inverse
            ru, rv, rw = reciprocal(ux), reciprocal(vx), reciprocal(wx)
            for y in range(y0, y1):
                py = y + 0.5
                first, last = span(x0, x1, ux, uy * py + uw, ru)
                first, last = span(first, last, vx, vy * py + vw, rv)
                first, last = span(first, last, wx, wy * py + ww, rw)
                z0 = zy * py + zw
                for x in range(first, last):
                    near = zx * (x + 0.5) + z0
                    k = layers - 1
                    if not near > nearness[y - top, x, k]:
                        continue
                    # Faces come by number, so an equally near one stays in front.
                    while k > 0 and near > nearness[y - top, x, k - 1]:
                        nearness[y - top, x, k] = nearness[y - top, x, k - 1]
                        index[b, y, x, k] = index[b, y, x, k - 1]
                        k -= 1
                    nearness[y - top, x, k] = near
                    index[b, y, x, k] = f


@njit(nogil=True, cache=True)
def edge_functions(vertices, faces, b, f):
    """Cross products of the corners opposite to each, oriented, and the determinant; it is 0 of a degenerate face."""
    i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
    ax, ay, aw = np.float64(vertices[b, i, 0]), np.float64(vertices[b, i, 1]), np.float64(vertices[b, i, 2])
    bx, by, bw = np.float64(vertices[b, j, 0]), np.float64(vertices[b, j, 1]), np.float64(vertices[b, j, 2])
    cx, cy, cw = np.float64(vertices[b, k, 0]), np.float64(vertices[b, k, 1]), np.float64(vertices[b, k, 2])
    ux, uy, uw = by * cw - bw * cy, bw * cx - bx * cw, bx * cy - by * cx
    vx, vy, vw = cy * aw - cw * ay, cw * ax - cx * aw, cx * ay - cy * ax
    wx, wy, ww = ay * bw - aw * by, aw * bx - ax * bw, ax * by - ay * bx
    det = ax * ux + ay * uy + aw * uw
    scale = (
        abs(ax) * (abs(by * cw) + abs(bw * cy))
        + abs(ay) * (abs(bw * cx) + abs(bx * cw))
        + abs(aw) * (abs(bx * cy) + abs(by * cx))
    )
    if not (abs(det) > DEGENERATE * scale and math.isfinite(det)):
        return ux, uy, uw, vx, vy, vw, wx, wy, ww, 0.0
    if det < 0:
        return -ux, -uy, -uw, -vx, -vy, -vw, -wx, -wy, -ww, -det
    return ux, uy, uw, vx, vy, vw, wx, wy, ww, det


@njit(nogil=True, cache=True)
def reciprocal(a):
    return 1.0 / a if a != 0 else 0.0


@njit(nogil=True, cache=True)
def span(first, last, a, c, inverse):
    """The part of pixels `first..last-1` where `a (x + 0.5) + c >= 0`: guessed by division, then exact.

    Rounding keeps the function monotonic in x, so the part is one interval and its end is found by stepping.
    """
    if a == 0:
        return first, last if c >= 0 else first
    guess = int(min(max(-c * inverse, first), last))
    if a > 0:
        while guess > first and a * (guess - 0.5) + c >= 0:
            guess -= 1
        while guess < last and a * (guess + 0.5) + c < 0:
            guess += 1
        return guess, last
    while guess < last and a * (guess + 0.5) + c >= 0:
        guess += 1
    while guess > first and a * (guess - 0.5) + c < 0:
        guess -= 1
    return first, guess
