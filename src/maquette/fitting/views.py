"""Views of one object: a mask, and a picture where there is one, from each of K cameras.

A folder of them has transforms.json (NeRF's convention), cameras.json (as `maquette prepare` writes it) or nothing but
pictures in the order of a preset of cameras. K views, H W pixels.
"""

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera, focal_from_fov, orbit
from maquette.conventions import camera_from_opengl, moved, y_up_from_z_up
from maquette.io import read_picture, write_json
from maquette.masks import PlainBackground, foreground, mask_of_values
from maquette.rendering import Ambient, render
from maquette.shapes import Mesh

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
FOLDERS = ("images", "views", ".")
"""Where pictures are looked for, in this order."""
TRANSFORMS = ("transforms.json", "transforms_train.json")
FLAT = 16
"""A picture of so few colours is no photograph, but a map of labels."""
CHUNK = 8
"""Views that are rendered at a time."""


@dataclass(frozen=True)
class Views:
    """What K cameras saw of one object."""

    masks: Bool[Tensor, "K H W"]
    """Where the object is."""
    cameras: Camera
    """A batch of K, of the pictures' size."""
    names: tuple[str, ...]
    """Of the files, for messages."""
    rgb: Float[Tensor, "K H W 3"] | None = None
    """sRGB 0..1; outside the masks it means nothing."""

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index: slice | list[int]) -> "Views":
        """Some of them."""
        kept = torch.arange(len(self.masks))[index].tolist()
        rgb = None if self.rgb is None else self.rgb[kept]
        return Views(self.masks[kept], self.cameras[kept], tuple(self.names[i] for i in kept), rgb)


# Presets of cameras --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fibonacci:
    """Cameras spread evenly over the sphere, from the top down along a spiral."""

    views: int = 20
    distance: float = 2.7
    fov_deg: float = 60.0
    turn_deg: float = 0.0
    """Of all cameras about the vertical axis."""


@dataclass(frozen=True)
class Tutorial20:
    """The 20 cameras of PyTorch3D's tutorial on silhouettes; all of them on one curve, the first and last the same.

    Elevations from 0 to 360 degrees and azimuths from -180 to 180, paired; beyond the poles, up stays up.
    """

    distance: float = 2.7
    fov_deg: float = 60.0


@dataclass(frozen=True)
class Grid:
    """Rings of cameras, each beginning at the front and going on towards +x."""

    around: int = 8
    elevations_deg: tuple[float, ...] = (-30.0, 10.0, 50.0)
    distance: float = 2.7
    fov_deg: float = 60.0


Preset = Fibonacci | Tutorial20 | Grid


def preset_cameras(preset: Preset, size: tuple[int, int]) -> Camera:
    """Cameras that look at the origin; `fov_deg` is the vertical field of view, as in PyTorch3D."""
    match preset:
        case Fibonacci(views, _, _, turn):
            if views < 1:
                raise ValueError(f"preset_cameras: {views} views; give at least 1")
            index = torch.arange(views) + 0.5
            elevation = torch.asin(1 - 2 * index / views)
            azimuth = math.pi * (3 - math.sqrt(5)) * index + math.radians(turn)
        case Tutorial20():
            elevation, azimuth = torch.linspace(0, 2 * math.pi, 20), torch.linspace(-math.pi, math.pi, 20)
        case Grid(around, elevations):
            if around < 1 or not elevations or max(map(abs, elevations)) > 90:
                raise ValueError(
                    f"preset_cameras: {around} cameras around at elevations {elevations}; give at least one of each, "
                    "elevations from -90 to 90"
                )
            azimuth = (torch.arange(around) * (2 * math.pi / around)).repeat(len(elevations))
            elevation = torch.tensor(elevations).deg2rad().repeat_interleave(around)
    if not (preset.distance > 0 and 0 < preset.fov_deg < 180):
        raise ValueError(
            f"preset_cameras: distance is {preset.distance}, fov_deg {preset.fov_deg}; give above 0, and 0 to 180"
        )
    focal = float(focal_from_fov(math.radians(preset.fov_deg), size[0]))
    return orbit(azimuth, elevation, preset.distance, focal=focal, size=size)


@torch.no_grad()
def render_views(mesh: Mesh, preset: Preset, size: int) -> Views:
    """Square views of a mesh, from cameras about the origin: its silhouettes, and its colours without any shading."""
    cameras = preset_cameras(preset, (size, size))
    count = len(cameras.focal)
    parts = [render(mesh, cameras[start : start + CHUNK], lights=(Ambient(1.0),)) for start in range(0, count, CHUNK)]
    masks = torch.cat([part.alpha for part in parts]) > 0.5
    width = len(str(count - 1))
    names = tuple(f"view {index:0{width}d}" for index in range(count))
    if not bool(masks.any()):
        raise ValueError("render_views: no camera sees the mesh; it must lie about the origin, nearer than the cameras")
    return Views(masks, cameras, names, torch.cat([part.rgb for part in parts]))


