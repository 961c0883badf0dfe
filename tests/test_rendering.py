"""Known answers of the renderer: a sphere's outline, depth and normals, a picture on a wall, gradients, discs."""

import math

import pytest
import torch

from maquette.camera import Camera, orbit, pixel_centers
from maquette.rendering import Ambient, Directional, Headlight, Look, antialiased, render, turntable
from maquette.shapes import FaceColors, Mesh, PointCloud, Texture, VertexColors, Voxels, cube, ico_sphere

FLAT = (Ambient(1.0),)
"""Shows colours as they are."""
BLACK = (0.0, 0.0, 0.0)


def ahead(distance: float = 3.0, *, focal: float = 100.0, size: tuple[int, int] = (96, 128)) -> Camera:
    """On the +z axis, looking at the origin."""
    zero = torch.tensor(0.0)
    return orbit(zero, zero, torch.tensor(distance), focal=focal, size=size)


def quad(z: float = 0.0, half: float = 1.0) -> Mesh:
    """The square [-half, half]^2 that faces +z."""
    corners = torch.tensor([[-half, -half, z], [half, -half, z], [half, half, z], [-half, half, z]])
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))


def interior(alpha: torch.Tensor, margin: int = 2) -> torch.Tensor:
    """Pixels at least `margin` away from anything empty and from the picture's border."""
    hollow = torch.nn.functional.pad(1 - alpha[None], (margin,) * 4, value=1.0)
    return torch.nn.functional.max_pool2d(hollow, 2 * margin + 1, 1)[0] == 0


# A sphere --------------------------------------------------------------------------------------------------------

RADIUS, DISTANCE = 1.0, 3.0


@pytest.fixture(scope="module")
def sphere():
    camera = ahead(DISTANCE)
    return render(ico_sphere(4, RADIUS), camera, background=BLACK), camera


def test_a_sphere_covers_the_disc_of_its_tangent_cone(sphere):
    radius = 100.0 * RADIUS / math.sqrt(DISTANCE**2 - RADIUS**2)
    # A disc of 3900 pixels whose border is sampled at centres, and a mesh inscribed by 0.1 %.
    assert math.isclose(float(sphere[0].alpha.sum()), math.pi * radius**2, rel_tol=0.01)


def test_the_depth_of_a_sphere_is_where_its_rays_meet_it(sphere):
    rendering, camera = sphere
    rays = camera.rays()
    # |p + t d|^2 = r^2, the nearer root; d has depth 1, so t is the depth.
    a, b, c = (rays**2).sum(-1), (rays * camera.position).sum(-1), DISTANCE**2 - RADIUS**2
    depth = (-b - (b**2 - a * c).clamp(min=0).sqrt()) / a
    inside = interior(rendering.alpha, 3)
    # The mesh lies up to r (h / r)^2 / 8 = 0.0006 below the sphere; oblique rays see more of it.
    assert float((rendering.depth - depth).abs()[inside].max()) < 0.004
    assert bool((rendering.depth[rendering.alpha == 0] == 0).all())


def test_the_normals_of_a_sphere_are_radial(sphere):
    rendering, camera = sphere
    inside = interior(rendering.alpha)
    hits = camera.position + camera.rays() * rendering.depth[..., None]
    cosine = (torch.nn.functional.normalize(hits, dim=-1) * rendering.normal).sum(-1)[inside]
    # A face of edge 0.08 departs from the sphere's normal by up to 0.05 radians.
    assert float(cosine.min()) > math.cos(0.06)
    assert torch.allclose(rendering.normal.norm(dim=-1), rendering.alpha, atol=1e-6)


def test_smooth_shading_follows_the_sphere_more_closely_than_its_faces(sphere):
    camera = sphere[1]
    light = (Directional((0.0, 0.0, -1.0), 1.0),)
    rendering = render(ico_sphere(3), camera, lights=light, background=BLACK, smooth=True)
    inside = interior(rendering.alpha, 3)
    hits = torch.nn.functional.normalize(camera.position + camera.rays() * rendering.depth[..., None], dim=-1)
    # Lambert: the plain grey 0.75 times the cosine to the light, which is z.
    assert float((rendering.rgb[..., 0] - 0.75 * hits[..., 2]).abs()[inside].max()) < 0.01


# A wall ----------------------------------------------------------------------------------------------------------


