"""A data set's split as a few memory-mapped arrays, made once, so that training reads without decoding.

M objects, K views of all objects together, S pixels a side, P points and Q places an object. Memory stays flat: the
operating system keeps the pages that are used, of the list of objects, too.
"""

import hashlib
import json
import math
import os
import shutil
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Float32, Int, UInt8

from maquette.data.crop import crop_to_mask
from maquette.data.dataset import PACKS, Dataset, HasCodes, HasFolder, Truth, open_dataset
from maquette.data.entries import Entries, Entry, of_split, open_entries, splits, views_of, write_entries
from maquette.data.workers import Lost, run_jobs
from maquette.io.atomic import write_json
from maquette.shapes.voxelize import pooled

POINTS = 4096
"""Truth points kept of every object: the losses of one step draw fewer."""
PIECE = 64
"""Objects a job: few enough for a lively progress bar, many enough to open the data set once for all of them."""
QUERIES = 4096
"""Places kept of every object where it is known whether they are inside."""
VERSION = 3
LOOKED_AT = 20_000
"""Objects whose own files are looked at when a pack is opened: of more than these so many, evenly spread, and for all
others the folder that holds them. It takes a third of a second; looking at a million takes half a minute."""
TOLD = 3
"""Objects that cannot be packed are told by name up to this number."""


@dataclass(frozen=True)
class Pack:
    """Views, cameras and truth of one split. Arrays are memory-mapped and read-only."""

    entries: Sequence[Entry]
    views: UInt8[np.ndarray, "K S S 4"]
    """Cropped by `crop_to_mask`, straight RGBA; the views of one object follow each other."""
    cameras: Float32[np.ndarray, "K 3"]
    """Azimuth, elevation (radians), distance (object diagonals); NaN where the data does not know them."""
    first_view: Int[np.ndarray, "M1"]
    """Object m has the views first_view[m] to first_view[m + 1]."""
    points: Float16[np.ndarray, "M P 3"]
    """Of the outer surface, in the frame of learning."""
    voxels: UInt8[np.ndarray, "M L"] | None
    """The bits of each grid, Z Y X, `np.packbits`; None where the data has no grids."""
    places: Float16[np.ndarray, "M Q 3"]
    """In and about the cube [-0.5, 0.5]^3."""
    inside: UInt8[np.ndarray, "M Q8"]
    """Q bits, `np.packbits`: which places are in the solid."""
    codes: Float32[np.ndarray, "K D"] | None = None
    """What a fixed encoder made of each view, where that was asked for."""
    left_out: tuple[str, ...] = ()
    """Objects that are named and cannot be used, and why; never any unless that was allowed."""

    @property
    def resolution(self) -> int:
        """Cells along each side of the grids as they were prepared; 0 without grids."""
        return 0 if self.voxels is None else round_root(self.voxels.shape[1])

    def unpacked_voxels(
        self, objects: Int[np.ndarray, " B"], resolution: int | None = None
    ) -> Float[np.ndarray, "B Z Y X"]:
        """Grids of 0 and 1 with as many cells as were prepared, or pooled to a coarser `resolution`."""
        if self.voxels is None:
            raise ValueError("unpacked_voxels: this data set has no voxels")
        side = self.resolution
        bits = np.unpackbits(self.voxels[objects], axis=-1, count=side**3)
        grids = bits.reshape(-1, side, side, side).astype(np.float32)
        return grids if resolution is None else pooled(torch.from_numpy(grids), resolution).numpy()


def round_root(count: int) -> int:
    """Cells along the side of a grid that is packed into `count` bytes."""
    return math.floor((8 * count) ** (1 / 3) + 1e-6)


