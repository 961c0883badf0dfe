"""`maquette fit sweep`: optimisers and learning rates side by side, on equal budgets, from several random starts.

A run is one fit of one sphere to one target; a setting is an optimiser with its learning rate. Everything that a run
computes is that of `fit mesh` and `fit silhouettes`.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette.console import bar
from maquette.data.workers import Lost, run_jobs
from maquette.fitting import silhouettes
from maquette.fitting.frame import unit_from_target
from maquette.fitting.large_steps import roughened
from maquette.fitting.loop import Objective, generator_at
from maquette.fitting.measure import measure
from maquette.fitting.mesh import MeshWeights, goal_of, mesh_terms
from maquette.fitting.moulding import Fixed, Moulding, begun, has_left
from maquette.fitting.optimizers import Adam, LargeSteps, Optimizer, Sgd, checked
from maquette.fitting.record import settings_of
from maquette.fitting.silhouettes import (
    FitSilhouettes,
    SilhouetteFit,
    SilhouetteWeights,
    in_frame,
    scores_of,
    view_ious,
    views_of,
)
from maquette.fitting.sweep_report import Judged, write_report
from maquette.fitting.target import load_target
from maquette.fitting.trials import Curve, Reading, Trial, traced
from maquette.fitting.views import Fibonacci, Preset
from maquette.io.atomic import write_json, write_text
from maquette.losses import chamfer
from maquette.shapes import Mesh, sample, transform

HELD_OUT = 30_000
"""Points of the target, and of the mesh, that the chamfer distance of a curve is measured by."""
HELD_OUT_SEED = 1_000_003
"""Of the points that no run sees."""


@dataclass(frozen=True)
class InSpace:
    """The losses of `fit mesh`; judged by the chamfer distance to points that no run has seen."""

    weights: MeshWeights = MeshWeights()
    samples: int = 5000
    """Points drawn from the target, and from the mesh, in every step."""


@dataclass(frozen=True)
class InViews:
    """The losses of `fit silhouettes`, from rendered views; judged by intersection over union in views unseen."""

    weights: SilhouetteWeights = SilhouetteWeights()
    cameras: Preset = Fibonacci()
    size: int = 128
    """Pixels of a side."""
    batch: int = 2
    """Views in each step."""


@dataclass(frozen=True)
class FitSweep:
    """Compare optimisers and learning rates: SGD with momentum, Adam, large steps."""

    targets: tyro.conf.Positional[tuple[Path, ...]]
    """Shapes with a surface: .glb .gltf .obj .ply .stl .off"""
    out: Path
    """Folder of the tables, the plot and the curves."""
    losses: InSpace | InViews = InSpace()
    """What is minimised, and judged by."""
    sgd: tuple[float, ...] = (0.01, 0.1, 1.0, 10.0)
    """Learning rates of SGD; none leave it out, as for the others."""
    adam: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    large_steps: tuple[float, ...] = (1e-2, 3e-2, 1e-1, 3e-1)
    momentum: float = 0.9
    """Of SGD."""
    smoothness: float = 19.0
    """Of large steps."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rates; a cosine falls from the peak to 0."""
    starts: int = 3
    """Random starts of each setting: other samples or views, and another noise on the sphere."""
    noise: float = 0.005
    """Deviation of the sphere's vertices, where the target spans [-1, 1]."""
    level: int = 4
    """Of the ico-sphere, the same throughout: 20 * 4^level faces."""
    steps: int = 600
    threshold: float | None = None
    """What the time is measured to: a chamfer distance, 0.001 if not given, or an intersection over union, 0.95."""
    workers: int = 1
    """Processes that take runs side by side, each with one thread; times are truest with 1."""
    resume: bool = False
    """Take the runs that `out` does not hold yet; settings, starts and targets may have been added."""
    force: bool = False
    """Write over an existing folder."""

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("fit sweep: no target; give at least one")
        names = [target_name(target) for target in self.targets]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"fit sweep: two targets are called {name}; give them other file names")
        for name in ("starts", "steps", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"fit sweep: {name} is {getattr(self, name)}; give at least 1")
        if not 0 <= self.level <= 7:
            raise ValueError(f"fit sweep: level is {self.level}; give 0 to 7")
        if not (self.noise >= 0 and math.isfinite(self.noise)):
            raise ValueError(f"fit sweep: noise is {self.noise}; give 0 or more")
        settings = settings_to_compare(self)
        if not settings:
            raise ValueError("fit sweep: nothing to compare; give learning rates to --sgd, --adam or --large-steps")
        for setting in settings:
            checked(setting, "fit sweep")
            if settings.count(setting) > 1:
                raise ValueError(f"fit sweep: {setting} is given twice; give each learning rate once")

    @property
    def judged(self) -> Judged:
        """What decides here."""
        if isinstance(self.losses, InSpace):
            return Judged("chamfer", "lower", 1e-3 if self.threshold is None else self.threshold)
        return Judged("unseen_iou", "higher", 0.95 if self.threshold is None else self.threshold)


