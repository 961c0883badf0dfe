"""`maquette fit mesh`: an ico-sphere moulded to a target by losses in space; V vertices, F faces, N points.

Everything happens in the frame of fitting, where the target spans [-1, 1]; the result is written in the target's own.
"""

import math
from dataclasses import dataclass, fields
from pathlib import Path

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette.fitting.film import film_camera, film_picture
from maquette.fitting.frame import unit_from_target
from maquette.fitting.loop import fit, generator_at
from maquette.fitting.measure import measure, told
from maquette.fitting.moulding import Growth, Moulding, Subdivided, begun, grown
from maquette.fitting.optimizers import Adam, Optimizer, checked
from maquette.fitting.record import Record, settings_of
from maquette.io import load, save
from maquette.losses import (
    chamfer,
    edge_loss,
    laplacian_cot,
    laplacian_cotcurv,
    laplacian_uniform,
    normal_consistency,
)
from maquette.shapes import PointCloud, Shape, positions_at, sample, sample_faces, to_mesh, transform

POOL = 200_000
"""Points of the target that are drawn once; every step takes some of them."""


@dataclass(frozen=True)
class MeshWeights:
    """Weights of the losses; one of 0 is not computed. Terms are defined in `maquette.losses`, under the same names."""

    chamfer: float = 1.0
    edge: float = 0.1
    normal_consistency: float = 0.01
    laplacian_uniform: float = 0.01
    laplacian_cot: float = 0.0
    laplacian_cotcurv: float = 0.0

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
    optimizer: Optimizer = Adam()
    growth: Growth = Subdivided()
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
    target = load(config.target)
    unit = unit_from_target(target)
    pool = target_points(transform(target, unit), POOL, seed=config.seed)
    with Record(config.out, settings_of(config), config.steps, resume=config.resume, force=config.force) as record:
        if record.checkpoint is None:
            moulding = begun(pool.points, config.growth, config.optimizer)
        else:
            saved = record.checkpoint.tensors
            moulding = Moulding(saved["vertices"], saved["faces"], config.optimizer)
        record.restore(moulding.state(), moulding.optimizer)

        def objective(index: int) -> dict[str, Float[Tensor, ""]]:
            grown(moulding, config.growth, index, config.steps)
            moulding.anneal(index / config.steps)
            return mesh_terms(moulding, pool, config.weights, config.samples, generator_at(config.seed, index))

        camera = film_camera()
        for step in fit(objective, moulding.optimizer, config.steps, start=record.start):
            record.step(step, moulding.state(), moulding.optimizer)
            if record.films(step):
                record.frame(step, film_picture(moulding.mesh(), camera))
        result = transform(moulding.mesh(), unit.inverse())
        scores = measure(result, target, unit, seed=config.seed)
        record.finish(scores, save_shape=lambda path: save(result, path), suffix=".glb")
    print(f"{config.out}: {told(scores)}")


def target_points(target: Shape, count: int, *, seed: int = 0) -> PointCloud:
    """Points on the target's outer surface, drawn once; a cloud gives its own.

    Where closed parts of a mesh intersect, what lies within another part is no surface and is left out.
    """
    generator = generator_at(seed, -1)
    if isinstance(target, PointCloud):
        return target
    mesh = to_mesh(target)
    if len(mesh.faces) == 0:
        raise ValueError(
            "fit mesh: the target has no surface; give a mesh with faces, a cloud or full voxels"
        )
    return sample(mesh, count, generator=generator)


def mesh_terms(
    moulding: Moulding, pool: PointCloud, weights: MeshWeights, samples: int, generator: torch.Generator
) -> dict[str, Float[Tensor, ""]]:
    """The weighted losses of the mesh as it is, against points drawn from the pool."""
    mesh, topology = moulding.live(), moulding.topology
    terms = {}
    if weights.chamfer:
        points = positions_at(mesh, sample_faces(mesh, samples, generator=generator))
        drawn = torch.randint(len(pool.points), (samples,), generator=generator)
        terms["chamfer"] = weights.chamfer * chamfer(points, pool.points.index_select(0, drawn))
    if weights.edge:
        terms["edge"] = weights.edge * edge_loss(mesh, topology)
    if weights.normal_consistency:
        terms["normal_consistency"] = weights.normal_consistency * normal_consistency(mesh, topology)
    if weights.laplacian_uniform:
        terms["laplacian_uniform"] = weights.laplacian_uniform * laplacian_uniform(mesh, topology)
    if weights.laplacian_cot:
        terms["laplacian_cot"] = weights.laplacian_cot * laplacian_cot(mesh, topology)
    if weights.laplacian_cotcurv:
        terms["laplacian_cotcurv"] = weights.laplacian_cotcurv * laplacian_cotcurv(mesh, topology)
    return terms
