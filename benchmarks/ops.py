"""Time the ops against their references and scipy, side by side in one run, and print a table in Markdown.

python benchmarks/ops.py [--out docs/benchmarks.md] [--repeats 15] [--threads 2]
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

# Before torch is imported: its waiting threads would spin for a while after each call and take the cores from the next.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from scipy.spatial import KDTree
from torch import Tensor

from maquette.ops import nearest, nearest_reference, raster, raster_reference


def milliseconds(calls: list[Callable[[], object]], repeats: int) -> list[float]:
    """The least time of each call, in turns, so that whatever else the machine does meets all of them."""
    for call in calls:
        call()  # compiles, and fills the caches
    best = [float("inf")] * len(calls)
    for turn in range(repeats):
        for i, call in enumerate(calls):
            if turn >= 3 and best[i] > 1000:
                continue  # three turns of a slow one are enough
            start = time.perf_counter()
            call()
            best[i] = min(best[i], 1000 * (time.perf_counter() - start))
    return best


def both_ways(search: Callable[[Tensor, Tensor], object], a: Tensor, b: Tensor) -> Callable[[], object]:
    return lambda: (search(a, b), search(b, a))


def scipy_nearest(queries: Tensor, points: Tensor) -> None:
    for q, p in zip(queries.numpy(), points.numpy(), strict=True):
        KDTree(p).query(q, workers=torch.get_num_threads())


def spheres(count: int, n: int, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(count, n, 3, generator=generator), dim=-1) for _ in "ab")
    return a, b + shift


def torus(columns: int, rows: int, size: int, views: int = 1) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """A torus of 2 x columns x rows faces in views of size x size pixels, as `raster` takes it."""
    u = torch.arange(columns)[:, None] * (2 * torch.pi / columns)
    v = torch.arange(rows)[None] * (2 * torch.pi / rows)
    ring = 1 + 0.45 * v.cos()
    x, y, z = (p.reshape(-1) for p in torch.broadcast_tensors(ring * u.cos(), ring * u.sin(), 0.45 * v.sin()))
    w = 4 - (0.6 * y + 0.8 * z)
    px, py = size * x + size / 2 * w, size * (0.8 * y - 0.6 * z) + size / 2 * w
    i, j = (g.reshape(-1) for g in torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="ij"))
    a, b = i * rows + j, i * rows + (j + 1) % rows
    c, d = (i + 1) % columns * rows + j, (i + 1) % columns * rows + (j + 1) % rows
    faces = torch.cat([torch.stack([a, c, b], 1), torch.stack([b, c, d], 1)])
    return torch.stack([px, py, w], -1).expand(views, -1, -1).contiguous(), faces, (size, size)


def table(repeats: int) -> list[str]:
    lines = [
        f"| nearest, both ways, {torch.get_num_threads()} threads | numba ms | scipy KDTree | plain torch |",
        "|---|---|---|---|",
    ]
    clouds = {
        "8 × 5000², spheres": spheres(8, 5000),
        "32 × 1000², spheres": spheres(32, 1000),
        "8 × 5000², spheres apart": spheres(8, 5000, 3.0),
        "1 × 100,000², spheres": spheres(1, 100_000),
    }
    for name, (a, b) in clouds.items():
        searches = [nearest, scipy_nearest] + ([nearest_reference] if a.shape[1] <= 5000 else [])
        ours, *others = milliseconds([both_ways(search, a, b) for search in searches], repeats)
        lines.append(f"| {name} | {ours:.1f} | " + " | ".join(f"{other / ours:.1f} ×" for other in others) + " |")
        lines[-1] += " – |" if len(others) == 1 else ""

    lines += ["", f"| z-buffer, {torch.get_num_threads()} threads | numba ms | plain torch |", "|---|---|---|"]
    scenes = {
        "24 views, 800 faces, 137²": torus(20, 20, 137, 24),
        "5k faces, 512²": torus(50, 50, 512),
        "70k faces, 512²": torus(187, 187, 512),
        "1M faces, 1024²": torus(707, 707, 1024),
    }
    for name, scene in scenes.items():
        ours, plain = milliseconds([lambda s=scene: raster(*s), lambda s=scene: raster_reference(*s)], repeats)
        lines.append(f"| {name} | {ours:.1f} | {plain / ours:.1f} × |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the table to this Markdown file")
    parser.add_argument("--repeats", type=int, default=15, help="turns, of which the fastest counts")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    text = "\n".join(
        [
            "# Benchmarks of the ops",
            "",
            f"Fastest of {arguments.repeats} turns, all columns measured side by side in one run of "
            f"`python benchmarks/ops.py`; × is how many times as long as numba. Python {platform.python_version()}, "
            f"torch {torch.__version__}, {platform.machine()}.",
            "",
            *table(arguments.repeats),
            "",
        ]
    )
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
