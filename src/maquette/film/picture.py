"""`maquette render FILE --out PICTURE`: colours, depth, normals, silhouette or wireframe of a shape."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette.camera import AnyCamera, focal_from_fov, orbit, orthographic
from maquette.film.options import (
    PICTURES,
    SMALLEST,
    Lens,
    LookConfig,
    Orthographic,
    Perspective,
    check_file,
    refuse_existing,
)
from maquette.io import load, write_picture
from maquette.io.depth import write_depth_steps
from maquette.rendering import Look, antialiased, render
from maquette.rendering.looks import MARGIN, OVERSAMPLING, Centred, centred, fitting_distance, over, picture
from maquette.rendering.result import Rendering
from maquette.rendering.wireframe import wireframe
from maquette.shapes import Mesh


@dataclass(frozen=True)
class Rgb:
    """The shape as it looks."""


@dataclass(frozen=True)
class Depth:
    """16-bit grey PNG of the distance along the camera's axis, 0 where nothing is."""

    steps_per_unit: float | None = None
    """Steps of the file in one world unit (1000: mm of metres). By default nearest is 65535 and farthest 1, to look at;
    the line printed says which depths these are.
    """


@dataclass(frozen=True)
class Normal:
    """World normals, (n + 1) / 2 as colours: towards +x red, towards +y green, towards +z blue."""


@dataclass(frozen=True)
class Silhouette:
    """White where the shape is, black elsewhere; grey only where an edge cuts a pixel."""


@dataclass(frozen=True)
class Wireframe:
    """The edges of a mesh as lines."""

    width: float = 1.0
    """Pixels."""
    hidden: float = 0.0
    """How much lines behind the surface show, from 0 to 1."""
    shaded: bool = False
    """Lines over the shaded shape, not over the background alone."""
    color: tuple[float, float, float] = (0.1, 0.12, 0.15)

    def __post_init__(self):
        if not self.width > 0 or not 0 <= self.hidden <= 1:
            raise ValueError(f"render: width is {self.width}, hidden {self.hidden}; give above 0, and from 0 to 1")


Output = Rgb | Depth | Normal | Silhouette | Wireframe


@dataclass(frozen=True)
class PictureConfig:
    """Draw a shape from one side."""

    file: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off, voxels .npz"""
    out: Path
    """The picture: .png .jpg .webp"""
    size: int = 512
    """Width and height in pixels."""
    azimuth_deg: float = 30.0
    """Where the camera stands: 0 before the front (+z), growing towards +x; degrees."""
    elevation_deg: float = 20.0
    """Height of the camera above the shape's middle, in degrees."""
    distance: float | None = None
    """From the shape's middle, in world units; by default all of the shape is seen."""
    force: bool = False
    """Write over an existing picture."""
    look: LookConfig = LookConfig()
    lens: Lens = Perspective()
    output: Output = Rgb()

    def __post_init__(self):
        kinds = (".png",) if isinstance(self.output, Depth) else PICTURES
        check_file(self.out, kinds, "depth picture" if isinstance(self.output, Depth) else "picture")
        if self.size < SMALLEST:
            raise ValueError(f"render: size is {self.size}; give at least {SMALLEST} pixels")
        if self.distance is not None and not self.distance > 0:
            raise ValueError(f"render: distance is {self.distance}; give world units above 0")
        if self.look.background == "transparent" and self.out.suffix.lower() in (".jpg", ".jpeg"):
            raise ValueError(f"render: JPEG has no transparent background ({self.out}); write .png")


def draw_picture(config: PictureConfig) -> None:
    refuse_existing(config.out, config.force)
    whole = centred(load(config.file), "render")
    camera = camera_of(config, whole.radius)
    look = config.look.look(whole)
    match config.output:
        case Rgb():
            _write(picture(whole, camera, look), config)
        case Depth(steps_per_unit):
            _write_depth(_rendering(whole, camera, look).depth, steps_per_unit, config.out)
            return
        case Normal():
            seen = _rendering(whole, camera.resized((OVERSAMPLING * config.size, OVERSAMPLING * config.size)), look)
            colors = (seen.normal + 1) / 2
            _write(antialiased(Rendering(colors, seen.alpha, seen.depth, seen.normal), OVERSAMPLING), config)
        case Silhouette():
            write_picture(picture(whole, camera, look)[..., 3:], config.out)
        case Wireframe():
            _write(_lines(whole, camera, look, config.output), config)
        case _:
            assert_never(config.output)
    print(f"{config.out}: {config.size} x {config.size}")


def camera_of(config: PictureConfig, radius: float) -> AnyCamera:
    """The camera that the options say, for a shape of `radius` about the origin."""
    lens, side = config.lens, config.size
    azimuth, elevation = math.radians(config.azimuth_deg), math.radians(config.elevation_deg)
    match lens:
        case Perspective(fov_deg):
            fov = math.radians(fov_deg)
            distance = fitting_distance(radius, fov) if config.distance is None else config.distance
            return orbit(azimuth, elevation, distance, focal=focal_from_fov(fov, side), size=(side, side))
        case Orthographic(width):
            width = 2 * MARGIN * radius if width is None else width
            distance = 2 * radius if config.distance is None else config.distance
            # At this distance `width` world units fill the picture.
            camera = orbit(azimuth, elevation, distance, focal=side * distance / width, size=(side, side))
            return orthographic(camera, distance)
        case _:
            assert_never(lens)


def _rendering(whole: Centred, camera: AnyCamera, look: Look) -> Rendering:
    return render(whole.shape, camera, lights=look.lights, smooth=look.smooth, radius=whole.disc_radius(look))


def _lines(whole: Centred, camera: AnyCamera, look: Look, lines: Wireframe) -> Float[Tensor, "H W 4"]:
    if not isinstance(whole.shape, Mesh):
        raise ValueError("render: a point cloud has no edges; give a mesh, or another output")
    cover = wireframe(whole.shape, camera, width=lines.width, hidden=lines.hidden)[..., None]
    under = picture(whole, camera, look)
    alpha = under[..., 3:] if lines.shaded else torch.zeros_like(under[..., 3:])
    total = cover + alpha * (1 - cover)
    rgb = (under.new_tensor(lines.color) * cover + under[..., :3] * alpha * (1 - cover)) / total.clamp(min=1e-6)
    return torch.cat([rgb, total], -1)


def _write(rgba: Float[Tensor, "H W 4"], config: PictureConfig) -> None:
    background = config.look.background
    write_picture(rgba if background == "transparent" else over(rgba, background), config.out)


def _write_depth(depth: Float[Tensor, "H W"], steps_per_unit: float | None, out: Path) -> None:
    seen = depth > 0
    if not bool(seen.any()):
        raise ValueError("render: nothing is seen, so there is no depth; move the camera")
    near, far = float(depth[seen].min()), float(depth[seen].max())
    if steps_per_unit is None:
        steps = 65535 - (depth - near) / max(far - near, 1e-12) * 65534
        said = f"65535 is {near:.6g}, 1 is {far:.6g}"
    else:
        steps = depth * steps_per_unit
        said = f"{steps_per_unit:g} steps a world unit, {near:.6g} to {far:.6g}"
        if not (steps_per_unit > 0 and far * steps_per_unit < 65535.5):
            raise ValueError(
                f"render: depths up to {far:.6g} at {steps_per_unit:g} steps a unit do not fit in 1..65535; "
                f"give at most {65535 / far:.6g} steps a unit"
            )
    write_depth_steps(torch.where(seen, steps.round().clamp(min=1), 0.0), out)
    print(f"{out}: {depth.shape[1]} x {depth.shape[0]}, depth: 0 is nothing, {said}")
