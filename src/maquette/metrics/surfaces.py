"""The points that stand for a surface: drawn from predictions of every kind, and from the truth. N points."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import ops
from maquette.metrics.protocol import Protocol
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, face_areas, sample, to_mesh

LEVEL = 0.5
"""A cell is full where its occupancy is above."""


@dataclass(frozen=True)
class Target:
    """The true solid that a prediction is compared with."""

    points: Float[Tensor, "N 3"]
    """Drawn independently, uniform by area, from the outer surface."""
    normals: Float[Tensor, "N 3"] | None
    """Unit vectors to the outside; None where the data has none: then normals are not compared."""
    voxels: Bool[Tensor, "Z Y X"] | None = None
    """Full cells of the cube [-0.5, 0.5]^3 of the same frame."""
    places: Float[Tensor, "Q 3"] | None = None
    """Strewn evenly over that cube and a little beyond."""
    inside: Bool[Tensor, " Q"] | None = None
    """Which places lie in the solid."""


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


def surface_of(protocol: Protocol, predicted: Shape) -> Mesh | PointCloud:
    """What a protocol takes for the surface of a prediction that is no failure; it may have no faces.

    `closed`: marching cubes at 0.5 through the cells' middles, closed at the box. The course takes the plain grid, open
    where the solid meets the box. In 2025 it reads vertices in array order, Z Y X, as x y z, and turns them by pi about
    y. In 2022 axes were exchanged before. Both take index / cells - 0.5, so a cell's middle lies where its corner is.
    """
    match predicted:
        case Mesh() | PointCloud():
            return predicted
        case Voxels(occupancy):
            if protocol.grids == "closed":
                return to_mesh(predicted)
            vertices, faces = ops.isosurface(occupancy, LEVEL)
            placed = vertices / occupancy.shape[0] - 0.5
            if protocol.grids == "course 2022":
                return Mesh(placed, faces)
            return Mesh(placed.flip(-1) * torch.tensor([-1.0, 1.0, -1.0]).to(placed), faces)


def drawn_from(protocol: Protocol, surface: Mesh | PointCloud, generator: torch.Generator) -> PointCloud:
    """The points of a prediction."""
    match surface:
        case PointCloud() if protocol.clouds == "as they are" or protocol.drawn == "all vertices":
            return surface
        case Mesh(vertices, faces) if protocol.drawn != "by area":
            used = PointCloud(vertices[faces.reshape(-1).unique()])
            return used if protocol.drawn == "all vertices" else sample(used, protocol.points, generator=generator)
        case _:
            return sample(surface, protocol.points, generator=generator)


def true_points(target: Target, count: int, generator: torch.Generator) -> PointCloud:
    """`count` of the truth's points without repetition, or all of them where it has fewer."""
    held = PointCloud(target.points, normals=target.normals)
    if len(target.points) <= count:
        return held
    return sample(held, count, generator=generator)


def asked_of_truth(protocol: Protocol, surface: Mesh | PointCloud) -> int:
    """How many true points a prediction is compared with: of a cloud that is taken as it is, as many as it has."""
    if isinstance(surface, PointCloud) and protocol.clouds == "as they are":
        return surface.points.shape[-2]
    return protocol.of_truth


def centred(cloud: PointCloud) -> PointCloud:
    """About its own mean."""
    return PointCloud(cloud.points - cloud.points.mean(-2, keepdim=True))
