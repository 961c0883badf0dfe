"""The loop of a fit, the folder it leaves, and the commands that fit points and voxels."""

import json
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from forked import ended, forked, send
from maquette import cli, transforms
from maquette.fitting import descent, fit, generator_at, unit_from_target
from maquette.fitting import record as saving
from maquette.fitting.descent import Adam, Sgd
from maquette.fitting.measure import measure, table
from maquette.fitting.points import FitPoints, fit_points
from maquette.fitting.record import Record, film_steps
from maquette.fitting.voxels import FitVoxels, fit_voxels, full_cells
from maquette.io import load, save
from maquette.shapes import Mesh, PointCloud, Voxels, bounds, ico_sphere, tetrahedron, transform


def noisy_fit(out: Path, *, resume: bool = False, seconds: float = 0.0) -> None:
    """Sixty steps, of so many seconds, through noise that follows from the step."""
    torch.set_num_threads(1)
    x = torch.full((3,), 4.0, requires_grad=True)
    optimizer = Adam([x], lr=0.1)
    with Record(out, {"lr": 0.1}, 60, resume=resume) as record:
        record.restore({"x": x}, optimizer)

        def objective(index: int) -> dict[str, torch.Tensor]:
            time.sleep(seconds)
            noise = torch.randn(3, generator=generator_at(0, index))
            return {"near": (x - noise).square().sum(), "small": x.abs().sum()}

        for step in fit(objective, optimizer, 60, start=record.start):
            record.step(step, {"x": x}, optimizer)
            if record.films(step):
                record.frame(step, torch.full((8, 8, 3), step.index / 60))
        record.finish({"x": x.tolist()}, save_shape=lambda path: path.write_text("done"), suffix=".txt")


def lines_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def tetrahedron_file(tmp_path) -> Path:
    """Far from the origin and large: 3 km away, 400 m wide."""
    mesh = tetrahedron()
    save(mesh.with_vertices(mesh.vertices * 200 + torch.tensor([3000.0, 0, -1000])), tmp_path / "target.ply")
    return tmp_path / "target.ply"


# The loop


def test_fit_minimises_the_sum_of_its_terms_and_tells_each():
    x = torch.tensor([3.0], requires_grad=True)
    steps = list(fit(lambda index: {"a": (x - 1).square().sum(), "b": 0 * x.sum() + index}, Sgd([x], lr=0.5), 2))
    assert [step.index for step in steps] == [0, 1]
    assert steps[0].terms == {"a": 4.0, "b": 0.0} and steps[1].terms == {"a": 0.0, "b": 1.0}
    assert steps[1].loss == 1
    assert x.item() == 1


def test_a_term_that_is_not_finite_names_itself_and_the_step_and_changes_nothing():
    x = torch.tensor([2.0], requires_grad=True)
    optimizer = Sgd([x], lr=0.1, momentum=0.9)

    def objective(index: int):
        return {"fine": x.square().sum(), "rotten": x.sum() * (torch.nan if index == 3 else 0.0)}

    seen = []
    with pytest.raises(FloatingPointError, match=r"rotten is not finite in step 3 \(fine .*, rotten nan\)"):
        for _ in fit(objective, optimizer, 10):
            seen.append((x.item(), optimizer.state[x]["momentum_buffer"].item()))
    assert len(seen) == 3
    assert (x.item(), optimizer.state[x]["momentum_buffer"].item()) == seen[-1]


def test_random_draws_follow_the_seed_and_the_step():
    def draw(seed: int, index: int) -> tuple:
        return tuple(torch.rand(4, generator=generator_at(seed, index)).tolist())

    draws = {draw(seed, index) for seed in range(5) for index in range(-2, 20)}
    assert len(draws) == 5 * 22
    assert draw(3, 7) == draw(3, 7)


def test_the_frame_of_fitting_is_centred_with_half_side_one():
    for scale in (1e-6, 1.0, 1e6):
        mesh = ico_sphere(1)
        moved = mesh.with_vertices((mesh.vertices * torch.tensor([1.0, 0.5, 0.2]) + 3) * scale)
        low, high = bounds(transform(moved, unit_from_target(moved))).unbind(0)
        torch.testing.assert_close(low, -high, rtol=0, atol=1e-5)
        assert high.max().item() == pytest.approx(1, abs=1e-5)


