"""Which face each pixel sees.

B views, V vertices, F faces, H W pixels; pixel (row, column) = (y, x) has its centre at (x + 0.5, y + 0.5).
Only indices come out: depth, barycentrics and colour are torch's business, so autograd sees them.
"""

import importlib.util

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maquette.ops.checks import check_indices, check_triangles
from maquette.ops.compiled import compiled
from maquette.ops.threads import parallel

PAIRS = 1 << 22
"""Pairs of a face and a pixel of its box that the reference holds at a time."""

BOXES = 1 << 22
"""Boxes of faces, of all views, that the kernel holds at a time."""

DEGENERATE = 1e-14
"""A face is skipped when its determinant is below this part of the sum of the terms that cancel in it."""


def raster(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], size: tuple[int, int]
) -> Int64[Tensor, "B H W"]:
    """The nearest face at each pixel's centre, -1 where there is none.

    `vertices` are homogeneous pixels (x w, y w, w) with w the depth in front of the camera; `size` is (H, W). Faces are
    seen from both sides. Parts with w <= 0 are not seen; a face may cross that plane: edge functions are homogeneous
    (Olano & Greer 1997, section 3), nothing is clipped. Of equally near faces the lowest is taken. A pixel on an edge
    belongs to both faces there. Degenerate faces and faces that are not finite are skipped.
    """
    if min(size) < 1:
        raise ValueError(f"raster: size {size}; give (height, width) of at least one pixel")
    check_triangles("raster", vertices, faces, "B V 3")
    return _raster(vertices.detach(), faces, *size)


def raster_layers(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], size: tuple[int, int], *, layers: int
) -> Int64[Tensor, "B H W {layers}"]:
    """The `layers` nearest faces at each pixel's centre, nearest first, -1 where there are no more.

    One layer is what `raster` gives; everything it says holds for each, and equally near faces are in order of number.
    """
    if min(size) < 1 or layers < 1:
        raise ValueError(f"raster_layers: size {size}, {layers} layers; give at least one pixel and one layer")
    check_triangles("raster_layers", vertices, faces, "B V 3")
    return _raster_layers(vertices.detach(), faces, *size, layers)


def raster_reference(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], size: tuple[int, int]
) -> Int64[Tensor, "B H W"]:
    """What `raster` means."""
    return raster_layers_reference(vertices, faces, size, 1)[..., 0]


def raster_layers_reference(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], size: tuple[int, int], layers: int
) -> Int64[Tensor, "B H W {layers}"]:
    """What `raster_layers` means: every face against every pixel of its box, in pieces of bounded memory, in float64.

    Each layer is the nearest of the faces that come after the layer before, by nearness and then by number.
    """
    check_indices("raster", faces, vertices.shape[1])
    count = size[0] * size[1]
    index = torch.full((len(vertices), layers, count), -1, dtype=torch.int64, device=vertices.device)
    for b, corners in enumerate(vertices.double()[:, faces]):  # F 3 3
        functions, usable = edge_functions(corners)
        boxes = torch.where(usable[:, None], face_boxes(corners, size), 0)
        limit = torch.full((count,), torch.inf, dtype=torch.float64, device=index.device)
        before = torch.full((count,), -1, dtype=torch.int64, device=index.device)
        for layer in range(layers):
            nearness = torch.zeros(count, dtype=torch.float64, device=index.device)
            for face, y, x in pixels_of(boxes):
                value = functions[face, :, 0] * (x + 0.5)[:, None] + (
                    functions[face, :, 1] * (y + 0.5)[:, None] + functions[face, :, 2]
                )
                pixel, near = y * size[1] + x, value[:, 3]
                inside = (value[:, :3] >= 0).all(1) & (near > 0)
                inside &= (near < limit[pixel]) | (near == limit[pixel]) & (face > before[pixel])
                keep_nearest(index[b, layer], nearness, face[inside], pixel[inside], near[inside])
            limit, before = nearness, index[b, layer]
    return index.movedim(1, 2).reshape(-1, *size, layers).contiguous()


