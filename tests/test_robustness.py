"""Diagnosing and disturbing an evaluated run of a small network, and its codes: what the files say."""

import csv
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maquette import cli
from maquette.camera import orbit
from maquette.data.dataset import Pictures, Truth, write_index, write_object
from maquette.data.entries import Entry
from maquette.diagnose.diagnosis import BEYOND, read_diagnosis
from maquette.diagnose.disturbing import RobustnessConfig, sweep_disturbances, training_of
from maquette.diagnose.program import DiagnoseConfig, diagnose_run
from maquette.diagnose.robustness import read_robustness
from maquette.diagnose.sweeps import SWEEPS, disturbed_picture
from maquette.evaluate import EvaluateConfig, evaluate_run
from maquette.evaluate.opened import open_evaluation
from maquette.evaluate.runs import read_run
from maquette.evaluate.scoring import training_object
from maquette.io import write_picture
from maquette.io.atomic import write_json
from maquette.latent.map import MapConfig, map_codes
from maquette.models import PointsConfig, SmallEncoder, build, save_model
from maquette.models.points import PointsHead
from maquette.shapes import cell_centers

SIDE = 60


def disc(radius: float = 20.0) -> torch.Tensor:
    """A red disc in the middle of nothing."""
    place = torch.arange(SIDE) + 0.5 - SIDE / 2
    alpha = (place[:, None].square() + place.square() < radius**2).float()
    return torch.stack([alpha, torch.zeros_like(alpha), torch.zeros_like(alpha), alpha], -1)


def shown(rgba: torch.Tensor) -> int:
    return int((rgba[..., 3] > 0.5).sum())


@pytest.mark.parametrize("kind", ["occlusion", "crop"])
def test_the_share_that_is_hidden_or_cut_off_is_the_level(kind):
    whole = disc()
    for level in (0.1, 0.4):
        left = shown(disturbed_picture(whole, kind, level, seed=0, id="a")) / shown(whole)
        # A row of the disc, or a ring about a pixel, goes at a time: up to 40 of its 1,256 pixels.
        assert left == pytest.approx(1 - level, abs=0.033)


@pytest.mark.parametrize("sweep", SWEEPS, ids=lambda sweep: sweep.kind)
def test_a_disturbance_follows_from_seed_id_kind_and_level_and_the_first_level_is_none(sweep):
    whole = disc()
    assert torch.equal(disturbed_picture(whole, sweep.kind, sweep.levels[0], seed=0, id="a"), whole)
    one, again = (disturbed_picture(whole, sweep.kind, sweep.levels[2], seed=0, id="a") for _ in range(2))
    assert torch.equal(one, again) and not torch.equal(one, whole)
    if sweep.kind != "blur":  # which draws nothing
        others = [disturbed_picture(whole, sweep.kind, sweep.levels[2], seed=0, id=f"b{k}") for k in range(4)]
        assert any(not torch.equal(one, other) for other in others)
    assert bool((one >= 0).all()) and bool((one <= 1).all())


def test_more_of_the_same_hides_what_less_of_it_hid():
    little, much = (disturbed_picture(disc(), "occlusion", level, seed=0, id="a")[..., 3] for level in (0.1, 0.3))
    assert bool((much <= little).all())


def test_a_blur_keeps_how_much_there_is_and_the_color_of_what_shows():
    soft = disturbed_picture(disc(), "blur", 0.04, seed=0, id="a")
    assert float(soft[..., 3].sum()) == pytest.approx(float(disc()[..., 3].sum()), rel=1e-3)
    visible = soft[..., 3] > 0.05
    assert torch.allclose(soft[visible][:, 0], torch.ones(int(visible.sum())), atol=1e-3)


def test_noise_and_light_leave_the_mask_alone_and_no_mask_shows_all():
    for kind in ("noise", "light"):
        assert torch.equal(disturbed_picture(disc(), kind, 0.5, seed=0, id="a")[..., 3], disc()[..., 3])
    rim = disturbed_picture(disc(), "background", 0.1, seed=0, id="a")
    # The disc of radius 20 and a rim of a tenth of its 40 pixels.
    assert shown(rim) == pytest.approx(math.pi * 24**2, rel=0.03)
    assert shown(disturbed_picture(disc(), "background", math.inf, seed=0, id="a")) == SIDE**2


