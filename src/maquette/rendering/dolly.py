"""Dolly zoom: the camera backs off while its lens narrows, so that one plane keeps its width and all else stretches."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.camera import Camera, focal_from_fov, orbit
from maquette.rendering.looks import MARGIN, Look, centred, film
from maquette.shapes import Shape

SWEEP = (math.radians(5), math.radians(120))
"""Fields of view of the first and the last frame."""


@dataclass(frozen=True)
class DollyZoom:
    """A film and the fields of view in it."""

    frames: Float[Tensor, "T H W 3"]
    """sRGB 0..1."""
    fov: Float[Tensor, "T"]
    """Radians, across the shorter side of a frame."""


def dolly_cameras(
    fov: Float[Tensor, " T"],
    width: float,
    *,
    size: tuple[int, int],
    azimuth: float = 0.0,
    elevation: float = 0.0,
) -> Camera:
    """Cameras at width / (2 tan(fov / 2)) from the origin, looking at it: `width` world units of the plane through the
    origin fill the shorter side of every frame. All angles in radians.
    """
    if not width > 0 or not bool(((fov > 0) & (fov < math.pi)).all()):
        raise ValueError(f"dolly_cameras: width is {width}, fov {fov.tolist()}; give above 0, and in 0..pi")
    distance = width / (2 * torch.tan(fov / 2))
    return orbit(azimuth, elevation, distance, focal=focal_from_fov(fov, min(size)), size=size)


def dolly_zoom(
    shape: Shape,
    *,
    frames: int = 20,
    size: tuple[int, int] = (256, 256),
    fov: tuple[float, float] = SWEEP,
    width: float | None = None,
    azimuth: float = 0.0,
    elevation: float = 0.0,
    look: Look = Look(),
) -> DollyZoom:
    """Frames of equal steps of field of view (radians), with the plane through the middle of the shape's bounds fixed.

    `width` is what the shorter side of a frame shows of that plane, in world units. None takes the smallest at which
    the camera with the widest lens stays outside of the sphere about the shape, and the narrowest shows all of it.
    """
    if frames < 1:
        raise ValueError(f"dolly_zoom: frames is {frames}; ask for at least one")
    if not (0 < min(fov) and max(fov) < math.pi):
        raise ValueError(f"dolly_zoom: fov is {fov} radians; give two between 0 and pi")
    whole = centred(shape, "dolly_zoom")
    if width is None:
        width = 2 * MARGIN * whole.radius * max(1.0, math.tan(max(fov) / 2))
    sweep = torch.linspace(fov[0], fov[1], frames, dtype=whole.middle.dtype, device=whole.middle.device)
    cameras = dolly_cameras(sweep, width, size=size, azimuth=azimuth, elevation=elevation)
    return DollyZoom(film(whole, cameras, look), sweep)