def test_a_target_without_extent_is_refused():
    with pytest.raises(ValueError, match="unit_from_target: the target spans"):
        unit_from_target(PointCloud(torch.ones(5, 3)))


def test_the_film_shows_the_first_and_the_last_step_and_more_early():
    steps = sorted(film_steps(1000))
    assert steps[0] == 0 and steps[-1] == 999 and len(steps) <= 40
    assert steps[1] - steps[0] < steps[-1] - steps[-2]
    assert film_steps(1) == {0}


# The folder


def slow_fit(out: Path) -> None:
    saving.SAVE_EVERY = 0.05
    noisy_fit(out, seconds=0.02)


@pytest.fixture
def short_film(monkeypatch) -> None:
    """Two small pictures instead of forty."""
    monkeypatch.setattr("maquette.fitting.film.SIDE", 48)
    monkeypatch.setattr(saving, "FILMED", 2)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """The folder of a fit that nobody stopped."""
    out = tmp_path_factory.mktemp("fits") / "whole"
    noisy_fit(out)
    return out


@pytest.mark.parametrize(
    "ending",
    [
        pytest.param(signal.SIGKILL, id="killed"),
        pytest.param(signal.SIGINT, id="interrupted", marks=pytest.mark.slow),
    ],
)
def test_a_fit_that_was_stopped_resumes_with_the_losses_it_would_have_had(ending, undisturbed, tmp_path):
    out = tmp_path / "fit"
    said = tmp_path / "said.txt"
    process = forked(slow_fit, out, said=said)
    begun = time.monotonic()
    while not (out / "state.safetensors").is_file():
        assert process.is_alive() and time.monotonic() - begun < 120
        time.sleep(0.01)
    send(process, ending)
    assert ended(process) not in (0, None)
    if ending == signal.SIGINT:
        assert "go on with --resume" in said.read_text()
    assert not (out / "results.json").exists()
    noisy_fit(out, resume=True)
    assert lines_of(out) == lines_of(undisturbed)
    assert (out / "result.txt").read_text() == "done"
    assert (out / "moulding.gif").read_bytes() == (undisturbed / "moulding.gif").read_bytes()
    assert not (out / "frames").exists()


@pytest.mark.slow
def test_a_finished_fit_resumes_to_itself(undisturbed, tmp_path):
    out = tmp_path / "fit"
    shutil.copytree(undisturbed, out)
    noisy_fit(out, resume=True)
    for name in ("metrics.jsonl", "moulding.gif", "results.json", "state.safetensors"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes()
    assert not (out / "frames").exists()


def test_a_loss_that_is_not_finite_leaves_the_state_before_it(tmp_path):
    x = torch.tensor([4.0], requires_grad=True)
    optimizer = Sgd([x], lr=0.1)
    with (
        pytest.raises(FloatingPointError, match=r"rotten is not finite in step 3 .* the state after 2 steps is in"),
        Record(tmp_path / "fit", {}, 10) as record,
    ):
        for step in fit(lambda index: {"rotten": x.square().sum() / (index != 3)}, optimizer, 10):
            record.step(step, {"x": x}, optimizer)
    # 4 * 0.8 after each step; the loss of step 2 was finite where it began.
    y = torch.zeros(1, requires_grad=True)
    with Record(tmp_path / "fit", {}, 10, resume=True) as record:
        record.restore({"x": y}, Sgd([y], lr=0.1))
        assert record.start == 2
    assert y.item() == pytest.approx(4 * 0.8**2)


def test_a_fit_that_ends_in_its_first_steps_can_still_go_on_from_its_start(tmp_path):
    """By Ctrl-C before a step was taken, or by a first step into nowhere."""
    for name, error, taken in (("stopped", KeyboardInterrupt, 0), ("lost", FloatingPointError, 1)):
        x = torch.tensor([3.0], requires_grad=True)
        optimizer = descent.Adam([x], lr=0.1)
        with pytest.raises(error), Record(tmp_path / name, {}, 10) as record:
            record.restore({"x": x}, optimizer)
            for step in fit(lambda index, x=x: {"x": x.square().sum()}, optimizer, taken):
                record.step(step, {"x": x}, optimizer)
            raise error
        with Record(tmp_path / name, {}, 10, resume=True) as record:
            assert record.start == 0 and record.checkpoint is not None
            record.restore({"x": x}, optimizer)
            assert x.item() == 3.0


def test_an_existing_folder_is_refused_without_force_and_other_settings_on_resume(tmp_path):
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="exists; give another --out, --resume to go on with it, or --force"):
        Record(tmp_path / "fit", {}, 5)
    with pytest.raises(FileNotFoundError, match="no fit to resume"):
        Record(tmp_path / "fit", {}, 5, resume=True)
    with Record(tmp_path / "fit", {"lr": 0.1}, 5, force=True):
        pass
    assert (tmp_path / "fit" / "notes.txt").read_text() == "mine"
    with pytest.raises(ValueError, match=r"was begun with lr 0.1, not 0.2; give it as it was"):
        Record(tmp_path / "fit", {"lr": 0.2}, 5, resume=True)


