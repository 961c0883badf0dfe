"""Discs over each other: weights by hand, gradients by finite differences, and a picture that moves points home."""

import math
from dataclasses import replace

import pytest
import torch

from maquette.camera import Camera, OrthographicCamera, look_at, orthographic
from maquette.fitting.descent import Adam
from maquette.rendering import Averaged, Composited, Hard, render
from maquette.shapes import PointCloud, ico_sphere

SIZE = (24, 32)
BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


def pixelwise(size=SIZE, dtype=torch.float32) -> OrthographicCamera:
    """World x and y are pixels, z is depth."""
    return OrthographicCamera(torch.eye(4, dtype=dtype), torch.ones(2, dtype=dtype), torch.zeros(2, dtype=dtype), size)


def ahead(distance=3.0, focal=40.0, size=SIZE, dtype=torch.float32) -> Camera:
    return look_at(torch.tensor([0.0, 0, distance], dtype=dtype), torch.zeros(3, dtype=dtype), focal=focal, size=size)


def at(*rows, dtype=torch.float32) -> PointCloud:
    """A cloud of rows x y z r g b."""
    values = torch.tensor(rows, dtype=dtype)
    return PointCloud(values[:, :3], values[:, 3:])


def falloff(x, y, r, size=SIZE):
    """1 - d^2 / r^2 within r of (x, y), else 0: the definition."""
    row, column = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    return (1 - ((column - x) ** 2 + (row - y) ** 2) / r**2).clamp(min=0)


def test_one_disc_is_opaque_in_its_middle_and_clear_at_its_rim():
    seen = render(at([16.5, 12.5, 5, 1, 0, 0]), pixelwise(), radius=6.0, edges=Composited(4))
    a = falloff(16.5, 12.5, 6.0)
    assert torch.allclose(seen.alpha, a, atol=1e-6)
    assert torch.allclose(seen.rgb[..., 0], torch.ones(SIZE), atol=1e-6)
    assert torch.allclose(seen.rgb[..., 1], 1 - a, atol=1e-6)
    assert torch.allclose(seen.depth, 5.0 * (a > 0), atol=1e-5)
    # A cloud without normals faces the camera.
    assert torch.allclose(seen.normal, torch.tensor([0.0, 0, -1]) * (a > 0)[..., None], atol=1e-6)


def test_discs_are_laid_over_each_other_from_front_to_back():
    # Given from back to front: blue, green, red.
    cloud = at([15.5, 12.5, 7, 0, 0, 1], [16.5, 11.5, 6, 0, 1, 0], [16.5, 12.5, 5, 1, 0, 0])
    a, b, c = (falloff(x, y, 6.0) for x, y in ((16.5, 12.5), (16.5, 11.5), (15.5, 12.5)))
    seen = render(cloud, pixelwise(), radius=6.0, edges=Composited(3), background=BLACK)
    weights = torch.stack([a, b * (1 - a), c * (1 - a) * (1 - b)], -1)
    assert torch.allclose(seen.rgb, weights, atol=1e-6)
    assert torch.allclose(seen.alpha, weights.sum(-1), atol=1e-6)
    depth = (weights * torch.tensor([5.0, 6, 7])).sum(-1) / weights.sum(-1).clamp(min=1e-12)
    assert torch.allclose(seen.depth, depth, atol=1e-4)


def test_what_lies_behind_the_last_layer_is_left_out():
    cloud = at([16.5, 12.5, 7, 0, 0, 1], [16.5, 11.5, 6, 0, 1, 0], [16.5, 12.5, 5, 1, 0, 0])
    one = render(cloud, pixelwise(), radius=6.2, edges=Composited(1), background=BLACK)
    a, b = falloff(16.5, 12.5, 6.2), falloff(16.5, 11.5, 6.2)
    # The disc in front, where there is one, and green where only that reaches.
    assert torch.allclose(one.rgb[..., 0], a, atol=1e-6)
    assert torch.allclose(one.rgb[..., 1], torch.where(a > 0, 0.0, b), atol=1e-6)
    two, many = (render(cloud, pixelwise(), radius=6.2, edges=Composited(k)).rgb for k in (3, 30))
    assert torch.equal(two, many)


