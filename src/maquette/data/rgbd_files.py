"""RGB-D views in files: a folder as Redwood and Open3D have it, and a NumPy archive of ours. V views.

Both give views in the file's own world. `docs/files.md` tells the layout of both.
"""

import io
import json
import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera
from maquette.conventions import camera_from_opencv, camera_from_pytorch3d, pytorch3d_from_camera
from maquette.data.rgbd import RGBD
from maquette.io import read_picture, write_bytes
from maquette.io.archive import read_archive
from maquette.io.pictures import LARGEST
from maquette.io.references import read_file

MILLIMETRES = 1000.0
"""Steps of a depth picture in one world unit."""
COLOR_FOLDERS = ("color", "image", "rgb")
TRAJECTORIES = ("trajectory.log", "odometry.log")
PICTURES = (".png", ".jpg", ".jpeg")


def load_rgbd(path: str | Path) -> RGBD:
    """The views of a folder (`load_rgbd_folder`) or of an .npz archive (`load_rgbd_archive`), one batch of them."""
    path = Path(path)
    if path.is_dir():
        return load_rgbd_folder(path)
    if path.suffix.lower() == ".npz" or not path.exists():
        return load_rgbd_archive(path)
    raise OSError(f"{path}: RGB-D views are a folder with color/ and depth/, or an .npz archive")


# A folder ------------------------------------------------------------------------------------------------------------


def load_rgbd_folder(
    folder: str | Path,
    *,
    trajectory: Path | None = None,
    intrinsics: Path | None = None,
    steps_per_unit: float = MILLIMETRES,
) -> RGBD:
    """Views as Redwood and Open3D keep them: `color/`, `depth/`, a trajectory and a camera.

    Pictures are paired in the order of their names. Depths are 16-bit grey PNG, `steps_per_unit` to a world unit (mm
    to metres), 0 where nothing was measured. `trajectory` has a camera-to-world matrix for each view; None takes
    trajectory.log or else odometry.log. `intrinsics` is Open3D's JSON; None takes the only one in the folder or above
    it. The first pixel's centre is (0, 0) there: 0.5 is added. `folder` may also be one whose only subfolder has these.
    Raises OSError with the path first when files are missing, broken, of the wrong type or do not fit together.
    """
    if not 0 < steps_per_unit < math.inf:
        raise ValueError(f"load_rgbd_folder: steps_per_unit is {steps_per_unit}; give a positive number, 1000 for mm")
    given = Path(folder)
    folder = _views_folder(given)
    color_folder = next(folder / name for name in COLOR_FOLDERS if (folder / name).is_dir())
    colors, depths = _pictures(color_folder), _pictures(folder / "depth")
    if len(colors) != len(depths):
        raise OSError(
            f"{folder}: {len(colors)} pictures in {color_folder.name}/ and {len(depths)} in depth/; pair them"
        )
    if trajectory is None:
        trajectory = next(
            (folder / name for name in TRAJECTORIES if (folder / name).is_file()), folder / TRAJECTORIES[0]
        )
    poses = read_trajectory(trajectory)
    if len(poses) != len(depths):
        raise OSError(f"{trajectory}: {len(poses)} poses for {len(depths)} views in {folder}; give one each")
    K, size = read_intrinsics(_only_json(folder, given) if intrinsics is None else intrinsics)
    views = []
    for color_path, depth_path in zip(colors, depths, strict=True):
        depth = read_depth(depth_path, steps_per_unit=steps_per_unit)
        rgb = read_picture(color_path)[..., :3]
        for name, values in ((color_path, rgb), (depth_path, depth)):
            if tuple(values.shape[:2]) != size:
                raise OSError(
                    f"{name}: {values.shape[1]} x {values.shape[0]} pixels, but the camera's pictures are "
                    f"{size[1]} x {size[0]}; align colour and depth first"
                )
        views.append((rgb, depth))
    rgb, depth = (torch.stack(values) for values in zip(*views, strict=True))
    camera = camera_from_opencv(transforms.inverse(poses), K.expand(len(poses), 3, 3), size)
    return RGBD(rgb, depth, depth > 0, camera)


def read_depth(path: str | Path, *, steps_per_unit: float = MILLIMETRES) -> Float[Tensor, "H W"]:
    """A depth picture, 16-bit grey PNG, in world units; OSError for any other kind of picture."""
    data = read_file(Path(path))
    # The header of a PNG file: its bits a channel and kind of colour, 0 for grey.
    if data[:8] != b"\x89PNG\r\n\x1a\n" or tuple(data[24:26]) != (16, 0):
        raise OSError(f"{path}: depth is a PNG of 16-bit grey; this is another kind of picture")
    return (read_picture(path)[..., 0] * 65535).round() / steps_per_unit


