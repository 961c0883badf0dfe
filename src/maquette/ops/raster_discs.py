"""Which disc each pixel sees.

B views, N discs, H W pixels; pixel (row, column) = (y, x) has its centre at (x + 0.5, y + 0.5).
Only indices come out: depth and colour are torch's business, so autograd sees them.
"""

import importlib.util

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.raster import bands_of, keep_nearest, pixels_of
from maquette.ops.threads import parallel


def raster_discs(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int]
) -> Int64[Tensor, "B H W"]:
    """The front-most disc that covers each pixel's centre, -1 where there is none.

    `centers` are (x, y) in pixels and a depth, `radii` are in pixels; a disc covers what lies within its radius, rim
    included, at its centre's depth. Of equally near discs the lowest is taken. Depths not positive are skipped.
    """
    if min(size) < 1:
        raise ValueError(f"raster_discs: size {size}; give (height, width) of at least one pixel")
    return _raster_discs(centers.detach(), radii.detach(), *size)


def raster_discs_reference(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int]
) -> Int64[Tensor, "B H W"]:
    """What `raster_discs` means: every disc against every pixel of its box, in float64."""
    index = torch.full((len(centers), size[0] * size[1]), -1, dtype=torch.int64, device=centers.device)
    limit = torch.tensor([size[1], size[1], size[0], size[0]], device=centers.device)
    for b, (center, r) in enumerate(zip(centers.double(), radii.double(), strict=True)):
        cx, cy, depth = center.unbind(-1)
        bounds = torch.stack([cx - r - 1, cx + r + 1, cy - r - 1, cy + r + 1], 1)
        usable = (depth > 0) & depth.isfinite() & (r >= 0) & ~bounds.isnan().any(1)
        boxes = torch.where(usable[:, None], bounds, 0.0).clamp(min=torch.zeros(4).to(limit), max=limit).long()
        boxes[:, 1::2] = (boxes[:, 1::2] + 1).minimum(limit[1::2])
        boxes = torch.where(usable[:, None], boxes, 0)
        nearness = torch.full((index.shape[1],), -torch.inf, dtype=torch.float64, device=index.device)
        for disc, y, x in pixels_of(boxes):
            dx, dy = x + 0.5 - cx[disc], y + 0.5 - cy[disc]
            inside = dx * dx + dy * dy <= r[disc] * r[disc]
            keep_nearest(index[b], nearness, disc[inside], (y * size[1] + x)[inside], -depth[disc[inside]])
    return index.reshape(-1, *size)


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define("maquette::raster_discs", "(Tensor centers, Tensor radii, int height, int width) -> Tensor")
_raster_discs = torch.ops.maquette.raster_discs.default


@torch.library.impl("maquette::raster_discs", "CompositeExplicitAutograd")
def _(centers: Tensor, radii: Tensor, height: int, width: int) -> Tensor:
    return raster_discs_reference(centers, radii, (height, width))


@torch.library.register_fake("maquette::raster_discs")
def _(centers: Tensor, radii: Tensor, height: int, width: int) -> Tensor:
    return centers.new_empty((centers.shape[0], height, width), dtype=torch.int64)


@torch.library.impl("maquette::raster_discs", "CPU")
def _(centers: Tensor, radii: Tensor, height: int, width: int) -> Tensor:
    reference = importlib.util.find_spec("numba") is None
    return (raster_discs_reference if reference else raster_discs_numba)(centers, radii, (height, width))


def raster_discs_numba(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int]
) -> Int64[Tensor, "B H W"]:
    """The compiled kernel behind `raster_discs` on the CPU."""
    from maquette.ops.raster_discs_numba import disc_bands

    index = torch.empty(len(centers), *size, dtype=torch.int64)
    bands = bands_of(len(centers), size)
    arrays = centers.contiguous().numpy(), radii.contiguous().numpy(), index.numpy()
    parallel(disc_bands, len(centers) * bands, bands, *arrays, chunks_per_thread=4)
    return index
