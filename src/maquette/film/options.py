"""What the commands of `maquette render` share: light and colours, lenses, captions, and files that are not lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette.rendering import Ambient, Directional, Headlight, Lambert, Light, Look, Material, Point
from maquette.rendering.looks import Centred

Triple = tuple[float, float, float]
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
FILMS = (".gif", ".mp4", ".webp")
SMALLEST = 2
"""Pixels."""


@dataclass(frozen=True)
class LookConfig:
    """Light and colours."""

    background: Literal["transparent"] | Triple = (1.0, 1.0, 1.0)
    """Red, green, blue from 0 to 1; or `transparent`, in pictures."""
    smooth: bool = False
    """Shade meshes with vertex normals, which hides their faces."""
    ambient: float = 0.45
    """Light from everywhere."""
    headlight: float = 0.2
    """Light that travels with the camera."""
    sun: Triple | None = (-0.4, -1.0, -0.6)
    """The way parallel light goes, x y z; None for no sun."""
    sun_intensity: float = 0.45
    lamp: Triple | None = None
    """Where a lamp stands, x y z in the file's own world."""
    lamp_intensity: float = 0.6
    disc: float | None = None
    """Radius of a cloud's discs, as a part of the cloud's own; by default its density says, up to 0.02."""
    material: Material = Lambert()
    """Dull, or with highlights."""

    def __post_init__(self):
        if self.background != "transparent" and not all(0 <= value <= 1 for value in self.background):
            raise ValueError(f"render: background is {self.background}; three numbers from 0 to 1")
        if self.disc is not None and not self.disc > 0:
            raise ValueError(f"render: disc is {self.disc}; give a part of the cloud's radius above 0")

    def look(self, whole: Centred) -> Look:
        """What the renderer takes, for a shape that was moved by `-whole.middle`."""
        lights: list[Light] = [Ambient(self.ambient), Headlight(self.headlight)]
        if self.sun is not None:
            lights.append(Directional(self.sun, self.sun_intensity))
        if self.lamp is not None:
            x, y, z = (torch.tensor(self.lamp) - whole.middle).tolist()
            lights.append(Point((x, y, z), self.lamp_intensity))
        behind = (1.0, 1.0, 1.0) if self.background == "transparent" else self.background
        return Look(tuple(lights), self.material, behind, self.smooth, self.disc)


@dataclass(frozen=True)
class Perspective:
    """Things are smaller afar."""

    fov_deg: float = 35.0
    """Field of view across the picture, in degrees."""

    def __post_init__(self):
        if not 0 < self.fov_deg < 180:
            raise ValueError(f"render: fov-deg is {self.fov_deg}; give degrees above 0 and below 180")


@dataclass(frozen=True)
class Orthographic:
    """Parallel rays: things are as large afar as near."""

    width: float | None = None
    """World units that the picture shows; by default all of the shape."""

    def __post_init__(self):
        if self.width is not None and not self.width > 0:
            raise ValueError(f"render: width is {self.width}; give world units above 0")


Lens = Perspective | Orthographic


def check_file(out: Path, kinds: Sequence[str], what: str) -> None:
    """ValueError if the file's suffix is none of `kinds`."""
    if out.suffix.lower() not in kinds:
        raise ValueError(f"render: no {what} is called {out.suffix!r} ({out}); one of {', '.join(kinds)}")


def check_film(out: Path, look: LookConfig, *, frames: int, fps: int, size: int) -> None:
    """ValueError for what no film can be."""
    check_file(out, FILMS, "film")
    if frames < 1 or fps < 1 or size < SMALLEST:
        raise ValueError(f"render: frames {frames}, fps {fps}, size {size}; give at least 1, 1 and {SMALLEST} pixels")
    if look.background == "transparent":
        raise ValueError(f"render: films have no transparent background ({out}); give three numbers")


def refuse_existing(out: Path, force: bool) -> None:
    """Nothing is written over unless it was said."""
    if out.exists() and not force:
        raise FileExistsError(f"{out}: exists; give another --out, or --force to write over it")


def captioned(picture: Float[Tensor, "H W C"], text: str) -> Float[Tensor, "H W C"]:
    """The picture with `text` in its upper left corner, dark with a light rim; alpha is raised where it stands."""
    from PIL import Image, ImageDraw, ImageFont

    height, width, channels = picture.shape
    size = max(9, min(height, width) // 16)
    masks = []
    for rim in (size // 8 + 1, 0):
        mask = Image.new("L", (width, height), 0)
        font = ImageFont.load_default(size)
        ImageDraw.Draw(mask).text((size * 0.6, size * 0.5), text, fill=255, font=font, stroke_width=rim)
        masks.append(torch.from_numpy(np.asarray(mask, np.float32) / 255).to(picture)[..., None])
    opaque = picture.new_ones(max(0, channels - 3))
    for mask, tone in zip(masks, (1.0, 0.1), strict=True):
        ink = (
            torch.cat([picture.new_full((3,), tone), opaque]) if channels >= 3 else picture.new_full((channels,), tone)
        )
        picture = picture * (1 - mask) + ink * mask
    return picture
