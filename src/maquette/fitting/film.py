"""How the films of fits are seen."""

import math

from jaxtyping import Float
from torch import Tensor

from maquette.camera import Camera, focal_from_fov, orbit
from maquette.rendering import render
from maquette.shapes import Shape


def film_camera() -> Camera:
    """Of the films: the front, from a little to the right and above; [-1, 1]^3 fills the frame."""
    return orbit(math.radians(30), math.radians(20), 5.2, focal=focal_from_fov(math.radians(32), 320), size=(320, 320))


def film_picture(shape: Shape, camera: Camera) -> Float[Tensor, "H W 3"]:
    return render(shape, camera, radius=0.02).rgb
