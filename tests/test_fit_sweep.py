"""Optimisers side by side: known curves of a parabola, tables of known trials, and the command on a small ellipsoid."""

import csv
import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from maquette import cli
from maquette.fitting import descent, sweep, trials
from maquette.fitting.moulding import Fixed, begun
from maquette.fitting.optimizers import Adam, LargeSteps, Sgd
from maquette.fitting.sweep import FitSweep, InSpace, InViews, runs_of
from maquette.fitting.sweep_report import Judged, markdown, write_report
from maquette.fitting.trials import Curve, Reading, Trial, best_rows, reached, rows_of, traced
from maquette.io import save
from maquette.losses import chamfer
from maquette.shapes import Mesh, ico_sphere, positions_at, sample, sample_faces

CHAMFER = Judged("chamfer", "lower", 0.1)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(sweep, "HELD_OUT", 500)
    monkeypatch.setattr("maquette.fitting.measure.SAMPLES", 1000)
    monkeypatch.setattr(trials, "READINGS", 3)
    monkeypatch.setattr("maquette.fitting.sweep_report.plot", lambda *_: None)


def parabola(lr: float, steps: int, curvature: float = 1.0) -> tuple[Curve, torch.Tensor]:
    """Gradient descent on curvature |x|^2 / 2 from |x| = 1: after k steps |x| is |1 - lr curvature|^k."""
    x = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64, requires_grad=True)
    optimizer = descent.Sgd([x], lr=lr)
    return traced(
        lambda index: {"parabola": curvature * x.square().sum() / 2},
        optimizer,
        steps,
        quality=lambda: float(x.detach().norm()),
    ), x


def test_a_curve_has_the_quality_before_the_first_step_and_after_the_last():
    curve, _ = parabola(lr=0.1, steps=20)
    assert [r.step for r in curve.readings] == sorted(trials.reading_steps(20))
    for reading in curve.readings:
        assert math.isclose(reading.quality, 0.9**reading.step, rel_tol=1e-12)
    assert curve.readings[0].step == 0 and curve.readings[-1].step == 20 and curve.ended == ""


def test_a_reading_tells_the_gradient_and_the_way_of_the_step_after_it():
    curve, _ = parabola(lr=0.1, steps=20, curvature=3.0)
    for reading in curve.readings[:-1]:
        assert reading.loss is not None and reading.gradient is not None and reading.moved is not None
        assert math.isclose(reading.loss, 1.5 * reading.quality**2, rel_tol=1e-6)
        assert math.isclose(reading.gradient, 3 * reading.quality, rel_tol=1e-6)
        assert math.isclose(reading.moved, 0.3 * reading.quality, rel_tol=1e-6)
    assert curve.readings[-1].loss is None


def test_the_clocks_of_a_run_do_not_go_while_it_is_measured(monkeypatch):
    clock = iter(range(1000))  # a second passes between two looks at it
    monkeypatch.setattr(trials, "_clocks", lambda: (float(now := next(clock)), 2.0 * now))
    curve, _ = parabola(lr=0.1, steps=20)
    assert [(r.seconds, r.cpu_seconds) for r in curve.readings] == [(r.step, 2 * r.step) for r in curve.readings]


def test_a_run_whose_loss_grows_without_end_is_stopped_early_and_says_so():
    curve, _ = parabola(lr=12.0, steps=1000)  # |1 - 12| = 11 times further each step, the loss 121 times higher
    assert "the loss grew from 0.5 to" in curve.ended and "in 2 steps" in curve.ended
    assert curve.readings[-1].step <= 2


def test_a_run_whose_loss_is_not_finite_keeps_the_readings_before_it():
    x = torch.ones(1, 3, requires_grad=True)
    curve = traced(
        lambda index: {"root": (x.square().sum() / (0.0 if index == 5 else 1.0))},
        descent.Sgd([x], lr=0.01),
        50,
        quality=lambda: 1.0,
    )
    assert "root is not finite in step 5" in curve.ended
    assert [r.step for r in curve.readings] == [k for k in sorted(trials.reading_steps(50)) if k < 5]


