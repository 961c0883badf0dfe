"""Balls on the CPU: a query scans points by index while that promises to be quick, then walks a k-d tree (`nearest`).

A ball of many points is full after a short scan; one of few is found by the tree. There a node also knows the least
index under it: when a query has its k, a node of none but higher indices is passed by. Bounds round as distances do:
the result is the reference's.
A forest is that of `nearest_numba`, which tells how the trees of all clouds lie in it.
"""

import math

import numpy as np
from numba import njit

LEAF = 16
"""Points of a leaf: as in `nearest_numba`."""
PIECE = 512
"""Points scanned before asking whether to go on."""
WALK = 64
"""What a point found by the tree costs, in points scanned."""


@njit(nogil=True, cache=True)
def find_least_each(lo, hi, forest, least):
    """The least index under each node of trees `lo..hi-1`."""
    _, splits, leaf_splits, node_splits, order, _, _ = forest
    for s in range(lo, hi):
        if splits[s] < splits[s + 1]:
            slots = order[leaf_splits[s] * LEAF : leaf_splits[s + 1] * LEAF]
            find_least(slots, least[node_splits[s] : node_splits[s + 1]])


@njit(nogil=True, cache=True)
def find_least(order, least):
    """The least index under each node."""
    ranges = np.empty((least.shape[0], 3), np.int64)
    ranges[0, 0], ranges[0, 1], ranges[0, 2] = 1, 0, order.shape[0] // LEAF
    count, at = 1, 0
    while at < count:
        node, first, last = ranges[at, 0], ranges[at, 1], ranges[at, 2]
        at += 1
        if last - first > 1:
            half = (first + last) // 2
            ranges[count, 0], ranges[count, 1], ranges[count, 2] = 2 * node, first, half
            ranges[count + 1, 0], ranges[count + 1, 1], ranges[count + 1, 2] = 2 * node + 1, half, last
            count += 2
    for at in range(count - 1, -1, -1):  # children come after their parent
        node, first = ranges[at, 0], ranges[at, 1]
        if ranges[at, 2] - first == 1:
            least[node] = order[first * LEAF : (first + 1) * LEAF].min()
        else:
            least[node] = min(least[2 * node], least[2 * node + 1])


@njit(nogil=True, cache=True)
def square_to(x, y, z, boxes, node):
    """Squared distance from a point to a node's box."""
    zero = boxes.dtype.type(0)
    dx = max(boxes[node, 0] - x, x - boxes[node, 3], zero)
    dy = max(boxes[node, 1] - y, y - boxes[node, 4], zero)
    dz = max(boxes[node, 2] - z, z - boxes[node, 5], zero)
    return dx * dx + dy * dy + dz * dz


@njit(nogil=True, cache=True)
def scan(x, y, z, points, limit, found):
    """Fill `found` with the first indices in reach; how many there are, or -1 when the tree is the quicker way."""
    n, k, count = points.shape[0], found.shape[0], 0
    squares = np.empty(LEAF, points.dtype)
    for start in range(0, n, LEAF):
        if start % PIECE == 0 and start > 0:
            ahead, under = k * (start / max(count, 1)), WALK * (n * (count / start))
            if ahead > under:
                return -1
        many = min(LEAF, n - start)
        near = points[start : start + many]
        for j in range(many):
            dx, dy, dz = x - near[j, 0], y - near[j, 1], z - near[j, 2]
            squares[j] = dx * dx + dy * dy + dz * dz
        for j in range(many):
            if squares[j] <= limit and squares[j] < np.inf:
                found[count] = start + j
                count += 1
                if count == k:
                    return count
    return count


@njit(nogil=True, cache=True)
def walk(x, y, z, n, order, sites, boxes, least, limit, k, found, stack):
    """Fill `found`, which has room for more than k, with the lowest indices in reach, sorted; how many there are."""
    squares = np.empty(LEAF, sites.dtype)
    bar, count = n, 0  # no index from `bar` on is wanted
    stack[0, 0], stack[0, 1], stack[0, 2] = 1, 0, order.shape[0] // LEAF
    top = 1
    while top > 0:
        top -= 1
        node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
        if least[node] >= bar or not square_to(x, y, z, boxes, node) <= limit:
            continue
        if last - first > 1:
            half = (first + last) // 2
            # The child with the least index is met first, as that lowers the bar soonest: it lies on top.
            left, right = (top, top + 1) if least[2 * node + 1] < least[2 * node] else (top + 1, top)
            stack[left, 0], stack[left, 1], stack[left, 2] = 2 * node, first, half
            stack[right, 0], stack[right, 1], stack[right, 2] = 2 * node + 1, half, last
            top += 2
            continue
        start = first * LEAF
        near = sites[3 * start : 3 * start + 3 * LEAF]
        for j in range(LEAF):
            dx, dy, dz = x - near[3 * j], y - near[3 * j + 1], z - near[3 * j + 2]
            squares[j] = dx * dx + dy * dy + dz * dz
        for j in range(min(LEAF, n - start)):
            if squares[j] <= limit and squares[j] < np.inf and order[start + j] < bar:
                found[count] = order[start + j]
                count += 1
                if count == found.shape[0]:
                    found.sort()
                    count, bar = k, found[k - 1]
    found[:count].sort()
    return min(k, count)


@njit(nogil=True, cache=True)
def collect(lo, hi, queries, query_splits, forest, least, limit, indices):
    """Queries `lo..hi-1` collect the lowest indices at most sqrt(limit) away."""
    points, splits, leaf_splits, node_splits, order, sites, boxes = forest
    k = indices.shape[1]
    few, many = np.empty(k, np.int32), np.empty(k + max(k, 64), np.int32)
    stack = np.empty((64, 3), np.int64)
    s = 0  # the loop finds the cloud of `lo`: numba compiles it sooner than searchsorted
    for q in range(lo, hi):
        while q >= query_splits[s + 1]:
            s += 1
        indices[q] = -1
        n = splits[s + 1] - splits[s]
        x, y, z = queries[q, 0], queries[q, 1], queries[q, 2]
        if n == 0 or not (math.isfinite(x) and math.isfinite(y) and math.isfinite(z)):
            continue
        count = scan(x, y, z, points[splits[s] : splits[s + 1]], limit, few)
        for j in range(count):
            indices[q, j] = few[j]
        if count < 0:
            a, b, c, d = leaf_splits[s] * LEAF, leaf_splits[s + 1] * LEAF, node_splits[s], node_splits[s + 1]
            count = walk(x, y, z, n, order[a:b], sites[3 * a : 3 * b], boxes[c:d], least[c:d], limit, k, many, stack)
            for j in range(count):
                indices[q, j] = many[j]
