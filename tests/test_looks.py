"""Films and colours that know their answers: what a dolly zoom keeps, how far to stand, gradients along an axis."""

import math

import pytest
import torch

from maquette.camera import focal_from_fov, orbit
from maquette.rendering import Ambient, Look, dolly_cameras, dolly_zoom
from maquette.rendering.looks import centred, fitting_distance, over, picture
from maquette.shapes import (
    FaceColors,
    Mesh,
    PointCloud,
    VertexColors,
    Voxels,
    cube,
    ico_sphere,
    recolored,
    sample,
    tetrahedron,
)

BLACK_ON_WHITE = Look(lights=(Ambient(0.0),))


def wall(side: float) -> Mesh:
    """A square of the plane z = 0, its front towards +z."""
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * side / 2
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))


# Dolly zoom ------------------------------------------------------------------------------------------------------


def test_a_dolly_zoom_keeps_the_width_of_the_object_plane_to_half_a_pixel():
    film = dolly_zoom(wall(2.0), frames=20, size=(256, 256), width=3.5, look=BLACK_ON_WHITE)
    # 2 of 3.5 units are 146.29 of 256 pixels; black on white, so what is missing from white is the wall.
    rows = (1 - film.frames[:, 100:156, :, 0]).sum(-1)
    assert film.frames.shape == (20, 256, 256, 3)
    assert float((rows - 2 / 3.5 * 256).abs().max()) < 0.5
    assert float(film.fov[0]) == pytest.approx(math.radians(5)) and float(film.fov[-1]) == pytest.approx(
        math.radians(120)
    )


def test_the_distance_of_a_dolly_zoom_is_that_of_the_formula():
    fov = torch.tensor([math.radians(60)])
    # 2 tan 30 degrees times 3: the width at which 60 degrees belong to a distance of 3.
    camera = dolly_cameras(fov, 2 * 3 * math.tan(math.radians(30)), size=(64, 64))
    assert torch.allclose(camera.position, torch.tensor([[0.0, 0.0, 3.0]]), atol=1e-6)
    sweep = torch.linspace(math.radians(5), math.radians(120), 50, dtype=torch.float64)
    cameras = dolly_cameras(sweep, 3.464, size=(100, 200), azimuth=0.5, elevation=0.3)
    right = cameras.world_from_cam[:, :3, 0]
    edge = cameras.project(torch.stack([-right, right], 1) * 3.464 / 2)
    # The width fills the shorter side, 100 pixels, in every frame.
    assert torch.allclose(edge[:, 1] - edge[:, 0], torch.tensor([100.0, 0.0]).double(), atol=1e-9)


def test_a_dolly_zoom_without_a_width_shows_all_through_the_narrow_lens_and_stays_outside_with_the_wide_one():
    shape = centred(ico_sphere(2).with_vertices(ico_sphere(2).vertices * 3 + 7), "test")
    film = dolly_zoom(shape.shape, frames=2, size=(48, 48), look=BLACK_ON_WHITE)
    border = torch.cat([film.frames[0, 0], film.frames[0, -1], film.frames[0, :, 0], film.frames[0, :, -1]])
    assert torch.equal(border, torch.ones_like(border))
    # From 1.08 radii away the sphere covers the wide frame's middle but leaves its corners.
    assert float(film.frames[1, 24, 24, 0]) == 0 and float(film.frames[1, 0, 0, 0]) == 1


def test_what_a_dolly_zoom_cannot_film_is_said():
    with pytest.raises(ValueError, match="frames is 0"):
        dolly_zoom(cube(), frames=0)
    with pytest.raises(ValueError, match=r"dolly_zoom: fov is \(0\.1, 3\.5\) radians"):
        dolly_zoom(cube(), fov=(0.1, 3.5))
    with pytest.raises(ValueError, match="width is -1"):
        dolly_zoom(cube(), width=-1.0)


