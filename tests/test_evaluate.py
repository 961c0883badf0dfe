"""Evaluation: what stands in the files, and baselines whose answers are known."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maquette.camera import orbit
from maquette.data.dataset import Entry, Missing, Pictures, Truth, open_dataset, write_index, write_object
from maquette.data.pack import pack
from maquette.evaluate import (
    EvaluateConfig,
    baselines,
    evaluate_run,
    objects_to_measure,
    open_training,
    spread,
    trained_without_missing,
)
from maquette.evaluate.compare import CompareConfig, compare_runs
from maquette.evaluate.opened import read_evaluations
from maquette.evaluate.runs import read_run
from maquette.evaluate.scoring import fixed_view, generator_of
from maquette.io.atomic import write_json
from maquette.models import MultiHeadConfig, PointsConfig, SmallEncoder, VoxelsConfig, build, load_run, save_model
from maquette.models.mesh import MeshHead
from maquette.models.points import PointsHead
from maquette.models.runs import BUNDLED
from maquette.models.voxels import VoxelsHead
from maquette.shapes import cell_centers

ENCODER = SmallEncoder(width=8, features=16, picture_size=32)
MULTI = MultiHeadConfig(ENCODER, VoxelsHead(channels=8), PointsHead(64, 16), MeshHead(level=1, hidden=8, samples=64))
POINTS = 600
NETWORK = {"voxels", "points", "mesh"}
BASELINES = {"mean_shape", "retrieval_encoder", "retrieval_thumbnail", "oracle", "ceiling", "ceiling_voxels"}


def box_truth(half, rng, cells_a_side=32):
    """Points on the surface of a box with half edges `half`, uniform by area, and its cells."""
    half = np.array(half)
    areas = np.repeat(half.prod() / half, 2)
    side = rng.choice(6, POINTS, p=areas / areas.sum())
    points = rng.uniform(-1, 1, (POINTS, 3)) * half
    normals = np.zeros((POINTS, 3))
    axis, sign = side // 2, side % 2 * 2.0 - 1
    points[np.arange(POINTS), axis] = sign * half[axis]
    normals[np.arange(POINTS), axis] = sign
    cells = np.asarray((np.abs(cell_centers(cells_a_side).numpy()) < half).all(-1))
    labels = np.zeros(POINTS, np.int16)
    return Truth(points.astype(np.float32), normals.astype(np.float32), labels, ("box",), cells)


def pictures_of(half, views, rng, azimuth=None):
    """Flat pictures, as wide and high as the box, in a colour of their own; from anywhere, or from `azimuth`."""
    rgba = np.zeros((views, 48, 48, 4), np.uint8)
    width, height = int(40 * half[0]), int(40 * half[1])
    for picture in rgba:
        picture[24 - height : 24 + height, 24 - width : 24 + width] = [*rng.integers(0, 256, 3), 255]
    angles = rng.uniform(0, 1, (views, 2)) if azimuth is None else np.tile([azimuth, 0.0], (views, 1))
    cameras = orbit(
        torch.from_numpy(angles[:, 0]).float(),
        torch.from_numpy(angles[:, 1]).float(),
        torch.full((views,), 1.5),
        focal=50.0,
        size=(48, 48),
    )
    return Pictures(rgba, cameras, angles[:, 0], angles[:, 1], np.full(views, 1.5), [{}] * views)


def write_boxes(root, objects, *, views=2, seed=0, azimuths=None, cells_a_side=32):
    """A data set of boxes: (id, category, split, half edges); `azimuths` of the cameras by the ids, radians."""
    rng = np.random.default_rng(seed)
    entries = [Entry(id, category, split, "test", views) for id, category, split, _ in objects]
    for entry, (_, _, _, half) in zip(entries, objects, strict=True):
        pictures = pictures_of(half, views, rng, None if azimuths is None else azimuths[entry.id])
        write_object(root, entry, pictures, box_truth(half, rng, cells_a_side), {})
    write_index(root, entries)
    write_json(root / "dataset.json", {"format": "maquette-dataset", "version": 1, "kind": "boxes", "config": {}})
    return root


TALL, FLAT = (0.15, 0.42, 0.2), (0.4, 0.12, 0.25)


def objects():
    """Two categories; within one all training objects are equal, the test objects a little larger."""
    for n in range(4):
        yield f"tall-{n}", "tall", "train", TALL
        yield f"flat-{n}", "flat", "train", FLAT
    for n in range(2):
        yield f"tall-test-{n}", "tall", "test", tuple(1.03 * edge for edge in TALL)
        yield f"flat-test-{n}", "flat", "test", tuple(1.03 * edge for edge in FLAT)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return write_boxes(tmp_path_factory.mktemp("boxes") / "boxes", list(objects()))


@pytest.fixture(scope="module")
def run(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("run") / "multihead"
    torch.manual_seed(0)
    save_model(build(MULTI), folder, {"train": {"data": str(data)}, "step": 7})
    return folder


@pytest.fixture(scope="module")
def evaluated(run):
    evaluation = evaluate_run(EvaluateConfig(run, pictures=2))
    return evaluation, json.loads((run / "evaluation" / "scores.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def one_judge():
    """Chooses the level of a category's mean shape: its training objects are equal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baselines, "LEVEL_OBJECTS", 1)
        yield


