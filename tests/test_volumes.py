"""Points to a grid of cells and back: conservation, adjointness, known weights, gradients, what lies outside."""

import math

import pytest
import torch

from maquette.shapes import cell_centers, points_to_volume, volume_at

SIZE = (4, 5, 6)


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def centers() -> torch.Tensor:
    """x, y, z of the cells of a grid of SIZE, by hand."""
    z, y, x = torch.meshgrid(*((torch.arange(n).double() + 0.5) / n - 0.5 for n in SIZE), indexing="ij")
    return torch.stack([x, y, z], -1)


def test_the_density_sums_to_the_number_of_points_inside():
    points = (random(0, 3, 200, 3) - 0.5) * 1.3
    volume = points_to_volume(points, torch.ones(3, 200, 1).double(), resolution=SIZE)
    inside = (points.abs() <= 0.5).all(-1).sum(-1)
    assert 0 < int(inside.min()) and int(inside.max()) < 200
    assert torch.allclose(volume.density.sum((1, 2, 3)), inside.double())
    assert torch.allclose(volume.sums[..., 0], volume.density)
    assert float(volume.density.min()) >= 0


def test_the_sum_of_the_features_is_conserved_and_so_is_their_place():
    # Away from the sides, the weighted mean of the cells' centres is the point itself.
    points, features = (random(0, 50, 3) - 0.5) * 0.7, random(1, 50, 3)
    sums = points_to_volume(points, features, resolution=SIZE).sums
    assert torch.allclose(sums.sum((0, 1, 2)), features.sum(0))
    moments = torch.einsum("zyxc,zyxd->cd", sums, centers())
    assert torch.allclose(moments, features.mT @ points)


def test_splatting_and_reading_are_adjoint():
    points, features, grid = (random(0, 2, 80, 3) - 0.5) * 1.2, random(1, 2, 80, 4), random(2, 2, *SIZE, 4)
    splat = points_to_volume(points, features, resolution=SIZE).sums
    assert torch.allclose((splat * grid).sum(), (features * volume_at(grid, points)).sum())


def test_a_point_at_a_centre_belongs_to_its_cell_alone():
    point = centers()[1, 2, 3][None]
    volume = points_to_volume(point, torch.tensor([[7.0]]).double(), resolution=SIZE)
    assert torch.allclose(volume.density[1, 2, 3], torch.tensor(1.0).double())
    assert torch.allclose(volume.sums.sum(), volume.sums[1, 2, 3, 0])
    # A quarter of the way to the next one along x, three quarters stay.
    quarter = point + torch.tensor([0.25 / 6, 0, 0]).double()
    density = points_to_volume(quarter, torch.ones(1, 1).double(), resolution=SIZE).density
    assert torch.allclose(density[1, 2, 3:5], torch.tensor([0.75, 0.25]).double())


def test_a_linear_field_is_read_exactly_between_the_centres():
    grid, points = centers(), (random(0, 100, 3) - 0.5) * 0.74
    assert torch.allclose(volume_at(grid, points), points)
    assert torch.allclose(volume_at(cell_centers(8).double(), points), points)


def test_a_constant_is_read_in_the_whole_cube_and_nothing_outside_it():
    points = torch.cat([random(0, 50, 3) - 0.5, torch.tensor([[0.5, -0.5, 0.5], [-0.5, 0.5, -0.5]]).double()])
    grid = torch.full((*SIZE, 2), 3.0).double()
    assert torch.allclose(volume_at(grid, points), torch.full((52, 2), 3.0).double())
    outside = torch.tensor([[0.5001, 0, 0], [0, -0.6, 0], [math.nan, 0, 0], [0, 0, math.inf]]).double()
    assert torch.equal(volume_at(grid, outside), torch.zeros(4, 2))


def test_points_outside_leave_nothing_whatever_they_carry():
    outside = torch.tensor([[0.5001, 0, 0], [math.nan, 0, 0], [0, 0, -math.inf]]).double().requires_grad_()
    features = torch.full((3, 2), math.nan).double().requires_grad_()
    volume = points_to_volume(outside, features, resolution=3)
    assert not volume.density.any() and not volume.sums.any()
    gradients = torch.autograd.grad(volume.sums.sum() + volume.density.square().sum(), (outside, features))
    assert all(bool((gradient == 0).all()) for gradient in gradients)


def test_the_mean_of_one_value_is_that_value_where_there_is_any():
    points = (random(0, 40, 3) - 0.5) * 0.9
    volume = points_to_volume(points, torch.full((40, 3), 0.3).double(), resolution=4)
    full = volume.density > 1e-4
    assert torch.allclose(volume.mean()[full], torch.tensor(0.3).double())
    assert bool(volume.mean().isfinite().all())
    assert torch.equal(volume.mean()[volume.density == 0], torch.zeros(int((volume.density == 0).sum()), 3))


def test_batches_equal_one_by_one():
    points, features = (random(0, 2, 3, 20, 3) - 0.5) * 1.1, random(1, 2, 3, 20, 2)
    volume = points_to_volume(points, features, resolution=SIZE)
    assert volume.sums.shape == (2, 3, *SIZE, 2) and volume.density.shape == (2, 3, *SIZE)
    alone = points_to_volume(points[1, 2], features[1, 2], resolution=SIZE)
    assert torch.allclose(volume.sums[1, 2], alone.sums) and torch.allclose(volume.density[1, 2], alone.density)
    assert torch.allclose(volume_at(volume.sums, points)[1, 2], volume_at(alone.sums, points[1, 2]))


def test_points_features_and_volume_have_their_gradients():
    points, features = ((random(0, 2, 3, 3) - 0.5) * 1.1).requires_grad_(), random(1, 2, 3, 2).requires_grad_()

    def splat(points, features):
        volume = points_to_volume(points, features, resolution=(2, 3, 2))
        return volume.density, volume.mean()

    assert torch.autograd.gradcheck(splat, (points, features))
    grid = random(2, 2, 2, 3, 2, 1).requires_grad_()
    assert torch.autograd.gradcheck(volume_at, (grid, points))


def test_no_points_leave_zeros_and_one_cell_takes_all():
    empty = points_to_volume(torch.zeros(0, 3), torch.zeros(0, 2), resolution=2)
    assert float(empty.density.sum()) == 0 and empty.sums.shape == (2, 2, 2, 2)
    assert volume_at(torch.ones(2, 2, 2, 1), torch.zeros(0, 3)).shape == (0, 1)
    one = points_to_volume(random(0, 9, 3) - 0.5, torch.ones(9, 1).double(), resolution=1)
    assert float(one.density) == pytest.approx(9)


def test_what_does_not_go_together_is_refused():
    with pytest.raises(
        ValueError, match=r"points are \(2, 3\), torch.float32 on cpu, features \(2, 1\), torch.float64"
    ):
        points_to_volume(torch.zeros(2, 3), torch.zeros(2, 1).double(), resolution=2)
    with pytest.raises(ValueError, match="at least one cell along each axis"):
        points_to_volume(torch.zeros(2, 3), torch.zeros(2, 1), resolution=(2, 0, 2))
    with pytest.raises(ValueError, match="give both the same batch, type and device"):
        volume_at(torch.zeros(2, 2, 2, 1), torch.zeros(2, 3).double())
    with pytest.raises(ValueError, match="at least one cell along each axis"):
        volume_at(torch.zeros(2, 0, 2, 1), torch.zeros(2, 3))
