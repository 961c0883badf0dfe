"""How the films of fits are seen: the shape as it is, and the target beside it."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.camera import Camera, focal_from_fov, orbit
from maquette.rendering import render
from maquette.shapes import PointCloud, Shape, local_frames

SIDE = 256
"""Pixels of a frame."""
FINER = 2
"""Frames are rendered so many times as large and averaged."""
NEIGHBORS = 12
"""Points that tell a point's normal, by which it is lit."""


def film_camera() -> Camera:
    """Of the films: the front, from a little to the right and above; [-1, 1]^3 fills the frame."""
    focal = focal_from_fov(math.radians(32), SIDE)
    return orbit(math.radians(30), math.radians(20), 5.2, focal=focal, size=(SIDE, SIDE))


def film_picture(shape: Shape, camera: Camera) -> Float[Tensor, "H W 3"]:
    """A shape in the frame of fitting, detached, on white. Clouds are lit by the normals of their neighbourhoods."""
    if isinstance(shape, PointCloud) and shape.normals is None and len(shape.points) >= NEIGHBORS:
        # Which way a normal points does not matter: the renderer turns it to the camera.
        shape = replace(shape, normals=local_frames(shape.points, NEIGHBORS).axes[..., 0])
    height, width = camera.size
    fine = render(shape, camera.resized((FINER * height, FINER * width)), radius=disc_radius(shape)).rgb
    return fine.reshape(height, FINER, width, FINER, 3).mean((1, 3))


def disc_radius(shape: Shape) -> float:
    """Of a cloud's points: discs that just cover a surface of the size of a unit sphere's, whatever their number."""
    count = len(shape.points) if isinstance(shape, PointCloud) else 1
    return min(0.06, 1.8 / math.sqrt(max(count, 1)))


def beside(picture: Float[Tensor, "H W 3"], target: Float[Tensor, "H W 3"]) -> Float[Tensor, "H Z 3"]:
    """The frame of a film: the shape as it is on the left, the target on the right."""
    return torch.cat([picture, target], 1)
