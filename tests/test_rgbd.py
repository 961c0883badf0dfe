"""RGB-D: pixels become the points they were pictures of; files say what is wrong with them; views lie on each other."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from maquette import cli
from maquette.camera import Camera, orbit
from maquette.conventions import opencv_from_camera
from maquette.data.rgbd import (
    RGBD,
    distances_between_neighbours,
    grid_normals,
    measured,
    strided,
    unproject,
    without_flying_pixels,
)
from maquette.data.rgbd_files import load_rgbd, load_rgbd_folder, read_depth, read_trajectory, save_rgbd
from maquette.io import load, write_picture
from maquette.rendering import Ambient, render
from maquette.shapes import PointCloud, VertexColors, ico_sphere, thin, union

SIZE = (24, 32)


def flat_camera(size=SIZE, focal=50.0) -> Camera:
    """At the origin, looking along +z with y down."""
    return Camera(torch.eye(4), torch.tensor([focal, focal]), torch.tensor([size[1] / 2, size[0] / 2]), size)


def view(depth, camera=None, mask=None) -> RGBD:
    camera = flat_camera(tuple(depth.shape)) if camera is None else camera
    mask = torch.ones_like(depth, dtype=torch.bool) if mask is None else mask
    return RGBD(torch.rand(*depth.shape, 3, generator=torch.Generator().manual_seed(0)), depth, mask, camera)


def plane_depth(normal, offset, camera: Camera):
    """Depths of the plane normal . x = offset, by the rays of a camera at the origin."""
    return offset / (camera.rays() @ normal)


def scene_views(count=3, size=(48, 64)) -> RGBD:
    """A coloured ball of radius 1 from cameras around it, as a renderer measures it."""
    ball = ico_sphere(4)
    ball = ball.with_appearance(VertexColors((ball.vertices + 1) / 2))
    cameras = orbit(torch.arange(count) * 0.15, torch.tensor(0.3), torch.tensor(3.0), focal=60.0, size=size)
    seen = render(ball, cameras, lights=(Ambient(1.0),))
    return RGBD(seen.rgb, seen.depth, seen.alpha > 0, cameras)


# Geometry ------------------------------------------------------------------------------------------------------------


def test_a_pixel_becomes_the_point_that_projects_to_its_centre():
    cameras = orbit(torch.tensor([0.3, 1.0]), torch.tensor(0.2), torch.tensor(4.0), focal=60.0, size=SIZE)
    depth = 3 + torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(2)) > 0.5
    views = RGBD(torch.rand(2, *SIZE, 3, generator=torch.Generator().manual_seed(3)), depth, mask, cameras)
    cloud = unproject(views)
    assert len(cloud.points) == int(mask.sum())
    start = 0
    for k in range(2):
        row, column = mask[k].nonzero(as_tuple=True)
        points = cloud.points[start : start + len(row)]
        centres = torch.stack([column, row], 1) + 0.5
        assert torch.allclose(cameras[k].project(points), centres, atol=1e-3)
        assert torch.allclose(cameras[k].depth(points), depth[k, row, column], atol=1e-5)
        assert torch.equal(cloud.colors[start : start + len(row)], views.rgb[k, row, column])
        start += len(row)


def test_the_points_of_a_rendered_ball_lie_on_it_and_their_normals_lead_out():
    views = scene_views()
    cloud = unproject(views)
    # Inscribed by less than 0.3 %, as a mesh of 5120 faces is.
    assert float((cloud.points.norm(dim=1) - 1).abs().max()) < 3e-3
    assert torch.allclose(cloud.colors, (cloud.points + 1) / 2, atol=0.02)
    # Away from the outline, where a normal needs both neighbours, it is off by what the ball bends over a few pixels.
    towards = (cloud.normals * cloud.points).sum(1)
    assert float(towards.quantile(0.1)) > 0.98
    assert torch.allclose(cloud.normals.norm(dim=1), torch.ones(len(towards)), atol=1e-5)


def test_normals_of_a_plane_are_exact_and_turned_to_the_camera():
    camera = flat_camera()
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, 1.0]), dim=0)
    normals = grid_normals(view(plane_depth(normal, 2.0, camera), camera))
    # The plane is in front, its other side is turned away. Corners are known from one side only; that is exact, too.
    assert torch.allclose(normals, -normal.expand(*SIZE, 3), atol=1e-4)


def test_a_pixel_without_neighbours_has_a_normal_towards_the_camera_and_none_outside_the_mask():
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[5, 7] = True
    rgbd = view(torch.full(SIZE, 2.0), mask=mask)
    normals = grid_normals(rgbd)
    ray = rgbd.camera.rays()[5, 7]
    assert torch.allclose(normals[5, 7], -ray / ray.norm(), atol=1e-6)
    assert not normals[~mask].any()


def test_normals_beside_a_jump_are_those_of_their_own_side():
    depth = torch.full(SIZE, 2.0)
    depth[:, 16:] = 4.0
    assert torch.allclose(grid_normals(view(depth)), torch.tensor([0.0, 0, -1]).expand(*SIZE, 3), atol=1e-5)


def test_depths_out_of_range_not_finite_or_not_positive_are_left_out():
    depth = torch.tensor([[1.0, 2.0, 3.0], [0.0, -1.0, math.nan], [math.inf, 2.5, 2.0]])
    assert len(unproject(view(depth)).points) == 5
    assert measured(view(depth), near=1.0, far=2.5).mask.tolist() == [
        [False, True, False],
        [False, False, False],
        [False, True, True],
    ]


def test_gradients_flow_to_depths_and_stay_finite_beside_missing_ones():
    depth = torch.full((4, 5), 2.0)
    depth[1, 2] = math.nan
    depth.requires_grad_()
    cloud = unproject(view(depth))
    (cloud.points.sum() + cloud.normals.sum()).backward()
    assert bool(depth.grad.isfinite().all())
    assert float(depth.grad[1, 2]) == 0.0


def test_pixels_beside_a_jump_fly_and_go():
    depth = torch.full((6, 8), 2.0)
    depth[:, 3] = 3.0  # between a thing at 2 and a wall at 4
    depth[:, 4:] = 4.0
    kept = without_flying_pixels(view(depth)).mask
    assert kept.tolist() == [[True, True, False, False, False, True, True, True]] * 6
    # A floor that is seen at 10 degrees has no jumps; nothing is where only one pixel was measured.
    camera = flat_camera(focal=525.0)
    floor = plane_depth(torch.tensor([0.0, math.cos(0.17), math.sin(0.17)]), 1.0, camera)
    assert bool(without_flying_pixels(view(floor, camera)).mask.all())
    lonely = torch.zeros(6, 8, dtype=torch.bool)
    lonely[2, 3] = True
    assert not without_flying_pixels(view(depth, mask=lonely)).mask.any()


def test_a_stride_keeps_one_pixel_of_each_block():
    mask = strided(view(torch.ones(7, 9)), 3).mask
    assert mask.nonzero().tolist() == [[r, c] for r in (1, 4) for c in (1, 4, 7)]
    assert bool(strided(view(torch.ones(7, 9)), 1).mask.all())


def test_views_of_one_thing_lie_on_each_other_and_a_wrong_pose_shows():
    views = scene_views()
    clouds = [unproject(views[k]) for k in range(3)]
    # Pixels are 3 / 60 = 0.05 apart: the nearest of a square grid is 0.38 of that away on average.
    distances = torch.tensor([[float(x) for x in pair] for pair in distances_between_neighbours(clouds)])
    assert distances.shape == (2, 2) and float(distances.max()) < 0.03
    moved = replace(clouds[1], points=clouds[1].points + torch.tensor([0.0, 0, 0.3]))
    assert float(distances_between_neighbours([clouds[0], moved])[0][0]) > 0.06


# Clouds --------------------------------------------------------------------------------------------------------------


def test_a_union_holds_the_points_of_all_in_order():
    a = PointCloud(torch.rand(3, 3), torch.rand(3, 3), torch.rand(3, 3))
    b = PointCloud(torch.rand(0, 3), torch.rand(0, 3), torch.rand(0, 3))
    c = PointCloud(torch.rand(2, 3), torch.rand(2, 3), torch.rand(2, 3))
    whole = union([a, b, c])
    for name in ("points", "colors", "normals"):
        assert torch.equal(getattr(whole, name), torch.cat([getattr(a, name), getattr(c, name)]))
    assert union([PointCloud(a.points)]).colors is None
    with pytest.raises(ValueError, match="union: cloud 0 has colors and cloud 1 has none"):
        union([a, PointCloud(a.points)])
    with pytest.raises(ValueError, match=r"union: cloud 1 is \(\) torch.float64 on cpu and cloud 0 \(\) torch.float32"):
        union([PointCloud(a.points), PointCloud(a.points.double())])
    with pytest.raises(ValueError, match="union: no clouds"):
        union([])


def test_thinning_leaves_the_mean_of_each_cell():
    points = torch.tensor([[0.1, 0.1, 0.1], [-0.1, 0.1, 0.1], [0.3, 0.1, 0.1]])
    colors = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    normals = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 1, 0]])
    thinned = thin(PointCloud(points, colors, normals), 0.5)
    assert torch.allclose(thinned.points, torch.tensor([[-0.1, 0.1, 0.1], [0.2, 0.1, 0.1]]))
    assert torch.allclose(thinned.colors, torch.tensor([[0.0, 1, 0], [0.5, 0, 0.5]]))
    assert torch.allclose(thinned.normals, torch.tensor([[0.0, 1, 0], [0.5**0.5, 0.5**0.5, 0]]))
    assert len(thin(PointCloud(torch.zeros(0, 3)), 0.5).points) == 0
    many = PointCloud(torch.rand(5000, 3, generator=torch.Generator().manual_seed(0)))
    assert len(thin(many, 0.25).points) == 64


@pytest.mark.parametrize("edge", [0.0, -1.0, math.nan, math.inf, 1e-30])
def test_an_edge_of_no_use_is_refused(edge):
    with pytest.raises(ValueError, match="thin: "):
        thin(PointCloud(torch.ones(2, 3)), edge)


def test_pictures_that_do_not_fit_together_are_refused():
    depth, camera = torch.ones(SIZE), flat_camera()
    with pytest.raises(ValueError, match=r"RGBD: depth is \(24, 32\) and the cameras are \(\) of \(3, 4\)"):
        RGBD(torch.zeros(*SIZE, 3), depth, depth > 0, camera.resized((3, 4)))


# Files ---------------------------------------------------------------------------------------------------------------


def write_depth(depth, path):
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((depth * 1000).round().numpy().astype(np.uint16)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Three views of a ball as Redwood and Open3D keep them."""
    tmp_path /= "scene"
    views = scene_views()
    lines = []
    for k in range(3):
        write_picture(views.rgb[k], tmp_path / "color" / f"{k}.png")
        write_depth(views.depth[k], tmp_path / "depth" / f"{k}.png")
        lines += [f"{k} {k} {k + 1}", *(" ".join(map(str, row)) for row in views.camera.world_from_cam[k].tolist())]
    (tmp_path / "trajectory.log").write_text("\n".join(lines))
    K = opencv_from_camera(views.camera[0])[1]
    matrix = K.mT.flatten().tolist()
    (tmp_path / "camera.json").write_text(json.dumps({"width": 64, "height": 48, "intrinsic_matrix": matrix}))
    return tmp_path


