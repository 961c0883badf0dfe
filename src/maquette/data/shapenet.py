"""The R2N2 renders of ShapeNetCore v1 (Choy et al. 2016) with meshes and voxels, in their usual folders.

    ROOT/shapenet/<synset>/<model>/model.obj
    ROOT/r2n2/ShapeNetRendering/<synset>/<model>/rendering/{00.png .. 23.png, rendering_metadata.txt, feats.npy}
    ROOT/r2n2/ShapeNetVoxels/<synset>/<model>/model.binvox
    ROOT/split*.json              {"train" | "val" | "test": {synset: {model: [view numbers]}}}

Their frame: y up, front +x (README of ShapeNetCore v1). A line of the metadata holds azimuth, elevation, in-plane
rotation (degrees), distance / 1.75, and a field of view that is not the renders' own (their focal length is 149.8 px at
137 px). Azimuth 0 looks at the front and grows towards +z (Blender turns y up to z up on import), so in our frame,
turned about y by -90 degrees to front +z, azimuths change sign. Pictures, meshes and voxels agree with each
other; that v1 mirrored its originals (README of v2) is not undone.
"""

import math
import os
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32

from maquette import transforms
from maquette.camera import Camera, orbit, orbit_angles
from maquette.data.dataset import LEARNING_FRAME, Missing, Truth, View, read_json, times
from maquette.data.entries import Entry
from maquette.data.stored import cells_on_box, learning_from_stored, learning_mesh, moved
from maquette.shapes import Mesh, bounds

RENDERS = Path("r2n2/ShapeNetRendering")
VOXELS = Path("r2n2/ShapeNetVoxels")
MESHES = Path("shapenet")
LANDMARKS = (RENDERS,)
"""What tells this layout from others."""

FOCAL = 149.8 / 137
"""Of the renders, in picture sizes."""
FARTHEST = 1.75
"""World units of a distance of 1 in the metadata."""
POINTS = 10_000
RESOLUTION = 32

CATEGORIES = {
    "02691156": "airplane",
    "02828884": "bench",
    "02933112": "cabinet",
    "02958343": "car",
    "03001627": "chair",
    "03211117": "display",
    "03636649": "lamp",
    "03691459": "loudspeaker",
    "04090263": "rifle",
    "04256520": "sofa",
    "04379243": "table",
    "04401088": "telephone",
    "04530566": "watercraft",
}
"""The thirteen synsets of the renders; another synset is its own category."""

FRONT = "+x"
"""Where the stored models look."""