def test_a_run_without_a_measurable_shape_is_stopped():
    qualities = iter([1.0, 0.5, math.nan])
    x = torch.ones(1, 3, requires_grad=True)
    curve = traced(lambda index: {"x": x.square().sum()}, descent.Sgd([x], lr=0.01), 9, quality=lambda: next(qualities))
    assert "nothing is left to measure" in curve.ended and len(curve.readings) == 2


def test_readings_are_denser_at_the_start():
    steps = sorted(trials.reading_steps(2000))
    gaps = [b - a for a, b in itertools.pairwise(steps)]
    assert steps[0] == 0 and steps[-1] == 2000
    assert all(later >= earlier - 1 for earlier, later in itertools.pairwise(gaps))


def test_the_threshold_is_reached_at_the_first_reading_that_is_as_good():
    readings = [Reading(k, 1.0 * k, 2.0 * k, quality) for k, quality in enumerate([1.0, 0.5, 0.2, 0.3, 0.1])]
    first = reached(readings, 0.3, "lower")
    assert first is not None and first.step == 2
    assert reached(readings, 0.05, "lower") is None
    best = reached(readings[::-1], 0.2, "higher")
    assert best is not None and best.quality == 0.3


def trial(optimizer: str, lr: float, seed: int, qualities: list[float], ended: str = "") -> Trial:
    """With a reading every 10 steps, of 2 seconds each of a processor."""
    readings = [Reading(10 * k, 10.0 * k, 20.0 * k, quality) for k, quality in enumerate(qualities)]
    scores = {} if ended else {"chamfer": qualities[-1], "target_chamfer": 0.001}
    return Trial("ball", optimizer, lr, seed, Curve(readings, ended), scores)


TRIALS = [
    trial("sgd", 1.0, 0, [1.0, 0.3, 0.1]),
    trial("adam", 0.01, 0, [1.0, 0.1, 0.02]),
    trial("sgd", 1.0, 1, [1.0, 0.4, 0.3]),
    trial("adam", 0.01, 1, [1.0, 0.2, 0.04]),
    trial("sgd", 1.0, 2, [1.0, 0.4, 0.2]),
    trial("adam", 0.01, 2, [1.0, 0.1, 0.03]),
    trial("sgd", 10.0, 0, [1.0], "the loss grew"),
    trial("sgd", 10.0, 1, [1.0], "the loss grew"),
    trial("sgd", 10.0, 2, [1.0, 0.2, 0.01]),
]


def test_a_row_is_the_median_and_the_range_of_its_starts():
    sgd, adam, wild = rows_of(TRIALS, score="chamfer", better="lower", threshold=0.1)
    assert (sgd.quality, sgd.best, sgd.worst, sgd.runs, sgd.ended) == (0.2, 0.1, 0.3, 3, 0)
    assert (adam.quality, adam.reached, adam.steps, adam.cpu_seconds) == (0.03, 3, 10, 20.0)
    assert adam.step_cpu_seconds == 2.0
    assert (sgd.reached, sgd.steps) == (1, None)
    assert (wild.ended, wild.reached, wild.quality, wild.best) == (2, 1, math.inf, 0.01)


def test_the_median_of_two_starts_lies_between_them():
    (row,) = rows_of(TRIALS[:3:2], score="chamfer", better="lower", threshold=0.35)
    assert (row.runs, row.quality, row.steps) == (2, pytest.approx((0.1 + 0.3) / 2), 15)


def test_the_best_learning_rate_of_an_optimiser_is_that_of_the_best_median():
    rows = rows_of(TRIALS, score="chamfer", better="lower", threshold=0.1)
    assert [(row.optimizer, row.lr) for row in best_rows(rows, "lower")] == [("sgd", 1.0), ("adam", 0.01)]


