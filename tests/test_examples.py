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