@dataclass(frozen=True)
class Run:
    """One fit of the sweep."""

    target: Path
    optimizer: Optimizer
    seed: int

    @property
    def name(self) -> str:
        """Of its files."""
        return f"{target_name(self.target)}-{optimizer_name(self.optimizer)}-{self.optimizer.lr:g}-{self.seed}"


def target_name(target: Path) -> str:
    return target.stem


def optimizer_name(optimizer: Optimizer) -> str:
    return {Sgd: "sgd", Adam: "adam", LargeSteps: "large-steps"}[type(optimizer)]


def settings_to_compare(config: FitSweep) -> list[Optimizer]:
    return [
        *(Sgd(lr, config.momentum) for lr in config.sgd),
        *(Adam(lr) for lr in config.adam),
        *(LargeSteps(lr, config.smoothness) for lr in config.large_steps),
    ]


def runs_of(config: FitSweep) -> list[Run]:
    """All runs; every setting of a target is tried from the first start before any is from the second."""
    return [
        Run(target, setting, seed)
        for target in config.targets
        for seed in range(config.starts)
        for setting in settings_to_compare(config)
    ]


def fit_sweep(config: FitSweep) -> None:
    begin(config)
    runs = runs_of(config)
    taken = {run: trial for run in runs if (trial := finished(config, run)) is not None}
    todo = [run for run in runs if run not in taken]
    lost = 0
    with bar() as progress:
        task = progress.add_task("runs", total=len(runs), completed=len(taken), note="")
        for run, result in _results(config, todo):
            if isinstance(result, Lost):
                lost += 1
                print(f"maquette: warning: {run.name}: {result.reason}", file=sys.stderr)
            else:
                keep(config, run, result)
                taken[run] = result
            progress.update(task, advance=1, note=run.name)
    if not taken:
        raise ValueError("fit sweep: no run was finished; the reasons stand above")
    print(write_report(config.out, [taken[run] for run in runs if run in taken], config.judged))
    if lost:
        print(f"{lost} of {len(runs)} runs were lost; --resume takes them again")


def _results(config: FitSweep, runs: Sequence[Run]) -> Iterator[tuple[Run, Trial | Lost]]:
    if config.workers == 1:
        return ((run, taken_run(config, run)) for run in runs)
    return run_jobs(partial(taken_run, config), runs, workers=config.workers, limit_s=math.inf)


# The folder ----------------------------------------------------------------------------------------------------------


def begin(config: FitSweep) -> None:
    """Claim the folder: a new one, one begun alike with `resume`, or any with `force`."""
    shared = _shared(config)
    path = config.out / "config.json"
    if config.resume:
        if not path.is_file():
            raise FileNotFoundError(f"{config.out}: no sweep to resume; leave --resume out to begin one")
        saved = json.loads(path.read_text())
        for name, value in shared.items():
            if saved.get(name) != value:
                raise ValueError(
                    f"fit sweep: {config.out} was begun with {name} {saved.get(name)!r}, not {value!r}; "
                    "runs of both cannot be compared; give it as it was, or another --out"
                )
        return
    if config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())) and not config.force:
        raise FileExistsError(f"{config.out}: exists; give another --out, --resume to go on with it, or --force")
    for left in (config.out / "runs").glob("*.json*"):
        left.unlink()
    write_json(path, shared)


def _shared(config: FitSweep) -> dict:
    """What all runs of a folder have in common, in JSON's types."""
    varied = ("targets", "sgd", "adam", "large_steps", "starts", "threshold", "workers")
    settings = {name: value for name, value in settings_of(config).items() if name not in varied}
    settings["judged"] = config.judged.score
    return json.loads(json.dumps(settings, default=str))


def keep(config: FitSweep, run: Run, trial: Trial) -> None:
    """Write the curve, then what came of it; a run without the latter is not finished."""
    folder = config.out / "runs"
    lines = [json.dumps(asdict(reading)) + "\n" for reading in trial.curve.readings]
    write_text(folder / f"{run.name}.jsonl", "".join(lines))
    told = {"target": str(run.target), "optimizer": asdict(run.optimizer), "seed": run.seed}
    write_json(folder / f"{run.name}.json", told | {"ended": trial.curve.ended, "scores": trial.scores})


