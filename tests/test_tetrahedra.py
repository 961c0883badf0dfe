"""A cube cut into tetrahedra, and the differentiable surface on it: laws from geometry and topology."""

import math

import pytest
import torch

from maquette.shapes import (
    Mesh,
    TetrahedralGrid,
    crossed_tetrahedra,
    grid_points,
    grid_tetrahedra,
    isosurface_of,
    report,
)


def volumes(positions, tetrahedra):
    a, b, c, d = positions[tetrahedra].unbind(1)
    return (torch.linalg.cross(b - a, c - a) * (d - a)).sum(-1) / 6


def volume(mesh):
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return (torch.linalg.cross(a, b) * c).sum() / 6


def surface(distance, resolution):
    grid = TetrahedralGrid(resolution)
    points = grid_points(grid).double()
    values = distance(points)
    return isosurface_of(values, points, crossed_tetrahedra(grid, values))


def ball(points, radius=0.7):
    return points.norm(dim=-1) - radius


def ring(points):
    around = points[:, :2].norm(dim=-1) - 0.6
    return torch.stack([around, points[:, 2]], -1).norm(dim=-1) - 0.25


def test_tetrahedra_fill_the_cube_and_all_have_the_same_positive_volume():
    grid = TetrahedralGrid(3, half=1.5)
    found = volumes(grid_points(grid), grid_tetrahedra(grid))
    assert len(found) == 6 * 3**3
    torch.testing.assert_close(found, torch.full_like(found, 1 / 6))  # cells of side 1


def test_every_face_of_the_tetrahedra_is_shared_by_two_or_lies_on_the_cube():
    grid = TetrahedralGrid(2)
    corners = grid_tetrahedra(grid)
    sides = torch.cat([corners[:, [i for i in range(4) if i != skip]] for skip in range(4)]).sort(1).values
    faces, uses = torch.unique(sides, dim=0, return_counts=True)
    assert set(uses.tolist()) == {1, 2}
    border = grid_points(grid)[faces[uses == 1]]
    on_a_side = ((border.abs() == 1).all(1) & (border == border[:, :1]).all(1)).any(-1)
    assert bool(on_a_side.all())


def test_a_corner_may_leave_its_place_by_the_freedom_of_fits_and_turns_no_tetrahedron_over():
    from maquette.fitting.growing_field import FREEDOM

    grid = TetrahedralGrid(2)
    corners = grid_tetrahedra(grid)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        moves = torch.randn(27, 3, generator=generator)
        moves = moves / moves.norm(dim=1, keepdim=True) * FREEDOM * grid.spacing
        assert float(volumes(grid_points(grid) + moves, corners).min()) > 0


@pytest.mark.parametrize("code", range(16))
def test_one_tetrahedron_is_cut_between_its_corners_inside_and_outside(code):
    positions = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    inside = torch.tensor([bool(code >> corner & 1) for corner in range(4)])
    values = torch.where(inside, -1.0, 1.0).double()
    mesh = isosurface_of(values, positions, torch.arange(4)[None])
    many = int(inside.sum())
    assert len(mesh.faces) == (0, 1, 2, 1, 0)[many]
    assert len(mesh.vertices) == many * (4 - many)
    if 0 < many < 4:
        a, b, c = mesh.vertices[mesh.faces].unbind(1)
        normals = torch.linalg.cross(b - a, c - a)
        outwards = positions[~inside].mean(0) - positions[inside].mean(0)
        assert bool((normals @ outwards > 0).all())


def test_the_surface_of_a_ball_has_its_area_and_volume_to_second_order_in_the_spacing():
    errors = []
    for resolution in (16, 32):
        mesh = surface(ball, resolution)
        told = report(mesh)
        assert told.watertight and told.winding_consistent and told.pinched_vertices == 0
        assert (told.euler_characteristic, told.components) == (2, 1)
        assert told.volume is not None
        errors.append((abs(told.volume / (4 / 3 * math.pi * 0.7**3) - 1), abs(told.area / (4 * math.pi * 0.49) - 1)))
    assert errors[1][0] < 0.01 and errors[1][1] < 0.01
    # Half the spacing, a quarter of the error, or nearly.
    assert errors[1][0] < errors[0][0] / 3 and errors[1][1] < errors[0][1] / 3


def test_a_torus_has_euler_characteristic_zero_and_points_outward():
    told = report(surface(ring, 24))
    assert (told.euler_characteristic, told.components, told.genus) == (0, 1, 1)
    assert told.volume == pytest.approx(2 * math.pi**2 * 0.6 * 0.25**2, rel=0.06)