def test_a_picture_on_a_wall_comes_back_pixel_by_pixel():
    size = (12, 16)
    image = torch.rand(*size, 3, generator=torch.Generator().manual_seed(0))
    wall = torch.tensor([[-8.0, -6, 0], [8, -6, 0], [8, 6, 0], [-8, 6, 0]])
    uv = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    mesh = Mesh(wall, faces, Texture(uv[faces], image))
    # At distance = focal, one world unit is one pixel.
    rendering = render(mesh, ahead(100.0, size=size), lights=FLAT)
    assert bool((rendering.alpha == 1).all())
    assert torch.allclose(rendering.rgb, image, atol=1e-4)


def test_colours_on_a_slanted_wall_are_interpolated_in_perspective():
    slanted = torch.tensor([[-2.0, -2, -1], [2, -2, 1], [2, 2, 1], [-2, 2, -1]])
    mesh = Mesh(slanted, torch.tensor([[0, 1, 2], [0, 2, 3]]), VertexColors((slanted + 2) / 4))
    camera = ahead(4.0)
    rendering = render(mesh, camera, lights=FLAT)
    inside = interior(rendering.alpha)
    hits = camera.position + camera.rays() * rendering.depth[..., None]
    # The colour is linear in the position, (p + 2) / 4, and the plane is z = x / 2.
    assert torch.allclose(rendering.rgb[inside], ((hits + 2) / 4)[inside], atol=1e-5)
    assert torch.allclose(hits[..., 2][inside], hits[..., 0][inside] / 2, atol=1e-5)


def test_the_nearer_of_two_walls_hides_the_other():
    near, far = quad(1.0, 0.5), quad(0.0, 1.0)
    both = Mesh(torch.cat([far.vertices, near.vertices]), torch.cat([far.faces, near.faces + 4]))
    colors = torch.tensor([[1.0, 0, 0]] * 2 + [[0, 1, 0]] * 2)
    rendering = render(both.with_appearance(FaceColors(colors)), ahead(), lights=FLAT)
    assert rendering.rgb[48, 64].tolist() == [0.0, 1.0, 0.0]
    assert math.isclose(float(rendering.depth[48, 64]), 2.0, rel_tol=1e-6)
    # 0.9 to the right of the middle, at depth 3: beside the near wall, on the far one.
    assert rendering.rgb[48, 64 + 30].tolist() == [1.0, 0.0, 0.0]
    assert math.isclose(float(rendering.depth[48, 64 + 30]), 3.0, rel_tol=1e-6)


def test_a_wall_shows_from_behind_with_its_normal_turned_to_the_viewer():
    turned = Mesh(quad().vertices, quad().faces.flip(1))
    for mesh in (quad(), turned):
        rendering = render(mesh, ahead(), lights=(Headlight(1.0),))
        assert torch.allclose(rendering.normal[48, 64], torch.tensor([0.0, 0.0, 1.0]))
        assert torch.allclose(rendering.rgb[48, 64], torch.full((3,), 0.75))


def test_what_is_behind_the_camera_is_not_seen():
    rendering = render(quad(z=10.0), ahead(3.0), background=(0.1, 0.2, 0.3))
    assert float(rendering.alpha.sum()) == 0
    assert torch.allclose(rendering.rgb, torch.tensor([0.1, 0.2, 0.3]).expand_as(rendering.rgb))
    assert float(rendering.depth.abs().sum() + rendering.normal.abs().sum()) == 0


def test_a_floor_that_runs_under_the_camera_fills_the_picture_up_to_the_horizon():
    far = 1e3
    floor = torch.tensor([[-far, -1, far], [far, -1, far], [far, -1, -far], [-far, -1, -far]])
    camera = ahead(3.0)
    rendering = render(Mesh(floor, torch.tensor([[0, 1, 2], [0, 2, 3]])), camera)
    # A floor of depth 1000 ends a tenth of a pixel below the horizon, which is the upper edge of row 48.
    assert bool((rendering.alpha[:48] == 0).all()) and bool((rendering.alpha[48:] == 1).all())
    below = camera.rays()[48:, :, 1]
    # float32 positions of 1e3 are good to 1e-4, here against depths from 2.
    assert torch.allclose(rendering.depth[48:], -1 / below, rtol=3e-4)


