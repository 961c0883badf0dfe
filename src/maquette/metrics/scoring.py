"""`score`: one predicted solid against the true one, under any protocol. Read it from top to bottom."""

from dataclasses import dataclass

import torch

from maquette import transforms
from maquette.metrics.frames import EachInItsOwnBox, placement
from maquette.metrics.protocol import Protocol, YawThenIcp
from maquette.metrics.scores import (
    Matches,
    chamfer_plain,
    chamfer_squared,
    f_score,
    match,
    match_to_itself,
    normal_consistency,
)
from maquette.metrics.surfaces import (
    Target,
    asked_of_truth,
    centred,
    drawn_from,
    failure_of,
    surface_of,
    true_points,
)
from maquette.metrics.volumes import iou_of_cells, volume_iou
from maquette.registration import Similarity, icp
from maquette.shapes import Mesh, PointCloud, Shape, Voxels


@dataclass(frozen=True)
class Scores:
    """Of one object. A score that is not defined for the shape, or that a failure excludes, has no entry."""

    values: dict[str, float]
    failure: str | None = None
    """Why there was nothing to compare; the F-scores and the IoU are then 0 and the other scores absent."""
    own_points: int | None = None
    """How many points a predicted cloud had before it was resampled, or how many vertices were taken."""
    truth_points: int | None = None
    """How many points of the truth it was compared with."""
    places: int | None = None
    """At how many places the volumes were compared."""


def score(protocol: Protocol, predicted: Shape, target: Target, *, generator: torch.Generator) -> Scores:
    """The scores of one predicted shape, in the target's frame. The same generator state gives the same scores."""
    failure = failure_of(predicted)
    if failure:
        return no_scores(protocol, predicted, target, failure)
    surface = surface_of(protocol, predicted)
    failure = failure_of(surface)
    if failure:
        return no_scores(protocol, predicted, target, failure)

    truth = true_points(target, asked_of_truth(protocol, surface), generator)
    cloud = drawn_from(protocol, surface, generator)
    if isinstance(predicted, Voxels) and protocol.grids == "course 2025":
        cloud, truth = centred(cloud), centred(truth)
    cloud, truth = framed(protocol, cloud, truth, target)
    if protocol.alignment is not None:
        cloud = aligned(protocol.alignment, cloud, truth)

    values = surface_values(protocol, match(cloud.points, truth.points), cloud, truth)
    if protocol.penalty:
        values |= {_over_all(name): values[name] for name in (c.name for c in protocol.chamfers)}
    if protocol.voxel_iou and target.voxels is not None:
        cells = iou_of_cells(predicted, target.voxels)
        values |= {} if cells is None else {"iou": cells}
    volume = None if protocol.volume_iou is None else volume_iou(protocol.volume_iou, predicted, target, generator)
    if volume is not None:
        values["volume_iou"] = volume[0]
    return Scores(values, None, _own_points(protocol, surface), len(truth.points), volume and volume[1])


def ceiling(protocol: Protocol, target: Target, *, generator: torch.Generator) -> Scores:
    """The scores that a perfect surface would have, known only through another sampling of it.

    Each of the truth's points is compared with all its others (see `match_to_itself`), so no second sampling is needed
    and the number of points is the protocol's own, less one. Nothing is aligned: nothing has moved.
    """
    cloud = true_points(target, protocol.of_truth, generator)
    _, cloud = framed(protocol, cloud, cloud, target)
    values = surface_values(protocol, match_to_itself(cloud.points), cloud, cloud)
    return Scores(values, truth_points=len(cloud.points))


def no_scores(protocol: Protocol, predicted: Shape, target: Target, failure: str) -> Scores:
    """What a failure scores: 0 for precision, recall, F and the IoU it would have had; nothing else, but a penalty."""
    values = {f"{name}@{t:g}": 0.0 for name in ("F", "precision", "recall") for t in protocol.thresholds}
    if protocol.voxel_iou and target.voxels is not None and isinstance(predicted, Voxels | Mesh):
        values["iou"] = 0.0
    if protocol.volume_iou is not None and isinstance(predicted, Voxels | Mesh):
        values["volume_iou"] = 0.0
    if protocol.penalty:
        middle = target.points.aminmax(dim=0)
        lone = PointCloud(((middle.min + middle.max) / 2)[None])
        lone, truth = framed(protocol, lone, PointCloud(target.points), target)
        matches = match(lone.points, truth.points)
        values |= {_over_all(name): value for name, value in chamfer_values(protocol, matches).items()}
    return Scores(values, failure)


def framed(protocol: Protocol, cloud: PointCloud, truth: PointCloud, target: Target) -> tuple[PointCloud, PointCloud]:
    """Both clouds in the protocol's frame, which follows from all of the truth's points, or from each cloud's own."""
    place = placement(protocol.frame, target.points)
    own = placement(protocol.frame, cloud.points) if isinstance(protocol.frame, EachInItsOwnBox) else place
    return (
        PointCloud(own(cloud.points), normals=cloud.normals),
        PointCloud(place(truth.points), normals=truth.normals),
    )


def aligned(rule: YawThenIcp, cloud: PointCloud, truth: PointCloud) -> PointCloud:
    """The cloud laid over the truth. Clouds come in random order, so their first points are a fair sample."""
    ours, theirs = cloud.points[: rule.points], truth.points[: rule.points]
    angles = torch.arange(rule.steps, dtype=ours.dtype, device=ours.device) * (2 * torch.pi / rule.steps)
    turns = transforms.rotation_about("y", angles)
    turned = ours @ turns.mT
    distances = chamfer_plain(match(turned, theirs.expand(rule.steps, -1, -1).contiguous()))
    best = turns[distances.argmin()]
    start = Similarity(best, torch.zeros_like(best[0]), torch.ones_like(best[0, 0]))
    found = icp(ours, theirs, start=start, steps=50, tolerance=1e-4).transform
    normals = None if cloud.normals is None else cloud.normals @ found.rotation.mT
    return PointCloud(found.apply(cloud.points), normals=normals)


def surface_values(protocol: Protocol, matches: Matches, cloud: PointCloud, truth: PointCloud) -> dict[str, float]:
    """All scores that nearest neighbours decide."""
    values = {}
    if protocol.thresholds:
        result = f_score(matches, protocol.limits, epsilon=protocol.epsilon)
        for name, row in {"F": result.f, "precision": result.precision, "recall": result.recall}.items():
            values |= {f"{name}@{t:g}": float(value) for t, value in zip(protocol.thresholds, row, strict=True)}
    values |= chamfer_values(protocol, matches)
    if protocol.normals and cloud.normals is not None and truth.normals is not None:
        values["normal_consistency"] = float(normal_consistency(matches, cloud.normals, truth.normals))
    return values


def chamfer_values(protocol: Protocol, matches: Matches) -> dict[str, float]:
    return {
        chamfer.name: chamfer.factor * float(chamfer_squared(matches) if chamfer.squared else chamfer_plain(matches))
        for chamfer in protocol.chamfers
    }


def _over_all(name: str) -> str:
    """The name of a distance that counts failures."""
    return f"{name}_all"


def _own_points(protocol: Protocol, surface: Mesh | PointCloud) -> int | None:
    if isinstance(surface, PointCloud):
        return surface.points.shape[-2]
    return None if protocol.drawn == "by area" else len(surface.faces.reshape(-1).unique())
