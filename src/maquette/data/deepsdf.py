"""Data in the layout of DeepSDF (Park et al. 2019) and of deep implicit templates, with renders where there are any.

    ROOT/SdfSamples/<source>/<class>/<instance>.npz               pos (P, 4), neg (M, 4): x y z, signed distance
    ROOT/SurfaceSamples/<source>/<class>/<instance>.ply           points of the surface, original coordinates
    ROOT/NormalizationParameters/<source>/<class>/<instance>.npz  offset (3), scale: p' = (p + offset) scale
    ROOT/<class>/<instance>/<easy|hard>/image/{00.png, ..., rendering_metadata.txt}
    ROOT/*_train.json, *_test.json                                {source: {class: [instances]}}

There may be one more folder <instance> below the class. Distances are in the units of p', negative inside; models are
those of ShapeNetCore version 2, fronts at -z. The box of the surface's points stands for that of the model. A line of
the metadata is a bracketed list: azimuth, elevation, roll (degrees), distance ratio, focal length and sensor (mm), the
distance of ratio 1, and the object's shift in Blender's axes (x, -z, y of ours); azimuth 0 looks from the stored +x.
"""

import ast
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32

from maquette import transforms
from maquette.camera import Camera, orbit, orbit_angles
from maquette.conventions import world_from_shapenet
from maquette.data.dataset import LEARNING_FRAME, Missing, Surroundings, Truth, View, read_json, times
from maquette.data.entries import Entry
from maquette.data.shapenet import CATEGORIES
from maquette.data.stored import moved
from maquette.io.archive import read_archive
from maquette.shapes import PointCloud

SAMPLES, SURFACES, PARAMETERS = Path("SdfSamples"), Path("SurfaceSamples"), Path("NormalizationParameters")
STYLES = ("easy", "hard")
MOST = 40_000_000
"""Numbers of an array that are read."""


@dataclass(frozen=True)
class DeepSdf:
    """Signed distances and surfaces, and renders if there are any, in the frame of learning."""

    root: Path
    name: str
    entries: tuple[Entry, ...]
    renders: dict[str, Path]
    """By entry id: the folder of its pictures."""
    missing: tuple[Missing, ...]
    frame: str = LEARNING_FRAME

    def view(self, entry: Entry, k: int) -> View:
        from PIL import Image

        if not 0 <= k < entry.views:
            raise ValueError(f"view: {entry.id} has {entry.views} views, none of number {k}")
        folder = self.renders[entry.id]
        with Image.open(folder / f"{k:02d}.png") as picture:
            rgba = np.asarray(picture.convert("RGBA"))
        stored = read_camera(folder / "rendering_metadata.txt", k, (rgba.shape[0], rgba.shape[1]))
        camera = moved(stored, self._learning_from_stored(entry))
        return View(rgba, camera, *(float(value) for value in orbit_angles(camera)))

    def truth(self, entry: Entry) -> Truth:
        """Points without normals, signed distances, and no voxels: the layout has none."""
        learning = self._learning_from_stored(entry).double()
        offset, scale = self._parameters(entry)
        rows = read_samples(_file(self.root / SAMPLES, entry.source, ".npz"))
        stored = torch.from_numpy(rows[:, :3] / scale - offset)
        size = float(torch.linalg.det(learning[:3, :3]).abs() ** (1 / 3))
        about = Surroundings(
            transforms.apply(learning, stored).float().numpy(), (rows[:, 3] / scale * size).astype(np.float32)
        )
        points = transforms.apply(learning, self._surface(entry)).float().numpy()
        return Truth(points, None, np.zeros(len(points), np.int16), ("surface",), None, about)

    def stamp(self, entry: Entry) -> str:
        folders = ((SAMPLES, ".npz"), (SURFACES, ".ply"), (PARAMETERS, ".npz"))
        files = [_file(self.root / place, entry.source, suffix) for place, suffix in folders]
        return times(*files, *([self.renders[entry.id]] if entry.views else []))

    def _learning_from_stored(self, entry: Entry) -> Float[torch.Tensor, "4 4"]:
        surface = self._surface(entry)
        # The offset is minus the box's middle, exactly; the diagonal follows from the points that are farthest out.
        offset, _ = self._parameters(entry)
        middle = -torch.from_numpy(offset)
        half = (surface - middle).abs().amax(0)
        scale = 1 / (2 * half.norm())
        return world_from_shapenet(2).double() @ transforms.scale_translate(scale, -scale * middle).double()

    def _surface(self, entry: Entry) -> Float[torch.Tensor, "N 3"]:
        from maquette.io import load

        path = _file(self.root / SURFACES, entry.source, ".ply")
        shape = load(path)
        if not isinstance(shape, PointCloud) or not len(shape.points):
            raise ValueError(f"{path}: expected a cloud of points")
        return shape.points.double()

    def _parameters(self, entry: Entry) -> tuple[Float[np.ndarray, "3"], float]:
        path = _file(self.root / PARAMETERS, entry.source, ".npz")
        arrays = read_archive(path, {"offset": 3, "scale": 1})
        offset, scale = arrays["offset"].astype(float).reshape(-1), float(arrays["scale"].reshape(-1)[0])
        if offset.shape != (3,) or not np.isfinite(offset).all() or not (scale > 0 and math.isfinite(scale)):
            raise ValueError(f"{path}: offset {offset.tolist()} and scale {scale} make no transform")
        return offset, scale


