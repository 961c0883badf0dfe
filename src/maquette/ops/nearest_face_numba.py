"""Nearest faces of points, and nearest points of faces, on the CPU: packets of points meet one face at a time.

A face is a row of `nearest_face.rows_of`. Both searches walk a tree of boxes (`tree_numba`) with bounds that round as
distances do, so nothing nearer, and nothing as near with a lower index, is cut off: the result is the reference's.
"""

import numpy as np
from numba import njit

DEPTH = 64
"""Room on a search's stack: as in `tree_numba`."""
LANES = 8
"""Points of a packet, and of a leaf in a tree of points."""
FACES = 4
"""Faces of a leaf."""
SHRINK = 1 - 2.0**-40
"""As in the reference."""


@njit(nogil=True, cache=True)
def measure(lanes, row, out):
    """Squared distances from a packet (x, y, z of all lanes) to a face: see `squared_distances` of the reference."""
    ax, ay, az, bx, by, bz, cx, cy, cz = row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8]
    abx, aby, abz, acx, acy, acz = row[9], row[10], row[11], row[12], row[13], row[14]
    bcx, bcy, bcz = row[15], row[16], row[17]
    ux, uy, uz, vx, vy, vz, wx, wy, wz = (
        row[18],
        row[19],
        row[20],
        row[21],
        row[22],
        row[23],
        row[24],
        row[25],
        row[26],
    )
    nx, ny, nz, over_ab, over_ac, over_bc = row[27], row[28], row[29], row[30], row[31], row[32]
    x0, y0, z0, x1, y1, z1 = row[33], row[34], row[35], row[36], row[37], row[38]
    for i in range(LANES):
        x, y, z = lanes[i], lanes[LANES + i], lanes[2 * LANES + i]
        apx, apy, apz = x - ax, y - ay, z - az
        bpx, bpy, bpz = x - bx, y - by, z - bz
        cpx, cpy, cpz = x - cx, y - cy, z - cz
        best = apx * apx + apy * apy + apz * apz
        d = bpx * bpx + bpy * bpy + bpz * bpz
        best = d if d < best else best
        d = cpx * cpx + cpy * cpy + cpz * cpz
        best = d if d < best else best
        t = (apx * abx + apy * aby + apz * abz) * over_ab
        rx, ry, rz = apx - t * abx, apy - t * aby, apz - t * abz
        d = rx * rx + ry * ry + rz * rz
        best = d if (t > 0) & (t < 1) & (d < best) else best
        t = (apx * acx + apy * acy + apz * acz) * over_ac
        rx, ry, rz = apx - t * acx, apy - t * acy, apz - t * acz
        d = rx * rx + ry * ry + rz * rz
        best = d if (t > 0) & (t < 1) & (d < best) else best
        t = (bpx * bcx + bpy * bcy + bpz * bcz) * over_bc
        rx, ry, rz = bpx - t * bcx, bpy - t * bcy, bpz - t * bcz
        d = rx * rx + ry * ry + rz * rz
        best = d if (t > 0) & (t < 1) & (d < best) else best
        u = apx * ux + apy * uy + apz * uz
        v = apx * vx + apy * vy + apz * vz
        w = bpx * wx + bpy * wy + bpz * wz
        height = apx * nx + apy * ny + apz * nz
        d = height * height
        best = d if (u > 0) & (v > 0) & (w > 0) & (d < best) else best
        dx, dy, dz = max(x0 - x, x - x1), max(y0 - y, y - y1), max(z0 - z, z - z1)
        dx, dy, dz = max(dx, 0.0), max(dy, 0.0), max(dz, 0.0)
        d = (dx * dx + dy * dy + dz * dz) * SHRINK
        out[i] = d if d > best else best


@njit(nogil=True, cache=True)
def gap(low, high, a, b):
    """Distance along an axis between the intervals `low..high` and `a..b`, 0 where they overlap."""
    return max(a - high, low - b, 0.0)


@njit(nogil=True, cache=True)
def apart(box, nodes, node):
    """Squared distance between a box and a node's, and between their centres (four times that)."""
    dx = gap(box[0], box[3], nodes[node, 0], nodes[node, 3])
    dy = gap(box[1], box[4], nodes[node, 1], nodes[node, 4])
    dz = gap(box[2], box[5], nodes[node, 2], nodes[node, 5])
    cx = nodes[node, 0] + nodes[node, 3] - box[0] - box[3]
    cy = nodes[node, 1] + nodes[node, 4] - box[1] - box[4]
    cz = nodes[node, 2] + nodes[node, 5] - box[2] - box[5]
    return dx * dx + dy * dy + dz * dz, cx * cx + cy * cy + cz * cz


@njit(nogil=True, cache=True)
def in_reach(lanes, best, x0, y0, z0, x1, y1, z1):
    """Whether any point of the packet could find something as near as its best in the box."""
    count = 0
    for i in range(LANES):
        x, y, z = lanes[i], lanes[LANES + i], lanes[2 * LANES + i]
        dx, dy, dz = max(x0 - x, x - x1), max(y0 - y, y - y1), max(z0 - z, z - z1)
        dx, dy, dz = max(dx, 0.0), max(dy, 0.0), max(dz, 0.0)
        count += np.int64((dx * dx + dy * dy + dz * dz) * SHRINK <= best[i])
    return count > 0


