"""How well and how quickly meshes are moulded: the cow, every watertight piece of furniture, edges kept by quadrics.

MAQUETTE_DATA=... python benchmarks/fitting.py cow|kits|quadric [--steps N] [--log kits.jsonl] [--seed 0]

`kits` goes in a random order, notes each model in its log and skips what is noted there, so it can be stopped and gone
on with; it ends with the table of docs/fitting.md. Times are of the processor, on one thread unless OMP_NUM_THREADS
says otherwise.
"""

import argparse
import csv
import json
import os
import random
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor

from maquette import ops
from maquette.fitting import fit, generator_at, unit_from_target
from maquette.fitting.measure import measure
from maquette.fitting.mesh import START, FitMesh, MeshWeights, goal_of, mesh_terms
from maquette.fitting.moulding import Fixed, Growth, Remeshed, Subdivided, begun, grown
from maquette.fitting.optimizers import Adam, LargeSteps, Optimizer
from maquette.io import load
from maquette.shapes import (
    Mesh,
    Shape,
    closest_points,
    components,
    cube,
    face_normals,
    to_mesh,
    topology_of,
    transform,
    weld,
)

DEFAULTS = FitMesh(Path(), Path())
SHARP, BESIDE = 60.0, 0.05
"""Degrees above which an edge of the target is sharp; how far beside it, on either face, the result is looked at."""


def moulded(
    target: Shape,
    steps: int,
    *,
    optimizer: Optimizer = DEFAULTS.optimizer,
    growth: Growth = DEFAULTS.growth,
    weights: MeshWeights = DEFAULTS.weights,
    seed: int = 0,
) -> tuple[Mesh, float]:
    """The result of `maquette fit mesh` in the target's frame, without its folder and film; processor seconds."""
    unit = unit_from_target(target)
    before = time.process_time()
    goal = goal_of(transform(target, unit), weights, seed=seed)
    moulding = begun(goal.points, growth, optimizer, part=START)

    def objective(index: int) -> dict[str, Tensor]:
        grown(moulding, growth, index, steps)
        moulding.anneal(index / steps)
        draws = generator_at(seed, index)
        return mesh_terms(moulding, goal, weights, samples=DEFAULTS.samples, generator=draws)

    for _ in fit(objective, moulding.optimizer, steps):
        pass
    return transform(moulding.mesh(), unit.inverse()), time.process_time() - before


def genus(mesh: Mesh) -> tuple[int, float]:
    """Number of parts, and their genus added."""
    total, parts = 0.0, components(weld(mesh))
    for part in parts:
        edges = len(topology_of(part.faces).edges)
        total += 1 - (len(torch.unique(part.faces)) - edges + len(part.faces)) / 2
    return len(parts), total


def cow(data: Path, steps: int, seed: int) -> None:
    target = load(data / "meshes" / "cow" / "cow.obj")
    print("| cow | processor s | chamfer | with itself | F@0.02 | normals |\n|---|---|---|---|---|---|")
    ways = {
        "Adam 0.02, ico-4": {},
        "Adam 0.02, ico-2 to 4": {"growth": Subdivided()},
        "Adam 0.02, remeshed": {"growth": Remeshed()},
        "large steps 0.1, ico-4": {"optimizer": LargeSteps(0.1, 3.0)},
        "large steps 0.02, lambda 19": {"optimizer": LargeSteps(0.02, 19.0)},
    }
    for name, how in ways.items():
        result, seconds = moulded(target, steps, seed=seed, **how)
        s = measure(result, target, unit_from_target(target))
        print(
            f"| {name} | {seconds:.1f} | {s['chamfer']:.2e} | {s['target_chamfer']:.2e} | {s['f_score']:.1f} | "
            f"{s['normal_consistency']:.3f} |",
            flush=True,
        )


def kits(data: Path, steps: int, log: Path, seed: int) -> None:
    rows = list(csv.DictReader((data / "meshes" / "manifest.csv").open()))
    files = [row["file"] for row in rows if "furniture" in row["source"] and row["watertight"] == "yes"]
    random.Random(0).shuffle(files)
    done = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    known = {line["file"] for line in done}
    for file in files:
        if file in known:
            continue
        target = load(data / "meshes" / file)
        parts, handles = genus(to_mesh(target))
        result, seconds = moulded(target, steps, seed=seed)
        scores = measure(result, target, unit_from_target(target))
        finite = bool(torch.isfinite(result.vertices).all())
        done.append({"file": file, "parts": parts, "genus": handles, "finite": finite, "seconds": seconds} | scores)
        with log.open("a") as out:
            out.write(json.dumps(done[-1]) + "\n")
    tell_kits(done)


