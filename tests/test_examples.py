"""The examples run as they stand, stay short, and do what they say."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run an example by its number and give what it printed."""

    def run(number: str) -> str:
        (script,) = [path for path in EXAMPLES if path.name.startswith(number)]
        monkeypatch.setattr(sys, "argv", [str(script), str(tmp_path)])
        runpy.run_path(str(script), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_at_most_thirty_lines_and_says_what_it_shows(script):
    text = script.read_text()
    assert text.startswith('"""')
    assert len(text.splitlines()) <= 30


def test_a_shape_is_loaded_rendered_and_saved(run, tmp_path):
    # A ball of radius 1 at distance 3.5 has its nearest point at 2.5, a little more along the axis of a mesh.
    assert "its nearest point is 2.5" in run("01")
    assert {path.name for path in tmp_path.iterdir()} == {"ball.glb", "ball.ply", "ball.png"}


def test_one_film_shows_three_kinds_of_shape(run, tmp_path):
    from PIL import Image

    assert "32768 cells" in run("02")
    with Image.open(tmp_path / "torus.gif") as film:
        assert (film.n_frames, film.size) == (12, (384, 128))


def test_the_camera_is_found_from_the_colours(run):
    off = float(run("03").rsplit("off by ", 1)[1].split()[0])
    assert off < 0.03


def test_every_category_of_the_procedural_world_is_shown(run, tmp_path):
    from maquette.data.synthetic import CATEGORIES

    said = run("04")
    assert all(category in said for category in CATEGORIES)
    assert (tmp_path / "world.png").is_file()


def test_a_picture_becomes_a_solid_near_the_truth(run, tmp_path):
    from maquette.models.runs import BUNDLED

    if not (BUNDLED / "model.safetensors").is_file():
        pytest.skip("needs the bundled weights: make weights")
    score = float(run("05").rsplit("F-score@0.05 ", 1)[1].split()[0])
    # The mean of all chairs, which needs no picture, stays below this.
    assert score > 60
    assert (tmp_path / "chair.glb").is_file()


def test_depth_pictures_from_all_sides_become_one_cloud(run, tmp_path):
    from maquette import load

    said = run("10")
    assert {path.name for path in tmp_path.iterdir()} == {"chair_views.npz", "chair_cloud.ply", "union.png"}
    assert said.startswith(f"{len(load(tmp_path / 'chair_cloud.ply').points)} points")


@pytest.mark.slow
def test_random_points_learn_pictures(run):
    losses = [float(line.rsplit("loss ", 1)[1]) for line in run("11").splitlines()]
    assert losses[-1] < losses[0] / 20


def test_primitives_are_counted(run, tmp_path):
    said = run("06")
    assert len(said.splitlines()) == 8
    # A torus has a hole, a plane a rim; everything else is a ball.
    assert [int(line.split()[-1]) for line in said.splitlines()] == [2, 2, 2, 2, 0, 2, 1, 2]
    assert (tmp_path / "primitives.png").is_file()


def test_the_torus_has_the_area_and_the_volume_of_its_formulas(run, tmp_path):
    for line in run("07").splitlines():
        measured, formula = (float(part.split()[-1]) for part in line.split(", by the formula "))
        assert measured == pytest.approx(formula, rel=0.01)
    assert len(list(tmp_path.iterdir())) == 4


def test_the_scene_holds_a_chair_and_a_floor(run, tmp_path):
    from maquette.io import load

    run("08")
    scene, chair = load(tmp_path / "scene.glb"), load(tmp_path / "chair.glb")
    assert len(scene.faces) - len(chair.faces) == 200


def test_the_cottage_has_two_textured_materials(run):
    assert "14 faces, two materials" in run("09")


def test_a_sphere_becomes_a_vase_by_a_loop(run, tmp_path):
    said = [float(line.split("chamfer ")[1].split()[0]) for line in run("12").splitlines()]
    assert len(said) == 4
    assert said[-1] < said[0] / 5
    assert (tmp_path / "vase.glb").is_file()
