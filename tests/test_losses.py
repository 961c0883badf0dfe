"""Losses against values worked out by hand."""

import math

import pytest
import torch

from maquette import transforms
from maquette.losses import chamfer, chamfer_plain, laplacian_uniform, occupancy_bce
from maquette.shapes import Mesh, Voxels, topology_of, transform

TETRAHEDRON = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
TETRAHEDRON_FACES = torch.tensor([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])


def rigid(generator):
    q = torch.nn.functional.normalize(torch.randn(4, generator=generator, dtype=torch.float64), dim=0)
    w, x, y, z = q.tolist()
    rotation = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        dtype=torch.float64,
    )
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = rotation, torch.randn(3, generator=generator, dtype=torch.float64)
    return matrix


def test_chamfer_of_one_point_against_two_is_the_hand_computed_sum():
    a = torch.tensor([[0.0, 0, 0]])
    b = torch.tensor([[1.0, 0, 0], [0, 2, 0]])
    # a to b: 1. b to a: (1 + 4) / 2.
    assert chamfer(a, b).item() == pytest.approx(1 + 2.5)
    assert chamfer(b, a).item() == pytest.approx(1 + 2.5)


def test_plain_chamfer_averages_distances_and_both_directions():
    # From the one point 1 to the nearer of two; from the two 1 and 2: half of 1 + 1.5.
    a, b = torch.zeros(1, 3), torch.tensor([[1.0, 0, 0], [0, 2.0, 0]])
    assert chamfer_plain(a, b).item() == pytest.approx(1.25)
    assert chamfer_plain(b, a).item() == pytest.approx(1.25)


def test_plain_chamfer_pulls_far_and_near_points_alike_and_coinciding_ones_not_at_all():
    a = torch.tensor([[0.5, 0, 0], [0, 4.0, 0], [0, 0, 0]], dtype=torch.float64, requires_grad=True)
    b = torch.zeros(1, 3, dtype=torch.float64)
    chamfer_plain(a, b).backward()
    # d/da of half the mean of |a|: a unit vector over 6; the one target's own nearest is the point that it is at.
    expected = torch.tensor([[1 / 6, 0, 0], [0, 1 / 6, 0], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(a.grad, expected)
    with pytest.raises(ValueError, match="chamfer_plain: the sets have 0 and 1 points"):
        chamfer_plain(a[:0], b)


def test_chamfer_of_a_set_with_itself_is_zero():
    points = torch.rand(50, 3)
    assert chamfer(points, points[torch.randperm(50)]).item() == 0


def test_chamfer_does_not_grow_with_the_number_of_points_or_the_batch():
    a = torch.rand(40, 3, dtype=torch.float64)
    b = torch.rand(30, 3, dtype=torch.float64)
    once = chamfer(a, b)
    torch.testing.assert_close(chamfer(a.repeat(3, 1), b.repeat(5, 1)), once)
    torch.testing.assert_close(chamfer(a.expand(2, 7, -1, -1), b.expand(2, 7, -1, -1)), once.expand(2, 7))


def test_chamfer_of_a_batch_is_chamfer_one_by_one():
    a, b = torch.rand(2, 3, 20, 3), torch.rand(2, 3, 25, 3)
    single = torch.stack([torch.stack([chamfer(a[i, j], b[i, j]) for j in range(3)]) for i in range(2)])
    torch.testing.assert_close(chamfer(a, b), single)


def test_chamfer_ignores_order_and_rigid_motion():
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(40, 3, generator=generator, dtype=torch.float64)
    b = torch.rand(30, 3, generator=generator, dtype=torch.float64)
    moved = rigid(generator)
    expected = chamfer(a, b)
    torch.testing.assert_close(chamfer(a[torch.randperm(40)], b[torch.randperm(30)]), expected)
    torch.testing.assert_close(chamfer(transforms.apply(moved, a), transforms.apply(moved, b)), expected)


def test_chamfer_scales_with_the_square_of_length():
    a, b = torch.rand(40, 3, dtype=torch.float64), torch.rand(30, 3, dtype=torch.float64)
    torch.testing.assert_close(chamfer(3 * a, 3 * b), 9 * chamfer(a, b))


def test_chamfer_has_the_gradient_of_its_value():
    generator = torch.Generator().manual_seed(1)
    a = torch.rand(2, 6, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    b = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(chamfer, (a, b))


def test_chamfer_refuses_an_empty_set():
    with pytest.raises(ValueError, match="chamfer: the sets have 4 and 0 points"):
        chamfer(torch.rand(4, 3), torch.rand(0, 3))


def test_laplacian_of_a_regular_tetrahedron_is_four_thirds_of_its_radius():
    # The other three corners average to -v/3, so |-v/3 - v| = 4/3 |v| at every vertex, and |v| = sqrt 3.
    value = laplacian_uniform(Mesh(TETRAHEDRON, TETRAHEDRON_FACES))
    assert value.item() == pytest.approx(4 / 3 * math.sqrt(3), rel=1e-6)


def test_laplacian_of_a_lone_triangle_averages_unequal_vertices():
    # Right triangle (0,0) (3,0) (0,4): |(1.5,2)|, |(0,2)-(3,0)|, |(1.5,0)-(0,4)|.
    mesh = Mesh(torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2]]))
    expected = (2.5 + math.sqrt(13) + math.sqrt(18.25)) / 3
    assert laplacian_uniform(mesh).item() == pytest.approx(expected, rel=1e-6)