def finished(config: FitSweep, run: Run) -> Trial | None:
    """The trial that `keep` wrote for this run, if it has."""
    path = config.out / "runs" / f"{run.name}.json"
    if not path.is_file():
        return None
    told = json.loads(path.read_text())
    if told["target"] != str(run.target):
        raise ValueError(f"{path}: is of {told['target']}, not of {run.target}; give another --out")
    lines = path.with_suffix(".jsonl").read_text().splitlines()
    curve = Curve([Reading(**json.loads(line)) for line in lines], told["ended"])
    return _trial(run, curve, told["scores"])


def _trial(run: Run, curve: Curve, scores: dict[str, float]) -> Trial:
    optimizer = run.optimizer
    return Trial(target_name(run.target), optimizer_name(optimizer), optimizer.lr, run.seed, curve, scores)


# One run -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """What one run minimises, and what it is judged by."""

    moulding: Moulding
    objective: Objective
    quality: Callable[[], float]
    scores: Callable[[], dict[str, float]]


def taken_run(config: FitSweep, run: Run) -> Trial:
    """Fit, and measure."""
    problem = (space_problem if isinstance(config.losses, InSpace) else views_problem)(config, run)

    def objective(index: int) -> dict[str, Float[Tensor, ""]]:
        terms = problem.objective(index)
        problem.moulding.anneal(index / config.steps if config.schedule == "cosine" else 0.0)
        return terms

    def quality() -> float:
        return math.nan if has_left(problem.moulding.mesh()) else problem.quality()

    curve = traced(objective, problem.moulding.optimizer, config.steps, quality=quality)
    return _trial(run, curve, {} if curve.ended else problem.scores())


def _shaken(moulding: Moulding, config: FitSweep, run: Run) -> Moulding:
    """With the noise of this start on its vertices."""
    vertices = moulding.mesh().vertices
    vertices += config.noise * torch.randn(vertices.shape, generator=generator_at(run.seed, -2)).to(vertices)
    with torch.no_grad():
        parameter = vertices if moulding.smoother is None else roughened(moulding.smoother, vertices)
        moulding.parameter.copy_(parameter)
    return moulding


def space_problem(config: FitSweep, run: Run) -> Problem:
    losses = config.losses
    assert isinstance(losses, InSpace)
    target = load_target(run.target, "fit sweep")
    unit = unit_from_target(target)
    wanted = transform(target, unit)
    goal = goal_of(wanted, losses.weights, seed=run.seed)
    unseen = sample(wanted, HELD_OUT, generator=generator_at(HELD_OUT_SEED, -1)).points
    moulding = _shaken(begun(goal.points, Fixed(config.level), run.optimizer), config, run)

    def objective(index: int) -> dict[str, Float[Tensor, ""]]:
        draws = generator_at(run.seed, index)
        return mesh_terms(moulding, goal, losses.weights, samples=losses.samples, generator=draws)

    @torch.no_grad()
    def quality() -> float:
        ours = sample(moulding.mesh(), HELD_OUT, generator=generator_at(HELD_OUT_SEED, -2)).points
        return float(chamfer(ours, unseen))

    return Problem(
        moulding, objective, quality, lambda: measure(transform(moulding.mesh(), unit.inverse()), target, unit)
    )


def views_problem(config: FitSweep, run: Run) -> Problem:
    losses = config.losses
    assert isinstance(losses, InViews)
    setting = run.optimizer
    if isinstance(setting, LargeSteps):  # there with defaults of their own
        setting = silhouettes.LargeSteps(lr=setting.lr, smoothness=setting.smoothness)
    settings = FitSilhouettes(
        config.out,
        render=run.target,
        cameras=losses.cameras,
        weights=losses.weights,
        size=losses.size,
        batch=losses.batch,
        optimizer=setting,
        growth=Fixed(config.level),
        steps=config.steps,
        seed=run.seed,
    )
    seen, unseen, target = views_of(settings)
    assert unseen is not None and isinstance(target, Mesh)  # as they are rendered
    task = SilhouetteFit(seen, settings)
    others = in_frame(unseen, task.unit)

    def scores() -> dict[str, float]:
        result = transform(task.mesh(), task.unit.inverse())
        found = scores_of(task.mesh(), task.views(), others) | measure(result, target, unit_from_target(target))
        return {name: float(value) for name, value in found.items()}

    moulding = _shaken(task.moulding, config, run)
    return Problem(moulding, task.objective, lambda: float(view_ious(task.mesh(), others).mean()), scores)