# Folders -------------------------------------------------------------------------------------------------------------


def load_views(
    folder: str | Path, preset: Preset | None = None, *, up: Literal["y", "z"] = "z", most: int | None = None
) -> Views:
    """Views of a folder: with its own cameras, or with those of a preset for its pictures in the order of their names.

    A mask is, of the first that is there: `masks/NAME.*`, the picture's alpha, the picture itself if it is grey, what
    stands on a plain background. Masks have two values; anything else is an error. `up` is the vertical axis of a
    transforms.json; the views' is always y. Pictures whose longer side has more than `most` pixels are made smaller,
    one by one. ValueError or OSError, with the path first, says what is missing or wrong.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: not a folder of views")
    if preset is not None:
        paths = _pictures(folder)
        read = [_read(path, folder, most) for path in paths]
        size = _size_of(read, paths)
        cameras = preset_cameras(preset, size)
        if len(cameras.focal) != len(paths):
            raise ValueError(
                f"{folder}: {len(paths)} pictures, but the preset has {len(cameras.focal)} cameras; give as many"
            )
        return _views(read, cameras, paths)
    listed = next((folder / name for name in TRANSFORMS if (folder / name).is_file()), None)
    if listed is not None:
        return _views_of_transforms(listed, up, most)
    if (folder / "cameras.json").is_file():
        return _views_of_cameras(folder / "cameras.json", most)
    raise FileNotFoundError(
        f"{folder}: views without cameras: there is no transforms.json and no cameras.json; "
        "if the pictures come from a turntable, say which (cameras:tutorial20, cameras:fibonacci, cameras:grid)"
    )


def check_views(views: Views) -> Views:
    """The views, if there are two at least, with boolean masks of the cameras' size that show an outline."""
    if views.masks.dtype != torch.bool:
        low, high = (f"{float(value):g}" for value in (views.masks.min(), views.masks.max()))
        raise ValueError(
            f"Views: masks are {views.masks.dtype} with values {low} to {high}; give boolean ones, such as mask > 0.5"
        )
    count = len(views.masks)
    if count < 2 or views.cameras.focal.shape != (count, 2) or len(views.names) != count:
        raise ValueError(
            f"Views: {count} masks, cameras {tuple(views.cameras.focal.shape[:-1])}, {len(views.names)} names; "
            "give two views at least, and a camera and a name for each"
        )
    if tuple(views.masks.shape[1:]) != views.cameras.size:
        raise ValueError(f"Views: masks of {tuple(views.masks.shape[1:])} pixels, cameras of {views.cameras.size}")
    for mask, name in zip(views.masks, views.names, strict=True):
        if not bool(mask.any()):
            raise ValueError(f"{name}: the mask is empty; leave the view out")
        if bool(mask.all()):
            raise ValueError(f"{name}: the object fills the picture and has no outline; take views from farther away")
    return views


@dataclass(frozen=True)
class _Picture:
    """What a file shows, with fewer pixels than it has."""

    mask: Bool[Tensor, "H W"]
    rgb: Float[Tensor, "H W 3"] | None
    size: tuple[int, int]
    """Of the file."""


def _views(read: list[_Picture], cameras: Camera, paths: list[Path]) -> Views:
    """Of cameras of the files' size."""
    masks = torch.stack([picture.mask for picture in read])
    colors = [picture.rgb for picture in read if picture.rgb is not None]
    rgb = torch.stack(colors) if len(colors) == len(read) else None
    size = (masks.shape[1], masks.shape[2])
    return Views(masks, cameras.resized(size), tuple(str(path) for path in paths), rgb)


def _read(path: Path, folder: Path, most: int | None, mask_path: Path | None = None) -> _Picture:
    """A picture with its mask: a pixel of fewer is in it where most of what it covers is."""
    mask, rgb = _mask_and_colors(path, folder, mask_path)
    height, width = mask.shape
    ratio = 1.0 if most is None else min(1.0, most / max(height, width))
    size = (max(round(height * ratio), 1), max(round(width * ratio), 1))
    if size == (height, width):
        return _Picture(mask, rgb, size)

    def smaller(values: Float[Tensor, "H W C"]) -> Float[Tensor, "h w C"]:
        return torch.nn.functional.interpolate(values.movedim(-1, 0)[None], size=size, mode="area")[0].movedim(0, -1)

    covered = smaller(mask[..., None].float())
    if rgb is not None:
        rgb = smaller(rgb * mask[..., None]) / covered.clamp(min=1e-6)
    return _Picture(covered[..., 0] >= 0.5, rgb, (height, width))


