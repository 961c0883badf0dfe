"""Soft silhouettes on the CPU: forward in bands of rows, backward face by face, so that no two threads add to one sum.

Points are (x, y) in pixels; `kind` is 0 for the logistic fall-off, 1 for the exponential one, as in the reference.
"""

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def soft_boxes(lo, hi, points, faces, margin, height, width, boxes):
    """Pixel ranges `x0 x1 y0 y1` (half open) within `margin` of faces `lo..hi-1` of the flattened `B F`."""
    count = faces.shape[0]
    for item in range(lo, hi):
        b = item // count
        f = item - b * count
        ax, ay, bx, by, cx, cy = corners(points, faces, b, f)
        boxes[b, f, 0], boxes[b, f, 1], boxes[b, f, 2], boxes[b, f, 3] = box(
            ax, ay, bx, by, cx, cy, margin, height, width
        )


@njit(nogil=True, cache=True, inline="always")
def corners(points, faces, b, f):
    i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
    return (
        np.float64(points[b, i, 0]),
        np.float64(points[b, i, 1]),
        np.float64(points[b, j, 0]),
        np.float64(points[b, j, 1]),
        np.float64(points[b, k, 0]),
        np.float64(points[b, k, 1]),
    )


@njit(nogil=True, cache=True)
def box(ax, ay, bx, by, cx, cy, margin, height, width):
    """As `soft_boxes`, of one face; empty for a face without area or with a corner that is not finite."""
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if not (math.isfinite(area) and area != 0):
        return 0, 0, 0, 0
    # Pixel x has its centre at x + 0.5; a thousandth of a pixel more than covers rounding.
    x0 = max(min(ax, bx, cx) - margin - 0.501, 0.0)
    x1 = min(max(ax, bx, cx) + margin - 0.499, width - 1.0)
    y0 = max(min(ay, by, cy) - margin - 0.501, 0.0)
    y1 = min(max(ay, by, cy) + margin - 0.499, height - 1.0)
    if not (x0 <= x1 and y0 <= y1):
        return 0, 0, 0, 0
    return math.ceil(x0), math.floor(x1) + 1, math.ceil(y0), math.floor(y1) + 1


@njit(nogil=True, cache=True, inline="always")
def reciprocal(a):
    return 1.0 / a if a > 0 else 0.0


