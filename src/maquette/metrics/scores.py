"""Scores of a predicted surface against the true one, from points on both.

N predicted points, M true points, T thresholds. `match` finds nearest neighbours once; every score reads them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maquette import ops


@dataclass(frozen=True)
class Matches:
    """The nearest point on the other surface, for the points of both."""

    truth_of: Int64[Tensor, "*batch N"]
    """For each predicted point, the index of its nearest true point."""
    predicted_of: Int64[Tensor, "*batch M"]
    """For each true point, the index of its nearest predicted point."""
    to_truth: Float[Tensor, "*batch N"]
    """Euclidean distances of the predicted points, in units of the points."""
    to_predicted: Float[Tensor, "*batch M"]
    """Euclidean distances of the true points."""


@dataclass(frozen=True)
class FScore:
    """In percent, per threshold."""

    f: Float[Tensor, "*batch T"]
    precision: Float[Tensor, "*batch T"]
    recall: Float[Tensor, "*batch T"]


def match(predicted: Float[Tensor, "*batch N 3"], truth: Float[Tensor, "*batch M 3"]) -> Matches:
    """Nearest neighbours in both directions. A set without points is an error. No gradient flows."""
    if predicted.shape[-2] == 0 or truth.shape[-2] == 0:
        raise ValueError(
            f"match: {predicted.shape[-2]} predicted and {truth.shape[-2]} true points; give at least one each"
        )
    predicted, truth = predicted.detach(), truth.detach()
    truth_of, predicted_of = ops.nearest_both(predicted, truth)
    return Matches(
        truth_of,
        predicted_of,
        (predicted - _rows(truth, truth_of)).norm(dim=-1),
        (truth - _rows(predicted, predicted_of)).norm(dim=-1),
    )


def match_to_itself(points: Float[Tensor, "*batch N 3"]) -> Matches:
    """Each point against all the others: what a second sampling of the same surface would give.

    For points drawn independently, a point and the N - 1 others are related as a point of a second sampling and N - 1
    points of the first, so every score of these matches has the expectation of that score between two samplings.
    """
    count = points.shape[-2]
    if count < 2:
        raise ValueError(f"match_to_itself: {count} points; give at least two")
    points = points.detach()
    two = ops.nearest(points, points, 2)
    # Of coinciding points the lowest comes first, so a point need not be its own first neighbour.
    other = torch.where(two[..., 0] == torch.arange(count, device=points.device), two[..., 1], two[..., 0])
    distance = (points - _rows(points, other)).norm(dim=-1)
    return Matches(other, other, distance, distance)


def f_score(matches: Matches, thresholds: Sequence[float], *, epsilon: float = 0.0) -> FScore:
    """Precision: share of predicted points strictly nearer to the truth than the threshold. Recall: the reverse.
    F = 2 P R / (P + R + epsilon), 0 where both are 0. In percent (Knapitsch et al. 2017; Tatarchenko et al. 2019).

    Thresholds are in units of the points. `epsilon` is in percent; some published code has 1e-8.
    """
    limits = torch.tensor(thresholds, dtype=torch.float64, device=matches.to_truth.device)
    precision = 100 * (matches.to_truth.double()[..., None, :] < limits[:, None]).double().mean(-1)
    recall = 100 * (matches.to_predicted.double()[..., None, :] < limits[:, None]).double().mean(-1)
    total = precision + recall
    f = torch.where(total > 0, 2 * precision * recall / (total + epsilon).clamp(min=1e-300), 0)
    return FScore(f, precision, recall)


def chamfer_squared(matches: Matches) -> Float[Tensor, "*batch"]:
    """Mean squared distance each way, the two means added, in squared units of the points."""
    return matches.to_truth.double().square().mean(-1) + matches.to_predicted.double().square().mean(-1)


def chamfer_plain(matches: Matches) -> Float[Tensor, "*batch"]:
    """Mean distance each way (accuracy and completeness), half their sum, in units of the points."""
    return (matches.to_truth.double().mean(-1) + matches.to_predicted.double().mean(-1)) / 2


def normal_consistency(
    matches: Matches, predicted: Float[Tensor, "*batch N 3"], truth: Float[Tensor, "*batch M 3"]
) -> Float[Tensor, "*batch"]:
    """Mean |cosine| between unit normals of nearest neighbours, both directions averaged; 0..1.

    The absolute value forgives faces turned inside out (Mescheder et al. 2019, section 4). Random directions score 1/2.
    """
    forward = (predicted * _rows(truth, matches.truth_of)).sum(-1).abs().double().mean(-1)
    backward = (truth * _rows(predicted, matches.predicted_of)).sum(-1).abs().double().mean(-1)
    return (forward + backward) / 2


def voxel_iou(predicted: Bool[Tensor, "*batch Z Y X"], truth: Bool[Tensor, "*batch Z Y X"]) -> Float[Tensor, "*batch"]:
    """Cells full in both over cells full in either, 0..1. Two empty grids agree: 1."""
    both = (predicted & truth).sum((-3, -2, -1)).double()
    either = (predicted | truth).sum((-3, -2, -1)).double()
    return torch.where(either > 0, both / either.clamp(min=1), 1)


def _rows(values: Float[Tensor, "*batch N 3"], index: Int64[Tensor, "*batch M"]) -> Float[Tensor, "*batch M 3"]:
    return torch.gather(values, -2, index[..., None].expand(*index.shape, 3))
