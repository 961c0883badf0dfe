"""Pictures that know how far away things are: RGB-D views, and the clouds of points they are pictures of.

H W pixels, N points. Pixel (row i, column j) of a view is the ray through (j + 0.5, i + 0.5); depth is along the z axis
of the camera.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import ops
from maquette.camera import Camera
from maquette.shapes.points import PointCloud

JUMP = 0.03
"""Neighbouring pixels whose depths differ by more than this part are on different things: a surface that is seen at
525 pixels of focal length would have to be within 4 degrees of the line of sight.
"""


@dataclass(frozen=True)
class RGBD:
    """A view, or `*batch` views of one size, in one world frame."""

    rgb: Float[Tensor, "*batch H W 3"]
    """sRGB 0..1."""
    depth: Float[Tensor, "*batch H W"]
    """Along the camera's z axis, in world units; where `mask` is false it may be anything."""
    mask: Bool[Tensor, "*batch H W"]
    """Pixels whose depth was measured and is wanted."""
    camera: Camera
    """Of the same `*batch` and size (H, W)."""

    def __post_init__(self):
        shape = tuple(self.depth.shape)
        if tuple(self.rgb.shape) != (*shape, 3) or tuple(self.mask.shape) != shape or len(shape) < 2:
            raise ValueError(
                f"RGBD: rgb {tuple(self.rgb.shape)}, depth {shape} and mask {tuple(self.mask.shape)} are not pictures "
                "of one size; give (..., H, W, 3), (..., H, W) and (..., H, W)"
            )
        if (*self.camera.focal.shape[:-1], *self.camera.size) != shape:
            raise ValueError(
                f"RGBD: depth is {shape} and the cameras are {tuple(self.camera.focal.shape[:-1])} of "
                f"{self.camera.size}; give one camera a view, of the picture's size (`camera.resized`)"
            )

    def __getitem__(self, index) -> "RGBD":
        """One of a batch of views, or a slice of it."""
        return RGBD(self.rgb[index], self.depth[index], self.mask[index], self.camera[index])


def unproject(rgbd: RGBD) -> PointCloud:
    """The points that the pixels show, in the world's frame, with colours and normals.

    Pixels outside the mask are left out, and those whose depth is not positive and finite. Points come view by view and
    row by row, all views of a batch in one cloud. Normals are `grid_normals`. Gradients flow to depth, colours, camera.
    """
    rgbd = measured(rgbd)
    keep = rgbd.mask
    points = _positions(rgbd)[keep]
    return PointCloud(points, rgbd.rgb[keep].to(points), grid_normals(rgbd)[keep])


def measured(rgbd: RGBD, *, near: float = 0.0, far: float = float("inf")) -> RGBD:
    """The view with a mask of pixels whose depth is finite, more than `near` and not above `far` (world units).

    Depths outside the mask become 1, so that nothing that is not finite enters a computation.
    """
    if not 0 <= near < far:
        raise ValueError(f"measured: depths between near {near} and far {far}; give 0 <= near < far")
    mask = rgbd.mask & rgbd.depth.isfinite() & (rgbd.depth > near) & (rgbd.depth <= far)
    return replace(rgbd, mask=mask, depth=torch.where(mask, rgbd.depth, 1.0))


def without_flying_pixels(rgbd: RGBD, *, jump: float = JUMP) -> RGBD:
    """The view without pixels at which depth jumps: a neighbour (of 4) is nearer or farther by more than `jump` of it.

    Sensors, and pictures that were made smaller, put such pixels into the air between a thing and what is behind it.
    Both sides of a jump lose the pixel next to it. A pixel without measured neighbours goes, too: nothing confirms it.
    """
    if not jump > 0:
        raise ValueError(f"without_flying_pixels: jump is {jump}; give a positive part of the depth")
    rgbd = measured(rgbd)
    torn, confirmed = torch.zeros_like(rgbd.mask), torch.zeros_like(rgbd.mask)
    for axis in (-2, -1):
        for step in (-1, 1):
            there, depth = _shifted(rgbd.mask, axis, step), _shifted(rgbd.depth, axis, step)
            torn |= there & ((depth - rgbd.depth).abs() > jump * torch.minimum(depth, rgbd.depth))
            confirmed |= there
    return replace(rgbd, mask=rgbd.mask & confirmed & ~torn)


