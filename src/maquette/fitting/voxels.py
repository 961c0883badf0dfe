"""`maquette fit voxels`: a grid from noise to the cells that a target fills, by cross-entropy on logits.

The grid is the cube of the frame of fitting, in which the target spans [-1, 1].
"""

from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.fitting import descent
from maquette.fitting.film import beside, film_camera, film_picture
from maquette.fitting.frame import unit_from_target
from maquette.fitting.loop import fit, generator_at
from maquette.fitting.measure import measure, table
from maquette.fitting.record import Record, settings_of
from maquette.fitting.target import load_target
from maquette.io import save
from maquette.losses import occupancy_bce
from maquette.metrics import voxel_iou
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, cells_of_points, to_mesh, transform, voxelize

MOST_CELLS = 256
"""A side; the state of the optimiser then takes half a gigabyte."""


@dataclass(frozen=True)
class FitVoxels:
    """Fit a grid of voxels to what a target fills."""

    target: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off, or voxels as .npz, which keep their own grid"""
    out: Path
    """Folder of the result, the film and the curves."""
    resolution: int = 32
    """Cells a side, where the target has none of its own."""
    steps: int = 200
    lr: float = 0.1
    """Learning rate of Adam on the logits."""
    seed: int = 0
    resume: bool = False
    """Go on where the fit in `out` was stopped."""
    force: bool = False
    """Write over an existing folder."""

    def __post_init__(self) -> None:
        if not 2 <= self.resolution <= MOST_CELLS:
            raise ValueError(f"fit voxels: resolution is {self.resolution}; give 2 to {MOST_CELLS} cells a side")
        if self.steps < 1:
            raise ValueError(f"fit voxels: steps is {self.steps}; give at least 1")
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"fit voxels: lr is {self.lr}; give a positive number")


def fit_voxels(config: FitVoxels) -> None:
    target = load_target(config.target, "fit voxels")
    unit = unit_from_target(target)
    wanted = full_cells(transform(target, unit), config.resolution)
    start = torch.randn(wanted.occupancy.shape, generator=generator_at(config.seed, -1))
    with Record(config.out, settings_of(config), config.steps, resume=config.resume, force=config.force) as record:
        logits = start.clone().requires_grad_()
        optimizer = descent.Adam([logits], lr=config.lr)
        record.restore({"logits": logits}, optimizer)

        def objective(index: int) -> dict[str, Float[Tensor, ""]]:
            return {"occupancy_bce": occupancy_bce(logits, wanted.occupancy)}

        def grid() -> Voxels:
            return Voxels(logits.detach().sigmoid(), wanted.world_from_grid)

        camera = film_camera()
        shown = film_picture(wanted, camera)
        for step in fit(objective, optimizer, config.steps, start=record.start):
            record.step(step, {"logits": logits}, optimizer)
            if record.films(step):
                record.frame(step, beside(film_picture(grid(), camera), shown))
        result = transform(grid(), unit.inverse())
        iou = float(voxel_iou(grid().occupancy >= 0.5, wanted.occupancy >= 0.5))
        scores = {"iou": iou, "resolution": list(wanted.occupancy.shape)} | measure(
            result, target, unit, seed=config.seed
        )

        def save_both(path: Path) -> None:
            save(to_mesh(result), path)
            save(result, path.with_suffix(".npz"))

        record.finish(scores, save_shape=save_both, suffix=".glb")
    print(f"{config.out}\n{table(scores)}")


def full_cells(target: Shape, resolution: int) -> Voxels:
    """What a target in the frame of fitting fills: of a mesh the cells that its surface touches and those inside.

    Of a cloud the cells that hold a point. Voxels keep their own grid. ValueError where nothing is filled.
    """
    match target:
        case Voxels(occupancy, world_from_grid):
            filled = Voxels((occupancy >= 0.5).to(occupancy.dtype), world_from_grid)
        case PointCloud(points):
            cells = cells_of_points((points / 2).clamp(-0.5, 0.5), resolution)
            filled = Voxels(cells, transforms.scale_translate(2.0, torch.zeros(3)))
        case Mesh():
            filled = voxelize(target, resolution, world_from_grid=transforms.scale_translate(2.0, torch.zeros(3)))
    if not bool(filled.occupancy.any()):
        raise ValueError("fit voxels: the target fills no cell; give a mesh with faces, a cloud or full voxels")
    return filled
