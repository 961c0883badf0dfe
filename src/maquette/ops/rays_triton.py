"""Rays against faces on a GPU: every ray meets every face of the mesh, a tile at a time.

Rays that run mainly along one axis go together, with that axis turned to be the last: the shear of `meet` is then the
same for all. Values round as the reference's, so ties are the same.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.rays import SLACK

RAYS, FACES = 32, 32
"""Pairs of a program's step; powers of two."""
LAST = 0x7FFFFFFFFFFFFFFF
"""Larger than any index."""


@triton.jit
def _stretch(low, high, over, slack, first, last):
    """The stretch first..last of the ray, cut to where it lies between two planes across an axis; empty if beside."""
    low, high = low - slack, high + slack
    s, t = low * over, high * over
    moves = over != 0
    beside = (moves == 0) & ((low > 0) | (high < 0))
    first = tl.where(moves, tl.maximum(first, tl.minimum(s, t)), first)
    last = tl.where(moves, tl.minimum(last, tl.maximum(s, t)), last)
    return tl.where(beside, float("inf"), first), tl.where(beside, -float("inf"), last)


@triton.jit
def _least(a, b, c):
    return tl.minimum(tl.minimum(a, b), c)


@triton.jit
def _most(a, b, c):
    return tl.maximum(tl.maximum(a, b), c)


@triton.jit
def _hits_kernel(
    rays, corners, found, count, faces,
    RAYS: tl.constexpr, FACES: tl.constexpr, SLACK: tl.constexpr, LAST: tl.constexpr,
):  # fmt: skip
    ray = tl.program_id(0).to(tl.int64) * RAYS + tl.arange(0, RAYS)
    here = (ray < count)[:, None]
    column = rays + ray[:, None]
    ox, oy = tl.load(column, here, 0.0), tl.load(column + count, here, 0.0)
    oz, over_x = tl.load(column + 2 * count, here, 0.0), tl.load(column + 3 * count, here, 0.0)
    over_y, over_z = tl.load(column + 4 * count, here, 0.0), tl.load(column + 5 * count, here, 0.0)
    shear_x, shear_y = tl.load(column + 6 * count, here, 0.0), tl.load(column + 7 * count, here, 0.0)
    scale = tl.load(column + 8 * count, here, 0.0)
    best = tl.full((RAYS,), float("inf"), tl.float64)
    best_index = tl.full((RAYS,), LAST, tl.int64)
    for start in range(0, faces, FACES):
        index = start + tl.arange(0, FACES)
        there = (index < faces)[None]
        face = corners + index[None]
        ax, ay = tl.load(face, there, 0.0) - ox, tl.load(face + faces, there, 0.0) - oy
        az, bx = tl.load(face + 2 * faces, there, 0.0) - oz, tl.load(face + 3 * faces, there, 0.0) - ox
        by, bz = tl.load(face + 4 * faces, there, 0.0) - oy, tl.load(face + 5 * faces, there, 0.0) - oz
        cx, cy = tl.load(face + 6 * faces, there, 0.0) - ox, tl.load(face + 7 * faces, there, 0.0) - oy
        cz = tl.load(face + 8 * faces, there, 0.0) - oz

        # The box: subtraction keeps the order, so its planes are the least and greatest of the corners'.
        x0, x1, y0, y1 = _least(ax, bx, cx), _most(ax, bx, cx), _least(ay, by, cy), _most(ay, by, cy)
        z0, z1 = _least(az, bz, cz), _most(az, bz, cz)
        reach = _most(tl.maximum(tl.abs(x0), tl.abs(x1)), tl.maximum(tl.abs(y0), tl.abs(y1)), tl.abs(z0))
        slack = SLACK * tl.maximum(reach, tl.abs(z1))
        first, last = tl.zeros_like(slack), tl.full((RAYS, FACES), float("inf"), tl.float64)
        first, last = _stretch(x0, x1, over_x, slack, first, last)
        first, last = _stretch(y0, y1, over_y, slack, first, last)
        first, last = _stretch(z0, z1, over_z, slack, first, last)

        ax, ay, bx, by = ax - shear_x * az, ay - shear_y * az, bx - shear_x * bz, by - shear_y * bz
        cx, cy = cx - shear_x * cz, cy - shear_y * cz
        u, v, w = cx * by - cy * bx, ax * cy - ay * cx, bx * ay - by * ax
        area = u + v + w
        hit = ((u >= 0) & (v >= 0) & (w >= 0)) | ((u <= 0) & (v <= 0) & (w <= 0))
        hit = hit & (area != 0) & (tl.abs(area) < float("inf")) & there
        t = (u * (az * scale) + v * (bz * scale) + w * (cz * scale)) / tl.where(hit, area, 1.0)
        t = tl.where(hit & (t >= 0) & (first <= last), tl.maximum(t, first), float("inf"))

        least = tl.min(t, 1)
        lowest = tl.min(tl.where(t == least[:, None], index[None].to(tl.int64), LAST), 1)
        # Indices rise from step to step, so of equals the one found first stays.
        nearer = least < best
        best, best_index = tl.where(nearer, least, best), tl.where(nearer, lowest, best_index)
    tl.store(found + ray, tl.where(best_index == LAST, -1, best_index), ray < count)


def ray_hits_triton(
    rays: Float[Tensor, "B N 6"], vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"]
) -> Int64[Tensor, "B N"]:
    """The compiled kernel behind `ray_hits` on a GPU."""
    found = torch.full(rays.shape[:2], -1, dtype=torch.int64, device=rays.device)
    if not len(faces):
        return found
    x, y, z = rays[..., 3:].abs().unbind(-1)
    main = torch.where((z >= x) & (z >= y), 2, torch.where(y >= x, 1, 0))
    main = torch.where(rays.isfinite().all(-1) & (rays[..., 3:] != 0).any(-1), main, -1)
    for b in range(len(rays)):
        corners = vertices[b, faces].double()
        for axis in range(3):
            ray = (main[b] == axis).nonzero()[:, 0]
            if not len(ray):
                continue
            turned = [(axis + 1) % 3, (axis + 2) % 3, axis]
            origins, directions = rays[b, ray][:, turned], rays[b, ray][:, 3:][:, turned]
            over = 1 / directions
            shear = directions[:, :2] * over[:, 2:]
            over_moving = torch.where((directions != 0) & over.isfinite(), over, 0.0)
            columns = torch.cat([origins, over_moving, shear, over[:, 2:]], 1).t().contiguous()
            turned_corners = corners[:, :, turned].flatten(1).t().contiguous()
            hits = torch.empty_like(ray)
            _hits_kernel[(triton.cdiv(len(ray), RAYS),)](
                columns, turned_corners, hits, len(ray), len(faces), RAYS, FACES, SLACK, LAST,
                enable_fp_fusion=False,  # areas round as the reference's, so that no ray slips between neighbours
            )  # fmt: skip
            found[b, ray] = hits
    return found