def pack(
    data: Path,
    split: str,
    size: int,
    *,
    codes: bool = False,
    allow_missing: bool = False,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Pack:
    """The pack of `split` ('all' takes every object) at `size` pixels, made below `data`/packs if it is not there yet.

    A pack is made again when objects were added, taken away or replaced; of more than `LOOKED_AT` prepared objects,
    files that were changed inside of an object's folder may stay unnoticed. `codes` takes what a fixed encoder made of
    each picture, too; a data set without that is an error. Objects that are missing or cannot be read are one error
    that counts them, unless `allow_missing`: then they are left out, told in a warning, and listed in `left_out`.
    `workers` processes share the work, all cores unless told. `progress` is told (objects done, objects in all).
    """
    dataset = open_dataset(data)
    if codes and not isinstance(dataset, HasCodes):
        raise ValueError(f"pack: {data} holds no codes of pictures (feats.npy); choose an encoder that reads pictures")
    missing = missing_in(dataset, split)
    entries = of_split(dataset.entries, split) if split == "all" or split in splits(dataset.entries) else ()
    if not len(entries):
        held = sorted(splits(dataset.entries))
        raise ValueError(
            f"pack: {data} has no objects of split {split!r}; it has {', '.join(held) or 'no objects at all'}"
        )
    if missing and not allow_missing:
        raise OSError(_cannot(data, split, missing, len(entries) + len(missing)))
    folder = pack_folder(Path(data), dataset, entries, split, size, codes)
    if not (folder / "done.json").is_file():
        _write(Path(data), split, entries, folder, _Making(size, codes, allow_missing, workers, progress))
    done = json.loads((folder / "done.json").read_text("utf-8"))
    left_out = [*missing, *done["left_out"]]
    if left_out:
        told = _cannot(data, split, left_out, done["objects"] + len(left_out))
        if not allow_missing:
            raise OSError(told)
        warnings.warn(f"pack: {told.split('; mend')[0]}; they are left out", stacklevel=2)
    arrays = {path.stem: np.load(path, mmap_mode="r", allow_pickle=False) for path in folder.glob("*.npy")}
    voxels = arrays.pop("voxels", None)
    return Pack(open_entries(folder / "entries.jsonl"), voxels=voxels, left_out=tuple(left_out), **arrays)


def missing_in(dataset: Dataset, split: str) -> list[str]:
    """The objects of a split that are named and not there, each with the reason; `all` takes every one."""
    return [f"{lost.source}: {lost.reason}" for lost in dataset.missing if split in ("all", lost.split)]


def _cannot(data: Path, split: str, lost: Sequence[str], total: int) -> str:
    return (
        f"{data}: {len(lost)} of {total} objects of split {split!r} cannot be packed: {first_of(lost)}; "
        "mend them, or go on without them with --allow-missing"
    )


def first_of(lost: Sequence[str]) -> str:
    """The first `TOLD` of what is lost, and how many more there are."""
    more = f"; and {len(lost) - TOLD} more" if len(lost) > TOLD else ""
    return f"{'; '.join(lost[:TOLD])}{more}"


def pack_folder(data: Path, dataset: Dataset, entries: Sequence[Entry], split: str, size: int, codes: bool) -> Path:
    """Where a pack lies: another folder for other objects, for objects made again, for another layout of arrays."""
    digest = hashlib.sha256(json.dumps([VERSION, size, POINTS, codes, len(entries)]).encode())
    if isinstance(entries, Entries):
        digest.update(entries.lines)  # that `entries` are those of `split` stands in the folder's name
    else:
        digest.update(json.dumps([asdict(entry) for entry in entries]).encode())
    looked_at = entries
    if len(entries) > LOOKED_AT and isinstance(dataset, HasFolder):
        looked_at = entries[:: math.ceil(len(entries) / LOOKED_AT)]
        digest.update(dataset.folder_stamp().encode())
    for entry in looked_at:
        try:
            stamp = dataset.stamp(entry)
        except OSError:
            stamp = "missing"
        digest.update(f"{stamp}\n".encode())
    root = data if data.is_dir() else data.parent  # a split file stands beside the data
    return root / PACKS / f"{split}-{size}-{digest.hexdigest()[:12]}"


@dataclass(frozen=True)
class _Making:
    """How a pack is made."""

    size: int
    codes: bool
    allow_missing: bool
    workers: int | None
    progress: Callable[[int, int], None] | None


def _shapes(
    objects: int, views: int, size: int, grid: int | None, code: int | None
) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of each array; `grid` bytes and `code` numbers, or none of them."""
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "views": ((views, size, size, 4), np.uint8),
        "cameras": ((views, 3), np.float32),
        "points": ((objects, POINTS, 3), np.float16),
        "places": ((objects, QUERIES, 3), np.float16),
        "inside": ((objects, QUERIES // 8), np.uint8),
    }
    if grid is not None:
        shapes["voxels"] = ((objects, grid), np.uint8)
    if code is not None:
        shapes["codes"] = ((views, code), np.float32)
    return shapes


_OF_VIEWS = ("views", "cameras", "codes")
"""Arrays with a row for each view; the others have one for each object."""
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What readers raise on files that are missing or broken."""


def _write(data: Path, split: str, entries: Sequence[Entry], folder: Path, making: _Making) -> None:
    temporary = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    temporary.mkdir(parents=True, exist_ok=True)
    try:
        first = np.concatenate([[0], np.cumsum(views_of(entries))])
        grid, code = _layout(open_dataset(data), entries, making.codes)
        for name, (shape, kind) in _shapes(len(entries), int(first[-1]), making.size, grid, code).items():
            np.lib.format.open_memmap(temporary / f"{name}.npy", mode="w+", dtype=kind, shape=shape).flush()
        jobs = _Pieces(entries, first)
        write = partial(_write_piece, data, temporary, making.size)
        workers = making.workers or os.cpu_count() or 1
        alone = workers == 1 or len(jobs) == 1
        lost: dict[int, str] = {}
        done = 0
        for job, result in (
            ((job, write(job)) for job in jobs) if alone else run_jobs(write, jobs, workers=workers, limit_s=math.inf)
        ):
            if isinstance(result, Lost):
                raise OSError(f"{data}: cannot be packed: {result.reason}")
            lost |= result
            done += len(job.entries)
            if making.progress:
                making.progress(done, len(entries))
        told = [f"{entries[index].id}: {lost[index]}" for index in sorted(lost)]
        if told and (len(told) == len(entries) or not making.allow_missing):
            raise OSError(_cannot(data, split, told, len(entries)))
        kept = np.setdiff1d(np.arange(len(entries)), sorted(lost))
        if lost:
            _keep_only(temporary, kept, first)
        views = np.diff(first)[kept]
        np.save(temporary / "first_view.npy", np.concatenate([[0], np.cumsum(views)]).astype(np.int64))
        write_entries(temporary / "entries.jsonl", (entries[int(index)] for index in kept))
        facts = {"version": VERSION, "objects": len(kept), "views": int(views.sum()), "left_out": told}
        write_json(temporary / "done.json", facts)
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _layout(dataset: Dataset, entries: Sequence[Entry], codes: bool) -> tuple[int | None, int | None]:
    """(bytes of a grid, length of a code) of the first object that can be read; None for what it has not."""
    for entry in entries:
        try:
            voxels = dataset.truth(entry).voxels
            code = dataset.codes(entry).shape[1] if codes and isinstance(dataset, HasCodes) else None
            return None if voxels is None else len(np.packbits(voxels)), code
        except UNREADABLE:
            continue
    return None, 1 if codes else None  # every object will be told by name when its turn comes


def _keep_only(folder: Path, kept: Int[np.ndarray, " N"], first: Int[np.ndarray, "M1"]) -> None:
    """Arrays without the rows of the other objects."""
    for path in folder.glob("*.npy"):
        old = np.load(path, mmap_mode="r", allow_pickle=False)
        runs = [(first[i], first[i + 1]) if path.stem in _OF_VIEWS else (i, i + 1) for i in kept]
        shape = (int(sum(end - begin for begin, end in runs)), *old.shape[1:])
        new = np.lib.format.open_memmap(folder / "kept.npy", mode="w+", dtype=old.dtype, shape=shape)
        at = 0
        for begin, end in runs:
            new[at : at + end - begin] = old[begin:end]
            at += end - begin
        new.flush()
        os.replace(folder / "kept.npy", path)


@dataclass(frozen=True)
class _Piece:
    """Objects that follow each other, and where the first of them and its first view lie in the arrays."""

    object: int
    view: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, eq=False)
