"""The meshes everything starts from: counts, topology, areas, volumes and texture coordinates that geometry knows."""

import math

import pytest
import torch

from maquette.shapes import (
    Mesh,
    Superquadric,
    Torus,
    bounds,
    face_areas,
    face_normals,
    interpolate,
    positions_at,
    sample_faces,
)
from maquette.shapes.parametric import value
from maquette.shapes.primitives import cube, cylinder, ico_sphere, plane, superquadric, tetrahedron, torus, uv_sphere

CLOSED = {
    "tetrahedron": tetrahedron(),
    "cube": cube(),
    "icosahedron": ico_sphere(0),
    "sphere": ico_sphere(3),
    "uv sphere": uv_sphere(2.0, rows=5, columns=7),
    "coarsest uv sphere": uv_sphere(rows=2, columns=3),
    "cylinder": cylinder(0.5, 3.0, sides=7),
    "ellipsoid": superquadric((1.0, 2.0, 3.0), rows=6, columns=9),
    "superquadric": superquadric((1.0, 2.0, 3.0), (0.4, 1.7), rows=6, columns=8),
    "torus": torus(1.0, 0.4, rows=7, columns=9),
}
CONVEX = sorted(set(CLOSED) - {"superquadric", "torus"})


def volume(mesh: Mesh) -> float:
    """By the divergence theorem: signed tetrahedra between the origin and every face."""
    a, b, c = mesh.corners().double().unbind(-2)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("name", CLOSED)
def test_every_edge_is_walked_once_in_each_direction(name):
    closed = CLOSED[name]
    walked = closed.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert len(walked.unique(dim=0)) == len(walked)
    assert torch.equal(walked.unique(dim=0), walked.flip(1).unique(dim=0))


@pytest.mark.parametrize("name", CLOSED)
def test_euler_characteristic_is_two_and_of_the_torus_zero(name):
    closed = CLOSED[name]
    edges = len(closed.faces) * 3 // 2
    assert len(closed.vertices) - edges + len(closed.faces) == (0 if name == "torus" else 2)
    assert len(closed.faces.unique()) == len(closed.vertices)


@pytest.mark.parametrize("name", CLOSED)
def test_the_outside_is_outside(name):
    assert volume(CLOSED[name]) > 0
    assert float(face_areas(CLOSED[name]).min()) > 0


@pytest.mark.parametrize("name", CONVEX)
def test_normals_of_convex_solids_point_away_from_the_centre(name):
    closed = CLOSED[name]
    assert bool(((closed.corners().mean(-2) * face_normals(closed)).sum(-1) > 0).all())


def test_counts_are_those_of_the_solids():
    assert [len(tetrahedron().vertices), len(tetrahedron().faces)] == [4, 4]
    assert [len(cube().vertices), len(cube().faces)] == [8, 12]
    for level in range(5):
        sphere = ico_sphere(level)
        assert [len(sphere.vertices), len(sphere.faces)] == [10 * 4**level + 2, 20 * 4**level]
    assert [len(ico_sphere(4).vertices), len(ico_sphere(4).faces)] == [2562, 5120]


def test_a_cube_has_its_side_area_and_volume():
    solid = cube(2.0)
    assert torch.equal(bounds(solid), torch.tensor([[-1.0, -1, -1], [1, 1, 1]]))
    assert float(face_areas(solid).sum()) == 24
    assert volume(solid) == 8


def test_a_tetrahedron_is_regular_and_has_its_volume():
    solid = tetrahedron(3.0)
    edges = torch.pdist(solid.vertices)
    edge = 3.0 * 4 / math.sqrt(6)
    assert torch.allclose(edges, torch.full_like(edges, edge), rtol=1e-6)
    assert math.isclose(volume(solid), edge**3 / (6 * math.sqrt(2)), rel_tol=1e-6)


