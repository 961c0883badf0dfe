"""Changes of a triangle mesh in place: split, collapse and flip of edges, on half-edges.

Half-edge h = 3 f + k leaves corner k of face f: `org[h]` is where it starts, the next one in its face where it ends.
`twin[h]` runs the other way through the same edge, -1 on a boundary; `sharp[h]` marks edges that are features; `out[v]`
is some half-edge that leaves v, -1 for a vertex that is gone. A face that is gone has org -1.
"""

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def after(h):
    return h - 2 if h % 3 == 2 else h + 1


@njit(nogil=True, cache=True)
def before(h):
    return h + 2 if h % 3 == 0 else h - 1


@njit(nogil=True, cache=True)
def squared_length(points, a, b):
    x, y, z = points[a, 0] - points[b, 0], points[a, 1] - points[b, 1], points[a, 2] - points[b, 2]
    return x * x + y * y + z * z


@njit(nogil=True, cache=True)
def normal_of(p, q, r):
    """Twice the area vector of a triangle."""
    ux, uy, uz = q[0] - p[0], q[1] - p[1], q[2] - p[2]
    vx, vy, vz = r[0] - p[0], r[1] - p[1], r[2] - p[2]
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@njit(nogil=True, cache=True)
def link(twin, sharp, h, t):
    """Make h and t twins; either may be -1."""
    if h >= 0:
        twin[h] = t
    if t >= 0:
        twin[t] = h
    if h >= 0 and t >= 0:
        either = sharp[h] or sharp[t]
        sharp[h] = either
        sharp[t] = either


@njit(nogil=True, cache=True)
def around(org, twin, out, v, spokes):
    """The half-edges that leave v into `spokes`, and their number; -1 on a boundary, or where there are too many."""
    h, count = out[v], 0
    first = h
    while True:
        if count == len(spokes):
            return -1
        spokes[count] = h
        count += 1
        h = twin[before(h)]
        if h < 0:
            return -1
        if h == first:
            return count


@njit(nogil=True, cache=True)
def features_at(sharp, spokes, count):
    total = 0
    for i in range(count):
        total += sharp[spokes[i]]
    return total


@njit(nogil=True, cache=True)
def mark_sharp(org, twin, sharp, points, least):
    """Features: edges whose faces' normals have a cosine below `least`, boundaries."""
    for h in range(len(org)):
        sharp[h] = False
    for h in range(len(org)):
        if org[h] < 0:
            continue
        t = twin[h]
        if t < 0:
            sharp[h] = True
            continue
        if t < h:
            continue
        f, g = h - h % 3, t - t % 3
        ax, ay, az = normal_of(points[org[f]], points[org[f + 1]], points[org[f + 2]])
        bx, by, bz = normal_of(points[org[g]], points[org[g + 1]], points[org[g + 2]])
        lengths = math.sqrt((ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz))
        if ax * bx + ay * by + az * bz < least * lengths:
            sharp[h] = True
            sharp[t] = True


@njit(nogil=True, cache=True)
def split_long(org, twin, sharp, out, points, faces, vertices, longest):
    """Cut every edge above its longest length in two; `longest` is per vertex, the smaller end counts.

    Arrays have room for more; gives the new numbers of faces and vertices. Stops where the room ends.
    """
    h = 0
    while h < 3 * faces:
        a, n = org[h], after(h)
        b = org[n]
        limit = min(longest[a], longest[b])
        if squared_length(points, a, b) <= limit * limit:
            h += 1
            continue
        if faces + 2 > len(org) // 3 or vertices + 1 > len(points):
            return faces, vertices
        # Of the triangle's edges the longest goes first, so that no slivers are left.
        worst = h
        for other in (n, before(h)):
            if squared_length(points, org[other], org[after(other)]) > squared_length(
                points, org[worst], org[after(worst)]
            ):
                worst = other
        if worst != h:
            limit = min(longest[org[worst]], longest[org[after(worst)]])
            if squared_length(points, org[worst], org[after(worst)]) <= limit * limit:
                worst = h
        longest[vertices] = (longest[org[worst]] + longest[org[after(worst)]]) / 2
        split(org, twin, sharp, out, points, faces, vertices, worst)
        faces += 1 if twin[worst] < 0 else 2
        vertices += 1
    return faces, vertices


