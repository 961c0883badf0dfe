"""Soft silhouettes on a GPU: a program per face goes over the pixels within its reach.

Forward, what a face takes from a pixel is added there by many programs at once, so sums may differ in their last bits
from run to run. Backward, each program sums the gradient of its own face.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.checks import check_indices
from maquette.ops.silhouette import LOGISTIC, reach_boxes

PIXELS = 128
"""Of a program's step; a power of two."""
FACES = 1 << 20
"""Faces of a view whose boxes and gradients are held at a time."""
LAST = 0x7FFFFFFFFFFFFFFF
"""Larger than any number of a face."""


@triton.jit
def _edge(corners, i: tl.constexpr, j: tl.constexpr, px, py):
    """Squared distance to the edge from corner i to j, where on it (0..1), the difference, and the side."""
    ax, ay = tl.load(corners + 2 * i), tl.load(corners + 2 * i + 1)
    ex, ey = tl.load(corners + 2 * j) - ax, tl.load(corners + 2 * j + 1) - ay
    length = ex * ex + ey * ey
    ux, uy = px - ax, py - ay
    t = (ux * ex + uy * ey) * tl.where(length > 0, 1.0 / tl.where(length > 0, length, 1.0), 0.0)
    t = tl.minimum(tl.maximum(t, 0.0), 1.0)
    dx, dy = ux - t * ex, uy - t * ey
    return dx * dx + dy * dy, t, dx, dy, ex * uy - ey * ux


@triton.jit
def _distance(corners, px, py):
    """Squared distance to the outline, where on its nearest edge, the difference, which edge, and whether inside."""
    d0, t0, x0, y0, s0 = _edge(corners, 0, 1, px, py)
    d1, t1, x1, y1, s1 = _edge(corners, 1, 2, px, py)
    d2, t2, x2, y2, s2 = _edge(corners, 2, 0, px, py)
    inside = ((s0 >= 0) & (s1 >= 0) & (s2 >= 0)) | ((s0 <= 0) & (s1 <= 0) & (s2 <= 0))
    second = d1 < d0
    d, t, x, y = tl.where(second, d1, d0), tl.where(second, t1, t0), tl.where(second, x1, x0), tl.where(second, y1, y0)
    third = d2 < d
    edge = tl.where(third, 2, tl.where(second, 1, 0))
    return tl.where(third, d2, d), tl.where(third, t2, t), tl.where(third, x2, x), tl.where(third, y2, y), edge, inside


@triton.jit
def _in_order(value):
    """An integer that has the order of the number."""
    bits = value.to(tl.int64, bitcast=True)
    return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)


@triton.jit
def _forward_kernel(
    corners, boxes, numbers, depth, least, nearest, width, first_face,
    ADD: tl.constexpr, LOGISTIC: tl.constexpr, PIXELS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    sigma, blur = tl.load(numbers), tl.load(numbers + 1)
    x0, x1 = tl.load(boxes + 4 * row), tl.load(boxes + 4 * row + 1)
    y0, y1 = tl.load(boxes + 4 * row + 2), tl.load(boxes + 4 * row + 3)
    for start in range(0, (x1 - x0) * (y1 - y0), PIXELS):
        at = start + tl.arange(0, PIXELS)
        x, y = x0 + at % (x1 - x0), y0 + at // (x1 - x0)
        pixel = y * width + x
        d, _, _, _, _, inside = _distance(corners + 6 * row, x.to(tl.float64) + 0.5, y.to(tl.float64) + 0.5)
        counts = (at < (x1 - x0) * (y1 - y0)) & (inside | (d < blur))
        order = _in_order(tl.where(inside, -d, d))
        if ADD:
            if LOGISTIC:
                z = tl.where(inside, d, -d) / sigma
                lost = tl.maximum(z, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(z)))
            else:
                through = tl.where(inside | (d == 0), 1.0, tl.exp(-d / sigma))
                lost = tl.where(through < 1, -tl.log(tl.where(through < 1, 1.0 - through, 1.0)), float("inf"))
            tl.atomic_add(depth + pixel, lost, counts)
            tl.atomic_min(least + pixel, order, counts)
        else:
            counts = counts & (order == tl.load(least + pixel, counts, 0))
            tl.atomic_min(nearest + pixel, first_face + row + tl.zeros_like(pixel), counts)


