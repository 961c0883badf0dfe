"""Sweeps: grids of settings, runs that fail or are taken up again, one table for all."""

import csv
import json

import pytest

from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic
from maquette.models import MeshConfig, PointsConfig, SmallEncoder
from maquette.models.points import PointsHead
from maquette.sweep import SweepConfig, sweep
from maquette.sweep.grid import grid, name_of
from maquette.sweep.report import Measured, markdown, plot, write_report
from maquette.train import TrainConfig

MODEL = PointsConfig(SmallEncoder(width=8, features=16, picture_size=32), PointsHead(points=64, hidden=16))


def test_a_grid_takes_every_combination_the_last_setting_fastest(tmp_path):
    base = TrainConfig(out=tmp_path, data=tmp_path, model=MODEL)
    points = grid(base, [("lr", "1e-3", "1e-4"), ("model.head.points", "10", "20")])
    assert [values for values, _ in points] == [
        {"lr": lr, "model.head.points": n} for lr in (1e-3, 1e-4) for n in (10, 20)
    ]
    for values, config in points:
        assert isinstance(config.model, PointsConfig) and isinstance(config.model.head, PointsHead)
        assert (config.lr, config.model.head.points) == tuple(values.values())
        assert config.model.encoder == MODEL.encoder
    assert name_of(points[0][0]) == "lr=0.001,model.head.points=10"


def test_a_grid_may_vary_the_model_itself(tmp_path):
    points = grid(TrainConfig(out=tmp_path, data=tmp_path), [("model", "PointsConfig", "MeshConfig")])
    assert [type(config.model) for _, config in points] == [PointsConfig, MeshConfig]
    assert name_of(points[1][0]) == "model=MeshConfig"


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ([("model.head.colour", "1", "2")], "PointsHead has no setting 'colour'; it has distance, hidden, points"),
        ([("lr.peak", "1", "2")], "float has no setting 'peak'; it has no settings"),
        ([("model.head.points", "many")], "model.head.points: 'many' is not of type int"),
        ([("model.head.points", "1.5")], "model.head.points: 1.5 is not of type int"),
        ([("lr", "1", "model:mesh")], "'model:mesh' is not of type float; give another option"),
        ([("model", "SphereConfig")], "model is 'SphereConfig', none of .*PointsConfig"),
        ([("lr",)], "--vary lr has no values"),
        ([("lr", "1"), ("lr", "2")], "lr is varied twice"),
        ([("lr", "1", "1")], "lr is 1 twice"),
        ([("lr", "-1")], "lr is -1.0; give a positive"),
        ([("data", "elsewhere")], "data is varied"),
        ([], "nothing is varied"),
    ],
)
def test_what_cannot_be_varied_is_told(tmp_path, vary, message):
    with pytest.raises(ValueError, match=message):
        SweepConfig(out=tmp_path, data=tmp_path, model=MODEL, vary=tuple(vary))


PROTOCOL = {
    "name": "maquette", "points": 10_000, "thresholds": [0.02, 0.05], "squared_thresholds": False, "headline": "F@0.05"
}  # fmt: skip


def measured(name: str, value: float, f: tuple[float, float], baseline: float) -> Measured:
    def told(kind: str, means: dict[str, float]) -> dict:
        return {"kind": kind, "means": means, "objects": 9, "failures": 1}

    methods = {
        "points": told("network", {"F@0.02": f[0], "precision@0.02": 0.0, "F@0.05": f[1], "chamfer": 0.25}),
        "oracle": told("baseline", {"F@0.02": baseline, "F@0.05": baseline}),
    }
    facts = {
        "protocol": PROTOCOL,
        "data": {"evaluated": 9, "requested": 10, "split": "test", "name": "things"},
    }
    return Measured(name, {"model.head.smooth": value}, facts | {"retrieval": None, "methods": methods})