def test_a_folder_of_views_is_read_with_its_half_pixel_and_its_millimetres(folder):
    views, truth = load_rgbd(folder), scene_views()
    assert torch.allclose(views.camera.center, truth.camera.center)
    assert torch.allclose(views.camera.world_from_cam, truth.camera.world_from_cam, atol=1e-6)
    assert float((views.depth - truth.depth).abs().max()) <= 0.0005001
    assert float((views.rgb - truth.rgb).abs().max()) <= 0.5 / 255 + 1e-6
    assert torch.equal(views.mask, truth.mask)
    # The folder above finds it as well, as long as there is no other.
    assert torch.equal(load_rgbd(folder.parent).depth, views.depth)


def test_an_archive_gives_back_what_was_saved(tmp_path):
    views = scene_views()
    save_rgbd(views, tmp_path / "views.npz")
    again = load_rgbd(tmp_path / "views.npz")
    assert torch.equal(again.depth, views.depth) and torch.equal(again.mask, views.mask)
    assert torch.allclose(again.rgb, views.rgb, atol=0.51 / 255)
    for name in ("world_from_cam", "focal", "center"):
        assert torch.allclose(getattr(again.camera, name), getattr(views.camera, name), atol=1e-6)
    save_rgbd(views[1], tmp_path / "one.npz")
    assert torch.equal(load_rgbd(tmp_path / "one.npz").depth, views.depth[1:2])


