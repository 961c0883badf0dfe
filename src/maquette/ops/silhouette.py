"""Silhouettes that are soft, and so have gradients: every face within reach of a pixel covers a part of it.

B views, V vertices, F faces, H W pixels, P pairs of a face and a pixel; pixel (row, column) = (y, x) has its centre at
(x + 0.5, y + 0.5). d is the squared distance of a pixel's centre from a face on the screen, in squared pixels,
negative inside. The sums over faces are kept as logarithms: of the 1 - coverage that are multiplied, none is lost.
"""

import importlib.util
import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.ops.checks import check_indices, check_triangles
from maquette.ops.compiled import compiled
from maquette.ops.raster import bands_of, keep_nearest, pixels_of
from maquette.ops.threads import parallel

LOGISTIC, EXPONENTIAL = 0, 1
"""How coverage falls off with d: 1 / (1 + exp(d / sigma)), or 1 inside and exp(-d / sigma) outside."""

CHUNK = 1 << 20
"""Faces (of all views) whose gradients are held at a time."""


def soft_silhouette(
    vertices: Float[Tensor, "B V 3"],
    faces: Int64[Tensor, "F 3"],
    size: tuple[int, int],
    *,
    sigma: float,
    blur_radius: float,
) -> tuple[Float[Tensor, "B H W"], Int64[Tensor, "B H W"]]:
    """Coverage 1 - prod_f (1 - sigmoid(-d_f / sigma)) of each pixel (SoftRas: Liu et al. 2019, eq. 1 and 4).

    `vertices` are homogeneous pixels (x w, y w, w) as `raster` takes them, `sigma` and `blur_radius` are in squared
    pixels: faces that do not cover a pixel's centre and are not nearer than sqrt(blur_radius) are left out of its
    product, all others are in it. Faces count whether hidden or not. Also given is the face of least d, the lowest of
    equals, -1 where there is none. Gradients flow to x and y of the vertices through d. Faces without area, not
    finite, or with a corner at w <= 0 are left out.
    """
    return _silhouette(vertices, faces, size, LOGISTIC, sigma, blur_radius)


def dibr_silhouette(
    vertices: Float[Tensor, "B V 3"],
    faces: Int64[Tensor, "F 3"],
    size: tuple[int, int],
    *,
    delta: float,
    blur_radius: float,
) -> tuple[Float[Tensor, "B H W"], Int64[Tensor, "B H W"]]:
    """Coverage 1 where a face is, and 1 - prod_f (1 - exp(-d_f / delta)) outside (DIB-R: Chen et al. 2019, eq. 6-7).

    Everything else is as in `soft_silhouette`. Gradients flow through pixels outside the faces only.
    """
    return _silhouette(vertices, faces, size, EXPONENTIAL, delta, blur_radius)


def _silhouette(vertices, faces, size, kind, sigma, blur_radius):
    name, width = ("soft_silhouette", "sigma") if kind == LOGISTIC else ("dibr_silhouette", "delta")
    if min(size) < 1:
        raise ValueError(f"{name}: size {size}; give (height, width) of at least one pixel")
    if not (0 < sigma < math.inf and 0 <= blur_radius < math.inf):
        raise ValueError(
            f"{name}: {width} is {sigma}, blur_radius {blur_radius}; give a positive and a non-negative number"
        )
    check_triangles(name, vertices, faces, "B V 3")
    w = vertices[..., 2:]
    front = w > 0
    points = torch.where(front, vertices[..., :2] / torch.where(front, w, 1.0), torch.nan)
    return _Silhouette.apply(points, faces, *size, kind, sigma, blur_radius)


class _Silhouette(torch.autograd.Function):
    @staticmethod
    def forward(context, points, faces, *options):
        depth, nearest = torch.ops.maquette.soft_silhouette.default(points, faces, *options)
        context.save_for_backward(points, faces, depth)
        context.options = options[2:]
        context.mark_non_differentiable(nearest)
        return -torch.expm1(-depth), nearest

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context, gradient, _):  # pyrefly: ignore[bad-override]: gradients of the two results
        points, faces, depth = context.saved_tensors
        upstream = gradient * torch.exp(-depth)
        back = torch.ops.maquette.soft_silhouette_backward.default(points, faces, upstream, *context.options)
        return back, *(None,) * 6


def soft_silhouette_reference(
    points: Float[Tensor, "B V 2"],
    faces: Int64[Tensor, "F 3"],
    size: tuple[int, int],
    kind: int,
    sigma: float,
    blur_radius: float,
) -> tuple[Float[Tensor, "B H W"], Int64[Tensor, "B H W"]]:
    """What the forward kernel means: -log prod_f (1 - coverage) and the face of least d, from (x, y) in pixels."""
    check_indices("soft_silhouette", faces, points.shape[1])
    depth = points.new_zeros(len(points), size[0] * size[1], dtype=torch.float64)
    nearest = torch.full(depth.shape, -1, dtype=torch.int64, device=points.device)
    for b, corners in enumerate(points.double()[:, faces]):
        least = torch.full_like(depth[b], -torch.inf)
        for face, pixel, d, inside, _, _, _ in _pairs(corners, size, blur_radius):
            signed = torch.where(inside, -d, d)
            if kind == LOGISTIC:
                lost = torch.nn.functional.softplus(-signed / sigma, threshold=40.0)
            else:
                lost = torch.where(inside | (d == 0), torch.inf, -torch.log(-torch.expm1(-d / sigma)))
            depth[b].index_add_(0, pixel, lost)
            keep_nearest(nearest[b], least, face, pixel, -signed)
    return depth.to(points).reshape(-1, *size), nearest.reshape(-1, *size)


