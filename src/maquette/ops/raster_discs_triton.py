"""Discs on a GPU: a program per disc goes over the pixels of its box, twice for every layer (see raster_triton.py).

Depth is positive, so its bits, read as an integer, have its order, and the least can be kept by many programs at once.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.raster_discs import disc_boxes

PIXELS = 128
"""Of a program's step; a power of two."""
LAST = 0x7FFFFFFFFFFFFFFF
"""Larger than any number of a disc and the bits of any depth."""


@triton.jit
def _pass_over(centers, radii, boxes, limit, before, nearest, index, width, LOWER: tl.constexpr, PIXELS: tl.constexpr):
    disc = tl.program_id(0).to(tl.int64)
    x0, x1 = tl.load(boxes + 4 * disc), tl.load(boxes + 4 * disc + 1)
    y0, y1 = tl.load(boxes + 4 * disc + 2), tl.load(boxes + 4 * disc + 3)
    cx, cy, r = tl.load(centers + 3 * disc), tl.load(centers + 3 * disc + 1), tl.load(radii + disc)
    bits = tl.load(centers + 3 * disc + 2).to(tl.int64, bitcast=True)
    for start in range(0, (x1 - x0) * (y1 - y0), PIXELS):
        at = start + tl.arange(0, PIXELS)
        x, y = x0 + at % (x1 - x0), y0 + at // (x1 - x0)
        pixel = y * width + x
        dx, dy = x.to(tl.float64) + 0.5 - cx, y.to(tl.float64) + 0.5 - cy
        inside = (at < (x1 - x0) * (y1 - y0)) & (dx * dx + dy * dy <= r * r)
        least = tl.load(limit + pixel, inside, 0)
        inside = inside & ((bits > least) | ((bits == least) & (disc > tl.load(before + pixel, inside, 0))))
        if LOWER:
            tl.atomic_min(nearest + pixel, bits + tl.zeros_like(pixel), inside)
        else:
            inside = inside & (bits == tl.load(nearest + pixel, inside, 0))
            tl.atomic_min(index + pixel, disc + tl.zeros_like(pixel), inside)


def raster_discs_layers_triton(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int], *, layers: int
) -> Int64[Tensor, "B H W {layers}"]:
    """The compiled kernel behind `raster_discs` and `raster_discs_layers` on a GPU."""
    index = torch.full((len(centers), layers, size[0] * size[1]), -1, dtype=torch.int64, device=centers.device)
    for view, center, r in zip(index, centers.double().contiguous(), radii.double().contiguous(), strict=True):
        boxes = disc_boxes(center, r, size).contiguous()
        limit, before = torch.full_like(view[0], -1), torch.full_like(view[0], -1)
        for layer in view:
            nearest, found = torch.full_like(layer, LAST), torch.full_like(layer, LAST)
            for lowering in (True, False):
                if len(boxes):
                    _pass_over[(len(boxes),)](
                        center, r, boxes, limit, before, nearest, found, size[1], lowering, PIXELS,
                        enable_fp_fusion=False,  # rims round as the reference's
                    )  # fmt: skip
            layer.copy_(torch.where(found == LAST, -1, found))
            limit, before = nearest, layer
    return index.movedim(1, 2).reshape(-1, *size, layers).contiguous()