def test_the_table_has_a_row_a_run_the_best_in_bold_and_what_failed(tmp_path):
    runs = [measured("a", 0.1, (40.0, 70.04), 80.0), measured("b", 10.0, (30.0, 75.0), 80.0)]
    lines = markdown(runs, {"c": "train: loss is not finite"}).splitlines()
    assert lines[0].startswith("9 of 10 test objects of things, protocol maquette, 10,000 points")
    assert lines[2] == "| smooth |  | F@0.02 | F@0.05 | chamfer | failed |"
    assert lines[4] == "| 0.1 | points | **40.0** | 70.0 | 0.25 | 1 |"
    assert lines[5] == "| 10 | points | 30.0 | **75.0** | 0.25 | 1 |"
    assert lines[6] == "|  | oracle | 80.0 | 80.0 |  | 1 |"
    assert lines[-1] == "failed: c: train: loss is not finite"
    plot(runs, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_curves_are_drawn_over_distances_where_a_protocol_has_several_thresholds(tmp_path):
    def under(**changes) -> Measured:
        run = measured("a", 0.1, (40.0, 70.0), 80.0)
        run.scores["protocol"] = PROTOCOL | changes
        return run

    # Pixel2Mesh compares squared distances.
    assert under(thresholds=[1e-4, 4e-4], squared_thresholds=True).limits() == pytest.approx([0.01, 0.02])
    assert under().limits() == [0.02, 0.05]
    (tmp_path / "fscore.png").write_bytes(b"of another protocol")
    for thresholds in ([], [0.001]):
        told = write_report(tmp_path, [under(name="occnet", thresholds=thresholds, headline="chamfer")], {})
        assert not (tmp_path / "fscore.png").exists() and "fscore.png" not in told
        assert "**0.25**" in told, "the best of the headline"
    assert "fscore.png" in write_report(tmp_path, [under()], {})
    assert (tmp_path / "fscore.png").exists()


@pytest.mark.slow
def test_a_sweep_names_what_fails_goes_on_and_is_taken_up_again(tmp_path, capsys):
    data = tmp_path / "data"
    prepare_synthetic(PrepareSynthetic(out=data, count=10, views=2, size=33, points=300, val=0.2, test=0.2, workers=1))
    settings = {"out": tmp_path / "sweep", "data": data, "model": MODEL, "steps": 12, "batch": 4, "warmup": 0}
    vary = (("lr", "0.001", "1e30"), ("model.head.points", "32", "64"))
    sweep(SweepConfig(**settings, vary=vary, at_once=2))
    out = capsys.readouterr().out
    assert "2 of 4 runs failed" in out and "failed: lr=1e+30,model.head.points=32: train: loss is not finite" in out
    rows = list(csv.DictReader((tmp_path / "sweep" / "table.csv").read_text().splitlines()))
    assert [(row["lr"], row["points"] if "points" in row else row["model.head.points"]) for row in rows] == [
        ("0.001", "32"),
        ("0.001", "64"),
    ]
    done = tmp_path / "sweep" / "runs" / "lr=0.001,model.head.points=32"
    before = (done / "metrics.jsonl").stat().st_mtime_ns
    with pytest.raises(FileExistsError, match="--resume"):
        sweep(SweepConfig(**settings, vary=vary))
    with pytest.raises(ValueError, match="begun with batch 4, not 5"):
        sweep(SweepConfig(**settings | {"batch": 5, "resume": True}, vary=vary))
    more = (("lr", "0.001"), ("model.head.points", "16", "32", "64"))
    sweep(SweepConfig(**settings | {"resume": True}, vary=more))
    rows = list(csv.DictReader((tmp_path / "sweep" / "table.csv").read_text().splitlines()))
    assert [row["model.head.points"] for row in rows] == ["16", "32", "64"]
    assert (done / "metrics.jsonl").stat().st_mtime_ns == before
    scores = json.loads((done / "evaluation" / "scores.json").read_text())
    assert scores["protocol"]["points"] == 10_000
