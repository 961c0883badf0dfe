"""Named evaluation protocols: each fixes the frame, what is sampled and how densely, the distances and the thresholds.

A protocol turns a predicted shape and the truth into the scores of one object. A later protocol is one more dataclass
in `ScoringProtocol` and one more branch in `score` and `ceiling`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import ops
from maquette.metrics.scores import (
    Matches,
    chamfer_plain,
    chamfer_squared,
    f_score,
    match,
    match_to_itself,
    normal_consistency,
    voxel_iou,
)
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, face_areas, sample
from maquette.shapes.voxelize import pooled

THRESHOLDS = (0.01, 0.02, 0.03, 0.04, 0.05)
"""Of F-scores, in units of the frame."""

LEVEL = 0.5
"""A cell is full where its occupancy is above."""


@dataclass(frozen=True)
class Target:
    """The true solid that a prediction is compared with."""

    points: Float[Tensor, "N 3"]
    """Drawn independently, uniform by area, from the outer surface."""
    normals: Float[Tensor, "N 3"] | None
    """Unit vectors to the outside; None where the data has none."""
    voxels: Bool[Tensor, "Z Y X"] | None = None
    """Full cells of the cube [-0.5, 0.5]^3 of the same frame."""


@dataclass(frozen=True)
class Scores:
    """Of one object. A score that is not defined for the shape, or that a failure excludes, has no entry."""

    values: dict[str, float]
    failure: str | None = None
    """Why there was nothing to compare; the F-scores and the IoU are then 0 and the other scores absent."""
    own_points: int | None = None
    """How many points a predicted cloud had before it was resampled."""
    truth_points: int | None = None
    """How many points of the truth it was compared with."""


@dataclass(frozen=True)
class MaquetteProtocol:
    """Both solids in the frame of learning: the truth's bounding box centred, its diagonal 1. No alignment.

    `points` points, uniform by area, on each surface (voxels: marching cubes at 0.5, closed at the box; a predicted
    cloud: its own points, repeated or thinned to that number; a truth that holds fewer gives all it has). F-score in
    percent at distances below 0.01..0.05; chamfer of squared distances (means of both directions added, x 1000) and of
    plain ones (half their sum); normal consistency of surfaces; IoU of voxels at 0.5. A prediction without a surface,
    or that is not finite, scores F = 0 and IoU = 0 and is left out of the other means.
    """

    points: int = 10_000
    """On each surface."""

    name: ClassVar[str] = "maquette"
    frame: ClassVar[str] = "truth's bounding box centred, its diagonal 1; no alignment"
    chamfer: ClassVar[str] = "squared: sum of both means x 1000; plain: half the sum of both means"
    thresholds: ClassVar[tuple[float, ...]] = THRESHOLDS

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"protocol maquette: points is {self.points}; compare at least two")


@dataclass(frozen=True)
class Cmu2025Protocol:
    """The evaluation of CMU 16-825, assignment 2, since February 2024, so that numbers can be laid beside the course's.

    The frame is that of the data, as stored. `points` points, uniform by area, on each surface; a predicted cloud is
    taken as it is, with as many true points. F = 2 P R / (P + R + 1e-8) in percent at distances strictly below
    0.01..0.05. Voxels: marching cubes at 0.5 on the plain grid (open where the solid meets the box), vertices in array
    order Z Y X over the number of cells minus 0.5, turned by pi about y; both clouds centred on their own means. Our
    grids have their axes right, so this mirrors them, (x, y, z) to (-z, y, -x): such voxel scores can be laid beside
    the course's, not beside those of points and meshes. Failures score 0, where the course's code stops.
    """

    points: int = 1000
    """On each surface."""

    name: ClassVar[str] = "cmu2025"
    frame: ClassVar[str] = "as stored; voxels turned by pi about y in array order, both clouds centred on their means"
    chamfer: ClassVar[str] = "none"
    thresholds: ClassVar[tuple[float, ...]] = THRESHOLDS

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"protocol cmu2025: points is {self.points}; compare at least two")


ScoringProtocol = MaquetteProtocol | Cmu2025Protocol

PROTOCOLS: dict[str, ScoringProtocol] = {"maquette": MaquetteProtocol(), "cmu2025": Cmu2025Protocol()}


def score(protocol: ScoringProtocol, predicted: Shape, target: Target, *, generator: torch.Generator) -> Scores:
    """The scores of one predicted shape, in the target's frame. The same generator state gives the same scores."""
    match protocol:
        case MaquetteProtocol():
            return _score_maquette(protocol, predicted, target, generator)
        case Cmu2025Protocol():
            return _score_cmu2025(protocol, predicted, target, generator)


def ceiling(protocol: ScoringProtocol, target: Target, *, generator: torch.Generator) -> Scores:
    """The scores that a perfect surface would have, known only through another sampling of it.

    Each of the truth's points is compared with all its others (see `match_to_itself`), so no second sampling is needed
    and the number of points is the protocol's own, less one. Frames do not matter: nothing has moved.
    """
    cloud = _true_points(target, protocol.points, generator)
    matches = match_to_itself(cloud.points)
    match protocol:
        case MaquetteProtocol():
            values = _f_values(matches, protocol.thresholds) | _distances(matches) | _normals(matches, cloud, cloud)
        case Cmu2025Protocol():
            values = _f_values(matches, protocol.thresholds, epsilon=1e-8)
    return Scores(values, truth_points=len(cloud.points))


