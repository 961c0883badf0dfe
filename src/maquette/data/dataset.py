"""Data sets of single objects: pictures from known cameras, and the solid they show.

On disk, in the format that `maquette prepare` writes:

    D/dataset.json                 what this is and the config that it was made with
    D/index.jsonl                  one entry a line; it can always be made again from the folders
    D/report.json                  how many were made, what failed and why
    D/objects/<id>/object.json     its entry, where it came from, what was noticed
                   cameras.json    picture size, and per view the pose, the angles and the lights
                   shape.npz       points, normals, labels of the outer surface; voxels; signed distances about it
                   views/00.png    RGBA, straight alpha

An object's folder is written under a temporary name and renamed, so it is there whole or not at all.
Letters: N points, K views, H W pixels. The frame of learning: truth's box centred, diagonal 1, front +z, y up.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int16, UInt8

from maquette.camera import Camera
from maquette.data.entries import Entry, open_entries, write_entries

FORMAT = "maquette-dataset"
FORMAT_VERSION = 1
LEARNING_FRAME = "bounding box centred at the origin, its diagonal 1, front +z, y up"
TEMPORARY = ".tmp-"
PACKS = "packs"
"""Folder of what `maquette.data.pack` makes of a data set."""


@dataclass(frozen=True)
class Missing:
    """An object that should be there and cannot be used."""

    source: str
    split: str
    reason: str


@dataclass(frozen=True)
class View:
    """One picture of an object and where it was taken from."""

    rgba: UInt8[np.ndarray, "H W 4"]
    """Straight alpha."""
    camera: Camera
    azimuth: float
    """Radians; 0 looks at the front, growing towards +x."""
    elevation: float
    """Radians."""
    distance: float
    """From the camera to the origin, in object diagonals."""


@dataclass(frozen=True)
class Surroundings:
    """Places about a solid, near its surface and all over its cube, and how far from its outer surface they are."""

    places: Float32[np.ndarray, "Q 3"]
    """In the frame of learning."""
    distances: Float32[np.ndarray, " Q"]
    """Signed, in object diagonals; negative inside."""
    everywhere: int = 0
    """The first so many places are strewn evenly over the cube and a little beyond: those that volumes are told by."""


@dataclass(frozen=True)
class Truth:
    """The solid itself, in the frame of learning."""

    points: Float32[np.ndarray, "N 3"]
    """Uniform on the outer surface."""
    normals: Float32[np.ndarray, "N 3"] | None
    """Unit vectors to the outside; None where the data has none: then normals are not compared."""
    labels: Int16[np.ndarray, " N"]
    """Index into `label_names`."""
    label_names: tuple[str, ...]
    voxels: Bool[np.ndarray, "Z Y X"] | None
    """Filled cells of the cube [-0.5, 0.5]^3, axes and centres as in `maquette.shapes.Voxels`; None where the data has
    none: then nothing can be learnt about grids, and no IoU is measured."""
    surroundings: Surroundings | None = None
    """None where the data has none; then the voxels say what is inside."""


@runtime_checkable
class Dataset(Protocol):
    """What training and evaluation ask of any data set."""

    @property
    def name(self) -> str: ...

    @property
    def entries(self) -> Sequence[Entry]: ...

    @property
    def missing(self) -> Sequence[Missing]:
        """Objects that are named and not there: they are no entries, and nobody may pass over them unsaid."""
        ...

    @property
    def frame(self) -> str:
        """The frame of cameras and truth, in words."""
        ...

    def view(self, entry: Entry, k: int) -> View: ...

    def truth(self, entry: Entry) -> Truth: ...

    def stamp(self, entry: Entry) -> str:
        """Another text when the object's files are replaced: what is made from them can be told to be stale."""
        ...


@runtime_checkable
class HasCodes(Protocol):
    """A data set that holds what a fixed encoder made of each picture."""

    def codes(self, entry: Entry) -> Float32[np.ndarray, "K D"]:
        """One code a view, in the order of the views."""
        ...


@runtime_checkable
class HasFolder(Protocol):
    """A data set whose objects come, go and are replaced as entries of one folder."""

    def folder_stamp(self) -> str:
        """Another text when that happens: it takes one look instead of one an object."""
        ...


