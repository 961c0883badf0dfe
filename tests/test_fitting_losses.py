"""Losses of moulding against values worked out by hand: quadrics, Pixel2Mesh's, normals of points, pictures."""

import itertools
import math

import pytest
import torch

from maquette.losses import (
    chamfer_normal,
    edge_normal_p2m,
    laplacian_delta,
    laplacian_uniform,
    photometric_l1,
    photometric_l2,
    quadric_loss,
    quadrics,
    silhouette_mse,
    soft_iou_loss,
)
from maquette.shapes import Mesh, cube, face_normals, ico_sphere, laplacian, plane, tetrahedron, topology_of

NO_FACES = torch.zeros((0, 3), dtype=torch.int64)


def doubled(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices.double(), mesh.faces)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pyramid(seed: int, *batch: int) -> Mesh:
    """Four vertices pushed about."""
    mesh = doubled(tetrahedron())
    return mesh.with_vertices(mesh.vertices + 0.1 * noise(*batch, 4, 3, seed=seed))


def blob(seed: int, *batch: int) -> Mesh:
    mesh = doubled(ico_sphere(1))
    return mesh.with_vertices(mesh.vertices + 0.1 * noise(*batch, 42, 3, seed=seed))


def quadrics_one_by_one(mesh: Mesh) -> torch.Tensor:
    """The definition, vertex by vertex: the sum over its faces of (n, d)(n, d)^T with d = -n.v."""
    result = torch.zeros(len(mesh.vertices), 4, 4, dtype=mesh.vertices.dtype)
    for face in mesh.faces.tolist():
        a, b, c = mesh.vertices[face]
        n = torch.linalg.cross(b - a, c - a)
        n = n / n.norm()
        row = torch.cat([n, -(n @ a)[None]])
        for vertex in face:
            result[vertex] += torch.outer(row, row)
    return result


# Quadrics


def test_quadrics_are_the_sums_of_the_outer_products_of_their_planes():
    mesh = blob(0)
    torch.testing.assert_close(quadrics(mesh, weighting="faces").matrices(), quadrics_one_by_one(mesh))


def test_the_quadric_loss_is_the_homogeneous_form_at_the_nearest_point():
    target, points = blob(1), blob(2).vertices
    matrices = quadrics_one_by_one(target)
    nearest = torch.cdist(target.vertices, points).argmin(1)
    s = torch.cat([points[nearest], torch.ones(42, 1, dtype=torch.float64)], 1)
    expected = (s[:, None] @ matrices @ s[..., None])[:, 0, 0]
    torch.testing.assert_close(quadric_loss(points, quadrics(target), reduction="sum"), expected.sum())
    torch.testing.assert_close(quadric_loss(points, quadrics(target), reduction="mean"), expected.sum() / 42)


def test_the_quadric_loss_is_zero_for_points_on_all_planes_and_where_they_slide_along_them():
    target = doubled(cube())
    assert quadric_loss(target.vertices, quadrics(target), reduction="sum").item() == 0
    flat = doubled(plane())
    slid = flat.vertices + torch.tensor([0.01, 0, 0], dtype=torch.float64)  # a plane faces up or to the front
    normal = face_normals(flat)[0]
    slid = slid - (slid @ normal)[:, None] * normal
    assert quadric_loss(slid, quadrics(flat), reduction="sum").item() == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize(("corner", "axis"), list(itertools.product(range(8), range(3))))
def test_a_cube_corner_moved_along_a_face_normal_costs_its_triangles_on_that_face(corner, axis):
    target, d = doubled(cube()), 0.03
    moved = target.vertices.clone()
    moved[corner, axis] += d
    normals = face_normals(target)
    triangles = int(((target.faces == corner).any(1) & (normals[:, axis].abs() > 0.5)).sum())
    assert triangles in (1, 2)
    assert quadric_loss(moved, quadrics(target), reduction="sum").item() == pytest.approx(triangles * d * d)


