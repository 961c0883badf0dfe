"""A data set's split as a few memory-mapped arrays, made once, so that training reads without decoding.

M objects, K views of all objects together, S pixels a side, P points and Q places an object. Memory stays flat: the
operating system keeps the pages that are used.
"""

import hashlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, Float32, Int, UInt8

from maquette.data.crop import crop_to_mask
from maquette.data.dataset import PACKS, Dataset, Entry, Truth, open_dataset
from maquette.data.workers import Lost, run_jobs
from maquette.io.atomic import write_json

POINTS = 4096
"""Truth points kept of every object: the losses of one step draw fewer."""
PIECE = 64
"""Objects a job: few enough for a lively progress bar, many enough to open the data set once for all of them."""
QUERIES = 4096
"""Places kept of every object where it is known whether they are inside."""
VERSION = 2


@dataclass(frozen=True)
class Pack:
    """Views, cameras and truth of one split. Arrays are memory-mapped and read-only."""

    entries: tuple[Entry, ...]
    views: UInt8[np.ndarray, "K S S 4"]
    """Cropped by `crop_to_mask`, straight RGBA; the views of one object follow each other."""
    cameras: Float32[np.ndarray, "K 3"]
    """Azimuth, elevation (radians), distance (object diagonals); NaN where the data does not know them."""
    first_view: Int[np.ndarray, "M1"]
    """Object m has the views first_view[m] to first_view[m + 1]."""
    points: Float16[np.ndarray, "M P 3"]
    """Of the outer surface, in the frame of learning."""
    voxels: UInt8[np.ndarray, "M 4096"]
    """32^3 bits, Z Y X, `np.packbits`."""
    places: Float16[np.ndarray, "M Q 3"]
    """In and about the cube [-0.5, 0.5]^3."""
    inside: UInt8[np.ndarray, "M 512"]
    """Q bits, `np.packbits`: which places are in the solid."""

    def unpacked_voxels(self, objects: Int[np.ndarray, " B"]) -> Float[np.ndarray, "B 32 32 32"]:
        bits = np.unpackbits(self.voxels[objects], axis=-1)
        return bits.reshape(-1, 32, 32, 32).astype(np.float32)


def pack(
    data: Path, split: str, size: int, *, workers: int | None = None, progress: Callable[[int, int], None] | None = None
) -> Pack:
    """The pack of `split` ('all' takes every object) at `size` pixels, made below `data`/packs if it is not there yet.

    A pack is made again when objects were added, taken away or replaced. `workers` processes share the work, all cores
    unless told. `progress` is told (objects done, objects in all).
    """
    dataset = open_dataset(data)
    entries = tuple(entry for entry in dataset.entries if split == "all" or entry.split == split)
    if not entries:
        held = sorted({entry.split for entry in dataset.entries})
        raise ValueError(
            f"pack: {data} has no objects of split {split!r}; it has {', '.join(held) or 'no objects at all'}"
        )
    # Another set of objects under the same name, objects made again, or another layout of the arrays: another pack.
    key = json.dumps([VERSION, size, POINTS, [(asdict(entry), dataset.stamp(entry)) for entry in entries]])
    root = Path(data) if Path(data).is_dir() else Path(data).parent  # a split file stands beside the data
    folder = root / PACKS / f"{split}-{size}-{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    if not (folder / "done.json").is_file():
        _write(Path(data), entries, folder, size, workers or os.cpu_count() or 1, progress)
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _SHAPES}
    return Pack(entries, first_view=_first_views(entries), **arrays)