def test_ctrl_c_gives_exit_code_130_and_a_state_to_go_on_from(tetrahedron_file, short_film, tmp_path, monkeypatch):
    from maquette.fitting import points

    out, taken = tmp_path / "fit", []

    def interrupted(*arguments):
        taken.append(None)
        if len(taken) == 4:
            raise KeyboardInterrupt
        return true_chamfer(*arguments)

    true_chamfer = points.chamfer
    said = [
        "fit",
        "points",
        str(tetrahedron_file),
        "--out",
        str(out),
        "--points",
        "40",
        "--samples",
        "40",
        "--steps",
        "6",
    ]
    monkeypatch.setattr(points, "chamfer", interrupted)
    assert cli.main(said) == 130
    monkeypatch.setattr(points, "chamfer", true_chamfer)
    assert (out / "state.safetensors").is_file() and not (out / "result.ply").exists()
    assert cli.main(said) == 2
    assert cli.main([*said, "--resume"]) == 0
    assert [line["step"] for line in lines_of(out)] == list(range(6))
    whole = tmp_path / "whole"
    assert cli.main([*said[:4], str(whole), *said[5:]]) == 0
    assert lines_of(out) == lines_of(whole)
    torch.testing.assert_close(load(out / "result.ply").points, load(whole / "result.ply").points, rtol=0, atol=0)


# Points and voxels


def test_points_come_to_a_target_of_any_scale_in_its_own_frame(tetrahedron_file, short_film, tmp_path, capsys):
    config = FitPoints(tetrahedron_file, tmp_path / "fit", points=300, samples=300, steps=60, lr=0.05)
    fit_points(config)
    scores = json.loads((tmp_path / "fit" / "results.json").read_text())
    assert scores["chamfer"] < 1.5 * scores["target_chamfer"]
    assert "chamfer" in capsys.readouterr().out
    result, target = load(tmp_path / "fit" / "result.ply"), load(tetrahedron_file)
    assert len(result.points) == 300
    # 5 % of the width of 400.
    torch.testing.assert_close(bounds(result), bounds(target), rtol=0, atol=20)
    assert {path.name for path in (tmp_path / "fit").iterdir()} == {
        "config.json",
        "curves.png",
        "metrics.jsonl",
        "moulding.gif",
        "result.ply",
        "results.json",
        "state.safetensors",
    }


def test_a_cloud_takes_the_colours_of_its_target(short_film, tmp_path):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(400, 3, generator=generator) - 0.5
    points[:, 0] += torch.where(torch.arange(400) < 200, 2.0, -2.0)
    red, blue = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 0, 1])
    save(PointCloud(points, torch.where(points[:, :1] > 0, red, blue)), tmp_path / "target.ply")
    fit_points(FitPoints(tmp_path / "target.ply", tmp_path / "fit", points=200, samples=200, steps=5))
    result = load(tmp_path / "fit" / "result.ply")
    assert result.colors is not None
    clear = result.points[:, 0].abs() > 0.3
    torch.testing.assert_close(result.colors[clear], torch.where(result.points[clear, :1] > 0, red, blue))


