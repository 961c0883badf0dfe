"""Other conventions: each converter against numbers known from its own world, and there and back."""

import math

import pytest
import torch

from maquette import conventions, transforms
from maquette.camera import Camera, OrthographicCamera, focal_from_fov, orbit, relative

SIZE = (90, 120)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def cameras(n: int = 6) -> Camera:
    """Off-centre, with two focal lengths, looking past the origin."""
    generator = torch.Generator().manual_seed(2)
    azimuth, elevation, roll = (torch.rand(3, n, generator=generator) - 0.5) * torch.tensor([[6.0], [2.5], [2.0]])
    seen = orbit(azimuth, elevation, torch.rand(n, generator=generator) + 1.5, focal=100.0, size=SIZE)
    turned = transforms.rigid(transforms.rotation_about("z", roll), torch.rand(n, 3, generator=generator) * 0.2)
    return Camera(seen.world_from_cam @ turned, t(100.0, 110.0).expand(n, 2), t(57.0, 48.5).expand(n, 2), SIZE)


def same(a: Camera, b: Camera) -> bool:
    parts = [(a.world_from_cam, b.world_from_cam), (a.focal, b.focal), (a.center, b.center)]
    return a.size == b.size and all(torch.allclose(x, y, atol=1e-4) for x, y in parts)


def points() -> torch.Tensor:
    return torch.rand(20, 3, generator=torch.Generator().manual_seed(1)) - 0.5


# There and back --------------------------------------------------------------------------------------------------


def test_pytorch3d_there_and_back():
    camera = cameras()
    R, T = conventions.pytorch3d_from_camera(camera)
    assert same(conventions.camera_from_pytorch3d(R, T, focal=camera.focal, center=camera.center, size=SIZE), camera)


def test_ndc_there_and_back():
    camera = cameras()
    focal, center = conventions.pixels_from_ndc(*conventions.ndc_from_pixels(camera), SIZE)
    assert torch.allclose(focal, camera.focal) and torch.allclose(center, camera.center)


def test_opengl_there_and_back():
    camera = cameras()
    pose = conventions.opengl_from_camera(camera)
    assert same(conventions.camera_from_opengl(pose, focal=camera.focal, center=camera.center, size=SIZE), camera)


def test_colmap_there_and_back():
    assert same(conventions.camera_from_colmap(*conventions.colmap_from_camera(cameras()), SIZE), cameras())


def test_opencv_there_and_back():
    assert same(conventions.camera_from_opencv(*conventions.opencv_from_camera(cameras()), SIZE), cameras())


def test_r2n2_there_and_back():
    azimuth, elevation, ratio = t(0.0, 10.0, 200.0, 359.0), t(25.0, 30.0, 27.0, -10.0), t(0.65, 1.0, 0.8, 0.7)
    back = conventions.r2n2_from_camera(conventions.camera_from_r2n2(azimuth, elevation, ratio))
    for given, found in zip((azimuth, elevation, ratio), back, strict=True):
        assert torch.allclose(given, found, atol=1e-3)


def test_quaternions_there_and_back():
    # Half turns about each axis have w = 0, where a formula that divides by w fails.
    hard = torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0.1, 0.7, -0.5, 0.5]])
    rotation = transforms.rotation_from_quaternion(hard)
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand(5, 3, 3), atol=1e-6)
    assert torch.allclose(
        transforms.rotation_from_quaternion(transforms.quaternion_from_rotation(rotation)), rotation, atol=1e-6
    )


# Known answers ---------------------------------------------------------------------------------------------------


def test_pytorch3d_s_default_view_is_the_front():
    # look_at_view_transform(dist=3, elev=0, azim=0) returns these two.
    R, T = torch.diag(t(-1.0, 1.0, -1.0)), t(0.0, 0.0, 3.0)
    camera = conventions.camera_from_pytorch3d(R, T, focal=t(50.0, 50.0), center=t(60.0, 45.0), size=SIZE)
    front = orbit(t(0.0), t(0.0), t(3.0), focal=50.0, size=SIZE)[0]
    assert same(camera, front)


def test_pytorch3d_multiplies_rows_and_looks_with_x_left_and_y_up():
    camera = cameras()
    R, T = conventions.pytorch3d_from_camera(camera)
    rows = points() @ R + T[:, None]
    ours = transforms.apply(camera.cam_from_world, points().expand(6, 20, 3))
    assert torch.allclose(rows, ours * t(-1.0, -1.0, 1.0), atol=1e-5)
    assert torch.allclose(-(T[:, None] @ R.mT)[:, 0], camera.position, atol=1e-5)


