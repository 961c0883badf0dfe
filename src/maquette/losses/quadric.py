"""How far points lie off the planes of a target's faces: a loss that keeps edges and corners sharp.

Agarwal, Yoon & Gopi 2019, "Learning Embedding of 3D Models with Quadric Loss". V target vertices, F faces, N points.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import ops
from maquette.losses.points import matched
from maquette.shapes.laplacian import flat_sine
from maquette.shapes.mesh import Mesh

Weighting = Literal["faces", "area"]
"""What a face counts: 1, as in the paper; or its area over the mean area of the target's faces that have one."""
Reduction = Literal["sum", "mean"]
"""Over the target's vertices: their sum, as in the paper, grows with their number; the mean does not."""

APART = 16.0
"""Points and target whose boxes differ more than this in size, or lie farther apart, are not in one frame."""


@dataclass(frozen=True)
class Quadrics:
    """The planes of the faces at each target vertex; made by `quadrics`.

    All of a vertex's planes pass through it, so [s, 1] Q [s, 1]^T is (s - v)^T A (s - v), with A the upper left 3 x 3
    of Q: the same number without the cancellation, and never negative.
    """

    vertices: Float[Tensor, "*batch V 3"]
    """v, in the frame of the target."""
    normals: Float[Tensor, "*batch V 3 3"]
    """A: the sum over a vertex's faces of weight n n^T, n the unit normal."""

    def matrices(self) -> Float[Tensor, "*batch V 4 4"]:
        """Q: the sum over a vertex's faces of weight (n, d)(n, d)^T, with n.x + d = 0 the plane (section 3.1)."""
        moved = self.normals @ self.vertices[..., None]
        corner = self.vertices[..., None, :] @ moved
        return torch.cat([torch.cat([self.normals, -moved], -1), torch.cat([-moved.mT, corner], -1)], -2)


def quadrics(target: Mesh, *, weighting: Weighting = "faces") -> Quadrics:
    """The quadrics of every vertex of the target, detached; a loop finds them once.

    Faces without area add nothing; a vertex without faces has none and costs nothing. Vertices in one place that seams
    hold apart know only the faces of their own side: `weld` the target first.
    """
    if weighting not in ("faces", "area"):
        raise ValueError(f"quadrics: weighting is {weighting!r}; one of 'faces', 'area'")
    vertices, faces = target.vertices.detach(), target.faces.long()
    if len(faces) and not 0 <= int(faces.min()) <= int(faces.max()) < vertices.shape[-2]:
        raise ValueError(
            f"quadrics: faces use vertices {int(faces.min())} to {int(faces.max())}, "
            f"but there are {vertices.shape[-2]} of them"
        )
    a, b, c = (vertices.index_select(-2, corner) for corner in faces.unbind(1))
    ab, ac = b - a, c - a
    # A normal knows no scale: with sides of about 1, products of four lengths stay in the range of float32.
    longest = torch.maximum(ab.square().sum(-1), ac.square().sum(-1))[..., None]
    scale = torch.where(longest > 0, longest, 1.0).rsqrt()
    vectors = torch.linalg.cross(ab * scale, ac * scale)
    lengths = vectors.norm(dim=-1, keepdim=True)
    usable = lengths > flat_sine(lengths.dtype)
    normals = vectors / torch.where(usable, lengths, 1.0) * usable
    planes = normals[..., :, None] * normals[..., None, :]
    if weighting == "area":
        largest = longest.amax(-2, keepdim=True) if len(faces) else longest
        areas = lengths * (longest / torch.where(largest > 0, largest, 1.0)) * usable
        mean = areas.sum(-2, keepdim=True) / usable.sum(-2, keepdim=True).clamp(min=1)
        planes = planes * (areas / torch.where(mean > 0, mean, 1.0))[..., None]
    total = vertices.new_zeros(*vertices.shape, 3)
    for corner in faces.unbind(1):
        total = total.index_add(-3, corner, planes)
    return Quadrics(vertices, total)


def quadric_loss(
    points: Float[Tensor, "*batch N 3"], target: Quadrics, *, reduction: Reduction
) -> Float[Tensor, "*batch"]:
    """Squared distances of the points nearest to the target's vertices from the planes there, in squared units.

    For each target vertex, s is the point nearest to it, and costs [s, 1] Q [s, 1]^T, the sum over the vertex's faces
    of the squared distance of s from the face's plane; `reduction` is over the target's vertices. The match is held
    fixed: gradients flow to the points. Along a plane s moves freely, so another loss must attract it. A target
    without vertices gives 0; no points are an error, and so are points that are not in the target's frame: whose
    bounding box is 16 times as large or small, or as far away.
    """
    if reduction not in ("sum", "mean"):
        raise ValueError(f"quadric_loss: reduction is {reduction!r}; one of 'sum', 'mean'")
    if points.shape[-2] == 0:
        raise ValueError("quadric_loss: there are no points; give at least one")
    count = target.vertices.shape[-2]
    if count == 0:
        return points.sum((-2, -1)) * 0
    if target.vertices.ndim > 2 and target.vertices.shape[:-2] != points.shape[:-2]:
        raise ValueError(
            f"quadric_loss: points have shape {tuple(points.shape)}, target vertices {tuple(target.vertices.shape)}; "
            "give the same leading axes, or one target for all"
        )
    if are_apart(points.detach(), target):
        (ours, middle), (theirs, other) = (_box(cloud.reshape(-1, 3)) for cloud in (points.detach(), target.vertices))
        raise ValueError(
            f"quadric_loss: the points' box has diagonal {float(ours):.4g}, the target's {float(theirs):.4g}, "
            f"their middles are {float((middle - other).norm()):.4g} apart; "
            "take the quadrics of the target in the frame of the points"
        )
    vertices = target.vertices.expand(*points.shape[:-2], count, 3)
    offset = matched(points, ops.nearest(vertices, points)[..., 0]) - vertices
    squared = (offset * (target.normals @ offset[..., None])[..., 0]).sum(-1)
    return squared.sum(-1) if reduction == "sum" else squared.mean(-1)


def are_apart(points: Float[Tensor, "*batch N 3"], target: Quadrics) -> bool:
    """Whether some points and the target differ by far in size or place. Values that are not finite do not."""
    ours, middle = _box(points)
    theirs, other = _box(target.vertices)
    wrong = (middle - other).norm(dim=-1) > APART * torch.maximum(ours, theirs)
    if points.shape[-2] > 1:
        wrong = wrong | (ours * APART < theirs)
    if target.vertices.shape[-2] > 1:
        wrong = wrong | (ours > theirs * APART)
    return bool(wrong.any())


def _box(points: Float[Tensor, "*batch N 3"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch 3"]]:
    """Diagonal and middle of the bounds."""
    low, high = points.amin(-2), points.amax(-2)
    return (high - low).norm(dim=-1), (low + high) / 2
