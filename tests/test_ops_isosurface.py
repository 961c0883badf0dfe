"""Iso-surfaces of functions whose surface is known."""

import math
from collections import Counter

import pytest
import torch

from maquette.ops import isosurface


def ball(shape=(20, 24, 28), center=(12.0, 11.0, 10.0), radius=8.0):
    z, y, x = torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij")
    return radius - ((x - center[0]) ** 2 + (y - center[1]) ** 2 + (z - center[2]) ** 2).sqrt()


def volume(vertices, faces):
    a, b, c = vertices.double()[faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def test_the_surface_of_a_ball_lies_at_its_radius_around_its_centre_in_x_y_z_order():
    vertices, faces = isosurface(ball(), 0.0)
    radius = (vertices - torch.tensor([12.0, 11.0, 10.0])).norm(dim=1)
    # Linear interpolation along an edge of length 1 misses the sphere by at most h^2 / (8 r) of curvature.
    assert (radius - 8).abs().max() < 1 / 64 + 1e-4
    assert vertices.dtype == torch.float32 and faces.dtype == torch.int64


def test_faces_look_towards_lower_values():
    vertices, faces = isosurface(ball(), 0.0)
    # Chords of length up to sqrt 3 lose at most about h^2 / r^2 of the volume.
    assert volume(vertices, faces) == pytest.approx(4 / 3 * math.pi * 512, rel=0.03)
    assert volume(*isosurface(-ball(), 0.0)) < 0


def test_a_plane_between_two_samples_lies_at_exactly_their_linear_zero():
    for axis in range(3):
        ramp = torch.arange(5.0).reshape([5 if i == axis else 1 for i in range(3)]).expand(5, 5, 5)
        vertices, _ = isosurface(ramp, 1.25)
        assert torch.equal(vertices[:, 2 - axis], torch.full_like(vertices[:, 0], 1.25))


def test_one_occupied_cell_is_an_octahedron_of_half_diagonal_one_half():
    values = torch.zeros(4, 5, 6)
    values[1, 2, 3] = 1
    vertices, faces = isosurface(values)
    assert volume(vertices, faces) == pytest.approx(4 / 3 * 0.5**3)
    assert torch.allclose(vertices.mean(0), torch.tensor([3.0, 2.0, 1.0]))


def test_a_closed_surface_has_every_edge_as_often_in_each_direction():
    values = (torch.rand(9, 9, 9, generator=torch.Generator().manual_seed(0)) > 0.6).float()
    values[[0, -1]], values[:, [0, -1]], values[:, :, [0, -1]] = 0, 0, 0
    _, faces = isosurface(values)
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    forth, back = (Counter(map(tuple, e.tolist())) for e in (edges, edges.flip(1)))
    assert forth == back  # two cells that touch along an edge share it, so it may be there twice


@pytest.mark.parametrize("level", [-1.0, 0.0, 2.0, 3.0])
def test_a_level_that_is_never_crossed_gives_an_empty_surface(level):
    vertices, faces = isosurface(torch.full((4, 4, 4), 2.0), level)
    assert vertices.shape == (0, 3) and faces.shape == (0, 3) and faces.dtype == torch.int64


def test_values_that_are_not_finite_and_slices_are_refused():
    with pytest.raises(ValueError, match="isosurface: values are not all finite"):
        isosurface(torch.full((3, 3, 3), torch.nan))
    with pytest.raises(ValueError, match="at least two samples"):
        isosurface(torch.zeros(1, 3, 3))
