"""Runs of every kind, measured: in the viewer's frame, and those whose answers are fields, patches and fine grids."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from maquette.data.batches import training_batch
from maquette.data.dataset import Surroundings, open_dataset
from maquette.data.pack import pack
from maquette.evaluate import EvaluateConfig, evaluate_run
from maquette.evaluate.compare import CompareConfig, compare_runs
from maquette.evaluate.pictures import PAPER, Studio
from maquette.evaluate.scoring import look
from maquette.evaluate.viewer import turn_of, turned_truth
from maquette.fitting.descent import FusedAdam
from maquette.models import (
    AtlasConfig,
    ModelConfig,
    OccupancyConfig,
    PointsConfig,
    VoxelsConfig,
    build,
    save_model,
    total_loss,
)
from maquette.models.atlas import AtlasHead
from maquette.models.folding_points import FoldingPoints
from maquette.models.occupancy import AdditiveOccupancy, Meshing
from maquette.models.points import PointsHead
from maquette.models.residual_voxels import ResidualVoxels
from test_evaluate import ENCODER, box_truth, write_boxes

SMALL = PointsConfig(ENCODER, PointsHead(32, 16))
WIDE, DEEP = (0.4, 0.12, 0.25), (0.25, 0.12, 0.4)
"""Half edges of a box, and of the same box a quarter turn about the vertical further."""
QUARTER = math.pi / 2


# --------------------------------------------------------------------------------------------------- the viewer's frame


def test_the_viewer_who_stands_at_the_side_or_above_has_that_side_in_front():
    front = torch.tensor([0.0, 0, 1])
    for (azimuth, elevation), side in (((QUARTER, 0), (1.0, 0, 0)), ((0, QUARTER), (0.0, 1, 0)), ((0, 0), (0.0, 0, 1))):
        turn = turn_of(float(azimuth), float(elevation), "a view")
        torch.testing.assert_close(turn @ torch.tensor(side), front, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="the camera of view 3 of a is not known; choose data with cameras"):
        turn_of(math.nan, math.nan, "view 3 of a")


def test_all_of_a_truth_is_turned():
    plain = box_truth(WIDE, np.random.default_rng(0))
    places = np.random.default_rng(1).uniform(-0.5, 0.5, (50, 3)).astype(np.float32)
    plain = replace(plain, surroundings=Surroundings(places, np.abs(places).max(1) - 0.2, everywhere=50))
    turned = turned_truth(plain, turn_of(QUARTER, 0.0, "a view"))
    # A quarter turn takes +x to +z and +z to -x.
    x, y, z = plain.points.T
    np.testing.assert_allclose(turned.points.T, [-z, y, x], atol=1e-6)
    x, y, z = plain.normals.T
    np.testing.assert_allclose(turned.normals.T, [-z, y, x], atol=1e-6)
    assert (turned.voxels == box_truth(DEEP, np.random.default_rng(0)).voxels).all()
    x, y, z = places.T
    np.testing.assert_allclose(turned.surroundings.places.T, [-z, y, x], atol=1e-6)
    assert (turned.surroundings.distances == plain.surroundings.distances).all()


@pytest.fixture(scope="module")
def turned_boxes(tmp_path_factory) -> Path:
    """A box that was learnt from, seen from the side; and three to measure, of which two look as that one does."""
    azimuths = {"known": QUARTER, "looks alike": 0.0, "is alike": QUARTER, "unlike": 0.0}
    boxes = [("known", "box", "train", DEEP), ("looks alike", "box", "test", WIDE)]
    boxes += [(id, "box", "test", DEEP) for id in ("is alike", "unlike")]
    return write_boxes(tmp_path_factory.mktemp("turned") / "turned", boxes, views=1, azimuths=azimuths)


def saved(folder: Path, model: ModelConfig, data: Path, frame: str) -> Path:
    torch.manual_seed(0)
    save_model(build(model), folder, {"train": {"data": str(data), "augment": {"frame": frame}}})
    return folder


@pytest.fixture(scope="module")
def of_viewer(turned_boxes, tmp_path_factory) -> Path:
    return saved(tmp_path_factory.mktemp("viewer") / "run", SMALL, turned_boxes, "viewer")


def test_in_the_viewers_frame_retrieval_is_turned_by_the_view_it_found_and_the_rest_by_the_true_camera(of_viewer):
    evaluation = evaluate_run(EvaluateConfig(of_viewer, pictures=0))
    iou = {(row.entry.id, row.method): row.scores.values.get("iou") for row in evaluation.rows}
    crossed = 0.25 * 0.25 / (2 * 0.25 * 0.4 - 0.25 * 0.25)  # of two boxes a quarter turn apart
    expected = {"looks alike": (1, crossed), "is alike": (1, 1), "unlike": (crossed, 1)}
    for id, (found, told) in expected.items():
        for method in ("retrieval_encoder", "retrieval_thumbnail"):
            assert iou[id, method] == pytest.approx(found, abs=0.06), (id, method)  # 32 cells a side
        for method in ("oracle", "mean_shape"):
            assert iou[id, method] == pytest.approx(told, abs=0.06), (id, method)
    said = json.loads((of_viewer / "evaluation" / "scores.json").read_text())
    assert said["run"]["frame"] == "viewer"
    assert said["methods"]["oracle"]["what"].endswith("turned by the true camera")
    assert said["methods"]["retrieval_encoder"]["what"].endswith("turned by the camera of the view that was found")


def test_what3d_is_for_runs_of_the_viewers_frame(of_viewer, turned_boxes, tmp_path):
    evaluate_run(EvaluateConfig(of_viewer, protocol="what3d", limit=1, pictures=0))
    said = json.loads((of_viewer / "evaluation-what3d" / "scores.json").read_text())
    assert said["protocol"]["headline"] == "F@0.01" and "F@0.01" in said["methods"]["points"]["means"]
    other = saved(tmp_path / "run", SMALL, turned_boxes, "object")
    with pytest.raises(ValueError, match=r"predicts in the frame of the object; train with --augment.frame viewer"):
        evaluate_run(EvaluateConfig(other, protocol="what3d"))


def test_pictures_show_the_same_side_in_both_frames(of_viewer, turned_boxes):
    dataset, model = open_dataset(turned_boxes), build(SMALL).eval()
    (entry,) = [entry for entry in dataset.entries if entry.id == "is alike"]
    shown = []
    for frame in ("object", "viewer"):
        seen = look(model, dataset, [entry], lambda done: None, frame=frame)
        truth = Studio(model, dataset, [entry], seen).shown(entry).pictures["truth"]
        shown.append((truth != torch.tensor(PAPER)).any(-1))
    assert 2000 < int(shown[0].sum()) and int((shown[0] ^ shown[1]).sum()) < 20  # pixels on the outline


# -------------------------------------------------------------------------------------------------- every architecture

HEADS: dict[str, ModelConfig] = {
    "occupancy": OccupancyConfig(ENCODER, AdditiveOccupancy(meshing=Meshing(32))),
    "atlas": AtlasConfig(ENCODER, AtlasHead(patches=2, points=64, width=32)),
    "points": PointsConfig(ENCODER, FoldingPoints(points=64, anchors=16, hidden=8, fold=8)),
    "voxels": VoxelsConfig(ENCODER, ResidualVoxels(64, channels=8)),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Callable[[str], Path]:
    """The run of an architecture, of two steps on boxes, and measured; taken when it is first asked for."""
    root = tmp_path_factory.mktemp("heads")
    boxes = [("known", "box", "train", DEEP), ("other", "box", "train", WIDE), ("asked", "box", "test", WIDE)]

    @cache
    def run(name: str) -> Path:
        out, cells = root / name, 64 if name == "voxels" else 32
        if not (data := root / f"data-{cells}").exists():
            write_boxes(data, boxes, cells_a_side=cells)
        learnt, network = pack(data, "train", ENCODER.picture_size, workers=1), build(HEADS[name])
        optimizer = FusedAdam(network.parameters())
        for step in range(2):
            total_loss(network.losses(*training_batch(learnt, 2, 0, step))).backward()
            optimizer.step()
        save_model(network, out, {"train": {"data": str(data)}, "step": 2})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("maquette.evaluate.report.plot_curves", lambda *_: None)
            evaluate_run(EvaluateConfig(out, pictures=1))
        return out

    return run


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("occupancy", "points") else pytest.mark.slow) for name in HEADS]
)
def test_a_run_of_every_architecture_is_measured_and_pictured(trained, name):
    folder = trained(name) / "evaluation"
    method = json.loads((folder / "scores.json").read_text())["methods"][name]
    assert method["objects"] == 1 and "F@0.05" in method["means"]
    (shown,) = json.loads((folder / "pictures" / "index.json").read_text())["objects"]
    assert shown["files"].keys() == {"input", "truth", name}
    page = (folder / "index.html").read_text()
    assert page.count("<figure>") == 3 * 3, "input, truth and answer of the best, the median and the worst"
    scores = re.search(r"<h2>Scores</h2>.*?</table>", page, re.S)
    assert scores is not None
    heads, rows = scores[0].count("<th>"), scores[0].count("<tr")
    # Each row but the top one has a <th> of its own, so the titles are the rest.
    assert scores[0].count("<td") == (heads - (rows - 1) - 1) * (rows - 1)


def test_a_field_and_a_cloud_are_compared_on_one_page(trained, tmp_path):
    comparison = compare_runs(CompareConfig((trained("occupancy"), trained("points")), tmp_path))
    assert [method.name for method in comparison.methods] == ["occupancy", "points"]
    assert (tmp_path / "index.html").read_text().count("<figure>") == 2 + 2  # input and truth, and the answers
