"""Losses between point sets. N and M points; nothing depends on N = M, nor on the size of the batch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette import ops


def squared_distances(
    queries: Float[Tensor, "*batch N 3"], points: Float[Tensor, "*batch M 3"]
) -> Float[Tensor, "*batch N"]:
    """Squared distance from each query to its nearest point, in squared units of the points.

    The match is held fixed: gradients flow to the query and to the point it found.
    """
    return _squared(queries, points, ops.nearest(queries, points)[..., 0])


def _squared(
    queries: Float[Tensor, "*batch N 3"], points: Float[Tensor, "*batch M 3"], match: Int[Tensor, "*batch N"]
) -> Float[Tensor, "*batch N"]:
    """Squared distances to the points matched."""
    return (queries - matched(points, match)).square().sum(-1)


def matched(values: Float[Tensor, "*batch M 3"], match: Int[Tensor, "*batch N"]) -> Float[Tensor, "*batch N 3"]:
    """The rows that an index found, which is held fixed; gradients flow to the values."""
    index = match.reshape(-1, match.shape[-1])
    # One flat index_select: its backward on a CPU is far quicker than that of indexing or of an expanded gather.
    index = index + values.shape[-2] * torch.arange(len(index), device=index.device)[:, None]
    return values.reshape(-1, 3).index_select(0, index.reshape(-1)).reshape(*match.shape, 3)


def chamfer(a: Float[Tensor, "*batch N 3"], b: Float[Tensor, "*batch M 3"]) -> Float[Tensor, "*batch"]:
    """Symmetric mean squared distance between point sets, in squared units of the points.

    Each direction averages |p - nearest(p)|^2; the two means are added (Fan et al. 2017, section 4.1, as means instead
    of sums, so that the number of points does not scale it). The match is held fixed: gradients flow through the
    distances only. A set without points is an error.
    """
    if a.shape[-2] == 0 or b.shape[-2] == 0:
        raise ValueError(f"chamfer: the sets have {a.shape[-2]} and {b.shape[-2]} points; give at least one each")
    b_of_a, a_of_b = ops.nearest_both(a, b)
    return _squared(a, b, b_of_a).mean(-1) + _squared(b, a, a_of_b).mean(-1)


def chamfer_plain(a: Float[Tensor, "*batch N 3"], b: Float[Tensor, "*batch M 3"]) -> Float[Tensor, "*batch"]:
    """Half the sum of both mean distances between point sets, in units of the points: accuracy and completeness.

    Not squared, so that a few far points do not decide: as a loss it gives higher F-scores at small thresholds than
    `chamfer`. The match is held fixed; where two points coincide, the distance has no gradient. A set without points is
    an error.
    """
    if a.shape[-2] == 0 or b.shape[-2] == 0:
        raise ValueError(f"chamfer_plain: the sets have {a.shape[-2]} and {b.shape[-2]} points; give at least one each")
    b_of_a, a_of_b = ops.nearest_both(a, b)
    return (_distance(_squared(a, b, b_of_a)).mean(-1) + _distance(_squared(b, a, a_of_b)).mean(-1)) / 2


def _distance(squared: Float[Tensor, "*some"]) -> Float[Tensor, "*some"]:
    """The root, with a gradient of 0 at 0."""
    apart = squared.detach() > 0
    return torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)


def chamfer_normal(
    a: Float[Tensor, "*batch N 3"],
    b: Float[Tensor, "*batch M 3"],
    *,
    normals_a: Float[Tensor, "*batch N 3"],
    normals_b: Float[Tensor, "*batch M 3"],
) -> Float[Tensor, "*batch"]:
    """Mean of 1 - |cos| between the normals of nearest points, each way, the two means added; 0..2.

    As the second value of PyTorch3D's chamfer_distance; the absolute value forgives normals that point inside. The
    points only decide what is nearest: gradients flow to the normals, which need no length of 1. A normal without
    length agrees with nothing and has no gradient. A set without points is an error.
    """
    if a.shape[-2] == 0 or b.shape[-2] == 0:
        raise ValueError(
            f"chamfer_normal: the sets have {a.shape[-2]} and {b.shape[-2]} points; give at least one each"
        )
    if normals_a.shape != a.shape or normals_b.shape != b.shape:
        raise ValueError(
            f"chamfer_normal: points {tuple(a.shape)} and {tuple(b.shape)}, normals {tuple(normals_a.shape)} and "
            f"{tuple(normals_b.shape)}; give one normal for each point"
        )
    b_of_a, a_of_b = ops.nearest_both(a, b)
    units_a, units_b = unit_or_zero(normals_a), unit_or_zero(normals_b)
    forward, backward = units_a * matched(units_b, b_of_a), units_b * matched(units_a, a_of_b)
    return (1 - forward.sum(-1).abs()).mean(-1) + (1 - backward.sum(-1).abs()).mean(-1)


def unit_or_zero(vectors: Float[Tensor, "*some 3"]) -> Float[Tensor, "*some 3"]:
    """Vectors at length 1; one without length stays zero, with a gradient of zero. Lengths may be of any scale."""
    with torch.no_grad():
        largest = vectors.abs().amax(-1, keepdim=True)
        scale = torch.where(largest > 0, largest, 1.0).reciprocal()
        # The smallest numbers have no reciprocal in their type; they count as zero.
        scale = torch.where(scale.isfinite(), scale, 0.0)
    scaled = vectors * scale
    squared = scaled.square().sum(-1, keepdim=True)
    usable = squared > 0
    return scaled * (torch.where(usable, squared, 1.0).rsqrt() * usable)