def soft_silhouette_backward_reference(
    points: Float[Tensor, "B V 2"],
    faces: Int64[Tensor, "F 3"],
    upstream: Float[Tensor, "B H W"],
    kind: int,
    sigma: float,
    blur_radius: float,
) -> Float[Tensor, "B V 2"]:
    """What the backward kernel means: `upstream` is the gradient of the forward kernel's first output."""
    gradient = torch.zeros_like(points, dtype=torch.float64)
    size = (upstream.shape[1], upstream.shape[2])
    for b, corners in enumerate(points.double()[:, faces]):
        above = upstream[b].reshape(-1).double()
        for face, pixel, d, inside, edge, t, difference in _pairs(corners, size, blur_radius):
            if kind == LOGISTIC:
                slope = torch.where(inside, 1, -1) * torch.sigmoid(torch.where(inside, d, -d) / sigma) / sigma
            else:
                slope = torch.where(inside | (d == 0), 0.0, -1 / (sigma * torch.expm1((d / sigma).clamp(max=700))))
            g = torch.where(above[pixel] == 0, 0.0, -2 * slope * above[pixel])[:, None] * difference
            gradient[b].index_add_(0, faces[face, edge], g * (1 - t)[:, None])
            gradient[b].index_add_(0, faces[face, (edge + 1) % 3], g * t[:, None])
    return gradient.to(points)


def reach_boxes(corners: Float[Tensor, "F 3 2"], size: tuple[int, int], blur_radius: float) -> Int64[Tensor, "F 4"]:
    """Half-open pixel ranges x0 x1 y0 y1 that hold what is in reach of each face; empty for one that is left out."""
    area = _signed_area(corners)
    limit = torch.tensor([size[1] - 1, size[0] - 1], dtype=corners.dtype, device=corners.device)
    # Pixel x has its centre at x + 0.5; a thousandth of a pixel more than covers rounding.
    margin = math.sqrt(blur_radius)
    low = (corners.amin(1) - margin - 0.501).clamp(min=0.0)
    high = (corners.amax(1) + margin - 0.499).minimum(limit)
    usable = area.isfinite() & (area != 0) & (low <= high).all(-1)
    ranges = torch.stack([low.ceil(), high.floor() + 1], -1).flatten(1)
    return torch.where(usable[:, None], ranges, 0.0).long()


def _signed_area(corners: Float[Tensor, "F 3 2"]) -> Float[Tensor, "F"]:
    """Twice the area, positive for corners that turn from x to y."""
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _pairs(corners: Float[Tensor, "F 3 2"], size: tuple[int, int], blur_radius: float):
    """Pieces of the pairs that count: face, pixel, |d|, inside, nearest edge, t on it, pixel - nearest point."""
    first = corners
    along = corners.roll(-1, 1) - corners
    squared = (along * along).sum(-1)
    scale = torch.where(squared > 0, 1 / squared, 0.0)
    area = _signed_area(corners)
    boxes = reach_boxes(corners, size, blur_radius)
    for face, y, x in pixels_of(boxes):
        center = torch.stack([x, y], -1).to(corners.dtype) + 0.5
        apart = center[:, None] - first[face]
        e = along[face]
        t = ((apart * e).sum(-1) * scale[face]).clamp(0, 1)
        differences = apart - t[..., None] * e
        d, edge = (differences * differences).sum(-1).min(1)
        side = e[..., 0] * apart[..., 1] - e[..., 1] * apart[..., 0]
        inside = (torch.where(area[face] > 0, 1.0, -1.0)[:, None] * side >= 0).all(1)
        keep = (inside | (d < blur_radius)).nonzero()[:, 0]
        edge = edge[keep]
        yield (
            face[keep],
            (y * size[1] + x)[keep],
            d[keep],
            inside[keep],
            edge,
            t[keep, edge],
            differences[keep, edge],
        )


torch.library.define(
    "maquette::soft_silhouette",
    "(Tensor points, Tensor faces, int height, int width, int kind, float sigma, float blur) -> (Tensor, Tensor)",
)
torch.library.define(
    "maquette::soft_silhouette_backward",
    "(Tensor points, Tensor faces, Tensor upstream, int kind, float sigma, float blur) -> Tensor",
)


@torch.library.impl("maquette::soft_silhouette", "CompositeExplicitAutograd")
def _(points: Tensor, faces: Tensor, height: int, width: int, kind: int, sigma: float, blur: float):
    return soft_silhouette_reference(points, faces, (height, width), kind, sigma, blur)