@pytest.fixture(autouse=True)
def no_curves(monkeypatch):
    """None are drawn where a test evaluates for itself."""
    monkeypatch.setattr("maquette.evaluate.report.plot_curves", lambda *_: None)


def test_every_representation_and_every_baseline_is_scored_on_every_object(evaluated, run):
    evaluation, scores = evaluated
    assert set(scores["methods"]) == NETWORK | BASELINES
    assert all(method["objects"] == 4 for method in scores["methods"].values())
    lines = list(csv.DictReader((run / "evaluation" / "scores.csv").read_text().splitlines()))
    assert len(lines) == len(evaluation.rows) == 4 * 9
    assert {line["id"] for line in lines} == {"tall-test-0", "tall-test-1", "flat-test-0", "flat-test-1"}
    assert (run / "evaluation" / "fscore.png").read_bytes().startswith(b"\x89PNG")


def test_the_json_says_what_the_numbers_depend_on(evaluated, data):
    _, scores = evaluated
    assert scores["protocol"]["name"] == "maquette" and scores["protocol"]["points"] == 10_000
    assert scores["protocol"]["true_points_at_least"] == POINTS
    assert scores["run"]["step"] == 7
    assert scores["data"]["path"] == str(data) and scores["data"]["split"] == "test"
    assert (scores["data"]["requested"], scores["data"]["evaluated"]) == (4, 4)
    assert scores["training_data"] == {
        "path": str(data), "categories": ["flat", "tall"], "objects": 8, "views": 16, "left_out": 0
    }  # fmt: skip
    assert scores["seed"] == 0 and scores["missing"] == []
    assert scores["methods"]["points"]["own_points"] == [3 * 64 + 125]  # three looks whole, 28 % of seven


def test_means_over_categories_and_objects_come_from_the_rows(evaluated):
    evaluation, scores = evaluated
    rows = [row for row in evaluation.rows if row.method == "mesh"]
    flat = [row.scores.values["F@0.05"] for row in rows if row.entry.category == "flat"]
    tall = [row.scores.values["F@0.05"] for row in rows if row.entry.category == "tall"]
    mesh = scores["methods"]["mesh"]
    assert mesh["categories"]["flat"]["means"]["F@0.05"] == pytest.approx(np.mean(flat))
    assert mesh["means"]["F@0.05"] == pytest.approx(np.mean(flat + tall))
    assert mesh["macro"]["F@0.05"] == pytest.approx((np.mean(flat) + np.mean(tall)) / 2)


