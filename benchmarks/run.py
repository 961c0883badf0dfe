"""Time the operators beside their references, scipy, libigl and PyTorch3D, in one run; print a table in Markdown.

python benchmarks/run.py [--out docs/benchmarks.md] [--turns 15] [--threads 2] [--only WORD]
"""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path

# Before torch is imported: its waiting threads would spin for a while after each call and take the cores from the next.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from scenes import around, bumpy_sphere, pytorch3d_there, spheres, torus
from timing import Call, Task, first_call, measure_memory, milliseconds, peak_megabytes
from torch import Tensor

from maquette import ops
from maquette.losses import chamfer, edge_loss, laplacian_uniform, normal_consistency
from maquette.rendering import render
from maquette.shapes import positions_at, sample_faces
from maquette.shapes.primitives import ico_sphere
from maquette.shapes.topology import topology_of


def scipy_both(a: Tensor, b: Tensor) -> None:
    """One way and the other, by cKDTree on all threads."""
    from scipy.spatial import cKDTree

    for x, y in zip(a.detach().numpy(), b.detach().numpy(), strict=True):
        trees = cKDTree(x), cKDTree(y)
        trees[1].query(x, workers=torch.get_num_threads())
        trees[0].query(y, workers=torch.get_num_threads())


def chamfer_task(count: int, n: int, shift: float) -> Callable[[], dict[str, Call]]:
    def prepare() -> dict[str, Call]:
        a, b = spheres(count, n, shift)
        a.requires_grad_()

        def ours() -> None:
            a.grad = None
            chamfer(a, b).mean().backward()

        calls: dict[str, Call] = {"Maquette": ours, "scipy": lambda: scipy_both(a, b)}
        if n <= 5000:
            calls["plain torch"] = lambda: [reference_both(a[i], b[i]) for i in range(count)]
        if pytorch3d_there():
            from pytorch3d.loss import chamfer_distance

            def theirs() -> None:
                a.grad = None
                chamfer_distance(a, b)[0].backward()

            calls["PyTorch3D"] = theirs
        return calls

    return prepare


def reference_both(a: Tensor, b: Tensor) -> None:
    one = torch.tensor([0, len(a)]), torch.tensor([0, len(b)])
    ops.nearest_reference(a.detach(), b, *one)
    ops.nearest_reference(b, a.detach(), *one[::-1])


def raster_task(columns: int, size: int, views: int = 1) -> Callable[[], dict[str, Call]]:
    def prepare() -> dict[str, Call]:
        scene = torus(columns, columns, size, views)
        return {"Maquette": lambda: ops.raster(*scene), "plain torch": lambda: ops.raster_reference(*scene)}

    return prepare


def silhouette_task() -> dict[str, Call]:
    """Soft silhouettes with PyTorch3D's sigma and blur, forward and backward."""
    from maquette.rendering import Soft

    mesh, cameras = bumpy_sphere(), around(20, 128)

    def ours() -> None:
        vertices = mesh.vertices.clone().requires_grad_()
        alpha = render(mesh.with_vertices(vertices), cameras, edges=Soft()).alpha
        alpha.mean().backward()

    return {"Maquette": ours}


def soft_op_task() -> dict[str, Call]:
    mesh, cameras = bumpy_sphere(), around(20, 128)
    pixels = cameras.pixels_from_world(mesh.vertices)
    sigma = 1e-4 * 64**2

    def ours() -> None:
        points = pixels.clone().requires_grad_()
        alpha, _ = ops.soft_silhouette(points, mesh.faces, (128, 128), sigma=sigma, blur_radius=9.21 * sigma)
        alpha.mean().backward()

    return {"Maquette": ours}


def render_task() -> dict[str, Call]:
    mesh, camera = bumpy_sphere(), around(1, 256)[0]

    def ours() -> None:
        vertices = mesh.vertices.clone().requires_grad_()
        seen = render(mesh.with_vertices(vertices), camera)
        (seen.rgb.mean() + seen.depth.mean() + seen.normal.mean() + seen.alpha.mean()).backward()

    return {"Maquette": ours}


def fit_task() -> dict[str, Call]:
    """One iteration of moulding a sphere: sample both, chamfer, edges, normals, Laplacian, backward, Adam."""
    sphere, target = ico_sphere(4), bumpy_sphere()
    topology = topology_of(sphere.faces)
    offsets = torch.zeros_like(sphere.vertices, requires_grad=True)
    optimizer = torch.optim.Adam([offsets], lr=1e-2)

    def ours() -> None:
        mesh = sphere.with_vertices(sphere.vertices + offsets)
        a, b = (positions_at(each, sample_faces(each, 5000)) for each in (mesh, target))
        loss = chamfer(a, b) + edge_loss(mesh, topology)
        loss = loss + 0.01 * normal_consistency(mesh, topology) + 0.1 * laplacian_uniform(mesh, topology)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return {"Maquette": ours}