@njit(nogil=True, cache=True)
def split(org, twin, sharp, out, points, faces, m, h):
    """Vertex m in the middle of h: a -> b, face (a, b, c) becomes (a, m, c) and (m, b, c); on its other side, too."""
    t, hn, hp = twin[h], after(h), before(h)
    a, b, c = org[h], org[hn], org[hp]
    for k in range(3):
        points[m, k] = (points[a, k] + points[b, k]) / 2
    crease = sharp[h]
    e = 3 * faces
    old = twin[hn]
    bent = sharp[hn]
    org[hn] = m
    org[e], org[e + 1], org[e + 2] = m, b, c
    sharp[e], sharp[e + 1], sharp[e + 2] = crease, bent, False
    sharp[hn] = False
    twin[e] = -1
    link(twin, sharp, e + 1, old)
    link(twin, sharp, e + 2, hn)
    out[m], out[b], out[c], out[a] = hn, e + 1, hp, h
    if t < 0:
        return
    tp = before(t)
    d = org[tp]
    g = e + 3
    old = twin[tp]
    bent = sharp[tp]
    org[t] = m
    org[g], org[g + 1], org[g + 2] = b, m, d
    sharp[g], sharp[g + 1], sharp[g + 2] = crease, False, bent
    sharp[tp] = False
    link(twin, sharp, g + 2, old)
    link(twin, sharp, g + 1, tp)
    link(twin, sharp, g, e)
    out[d] = tp


@njit(nogil=True, cache=True)
def collapse_short(org, twin, sharp, out, points, faces, shortest, longest):
    """Merge the ends of every edge below its shortest length, where the mesh stays a manifold and keeps its features.

    Refused where an edge would become too long, where a face would turn over, and at boundaries.
    """
    here, there = np.empty(64, np.int64), np.empty(64, np.int64)
    done = 0
    for h in range(3 * faces):
        if org[h] < 0 or twin[h] < 0:
            continue
        a, b = org[h], org[after(h)]
        limit = max(shortest[a], shortest[b])
        if squared_length(points, a, b) >= limit * limit:
            continue
        count = around(org, twin, out, a, here)
        others = around(org, twin, out, b, there)
        if count < 0 or others < 0:
            continue
        sharp_a, sharp_b = features_at(sharp, here, count), features_at(sharp, there, others)
        # A crease shrinks along itself only; where creases meet or end, the vertex stays.
        if sharp_a != 0 and not (sharp_a == 2 and sharp[h]):
            continue
        if _collapse(org, twin, sharp, out, points, h, here, count, there, others, sharp_a == sharp_b, longest):
            done += 1
    return done


@njit(nogil=True, cache=True)
def _collapse(org, twin, sharp, out, points, h, here, count, there, others, middle, longest):
    t = twin[h]
    hn, hp, tn, tp = after(h), before(h), after(t), before(t)
    a, b, c, d = org[h], org[hn], org[hp], org[tp]
    outer = (twin[hn], twin[hp], twin[tn], twin[tp])
    if c == d or outer[0] < 0 or outer[1] < 0 or outer[2] < 0 or outer[3] < 0:
        return False
    common = 0
    for i in range(count):
        end = org[after(here[i])]
        for j in range(others):
            common += org[after(there[j])] == end
    if common != 2:  # the link condition: the ends share c and d alone
        return False
    room = np.empty(64, np.int64)
    if around(org, twin, out, c, room) < 4 or around(org, twin, out, d, room) < 4:
        return False
    place = np.empty(3)
    for k in range(3):
        place[k] = (points[a, k] + points[b, k]) / 2 if middle else points[b, k]
    if not _stays_good(org, points, here, count, a, b, place, longest):
        return False
    if not _stays_good(org, points, there, others, b, a, place, longest):
        return False
    for i in range(count):
        org[here[i]] = b
    for k in range(3):
        points[b, k] = place[k]
        org[h - h % 3 + k] = -1
        org[t - t % 3 + k] = -1
    link(twin, sharp, outer[0], outer[1])
    link(twin, sharp, outer[2], outer[3])
    out[a], out[b], out[c], out[d] = -1, outer[1], outer[0], outer[2]
    return True


@njit(nogil=True, cache=True)
def _stays_good(org, points, spokes, count, v, other, place, longest):
    """Whether the faces at v, but for those it shares with `other`, keep their side when v goes to `place`."""
    for i in range(count):
        q, r = org[after(spokes[i])], org[before(spokes[i])]
        for end in (q, r):
            if end != other:
                reach = 0.0
                for k in range(3):
                    reach += (points[end, k] - place[k]) ** 2
                if reach > min(longest[end], longest[v]) ** 2:
                    return False
        if q == other or r == other:
            continue
        ax, ay, az = normal_of(points[v], points[q], points[r])
        bx, by, bz = normal_of(place, points[q], points[r])
        lengths = math.sqrt((ax * ax + ay * ay + az * az) * (bx * bx + by * by + bz * bz))
        if ax * bx + ay * by + az * bz <= 0.3 * lengths:
            return False
    return True