def test_a_picture_that_is_no_square_becomes_one_and_an_empty_one_stays_empty():
    wide = torch.cat([disc(), torch.zeros(SIDE, 20, 4)], 1)
    assert disturbed_picture(wide, "noise", 0.1, seed=0, id="a").shape == (SIDE + 20, SIDE + 20, 4)
    assert shown(disturbed_picture(torch.zeros(9, 9, 4), "crop", 0.4, seed=0, id="a")) == 0


# ----------------------------------------------------------------------------------------------------------- whole runs


POINTS = 300


def box(half: np.ndarray, rng: np.random.Generator) -> Truth:
    """Points on a box with half edges `half`, uniform by area, those of its upper half another part; and its cells."""
    areas = np.repeat(half.prod() / half, 2)
    side = rng.choice(6, POINTS, p=areas / areas.sum())
    points, normals = rng.uniform(-1, 1, (POINTS, 3)) * half, np.zeros((POINTS, 3))
    rows, axis, sign = np.arange(POINTS), side // 2, side % 2 * 2.0 - 1
    points[rows, axis], normals[rows, axis] = sign * half[axis], sign
    cells = np.asarray((np.abs(cell_centers(16).numpy()) < half).all(-1))
    labels = (points[:, 1] > 0).astype(np.int16)
    return Truth(points.astype(np.float32), normals.astype(np.float32), labels, ("lower", "upper"), cells)