def meshing_task() -> dict[str, Call]:
    """A default field that has learnt a torus, from code to mesh: from coarse to fine, and at every sample."""
    from maquette.models import Features
    from maquette.models.occupancy import Meshing, OccupancyDecoder, TriplaneOccupancy
    from maquette.shapes import Torus, implicit_mesh
    from maquette.shapes.parametric import value

    torch.manual_seed(0)
    decoder, features = OccupancyDecoder(TriplaneOccupancy(), 512), Features(torch.rand(1, 512))
    optimizer = torch.optim.Adam(decoder.parameters(), lr=3e-3)
    for _ in range(150):
        places = torch.rand(1, 2000, 3) - 0.5
        inside = (value(Torus(0.3, 0.12), places) < 0).float()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(decoder(features, places), inside)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    decoder.eval()
    box = torch.tensor([[-0.5] * 3, [0.5] * 3])

    @torch.no_grad()
    def dense() -> None:
        condition = decoder.field.condition(features.code)
        implicit_mesh(lambda places: -decoder.closed(condition, places), box, resolution=129)

    return {"Maquette": lambda: decoder.meshes(features, Meshing(128)), "plain torch": dense}


TASKS = (
    Task("chamfer and its gradient, 8 × 5000², spheres", "0.35 × scipy", chamfer_task(8, 5000, 0.0)),
    Task("chamfer and its gradient, 8 × 5000², spheres apart", "1.0 × scipy", chamfer_task(8, 5000, 3.0)),
    Task("chamfer and its gradient, 32 × 1000², spheres", "", chamfer_task(32, 1000, 0.0)),
    Task("chamfer and its gradient, 1 × 100,000², spheres", "", chamfer_task(1, 100_000, 0.0)),
    Task("z-buffer, 24 views of 800 faces, 137²", "", raster_task(20, 137, 24)),
    Task("z-buffer, 5k faces, 512²", "6 ms", raster_task(50, 512)),
    Task("z-buffer, 70k faces, 512²", "10 ms", raster_task(187, 512)),
    Task("z-buffer, 1M faces, 1024²", "250 ms", raster_task(707, 1024)),
    Task("soft silhouettes and gradient, 5k faces, 20 × 128²", "300 ms", soft_op_task),
    Task("the same through `render` with colours", "", silhouette_task),
    Task("render (rgb, depth, normal, alpha) and gradient, 5k faces, 256²", "40 ms", render_task),
    Task("one step of moulding a sphere of 5k faces", "9 ms", fit_task),
    Task("field of occupancy to a mesh, 128³ (plain: all samples)", "1500 ms", meshing_task),
)

CLOUDS = "from maquette.losses import chamfer\na, b = torch.rand(2, 1, 100, 3).requires_grad_()"
SPHERE = """from maquette.shapes.primitives import ico_sphere
camera = maquette.orbit(0.3, 0.2, 3.0, focal=60.0, size=(64, 64))
maquette.render"""
FIRST_CALLS = {
    "nearest points": ("from maquette import ops\na, b = torch.rand(2, 1, 100, 3)", "ops.nearest(a, b)"),
    "chamfer and its gradient": (CLOUDS, "chamfer(a, b).sum().backward()"),
    "render a mesh": (SPHERE, "maquette.render(ico_sphere(2), camera)"),
}
"""What goes before, and the call that is timed as the first of its process."""


def first_calls(word: str) -> list[str]:
    """A table of the first calls with `word` in their name."""
    lines = ["| first call of a process, compiled kernels on the disk | Maquette | at most |", "|---|---|---|"]
    for name, (preparation, call) in FIRST_CALLS.items():
        if word in name:
            lines.append(f"| {name} | {first_call(preparation, call, 5):.0f} ms | 500 ms |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


def row(task: Task, turns: int) -> tuple[str, dict[str, float]]:
    calls = task.prepare()
    times = dict(zip(calls, milliseconds(list(calls.values()), turns), strict=True))
    return task.name, times


def table(tasks: list[Task], turns: int) -> list[str]:
    others = ["scipy", "plain torch"] + (["PyTorch3D"] if pytorch3d_there() else [])
    lines = [
        f"| task | Maquette | at most | {' | '.join(others)} | memory |",
        "|---|---|---|" + "---|" * (len(others) + 1),
    ]
    for task in tasks:
        _, times = row(task, turns)
        ours = times["Maquette"]
        cells = [f"{times[name] / ours:.1f} ×" if name in times else "–" for name in others]
        memory = peak_megabytes(__file__, task.name)
        lines.append(f"| {task.name} | {ours:.1f} ms | {task.reach or '–'} | {' | '.join(cells)} | {memory:.0f} MB |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="also write the table to this Markdown file")
    parser.add_argument("--turns", type=int, default=15, help="turns, of which the fastest counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", help="only the tasks with this in their name")
    parser.add_argument("--memory", help="print the peak memory of one task, and nothing else")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.memory:
        print(measure_memory(next(task for task in TASKS if task.name == arguments.memory)))
        return
    text = "\n".join(
        [
            "# Benchmarks",
            "",
            f"The fastest of {arguments.turns} turns, all columns of a row measured in turns in one run of "
            f"`python benchmarks/run.py` on {arguments.threads} threads of a CPU; × is how many times as long as ours "
            "takes. Memory is the peak beyond what is held before the call, inputs included there. "
            f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}. "
            + ("" if pytorch3d_there() else "PyTorch3D was not importable, so its column is missing."),
            "",
            *table([task for task in TASKS if arguments.only in task.name], arguments.turns),
            "",
            *first_calls(arguments.only),
            "",
        ]
    )
    print(text)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
