"""Pix3D (Sun et al. 2018): photographs of furniture with masks, models, voxels and cameras.

    ROOT/pix3d.json    a list: img, mask, model, voxel (paths), category, img_size, rot_mat, trans_mat, focal_length

A model's frame: x to the left, y up, z inward of the canonical view, which shows its front; so the front is -z. Voxels
(MATLAB 5 files, array `voxel`): x to the left, y outward, z up. A camera at the origin looks along +z, with +x on its
left and +y up, at the model after p -> R p + t; its focal length is in mm of a sensor 32 mm wide, as wide as the
picture. One object is one model; nobody has split them.
"""

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from maquette import transforms
from maquette.camera import Camera, orbit_angles
from maquette.data.dataset import LEARNING_FRAME, Missing, Truth, View, read_json, times
from maquette.data.entries import Entry
from maquette.data.stored import cells_on_box, learning_from_stored, learning_mesh, moved
from maquette.shapes import bounds

TABLE = "pix3d.json"
FRONT = "-z"
SENSOR_MM = 32.0
POINTS = 10_000
RESOLUTION = 32
MOST_CELLS = 256**3


@dataclass(frozen=True)
class Photograph:
    """One line of the table."""

    img: str
    mask: str
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]
    focal_mm: float
    size: tuple[int, int]
    """(H, W) that the annotations were made at."""
    hidden: bool
    """Truncated by the border or occluded, if only slightly."""


@dataclass(frozen=True)
class Pix3d:
    """Photographs by model, in the frame of learning."""

    root: Path
    name: str
    entries: tuple[Entry, ...]
    photographs: dict[str, tuple[Photograph, ...]]
    """By entry id: its views in the order of the table."""
    voxels: dict[str, str]
    """By entry id: the file of its cells."""
    missing: tuple[Missing, ...]
    frame: str = LEARNING_FRAME

    def view(self, entry: Entry, k: int) -> View:
        """Photograph `k` of a model, its mask as alpha."""
        from maquette.io.pictures import read_picture

        if not 0 <= k < entry.views:
            raise ValueError(f"view: {entry.id} has views 0..{entry.views - 1}, not {k}")
        shot = self.photographs[entry.id][k]
        colors, mask = read_picture(self.root / shot.img), read_picture(self.root / shot.mask)
        for name, picture in ((shot.img, colors), (shot.mask, mask)):
            if picture.shape[:2] != shot.size:
                raise ValueError(
                    f"{self.root / name}: is {picture.shape[1]} x {picture.shape[0]} pixels, "
                    f"{TABLE} says {shot.size[1]} x {shot.size[0]}"
                )
        rgba = torch.cat([colors[..., :3], mask[..., :1] * mask[..., 3:]], -1)
        camera = moved(camera_of(shot), learning_from_stored(self.root / entry.source, FRONT))
        angles = (float(value) for value in orbit_angles(camera))
        return View((rgba * 255 + 0.5).to(torch.uint8).numpy(), camera, *angles)

    def truth(self, entry: Entry) -> Truth:
        """Outer points of the model and the cells of its voxel file."""
        from maquette.data.prepare.truth import outer_points

        mesh = learning_mesh(self.root / entry.source, FRONT)
        generator = torch.Generator().manual_seed(zlib.crc32(entry.id.encode()))
        points, normals, _ = outer_points(mesh, POINTS, generator)
        low, high = bounds(mesh).numpy().astype(np.float64)
        cells = read_voxels(self.root / self.voxels[entry.id])
        # Our x is the file's -x, our y its z, our z its y.
        voxels = cells_on_box(cells[::-1].transpose(1, 2, 0), low, high, RESOLUTION)
        return Truth(points, normals, np.zeros(POINTS, dtype=np.int16), ("surface",), voxels)

    def stamp(self, entry: Entry) -> str:
        pictures = [self.root / name for shot in self.photographs[entry.id] for name in (shot.img, shot.mask)]
        return times(self.root / entry.source, self.root / self.voxels[entry.id], *pictures)


def is_layout(root: Path) -> bool:
    return (root / TABLE).is_file()


