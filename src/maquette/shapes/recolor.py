"""Colours by position: a gradient of two colours along an axis."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.shapes.mesh import Mesh, VertexColors
from maquette.shapes.points import PointCloud
from maquette.shapes.verbs import Shape, not_a_shape, to_mesh
from maquette.shapes.voxels import Voxels

AXES = {"x": 0, "y": 1, "z": 2}
Rgb = tuple[float, float, float]


def recolored(shape: Shape, axis: str, *, low: Rgb, high: Rgb) -> Mesh | PointCloud:
    """The shape with colours from `low` at its smallest coordinate along 'x', 'y' or 'z' to `high` at its largest.

    Colours (sRGB 0..1) are mixed linearly in sRGB at vertices or points; what has no extent along the axis is `low`.
    Voxels become their surface. A mesh's faces interpolate, which is exact for a gradient that is linear in position.
    """
    if axis not in AXES:
        raise ValueError(f"recolored: axis is {axis!r}; give 'x', 'y' or 'z'")
    match shape:
        case Mesh(vertices):
            return shape.with_appearance(VertexColors(_gradient(vertices[..., AXES[axis]], low, high)))
        case PointCloud(points):
            return replace(shape, colors=_gradient(points[..., AXES[axis]], low, high))
        case Voxels():
            return recolored(to_mesh(shape), axis, low=low, high=high)
        case _:
            raise not_a_shape("recolored", shape)


def _gradient(along: Float[Tensor, "*batch N"], low: Rgb, high: Rgb) -> Float[Tensor, "*batch N 3"]:
    if along.shape[-1] == 0:
        return along.new_zeros(*along.shape, 3)
    begin, end = along.amin(-1, keepdim=True), along.amax(-1, keepdim=True)
    extent = torch.where(end > begin, end - begin, torch.ones_like(end))
    share = ((along - begin) / extent)[..., None]
    return share * along.new_tensor(high) + (1 - share) * along.new_tensor(low)
