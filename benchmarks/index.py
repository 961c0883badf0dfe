"""Memory and time that many objects take before a training's first step: `python benchmarks/index.py` prints tables.

Each row is measured in a process of its own. Anonymous memory is what cannot be dropped; mapped pages of files can. The
packs are sparse files of zeros, so they take no room; the objects' own files are not there, which is told as fast.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from maquette.data.batches import training_batch
from maquette.data.dataset import FORMAT, FORMAT_VERSION, open_dataset
from maquette.data.entries import Entry, of_split, open_entries, write_entries
from maquette.data.pack import POINTS, QUERIES, pack, pack_folder
from maquette.io.atomic import write_json

SIZES = (10_000, 1_000_000)
PIXELS, VIEWS, BATCHES = 64, 2, 20


def memory() -> float:
    """Anonymous resident megabytes of this process."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("RssAnon"))


def index(data: Path) -> dict[str, float]:
    """Opening the index and reading a thousand entries of it."""
    before, began = memory(), time.process_time()
    entries = open_entries(data / "index.jsonl")
    seconds = time.process_time() - began
    for at in range(0, len(entries), len(entries) // 1000):
        _ = entries[at]
    of_split(entries, "train")
    return {"seconds": seconds, "growth": memory() - before}


def training(data: Path) -> dict[str, float]:
    """Opening the pack and making batches from it."""
    before, began = memory(), time.process_time()
    held = pack(data, "all", PIXELS)
    seconds = time.process_time() - began
    opened = memory() - before
    for step in range(BATCHES):
        training_batch(held, 64, 0, step)
    return {"seconds": seconds, "growth": opened, "batches": memory() - before}


def make(data: Path, size: int) -> None:
    """A data set of `size` objects that are not there."""
    (data / "objects").mkdir(parents=True)
    splits = ("train", "train", "val", "test")
    write_entries(
        data / "index.jsonl",
        (Entry(f"o{n:08d}", "chair", splits[n % 4], f"models/{n}.obj", VIEWS) for n in range(size)),
    )
    write_json(data / "dataset.json", {"format": FORMAT, "version": FORMAT_VERSION, "kind": "meshes"})


def make_pack(data: Path, size: int) -> None:
    """What `pack` would have made of them, of zeros."""
    dataset = open_dataset(data)
    folder = pack_folder(data, dataset, dataset.entries, "all", PIXELS, False)
    folder.mkdir(parents=True)
    arrays = {
        "views": ((VIEWS * size, PIXELS, PIXELS, 4), np.uint8),
        "cameras": ((VIEWS * size, 3), np.float32),
        "points": ((size, POINTS, 3), np.float16),
        "places": ((size, QUERIES, 3), np.float16),
        "inside": ((size, QUERIES // 8), np.uint8),
        "voxels": ((size, 32**3 // 8), np.uint8),
    }
    for name, (shape, kind) in arrays.items():
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape)
    np.save(folder / "first_view.npy", np.arange(0, VIEWS * size + 1, VIEWS))
    write_entries(folder / "entries.jsonl", dataset.entries)
    write_json(folder / "done.json", {"objects": size, "left_out": []})


def measured(what: str, data: Path) -> dict[str, float]:
    command = [sys.executable, __file__, what, str(data)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps({"index": index, "training": training}[sys.argv[1]](Path(sys.argv[2]))))
        return
    print(f"| objects | {' | '.join(COLUMNS)} |\n|---{'|---' * len(COLUMNS)}|")
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            data = Path(folder) / str(size)
            make(data, size)
            first, later = (measured("index", data) for _ in range(2))
            make_pack(data, size)
            measured("training", data)  # reads the index of the pack for the first time
            train = measured("training", data)
            cells = (
                f"{first['seconds']:.2f}",
                f"{later['seconds']:.4f}",
                f"{later['growth']:.1f}",
                f"{train['seconds']:.2f}",
                f"{train['growth']:.1f}",
                f"{train['batches']:.1f}",
            )
            print(f"| {size:,} | {' | '.join(cells)} |", flush=True)


COLUMNS = (
    "index, first opening, s",
    "later, s",
    "its memory, MB",
    "pack, opening, s",
    "its memory, MB",
    f"after {BATCHES} batches, MB",
)

if __name__ == "__main__":
    main()
