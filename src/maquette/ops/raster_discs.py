"""Which disc, or discs, each pixel sees.

B views, N discs, H W pixels, K layers; pixel (row, column) = (y, x) has its centre at (x + 0.5, y + 0.5).
Only indices come out: depth and colour are torch's business, so autograd sees them.
"""

import importlib.util

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.checks import FLOATS, check_shape
from maquette.ops.compiled import compiled
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
    _check("raster_discs", centers, radii)
    return _raster_discs(centers.detach(), radii.detach(), *size)


def raster_discs_layers(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int], *, layers: int
) -> Int64[Tensor, "B H W {layers}"]:
    """The `layers` front-most discs that cover each pixel's centre, nearest first, -1 after the last.

    What a disc covers is told by `raster_discs`, whose answer is the first layer. Of equally near discs the lowest
    comes first. The number of discs over a pixel has no limit; those behind the last layer are left out.
    """
    if min(size) < 1:
        raise ValueError(f"raster_discs_layers: size {size}; give (height, width) of at least one pixel")
    if layers < 1:
        raise ValueError(f"raster_discs_layers: layers is {layers}; ask for at least one")
    _check("raster_discs_layers", centers, radii)
    return _raster_discs_layers(centers.detach(), radii.detach(), *size, layers)


def _check(function: str, centers: Tensor, radii: Tensor) -> None:
    check_shape(function, "centers", centers, "B N 3")
    if radii.shape != centers.shape[:2]:
        raise ValueError(
            f"{function}: radii has shape {tuple(radii.shape)}; give {tuple(centers.shape[:2])}, one for each center"
        )
    if radii.dtype != centers.dtype or centers.dtype not in FLOATS:
        raise ValueError(
            f"{function}: centers are {centers.dtype} and radii {radii.dtype}; make both float32 or both float64"
        )
    if radii.device != centers.device:
        raise ValueError(f"{function}: centers are on {centers.device} and radii on {radii.device}; move one")


def raster_discs_reference(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int]
) -> Int64[Tensor, "B H W"]:
    """What `raster_discs` means: every disc against every pixel of its box, in float64."""
    index = torch.full((len(centers), size[0] * size[1]), -1, dtype=torch.int64, device=centers.device)
    for b, (center, r) in enumerate(zip(centers.double(), radii.double(), strict=True)):
        nearness = torch.full((index.shape[1],), -torch.inf, dtype=torch.float64, device=index.device)
        for disc, pixel in _covered(center, r, size):
            keep_nearest(index[b], nearness, disc, pixel, -center[disc, 2])
    return index.reshape(-1, *size)


def raster_discs_layers_reference(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int], *, layers: int
) -> Int64[Tensor, "B H W {layers}"]:
    """What `raster_discs_layers` means: pairs of a disc and a pixel, sorted by pixel, depth and disc, in float64."""
    index = torch.full((len(centers), size[0] * size[1], layers), -1, dtype=torch.int64, device=centers.device)
    for b, (center, r) in enumerate(zip(centers.double(), radii.double(), strict=True)):
        for disc, pixel in _covered(center, r, size):
            # The pixels met, with what is already in their layers: those discs are lower, and stay first among equals.
            met, place = pixel.unique(return_inverse=True)
            row, layer = (index[b, met] >= 0).nonzero(as_tuple=True)
            row, disc = torch.cat([row, place]), torch.cat([index[b, met[row], layer], disc])
            order = center[disc, 2].argsort(stable=True)
            order = order[row[order].argsort(stable=True)]
            row, disc = row[order], disc[order]
            first = torch.searchsorted(row, torch.arange(len(met), device=row.device))
            rank = torch.arange(len(row), device=row.device) - first[row]
            kept = rank < layers
            index[b, met[row[kept]], rank[kept]] = disc[kept]
    return index.reshape(-1, *size, layers)


def disc_boxes(center: Float[Tensor, "N 3"], r: Float[Tensor, " N"], size: tuple[int, int]) -> Int64[Tensor, "N 4"]:
    """Half-open pixel ranges x0 x1 y0 y1 that hold each disc; empty for a disc that is not seen. In float64."""
    cx, cy, depth = center.unbind(-1)
    limit = torch.tensor([size[1], size[1], size[0], size[0]], device=center.device)
    bounds = torch.stack([cx - r - 1, cx + r + 1, cy - r - 1, cy + r + 1], 1)
    usable = (depth > 0) & depth.isfinite() & (r >= 0) & ~bounds.isnan().any(1)
    boxes = torch.where(usable[:, None], bounds, 0.0).clamp(min=torch.zeros(4).to(limit), max=limit).long()
    boxes[:, 1::2] = (boxes[:, 1::2] + 1).minimum(limit[1::2])
    return torch.where(usable[:, None], boxes, 0)


