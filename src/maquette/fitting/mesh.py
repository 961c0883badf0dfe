"""`maquette fit mesh`: an ico-sphere moulded to a target by losses in space; V vertices, F faces, N points.

Everything happens in the frame of fitting, where the target spans [-1, 1]; the result is written in the target's own.
"""

import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette.fitting.film import beside, film_camera, film_picture
from maquette.fitting.frame import unit_from_target
from maquette.fitting.loop import fit, generator_at
from maquette.fitting.measure import measure, table
from maquette.fitting.moulding import Fixed, Growth, Moulding, begun, grown, has_left
from maquette.fitting.optimizers import Adam, Optimizer, checked
from maquette.fitting.record import Record, settings_of
from maquette.fitting.target import load_target
from maquette.io import save
from maquette.losses import (
    chamfer,
    chamfer_normal,
    edge_loss,
    edge_normal_p2m,
    laplacian_cot,
    laplacian_cotcurv,
    laplacian_uniform,
    normal_consistency,
    quadric_loss,
)
from maquette.losses.quadric import Quadrics, are_apart, quadrics
from maquette.ops.threads import one_thread
from maquette.shapes import (
    Mesh,
    PointCloud,
    Shape,
    face_normals,
    positions_at,
    sample_faces,
    subdivide_midpoint,
    to_mesh,
    transform,
    weld,
)

POOL = 200_000
"""Points of the target that are drawn once; every step takes some of them."""
PLANES = 2500
"""Vertices that the target's surface is cut into at least, for quadrics along its edges and not at its corners only."""
START = 1.0
"""Part of the target's box that the sphere fills at first; 0.4 helps some thin limbs and harms most other models."""


@dataclass(frozen=True)
class MeshWeights:
    """Weights of the losses; one of 0 is not computed. Terms are defined in `maquette.losses`, under the same names."""

    chamfer: float = 1.0
    edge: float = 0.005
    normal_consistency: float = 0.002
    laplacian_uniform: float = 0.002
    laplacian_cot: float = 0.0
    laplacian_cotcurv: float = 0.0
    quadric: float = 0.0
    """Keeps edges and corners sharp; the mean over the target's vertices, cut finer where they are few."""
    chamfer_normal: float = 0.0
    edge_normal_p2m: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            weight = getattr(self, field.name)
            if not (weight >= 0 and math.isfinite(weight)):
                raise ValueError(f"fit mesh: weights.{field.name} is {weight}; give 0 or more")
        if not any(getattr(self, field.name) for field in fields(self)):
            raise ValueError("fit mesh: every weight is 0; nothing would move")