def tell_kits(done: list[dict]) -> None:
    groups = {
        "one part, genus 0": [d for d in done if d["parts"] == 1 and d["genus"] == 0],
        "one part with handles": [d for d in done if d["parts"] == 1 and d["genus"] > 0],
        "several parts": [d for d in done if d["parts"] > 1],
        "all": done,
    }
    print("| furniture | models | finite | F@0.02 median | worst | chamfer median | normals median | s median |")
    print("|---|---|---|---|---|---|---|---|")
    for name, group in groups.items():
        if group:
            middle = {
                key: statistics.median(d[key] for d in group)
                for key in ("f_score", "chamfer", "normal_consistency", "seconds")
            }
            print(
                f"| {name} | {len(group)} | {sum(d['finite'] for d in group)} | {middle['f_score']:.1f} | "
                f"{min(d['f_score'] for d in group):.1f} | {middle['chamfer']:.1e} | "
                f"{middle['normal_consistency']:.3f} | {middle['seconds']:.1f} |"
            )
    for d in sorted(done, key=lambda d: d["f_score"])[:5]:
        print(f"worst: {d['file']} F@0.02 {d['f_score']:.1f}, {d['parts']} parts, genus {d['genus']:g}")


def dihedral_error(result: Mesh, target: Mesh, *, count: int = 4000) -> float:
    """Mean error in degrees of the angle that the result makes across the target's sharp edges; both in one frame.

    From points along the edges, a step of BESIDE goes inwards on either face; the angle is between the normals of the
    result nearest to these two places, against that of the target's own.
    """
    target = weld(target)
    topology, normals = topology_of(target.faces), face_normals(target)
    first, second = topology.pairs.unbind(1)
    angles = (normals[first] * normals[second]).sum(-1).clamp(-1, 1).acos().rad2deg()
    kept = angles > SHARP
    edges, angles, first, second = topology.edges[topology.pair_edges][kept], angles[kept], first[kept], second[kept]
    start, end = target.vertices[edges].unbind(1)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial((end - start).norm(dim=-1), count, replacement=True, generator=generator)
    along = torch.rand(count, 1, generator=generator)
    points = start[drawn] * (1 - along) + end[drawn] * along
    seen = []
    for faces in (first[drawn], second[drawn]):
        inwards = torch.linalg.cross(normals[faces], (end - start)[drawn])
        towards = target.vertices[target.faces[faces]].mean(1) - points
        inwards = inwards * (inwards * towards).sum(-1, keepdim=True).sign()
        beside = points + BESIDE * torch.nn.functional.normalize(inwards, dim=-1)
        seen.append(face_normals(result)[closest_points(result, beside).faces])
    found = (seen[0] * seen[1]).sum(-1).clamp(-1, 1).acos().rad2deg()
    return float((found - angles[drawn]).abs().mean())


def edge_angle_error(result: Mesh, target: Mesh, *, count: int = 4000) -> float:
    """The same at the result's own edge nearest to each point: stricter, as it asks for an edge that lies there."""
    ours, target = weld(result), weld(target)

    def bends(mesh: Mesh) -> tuple[Tensor, Tensor]:
        topology, normals = topology_of(mesh.faces), face_normals(mesh)
        cosines = (normals[topology.pairs[:, 0]] * normals[topology.pairs[:, 1]]).sum(-1)
        return topology.edges[topology.pair_edges], cosines.clamp(-1, 1).acos().rad2deg()

    edges, angles = bends(target)
    edges, angles = edges[angles > SHARP], angles[angles > SHARP]
    start, end = target.vertices[edges].unbind(1)
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial((end - start).norm(dim=-1), count, replacement=True, generator=generator)
    along = torch.rand(count, 1, generator=generator)
    points = start[drawn] * (1 - along) + end[drawn] * along
    mine, found = bends(ours)
    nearest = ops.nearest_face(points[None], ours.vertices[None], torch.cat([mine, mine[:, 1:]], 1))[0]
    return float((found[nearest] - angles[drawn]).abs().mean())


def quadric(steps: int, seed: int) -> None:
    box = transform(cube(2.0), torch.diag(torch.tensor([1.0, 0.6, 0.4, 1.0])))
    box = Mesh(box.vertices, box.faces)
    print("| box | chamfer | dihedral error, across | of the nearest edge |\n|---|---|---|---|")
    for name, growth in (("ico-4", Fixed()), ("remeshed", Remeshed())):
        for weight in (0.0, 0.1, 1.0, 10.0):
            weights = MeshWeights(quadric=weight)
            result, _ = moulded(box, steps, growth=growth, weights=weights, optimizer=Adam(0.02), seed=seed)
            scores = measure(result, box, unit_from_target(box))
            print(
                f"| {name}, quadric {weight:g} | {scores['chamfer']:.2e} | {dihedral_error(result, box):.1f}° | "
                f"{edge_angle_error(result, box):.1f}° |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("cow", "kits", "quadric"))
    parser.add_argument("--steps", type=int, help="2000 for the cow, 500 otherwise")
    parser.add_argument("--log", type=Path, default=Path("kits.jsonl"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    steps = given.steps or (2000 if given.what == "cow" else 500)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if given.what == "quadric":
        quadric(steps, given.seed)
        return
    folder = os.environ.get("MAQUETTE_DATA")
    if not folder:
        parser.error("set MAQUETTE_DATA to the folder with meshes/")
    if given.what == "cow":
        cow(Path(folder), steps, given.seed)
    else:
        kits(Path(folder), steps, given.log, given.seed)


if __name__ == "__main__":
    main()