def test_opacity_belongs_to_all_points_or_to_each():
    cloud = at([8.5, 12.5, 5, 1, 0, 0], [24.5, 12.5, 6, 1, 0, 0])
    a, b = falloff(8.5, 12.5, 4.0), falloff(24.5, 12.5, 4.0)
    half = render(cloud, pixelwise(), radius=4.0, edges=Composited(opacity=0.5))
    assert torch.allclose(half.alpha, (a + b) / 2, atol=1e-6)
    each = render(cloud, pixelwise(), radius=4.0, edges=Composited(opacity=torch.tensor([0.0, 0.75])))
    assert torch.allclose(each.alpha, 0.75 * b, atol=1e-6)
    assert float(each.depth[12, 8]) == 0.0


@pytest.mark.parametrize("edges", [Hard(), Composited(), Averaged()])
def test_a_radius_belongs_to_all_points_or_to_each(edges):
    cloud = at([8.5, 12.5, 5, 1, 0, 0], [24.5, 12.5, 6, 1, 0, 0])
    seen = render(cloud, pixelwise(), radius=torch.tensor([2.2, 6.2]), edges=edges).alpha > 0
    assert torch.equal(seen, (falloff(8.5, 12.5, 2.2) > 0) | (falloff(24.5, 12.5, 6.2) > 0))


def test_averaged_discs_show_their_mean_and_hide_the_background():
    cloud = at([16.5, 12.5, 5, 1, 0, 0], [16.5, 14.5, 9, 0, 1, 0])
    a, b = falloff(16.5, 12.5, 6.0), falloff(16.5, 14.5, 6.0)
    seen = render(cloud, pixelwise(), radius=6.0, edges=Averaged(4), background=(0.0, 0.0, 1.0))
    covered = (a + b) > 0
    assert torch.equal(seen.alpha, covered.float())
    expected = torch.stack([a, b, torch.zeros_like(a)], -1) / (a + b)[..., None]
    assert torch.allclose(seen.rgb[covered], expected[covered], atol=1e-6)
    assert torch.equal(seen.rgb[~covered], torch.tensor([0.0, 0, 1]).expand(int((~covered).sum()), 3))
    assert torch.allclose(seen.depth[covered], ((5 * a + 9 * b) / (a + b))[covered], atol=1e-4)


def test_a_pinhole_makes_discs_smaller_with_depth_and_parallel_rays_do_not():
    cloud = PointCloud(torch.tensor([[-0.6, 0.0, 0], [0.6, 0, -3]]))
    pinhole = ahead(3.0, focal=30.0)
    # At distances 3 and 6, a radius of 0.4 is 4 and 2 pixels, 6 and 3 pixels from the middle.
    expected = (falloff(10.0, 12.0, 4.0) > 0) | (falloff(19.0, 12.0, 2.0) > 0)
    assert torch.equal(render(cloud, pinhole, radius=0.4, edges=Composited()).alpha > 0, expected)
    expected = (falloff(10.0, 12.0, 4.0) > 0) | (falloff(22.0, 12.0, 4.0) > 0)
    assert torch.equal(render(cloud, orthographic(pinhole, 3.0), radius=0.4, edges=Composited()).alpha > 0, expected)


@pytest.mark.parametrize("edges", [Hard(), Composited(4), Averaged(4)])
def test_parallel_rays_see_points_behind_the_camera_in_their_order(edges):
    cloud = at([16.5, 12.5, -2, 1, 0, 0], [16.5, 12.5, -5, 0, 1, 0])
    seen = render(cloud, pixelwise(), radius=3.0, edges=edges)
    # In the middle, where the disc in front is opaque, the green one is seen; averages see both.
    color = [0.5, 0.5, 0] if isinstance(edges, Averaged) else [0.0, 1, 0]
    assert torch.allclose(seen.rgb[12, 16], torch.tensor(color))
    assert float(seen.depth[12, 16]) == pytest.approx(-3.5 if isinstance(edges, Averaged) else -5.0)


@pytest.mark.parametrize("edges", [Hard(), Composited(4), Averaged(4)])
def test_no_points_show_the_background(edges, device):
    camera = ahead().to(device)
    for camera in (ahead(), pixelwise(), replace(ahead(), world_from_cam=ahead().world_from_cam.expand(2, 4, 4),
                   focal=torch.ones(2, 2), center=torch.ones(2, 2))):  # fmt: skip
        cloud = PointCloud(torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, 3))
        seen = render(cloud, camera, edges=edges, background=(0.25, 0.5, 0.75))
        assert torch.equal(seen.rgb, torch.tensor([0.25, 0.5, 0.75]).expand(seen.rgb.shape))
        assert not seen.alpha.any() and not seen.depth.any() and not seen.normal.any()


