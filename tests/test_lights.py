"""Light on surfaces: cosines, mirrors, and what does not depend on where things stand."""

import math

import pytest
import torch

from maquette.camera import look_at
from maquette.rendering import Ambient, Directional, Headlight, Lambert, Phong, Point, render
from maquette.rendering.lights import shade
from maquette.shapes import FaceColors, Mesh, PointCloud

SIDE = 101
"""Odd, so that one pixel's centre lies on the camera's axis."""


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32)


def wall(color=(1.0, 1.0, 1.0)) -> Mesh:
    """The square |x|, |y| <= 1 at z = 0, its front towards +z."""
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]), FaceColors(t(*color).expand(2, 3)))


def ahead(distance: float = 3.0):
    return look_at(t(0.0, 0.0, distance), t(0.0, 0.0, 0.0), focal=120.0, size=(SIDE, SIDE))


def lit(normal, lights, material=Lambert(), *, position=(0.0, 0.0, 0.0), camera=(0.0, 0.0, 5.0), color=(1.0, 1.0, 1.0)):
    """The colour of one point of a surface, seen by a camera that looks along -z."""
    return shade(
        t(*color)[None],
        torch.nn.functional.normalize(t(*normal)[None], dim=-1),
        positions=t(*position)[None],
        towards_camera=t(*camera)[None] - t(*position)[None],
        forward=t(0.0, 0.0, -1.0)[None],
        lights=lights,
        material=material,
    )[0]


def test_a_lamp_lights_by_the_cosine_of_the_angle_to_it():
    lamp = (Point((3.0, 0.0, 4.0), 0.9),)
    # The way from (0, 0, 0) to the lamp is (3, 4) / 5; its part along the normal +z is 4/5.
    assert torch.allclose(lit((0, 0, 1), lamp), t(0.72, 0.72, 0.72))
    assert torch.allclose(lit((0, 0, 1), lamp, position=(3.0, 0.0, 0.0)), t(0.9, 0.9, 0.9))
    assert lit((0, 0, -1), lamp).tolist() == [0, 0, 0]


def test_a_far_lamp_is_a_sun():
    lamp, sun = (Point((2e5, 3e5, 6e5)),), (Directional((-2.0, -3.0, -6.0)),)
    pictures = [render(wall(), ahead(), lights=lights).rgb for lights in (lamp, sun)]
    assert torch.allclose(*pictures, atol=1e-4)


