"""Cameras that lay a solid over its picture: cropping loses scale and position, the object's box gives them back."""

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.camera import Camera, orbit


def aligned_camera(
    points: Float[Tensor, "N 3"],
    viewpoint: tuple[float, float, float],
    box: tuple[float, float, float, float],
    *,
    size: tuple[int, int],
) -> Camera:
    """The camera at `viewpoint` in whose picture the box about `points` coincides with `box`.

    `viewpoint` is (azimuth, elevation, distance), as `orbit` takes it; `box` is (x0, y0, x1, y1) in pixels of a picture
    of `size` (H, W). One focal length serves both axes, so boxes of another shape agree at their centres only and in
    the least squares of width and height. Closed form: a projection at focal 1, scaled and moved.
    """
    azimuth, elevation, distance = points.new_tensor(viewpoint).unbind()
    unit, low, high = _at_focal_1(points, (azimuth, elevation, distance))
    extent = high - low
    if not bool(torch.isfinite(extent).all()) or float(extent.max()) <= 0:
        raise ValueError(f"aligned_camera: the {len(points)} points span {extent.tolist()} at focal 1; give a solid")
    corners = points.new_tensor(box).reshape(2, 2)
    wanted = corners[1] - corners[0]
    if not bool((wanted > 0).all()) or not bool(torch.isfinite(wanted).all()):
        raise ValueError(f"aligned_camera: box is {box}; give (x0, y0, x1, y1) in pixels with x0 < x1 and y0 < y1")
    focal = (wanted * extent).sum() / (extent * extent).sum()
    center = corners.mean(0) - focal * (low + high) / 2
    return Camera(unit.world_from_cam, focal.expand(2), center, size)


def cropped_cameras(
    points: Float[Tensor, "*batch N 3"],
    viewpoint: tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]],
    *,
    margin: float,
) -> Camera:
    """The cameras at `viewpoint` whose picture is the square that `maquette.data.crop` cuts about the points.

    Pictures are of size (1, 1): a pixel is the whole square, in whose middle lies the box about the points, with
    `margin` times its longer side free on every side. Points without an extent give a camera all the same.
    """
    unit, low, high = _at_focal_1(points, viewpoint)
    longer = (high - low).amax(-1, keepdim=True).clamp(min=1e-6)
    focal = 1 / ((1 + 2 * margin) * longer)
    return Camera(unit.world_from_cam, focal.expand_as(low), 0.5 - focal * (low + high) / 2, (1, 1))


def _at_focal_1(
    points: Float[Tensor, "*batch N 3"],
    viewpoint: tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"], Float[Tensor, "*batch"]],
) -> tuple[Camera, Float[Tensor, "*batch 2"], Float[Tensor, "*batch 2"]]:
    """The camera at a viewpoint, and the corners of the points' box in its picture."""
    azimuth, elevation, distance = viewpoint
    # Never inside the object: a bad prediction must not turn points over.
    reach = points.norm(dim=-1).amax(-1)
    unit = orbit(azimuth, elevation, torch.maximum(distance, 1.05 * reach), focal=1.0, size=(0, 0))
    plane = unit.project(points)
    return unit, plane.amin(-2), plane.amax(-2)