def test_voxels_fill_what_their_target_fills_in_its_own_frame(tetrahedron_file, short_film, tmp_path, capsys):
    fit_voxels(FitVoxels(tetrahedron_file, tmp_path / "fit", resolution=8, steps=40, lr=0.2))
    scores = json.loads((tmp_path / "fit" / "results.json").read_text())
    assert scores["iou"] >= 0.99 and scores["resolution"] == [8, 8, 8]
    assert "IoU" in capsys.readouterr().out
    grid, solid, target = (
        load(tmp_path / "fit" / "result.npz"),
        load(tmp_path / "fit" / "result.glb"),
        load(tetrahedron_file),
    )
    assert isinstance(grid, Voxels) and isinstance(solid, Mesh)
    # One cell is an eighth of 400.
    torch.testing.assert_close(bounds(grid), bounds(target), rtol=0, atol=1)
    torch.testing.assert_close(bounds(solid), bounds(target), rtol=0, atol=50)


def test_voxels_and_clouds_are_targets_of_voxels(tmp_path):
    occupancy = torch.zeros(3, 4, 5)
    occupancy[1, 1:3, 1:4] = 0.7
    box = transforms.scale_translate(3.0, torch.tensor([1.0, 0, 0]))
    assert torch.equal(full_cells(Voxels(occupancy, box), 32).occupancy, (occupancy > 0.5).float())
    cells = full_cells(PointCloud(torch.tensor([[-1.0, -1, -1], [1, 1, 1]])), 4).occupancy
    assert cells.sum() == 2 and cells[0, 0, 0] == 1 and cells[3, 3, 3] == 1
    with pytest.raises(ValueError, match="fit voxels: the target fills no cell"):
        full_cells(Mesh(torch.rand(3, 3), torch.zeros((0, 3), dtype=torch.int64)), 4)


@pytest.mark.parametrize("kind", ["points", "mesh", "voxels", "field", "silhouettes"])
def test_a_target_without_a_surface_is_refused_in_one_line_before_anything_is_written(kind, tmp_path, capsys):
    (tmp_path / "loose.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n")
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    out = tmp_path / "fit"
    for name, told in (("loose", "4 points and no faces, which is no surface"), ("line", "have no area")):
        target = str(tmp_path / f"{name}.obj")
        words = ["--render", target] if kind == "silhouettes" else [target]
        assert cli.main(["fit", kind, *words, "--out", str(out)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and told in said and f"fit {kind}: " in said
    assert not out.exists()


def test_settings_that_mean_nothing_are_refused():
    here = Path("x")
    for config, change, said in (
        (FitPoints(here, here), {"points": 0}, "fit points: points is 0"),
        (FitPoints(here, here), {"lr": 0.0}, "fit points: lr is 0.0"),
        (FitVoxels(here, here), {"resolution": 1}, "fit voxels: resolution is 1; give 2 to 256"),
        (FitVoxels(here, here), {"lr": float("nan")}, "fit voxels: lr is nan"),
        (FitVoxels(here, here), {"steps": 0}, "fit voxels: steps is 0"),
    ):
        with pytest.raises(ValueError, match=said):
            replace(config, **change)


def test_scores_stand_beside_those_of_the_target_with_itself():
    sphere = ico_sphere(2)
    scores = measure(sphere, sphere, torch.eye(4))
    assert scores["chamfer"] == pytest.approx(scores["target_chamfer"], rel=0.2)
    assert scores["f_score"] == pytest.approx(100, abs=0.5)
    assert scores["normal_consistency"] > 0.98
    rows = table(scores | {"iou": 0.5}).splitlines()
    assert rows[0].split() == ["result", "target", "with", "itself"]
    assert [row.split("  ")[0] for row in rows[1:]] == ["chamfer", "F@0.02", "normal consistency", "IoU"]


def test_a_new_fit_in_an_old_folder_leaves_no_old_results_beside_its_settings(tmp_path):
    for name in ("result.glb", "results.json", "moulding.gif", "state.safetensors"):
        (tmp_path / name).write_text("old")
    with Record(tmp_path, {}, 10, force=True):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "frames", "metrics.jsonl"]