def test_the_table_tells_each_setting_and_what_diverged():
    table = markdown(rows_of(TRIALS, score="chamfer", better="lower", threshold=0.1), CHAMFER).splitlines()
    assert table[0].startswith("| target | optimiser | learning rate | chamfer |") and len(table) == 5
    assert len({line.count("|") for line in table}) == 1 and "| steps to ≤ 0.1 |" in table[0]
    assert table[2] == "| ball | SGD, momentum | **1** | **0.2** | 0.1 – 0.3 | never |  | 2000.0 |"
    assert table[3] == "| ball | Adam | **0.01** | **0.03** | 0.02 – 0.04 | 10 | 20.0 | 2000.0 |"
    assert "diverged | 0.01 – diverged, 2 of 3 diverged | never" in table[4]


def test_the_report_is_readable_by_other_programs(tmp_path):
    told = write_report(tmp_path, TRIALS, CHAMFER)
    assert "ball: Adam, best at 0.01: chamfer 0.03; 0.1 after 10 steps" in told
    with open(tmp_path / "runs.csv") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == len(TRIALS) and {line["ended"] for line in lines} == {"", "the loss grew"}
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["quality"] for row in rows] == [0.2, 0.03, None]
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_a_report_of_nothing_but_diverged_runs_is_drawn(tmp_path):  # without a warning of empty axes
    told = write_report(tmp_path, [trial("sgd", 1.0, 0, [1.0], "gone")], CHAMFER)
    assert "chamfer diverged; 0.1 never" in told


def test_intersection_over_union_is_better_when_higher(tmp_path, quick):
    runs = [
        Trial(
            "ball", "adam", lr, 0, Curve([Reading(0, 0.0, 0.0, 0.5), Reading(10, 1.0, 1.0, iou)]), {"unseen_iou": iou}
        )
        for lr, iou in ((0.1, 0.8), (0.2, 0.97), (0.3, 0.9))
    ]
    judged = Judged("unseen_iou", "higher", 0.9)
    assert "best at 0.2: IoU of unseen views 0.97; 0.9 after 10 steps" in write_report(tmp_path, runs, judged)
    table = (tmp_path / "table.md").read_text()
    assert "| **0.97** |" in table and "| steps to ≥ 0.9 |" in table


def test_a_lost_run_counts_as_the_worst_on_either_side():
    runs = [
        Trial("ball", "adam", 0.1, seed, Curve([Reading(0, 0.0, 0.0, 0.5)], "" if scores else "gone"), scores)
        for seed, scores in enumerate([{"unseen_iou": 0.7}, {}, {"unseen_iou": 0.9}])
    ]
    (row,) = rows_of(runs, score="unseen_iou", better="higher", threshold=0.95)
    assert (row.best, row.quality, row.worst) == (0.9, 0.7, -math.inf)


# The sweep itself ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def egg(tmp_path_factory) -> Path:
    """A small ellipsoid, far from the origin."""
    path = tmp_path_factory.mktemp("targets") / "egg.ply"
    sphere = ico_sphere(2)
    save(Mesh(sphere.vertices * torch.tensor([10.0, 20.0, 10.0]) + 100, sphere.faces), path)
    return path


def small(egg: Path, out: Path, **changes) -> FitSweep:
    settings = {
        "sgd": (0.1,),
        "adam": (0.01,),
        "large_steps": (),
        "starts": 2,
        "level": 1,
        "steps": 6,
        "threshold": 0.5,
    }
    return FitSweep((egg,), out, InSpace(samples=100), **(settings | changes))


def test_every_setting_is_tried_before_any_is_from_another_start(egg, tmp_path):
    config = small(egg, tmp_path, large_steps=(0.1,), smoothness=7.0)
    assert [(run.optimizer, run.seed) for run in runs_of(config)] == [
        (setting, seed) for seed in (0, 1) for setting in (Sgd(0.1), Adam(0.01), LargeSteps(0.1, 7.0))
    ]
    assert len({run.name for run in runs_of(config)}) == 6