def test_the_gradient_of_the_quadric_loss_is_normal_to_flat_regions():
    target = doubled(plane())
    points = (target.vertices + 0.01 * noise(*target.vertices.shape)).requires_grad_()
    (gradient,) = torch.autograd.grad(quadric_loss(points, quadrics(target), reduction="sum"), points)
    assert float(gradient.abs().max()) > 1e-3
    across = torch.linalg.cross(gradient, face_normals(target)[:1].expand_as(gradient))
    assert float(across.abs().max()) < 1e-12


def test_quadrics_by_area_equal_those_by_faces_where_all_faces_are_equal_and_do_not_know_scale():
    equal = doubled(tetrahedron())
    torch.testing.assert_close(quadrics(equal, weighting="area").normals, quadrics(equal).normals)
    uneven = blob(3)
    larger = uneven.with_vertices(uneven.vertices * 7)
    torch.testing.assert_close(quadrics(larger, weighting="area").normals, quadrics(uneven, weighting="area").normals)
    assert not torch.allclose(quadrics(uneven, weighting="area").normals, quadrics(uneven).normals, rtol=1e-3)


def test_quadrics_by_area_count_a_face_by_its_part_of_the_mean_area():
    # Areas 2 and 1/2 (mean 1.25) in the planes z = 0 and y = 0; none of their sides are of one length.
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 1], [1, 0, 0]], dtype=torch.float64)
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 3, 4]]))
    weighted = quadrics(mesh, weighting="area").normals[0]
    torch.testing.assert_close(weighted, torch.diag(torch.tensor([0, 0.4, 1.6], dtype=torch.float64)))


def test_faces_without_area_add_nothing_to_quadrics():
    mesh = doubled(cube())
    more = torch.cat([mesh.faces, torch.tensor([[0, 0, 1], [2, 2, 2]])])
    for weighting in ("faces", "area"):
        torch.testing.assert_close(
            quadrics(Mesh(mesh.vertices, more), weighting=weighting).normals,
            quadrics(mesh, weighting=weighting).normals,
        )


def test_points_in_another_frame_than_the_quadrics_are_refused():
    sphere, raw = ico_sphere(2).vertices, quadrics(Mesh(cube().vertices * 80, cube().faces))
    with pytest.raises(ValueError, match="frame of the points"):
        quadric_loss(sphere, raw, reduction="sum")
    with pytest.raises(ValueError, match="frame of the points"):
        quadric_loss(sphere * 100, quadrics(cube()), reduction="sum")
    with pytest.raises(ValueError, match="100 apart"):
        quadric_loss(sphere + torch.tensor([100.0, 0, 0]), quadrics(cube()), reduction="sum")


def test_a_quadric_loss_far_from_the_origin_keeps_its_digits():
    # In float32 the homogeneous form would round d^2 = 1e-6 away beside 1e4.
    target = cube().with_vertices(cube().vertices + 100)
    moved = target.vertices.clone()
    moved[:, 0] += 2.0**-10
    expected = sum(
        int((target.faces == corner).any(1)[face_normals(target)[:, 0].abs() > 0.5].sum()) for corner in range(8)
    )
    loss = quadric_loss(moved, quadrics(target), reduction="sum")
    assert loss.item() == pytest.approx(expected * 2.0**-20, rel=1e-5)


def test_one_target_serves_a_batch_and_a_batch_of_targets_is_taken_one_by_one():
    points, targets = noise(2, 3, 20, 3), pyramid(4, 2, 3)
    ours = quadric_loss(points, quadrics(targets), reduction="mean")
    once = quadric_loss(points, quadrics(pyramid(5)), reduction="mean")
    for i, j in itertools.product(range(2), range(3)):
        each = targets.with_vertices(targets.vertices[i, j])
        torch.testing.assert_close(ours[i, j], quadric_loss(points[i, j], quadrics(each), reduction="mean"))
        torch.testing.assert_close(once[i, j], quadric_loss(points[i, j], quadrics(pyramid(5)), reduction="mean"))


