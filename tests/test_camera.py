"""The one camera: where points fall, where rays go, and what an orbit looks at."""

import math

import pytest
import torch

from maquette import transforms
from maquette.camera import (
    Camera,
    OrthographicCamera,
    focal_from_fov,
    look_at,
    orbit,
    orbit_angles,
    orthographic,
    pixel_centers,
)

SIZE = (120, 160)
ORIGIN = torch.zeros(1, 3)
# float32 carries 7 digits; pixels are of order 100 after a handful of products.
PIXEL = 1e-3


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def some_cameras(n: int = 5) -> Camera:
    generator = torch.Generator().manual_seed(3)
    azimuth, elevation = torch.rand(2, n, generator=generator) * 2 - 1
    return orbit(azimuth * 3, elevation * 1.4, torch.rand(n, generator=generator) + 2, focal=200.0, size=SIZE)


def test_a_point_one_unit_right_below_and_ahead_lands_where_the_pinhole_says():
    camera = Camera(torch.eye(4), t(100.0, 50.0), t(80.0, 60.0), SIZE)
    # x = fx X / Z + cx, y = fy Y / Z + cy with OpenCV axes: y grows downwards.
    assert torch.equal(camera.project(t(1.0, 1.0, 2.0)[None]), t(130.0, 85.0)[None])


def test_the_middle_of_the_first_pixel_is_at_one_half():
    centers = pixel_centers((3, 4))
    assert centers.shape == (3, 4, 2)
    assert centers[0, 0].tolist() == [0.5, 0.5]
    assert centers[2, 3].tolist() == [3.5, 2.5]


def test_an_orbit_looks_at_the_origin_from_its_distance():
    cameras = some_cameras()
    middle = cameras.project(ORIGIN.expand(5, 1, 3))
    assert torch.allclose(middle, t(80.0, 60.0).expand(5, 1, 2), atol=PIXEL)
    assert torch.allclose(cameras.pixels_from_world(ORIGIN)[..., 0, 2], cameras.position.norm(dim=-1))


def test_azimuth_0_looks_at_the_front_and_azimuth_90_at_the_plus_x_side():
    front = orbit(t(0.0), t(0.0), t(2.0), focal=100.0, size=SIZE)[0]
    assert torch.allclose(front.position, t(0.0, 0.0, 2.0))
    side = orbit(t(math.pi / 2), t(0.0), t(2.0), focal=100.0, size=SIZE)[0]
    assert torch.allclose(side.position, t(2.0, 0.0, 0.0), atol=1e-6)
    above = orbit(t(0.0), t(math.pi / 6), t(2.0), focal=100.0, size=SIZE)[0]
    assert torch.allclose(above.position, t(0.0, 1.0, math.sqrt(3)), atol=1e-6)


def test_from_the_front_plus_x_is_right_and_plus_y_is_up_in_the_picture():
    camera = orbit(t(0.0), t(0.0), t(2.0), focal=100.0, size=SIZE)[0]
    (middle, right, up) = camera.project(torch.tensor([[0.0, 0, 0], [0.1, 0, 0], [0, 0.1, 0]]))
    assert torch.allclose(right - middle, t(5.0, 0.0), atol=PIXEL)
    assert torch.allclose(up - middle, t(0.0, -5.0), atol=PIXEL)


def test_orbit_angles_give_back_what_orbit_was_given():
    azimuth, elevation, distance = t(-3.0, 0.0, 1.5), t(-1.2, 0.3, 1.5), t(0.5, 1.0, 7.0)
    back = orbit_angles(orbit(azimuth, elevation, distance, focal=1.0, size=SIZE))
    for given, found in zip((azimuth, elevation, distance), back, strict=True):
        # asin near the pole loses half of the digits.
        assert torch.allclose(given, found, atol=1e-3)


def test_poses_are_rotations_without_mirror():
    rotation = some_cameras().world_from_cam[:, :3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand(5, 3, 3), atol=1e-6)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(5), atol=1e-6)