@triton.jit
def _backward_kernel(
    corners, boxes, numbers, upstream, gradient, width, LOGISTIC: tl.constexpr, PIXELS: tl.constexpr
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    sigma, blur = tl.load(numbers), tl.load(numbers + 1)
    x0, x1 = tl.load(boxes + 4 * row), tl.load(boxes + 4 * row + 1)
    y0, y1 = tl.load(boxes + 4 * row + 2), tl.load(boxes + 4 * row + 3)
    ax = tl.zeros((PIXELS,), tl.float64)
    ay, bx, by, cx, cy = ax, ax, ax, ax, ax
    for start in range(0, (x1 - x0) * (y1 - y0), PIXELS):
        at = start + tl.arange(0, PIXELS)
        x, y = x0 + at % (x1 - x0), y0 + at // (x1 - x0)
        d, t, dx, dy, edge, inside = _distance(corners + 6 * row, x.to(tl.float64) + 0.5, y.to(tl.float64) + 0.5)
        counts = (at < (x1 - x0) * (y1 - y0)) & (inside | (d < blur))
        above = tl.load(upstream + y * width + x, counts, 0.0)
        z = d / sigma
        if LOGISTIC:
            covered = tl.exp(tl.minimum(tl.where(inside, z, -z), 0.0)) / (1.0 + tl.exp(-z))
            slope = tl.where(inside, covered, -covered) / sigma
        else:
            outside = (inside == 0) & (d > 0)
            through = tl.exp(-z)
            slope = tl.where(outside, -through / (sigma * tl.where(outside, 1.0 - through, 1.0)), 0.0)
        g = tl.where(counts & (above != 0), -2.0 * slope * above, 0.0)
        # The nearest point of the outline lies between two corners, which share the gradient by nearness.
        first, second = g * (1.0 - t), g * t
        a = tl.where(edge == 0, first, tl.where(edge == 2, second, 0.0))
        b = tl.where(edge == 1, first, tl.where(edge == 0, second, 0.0))
        c = tl.where(edge == 2, first, tl.where(edge == 1, second, 0.0))
        ax, ay, bx, by, cx, cy = ax + a * dx, ay + a * dy, bx + b * dx, by + b * dy, cx + c * dx, cy + c * dy
    tl.store(gradient + 6 * row, tl.sum(ax, 0))
    tl.store(gradient + 6 * row + 1, tl.sum(ay, 0))
    tl.store(gradient + 6 * row + 2, tl.sum(bx, 0))
    tl.store(gradient + 6 * row + 3, tl.sum(by, 0))
    tl.store(gradient + 6 * row + 4, tl.sum(cx, 0))
    tl.store(gradient + 6 * row + 5, tl.sum(cy, 0))


def soft_silhouette_triton(
    points: Float[Tensor, "B V 2"],
    faces: Int64[Tensor, "F 3"],
    size: tuple[int, int],
    kind: int,
    sigma: float,
    blur_radius: float,
) -> tuple[Float[Tensor, "B H W"], Int64[Tensor, "B H W"]]:
    """The compiled forward kernel on a GPU."""
    check_indices("soft_silhouette", faces, points.shape[1])
    depth = torch.zeros(len(points), size[0] * size[1], dtype=torch.float64, device=points.device)
    nearest = torch.full(depth.shape, LAST, dtype=torch.int64, device=points.device)
    numbers = torch.tensor([sigma, blur_radius], dtype=torch.float64, device=points.device)
    for view, view_depth, view_nearest in zip(points.double(), depth, nearest, strict=True):
        least = torch.full_like(view_nearest, LAST)
        for add in (True, False):
            for first, corners, boxes in _parts(view, faces, size, blur_radius):
                _forward_kernel[(len(boxes),)](
                    corners, boxes, numbers, view_depth, least, view_nearest, size[1], first,
                    add, kind == LOGISTIC, PIXELS, enable_fp_fusion=False,
                )  # fmt: skip
    nearest = torch.where(nearest == LAST, -1, nearest)
    return depth.to(points).reshape(-1, *size), nearest.reshape(-1, *size)


def soft_silhouette_backward_triton(
    points: Float[Tensor, "B V 2"],
    faces: Int64[Tensor, "F 3"],
    upstream: Float[Tensor, "B H W"],
    kind: int,
    sigma: float,
    blur_radius: float,
) -> Float[Tensor, "B V 2"]:
    """The compiled backward kernel on a GPU."""
    gradient = torch.zeros_like(points, dtype=torch.float64)
    size = (upstream.shape[1], upstream.shape[2])
    numbers = torch.tensor([sigma, blur_radius], dtype=torch.float64, device=points.device)
    for view, above, total in zip(points.double(), upstream.double().contiguous(), gradient, strict=True):
        for first, corners, boxes in _parts(view, faces, size, blur_radius):
            of_faces = torch.empty(len(boxes), 3, 2, dtype=torch.float64, device=points.device)
            _backward_kernel[(len(boxes),)](
                corners, boxes, numbers, above, of_faces, size[1], kind == LOGISTIC, PIXELS, enable_fp_fusion=False
            )
            total.index_add_(0, faces[first : first + FACES].reshape(-1), of_faces.reshape(-1, 2))
    return gradient.to(points)


def _parts(points: Float[Tensor, "V 2"], faces: Int64[Tensor, "F 3"], size: tuple[int, int], blur_radius: float):
    """Pieces of the faces: the first one's number, corners, and boxes of the pixels within reach."""
    for first in range(0, len(faces), FACES):
        corners = points[faces[first : first + FACES]].contiguous()
        yield first, corners, reach_boxes(corners, size, blur_radius).contiguous()
