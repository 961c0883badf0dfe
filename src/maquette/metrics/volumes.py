"""Intersection over union of solids: of two grids of cells, and of anything that knows its inside, at given places."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import transforms
from maquette.metrics.protocol import VolumeIou
from maquette.metrics.scores import voxel_iou
from maquette.metrics.surfaces import LEVEL, Target
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, cell_centers, is_inside
from maquette.shapes.columns import is_closed
from maquette.shapes.components import weld


def contains(solid: Shape, points: Float[Tensor, "N 3"]) -> Bool[Tensor, " N"] | None:
    """Which points lie in a solid; None for what has no inside: a cloud, or a mesh with holes.

    A closed mesh has its inside where the winding number is beyond one half; voxels where the cell that holds the point
    is full. Nothing lies outside of the grid.
    """
    match solid:
        case Mesh(vertices, faces, _):
            joined = weld(Mesh(vertices, faces))
            return is_inside(joined, points) if is_closed(joined.faces) else None
        case PointCloud():
            return None
        case Voxels(occupancy, world_from_grid):
            grid_from_world = torch.linalg.inv(world_from_grid.double()).to(points)
            sizes = torch.tensor(occupancy.shape[::-1], device=points.device)
            cells = ((transforms.apply(grid_from_world, points) + 0.5) * sizes).floor().long()
            held = ((cells >= 0) & (cells < sizes)).all(-1)
            x, y, z = torch.where(held[:, None], cells, 0).unbind(-1)
            return held & (occupancy[z, y, x] > LEVEL)


def iou_of_cells(predicted: Shape, truth: Bool[Tensor, "Z Y X"]) -> float | None:
    """With the truth's cells, which fill the cube [-0.5, 0.5]^3; None for what has no inside.

    A closed mesh has the cells whose middles it holds. Truth's cells are full where its surface touches them, so that
    even a perfect mesh has less than 1. Grids of unequal cells are compared at the middles of the finer one's: where
    each of those lies in one cell of the other (64 and 32), that is the share of volumes.
    """
    fine = len(truth)
    if isinstance(predicted, Voxels):
        if torch.equal(predicted.world_from_grid.cpu(), torch.eye(4)) and predicted.occupancy.shape == truth.shape:
            return float(voxel_iou(predicted.occupancy > LEVEL, truth))
        fine = max(fine, *predicted.occupancy.shape)
    middles = cell_centers(fine, device=truth.device).reshape(-1, 3)
    ours = contains(predicted, middles)
    theirs = contains(Voxels(truth.float(), torch.eye(4, device=truth.device)), middles)
    assert theirs is not None
    return None if ours is None else float(iou(ours, theirs))


def iou(predicted: Bool[Tensor, " N"], truth: Bool[Tensor, " N"]) -> Float[Tensor, ""]:
    """Places in both over places in either; 1 where there are none of either."""
    both, either = (predicted & truth).sum().double(), (predicted | truth).sum().double()
    return torch.where(either > 0, both / either.clamp(min=1), 1)


def volume_iou(
    rule: VolumeIou, predicted: Shape, target: Target, generator: torch.Generator
) -> tuple[float, int] | None:
    """The IoU at places strewn evenly over the truth's cube, and at how many; None where either side has no inside.

    Where the truth knows inside from outside at places of its own, those in the cube are taken; else places are drawn
    and looked up in its cells, which make a solid up to a cell thicker.
    """
    low, high = target.points.amin(0), target.points.amax(0)
    half = float((high - low).max()) * (1 + rule.padding) / 2
    middle = (low + high) / 2
    if target.places is not None and target.inside is not None:
        near = ((target.places - middle).abs() <= half).all(-1)
        places, truth = target.places[near][: rule.places], target.inside[near][: rule.places]
    elif target.voxels is not None:
        drawn = torch.rand(rule.places, 3, generator=generator)
        places = (middle + half * (2 * drawn - 1)).to(target.points)
        cells = contains(Voxels(target.voxels.to(places), torch.eye(4).to(places)), places)
        assert cells is not None
        truth = cells
    else:
        return None
    ours = contains(predicted, places) if len(places) else None
    return None if ours is None else (float(iou(ours, truth)), len(places))
