"""Points against surfaces: distances of solids known by a formula, laws, and gradients."""

import math

import pytest
import torch

from maquette import transforms
from maquette.losses import (
    edges_to_point,
    mesh_to_point,
    point_mesh_edge_distance,
    point_mesh_face_distance,
    point_to_edges,
    point_to_mesh,
)
from maquette.shapes import (
    Mesh,
    closest_points,
    cube,
    ico_sphere,
    is_inside,
    positions_at,
    signed_distance,
    tetrahedron,
    transform,
    winding_number,
)


def random(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def cube_distance(points, half):
    """Signed distance to the cube [-half, half]^3."""
    beyond = points.abs() - half
    return beyond.clamp(min=0).norm(dim=-1) + beyond.amax(-1).clamp(max=0)


def double(mesh):
    return mesh.with_vertices(mesh.vertices.double())


def moved(seed):
    """A random rigid motion."""
    turn = torch.linalg.qr(random(seed, 3, 3, dtype=torch.float64)).Q
    turn = turn * torch.linalg.det(turn)
    return transforms.rigid(turn, random(seed + 1, 3, dtype=torch.float64))


def test_the_signed_distance_to_a_cube_is_its_formula():
    points = 2 * random(0, 500, 3)
    expected = cube_distance(points, 1.0)
    assert torch.allclose(signed_distance(cube(2.0), points), expected, atol=2e-6)
    assert torch.allclose(point_to_mesh(points, cube(2.0)), expected.square(), rtol=1e-5, atol=1e-6)
    assert torch.equal(is_inside(cube(2.0), points), expected < 0)


def test_the_signed_distance_to_a_sphere_is_right_to_the_height_of_its_facets():
    points = random(1, 300, 3)
    sphere = ico_sphere(4)
    height = 1 - sphere.corners().mean(1).norm(dim=-1).min()
    error = signed_distance(sphere, points) - (points.norm(dim=-1) - 1)
    assert (error > -1e-5).all() and (error < height + 1e-5).all()


def test_closest_points_lie_on_the_surface_and_are_weighted_by_barycentrics():
    points, box = 2 * random(2, 200, 3), cube(2.0)
    samples = closest_points(box, points)
    assert (samples.barycentric >= 0).all()
    assert torch.allclose(samples.barycentric.sum(-1), torch.ones(200))
    outside = cube_distance(points, 1.0) > 0
    places = positions_at(box, samples)
    assert torch.allclose(places[outside], points.clamp(-1, 1)[outside], atol=1e-6)
    assert torch.allclose(cube_distance(places, 1.0), torch.zeros(200), atol=1e-6)


def test_distances_do_not_change_under_a_rigid_motion():
    mesh, points, motion = double(ico_sphere(2)), random(3, 100, 3, dtype=torch.float64), moved(5)
    elsewhere, there = transform(mesh, motion), transforms.apply(motion, points)
    for distance in (
        point_to_mesh(points, mesh) - point_to_mesh(there, elsewhere),
        mesh_to_point(mesh, points) - mesh_to_point(elsewhere, there),
        point_to_edges(points, mesh) - point_to_edges(there, elsewhere),
        edges_to_point(mesh, points) - edges_to_point(elsewhere, there),
        signed_distance(mesh, points) - signed_distance(elsewhere, there),
    ):
        assert distance.abs().max() < 1e-12


def test_the_losses_are_the_sums_of_means_that_a_hand_computes():
    # A right triangle in z = 0 and two points over it: squared heights 1 and 4; the face's nearest is the first.
    mesh = Mesh(torch.tensor([[0.0, 0, 0], [4, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2]]))
    points = torch.tensor([[1.0, 1, 1], [1, 1, -2]])
    assert point_mesh_face_distance(mesh, points).item() == pytest.approx((1 + 4) / 2 + 1)
    # Edges: each point is 1 beside two of them, the third is (4 - 2) / sqrt 2 away; each edge is nearest to the first.
    assert point_mesh_edge_distance(mesh, points).item() == pytest.approx((2 + 5) / 2 + (2 + 2 + 3) / 3)


def test_a_surface_sampled_at_its_vertices_is_at_no_distance_either_way():
    sphere = ico_sphere(2)
    assert point_mesh_face_distance(sphere, sphere.vertices).item() == 0
    assert point_mesh_edge_distance(sphere, sphere.vertices).item() == 0


def test_a_mesh_of_the_batch_has_the_distances_it_has_alone():
    mesh = ico_sphere(1).with_vertices(ico_sphere(1).vertices * torch.tensor([1.0, 0.5, 2.0])[:, None, None])
    points = random(6, 3, 40, 3)
    for loss in (point_mesh_face_distance, point_mesh_edge_distance, mesh_to_point, signed_distance, winding_number):
        together = loss(mesh, points)
        alone = torch.stack([loss(mesh.with_vertices(mesh.vertices[i]), points[i]) for i in range(3)])
        assert torch.allclose(together, alone, atol=1e-6)
        assert torch.allclose(
            loss(mesh, points[0]),
            torch.stack([loss(mesh.with_vertices(mesh.vertices[i]), points[0]) for i in range(3)]),
            atol=1e-6,
        )


@pytest.mark.parametrize("where", [0.2, 3.0])
def test_distances_have_the_gradients_of_their_values(where):
    vertices = (tetrahedron().vertices.double() + 0.1 * random(7, 4, 3, dtype=torch.float64)).requires_grad_()
    points = (where * random(8, 4, 3, dtype=torch.float64)).requires_grad_()
    faces = tetrahedron().faces

    for distance in (
        lambda p, v: point_to_mesh(p, Mesh(v, faces)),
        lambda p, v: mesh_to_point(Mesh(v, faces), p),
        lambda p, v: edges_to_point(Mesh(v, faces), p),
        lambda p, v: signed_distance(Mesh(v, faces), p),
        lambda p, v: positions_at(Mesh(v, faces), closest_points(Mesh(v, faces), p)),
    ):
        assert torch.autograd.gradcheck(distance, (points, vertices), fast_mode=True)
    assert torch.autograd.gradgradcheck(
        lambda p, v: point_to_mesh(p, Mesh(v, faces)), (points, vertices), fast_mode=True
    )


def test_the_gradient_of_a_signed_distance_has_length_one_and_points_outward():
    points = (2 * random(9, 100, 3, dtype=torch.float64)).requires_grad_()
    (gradient,) = torch.autograd.grad(signed_distance(double(cube(2.0)), points).sum(), points)
    assert torch.allclose(gradient.norm(dim=-1), torch.ones(100, dtype=torch.float64))
    outside = cube_distance(points, 1.0) > 0
    assert ((gradient * points).sum(-1) > 0)[outside].all()


def test_faces_without_area_and_points_on_the_surface_have_finite_gradients():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 0, 0]], requires_grad=True)
    points = torch.tensor([[0.5, 1, 0], [0, 0, 0], [1, 0, 0], [-1, -1, 0]], requires_grad=True)
    for faces in ([[0, 1, 2]], [[0, 0, 0]], [[0, 3, 0], [0, 1, 1]], [[0, 3, 1]]):
        mesh = Mesh(vertices, torch.tensor(faces))
        total = point_mesh_face_distance(mesh, points) + signed_distance(mesh, points).sum()
        for gradient in torch.autograd.grad(total, (vertices, points)):
            assert gradient.isfinite().all()


