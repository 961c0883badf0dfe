"""The objects of a data set as a sequence that is read from its file when asked: memory does not grow with it.

An index is a file of lines, an entry each, and a table of where each line begins and what is often counted. Both are
memory-mapped, so that the operating system keeps only the pages that are used. N entries.
"""

import json
import mmap
import os
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Int

from maquette.io.atomic import atomic_path

SPLITS = ("train", "val", "test", "all")
UNLABELLED = ("", "other", "unknown")
"""Categories that do not say what an object is."""
ROWS = np.dtype([("begin", np.int64), ("views", np.int32), ("category", np.int32), ("split", np.int8)])
"""Of each line: its first byte, and what stands in it."""
LARGE = 20_000
"""Lines from which on the table of an index is kept on disk; a smaller one is made in a fraction of a second."""
PLAIN = re.compile(
    rb'\{"id": "[ !#-\[\]-~]*", "category": "([ !#-\[\]-~]*)", "split": "(train|val|test|all)", '
    rb'"source": "[ !#-\[\]-~]*", "views": (0|[1-9][0-9]{0,8})\}(?:\n|\Z)'
)
"""A line as `write_entries` writes it, of printable ASCII without a backslash: (category, split, views). What it says
is known without parsing JSON, which takes several times as long."""
PIECE = 65_536
"""Rows of a table that are held as Python's numbers at a time."""
TABLES = ".index"
"""Folder of kept tables, beside the index."""


@dataclass(frozen=True)
class Entry:
    """One object of a data set."""

    id: str
    category: str
    split: str
    """One of train, val, test, or all where nobody has split them."""
    source: str
    """The file or the seed that it was made from."""
    views: int


@dataclass(frozen=True, eq=False)
class Entries(Sequence[Entry]):
    """Entries of an index file, each parsed when it is asked for."""

    lines: mmap.mmap | bytes
    """The file."""
    rows: np.ndarray
    """Of type ROWS."""
    categories: tuple[str, ...]
    """What the numbers in `rows` mean."""
    chosen: Int[np.ndarray, " N"] | None = None
    """The lines that count, or all of them."""

    def __len__(self) -> int:
        return len(self.rows if self.chosen is None else self.chosen)

    @overload
    def __getitem__(self, index: int) -> Entry: ...
    @overload
    def __getitem__(self, index: slice) -> "Entries": ...

    def __getitem__(self, index: int | slice) -> "Entry | Entries":
        if isinstance(index, slice):
            asked = np.arange(*index.indices(len(self)))
            return replace(self, chosen=asked if self.chosen is None else self.chosen[asked])
        if not -len(self) <= index < len(self):
            raise IndexError(f"entry {index} of {len(self)}")
        index = int(index) % len(self)
        return self._line(index if self.chosen is None else int(self.chosen[index]))

    def __iter__(self) -> Iterator[Entry]:
        lines = range(len(self.rows)) if self.chosen is None else self.chosen.tolist()
        return (self._line(line) for line in lines)

    def _line(self, number: int) -> Entry:
        begin = int(self.rows["begin"][number])
        end = self.lines.find(b"\n", begin)
        return Entry(**json.loads(self.lines[begin : len(self.lines) if end < 0 else end]))


def of_split(entries: Sequence[Entry], split: str) -> Sequence[Entry]:
    """The entries of one split; `all` takes every entry."""
    if split not in SPLITS:
        raise ValueError(f"of_split: {split!r} is no split; choose from {', '.join(SPLITS)}")
    if split == "all":
        return entries
    if isinstance(entries, Entries):
        lines = np.arange(len(entries.rows)) if entries.chosen is None else entries.chosen
        return replace(entries, chosen=lines[entries.rows["split"][lines] == SPLITS.index(split)])
    return tuple(entry for entry in entries if entry.split == split)