@njit(nogil=True, cache=True)
def soft_bands(lo, hi, bands, kind, points, faces, boxes, sigma, blur, depth, nearest):
    """Bands `lo..hi-1` of rows: `depth` sums what the faces take away, `nearest` is the face of least distance."""
    height, width = depth.shape[1], depth.shape[2]
    total = np.empty(((height - 1) // bands + 1, width))
    least = np.empty(((height - 1) // bands + 1, width))
    scale = 1.0 / sigma
    for item in range(lo, hi):
        b = item // bands
        band = item - b * bands
        top = height * band // bands
        bottom = height * (band + 1) // bands
        total[:] = 0
        least[:] = np.inf
        nearest[b, top:bottom] = -1
        for f in range(faces.shape[0]):
            y0, y1 = max(boxes[b, f, 2], top), min(boxes[b, f, 3], bottom)
            x0, x1 = boxes[b, f, 0], boxes[b, f, 1]
            if y0 >= y1 or x0 >= x1:
                continue
            ax, ay, bx, by, cx, cy = corners(points, faces, b, f)
            ux, uy, vx, vy, wx, wy = bx - ax, by - ay, cx - bx, cy - by, ax - cx, ay - cy
            ru = reciprocal(ux * ux + uy * uy)
            rv = reciprocal(vx * vx + vy * vy)
            rw = reciprocal(wx * wx + wy * wy)
            sign = 1.0 if ux * (cy - ay) - uy * (cx - ax) > 0 else -1.0
            for y in range(y0, y1):
                py = y + 0.5
                ay1, by1, cy1 = py - ay, py - by, py - cy
                for x in range(x0, x1):
                    px = x + 0.5
                    ax1, bx1, cx1 = px - ax, px - bx, px - cx
                    t = min(max((ax1 * ux + ay1 * uy) * ru, 0.0), 1.0)
                    dx, dy = ax1 - t * ux, ay1 - t * uy
                    d = dx * dx + dy * dy
                    t = min(max((bx1 * vx + by1 * vy) * rv, 0.0), 1.0)
                    dx, dy = bx1 - t * vx, by1 - t * vy
                    d = min(d, dx * dx + dy * dy)
                    t = min(max((cx1 * wx + cy1 * wy) * rw, 0.0), 1.0)
                    dx, dy = cx1 - t * wx, cy1 - t * wy
                    d = min(d, dx * dx + dy * dy)
                    inside = (
                        sign * (ux * ay1 - uy * ax1) >= 0
                        and sign * (vx * by1 - vy * bx1) >= 0
                        and sign * (wx * cy1 - wy * cx1) >= 0
                    )
                    if inside:
                        d = -d
                    elif d >= blur:
                        continue
                    if d < least[y - top, x]:
                        least[y - top, x] = d
                        nearest[b, y, x] = f
                    z = d * scale
                    if kind == 0:
                        if z < -40.0:
                            total[y - top, x] -= z
                        else:
                            total[y - top, x] += max(-z, 0.0) + math.log1p(math.exp(-abs(z)))
                    elif z <= 0:
                        total[y - top, x] = np.inf
                    else:
                        total[y - top, x] -= math.log(-math.expm1(-z))
        for y in range(top, bottom):
            for x in range(width):
                depth[b, y, x] = total[y - top, x]


@njit(nogil=True, cache=True)
def soft_faces_backward(lo, hi, first, kind, points, faces, margin, sigma, blur, upstream, result):
    """Gradients of the corners (6 numbers a face) of faces `lo..hi-1`, counted from `first` of the flattened `B F`."""
    height, width = upstream.shape[1], upstream.shape[2]
    count = faces.shape[0]
    scale = 1.0 / sigma
    for item in range(lo, hi):
        b = (first + item) // count
        f = first + item - b * count
        gax, gay, gbx, gby, gcx, gcy = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        ax, ay, bx, by, cx, cy = corners(points, faces, b, f)
        x0, x1, y0, y1 = box(ax, ay, bx, by, cx, cy, margin, height, width)
        ux, uy, vx, vy, wx, wy = bx - ax, by - ay, cx - bx, cy - by, ax - cx, ay - cy
        ru = reciprocal(ux * ux + uy * uy)
        rv = reciprocal(vx * vx + vy * vy)
        rw = reciprocal(wx * wx + wy * wy)
        sign = 1.0 if ux * (cy - ay) - uy * (cx - ax) > 0 else -1.0
        for y in range(y0, y1):
            py = y + 0.5
            ay1, by1, cy1 = py - ay, py - by, py - cy
            for x in range(x0, x1):
                g = np.float64(upstream[b, y, x])
                if g == 0:
                    continue
                px = x + 0.5
                ax1, bx1, cx1 = px - ax, px - bx, px - cx
                tu = min(max((ax1 * ux + ay1 * uy) * ru, 0.0), 1.0)
                dx, dy = ax1 - tu * ux, ay1 - tu * uy
                du = dx * dx + dy * dy
                tv = min(max((bx1 * vx + by1 * vy) * rv, 0.0), 1.0)
                ex, ey = bx1 - tv * vx, by1 - tv * vy
                dv = ex * ex + ey * ey
                tw = min(max((cx1 * wx + cy1 * wy) * rw, 0.0), 1.0)
                fx, fy = cx1 - tw * wx, cy1 - tw * wy
                dw = fx * fx + fy * fy
                d = min(du, dv, dw)
                inside = (
                    sign * (ux * ay1 - uy * ax1) >= 0
                    and sign * (vx * by1 - vy * bx1) >= 0
                    and sign * (wx * cy1 - wy * cx1) >= 0
                )
                if not inside and d >= blur:
                    continue
                if kind == 0:
                    z = (-d if inside else d) * scale
                    slope = -scale / (1.0 + math.exp(min(z, 700.0)))
                    if inside:
                        slope = -slope
                elif inside or d == 0:
                    continue
                else:
                    slope = -scale / math.expm1(min(d * scale, 700.0))
                # d = |p - a - t (b - a)|^2 at the t that makes it least, so t counts as constant.
                g *= -2.0 * slope
                if du <= dv and du <= dw:
                    gbx += g * tu * dx
                    gby += g * tu * dy
                    gax += g * (1.0 - tu) * dx
                    gay += g * (1.0 - tu) * dy
                elif dv <= dw:
                    gcx += g * tv * ex
                    gcy += g * tv * ey
                    gbx += g * (1.0 - tv) * ex
                    gby += g * (1.0 - tv) * ey
                else:
                    gax += g * tw * fx
                    gay += g * tw * fy
                    gcx += g * (1.0 - tw) * fx
                    gcy += g * (1.0 - tw) * fy
        result[item, 0] = gax
        result[item, 1] = gay
        result[item, 2] = gbx
        result[item, 3] = gby
        result[item, 4] = gcx
        result[item, 5] = gcy


@njit(nogil=True, cache=True)
def scatter(first, last, faces, result, gradient):
    """Add the corners' gradients of faces `first..last-1` of the flattened `B F` to their vertices."""
    count = faces.shape[0]
    for item in range(first, last):
        b = item // count
        f = item - b * count
        for i in range(3):
            gradient[b, faces[f, i], 0] += result[item - first, 2 * i]
            gradient[b, faces[f, i], 1] += result[item - first, 2 * i + 1]
