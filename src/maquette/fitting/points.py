"""`maquette fit points`: a cloud from noise to a target, by the chamfer distance to fresh samples of its surface."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette import ops
from maquette.fitting import descent
from maquette.fitting.film import beside, film_camera, film_picture
from maquette.fitting.frame import unit_from_target
from maquette.fitting.loop import fit, generator_at
from maquette.fitting.measure import measure, table
from maquette.fitting.record import Record, settings_of
from maquette.fitting.target import load_target
from maquette.io import save
from maquette.losses import chamfer
from maquette.ops.threads import one_thread
from maquette.shapes import PointCloud, Shape, sample, transform

COLORED = 50_000
"""Points of the target whose colours the cloud takes."""


@dataclass(frozen=True)
class FitPoints:
    """Fit a point cloud to the surface of a target."""

    target: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off"""
    out: Path
    """Folder of the result, the film and the curves."""
    points: int = 5000
    """Points of the cloud."""
    samples: int = 5000
    """Points drawn from the target in every step."""
    steps: int = 500
    lr: float = 0.02
    """Peak learning rate of Adam, where the target spans [-1, 1]; it falls to 0 as a cosine."""
    seed: int = 0
    resume: bool = False
    """Go on where the fit in `out` was stopped."""
    force: bool = False
    """Write over an existing folder."""

    def __post_init__(self) -> None:
        for name in ("points", "samples", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"fit points: {name} is {getattr(self, name)}; give at least 1")
        if not 0 < self.lr < math.inf:
            raise ValueError(f"fit points: lr is {self.lr}; give a positive number")


def fit_points(config: FitPoints) -> None:
    target = load_target(config.target, "fit points")
    unit = unit_from_target(target)
    wanted = transform(target, unit)
    start = torch.randn(config.points, 3, generator=generator_at(config.seed, -1)) * 0.5
    with (
        Record(config.out, settings_of(config), config.steps, resume=config.resume, force=config.force) as record,
        one_thread(),
    ):
        points = start.clone().requires_grad_()
        optimizer = descent.Adam([points], lr=config.lr)
        record.restore({"points": points}, optimizer)

        def objective(index: int) -> dict[str, Float[Tensor, ""]]:
            optimizer.param_groups[0]["lr"] = config.lr * 0.5 * (1 + math.cos(math.pi * index / config.steps))
            drawn = sample(wanted, config.samples, generator=generator_at(config.seed, index)).points
            return {"chamfer": chamfer(points, drawn)}

        camera = film_camera()
        shown, colors = film_picture(wanted, camera), _colors_of(wanted, config.seed)
        for step in fit(objective, optimizer, config.steps, start=record.start):
            record.step(step, {"points": points}, optimizer)
            if record.films(step):
                record.frame(step, beside(film_picture(_painted(points, colors), camera), shown))
        result = transform(_painted(points, colors), unit.inverse())
        scores = measure(result, target, unit, seed=config.seed)
        record.finish(scores, save_shape=lambda path: save(result, path), suffix=".ply")
    print(f"{config.out}\n{table(scores)}")


def _colors_of(target: Shape, seed: int) -> PointCloud | None:
    """Points of the target that know its colours, if it has any."""
    drawn = sample(target, COLORED, generator=generator_at(seed, -2))
    return None if drawn.colors is None else drawn


def _painted(points: Float[Tensor, "N 3"], colors: PointCloud | None) -> PointCloud:
    """The cloud as it is, each point in the colour of the target's nearest."""
    points = points.detach().clone()
    if colors is None or colors.colors is None:
        return PointCloud(points)
    return PointCloud(points, colors.colors[ops.nearest(points, colors.points)[..., 0]])