def test_the_mean_of_equal_objects_is_that_object(evaluated, data):
    _, scores = evaluated
    means = baselines.mean_shapes(pack(data, "train", 32), lambda done: None)
    for category, half in (("tall", TALL), ("flat", FLAT)):
        expected = (cell_centers(32).abs() < torch.tensor(half)).all(-1)
        assert torch.equal(means[category].occupancy, expected.float())
        assert means[category].objects == 4
    # The test boxes are 3 % larger: surfaces at most 0.013 and a cell of 1 / 32 apart. The truth's 600 points on an
    # area of 1.4 leave 4 % of that surface without a neighbour within 0.05, as the ceiling does.
    assert scores["methods"]["mean_shape"]["means"]["F@0.05"] > 95


def test_the_level_of_a_mean_shape_is_where_its_surface_meets_the_objects(data, monkeypatch):
    monkeypatch.setattr(baselines, "LEVELS", (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7))
    # Nested boxes averaged: occupancy falls outwards from 1; the judges are the box at which it is between 0.4 and 0.6.
    training = pack(data, "train", 32)
    centers = cell_centers(32).abs()
    tall = torch.tensor(TALL)
    inner, middle, outer = ((centers < scale * tall).all(-1).float() for scale in (0.6, 1.0, 1.15))
    occupancy = 0.4 * inner + 0.35 * middle + 0.25 * outer
    judges = [index for index, entry in enumerate(training.entries) if entry.category == "tall"]
    # Full inside the middle box from 0.6 down to just above 0.25.
    assert 0.25 < baselines.best_level(occupancy, training, judges) < 0.6


def test_baselines_find_a_training_object_in_its_own_training_set(run, tmp_path):
    evaluation = evaluate_run(EvaluateConfig(run, split="train", out=tmp_path, limit=3, pictures=0))
    answers = {(row.entry.id, row.method): row.answer for row in evaluation.rows}
    for id in {row.entry.id for row in evaluation.rows}:
        assert answers[id, "retrieval_thumbnail"] == id
        assert answers[id, "retrieval_encoder"].split("-")[0] == id.split("-")[0]
        assert answers[id, "oracle"].split("-")[0] == id.split("-")[0]
        assert answers[id, "mean_shape"] == ""
    assert evaluation.summary("retrieval_thumbnail").means["F@0.02"] == 100
    assert evaluation.summary("retrieval_thumbnail").means["iou"] == 1


def test_retrieval_searches_all_views_of_all_objects(data, run):
    training = pack(data, "train", 32)
    model = build(MULTI).eval()
    pictures = torch.from_numpy(np.array(training.views)).permute(0, 3, 1, 2) / 255
    with torch.inference_mode():
        found = baselines.retrieve(
            model, training, model.encode(pictures).code, baselines.thumbnails(pictures), lambda done: None, batch=5
        )
    expected = torch.arange(len(training.views))
    assert torch.equal(found.thumbnail, expected)
    assert torch.equal(found.encoder, expected)


def test_a_thumbnail_is_the_mean_grey_and_the_mean_mask_of_its_part_of_the_picture():
    pictures = torch.zeros(1, 4, 32, 32)
    pictures[:, :3], pictures[:, 3] = torch.tensor([0.2, 0.4, 0.9]).reshape(3, 1, 1), 1
    pictures[:, 3, :, 16:] = 0
    grey, mask = baselines.thumbnails(pictures).reshape(2, 16, 16)
    torch.testing.assert_close(grey[:, :8], torch.full((16, 8), 0.5))
    assert not grey[:, 8:].any() and mask[:, :8].eq(1).all() and not mask[:, 8:].any()


def test_a_prediction_that_fails_is_scored_zero_counted_and_listed(data, tmp_path, capsys):
    model = build(VoxelsConfig(ENCODER, VoxelsHead(channels=8)))
    with torch.no_grad():
        [bias] = [p for name, p in model.named_parameters() if name == "decoders.voxels.grow.5.bias"]
        bias.fill_(-1000)
    save_model(model, tmp_path / "run", {"train": {"data": str(data)}})
    evaluate_run(EvaluateConfig(tmp_path / "run", limit=2, pictures=1))
    scores = json.loads((tmp_path / "run" / "evaluation" / "scores.json").read_text())
    voxels = scores["methods"]["voxels"]
    assert (voxels["objects"], voxels["failures"]) == (2, 2)
    assert voxels["means"]["F@0.05"] == 0 and voxels["means"]["iou"] == 0
    assert "chamfer_plain" not in voxels["means"]
    failed = {(failure["id"], failure["method"], failure["reason"]) for failure in scores["failures"]}
    assert ("flat-test-0", "voxels", "no cell is fuller than 0.5") in failed and len(failed) == 2
    said = capsys.readouterr().out
    assert "2 failed" in said and "tall-test-0, voxels: no cell is fuller than 0.5" in said


