"""Point clouds to pictures: every point is a disc that faces the camera.

B views, N points, I points of all views, H W pixels, P of them covered, K discs over a pixel, U points that any
view shows.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from maquette import ops
from maquette.camera import AnyCamera, Camera, OrthographicCamera
from maquette.rendering.discs import THINNEST, Averaged, Composited, Discs, weights_of
from maquette.rendering.lights import Light, Material, shade
from maquette.rendering.mesh import PLAIN
from maquette.rendering.result import Hard, Rendering
from maquette.shapes.mesh import unit
from maquette.shapes.points import PointCloud

PAIRS = 1 << 19
"""Pairs of a pixel and a disc over it that are worked on at a time: about 150 MB with their gradients."""


def render_points(
    cloud: PointCloud,
    camera: AnyCamera,
    *,
    lights: tuple[Light, ...],
    material: Material,
    background: Float[Tensor, "3"],
    radius: float | Float[Tensor, "*some N"],
    edges: Discs = Hard(),
) -> Rendering:
    """Discs of `radius` world units; lit by their normals where the cloud has them, else in their own colours.

    `Hard`: the disc in front hides the others; gradients flow to depths, colours and normals of what is seen.
    `Composited` and `Averaged`: also to where the discs are on the screen and how large they are; depth and normal are
    means over what is seen. A cloud without points shows the background. Points that are not finite are an error.
    """
    bad = int((~torch.isfinite(cloud.points).all(-1)).sum())
    if bad:
        raise ValueError(f"render: {bad} of {cloud.points[..., 0].numel()} points are not finite; leave them out")
    radii = _of_each("radius", radius, cloud)
    if not bool(((radii > 0) & radii.isfinite()).all()):
        raise ValueError(f"render: radius is {radius}; give the discs a positive one, in world units")
    # NumPy's, because torch's imports sympy, which takes half a second.
    batch = np.broadcast_shapes(cloud.points.shape[:-2], camera.world_from_cam.shape[:-2])
    views, count, (height, width) = math.prod(batch), cloud.points.shape[-2], camera.size

    def flat(values: Float[Tensor, "*some N C"]) -> Float[Tensor, "B N C"]:
        return values.expand(*batch, -1, -1).reshape(views, count, values.shape[-1])

    depth, discs = _on_screen(flat(cloud.points), flat(radii[..., None])[..., 0], camera, batch)
    if isinstance(camera, Camera):
        order = depth
    else:
        # Parallel rays see what is behind the camera, too: any positive depths in the same order will do.
        order = depth - depth.amin(1, keepdim=True) + 1 if count else depth
    centers, r = torch.cat([discs[..., :2], order[..., None]], -1).detach(), discs[..., 2].detach()
    pixel, item = _over_pixels(centers, r, camera.size, 1 if isinstance(edges, Hard) else edges.layers)
    rank, shown = _compact(item, views * count)

    def of_shown(values: Float[Tensor, "*some N C"]) -> Float[Tensor, "U C"]:
        return flat(values).reshape(views * count, values.shape[-1]).index_select(0, shown)

    looks = _looks(cloud, camera, of_shown, shown // max(count, 1), lights=lights, material=material)
    looks = torch.cat([looks, depth.reshape(-1, 1).index_select(0, shown)], 1)
    if isinstance(edges, Hard):
        # The disc in front is what the pixel shows.
        seen, alpha = looks.index_select(0, rank[item[:, 0]]), depth.new_ones(len(pixel))
    else:
        near = torch.cat([discs, flat(_of_each("opacity", edges.opacity, cloud)[..., None])], -1).reshape(-1, 4)
        seen, alpha = _blend(pixel % (height * width), width, item, rank, looks, near.index_select(0, shown), edges)
    color, normal, away = seen.split([3, 3, 1], -1)
    color = color + (1 - alpha)[:, None] * background.to(color)
    away = away / torch.where(alpha > THINNEST, alpha, torch.inf)[:, None]

    def spread(values: Float[Tensor, "P C"], empty: Float[Tensor, "C"]) -> Float[Tensor, "*batch H W C"]:
        picture = empty.to(values).expand(views * height * width, -1).clone()
        return picture.index_put((pixel,), values).reshape(*batch, height, width, len(empty))

    nothing = depth.new_zeros(3)
    return Rendering(
        spread(color, background),
        spread(alpha[:, None], nothing[:1])[..., 0],
        spread(away, nothing[:1])[..., 0],
        spread(unit(normal), nothing),
    )


def _on_screen(
    points: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], camera: AnyCamera, batch: tuple[int, ...]
) -> tuple[Float[Tensor, "B N"], Float[Tensor, "B N 3"]]:
    """(depth, discs): discs are (x, y, radius) in pixels, of no meaning at or behind a pinhole's plane."""

    def of_views(values: Float[Tensor, "*some C"]) -> Float[Tensor, "B C"]:
        return values.expand(*batch, -1).reshape(-1, values.shape[-1])

    pose = camera.world_from_cam.expand(*batch, 4, 4).reshape(-1, 4, 4)
    middle = of_views(camera.center)
    match camera:
        case Camera():
            each = Camera(pose, of_views(camera.focal), middle, camera.size)
            depth = each.depth(points)
            w, scale = torch.where(depth > 0, depth, 1.0), each.focal.mean(-1, keepdim=True)
        case OrthographicCamera():
            each = OrthographicCamera(pose, of_views(camera.scale), middle, camera.size)
            depth = each.depth(points)
            w, scale = torch.ones_like(depth), each.scale.mean(-1, keepdim=True)
    pixels = each.pixels_from_world(points)[..., :2] / w[..., None]
    return depth, torch.cat([pixels, (radii * scale / w)[..., None]], -1)


