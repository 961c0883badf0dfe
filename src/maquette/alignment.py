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
    # Never inside the object: a bad prediction must not turn points over.
    reach = float(points.norm(dim=-1).max())
    unit = orbit(azimuth, elevation, distance.clamp(min=1.05 * reach), focal=1.0, size=(0, 0))
    plane = unit.project(points)
    low, high = plane.amin(0), plane.amax(0)
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
