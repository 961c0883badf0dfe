"""Isotropic remeshing: what stays (manifold, Euler characteristic, area, features), and what becomes even."""

import math

import pytest
import torch

from maquette.fitting.remesh import length_for, remesh
from maquette.shapes import (
    Mesh,
    closest_points,
    cube,
    face_normals,
    ico_sphere,
    plane,
    positions_at,
    report,
    subdivide_midpoint,
    topology_of,
    torus,
)


def bare(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces)


def edge_lengths(mesh: Mesh) -> torch.Tensor:
    start, end = mesh.vertices[topology_of(mesh.faces).edges].unbind(1)
    return (end - start).norm(dim=-1)


CLOSED = {"sphere": bare(ico_sphere(3)), "torus": bare(torus()), "cube": subdivide_midpoint(bare(cube(2.0)), 2)}


@pytest.mark.parametrize("faces", [150, 700, 3000])
@pytest.mark.parametrize("name", CLOSED)
def test_a_closed_manifold_stays_one_of_the_same_genus_and_winding(name, faces):
    before = report(CLOSED[name])
    after = report(remesh(CLOSED[name], length_for(CLOSED[name], faces)))
    assert after.watertight and after.winding_consistent and after.nonmanifold_edges == 0
    assert after.pinched_vertices == 0 and after.degenerate_faces == 0 and after.unreferenced_vertices == 0
    assert after.euler_characteristic == before.euler_characteristic
    assert after.faces == pytest.approx(faces, rel=0.25)
    assert after.volume is not None and after.volume > 0


def test_vertices_stay_on_the_surface():
    sphere = bare(ico_sphere(3))
    new = remesh(sphere, 0.3)
    there = positions_at(sphere, closest_points(sphere, new.vertices))
    assert torch.allclose(new.vertices, there, atol=1e-6)


def test_edges_come_near_the_wanted_length_and_valences_near_six():
    new = remesh(bare(torus()), 0.1, rounds=6)
    lengths = edge_lengths(new)
    assert float(lengths.mean()) == pytest.approx(0.1, rel=0.1)
    assert float(lengths.std() / lengths.mean()) < 0.2
    valence = torch.bincount(topology_of(new.faces).edges.reshape(-1))
    assert float(((valence - 6).abs() <= 1).float().mean()) > 0.98


def test_a_length_per_vertex_makes_the_mesh_finer_where_it_is_smaller():
    sphere = bare(ico_sphere(3))
    new = remesh(sphere, torch.where(sphere.vertices[:, 1] > 0, 0.08, 0.24), rounds=4)
    start, end = new.vertices[topology_of(new.faces).edges].unbind(1)
    lengths, height = (end - start).norm(dim=-1), (start + end)[:, 1] / 2
    assert float(lengths[height > 0.3].mean()) < 0.5 * float(lengths[height < -0.3].mean())


@pytest.mark.parametrize("length", [0.2, 0.5])
def test_features_by_angle_keep_a_cubes_area_volume_edges_and_corners(length):
    new = remesh(subdivide_midpoint(bare(cube(2.0)), 2), length, rounds=4, feature=math.radians(30))
    after = report(new)
    assert after.area == pytest.approx(24.0, rel=1e-5) and after.volume == pytest.approx(8.0, rel=1e-5)
    at_corner = (new.vertices.abs() > 1 - 1e-6).all(1)
    assert int(at_corner.sum()) == 8
    normals = face_normals(new)
    assert float(normals.abs().amax(1).min()) > 1 - 1e-5


def test_a_boundary_stays():
    sheet = bare(plane(2.0))
    new = remesh(sheet, 0.3, rounds=3)
    assert report(new).area == pytest.approx(report(sheet).area, rel=1e-5)
    assert report(new).euler_characteristic == 1


def test_what_is_no_manifold_is_refused():
    sphere = bare(ico_sphere(1))
    with pytest.raises(ValueError, match="wound against each other"):
        flipped = sphere.faces.clone()
        flipped[0] = flipped[0].flip(0)
        remesh(Mesh(sphere.vertices, flipped), 0.5)
    with pytest.raises(ValueError, match="repeat a vertex"):
        remesh(Mesh(sphere.vertices, torch.cat([sphere.faces, torch.zeros(1, 3, dtype=torch.int64)])), 0.5)
    with pytest.raises(ValueError, match="more than two faces"):
        remesh(Mesh(sphere.vertices, torch.cat([sphere.faces, sphere.faces[:1]])), 0.5)
    with pytest.raises(ValueError, match="not positive"):
        remesh(sphere, 0.0)
    with pytest.raises(ValueError, match="rounds is 0"):
        remesh(sphere, 0.5, rounds=0)
