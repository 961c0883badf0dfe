"""Normals, frames and curvature from neighbours: known surfaces, motions, gradients and what has no plane."""

import math

import pytest
import torch

from maquette import ops
from maquette.shapes import PointCloud, curvatures, estimate_normals, local_frames
from maquette.shapes.estimate import principal_axes


def sphere(n, *, radius=1.0, seed=0, dtype=torch.float64):
    points = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return radius * torch.nn.functional.normalize(points, dim=-1)


def torus(columns, rows, dtype=torch.float64):
    """Points of a torus (radii 1 and 0.4) and their outward normals."""
    u = torch.arange(columns, dtype=dtype) * (2 * math.pi / columns)
    v = torch.arange(rows, dtype=dtype) * (2 * math.pi / rows)
    u, v = (g.reshape(-1) for g in torch.meshgrid(u, v, indexing="ij"))
    normals = torch.stack([v.cos() * u.cos(), v.sin(), v.cos() * u.sin()], -1)
    return torch.stack([u.cos(), 0 * u, u.sin()], -1) + 0.4 * normals, normals


def rotation(seed=0):
    q = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q
    return q * torch.linalg.det(q)


def test_normals_of_a_sphere_point_from_its_centre():
    points = sphere(1500)
    normals = estimate_normals(PointCloud(points)).normals
    assert normals is not None
    # A plane through neighbours within about 0.1 of a unit sphere tilts by some hundredths.
    assert (normals * points).sum(-1).min() > 0.98


def test_normals_of_a_torus_point_outside_also_within_its_hole():
    points, expected = torus(80, 32)
    normals = estimate_normals(PointCloud(points), 9).normals
    assert normals is not None
    assert (normals * expected).sum(-1).min() > 0.98


def test_two_shells_apart_are_each_turned_outside():
    points = torch.cat([sphere(500), sphere(700, seed=1) + 10])
    normals = estimate_normals(PointCloud(points), 12).normals
    assert normals is not None
    centers = torch.cat([torch.zeros(500, 3), torch.full((700, 3), 10.0)]).double()
    assert ((points - centers) * normals).sum(-1).min() > 0.9


def test_normals_face_the_viewpoint_that_is_given():
    points = sphere(800)
    eye = torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64)
    inside = estimate_normals(PointCloud(points), viewpoint=torch.zeros(3, dtype=torch.float64)).normals
    seen = estimate_normals(PointCloud(points), viewpoint=eye).normals
    assert inside is not None and seen is not None
    assert (inside * points).sum(-1).max() < -0.95
    assert (((eye - points) * seen).sum(-1) >= 0).all()


def test_normals_turn_with_the_cloud_and_colours_stay():
    points, turn = torus(40, 16)[0], rotation()
    cloud = PointCloud(points, colors=points.clamp(0, 1))
    still, moved = estimate_normals(cloud, 9), estimate_normals(PointCloud(5 * points @ turn.mT + 3), 9)
    assert still.colors is cloud.colors and still.normals is not None and moved.normals is not None
    torch.testing.assert_close(still.normals @ turn.mT, moved.normals, rtol=0, atol=1e-9)