@dataclass(frozen=True)
class ShapeNet:
    """Renders, meshes and voxels in the layout above, in the frame of learning."""

    root: Path
    name: str
    entries: tuple[Entry, ...]
    view_numbers: dict[str, tuple[int, ...]]
    """By entry id: which of the rendered pictures are its views, in this order."""
    missing: tuple[Missing, ...]
    """Models that the split names and that lack a file."""
    frame: str = LEARNING_FRAME

    def view(self, entry: Entry, k: int) -> View:
        """View `k` of a model: the k-th of the numbers that the split lists."""
        from PIL import Image

        if not 0 <= k < entry.views:
            raise ValueError(f"view: {entry.id} has views 0..{entry.views - 1}, not {k}")
        number = self.view_numbers[entry.id][k]
        folder = self.root / RENDERS / entry.source / "rendering"
        with Image.open(folder / f"{number:02d}.png") as picture:
            rgba = np.asarray(picture.convert("RGBA"))
        azimuth, elevation, distance = read_metadata(folder / "rendering_metadata.txt", number)
        stored = camera_of(azimuth, elevation, distance, (rgba.shape[0], rgba.shape[1]))
        # The stored origin need not be the middle of the box, nor its diagonal 1: the camera moves with the object.
        learning = learning_from_stored(self.root / MESHES / entry.source / "model.obj", FRONT)
        camera = moved(stored, learning @ torch.linalg.inv(transforms.z_from_front(FRONT).double()))
        angles = (float(value) for value in orbit_angles(camera))
        return View(rgba, camera, *angles)

    def mesh(self, entry: Entry) -> Mesh:
        """The model's surface in the frame of learning, without its materials."""
        return learning_mesh(self.root / MESHES / entry.source / "model.obj", FRONT)

    def truth(self, entry: Entry) -> Truth:
        """Outer points of the mesh, the same ones each time, and the binvox file's cells."""
        from maquette.data.prepare.truth import outer_points

        mesh = self.mesh(entry)
        generator = torch.Generator().manual_seed(zlib.crc32(entry.id.encode()))
        points, normals, _ = outer_points(mesh, POINTS, generator)
        low, high = bounds(mesh).numpy().astype(np.float64)
        filled = read_binvox(self.root / VOXELS / entry.source / "model.binvox")
        # Front +x to front +z: our x is the file's -z, our z is its x.
        voxels = cells_on_box(filled[:, :, ::-1], low, high, RESOLUTION)
        return Truth(points, normals, np.zeros(POINTS, dtype=np.int16), ("surface",), voxels)

    def codes(self, entry: Entry) -> Float32[np.ndarray, "K D"]:
        """The rows of feats.npy, features of a ResNet-18, that belong to the model's views."""
        path = self.root / RENDERS / entry.source / "rendering" / "feats.npy"
        try:
            rows = np.load(path, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise OSError(f"{path}: not an array: {error}") from error
        numbers = self.view_numbers[entry.id]
        if rows.ndim != 2 or rows.dtype.kind != "f" or len(rows) <= max(numbers):
            raise OSError(f"{path}: has shape {rows.shape} of {rows.dtype}; expected a row of numbers for each picture")
        codes = rows[list(numbers)].astype(np.float32)
        if not np.isfinite(codes).all():
            raise OSError(f"{path}: has numbers that are not finite")
        return codes

    def stamp(self, entry: Entry) -> str:
        mesh, voxels = (self.root / place / entry.source for place in (MESHES, VOXELS))
        renders = self.root / RENDERS / entry.source / "rendering"
        return f"{self.view_numbers[entry.id]} {times(mesh / 'model.obj', voxels / 'model.binvox', renders)}"


def is_layout(root: Path) -> bool:
    """Whether a folder looks like ROOT above."""
    return any((root / place).is_dir() for place in LANDMARKS)


def open_shapenet(root: Path, split_file: Path | None = None) -> ShapeNet:
    """The models that a split file lists; of several beside the data the one with most models, with a warning.

    Without a split file all models with renders count, with all their pictures, as split `all`. Models that lack a file
    are left out, listed in `missing`, and told in one warning.
    """
    split_file = split_file or _find_split(root)
    listed = _all_models(root) if split_file is None else _listed(split_file)
    entries, numbers, missing = [], {}, []
    for split, synset, model, views in listed:
        source = f"{synset}/{model}"
        lacks = _lacks(root, source, views)
        if lacks:
            missing.append(Missing(source, split, f"lacks {', '.join(lacks)}"))
            continue
        entry = Entry(f"{synset}-{model}", CATEGORIES.get(synset, synset), split, source, len(views))
        if entry.id in numbers:
            raise ValueError(f"open_shapenet: {source} stands twice in the split file; a model belongs to one split")
        entries.append(entry)
        numbers[entry.id] = views
    if not entries:
        raise FileNotFoundError(
            f"{root}: none of {len(missing)} models is complete; the first, {missing[0].source}, {missing[0].reason}"
            if missing
            else f"{root}: no models below {RENDERS}"
        )
    if missing:
        warnings.warn(
            f"open_shapenet: {len(missing)} of {len(missing) + len(entries)} models lack files and are left out; "
            f"the first: {missing[0].source}: {missing[0].reason}",
            stacklevel=2,
        )
    return ShapeNet(root, root.resolve().name, tuple(entries), numbers, tuple(missing))


# ------------------------------------------------------------------------------------------------------ what is there


def _find_split(root: Path) -> Path | None:
    found = sorted([*root.glob("split*.json"), *(root / "r2n2").glob("split*.json")])
    if len(found) <= 1:
        return found[0] if found else None
    largest = max(found, key=lambda path: len(_listed(path)))
    names = ", ".join(path.name for path in found)
    warnings.warn(f"open_shapenet: {root} holds {names}; {largest.name} names most models and is taken", stacklevel=3)
    return largest


def _listed(path: Path) -> list[tuple[str, str, str, tuple[int, ...]]]:
    """(split, synset, model, view numbers) of every model that a split file names."""
    table = read_json(path)
    listed = []
    try:
        for split, synsets in table.items():
            if split not in ("train", "val", "test"):
                raise ValueError(f"{split!r} is no split")
            for synset, models in synsets.items():
                for model, views in models.items():
                    if not views or not all(isinstance(view, int) and view >= 0 for view in views):
                        raise ValueError(f"{synset}/{model} has views {views!r}")
                    listed.append((split, synset, model, tuple(views)))
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f'{path}: not a split file ({error}); expected {{"train" | "val" | "test": {{synset: {{model: [views]}}}}}}'
        ) from error
    return listed


