"""`maquette render`: pictures and films by command, and what nobody loses by them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette import cli, conventions, transforms
from maquette.camera import orbit, relative
from maquette.data.rgbd_files import read_depth
from maquette.film.options import captioned
from maquette.film.relative import relative_cameras, relative_transforms
from maquette.io import load, read_picture, save
from maquette.rendering import Look
from maquette.rendering.looks import LARGEST_DISC, centred, picture
from maquette.shapes import FaceColors, Mesh, PointCloud, Texture, VertexColors, cube, ico_sphere

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def t(*values: float) -> torch.Tensor:
    return torch.tensor(values)


def run(*words: object) -> int:
    return cli.main(["render", *map(str, words)])


@pytest.fixture
def ball(tmp_path) -> Path:
    """A ball of radius 2 about (10, 0, 0)."""
    save(ico_sphere(4, 2.0).with_vertices(ico_sphere(4, 2.0).vertices + t(10.0, 0, 0)), tmp_path / "ball.ply")
    return tmp_path / "ball.ply"


def middle(path: Path) -> list[float]:
    picture = read_picture(path)
    return [round(value, 2) for value in picture[picture.shape[0] // 2, picture.shape[1] // 2].tolist()]


# Pictures --------------------------------------------------------------------------------------------------------


def test_a_file_alone_is_a_picture_of_it(ball, tmp_path, capsys):
    out = tmp_path / "ball.png"
    assert run(ball, "--out", out, "--size", 64, "--look.background", 0, 0, 1) == 0
    assert capsys.readouterr().out == f"{out}: 64 x 64\n"
    picture = read_picture(out)
    assert picture.shape == (64, 64, 4)
    assert picture[0, 0].tolist() == [0.0, 0.0, 1.0, 1.0]
    r, g, b, _ = middle(out)
    assert r == g == b and 0.3 < r < 0.9


def test_a_silhouette_is_the_disc_that_the_lens_makes_of_a_ball(ball, tmp_path):
    words = (ball, "--size", 128, "--distance", 6, "lens:perspective", "--lens.fov-deg", 60, "output:silhouette")
    assert run(*words, "--out", tmp_path / "disc.png") == 0
    disc = read_picture(tmp_path / "disc.png")[..., 0]
    # Tangents at asin(2 / 6); the picture's half is tan 30 degrees. A polyhedron is a little smaller.
    radius = math.tan(math.asin(2 / 6)) / math.tan(math.radians(30)) * 64
    assert float(disc.sum()) == pytest.approx(math.pi * radius**2, rel=0.01)


def test_without_perspective_a_ball_has_its_own_width(ball, tmp_path):
    words = (ball, "--size", 100, "lens:orthographic", "--lens.width", 5, "output:silhouette")
    assert run(*words, "--out", tmp_path / "disc.png") == 0
    disc = read_picture(tmp_path / "disc.png")[..., 0]
    assert float(disc.sum()) == pytest.approx(math.pi * 40**2, rel=0.01)


@pytest.mark.parametrize("lens", ["lens:perspective", "lens:orthographic"])
def test_depth_in_steps_of_the_world_unit_is_that_of_the_ball(ball, tmp_path, lens, capsys):
    out = tmp_path / "depth.png"
    words = (ball, "--size", 65, "--distance", 10, lens, "output:depth", "--output.steps-per-unit", 1000)
    assert run(*words, "--out", out) == 0
    assert "1000 steps a world unit" in capsys.readouterr().out
    depth = read_depth(out, steps_per_unit=1000.0)
    # The nearest point of the ball; half a step of rounding and the flatness of faces.
    assert float(depth[32, 32]) == pytest.approx(8.0, abs=0.01)
    assert float(depth[0, 0]) == 0
    # A picture to look at spreads the same depths over all steps.
    assert run(*words[:-2], "--out", out, "--force") == 0
    spread = np.asarray(Image.open(out)).astype(float)
    assert spread.max() == 65535 and spread[spread > 0].min() == 1
    assert np.corrcoef(spread[spread > 0], depth.numpy()[spread > 0])[0, 1] < -0.999


def test_depth_that_does_not_fit_its_steps_is_refused(ball, tmp_path, capsys):
    words = (ball, "--out", tmp_path / "depth.png", "--distance", 100, "output:depth", "--output.steps-per-unit", 1000)
    assert run(*words) == 2
    assert "at 1000 steps a unit do not fit in 1..65535; give at most" in capsys.readouterr().err
    assert not (tmp_path / "depth.png").exists()


def test_normals_are_colours_of_the_world_s_axes(tmp_path):
    save(cube(), tmp_path / "cube.ply")
    for azimuth, elevation, color in [(0, 0, [0.5, 0.5, 1]), (90, 0, [1, 0.5, 0.5]), (0, 90, [0.5, 1, 0.5])]:
        words = (tmp_path / "cube.ply", "--size", 32, "--azimuth-deg", azimuth, "--elevation-deg", elevation)
        assert run(*words, "--out", tmp_path / "n.png", "--force", "output:normal") == 0
        assert middle(tmp_path / "n.png")[:3] == pytest.approx(color, abs=0.01)


def test_a_wireframe_has_lines_over_nothing_or_over_the_shape(tmp_path):
    save(cube().with_appearance(FaceColors(t(*RED).expand(12, 3))), tmp_path / "cube.ply")
    words = (tmp_path / "cube.ply", "--size", 64, "--azimuth-deg", 0, "--elevation-deg", 0)
    assert run(*words, "--out", tmp_path / "w.png", "--look.background", "transparent", "output:wireframe") == 0
    alpha = read_picture(tmp_path / "w.png")[..., 3]
    assert 0.02 < float(alpha.mean()) < 0.15
    # The front face's diagonal goes through the middle; beside it there is nothing.
    assert float(alpha[31:33, 31:33].max()) > 0.4 and float(alpha[20, 32]) == 0
    assert run(*words, "--out", tmp_path / "s.png", "output:wireframe", "--output.shaded") == 0
    beside = read_picture(tmp_path / "s.png")[20, 32]
    assert float(beside[0]) > 0.5 and float(beside[1]) == 0


def test_a_lamp_stands_in_the_file_s_own_world(ball, tmp_path):
    words = (ball, "--size", 32, "--azimuth-deg", 0, "--elevation-deg", 0, "--look.ambient", 0)
    dark = (*words, "--look.headlight", 0, "--look.sun", "None", "--look.lamp-intensity", 1.0)
    # 1 unit before the ball's front at (10, 0, 2): straight on, so the ball has its own grey there.
    assert run(*dark, "--look.lamp", 10, 0, 3, "--out", tmp_path / "a.png") == 0
    assert middle(tmp_path / "a.png")[0] == pytest.approx(0.75, abs=0.01)
    assert run(*dark, "--look.lamp", 10, 0, -3, "--out", tmp_path / "b.png") == 0
    assert middle(tmp_path / "b.png")[0] == 0


def test_highlights_are_for_a_shiny_material(ball, tmp_path):
    words = (
        ball,
        "--size",
        33,
        "--azimuth-deg",
        0,
        "--elevation-deg",
        0,
        "--look.sun",
        "None",
        "--look.headlight",
        0.4,
    )
    assert run(*words, "--out", tmp_path / "dull.png", "--look.smooth") == 0
    shiny = ("look.material:phong", "--look.material.specular", 0.5)
    assert run(*words, "--out", tmp_path / "shiny.png", "--look.smooth", *shiny) == 0
    # Seen along the light: the whole highlight, 0.5 times 0.4.
    assert middle(tmp_path / "shiny.png")[0] - middle(tmp_path / "dull.png")[0] == pytest.approx(0.2, abs=0.02)


def test_all_materials_of_a_textured_file_are_seen(tmp_path):
    # Two walls with a texture each: red on the left, green on the right.
    corners = torch.tensor([[-1.0, -1, 0], [0, -1, 0], [0, 1, 0], [-1, 1, 0], [1, -1, 0], [1, 1, 0]])
    lines = [f"v {x} {y} {z}" for x, y, z in corners.tolist()] + ["vt 0.5 0.5", "mtllib two.mtl"]
    lines += ["usemtl left", "f 1/1 2/1 3/1 4/1", "usemtl right", "f 2/1 5/1 6/1 3/1"]
    (tmp_path / "two.obj").write_text("\n".join(lines) + "\n")
    (tmp_path / "two.mtl").write_text("newmtl left\nmap_Kd l.png\nnewmtl right\nmap_Kd r.png\n")
    for name, color in (("l.png", (255, 0, 0)), ("r.png", (0, 255, 0))):
        Image.new("RGB", (4, 4), color).save(tmp_path / name)
    flat = ("--look.ambient", 1, "--look.headlight", 0, "--look.sun", "None")
    ahead = ("--size", 64, "--azimuth-deg", 0, "--elevation-deg", 0)
    for file in ("two.obj", "two.glb"):
        if file.endswith("glb"):
            save(load(tmp_path / "two.obj"), tmp_path / file)
        assert run(tmp_path / file, "--out", tmp_path / "two.png", "--force", *ahead, *flat) == 0
        picture = read_picture(tmp_path / "two.png")[..., :3]
        assert torch.allclose(picture[32, 24], t(*RED), atol=0.01)
        assert torch.allclose(picture[32, 40], t(*GREEN), atol=0.01)


def test_a_point_cloud_is_drawn_but_has_no_wireframe(tmp_path, capsys):
    save(PointCloud(ico_sphere(3).vertices), tmp_path / "cloud.ply")
    assert run(tmp_path / "cloud.ply", "--out", tmp_path / "a.png", "--size", 32, "--look.disc", 0.2) == 0
    assert middle(tmp_path / "a.png") == [0.75, 0.75, 0.75, 1.0]
    assert run(tmp_path / "cloud.ply", "--out", tmp_path / "b.png", "output:wireframe") == 2
    assert "a point cloud has no edges" in capsys.readouterr().err


def test_discs_shrink_with_the_density_of_a_cloud_and_still_close_its_surface():
    generator = torch.Generator().manual_seed(0)
    sizes = []
    for count in (20_000, 320_000):
        flat = torch.rand(count, 3, generator=generator) * t(1.0, 1.0, 0.0)
        whole = centred(PointCloud(flat), "test")
        sizes.append(whole.disc_radius(Look()))
        front = orbit(0.0, 0.0, 3.0, focal=300.0, size=(64, 64))
        # The square is 100 pixels wide, so that all of the picture looks at it.
        covered = picture(whole, front)[..., 3]
        assert float(covered.mean()) > 0.99
        # A circle with six others on average; nine in ten have at least that many, so it is somewhat larger.
        lone = math.sqrt(6 / (math.pi * count))
        assert lone <= sizes[-1] <= 1.6 * lone
    assert sizes[1] < 0.3 * sizes[0]
    assert centred(PointCloud(torch.rand(50, 3)), "test").disc == LARGEST_DISC
    assert centred(PointCloud(torch.zeros(50, 3)), "test").disc == LARGEST_DISC


def test_a_folder_is_told_from_a_file(tmp_path, capsys):
    assert run(tmp_path, "--out", tmp_path / "a.png") == 2
    assert "is a folder" in capsys.readouterr().err


# Films -----------------------------------------------------------------------------------------------------------


def test_a_turntable_has_its_frames(ball, tmp_path, capsys):
    film = tmp_path / "turn.gif"
    assert run("turntable", ball, "--out", film, "--frames", 3, "--size", 32) == 0
    with Image.open(film) as image:
        assert (image.n_frames, image.size) == (3, (32, 32))
    assert capsys.readouterr().out == f"{film}: 3 frames of 32 x 32\n"


@pytest.mark.parametrize("suffix", [".webp", ".mp4"])
def test_films_come_in_other_kinds_too(ball, tmp_path, suffix):
    assert run("turntable", ball, "--out", tmp_path / f"t{suffix}", "--frames", 3, "--size", 32) == 0
    assert (tmp_path / f"t{suffix}").stat().st_size > 500


def test_a_dolly_zoom_says_its_field_of_view_and_can_go_back(ball, tmp_path, capsys):
    film = tmp_path / "dolly.gif"
    assert run("dolly", ball, "--out", film, "--frames", 4, "--size", 48, "--back") == 0
    assert capsys.readouterr().out == f"{film}: 6 frames of 48 x 48\n"
    with Image.open(film) as image:
        assert image.n_frames == 6


def test_a_caption_is_readable_on_black_on_white_and_on_nothing():
    for tone in (0.0, 1.0):
        written = captioned(torch.full((64, 64, 3), tone), "fov 60")
        assert float(written[:16].max() - written[:16].min()) > 0.6
        assert torch.equal(written[32:], torch.full((32, 64, 3), tone))
    alpha = captioned(torch.zeros(64, 64, 4), "fov 60")[..., 3]
    assert float(alpha[:16].max()) == 1 and float(alpha[32:].max()) == 0


# Recolouring -----------------------------------------------------------------------------------------------------


def test_recolouring_gives_a_picture_a_film_or_a_file(ball, tmp_path, capsys):
    for name in ("a.png", "a.gif", "a.glb", "a.ply", "a.obj"):
        words = (ball, "--axis", "x", "--low", 1, 0, 0, "--high", 0, 1, 0, "--size", 32, "--frames", 2)
        assert run("recolor", *words, "--out", tmp_path / name) == 0
        assert (tmp_path / name).is_file()
    mesh = load(tmp_path / "a.ply")
    assert isinstance(mesh, Mesh) and isinstance(mesh.appearance, VertexColors)
    x = mesh.vertices[:, 0]
    # 8-bit colours.
    assert torch.allclose(mesh.appearance.colors[:, 1], (x - 8) / 4, atol=0.003)
    assert torch.allclose(mesh.appearance.colors[:, 0], (12 - x) / 4, atol=0.003)
    capsys.readouterr()
    assert run("recolor", ball, "--axis", "w", "--out", tmp_path / "b.png") == 2
    assert capsys.readouterr().err == "maquette: render: axis is 'w'; x, y or z\n"


# Relative transforms ---------------------------------------------------------------------------------------------

ROT_Z, ROT_Y = torch.tensor([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]]), torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])
EXERCISE = {
    "1 turned": (ROT_Z, t(0.0, 0, 0)),
    "2 farther": (torch.eye(3), t(0.0, 0, 2)),
    "3 shifted": (torch.eye(3), t(0.5, -0.5, 0)),
    "4 from the side": (ROT_Y, t(-3.0, 0, 3)),
}
"""R_rel and T_rel of the exercise's four answers; the rotations are Rz(-90 degrees) and Ry(+90 degrees)."""
R0, T0 = torch.eye(3), t(0.0, 0.0, 3.0)


