"""What is known about the models of a folder: a CSV with the columns file, and if there label, front, split."""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.data.entries import SPLITS

UNKNOWN = "unknown"
"""Category of a model that nobody has labelled."""

FRONTS: dict[str, tuple[tuple[float, float, float], ...]] = {
    "+z": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-z": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "+x": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "-x": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
}
"""Rotations about y that turn a declared front to +z; rows act on column vectors."""


@dataclass(frozen=True)
class Row:
    """One model's line."""

    category: str = UNKNOWN
    front: str = ""
    """Axis that the front looks along, one of FRONTS; empty where it is not declared."""
    split: str = "all"


def front_rotation(front: str) -> Float[Tensor, "4 4"]:
    """The turn about y that takes the axis `front` to +z; the identity for an undeclared front."""
    turn = torch.eye(4)
    turn[:3, :3] = torch.tensor(FRONTS[front or "+z"])
    return turn


def read_manifest(path: Path) -> dict[str, Row]:
    """Rows by the file's path relative to the folder, with forward slashes; other columns are left alone."""
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    reader = csv.DictReader(text.splitlines())
    if "file" not in (reader.fieldnames or ()):
        raise ValueError(f"{path}: no column 'file'; the first line names the columns: file,label,front,split")
    rows: dict[str, Row] = {}
    for line in reader:
        place = f"{path} line {reader.line_num}"
        name = Path((line["file"] or "").strip()).as_posix()
        if name == ".":
            raise ValueError(f"{place}: no file is named")
        if name in rows:
            raise ValueError(f"{place}: {name} is named a second time")
        front = (line.get("front") or "").strip().lower()
        front = f"+{front}" if front in ("x", "z") else front
        if front and front not in FRONTS:
            raise ValueError(
                f"{place}: front is {front!r}; give one of {', '.join(FRONTS)} (y is up), or leave it empty"
            )
        split = (line.get("split") or "").strip() or "all"
        if split not in SPLITS:
            raise ValueError(f"{place}: split is {split!r}; give one of {', '.join(SPLITS)}, or leave it empty")
        rows[name] = Row((line.get("label") or "").strip() or UNKNOWN, front, split)
    return rows