def write_boxes(root: Path) -> Path:
    """Eight boxes of two categories, half of them to train on, in two pictures each."""
    rng, entries = np.random.default_rng(0), []
    for n in range(8):
        half = np.array([0.2, 0.4, 0.2] if n % 2 else [0.4, 0.15, 0.25]) * rng.uniform(0.85, 1.15, 3)
        rgba = np.zeros((2, 40, 40, 4), np.uint8)
        width, height = (np.round(40 * half[:2])).astype(int)
        rgba[:, 20 - height : 20 + height, 20 - width : 20 + width] = [*rng.integers(0, 256, 3), 255]
        angles = rng.uniform(0, 0.5, (2, 2))
        cameras = orbit(*torch.from_numpy(angles.T).float(), torch.full((2,), 1.5), focal=50.0, size=(40, 40))
        entries.append(Entry(f"box-{n}", "tall" if n % 2 else "flat", "train" if n < 4 else "test", "test", 2))
        pictures = Pictures(rgba, cameras, angles[:, 0], angles[:, 1], np.full(2, 1.5), [{}] * 2)
        write_object(root, entries[-1], pictures, box(half, rng), {})
    write_index(root, entries)
    write_json(root / "dataset.json", {"format": "maquette-dataset", "version": 1, "kind": "boxes", "config": {}})
    return root


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory) -> Path:
    """A run of an untrained network with its evaluation on four boxes, beside retrieval of four others."""
    folder = tmp_path_factory.mktemp("diagnosed")
    data = write_boxes(folder / "data")
    torch.manual_seed(0)
    network = build(PointsConfig(SmallEncoder(width=8, features=16, picture_size=32), PointsHead(64, 16)))
    save_model(network, folder / "run", {"train": {"data": str(data)}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.evaluate.report.plot_curves", lambda *_: None)
        evaluate_run(EvaluateConfig(folder / "run", pictures=0))
    return folder / "run" / "evaluation"


@pytest.fixture(scope="module")
def diagnosis(evaluation):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.diagnose.error_pictures.plot_histogram", lambda *_: None)  # that of `errors`
        return diagnose_run(DiagnoseConfig(evaluation.parent, frames=1))


def test_a_diagnosis_lies_in_the_evaluation_and_counts_every_object(diagnosis, evaluation):
    folder = evaluation / "diagnosis"
    assert read_diagnosis(folder) == diagnosis
    category = diagnosis.breakdown("category")
    assert sum(one.objects for one in category.bins) == 4
    assert sum(one.objects for one in diagnosis.breakdown("azimuth").bins) == 4
    page = (folder / "index.html").read_text()
    assert 'class="plot" loading="lazy" src="data:image/webp' in page and "Best, median, worst" in page
    assert all((folder / file.path).is_file() for one in diagnosis.shown for file in one.files)
    for kind in ("best", "median", "worst"):
        assert (folder / "errors" / kind / "prediction.ply").is_file()


def test_shares_by_part_put_together_again_are_one_minus_the_recall_of_the_evaluation(diagnosis, evaluation):
    parts = diagnosis.breakdown("parts_missed")
    missed = sum(one.value("points", BEYOND).value * one.points for one in parts.bins)
    points = sum(one.points for one in parts.bins)
    assert points == 4 * POINTS
    measured = read_run(evaluation.parent, evaluation, "run")
    recall = np.mean(list(measured.values("points", "recall@0.02").values()))
    assert missed / points == pytest.approx(100 - recall, rel=1e-5)  # scores.csv has six digits
    wrong = diagnosis.breakdown("parts_wrong")
    precision = np.mean(list(measured.values("points", "precision@0.02").values()))
    total = sum(one.points for one in wrong.bins)
    assert total == 4 * 10_000
    share = sum(one.value("points", BEYOND).value * one.points for one in wrong.bins) / total
    assert share == pytest.approx(100 - precision, rel=1e-5)


def test_undisturbed_pictures_score_as_in_the_evaluation_and_so_does_retrieval(evaluation):
    found = sweep_disturbances(RobustnessConfig(evaluation, kinds=("background",), limit=3))
    assert read_robustness(evaluation / "robustness") == found
    measured = read_run(evaluation.parent, evaluation, "run")
    retrieval = measured.scores["retrieval"]
    assert found.methods == ("points", retrieval)
    ids = [entry.id for entry in open_evaluation(evaluation, "test").entries]
    chosen = [ids[i * 4 // 3] for i in range(3)]
    for method in found.methods:
        values = measured.values(method, "F@0.05")
        first, *rest = found.curve("background", method, "F@0.05")
        assert first.mean.value == pytest.approx(np.mean([values[id] for id in chosen]), rel=1e-5)
        assert first.change.value == 0 and len(rest) == 4
    (floor,) = [value for value in found.floors if value.measure == "F@0.05"]
    means = measured.values("mean_shape", "F@0.05")
    assert floor.estimate.value == pytest.approx(np.mean([means[id] for id in chosen]), rel=1e-5)
    for name in ("robustness.png", "disturbances.png"):
        assert (evaluation / "robustness" / name).read_bytes().startswith(b"\x89PNG")


def test_without_an_evaluation_the_error_says_what_makes_one(evaluation, tmp_path, capsys):
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((evaluation.parent / name).read_bytes())
    for command in ("diagnose", "robustness"):
        assert cli.main([command, str(bare)]) == 2
        assert f"make it with `maquette evaluate {bare}`" in capsys.readouterr().err
        assert cli.main([command, str(tmp_path / "nothing")]) == 2
        assert "no such folder" in capsys.readouterr().err


def test_an_evaluation_of_other_pictures_or_of_another_network_is_refused(evaluation, tmp_path):
    copy = tmp_path / "evaluation"
    copy.mkdir()
    scores = json.loads((evaluation / "scores.json").read_text())
    table = (evaluation / "scores.csv").read_text()
    (copy / "scores.json").write_text(json.dumps(scores))
    (copy / "scores.csv").write_text(
        re.sub("^(box-.,....),([01])", lambda m: f"{m[1]},{1 - int(m[2])}", table, flags=re.M)
    )
    with pytest.raises(ValueError, match="have other views"):
        open_evaluation(copy, "diagnose")
    (copy / "scores.csv").write_text(table)
    for name, message in (("parameters", "evaluate again"), ("step", "has None steps now and had 7 when")):
        told = scores["run"] | {name: 7}
        (copy / "scores.json").write_text(json.dumps(scores | {"run": told}))
        with pytest.raises(ValueError, match=message):
            open_evaluation(copy, "diagnose")


def test_retrieval_answers_with_the_training_data_that_are_named_where_the_old_ones_are_gone(evaluation, tmp_path):
    scores = json.loads((evaluation / "scores.json").read_text())
    data, nowhere = Path(scores["training_data"]["path"]), str(tmp_path / "nowhere")
    scores["training_data"] |= {"path": nowhere}
    (tmp_path / "scores.json").write_text(json.dumps(scores))
    (tmp_path / "scores.csv").write_text((evaluation / "scores.csv").read_text())
    opened = open_evaluation(tmp_path, "robustness")
    answers, missing = training_of(opened, None, lambda name, total: lambda done: None)
    assert answers is None and nowhere in missing[0]
    answers, missing = training_of(opened, data, lambda name, total: lambda done: None)
    assert answers is not None and answers.training is not None and not missing
    named = [training_object(answers, index).name for index in range(len(answers.training.entries))]
    assert named == ["box-0", "box-1", "box-2", "box-3"]


def test_a_diagnosis_is_replaced_as_a_whole_or_not_at_all_and_nothing_else_with_it(diagnosis, evaluation, monkeypatch):
    folder = evaluation / "diagnosis"
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    (folder / "pictures" / "2019-holiday.webp").touch()
    with pytest.raises(FileExistsError, match=r"holiday\.webp: is not of an earlier diagnosis"):
        diagnose_run(DiagnoseConfig(evaluation))
    (folder / "pictures" / "2019-holiday.webp").unlink()

    def full(diagnosis, out):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("maquette.diagnose.program.write_shown", lambda *given: ())
    monkeypatch.setattr("maquette.diagnose.program.write_diagnosis_page", full)
    with pytest.raises(OSError, match=r"diagnosis: cannot be written: the disk is full"):
        diagnose_run(DiagnoseConfig(evaluation))
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()} == before
    assert [file.name for file in evaluation.iterdir() if file.name.startswith(".tmp-")] == []


def test_a_failure_is_in_no_breakdown_of_points_and_a_remark_says_so(evaluation):
    from maquette.diagnose.measuring import errors_of, replies
    from maquette.evaluate.scoring import look

    opened = open_evaluation(evaluation, "test")
    seen = look(opened.run.model, opened.dataset, opened.entries, lambda done: None)
    blank = replace(seen, shown=(False, *seen.shown[1:]))
    (one,) = replies(opened, blank, [0])
    found = errors_of(opened, one, 0.02)
    assert found.failures == {"points": "the picture shows no object"} and not found.tallies


def test_a_map_has_a_place_for_every_picture_and_its_page_shows_them_all(evaluation):
    run = evaluation.parent
    found = map_codes(MapConfig(run, split="all"))
    lines = list(csv.DictReader((run / "latent" / "map.csv").read_text().splitlines()))
    assert len(lines) == 8 and [float(line["x"]) for line in lines] == pytest.approx(found.places[:, 0].tolist(), 1e-4)
    page = (run / "latent" / "map.html").read_text()
    assert page.count("data:image/webp") == 8 and "<script" not in page
    assert (run / "latent" / "map.png").read_bytes().startswith(b"\x89PNG")
    with np.load(run / "latent" / "codes.npz", allow_pickle=False) as arrays:
        assert arrays["codes"].shape == (8, 16) and list(arrays["ids"]) == [line["id"] for line in lines]


def test_a_walk_is_a_film_from_one_solid_to_the_other(evaluation, tmp_path):
    for name, rows in (("a", slice(8, 30)), ("b", slice(20, 26))):
        rgba = torch.zeros(40, 40, 4)
        rgba[rows, 10:30] = 1
        write_picture(rgba, tmp_path / f"{name}.png")
    pictures = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    arguments = ["--run", str(evaluation.parent), "--out", str(tmp_path / "walk"), "--steps", "4", "--size", "64"]
    assert cli.main(["latent", "walk", *pictures, *arguments]) == 0
    numbers = json.loads((tmp_path / "walk" / "walk.json").read_text())
    assert len(numbers["steps"]) == 3 and numbers["path"] == pytest.approx(sum(numbers["steps"]))
    from PIL import Image

    with Image.open(tmp_path / "walk" / "walk.gif") as film:
        assert film.n_frames >= 4
    assert cli.main(["latent", "walk", *pictures, *arguments, "--as", "voxels"]) == 2
