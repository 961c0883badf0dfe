"""Colours of a solid from one picture, on shapes whose true colours are known."""

import math

import pytest
import torch

from maquette.alignment import aligned_camera, cropped_cameras
from maquette.camera import orbit
from maquette.rendering import Ambient, render
from maquette.shapes import Mesh, PointCloud, VertexColors, bounds, vertex_normals
from maquette.shapes.primitives import ico_sphere
from maquette.texturing import projected_colors, subdivided, textured, textured_points

PLAIN_LIGHT = (Ambient(1.0),)
SKY = torch.tensor([0.0, 1.0, 0.0])
"""A background colour that the test objects do not hold."""


def camera(azimuth=0.5, elevation=0.3, size=160):
    angles = torch.tensor([azimuth, elevation, 2.0])
    return orbit(*angles, focal=1.4 * size, size=(size, size))


def painted(mesh: Mesh) -> Mesh:
    """Red and blue that change slowly over the surface and are equal at x and -x; no green."""
    x, y, z = mesh.vertices.unbind(-1)
    return mesh.with_appearance(VertexColors(torch.stack([0.5 + y, torch.zeros_like(x), 0.5 + 0.5 * z], -1)))


def photo(mesh: Mesh, view):
    seen = render(mesh, view, lights=PLAIN_LIGHT, background=tuple(SKY.tolist()))
    return torch.cat([seen.rgb, seen.alpha[..., None]], -1)


def test_colours_of_a_sphere_are_recovered_on_the_seen_side():
    truth = painted(ico_sphere(4, radius=0.4))
    view = camera()
    colors, seen = projected_colors(truth.with_appearance(None), view, photo(truth, view))
    full = seen > 0.99
    # The cap whose normals are within acos(0.55) of the line of sight: about (1 - 0.55 - 0.2 * 0.55) / 2 of the sphere.
    assert 0.15 < float(full.float().mean()) < 0.2
    # The picture's pixel is 1/110 of the sphere's diameter, over which the colours change by 0.01; the rim adds a few.
    assert float((colors - truth.appearance.colors)[full].abs().max()) < 0.03


def test_the_mirrored_side_takes_the_colours_of_its_mirror_image():
    truth = painted(ico_sphere(4, radius=0.4))
    view = camera(azimuth=math.pi / 2, elevation=0.0)
    colors, seen = projected_colors(truth.with_appearance(None), view, photo(truth, view))
    assert float(seen[truth.vertices[:, 0] < 0].max()) == 0
    opposite = truth.vertices[:, 0] < -0.25
    assert float((colors - truth.appearance.colors)[opposite].abs().max()) < 0.03


def test_nothing_of_the_background_lies_on_the_object():
    truth = painted(ico_sphere(4, radius=0.4))
    view = camera()
    picture = photo(truth, view)
    # A mask that is a pixel too wide, and a solid larger than its picture: both show background at the rim.
    alpha = torch.nn.functional.max_pool2d(picture[None, ..., 3], 3, stride=1, padding=1)[0]
    picture = torch.cat([picture[..., :3], alpha[..., None]], -1)
    larger = truth.with_appearance(None).with_vertices(truth.vertices * 1.2)
    colors, _ = projected_colors(larger, view, picture)
    assert float(colors[:, 1].max()) < 1e-6


def test_no_vertex_is_black_where_the_picture_is_not():
    mesh = ico_sphere(4, radius=0.4)
    bright = mesh.with_appearance(VertexColors(torch.full_like(mesh.vertices, 0.7)))
    view = camera()
    colors = textured(mesh, view, photo(bright, view)).appearance.colors
    assert torch.allclose(colors, torch.full_like(colors, 0.7), atol=1e-5)


def test_what_another_part_hides_does_not_take_its_colour():
    # A red ball right in front of a blue one, off the plane of symmetry.
    front = ico_sphere(4, radius=0.15)
    shift = torch.tensor([0.3, 0.0, 0.0])
    far = front.vertices + shift - torch.tensor([0.0, 0.0, 0.5])
    both = Mesh(torch.cat([front.vertices + shift, far]), torch.cat([front.faces, front.faces + len(far)]))
    red, blue = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 1.0])
    colors = torch.cat([red.expand(len(far), 3), blue.expand(len(far), 3)])
    view = camera(azimuth=0.35, elevation=0.0)
    truth = both.with_appearance(VertexColors(colors))
    _, seen = projected_colors(both, view, photo(truth, view))
    rendered = render(both, view)
    # Of the far ball only what the rendering shows is seen.
    pixels = view.project(both.vertices).floor().long()
    depth = rendered.depth[pixels[:, 1], pixels[:, 0]]
    own = view.pixels_from_world(both.vertices)[:, 2]
    hidden = own > depth + 0.1
    assert bool(hidden[len(far) :].any())
    assert float(seen[hidden & (vertex_normals(both) @ view.world_from_cam[:3, 2] < -0.6)].max()) == 0


def test_points_take_the_colour_of_the_picture():
    truth = painted(ico_sphere(4, radius=0.4))
    view = camera()
    cloud = textured_points(PointCloud(truth.vertices), view, photo(truth, view), radius=0.03)
    facing = vertex_normals(truth) @ view.world_from_cam[:3, 2] < -0.6
    # A point half hidden by its neighbours' discs borrows from two radii away, over which the colours change by 0.06.
    assert float((cloud.colors - truth.appearance.colors)[facing].abs().max()) < 0.06
    assert float(cloud.colors[:, 1].max()) < 1e-6