def read_trajectory(path: str | Path) -> Float[Tensor, "V 4 4"]:
    """world_from_cam of each view: five lines a view, three numbers that name it and the rows of the matrix."""
    path = Path(path)
    rows = [line.split() for line in read_file(path).decode("utf-8", "replace").splitlines() if line.strip()]
    if not rows or len(rows) % 5:
        raise OSError(f"{path}: {len(rows)} lines; a trajectory has five for each view, at least one view")
    poses = []
    for k in range(0, len(rows), 5):
        try:
            pose = torch.tensor([[float(word) for word in row] for row in rows[k + 1 : k + 5]], dtype=torch.float64)
        except ValueError as error:
            raise OSError(f"{path}: view {k // 5} is not a matrix of 4 x 4 numbers") from error
        problem = _not_rigid(pose)
        if problem:
            raise OSError(f"{path}: the pose of view {k // 5} {problem}")
        poses.append(pose)
    return torch.stack(poses).float()


def read_intrinsics(path: str | Path) -> tuple[Float[Tensor, "3 3"], tuple[int, int]]:
    """(K, (H, W)) of Open3D's JSON: width, height, intrinsic_matrix column by column; pixel centres at integers."""
    path = Path(path)
    try:
        values = json.loads(read_file(path).decode("utf-8"))
        width, height = values["width"], values["height"]
        K = torch.tensor([float(x) for x in values["intrinsic_matrix"]]).reshape(3, 3).mT.contiguous()
    except (ValueError, KeyError, TypeError, OverflowError, RuntimeError) as error:
        raise OSError(f"{path}: not a camera of width, height and an intrinsic_matrix of 9 numbers") from error
    if not (type(width) is type(height) is int and width > 0 and height > 0):
        raise OSError(f"{path}: width {width} and height {height}; whole numbers of pixels are wanted")
    focal, last = K[[0, 1], [0, 1]], K[2]
    if not bool(K.isfinite().all() and (focal > 0).all()) or last.tolist() != [0, 0, 1] or float(K[0, 1] or K[1, 0]):
        raise OSError(f"{path}: intrinsic_matrix {K.mT.flatten().tolist()} is not fx 0 0, 0 fy 0, cx cy 1")
    return K, (height, width)


def _views_folder(given: Path) -> Path:
    """The folder itself, or its only subfolder that has depth/ and colours."""
    if not given.is_dir():
        raise FileNotFoundError(f"{given}: there is no such folder; give one with color/ and depth/, or a views .npz")

    def has_views(folder: Path) -> bool:
        return (folder / "depth").is_dir() and any((folder / name).is_dir() for name in COLOR_FOLDERS)

    if has_views(given):
        return given
    found = [folder for folder in sorted(given.iterdir()) if folder.is_dir() and has_views(folder)]
    if len(found) != 1:
        what = (
            f"{len(found)} folders with views ({', '.join(f.name for f in found)})" if found else "no color/ and depth/"
        )
        raise OSError(f"{given}: {what}; give the folder that holds color/ and depth/")
    return found[0]


def _pictures(folder: Path) -> list[Path]:
    found = sorted(
        path for path in folder.iterdir() if path.suffix.lower() in PICTURES and not path.name.startswith(".")
    )
    if not found:
        raise OSError(f"{folder}: holds no pictures ({', '.join(PICTURES)})")
    return found


def _only_json(folder: Path, given: Path) -> Path:
    """The camera's file: the only .json in the folder of the views, or else in the one above it."""
    for place in (folder, given if given != folder else folder.parent):
        found = sorted(place.glob("*.json"))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(path.name for path in found[:4])
            raise OSError(f"{place}: {len(found)} JSON files ({names}); say which one is the camera with --intrinsics")
    raise OSError(f"{folder}: no camera (a .json with width, height, intrinsic_matrix); name one with --intrinsics")


def _not_rigid(pose: Float[Tensor, "_ _"]) -> str | None:
    """What is wrong with a pose; None when it is a rotation and a translation."""
    if tuple(pose.shape) != (4, 4):
        return f"has {tuple(pose.shape)} numbers, not 4 x 4"
    if not bool(pose.isfinite().all()):
        return "has numbers that are not finite"
    rotation = pose[:3, :3]
    off = float((rotation @ rotation.mT - torch.eye(3).to(pose)).abs().max())
    if off > 1e-3 or float(torch.linalg.det(rotation)) < 0 or pose[3].tolist() != [0, 0, 0, 1]:
        return f"is not rigid: R R^T is off by {off:.2g}, the last row is {pose[3].tolist()}"
    return None


# Our archive ---------------------------------------------------------------------------------------------------------

_AXES = {"rgb": 4, "mask": 3, "depth": 3, "R": 3, "T": 2, "focal": 2, "principal": 2}
"""What an archive holds, and how many axes each array has, the first of them V."""