def test_the_quadric_loss_has_the_gradient_of_its_value():
    target = quadrics(blob(6))
    points = noise(2, 5, 3, seed=7).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: quadric_loss(p, target, reduction="sum"), (points,))
    assert torch.autograd.gradcheck(lambda p: quadric_loss(p, target, reduction="mean"), (points,))


def test_targets_without_faces_or_vertices_cost_nothing():
    points = torch.rand(5, 3, requires_grad=True)
    loose = quadrics(Mesh(torch.rand(4, 3), NO_FACES), weighting="area")
    empty = quadrics(Mesh(torch.zeros(0, 3), NO_FACES))
    value = quadric_loss(points, loose, reduction="sum") + quadric_loss(points, empty, reduction="mean")
    value.backward()
    assert value.item() == 0
    assert points.grad is not None and torch.equal(points.grad, torch.zeros(5, 3))


def test_quadrics_refuse_what_they_cannot_use():
    with pytest.raises(ValueError, match="quadric_loss: there are no points"):
        quadric_loss(torch.zeros(0, 3), quadrics(cube()), reduction="sum")
    with pytest.raises(ValueError, match="quadrics: faces use vertices 0 to 7, but there are 4"):
        quadrics(Mesh(torch.rand(4, 3), torch.tensor([[0, 1, 7]])))
    with pytest.raises(ValueError, match="give the same leading axes"):
        quadric_loss(noise(3, 5, 3), quadrics(blob(0, 2)), reduction="sum")


# Pixel2Mesh


def test_the_edge_normal_loss_is_the_cosine_with_the_nearest_normal_from_both_ends():
    mesh = Mesh(torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2]]))
    points = torch.tensor([[0.1, 0, 0], [3, 0.1, 0], [0, 4, 0.1]])
    normals = torch.tensor([[2.0, 0, 0], [0, 1, 0], [0, 0, 1]])  # lengths do not matter
    # Edges 01 along x, 02 along y, 12 along (-3, 4) / 5; at vertex 0 normal x, at 1 normal y, at 2 normal z.
    expected = ((1 + 0) + (0 + 0) + (4 / 5 + 0)) / 6
    assert edge_normal_p2m(mesh, points, normals=normals).item() == pytest.approx(expected)
    assert edge_normal_p2m(mesh, points, normals=-normals).item() == pytest.approx(expected)


def test_the_edge_normal_loss_vanishes_on_the_plane_that_the_target_is():
    mesh = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]), torch.tensor([[0, 1, 2], [2, 1, 3]]))
    points, up = torch.rand(9, 3) * torch.tensor([1.0, 1, 0]), torch.tensor([[0.0, 0, 1]]).expand(9, 3)
    assert edge_normal_p2m(mesh, points, normals=up, topology=topology_of(mesh.faces)).item() == 0


def test_the_edge_normal_loss_has_the_gradient_of_its_value_and_goes_by_batches():
    mesh, points, normals = pyramid(8, 2), noise(2, 9, 3), noise(2, 9, 3, seed=1)
    vertices = mesh.vertices.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda v: edge_normal_p2m(mesh.with_vertices(v), points, normals=normals), (vertices,)
    )
    single = [edge_normal_p2m(mesh.with_vertices(vertices[i]), points[i], normals=normals[i]) for i in range(2)]
    torch.testing.assert_close(edge_normal_p2m(mesh, points, normals=normals), torch.stack(single))


def test_the_edge_normal_loss_has_no_gradient_for_the_target():
    mesh = Mesh(
        torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).requires_grad_(), torch.tensor([[0, 1, 2]])
    )
    points, normals = torch.eye(3).requires_grad_(), torch.ones(3, 3).requires_grad_()
    edge_normal_p2m(mesh, points, normals=normals).backward()
    assert mesh.vertices.grad is not None and float(mesh.vertices.grad.norm()) > 0
    assert points.grad is None and normals.grad is None


def test_the_laplacian_delta_is_the_mean_square_of_what_the_laplacian_makes_of_the_move():
    before, after = blob(9), blob(10)
    moved = laplacian(before, "uniform") @ (after.vertices - before.vertices)
    torch.testing.assert_close(laplacian_delta(before, after), moved.square().sum(1).mean())


