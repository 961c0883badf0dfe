"""A shape from all sides: cameras once around it at one height and distance, so that nothing jumps between frames."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.camera import focal_from_fov, orbit
from maquette.rendering.lights import STUDIO, Light
from maquette.rendering.verbs import WHITE, antialiased, render
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, bounds, to_mesh, transform

FOV = math.radians(35)
"""Field of view across the shorter side of a frame."""
MARGIN = 1.08
"""Room around the shape, as a factor of its radius."""


def turntable(
    shape: Shape,
    *,
    frames: int = 36,
    size: tuple[int, int] = (256, 256),
    elevation: float = math.radians(20),
    distance: float | None = None,
    lights: tuple[Light, ...] = STUDIO,
    background: tuple[float, float, float] = WHITE,
) -> Float[Tensor, "T H W 3"]:
    """Antialiased pictures, sRGB 0..1, from `frames` azimuths equally spaced, the front first and then towards +x.

    The cameras look at the middle of the shape's bounds. `distance` is in world units from there; None takes the one
    at which the whole shape is in every frame. `elevation` is in radians.
    """
    if frames < 1:
        raise ValueError(f"turntable: frames is {frames}; ask for at least one")
    if isinstance(shape, Voxels):
        shape = to_mesh(shape)
    low, high = bounds(shape).unbind(-2)
    if low.ndim != 1:
        raise ValueError(f"turntable: bounds have shape {tuple(low.shape)}; give one shape, not a batch")
    centred = transform(shape, transforms.scale_translate(1.0, -(low + high) / 2))
    match centred:
        case Mesh(points) | PointCloud(points):
            radius = max(float(points.norm(dim=-1).max()), 1e-12)
    if distance is None:
        # The cone of view touches the sphere about the shape.
        distance = MARGIN * radius / math.sin(FOV / 2)
    azimuth = torch.arange(frames, dtype=low.dtype, device=low.device) / frames * 2 * math.pi
    focal = focal_from_fov(FOV, 2 * min(size))
    double = (2 * size[0], 2 * size[1])
    cameras = orbit(azimuth, azimuth.new_tensor(elevation), azimuth.new_tensor(distance), focal=focal, size=double)
    behind = low.new_tensor(background)
    pictures = []
    for k in range(frames):
        seen = render(centred, cameras[k], lights=lights, background=(0.0, 0.0, 0.0), radius=0.02 * radius)
        rgb, alpha = antialiased(seen, 2).split([3, 1], -1)
        pictures.append(rgb * alpha + behind * (1 - alpha))
    return torch.stack(pictures)