def test_pytorch3d_s_field_of_view_of_60_degrees_has_its_focal_length():
    # FoVPerspectiveCameras(fov=60): 1 / tan(30 degrees) in units where the shorter side is [-1, 1].
    camera = orbit(t(0.0), t(0.0), t(3.0), focal=focal_from_fov(math.radians(60), 90), size=SIZE)[0]
    focal, center = conventions.ndc_from_pixels(camera)
    assert torch.allclose(focal, torch.full((2,), math.sqrt(3))) and torch.allclose(center, torch.zeros(2))


def test_a_principal_point_right_of_the_middle_is_negative_in_ndc():
    camera = Camera(torch.eye(4), t(45.0, 45.0), t(60.0 + 9.0, 45.0 - 9.0), SIZE)
    assert torch.allclose(conventions.ndc_from_pixels(camera)[1], t(-0.2, 0.2))


def test_an_opengl_camera_without_rotation_looks_along_minus_z_with_y_up():
    camera = conventions.camera_from_opengl(torch.eye(4), focal=t(100.0, 100.0), center=t(60.0, 45.0), size=SIZE)
    above = t(0.0, 0.1, -1.0)
    assert torch.allclose(camera.project(above[None]), t(60.0, 35.0)[None], atol=1e-4)


def test_a_nerf_pose_in_blender_s_world_sees_the_front_of_what_faces_minus_y():
    # Blender's front view: the camera stands on -y and is turned by 90 degrees about x, so that its y is the world's z.
    pose = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, -4], [0, 1, 0, 0], [0, 0, 0, 1]])
    camera = conventions.camera_from_opengl(pose, focal=t(50.0, 50.0), center=t(60.0, 45.0), size=SIZE)
    front = orbit(t(0.0), t(0.0), t(4.0), focal=50.0, size=SIZE)[0]
    assert same(conventions.moved(camera, conventions.y_up_from_z_up()), front)


def test_moving_world_and_camera_together_changes_no_picture():
    turn = conventions.y_up_from_z_up()
    together = conventions.moved(cameras(), turn).project(transforms.apply(turn, points()).expand(6, 20, 3))
    assert torch.allclose(together, cameras().project(points().expand(6, 20, 3)), atol=1e-2)


def test_colmap_stores_the_inverse_pose_with_the_scalar_of_the_quaternion_first():
    # A quarter turn about y: (cos 45, 0, sin 45, 0). It takes +x to -z and +z to +x.
    half = math.sqrt(0.5)
    camera = conventions.camera_from_colmap(
        t(half, 0.0, half, 0.0), t(1.0, 2.0, 3.0), t(100.0, 100.0, 60.0, 45.0), SIZE
    )
    assert torch.allclose(transforms.apply(camera.cam_from_world, t(0.0, 0.0, 1.0)[None]), t(2.0, 2.0, 3.0)[None])
    assert torch.allclose(camera.position, t(3.0, -2.0, -1.0), atol=1e-6)


def test_the_first_pixel_s_centre_is_the_origin_for_opencv_and_one_half_for_us():
    K = torch.tensor([[80.0, 0, 0], [0, 90, 0], [0, 0, 1]])
    camera = conventions.camera_from_opencv(torch.eye(4), K, SIZE)
    assert camera.center.tolist() == [0.5, 0.5] and camera.focal.tolist() == [80.0, 90.0]
    _, back = conventions.opencv_from_camera(camera)
    assert torch.equal(back, K)


def test_an_rgbd_pixel_goes_to_where_its_formula_says():
    # The usual code: X = (u - cx) Z / fx with integer u; our pixel centre is u + 0.5.
    K, (u, v), depth = torch.tensor([[80.0, 0, 59.5], [0, 90, 44.5], [0, 0, 1]]), (70, 20), 2.5
    expected = t((u - 59.5) * depth / 80, (v - 44.5) * depth / 90, depth)
    camera = conventions.camera_from_opencv(torch.eye(4), K, SIZE)
    assert torch.allclose(camera.unproject(t(u + 0.5, v + 0.5)[None], t(depth)), expected[None])


@pytest.mark.parametrize(("version", "front"), [(1, (1.0, 0.0, 0.0)), (2, (0.0, 0.0, -1.0))])
def test_shapenet_s_front_becomes_plus_z_and_its_up_stays(version, front):
    turn = conventions.world_from_shapenet(version)
    turned = transforms.apply(turn, torch.tensor([front, (0.0, 1.0, 0.0)]))
    assert turned.tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    assert float(torch.linalg.det(turn)) == 1.0
    with pytest.raises(ValueError, match="version is 3"):
        conventions.world_from_shapenet(3)


