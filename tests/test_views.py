"""Views of folders: cameras of three conventions are those that took the pictures; what is no mask is refused."""

import json
import math

import pytest
import torch

from maquette import transforms
from maquette.camera import Camera
from maquette.conventions import opengl_from_camera
from maquette.fitting.hull import hull_points, unit_from_points
from maquette.fitting.views import (
    Fibonacci,
    Grid,
    Tutorial20,
    Views,
    check_views,
    load_views,
    preset_cameras,
    render_views,
    scaled,
)
from maquette.io import write_picture
from maquette.rendering.coverage import coverage, silhouette
from maquette.shapes import Mesh, cube, ico_sphere, transform

SIZE = 40


def blob() -> Mesh:
    """Nothing about it is symmetric: a wrong axis shows."""
    sphere = ico_sphere(2)
    return Mesh(sphere.vertices * torch.tensor([0.8, 0.5, 0.3]) + torch.tensor([0.1, 0.2, -0.1]), sphere.faces)


def write_masks(folder, views: Views, *, inside: float = 1.0) -> None:
    folder.mkdir(exist_ok=True)
    for k, mask in enumerate(views.masks):
        write_picture(mask[..., None].float() * inside, folder / f"{k}.png")


def write_transforms(folder, views: Views, **more) -> None:
    """As NeRF's synthetic scenes have it: Blender's world with z up, file names without suffix."""
    z_up = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    poses = z_up @ opengl_from_camera(views.cameras)
    frames = [{"file_path": f"./views/{k}", "transform_matrix": pose.tolist()} for k, pose in enumerate(poses)]
    angle = 2 * math.atan(SIZE / 2 / float(views.cameras.focal[0, 0]))
    (folder / "transforms.json").write_text(json.dumps({"camera_angle_x": angle, "frames": frames} | more))


@pytest.fixture
def views() -> Views:
    return render_views(blob(), Fibonacci(views=11), SIZE)


def agree(a: Camera, b: Camera) -> bool:
    pairs = ((a.world_from_cam, b.world_from_cam), (a.focal, b.focal), (a.center, b.center))
    return a.size == b.size and all(torch.allclose(x, y, atol=1e-4) for x, y in pairs)


def test_cameras_and_masks_come_back_from_a_transforms_json(tmp_path, views):
    write_masks(tmp_path / "views", views)
    write_transforms(tmp_path, views)
    read = load_views(tmp_path)
    assert agree(read.cameras, views.cameras)
    assert torch.equal(read.masks, views.masks)
    assert read.rgb is None


def test_focal_lengths_in_pixels_are_of_the_size_that_the_file_tells(tmp_path, views):
    write_masks(tmp_path / "views", views)
    focal = 2 * float(views.cameras.focal[0, 0])
    write_transforms(tmp_path, views, fl_x=focal, fl_y=focal, cx=SIZE, cy=SIZE, w=2 * SIZE, h=2 * SIZE)
    assert agree(load_views(tmp_path).cameras, views.cameras)


def test_pictures_of_another_shape_than_the_file_tells_have_their_lens_stretched_along_each_axis(tmp_path):
    """20 x 40 pixels of what was taken at 60 x 80: widths are halved, heights are a third."""
    cameras = preset_cameras(Fibonacci(views=3), (20, 40))
    seen = Views(silhouette(blob(), cameras), cameras, ("0", "1", "2"))
    write_masks(tmp_path / "views", seen)
    write_transforms(tmp_path, seen, fl_x=100.0, fl_y=90.0, cx=44.0, cy=33.0, w=80, h=60)
    read = load_views(tmp_path).cameras
    assert read.size == (20, 40)
    assert read.focal.tolist() == [pytest.approx([50.0, 30.0])] * 3
    assert read.center.tolist() == [pytest.approx([22.0, 11.0])] * 3