def edge_functions(corners: Float[Tensor, "F 3 3"]) -> tuple[Float[Tensor, "F 4 3"], Bool[Tensor, "F"]]:
    """Three edge functions of each face and 1 / w, all linear on the screen, and whether the face is not degenerate."""
    edges = torch.stack([_cross(corners[:, (i + 1) % 3], corners[:, (i + 2) % 3]) for i in range(3)], 1)
    ax, ay, aw = corners[:, 0].unbind(-1)
    det = ax * edges[:, 0, 0] + ay * edges[:, 0, 1] + aw * edges[:, 0, 2]
    (bx, by, bw), (cx, cy, cw) = corners[:, 1].abs().unbind(-1), corners[:, 2].abs().unbind(-1)
    scale = ax.abs() * (by * cw + bw * cy) + ay.abs() * (bw * cx + bx * cw) + aw.abs() * (bx * cy + by * cx)
    usable = (det.abs() > DEGENERATE * scale) & det.isfinite()
    edges = torch.where(det < 0, -1.0, 1.0)[:, None, None] * edges
    plane = (edges[:, 0] + edges[:, 1] + edges[:, 2]) * (1.0 / det.abs())[:, None]
    return torch.cat([edges, plane[:, None]], 1), usable


def face_boxes(corners: Float[Tensor, "F 3 3"], size: tuple[int, int]) -> Int64[Tensor, "F 4"]:
    """Half-open pixel ranges x0 x1 y0 y1 that hold what a view sees of each face; empty for a face it cannot see."""
    w = corners[..., 2]
    front = w > 0
    pixels = corners[..., :2] / w[..., None]
    low = torch.where(front[..., None], pixels, torch.inf).amin(1)
    high = torch.where(front[..., None], pixels, -torch.inf).amax(1)
    for i in range(3):
        for j in range(3):
            # From a vertex in front, an edge to one behind is a ray on the screen, towards its point in w = 0.
            s, t = corners[:, j, :2] * w[:, i, None], corners[:, i, :2] * w[:, j, None]
            leaves, slack = (front[:, i] & ~front[:, j])[:, None], 1e-12 * (s.abs() + t.abs())
            low = torch.where(leaves & (s - t <= slack), -torch.inf, low)
            high = torch.where(leaves & (s - t >= -slack), torch.inf, high)
    limit = torch.tensor([size[1], size[0]], dtype=corners.dtype, device=corners.device)
    # Pixel x has its centre at x + 0.5; a thousandth of a pixel more than covers rounding.
    low, high = (low - 0.501).clamp(min=0.0), (high - 0.499).minimum(limit - 1)
    seen = corners.isfinite().all(-1).all(-1) & (low <= high).all(-1)
    ranges = torch.stack([low.ceil(), high.floor() + 1], -1).flatten(1)
    return torch.where(seen[:, None], ranges, 0.0).long()


def _cross(a: Float[Tensor, "F 3"], b: Float[Tensor, "F 3"]) -> Float[Tensor, "F 3"]:
    """Cross product whose rounding is antisymmetric (torch's may fuse): two faces agree on their shared edge."""
    (ax, ay, aw), (bx, by, bw) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bw - aw * by, aw * bx - ax * bw, ax * by - ay * bx], -1)


def pixels_of(boxes, pairs: int = PAIRS):
    """Pieces of at most `pairs` pairs (item, y, x) that list every pixel of every box, item by item."""
    x0, x1, y0, y1 = boxes.unbind(-1)
    widths = x1 - x0
    counts = widths * (y1 - y0)
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, pairs):
        pair = torch.arange(start, min(start + pairs, total), device=boxes.device)
        item = torch.searchsorted(ends, pair, right=True)
        within = pair - (ends[item] - counts[item])
        yield item, y0[item] + within // widths[item], x0[item] + within % widths[item]


def keep_nearest(index, nearness, item, pixel, value):
    """Depth test of pairs (item, pixel) against, and into, one view's `index` and `nearness`."""
    before = nearness.clone()
    nearness.scatter_reduce_(0, pixel, value, "amax")
    wins = (value == nearness[pixel]) & (value > before[pixel])
    first = torch.full_like(index, torch.iinfo(torch.int64).max)
    first.scatter_reduce_(0, pixel[wins], item[wins], "amin")
    index[pixel[wins]] = first[pixel[wins]]


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define("maquette::raster", "(Tensor vertices, Tensor faces, int height, int width) -> Tensor")
torch.library.define(
    "maquette::raster_layers", "(Tensor vertices, Tensor faces, int height, int width, int layers) -> Tensor"
)
_raster = torch.ops.maquette.raster.default
_raster_layers = torch.ops.maquette.raster_layers.default