def _mask_and_colors(path: Path, folder: Path, mask_path: Path | None) -> tuple[Tensor, Tensor | None]:
    rgba = read_picture(path)
    rgb, alpha = rgba[..., :3], rgba[..., 3]
    grey = bool((rgb == rgb[..., :1]).all())
    beside = mask_path or next(
        (other for kind in PICTURES if (other := folder / "masks" / f"{path.stem}{kind}").is_file()), None
    )
    if beside is not None:
        mask = _mask_beside(read_picture(beside), beside)
        if mask.shape != alpha.shape:
            raise ValueError(
                f"{beside}: the mask has {mask.shape[1]} x {mask.shape[0]} pixels, "
                f"its picture {path} {alpha.shape[1]} x {alpha.shape[0]}"
            )
        return mask, rgb
    if bool((alpha < 0.5).any()):
        mask = alpha >= 0.5
        if not bool(mask.any()):
            raise ValueError(f"{path}: the picture is transparent everywhere; there is no object in it")
        return mask, None if grey else rgb
    if grey:
        return mask_of_values(rgb[..., 0], str(path)), None
    colors = (rgb * 255).round().to(torch.int64) @ torch.tensor([65536, 256, 1])
    count = len(colors.unique())
    if count <= FLAT:
        raise ValueError(
            f"{path}: {count} colours and no alpha: not a photograph, and a mask has two grey values; "
            "write 0 outside the object and 255 on it, as PNG"
        )
    try:
        # No guesses: a wrong mask among many views spoils the fit and nobody looks at it.
        return foreground(rgba, PlainBackground()).pixels, rgb
    except ValueError as error:
        raise ValueError(f"{path}: no mask beside it, and {str(error).removeprefix('foreground: ')}") from error


def _mask_beside(rgba: Float[Tensor, "H W 4"], path: Path) -> Bool[Tensor, "H W"]:
    if bool((rgba[..., 3] < 1).any()):
        raise ValueError(f"{path}: a mask has no alpha; write 0 outside the object and 255 on it, as grey PNG")
    if not bool((rgba[..., :3] == rgba[..., :1]).all()):
        raise ValueError(f"{path}: a mask is grey, this one has colours; write 0 outside the object and 255 on it")
    return mask_of_values(rgba[..., 0], str(path))


def _pictures(folder: Path) -> list[Path]:
    for name in FOLDERS:
        place = folder / name
        if place.is_dir():
            found = [path for path in place.iterdir() if path.suffix.lower() in PICTURES]
            if found:
                return sorted(found, key=_natural)
    raise FileNotFoundError(f"{folder}: no pictures in it, nor in {FOLDERS[0]}/ or {FOLDERS[1]}/")


def _natural(path: Path) -> list[int | str]:
    """So that 2.png comes before 10.png."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _size_of(read: list[_Picture], paths: list[Path]) -> tuple[int, int]:
    sizes = [picture.size for picture in read]
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise ValueError(
                f"{path}: {size[1]} x {size[0]} pixels, but {paths[0].name} has {sizes[0][1]} x {sizes[0][0]}; "
                "views of one object must share a size"
            )
    return sizes[0]


def _json(path: Path) -> dict:
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{path}: a JSON object is expected, this is {type(value).__name__}")
    return value


def _views_of_transforms(path: Path, up: Literal["y", "z"], most: int | None) -> Views:
    """NeRF's convention: `transform_matrix` is world_from_cam, the camera's x right, y up, z backward.

    The focal length is `fl_x` and `fl_y` in pixels of a picture `w` wide and `h` high, or follows from
    `camera_angle_x`, the horizontal field of view in radians; each may stand in a frame or above all. `cx`, `cy` are
    the middle unless given. `mask_path` of a frame names its mask.
    """
    top = _json(path)
    frames = top.get("frames")
    if not isinstance(frames, list) or not frames:
        raise ValueError(f"{path}: views without cameras: no `frames` in it")
    paths, read, poses, focals, centers = [], [], [], [], []
    for index, frame in enumerate(frames):
        told = {**top, **frame} if isinstance(frame, dict) else {}
        where = f"{path}: frame {index}"
        if not isinstance(told.get("file_path"), str):
            raise ValueError(f"{where} has no `file_path`")
        picture = _existing(path.parent / told["file_path"])
        given = told.get("mask_path")
        read.append(_read(picture, path.parent, most, path.parent / given if isinstance(given, str) else None))
        paths.append(picture)
        poses.append(_pose(told.get("transform_matrix"), f"{where} ({told['file_path']})", "transform_matrix"))
        focal, center = _lens(told, read[-1].size, where)
        focals.append(focal)
        centers.append(center)
    size = _size_of(read, paths)
    cameras = camera_from_opengl(
        torch.stack(poses), focal=torch.tensor(focals), center=torch.tensor(centers), size=size
    )
    return _views(read, moved(cameras, y_up_from_z_up()) if up == "z" else cameras, paths)


def _lens(told: dict, size: tuple[int, int], where: str) -> tuple[list[float], list[float]]:
    """Focal lengths and centre in the picture's pixels."""
    bent = [name for name in ("k1", "k2", "k3", "k4", "p1", "p2") if told.get(name)]
    if bent:
        raise ValueError(f"{where} has lens distortion ({bent[0]} {told[bent[0]]}); undistort the pictures first")
    height, width = size
    try:
        ratio = (width / told.get("w", width), height / told.get("h", height))
        if "fl_x" in told:
            focal = [told["fl_x"] * ratio[0], told.get("fl_y", told["fl_x"]) * ratio[1]]
        elif "camera_angle_x" in told:
            focal = [width / (2 * math.tan(told["camera_angle_x"] / 2))] * 2
            if "camera_angle_y" in told:
                focal[1] = height / (2 * math.tan(told["camera_angle_y"] / 2))
        else:
            raise ValueError(f"{where} has no focal length: neither `camera_angle_x` nor `fl_x`")
        center = [
            told["cx"] * ratio[0] if "cx" in told else width / 2,
            told["cy"] * ratio[1] if "cy" in told else height / 2,
        ]
    except (TypeError, ZeroDivisionError) as error:
        raise ValueError(f"{where}: its focal length, centre or size is not a number above 0") from error
    if not all(math.isfinite(value) and value > 0 for value in focal):
        raise ValueError(f"{where} has focal length {focal}; it must be above 0")
    return focal, center


