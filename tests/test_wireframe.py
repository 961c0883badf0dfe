"""Edges as lines: as wide as they should be, hidden where something stands before them."""

import math

import pytest
import torch

from maquette.camera import Camera, look_at, orthographic
from maquette.rendering.wireframe import wireframe
from maquette.shapes import Mesh, cube, ico_sphere

SIDE = 64


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def ahead(distance: float = 4.0):
    return look_at(t(0.0, 0.0, distance), t(0.0, 0.0, 0.0), focal=80.0, size=(SIDE, SIDE))


def triangle(z: float = 0.0) -> Mesh:
    return Mesh(torch.tensor([[-1.0, -1, z], [1, -1, z], [0, 1, z]]), torch.tensor([[0, 1, 2]]))


@pytest.mark.parametrize("width", [0.5, 1.0, 1.5, 3.0])
def test_lines_cover_their_length_times_their_width(width):
    # 2 units are 40 pixels at depth 4 with focal 80; the legs sqrt(5) units.
    length = (2 + 2 * math.sqrt(5)) * 20
    # Round ends add, corners overlap: a few squares of the width.
    assert float(wireframe(triangle(), ahead(), width=width).sum()) == pytest.approx(
        length * width, abs=3 * width**2 + 2
    )


def test_without_perspective_lines_lie_where_the_camera_projects():
    camera = orthographic(ahead(), 4.0)
    lines = wireframe(triangle(1.5), camera)
    # The base at y = -1 is 20 pixels below the middle, between two rows of pixels: half in each.
    assert torch.allclose(lines[51:53, 25:39], torch.full((2, 14), 0.5), atol=1e-3)
    assert float(lines[45, 32]) == 0


def test_what_stands_before_a_line_hides_it():
    behind, before = (
        triangle(-1.0),
        Mesh(torch.tensor([[-2.0, -2, 1], [2, -2, 1], [0, 3, 1]]), torch.tensor([[0, 1, 2]])),
    )
    both = Mesh(torch.cat([behind.vertices, before.vertices]), torch.tensor([[0, 1, 2], [3, 4, 5]]))
    assert torch.equal(wireframe(both, ahead()), wireframe(before, ahead()))
    alone, faint = wireframe(behind, ahead()), wireframe(both, ahead(), hidden=0.25)
    assert torch.allclose(faint, torch.maximum(wireframe(before, ahead()), 0.25 * alone), atol=1e-6)


@pytest.mark.parametrize("camera", [ahead(), orthographic(ahead(), 4.0)], ids=["perspective", "orthographic"])
def test_a_cube_seen_from_the_front_shows_its_front_face_alone(camera):
    lines = wireframe(cube(1.0), camera)
    # The diagonal passes the corner between four pixels, 1 / sqrt(2) from their centres.
    assert float(lines[32, 32]) == pytest.approx(1 - math.sqrt(0.5), abs=1e-3)
    # Four sides and a diagonal of one face; the back's, and those along the sight, are hidden.
    side = 80 / 3.5 if isinstance(camera, Camera) else 80 / 4
    assert float(lines.sum()) == pytest.approx((4 + math.sqrt(2)) * side, rel=0.1)


def test_half_of_a_ball_s_edges_are_hidden():
    ball = ico_sphere(2)
    seen, all_ = wireframe(ball, ahead(), width=0.7), wireframe(ball, ahead(), width=0.7, hidden=1.0)
    assert 0.45 < float(seen.sum() / all_.sum()) < 0.7


def test_a_line_through_the_camera_s_plane_is_cut_before_it():
    long = Mesh(torch.tensor([[-1.0, -1, 0], [-1, -1, 100], [-1, -0.9, 0]]), torch.tensor([[0, 1, 2]]))
    lines = wireframe(long, ahead())
    assert bool(torch.isfinite(lines).all()) and 20 < float(lines.sum()) < 100
    away = triangle(50.0)
    assert float(wireframe(away, ahead()).sum()) == 0


def test_large_pictures_come_in_pieces_with_the_same_result(monkeypatch):
    whole = wireframe(ico_sphere(2), ahead())
    monkeypatch.setattr("maquette.rendering.wireframe.CHUNK", 100)
    assert torch.equal(wireframe(ico_sphere(2), ahead()), whole)


def test_what_has_no_wireframe_is_said():
    with pytest.raises(ValueError, match="width is 0"):
        wireframe(cube(), ahead(), width=0.0)
    with pytest.raises(ValueError, match="give one mesh and one camera"):
        wireframe(cube().with_vertices(cube().vertices.expand(2, 8, 3)), ahead())
    with pytest.raises(ValueError, match="no faces"):
        wireframe(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long)), ahead())
