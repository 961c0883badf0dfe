"""Presets of the course's reports: a command each, with what the reports say."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from maquette import cli
from maquette.models import MeshConfig, PointsConfig, ResnetEncoder, load_run
from maquette.models.network import heads
from maquette.presets import PRESETS

SMALL = {
    "voxels": ["--model.head.channels", "4", "4", "4", "4"],
    "points": ["--model.head.points", "40", "--model.head.hidden", "8"],
    "mesh": ["--model.head.level", "1", "--model.head.hidden", "8", "--model.head.samples", "50"],
    "implicit": [],
}


def two_steps(name: str, data: Path, out: Path) -> dict:
    """Run a preset with small pictures and heads; its first line of metrics."""
    kind = next(kind for kind in SMALL if kind in name)
    words = ["train", "--preset", name, "--data", str(data), "--out", str(out), "--steps", "2", "--batch", "2"]
    assert cli.main([*words, "--workers", "1", "--model.encoder.picture-size", "33", *SMALL[kind]]) == 0
    return json.loads((out / "metrics.jsonl").read_text().splitlines()[0])


@pytest.mark.parametrize("name", [pytest.param("cmu2025-mesh", marks=pytest.mark.slow), "cmu-implicit"])
def test_a_preset_trains_by_one_command(name, ten_objects, tmp_path):
    line = two_steps(name, ten_objects, tmp_path / "run")
    # A constant rate from the first step, as in the course's code.
    assert line["lr"] == 4e-4
    assert load_run(tmp_path / "run").model.config.cameras == "apart"


@pytest.mark.slow
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_trains_by_one_command(name, ten_objects, tmp_path):
    two_steps(name, ten_objects, tmp_path / "run")


def test_presets_hold_what_the_reports_say():
    assert {preset.lr for preset in PRESETS.values()} == {4e-4}
    assert all(preset.schedule == "constant" and preset.warmup == 0 for preset in PRESETS.values())
    assert all(isinstance(p.model.encoder, ResnetEncoder) and p.model.encoder.depth == 18 for p in PRESETS.values())
    for count in (500, 1000, 2500, 5000):
        preset = PRESETS[f"cmu2022-points-{count}"]
        assert isinstance(preset.model, PointsConfig) and preset.model.head.points == count
        assert (preset.steps, preset.batch) == (5000, 8)
    assert {name: (p.steps, p.batch) for name, p in PRESETS.items() if "2025" in name} == {
        "cmu2025-voxels": (10_000, 32), "cmu2025-points": (2000, 32), "cmu2025-mesh": (2000, 32),
    }  # fmt: skip
    for preset in PRESETS.values():
        if isinstance(preset.model, MeshConfig):
            (head,) = heads(preset.model)
            assert head.smooth == 0.1 and head.level == 4


def test_settings_beside_a_preset_change_it(monkeypatch):
    seen = []
    monkeypatch.setattr("maquette.train.train", seen.append)
    words = ["--preset=cmu2025-mesh", "--data", "d", "--out", "o", "--model.head.smooth", "10", "--batch", "4"]
    assert cli.main(["train", *words]) == 0
    expected = PRESETS["cmu2025-mesh"]
    head = replace(expected.model.head, smooth=10.0)
    changed = replace(expected.model, head=head)
    assert seen == [replace(expected, data=Path("d"), out=Path("o"), batch=4, model=changed)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--preset", "cmu2025-mash"], "unknown preset 'cmu2025-mash'; did you mean 'cmu2025-mesh'?"),
        (["--preset"], "unknown preset ''; one of cmu2022-voxels, "),
        (["--preset", "cmu2025-mesh"], "missing --out PATH, --data PATH"),
    ],
)
def test_a_preset_that_is_not_there_or_not_complete_is_told_in_a_line(words, said, capsys):
    assert cli.main(["train", *words]) == 2
    told = capsys.readouterr().err
    assert said in told and len(told.splitlines()) == 1
