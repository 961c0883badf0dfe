"""Memory and time that an index of many objects takes: `python benchmarks/index.py` prints a table.

Each row is measured in a process of its own. Anonymous memory is what cannot be dropped; mapped pages of files can.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from maquette.data.entries import Entry, of_split, open_entries, write_entries

SIZES = (10_000, 1_000_000)


def memory() -> float:
    """Anonymous resident megabytes of this process."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("RssAnon"))


def measure(path: Path) -> dict[str, float]:
    before, began = memory(), time.perf_counter()
    entries = open_entries(path)
    seconds = time.perf_counter() - began
    for index in range(0, len(entries), len(entries) // 1000):
        _ = entries[index]
    return {"seconds": seconds, "growth": memory() - before, "train": len(of_split(entries, "train"))}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(Path(sys.argv[1]))))
        return
    print("| objects | first opening, s | later, s | anonymous memory of later, MB |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            path = Path(folder) / f"index-{size}.jsonl"
            splits = ("train", "train", "val", "test")
            write_entries(
                path, (Entry(f"o{n:08d}", "chair", splits[n % 4], f"models/{n}.obj", 24) for n in range(size))
            )
            first, later = (
                json.loads(
                    subprocess.run([sys.executable, __file__, str(path)], check=True, capture_output=True).stdout
                )
                for _ in range(2)
            )
            print(f"| {size:,} | {first['seconds']:.2f} | {later['seconds']:.4f} | {later['growth']:.1f} |")


if __name__ == "__main__":
    main()
