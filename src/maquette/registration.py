"""Laying one cloud over another: the best rotation, translation and scale of matched points, and of unmatched ones.

N source points, M target points. A transform takes the source's frame to the target's.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maquette import ops, transforms
from maquette.ops.checks import check_batch, check_shape


@dataclass(frozen=True)
class Similarity:
    """x -> scale rotation x + translation, from the source's frame to the target's."""

    rotation: Float[Tensor, "*batch 3 3"]
    """Proper: its determinant is 1."""
    translation: Float[Tensor, "*batch 3"]
    scale: Float[Tensor, "*batch"]

    def matrix(self) -> Float[Tensor, "*batch 4 4"]:
        """`target_from_source`, as `transform` and `transforms.apply` take it."""
        return transforms.rigid(self.scale[..., None, None] * self.rotation, self.translation)

    def apply(self, points: Float[Tensor, "*batch N 3"]) -> Float[Tensor, "*batch N 3"]:
        """The points in the target's frame."""
        return self.scale[..., None, None] * (points @ self.rotation.mT) + self.translation[..., None, :]


Solve = Callable[[Float[Tensor, "*batch N 3"], Float[Tensor, "*batch N 3"]], Similarity]
"""The best transform of matched points: `kabsch` or `umeyama`."""


def umeyama(
    source: Float[Tensor, "*batch N 3"],
    target: Float[Tensor, "*batch N 3"],
    *,
    weights: Float[Tensor, "*batch N"] | None = None,
) -> Similarity:
    """The similarity that takes each source point nearest to its target, in the (weighted) least squares.

    Umeyama 1991, eq. 40-43, which never answers with a mirror image. Differentiable, also where singular values
    coincide (the gradient is that of the rotation, not of the singular vectors); a turn that the points do not decide,
    as that about their common line, has no gradient. Source points that are all the same have scale 1. A point of
    weight 0 may hold anything; weights that are all 0 give the identity.
    """
    return _solve("umeyama", source, target, weights, with_scale)


def kabsch(
    source: Float[Tensor, "*batch N 3"],
    target: Float[Tensor, "*batch N 3"],
    *,
    weights: Float[Tensor, "*batch N"] | None = None,
) -> Similarity:
    """`umeyama` at scale 1: the rigid motion of least squares (Kabsch 1976)."""
    return _solve("kabsch", source, target, weights, at_scale_one)