def test_cameras_json_is_read_as_maquette_prepare_writes_it(tmp_path, views):
    write_masks(tmp_path / "views", views)
    cameras = {
        "size": [SIZE, SIZE],
        "focal": views.cameras.focal[0].tolist(),
        "center": views.cameras.center[0].tolist(),
        "views": [{"world_from_cam": pose.tolist()} for pose in views.cameras.world_from_cam],
    }
    (tmp_path / "cameras.json").write_text(json.dumps(cameras))
    read = load_views(tmp_path)
    assert agree(read.cameras, views.cameras)
    assert torch.equal(read.masks, views.masks)


def test_pictures_alone_are_taken_in_the_order_of_their_numbers(tmp_path, views):
    write_masks(tmp_path, views)
    read = load_views(tmp_path, Fibonacci(views=11))
    assert torch.equal(read.masks, views.masks), "10.png comes after 9.png"
    with pytest.raises(ValueError, match="11 pictures, but the preset has 20 cameras"):
        load_views(tmp_path, Tutorial20())


def test_alpha_is_a_mask_and_the_colours_are_kept(tmp_path, views):
    assert views.rgb is not None
    red = torch.tensor([1.0, 0.2, 0.0]).expand(SIZE, SIZE, 3)
    for k, mask in enumerate(views.masks):
        write_picture(torch.cat([red, mask[..., None].float() * 0.9], -1), tmp_path / f"{k}.png")
    read = load_views(tmp_path, Fibonacci(views=11))
    assert torch.equal(read.masks, views.masks)
    assert read.rgb is not None
    torch.testing.assert_close(read.rgb[0], red, atol=0.01, rtol=0)


def test_a_mask_beside_a_picture_goes_before_what_the_picture_shows(tmp_path, views):
    (tmp_path / "images").mkdir()
    for k in range(11):
        write_picture(
            torch.rand(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(k)), tmp_path / "images" / f"{k}.png"
        )
    write_masks(tmp_path / "masks", views)
    read = load_views(tmp_path, Fibonacci(views=11))
    assert torch.equal(read.masks, views.masks)
    assert read.rgb is not None


def test_a_mask_of_three_values_is_refused_with_its_name_and_the_values(tmp_path, views):
    write_masks(tmp_path, views)
    classes = views.masks[3].float()
    classes[:2] = 7 / 255
    write_picture(classes[..., None], tmp_path / "3.png")
    with pytest.raises(ValueError, match=r"3\.png: a mask has two values, this one has 3: 0, 7, 255") as told:
        load_views(tmp_path, Fibonacci(views=11))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_mask_of_one_value_is_refused(tmp_path, views, value):
    write_masks(tmp_path, views)
    write_picture(torch.full((SIZE, SIZE, 1), value), tmp_path / "4.png")
    with pytest.raises(ValueError, match=r"4\.png: a mask has two values, this one has 1"):
        load_views(tmp_path, Fibonacci(views=11))


def test_a_coloured_map_of_labels_is_refused(tmp_path, views):
    write_masks(tmp_path, views)
    labels = torch.zeros(SIZE, SIZE, 3)
    labels[5:20, 5:20] = torch.tensor([0.5, 0.0, 0.5])
    write_picture(labels, tmp_path / "4.png")
    with pytest.raises(ValueError, match=r"4\.png: 2 colours and no alpha"):
        load_views(tmp_path, Fibonacci(views=11))


def test_a_mask_is_not_guessed_where_the_background_is_not_plain(tmp_path, views):
    write_masks(tmp_path, views)
    picture = torch.rand(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0)) * 0.5
    picture[10:30, 10:30] = torch.tensor([1.0, 0.9, 0.0])  # the colour model finds it
    write_picture(picture, tmp_path / "4.png")
    with pytest.raises(ValueError, match=r"4\.png: no mask beside it, and .*no plain background"):
        load_views(tmp_path, Fibonacci(views=11))