@pytest.mark.parametrize("name", EXERCISE)
def test_our_four_relative_cameras_are_those_of_the_exercise(name):
    R_rel, T_rel = EXERCISE[name]
    cameras = relative_cameras(math.pi, 3.0, 256)
    start, ours = cameras["start"], cameras[name]
    lens = {"focal": start.focal, "center": start.center, "size": start.size}
    first = conventions.camera_from_pytorch3d(R0, T0, **lens)
    assert torch.allclose(first.world_from_cam, start.world_from_cam, atol=1e-5)
    # The formula as it stands there, whose result a camera of row vectors takes.
    theirs = conventions.camera_from_pytorch3d(R_rel @ R0, R_rel @ T0 + T_rel, **lens)
    assert torch.allclose(theirs.world_from_cam, ours.world_from_cam, atol=1e-5)
    # Known from the pictures: where the cow's middle goes, in pixels of a square of 256 with a field of view of 60.
    focal = 128 / math.tan(math.radians(30))
    shown = {
        "1 turned": (128.0, 128.0),
        "2 farther": (128.0, 128.0),
        "3 shifted": (128 - 0.5 / 3 * focal, 128 + 0.5 / 3 * focal),
        "4 from the side": (128.0, 128.0),
    }
    assert torch.allclose(ours.project(torch.zeros(1, 3)), t(*shown[name])[None], atol=1e-3)


