"""Surfaces found from coarse to fine: the dense grid's mesh, from a few percent of its samples."""

import pytest
import torch
from torch import nn

from maquette.shapes import implicit_mesh, implicit_mesh_refined
from maquette.shapes.columns import is_closed

BOX = torch.tensor([[-0.5] * 3, [0.5] * 3])


def ball(points: torch.Tensor) -> torch.Tensor:
    return points.norm(dim=-1) - 0.2


def slab(points: torch.Tensor, center: list[float], half: list[float]) -> torch.Tensor:
    """Signed distance to a box."""
    beyond = (points - torch.tensor(center)).abs() - torch.tensor(half)
    return beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0)


def stool(points: torch.Tensor) -> torch.Tensor:
    """Signed distance to a seat on four legs of half a coarse cell's thickness."""
    legs = [slab(points, [x, -0.2, z], [0.008, 0.2, 0.008]) for x in (-0.17, 0.17) for z in (-0.17, 0.17)]
    return torch.stack([slab(points, [0.0, 0.0, 0.0], [0.2, 0.02, 0.2]), *legs]).amin(0)


class Counted:
    def __init__(self, function):
        self.function, self.asked = function, []

    def __call__(self, points):
        self.asked.append(points)
        return self.function(points)

    @property
    def count(self) -> int:
        return sum(map(len, self.asked))


@pytest.mark.parametrize("function", [pytest.param(ball, marks=pytest.mark.slow), stool])
def test_the_mesh_is_that_of_the_dense_grid_from_a_few_percent_of_its_samples(function):
    asked = Counted(function)
    mesh = implicit_mesh_refined(asked, BOX, cells=128, steepness=1.0)
    dense = implicit_mesh(function, BOX, resolution=129)
    assert torch.equal(mesh.faces, dense.faces) and torch.equal(mesh.vertices, dense.vertices)
    assert asked.count < 0.07 * 129**3
    # No place is asked twice.
    points = (torch.cat(asked.asked) + 0.5) * 128
    assert len(points.round().long().unique(dim=0)) == asked.count


def test_with_the_steepness_of_the_function_nothing_thin_is_missed():
    # A needle between the samples of the coarse grid, far from everything else.
    def both(points):
        needle = slab(points, [0.3125 + 1 / 64, 0.0, 0.3125 + 1 / 64], [0.006, 0.3, 0.006])
        return torch.minimum(ball(points + 0.2), needle)

    dense = implicit_mesh(both, BOX, resolution=129)
    found = implicit_mesh_refined(both, BOX, steepness=1.0)
    assert torch.equal(found.vertices, dense.vertices)
    assert len(implicit_mesh_refined(both, BOX).faces) < len(dense.faces)


def test_a_surface_is_followed_out_of_the_cells_that_were_looked_into():
    # One end is thick, so the coarse grid sees it; the rod is thinner than a coarse cell and lies between its samples.
    def pin(points):
        rod = slab(points, [0.0, 1 / 64, 1 / 64], [0.4, 0.006, 0.006])
        return torch.minimum((points - torch.tensor([-0.3, 0.0, 0.0])).norm(dim=-1) - 0.1, rod)

    asked = Counted(pin)
    found = implicit_mesh_refined(asked, BOX)
    assert torch.equal(found.vertices, implicit_mesh(pin, BOX, resolution=129).vertices)
    assert asked.count < 0.04 * 129**3


def test_a_network_gives_the_dense_mesh_as_well():
    torch.manual_seed(3)
    network = nn.Sequential(nn.Linear(3, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    with torch.no_grad():
        network[0].weight.mul_(8)

    def function(points):
        # Empty on the border of the box: the surface is closed there.
        return torch.where(points.abs().amax(-1) < 0.5, network(points)[:, 0], 1.0)

    mesh = implicit_mesh_refined(function, BOX, cells=64, first=16)
    dense = implicit_mesh(function, BOX, resolution=65)
    assert len(mesh.faces) > 1000 and is_closed(mesh.faces)
    assert torch.equal(mesh.faces, dense.faces)
    # Products of matrices round by the number of their rows; a vertex moves by that over the slope, a cell at the most.
    torch.testing.assert_close(mesh.vertices, dense.vertices, atol=1e-4, rtol=0)


def test_a_level_that_is_never_crossed_gives_a_mesh_without_faces_after_the_coarse_grid():
    asked = Counted(lambda points: points.norm(dim=-1) + 1)
    mesh = implicit_mesh_refined(asked, BOX, cells=128)
    assert mesh.vertices.shape == (0, 3) and mesh.faces.shape == (0, 3)
    assert asked.count == 33**3


def test_levels_and_boxes_are_those_of_the_dense_grid():
    box = torch.tensor([[-1.0, -2.0, -1.5], [1.0, 1.0, 2.5]])
    arguments = {"level": 0.3}
    mesh = implicit_mesh_refined(ball, box, cells=32, first=8, **arguments)
    assert torch.equal(mesh.vertices, implicit_mesh(ball, box, resolution=33, **arguments).vertices)


def test_grids_that_do_not_halve_and_open_surfaces_are_refused():
    for cells, first in ((100, 32), (16, 32), (0, 32), (32, 0), (96, 32)):
        with pytest.raises(ValueError, match="give first times a power of two"):
            implicit_mesh_refined(ball, BOX, cells=cells, first=first)
    with pytest.raises(ValueError, match=r"steepness is -1\.0"):
        implicit_mesh_refined(ball, BOX, steepness=-1.0)
    with pytest.raises(ValueError, match="the surface would be open; enlarge the box"):
        implicit_mesh_refined(ball, BOX * 0.3, cells=32)
    with pytest.raises(ValueError, match=r"gives \(729, 1\) for points \(729, 3\)"):
        implicit_mesh_refined(lambda points: points[:, :1], BOX, cells=16, first=8)