class _Pieces(Sequence[_Piece]):
    """All pieces of a pack, each made when it is asked for: a list of them would hold every entry."""

    entries: Sequence[Entry]
    first_view: Int[np.ndarray, "M1"]

    def __len__(self) -> int:
        return math.ceil(len(self.entries) / PIECE)

    @overload
    def __getitem__(self, index: int) -> _Piece: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[_Piece]: ...

    def __getitem__(self, index: int | slice) -> _Piece | Sequence[_Piece]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not 0 <= index < len(self):
            raise IndexError(f"piece {index} of {len(self)}")
        start = PIECE * index
        return _Piece(start, int(self.first_view[start]), tuple(self.entries[start : start + PIECE]))


def _write_piece(data: Path, folder: Path, size: int, piece: _Piece) -> dict[int, str]:
    """Writes the objects; those that cannot be read, by their place, and in one line why."""
    with warnings.catch_warnings():
        # What opening says was said once already, by the process that shares out the work.
        warnings.simplefilter("ignore")
        dataset = open_dataset(data)
    arrays = {path.stem: np.lib.format.open_memmap(path, mode="r+") for path in folder.glob("*.npy")}
    lost, view = {}, piece.view
    for index, entry in enumerate(piece.entries, piece.object):
        try:
            _write_entry(dataset, entry, arrays, index, view, size)
        except UNREADABLE as error:
            lost[index] = in_a_line(error)
        view += entry.views
    for array in arrays.values():
        array.flush()
    return lost