def test_a_lamp_before_a_wall_is_brightest_where_it_is_nearest():
    rgb = render(wall(), ahead(), lights=(Point((0.0, 0.0, 0.5)),)).rgb[..., 0]
    row = rgb[SIDE // 2, 15:-15]
    # cos = h / sqrt(h^2 + x^2) with h = 0.5, and x of a pixel is (j + 0.5 - 50.5) / 120 * 3.
    x = (torch.arange(SIDE)[15:-15] - SIDE // 2) / 120 * 3
    assert torch.allclose(row, 0.6 * 0.5 / (0.25 + x**2).sqrt(), atol=1e-5)


def test_coloured_light_takes_from_the_surface_only_what_it_has():
    lights = (Ambient(0.5, (1.0, 0.0, 0.0)), Directional((0.0, 0.0, -2.0), 0.5, (0.0, 1.0, 1.0)))
    assert torch.allclose(lit((0, 0, 1), lights, color=(0.4, 0.6, 0.8)), t(0.2, 0.3, 0.4))


def test_white_light_is_the_sum_of_its_colours():
    parts = tuple(Headlight(0.7, color) for color in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    assert torch.allclose(lit((1, 2, 3), parts, Phong()), lit((1, 2, 3), (Headlight(0.7),), Phong()))


def test_a_mirrored_ray_into_the_eye_gives_the_whole_highlight():
    # Light comes down at 45 degrees from +x, leaves at 45 degrees to -x; the camera stands there.
    sun = (Directional((-1.0, 0.0, -1.0), 1.0),)
    material = Phong(specular=0.25, shininess=50.0)
    dull = math.cos(math.pi / 4)
    assert torch.allclose(lit((0, 0, 1), sun, material, camera=(-2.0, 0.0, 2.0)), t(dull + 0.25).expand(3))
    # 60 degrees off the mirrored ray, cos is one half.
    off = math.radians(45 - 60)
    seen = lit((0, 0, 1), sun, Phong(0.25, 3.0), camera=(-math.sin(off), 0.0, math.cos(off)))
    assert torch.allclose(seen, t(dull + 0.25 / 8).expand(3), atol=1e-6)


def test_there_is_no_highlight_without_its_light():
    material = Phong(1.0, 1.0)
    assert lit((0, 0, 1), (Ambient(0.3),), material).tolist() == pytest.approx([0.3] * 3)
    # From behind: the mirrored ray would point at this camera.
    behind = (Directional((1.0, 0.0, 0.2), 1.0),)
    assert lit((0, 0, 1), behind, material, camera=(5.0, 0.0, 1.0)).tolist() == [0, 0, 0]


def test_a_highlight_is_sharper_with_more_shininess_and_as_bright_at_its_middle():
    black = wall((0.0, 0.0, 0.0))
    lamp = (Point((0.0, 0.0, 3.0), 1.0),)
    soft, sharp = (
        render(black, ahead(), lights=lamp, material=Phong(0.5, shininess)).rgb[..., 0] for shininess in (5.0, 100.0)
    )
    middle = SIDE // 2
    assert float(soft[middle, middle]) == pytest.approx(0.5, abs=1e-5)
    assert float(sharp[middle, middle]) == pytest.approx(0.5, abs=1e-5)
    # Lamp and camera stand in one place, so the mirrored ray is off by twice the angle to the normal.
    twice = 2 * math.atan2(20 / 120 * 3, 3)
    assert float(sharp[middle, middle + 20]) == pytest.approx(0.5 * math.cos(twice) ** 100, rel=1e-3)
    assert float(soft[middle, middle + 20]) == pytest.approx(0.5 * math.cos(twice) ** 5, rel=1e-3)


def test_phong_without_specular_is_lambert():
    lights = (Ambient(), Point((1.0, 1.0, 1.0)), Headlight(0.3))
    pictures = [render(wall(), ahead(), lights=lights, material=m).rgb for m in (Lambert(), Phong(0.0))]
    assert torch.equal(*pictures)


def test_points_with_normals_shine_like_a_wall():
    cloud = PointCloud(torch.zeros(1, 3), torch.full((1, 3), 0.5), t(0.0, 0.0, 1.0)[None])
    lights, material = (Point((3.0, 0.0, 4.0), 1.0),), Phong(0.5, 2.0)
    disc = render(cloud, ahead(), lights=lights, material=material, radius=0.1).rgb[SIDE // 2, SIDE // 2]
    # Cosine 4/5; the mirrored ray leaves at the same angle to the camera's axis.
    assert torch.allclose(disc, t(0.5 * 0.8 + 0.5 * 0.64).expand(3), atol=1e-6)


@pytest.mark.parametrize("material", [Lambert(), Phong(0.4, 1.0), Phong(0.4, 20.0)])
def test_light_has_the_gradient_of_normals_positions_and_colours(material):
    generator = torch.Generator().manual_seed(0)
    color, normal, position, away = torch.rand(4, 6, 3, dtype=torch.float64, generator=generator)
    lights = (Ambient(0.2), Directional((-1.0, -0.5, -0.3)), Point((2.0, 2.5, 3.0), 0.5, (1.0, 0.8, 0.3)))
    forward = t(0.0, 0.0, -1.0).double().expand(6, 3)

    def seen(color, normal, position, away):
        unit = torch.nn.functional.normalize(normal, dim=-1)
        parts = {"positions": position, "towards_camera": away, "forward": forward}
        return shade(color, unit, **parts, lights=lights, material=material)

    inputs = [x.requires_grad_() for x in (color, normal, position, away)]
    assert torch.autograd.gradcheck(seen, inputs)


def test_gradients_are_finite_in_the_lamp_and_in_the_dark():
    position = t(0.0, 0.0, 0.0)[None].requires_grad_()
    normal = t(0.0, 0.0, -1.0)[None].requires_grad_()
    rgb = shade(
        t(0.5, 0.5, 0.5)[None],
        normal,
        positions=position,
        towards_camera=t(0.0, 0.0, 0.0)[None],
        forward=t(0.0, 0.0, -1.0)[None],
        lights=(Point((0.0, 0.0, 0.0)), Point((0.0, 0.0, 1.0))),
        material=Phong(0.5, 1.0),
    )
    for gradient in torch.autograd.grad(rgb.sum(), (position, normal)):
        assert bool(torch.isfinite(gradient).all())


def test_lights_and_materials_that_say_nothing_are_errors():
    with pytest.raises(ValueError, match=r"Directional: direction is \(0.0, 0.0, 0.0\)"):
        Directional((0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match=r"shininess 0\.5; give at least 0 and at least 1"):
        Phong(shininess=0.5)