def open_dataset(path: str | os.PathLike[str]) -> Dataset:
    """The data set in a folder: one that `maquette prepare` made, renders and voxels in the R2N2/ShapeNet
    layout, Pix3D, or DeepSDF's samples.

    Of renders and voxels the path may also be one of their split files (JSON), which stands beside the data.
    """
    from maquette.data import deepsdf, pix3d, shapenet

    root = Path(path)
    if root.is_file() and root.suffix == ".json" and shapenet.is_layout(root.parent):
        return shapenet.open_shapenet(root.parent, root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; make a data set with `maquette prepare`")
    if (root / "dataset.json").is_file():
        return _open_prepared(root)
    if shapenet.is_layout(root):
        return shapenet.open_shapenet(root)
    if pix3d.is_layout(root):
        return pix3d.open_pix3d(root)
    if deepsdf.is_layout(root):
        return deepsdf.open_deepsdf(root)
    raise FileNotFoundError(
        f"{root}: not a data set: looked for dataset.json (made by `maquette prepare`) and for "
        f"{' or '.join(str(place) for place in shapenet.LANDMARKS)} (R2N2/ShapeNet layout), {pix3d.TABLE} (Pix3D), "
        f"{deepsdf.SAMPLES} (DeepSDF); models alone become one by `maquette prepare meshes` or `prepare shapenet`"
    )


# --------------------------------------------------------------------------------------------------- reading our format


@dataclass(frozen=True)
class Prepared:
    """A data set that `maquette prepare` made."""

    root: Path
    name: str
    entries: Sequence[Entry]
    missing: tuple[Missing, ...] = ()
    frame: str = LEARNING_FRAME

    def view(self, entry: Entry, k: int) -> View:
        """View `k` of an object, 0 <= k < entry.views."""
        from PIL import Image

        if not 0 <= k < entry.views:
            raise ValueError(f"view: {entry.id} has views 0..{entry.views - 1}, not {k}")
        folder = object_folder(self.root, entry.id)
        cameras = read_json(folder / "cameras.json")
        shot = cameras["views"][k]
        camera = Camera(
            torch.tensor(shot["world_from_cam"], dtype=torch.float32),
            torch.tensor(cameras["focal"], dtype=torch.float32),
            torch.tensor(cameras["center"], dtype=torch.float32),
            (cameras["size"][0], cameras["size"][1]),
        )
        with Image.open(picture_path(folder, k)) as picture:
            rgba = np.asarray(picture.convert("RGBA"))
        return View(rgba, camera, shot["azimuth"], shot["elevation"], shot["distance"])

    def truth(self, entry: Entry) -> Truth:
        """The solid of an object."""
        folder = object_folder(self.root, entry.id)
        names = tuple(read_json(folder / "object.json")["label_names"])
        with np.load(folder / "shape.npz", allow_pickle=False) as arrays:
            voxels = normals = about = None
            if "voxels" in arrays:
                side = int(arrays["resolution"])
                voxels = np.unpackbits(arrays["voxels"], count=side**3).astype(bool).reshape(side, side, side)
            if "normals" in arrays:
                normals = arrays["normals"].astype(np.float32)
            if "places" in arrays:
                places = arrays["places"].astype(np.float32)
                # `maquette.data.prepare.truth.surroundings` strews the first half everywhere.
                about = Surroundings(places, arrays["distances"].astype(np.float32), everywhere=len(places) // 2)
            return Truth(arrays["points"], normals, arrays["labels"], names, voxels, about)

    def stamp(self, entry: Entry) -> str:
        folder = object_folder(self.root, entry.id)
        return times(folder / "object.json", folder / "shape.npz", folder / "views")

    def folder_stamp(self) -> str:
        return times(self.root / "objects")


def times(*paths: Path) -> str:
    """When files were last changed, and their sizes; a folder changes when a file in it is added or replaced."""
    states = [path.stat() for path in paths]
    return " ".join(f"{state.st_mtime_ns}:{state.st_size}" for state in states)


def _open_prepared(root: Path) -> Prepared:
    head = read_json(root / "dataset.json")
    if head.get("format") != FORMAT or head.get("version") != FORMAT_VERSION:
        raise ValueError(
            f"open_dataset: {root / 'dataset.json'} is {head.get('format')!r} version {head.get('version')!r}, "
            f"this Maquette reads {FORMAT!r} version {FORMAT_VERSION}"
        )
    index = root / "index.jsonl"
    entries = open_entries(index) if index.is_file() else tuple(entries_in_folders(root))
    if not entries:
        raise ValueError(f"open_dataset: {root} holds no finished object; run `maquette prepare` again")
    return Prepared(root, root.resolve().name, entries)


def read_json(path: Path):
    """The value in a JSON file; ValueError with the path if it is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON ({error})") from error


# --------------------------------------------------------------------------------------------------- writing our format


@dataclass(frozen=True)
class Pictures:
    """All views of one object, ready to be written."""

    rgba: UInt8[np.ndarray, "K H W 4"]
    camera: Camera
    """K cameras."""
    azimuth: Float[np.ndarray, " K"]
    elevation: Float[np.ndarray, " K"]
    distance: Float[np.ndarray, " K"]
    lights: list[dict[str, object]]
    """The lights of all pictures, as they stand in cameras.json."""


def object_folder(root: Path, id: str) -> Path:
    return root / "objects" / id


def picture_path(folder: Path, k: int) -> Path:
    return folder / "views" / f"{k:02d}.png"


def write_object(root: Path, entry: Entry, pictures: Pictures, truth: Truth, notes: dict[str, object]) -> None:
    """One object's folder, whole or not at all; the same arguments give the same bytes.

    `notes` are further facts for object.json. An object that is already there is kept.
    """
    target = object_folder(root, entry.id)
    folder = target.parent / f"{TEMPORARY}{secrets.token_hex(4)}-{entry.id}"
    (folder / "views").mkdir(parents=True)
    try:
        _write_pictures(folder, pictures)
        arrays: dict[str, np.ndarray] = {"points": truth.points}
        if truth.normals is not None:
            # Directions to 1/2000 are plenty, and the file is a quarter smaller.
            arrays["normals"] = truth.normals.astype(np.float16)
        arrays["labels"] = truth.labels
        if truth.voxels is not None:
            arrays["voxels"] = np.packbits(truth.voxels.reshape(-1))
            arrays["resolution"] = np.array(len(truth.voxels))
        if truth.surroundings is not None:
            # Places were drawn on the grid of 16-bit numbers, so nothing of them is lost.
            arrays["places"] = truth.surroundings.places.astype(np.float16)
            arrays["distances"] = truth.surroundings.distances.astype(np.float16)
        with open(folder / "shape.npz", "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        facts = {**asdict(entry), "label_names": list(truth.label_names), **notes}
        (folder / "object.json").write_text(json.dumps(facts, allow_nan=False) + "\n", "utf-8")
        if not target.exists():
            os.rename(folder, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_pictures(folder: Path, pictures: Pictures) -> None:
    from PIL import Image

    for k, rgba in enumerate(pictures.rgba):
        Image.fromarray(rgba, "RGBA").save(picture_path(folder, k), compress_level=1)
    poses = pictures.camera.world_from_cam.tolist()
    views = [
        {"azimuth": azimuth, "elevation": elevation, "distance": distance, "world_from_cam": pose}
        for azimuth, elevation, distance, pose in zip(
            pictures.azimuth.tolist(), pictures.elevation.tolist(), pictures.distance.tolist(), poses, strict=True
        )
    ]
    cameras = {
        "size": list(pictures.camera.size),
        "focal": pictures.camera.focal[0].tolist(),
        "center": pictures.camera.center[0].tolist(),
        "lights": pictures.lights,
        "views": views,
    }
    (folder / "cameras.json").write_text(json.dumps(cameras, allow_nan=False) + "\n", "utf-8")


def finished_ids(root: Path) -> set[str]:
    """Names of the finished objects' folders."""
    folder = root / "objects"
    if not folder.is_dir():
        return set()
    return {name for name in os.listdir(folder) if not name.startswith(".")}


def remove_unfinished(root: Path) -> None:
    """Delete what killed processes left behind."""
    for folder in (root / "objects").glob(f"{TEMPORARY}*"):
        shutil.rmtree(folder, ignore_errors=True)


def entries_in_folders(root: Path) -> Iterator[Entry]:
    """Entries of all finished objects, read from their folders, in the order of their ids."""
    for id in sorted(finished_ids(root)):
        facts = read_json(object_folder(root, id) / "object.json")
        yield Entry(facts["id"], facts["category"], facts["split"], facts["source"], facts["views"])


def write_index(root: Path, entries: Iterable[Entry]) -> None:
    """index.jsonl, replaced as a whole."""
    write_entries(root / "index.jsonl", entries)
