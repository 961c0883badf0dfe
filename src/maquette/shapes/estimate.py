"""What the neighbours of a point tell of its surface: tangent plane, normal, curvature.

N points, K neighbours. Everything comes from the covariance of a neighbourhood (Hoppe et al. 1992; Pauly et al. 2002).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette import ops
from maquette.ops.checks import FLOATS, check_shape
from maquette.shapes.points import PointCloud


@dataclass(frozen=True)
class LocalFrames:
    """Principal axes of the neighbourhood of each point."""

    variances: Float[Tensor, "*batch N 3"]
    """Eigenvalues of the covariance, ascending, in squared units of the points."""
    axes: Float[Tensor, "*batch N 3 3"]
    """Their unit vectors as columns, right-handed: the first is the normal, the last the direction of most extent."""


def local_frames(points: Float[Tensor, "*batch N 3"], neighbors: int | Int64[Tensor, "*batch N K"] = 16) -> LocalFrames:
    """Principal axes of each point's neighbours: so many nearest points, itself among them, or those named by index.

    An index of -1 is no neighbour, as `ball_query` pads. The covariance is about the neighbours' mean. The normal
    points away from the side on which most neighbours lie, hence outside where the surface is convex; the last axis
    to the side on which most lie (Tombari et al. 2010, section 3); where as many lie on both, either. Gradients flow
    to the points with the neighbours held fixed, except between axes whose variances coincide, where any turn is as
    good; of identical points the axes are arbitrary, unit and without a gradient. Points that are not finite are an
    error; no points give no frames.
    """
    index = _neighbors("local_frames", points, neighbors)
    offsets, present = _offsets(points, index)
    covariance = _covariance(offsets, present)
    variances, axes = principal_axes(covariance)
    with torch.no_grad():
        above = torch.where(present, (offsets[..., None, :] @ axes[..., None, :, :])[..., 0, :].sign(), 0).sum(-2)
        x = torch.where(above[..., 0] > 0, -1, 1)
        z = torch.where(above[..., 2] < 0, -1, 1)
        y = x * z * torch.linalg.det(axes).sign()
        signs = torch.stack([x, y.to(x.dtype), z], -1)
    return LocalFrames(variances, axes * signs[..., None, :])


def curvatures(
    points: Float[Tensor, "*batch N 3"], neighbors: int | Int64[Tensor, "*batch N K"] = 16
) -> Float[Tensor, "*batch N"]:
    """Surface variation: the least variance of a point's neighbours over their sum, 0 on a plane, at most 1/3.

    Pauly et al. 2002, eq. 4. About r²/(24 R²) in a dense neighbourhood of radius r on a sphere of radius R. Identical
    points give 0. `neighbors`, gradients and errors are those of `local_frames`.
    """
    index = _neighbors("curvatures", points, neighbors)
    variances, _ = principal_axes(_covariance(*_offsets(points, index)))
    total = variances.sum(-1)
    return torch.where(total > 0, variances[..., 0] / torch.where(total > 0, total, 1), 0)


def estimate_normals(
    cloud: PointCloud,
    neighbors: int | Int64[Tensor, "*batch N K"] = 16,
    *,
    viewpoint: Float[Tensor, "*batch 3"] | None = None,
) -> PointCloud:
    """The cloud with unit normals of the planes through its neighbourhoods, pointing outside.

    Outside is where `viewpoint` lies, from which the points were seen; without one, neighbours agree along a minimum
    spanning tree of the most parallel planes (Hoppe et al. 1992, section 3.3), grown in each connected part from the
    point farthest from its mean, whose normal points away from that. That is right for closed surfaces, and for an open
    one it is a guess. `neighbors`, gradients and errors are those of `local_frames`; signs are held fixed.
    """
    index = _neighbors("estimate_normals", cloud.points, neighbors)
    normals = local_frames(cloud.points, index).axes[..., 0]
    with torch.no_grad():
        if viewpoint is None:
            signs = outward_signs(cloud.points, normals, index)
        else:
            towards = ((viewpoint[..., None, :] - cloud.points) * normals).sum(-1)
            signs = torch.where(towards < 0, -1, 1).to(normals.dtype)
    return replace(cloud, normals=normals * signs[..., None])


def outward_signs(
    points: Float[Tensor, "*batch N 3"], normals: Float[Tensor, "*batch N 3"], neighbors: Int64[Tensor, "*batch N K"]
) -> Float[Tensor, "*batch N"]:
    """The factor, 1 or -1, that turns each normal outside, as `estimate_normals` tells."""
    n = points.shape[-2]
    if points.numel() == 0:
        return points[..., 0]
    signs = np.ones((points.shape[:-2].numel(), n))
    clouds = (
        t.detach().cpu().reshape(len(signs), n, -1).numpy() for t in (points.double(), normals.double(), neighbors)
    )
    for b, (cloud, vectors, near) in enumerate(zip(*clouds, strict=True)):
        signs[b] = _agree(cloud, vectors, near)
    return torch.from_numpy(signs).reshape(points.shape[:-1]).to(normals)


def _agree(points: np.ndarray, normals: np.ndarray, neighbors: np.ndarray) -> np.ndarray:
    """`outward_signs` of one cloud: the parity of disagreements on the way to the root of its tree."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

    n = len(points)
    a, b = np.repeat(np.arange(n), neighbors.shape[1]), neighbors.reshape(-1)
    a, b = a[(b >= 0) & (b != a)], b[(b >= 0) & (b != a)]
    # One edge a pair (a sparse matrix adds up repeated ones), and never of cost 0, which is read as no edge.
    a, b = np.unique(np.sort(np.stack([a, b]), axis=0), axis=1)
    cost = 1 + 1e-6 - np.abs((normals[a] * normals[b]).sum(-1)).clip(max=1)
    tree = minimum_spanning_tree(coo_array((cost, (a, b)), shape=(n, n)).tocsr())

    parts, part = connected_components(tree, directed=False)
    sizes = np.bincount(part, minlength=parts)
    means = np.stack([np.bincount(part, points[:, i], parts) for i in range(3)], -1) / sizes[:, None]
    outward = points - means[part]
    far = (outward * outward).sum(-1)
    ranked = np.lexsort((np.arange(n), -far, part))
    seeds = ranked[np.cumsum(sizes) - sizes]  # of each part the farthest, and of equals the first

    # A root above the seeds makes one tree of all parts.
    rows, columns = tree.nonzero()
    rows, columns = np.concatenate([rows, np.full(parts, n)]), np.concatenate([columns, seeds])
    forest = coo_array((np.ones(len(rows)), (rows, columns)), shape=(n + 1, n + 1)).tocsr()
    _, parent = breadth_first_order(forest, n, directed=False)
    parent[n] = n
    agreement = np.ones(n + 1)
    inner = np.flatnonzero(parent[:n] < n)
    agreement[inner] = np.where((normals[inner] * normals[parent[inner]]).sum(-1) < 0, -1, 1)
    agreement[seeds] = np.where((normals[seeds] * outward[seeds]).sum(-1) < 0, -1, 1)
    while (parent != n).any():  # each turn doubles the way that is summed up
        agreement, parent = agreement * agreement[parent], parent[parent]
    return agreement[:n]


