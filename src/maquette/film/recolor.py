"""`maquette render recolor FILE --out OUT`: two colours along an axis, as a picture, a film or a coloured file."""

import math
from dataclasses import dataclass
from pathlib import Path

import tyro

from maquette.camera import focal_from_fov, orbit
from maquette.film.options import FILMS, PICTURES, SMALLEST, LookConfig, Triple, check_file, check_film, refuse_existing
from maquette.io import load, save, save_video, write_picture
from maquette.rendering import turntable
from maquette.rendering.looks import FOV, centred, fitting_distance, over, picture
from maquette.shapes import recolored
from maquette.shapes.recolor import AXES

SHAPES = (".glb", ".obj", ".ply")


@dataclass(frozen=True)
class RecolorConfig:
    """Colour a shape by position."""

    file: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off, voxels .npz"""
    out: Path
    """A picture (.png .jpg .webp), a turntable (.gif .mp4) or the shape itself (.glb .obj .ply)"""
    axis: str = "z"
    """x, y or z."""
    low: Triple = (0.0, 1.0, 1.0)
    """Colour at the smallest coordinate: red, green, blue from 0 to 1."""
    high: Triple = (1.0, 1.0, 0.0)
    """Colour at the largest coordinate."""
    size: int = 320
    """Width and height in pixels."""
    azimuth_deg: float = 30.0
    """Where the camera of a picture stands: 0 before the front (+z), growing towards +x; degrees."""
    elevation_deg: float = 20.0
    """Height of the camera above the shape's middle, in degrees."""
    frames: int = 48
    """Pictures of one turn of a film."""
    fps: int = 15
    """Pictures a second of a film."""
    force: bool = False
    """Write over an existing file."""
    look: LookConfig = LookConfig()

    def __post_init__(self):
        check_file(self.out, (*PICTURES, ".gif", ".mp4", *SHAPES), "picture, film or shape")
        if self.axis not in AXES:
            raise ValueError(f"render: axis is {self.axis!r}; x, y or z")
        if not all(0 <= value <= 1 for value in (*self.low, *self.high)):
            raise ValueError(f"render: colours are {self.low} and {self.high}; numbers from 0 to 1")
        if self.out.suffix.lower() in (".gif", ".mp4"):
            check_film(self.out, self.look, frames=self.frames, fps=self.fps, size=self.size)
        if self.size < SMALLEST:
            raise ValueError(f"render: size is {self.size}; give at least {SMALLEST} pixels")


def draw_recolored(config: RecolorConfig) -> None:
    refuse_existing(config.out, config.force)
    shape = recolored(load(config.file), config.axis, low=config.low, high=config.high)
    kind = config.out.suffix.lower()
    if kind in SHAPES:
        save(shape, config.out)
        print(f"{config.out}: coloured along {config.axis}")
        return
    whole = centred(shape, "render")
    look, size = config.look.look(whole), (config.size, config.size)
    elevation = math.radians(config.elevation_deg)
    if kind in PICTURES:
        distance = fitting_distance(whole.radius)
        focal = focal_from_fov(FOV, config.size)
        camera = orbit(math.radians(config.azimuth_deg), elevation, distance, focal=focal, size=size)
        rgba = picture(whole, camera, look)
        background = config.look.background
        write_picture(rgba if background == "transparent" else over(rgba, background), config.out)
        print(f"{config.out}: {config.size} x {config.size}")
        return
    assert kind in FILMS
    frames = turntable(whole.shape, frames=config.frames, size=size, elevation=elevation, look=look)
    save_video(frames, config.out, fps=config.fps)
    print(f"{config.out}: {config.frames} frames of {config.size} x {config.size}")