def in_a_line(error: Exception) -> str:
    """What an error says, or at least its name."""
    return " ".join(str(error).split()) or type(error).__name__


def _write_entry(
    dataset: Dataset, entry: Entry, arrays: dict[str, np.memmap], index: int, view: int, size: int
) -> None:
    if not entry.views:
        raise ValueError("has no views: nothing can be learnt from it")
    truth = dataset.truth(entry)
    # A fixed draw by the object's place; clouds with fewer points repeat some.
    draw = np.random.default_rng(index).permutation(len(truth.points))
    arrays["points"][index] = truth.points[np.resize(draw, POINTS)]
    if "voxels" in arrays:
        bits = None if truth.voxels is None else np.packbits(truth.voxels)
        if bits is None or len(bits) != arrays["voxels"].shape[1]:
            side = "no voxels" if truth.voxels is None else f"{len(truth.voxels)}^3 voxels"
            raise ValueError(f"has {side}, the others {round_root(arrays['voxels'].shape[1])}^3")
        arrays["voxels"][index] = bits
    places, inside = queries(truth, index)
    arrays["places"][index], arrays["inside"][index] = places, np.packbits(inside)
    for k in range(entry.views):
        shot = dataset.view(entry, k)
        arrays["cameras"][view + k] = (shot.azimuth, shot.elevation, shot.distance)
        crop = crop_to_mask(torch.from_numpy(shot.rgba.astype(np.float32) / 255), size)
        arrays["views"][view + k] = (crop.rgba.numpy() * 255 + 0.5).astype(np.uint8)
    if "codes" in arrays and isinstance(dataset, HasCodes):
        arrays["codes"][view : view + entry.views] = dataset.codes(entry)


def queries(truth: Truth, seed: int) -> tuple[Float32[np.ndarray, "Q 3"], Bool[np.ndarray, " Q"]]:
    """Places and whether they are inside: by signed distance where the data has it, else by the voxel they lie in."""
    rng = np.random.default_rng([seed, 1])
    about = truth.surroundings
    if about is not None:
        chosen = np.resize(rng.permutation(len(about.places)), QUERIES)
        return about.places[chosen], about.distances[chosen] < 0
    if truth.voxels is None:
        raise ValueError("has neither signed distances nor voxels: nothing says what is inside")
    places = rng.uniform(-0.5, 0.5, (QUERIES, 3)).astype(np.float16).astype(np.float32)
    # Half of them in filled cells, which are few.
    filled = np.argwhere(truth.voxels)
    side = len(truth.voxels)
    if len(filled):
        half = filled[rng.integers(len(filled), size=QUERIES // 2), ::-1]
        places[: QUERIES // 2] = ((half + rng.random(half.shape)) / side - 0.5).astype(np.float16)
    x, y, z = np.clip(((places + 0.5) * side).astype(int), 0, side - 1).T
    return places, truth.voxels[z, y, x]