def principal_axes(
    covariance: Float[Tensor, "*batch 3 3"],
) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch 3 3"]]:
    """Eigenvalues, ascending and at least 0, and eigenvectors as columns, of symmetric matrices.

    The gradient is that of perturbation theory, v_i' = sum over j of v_j (v_jᵀ C' v_i) / (l_i - l_j), without the terms
    of eigenvalues that coincide: `torch.linalg.eigh` would give NaN there.
    """
    matrix = covariance.detach()
    values, vectors = torch.linalg.eigh(matrix)
    if not covariance.requires_grad:
        return values.clamp(min=0), vectors
    change = vectors.mT @ (covariance - matrix) @ vectors
    gap = values[..., None, :] - values[..., :, None]
    apart = gap.abs() > 8 * torch.finfo(values.dtype).eps * values.abs().amax(-1)[..., None, None]
    mixing = torch.where(apart, change / torch.where(apart, gap, 1), 0)
    moved = values + change.diagonal(dim1=-2, dim2=-1)
    return moved.clamp(min=0), vectors + vectors @ mixing


def _neighbors(function: str, points: Tensor, neighbors: int | Tensor) -> Tensor:
    """Indices of the neighbours, checked, or found."""
    check_shape(function, "points", points, "*batch N 3")
    if points.dtype not in FLOATS:
        raise ValueError(f"{function}: points are {points.dtype}; make them float32 or float64")
    finite = points.isfinite().all(-1)
    if not bool(finite.all()):
        raise ValueError(f"{function}: {int((~finite).sum())} of {finite.numel()} points are not finite; drop them")
    n = points.shape[-2]
    if isinstance(neighbors, Tensor):
        if neighbors.dtype != torch.int64 or neighbors.shape[:-1] != points.shape[:-1]:
            raise ValueError(
                f"{function}: neighbors are {neighbors.dtype} {tuple(neighbors.shape)}; give int64 "
                f"{tuple(points.shape[:-1])} and as many neighbours as there are"
            )
        if bool((neighbors >= n).any()) or bool((neighbors < -1).any()):
            raise ValueError(f"{function}: neighbors name points outside 0..{n - 1}; -1 alone stands for none")
        return neighbors
    if n == 0:
        return torch.empty(*points.shape[:-1], 0, dtype=torch.int64, device=points.device)
    if not 1 <= neighbors <= n:
        raise ValueError(f"{function}: {neighbors} neighbors of {n} points; choose 1 <= neighbors <= points")
    return ops.nearest(points, points, neighbors)


def _offsets(points: Tensor, index: Tensor) -> tuple[Float[Tensor, "*batch N K 3"], Tensor]:
    """From each point to its neighbours, and which of them there are ("*batch N K 1")."""
    n, k = index.shape[-2:]
    flat = index.reshape(math.prod(index.shape[:-2]), n * k).clamp(min=0)
    flat = flat + n * torch.arange(len(flat), device=flat.device)[:, None]
    near = points.reshape(-1, 3).index_select(0, flat.reshape(-1)).reshape(*index.shape, 3)
    return near - points[..., None, :], (index >= 0)[..., None]


def _covariance(offsets: Tensor, present: Tensor) -> Float[Tensor, "*batch N 3 3"]:
    count = present.sum(-2).clamp(min=1)
    offsets = torch.where(present, offsets, 0)
    centred = torch.where(present, offsets - (offsets.sum(-2) / count)[..., None, :], 0)
    return centred.mT @ centred / count[..., None]