def test_an_icosahedron_is_regular():
    solid = ico_sphere(0)
    lengths = (solid.corners() - solid.corners().roll(1, -2)).norm(dim=-1)
    edge = 4 / math.sqrt(10 + 2 * math.sqrt(5))
    assert torch.allclose(lengths, torch.full_like(lengths, edge), rtol=1e-6)


def test_an_ico_sphere_lies_on_its_sphere_and_nears_its_area_and_volume():
    radius = 2.5
    sphere = ico_sphere(4, radius)
    assert torch.allclose(sphere.vertices.norm(dim=-1), torch.tensor(radius), rtol=1e-6)
    # Inscribed, so below; the gap of a face of edge h is of order (h / r)^2 / 8, h / r < 0.08 here: 0.1 % for each.
    assert 0.998 < float(face_areas(sphere).sum()) / (4 * math.pi * radius**2) < 1
    assert 0.997 < volume(sphere) / (4 / 3 * math.pi * radius**3) < 1


def test_the_vertices_of_a_level_are_the_first_of_the_next():
    coarse, fine = ico_sphere(2), ico_sphere(3)
    assert torch.equal(fine.vertices[: len(coarse.vertices)], coarse.vertices)


def test_a_negative_level_is_refused():
    with pytest.raises(ValueError, match="level is -1"):
        ico_sphere(-1)


def test_a_uv_sphere_lies_on_its_sphere_and_nears_its_area_and_volume():
    sphere = uv_sphere(2.5, rows=40, columns=80)
    assert [len(sphere.vertices), len(sphere.faces)] == [39 * 80 + 2, 2 * 39 * 80]
    assert torch.allclose(sphere.vertices.norm(dim=-1), torch.tensor(2.5), rtol=1e-6)
    # Inscribed; a chord of an angle of 2 pi / 80 loses its square over 24 of the length, in each of two directions.
    assert 0.998 < float(face_areas(sphere).sum()) / (4 * math.pi * 2.5**2) < 1
    assert 0.996 < volume(sphere) / (4 / 3 * math.pi * 2.5**3) < 1


def test_a_torus_lies_on_its_torus_and_nears_its_area_and_volume():
    solid = torus(2.0, 0.5, rows=64, columns=128)
    assert [len(solid.vertices), len(solid.faces)] == [64 * 128, 2 * 64 * 128]
    assert float(value(Torus(2.0, 0.5), solid.vertices.double()).abs().max()) < 1e-6
    # An inscribed polygon of k sides has the area of its circle times 1 - 2 pi^2 / (3 k^2).
    assert 0.997 < float(face_areas(solid).sum()) / (4 * math.pi**2 * 2.0 * 0.5) < 1
    assert 0.995 < volume(solid) / (2 * math.pi**2 * 2.0 * 0.5**2) < 1


def test_a_cylinder_is_a_prism_with_the_volume_of_its_polygon():
    solid = cylinder(2.0, 3.0, sides=12)
    polygon = 12 / 2 * 2.0**2 * math.sin(2 * math.pi / 12)
    assert math.isclose(volume(solid), polygon * 3.0, rel_tol=1e-6)
    side = 2 * 2.0 * math.sin(math.pi / 12)
    assert math.isclose(float(face_areas(solid).sum()), 2 * polygon + 12 * side * 3.0, rel_tol=1e-6)
    assert torch.allclose(bounds(solid), torch.tensor([[-2.0, -1.5, -2.0], [2.0, 1.5, 2.0]]))


@pytest.mark.parametrize("powers", [(1.0, 1.0), (0.1, 0.1), (0.5, 2.0), (2.0, 2.0), (1.3, 0.2)])
def test_a_superquadric_lies_on_its_implicit_function(powers):
    solid = superquadric((1.0, 2.0, 0.5), powers, rows=12, columns=16)
    # Below a power of 1, float32's 1e-7 of a coordinate is 2 / 0.1 times as much of the function.
    assert float(value(Superquadric((1.0, 2.0, 0.5), powers), solid.vertices.double()).abs().max()) < 1e-5
    assert torch.allclose(bounds(solid), torch.tensor([[-1.0, -2.0, -0.5], [1.0, 2.0, 0.5]]), atol=1e-6)