@pytest.mark.parametrize("elevation", [math.pi / 2, -math.pi / 2])
def test_looking_straight_down_or_up_keeps_the_front_at_its_limit(elevation):
    pole = orbit(t(0.0), t(elevation), t(2.0), focal=100.0, size=SIZE)[0]
    near = orbit(t(0.0), t(elevation * 0.999), t(2.0), focal=100.0, size=SIZE)[0]
    assert torch.allclose(pole.world_from_cam, near.world_from_cam, atol=1e-2)


def test_with_z_up_the_view_from_above_has_plus_x_right_and_plus_y_up():
    camera = look_at(t(0.0, 0.0, 2.0), t(0.0, 0.0, 0.0), focal=100.0, size=SIZE, up=(0.0, 0.0, 1.0))
    right, down, forward = camera.world_from_cam[:3, :3].unbind(-1)
    assert torch.equal(right, t(1.0, 0.0, 0.0))
    assert torch.equal(down, t(0.0, -1.0, 0.0))
    assert torch.equal(forward, t(0.0, 0.0, -1.0))


@pytest.mark.parametrize("up", [(1.0, 0.0, 0.0), (0.0, -3.0, 0.0), (0.2, 0.0, 0.9), (1.0, 1e-9, 0.0)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_looking_along_up_is_a_rotation_all_the_same(up, sign):
    camera = look_at(sign * t(*up), t(0.0, 0.0, 0.0), focal=100.0, size=SIZE, up=up)
    rotation = camera.world_from_cam[:3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3), atol=1e-6)
    assert math.isclose(float(torch.linalg.det(rotation)), 1.0, abs_tol=1e-6)


def test_a_camera_without_a_direction_is_an_error():
    with pytest.raises(ValueError, match=r"the eye is in its target, \[1.0, 2.0, 3.0\]"):
        look_at(t(1.0, 2.0, 3.0), t(1.0, 2.0, 3.0), focal=100.0, size=SIZE)
    with pytest.raises(ValueError, match="the eye is in its target"):
        orbit(0.5, 0.5, 0.0, focal=100.0, size=SIZE)
    with pytest.raises(ValueError, match="up is"):
        look_at(t(0.0, 0.0, 1.0), t(0.0, 0.0, 0.0), focal=100.0, size=SIZE, up=(0.0, 0.0, 0.0))


def test_an_orbit_takes_numbers_where_a_tensor_says_their_type():
    one = orbit(0.6, 0.4, 2.0, focal=100.0, size=SIZE)
    assert torch.equal(one.world_from_cam, orbit(*t(0.6, 0.4, 2.0), focal=100.0, size=SIZE).world_from_cam)
    double = t(0.1, 0.2, 0.3).double()
    many = orbit(double, 0.4, 2.0, focal=100.0, size=SIZE)
    assert many.world_from_cam.shape == (3, 4, 4) and many.world_from_cam.dtype == torch.float64
    # 0.4 keeps its 16 digits: the height is 2 sin 0.4.
    assert math.isclose(float(many.position[1, 1]), 2 * math.sin(0.4), rel_tol=1e-15)


def test_one_camera_is_not_a_batch():
    with pytest.raises(ValueError, match=r"\[0\] of a single camera"):
        orbit(0.6, 0.4, 2.0, focal=100.0, size=SIZE)[0]


def test_a_camera_changes_its_type_as_a_whole():
    camera = some_cameras().to(torch.float64)
    assert {x.dtype for x in (camera.world_from_cam, camera.focal, camera.center)} == {torch.float64}


def test_unproject_undoes_project(generator):
    cameras = some_cameras()
    points = torch.rand(5, 50, 3, generator=generator) - 0.5
    depth = cameras.pixels_from_world(points)[..., 2]
    assert torch.allclose(cameras.unproject(cameras.project(points), depth), points, atol=1e-5)


def test_a_ray_of_depth_d_ends_in_its_own_pixel():
    cameras = some_cameras()
    ends = cameras.position[:, None, None] + 3.0 * cameras.rays()
    pixels = cameras.project(ends.reshape(5, -1, 3)).reshape(5, *SIZE, 2)
    assert torch.allclose(pixels, pixel_centers(SIZE).expand(5, *SIZE, 2), atol=PIXEL)
    depth = cameras.pixels_from_world(ends.reshape(5, -1, 3))[..., 2]
    assert torch.allclose(depth, torch.full_like(depth, 3.0), atol=1e-5)


def test_a_resized_camera_sees_the_same_at_scaled_pixels(generator):
    camera = some_cameras()[0]
    points = torch.rand(20, 3, generator=generator) - 0.5
    small = camera.resized((60, 40))
    assert small.size == (60, 40)
    # 120 x 160 to 60 x 40: half the rows, a quarter of the columns.
    assert torch.allclose(small.project(points), camera.project(points) * t(0.25, 0.5), atol=PIXEL)


def test_projection_depends_on_the_camera_only_through_the_relative_pose(generator):
    camera, points = some_cameras()[0], torch.rand(20, 3, generator=generator) - 0.5
    turn = transforms.rigid(transforms.rotation_about("z", t(0.7)[0]), t(0.1, -0.2, 0.3))
    moved = Camera(turn @ camera.world_from_cam, camera.focal, camera.center, camera.size)
    assert torch.allclose(moved.project(transforms.apply(turn, points)), camera.project(points), atol=PIXEL)


def test_a_field_of_view_spans_the_picture():
    fov = math.radians(60)
    camera = look_at(t(0.0, 0.0, 2.0), t(0.0, 0.0, 0.0), focal=focal_from_fov(fov, SIZE[1]), size=SIZE)
    edge = t(2.0 * math.tan(fov / 2), 0.0, 0.0)
    assert torch.allclose(camera.project(edge[None]), t(160.0, 60.0)[None], atol=PIXEL)


def test_one_of_a_batch_is_the_camera_alone():
    cameras = some_cameras()
    assert torch.equal(cameras[2].world_from_cam, cameras.world_from_cam[2])
    assert cameras[1:3].focal.shape == (2, 2)


def test_project_has_the_gradient_of_the_pinhole():
    camera = some_cameras()[0]
    pose = camera.world_from_cam.double().requires_grad_()
    focal = camera.focal.double().requires_grad_()
    points = (torch.rand(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5).requires_grad_()

    def projected(points, pose, focal):
        return Camera(pose, focal, camera.center.double(), SIZE).project(points)

    assert torch.autograd.gradcheck(projected, (points, pose, focal))


# Parallel rays ---------------------------------------------------------------------------------------------------


def some_orthographic(n: int = 5) -> OrthographicCamera:
    return orthographic(some_cameras(n), some_cameras(n).position.norm(dim=-1))


def test_a_point_lands_where_the_scale_says_at_every_depth():
    camera = OrthographicCamera(torch.eye(4), t(10.0, 20.0), t(80.0, 60.0), SIZE)
    points = torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 200.0], [1.0, 1.0, -3.0]])
    assert torch.equal(camera.project(points), t(90.0, 80.0).expand(3, 2))
    assert torch.equal(camera.pixels_from_world(points), t(90.0, 80.0, 1.0).expand(3, 3))
    assert torch.equal(camera.depth(points), t(2.0, 200.0, -3.0))