@pytest.mark.parametrize("edges", [Composited(4), Averaged(4)])
def test_a_batch_of_views_is_the_views_one_by_one(edges):
    sphere = ico_sphere(2)
    cloud = PointCloud(sphere.vertices, (sphere.vertices + 1) / 2, sphere.vertices)
    poses = torch.stack([ahead(d).world_from_cam for d in (2.5, 4.0)])
    views = Camera(poses, torch.full((2, 2), 30.0), torch.tensor([[16.0, 12.0]] * 2), SIZE)
    together = render(cloud, views, radius=0.2, edges=edges)
    for k in range(2):
        alone = render(cloud, views[k], radius=0.2, edges=edges)
        for name in ("rgb", "alpha", "depth", "normal"):
            assert torch.allclose(getattr(together, name)[k], getattr(alone, name), atol=1e-6)


def few_discs():
    generator = torch.Generator().manual_seed(3)
    xy = torch.rand(6, 2, generator=generator, dtype=torch.float64) * 1.2 - 0.6
    z = torch.linspace(-0.5, 0.5, 6, dtype=torch.float64)[:, None]
    radius = 0.3 + 0.2 * torch.rand(6, generator=generator, dtype=torch.float64)
    return torch.cat([xy, z], 1), torch.rand(6, 3, generator=generator, dtype=torch.float64), radius


@pytest.mark.parametrize("how", [Composited, Averaged])
@pytest.mark.parametrize("rays", ["pinhole", "parallel"])
def test_gradients_to_points_colours_radii_and_opacities_are_those_of_differences(how, rays):
    camera = ahead(3.0, focal=12.0, size=(8, 9), dtype=torch.float64)
    if rays == "parallel":
        camera = orthographic(camera, 3.0)
    points, colors, radius = few_discs()
    opacity = torch.linspace(0.3, 0.9, 6, dtype=torch.float64)

    def picture(points, colors, radius, opacity):
        seen = render(PointCloud(points, colors), camera, radius=radius, edges=how(6, opacity))
        # The alpha of averages has no gradient.
        return (seen.rgb, seen.depth, seen.alpha) if how is Composited else (seen.rgb, seen.depth)

    inputs = [values.requires_grad_() for values in (points, colors, radius, opacity)]
    assert torch.autograd.gradcheck(picture, inputs, atol=1e-5, fast_mode=True)


