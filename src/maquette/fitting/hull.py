"""The visual hull: what silhouettes leave of space. It tells where an object is, and how large, before any fit.

K views, N points. No fit to silhouettes can tell a shape from its hull: a hollow that no outline shows stays filled.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera
from maquette.fitting.views import Views

RESOLUTION = 48
"""Points along each side of the cube that is carved."""
MISSED = 0.1
"""Part of the views that may miss a point of the hull more than they miss its surest point: cameras are never exact."""


def hull_points(views: Views, resolution: int = RESOLUTION) -> Float[Tensor, "N 3"]:
    """Points of a grid that lie in the silhouettes of (nearly) all views in whose pictures they are.

    The grid is a cube around the point that the views look at together. ValueError if the silhouettes have nothing in
    common, which means that the cameras are not those of the pictures.
    """
    middle, reach = _looked_at(views)
    steps = (torch.arange(resolution) + 0.5) / resolution * 2 - 1
    points = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3) * reach + middle
    inside, seen = _counts(views, points)
    share = inside / seen.clamp(min=1)
    best = float(share.max())
    if best < 0.6:
        raise ValueError(
            f"fit silhouettes: no point of space lies in more than {100 * best:.0f} % of the silhouettes that should "
            "show it; the cameras are not those of the pictures, or stand in another order or convention"
        )
    return points[share >= best - MISSED]


def unit_from_points(points: Float[Tensor, "N 3"]) -> Float[Tensor, "4 4"]:
    """The map of the points' box to the cube [-1, 1]^3: its middle to the origin, its longest half side to 1."""
    low, high = points.amin(0), points.amax(0)
    half = float((high - low).max()) / 2 or 1.0
    return transforms.scale_translate(1 / half, -(low + high) / 2 / half)


def _looked_at(views: Views) -> tuple[Float[Tensor, "3"], float]:
    """The point nearest to the rays through the middles of the silhouettes, and how far the object reaches from it."""
    cameras = views.cameras
    boxes = torch.stack([_box(mask) for mask in views.masks])
    low, high = boxes[:, :2], boxes[:, 2:]
    through = cameras.unproject(((low + high) / 2)[:, None], torch.ones(len(views), 1))[:, 0] - cameras.position
    direction = through / through.norm(dim=-1, keepdim=True)
    # Sum over the rays of |(I - d d^T) (x - position)|^2, with a little weight on their starts should all be parallel.
    across = torch.eye(3) - direction[:, :, None] * direction[:, None]
    matrix = across.sum(0) + 1e-6 * len(views) * torch.eye(3)
    middle = torch.linalg.solve(matrix, (across @ cameras.position[..., None]).sum(0))[:, 0]
    depth = cameras.depth(middle[None])[:, 0]
    if not bool((depth > 0).any()):
        raise ValueError("fit silhouettes: the cameras look away from each other; check their convention (up, axes)")
    extents = ((high - low) / 2 / cameras.focal).amax(1) * depth
    return middle, 1.3 * float(extents[depth > 0].max())


def _box(mask: Tensor) -> Float[Tensor, "4"]:
    """(x0, y0, x1, y1) in pixels."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).float()


def _counts(views: Views, points: Float[Tensor, "N 3"]) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " N"]]:
    """In how many silhouettes each point lies, and in how many pictures."""
    inside = torch.zeros(len(points), dtype=torch.int64)
    seen = torch.zeros_like(inside)
    for k in range(len(views)):
        camera: Camera = views.cameras[k]
        x, y, w = camera.pixels_from_world(points).unbind(-1)
        front = w > 0
        depth = torch.where(front, w, 1.0)
        column, row = (x / depth).floor(), (y / depth).floor()
        within = front & (column >= 0) & (row >= 0) & (column < camera.size[1]) & (row < camera.size[0])
        place = torch.where(within, row * camera.size[1] + column, 0.0).long()
        inside += within & views.masks[k].reshape(-1)[place]
        seen += within
    # Too few pictures prove nothing.
    return torch.where(seen * 2 > len(views), inside, 0), seen
