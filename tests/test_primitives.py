"""The closed meshes everything starts from: counts, topology and volumes that geometry knows."""

import math

import pytest
import torch

from maquette.shapes import Mesh, bounds, face_areas, face_normals
from maquette.shapes.primitives import cube, ico_sphere, tetrahedron

CLOSED = {"tetrahedron": tetrahedron(), "cube": cube(), "icosahedron": ico_sphere(0), "sphere": ico_sphere(3)}


def volume(mesh: Mesh) -> float:
    """By the divergence theorem: signed tetrahedra between the origin and every face."""
    a, b, c = mesh.corners().double().unbind(-2)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


@pytest.fixture(params=CLOSED, ids=list(CLOSED))
def closed(request) -> Mesh:
    return CLOSED[request.param]


def test_every_edge_is_walked_once_in_each_direction(closed):
    walked = closed.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert len(walked.unique(dim=0)) == len(walked)
    assert torch.equal(walked.unique(dim=0), walked.flip(1).unique(dim=0))


def test_euler_characteristic_is_two(closed):
    edges = len(closed.faces) * 3 // 2
    assert len(closed.vertices) - edges + len(closed.faces) == 2
    assert len(closed.faces.unique()) == len(closed.vertices)


def test_normals_point_away_from_the_centre(closed):
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