def with_scale(variance: Float[Tensor, "*batch"], agreement: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Umeyama's eq. 42; 1 where the source has no extent."""
    extended = variance > 0
    return torch.where(extended, agreement / torch.where(extended, variance, 1), 1)


def at_scale_one(variance: Float[Tensor, "*batch"], agreement: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Rigid."""
    return torch.ones_like(variance)


def _solve(
    function: str, source: Tensor, target: Tensor, weights: Tensor | None, scale_of: Callable[[Tensor, Tensor], Tensor]
) -> Similarity:
    _check(function, source, target)
    if source.shape != target.shape:
        raise ValueError(
            f"{function}: source is {tuple(source.shape)} and target {tuple(target.shape)}; give each point its match"
        )
    if weights is None:
        weights = torch.ones_like(source[..., 0])
    elif weights.shape != source.shape[:-1] or weights.dtype != source.dtype:
        raise ValueError(
            f"{function}: weights are {weights.dtype} {tuple(weights.shape)}; give {source.dtype} "
            f"{tuple(source.shape[:-1])}, one a point"
        )
    if not bool((weights >= 0).all()) or not bool(weights.isfinite().all()):
        raise ValueError(f"{function}: weights must be finite and at least 0; the least is {float(weights.min())}")
    counted = (weights > 0)[..., None]
    source, target = torch.where(counted, source, 0), torch.where(counted, target, 0)
    _check_finite(function, source, target)

    total = weights.sum(-1, keepdim=True)
    share = (weights / torch.where(total > 0, total, 1))[..., None]
    source_mean, target_mean = (share * source).sum(-2), (share * target).sum(-2)
    a, b = source - source_mean[..., None, :], target - target_mean[..., None, :]
    covariance = b.mT @ (share * a)
    rotation = nearest_rotation(covariance)
    # The rotation is where trace(Rᵀ C) is greatest, so that its change is of second order there.
    agreement = (rotation.detach() * covariance).sum((-1, -2))
    scale = scale_of((share * a.square()).sum((-1, -2)), agreement)
    translation = target_mean - scale[..., None] * (rotation @ source_mean[..., None])[..., 0]
    return Similarity(rotation, translation, scale)


def nearest_rotation(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation R with the greatest trace(Rᵀ matrix): Umeyama's eq. 40 and 43. Never a reflection.

    With matrix = U D Vᵀ and S = diag(1, 1, ±1), R = U S Vᵀ. A change dM turns R by R V W Vᵀ, where the antisymmetric
    W_ij = (Y_ij - Y_ji) / (s_i d_i + s_j d_j) and Y = Vᵀ Rᵀ dM V: coinciding singular values do no harm. The gradient
    is 0 about an axis for which the divisor is 0, where any turn is as good.
    """
    u, d, vt = torch.linalg.svd(matrix.detach())
    sign = torch.ones_like(d)
    sign[..., 2] = torch.where(torch.linalg.det(u) * torch.linalg.det(vt) < 0, -1, 1)
    rotation = (u * sign[..., None, :]) @ vt
    if not matrix.requires_grad:
        return rotation
    stretch = sign * d
    divisor = stretch[..., :, None] + stretch[..., None, :]
    decided = divisor > 8 * torch.finfo(d.dtype).eps * d[..., :1, None]
    y = vt @ rotation.mT @ (matrix - matrix.detach()) @ vt.mT
    turn = torch.where(decided, (y - y.mT) / torch.where(decided, divisor, 1), 0)
    return rotation + rotation @ vt.mT @ turn @ vt


@dataclass(frozen=True)
class IcpStep:
    """Where iterative closest points stands."""

    index: int
    transform: Similarity
    matches: Int64[Tensor, "*batch N"]
    """The target point nearest to each source point under `transform`."""
    rmse: Float[Tensor, "*batch"]
    """Root mean squared distance between those pairs, in units of the target, without a gradient. It never grows from
    step to step."""


@dataclass(frozen=True)
class IcpResult:
    """What iterative closest points ended with."""

    transform: Similarity
    matches: Int64[Tensor, "*batch N"]
    """The target point nearest to each source point under `transform`."""
    rmse: Float[Tensor, "*batch"]
    """Root mean squared distance between those pairs, in units of the target."""
    converged: Bool[Tensor, "*batch"]
    """Whether the last step changed the error by no more than the tolerance."""
    history: Float[Tensor, "T *batch"]
    """`rmse` of every step from the start on; a cloud that has converged repeats its last."""


def icp_steps(
    source: Float[Tensor, "*batch N 3"],
    target: Float[Tensor, "*batch M 3"],
    *,
    start: Similarity | None = None,
    solve: Solve = kabsch,
) -> Iterator[IcpStep]:
    """Iterative closest points, point to point (Besl & McKay 1992), step by step and without an end.

    Each step matches every source point to the nearest target point under the transform so far, is yielded, and solves
    for the transform of those matches. `start` is the identity unless given; `solve=umeyama` finds the scale as well
    (which shrinks to fit when the clouds hardly overlap). Matches are held fixed: a transform's gradient is that of the
    last solve.
    """
    _check("icp", source, target)
    _check_finite("icp", source, target)
    transform = identity_like(source) if start is None else start
    index = 0
    while True:
        moved = transform.apply(source)
        matches = ops.nearest(moved, target)[..., 0]
        found = torch.gather(target, -2, matches[..., None].expand(*matches.shape, 3))
        yield IcpStep(index, transform, matches, (moved - found).detach().square().sum(-1).mean(-1).sqrt())
        transform = solve(source, found)
        index += 1


def icp(
    source: Float[Tensor, "*batch N 3"],
    target: Float[Tensor, "*batch M 3"],
    *,
    start: Similarity | None = None,
    solve: Solve = kabsch,
    steps: int = 100,
    tolerance: float = 1e-6,
) -> IcpResult:
    """`icp_steps` until the error of each cloud changes by at most `tolerance` of itself, or `steps` were done.

    Clouds of a batch stop one by one: each ends as it would alone. The result has no gradient; for one, solve once more
    on the matches.
    """
    if steps < 1:
        raise ValueError(f"icp: steps is {steps}; give at least 1")
    with torch.no_grad():
        walk = icp_steps(source, target, start=start, solve=solve)
        last = next(walk)
        history, converged = [last.rmse], last.rmse == 0
        while not bool(converged.all()) and len(history) <= steps:
            step = next(walk)
            last = _chosen(converged, last, step)
            history.append(last.rmse)
            converged = converged | (history[-2] - last.rmse <= tolerance * history[-2])
    return IcpResult(last.transform, last.matches, last.rmse, converged, torch.stack(history))


def _chosen(stays: Bool[Tensor, "*batch"], before: IcpStep, after: IcpStep) -> IcpStep:
    """`before` of the clouds that stay, `after` of the others."""
    a, b = before.transform, after.transform
    transform = Similarity(
        torch.where(stays[..., None, None], a.rotation, b.rotation),
        torch.where(stays[..., None], a.translation, b.translation),
        torch.where(stays, a.scale, b.scale),
    )
    matches = torch.where(stays[..., None], before.matches, after.matches)
    return IcpStep(after.index, transform, matches, torch.where(stays, before.rmse, after.rmse))


def identity_like(points: Float[Tensor, "*batch N 3"]) -> Similarity:
    """The transform that changes nothing, of the batch, type and device of the points."""
    batch = points.shape[:-2]
    eye = torch.eye(3, dtype=points.dtype, device=points.device).expand(*batch, 3, 3)
    return Similarity(eye, points.new_zeros(*batch, 3), points.new_ones(batch))


def _check(function: str, source: Tensor, target: Tensor) -> None:
    check_shape(function, "source", source, "*batch N 3")
    check_shape(function, "target", target, "*batch M 3")
    check_batch(function, source, target)
    if source.shape[-2] == 0 or target.shape[-2] == 0:
        raise ValueError(
            f"{function}: source has {source.shape[-2]} points and target {target.shape[-2]}; give at least one each"
        )
    if source.dtype != target.dtype or source.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"{function}: source is {source.dtype} and target {target.dtype}; make both float32 or both float64"
        )
    if source.device != target.device:
        raise ValueError(f"{function}: source is on {source.device} and target on {target.device}; move one")


def _check_finite(function: str, source: Tensor, target: Tensor) -> None:
    for name, points in (("source", source), ("target", target)):
        finite = points.isfinite().all(-1)
        if not bool(finite.all()):
            raise ValueError(
                f"{function}: {int((~finite).sum())} of {finite.numel()} {name} points are not finite; drop them"
            )