def test_subdivision_keeps_the_surface_and_its_colours():
    mesh = painted(ico_sphere(2, radius=0.4))
    fine = subdivided(mesh, 2000)
    assert len(fine.vertices) == 2562  # 10 * 4^4 + 2: the counts of ico-spheres
    assert len(fine.faces) == 20 * 4**4
    assert torch.equal(fine.vertices[: len(mesh.vertices)], mesh.vertices)
    assert torch.allclose(bounds(fine), bounds(mesh))
    # Colours that are linear in the position stay so at midpoints.
    assert torch.allclose(fine.appearance.colors, painted(fine).appearance.colors, atol=1e-6)
    volume = torch.linalg.det(fine.corners()).sum() / 6
    assert torch.allclose(volume, torch.linalg.det(mesh.corners()).sum() / 6, rtol=1e-5)
    assert float(volume) > 0


def test_a_picture_of_another_size_than_the_camera_takes_is_refused():
    with pytest.raises(ValueError, match="160 x 160 pixels, the picture has 80 x 80"):
        textured(ico_sphere(1), camera(), torch.ones(80, 80, 4))


def test_the_aligned_camera_lays_the_solid_into_its_box():
    points = ico_sphere(3, radius=0.4).vertices * torch.tensor([1.0, 0.6, 0.8])
    viewpoint = (0.7, 0.4, 1.5)
    view = aligned_camera(points, viewpoint, (20.0, 30.0, 90.0, 70.0), size=(100, 120))
    plane = view.project(points)
    low, high = plane.amin(0), plane.amax(0)
    assert torch.allclose((low + high) / 2, torch.tensor([55.0, 50.0]), atol=1e-3)
    # The residual of width and height is orthogonal to them: that is least squares.
    residual = torch.tensor([70.0, 40.0]) - (high - low)
    assert abs(float(residual @ (high - low))) < 1e-2
    direction = view.position / view.position.norm()
    expected = torch.tensor([math.cos(0.4) * math.sin(0.7), math.sin(0.4), math.cos(0.4) * math.cos(0.7)])
    assert torch.allclose(direction, expected, atol=1e-6)


def test_cropped_cameras_fill_the_square_but_for_the_margin_alone_and_in_a_batch():
    wide = ico_sphere(2).vertices * torch.tensor([0.5, 0.2, 0.3])
    points = torch.stack([wide, wide[:, [1, 0, 2]], wide + 0.1])
    azimuth, elevation, distance = (
        torch.tensor([0.4, -1.0, 2.0]),
        torch.tensor([0.1, 0.5, 0.0]),
        torch.tensor([2.0, 1, 9]),
    )
    cameras = cropped_cameras(points, (azimuth, elevation, distance), margin=0.25)
    pixels = cameras.project(points)
    low, high = pixels.amin(1), pixels.amax(1)
    # In the middle, the longer side 1 / (1 + 2 * 0.25) of the square.
    torch.testing.assert_close((low + high) / 2, torch.full((3, 2), 0.5))
    torch.testing.assert_close((high - low).amax(1), torch.full((3,), 2 / 3))
    for i in range(3):
        box = (float(low[i, 0]), float(low[i, 1]), float(high[i, 0]), float(high[i, 1]))
        viewpoint = (float(azimuth[i]), float(elevation[i]), float(distance[i]))
        alone = aligned_camera(points[i], viewpoint, box, size=(1, 1))
        torch.testing.assert_close(alone.project(points[i]), pixels[i])


def test_the_aligned_camera_of_the_true_viewpoint_is_the_true_camera():
    points = ico_sphere(3, radius=0.4).vertices
    view = camera()
    plane = view.project(points)
    box = tuple(torch.cat([plane.amin(0), plane.amax(0)]).tolist())
    again = aligned_camera(points, (0.5, 0.3, 2.0), box, size=view.size)
    assert torch.allclose(again.focal, view.focal, rtol=1e-4)
    assert torch.allclose(again.center, view.center, atol=1e-2)
    assert torch.allclose(again.world_from_cam, view.world_from_cam, atol=1e-6)


@pytest.mark.parametrize("box", [(50.0, 10.0, 10.0, 50.0), (10.0, 50.0, 50.0, 10.0), (10.0, 10.0, 10.0, 50.0),
                                 (0.0, 0.0, math.nan, 50.0), (0.0, 0.0, math.inf, 50.0)])  # fmt: skip
def test_a_box_that_is_none_is_refused(box):
    with pytest.raises(ValueError, match=r"aligned_camera: box is .* x0 < x1 and y0 < y1"):
        aligned_camera(ico_sphere(1).vertices, (0.5, 0.3, 2.0), box, size=(60, 60))


def test_a_predicted_distance_inside_the_object_is_moved_out():
    points = ico_sphere(2, radius=0.4).vertices
    view = aligned_camera(points, (0.0, 0.0, 0.1), (10.0, 10.0, 50.0, 50.0), size=(60, 60))
    assert float(view.pixels_from_world(points)[:, 2].min()) > 0
