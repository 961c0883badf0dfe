"""`maquette fit field`: a signed distance on a grid, moulded until its surface is the target's; any genus can come out.

Everything happens in the frame of fitting, where the target spans [-1, 1]; the result is written in the target's own.
N corners of the grid, K views.
"""

import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette.fitting.film import beside, film_camera, film_picture
from maquette.fitting.frame import unit_from_target
from maquette.fitting.growing_field import Box, GrowingField, Start, refined_at, started
from maquette.fitting.loop import fit, generator_at
from maquette.fitting.measure import measure, table
from maquette.fitting.record import Record, settings_of
from maquette.fitting.target import load_target
from maquette.io import save
from maquette.losses.field import eikonal, field_laplacian, sign_change
from maquette.losses.points import matched
from maquette.ops import nearest_both
from maquette.shapes import (
    Mesh,
    PointCloud,
    Shape,
    is_inside,
    positions_at,
    report,
    sample,
    sample_faces,
    to_mesh,
    transform,
)

POOL = 100_000
"""Points of the target that are drawn once; every step takes some of them."""
BURIED = 1e-3
"""How far in front of a point the target must be empty for it to be of the outer surface."""
NEAR = 2.0
"""How near to the surface, in spacings of the grid, its roughness counts."""


@dataclass(frozen=True)
class FieldWeights:
    """Weights of the losses; one of 0 is not computed. Terms are defined in `maquette.losses`, under the same names."""

    chamfer: float = 1.0
    stray: float = 10.0
    eikonal: float = 0.003
    field_laplacian: float = 5e-4
    sign_change: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            weight = getattr(self, field.name)
            if not (weight >= 0 and math.isfinite(weight)):
                raise ValueError(f"fit field: weights.{field.name} is {weight}; give 0 or more")
        if not (self.chamfer or self.stray):
            raise ValueError("fit field: weights.chamfer and .stray are 0; nothing would attract")


