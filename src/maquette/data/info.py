"""`maquette data info PATH`: what a data set holds, and what is wrong with it."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from maquette.data.dataset import Dataset, HasCodes, Prepared, open_dataset, read_json
from maquette.data.deepsdf import DeepSdf
from maquette.data.entries import Entry, counts, views_of
from maquette.data.pix3d import Pix3d
from maquette.data.shapenet import ShapeNet

SHOWN = 20
"""Defects that are printed; all of them stand in the JSON."""
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True)
class DataInfo:
    """Say what kind of data set a folder holds, how much of what, and its defects."""

    path: Annotated[Path, tyro.conf.Positional]
    """Data set: any folder, or split file, that `maquette train --data` takes."""
    check: str = "8"
    """Objects to read whole, evenly spread: a number, or all."""
    json: bool = False
    """Print one JSON value instead of a table."""

    def __post_init__(self) -> None:
        if self.check != "all" and not self.check.isdigit():
            raise ValueError(f"data info: check is {self.check!r}; give a number of objects, or all")


def tell_about(config: DataInfo) -> None:
    dataset = open_dataset(config.path)
    facts = described(dataset, config.path, len(dataset.entries) if config.check == "all" else int(config.check))
    print(json.dumps(facts, indent=2) if config.json else "\n".join(lines_of(facts)))


def kind_of(dataset: Dataset) -> str:
    match dataset:
        case Prepared():
            head = read_json(dataset.root / "dataset.json")
            return f"Maquette's own, made by `maquette prepare {head.get('kind')}` of version {head.get('maquette')}"
        case ShapeNet():
            return "R2N2 renders of ShapeNetCore v1 with meshes and voxels"
        case Pix3d():
            return "Pix3D: photographs with masks, models, voxels and cameras"
        case DeepSdf():
            return "DeepSDF's signed distances and surfaces"
        case _:
            return type(dataset).__name__


def described(dataset: Dataset, path: Path, check: int) -> dict[str, object]:
    """What `data info` tells, as it stands in JSON; `check` objects are read whole."""
    entries = dataset.entries
    views = views_of(entries)
    table: dict[str, dict[str, int]] = {}
    for (split, category), count in sorted(counts(entries).items()):
        table.setdefault(category, {})[split] = count
    count = min(check, len(entries))
    chosen = [entries[i * len(entries) // count] for i in range(count)]
    holds: dict[str, set[str]] = {}
    defects = [{"object": lost.source, "defect": lost.reason} for lost in dataset.missing]
    defects += _failures(dataset)
    for entry in chosen:
        defects += [{"object": entry.id, "defect": line} for line in examined(dataset, entry, holds)]
    return {
        "kind": kind_of(dataset),
        "path": str(path),
        "objects": len(entries),
        "categories": table,
        "views": {"all": int(views.sum()), "least": int(views.min()), "most": int(views.max())},
        "frame": dataset.frame,
        "holds": {name: sorted(found) for name, found in sorted(holds.items())},
        "missing": len(dataset.missing),
        "checked": len(chosen),
        "defects": defects,
    }


def _failures(dataset: Dataset) -> list[dict[str, str]]:
    """What `prepare` could not make."""
    if not isinstance(dataset, Prepared) or not (dataset.root / "report.json").is_file():
        return []
    failed = read_json(dataset.root / "report.json").get("failed", [])
    return [{"object": item["source"], "defect": f"was not made: {item['reason']}"} for item in failed]


def examined(dataset: Dataset, entry: Entry, holds: dict[str, set[str]]) -> list[str]:
    """Defects of one object that is read whole; what it has is added to `holds`."""
    defects: list[str] = []

    def has(name: str, how: str) -> None:
        holds.setdefault(name, set()).add(how)

    try:
        truth = dataset.truth(entry)
        has("points", f"{len(truth.points)}{'' if truth.normals is None else ' with normals'}")
        if not np.isfinite(truth.points).all():
            defects.append("points that are not finite")
        has("voxels", "none" if truth.voxels is None else f"{len(truth.voxels)}^3")
        if truth.voxels is not None and not truth.voxels.any():
            defects.append("an empty solid: no voxel is full")
        about = truth.surroundings
        has("signed distances", "none" if about is None else str(len(about.places)))
        if about is not None and not (about.distances < 0).any():
            defects.append("an empty solid: no place is inside")
    except UNREADABLE as error:
        defects.append(f"truth: {_line(error)}")
    if not entry.views:
        defects.append("no views")
    for k in range(entry.views):
        try:
            view = dataset.view(entry, k)
        except UNREADABLE as error:
            defects.append(f"view {k}: {_line(error)}")
            continue
        has("pictures", f"{view.rgba.shape[1]} x {view.rgba.shape[0]}")
        has("cameras", "known" if np.isfinite([view.azimuth, view.elevation, view.distance]).all() else "unknown")
        if not (view.rgba[..., 3] > 127).any():
            defects.append(f"view {k} shows nothing: no pixel is more than half opaque")
    if isinstance(dataset, HasCodes):
        try:
            has("codes", f"{dataset.codes(entry).shape[1]} numbers")
        except UNREADABLE as error:
            has("codes", "none")
            if not isinstance(error, FileNotFoundError):
                defects.append(f"codes: {_line(error)}")
    return defects


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def lines_of(facts: dict) -> list[str]:
    """The table for people."""
    splits = [
        name for name in ("train", "val", "test", "all") if any(name in row for row in facts["categories"].values())
    ]
    width = max(8, *(len(name) for name in facts["categories"]))
    lines = [facts["kind"], f"in {facts['path']}", f"frame: {facts['frame']}", ""]
    lines.append("  ".join([f"{'objects':<{width}}", *(f"{name:>7}" for name in splits), f"{'sum':>7}"]))
    for category, row in facts["categories"].items():
        numbers = [f"{row.get(name, 0):>7}" for name in splits]
        lines.append("  ".join([f"{category or '(none)':<{width}}", *numbers, f"{sum(row.values()):>7}"]))
    totals = [f"{sum(row.get(name, 0) for row in facts['categories'].values()):>7}" for name in splits]
    lines.append("  ".join([f"{'all':<{width}}", *totals, f"{facts['objects']:>7}"]))
    views = facts["views"]
    each = f"{views['least']}" if views["least"] == views["most"] else f"{views['least']} to {views['most']}"
    lines += ["", f"views: {views['all']}, {each} an object"]
    lines += [f"{name}: {', '.join(found)}" for name, found in facts["holds"].items()]
    lines.append(f"read whole: {facts['checked']} of {facts['objects']} objects (--check all reads every one)")
    return lines + ["", *_defect_lines(facts["defects"])]


def _defect_lines(defects: Sequence[dict[str, str]]) -> list[str]:
    if not defects:
        return ["no defects found"]
    lines = [f"defects: {len(defects)}", *(f"  {item['object']}: {item['defect']}" for item in defects[:SHOWN])]
    return lines + ([f"  and {len(defects) - SHOWN} more, see --json"] if len(defects) > SHOWN else [])