def _covered(center: Float[Tensor, "N 3"], r: Float[Tensor, " N"], size: tuple[int, int]):
    """Pieces of bounded size of all pairs (disc, flat pixel) where the disc covers the pixel's centre, by disc."""
    for disc, y, x in pixels_of(disc_boxes(center, r, size)):
        dx, dy = x + 0.5 - center[disc, 0], y + 0.5 - center[disc, 1]
        inside = dx * dx + dy * dy <= r[disc] * r[disc]
        yield disc[inside], (y * size[1] + x)[inside]


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define("maquette::raster_discs", "(Tensor centers, Tensor radii, int height, int width) -> Tensor")
torch.library.define(
    "maquette::raster_discs_layers", "(Tensor centers, Tensor radii, int height, int width, int layers) -> Tensor"
)
_raster_discs = torch.ops.maquette.raster_discs.default
_raster_discs_layers = torch.ops.maquette.raster_discs_layers.default


@torch.library.impl("maquette::raster_discs", "CompositeExplicitAutograd")
def _(centers: Tensor, radii: Tensor, height: int, width: int) -> Tensor:
    return raster_discs_reference(centers, radii, (height, width))


@torch.library.register_fake("maquette::raster_discs")
def _(centers: Tensor, radii: Tensor, height: int, width: int) -> Tensor:
    return centers.new_empty((centers.shape[0], height, width), dtype=torch.int64)


@torch.library.impl("maquette::raster_discs", "CPU")
def _(centers: Tensor, radii: Tensor, height: int, width: int) -> Tensor:
    return (raster_discs_numba if compiled() else raster_discs_reference)(centers, radii, (height, width))


@torch.library.impl("maquette::raster_discs_layers", "CompositeExplicitAutograd")
def _(centers: Tensor, radii: Tensor, height: int, width: int, layers: int) -> Tensor:
    return raster_discs_layers_reference(centers, radii, (height, width), layers=layers)


@torch.library.register_fake("maquette::raster_discs_layers")
def _(centers: Tensor, radii: Tensor, height: int, width: int, layers: int) -> Tensor:
    return centers.new_empty((centers.shape[0], height, width, layers), dtype=torch.int64)


@torch.library.impl("maquette::raster_discs_layers", "CPU")
def _(centers: Tensor, radii: Tensor, height: int, width: int, layers: int) -> Tensor:
    run = raster_discs_layers_numba if compiled() else raster_discs_layers_reference
    return run(centers, radii, (height, width), layers=layers)


@torch.library.impl("maquette::raster_discs", "CUDA")
def _(centers: Tensor, radii: Tensor, height: int, width: int) -> Tensor:
    return _raster_discs_layers(centers, radii, height, width, 1)[..., 0]


@torch.library.impl("maquette::raster_discs_layers", "CUDA")
def _(centers: Tensor, radii: Tensor, height: int, width: int, layers: int) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return raster_discs_layers_reference(centers, radii, (height, width), layers=layers)
    from maquette.ops.raster_discs_triton import raster_discs_layers_triton

    return raster_discs_layers_triton(centers, radii, (height, width), layers=layers)


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


def raster_discs_layers_numba(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int], *, layers: int
) -> Int64[Tensor, "B H W {layers}"]:
    """The compiled kernel behind `raster_discs_layers` on the CPU: discs fill the layers in order of depth."""
    from maquette.ops.raster_discs_numba import disc_layers

    index = torch.empty(len(centers), *size, layers, dtype=torch.int64)
    bands = bands_of(len(centers), size)
    order = centers[..., 2].argsort(dim=1, stable=True)
    sorted_centers = centers.gather(1, order[..., None].expand(-1, -1, 3)).numpy()
    arrays = sorted_centers, radii.gather(1, order).numpy(), order.numpy(), index.numpy()
    parallel(disc_layers, len(centers) * bands, bands, *arrays, chunks_per_thread=4)
    return index