def test_a_neighbour_counts_once_however_many_faces_share_the_edge():
    mesh = Mesh(torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2]]))
    twice = Mesh(mesh.vertices, torch.tensor([[0, 1, 2], [2, 1, 0]]))
    torch.testing.assert_close(laplacian_uniform(twice), laplacian_uniform(mesh))


def test_a_vertex_without_edges_adds_nothing_to_the_laplacian_but_counts_as_a_vertex():
    mesh = Mesh(torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2]]))
    with_stray = Mesh(torch.cat([mesh.vertices, torch.full((1, 3), 7.0)]), mesh.faces)
    torch.testing.assert_close(laplacian_uniform(with_stray), laplacian_uniform(mesh) * 3 / 4)


def test_laplacian_scales_with_length_and_ignores_rigid_motion_and_vertex_order():
    generator = torch.Generator().manual_seed(2)
    mesh = Mesh(torch.rand(4, 3, generator=generator, dtype=torch.float64), TETRAHEDRON_FACES)
    expected = laplacian_uniform(mesh)
    torch.testing.assert_close(laplacian_uniform(mesh.with_vertices(5 * mesh.vertices)), 5 * expected)
    moved = transform(mesh, rigid(generator))
    assert isinstance(moved, Mesh)
    torch.testing.assert_close(laplacian_uniform(moved), expected)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(laplacian_uniform(Mesh(mesh.vertices[order], order.argsort()[mesh.faces])), expected)


def test_laplacian_of_a_batch_with_given_topology_is_laplacian_one_by_one():
    vertices = torch.rand(2, 3, 4, 3)
    topology = topology_of(TETRAHEDRON_FACES)
    single = [[laplacian_uniform(Mesh(v, TETRAHEDRON_FACES)) for v in row] for row in vertices]
    expected = torch.stack([torch.stack(row) for row in single])
    torch.testing.assert_close(laplacian_uniform(Mesh(vertices, TETRAHEDRON_FACES), topology), expected)


def test_laplacian_has_the_gradient_of_its_value():
    vertices = torch.rand(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: laplacian_uniform(Mesh(v, TETRAHEDRON_FACES)), (vertices,))


def test_laplacian_of_a_vertex_already_at_the_mean_has_a_finite_gradient():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [-1, 0, 0]], requires_grad=True)
    laplacian_uniform(Mesh(vertices, torch.tensor([[0, 1, 2]]))).backward()
    assert vertices.grad is not None and bool(vertices.grad.isfinite().all())


def test_occupancy_loss_takes_logits_and_averages_over_cells():
    # Half of the cells are full, logit 0 is one bit each; logit log 3 is probability 3/4.
    occupancy = torch.zeros(2, 2, 2)
    occupancy[0] = 1
    assert occupancy_bce(torch.zeros(2, 2, 2), occupancy).item() == pytest.approx(math.log(2), rel=1e-6)
    value = occupancy_bce(torch.full((2, 2, 2), math.log(3)), occupancy).item()
    assert value == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, rel=1e-6)


def test_occupancy_loss_of_a_batch_keeps_the_batch_and_is_finite_for_any_logit():
    occupancy = torch.zeros(3, 4, 4, 4)
    logits = torch.stack([torch.full((4, 4, 4), value) for value in (-1000.0, 0.0, 1000.0)])
    torch.testing.assert_close(occupancy_bce(logits, occupancy), torch.tensor([0, math.log(2), 1000]))


def test_occupancy_loss_has_the_gradient_of_its_value():
    logits = torch.randn(2, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    occupancy = torch.rand(2, 2, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: occupancy_bce(x, occupancy), (logits,))


def test_an_occupancy_target_can_be_soft_and_then_the_loss_is_least_at_its_logit():
    target = Voxels(torch.full((2, 2, 2), 0.25), torch.eye(4)).occupancy
    best = occupancy_bce(target.logit(), target)
    assert best < occupancy_bce(target.logit() + 0.1, target)
    assert best < occupancy_bce(target.logit() - 0.1, target)


def test_full_cells_count_as_often_as_asked():
    occupancy = torch.zeros(2, 2, 2)
    occupancy[0] = 1
    value = occupancy_bce(torch.zeros(2, 2, 2), occupancy, full_weight=3.0).item()
    assert value == pytest.approx((3 + 1) / 2 * math.log(2), rel=1e-6)
