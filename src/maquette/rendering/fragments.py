"""What the pixels see of a mesh: a list of faces and barycentrics, from which anything can be shaded.

B views, V vertices, F faces, H W pixels, P pixels that see something, C channels. For a pixel's ray d = (x, y, 1) and a
face with homogeneous corners v0 v1 v2, the barycentrics of the hit are proportional to d . (v1 x v2), d . (v2 x v0),
d . (v0 x v1) (Olano and Greer 1997), so perspective needs no case of its own.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette import ops
from maquette.camera import AnyCamera, Camera
from maquette.shapes.mesh import Mesh, check_sound


@dataclass(frozen=True)
class Fragments:
    """The P pixels of a batch of pictures that see a face, view by view and row by row."""

    pixels: Int[Tensor, "P"]
    """Places in the pictures, which are laid out as `shape` and flattened."""
    views: Int[Tensor, "P"]
    """Places in the batch, flattened."""
    faces: Int[Tensor, "P"]
    corners: Int[Tensor, "P 3"]
    """The vertices of the faces."""
    barycentrics: Float[Tensor, "P 3"]
    """Weights of the corners, correct in perspective; they sum to 1. Gradients flow to vertices and camera."""
    shape: tuple[int, ...]
    """(*batch, H, W)."""


def fragments(mesh: Mesh, camera: AnyCamera) -> Fragments:
    """The nearest face at each pixel's centre, as `render` sees it, and where on it the centre lies.

    A shader of one's own is then a few lines of tensors of P rows:

        seen = fragments(mesh, camera)
        normal = interpolate(seen, vertex_normals(mesh))
        picture = paint(seen, (normal + 1) / 2, torch.ones(3))
    """
    check_sound(mesh, "fragments")
    screen = on_screen(mesh, camera)
    face = ops.raster(in_order_of_depth(camera, screen), mesh.faces, camera.size)
    return seen_of(mesh, camera, screen, face)


def interpolate(seen: Fragments, values: Float[Tensor, "*some V C"]) -> Float[Tensor, "P C"]:
    """Vertex attributes at the visible points: linear on the surface, so correct in perspective.

    `values` may have the pictures' batch in front. Gradients flow to the values and to the barycentrics.
    """
    return weighted(at_corners(seen, values), seen.barycentrics)


def interpolate_corners(seen: Fragments, values: Float[Tensor, "F 3 C"]) -> Float[Tensor, "P C"]:
    """Attributes given at each corner of each face, such as `Texture.uv`, at the visible points."""
    rows = values.flatten(1).index_select(0, seen.faces)
    by_column = rows.t().contiguous().reshape(3, values.shape[-1], len(rows))
    return weighted(by_column.permute(2, 0, 1), seen.barycentrics)


def paint(seen: Fragments, values: Float[Tensor, "P C"], empty: Float[Tensor, "C"]) -> Float[Tensor, "*batch H W C"]:
    """Pictures with `values` where something is seen and `empty` elsewhere."""
    picture = empty.to(values).expand(math.prod(seen.shape), -1).contiguous()
    return picture.index_copy(0, seen.pixels, values.contiguous()).reshape(*seen.shape, len(empty))


def at_corners(seen: Fragments, values: Float[Tensor, "*some V C"]) -> Float[Tensor, "P 3 C"]:
    """Vertex attributes at the three corners of each visible face.

    In memory each column stands by itself, which is several times as fast in sums over so few corners and channels.
    """
    count, channels = values.shape[-2:]
    index = seen.corners.t()
    if math.prod(values.shape[:-2]) > 1:
        batch = seen.shape[:-2]
        values, index = values.expand(*batch, count, channels), seen.views * count + index
    rows = values.reshape(-1, channels).index_select(0, index.reshape(-1))
    return rows.t().contiguous().reshape(channels, 3, -1).permute(2, 1, 0)


def weighted(corners: Float[Tensor, "P 3 C"], weights: Float[Tensor, "P 3"]) -> Float[Tensor, "P C"]:
    """The sum over the corners."""
    a, b, c = corners.unbind(1)
    u, v, w = weights[..., None].unbind(1)
    return a * u + b * v + c * w


def on_screen(mesh: Mesh, camera: AnyCamera) -> Float[Tensor, "B V 4"]:
    """Homogeneous pixels (x w, y w, w) and the depth of the vertices in every view."""
    scale = camera.focal if isinstance(camera, Camera) else camera.scale
    # NumPy's, because torch's imports sympy, which takes half a second.
    batch = np.broadcast_shapes(mesh.vertices.shape[:-2], scale.shape[:-1])
    pixels = camera.pixels_from_world(mesh.vertices)
    depth = pixels[..., 2] if isinstance(camera, Camera) else camera.depth(mesh.vertices)
    both = torch.cat([pixels, depth[..., None]], -1)
    return both.expand(*batch, *both.shape[-2:]).reshape(math.prod(batch), both.shape[-2], 4)


def in_order_of_depth(camera: AnyCamera, screen: Float[Tensor, "B V 4"]) -> Float[Tensor, "B V 3"]:
    """Homogeneous pixels whose w grows with depth, for parallel rays too: what the z-buffer takes."""
    if isinstance(camera, Camera) or not screen.numel():
        return screen[..., :3]
    # With parallel rays depth is linear on the screen, as 1 / w is in perspective: w = 1 / (something - depth).
    depth = screen[..., 3:].detach()
    low, high = torch.aminmax(depth)
    return screen[..., :3] / ((high - depth) / (high - low).clamp(min=1e-12) + 1)


def seen_of(mesh: Mesh, camera: AnyCamera, screen: Float[Tensor, "B V 4"], faces: Int[Tensor, "B H W"]) -> Fragments:
    """The fragments of the pixels with a face, which need not cover the pixel's centre."""
    scale = camera.focal if isinstance(camera, Camera) else camera.scale
    batch = np.broadcast_shapes(mesh.vertices.shape[:-2], scale.shape[:-1])
    flat = faces.reshape(-1)
    pixels = (flat >= 0).nonzero()[:, 0]
    return at_pixels(mesh, screen, (*batch, *camera.size), pixels, flat.index_select(0, pixels))