def test_an_archive_means_row_vectors_and_pixels(tmp_path):
    # A camera of PyTorch3D at distance 2 on its z axis, turned by R: X_cam = X R + T, x left, y up.
    arrays = {
        "rgb": np.full((4, 6, 3), 128, np.uint8),
        "mask": np.ones((4, 6)),
        "depth": np.full((4, 6), 2.0, np.float32),
        "R": np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]]),
        "T": np.array([0.0, 0, 2]),
        "focal": np.array([20.0, 20.0]),
        "principal": np.array([3.0, 2.0]),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    views = load_rgbd(tmp_path / "a.npz")
    R, T = (torch.from_numpy(arrays[name]).float() for name in ("R", "T"))
    cloud = unproject(views)
    seen = cloud.points @ R + T
    # Left of the middle is +x there, above it +y; depth is z.
    row, column = torch.meshgrid(torch.arange(4) + 0.5, torch.arange(6) + 0.5, indexing="ij")
    expected = torch.stack([(3 - column) / 20 * 2, (2 - row) / 20 * 2, torch.full((4, 6), 2.0)], -1).reshape(-1, 3)
    assert torch.allclose(seen, expected, atol=1e-5)


def spoilt(name, value):
    """An archive of one view in which one array is another, or missing."""
    arrays = {
        "rgb": np.zeros((1, 12, 16, 3), np.uint8),
        "mask": np.ones((1, 12, 16), bool),
        "depth": np.ones((1, 12, 16), np.float32),
        "R": np.eye(3)[None],
        "T": np.zeros((1, 3)),
        "focal": np.full((1, 2), 20.0),
        "principal": np.full((1, 2), 8.0),
    }
    return {**arrays, name: value} if value is not None else {k: v for k, v in arrays.items() if k != name}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("rgb", None, "holds no rgb; it should hold rgb, mask, depth, R, T, focal, principal"),
        (
            "rgb",
            np.zeros((1, 5, 16, 3), np.uint8),
            r"rgb has shape \(1, 5, 16, 3\), but \(1, 12, 16, 3\) goes with depth",
        ),
        ("rgb", np.full((1, 12, 16, 3), 300.0), "rgb is float64 in 300..300; store 8 bits, or floats in 0..1"),
        ("depth", np.ones((1, 12, 16), np.uint16), "depth is uint16; store floats in world units"),
        ("depth", np.ones(5, np.float32), r"depth has shape \(5,\); it has 3 axes, or 2 for one view"),
        ("depth", np.array([["a"]]), "depth holds <U1, not numbers"),
        ("depth", np.array([{}]), "depth holds object, not numbers"),
        ("mask", np.ones((2, 12, 16), bool), "mask has shape"),
        ("R", np.eye(3)[None] * 2, "the pose of view 0 is not rigid"),
        ("R", np.full((1, 3, 3), np.nan), "R holds values that are NaN or infinite"),
        ("T", np.zeros((2, 3)), r"T has shape \(2, 3\), but \(1, 3\)"),
        ("focal", np.full((1, 2), 1.7), r"focal 1.7 is not in pixels; `maquette.conventions.pixels_from_ndc`"),
    ],
)
def test_an_archive_says_what_is_wrong_with_it(tmp_path, name, value, says):
    path = tmp_path / "bad.npz"
    np.savez(path, **spoilt(name, value))
    with pytest.raises(OSError, match=says):
        load_rgbd(path)