def test_the_laplacian_delta_of_one_vertex_is_worked_out_by_hand():
    # Vertex 0 of a triangle moves by 1: its own difference by 1, that of its two neighbours by half.
    before = Mesh(torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2]]))
    after = before.with_vertices(before.vertices + torch.tensor([[0.0, 0, 1], [0, 0, 0], [0, 0, 0]]))
    assert laplacian_delta(before, after).item() == pytest.approx((1 + 0.25 + 0.25) / 3)


def test_a_vertex_without_edges_costs_no_laplacian_delta_but_counts_as_one():
    """A first vertex of a triangle that moves by 1 changes the differences by 1, 1/2 and 1/2; the fourth is alone."""
    before = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 5, 5]]), torch.tensor([[0, 1, 2]]))
    moved = torch.tensor([[0.0, 0, 1], [0, 0, 0], [0, 0, 0], [7, 0, 0]])
    expected = (1 + 1 / 4 + 1 / 4) / 4
    assert laplacian_delta(before, before.with_vertices(before.vertices + moved)).item() == pytest.approx(expected)


def test_moving_all_vertices_alike_costs_no_laplacian_delta_though_the_laplacian_is_not_zero():
    before = blob(11)
    after = before.with_vertices(before.vertices + 0.7)
    assert laplacian_delta(before, after).item() == pytest.approx(0, abs=1e-28)
    assert laplacian_uniform(before).item() > 0.1


def test_the_laplacian_delta_has_the_gradient_of_its_value_and_goes_by_batches():
    before, after = pyramid(12, 2), pyramid(13, 2)
    topology = topology_of(before.faces)
    b, a = before.vertices.requires_grad_(), after.vertices.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x, y: laplacian_delta(before.with_vertices(x), after.with_vertices(y), topology), (b, a)
    )
    single = [laplacian_delta(before.with_vertices(b[i]), before.with_vertices(a[i])) for i in range(2)]
    torch.testing.assert_close(laplacian_delta(before, after), torch.stack(single))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-15, 1.0, 1e15])
def test_losses_of_pixel2mesh_are_finite_with_finite_gradients_at_any_scale(scale):
    vertices = (tetrahedron().vertices * scale).requires_grad_()
    points = (tetrahedron().vertices * scale).detach()
    mesh = Mesh(vertices, tetrahedron().faces)
    value = edge_normal_p2m(mesh, points, normals=points)
    (gradient,) = torch.autograd.grad(value, vertices)
    assert math.isfinite(value.item()) and bool(gradient.isfinite().all())
    if scale <= 1:
        value = laplacian_delta(mesh.with_vertices(points), mesh)
        (gradient,) = torch.autograd.grad(value, vertices)
        assert value.item() == 0 and torch.equal(gradient, torch.zeros_like(gradient))


def test_losses_of_pixel2mesh_without_faces_are_zero_and_misfits_are_refused():
    loose = Mesh(torch.rand(2, 5, 3), NO_FACES)
    points = torch.rand(2, 4, 3)
    assert torch.equal(edge_normal_p2m(loose, points, normals=points), torch.zeros(2))
    assert torch.equal(laplacian_delta(loose, loose), torch.zeros(2))
    with pytest.raises(ValueError, match=r"laplacian_delta: .* give one topology"):
        laplacian_delta(cube(), tetrahedron())
    with pytest.raises(ValueError, match="edge_normal_p2m: there are no target points"):
        edge_normal_p2m(cube(), torch.zeros(0, 3), normals=torch.zeros(0, 3))


# Normals of points