def test_a_picture_that_shows_nothing_is_a_failure_of_all_who_need_it(run, data, tmp_path):
    root = write_boxes(tmp_path / "blank", [("blank", "tall", "test", (0.01, 0.01, 0.499))])
    evaluation = evaluate_run(EvaluateConfig(run, data=root, out=tmp_path / "out", pictures=0))
    failed = {row.method for row in evaluation.rows if row.scores.failure == "the picture shows no object"}
    assert failed == NETWORK | {"retrieval_encoder", "retrieval_thumbnail"}
    assert evaluation.summary("ceiling").failures == evaluation.summary("oracle").failures == 0


def test_without_the_training_data_the_saved_mean_shapes_are_used_and_the_rest_is_named(run, evaluated, data, tmp_path):
    first, _ = evaluated
    config = EvaluateConfig(run, data=data, train_data=tmp_path / "gone", out=tmp_path / "out", pictures=0)
    again = evaluate_run(config)
    assert {row.method for row in again.rows} == NETWORK | {"mean_shape", "ceiling", "ceiling_voxels"}
    assert again.summary("mean_shape").means == first.summary("mean_shape").means
    assert again.facts["missing"] == [
        f"no retrieval and no oracle: the training data {tmp_path / 'gone'} is not there; give --train-data"
    ]


def test_without_anything_saved_the_mean_shapes_are_named_as_missing(data, tmp_path):
    save_model(build(VoxelsConfig(ENCODER, VoxelsHead(channels=8))), tmp_path / "run", {})
    evaluation = evaluate_run(EvaluateConfig(tmp_path / "run", data=data, limit=1, pictures=0))
    assert len(evaluation.facts["missing"]) == 2
    assert re.search("no mean shape: .*give --train-data", evaluation.facts["missing"][1])


def test_other_data_is_measured_with_the_training_set_s_baselines_where_they_know_the_category(run, tmp_path, data):
    others = [
        ("a", "tall", "all", TALL),
        ("b", "boat", "all", FLAT),
        ("c", "", "all", FLAT),
    ]
    root = write_boxes(tmp_path / "other", others, seed=5)
    config = EvaluateConfig(run, data=root, split="all", out=tmp_path / "out", pictures=0)
    evaluation = evaluate_run(config)
    assert {row.entry.id for row in evaluation.rows if row.method == "mean_shape"} == {"a"}
    assert evaluation.summary("oracle").objects == 3
    assert evaluation.categories() == ["(no category)", "boat", "tall"]
    assert evaluation.untrained() == ["boat"]
    labelled = objects_to_measure(open_dataset(root), replace(config, labelled=True))
    assert [entry.id for entry in labelled] == ["a", "b"]


def test_an_object_s_scores_depend_on_no_other_object(run, evaluated, tmp_path):
    whole, _ = evaluated
    alone = evaluate_run(EvaluateConfig(run, limit=1, out=tmp_path, pictures=0))
    expected = {(row.entry.id, row.method): row.scores.values for row in whole.rows}
    assert len(alone.rows) == 9
    for row in alone.rows:
        # Batch normalisation is fixed, but a convolution rounds by the batch's size; a point may change sides.
        assert row.scores.values.keys() == expected[row.entry.id, row.method].keys()
        for name, value in row.scores.values.items():
            assert value == pytest.approx(expected[row.entry.id, row.method][name], abs=0.05, rel=1e-3)
    assert alone.facts["data"]["requested"] == 4 and alone.facts["data"]["evaluated"] == 1