def test_parallel_rays_and_the_pinhole_agree_at_the_depth_that_was_given(generator):
    camera = some_cameras()[0]
    pixels = torch.rand(20, 2, generator=generator) * 100
    points = camera.unproject(pixels, torch.full((20,), 2.5))
    assert torch.allclose(orthographic(camera, 2.5).project(points), pixels, atol=PIXEL)
    with pytest.raises(ValueError, match="depth is -1"):
        orthographic(camera, -1.0)


def test_an_orthographic_unproject_undoes_project(generator):
    cameras = some_orthographic()
    points = torch.rand(5, 50, 3, generator=generator) - 0.5
    assert torch.allclose(cameras.unproject(cameras.project(points), cameras.depth(points)), points, atol=1e-5)
    # One depth for all pixels and one camera for all points broadcast.
    many = cameras[0].unproject(cameras.project(points), cameras.depth(points))
    assert many.shape == (5, 50, 3) and torch.allclose(many[0], points[0], atol=1e-5)


@pytest.mark.parametrize("make", [some_cameras, some_orthographic])
def test_origins_and_rays_of_depth_d_end_in_their_own_pixels(make):
    cameras = make()
    ends = (cameras.origins() + 3.0 * cameras.rays()).reshape(5, -1, 3)
    assert torch.allclose(
        cameras.project(ends).reshape(5, *SIZE, 2), pixel_centers(SIZE).expand(5, *SIZE, 2), atol=PIXEL
    )
    assert torch.allclose(cameras.depth(ends), torch.full_like(ends[..., 0], 3.0), atol=1e-5)
    assert torch.allclose(cameras.depth(cameras.origins().reshape(5, -1, 3)), t(0.0), atol=1e-5)