def test_the_first_turns_the_picture_clockwise_and_the_fourth_stands_on_the_other_side():
    cameras = relative_cameras(math.pi, 3.0, 256)
    up = cameras["1 turned"].project(t(0.0, 0.5, 0.0)[None])[0]
    # What was up is right.
    assert float(up[0]) > 128 + 30 and float(up[1]) == pytest.approx(128, abs=1e-3)
    side = cameras["4 from the side"]
    assert torch.allclose(
        side.world_from_cam, orbit(-math.pi / 2, 0.0, 3.0, focal=1.0, size=(8, 8)).world_from_cam, atol=1e-5
    )
    assert torch.allclose(cameras["2 farther"].position, t(0.0, 0.0, -5.0), atol=1e-5)


def test_the_exercise_s_formula_moves_by_another_rotation_than_it_turns():
    # Composing maps of column vectors, as its formula looks: the camera's rotation and translation agree with ours only
    # where the rotation leaves T0 alone, and the fourth picture would show nothing.
    R_rel, T_rel = EXERCISE["4 from the side"]
    turned = R_rel.mT  # what a camera of row vectors does to a column
    honest = transforms.rigid(turned, T_rel)
    start = relative_cameras(math.pi, 3.0, 256)["start"]
    axes = torch.diag(t(-1.0, -1.0, 1.0, 1.0))
    seen = relative(start, axes @ honest @ axes)
    in_camera = transforms.apply(seen.cam_from_world, torch.zeros(1, 3))[0]
    # (-3, 0, 0) + (-3, 0, 3), x to the left: 6 to the right at depth 3, far outside of 60 degrees.
    assert torch.allclose(in_camera, t(6.0, 0.0, 3.0), atol=1e-5)
    # What is missing is R_rel T0 - R_rel^T T0, (6, 0, 0) there, which our fourth map holds.
    ours = axes @ relative_transforms()["4 from the side"] @ axes
    assert torch.allclose(ours[:3, 3] - T_rel, R_rel @ T0 - R_rel.mT @ T0, atol=1e-5)


