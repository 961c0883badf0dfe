"""Point clouds to pictures: every point is a disc that faces the camera, the front-most disc hides the others."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette import ops
from maquette.camera import Camera
from maquette.rendering.lights import Light, Material, shade
from maquette.rendering.mesh import PLAIN
from maquette.rendering.result import Rendering
from maquette.shapes.points import PointCloud


def render_points(
    cloud: PointCloud,
    camera: Camera,
    *,
    lights: tuple[Light, ...],
    material: Material,
    background: Float[Tensor, "3"],
    radius: float,
) -> Rendering:
    """Discs of `radius` world units; lit by their normals where the cloud has them, else in their own colours."""
    count = cloud.points.shape[-2]
    if count == 0:
        raise ValueError("render: the cloud has no points")
    bad = int((~torch.isfinite(cloud.points).all(-1)).sum())
    if bad:
        raise ValueError(f"render: {bad} of {cloud.points[..., 0].numel()} points are not finite; leave them out")
    if not radius > 0:
        raise ValueError(f"render: radius is {radius}; give the discs a positive one, in world units")
    # NumPy's, because torch's imports sympy, which takes half a second.
    batch = np.broadcast_shapes(cloud.points.shape[:-2], camera.focal.shape[:-1])
    height, width = camera.size

    def flat(values: Float[Tensor, "*some N C"]) -> Float[Tensor, "B N C"]:
        return values.expand(*batch, -1, -1).reshape(-1, count, values.shape[-1])

    pixels = flat(camera.pixels_from_world(cloud.points))
    depth = pixels[..., 2]
    focal = camera.focal.mean(-1).expand(batch).reshape(-1, 1)
    in_front = torch.where(depth > 0, depth, torch.ones_like(depth))
    centers = torch.cat([pixels[..., :2] / in_front[..., None], pixels[..., 2:]], -1).detach()
    index = ops.raster_discs(centers, (radius * focal / in_front).detach(), camera.size)
    view, row, column = (index >= 0).nonzero(as_tuple=True)
    point = view * count + index[view, row, column]

    def visible(values: Float[Tensor, "*some N C"]) -> Float[Tensor, "P C"]:
        return flat(values).reshape(-1, values.shape[-1]).index_select(0, point)

    forward = camera.world_from_cam[..., :3, 2].expand(*batch, 3).reshape(-1, 3)[view]
    color = depth.new_full((len(point), 3), PLAIN) if cloud.colors is None else visible(cloud.colors)
    if cloud.normals is None:
        normal = -forward
    else:
        normal = visible(cloud.normals)
        seen = visible(cloud.points)
        towards = camera.position.expand(*batch, 3).reshape(-1, 3)[view] - seen
        normal = torch.where((towards * normal).sum(-1, keepdim=True) < 0, -normal, normal)
        color = shade(
            color, normal, positions=seen, towards_camera=towards, forward=forward, lights=lights, material=material
        )

    def spread(values: Float[Tensor, "P C"], empty: Float[Tensor, "C"]) -> Float[Tensor, "*batch H W C"]:
        picture = empty.expand(*index.shape, len(empty)).clone()
        return picture.index_put((view, row, column), values).reshape(*batch, height, width, len(empty))

    nothing = pixels.new_zeros(3)
    return Rendering(
        spread(color.clamp(0, 1), background.to(color)),
        (index >= 0).to(pixels.dtype).reshape(*batch, height, width),
        spread(visible(pixels[..., 2:].reshape(*batch, count, 1)), nothing[:1])[..., 0],
        spread(normal, nothing),
    )