def _views_of_cameras(path: Path, most: int | None) -> Views:
    """As `maquette prepare` writes it: `size`, `focal`, `center` of all views, `world_from_cam` of each in `views`."""
    told = _json(path)
    shots = told.get("views")
    if not isinstance(shots, list) or not shots:
        raise ValueError(f"{path}: views without cameras: no `views` in it")
    paths = _pictures(path.parent)
    if len(paths) != len(shots):
        raise ValueError(f"{path}: {len(shots)} cameras, but {len(paths)} pictures in {paths[0].parent}")
    try:
        focal, center = (torch.tensor(told[name], dtype=torch.float32) for name in ("focal", "center"))
        written = (int(told["size"][0]), int(told["size"][1]))
        poses = [_pose(shot["world_from_cam"], f"{path}: view {k}", "world_from_cam") for k, shot in enumerate(shots)]
        count = len(poses)
        cameras = Camera(torch.stack(poses), focal.expand(count, 2), center.expand(count, 2), written)
    except (KeyError, TypeError, IndexError, RuntimeError) as error:
        raise ValueError(f"{path}: not cameras as Maquette writes them ({error!r})") from error
    read = [_read(picture, path.parent, most) for picture in paths]
    return _views(read, cameras.resized(_size_of(read, paths)), paths)


def save_cameras(views: Views, path: Path) -> None:
    """Write the cameras of the views, as `load_views` reads them beside the pictures, with the names of those."""
    cameras = views.cameras
    shots = [
        {"picture": name, "world_from_cam": pose}
        for name, pose in zip(views.names, cameras.world_from_cam.tolist(), strict=True)
    ]
    lenses = {"focal": cameras.focal.tolist(), "center": cameras.center.tolist()}
    write_json(path, {"size": list(cameras.size), **lenses, "views": shots})


def _pose(values, where: str, name: str) -> Float[Tensor, "4 4"]:
    try:
        pose = torch.tensor(values, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where}: views without cameras: no {name} of 4 x 4 numbers") from error
    if pose.shape != (4, 4) or not bool(pose.isfinite().all()):
        raise ValueError(f"{where}: views without cameras: {name} is not 4 x 4 finite numbers")
    turn = pose[:3, :3]
    off = float((turn @ turn.T - torch.eye(3, dtype=torch.float64)).abs().max())
    if off > 1e-3 or float(torch.linalg.det(turn)) < 0:
        raise ValueError(f"{where}: {name} does not hold a rotation (R R^T is off the identity by {off:.2g})")
    return pose.float()


def _existing(path: Path) -> Path:
    """The file, whose suffix NeRF's transforms.json leaves out."""
    if path.is_file():
        return path
    found = next((other for kind in PICTURES if (other := path.with_name(path.name + kind)).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"{path}: no such picture")
    return found


# The frame of fitting ------------------------------------------------------------------------------------------------


def scaled(cameras: Camera, scale: float, translation: Float[Tensor, "3"]) -> Camera:
    """The cameras in a world after x -> scale x + translation; their pictures stay as they are."""
    turn = cameras.world_from_cam[..., :3, :3]
    return replace(cameras, world_from_cam=transforms.rigid(turn, cameras.position * scale + translation))