def test_protocol_cmu2025_has_its_own_points_and_no_chamfer(run, tmp_path):
    evaluation = evaluate_run(EvaluateConfig(run, protocol="cmu2025", points=200, out=tmp_path, limit=1, pictures=0))
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["protocol"]["name"] == "cmu2025" and scores["protocol"]["points"] == 200
    assert not any("chamfer" in name or name == "iou" for row in evaluation.rows for name in row.scores.values)
    # A cloud is taken as it is, with as many true points.
    assert {row.scores.truth_points for row in evaluation.rows if row.method == "points"} == {64}
    assert {row.scores.truth_points for row in evaluation.rows if row.method == "oracle"} == {200}


def test_the_view_follows_from_the_id_alone():
    # SHA-256 of "abc" begins ba7816bf 8f01cfea (FIPS 180-2, appendix B.1).
    entry = Entry("abc", "tall", "test", "", 24)
    assert fixed_view(entry) == 0xBA7816BF8F01CFEA % 24
    assert fixed_view(replace(entry, category="flat", views=7)) == 0xBA7816BF8F01CFEA % 7


def test_random_draws_follow_from_the_seed_and_the_names():
    same, again = generator_of(0, "a", "mesh"), generator_of(0, "a", "mesh")
    assert torch.equal(torch.rand(3, generator=same), torch.rand(3, generator=again))
    others = [generator_of(1, "a", "mesh"), generator_of(0, "b", "mesh"), generator_of(0, "a", "voxels")]
    assert len({float(torch.rand(1, generator=g)) for g in [generator_of(0, "a", "mesh"), *others]}) == 4


def test_a_limit_is_spread_evenly(data):
    entries = open_dataset(data).entries
    assert [entry.id for entry in spread(entries, 3)] == [entries[i].id for i in (0, 4, 8)]
    assert spread(entries, None) == spread(entries, 100) == tuple(entries)


def test_mean_shapes_survive_the_disk(data, tmp_path):
    means = baselines.mean_shapes(pack(data, "train", 32), lambda done: None)
    baselines.save_mean_shapes(tmp_path / "baselines.npz", means)
    again = baselines.load_mean_shapes(tmp_path / "baselines.npz")
    assert again.keys() == means.keys()
    for name, mean in means.items():
        assert torch.equal(again[name].occupancy, mean.occupancy)
        assert (again[name].level, again[name].objects) == (mean.level, mean.objects)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
def test_a_broken_file_of_mean_shapes_is_named(tmp_path, content):
    (tmp_path / "baselines.npz").write_bytes(content)
    with pytest.raises(OSError, match=r"baselines.npz: not a file of mean shapes"):
        baselines.load_mean_shapes(tmp_path / "baselines.npz")


def test_settings_that_make_no_sense_are_refused(run, data, tmp_path):
    with pytest.raises(ValueError, match="limit is 0"):
        EvaluateConfig(run, limit=0)
    with pytest.raises(ValueError, match="protocol maquette fixes its points"):
        EvaluateConfig(run, points=500)
    with pytest.raises(ValueError, match="give --out"):
        EvaluateConfig()
    with pytest.raises(ValueError, match="no object of split 'val', only of test, train"):
        evaluate_run(EvaluateConfig(run, split="val"))
    save_model(build(VoxelsConfig(ENCODER, VoxelsHead(channels=8))), tmp_path / "run", {})
    with pytest.raises(ValueError, match="does not say what it was trained on; give --data"):
        evaluate_run(EvaluateConfig(tmp_path / "run"))