def strided(rgbd: RGBD, stride: int) -> RGBD:
    """The view with the middle pixel of each block of `stride` x `stride` in its mask."""
    if stride < 1:
        raise ValueError(f"strided: stride is {stride}; give at least 1")
    kept = torch.zeros_like(rgbd.mask)
    kept[..., stride // 2 :: stride, stride // 2 :: stride] = True
    return replace(rgbd, mask=rgbd.mask & kept)


def grid_normals(rgbd: RGBD, *, reach: int = 2, jump: float = JUMP) -> Float[Tensor, "*batch H W 3"]:
    """Unit normals, in world axes and turned to the camera, of the surface that the depths sample.

    The cross product of two tangents, one along the row and one along the column: the difference of the points `reach`
    pixels to either side (exact on planes; a wider reach averages a sensor's noise), or of one side and the middle
    where the other is not measured or lies across a `jump` of depth, as in `without_flying_pixels`. Where a direction
    has no such neighbour the normal points at the camera. 0 outside the mask.
    """
    if reach < 1:
        raise ValueError(f"grid_normals: reach is {reach}; give at least 1 pixel")
    rgbd = measured(rgbd)
    points = _positions(rgbd)
    tangents, known = [], rgbd.mask
    for axis in (-1, -2):
        ends, sides = [], []
        for step in (reach, -reach):
            depth = _shifted(rgbd.depth, axis, step)
            close = (depth - rgbd.depth).abs() <= reach * jump * torch.minimum(depth, rgbd.depth)
            side = _shifted(rgbd.mask, axis, step) & close
            sides.append(side)
            ends.append(torch.where(side[..., None], _shifted(points, axis - 1, step), points))
        tangents.append(ends[0] - ends[1])
        known = known & (sides[0] | sides[1])
    # The picture's x and y are right and down, z is forward: right x down points away from the camera.
    across = -torch.linalg.cross(*tangents)
    towards = rgbd.camera.position[..., None, None, :] - points
    across = torch.where((across * towards).sum(-1, keepdim=True) < 0, -across, across)
    normal = torch.where(known[..., None], across, towards)
    normal = torch.nn.functional.normalize(torch.where(rgbd.mask[..., None], normal, 1.0), dim=-1, eps=1e-30)
    return normal * rgbd.mask[..., None]


def distances_between_neighbours(
    clouds: Sequence[PointCloud], *, most: int = 20_000
) -> list[tuple[Float[Tensor, ""], Float[Tensor, ""]]]:
    """How well views that follow each other lie on each other: medians of the distance to the nearest point, in world
    units, from each cloud to the next one and from that back.

    At most `most` evenly spaced points of a cloud are asked. What only one of two views saw counts, too: the median
    means something while they share more than half of what they see. Clouds without points are an error.
    """
    for k, cloud in enumerate(clouds):
        if len(cloud.points) == 0:
            raise ValueError(f"distances_between_neighbours: view {k} has no points; leave it out")
    return [
        (_median_distance(here, there, most), _median_distance(there, here, most)) for here, there in pairwise(clouds)
    ]


def _median_distance(cloud: PointCloud, other: PointCloud, most: int) -> Float[Tensor, ""]:
    asked = cloud.points[:: -(-len(cloud.points) // most)]
    found = other.points[ops.nearest(asked[None], other.points[None])[0, :, 0]]
    return (asked - found).norm(dim=-1).median()


def _positions(rgbd: RGBD) -> Float[Tensor, "*batch H W 3"]:
    return rgbd.camera.position[..., None, None, :] + rgbd.camera.rays() * rgbd.depth[..., None]


def _shifted(values: Tensor, axis: int, step: int) -> Tensor:
    """The value `step` further along `axis` (negative: counted from the last), 0 or false beyond the border."""
    size = values.shape[axis]
    step = max(-size, min(step, size))
    gap = torch.zeros_like(values.narrow(axis, 0, abs(step)))
    if step >= 0:
        return torch.cat([values.narrow(axis, step, size - step), gap], axis)
    return torch.cat([gap, values.narrow(axis, 0, size + step)], axis)