# Where to stand --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fov_deg", [5.0, 35.0, 100.0])
def test_from_the_fitting_distance_the_sphere_touches_the_picture_but_for_the_margin(fov_deg):
    fov = math.radians(fov_deg)
    distance = fitting_distance(2.0, fov)
    # A tangent to the sphere leaves the eye at asin(r / d).
    assert math.asin(1.08 * 2.0 / distance) == pytest.approx(fov / 2)
    camera = orbit(0.3, 0.2, distance, focal=focal_from_fov(fov, 64), size=(64, 64))
    alpha = picture(centred(ico_sphere(3, 2.0), "test"), camera)[..., 3]
    border = torch.cat([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    assert float(border.sum()) == 0
    assert float(alpha[32, 6]) == 1


def test_a_picture_over_a_colour_is_the_mixture_by_alpha():
    rgba = torch.tensor([[[0.2, 0.4, 0.6, 0.25]]])
    assert torch.allclose(over(rgba, (1.0, 0.0, 0.0)), torch.tensor([[[0.8, 0.1, 0.15]]]))


# Colours along an axis -------------------------------------------------------------------------------------------

CYAN, YELLOW = (0.0, 1.0, 1.0), (1.0, 1.0, 0.0)


@pytest.mark.parametrize(("axis", "index"), [("x", 0), ("y", 1), ("z", 2)])
def test_a_gradient_runs_from_the_lowest_to_the_highest_coordinate(axis, index):
    colors = recolored(cube(4.0), axis, low=CYAN, high=YELLOW).appearance.colors
    at_high = cube(4.0).vertices[:, index] > 0
    assert torch.equal(colors[at_high], torch.tensor(YELLOW).expand(4, 3))
    assert torch.equal(colors[~at_high], torch.tensor(CYAN).expand(4, 3))


def test_a_gradient_is_linear_in_between_for_meshes_and_clouds():
    mesh = recolored(ico_sphere(2), "z", low=CYAN, high=YELLOW)
    cloud = recolored(PointCloud(ico_sphere(2).vertices), "z", low=CYAN, high=YELLOW)
    assert isinstance(mesh.appearance, VertexColors) and torch.equal(mesh.appearance.colors, cloud.colors)
    z = ico_sphere(2).vertices[:, 2]
    share = (z - z.min()) / (z.max() - z.min())
    assert torch.allclose(cloud.colors, torch.stack([share, torch.ones_like(share), 1 - share], -1), atol=1e-6)
    # Interpolated inside faces it is still the gradient of the position.
    points = sample(mesh, 100, generator=torch.Generator().manual_seed(0))
    share = (points.points[:, 2] - z.min()) / (z.max() - z.min())
    assert torch.allclose(points.colors[:, 0], share, atol=1e-5)


def test_a_gradient_of_what_is_flat_or_empty_is_defined():
    flat = recolored(wall(1.0), "z", low=CYAN, high=YELLOW)
    assert torch.equal(flat.appearance.colors, torch.tensor(CYAN).expand(4, 3))
    assert recolored(PointCloud(torch.zeros(0, 3)), "x", low=CYAN, high=YELLOW).colors.shape == (0, 3)
    with pytest.raises(ValueError, match="axis is 'up'"):
        recolored(cube(), "up", low=CYAN, high=YELLOW)
    full = Voxels(torch.ones(2, 2, 2), torch.eye(4))
    assert isinstance(recolored(full, "y", low=CYAN, high=YELLOW), Mesh)


def test_a_gradient_replaces_other_colours_and_keeps_batches_apart():
    painted = tetrahedron().with_appearance(FaceColors(torch.zeros(4, 3)))
    both = painted.with_vertices(torch.stack([painted.vertices, painted.vertices * torch.tensor([1.0, 1.0, -1.0])]))
    colors = recolored(both, "z", low=CYAN, high=YELLOW).appearance.colors
    assert torch.equal(colors[0], colors[1][..., [2, 1, 0]])