def is_layout(root: Path) -> bool:
    return (root / SAMPLES).is_dir()


def open_deepsdf(root: Path, style: str | None = None) -> DeepSdf:
    """Instances that the split files beside the data name, or all there are; views of `style`, else of the first."""
    listed = _listed(root)
    entries, renders, missing = [], {}, []
    for source, split in listed.items():
        lost = [
            str(place / f"{source}{suffix}")
            for place, suffix in ((SAMPLES, ".npz"), (SURFACES, ".ply"), (PARAMETERS, ".npz"))
            if not _file(root / place, source, suffix).is_file()
        ]
        if lost:
            missing.append(Missing(source, split, f"lacks {', '.join(lost)}"))
            continue
        _, group, instance = source.split("/")
        places = [root / group / instance / name / "image" for name in (STYLES if style is None else (style,))]
        folder = next((place for place in places if (place / "rendering_metadata.txt").is_file()), None)
        views = 0
        if folder is not None:
            numbers = {int(path.stem) for path in folder.glob("*.png") if path.stem.isdigit()}
            views = next(n for n in range(len(numbers) + 1) if n not in numbers)
        entry = Entry(source.replace("/", "-"), CATEGORIES.get(group, group), split, source, views)
        entries.append(entry)
        if folder is not None:
            renders[entry.id] = folder
    if not entries:
        first = f"; the first, {missing[0].source}, {missing[0].reason}" if missing else ""
        raise FileNotFoundError(f"{root}: none of {len(missing)} instances is complete{first}")
    return DeepSdf(root, root.resolve().name, tuple(entries), renders, tuple(missing))


def _listed(root: Path) -> dict[str, str]:
    """{source/class/instance: split}."""
    found: dict[str, str] = {}
    for split in ("train", "val", "test"):
        for path in sorted(root.glob(f"*_{split}.json")):
            try:
                for source, classes in read_json(path).items():
                    for group, instances in classes.items():
                        for instance in instances:
                            name = f"{source}/{group}/{instance}"
                            if found.setdefault(name, split) != split:
                                raise ValueError(f"{name} is in two splits")
            except (AttributeError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}: not a split file ({error}); expected {{source: {{class: [instances]}}}}"
                ) from error
    if not found:
        flat = sorted((root / SAMPLES).glob("*/*/*.npz"))
        nested = sorted((root / SAMPLES).glob("*/*/*/*.npz"))
        found = {
            "/".join(path.relative_to(root / SAMPLES).with_suffix("").parts[i] for i in (0, 1, -1)): "all"
            for path in [*flat, *nested]
        }
    return found


def _file(place: Path, source: str, suffix: str) -> Path:
    """Flat, else with one more folder of the instance's name."""
    flat = place / f"{source}{suffix}"
    nested = place / source / f"{source.split('/')[-1]}{suffix}"
    return nested if not flat.is_file() and nested.is_file() else flat


def read_samples(path: Path) -> Float32[np.ndarray, "N 4"]:
    """x, y, z and the signed distance of all samples, those outside first; rows that are not finite are dropped."""
    arrays = read_archive(path, {"pos": MOST, "neg": MOST})
    kept = []
    for name in ("pos", "neg"):
        rows = arrays[name].astype(np.float32)
        if rows.ndim != 2 or rows.shape[1] != 4:
            raise ValueError(f"{path}: {name} has shape {rows.shape}; expected rows of x, y, z, signed distance")
        rows = rows[np.isfinite(rows).all(1)]
        if not len(rows):
            side = "outside" if name == "pos" else "inside"
            raise ValueError(
                f"{path}: {name} holds no sample {side}; the model is open or thin, leave it out or sample it again"
            )
        kept.append(rows)
    return np.concatenate(kept)


def read_camera(path: Path, number: int, size: tuple[int, int]) -> Camera:
    """The camera of render `number` in the stored frame of the model."""
    lines = [line.strip().rstrip(",") for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    if number >= len(lines):
        raise ValueError(f"{path}: has {len(lines)} lines, none for picture {number:02d}")
    try:
        row = [float(value) for value in ast.literal_eval(lines[number])]
        azimuth, elevation, roll, ratio, focal, sensor, farthest, *shift = row
        if not (len(shift) == 3 and all(map(math.isfinite, row)) and min(ratio, focal, sensor, farthest) > 0):
            raise ValueError("a number is missing, not finite, or not positive")
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(f"{path} line {number + 1}: {lines[number][:80]!r} are not ten numbers in brackets") from error
    if roll != 0:
        raise ValueError(f"{path} line {number + 1}: the camera is rolled by {roll:g} degrees; only 0 is read")
    angles = torch.tensor([-math.radians(azimuth), math.radians(elevation), ratio * farthest], dtype=torch.float64)
    camera = orbit(*angles, focal=focal / sensor * size[1], size=size)
    # Both of Blender's frames look the same way, whatever the model's front: azimuth 0 is the stored +x.
    camera = moved(camera, torch.linalg.inv(world_from_shapenet(1).double()))
    x, y, z = shift
    pose = camera.world_from_cam.clone()
    pose[:3, 3] -= torch.tensor([x, z, -y], dtype=pose.dtype)
    return replace(camera, world_from_cam=pose).to(torch.float32)
