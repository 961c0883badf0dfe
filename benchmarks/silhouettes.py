"""Mould a sphere to 20 silhouettes of the cow, as the documentation promises; print quality and times as Markdown.

MAQUETTE_DATA=... python benchmarks/silhouettes.py [--only WORD]

The loop alone is timed, with the visual hull before it; on one thread unless OMP_NUM_THREADS says otherwise.
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from maquette.fitting import fit, unit_from_target
from maquette.fitting.measure import measure
from maquette.fitting.silhouettes import UNSEEN, FitSilhouettes, LargeSteps, SilhouetteFit, in_frame, view_ious
from maquette.fitting.views import Fibonacci, Preset, Tutorial20, render_views
from maquette.io import load
from maquette.rendering import Soft
from maquette.shapes import Mesh, to_mesh, transform

PLAIN = FitSilhouettes(out=Path("unused"), render=Path("unused"))
LARGE = replace(PLAIN, optimizer=LargeSteps(), steps=1000)
JOBS: dict[str, tuple[str, FitSilhouettes, Preset]] = {
    "Adam": ("unseen 0.97, 90 s", PLAIN, Fibonacci()),
    "large steps": ("unseen 0.98, 45 s", LARGE, Fibonacci()),
    "Adam, 500 iterations": ("", replace(PLAIN, steps=500), Fibonacci()),
    "Adam, soft edges": ("", replace(PLAIN, steps=500, edges=Soft()), Fibonacci()),
    "Adam, tutorial20": ("", replace(PLAIN, steps=500), Tutorial20()),
}


def row(cow: Mesh, config: FitSilhouettes, preset: Preset) -> dict[str, str]:
    """20 silhouettes at 128 x 128, two in each step; measured in 8 unseen views and against the cow."""
    views, unseen = (render_views(cow, cameras, 128) for cameras in (preset, UNSEEN))
    start, busy = time.perf_counter(), time.process_time()
    task = SilhouetteFit(views, config)
    for _ in fit(task.objective, task.optimizer, config.steps):
        pass
    taken, busy = time.perf_counter() - start, time.process_time() - busy
    mesh = task.mesh()
    scores = measure(transform(mesh, task.unit.inverse()), cow, torch.eye(4))
    return {
        "iterations": str(config.steps),
        "IoU, 20 views": f"{float(view_ious(mesh, task.views()).mean()):.4f}",
        "IoU, 8 unseen": f"{float(view_ious(mesh, in_frame(unseen, task.unit)).mean()):.4f}",
        "chamfer": f"{scores['chamfer']:.1e}",
        "s": f"{taken:.0f}",
        "processor s": f"{busy:.0f}",
        "processor ms / iteration": f"{1000 * busy / config.steps:.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="jobs whose names hold this word")
    given = parser.parse_args()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    folder = os.environ.get("MAQUETTE_DATA")
    if not folder:
        parser.error("set MAQUETTE_DATA to the folder with meshes/")
    target = load(Path(folder) / "meshes" / "cow" / "cow.obj")
    shape = to_mesh(transform(target, unit_from_target(target)))
    first = True
    for name, (reach, config, preset) in JOBS.items():
        if given.only not in name:
            continue
        columns = {"cow": name, "to reach": reach} | row(Mesh(shape.vertices, shape.faces), config, preset)
        if first:
            print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        first = False
        print(f"| {' | '.join(columns.values())} |", flush=True)


if __name__ == "__main__":
    main()