def test_faces_seen_edge_on_give_finite_pictures_and_depths_between_their_corners(generator):
    # With this camera, world points are homogeneous pixels: x w, y w, w. Corners lie in line with pixel centres, but
    # for rounding and noise of its size, so float32 cannot tell the areas from 0.
    camera = Camera(torch.eye(4), torch.ones(2), torch.zeros(2), (16, 16))
    middle = torch.randint(0, 16, (2000, 1, 2), generator=generator) + 0.5
    along = torch.randint(-5, 6, (2000, 1, 2), generator=generator) * torch.tensor([-1.0, 0.3, 2.0])[:, None]
    w = torch.rand(2000, 3, 1, generator=generator) * 3 + 0.5
    pixels = (middle + along) * w + torch.randn(2000, 3, 2, generator=generator) * 1e-6
    corners = torch.cat([pixels, w], -1).reshape(-1, 3).requires_grad_()
    colors = VertexColors(torch.full((6000, 3), 0.5))
    rendering = render(Mesh(corners, torch.arange(6000).reshape(-1, 3), colors), camera, lights=FLAT)
    seen = rendering.alpha > 0
    assert int(seen.sum()) > 100
    assert torch.allclose(rendering.rgb[seen], torch.tensor(0.5), atol=1e-5)
    assert bool(((rendering.depth[seen] > 0.49) & (rendering.depth[seen] < 3.51)).all())
    (gradient,) = torch.autograd.grad(rendering.depth.sum(), corners)
    assert bool(torch.isfinite(gradient).all())


def test_a_small_ball_seen_from_near_looks_like_a_large_one_from_afar():
    def seen(scale):
        ball = ico_sphere(2).with_vertices(ico_sphere(2).vertices * scale)
        return render(ball, orbit(0.6, 0.4, 3 * scale, focal=50.0, size=(32, 32)), background=BLACK).rgb

    # A few pixels on edges may fall to the neighbouring face by rounding.
    assert float((seen(1e-6) - seen(1.0)).abs().mean()) < 1e-3


def test_light_falls_by_the_cosine():
    tilt = math.radians(60)
    light = (Directional((0.0, -math.sin(tilt), -math.cos(tilt)), 0.8),)
    rendering = render(quad().with_appearance(FaceColors(torch.ones(2, 3))), ahead(), lights=light)
    assert torch.allclose(rendering.rgb[48, 64], torch.full((3,), 0.8 * math.cos(tilt)), atol=1e-6)


# Batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_of_cameras_gives_what_each_gives_alone():
    shape = cube().with_appearance(FaceColors(torch.rand(12, 3, generator=torch.Generator().manual_seed(0))))
    cameras = orbit(torch.arange(3.0), torch.full((3,), 0.4), torch.full((3,), 2.5), focal=40.0, size=(32, 40))
    together = render(shape, cameras)
    for k in range(3):
        alone = render(shape, cameras[k])
        for name in ("rgb", "alpha", "depth", "normal"):
            assert torch.allclose(getattr(together, name)[k], getattr(alone, name), atol=1e-6), name


def test_a_batch_of_deformations_gives_what_each_gives_alone():
    wide = ico_sphere(2)
    both = wide.with_vertices(torch.stack([wide.vertices, wide.vertices * torch.tensor([0.5, 1.0, 1.0])]))
    together = render(both, ahead())
    for k in range(2):
        alone = render(wide.with_vertices(both.vertices[k]), ahead())
        assert torch.allclose(together.rgb[k], alone.rgb, atol=1e-6)
        assert torch.equal(together.alpha[k], alone.alpha)
    assert float(together.alpha[1].sum()) < 0.6 * float(together.alpha[0].sum())


# Gradients -------------------------------------------------------------------------------------------------------


def small_scene():
    """A triangle in float64 that covers most of a small picture, its colours, and where it is safely inside."""
    vertices = torch.tensor([[-2.0, -1.5, 0.3], [2.2, -1.4, -0.5], [0.1, 2.5, 0.8]], dtype=torch.float64)
    colors = torch.tensor([[0.2, 0.5, 0.7], [0.6, 0.3, 0.4], [0.5, 0.8, 0.1]], dtype=torch.float64)
    zero = torch.tensor(0.2, dtype=torch.float64)
    camera = orbit(zero, zero, zero + 3, focal=10.0, size=(12, 14))
    return vertices, colors, camera