def test_parallel_rays_have_length_1_and_start_on_the_camera_s_plane():
    camera = some_orthographic()[0]
    assert torch.allclose(camera.rays().norm(dim=-1), t(1.0), atol=1e-6)
    small = camera.resized((60, 40))
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    assert torch.allclose(small.project(points), camera.project(points) * t(0.25, 0.5), atol=PIXEL)
    assert camera.to(torch.float64).scale.dtype == torch.float64
    with pytest.raises(ValueError, match=r"\[0\] of a single camera"):
        camera[0]


def test_an_orthographic_picture_has_the_gradient_of_its_scale():
    camera = some_orthographic()[0].to(torch.float64)
    pose, scale = camera.world_from_cam.requires_grad_(), camera.scale.requires_grad_()
    points = (torch.rand(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.5).requires_grad_()

    def projected(points, pose, scale):
        return OrthographicCamera(pose, scale, camera.center, SIZE).project(points)

    assert torch.autograd.gradcheck(projected, (points, pose, scale))


# Rotations -------------------------------------------------------------------------------------------------------


def test_rotations_are_right_handed():
    quarter = torch.tensor(math.pi / 2)
    axes = torch.eye(3)
    for name, source, target in [("x", 1, 2), ("y", 2, 0), ("z", 0, 1)]:
        turned = transforms.rotation_about(name, quarter) @ axes[source]
        assert torch.allclose(turned, axes[target], atol=1e-6)


def test_the_inverse_of_a_pose_undoes_it():
    pose = some_cameras().world_from_cam
    assert torch.allclose(transforms.inverse(pose) @ pose, torch.eye(4).expand(5, 4, 4), atol=1e-5)


@pytest.mark.parametrize("front", ["+z", "-z", "+x", "-x"])
def test_a_declared_front_is_turned_to_plus_z_about_the_vertical(front):
    axis = torch.zeros(1, 3)
    axis[0, "xyz".index(front[1])] = 1.0 if front[0] == "+" else -1.0
    turn = transforms.z_from_front(front)
    assert torch.equal(transforms.apply(turn, axis), t(0.0, 0.0, 1.0)[None])
    assert torch.equal(transforms.apply(turn, t(0.0, 1.0, 0.0)[None]), t(0.0, 1.0, 0.0)[None])


def test_an_unknown_axis_is_named():
    with pytest.raises(ValueError, match=r"front axis is 'up'; one of \+z"):
        transforms.z_from_front("up")
    with pytest.raises(ValueError, match="axis is 'w'"):
        transforms.rotation_about("w", torch.tensor(0.0))