def test_views_without_cameras_are_told_so(tmp_path, views):
    write_masks(tmp_path, views)
    with pytest.raises(FileNotFoundError, match="views without cameras"):
        load_views(tmp_path)
    (tmp_path / "transforms.json").write_text('{"camera_angle_x": 0.7}')
    with pytest.raises(ValueError, match="views without cameras: no `frames`"):
        load_views(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transform_matrix": None}, "frame 2 .*no transform_matrix of 4 x 4 numbers"),
        ({"transform_matrix": [[1, 0], [0, 1]]}, "frame 2 .*not 4 x 4"),
        ({"transform_matrix": [[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]}, "does not hold a rotation"),
        ({"transform_matrix": [[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]}, "does not hold a rotation"),
        ({"file_path": "nowhere"}, "nowhere: no such picture"),
        ({"file_path": 3}, "frame 2 has no `file_path`"),
        ({"k1": 0.1}, "lens distortion"),
        ({"fl_x": "wide"}, "not a number"),
        ({"fl_x": -5.0}, "must be above 0"),
    ],
)
def test_a_wrong_frame_is_named(tmp_path, views, change, message):
    write_masks(tmp_path / "views", views)
    write_transforms(tmp_path, views)
    told = json.loads((tmp_path / "transforms.json").read_text())
    told["frames"][2] |= change
    (tmp_path / "transforms.json").write_text(json.dumps(told))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_views(tmp_path)


def test_pictures_of_different_sizes_are_refused(tmp_path, views):
    write_masks(tmp_path, views)
    write_picture(views.masks[0, :30, :, None].float(), tmp_path / "5.png")
    with pytest.raises(ValueError, match=r"5\.png: 40 x 30 pixels, but 0\.png has 40 x 40"):
        load_views(tmp_path, Fibonacci(views=11))


def test_views_of_numbers_or_of_nothing_are_refused(views):
    with pytest.raises(ValueError, match="empty"):
        check_views(Views(views.masks & False, views.cameras, views.names))
    with pytest.raises(ValueError, match="view 00: the object fills the picture"):
        check_views(Views(views.masks | True, views.cameras, views.names))
    numbers = Views.__new__(Views)
    for name, value in (
        ("masks", views.masks * 7.0),
        ("cameras", views.cameras),
        ("names", views.names),
        ("rgb", None),
    ):
        object.__setattr__(numbers, name, value)
    with pytest.raises(ValueError, match=r"masks are torch\.float32 with values 0 to 7; give boolean ones"):
        check_views.__wrapped__(numbers)
    with pytest.raises(ValueError, match="two views at least"):
        check_views(views[:1])


def test_tutorial20_is_pytorch3ds_curve():
    cameras = preset_cameras(Tutorial20(), (128, 128))
    step = 2 * math.pi / 19
    x, y, z = cameras.position[1].tolist()
    # PyTorch3D's camera_position_from_spherical_angles at elevation 360/19 and azimuth -180 + 360/19 degrees.
    assert x == pytest.approx(2.7 * math.cos(step) * math.sin(step - math.pi), abs=1e-5)
    assert y == pytest.approx(2.7 * math.sin(step), abs=1e-5)
    assert z == pytest.approx(2.7 * math.cos(step) * math.cos(step - math.pi), abs=1e-5)
    torch.testing.assert_close(cameras.world_from_cam[0], cameras.world_from_cam[19], atol=1e-5, rtol=0)
    assert float(cameras.focal[0, 0]) == pytest.approx(64 / math.tan(math.radians(30)), rel=1e-5)


def test_fibonacci_leaves_no_side_unseen_and_a_grid_is_as_told():
    directions = preset_cameras(Fibonacci(views=20), (8, 8)).position / 2.7
    # From the top down, in rings of equal height of the sphere.
    torch.testing.assert_close(directions[:, 1], torch.linspace(0.95, -0.95, 20), atol=1e-5, rtol=0)
    sides = torch.cat([torch.eye(3), -torch.eye(3)])
    assert float((sides @ directions.T).amax(1).min()) > math.cos(math.radians(36))
    ring = preset_cameras(Grid(around=4, elevations_deg=(0.0,), distance=2.0), (8, 8)).position
    expected = 2 * torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 0, -1], [-1, 0, 0]])
    torch.testing.assert_close(ring, expected, atol=1e-5, rtol=0)


def test_pictures_do_not_change_when_world_and_cameras_are_scaled_together(views):
    scale, shift = 3.0, torch.tensor([5.0, -2.0, 1.0])
    moved = transform(blob(), transforms.scale_translate(scale, shift))
    assert isinstance(moved, Mesh)
    ours = silhouette(moved, scaled(views.cameras, scale, shift))
    # Rounding may turn a pixel whose centre lies on an edge.
    assert int((ours != views.masks).sum()) <= 3