def break_color(folder):
    (folder / "color" / "2.png").unlink()


def break_depth(folder):
    write_picture(torch.rand(48, 64, 3), folder / "depth" / "1.png")


def break_size(folder):
    write_depth(torch.ones(24, 64), folder / "depth" / "1.png")


def break_trajectory(folder):
    path = folder / "trajectory.log"
    path.write_text("\n".join(path.read_text().split("\n")[:10]))


def break_pose(folder):
    path = folder / "trajectory.log"
    path.write_text(path.read_text().replace("0.0 0.0 0.0 1.0", "0.0 0.0 0.0 2.0"))


def break_number(folder):
    (folder / "trajectory.log").write_text("0 0 1\n1 0 0 0\n0 1 x 0\n0 0 1 0\n0 0 0 1\n")


def break_lines(folder):
    (folder / "trajectory.log").write_text("0 0 1\n1 0 0 0\n")


def break_camera(folder):
    (folder / "camera.json").write_text('{"width": 64}')


def break_focal(folder):
    values = f'"intrinsic_matrix": [1{"0" * 400}, 0, 0, 0, 60, 0, 31.5, 23.5, 1]'
    (folder / "camera.json").write_text(f'{{"width": 64, "height": 48, {values}}}')


def lose_camera(folder):
    (folder / "camera.json").unlink()