@torch.library.impl("maquette::raster", "CompositeExplicitAutograd")
def _(vertices: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    return raster_reference(vertices, faces, (height, width))


@torch.library.register_fake("maquette::raster")
def _(vertices: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    return faces.new_empty((vertices.shape[0], height, width))


@torch.library.impl("maquette::raster", "CPU")
def _(vertices: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    return (raster_numba if compiled() else raster_reference)(vertices, faces, (height, width))


@torch.library.impl("maquette::raster_layers", "CompositeExplicitAutograd")
def _(vertices: Tensor, faces: Tensor, height: int, width: int, layers: int) -> Tensor:
    return raster_layers_reference(vertices, faces, (height, width), layers)


@torch.library.register_fake("maquette::raster_layers")
def _(vertices: Tensor, faces: Tensor, height: int, width: int, layers: int) -> Tensor:
    return faces.new_empty((vertices.shape[0], height, width, layers))


@torch.library.impl("maquette::raster_layers", "CPU")
def _(vertices: Tensor, faces: Tensor, height: int, width: int, layers: int) -> Tensor:
    return (raster_layers_numba if compiled() else raster_layers_reference)(vertices, faces, (height, width), layers)


@torch.library.impl("maquette::raster", "CUDA")
def _(vertices: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    return _raster_layers(vertices, faces, height, width, 1)[..., 0]


@torch.library.impl("maquette::raster_layers", "CUDA")
def _(vertices: Tensor, faces: Tensor, height: int, width: int, layers: int) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return raster_layers_reference(vertices, faces, (height, width), layers)
    from maquette.ops.raster_triton import raster_layers_triton

    return raster_layers_triton(vertices, faces, (height, width), layers)


def raster_numba(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], size: tuple[int, int]
) -> Int64[Tensor, "B H W"]:
    """The compiled kernel behind `raster` on the CPU: boxes of all faces first, then bands of rows."""
    from maquette.ops.raster_numba import raster_bands

    index = torch.empty(len(vertices), *size, dtype=torch.int64)
    _in_bands(raster_bands, vertices, faces, index, 1)
    return index


def raster_layers_numba(
    vertices: Float[Tensor, "B V 3"], faces: Int64[Tensor, "F 3"], size: tuple[int, int], layers: int
) -> Int64[Tensor, "B H W {layers}"]:
    """The compiled kernel behind `raster_layers` on the CPU."""
    from maquette.ops.raster_numba import layer_bands

    index = torch.empty(len(vertices), *size, layers, dtype=torch.int64)
    _in_bands(layer_bands, vertices, faces, index, layers)
    return index


def _in_bands(kernel, vertices, faces, index, layers):
    """Run a kernel over the bands of all views, of as many at a time as their faces' boxes have room."""
    from maquette.ops.raster_numba import face_boxes

    size = (index.shape[1], index.shape[2])
    check_indices("raster", faces, vertices.shape[1])
    bands, triangles = bands_of(len(vertices), size, layers), faces.contiguous().numpy()
    views = max(BOXES // max(len(faces), 1), 1)
    for start in range(0, len(vertices), views):
        corners, part = vertices[start : start + views].contiguous().numpy(), index[start : start + views].numpy()
        boxes = torch.empty(len(corners), len(faces), 4, dtype=torch.int32).numpy()
        parallel(face_boxes, len(corners) * len(faces), corners, triangles, *size, boxes)
        parallel(kernel, len(corners) * bands, bands, corners, triangles, boxes, part, chunks_per_thread=4)


def bands_of(views: int, size: tuple[int, int], layers: int = 1) -> int:
    """Bands of rows a view is cut into: depth buffers then stay in the cache, and every thread has pieces of work."""
    threads = torch.get_num_threads()
    for_cache = min(16, -(-size[0] * size[1] * layers // 32768))
    for_threads = 1 if threads == 1 else -(-4 * threads // max(views, 1))
    return min(size[0], max(for_cache, for_threads))