@pytest.mark.parametrize("what", ["rgb", "depth", "normal"])
def test_gradients_through_the_interior_are_those_of_finite_differences(what):
    vertices, colors, camera = small_scene()
    faces = torch.tensor([[0, 1, 2]])
    # The interior is far enough from the outline that no step of the finite differences moves it across a centre.
    inside = interior(render(Mesh(vertices, faces), camera).alpha, 1)
    assert int(inside.sum()) > 20

    def seen(vertices, colors, pose, focal):
        mesh = Mesh(vertices, faces, VertexColors(colors))
        moved = Camera(pose, focal, camera.center, camera.size)
        lights = (Ambient(0.3), Directional((-0.3, -0.5, -1.0), 0.5))
        return getattr(render(mesh, moved, lights=lights), what)[inside]

    inputs = [x.detach().clone().requires_grad_() for x in (vertices, colors, camera.world_from_cam, camera.focal)]
    assert torch.autograd.gradcheck(seen, inputs, eps=1e-6, atol=1e-6, fast_mode=True)


def test_a_texture_gets_its_gradient_through_the_picture():
    vertices, _, camera = small_scene()
    image = torch.rand(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    uv = torch.tensor([[[0.1, 0.1], [0.9, 0.2], [0.4, 0.9]]], dtype=torch.float64)
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2]]))
    assert torch.autograd.gradcheck(
        lambda image: render(mesh.with_appearance(Texture(uv, image)), camera, lights=FLAT).rgb,
        (image,),
        fast_mode=True,
    )


def test_no_gradient_flows_where_nothing_is_seen():
    vertices = quad(z=10.0).vertices.requires_grad_()
    rendering = render(Mesh(vertices, quad().faces), ahead(3.0))
    (gradient,) = torch.autograd.grad((rendering.rgb.sum() + rendering.depth.sum()), vertices, allow_unused=True)
    assert gradient is None or float(gradient.abs().sum()) == 0


# Points ----------------------------------------------------------------------------------------------------------


def test_a_point_is_a_disc_of_its_radius():
    cloud = PointCloud(torch.zeros(1, 3), torch.tensor([[0.2, 0.4, 0.6]]))
    rendering = render(cloud, ahead(2.0, focal=400.0), radius=0.1)
    # 0.1 units at depth 2 with focal 400 are 20 pixels.
    assert math.isclose(float(rendering.alpha.sum()), math.pi * 20**2, rel_tol=0.01)
    assert torch.allclose(rendering.rgb[48, 64], torch.tensor([0.2, 0.4, 0.6]))
    assert math.isclose(float(rendering.depth[48, 64]), 2.0, rel_tol=1e-6)
    assert rendering.rgb[0, 0].tolist() == [1.0, 1.0, 1.0]


def test_the_disc_in_front_hides_the_one_behind_and_none_shows_behind_the_camera():
    points = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 10]])
    colors = torch.eye(3)
    rendering = render(PointCloud(points, colors), ahead(3.0), radius=0.1)
    assert rendering.rgb[48, 64].tolist() == [0.0, 1.0, 0.0]
    assert set(rendering.depth.unique().tolist()) <= {0.0, 2.0, 3.0}


def test_a_disc_is_lit_from_the_side_it_is_seen_from():
    # Normals may point either way, as those estimated from a scan do: what is seen is turned to the viewer.
    for sign in (1.0, -1.0):
        cloud = PointCloud(torch.zeros(1, 3), torch.full((1, 3), 0.5), torch.tensor([[0.0, 0.6 * sign, 0.8 * sign]]))
        rendering = render(cloud, ahead(3.0), lights=(Headlight(1.0),), radius=0.1)
        assert torch.allclose(rendering.normal[48, 64], torch.tensor([0.0, 0.6, 0.8]))
        assert torch.allclose(rendering.rgb[48, 64], torch.full((3,), 0.5 * 0.8))


def test_a_cloud_passes_gradients_to_its_colours_and_depths():
    points = torch.zeros(1, 3).requires_grad_()
    colors = torch.full((1, 3), 0.5).requires_grad_()
    rendering = render(PointCloud(points, colors), ahead(3.0), radius=0.1)
    rendering.rgb.sum().backward(retain_graph=True)
    assert torch.allclose(colors.grad, rendering.alpha.sum().expand(1, 3))
    rendering.depth.sum().backward()
    # The camera stands on +z: a step towards it takes as much from the depth of every pixel.
    assert torch.allclose(points.grad, torch.tensor([[0.0, 0.0, -1.0]]) * rendering.alpha.sum(), atol=1e-3)


# Voxels and pictures ---------------------------------------------------------------------------------------------