def test_finished_runs_are_not_taken_again_and_settings_may_be_added(egg, tmp_path, quick, monkeypatch):
    out = tmp_path / "sweep"
    sweep.fit_sweep(small(egg, out))
    files = {path.name: path.read_bytes() for path in (out / "runs").iterdir()}
    assert len(files) == 8
    taken, original = [], sweep.taken_run
    monkeypatch.setattr(sweep, "taken_run", lambda config, run: taken.append(run.name) or original(config, run))
    sweep.fit_sweep(small(egg, out, adam=(0.01, 0.02), resume=True))
    assert taken == ["egg-adam-0.02-0", "egg-adam-0.02-1"]
    assert {name: (out / "runs" / name).read_bytes() for name in files} == files
    assert (out / "table.md").read_text().count("| egg |") == 3


@pytest.mark.slow
def test_runs_side_by_side_find_what_they_find_one_after_another(egg, tmp_path):
    for workers in (1, 2):
        sweep.fit_sweep(small(egg, tmp_path / str(workers), starts=1, workers=workers))
    for path in (tmp_path / "1" / "runs").glob("*.json"):
        assert path.read_text() == (tmp_path / "2" / "runs" / path.name).read_text()


def test_a_run_that_was_cut_short_is_taken_again(egg, tmp_path, quick):
    out = tmp_path / "sweep"
    config = small(egg, out, starts=1)
    sweep.fit_sweep(config)
    before = json.loads((out / "runs" / "egg-sgd-0.1-0.json").read_text())
    (out / "runs" / "egg-sgd-0.1-0.json").unlink()  # the curve was written, what came of it was not
    sweep.fit_sweep(small(egg, out, starts=1, resume=True))
    assert json.loads((out / "runs" / "egg-sgd-0.1-0.json").read_text()) == before


def test_starts_differ_and_are_the_same_for_every_optimiser(egg, tmp_path, quick):
    config = small(egg, tmp_path, large_steps=(0.1,))
    starts = [sweep.space_problem(config, run).moulding.mesh().vertices for run in runs_of(config)]
    torch.testing.assert_close(starts[0], starts[1], rtol=0, atol=0)
    torch.testing.assert_close(starts[0], starts[2], rtol=0, atol=1e-5)  # through a solve and back
    assert float((starts[0] - starts[3]).abs().max()) > config.noise


def test_the_learning_rate_is_constant_unless_a_cosine_is_asked_for(egg, tmp_path, quick, monkeypatch):
    told: dict[str, list[float]] = {}
    for schedule in ("constant", "cosine"):

        def tracing(objective, optimizer, steps, *, quality, seen=told.setdefault(schedule, [])):
            for index in range(steps):
                objective(index)
                seen.append(optimizer.param_groups[0]["lr"])
            return Curve([Reading(0, 0.0, 0.0, 1.0)])

        monkeypatch.setattr(sweep, "traced", tracing)
        config = small(egg, tmp_path, schedule=schedule)
        sweep.taken_run(config, runs_of(config)[1])
    assert told["constant"] == [0.01] * 6
    assert told["cosine"] == pytest.approx([0.01 * (1 + math.cos(math.pi * k / 6)) / 2 for k in range(6)])


def test_views_are_judged_by_what_no_run_has_seen(egg, tmp_path, quick):
    config = FitSweep(
        (egg,),
        tmp_path / "views",
        InViews(size=24),
        sgd=(),
        adam=(0.02,),
        large_steps=(0.1,),
        starts=1,
        level=1,
        steps=3,
    )
    sweep.fit_sweep(config)
    row, _ = json.loads((tmp_path / "views" / "table.json").read_text())["rows"]
    told = json.loads((tmp_path / "views" / "runs" / "egg-adam-0.02-0.json").read_text())
    assert row["quality"] == told["scores"]["unseen_iou"] and 0.5 < row["quality"] <= 1
    assert config.judged.threshold == 0.95


