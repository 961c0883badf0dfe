"""Nearest points on the CPU: packets of queries that walk a k-d tree of points together.

Both clouds are cut into leaves of LEAF neighbours. A leaf of queries is a packet: it walks the tree of points once, and
meets each leaf in reach with its queries in the SIMD lanes. Bounds round as distances do, so nothing nearer, and
nothing as near with a lower index, is cut off: the result is the reference's, whatever the clouds look like.

Clouds come as a disjoint union: rows `splits[s] .. splits[s + 1] - 1` are cloud s. Its tree has `ceil(n / LEAF)` leaves
from `leaf_splits[s]` on; leaf i holds slots `i LEAF .. i LEAF + LEAF - 1` of `order` (indices in the cloud) and `sites`
(coordinates, flat), and the last leaf repeats its last point. Node 1 is the root, the children of node i are 2 i and
2 i + 1, and row `node_splits[s] + i` of `boxes` holds low x y z and high x y z of node i.
"""

import math

import numpy as np
from numba import njit

LEAF = 16
HALF = 8
"""Points a packet meets at a time: LLVM unrolls a loop of 8 and then fills the lanes; it does neither for 16."""

NAME = np.uint64(0xFFFFFFFF)
"""The lower half of a packed point is its index, the upper half its key."""


@njit(nogil=True, cache=True)
def median(a, b, c):
    return max(min(a, b), min(max(a, b), c))