def failure_of(shape: Shape, *, level: float = LEVEL) -> str | None:
    """Why a prediction has no surface to compare, or None if it has one."""
    match shape:
        case PointCloud(points):
            values, empty = points, None if points.shape[-2] else "a cloud without points"
        case Mesh(vertices, faces):
            values, empty = vertices, None if len(faces) else "a mesh without faces"
        case Voxels(occupancy):
            values, empty = occupancy, None if bool((occupancy > level).any()) else f"no cell is fuller than {level:g}"
    broken = int((~torch.isfinite(values)).sum())
    if broken:
        return f"{broken} of {values.numel()} numbers are not finite"
    if empty is None and isinstance(shape, Mesh) and not float(face_areas(shape).double().sum()) > 0:
        return "a mesh without area"
    return empty


def no_scores(protocol: ScoringProtocol, predicted: Shape, target: Target, failure: str) -> Scores:
    """What a failure scores: 0 for precision, recall, F and (voxels under protocol maquette) IoU; nothing else."""
    names = [f"{name}@{t:g}" for name in ("F", "precision", "recall") for t in protocol.thresholds]
    if isinstance(protocol, MaquetteProtocol) and isinstance(predicted, Voxels) and target.voxels is not None:
        names.append("iou")
    return Scores(dict.fromkeys(names, 0.0), failure)


def _score_maquette(protocol: MaquetteProtocol, predicted: Shape, target: Target, generator: torch.Generator) -> Scores:
    failure = failure_of(predicted)
    if failure:
        return no_scores(protocol, predicted, target, failure)
    truth = _true_points(target, protocol.points, generator)
    cloud = sample(predicted, protocol.points, generator=generator)
    matches = match(cloud.points, truth.points)
    values = _f_values(matches, protocol.thresholds) | _distances(matches) | _normals(matches, cloud, truth)
    if isinstance(predicted, Voxels) and target.voxels is not None:
        values["iou"] = _iou(predicted, target.voxels)
    return Scores(values, None, _own_points(predicted), len(truth.points))


def _score_cmu2025(protocol: Cmu2025Protocol, predicted: Shape, target: Target, generator: torch.Generator) -> Scores:
    failure = failure_of(predicted)
    surface: Shape = predicted
    if failure is None and isinstance(predicted, Voxels):
        surface = _course_surface(predicted)
        failure = failure_of(surface)
    if failure:
        return no_scores(protocol, predicted, target, failure)
    count = surface.points.shape[-2] if isinstance(surface, PointCloud) else protocol.points
    truth = _true_points(target, count, generator)
    cloud = surface if isinstance(surface, PointCloud) else sample(surface, count, generator=generator)
    if isinstance(predicted, Voxels):
        cloud, truth = _centred(cloud), _centred(truth)
    values = _f_values(match(cloud.points, truth.points), protocol.thresholds, epsilon=1e-8)
    return Scores(values, None, _own_points(predicted), len(truth.points))


def _own_points(shape: Shape) -> int | None:
    return shape.points.shape[-2] if isinstance(shape, PointCloud) else None


def _true_points(target: Target, count: int, generator: torch.Generator) -> PointCloud:
    """`count` of the truth's points without repetition, or all of them where it has fewer."""
    held = PointCloud(target.points, normals=target.normals)
    if len(target.points) <= count:
        return held
    return sample(held, count, generator=generator)


def _course_surface(voxels: Voxels) -> Mesh:
    """Marching cubes of the plain grid as the course's code reads it: no border, array order, turned by pi about y."""
    vertices, faces = ops.isosurface(voxels.occupancy, LEVEL)
    in_array_order = vertices.flip(-1) / voxels.occupancy.shape[0] - 0.5
    return Mesh(in_array_order * torch.tensor([-1.0, 1.0, -1.0]).to(vertices), faces)


def _centred(cloud: PointCloud) -> PointCloud:
    return PointCloud(cloud.points - cloud.points.mean(-2, keepdim=True))


def _iou(predicted: Voxels, truth: Bool[Tensor, "Z Y X"]) -> float:
    standard = torch.eye(4).to(predicted.world_from_grid)
    side = predicted.occupancy.shape[-1]
    if truth.shape[-1] > side and truth.shape[-1] % side == 0:
        # Truth may be prepared finer than a network predicts; coarser it is what it would have been prepared at.
        truth = pooled(truth.float(), side) > LEVEL
    if predicted.occupancy.shape != truth.shape or not torch.equal(predicted.world_from_grid, standard):
        raise ValueError(
            f"score: IoU needs both grids in the cube [-0.5, 0.5]^3 with the same cells; the prediction has "
            f"{tuple(predicted.occupancy.shape)}, the truth {tuple(truth.shape)}; resample one"
        )
    return float(voxel_iou(predicted.occupancy > LEVEL, truth))


def _f_values(matches: Matches, thresholds: Sequence[float], *, epsilon: float = 0.0) -> dict[str, float]:
    result = f_score(matches, thresholds, epsilon=epsilon)
    rows = {"F": result.f, "precision": result.precision, "recall": result.recall}
    return {
        f"{name}@{t:g}": float(value) for name, row in rows.items() for t, value in zip(thresholds, row, strict=True)
    }


def _distances(matches: Matches) -> dict[str, float]:
    return {
        "chamfer_squared_x1000": 1000 * float(chamfer_squared(matches)),
        "chamfer_plain": float(chamfer_plain(matches)),
    }


def _normals(matches: Matches, predicted: PointCloud, truth: PointCloud) -> dict[str, float]:
    """Nothing for a cloud that has no normals."""
    if predicted.normals is None or truth.normals is None:
        return {}
    return {"normal_consistency": float(normal_consistency(matches, predicted.normals, truth.normals))}