def test_relative_transforms_are_drawn_in_one_picture(ball, tmp_path, capsys):
    save(cube(), tmp_path / "cube.ply")
    assert run("relative", tmp_path / "cube.ply", "--out", tmp_path / "r.png", "--size", 32) == 0
    assert read_picture(tmp_path / "r.png").shape == (32, 160, 4)
    assert "5 pictures of 32 x 32" in capsys.readouterr().out


# What nobody loses -----------------------------------------------------------------------------------------------

COMMANDS = [
    ("picture", "a.png"),
    ("turntable", "a.gif"),
    ("dolly", "a.gif"),
    ("recolor", "a.png"),
    ("relative", "a.png"),
]


@pytest.mark.parametrize(("command", "name"), COMMANDS)
def test_nothing_is_written_over_and_nothing_is_half_written(command, name, ball, tmp_path, capsys):
    out = tmp_path / name
    out.write_bytes(b"precious")
    assert run(command, ball, "--out", out) == 2
    assert capsys.readouterr().err == f"maquette: {out}: exists; give another --out, or --force to write over it\n"
    (tmp_path / "broken.ply").write_bytes(ball.read_bytes()[:-100])
    assert run(command, tmp_path / "broken.ply", "--out", out, "--force") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["ball.ply", "broken.ply", name])


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["turntable", "none.glb", "--out", "t.avi"], "no film is called '.avi' (t.avi); one of .gif, .mp4, .webp"),
        (["picture", "none.glb", "--out", "t.gif"], "no picture is called '.gif'"),
        (["picture", "none.glb", "--out", "t.jpg", "output:depth"], "no depth picture is called '.jpg'"),
        (["none.glb", "--out", "t.png"], "none.glb: no such file"),
        (["none.glb", "--out", "t.png", "--size", "0"], "size is 0; give at least 2 pixels"),
        (["none.glb", "--out", "t.png", "--distance", "0"], "distance is 0.0"),
        (["none.glb", "--out", "t.png", "--look.background", "2", "0", "0"], "three numbers from 0 to 1"),
        (["none.glb", "--out", "t.jpg", "--look.background", "transparent"], "JPEG has no transparent background"),
        (["none.glb", "--out", "t.png", "lens:perspective", "--lens.fov-deg", "180"], "fov-deg is 180.0"),
        (["turntable", "none.glb", "--out", "t.gif", "--look.background", "transparent"], "films have no transparent"),
        (["turntable", "none.glb", "--out", "t.gif", "--frames", "0"], "frames 0, fps 15, size 320"),
        (["dolly", "none.glb", "--out", "t.gif", "--fov-deg", "0", "90"], "fov-deg is (0.0, 90.0)"),
        (["relative", "none.glb", "--out", "t.gif"], "no picture is called '.gif'"),
    ],
)
def test_bad_options_are_one_line_before_anything_is_read(words, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*words) == 2
    err = capsys.readouterr().err
    assert line in err and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_texture_is_drawn_where_its_coordinates_say(tmp_path):
    corners = torch.tensor([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    uv = torch.tensor([[0.0, 0], [1, 0], [1, 1], [0, 1]])[faces]
    image = torch.zeros(2, 2, 3)
    image[0, 0, 0] = image[1, 1, 1] = 1.0  # red at the upper left, green at the lower right
    save(Mesh(corners, faces, Texture(uv, image)), tmp_path / "wall.glb")
    words = ("--size", 64, "--azimuth-deg", 0, "--elevation-deg", 0, "--look.ambient", 1, "--look.headlight", 0)
    assert run(tmp_path / "wall.glb", "--out", tmp_path / "wall.png", *words, "--look.sun", "None") == 0
    picture = read_picture(tmp_path / "wall.png")[..., :3]
    assert picture[24, 24].argmax() == 0 and picture[40, 40].argmax() == 1
