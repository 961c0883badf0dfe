"""Rays against faces on the CPU: each ray walks a tree of boxes (`tree_numba`), the nearer child first.

Boxes are entered by bounds that round as the hits do, so the result is the reference's.
"""

import math

import numpy as np
from numba import njit

DEPTH = 64
"""Room on a search's stack: as in `tree_numba`."""
FACES = 4
"""Faces of a leaf."""
SLACK = 2.0**-40
"""As in the reference."""


@njit(nogil=True, cache=True)
def crossing(ray, over, boxes, i):
    """The stretch of t >= 0 within box i, made a little larger; empty (first > last) where the ray misses it."""
    first, last = 0.0, np.inf
    reach = 0.0
    for c in range(3):
        reach = max(reach, abs(boxes[i, c] - ray[c]), abs(boxes[i, 3 + c] - ray[c]))
    slack = SLACK * reach
    for c in range(3):
        low, high = boxes[i, c] - ray[c] - slack, boxes[i, 3 + c] - ray[c] + slack
        if over[c] == 0:
            if not (low <= 0 and high >= 0):
                return np.inf, -np.inf
        else:
            s, t = low * over[c], high * over[c]
            first, last = max(first, min(s, t)), min(last, max(s, t))
    return first, last


@njit(nogil=True, cache=True)
def meet(ray, axes, shear, face):
    """t at which the ray meets a face, infinite where it does not: see `meet` of the reference."""
    kx, ky, kz = axes[0], axes[1], axes[2]
    az, bz, cz = face[0, kz] - ray[kz], face[1, kz] - ray[kz], face[2, kz] - ray[kz]
    ax, ay = face[0, kx] - ray[kx] - shear[0] * az, face[0, ky] - ray[ky] - shear[1] * az
    bx, by = face[1, kx] - ray[kx] - shear[0] * bz, face[1, ky] - ray[ky] - shear[1] * bz
    cx, cy = face[2, kx] - ray[kx] - shear[0] * cz, face[2, ky] - ray[ky] - shear[1] * cz
    u, v, w = cx * by - cy * bx, ax * cy - ay * cx, bx * ay - by * ax
    if not ((u >= 0 and v >= 0 and w >= 0) or (u <= 0 and v <= 0 and w <= 0)):
        return np.inf
    area = u + v + w
    if area == 0 or not math.isfinite(area):
        return np.inf
    t = (u * (az * shear[2]) + v * (bz * shear[2]) + w * (cz * shear[2])) / area
    return t if t >= 0 else np.inf


@njit(nogil=True, cache=True)
def first_hits(lo, hi, rays, corners, boxes, order, nodes, found):
    """Rays `lo..hi-1` of the flattened batch look for the face they meet first; -1 where there is none."""
    n, faces = rays.shape[1], corners.shape[1]
    leaves = (faces + FACES - 1) // FACES
    over, shear = np.empty(3), np.empty(3)
    axes = np.empty(3, np.int64)
    stack = np.empty((DEPTH, 3), np.int64)
    bounds = np.empty(DEPTH)
    for item in range(lo, hi):
        b = item // n
        ray = rays[b, item - b * n]
        found[b, item - b * n] = -1
        usable = True
        for c in range(6):
            usable &= math.isfinite(ray[c])
        x, y, z = abs(ray[3]), abs(ray[4]), abs(ray[5])
        axes[2] = 2 if (z >= x and z >= y) else (1 if y >= x else 0)
        axes[0], axes[1] = (axes[2] + 1) % 3, (axes[2] + 2) % 3
        if not usable or ray[3 + axes[2]] == 0:
            continue
        for c in range(3):
            over[c] = 1 / ray[3 + c] if ray[3 + c] != 0 else 0.0
            if not math.isfinite(over[c]):
                over[c] = 0.0
        shear[2] = 1 / ray[3 + axes[2]]
        shear[0], shear[1] = ray[3 + axes[0]] * shear[2], ray[3 + axes[1]] * shear[2]
        best, slot = np.inf, -1
        stack[0, 0], stack[0, 1], stack[0, 2] = 1, 0, leaves
        first, last = crossing(ray, over, nodes[b], 1)
        bounds[0] = first
        top = 1 if first <= last else 0
        while top > 0:
            top -= 1
            if not bounds[top] <= best:
                continue
            node, begin, end = stack[top, 0], stack[top, 1], stack[top, 2]
            if end - begin == 1:
                for at in range(begin * FACES, min(end * FACES, faces)):
                    f = order[b, at]
                    first, last = crossing(ray, over, boxes[b], f)
                    if first <= last and first <= best:
                        t = max(meet(ray, axes, shear, corners[b, f]), first)
                        if t < best or (t == best and f < slot):
                            best, slot = t, f
                continue
            half = (begin + end) // 2
            left_first, left_last = crossing(ray, over, nodes[b], 2 * node)
            right_first, right_last = crossing(ray, over, nodes[b], 2 * node + 1)
            # The child that is entered first is met first: it lies on top of the stack.
            if left_first <= left_last and left_first >= right_first:
                bounds[top], stack[top, 0], stack[top, 1], stack[top, 2] = left_first, 2 * node, begin, half
                top += 1
            if right_first <= right_last:
                bounds[top], stack[top, 0], stack[top, 1], stack[top, 2] = right_first, 2 * node + 1, half, end
                top += 1
            if left_first <= left_last and left_first < right_first:
                bounds[top], stack[top, 0], stack[top, 1], stack[top, 2] = left_first, 2 * node, begin, half
                top += 1
        found[b, item - b * n] = slot