def counts(entries: Sequence[Entry]) -> Counter[tuple[str, str]]:
    """How many objects there are of each (split, category)."""
    if not isinstance(entries, Entries):
        return Counter((entry.split, entry.category) for entry in entries)
    rows = entries.rows if entries.chosen is None else entries.rows[entries.chosen]
    width = max(len(entries.categories), 1)
    number = np.bincount(rows["split"].astype(np.int64) * width + rows["category"], minlength=width * len(SPLITS))
    kinds = np.flatnonzero(number).tolist()
    return Counter({(SPLITS[kind // width], entries.categories[kind % width]): int(number[kind]) for kind in kinds})


def splits(entries: Sequence[Entry]) -> set[str]:
    """The splits that have an object."""
    return {split for split, _ in counts(entries)}


def views_of(entries: Sequence[Entry]) -> Int[np.ndarray, " N"]:
    """Views of each entry."""
    if not isinstance(entries, Entries):
        return np.array([entry.views for entry in entries], dtype=np.int64)
    rows = entries.rows if entries.chosen is None else entries.rows[entries.chosen]
    return rows["views"].astype(np.int64)


def write_entries(path: Path, entries: Iterable[Entry]) -> None:
    """An index file, replaced as a whole."""
    with atomic_path(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(entry)) + "\n" for entry in entries)


def open_entries(path: Path) -> Entries:
    """The entries of an index file. Of a large one the table is kept beside it, and made again if the file changes."""
    state = path.stat()
    with open(path, "rb") as file:
        # An empty file cannot be mapped.
        lines = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if state.st_size else b""
    kept = path.parent / TABLES / f"{path.stem}-{state.st_size}-{state.st_mtime_ns}"
    if (kept / "categories.json").is_file():
        rows = np.load(kept / "rows.npy", mmap_mode="r", allow_pickle=False)
        return Entries(lines, rows, tuple(json.loads((kept / "categories.json").read_text("utf-8"))))
    rows, categories = _table(lines, path)
    if len(rows) >= LARGE:
        _keep(kept, rows, categories)
        if (kept / "rows.npy").is_file():
            rows = np.load(kept / "rows.npy", mmap_mode="r", allow_pickle=False)
    return Entries(lines, rows, categories)


def _table(lines: mmap.mmap | bytes, path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """(rows, categories) of all lines; every line is read once, and a broken one is an error with its number."""
    pieces, piece, categories = [], [], dict[str, int]()
    begin = number = 0
    while begin < len(lines):
        if plain := PLAIN.match(lines, begin):
            category, split, views, end = plain[1].decode(), plain[2].decode(), int(plain[3]), plain.end()
        else:
            category, split, views, end = _parsed(lines, begin, path, number)
        piece.append((begin, views, categories.setdefault(category, len(categories)), SPLITS.index(split)))
        begin, number = end, number + 1
        if len(piece) == PIECE:
            pieces.append(np.array(piece, ROWS))
            piece.clear()
    return np.concatenate([*pieces, np.array(piece, ROWS)]), tuple(categories)


def _parsed(lines: mmap.mmap | bytes, begin: int, path: Path, number: int) -> tuple[str, str, int, int]:
    """Category, split and views of a line of any JSON, and where the next line begins."""
    end = lines.find(b"\n", begin)
    end = len(lines) if end < 0 else end
    try:
        entry = Entry(**json.loads(lines[begin:end]))
        if entry.split not in SPLITS:
            raise ValueError(f"split {entry.split!r} is none of {', '.join(SPLITS)}")
        if not 0 <= int(entry.views) < 10**9:
            raise ValueError(f"{entry.views} views")
        return str(entry.category), entry.split, int(entry.views), end + 1
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"open_dataset: {path} line {number + 1} is not an entry ({error}); delete the file, "
            "it is made again from the folders"
        ) from error


def _keep(folder: Path, rows: np.ndarray, categories: tuple[str, ...]) -> None:
    """The table on disk, whole or not at all; where nobody may write it stays in memory."""
    temporary = folder.with_name(f".tmp-{secrets.token_hex(4)}")
    try:
        temporary.mkdir(parents=True)
        for old in folder.parent.glob(f"{folder.name.split('-')[0]}-*"):
            shutil.rmtree(old, ignore_errors=True)
        np.save(temporary / "rows.npy", rows, allow_pickle=False)
        (temporary / "categories.json").write_text(json.dumps(categories), "utf-8")
        os.replace(temporary, folder)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