@njit(nogil=True, cache=True)
def flip_uneven(org, twin, sharp, out, points, faces):
    """Turn the edges in their quads where that brings valences nearer to 6; gives the number of flips."""
    room, more, done = np.empty(64, np.int64), np.empty(64, np.int64), 0
    for h in range(3 * faces):
        if org[h] < 0 or twin[h] < h or sharp[h]:
            continue
        t = twin[h]
        a, b, c, d = org[h], org[after(h)], org[before(h)], org[before(t)]
        va, vb = around(org, twin, out, a, room), around(org, twin, out, b, room)
        vd, vc = around(org, twin, out, d, room), around(org, twin, out, c, more)
        if c == d or va < 4 or vb < 4 or vc < 0 or vd < 0 or vc > 62 or vd > 62:
            continue
        gain = (va - 6) ** 2 + (vb - 6) ** 2 + (vc - 6) ** 2 + (vd - 6) ** 2
        gain -= (va - 7) ** 2 + (vb - 7) ** 2 + (vc - 5) ** 2 + (vd - 5) ** 2
        if gain <= 0:
            continue
        met = False
        for i in range(vc):
            met |= org[after(more[i])] == d
        if met or not _flat(points, a, b, c, d):
            continue
        flip(org, twin, sharp, out, h)
        done += 1
    return done


@njit(nogil=True, cache=True)
def _flat(points, a, b, c, d):
    """Whether faces (a, d, c) and (b, c, d) look the way that (a, b, c) and (b, a, d) do."""
    px, py, pz = normal_of(points[a], points[b], points[c])
    qx, qy, qz = normal_of(points[b], points[a], points[d])
    sx, sy, sz = px + qx, py + qy, pz + qz
    size = math.sqrt(sx * sx + sy * sy + sz * sz)
    ux, uy, uz = normal_of(points[a], points[d], points[c])
    vx, vy, vz = normal_of(points[b], points[c], points[d])
    u, v = math.sqrt(ux * ux + uy * uy + uz * uz), math.sqrt(vx * vx + vy * vy + vz * vz)
    return (
        size > 0
        and u > 1e-3 * size
        and v > 1e-3 * size
        and sx * ux + sy * uy + sz * uz > 0.7 * size * u
        and sx * vx + sy * vy + sz * vz > 0.7 * size * v
    )


@njit(nogil=True, cache=True)
def flip(org, twin, sharp, out, h):
    """Edge a - b of faces (a, b, c) and (b, a, d) becomes c - d, of faces (d, c, a) and (c, d, b)."""
    t = twin[h]
    hn, hp, tn, tp = after(h), before(h), after(t), before(t)
    a, b, c, d = org[h], org[hn], org[hp], org[tp]
    bc, ca, ad, db = twin[hn], twin[hp], twin[tn], twin[tp]
    s_bc, s_ca, s_ad, s_db = sharp[hn], sharp[hp], sharp[tn], sharp[tp]
    org[h], org[hn], org[hp] = d, c, a
    org[t], org[tn], org[tp] = c, d, b
    sharp[hn], sharp[hp], sharp[tn], sharp[tp] = s_ca, s_ad, s_db, s_bc
    link(twin, sharp, hn, ca)
    link(twin, sharp, hp, ad)
    link(twin, sharp, tn, db)
    link(twin, sharp, tp, bc)
    out[a], out[b], out[c], out[d] = hp, tp, hn, tn


@njit(nogil=True, cache=True)
def relax(org, twin, sharp, out, points, vertices, pull):
    """Every smooth vertex towards the mean of its neighbours, within its tangent plane (Botsch & Kobbelt 2004)."""
    spokes, moved = np.empty(64, np.int64), points[:vertices].copy()
    for v in range(vertices):
        if out[v] < 0:
            continue
        count = around(org, twin, out, v, spokes)
        if count < 3 or features_at(sharp, spokes, count):
            continue
        mx, my, mz, nx, ny, nz = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
        for i in range(count):
            q, r = org[after(spokes[i])], org[before(spokes[i])]
            mx += points[q, 0] / count
            my += points[q, 1] / count
            mz += points[q, 2] / count
            x, y, z = normal_of(points[v], points[q], points[r])
            nx += x
            ny += y
            nz += z
        size = nx * nx + ny * ny + nz * nz
        dx, dy, dz = mx - points[v, 0], my - points[v, 1], mz - points[v, 2]
        along = (dx * nx + dy * ny + dz * nz) / size if size > 0 else 0.0
        moved[v, 0] += pull * (dx - along * nx)
        moved[v, 1] += pull * (dy - along * ny)
        moved[v, 2] += pull * (dz - along * nz)
    for v in range(vertices):  # not rows to rows, whose check of shapes takes numba seconds to compile
        points[v, 0], points[v, 1], points[v, 2] = moved[v, 0], moved[v, 1], moved[v, 2]