def test_voxels_are_rendered_as_their_surface():
    occupancy = torch.zeros(8, 8, 8)
    occupancy[2:6, 2:6, 2:6] = 1
    rendering = render(Voxels(occupancy, torch.eye(4)), ahead(2.0))
    # The front faces of the full cells lie at z = 0.25.
    assert math.isclose(float(rendering.depth[48, 64]), 1.75, rel_tol=1e-5)


def test_antialiasing_averages_what_is_covered_and_gives_its_own_colour():
    half = Mesh(torch.tensor([[0.0, -9, 0], [9, -9, 0], [9, 9, 0], [0, 9, 0]]), quad().faces)
    painted = half.with_appearance(FaceColors(torch.tensor([[0.2, 0.4, 0.6]] * 2)))
    # An odd number of pixels: the edge at x = 0 cuts the middle column of the small picture in half.
    camera = ahead(3.0, size=(10, 14))
    small = antialiased(render(painted, camera, lights=FLAT, background=BLACK), 2)
    assert small.shape == (5, 7, 4)
    assert small[2, :, 3].tolist() == [0, 0, 0, 0.5, 1, 1, 1]
    assert torch.allclose(small[:, 3:, :3], torch.tensor([0.2, 0.4, 0.6]).expand(5, 4, 3), atol=1e-6)
    with pytest.raises(ValueError, match="10 x 14 pixels do not divide by 3"):
        antialiased(render(painted, camera, background=BLACK), 3)


def test_antialiasing_leaves_the_background_out():
    on_black, on_red = (render(cube(), ahead(), background=color) for color in (BLACK, (1.0, 0.0, 0.0)))
    assert torch.equal(antialiased(on_black, 2), antialiased(on_red, 2))


def test_what_cannot_be_rendered_says_why():
    with pytest.raises(ValueError, match="1 of 2 points are not finite"):
        render(PointCloud(torch.tensor([[0.0, 0, 0], [math.nan, 0, 0]])), ahead())
    with pytest.raises(ValueError, match=r"radius is 0\.0"):
        render(PointCloud(torch.zeros(1, 3)), ahead(), radius=0.0)
    with pytest.raises(ValueError, match=r"the shape is torch.float64 on cpu, the camera torch.float32 on cpu"):
        render(cube().with_vertices(cube().vertices.double()), ahead())
    render(cube().with_vertices(cube().vertices.double()), ahead().to(torch.float64))


def test_a_turntable_frames_the_whole_shape_in_every_picture():
    frames = turntable(cube(3.0), frames=5, size=(24, 32), look=Look(background=(0.0, 0.0, 1.0)))
    assert frames.shape == (5, 24, 32, 3)
    border = torch.cat([frames[:, 0], frames[:, -1], frames[:, :, 0], frames[:, :, -1]], 1)
    assert torch.allclose(border, torch.tensor([0.0, 0.0, 1.0]).expand_as(border), atol=1e-6)
    covered = (frames[..., 0] > 0.05).float().mean((1, 2))
    assert bool((covered > 0.15).all())


def test_a_turntable_starts_at_the_front_and_turns_towards_plus_x():
    colors = torch.zeros(12, 3)
    colors[2:4, 0] = 1.0  # +x
    colors[10:12, 1] = 1.0  # +z, the front
    frames = turntable(
        cube().with_appearance(FaceColors(colors)), frames=4, size=(16, 16), elevation=0.0, look=Look(lights=FLAT)
    )
    assert torch.allclose(frames[0, 8, 8], torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)
    assert torch.allclose(frames[1, 8, 8], torch.tensor([1.0, 0.0, 0.0]), atol=1e-6)


def test_a_turntable_does_not_care_where_the_shape_stands():
    moved = cube().with_vertices(cube().vertices * 5 + torch.tensor([10.0, -3, 4]))
    assert torch.allclose(
        turntable(cube(), frames=2, size=(16, 16)), turntable(moved, frames=2, size=(16, 16)), atol=1e-3
    )
    with pytest.raises(ValueError, match="frames is 0"):
        turntable(cube(), frames=0)
    with pytest.raises(ValueError, match="one shape, not a batch"):
        turntable(cube().with_vertices(cube().vertices.expand(2, 8, 3)))


def test_pixel_centres_and_the_camera_agree_about_the_picture():
    camera = ahead()
    assert pixel_centers(camera.size).mean((0, 1)).tolist() == camera.center.tolist()
