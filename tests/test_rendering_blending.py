"""Colours blended over depth: what the weights say, the limits of hard pictures, gradients to what is hidden."""

import math

import pytest
import torch

from maquette.camera import OrthographicCamera, orbit
from maquette.rendering import Ambient, Blended, Hard, Soft, blending, render
from maquette.shapes import FaceColors, Mesh, Texture, VertexColors, cube, ico_sphere

FLAT = (Ambient(1.0),)
RED, GREEN = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]


def walls(edge: float, depths: tuple[float, float]) -> tuple[Mesh, OrthographicCamera]:
    """A red wall that ends at x = `edge` (pixels) and a green one that fills the picture of 64 x 64 pixels."""
    corners = [
        [x, y, z]
        for right, z in ((edge, depths[0]), (600.0, depths[1]))
        for x, y in ((-500.0, -500.0), (right, -500.0), (right, 600.0), (-500.0, 600.0))
    ]
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    colors = FaceColors(torch.tensor([RED, RED, GREEN, GREEN], dtype=torch.float64))
    eye = torch.eye(4, dtype=torch.float64)
    camera = OrthographicCamera(eye, torch.ones(2).double(), torch.zeros(2).double(), (64, 64))
    return Mesh(torch.tensor(corners, dtype=torch.float64), faces, colors), camera


def colored_ball(level: int = 1) -> Mesh:
    ball = ico_sphere(level)
    vertices = ball.vertices.double()
    return Mesh(vertices, ball.faces, VertexColors((vertices + 1) / 2))


def ahead(size: int = 24):
    one = torch.tensor(1.0, dtype=torch.float64)
    return orbit(0.3 * one, 0.2 * one, 3 * one, focal=1.2 * size, size=(size, size))


def test_weights_are_coverage_times_the_exponential_of_depth():
    mesh, camera = walls(29.5, (2.0, 2.5))
    seen = render(mesh, camera, edges=Blended(sigma=1e-3, gamma=0.4), lights=FLAT)
    # The pixel's centre lies one pixel, 2 / 64 of the screen, beyond the red wall's edge, and deep in the green one.
    red = 1 / (1 + math.exp((2 / 64) ** 2 / 1e-3))
    green = math.exp(-0.5 / 0.4)
    expected = torch.tensor([red, green, 0.0], dtype=torch.float64) / (red + green)
    assert torch.allclose(seen.rgb[40, 30], expected, atol=1e-9)
    # Far inside of both, the red one before the green one.
    expected = torch.tensor([1.0, green, 0.0], dtype=torch.float64) / (1 + green)
    assert torch.allclose(seen.rgb[40, 9], expected, atol=1e-9)


def test_a_small_gamma_and_a_small_sigma_give_the_hard_picture():
    ball, camera = colored_ball(), ahead()
    hard = render(ball, camera, edges=Hard())
    near = render(ball, camera, edges=Blended(sigma=1e-12, gamma=1e-4))
    for name in ("rgb", "alpha", "depth", "normal"):
        assert torch.allclose(getattr(near, name), getattr(hard, name), atol=1e-6), name


def test_alpha_is_that_of_soft_edges_and_one_colour_stays_one_colour():
    mesh = ico_sphere(2).with_appearance(FaceColors(torch.tensor([RED] * 320)))
    camera = ahead().to(torch.float32)
    blended, soft = (render(mesh, camera, edges=e, lights=FLAT) for e in (Blended(1e-3), Soft(1e-3)))
    assert torch.equal(blended.alpha, soft.alpha)
    assert torch.allclose(blended.rgb, soft.rgb, atol=1e-5)