@pytest.mark.parametrize("size", [(SIZE, SIZE), (SIZE, SIZE + 25)])
def test_the_visual_hull_spans_the_box_of_a_convex_shape(size):
    """Seen from all sides a box is its own hull; to a pixel (0.08 units here) and a step of the grid (0.05)."""
    box = Mesh(cube(1.0).vertices * torch.tensor([1.2, 0.6, 0.8]) + torch.tensor([0.3, -0.2, 0.1]), cube().faces)
    cameras = preset_cameras(Fibonacci(views=24), size)
    points = hull_points(Views(silhouette(box, cameras), cameras, tuple(map(str, range(24)))))
    unit = unit_from_points(points)
    low, high = box.vertices.amin(0), box.vertices.amax(0)
    assert float((points.amin(0) - low).abs().max()) < 0.14
    assert float((points.amax(0) - high).abs().max()) < 0.14
    inside = points @ unit[:3, :3].T + unit[:3, 3]
    assert float(inside.abs().max()) == pytest.approx(1.0, abs=1e-5)


def test_the_hull_outlives_a_mask_that_lacks_a_half_of_the_object():
    views = render_views(blob(), Fibonacci(views=24), SIZE)
    whole = hull_points(views)
    views.masks[5, :, : SIZE // 2] = False
    assert bool(views.masks[5].any())
    points = hull_points(views)
    torch.testing.assert_close(points.amin(0), whole.amin(0), atol=0.1, rtol=0)
    torch.testing.assert_close(points.amax(0), whole.amax(0), atol=0.1, rtol=0)


def test_an_object_aside_is_found_by_cameras_that_all_stand_on_one_side():
    aside = torch.tensor([0.5, -0.3, 0.4])
    ball = Mesh(0.3 * ico_sphere(2).vertices + aside, ico_sphere(2).faces)
    views = render_views(ball, Grid(around=8, elevations_deg=(0.0, 40.0)), SIZE)[[0, 1, 2, 8, 9, 10]]
    middle = hull_points(views).mean(0)
    assert float((middle - aside).norm()) < 0.15


def test_cameras_of_another_order_are_noticed(views):
    wrong = Views(views.masks, views.cameras[list(range(10, -1, -1))], views.names)
    far = Views(wrong.masks.roll(SIZE // 3, -1), wrong.cameras, wrong.names)
    with pytest.raises(ValueError, match="the cameras are not those of the pictures"):
        hull_points(far)


def test_fewer_pixels_keep_the_area_of_a_mask_and_the_colours_inside_it(tmp_path, views):
    green = torch.tensor([0.0, 0.6, 0.2]).expand(SIZE, SIZE, 3)
    for k, mask in enumerate(views.masks):
        write_picture(torch.cat([green, mask[..., None].float()], -1) * mask[..., None], tmp_path / f"{k}.png")
    small = load_views(tmp_path, Fibonacci(views=11), most=SIZE // 2)
    areas = views.masks.float().mean((1, 2)), small.masks.float().mean((1, 2))
    torch.testing.assert_close(areas[0], areas[1], atol=0.015, rtol=0)
    assert agree(small.cameras, views.cameras.resized((SIZE // 2, SIZE // 2)))
    assert small.rgb is not None
    inside = small.rgb[small.masks]
    torch.testing.assert_close(inside, green[0, 0].expand_as(inside), atol=0.01, rtol=0)


@pytest.mark.parametrize("edges", ["Hard", "Soft", "Dibr", "Antialias"])
def test_coverage_is_the_alpha_of_render(edges):
    from maquette import rendering

    kind = getattr(rendering, edges)()
    cameras = preset_cameras(Fibonacci(views=3), (24, 24))
    alpha = coverage(blob(), cameras, kind)
    assert torch.equal(alpha, rendering.render(blob(), cameras, edges=kind).alpha)
    assert coverage(blob(), cameras[0], kind).shape == (24, 24)