@pytest.mark.parametrize(("azimuth", "elevation", "ratio"), [(0.0, 0.0, 1.0), (90.0, 0.0, 0.8), (213.0, 28.0, 0.71)])
def test_an_r2n2_view_is_the_published_camera(azimuth, elevation, ratio):
    # Blender's world: the camera at angle -azimuth from +x, z up; importing an OBJ takes (x, y, z) to (x, -z, y).
    a, e, d = math.radians(-azimuth), math.radians(elevation), ratio * 1.75
    in_blender = t(d * math.cos(e) * math.cos(a), d * math.cos(e) * math.sin(a), d * math.sin(e))
    in_obj = torch.stack([in_blender[0], in_blender[2], -in_blender[1]])
    expected = transforms.apply(conventions.world_from_shapenet(1), in_obj[None])[0]
    camera = conventions.camera_from_r2n2(t(azimuth), t(elevation), t(ratio))[0]
    assert torch.allclose(camera.position, expected, atol=1e-5)
    assert camera.size == (137, 137)
    assert math.isclose(float(camera.focal[0]), 149.84, abs_tol=0.01)


def test_an_r2n2_view_from_the_pole_has_an_elevation():
    camera = orbit(0.3, math.pi / 2, 1.1, focal=149.8, size=(137, 137))
    assert math.isclose(float(conventions.r2n2_from_camera(camera)[1]), 90, abs_tol=1e-3)


def test_r2n2_has_a_lens_of_35_mm_before_a_sensor_of_32_mm():
    # Half of the sensor's 32 mm through 35 mm: 2 atan(16 / 35) = 49.1 degrees across the picture.
    camera = conventions.camera_from_r2n2(t(0.0), t(0.0), t(1.0))[0]
    assert math.isclose(2 * math.atan(137 / 2 / float(camera.focal[0])), 2 * math.atan(16 / 35), rel_tol=1e-5)


# Parallel rays, fields of view, clip space -----------------------------------------------------------------------


def parallel(n: int = 6) -> OrthographicCamera:
    return OrthographicCamera(cameras(n).world_from_cam, t(30.0, 33.0).expand(n, 2), t(57.0, 48.5).expand(n, 2), SIZE)


def test_pytorch3d_orthographic_there_and_back():
    camera = parallel()
    R, T = conventions.pytorch3d_from_camera(camera)
    back = conventions.orthographic_from_pytorch3d(R, T, focal=camera.scale, center=camera.center, size=SIZE)
    assert torch.allclose(back.world_from_cam, camera.world_from_cam, atol=1e-5)
    scale, center = conventions.pixels_from_ndc(*conventions.ndc_from_pixels(camera), SIZE)
    assert torch.allclose(scale, camera.scale) and torch.allclose(center, camera.center)


def test_pytorch3d_s_parallel_rays_have_x_left_and_y_up_in_units_of_half_the_shorter_side():
    camera = parallel()
    R, T = conventions.pytorch3d_from_camera(camera)
    focal, principal = conventions.ndc_from_pixels(camera)
    # OrthographicCameras: x_ndc = fx X + px of camera coordinates; its screen is W / 2 - x_ndc * 45 for 90 x 120.
    ndc = (points() @ R + T[:, None])[..., :2] * focal[:, None] + principal[:, None]
    pixels = t(60.0, 45.0) - ndc * 45
    assert torch.allclose(pixels, camera.project(points().expand(6, 20, 3)), atol=1e-3)


def test_a_field_of_view_of_pytorch3d_spans_the_shorter_side():
    focal, center = conventions.pixels_from_fov(math.radians(90), SIZE)
    # tan 45 degrees is 1: a point at depth 1 and height 1 is at the upper edge.
    assert torch.allclose(focal, t(45.0, 45.0)) and torch.allclose(center, t(60.0, 45.0))
    focal, center = conventions.pixels_from_fov(t(1.0, 2.0), SIZE, aspect_ratio=2.0)
    assert focal.shape == (2, 2) and torch.allclose(focal[:, 0] * 2, focal[:, 1])


def test_a_box_of_pytorch3d_fills_the_shorter_side():
    scale, center = conventions.pixels_from_box(t(-1.0, -2.0), t(3.0, 2.0), SIZE)
    camera = OrthographicCamera(torch.eye(4), scale, center, SIZE)
    # Its x is left and its y up, so (max_x, max_y) is the upper left corner of the middle square of 90.
    corners = camera.project(torch.tensor([[-3.0, -2.0, 1.0], [1.0, 2.0, 1.0]]))
    assert torch.allclose(corners, torch.tensor([[15.0, 0.0], [105.0, 90.0]]))
    doubled, _ = conventions.pixels_from_box(t(-1.0, -2.0), t(3.0, 2.0), SIZE, scale=t(2.0, 1.0))
    assert torch.allclose(doubled, scale * t(2.0, 1.0))


