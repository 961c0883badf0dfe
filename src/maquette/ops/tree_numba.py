"""A tree of boxes over faces or points on the CPU, which searches walk: neighbours share a leaf.

A tree over n items has `ceil(n / leaf)` leaves; leaf i holds places `i leaf .. i leaf + leaf - 1` of `order`, which
names items. Node 1 is the root, the children of node i are 2 i and 2 i + 1, and `nodes` holds low x y z and high x y z
of each.
"""

import math

import numpy as np
from numba import njit

DEPTH = 64
"""Room for the nodes that wait on a search's stack: one a level."""


@njit(nogil=True, cache=True)
def select(keys, order, lo, hi, middle):
    """Permute `order[lo:hi]` until no item before `middle` has a greater key than one after (Hoare's quickselect)."""
    hi -= 1
    while lo < hi:
        a, b, c = keys[order[lo]], keys[order[(lo + hi) // 2]], keys[order[hi]]
        pivot = max(min(a, b), min(max(a, b), c))
        i, j = lo, hi
        while i <= j:
            while keys[order[i]] < pivot:
                i += 1
            while keys[order[j]] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if middle <= j:
            hi = j
        elif middle >= i:
            lo = i
        else:
            return


@njit(nogil=True, cache=True)
def grow(boxes, leaf, order, nodes):
    """Build the tree of the items with `boxes`. A box that is not finite is in no node, and its item comes last."""
    n = boxes.shape[0]
    leaves = (n + leaf - 1) // leaf
    keys = np.empty(n)
    centers = np.empty((n, 3))
    stack = np.empty((DEPTH, 3), np.int64)
    inner = np.empty(leaves, np.int64)
    region = np.empty((nodes.shape[0], 6))
    region[1, :3] = np.inf
    region[1, 3:] = -np.inf
    for i in range(n):
        order[i] = i
        finite = True
        for axis in range(3):
            centers[i, axis] = boxes[i, axis] + boxes[i, 3 + axis]
            finite &= math.isfinite(centers[i, axis])
        for axis in range(3):
            if finite:
                region[1, axis] = min(region[1, axis], centers[i, axis])
                region[1, 3 + axis] = max(region[1, 3 + axis], centers[i, axis])
            else:
                centers[i, axis] = np.inf

    stack[0, 0], stack[0, 1], stack[0, 2] = 1, 0, leaves
    top, visited = 1, 0
    while top > 0:
        top -= 1
        node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
        if last - first == 1:
            nodes[node, :3] = np.inf
            nodes[node, 3:] = -np.inf
            for i in range(first * leaf, min(last * leaf, n)):
                if centers[order[i], 0] < np.inf:
                    for c in range(3):
                        nodes[node, c] = min(nodes[node, c], boxes[order[i], c])
                        nodes[node, 3 + c] = max(nodes[node, 3 + c], boxes[order[i], 3 + c])
            continue
        inner[visited] = node
        visited += 1
        axis = 0
        for c in range(1, 3):
            if region[node, 3 + c] - region[node, c] > region[node, 3 + axis] - region[node, axis]:
                axis = c
        half = (first + last) // 2
        start, middle, end = first * leaf, half * leaf, min(last * leaf, n)
        for i in range(start, end):
            keys[order[i]] = centers[order[i], axis]
        select(keys, order, start, end, middle)
        for c in range(6):  # not row to row, whose check of shapes takes numba seconds to compile
            region[2 * node, c] = region[2 * node + 1, c] = region[node, c]
        region[2 * node, 3 + axis] = region[2 * node + 1, axis] = keys[order[middle]]
        stack[top, 0], stack[top, 1], stack[top, 2] = 2 * node, first, half
        stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2] = 2 * node + 1, half, last
        top += 2

    for node in inner[:visited][::-1]:  # children come after their parent
        for c in range(3):
            nodes[node, c] = min(nodes[2 * node, c], nodes[2 * node + 1, c])
            nodes[node, 3 + c] = max(nodes[2 * node, 3 + c], nodes[2 * node + 1, 3 + c])


@njit(nogil=True, cache=True)
def grow_each(lo, hi, boxes, leaf, order, nodes):
    """Build trees `lo..hi-1` of a batch."""
    for b in range(lo, hi):
        grow(boxes[b], leaf, order[b], nodes[b])