def open_pix3d(root: Path) -> Pix3d:
    """All models of the table that are complete; photographs without their files are left out with their model."""
    table = read_json(root / TABLE)
    if not isinstance(table, list):
        raise ValueError(f"{root / TABLE}: expected a list of annotations")
    shots: dict[str, list[Photograph]] = {}
    facts: dict[str, tuple[str, str]] = {}
    lacks: dict[str, list[str]] = {}
    for number, line in enumerate(table):
        try:
            model, photograph = str(line["model"]), _photograph(line)
            facts.setdefault(model, (str(line["category"]), str(line["voxel"])))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{root / TABLE}: annotation {number} is broken: {_told(error)}") from error
        shots.setdefault(model, []).append(photograph)
        for name in (model, facts[model][1], photograph.img, photograph.mask):
            if not (root / name).is_file() and name not in lacks.get(model, ()):
                lacks.setdefault(model, []).append(name)
    entries, photographs, voxels, missing = [], {}, {}, []
    for model, pictures in shots.items():
        category, cells = facts[model]
        if model in lacks:
            missing.append(Missing(model, "all", f"lacks {', '.join(lacks[model][:4])}"))
            continue
        parts = Path(model).with_suffix("").parts
        entry = Entry("-".join(parts[1:] or parts).replace(" ", "_"), category, "all", model, len(pictures))
        entries.append(entry)
        photographs[entry.id], voxels[entry.id] = tuple(pictures), cells
    if not entries:
        first = f"; the first, {missing[0].source}, {missing[0].reason}" if missing else ""
        raise FileNotFoundError(f"{root}: none of {len(missing)} models is complete{first}")
    return Pix3d(root, root.resolve().name, tuple(entries), photographs, voxels, tuple(missing))


def _photograph(line: dict) -> Photograph:
    rotation, translation = np.array(line["rot_mat"], dtype=float), np.array(line["trans_mat"], dtype=float)
    focal, (width, height) = float(line["focal_length"]), line["img_size"]
    if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-2):
        raise ValueError("rot_mat is no rotation")
    if np.linalg.det(rotation) < 0:
        raise ValueError("rot_mat mirrors")
    if translation.shape != (3,) or not np.isfinite(translation).all() or not (focal > 0 and math.isfinite(focal)):
        raise ValueError(f"trans_mat {translation.tolist()} or focal_length {focal} makes no camera")
    hidden = any(
        str(line.get(name, False)).lower() == "true" for name in ("truncated", "occluded", "slightly_occluded")
    )
    return Photograph(line["img"], line["mask"], rotation, translation, focal, (int(height), int(width)), hidden)


def _told(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error)


def camera_of(shot: Photograph) -> Camera:
    """The camera of a photograph in its model's own frame; published rotations are made exact."""
    u, _, v = np.linalg.svd(shot.rotation)
    left_up = torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64)
    rotation, translation = torch.from_numpy(u @ v), torch.from_numpy(shot.translation)
    cam_from_model = transforms.rigid(left_up[:, None] * rotation, left_up * translation)
    height, width = shot.size
    focal = torch.full((2,), shot.focal_mm / SENSOR_MM * width)
    center = torch.tensor([width / 2, height / 2])
    return Camera(transforms.inverse(cam_from_model).float(), focal, center, shot.size)


def read_voxels(path: Path) -> Bool[np.ndarray, "X Y Z"]:
    """Full cells of a MATLAB 5 file, in its own axes."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        cells = loadmat(path, variable_names=["voxel"])["voxel"]
    except (MatReadError, NotImplementedError, ValueError, TypeError, EOFError, KeyError) as error:
        raise OSError(f"{path}: not a MATLAB 5 file with an array `voxel` ({' '.join(str(error).split())})") from error
    if cells.ndim != 3 or cells.dtype.kind not in "buif" or not 0 < cells.size <= MOST_CELLS:
        raise OSError(f"{path}: `voxel` has shape {cells.shape} of {cells.dtype}; expected a grid of numbers")
    return cells > 0
