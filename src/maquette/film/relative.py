"""`maquette render relative FILE --out PICTURE`: a camera moved in its own frame, in four ways of a classic exercise.

The exercise (CMU 16-889) gives R_rel and T_rel for cameras of PyTorch3D; `docs/conventions.md` tells why its formula
needs care, and how these rigid maps follow from it.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera, focal_from_fov, orbit, relative
from maquette.film.options import PICTURES, SMALLEST, LookConfig, captioned, check_file, refuse_existing
from maquette.io import load, write_picture
from maquette.rendering.looks import centred, over, picture
from maquette.shapes import Voxels, transform

FOV = math.radians(60)
ROOM = 1.5
"""By this factor the sphere about the shape fits into the first picture, so that it stays in the others."""
START_DISTANCE = 3.0
"""Of the exercise, whose shifts are given for it."""


def relative_transforms(distance: float = START_DISTANCE) -> dict[str, Float[Tensor, "4 4"]]:
    """The four maps new_from_cam in our camera axes (x right, y down, z forward); shifts grow with the distance."""
    quarter = torch.tensor(math.pi / 2)
    straight = torch.eye(3)
    unit = distance / START_DISTANCE
    return {
        "1 turned": transforms.rigid(transforms.rotation_about("z", quarter), torch.zeros(3)),
        "2 farther": transforms.rigid(straight, torch.tensor([0.0, 0.0, 2.0]) * unit),
        "3 shifted": transforms.rigid(straight, torch.tensor([-0.5, 0.5, 0.0]) * unit),
        "4 from the side": transforms.rigid(
            transforms.rotation_about("y", quarter), torch.tensor([-3.0, 0.0, 3.0]) * unit
        ),
    }


@dataclass(frozen=True)
class RelativeConfig:
    """Draw four relative camera transforms."""

    file: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off, voxels .npz"""
    out: Path
    """One picture of five: the start and the four: .png .jpg .webp"""
    size: int = 256
    """Width and height of each of the five, in pixels."""
    azimuth_deg: float = 0.0
    """Where the first camera stands; the exercise's stands at 180 degrees, on -z."""
    distance: float | None = None
    """Of the first camera from the origin, 3 in the exercise; shifts grow with it. By default all of the shape fits."""
    caption: bool = True
    """Write the names into the pictures."""
    force: bool = False
    """Write over an existing picture."""
    look: LookConfig = LookConfig()

    def __post_init__(self):
        check_file(self.out, PICTURES, "picture")
        if self.size < SMALLEST:
            raise ValueError(f"render: size is {self.size}; give at least {SMALLEST} pixels")
        if self.distance is not None and not self.distance > 0:
            raise ValueError(f"render: distance is {self.distance}; give world units above 0")
        if self.look.background == "transparent" and self.out.suffix.lower() in (".jpg", ".jpeg"):
            raise ValueError(f"render: JPEG has no transparent background ({self.out}); write .png")


def relative_cameras(azimuth: float, distance: float, side: int) -> dict[str, Camera]:
    """The first camera and those of the four maps, by name; square pictures with a field of view of 60 degrees."""
    start = orbit(azimuth, 0.0, distance, focal=focal_from_fov(FOV, side), size=(side, side))
    moved = {name: relative(start, new_from_cam) for name, new_from_cam in relative_transforms(distance).items()}
    return {"start": start, **moved}


def draw_relative(config: RelativeConfig) -> None:
    refuse_existing(config.out, config.force)
    whole = centred(load(config.file), "render")
    # About the world's origin, as the exercise has it, not about the middle of the bounds.
    in_place = transform(whole.shape, transforms.scale_translate(1.0, whole.middle))
    assert not isinstance(in_place, Voxels)
    here = replace(whole, shape=in_place, middle=torch.zeros_like(whole.middle))
    reach = whole.radius + float(whole.middle.norm())
    distance = ROOM * reach / math.sin(FOV / 2) if config.distance is None else config.distance
    background = config.look.background
    pictures = []
    for name, camera in relative_cameras(math.radians(config.azimuth_deg), distance, config.size).items():
        rgba = picture(here, camera, config.look.look(here))
        tile = rgba if background == "transparent" else over(rgba, background)
        pictures.append(captioned(tile, name) if config.caption else tile)
    write_picture(torch.cat(pictures, 1), config.out)
    print(f"{config.out}: {len(pictures)} pictures of {config.size} x {config.size}, from distance {distance:.4g}")
