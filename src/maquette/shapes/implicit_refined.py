"""Implicit surfaces to meshes, coarse to fine: a costly function is asked only where its surface may be.

n cells along each side, n + 1 samples; a sample is *known* where the function was asked, else interpolated.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.shapes.implicit import Function, check_box, closed_surface, sampled, steps_of
from maquette.shapes.mesh import Mesh

NAME = "implicit_mesh_refined"


@torch.no_grad()
def implicit_mesh_refined(
    function: Function,
    box: Float[Tensor, "2 3"],
    *,
    cells: int = 128,
    level: float = 0.0,
    first: int = 32,
    steepness: float = 0.0,
) -> Mesh:
    """The mesh that `implicit_mesh` makes of `cells` + 1 samples along each axis, from a few percent of them.

    A grid of `first` cells a side is sampled wholly, then halved until it has `cells`, which is `first` times a power
    of two. Looked into are the cells that the level crosses, with a border of one cell around them at first, and those
    where it may hide: a point of a cell is at most half a diagonal from a corner, so no surface passes where all
    corners are further from the level than `steepness` times that. With the function's greatest slope (value per world
    unit; 1 for a distance) nothing is missed. With less, 0 at the least, what a coarse cell has seen is still followed
    to its end, and the answer differs from the dense one by whole pieces, thinner than a coarse cell, at most.
    """
    halvings = (cells // max(first, 1)).bit_length() - 1
    if first < 1 or cells != first << max(halvings, 0):
        raise ValueError(f"{NAME}: cells is {cells} and first {first}; give first times a power of two, as 32 and 128")
    if not steepness >= 0:
        raise ValueError(f"{NAME}: steepness is {steepness}; give 0 or the function's greatest slope")
    check_box(NAME, box)
    side = first + 1
    values = sampled(NAME, function, box, torch.arange(side**3, device=box.device), side).reshape(side, side, side)
    known = torch.ones_like(values, dtype=torch.bool)
    for halving in range(halvings):
        reach = steepness * float(steps_of(box, side).norm()) / 2
        active = _crossed(values < level) | _any_corner((values - level).abs() <= reach)
        if halving == 0:
            active = _grown(active)
        # Only where all corners were asked: beyond, the parents were found to have no surface.
        active &= ~_any_corner(~known)
        values, known = _halved(values), _spread(known)
        side = len(values)
        wanted = _corners(_doubled(active)) & ~known
        while bool(wanted.any()):
            index = wanted.reshape(-1).nonzero()[:, 0]
            values.view(-1)[index] = sampled(NAME, function, box, index, side)
            known |= wanted
            # Where the surface leaves the cells looked into, it is followed.
            wanted = _corners(_crossed(values < level)) & ~known
    return closed_surface(NAME, values, box, level)


def _pairs(values: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Each entry along an axis and the next one."""
    count = values.shape[axis] - 1
    return values.narrow(axis, 0, count), values.narrow(axis, 1, count)


def _any_corner(samples: Bool[Tensor, "Z Y X"]) -> Bool[Tensor, "z y x"]:
    """The cells with such a sample at any of their eight corners."""
    for axis in range(3):
        low, high = _pairs(samples, axis)
        samples = low | high
    return samples


def _crossed(inside: Bool[Tensor, "Z Y X"]) -> Bool[Tensor, "z y x"]:
    """The cells with corners of both kinds."""
    return _any_corner(inside) & _any_corner(~inside)


def _grown(cells: Bool[Tensor, "z y x"]) -> Bool[Tensor, "z y x"]:
    """With all neighbours, across corners, too."""
    return _any_corner(_corners(cells))


def _corners(cells: Bool[Tensor, "z y x"]) -> Bool[Tensor, "Z Y X"]:
    """The samples at the corners of such cells."""
    return _any_corner(torch.nn.functional.pad(cells, (1,) * 6))


def _doubled(cells: Bool[Tensor, "z y x"]) -> Bool[Tensor, "z2 y2 x2"]:
    """Each cell as its eight parts."""
    for axis in range(3):
        cells = cells.repeat_interleave(2, axis)
    return cells


def _spread(known: Bool[Tensor, "Z Y X"]) -> Bool[Tensor, "Z2 Y2 X2"]:
    """The samples of a grid of half the step; those between are not known."""
    side = 2 * len(known) - 1
    fine = torch.zeros((side, side, side), dtype=torch.bool, device=known.device)
    fine[::2, ::2, ::2] = known
    return fine


def _halved(values: Float[Tensor, "Z Y X"]) -> Float[Tensor, "Z2 Y2 X2"]:
    """The samples of a grid of half the step; those between are means of their neighbours."""
    for axis in range(3):
        low, high = _pairs(values, axis)
        shape = list(values.shape)
        shape[axis] = 2 * shape[axis] - 1
        fine = values.new_empty(shape)
        even, odd = ([slice(None)] * axis + [slice(start, None, 2)] for start in (0, 1))
        fine[tuple(even)], fine[tuple(odd)] = values, (low + high) / 2
        values = fine
    return values