def test_an_ellipsoid_has_its_volume():
    assert 0.99 < volume(superquadric((1.0, 2.0, 3.0), rows=32, columns=64)) / (4 / 3 * math.pi * 6) < 1


def test_a_plane_faces_up_and_has_its_area():
    floor = plane(2.0, 3.0, cells=4)
    assert [len(floor.vertices), len(floor.faces)] == [25, 32]
    assert float(face_areas(floor).sum()) == 6
    assert torch.equal(face_normals(floor), torch.tensor([0.0, 1.0, 0.0]).expand(32, 3))
    assert torch.equal(bounds(floor), torch.tensor([[-1.0, 0, -1.5], [1, 0, 1.5]]))


IMAGE = torch.zeros(1, 1, 3)


def painted(mesh: Mesh) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Samples of a textured mesh: the points, and the u and v that they show."""
    samples = sample_faces(mesh, 3000, generator=torch.Generator().manual_seed(0))
    u, v = interpolate(mesh.appearance.uv, samples).unbind(-1)
    return positions_at(mesh, samples), u, v


def test_the_picture_of_a_plane_is_upright_from_above_with_the_front_below():
    points, u, v = painted(plane(2.0, 3.0, cells=3, image=IMAGE))
    x, _, z = points.unbind(-1)
    assert torch.allclose(x / 2 + 0.5, u, atol=1e-5)
    assert torch.allclose(0.5 - z / 3, v, atol=1e-5)


def test_the_picture_of_a_sphere_is_a_map_with_its_middle_at_the_front():
    points, u, v = painted(uv_sphere(rows=32, columns=64, image=IMAGE))
    x, y, z = torch.nn.functional.normalize(points, dim=-1).unbind(-1)
    away = y.abs() < 0.98  # at the poles, a triangle's u is not the point's
    # Within a face of 0.1 rad, u and v are linear on a chord: off by a part of a cell, 1 / 64.
    assert torch.allclose((torch.atan2(x, z) / (2 * math.pi) + 0.5)[away], u[away], atol=1 / 64)
    assert torch.allclose((torch.asin(y) / math.pi + 0.5)[away], v[away], atol=1 / 64)


def test_the_picture_of_a_torus_goes_round_it_once_each_way():
    points, u, v = painted(torus(1.0, 0.4, rows=32, columns=64, image=IMAGE))
    x, y, z = points.unbind(-1)
    around = torch.atan2(y, x) / (2 * math.pi) % 1
    tube = torch.atan2(z, torch.hypot(x, y) - 1.0) / (2 * math.pi) + 0.5
    inner = (tube > 1 / 32) & (tube < 31 / 32)  # beyond, a chord's points may count to the other end
    assert torch.allclose(around, u, atol=1 / 64)
    assert torch.allclose(tube[inner], v[inner], atol=1 / 32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uv_sphere(rows=1), "uv_sphere: 1 rows"),
        (lambda: superquadric(columns=2), "superquadric: 32 rows and 2 columns"),
        (lambda: torus(rows=2), "torus: 2 rows"),
        (lambda: torus(1.0, 1.0), "major > minor"),
        (lambda: cylinder(sides=2), "cylinder: 2 sides"),
        (lambda: plane(cells=0), "plane: 0 cells"),
    ],
)
def test_too_few_parts_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("make", [tetrahedron, cube, uv_sphere, lambda size: ico_sphere(1, size), plane, cylinder])
@pytest.mark.parametrize("size", [0.0, -1.0, math.inf, math.nan])
def test_a_size_that_leaves_nothing_or_turns_the_inside_out_is_refused(make, size):
    with pytest.raises(ValueError, match=f"{size}.*; give positive lengths"):
        make(size)