def save_rgbd(rgbd: RGBD, path: str | Path) -> None:
    """Write views as a compressed NumPy archive, whole or not at all; `load_rgbd` reads it.

    Colours are rounded to 8 bits, depths and cameras to float32. Cameras are written as PyTorch3D has them (row
    vectors, x left, y up), with focal lengths and principal points in pixels.
    """
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"save_rgbd: views are written as .npz, not as {path.suffix!r} ({path})")
    if rgbd.depth.ndim > 3:
        raise ValueError(f"save_rgbd: depth is {tuple(rgbd.depth.shape)}; an archive holds one axis of views")
    if rgbd.depth.ndim == 2:
        camera = rgbd.camera
        camera = Camera(camera.world_from_cam[None], camera.focal[None], camera.center[None], camera.size)
        rgbd = RGBD(rgbd.rgb[None], rgbd.depth[None], rgbd.mask[None], camera)
    R, T = pytorch3d_from_camera(rgbd.camera)

    def float32(values: Tensor) -> np.ndarray:
        return values.detach().cpu().float().numpy()

    file = io.BytesIO()
    np.savez_compressed(
        file,
        rgb=(rgbd.rgb.detach().cpu().clamp(0, 1) * 255).round().byte().numpy(),
        mask=rgbd.mask.cpu().numpy(),
        depth=float32(rgbd.depth),
        R=float32(R),
        T=float32(T),
        focal=float32(rgbd.camera.focal),
        principal=float32(rgbd.camera.center),
    )
    write_bytes(path, file.getvalue())


def load_rgbd_archive(path: str | Path) -> RGBD:
    """Views of an archive that `save_rgbd` wrote, or anybody's with the same arrays; a single view may lack the axis V.

    `rgb` (V H W 3; 8 bits, or floats 0..1), `mask` (V H W; true or > 0.5 where depth counts), `depth` (V H W; floats
    in world units), `R` (V 3 3), `T` (V 3), `focal` and `principal` (V 2, in pixels; `in_ndc=False` of PyTorch3D).
    Numbers that can only be NDC (a focal length below 10) are refused rather than misread. Nothing is unpickled.
    """
    path = Path(path)
    arrays = _read_arrays(path)
    single = arrays["depth"].ndim == 2
    arrays = {name: values[None] if single else values for name, values in arrays.items()}
    views, *size = arrays["depth"].shape
    tails = {"rgb": (*size, 3), "mask": tuple(size), "depth": tuple(size), "R": (3, 3), "T": (3,)}
    for name, values in arrays.items():
        wanted = (views, *tails.get(name, (2,)))
        if values.shape != wanted:
            raise OSError(
                f"{path}: {name} has shape {values.shape}, but {wanted} goes with depth {arrays['depth'].shape}"
            )
    if 0 in arrays["depth"].shape:
        raise OSError(f"{path}: depth has shape {arrays['depth'].shape}; there are no views")
    if arrays["depth"].dtype.kind != "f":
        raise OSError(f"{path}: depth is {arrays['depth'].dtype}; store floats in world units")
    rgb = arrays["rgb"]
    if rgb.dtype != np.uint8 and (rgb.dtype.kind != "f" or not ((rgb >= 0) & (rgb <= 1)).all()):
        raise OSError(f"{path}: rgb is {rgb.dtype} in {rgb.min():g}..{rgb.max():g}; store 8 bits, or floats in 0..1")
    for name in ("R", "T", "focal", "principal"):
        if not np.isfinite(arrays[name]).all():
            raise OSError(f"{path}: {name} holds values that are NaN or infinite")
    if (arrays["focal"] <= 0).any() or ((arrays["focal"] < 10).any() and min(size) > 10):
        raise OSError(
            f"{path}: focal {arrays['focal'].min():g} is not in pixels; "
            "`maquette.conventions.pixels_from_ndc` converts PyTorch3D's NDC"
        )
    of = {
        name: torch.from_numpy(np.ascontiguousarray(arrays[name], np.float32))
        for name in _AXES
        if name not in ("mask", "rgb")
    }
    for k, (R, T) in enumerate(zip(of["R"].double(), of["T"].double(), strict=True)):
        problem = _not_rigid(transforms.rigid(R, T))
        if problem:
            raise OSError(f"{path}: the pose of view {k} {problem}")
    camera = camera_from_pytorch3d(of["R"], of["T"], focal=of["focal"], center=of["principal"], size=(size[0], size[1]))
    scale = 255 if rgb.dtype == np.uint8 else 1
    mask = torch.from_numpy(arrays["mask"] > 0.5) & of["depth"].isfinite() & (of["depth"] > 0)
    return RGBD(torch.from_numpy(rgb.astype(np.float32)) / scale, of["depth"], mask, camera)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the archive, with the number of axes they should have."""
    arrays = read_archive(path, dict.fromkeys(_AXES, 3 * LARGEST))
    for name, axes in _AXES.items():
        shape = arrays[name].shape
        if len(shape) not in (axes, axes - 1):
            raise OSError(f"{path}: {name} has shape {shape}; it has {axes} axes, or {axes - 1} for one view")
    return arrays
