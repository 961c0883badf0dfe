"""`maquette render dolly FILE --out FILM`: the lens widens as the camera comes near, and the middle keeps its size."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

from maquette.film.options import LookConfig, captioned, check_film, refuse_existing
from maquette.io import load, save_video
from maquette.rendering import dolly_zoom
from maquette.rendering.looks import centred


@dataclass(frozen=True)
class DollyConfig:
    """Film a dolly zoom."""

    file: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off, voxels .npz"""
    out: Path
    """The film: .gif .mp4 .webp"""
    frames: int = 20
    """Pictures of the sweep."""
    fps: int = 10
    """Pictures a second."""
    size: int = 256
    """Width and height in pixels."""
    fov_deg: tuple[float, float] = (5.0, 120.0)
    """Fields of view of the first and the last frame, in degrees."""
    width: float | None = None
    """World units that the plane through the shape's middle shows in every frame; by default all of the shape fits."""
    azimuth_deg: float = 0.0
    """Where the camera stands: 0 before the front (+z), growing towards +x; degrees."""
    elevation_deg: float = 0.0
    """Height of the camera above the shape's middle, in degrees."""
    caption: bool = True
    """Write the field of view into the frames."""
    back: bool = False
    """Add the way back, so that a film that loops does not jump."""
    force: bool = False
    """Write over an existing film."""
    look: LookConfig = LookConfig()

    def __post_init__(self):
        check_film(self.out, self.look, frames=self.frames, fps=self.fps, size=self.size)
        if not (0 < min(self.fov_deg) and max(self.fov_deg) < 180):
            raise ValueError(f"render: fov-deg is {self.fov_deg}; give two between 0 and 180 degrees")


def film_dolly(config: DollyConfig) -> None:
    refuse_existing(config.out, config.force)
    whole = centred(load(config.file), "render")
    film = dolly_zoom(
        whole.shape,
        frames=config.frames,
        size=(config.size, config.size),
        fov=(math.radians(config.fov_deg[0]), math.radians(config.fov_deg[1])),
        width=config.width,
        azimuth=math.radians(config.azimuth_deg),
        elevation=math.radians(config.elevation_deg),
        look=config.look.look(whole),
    )
    frames = film.frames
    if config.caption:
        texts = [f"fov {math.degrees(fov):.0f}\N{DEGREE SIGN}" for fov in film.fov.tolist()]
        frames = torch.stack([captioned(frame, text) for frame, text in zip(frames, texts, strict=True)])
    if config.back:
        frames = torch.cat([frames, frames[1:-1].flip(0)])
    save_video(frames, config.out, fps=config.fps)
    print(f"{config.out}: {len(frames)} frames of {config.size} x {config.size}")
