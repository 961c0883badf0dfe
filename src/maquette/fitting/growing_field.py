"""A signed distance on a grid under an optimiser: its values and offsets, its surface, and how the grid becomes finer.

N corners, V vertices.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.fitting import descent
from maquette.fitting.optimizers import swap_parameter
from maquette.shapes import Mesh, TetrahedralGrid, crossed_tetrahedra, grid_points, isosurface_of

HALF = 1.1
"""Half the side of the grid's cube, in the frame of fitting: a target of half-side 1 leaves room around it."""
FREEDOM = 0.28
"""How far a corner may leave its place, in spacings: less than half the least width of a tetrahedron, 1 / sqrt(12)."""


@dataclass(frozen=True)
class Ball:
    """A ball about the middle."""

    radius: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.radius < HALF:
            raise ValueError(f"Ball: radius is {self.radius}; give a number above 0 and below {HALF}")


@dataclass(frozen=True)
class Box:
    """The box of the target's bounds."""


Start = Ball | Box


def start_values(start: Start, points: Float[Tensor, "N 3"], half: Float[Tensor, "3"]) -> Float[Tensor, " N"]:
    """Signed distance of the start at points; `half` are the half sides of the target's box about the origin."""
    match start:
        case Ball(radius):
            return points.norm(dim=-1) - radius
        case Box():
            beyond = points.abs() - half.clamp(min=0.1)
            return beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0)


class GrowingField:
    """Values and offsets of a grid's corners, and Adam over them."""

    def __init__(self, values: Float[Tensor, " N"], offsets: Float[Tensor, "N 3"], lr: float):
        """`lr` in spacings of the grid."""
        self.lr = lr
        self._wear(values, offsets)
        self.optimizer = descent.Adam([{"params": [self.values]}, {"params": [self.offsets]}], lr=lr)

    def _wear(self, values: Float[Tensor, " N"], offsets: Float[Tensor, "N 3"]) -> None:
        side = round(len(values) ** (1 / 3))
        if side**3 != len(values) or len(offsets) != len(values):
            raise ValueError(f"GrowingField: {len(values)} values, {len(offsets)} offsets; a cube of each is expected")
        self.grid = TetrahedralGrid(side - 1, HALF)
        self.points = grid_points(self.grid).to(values)
        self.outer = self.points.abs().amax(1) > HALF - self.grid.spacing / 2
        self.values = values.detach().clone().requires_grad_()
        self.offsets = offsets.detach().clone().requires_grad_()

    def distances(self) -> Float[Tensor, " N"]:
        """The values; those of the outermost corners are positive, so that the surface is closed."""
        return torch.where(self.outer, self.values.clamp(min=0.1 * self.grid.spacing), self.values)

    def array(self) -> Float[Tensor, "Z Y X"]:
        return self.distances().reshape(self.grid.shape)

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, " M"]:
        """The field at points, by trilinear interpolation."""
        places = (points / HALF)[None, None, None]
        found = torch.nn.functional.grid_sample(self.array()[None, None], places, align_corners=True)
        return found.reshape(-1)

    def live(self) -> Mesh:
        """The surface, differentiable in values and offsets."""
        distances = self.distances()
        # Squashed into a ball in which no tetrahedron can be turned over.
        moved = self.offsets / (1 + self.offsets.square().sum(1, keepdim=True)).sqrt()
        positions = self.points + FREEDOM * self.grid.spacing * moved
        return isosurface_of(distances, positions, crossed_tetrahedra(self.grid, distances))

    @torch.no_grad()
    def mesh(self) -> Mesh:
        mesh = self.live()
        return Mesh(mesh.vertices.detach().clone(), mesh.faces)

    def anneal(self, progress: float) -> None:
        """The learning rate at `progress` (0..1): from its peak to 0 as a cosine."""
        # Values are distances and shrink with the grid; offsets count in spacings.
        for group, unit in zip(self.optimizer.param_groups, (self.grid.spacing, 1.0), strict=True):
            group["lr"] = self.lr * unit * 0.5 * (1 + math.cos(math.pi * progress))

    def state(self) -> dict[str, Tensor]:
        """What a resumed fit needs."""
        return {"values": self.values, "offsets": self.offsets}

    def refine(self, resolution: int) -> None:
        """Go on with a finer grid: values by trilinear interpolation, the optimiser's moments with them."""
        side = self.grid.resolution + 1

        def carry(rows: Tensor) -> Tensor:
            cube = rows.detach().reshape(side, side, side, -1).permute(3, 0, 1, 2)[None]
            finer = torch.nn.functional.interpolate(cube, (resolution + 1,) * 3, mode="trilinear", align_corners=True)
            return finer[0].flatten(1).T.reshape(-1, *rows.shape[1:])

        old = (self.values, self.offsets)
        # Offsets count in spacings, so the places of corners between others are not theirs: they begin anew.
        self._wear(carry(self.values), torch.zeros((resolution + 1) ** 3, 3).to(self.offsets))
        swap_parameter(self.optimizer, old[0], self.values, carry=carry)
        swap_parameter(self.optimizer, old[1], self.offsets, carry=carry)


def started(start: Start, resolution: int, half: Float[Tensor, "3"], *, lr: float) -> GrowingField:
    """The field of a start on a grid of so many cells."""
    points = grid_points(TetrahedralGrid(resolution, HALF)).to(half)
    return GrowingField(start_values(start, points, half), torch.zeros_like(points), lr)


def refined_at(field: GrowingField, resolutions: tuple[int, ...], index: int, steps: float) -> None:
    """Make the grid finer if it is time to, before step `index`; the last resolution is there after `steps`."""
    due = sum(index >= round(steps * (i + 1) / (len(resolutions) - 1)) for i in range(len(resolutions) - 1))
    if resolutions[due] > field.grid.resolution:
        field.refine(resolutions[due])