def test_co3d_measures_by_the_shorter_side_or_by_each():
    focal, principal = t(2.0, 2.0), t(0.1, -0.2)
    isotropic = conventions.pixels_from_co3d(focal, principal, SIZE, intrinsics_format="ndc_isotropic")
    assert torch.allclose(isotropic[0], t(90.0, 90.0)) and torch.allclose(isotropic[1], t(55.5, 54.0))
    bounds = conventions.pixels_from_co3d(focal, principal, SIZE, intrinsics_format="ndc_norm_image_bounds")
    assert torch.allclose(bounds[0], t(120.0, 90.0)) and torch.allclose(bounds[1], t(54.0, 54.0))
    with pytest.raises(ValueError, match="intrinsics_format is 'pixels'"):
        conventions.pixels_from_co3d(focal, principal, SIZE, intrinsics_format="pixels")


@pytest.mark.parametrize("camera", [cameras(), parallel()], ids=["perspective", "orthographic"])
def test_the_projection_matrix_shows_what_the_camera_shows(camera):
    projection = conventions.projection_from_camera(camera, 0.1, 10.0)
    opengl = points().expand(6, 20, 3)
    seen = transforms.apply(camera.cam_from_world, opengl) * t(1.0, -1.0, -1.0)
    clip = torch.cat([seen, torch.ones_like(seen[..., :1])], -1) @ projection.mT
    ndc = clip[..., :3] / clip[..., 3:]
    pixels = (ndc[..., :2] * t(1.0, -1.0) + 1) / 2 * t(120.0, 90.0)
    assert torch.allclose(pixels, camera.project(opengl), atol=2e-3)
    # Near and far are the ends of clip space.
    ends = torch.tensor([[0.0, 0.0, -0.1, 1.0], [0.0, 0.0, -10.0, 1.0]]) @ projection[0].mT
    assert torch.allclose(ends[:, 2] / ends[:, 3], t(-1.0, 1.0), atol=1e-5)
    back = conventions.pixels_from_projection(projection, SIZE)
    pixels = camera.focal if isinstance(camera, Camera) else camera.scale
    assert torch.allclose(back[0], pixels, rtol=1e-5) and torch.allclose(back[1], camera.center, rtol=1e-5)


def test_a_projection_of_a_field_of_view_is_that_of_every_textbook():
    camera = orbit(0.0, 0.0, 3.0, focal=focal_from_fov(math.radians(60), 90), size=SIZE)
    f = 1 / math.tan(math.radians(30))
    expected = torch.tensor([[f * 90 / 120, 0, 0, 0], [0, f, 0, 0], [0, 0, -11 / 9, -20 / 9], [0, 0, -1, 0]])
    assert torch.allclose(conventions.projection_from_camera(camera, 1.0, 10.0), expected)
    with pytest.raises(ValueError, match="near is 0"):
        conventions.projection_from_camera(camera, 0.0, 10.0)
    sheared = expected.clone()
    sheared[0, 1] = 0.1
    with pytest.raises(ValueError, match="sheared"):
        conventions.pixels_from_projection(sheared, SIZE)


def test_pytorch3d_s_composition_is_ours_where_the_turn_leaves_the_position_alone():
    start = orbit(math.pi, 0.0, 3.0, focal=50.0, size=SIZE)
    about_z = transforms.rotation_about("z", torch.tensor(0.7))
    theirs = conventions.composed_by_pytorch3d(start, about_z, torch.zeros(3))
    # Rows: their rotation acts transposed; about z it does not touch T0 = (0, 0, 3).
    ours = relative(start, transforms.rigid(about_z.mT, torch.zeros(3)))
    assert same(theirs, ours)
    shifted = conventions.composed_by_pytorch3d(start, torch.eye(3), t(0.5, -0.5, 2.0))
    assert same(shifted, relative(start, transforms.rigid(torch.eye(3), t(-0.5, 0.5, 2.0))))


def test_a_moved_world_keeps_pictures_of_parallel_rays_too():
    turn = conventions.y_up_from_z_up()
    moved = conventions.moved(parallel(), turn)
    assert isinstance(moved, OrthographicCamera)
    before = parallel().project(points().expand(6, 20, 3))
    assert torch.allclose(moved.project(transforms.apply(turn, points()).expand(6, 20, 3)), before, atol=1e-3)