def double_camera(folder):
    (folder / "other.json").write_text("{}")


def lose_trajectory(folder):
    (folder / "trajectory.log").unlink()


def empty_depth(folder):
    for path in (folder / "depth").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (break_color, "2 pictures in color/ and 3 in depth/; pair them"),
        (break_depth, "1.png: depth is a PNG of 16-bit grey; this is another kind of picture"),
        (break_size, "1.png: 64 x 24 pixels, but the camera's pictures are 64 x 48"),
        (break_trajectory, "trajectory.log: 2 poses for 3 views"),
        (break_pose, "trajectory.log: the pose of view 0 is not rigid"),
        (break_number, "trajectory.log: view 0 is not a matrix of 4 x 4 numbers"),
        (break_lines, "trajectory.log: 2 lines; a trajectory has five for each view"),
        (break_camera, "camera.json: not a camera of width, height and an intrinsic_matrix"),
        (break_focal, "camera.json: not a camera of width, height and an intrinsic_matrix"),
        (lose_camera, "no camera (a .json with width, height, intrinsic_matrix); name one with --intrinsics"),
        (double_camera, "2 JSON files (camera.json, other.json); say which one is the camera with --intrinsics"),
        (lose_trajectory, "trajectory.log: no such file"),
        (empty_depth, "depth: holds no pictures"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong_with_a_folder(folder, spoil, says, capsys):
    spoil(folder)
    assert cli.main(["unproject", str(folder), "--out", str(folder / "cloud.ply")]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and says in told
    assert not (folder / "cloud.ply").exists()


def test_the_command_writes_the_union_and_each_view_and_tells_how_they_lie(folder, capsys):
    out = folder / "out" / "cloud.ply"
    arguments = ["unproject", str(folder), "--out", str(out)]
    assert cli.main([*arguments, "--each", "--stride", "2", "--only", "0", "2"]) == 0
    told = capsys.readouterr().out
    assert "views 0 and 2: median distance" in told
    assert "largest median distance between neighbouring views: 0.0" in told
    first, last, whole = (load(out.with_stem(name)) for name in ("cloud_0", "cloud_2", "cloud"))
    assert torch.equal(whole.points, torch.cat([first.points, last.points]))
    assert cli.main(arguments) == 2
    assert "exists; give another --out, or --force" in capsys.readouterr().err
    assert cli.main([*arguments, "--force", "--thin", "0.1"]) == 0
    thinned = load(out)
    assert len(torch.unique((thinned.points / 0.1).floor(), dim=0)) == len(thinned.points)


def test_the_command_takes_an_archive_and_refuses_what_leaves_nothing(tmp_path, capsys):
    save_rgbd(scene_views(1), tmp_path / "views.npz")
    arguments = ["unproject", str(tmp_path / "views.npz"), "--out", str(tmp_path / "cloud.ply")]
    assert cli.main([*arguments, "--far", "0.5"]) == 2
    assert "no pixel of" in capsys.readouterr().err
    assert cli.main([*arguments, "--only", "3"]) == 2
    assert "unproject: view 3 of 1" in capsys.readouterr().err
    assert cli.main(arguments) == 0
    assert cli.main(["unproject", str(tmp_path / "views.npz"), "--out", "cloud.xyz"]) == 2
    assert "no cloud is called '.xyz'" in capsys.readouterr().err
    assert cli.main(["unproject", str(tmp_path / "missing"), "--out", str(tmp_path / "c.ply")]) == 2
    assert "missing: there is no such folder" in capsys.readouterr().err


def test_depth_and_trajectory_alone_are_read(folder):
    assert read_depth(folder / "depth" / "0.png", steps_per_unit=500.0).max() > 4
    assert read_trajectory(folder / "trajectory.log").shape == (3, 4, 4)
    with pytest.raises(ValueError, match="steps_per_unit is 0"):
        load_rgbd_folder(folder, steps_per_unit=0.0)


def test_five_views_of_a_room_lie_on_each_other_within_six_millimetres(maquette_data):
    folder = maquette_data / "rgbd" / "redwood"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    views = load_rgbd_folder(folder)
    assert views.depth.shape == (5, 480, 640)
    clouds = [unproject(without_flying_pixels(views[k])) for k in range(5)]
    distances = distances_between_neighbours(clouds, most=5000)
    assert max(float(x) for pair in distances for x in pair) <= 0.006