def _all_models(root: Path) -> list[tuple[str, str, str, tuple[int, ...]]]:
    listed = []
    for folder in sorted((root / RENDERS).glob("*/*/rendering")):
        views = tuple(sorted(int(path.stem) for path in folder.glob("*.png") if path.stem.isdigit()))
        listed.append(("all", folder.parent.parent.name, folder.parent.name, views))
    return listed


def _lacks(root: Path, source: str, views: tuple[int, ...]) -> list[str]:
    """The files that a model should have and has not."""
    lacks = []
    for place in (MESHES / source / "model.obj", VOXELS / source / "model.binvox"):
        if not (root / place).is_file():
            lacks.append(str(place))
    folder = root / RENDERS / source / "rendering"
    there = set(os.listdir(folder)) if folder.is_dir() else set()
    wanted = ["rendering_metadata.txt", *(f"{view:02d}.png" for view in views)]
    lacks += [str(RENDERS / source / "rendering" / name) for name in wanted if name not in there]
    return lacks if views else [*lacks, "any picture"]


# ------------------------------------------------------------------------------------------------------------- cameras


def read_metadata(path: Path, number: int) -> tuple[float, float, float]:
    """Azimuth and elevation (radians, in our frame) and distance (stored units) of picture `number`."""
    lines = [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    if number >= len(lines):
        raise ValueError(f"{path}: has {len(lines)} lines, none for picture {number:02d}")
    line = lines[number]
    try:
        azimuth, elevation, roll, ratio, _ = (float(word) for word in line.split())
    except ValueError as error:
        raise ValueError(
            f"{path} line {number + 1}: {line!r} are not five numbers: azim elev yaw dist_ratio fov"
        ) from error
    if not all(map(math.isfinite, (azimuth, elevation, ratio))) or ratio <= 0:
        raise ValueError(f"{path} line {number + 1}: {line!r}: the distance must be positive and the angles finite")
    if roll != 0:
        raise ValueError(
            f"{path} line {number + 1}: {line!r}: the camera is rolled by {roll:g} degrees; only 0 is read"
        )
    return math.radians(-azimuth), math.radians(elevation), ratio * FARTHEST


def camera_of(azimuth: float, elevation: float, distance: float, size: tuple[int, int]) -> Camera:
    """A render's camera in the stored units, turned to front +z."""
    return orbit(
        torch.tensor(azimuth), torch.tensor(elevation), torch.tensor(distance), focal=FOCAL * size[1], size=size
    )


# -------------------------------------------------------------------------------------------------------------- solids


def read_binvox(path: Path) -> Bool[np.ndarray, "X Y Z"]:
    """The cells of a binvox file, indexed by its own x, y, z.

    Format (P. Min): text lines `#binvox 1`, `dim D H W`, `translate`, `scale`, `data`, then pairs of bytes (value,
    count); cells run with y fastest, then z, then x.
    """
    data = path.read_bytes()
    head, found, body = data.partition(b"\ndata\n")
    words = head.split()
    if not found or words[:1] != [b"#binvox"]:
        raise ValueError(f"{path}: not a binvox file")
    lines = [line.split() for line in head.split(b"\n")]
    dims = [line[1:] for line in lines if line[:1] == [b"dim"]]
    if len(dims) != 1 or len(dims[0]) != 3 or not all(word.isdigit() for word in dims[0]):
        raise ValueError(f"{path}: its header has no line `dim` with three numbers")
    depth, height, width = (int(word) for word in dims[0])
    if not 0 < depth * height * width <= 1024**3:
        raise ValueError(f"{path}: {depth} x {height} x {width} cells; up to 1024^3 are read")
    pairs = np.frombuffer(body[: len(body) // 2 * 2], dtype=np.uint8).reshape(-1, 2)
    total = int(pairs[:, 1].astype(np.int64).sum())
    if total != depth * height * width:
        raise ValueError(f"{path}: holds {total} of {depth * height * width} cells; the file is damaged")
    cells = np.repeat(pairs[:, 0] != 0, pairs[:, 1])
    return cells.reshape(depth, height, width).transpose(0, 2, 1)