def test_the_gradient_of_a_vertex_is_inversely_as_the_number_of_vertices():
    """The chamfer distance is a mean, so each vertex has its part of one gradient: N times finer, N times less.

    That is why gradient descent wants a learning rate that grows with the mesh, and Adam, which divides by the
    gradient's own size, does not.
    """
    target = sample(ico_sphere(4), 4000, generator=torch.Generator().manual_seed(1)).points
    mean = {}
    for level in (2, 3):
        moulding = begun(target * 0.5, Fixed(level), Sgd())
        generator = torch.Generator().manual_seed(0)
        mesh = moulding.live()
        chamfer(positions_at(mesh, sample_faces(mesh, 4000, generator=generator)), target).backward()
        assert moulding.parameter.grad is not None
        mean[level] = float(moulding.parameter.grad.norm(dim=-1).mean()) * len(mesh.vertices)
    assert mean[3] == pytest.approx(mean[2], rel=0.1)  # some cancels where several samples pull a vertex


def test_adam_walks_its_learning_rate_whatever_the_gradient():
    """In the first step each coordinate moves by lr: sqrt(3) lr a vertex at most."""
    for scale in (1.0, 1e-4):
        x = torch.ones(5, 3, requires_grad=True)
        curve = traced(
            lambda index, x=x, scale=scale: {"x": scale * x.square().sum()},
            descent.Adam([x], lr=1e-3),
            2,
            quality=lambda: 0.0,
        )
        assert curve.readings[0].moved == pytest.approx(1e-3 * math.sqrt(3), rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sgd": (), "adam": ()}, "nothing to compare"),
        ({"adam": (0.01, 0.01)}, "given twice"),
        ({"sgd": (-1.0,)}, "optimizer.lr is -1.0"),
        ({"starts": 0}, "starts is 0; give at least 1"),
        ({"steps": 0}, "steps is 0"),
        ({"workers": 0}, "workers is 0"),
        ({"noise": -1.0}, "noise is -1.0"),
        ({"level": 9}, "level is 9; give 0 to 7"),
        ({"momentum": 1.5}, "optimizer.momentum is 1.5"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused_before_it_begins(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        small(tmp_path / "egg.ply", tmp_path / "out", **changes)


def test_targets_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two targets are called egg"):
        FitSweep((tmp_path / "a" / "egg.ply", tmp_path / "b" / "egg.obj"), tmp_path / "out")
    with pytest.raises(ValueError, match="no target"):
        FitSweep((), tmp_path / "out")


def test_a_folder_that_was_begun_otherwise_is_not_mixed(egg, tmp_path):
    out = tmp_path / "sweep"
    sweep.begin(small(egg, out))
    with pytest.raises(FileExistsError, match="--resume to go on"):
        sweep.begin(small(egg, out))
    with pytest.raises(ValueError, match="was begun with steps 6, not 7"):
        sweep.begin(small(egg, out, steps=7, resume=True))
    with pytest.raises(ValueError, match="begun with losses"):
        sweep.begin(FitSweep((egg,), out, InViews(), level=1, steps=6, resume=True))
    sweep.begin(small(egg, out, adam=(), resume=True))
    with pytest.raises(FileNotFoundError, match="no sweep to resume"):
        sweep.begin(small(egg, tmp_path / "other", resume=True))


def test_a_file_of_another_target_of_the_same_name_is_not_taken_for_this_one(egg, tmp_path):
    config = small(egg, tmp_path / "sweep")
    run = runs_of(config)[0]
    other = sweep.Run(egg.with_suffix(".obj"), run.optimizer, run.seed)
    sweep.keep(config, other, Trial("egg", "sgd", 0.1, 0, Curve([Reading(0, 0.0, 0.0, 1.0)]), {}))
    with pytest.raises(ValueError, match=r"is of .*egg\.obj"):
        sweep.finished(config, run)


def test_the_command_tells_the_best_and_where_the_table_is(egg, tmp_path, quick, capsys):
    out = tmp_path / "sweep"
    words = ["fit", "sweep", str(egg), "--out", str(out), "--sgd", "--adam", "0.01", "--large-steps", "--starts", "1"]
    assert cli.main([*words, "--level", "1", "--steps", "4", "losses:in-space", "--losses.samples", "50"]) == 0
    said = capsys.readouterr().out
    assert "egg: Adam, best at 0.01: chamfer" in said and "table.md" in said
