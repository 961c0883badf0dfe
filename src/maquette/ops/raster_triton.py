"""The z-buffer on a GPU: a program per face goes over the pixels of its box, twice for every layer.

First all faces raise each pixel's nearness to the greatest, then those that have it leave the lowest number. Nearness
is positive, so its bits, read as an integer, have its order, and integers can be raised by many programs at once.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.checks import check_indices
from maquette.ops.raster import edge_functions, face_boxes

PIXELS = 256
"""Of a program's step; a power of two."""
STRIPS = 8
"""Programs that share the pixels of one face."""
FACES = 1 << 20
"""Faces of a view whose functions and boxes are held at a time."""
LAST = 0x7FFFFFFFFFFFFFFF
"""Larger than any number of a face."""
INFINITE = 0x7FF0000000000000
"""The bits of an infinite nearness."""


@triton.jit
def _pass_over(
    functions,
    boxes,
    limit,
    before,
    nearness,
    index,
    width,
    first_face,
    RAISE: tl.constexpr,
    PIXELS: tl.constexpr,
    STRIPS: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    face = first_face + row
    x0, x1 = tl.load(boxes + 4 * row), tl.load(boxes + 4 * row + 1)
    y0, y1 = tl.load(boxes + 4 * row + 2), tl.load(boxes + 4 * row + 3)
    count = (x1 - x0) * (y1 - y0)
    f = functions + 12 * row
    for start in range(tl.program_id(1) * PIXELS, count, STRIPS * PIXELS):
        at = start + tl.arange(0, PIXELS)
        x, y = x0 + at % (x1 - x0), y0 + at // (x1 - x0)
        pixel = y * width + x
        px, py = x.to(tl.float64) + 0.5, y.to(tl.float64) + 0.5
        a = tl.load(f) * px + (tl.load(f + 1) * py + tl.load(f + 2))
        b = tl.load(f + 3) * px + (tl.load(f + 4) * py + tl.load(f + 5))
        c = tl.load(f + 6) * px + (tl.load(f + 7) * py + tl.load(f + 8))
        near = tl.load(f + 9) * px + (tl.load(f + 10) * py + tl.load(f + 11))
        inside = (at < count) & (a >= 0) & (b >= 0) & (c >= 0) & (near > 0)
        bits = near.to(tl.int64, bitcast=True)
        most = tl.load(limit + pixel, inside, 0)
        inside = inside & ((bits < most) | ((bits == most) & (face > tl.load(before + pixel, inside, 0))))
        if RAISE:
            tl.atomic_max(nearness + pixel, bits, inside)
        else:
            inside = inside & (bits == tl.load(nearness + pixel, inside, 0))
            tl.atomic_min(index + pixel, face + tl.zeros_like(pixel), inside)


def raster_layers_triton(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], size: tuple[int, int], layers: int
) -> Int64[Tensor, "B H W {layers}"]:
    """The compiled kernel behind `raster` and `raster_layers` on a GPU."""
    check_indices("raster", faces, vertices.shape[1])
    count = size[0] * size[1]
    index = torch.full((len(vertices), layers, count), -1, dtype=torch.int64, device=vertices.device)
    for view, points in zip(index, vertices.double(), strict=True):
        parts = []
        for first in range(0, len(faces), FACES):
            corners = points[faces[first : first + FACES]]
            functions, usable = edge_functions(corners)
            boxes = torch.where(usable[:, None], face_boxes(corners, size), 0)
            parts.append((functions.contiguous(), boxes.contiguous(), first))
        limit, before = torch.full_like(view[0], INFINITE), torch.full_like(view[0], -1)
        for layer in view:
            nearness, found = torch.zeros_like(layer), torch.full_like(layer, LAST)
            for raising in (True, False):
                for functions, boxes, first in parts:
                    _pass_over[(len(boxes), STRIPS)](
                        functions, boxes, limit, before, nearness, found, size[1], first, raising, PIXELS, STRIPS,
                        enable_fp_fusion=False,  # edges round as the reference's, so that both sides of one agree
                    )  # fmt: skip
            layer.copy_(torch.where(found == LAST, -1, found))
            limit, before = nearness, layer
    return index.movedim(1, 2).reshape(-1, *size, layers).contiguous()