def test_data_without_voxels_is_measured_without_mean_shapes(data, tmp_path):
    copy = tmp_path / "set"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    for file in copy.glob("objects/*/shape.npz"):
        with np.load(file) as arrays:
            kept = {name: arrays[name] for name in ("points", "normals", "labels")}
        places = np.random.default_rng(0).uniform(-0.5, 0.5, (64, 3)).astype(np.float16)
        np.savez(file, places=places, distances=np.abs(places).max(1) - np.float16(0.2), **kept)
    torch.manual_seed(0)
    model = PointsConfig(ENCODER, PointsHead(points=64, hidden=16))
    save_model(build(model), tmp_path / "run", {"train": {"data": str(copy)}})
    evaluation = evaluate_run(EvaluateConfig(tmp_path / "run", limit=2, pictures=0))
    assert evaluation.facts["missing"] == ["no mean shape: the training data has no voxels to average"]
    assert "mean_shape" not in evaluation.methods() and evaluation.summary("oracle").objects == 2
    assert evaluation.untrained() == []


def test_objects_that_nobody_split_are_all_training_objects(data, tmp_path):
    """As in training: retrieval answers with any of them."""
    copy = tmp_path / "set"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    lines = [json.loads(line) | {"split": "all"} for line in (copy / "index.jsonl").read_text().splitlines()]
    (copy / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    training, missing = open_training(copy, 32, lambda *_: lambda done: None)
    assert training is not None and len(training.entries) == len(lines)
    assert missing == []


QUICK = {"protocol": "cmu2025", "points": 100, "pictures": 0}
"""Where scores are not what is asked."""


def test_training_objects_may_be_missing_where_the_run_was_trained_so(run, data, tmp_path, capsys):
    copy = tmp_path / "set"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    shutil.rmtree(copy / "objects" / "tall-1")
    strict = EvaluateConfig(run, data, limit=1, train_data=copy, out=tmp_path / "out", **QUICK)
    with pytest.raises(OSError, match=r"1 of 8 objects of split 'train' cannot be packed: tall-1: .* --allow-missing"):
        evaluate_run(strict)
    settings = {"train": {"data": str(copy), "allow_missing": True}}
    save_model(build(MULTI), tmp_path / "run", settings)
    capsys.readouterr()
    with pytest.warns(UserWarning, match="1 of 8 objects .* they are left out"):
        evaluation = evaluate_run(replace(strict, run=tmp_path / "run", train_data=None))
    assert evaluation.facts["training_data"]["objects"] == 7 and evaluation.facts["training_data"]["left_out"] == 1
    assert "1 of 8 training objects are missing" in capsys.readouterr().out
    # What the run was trained with says nothing of other data.
    assert not trained_without_missing(load_run(tmp_path / "run"), replace(strict, train_data=data))


def lacking(dataset, *names):
    """The data set with objects of split 'test' that it names and does not hold."""
    return replace(dataset, missing=tuple(Missing(name, "test", "lacks model.obj") for name in names))


def test_objects_that_are_named_and_not_there_are_counted_and_told(run, data, tmp_path, monkeypatch, capsys):
    copy = tmp_path / "set"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    (copy / "objects" / "tall-test-1" / "shape.npz").write_bytes(b"no solid")
    monkeypatch.setattr("maquette.evaluate.open_dataset", lambda path: lacking(open_dataset(path), "x/a", "x/b"))
    strict = EvaluateConfig(run, copy, train_data=tmp_path / "gone", out=tmp_path / "out", **QUICK)
    with pytest.raises(OSError, match=r"2 of 6 requested objects of set are missing: x/a: .*; x/b: .*--allow-missing$"):
        evaluate_run(strict)
    assert not (tmp_path / "out").exists()
    evaluation = evaluate_run(replace(strict, allow_missing=True, limit=2))
    facts = json.loads((tmp_path / "out" / "scores.json").read_text())["data"]
    assert (facts["requested"], facts["evaluated"], len(facts["left_out"])) == (6, 2, 3)
    assert {row.entry.id for row in evaluation.rows} == {"flat-test-0", "flat-test-1"}
    said = capsys.readouterr().out
    assert "2 test objects of set (of 6)" in said
    assert "3 of 6 requested objects are missing: x/a: lacks model.obj; x/b: lacks model.obj; tall-test-1: " in said
    again = read_run(tmp_path, tmp_path / "out", "run").command()
    assert "--allow-missing" in again and again.endswith("--limit 2")


def test_objects_of_another_split_are_not_missed(data):
    dataset = lacking(open_dataset(data), "x/a")
    assert len(objects_to_measure(dataset, EvaluateConfig(Path("run"), split="train"))) == 8
    with pytest.raises(OSError, match="1 of 13 requested objects"):
        objects_to_measure(dataset, EvaluateConfig(Path("run"), split="all"))


# ----------------------------------------------------------------------------------- protocols, pictures, comparisons


@pytest.mark.parametrize(("protocol", "score"), [("occnet", "volume_iou"), ("deepsdf", "chamfer_squared_x1000_all")])
def test_protocols_without_f_scores_have_a_folder_of_their_own_and_no_curves(run, protocol, score):
    evaluate_run(EvaluateConfig(run, protocol=protocol, limit=1, pictures=0))
    folder = run / f"evaluation-{protocol}"
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["protocol"]["headline"] in scores["methods"]["mesh"]["means"]
    assert score in scores["methods"]["mesh"]["means"]
    assert not (folder / "fscore.png").exists()


def test_a_protocol_that_does_not_fit_the_data_is_refused_before_anything_is_computed(run, data, tmp_path):
    with pytest.raises(ValueError, match=r"what3d is defined in the viewer's frame.*choose another --protocol"):
        evaluate_run(EvaluateConfig(run, protocol="what3d", out=tmp_path / "out"))
    small = write_boxes(tmp_path / "small", [("a", "tall", "test", (0.1, 0.1, 0.1))])
    with pytest.raises(ValueError, match=r"diagonal of an object is 1; that of a in small is 0\.34"):
        evaluate_run(EvaluateConfig(run, data=small, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_an_evaluation_tells_intervals_times_and_memory(evaluated):
    _, scores = evaluated
    interval = scores["methods"]["mesh"]["intervals"]["F@0.05"]
    assert interval["mean_low"] <= interval["mean"] <= interval["mean_high"]
    assert interval["mean"] == pytest.approx(scores["methods"]["mesh"]["means"]["F@0.05"])
    assert interval["median_low"] <= interval["median"] <= interval["median_high"]
    versus = scores["methods"]["mesh"]["against_retrieval"]
    retrieval = scores["methods"][scores["retrieval"]]["means"]["F@0.05"]
    assert versus["difference"] == pytest.approx(scores["methods"]["mesh"]["means"]["F@0.05"] - retrieval)
    assert {"encode", "decode points", "decode voxels", "mesh voxels"} <= scores["runtime"]["milliseconds"].keys()
    assert scores["runtime"]["peak_memory_mb"] > 50


def test_an_evaluation_keeps_the_same_objects_in_pictures_and_shows_the_best_and_the_worst(evaluated, run):
    evaluation, _ = evaluated
    folder = run / "evaluation"
    tested = sorted({row.entry for row in evaluation.rows}, key=lambda entry: entry.id)
    index = json.loads((folder / "pictures" / "index.json").read_text())
    assert [one["id"] for one in index["objects"]] == [entry.id for entry in spread(tested, 2)]
    for one in index["objects"]:
        assert one["files"].keys() == {"input", "truth"} | NETWORK
        assert all((folder / "pictures" / file).read_bytes()[:4] == b"RIFF" for file in one["files"].values())
    assert (folder / "gallery.png").read_bytes().startswith(b"\x89PNG")
    page = (folder / "index.html").read_text()
    f = {row.entry.id: row.scores.values["F@0.05"] for row in evaluation.rows if row.method == "mesh"}
    assert f"mesh, worst: {max(sorted(f), key=lambda id: (-f[id], id))}" in page
    assert not re.search(r'(src|href)="(?!data:)', page)


@pytest.fixture(scope="module")
def twin(evaluated, run) -> Path:
    """The same run under a name that a page must not read as HTML."""
    copy = run.parent / "twin <i>&"
    shutil.copytree(run, copy)
    return copy


def test_a_run_compared_with_itself_differs_by_nothing(run, twin, tmp_path):
    (run / "metrics.jsonl").write_text('{"step": 0, "mesh": 2.0}\n{"step": 1, "mesh": 1.0}\n{"step": 2, "me')
    comparison = compare_runs(CompareConfig((run, twin), tmp_path))
    said = json.loads((tmp_path / "compare.json").read_text())
    assert len(said["methods"]) == 6 and [run["name"] for run in said["runs"]] == ["multihead", "twin <i>&"]
    by_title = {method["title"]: method for method in said["methods"]}
    reference = comparison.reference.removeprefix("multihead, ")
    assert by_title[f"multihead, {reference}"]["against_reference"] is None
    same = by_title[f"twin <i>&, {reference}"]["against_reference"]
    assert (same["difference"], same["higher"], same["lower"], same["p"]) == (0, 0, 0, 1)
    page = (tmp_path / "index.html").read_text()
    assert "twin &lt;i&gt;&amp;" in page and "<i>" not in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert page.count("<figure>") == 2 * (2 + 6) + 1, "two objects, and the curve of one training"
    assert (tmp_path / "fscore.png").read_bytes().startswith(b"\x89PNG")


def test_evaluations_in_folders_of_their_own_are_compared_without_their_network(run, evaluated, tmp_path):
    alone = [tmp_path / "before", tmp_path / "after"]
    for folder in alone:
        shutil.copytree(run / "evaluation", folder)
        scores = json.loads((folder / "scores.json").read_text())
        scores["run"]["folder"] = "/elsewhere/run"
        write_json(folder / "scores.json", scores)
    comparison = compare_runs(CompareConfig((run, *alone), tmp_path / "page"))
    assert [each.folder for each in comparison.runs] == [run / "evaluation", *alone]
    assert len({each.name for each in comparison.runs}) == 3


def test_two_evaluations_of_the_bundled_network_have_names_of_their_own(run, evaluated, tmp_path):
    for name in ("before", "after"):
        shutil.copytree(run / "evaluation", tmp_path / name)
        scores = json.loads((tmp_path / name / "scores.json").read_text())
        scores["run"]["folder"] = str(BUNDLED)
        write_json(tmp_path / name / "scores.json", scores)
    names = [each.name for each in read_evaluations([tmp_path / "before", tmp_path / "after"], "compare")]
    assert names == ["before", "after"]
    assert read_evaluations([tmp_path / "before", run], "compare")[0].name == "bundled network"


def test_runs_that_were_measured_otherwise_are_not_compared(run, twin, tmp_path):
    with pytest.raises(ValueError, match="1 run; give at least two"):
        compare_runs(CompareConfig((run,), tmp_path))
    with pytest.raises(ValueError, match="given twice"):
        compare_runs(CompareConfig((run, run), tmp_path))
    other = tmp_path / "other"
    shutil.copytree(twin, other)
    scores = json.loads((other / "evaluation" / "scores.json").read_text())
    scores["protocol"]["points"] = 500
    write_json(other / "evaluation" / "scores.json", scores)
    with pytest.raises(ValueError, match=r"with 10,000 points, .*with 500; evaluate both alike: `maquette evaluate "):
        compare_runs(CompareConfig((run, other), tmp_path))
    lines = (twin / "evaluation" / "scores.csv").read_text().splitlines(keepends=True)
    shutil.copy(twin / "evaluation" / "scores.json", other / "evaluation" / "scores.json")
    (other / "evaluation" / "scores.csv").write_text("".join(line for line in lines if "flat-test-0" not in line))
    with pytest.raises(ValueError, match=r"on 4 objects of .* on 3 of .* only 3 of them the same"):
        compare_runs(CompareConfig((run, other), tmp_path))
    shutil.rmtree(other / "evaluation")
    with pytest.raises(FileNotFoundError, match=r"make it with `maquette evaluate .*other --data .*test"):
        compare_runs(CompareConfig((run, other), tmp_path))
    with pytest.raises(FileNotFoundError, match=r"make it with `maquette evaluate .* --protocol cmu2025`"):
        compare_runs(CompareConfig((run, other), tmp_path, evaluation="evaluation-cmu2025"))
    assert not (tmp_path / "compare.json").exists()
