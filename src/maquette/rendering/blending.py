"""Colours of all faces at and around a pixel, blended over depth: SoftRas (Liu et al. 2019, section 3.3).

B views, V vertices, F faces, H W pixels, P pairs of a face and a pixel within its blur: fragments that name a pixel
once for each of its faces. A pair's coverage is D = sigmoid(-d / sigma), as in `Soft`, and its weight in the pixel's
colour D exp(-depth / gamma) over the sum of these.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from maquette.ops.raster import pixels_of
from maquette.ops.silhouette import reach_boxes
from maquette.rendering.fragments import Fragments, at_pixels, interpolate, nearest_on_faces
from maquette.rendering.result import Blended
from maquette.rendering.silhouettes import reach
from maquette.shapes.mesh import Mesh

PAIRS = 1 << 16
"""Pairs of a face and a pixel that are looked at at a time."""


def blended_over_depth(
    mesh: Mesh,
    screen: Float[Tensor, "B V 4"],
    shape: tuple[int, ...],
    edges: Blended,
    color_of: Callable[[Fragments], Float[Tensor, "P 3"]],
) -> Float[Tensor, "*batch H W 3"]:
    """The blended colours of pictures of `shape` (*batch, H, W), of no meaning where no face is within its blur.

    Pairs are shaded in pieces, and again on the way back, so that memory does not grow with the number of faces over a
    pixel: a piece leaves its sums behind.
    """
    sigma, blur = reach(edges, (shape[-2], shape[-1]))
    count = math.prod(shape)

    def depth_of(seen: Fragments) -> Float[Tensor, " P"]:
        return interpolate(seen, screen[..., 3:].reshape(*shape[:-2], -1, 1))[:, 0]

    # Weights are told from the nearest face of each pixel on, whose own is then not lost in rounding.
    nearest, pieces = screen.new_full((count,), torch.inf), []
    with torch.no_grad():
        for seen in _within_blur(mesh, screen, shape, blur):
            nearest.scatter_reduce_(0, seen.pixels, depth_of(seen), "amin")
            pieces.append((seen.pixels, seen.faces))

    def sums_of(pixels: Int64[Tensor, " P"], faces: Int64[Tensor, " P"]) -> Float[Tensor, "P 4"]:
        seen, signed = _placed(mesh, screen, shape, pixels, faces)
        coverage = torch.sigmoid(-signed / sigma).to(screen.dtype)
        nearness = (nearest.index_select(0, pixels) - depth_of(seen)) / edges.gamma
        weight = (coverage * torch.exp(nearness))[:, None]
        return torch.cat([weight * color_of(seen), weight], 1)

    total = screen.new_zeros(count, 4)
    for pixels, faces in pieces:
        if torch.is_grad_enabled():
            sums = checkpoint(sums_of, pixels, faces, use_reentrant=False, preserve_rng_state=False)
        else:
            sums = sums_of(pixels, faces)
        total = total.to(sums).index_add(0, pixels, sums)
    weight = total[:, 3:]
    return (total[:, :3] / torch.where(weight > 0, weight, 1.0)).reshape(*shape, 3)


def _placed(
    mesh: Mesh,
    screen: Float[Tensor, "B V 4"],
    shape: tuple[int, ...],
    pixels: Int64[Tensor, " P"],
    faces: Int64[Tensor, " P"],
) -> tuple[Fragments, Float[Tensor, " P"]]:
    """The pairs, each at its face's point nearest to the pixel's centre, and d: squared pixels, negative inside."""
    seen = at_pixels(mesh, screen, shape, pixels, faces)
    around, squared = nearest_on_faces(seen, screen)
    inside = (seen.barycentrics >= 0).all(1)
    barycentrics = torch.where(inside[:, None], seen.barycentrics, around)
    return replace(seen, barycentrics=barycentrics), torch.where(inside, -squared, squared)


def _within_blur(
    mesh: Mesh, screen: Float[Tensor, "B V 4"], shape: tuple[int, ...], blur: float
) -> Iterator[Fragments]:
    """The pairs that `ops.soft_silhouette` counts, in pieces: pixels on the face, or nearer than the blur to it."""
    height, width = shape[-2:]
    w = screen[..., 2:3]
    points = torch.where(w > 0, screen[..., :2] / torch.where(w > 0, w, 1.0), torch.nan).double()
    for view in range(len(points)):
        boxes = reach_boxes(points[view][mesh.faces.long()], (height, width), blur)
        for face, y, x in pixels_of(boxes, PAIRS):
            seen, signed = _placed(mesh, screen, shape, (view * height + y) * width + x, face)
            near = (signed < blur).nonzero()[:, 0]
            yield at_pixels(mesh, screen, shape, seen.pixels[near], face[near], seen.barycentrics[near])