@torch.library.register_fake("maquette::soft_silhouette")
def _(points: Tensor, faces: Tensor, height: int, width: int, kind: int, sigma: float, blur: float):
    return points.new_empty((len(points), height, width)), faces.new_empty((len(points), height, width))


@torch.library.impl("maquette::soft_silhouette", "CPU")
def _(points: Tensor, faces: Tensor, height: int, width: int, kind: int, sigma: float, blur: float):
    forward = soft_silhouette_numba if compiled() else soft_silhouette_reference
    return forward(points, faces, (height, width), kind, sigma, blur)


@torch.library.impl("maquette::soft_silhouette_backward", "CompositeExplicitAutograd")
def _(points: Tensor, faces: Tensor, upstream: Tensor, kind: int, sigma: float, blur: float) -> Tensor:
    return soft_silhouette_backward_reference(points, faces, upstream, kind, sigma, blur)


@torch.library.register_fake("maquette::soft_silhouette_backward")
def _(points: Tensor, faces: Tensor, upstream: Tensor, kind: int, sigma: float, blur: float) -> Tensor:
    return torch.empty_like(points)


@torch.library.impl("maquette::soft_silhouette_backward", "CPU")
def _(points: Tensor, faces: Tensor, upstream: Tensor, kind: int, sigma: float, blur: float) -> Tensor:
    backward = soft_silhouette_backward_numba if compiled() else soft_silhouette_backward_reference
    return backward(points, faces, upstream, kind, sigma, blur)


@torch.library.impl("maquette::soft_silhouette", "CUDA")
def _(points: Tensor, faces: Tensor, height: int, width: int, kind: int, sigma: float, blur: float):
    if importlib.util.find_spec("triton") is None:
        return soft_silhouette_reference(points, faces, (height, width), kind, sigma, blur)
    from maquette.ops.silhouette_triton import soft_silhouette_triton

    return soft_silhouette_triton(points, faces, (height, width), kind, sigma, blur)


@torch.library.impl("maquette::soft_silhouette_backward", "CUDA")
def _(points: Tensor, faces: Tensor, upstream: Tensor, kind: int, sigma: float, blur: float) -> Tensor:
    if importlib.util.find_spec("triton") is None:
        return soft_silhouette_backward_reference(points, faces, upstream, kind, sigma, blur)
    from maquette.ops.silhouette_triton import soft_silhouette_backward_triton

    return soft_silhouette_backward_triton(points, faces, upstream, kind, sigma, blur)


def soft_silhouette_numba(
    points: Float[Tensor, "B V 2"],
    faces: Int64[Tensor, "F 3"],
    size: tuple[int, int],
    kind: int,
    sigma: float,
    blur_radius: float,
) -> tuple[Float[Tensor, "B H W"], Int64[Tensor, "B H W"]]:
    """The compiled forward kernel: boxes of the faces of some views first, then bands of their rows."""
    from maquette.ops.silhouette_numba import soft_bands, soft_boxes

    check_indices("soft_silhouette", faces, points.shape[1])
    depth = torch.empty(len(points), *size, dtype=points.dtype)
    nearest = torch.empty(len(points), *size, dtype=torch.int64)
    bands, triangles = bands_of(len(points), size), faces.contiguous().numpy()
    views = max(CHUNK // max(len(faces), 1), 1)
    for start in range(0, len(points), views):
        part = slice(start, start + views)
        corners = points[part].contiguous().numpy()
        boxes = torch.empty(len(corners), len(faces), 4, dtype=torch.int32).numpy()
        parallel(soft_boxes, len(corners) * len(faces), corners, triangles, math.sqrt(blur_radius), *size, boxes)
        outputs = depth[part].numpy(), nearest[part].numpy()
        arguments = (bands, kind, corners, triangles, boxes, sigma, blur_radius, *outputs)
        parallel(soft_bands, len(corners) * bands, *arguments, chunks_per_thread=4)
    return depth, nearest


def soft_silhouette_backward_numba(
    points: Float[Tensor, "B V 2"],
    faces: Int64[Tensor, "F 3"],
    upstream: Float[Tensor, "B H W"],
    kind: int,
    sigma: float,
    blur_radius: float,
) -> Float[Tensor, "B V 2"]:
    """The compiled backward kernel; its sums do not depend on the number of threads."""
    from maquette.ops.silhouette_numba import scatter, soft_faces_backward

    gradient = torch.zeros(points.shape, dtype=torch.float64).numpy()
    corners, triangles, above = points.contiguous().numpy(), faces.contiguous().numpy(), upstream.contiguous().numpy()
    items = len(points) * len(faces)
    for first in range(0, items, CHUNK):
        last = min(first + CHUNK, items)
        result = torch.empty(last - first, 6, dtype=torch.float64).numpy()
        arguments = (first, kind, corners, triangles, math.sqrt(blur_radius), sigma, blur_radius, above, result)
        parallel(soft_faces_backward, last - first, *arguments, chunks_per_thread=8)
        scatter(first, last, triangles, result, gradient)
    return torch.from_numpy(gradient).to(points.dtype)