def test_chamfer_normal_is_one_less_the_cosine_of_the_nearest_each_way():
    a = torch.tensor([[0.0, 0, 0]])
    b = torch.tensor([[1.0, 0, 0], [0, 2, 0]])
    up, tilted = torch.tensor([[0.0, 0, 1]]), torch.tensor([[0.0, 3, -4], [5, 0, 0]])
    # a finds the first of b: 1 - 4/5. Both of b find a: (1 - 4/5 + 1 - 0) / 2.
    expected = 0.2 + (0.2 + 1) / 2
    assert chamfer_normal(a, b, normals_a=up, normals_b=tilted).item() == pytest.approx(expected)
    assert chamfer_normal(b, a, normals_a=tilted, normals_b=up).item() == pytest.approx(expected)


def test_chamfer_normal_of_a_set_with_itself_is_zero_whichever_way_its_normals_point():
    points, normals = noise(30, 3), noise(30, 3, seed=1)
    flipped = normals * torch.where(torch.arange(30) % 2 == 0, 1.0, -3.0)[:, None]
    assert chamfer_normal(points, points, normals_a=normals, normals_b=flipped).item() == pytest.approx(0, abs=1e-15)


def test_chamfer_normal_has_the_gradient_of_its_value_and_goes_by_batches():
    a, b = noise(2, 5, 3), noise(2, 4, 3, seed=1)
    n, m = noise(2, 5, 3, seed=2).requires_grad_(), noise(2, 4, 3, seed=3).requires_grad_()
    assert torch.autograd.gradcheck(lambda n, m: chamfer_normal(a, b, normals_a=n, normals_b=m), (n, m))
    single = [chamfer_normal(a[i], b[i], normals_a=n[i], normals_b=m[i]) for i in range(2)]
    torch.testing.assert_close(chamfer_normal(a, b, normals_a=n, normals_b=m), torch.stack(single))


@pytest.mark.parametrize("scale", [0.0, 1e-38, 1e-20, 1e20])
def test_chamfer_normal_is_finite_with_finite_gradients_for_normals_of_any_length(scale):
    points = torch.rand(6, 3)
    normals = (torch.rand(6, 3) * scale).requires_grad_()
    value = chamfer_normal(points, points, normals_a=normals, normals_b=torch.rand(6, 3))
    value.backward()
    assert math.isfinite(value.item())
    assert normals.grad is not None and not bool(normals.grad.isnan().any())
    if scale == 0:
        assert value.item() == 2
        assert torch.equal(normals.grad, torch.zeros(6, 3))


def test_chamfer_normal_refuses_empty_sets_and_normals_that_are_not_those_of_the_points():
    some, none = torch.rand(3, 3), torch.zeros(0, 3)
    with pytest.raises(ValueError, match="chamfer_normal: the sets have 3 and 0 points"):
        chamfer_normal(some, none, normals_a=some, normals_b=none)


# Pictures


def test_the_silhouette_loss_of_a_quarter_wrong_pixels_is_a_quarter():
    mask = torch.tensor([[True, True], [False, False]])
    alpha = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    assert silhouette_mse(alpha, mask).item() == 0.25
    assert silhouette_mse(torch.full((2, 2), 0.5), mask).item() == 0.25
    assert silhouette_mse(mask.float(), mask).item() == 0


def test_the_soft_iou_loss_is_worked_out_by_hand():
    mask = torch.tensor([[True, True], [False, False]])
    alpha = torch.tensor([[1.0, 0.5], [0.5, 0.0]])
    # Intersection 1.5, union 1 + 1 + 0.5.
    assert soft_iou_loss(alpha, mask).item() == pytest.approx(1 - 1.5 / 2.5)
    assert soft_iou_loss(mask.float(), mask).item() == 0
    assert soft_iou_loss((~mask).float(), mask).item() == 1


def test_nothing_against_nothing_agrees_and_something_against_nothing_does_not():
    empty, alpha = torch.zeros(3, 3, dtype=torch.bool), torch.zeros(3, 3, requires_grad=True)
    value = soft_iou_loss(alpha, empty)
    value.backward()
    assert value.item() == 0
    assert alpha.grad is not None and torch.equal(alpha.grad, torch.zeros(3, 3))
    assert soft_iou_loss(torch.full((3, 3), 0.1), empty).item() == 1