def test_a_step_of_a_whole_cloud_changes_the_picture_as_its_gradient_says():
    # Over a step of a hundredth of a pixel discs enter and leave pixels: they do so with opacity 0.
    sphere = ico_sphere(2).vertices.double()
    # No two at the same depth: which is in front would change with the sign of the step.
    sphere = sphere + 0.02 * torch.randn(sphere.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    cloud = PointCloud(sphere, (sphere + 1) / 2, sphere)
    camera = ahead(3.0, focal=40.0, size=(32, 32), dtype=torch.float64)
    target = torch.rand(32, 32, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    direction = torch.randn(sphere.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def loss(t):
        moved = replace(cloud, points=cloud.points + t * direction)
        return (render(moved, camera, radius=0.15, edges=Composited(50)).rgb - target).square().sum()

    t = torch.zeros((), dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss(t), t)
    h = 1e-5
    assert float(slope) == pytest.approx(float(loss(h) - loss(-h)) / (2 * h), rel=1e-3)


def test_a_pixel_on_the_very_rim_of_a_disc_has_finite_gradients():
    # The pixel at (16.5, 12.5) is 3 from the middle, exactly.
    for edges in (Composited(2), Averaged(2)):
        points = torch.tensor([[13.5, 12.5, 5]]).requires_grad_()
        seen = render(PointCloud(points), pixelwise(), radius=3.0, edges=edges)
        assert float(seen.depth[12, 16].detach()) == 0.0
        (seen.rgb.sum() + seen.depth.sum() + seen.normal.sum()).backward()
        assert bool(points.grad.isfinite().all())


def test_a_picture_moves_discs_home_and_gives_them_their_colours():
    truth = at([8, 9, 5, 0.9, 0.2, 0.1], [21, 8, 6, 0.1, 0.7, 0.3], [15, 16, 7, 0.2, 0.3, 0.9])
    camera, how = pixelwise(), Composited(3)
    target = render(truth, camera, radius=7.0, edges=how).rgb
    points = truth.points + torch.tensor([[2.5, -2.0, 0], [-2.0, 2.5, 0], [2.0, -2.5, 0]])
    colors = torch.full((3, 3), 0.5)
    moved = [{"params": [points.requires_grad_()], "lr": 0.3}, {"params": [colors.requires_grad_()], "lr": 0.03}]
    optimizer = Adam(moved)
    for _ in range(100):
        seen = render(PointCloud(points, colors), camera, radius=7.0, edges=how).rgb
        optimizer.zero_grad()
        (seen - target).square().mean().backward()
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] *= 0.97
    # From 3 pixels away to a fiftieth, and from 0.4 away in colour to less than a step of 8 bits.
    assert float((points - truth.points).detach()[:, :2].norm(dim=1).max()) < 0.02
    assert float((colors - truth.colors).detach().abs().max()) < 0.004


def test_averages_lose_colour_to_what_is_behind_and_composites_do_not():
    sphere = ico_sphere(4)
    red, camera = torch.tensor([1.0, 0, 0]), ahead(4.0, focal=40.0)
    front = (sphere.vertices[:, 2:] > 0).float()
    cloud = PointCloud(sphere.vertices, front * red + (1 - front) * (1 - red))
    middle = [render(cloud, camera, radius=0.12, edges=e).rgb[12, 16, 0] for e in (Composited(30), Averaged(30))]
    assert float(middle[0]) > 0.99
    assert float(middle[1]) == pytest.approx(0.5, abs=0.1)


def test_wrong_discs_are_told():
    cloud = at([16.5, 12.5, 5, 1, 0, 0])
    with pytest.raises(ValueError, match="Composited: layers is 0; ask for at least one"):
        Composited(0)
    with pytest.raises(ValueError, match=r"Averaged: opacity is in 0..1.5; give 0..1"):
        Averaged(opacity=torch.tensor([0.0, 1.5]))
    with pytest.raises(ValueError, match="Composited: opacity is in nan"):
        Composited(opacity=math.nan)
    with pytest.raises(ValueError, match=r"render: opacity is torch.float32 \(2,\) on cpu for points torch.float32"):
        render(cloud, pixelwise(), edges=Composited(opacity=torch.ones(2)))
    with pytest.raises(ValueError, match=r"render: radius is torch.float64 \(1,\)"):
        render(cloud, pixelwise(), radius=torch.ones(1, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"radius is .*give the discs a positive one, in world units"):
        render(cloud, pixelwise(), radius=torch.zeros(1))
    with pytest.raises(ValueError, match="render: edges Composited are for clouds; a mesh takes Hard"):
        render(ico_sphere(1), ahead(), edges=Composited())


@pytest.mark.parametrize("edges", [Hard(), Composited(5, 0.6), Averaged(5)], ids=lambda edges: type(edges).__name__)
def test_a_picture_made_in_pieces_is_the_same_and_keeps_less_for_its_gradients(edges, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(200, 6, generator=generator)
    cameras = look_at(torch.tensor([[0.0, 0, 3], [1, 1, 3]]), torch.zeros(3), focal=40.0, size=SIZE)

    def run():
        kept.clear()
        leaf = values.clone().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.nbytes) or x, lambda x: x):
            seen = render(PointCloud(leaf[:, :3] - 0.5, leaf[:, 3:]), cameras, radius=0.1, edges=edges)
        (seen.rgb.square().sum() + seen.depth.sum() + seen.alpha.square().sum()).backward()
        return seen, leaf.grad, sum(kept)

    kept = []
    whole, gradient, most = run()
    monkeypatch.setattr("maquette.rendering.points.PAIRS", 300)
    pieces, gradient_of_pieces, least = run()
    for name in ("rgb", "alpha", "depth", "normal"):
        assert torch.equal(getattr(whole, name), getattr(pieces, name))
    assert torch.allclose(gradient, gradient_of_pieces, rtol=1e-4, atol=1e-4)  # sums of many, in another order
    assert isinstance(edges, Hard) or least < 0.6 * most  # pictures and points stay
