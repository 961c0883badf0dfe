"""`maquette turntable FILE --out FILM`: a shape from all sides."""

import math
from dataclasses import dataclass
from pathlib import Path

import tyro

from maquette.io import load, save_video
from maquette.rendering.turntable import turntable

FILMS = (".gif", ".mp4", ".webp")


@dataclass(frozen=True)
class TurntableConfig:
    """Film a shape from all sides."""

    file: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off"""
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

    def __post_init__(self):
        if self.out.suffix.lower() not in FILMS:
            raise ValueError(
                f"turntable: no film is called {self.out.suffix!r} ({self.out}); one of {', '.join(FILMS)}"
            )
        if self.frames < 1 or self.fps < 1 or self.size < 2:
            raise ValueError(
                f"turntable: frames {self.frames}, fps {self.fps}, size {self.size}; give at least 1, 1 and 2 pixels"
            )


def film_turntable(config: TurntableConfig) -> None:
    if config.out.exists() and not config.force:
        raise FileExistsError(f"{config.out}: exists; give another --out, or --force to write over it")
    frames = turntable(
        load(config.file),
        frames=config.frames,
        size=(config.size, config.size),
        elevation=math.radians(config.elevation_deg),
    )
    save_video(frames, config.out, fps=config.fps)
    print(f"{config.out}: {config.frames} frames of {config.size} x {config.size}")