_SHAPES = {
    "views": lambda objects, views, size: ((views, size, size, 4), np.uint8),
    "cameras": lambda objects, views, size: ((views, 3), np.float32),
    "points": lambda objects, views, size: ((objects, POINTS, 3), np.float16),
    "voxels": lambda objects, views, size: ((objects, 4096), np.uint8),
    "places": lambda objects, views, size: ((objects, QUERIES, 3), np.float16),
    "inside": lambda objects, views, size: ((objects, QUERIES // 8), np.uint8),
}


def _first_views(entries: tuple[Entry, ...]) -> Int[np.ndarray, "M1"]:
    return np.concatenate([[0], np.cumsum([entry.views for entry in entries])]).astype(np.int64)


def _write(
    data: Path,
    entries: tuple[Entry, ...],
    folder: Path,
    size: int,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    temporary = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    temporary.mkdir(parents=True, exist_ok=True)
    try:
        first = _first_views(entries)
        for name, shape_of in _SHAPES.items():
            shape, kind = shape_of(len(entries), int(first[-1]), size)
            np.lib.format.open_memmap(temporary / f"{name}.npy", mode="w+", dtype=kind, shape=shape).flush()
        pieces = [(start, entries[start : start + PIECE]) for start in range(0, len(entries), PIECE)]
        jobs = [_Piece(start, int(first[start]), piece) for start, piece in pieces]
        write = partial(_write_piece, data, temporary, size)
        alone = workers == 1 or len(jobs) == 1
        done = 0
        for _, result in (
            ((job, write(job)) for job in jobs) if alone else run_jobs(write, jobs, workers=workers, limit_s=math.inf)
        ):
            match result:
                case Lost(reason):
                    raise OSError(f"{data}: cannot be packed: {reason}")
                case str(reason):
                    raise OSError(f"{data}: cannot be packed: {reason}")
                case int(count):
                    done += count
            if progress:
                progress(done, len(entries))
        write_json(temporary / "done.json", {"version": VERSION, "objects": len(entries), "views": int(first[-1])})
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class _Piece:
    """Objects that follow each other, and where the first of them and its first view lie in the arrays."""

    object: int
    view: int
    entries: tuple[Entry, ...]


def _write_piece(data: Path, folder: Path, size: int, piece: _Piece) -> int | str:
    """The number of objects written, or in one line why one of them cannot be read."""
    dataset: Dataset = open_dataset(data)
    arrays = {name: np.lib.format.open_memmap(folder / f"{name}.npy", mode="r+") for name in _SHAPES}
    view = piece.view
    for index, entry in enumerate(piece.entries, piece.object):
        try:
            _write_entry(dataset, entry, arrays, index, view, size)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            return f"{entry.id}: {' '.join(str(error).split()) or type(error).__name__}"
        view += entry.views
    for array in arrays.values():
        array.flush()
    return len(piece.entries)


def _write_entry(
    dataset: Dataset, entry: Entry, arrays: dict[str, np.memmap], index: int, view: int, size: int
) -> None:
    truth = dataset.truth(entry)
    # A fixed draw by the object's place; clouds with fewer points repeat some.
    draw = np.random.default_rng(index).permutation(len(truth.points))
    arrays["points"][index] = truth.points[np.resize(draw, POINTS)]
    arrays["voxels"][index] = np.packbits(truth.voxels.reshape(-1))
    places, inside = queries(truth, index)
    arrays["places"][index], arrays["inside"][index] = places, np.packbits(inside)
    for k in range(entry.views):
        shot = dataset.view(entry, k)
        arrays["cameras"][view + k] = (shot.azimuth, shot.elevation, shot.distance)
        crop = crop_to_mask(torch.from_numpy(shot.rgba.astype(np.float32) / 255), size)
        arrays["views"][view + k] = (crop.rgba.numpy() * 255 + 0.5).astype(np.uint8)


def queries(truth: Truth, seed: int) -> tuple[Float32[np.ndarray, "Q 3"], Bool[np.ndarray, " Q"]]:
    """Places and whether they are inside: by signed distance where the data has it, else by the voxel they lie in."""
    rng = np.random.default_rng([seed, 1])
    about = truth.surroundings
    if about is not None:
        chosen = np.resize(rng.permutation(len(about.places)), QUERIES)
        return about.places[chosen], about.distances[chosen] < 0
    places = rng.uniform(-0.5, 0.5, (QUERIES, 3)).astype(np.float16).astype(np.float32)
    # Half of them in filled cells, which are few.
    filled = np.argwhere(truth.voxels)
    side = len(truth.voxels)
    if len(filled):
        half = filled[rng.integers(len(filled), size=QUERIES // 2), ::-1]
        places[: QUERIES // 2] = ((half + rng.random(half.shape)) / side - 0.5).astype(np.float16)
    x, y, z = np.clip(((places + 0.5) * side).astype(int), 0, side - 1).T
    return places, truth.voxels[z, y, x]
