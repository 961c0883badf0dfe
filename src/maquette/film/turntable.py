"""`maquette render turntable FILE --out FILM`: a shape from all sides."""

import math
from dataclasses import dataclass
from pathlib import Path

import tyro

from maquette.film.options import LookConfig, check_film, refuse_existing
from maquette.io import load, save_video
from maquette.rendering import turntable
from maquette.rendering.looks import centred


@dataclass(frozen=True)
class TurntableConfig:
    """Film a shape from all sides."""

    file: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off, voxels .npz"""
    out: Path
    """The film: .gif .mp4 .webp"""
    frames: int = 48
    """Pictures of one turn."""
    fps: int = 15
    """Pictures a second."""
    size: int = 320
    """Width and height in pixels."""
    elevation_deg: float = 20.0
    """Height of the camera above the shape's middle, in degrees."""
    force: bool = False
    """Write over an existing film."""
    look: LookConfig = LookConfig()

    def __post_init__(self):
        check_film(self.out, self.look, frames=self.frames, fps=self.fps, size=self.size)


def film_turntable(config: TurntableConfig) -> None:
    refuse_existing(config.out, config.force)
    whole = centred(load(config.file), "render")
    frames = turntable(
        whole.shape,
        frames=config.frames,
        size=(config.size, config.size),
        elevation=math.radians(config.elevation_deg),
        look=config.look.look(whole),
    )
    save_video(frames, config.out, fps=config.fps)
    print(f"{config.out}: {config.frames} frames of {config.size} x {config.size}")