def test_values_at_random_give_a_closed_manifold(generator):
    grid = TetrahedralGrid(6)
    values = torch.randn(grid.shape, generator=generator)
    edge = torch.ones(grid.shape, dtype=torch.bool)
    edge[1:-1, 1:-1, 1:-1] = False
    values = torch.where(edge, values.abs() + 0.1, values).reshape(-1)
    told = report(isosurface_of(values, grid_points(grid), grid_tetrahedra(grid)))
    assert told.watertight and told.winding_consistent and told.pinched_vertices == 0 and told.nonmanifold_edges == 0


def test_crossed_tetrahedra_give_the_same_surface_as_all(generator):
    grid = TetrahedralGrid(5)
    values, points = torch.randn(6**3, generator=generator), grid_points(grid)
    some, every = (isosurface_of(values, points, t) for t in (crossed_tetrahedra(grid, values), grid_tetrahedra(grid)))
    assert torch.equal(some.vertices, every.vertices)
    assert {tuple(face) for face in some.faces.tolist()} == {tuple(face) for face in every.faces.tolist()}


def test_vertices_lie_where_a_linear_function_is_zero():
    direction = torch.tensor([0.3, -0.5, 0.8], dtype=torch.float64)
    mesh = surface(lambda points: points @ direction - 0.1, 5)
    torch.testing.assert_close(mesh.vertices @ direction, torch.full((len(mesh.vertices),), 0.1).double())


def test_gradients_of_values_and_positions_are_those_of_finite_differences(generator):
    grid = TetrahedralGrid(2)
    values = torch.randn(27, generator=generator, dtype=torch.float64)
    values = (values + 0.3 * values.sign()).requires_grad_()  # no sign changes within the check's steps
    positions = (grid_points(grid).double() + 0.1 * torch.randn(27, 3, generator=generator)).requires_grad_()
    tetrahedra = grid_tetrahedra(grid)
    assert torch.autograd.gradcheck(lambda v, p: isosurface_of(v, p, tetrahedra).vertices, (values, positions))


def test_the_volume_grows_with_the_level_by_the_area():
    grid = TetrahedralGrid(24)
    points = grid_points(grid).double()
    level = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)

    def inside(level):
        values = ball(points) - level
        return volume(isosurface_of(values, points, crossed_tetrahedra(grid, values)))

    (slope,) = torch.autograd.grad(inside(level), level)
    level = level.detach()
    step = 1e-4
    assert float(slope) == pytest.approx(float(inside(level + step) - inside(level - step)) / (2 * step), rel=1e-3)
    assert float(slope) == pytest.approx(4 * math.pi * 0.7**2, rel=0.01)


def test_values_of_zero_count_as_outside_and_leave_gradients_finite():
    grid = TetrahedralGrid(4)
    points = grid_points(grid).double()
    values = (points.abs().sum(1) - 1.0).requires_grad_()  # zero at many corners
    mesh = isosurface_of(values, points, crossed_tetrahedra(grid, values))
    mesh.vertices.square().sum().backward()
    assert values.grad is not None and bool(values.grad.isfinite().all())
    told = report(Mesh(mesh.vertices.detach(), mesh.faces))
    assert told.boundary_edges == 0


def test_a_field_of_one_sign_has_no_surface():
    grid = TetrahedralGrid(3)
    mesh = isosurface_of(torch.ones(64), grid_points(grid), grid_tetrahedra(grid))
    assert mesh.vertices.shape == (0, 3) and mesh.faces.shape == (0, 3)
    assert isosurface_of(torch.ones(0), torch.ones(0, 3), torch.ones(0, 4, dtype=torch.int64)).faces.shape == (0, 3)


def test_moving_the_corners_moves_the_surface():
    grid = TetrahedralGrid(8)
    points, values = grid_points(grid), ball(grid_points(grid))
    tetrahedra = crossed_tetrahedra(grid, values)
    moved = isosurface_of(values, points * 2 + 1, tetrahedra)
    torch.testing.assert_close(moved.vertices, isosurface_of(values, points, tetrahedra).vertices * 2 + 1)


def test_wrong_arguments_are_told():
    grid = TetrahedralGrid(2)
    points, tetrahedra = grid_points(grid), grid_tetrahedra(grid)
    with pytest.raises(ValueError, match="TetrahedralGrid: resolution is 0"):
        TetrahedralGrid(0)
    with pytest.raises(ValueError, match="crossed_tetrahedra: 26 values"):
        crossed_tetrahedra(grid, torch.ones(26))
    with pytest.raises(ValueError, match="not all finite"):
        isosurface_of(torch.full((27,), math.nan), points, tetrahedra)
    with pytest.raises(ValueError, match="corners 0 to 27"):
        isosurface_of(torch.ones(27), points, torch.tensor([[0, 1, 2, 27]]))