@njit(nogil=True, cache=True)
def faces_of_points(lo, hi, points, point_order, rows, face_order, nodes, found):
    """Packets `lo..hi-1` of the flattened batch look for the nearest face of each of their points; -1 where none is."""
    n, faces = points.shape[1], rows.shape[1]
    packets, leaves = (n + LANES - 1) // LANES, (faces + FACES - 1) // FACES
    lanes, best, near = np.empty(3 * LANES), np.empty(LANES), np.empty(LANES)
    slots = np.empty(LANES, np.int64)
    box = np.empty(6)
    stack = np.empty((DEPTH, 3), np.int64)
    bounds = np.empty(DEPTH)
    for item in range(lo, hi):
        b = item // packets
        start = (item - b * packets) * LANES
        box[:3] = np.inf
        box[3:] = -np.inf
        for i in range(LANES):
            p = points[b, point_order[b, min(start + i, n - 1)]]
            lanes[i], lanes[LANES + i], lanes[2 * LANES + i] = p[0], p[1], p[2]
            if np.isfinite(lanes[i]) and np.isfinite(lanes[LANES + i]) and np.isfinite(lanes[2 * LANES + i]):
                best[i] = np.inf
                for c in range(3):
                    box[c], box[3 + c] = min(box[c], lanes[c * LANES + i]), max(box[3 + c], lanes[c * LANES + i])
            else:
                best[i] = -1  # reaches nothing
        slots[:] = -1
        worst = np.inf
        stack[0, 0], stack[0, 1], stack[0, 2] = 1, 0, leaves
        bounds[0] = 0
        top = 1
        while top > 0:
            top -= 1
            if not bounds[top] <= worst:
                continue
            node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
            region = nodes[b, node]
            if not in_reach(lanes, best, region[0], region[1], region[2], region[3], region[4], region[5]):
                continue
            if last - first == 1:
                met = False
                for at in range(first * FACES, min(last * FACES, faces)):
                    f = face_order[b, at]
                    row = rows[b, f]
                    if in_reach(lanes, best, row[33], row[34], row[35], row[36], row[37], row[38]):
                        met = True
                        measure(lanes, row, near)
                        for i in range(LANES):
                            d, slot = near[i], slots[i]
                            closer = (d < best[i]) | ((d == best[i]) & (f < slot))
                            best[i] = d if closer else best[i]
                            slots[i] = f if closer else slot
                if met:
                    worst = best[0]
                    for i in range(1, LANES):
                        worst = max(worst, best[i])
                continue
            half = (first + last) // 2
            left_bound, left_center = apart(box, nodes[b], 2 * node)
            right_bound, right_center = apart(box, nodes[b], 2 * node + 1)
            # The child whose centre is nearer to the packet's is met first: it lies on top of the stack.
            left, right = (top, top + 1) if right_center < left_center else (top + 1, top)
            bounds[left], bounds[right] = left_bound * SHRINK, right_bound * SHRINK
            stack[left, 0], stack[left, 1], stack[left, 2] = 2 * node, first, half
            stack[right, 0], stack[right, 1], stack[right, 2] = 2 * node + 1, half, last
            top += 2
        for i in range(min(LANES, n - start)):
            found[b, point_order[b, start + i]] = slots[i]


@njit(nogil=True, cache=True)
def points_of_faces(lo, hi, rows, points, point_order, nodes, found):
    """Faces `lo..hi-1` of the flattened batch look for the nearest point of each; -1 where none is."""
    n, faces = points.shape[1], rows.shape[1]
    leaves = (n + LANES - 1) // LANES
    lanes, near = np.empty(3 * LANES), np.empty(LANES)
    stack = np.empty((DEPTH, 3), np.int64)
    bounds = np.empty(DEPTH)
    for item in range(lo, hi):
        b = item // faces
        row = rows[b, item - b * faces]
        box = row[33:39]
        best, slot = np.inf, -1
        stack[0, 0], stack[0, 1], stack[0, 2] = 1, 0, leaves
        bounds[0] = 0
        top = 1 if box[0] <= box[3] else 0  # a face that is not finite reaches nothing
        while top > 0:
            top -= 1
            if not bounds[top] <= best:
                continue
            node, first, last = stack[top, 0], stack[top, 1], stack[top, 2]
            if last - first == 1:
                for i in range(LANES):
                    p = points[b, point_order[b, min(first * LANES + i, n - 1)]]
                    lanes[i], lanes[LANES + i], lanes[2 * LANES + i] = p[0], p[1], p[2]
                measure(lanes, row, near)
                for i in range(min(LANES, n - first * LANES)):
                    name = point_order[b, first * LANES + i]
                    if near[i] < best or (near[i] == best and name < slot):
                        best, slot = near[i], name
                continue
            half = (first + last) // 2
            left_bound, left_center = apart(box, nodes[b], 2 * node)
            right_bound, right_center = apart(box, nodes[b], 2 * node + 1)
            left, right = (top, top + 1) if right_center < left_center else (top + 1, top)
            bounds[left], bounds[right] = left_bound * SHRINK, right_bound * SHRINK
            stack[left, 0], stack[left, 1], stack[left, 2] = 2 * node, first, half
            stack[right, 0], stack[right, 1], stack[right, 2] = 2 * node + 1, half, last
            top += 2
        found[b, item - b * faces] = slot
