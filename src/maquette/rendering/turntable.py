"""A shape from all sides: cameras once around it at one height and distance, so that nothing jumps between frames."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.camera import focal_from_fov, orbit
from maquette.rendering.looks import FOV, Look, centred, film, fitting_distance
from maquette.shapes import Shape


def turntable(
    shape: Shape,
    *,
    frames: int = 36,
    size: tuple[int, int] = (256, 256),
    elevation: float = math.radians(20),
    distance: float | None = None,
    look: Look = Look(),
) -> Float[Tensor, "T H W 3"]:
    """Antialiased pictures, sRGB 0..1, from `frames` azimuths equally spaced, the front first and then towards +x.

    The cameras look at the middle of the shape's bounds. `distance` is in world units from there; None takes the one
    at which the whole shape is in every frame. `elevation` is in radians.
    """
    if frames < 1:
        raise ValueError(f"turntable: frames is {frames}; ask for at least one")
    whole = centred(shape, "turntable")
    if distance is None:
        distance = fitting_distance(whole.radius)
    azimuth = torch.arange(frames, dtype=whole.middle.dtype, device=whole.middle.device) / frames * 2 * math.pi
    cameras = orbit(azimuth, elevation, distance, focal=focal_from_fov(FOV, min(size)), size=size)
    return film(whole, cameras, look)