@pytest.mark.parametrize("loss", [silhouette_mse, soft_iou_loss], ids=lambda loss: loss.__name__)
def test_masks_that_are_not_boolean_are_refused(loss):
    labels = torch.tensor([[0, 7], [7, 15]])
    with pytest.raises(
        ValueError, match=f"{loss.__name__}: the mask is torch.float32 with values 0 to 15; give a bool"
    ):
        loss(torch.rand(2, 2), labels.float())
    with pytest.raises(ValueError, match=r"torch.int64 with values 0 to 15"):
        loss(torch.rand(2, 2), labels)
    with pytest.raises(ValueError, match="make them alike"):
        loss(torch.rand(2, 2), torch.ones(1, 2, 2, dtype=torch.bool))


@pytest.mark.parametrize("loss", [silhouette_mse, soft_iou_loss], ids=lambda loss: loss.__name__)
def test_silhouette_losses_have_the_gradients_of_their_values_and_go_by_batches(loss):
    alpha = torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    mask = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(1)) > 0.5
    assert torch.autograd.gradcheck(lambda a: loss(a, mask), (alpha,))
    single = torch.stack([torch.stack([loss(alpha[i, j], mask[i, j]) for j in range(3)]) for i in range(2)])
    torch.testing.assert_close(loss(alpha, mask), single)


def test_photometric_losses_are_means_over_pixels_and_channels():
    picture = torch.zeros(2, 2, 3)
    target = torch.zeros(2, 2, 3)
    target[0, 0] = torch.tensor([0.3, 0.0, 0.6])
    assert photometric_l1(picture, target).item() == pytest.approx(0.9 / 12)
    assert photometric_l2(picture, target).item() == pytest.approx(0.45 / 12)
    within = torch.tensor([[True, True], [False, False]])
    assert photometric_l1(picture, target, within=within).item() == pytest.approx(0.9 / 6)
    assert photometric_l2(picture, target, within=~within).item() == 0


@pytest.mark.parametrize("loss", [photometric_l1, photometric_l2], ids=lambda loss: loss.__name__)
def test_photometric_losses_have_the_gradients_of_their_values_and_go_by_batches(loss):
    picture, target = noise(2, 4, 5, 3).requires_grad_(), noise(2, 4, 5, 3, seed=1)
    within = noise(2, 4, 5, seed=2) > 0
    assert torch.autograd.gradcheck(lambda p: loss(p, target), (picture,))
    assert torch.autograd.gradcheck(lambda p: loss(p, target, within=within), (picture,))
    single = [loss(picture[i], target[i], within=within[i]) for i in range(2)]
    torch.testing.assert_close(loss(picture, target, within=within), torch.stack(single))


@pytest.mark.parametrize("loss", [photometric_l1, photometric_l2], ids=lambda loss: loss.__name__)
def test_pixels_outside_the_mask_may_hold_anything_and_no_pixels_cost_nothing(loss):
    picture = torch.full((2, 2, 3), torch.nan, requires_grad=True)
    nowhere = torch.zeros(2, 2, dtype=torch.bool)
    value = loss(picture, torch.full((2, 2, 3), torch.inf), within=nowhere)
    value.backward()
    assert value.item() == 0
    assert picture.grad is not None and torch.equal(picture.grad, torch.zeros(2, 2, 3))
    assert loss(torch.zeros(0, 4, 3), torch.zeros(0, 4, 3)).item() == 0
    assert silhouette_mse(torch.zeros(0, 4), torch.zeros(0, 4, dtype=torch.bool)).item() == 0


def test_photometric_losses_refuse_pictures_of_bytes_and_of_other_sizes():
    with pytest.raises(ValueError, match=r"photometric_l1: the picture is torch.float32 .* torch.uint8"):
        photometric_l1(torch.rand(2, 2, 3), torch.zeros(2, 2, 3, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"photometric_l2: .* make them alike"):
        photometric_l2(torch.rand(2, 2, 3), torch.rand(1, 2, 2, 3))