def _looks(
    cloud: PointCloud,
    camera: AnyCamera,
    of_shown: Callable[[Float[Tensor, "*some N C"]], Float[Tensor, "U C"]],
    view: Int64[Tensor, " U"],
    *,
    lights: tuple[Light, ...],
    material: Material,
) -> Float[Tensor, "U 6"]:
    """Colour, lit, and normal, turned to the camera, of the points that are shown."""
    pose = camera.world_from_cam
    pose = pose.expand(*np.broadcast_shapes(cloud.points.shape[:-2], pose.shape[:-2]), 4, 4).reshape(-1, 4, 4)
    forward, points = pose[view, :3, 2], of_shown(cloud.points)
    color = torch.full_like(points, PLAIN) if cloud.colors is None else of_shown(cloud.colors)
    if cloud.normals is None:
        return torch.cat([color.clamp(0, 1), -forward], -1)
    towards = pose[view, :3, 3] - points if isinstance(camera, Camera) else -forward
    normal = of_shown(cloud.normals)
    normal = torch.where((towards * normal).sum(-1, keepdim=True) < 0, -normal, normal)
    lit = shade(
        color, normal, positions=points, towards_camera=towards, forward=forward, lights=lights, material=material
    )
    return torch.cat([lit.clamp(0, 1), normal], -1)


def _over_pixels(
    centers: Float[Tensor, "B N 3"], radii: Float[Tensor, "B N"], size: tuple[int, int], layers: int
) -> tuple[Int64[Tensor, " P"], Int64[Tensor, "P K"]]:
    """Pixels that discs cover, and the points there, nearest first; both count through all views, -1 is no point."""
    area, count = size[0] * size[1], centers.shape[1]
    pixels, items = [], []
    step = max(1, PAIRS // (area * layers))
    for first in range(0, len(centers), step):
        part = centers[first : first + step], radii[first : first + step], size
        found = ops.raster_discs(*part)[..., None] if layers == 1 else ops.raster_discs_layers(*part, layers=layers)
        found = found.reshape(-1, layers)
        pixel = (found[:, 0] >= 0).nonzero()[:, 0]
        found = found.index_select(0, pixel)
        pixel = pixel + first * area
        pixels.append(pixel)
        items.append(torch.where(found >= 0, found + (pixel // area * count)[:, None], -1))
    nothing = torch.empty(0, dtype=torch.int64, device=centers.device)
    return torch.cat([nothing, *pixels]), torch.cat([nothing.reshape(0, layers), *items])


def _blend(
    place: Int64[Tensor, " P"],
    width: int,
    items: Int64[Tensor, "P K"],
    rank: Int64[Tensor, " I"],
    looks: Float[Tensor, "U C"],
    near: Float[Tensor, "U 4"],
    edges: Composited | Averaged,
) -> tuple[Float[Tensor, "P C"], Float[Tensor, " P"]]:
    """What the discs over each pixel show together, and alpha. `near` is (x, y, radius, opacity) of a disc.

    As many pairs of a pixel and a disc as PAIRS are held at a time; where there are more, the backward pass works them
    out once more. A pixel's sums are its own, so the picture is the same.
    """

    def piece(rows: slice, looks: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        item, here = items[rows], place[rows]
        row, layer = (item >= 0).nonzero(as_tuple=True)
        point = rank[item[row, layer]]
        x, y, r, opacity = near.index_select(0, point).unbind(-1)
        here = here[row]
        squared = (here % width + 0.5 - x) ** 2 + (here // width + 0.5 - y) ** 2
        # The kernel found them within the radius in float64: a rim that rounds to beyond it has opacity 0.
        opacity = opacity * (1 - squared / (r * r)).clamp(min=0)
        weights, alpha = weights_of(torch.zeros_like(item, dtype=x.dtype).index_put((row, layer), opacity), edges)
        part = looks.index_select(0, point) * weights[row, layer][:, None]
        return part.new_zeros(len(item), looks.shape[1]).index_add(0, row, part), alpha

    step = max(1, PAIRS // items.shape[1])
    if len(items) <= step:
        return piece(slice(None), looks, near)
    pieces = [
        checkpoint(piece, slice(first, first + step), looks, near, use_reentrant=False, preserve_rng_state=False)
        for first in range(0, len(items), step)
    ]
    seen, alpha = zip(*pieces, strict=True)
    return torch.cat(seen), torch.cat(alpha)


def _compact(items: Int64[Tensor, "P K"], count: int) -> tuple[Int64[Tensor, " I"], Int64[Tensor, " U"]]:
    """(rank, shown): `shown` lists once, in order, what occurs among `items` < `count`; shown[rank[i]] is item i."""
    occurs = torch.zeros(count, dtype=torch.bool, device=items.device)
    for some in items.split(max(1, PAIRS // items.shape[1])):
        occurs[some[some >= 0]] = True
    return occurs.cumsum(0) - 1, occurs.nonzero()[:, 0]


def _of_each(name: str, value: float | Tensor, cloud: PointCloud) -> Float[Tensor, "*some N"]:
    """One number for all points, or one of each, as a tensor of theirs."""
    points = cloud.points
    if not isinstance(value, Tensor):
        return points.new_tensor(value).expand(points.shape[-2])
    if value.dtype != points.dtype or value.device != points.device or value.shape[-1:] != points.shape[-2:-1]:
        raise ValueError(
            f"render: {name} is {value.dtype} {tuple(value.shape)} on {value.device} for points {points.dtype} "
            f"{tuple(points.shape)} on {points.device}; give one number, or one for each point"
        )
    return value