def test_frames_are_rotations_that_turn_with_the_cloud():
    points = torch.randn(60, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    turn = rotation(1)
    # Eleven others: as many cannot lie on both sides.
    still, moved = local_frames(points, 12), local_frames(points @ turn.mT - 2, 12)
    torch.testing.assert_close(torch.linalg.det(still.axes), torch.ones(60, dtype=torch.float64))
    torch.testing.assert_close(still.axes.mT @ still.axes, torch.eye(3, dtype=torch.float64).expand(60, 3, 3))
    torch.testing.assert_close(still.variances, moved.variances)
    torch.testing.assert_close(turn @ still.axes, moved.axes)


def test_the_axes_of_a_box_of_points_are_those_of_the_box_and_its_variances_are_known():
    axis = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    points = torch.cartesian_prod(3 * axis, axis, 2 * axis)
    frame = local_frames(points, 27)
    expected = torch.tensor([2 / 3, 8 / 3, 6.0], dtype=torch.float64).expand(27, 3)
    torch.testing.assert_close(frame.variances, expected)
    unsigned = torch.eye(3, dtype=torch.float64)[:, [1, 2, 0]].expand(27, 3, 3)
    torch.testing.assert_close(frame.axes.abs(), unsigned)
    corner = frame.axes[-1]  # all others lie below it along y, and behind it along x
    assert corner[1, 0] == 1 and corner[0, 2] == -1


def test_a_plane_has_no_curvature_and_a_sphere_what_pauly_tells():
    grid = torch.cartesian_prod(*[torch.arange(12, dtype=torch.float64)] * 2)
    assert curvatures(torch.cat([grid, grid[:, :1]], 1), 9).abs().max() < 1e-12
    # The variances of a disc of radius r on a sphere of radius R: r²/4 along it, twice, and r⁴/(48 R²) across.
    points = sphere(4000, radius=3.0)
    index = ops.ball_query(points, points, radius=0.6, k=80)
    assert (index[:, -1] == -1).all()
    found = curvatures(points, index).mean()
    assert abs(found / (0.6**2 / (24 * 3.0**2)) - 1) < 0.05  # 40 points a disc, and (r/R)² = 0.04


def test_neighbours_given_by_index_or_by_number_are_the_same_and_padding_is_no_neighbour():
    points = sphere(100)
    index = ops.nearest(points, points, 8)
    padded = torch.cat([index, torch.full((100, 3), -1)], 1)
    for neighbors in (index, padded):
        assert torch.equal(curvatures(points, neighbors), curvatures(points, 8))
        torch.testing.assert_close(local_frames(points, neighbors).axes, local_frames(points, 8).axes)


def test_batches_are_taken_one_by_one():
    points = torch.stack([sphere(90), torus(10, 9)[0]])
    normals = estimate_normals(PointCloud(points), 7).normals
    assert normals is not None
    for b in range(2):
        torch.testing.assert_close(normals[b], estimate_normals(PointCloud(points[b]), 7).normals)
    assert curvatures(points[:, None], 7).shape == (2, 1, 90)


def test_gradients_agree_with_finite_differences():
    points = sphere(14, seed=5).requires_grad_()
    index = ops.nearest(points, points, 6)
    torch.autograd.gradcheck(lambda p: curvatures(p, index), points)
    torch.autograd.gradcheck(lambda p: local_frames(p, index).axes, points)
    torch.autograd.gradcheck(lambda p: estimate_normals(PointCloud(p), index).normals, points)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["one place", "line", "lattice", "tiny"])
def test_neighbourhoods_without_a_plane_give_unit_vectors_and_finite_gradients(dtype, kind):
    steps = torch.arange(27, dtype=dtype)
    points = {
        "one place": torch.ones(27, 3, dtype=dtype),
        "line": steps[:, None] * torch.tensor([1.0, 2.0, -1.0], dtype=dtype),
        "lattice": torch.cartesian_prod(*[torch.arange(3, dtype=dtype)] * 3),
        "tiny": 1e-18 * torch.cartesian_prod(*[torch.arange(3, dtype=dtype)] * 3),
    }[kind].requires_grad_()
    normals = estimate_normals(PointCloud(points), 7).normals
    assert normals is not None
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(27, dtype=dtype))
    variation = curvatures(points, 7)
    assert ((variation >= 0) & (variation <= 0.34)).all()
    (grad,) = torch.autograd.grad((normals * torch.arange(3)).sum() + variation.sum(), points)
    assert grad.isfinite().all()


def test_coinciding_eigenvalues_have_gradients_of_their_sum():
    matrix = torch.eye(3, dtype=torch.float64).requires_grad_()
    values, vectors = principal_axes(matrix)
    (grad,) = torch.autograd.grad(values.sum() + vectors.sum(), matrix)
    torch.testing.assert_close(grad, torch.eye(3, dtype=torch.float64))


def test_no_points_have_no_normals():
    empty = torch.zeros(2, 0, 3)
    normals = estimate_normals(PointCloud(empty)).normals
    assert normals is not None and normals.shape == (2, 0, 3)
    assert curvatures(empty).shape == (2, 0)


def test_what_has_no_neighbourhood_is_refused():
    points = sphere(5)
    with pytest.raises(ValueError, match="estimate_normals: 16 neighbors of 5 points"):
        estimate_normals(PointCloud(points))
    with pytest.raises(ValueError, match=r"local_frames: neighbors name points outside 0\.\.4"):
        local_frames(points, torch.full((5, 2), 5))
    points[3, 1] = float("nan")
    with pytest.raises(ValueError, match="curvatures: 1 of 5 points are not finite; drop them"):
        curvatures(points, 3)