def at_pixels(
    mesh: Mesh,
    screen: Float[Tensor, "B V 4"],
    shape: tuple[int, ...],
    pixels: Int[Tensor, "P"],
    faces: Int[Tensor, "P"],
    barycentrics: Float[Tensor, "P 3"] | None = None,
) -> Fragments:
    """The fragments of pairs of a pixel of pictures of `shape` (*batch, H, W) and a face.

    Barycentrics are those of the pixel's centre, beyond 0..1 where the face does not cover it, unless others are given.
    """
    views = pixels // (shape[-2] * shape[-1])
    corners = mesh.faces.index_select(0, faces)
    if barycentrics is not None:
        return Fragments(pixels, views, faces, corners, barycentrics, shape)
    blank = Fragments(pixels, views, faces, corners, screen.new_empty(len(pixels), 3), shape)
    return replace(blank, barycentrics=_barycentrics(blank, screen))


def _around_pixels(
    seen: Fragments, screen: Float[Tensor, "B V 4"]
) -> tuple[Float[Tensor, "3 P"], Float[Tensor, "3 P"], Float[Tensor, "3 P"], Float[Tensor, "2 P"]]:
    """x w, y w and w of the faces' corners, and the pixels' centres, in float64."""
    height, width = seen.shape[-2:]
    place = seen.pixels - seen.views * (height * width)
    row = place // width
    middle = torch.stack([place - row * width, row]).double() + 0.5
    corners = at_corners(seen, screen[..., :3].reshape(*seen.shape[:-2], -1, 3))
    x, y, w = corners.permute(2, 1, 0).double()
    return x, y, w, middle


def _barycentrics(seen: Fragments, screen: Float[Tensor, "B V 4"]) -> Float[Tensor, "P 3"]:
    # In float64, like the kernel: float32 sees the corners of a face that is edge-on in one line, and divides 0 by 0.
    x, y, w, middle = _around_pixels(seen, screen)
    # Shifted to the pixel, so that large coordinates do not cancel: only x - x_pixel w is small.
    x, y = x - middle[0] * w, y - middle[1] * w
    weights = x.roll(-1, 0) * y.roll(1, 0) - y.roll(-1, 0) * x.roll(1, 0)
    total = weights.sum(0)
    return (weights / torch.where(total == 0, 1.0, total)).to(screen.dtype).t()


def nearest_on_faces(
    seen: Fragments, screen: Float[Tensor, "B V 4"]
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P"]]:
    """The points of the faces' edges that are nearest to the pixels' centres on the screen.

    Their barycentrics, and their distance, squared, in squared pixels and float64. Faces with a corner at w <= 0 have
    none that mean anything.
    """
    x, y, w, middle = _around_pixels(seen, screen)
    w = torch.where(w > 0, w, 1.0)
    x, y = x / w - middle[0], y / w - middle[1]
    # Edge i leads from corner i to the next; the pixel's centre is the origin.
    along_x, along_y = x.roll(-1, 0) - x, y.roll(-1, 0) - y
    squared = along_x * along_x + along_y * along_y
    t = (-(x * along_x + y * along_y) / torch.where(squared == 0, 1.0, squared)).clamp(0, 1)
    distance = (x + t * along_x) ** 2 + (y + t * along_y) ** 2
    edge = distance.detach().min(0, keepdim=True).indices
    t, distance = t.gather(0, edge), distance.gather(0, edge)[0]
    weights = torch.zeros_like(x).scatter(0, edge, 1 - t).scatter(0, (edge + 1) % 3, t)
    weights = weights / w  # in perspective
    return (weights / weights.sum(0)).to(screen.dtype).t(), distance