def test_the_winding_number_counts_the_surfaces_around_a_point():
    inner, outer = ico_sphere(2, 0.5), ico_sphere(2, 1.0)
    both = Mesh(torch.cat([inner.vertices, outer.vertices]), torch.cat([inner.faces, outer.faces + 162]))
    points = torch.tensor([[0.1, 0.2, 0.1], [0.0, 0.75, 0.0], [0.0, 0.0, 1.5]])
    assert torch.allclose(winding_number(both, points), torch.tensor([2.0, 1.0, 0.0]), atol=0.02)
    inside_out = Mesh(outer.vertices, outer.faces.flip(1))
    assert torch.allclose(winding_number(inside_out, points[:1]), torch.tensor([-1.0]), atol=0.02)
    assert (signed_distance(inside_out, points[:1]) < 0).all()


def test_the_winding_number_of_an_open_surface_is_the_solid_angle_it_fills():
    # One side of a cube fills a sixth of the directions from its middle; without it, inside stays inside.
    box = cube(2.0)
    middle = torch.zeros(1, 3)
    assert winding_number(Mesh(box.vertices, box.faces[:2]), middle).item() == pytest.approx(1 / 6, abs=1e-3)
    assert is_inside(Mesh(box.vertices, box.faces[2:]), middle).all()


def test_no_points_and_no_faces_have_defined_results():
    sphere, nothing = ico_sphere(0), Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64))
    none = torch.zeros(0, 3)
    assert point_to_mesh(none, sphere).shape == signed_distance(sphere, none).shape == (0,)
    assert winding_number(sphere, none).shape == (0,)
    assert torch.equal(winding_number(nothing, torch.zeros(4, 3)), torch.zeros(4))
    with pytest.raises(ValueError, match="mesh_to_point: there are no points"):
        mesh_to_point(sphere, none)
    for distance in (lambda: point_to_mesh(none, nothing), lambda: signed_distance(nothing, torch.zeros(1, 3))):
        with pytest.raises(ValueError, match="closest_points: the mesh has no faces"):
            distance()


def test_what_is_not_finite_is_refused_by_name():
    points = torch.tensor([[0.0, 0, 0], [math.nan, 0, 0]])
    sphere = ico_sphere(0)
    for call in (point_to_mesh, lambda p, m: mesh_to_point(m, p), lambda p, m: winding_number(m, p)):
        with pytest.raises(ValueError, match="1 of 2 points are not finite, the first is number 1"):
            call(points, sphere)
        with pytest.raises(ValueError, match="1 of 12 vertices are not finite"):
            call(points[:1], sphere.with_vertices(sphere.vertices.index_fill(0, torch.tensor([3]), math.inf)))