@njit(nogil=True, cache=True)
def select(packed, lo, hi, middle):
    """Permute `lo..hi-1` until nothing before `middle` exceeds anything after; all are different.

    Quickselect with Lomuto's partition, which needs no branch: mispredicted ones would cost more than its swaps.
    """
    while hi - lo > 1:
        step = (hi - lo) // 9
        if step > 2:
            m = lo + step // 2
            pivot = median(
                median(packed[m], packed[m + step], packed[m + 2 * step]),
                median(packed[m + 3 * step], packed[m + 4 * step], packed[m + 5 * step]),
                median(packed[m + 6 * step], packed[m + 7 * step], packed[m + 8 * step]),
            )
        else:
            pivot = median(packed[lo], packed[(lo + hi) // 2], packed[hi - 1])
        j = lo
        for i in range(lo, hi):
            key = packed[i]
            packed[i] = packed[j]
            packed[j] = key
            j += np.int64(key < pivot)
        if middle < j:
            hi = j
        elif j > lo:
            lo = j
        else:  # the pivot is the least of them
            for i in range(lo, hi):
                if packed[i] == pivot:
                    packed[i] = packed[lo]
            packed[lo] = pivot
            if middle == lo:
                return
            lo += 1


@njit(nogil=True, cache=True)
def plant(cloud, order, sites, boxes):
    """Build the tree of one cloud. A point that is not finite is moved to infinity, where nothing finds it."""
    n, leaves = cloud.shape[0], order.shape[0] // LEAF
    kind = sites.dtype.type
    cloud = cloud.copy()
    packed = np.empty(n, np.uint64)
    keys = np.empty(n, np.float32)  # they decide where a tree is cut, so their rounding costs nothing
    bits = keys.view(np.uint32)
    stack = np.empty((64, 3), np.int64)
    inner = np.empty(leaves, np.int64)
    region = np.empty((boxes.shape[0], 6), cloud.dtype)
    region[1, :3] = np.inf
    region[1, 3:] = -np.inf
    for i in range(n):
        packed[i] = i
        if not (math.isfinite(cloud[i, 0]) and math.isfinite(cloud[i, 1]) and math.isfinite(cloud[i, 2])):
            cloud[i] = np.inf
            continue
        for axis in range(3):
            region[1, axis] = min(region[1, axis], cloud[i, axis])
            region[1, 3 + axis] = max(region[1, 3 + axis], cloud[i, axis])

    stack[0, 0], stack[0, 1], stack[0, 2] = 1, 0, leaves
    top, visited = 1, 0
    while top > 0:
        top -= 1
        node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
        start, end = first * LEAF, min(last * LEAF, n)
        if last - first == 1:
            x0 = y0 = z0 = kind(np.inf)
            x1 = y1 = z1 = kind(-np.inf)
            for i in range(start, end):
                name = packed[i] & NAME
                x, y, z = cloud[name, 0], cloud[name, 1], cloud[name, 2]
                x0, y0, z0, x1, y1, z1 = min(x0, x), min(y0, y), min(z0, z), max(x1, x), max(y1, y), max(z1, z)
                order[i] = name
                sites[3 * i], sites[3 * i + 1], sites[3 * i + 2] = x, y, z
            boxes[node, 0], boxes[node, 1], boxes[node, 2] = x0, y0, z0
            boxes[node, 3], boxes[node, 4], boxes[node, 5] = x1, y1, z1
            continue
        inner[visited] = node
        visited += 1
        axis = 0
        for c in range(1, 3):
            if region[node, 3 + c] - region[node, c] > region[node, 3 + axis] - region[node, axis]:
                axis = c
        half = (first + last) // 2
        middle = half * LEAF
        for i in range(start, end):
            keys[i] = cloud[packed[i] & NAME, axis]
        for i in range(start, end):
            # Bits that sort as the numbers do: all of a negative one are turned, of a positive one the sign's only.
            b = bits[i] ^ (np.uint32(np.int32(bits[i]) >> 31) | np.uint32(0x80000000))
            packed[i] = (np.uint64(b) << np.uint64(32)) | (packed[i] & NAME)
        select(packed, start, end, middle)
        for c in range(6):  # not row to row, whose check of shapes takes numba seconds to compile
            region[2 * node, c] = region[2 * node + 1, c] = region[node, c]
        region[2 * node, 3 + axis] = region[2 * node + 1, axis] = cloud[packed[middle] & NAME, axis]
        stack[top, 0], stack[top, 1], stack[top, 2] = 2 * node, first, half
        stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2] = 2 * node + 1, half, last
        top += 2

    for node in inner[:visited][::-1]:  # children come after their parent
        for c in range(3):
            boxes[node, c] = min(boxes[2 * node, c], boxes[2 * node + 1, c])
            boxes[node, 3 + c] = max(boxes[2 * node, 3 + c], boxes[2 * node + 1, 3 + c])
    for i in range(n, order.shape[0]):
        order[i] = order[n - 1]
        for c in range(3):
            sites[3 * i + c] = sites[3 * (n - 1) + c]


@njit(nogil=True, cache=True)
def plant_cloud(s, clouds, splits, leaf_splits, node_splits, order, sites, boxes):
    if splits[s] < splits[s + 1]:
        first, last = leaf_splits[s] * LEAF, leaf_splits[s + 1] * LEAF
        plant(
            clouds[splits[s] : splits[s + 1]],
            order[first:last],
            sites[3 * first : 3 * last],
            boxes[node_splits[s] : node_splits[s + 1]],
        )


@njit(nogil=True, cache=True)
def plant_each(lo, hi, a):
    """Build trees `lo..hi-1` of the clouds `a`."""
    for s in range(lo, hi):
        plant_cloud(s, a[0], a[1], a[2], a[3], a[4], a[5], a[6])


@njit(nogil=True, cache=True)
def plant_both(lo, hi, a, b):
    """Build trees `lo..hi-1`: those of the clouds `a` first, then those of `b`."""
    count = a[1].shape[0] - 1
    for item in range(lo, hi):
        if item < count:
            plant_cloud(item, a[0], a[1], a[2], a[3], a[4], a[5], a[6])
        else:
            plant_cloud(item - count, b[0], b[1], b[2], b[3], b[4], b[5], b[6])


@njit(nogil=True, cache=True)
def meet(lanes, slots, sites, order, start):
    """Let a packet meet HALF points from `start`. `lanes` holds x, y, z and the least squared distance so far."""
    near, names = sites[3 * start : 3 * start + 3 * HALF], order[start : start + HALF]
    for lane in range(LEAF):
        x, y, z = lanes[lane], lanes[LEAF + lane], lanes[2 * LEAF + lane]
        best, slot = lanes[3 * LEAF + lane], slots[lane]
        for j in range(HALF):
            dx, dy, dz = x - near[3 * j], y - near[3 * j + 1], z - near[3 * j + 2]
            d = dx * dx + dy * dy + dz * dz
            i = names[j]
            closer = (d < best) | ((d == best) & (i < slot))
            best = d if closer else best
            slot = i if closer else slot
        lanes[3 * LEAF + lane] = best
        slots[lane] = slot


@njit(nogil=True, cache=True)
def meet_several(lanes, distances, names, sites, order, start, end):
    """Let a packet meet points `start..end-1`, and keep each query's nearest sorted by (distance, index)."""
    k = names.shape[1]
    for lane in range(LEAF):
        x, y, z = lanes[lane], lanes[LEAF + lane], lanes[2 * LEAF + lane]
        for j in range(start, end):
            dx, dy, dz = x - sites[3 * j], y - sites[3 * j + 1], z - sites[3 * j + 2]
            d = dx * dx + dy * dy + dz * dz
            i = order[j]
            if d < lanes[3 * LEAF + lane] or (d == lanes[3 * LEAF + lane] and i < names[lane, k - 1]):
                at = k - 1
                while at > 0 and (
                    distances[lane, at - 1] > d or (distances[lane, at - 1] == d and names[lane, at - 1] > i)
                ):
                    distances[lane, at] = distances[lane, at - 1]
                    names[lane, at] = names[lane, at - 1]
                    at -= 1
                distances[lane, at] = d
                names[lane, at] = i
                lanes[3 * LEAF + lane] = distances[lane, k - 1]


@njit(nogil=True, cache=True)
def in_reach(lanes, boxes, node):
    """Whether any query of the packet could find something as near as its best in the node's box."""
    x0, y0, z0 = boxes[node, 0], boxes[node, 1], boxes[node, 2]
    x1, y1, z1 = boxes[node, 3], boxes[node, 4], boxes[node, 5]
    zero = lanes.dtype.type(0)
    count = np.int32(0)
    for lane in range(LEAF):
        x, y, z = lanes[lane], lanes[LEAF + lane], lanes[2 * LEAF + lane]
        dx, dy, dz = max(x0 - x, x - x1), max(y0 - y, y - y1), max(z0 - z, z - z1)
        dx, dy, dz = max(dx, zero), max(dy, zero), max(dz, zero)
        count += np.int32(dx * dx + dy * dy + dz * dz <= lanes[3 * LEAF + lane])
    return count > 0


@njit(nogil=True, cache=True)
def gap(low, high, a, b, zero):
    """Distance along an axis between the intervals `low..high` and `a..b`, 0 where they overlap."""
    return max(a - high, low - b, zero)


@njit(nogil=True, cache=True)
def apart(x0, y0, z0, x1, y1, z1, boxes, node):
    """Squared distance between a box and a node's, and between their centres (four times that)."""
    zero = boxes.dtype.type(0)
    dx = gap(x0, x1, boxes[node, 0], boxes[node, 3], zero)
    dy = gap(y0, y1, boxes[node, 1], boxes[node, 4], zero)
    dz = gap(z0, z1, boxes[node, 2], boxes[node, 5], zero)
    cx = boxes[node, 0] + boxes[node, 3] - x0 - x1
    cy = boxes[node, 1] + boxes[node, 4] - y0 - y1
    cz = boxes[node, 2] + boxes[node, 5] - z0 - z1
    return dx * dx + dy * dy + dz * dz, cx * cx + cy * cy + cz * cz


@njit(nogil=True, cache=True)
def walk(lo, hi, queries, points, indices):
    """Packets `lo..hi-1` of all clouds look for their nearest points; what is not there has index -1."""
    _, query_splits, packet_splits, _, query_order, query_sites, _ = queries
    _, point_splits, leaf_splits, node_splits, point_order, point_sites, point_boxes = points
    k = indices.shape[1]
    kind = query_sites.dtype.type
    lanes = np.empty(4 * LEAF, query_sites.dtype)
    slots = np.empty(LEAF, np.int32)
    distances = np.empty((LEAF, k), query_sites.dtype)
    names = np.empty((LEAF, k), np.int32)
    stack = np.empty((64, 3), np.int64)
    bounds = np.empty(64, query_sites.dtype)
    s = 0  # the loop finds the cloud of `lo`: numba compiles it sooner than searchsorted
    for packet in range(lo, hi):
        while packet >= packet_splits[s + 1]:
            s += 1
        leaves, m = leaf_splits[s + 1] - leaf_splits[s], point_splits[s + 1] - point_splits[s]
        order, sites = point_order[leaf_splits[s] * LEAF :], point_sites[3 * leaf_splits[s] * LEAF :]
        boxes = point_boxes[node_splits[s] :]
        x0 = y0 = z0 = kind(np.inf)
        x1 = y1 = z1 = kind(-np.inf)
        for lane in range(LEAF):
            at = 3 * (packet * LEAF + lane)
            x, y, z = query_sites[at], query_sites[at + 1], query_sites[at + 2]
            x0, y0, z0, x1, y1, z1 = min(x0, x), min(y0, y), min(z0, z), max(x1, x), max(y1, y), max(z1, z)
            lanes[lane], lanes[LEAF + lane], lanes[2 * LEAF + lane] = x, y, z
            lanes[3 * LEAF + lane] = np.inf if x < np.inf else -1  # a query that is not finite reaches nothing
        slots[:] = 0
        distances[:] = np.inf
        names[:] = -1
        worst = kind(np.inf)
        stack[0, 0], stack[0, 1], stack[0, 2] = 1, 0, leaves
        bounds[0] = 0
        top = np.int64(m > 0)
        while top > 0:
            top -= 1
            if not bounds[top] <= worst:
                continue
            node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
            if last - first == 1:
                if in_reach(lanes, boxes, node):
                    if k == 1:
                        meet(lanes, slots, sites, order, first * LEAF)
                        meet(lanes, slots, sites, order, first * LEAF + HALF)
                    else:
                        end = min(last * LEAF, m)
                        meet_several(lanes, distances, names, sites, order, first * LEAF, end)
                    worst = lanes[3 * LEAF]
                    for lane in range(1, LEAF):
                        worst = max(worst, lanes[3 * LEAF + lane])
                continue
            half = (first + last) // 2
            left_bound, left_center = apart(x0, y0, z0, x1, y1, z1, boxes, 2 * node)
            right_bound, right_center = apart(x0, y0, z0, x1, y1, z1, boxes, 2 * node + 1)
            # The child whose centre is nearer to the packet's is met first: it lies on top of the stack.
            left, right = (top, top + 1) if right_center < left_center else (top + 1, top)
            bounds[left], bounds[right] = left_bound, right_bound
            stack[left, 0], stack[left, 1], stack[left, 2] = 2 * node, first, half
            stack[right, 0], stack[right, 1], stack[right, 2] = 2 * node + 1, half, last
            top += 2
        first = (packet - packet_splits[s]) * LEAF
        for lane in range(min(LEAF, query_splits[s + 1] - query_splits[s] - first)):
            row = indices[query_splits[s] + query_order[packet * LEAF + lane]]
            if m == 0:
                row[:] = -1
            elif k == 1:
                row[0] = slots[lane]
            else:
                fill(row, names[lane], m)


@njit(nogil=True, cache=True)
def walk_both(lo, hi, a, b, b_of_a, a_of_b):
    """Packets `lo..hi-1` of `a` and then of `b` look for their nearest points among the other's."""
    count = a[2][-1]
    if lo < count:
        walk(lo, min(hi, count), a, b, b_of_a)
    if hi > count:
        walk(max(lo, count) - count, hi - count, b, a, a_of_b)


@njit(nogil=True, cache=True)
def fill(row, names, m):
    """Copy the neighbours found; the rest of the m points follow in the order of their indices, then -1."""
    spare = 0
    for i in range(len(row)):
        row[i] = names[i]
        while row[i] < 0 and spare < m:
            taken = False
            for j in range(i):
                taken |= row[j] == spare
            if not taken:
                row[i] = spare
            spare += 1