@dataclass(frozen=True)
class FitMesh:
    """Mould an ico-sphere to the surface of a target."""

    target: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off"""
    out: Path
    """Folder of the result, the film and the curves."""
    optimizer: Optimizer = Adam(lr=0.02)
    growth: Growth = Fixed()
    """How fine the sphere is, and when it becomes so."""
    weights: MeshWeights = MeshWeights()
    samples: int = 5000
    """Points drawn from the target, and from the mesh, in every step."""
    steps: int = 2000
    seed: int = 0
    resume: bool = False
    """Go on where the fit in `out` was stopped."""
    force: bool = False
    """Write over an existing folder."""

    def __post_init__(self) -> None:
        for name in ("samples", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"fit mesh: {name} is {getattr(self, name)}; give at least 1")
        checked(self.optimizer, "fit mesh")


def fit_mesh(config: FitMesh) -> None:
    target = load_target(config.target, "fit mesh")
    unit = unit_from_target(target)
    wanted = transform(target, unit)
    goal = goal_of(wanted, config.weights, seed=config.seed)
    with (
        Record(config.out, settings_of(config), config.steps, resume=config.resume, force=config.force) as record,
        one_thread(),
    ):
        if record.checkpoint is None:
            moulding = begun(goal.points, config.growth, config.optimizer, part=START)
        else:
            saved = record.checkpoint.tensors
            moulding = Moulding(saved["vertices"], saved["faces"], config.optimizer)
        record.restore(moulding.state(), moulding.optimizer)

        def objective(index: int) -> dict[str, Float[Tensor, ""]]:
            grown(moulding, config.growth, index, config.steps)
            moulding.anneal(index / config.steps)
            draws = generator_at(config.seed, index)
            return mesh_terms(moulding, goal, config.weights, samples=config.samples, generator=draws)

        camera = film_camera()
        shown = film_picture(wanted, camera)
        for step in fit(objective, moulding.optimizer, config.steps, start=record.start):
            record.step(step, moulding.state(), moulding.optimizer)
            if record.films(step):
                record.frame(step, beside(film_picture(moulding.mesh(), camera), shown))
        result = transform(moulding.mesh(), unit.inverse())
        scores = measure(result, target, unit, seed=config.seed)
        record.finish(scores, save_shape=lambda path: save(result, path), suffix=".glb")
    print(f"{config.out}\n{table(scores)}")


@dataclass(frozen=True)
class Goal:
    """What the losses know of a target, found once."""

    points: Float[Tensor, "N 3"]
    """Of its surface; every step takes some of them."""
    normals: Float[Tensor, "N 3"]
    """Of unit length; zero where the target has none."""
    quadrics: Quadrics
    """Of its vertices, where the quadric loss has a weight; of none otherwise."""


def goal_of(target: Shape, weights: MeshWeights, *, seed: int = 0) -> Goal:
    """The goal of a fit to `target`, in the frame of fitting. ValueError where it lacks what a weight needs."""
    nothing = quadrics(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)))
    if isinstance(target, PointCloud):
        if weights.quadric:
            raise ValueError("fit mesh: weights.quadric needs faces, the target is a cloud; give 0 or a mesh")
        if target.normals is None and (weights.chamfer_normal or weights.edge_normal_p2m):
            raise ValueError("fit mesh: the cloud has no normals; give it some, or weight 0 to the losses of normals")
        normals = torch.zeros_like(target.points) if target.normals is None else target.normals
        return Goal(target.points, normals, nothing)
    mesh = to_mesh(target)
    mesh = Mesh(mesh.vertices, mesh.faces)  # a goal has no colours
    if len(mesh.faces) == 0:
        raise ValueError("fit mesh: the target has no surface; give a mesh with faces, a cloud or full voxels")
    places = sample_faces(mesh, POOL, generator=generator_at(seed, -1))
    normals = face_normals(mesh)[places.faces]
    return Goal(positions_at(mesh, places), normals, quadrics(_fine(mesh)) if weights.quadric else nothing)


def _fine(mesh: Mesh) -> Mesh:
    """The same surface with at least PLANES vertices."""
    fine = weld(mesh)
    proper = (fine.faces != fine.faces.roll(1, 1)).all(1)
    fine = Mesh(fine.vertices, fine.faces[proper])
    while len(fine.vertices) < PLANES:
        fine = subdivide_midpoint(fine)
    return fine


def mesh_terms(
    moulding: Moulding, goal: Goal, weights: MeshWeights, *, samples: int, generator: torch.Generator
) -> dict[str, Float[Tensor, ""]]:
    """The weighted losses of the mesh as it is, against points drawn from the goal; a weight of 0 has none.

    All of them are NaN for a mesh that has left: `fit` then tells the step, and the state before it is kept.
    """
    mesh, topology = moulding.live(), moulding.topology
    used = {name: weight for name, weight in asdict(weights).items() if weight}
    if has_left(mesh):
        return {name: mesh.vertices.new_tensor(math.nan) for name in used}
    places = sample_faces(mesh, samples, generator=generator)
    drawn = torch.randint(len(goal.points), (samples,), generator=generator)
    ours, theirs = positions_at(mesh, places), goal.points.index_select(0, drawn)
    losses = {
        "chamfer": lambda: chamfer(ours, theirs),
        "edge": lambda: edge_loss(mesh, topology),
        "normal_consistency": lambda: normal_consistency(mesh, topology),
        "laplacian_uniform": lambda: laplacian_uniform(mesh, topology),
        "laplacian_cot": lambda: laplacian_cot(mesh, topology),
        "laplacian_cotcurv": lambda: laplacian_cotcurv(mesh, topology),
        "quadric": lambda: _quadric(mesh.vertices, goal.quadrics),
        "chamfer_normal": lambda: chamfer_normal(
            ours.detach(), theirs, normals_a=face_normals(mesh)[places.faces], normals_b=goal.normals[drawn]
        ),
        "edge_normal_p2m": lambda: edge_normal_p2m(mesh, theirs, normals=goal.normals[drawn], topology=topology),
    }
    return {name: weight * losses[name]() for name, weight in used.items()}


def _quadric(vertices: Float[Tensor, "V 3"], target: Quadrics) -> Float[Tensor, ""]:
    """The quadric loss; NaN for a mesh that has blown up or shrunk away, which the loss itself refuses."""
    if are_apart(vertices.detach(), target):
        return vertices.new_tensor(math.nan)
    return quadric_loss(vertices, target, reduction="mean")
