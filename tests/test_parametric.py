"""Surfaces given by formulas: points on them, their implicit functions, and the meshes marching cubes makes of them."""

import math

import pytest
import torch

from maquette.shapes import (
    Mesh,
    Sphere,
    Superquadric,
    Torus,
    bounds,
    face_areas,
    implicit_mesh,
    points_on,
    surface_mesh,
)
from maquette.shapes.parametric import extent, signed_power, surface_at, value

SURFACES = {
    "sphere": Sphere(0.7),
    "torus": Torus(0.75, 0.25),
    "ellipsoid": Superquadric((1.0, 0.5, 0.8)),
    "box": Superquadric((1.0, 0.5, 0.8), (0.3, 0.4)),
    "star": Superquadric((1.0, 0.5, 0.8), (1.7, 2.5)),
}
BOX = torch.tensor([[-1.1] * 3, [1.1] * 3])


def volume(mesh: Mesh) -> float:
    """By the divergence theorem: signed tetrahedra between the origin and every face."""
    a, b, c = mesh.corners().double().unbind(-2)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def torus_distance(points: torch.Tensor, torus: Torus) -> torch.Tensor:
    """Signed, in closed form."""
    x, y, z = points.double().unbind(-1)
    return torch.hypot(torch.hypot(x, y) - torus.major, z) - torus.minor


@pytest.fixture(params=SURFACES, ids=list(SURFACES))
def surface(request):
    return SURFACES[request.param]


@pytest.mark.parametrize("n", [1, 2, 7, 20])
def test_a_grid_of_n_by_n_points_lies_on_the_surface_and_repeats_none(surface, n):
    points = points_on(surface, n, dtype=torch.float64).points
    assert points.shape == (n * n, 3)
    # The function grows like a power below 10 of coordinates near 1.
    assert float(value(surface, points).abs().max()) < 1e-13
    if n > 1:
        least = torch.pdist(points).min()
        assert float(least) > 1e-5 if surface == SURFACES["star"] else float(least) > 1e-3


def test_points_of_a_torus_are_those_of_its_formula():
    points = points_on(Torus(2.0, 0.5), 8).points.reshape(8, 8, 3)
    t, p = 3 * math.pi / 4, 5 * math.pi / 4  # steps 3 and 5 of 8
    ring = 2 + 0.5 * math.cos(t)
    expected = torch.tensor([ring * math.cos(p), ring * math.sin(p), 0.5 * math.sin(t)])
    assert torch.allclose(points[3, 5], expected, atol=1e-6)
    assert points[0, 0].tolist() == [2.5, 0.0, 0.0]


def test_points_of_a_sphere_have_their_poles_on_the_y_axis():
    t, p = torch.tensor(0.3), torch.tensor(0.8)
    expected = [math.sin(0.3) * math.cos(0.8), math.cos(0.3), math.sin(0.3) * math.sin(0.8)]
    assert torch.allclose(surface_at(Sphere(2.0), t, p), 2 * torch.tensor(expected))


def test_signed_powers_keep_the_sign_and_give_no_nan():
    x = torch.tensor([-8.0, -1.0, 0.0, 1.0, 8.0])
    assert torch.allclose(signed_power(x, 1 / 3), torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0]))


def test_a_superquadric_with_powers_of_one_is_an_ellipsoid_and_with_powers_of_two_an_octahedron():
    scale = torch.tensor([1.0, 2.0, 3.0])
    ellipsoid = points_on(Superquadric((1.0, 2.0, 3.0)), 12).points / scale
    assert torch.allclose(ellipsoid.norm(dim=-1), torch.ones(144), atol=1e-6)
    octahedron = points_on(Superquadric((1.0, 2.0, 3.0), (2.0, 2.0)), 12).points / scale
    assert torch.allclose(octahedron.abs().sum(-1), torch.ones(144), atol=1e-6)


def test_small_powers_do_not_lift_the_rounding_of_a_cosine_off_zero():
    # cos(pi / 2) is 6e-17, whose twentieth root is 0.15.
    quarter = torch.tensor(math.pi / 2, dtype=torch.float64)
    point = surface_at(Superquadric((1.0, 1.0, 1.0), (0.05, 0.05)), torch.zeros_like(quarter), quarter)
    assert point.tolist() == [0.0, 1.0, 0.0]


def test_colours_are_positions_min_max_normalised_over_all_axes_together(surface):
    cloud = points_on(surface, 30, dtype=torch.float64)
    low, high = cloud.points.min(), cloud.points.max()
    assert torch.allclose(cloud.colors, (cloud.points - low) / (high - low))
    assert float(cloud.colors.min()) == 0 and float(cloud.colors.max()) == 1


def test_the_implicit_function_is_negative_inside_and_positive_outside(surface):
    points = points_on(surface, 9, dtype=torch.float64).points
    middle = torch.zeros_like(points)
    if isinstance(surface, Torus):
        middle[:, :2] = surface.major * torch.nn.functional.normalize(points[:, :2], dim=-1)
    assert bool((value(surface, middle + 0.99 * (points - middle)) < 0).all())
    assert bool((value(surface, middle + 1.01 * (points - middle)) > 0).all())