@pytest.mark.parametrize("kind", ["vertices", "colours", "texture"])
def test_gradients_are_those_of_differences_of_the_picture(kind):
    generator = torch.Generator().manual_seed(0)
    ball, camera = colored_ball(0), ahead(12)
    weights = torch.rand(12, 12, 3, dtype=torch.float64, generator=generator)
    edges = Blended(sigma=3e-2, gamma=0.5, blur_radius=10.0)  # so wide that no blur ends
    uv = torch.rand(20, 3, 2, dtype=torch.float64, generator=generator)

    def score(values):
        match kind:
            case "vertices":
                mesh = ball.with_vertices(values)
            case "colours":
                mesh = ball.with_appearance(VertexColors(values))
            case _:
                mesh = ball.with_appearance(Texture(uv, values))
        return (render(mesh, camera, edges=edges, lights=FLAT).rgb * weights).sum()

    start = {
        "vertices": ball.vertices,
        "colours": 0.2 + 0.5 * torch.rand(12, 3, dtype=torch.float64, generator=generator),
        "texture": 0.2 + 0.5 * torch.rand(4, 4, 3, dtype=torch.float64, generator=generator),
    }[kind].requires_grad_()
    (gradient,) = torch.autograd.grad(score(start), start)
    for _ in range(3):
        way = torch.randn(start.shape, dtype=torch.float64, generator=generator)
        with torch.no_grad():
            difference = (score(start + 1e-6 * way) - score(start - 1e-6 * way)) / 2e-6
        assert (gradient * way).sum().item() == pytest.approx(difference.item(), rel=1e-5)


def test_a_hidden_wall_is_told_to_come_forward():
    mesh, camera = walls(600.0, (2.0, 2.5))
    depth = torch.zeros((), dtype=torch.float64, requires_grad=True)
    back = torch.tensor([[0.0, 0, 0]] * 4 + [[0.0, 0, 1]] * 4, dtype=torch.float64)

    def slope(edges):
        moved = mesh.with_vertices(mesh.vertices + depth * back)
        return torch.autograd.grad(render(moved, camera, edges=edges, lights=FLAT).rgb[40, 9, 1], depth)[0].item()

    green = math.exp(-0.5 / 0.4)
    # d/dz of g / (1 + g) with g = exp(-z / gamma).
    assert slope(Blended(gamma=0.4)) == pytest.approx(-green / (1 + green) ** 2 / 0.4, rel=1e-6)
    assert slope(Soft()) == 0


def test_pieces_and_views_change_nothing(monkeypatch):
    cameras = orbit(torch.arange(3.0), torch.full((3,), 0.4), torch.full((3,), 2.5), focal=30.0, size=(20, 28))
    solid = cube().with_appearance(VertexColors(cube().vertices + 0.5))
    edges = Blended(sigma=1e-3, gamma=0.1)

    def both(camera):
        vertices = solid.vertices.clone().requires_grad_()
        seen = render(solid.with_vertices(vertices), camera, edges=edges)
        return seen.rgb.detach(), torch.autograd.grad((seen.rgb * seen.rgb).sum(), vertices)[0]

    together, gradient = both(cameras)
    monkeypatch.setattr(blending, "PAIRS", 500)
    parts, gradient_of_parts = both(cameras)
    assert torch.allclose(parts, together, atol=1e-6) and torch.allclose(gradient_of_parts, gradient, atol=1e-3)
    assert torch.allclose(both(cameras[1])[0], together[1], atol=1e-6)


def test_what_is_behind_the_camera_shows_nothing_and_takes_no_gradient():
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    away = cube().vertices.double() + shift + torch.tensor([0.0, 0, 50])
    seen = render(Mesh(away, cube().faces), ahead(16), edges=Blended())
    assert bool((seen.alpha == 0).all()) and bool((seen.rgb == 1).all())
    (gradient,) = torch.autograd.grad(seen.rgb.sum() + seen.alpha.sum(), shift, allow_unused=True)
    assert gradient is None or bool((gradient == 0).all())


@pytest.mark.parametrize("gamma", [0.0, -1.0, math.nan])
def test_a_gamma_that_is_no_length_is_refused(gamma):
    with pytest.raises(ValueError, match="Blended: gamma is"):
        Blended(gamma=gamma)