@dataclass(frozen=True)
class FitField:
    """Mould the level set of a signed distance, which may get holes, to the surface of a target."""

    target: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off"""
    out: Path
    """Folder of the result, the film and the curves."""
    start: Start = Box()
    """What the field is the distance of at first."""
    resolutions: tuple[int, ...] = (32, 64)
    """Cells along each side of the grid, from coarse to fine."""
    until: float = 0.5
    """Part of the steps after which the last resolution is there; they change at even intervals."""
    weights: FieldWeights = FieldWeights()
    samples: int = 5000
    """Points drawn from the target, and from the surface, in every step."""
    steps: int = 400
    lr: float = 0.2
    """Peak learning rate of Adam, in spacings of the grid; it falls to 0 as a cosine."""
    seed: int = 0
    resume: bool = False
    """Go on where the fit in `out` was stopped."""
    force: bool = False
    """Write over an existing folder."""

    def __post_init__(self) -> None:
        for name in ("samples", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"fit field: {name} is {getattr(self, name)}; give at least 1")
        rising = all(a < b for a, b in zip(self.resolutions, self.resolutions[1:], strict=False))
        if not self.resolutions or not rising or not 4 <= self.resolutions[0] or not self.resolutions[-1] <= 256:
            raise ValueError(f"fit field: resolutions are {self.resolutions}; give rising numbers from 4 to 256")
        if not (self.lr > 0 and math.isfinite(self.lr)):
            raise ValueError(f"fit field: lr is {self.lr}; give a positive number")
        if not 0 <= self.until <= 1:
            raise ValueError(f"fit field: until is {self.until}; give a number from 0 to 1")


def fit_field(config: FitField) -> None:
    target = load_target(config.target, "fit field")
    unit = unit_from_target(target)
    wanted = transform(target, unit)
    goal = outer_points(wanted, seed=config.seed)
    with Record(config.out, settings_of(config), config.steps, resume=config.resume, force=config.force) as record:
        if record.checkpoint is None:
            half = goal.points.abs().amax(0)
            field = started(config.start, config.resolutions[0], half, lr=config.lr)
        else:
            saved = record.checkpoint.tensors
            field = GrowingField(saved["values"], saved["offsets"], config.lr)
        record.restore(field.state(), field.optimizer)

        def objective(index: int) -> dict[str, Float[Tensor, ""]]:
            refined_at(field, config.resolutions, index, config.steps * config.until)
            field.anneal(index / config.steps)
            mesh = present(field.live(), index)
            attracting = attraction(
                field, mesh, goal, config.weights, samples=config.samples, index=index, seed=config.seed
            )
            return attracting | field_terms(field, config.weights)

        camera = film_camera()
        shown = film_picture(wanted, camera)
        for step in fit(objective, field.optimizer, config.steps, start=record.start):
            record.step(step, field.state(), field.optimizer)
            if record.films(step):
                record.frame(step, beside(film_picture(field.mesh(), camera), shown))
        surface = present(field.mesh(), config.steps)
        result = transform(surface, unit.inverse())
        scores = measure(result, target, unit, seed=config.seed) | topology(surface)
        record.finish(scores, save_shape=lambda path: save(result, path), suffix=".glb")
    print(f"{config.out}: Euler characteristic {scores['euler_characteristic']}\n{table(scores)}")


def outer_points(target: Shape, *, seed: int = 0) -> PointCloud:
    """Points on the outer surface of the target, drawn once, with outward normals; a cloud gives its own.

    Where parts of a mesh intersect, what lies within another part is no surface and is left out.
    """
    if isinstance(target, PointCloud):
        return target
    mesh = to_mesh(target)
    if len(mesh.faces) == 0:
        raise ValueError("fit field: the target has no surface; give a mesh with faces, a cloud or full voxels")
    mesh = Mesh(mesh.vertices, mesh.faces)
    drawn = sample(mesh, POOL, generator=generator_at(seed, -1))
    assert drawn.normals is not None
    front, back = (is_inside(mesh, drawn.points + side * BURIED * drawn.normals) for side in (1, -1))
    # A mesh may be inside out; a sheet without an inside has no sides to tell apart.
    side = back.to(drawn.points.dtype) - front.to(drawn.points.dtype)
    outer = ~(front & back)
    return PointCloud(drawn.points[outer], normals=(drawn.normals * side[:, None])[outer])


def attraction(
    field: GrowingField, mesh: Mesh, goal: PointCloud, weights: FieldWeights, *, samples: int, index: int, seed: int
) -> dict[str, Float[Tensor, ""]]:
    """The weighted chamfer distance to points of the goal, and what takes away surface that is far from it.

    Where two sheets span a hole of the target, the chamfer distance pulls along them and opens nothing. There `stray`
    changes the field itself: the mean over points of our surface, held fixed, of -value * side * (distance to the
    target - spacing of the grid) where that is positive; side is 1 in front of the target's surface and -1 behind it.
    Without normals everything is in front: surfaces shrink, so the start must contain the target.
    """
    generator, terms = generator_at(seed, index), {}
    ours = positions_at(mesh, sample_faces(mesh, samples, generator=generator))
    drawn = torch.randint(len(goal.points), (samples,), generator=generator)
    theirs = goal.points.index_select(0, drawn)
    theirs_of_ours, ours_of_theirs = nearest_both(ours, theirs)
    offsets = ours - matched(theirs, theirs_of_ours)
    if weights.chamfer:
        backward = (theirs - matched(ours, ours_of_theirs)).square().sum(-1)
        terms["chamfer"] = weights.chamfer * (offsets.square().sum(-1).mean() + backward.mean())
    if weights.stray:
        far = (offsets.detach().norm(dim=-1) - field.grid.spacing).clamp(min=0)
        if goal.normals is not None:
            normals = goal.normals.index_select(0, drawn).index_select(0, theirs_of_ours)
            far = torch.where((offsets.detach() * normals).sum(-1) < 0, -far, far)
        terms["stray"] = -weights.stray * (far * field.at(ours.detach())).mean()
    return terms


def field_terms(field: GrowingField, weights: FieldWeights) -> dict[str, Float[Tensor, ""]]:
    """The weighted regularisers of the field as it is."""
    values, spacing, terms = field.array(), field.grid.spacing, {}
    if weights.eikonal:
        terms["eikonal"] = weights.eikonal * eikonal(values, spacing)
    if weights.field_laplacian:
        terms["field_laplacian"] = weights.field_laplacian * field_laplacian(values, spacing, reach=NEAR * spacing)
    if weights.sign_change:
        terms["sign_change"] = weights.sign_change * sign_change(values, spacing)
    return terms


def present(mesh: Mesh, index: int) -> Mesh:
    """The mesh, if there is one."""
    if len(mesh.faces) == 0:
        raise FloatingPointError(
            f"fit field: the surface has vanished after {index} steps; try a lower --lr, or finer --resolutions"
        )
    return mesh


def topology(mesh: Mesh) -> dict:
    """Euler number, pieces, and the genus where there is one piece."""
    told = report(mesh)
    return {"euler_characteristic": told.euler_characteristic, "components": told.components, "genus": told.genus}