def test_the_implicit_function_has_its_gradient_and_no_nan_at_the_origin(surface):
    points = torch.tensor([[0.3, -0.4, 0.2], [-0.9, 0.1, -0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: value(surface, x), (points,))
    origin = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(value(surface, origin).sum(), origin)
    assert gradient.tolist() == [[0.0, 0.0, 0.0]]


def test_its_extent_is_what_its_points_reach(surface):
    points = points_on(surface, 400, dtype=torch.float64).points
    # Angles stop within half a step of the poles, which moves a point by the step to the least power, 0.3.
    assert torch.allclose(torch.stack([points.amin(0), points.amax(0)]).float(), extent(surface), atol=0.02)
    assert bool((points.abs().amax(0).float() <= extent(surface)[1] + 1e-6).all())


def test_the_mesh_of_a_torus_has_its_area_and_volume_and_lies_on_it():
    torus = Torus(0.75, 0.25)
    mesh = implicit_mesh(lambda points: value(torus, points), BOX, resolution=64)
    h = 2.2 / 63
    area, content = 4 * math.pi**2 * 0.75 * 0.25, 2 * math.pi**2 * 0.75 * 0.25**2
    # Chords of length h sqrt 3 within a curvature 1/r lose (h / r)^2 / 4 at most, of the tube's section too.
    assert float(face_areas(mesh).sum()) == pytest.approx(area, rel=(h / 0.25) ** 2 / 4)
    assert volume(mesh) == pytest.approx(content, rel=(h / 0.25) ** 2)
    assert volume(mesh) > 0
    assert float(torus_distance(mesh.vertices, torus).abs().max()) < h**2


@pytest.mark.parametrize("resolution", [24, 48])
def test_vertices_err_by_less_than_the_square_of_the_step(resolution):
    # A slip of n against n - 1 would err by 1.1 / n, far more.
    mesh = implicit_mesh(lambda points: value(Torus(), points), BOX, resolution=resolution)
    assert float(torus_distance(mesh.vertices, Torus()).abs().max()) < (2.2 / (resolution - 1)) ** 2


def test_the_zero_of_a_linear_function_is_found_exactly_where_it_is():
    # An octahedron-like function, linear along every edge that crosses a face of the cube max |x| = 0.4.
    box = torch.tensor([[-1.0, -2.0, -1.5], [1.0, 1.0, 2.5]])
    mesh = implicit_mesh(lambda points: points.abs().amax(-1) - 0.4, box, resolution=31)
    assert torch.allclose(bounds(mesh), torch.tensor([[-0.4] * 3, [0.4] * 3]), atol=1e-6)


@pytest.mark.parametrize("name", ["sphere", "torus", "ellipsoid", "box"])
def test_the_mesh_of_a_surface_is_closed_and_faces_outward(name):
    mesh = surface_mesh(SURFACES[name], resolution=40)
    walked = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert torch.equal(walked.unique(dim=0), walked.flip(1).unique(dim=0))
    assert volume(mesh) > 0
    assert len(mesh.vertices) - len(mesh.faces) // 2 == (0 if name == "torus" else 2)
    assert torch.allclose(bounds(mesh), extent(SURFACES[name]), atol=0.03)


def test_the_function_is_asked_about_the_whole_box_in_pieces_of_bounded_size():
    asked = []

    def function(points):
        asked.append(points)
        return points.norm(dim=-1) - 0.5

    implicit_mesh(function, BOX, resolution=45)
    assert max(map(len, asked)) <= 1 << 16
    points = torch.cat(asked)
    assert len(points.unique(dim=0)) == 45**3
    assert torch.equal(torch.stack([points.amin(0), points.amax(0)]), BOX)


def test_a_box_that_does_not_hold_the_surface_is_refused_from_each_side():
    for axis in range(3):
        for side in (0, 1):
            box = BOX.clone()
            box[side, axis] = (side * 2 - 1) * 0.4
            with pytest.raises(ValueError, match="the surface would be open; enlarge the box"):
                implicit_mesh(lambda points: points.norm(dim=-1) - 0.5, box, resolution=12)


def test_a_level_that_is_never_crossed_gives_a_mesh_without_faces():
    mesh = implicit_mesh(lambda points: points.norm(dim=-1) + 1, BOX, resolution=8)
    assert mesh.vertices.shape == (0, 3) and mesh.faces.shape == (0, 3)


def test_what_cannot_be_a_surface_is_refused():
    with pytest.raises(ValueError, match="give its smallest and its largest corner"):
        implicit_mesh(lambda points: points[:, 0], BOX.flip(0))
    with pytest.raises(ValueError, match=r"gives \(64, 1\) for points \(64, 3\)"):
        implicit_mesh(lambda points: points[:, :1], BOX, resolution=4)
    with pytest.raises(ValueError, match="at least two samples"):
        implicit_mesh(lambda points: points[:, 0], BOX, resolution=1)
    with pytest.raises(ValueError, match="all of them are positive"):
        Superquadric((1.0, 1.0, 1.0), (0.0, 1.0))
    with pytest.raises(ValueError, match="n is 0"):
        points_on(Sphere(), 0)
    with pytest.raises(ValueError, match="margin is 0"):
        surface_mesh(Sphere(), margin=0.0)
