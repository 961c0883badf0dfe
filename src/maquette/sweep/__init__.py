"""`maquette sweep`: one training for each point of a grid of settings, all measured alike, as tables and curves.

Read `sweep` from top to bottom. A run is a folder of `maquette train` with an evaluation of `maquette evaluate` in it.
"""

import contextlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import torch
import tyro

from maquette.console import bar
from maquette.data.cluster import run_on_cluster
from maquette.data.workers import Lost, run_jobs
from maquette.evaluate import EvaluateConfig, ProtocolName, evaluate_run
from maquette.io.atomic import write_json
from maquette.settings import to_json
from maquette.sweep.grid import grid, name_of
from maquette.sweep.report import Measured, write_report
from maquette.train import TrainConfig, check_resumed, make_packs, train

MEASURED = "measured.json"
"""In a run's folder once it is trained and evaluated: of how many steps, and how measured."""


@dataclass(frozen=True)
class SweepConfig(TrainConfig):
    """Train one network for each combination of some settings, measure all alike, and compare them.

    `out` is the folder of the sweep; all other settings of a training hold for those that are not varied.
    """

    vary: tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]] = ()
    """A setting by its dotted name and the values it takes, as `--vary model.head.smooth 0.01 0.1 1`; may be repeated.
    Another option must stand between the last value and `model:mesh`."""
    split: Literal["train", "val", "test", "all"] = "test"
    """What the networks are measured on."""
    protocol: ProtocolName = "maquette"
    """How, as `maquette evaluate` names protocols: all runs at equal evaluation points."""
    points: int | None = None
    """Points on each surface where the protocol leaves them open."""
    limit: int | None = None
    """Measure only so many objects, evenly spread over the split."""
    at_once: int = 1
    """Runs side by side; they share the cores."""
    cluster: str | None = None
    """Take the runs on a Ray cluster: 'auto' for the one of this machine, 'local', or an address."""
    cpus: float = 1.0
    """Cores that a run takes of the cluster."""
    gpus: float = 0.0
    """GPUs that a run takes of the cluster."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.vary:
            raise ValueError("sweep: nothing is varied; give --vary and a setting, as --vary lr 1e-3 1e-4")
        if self.at_once < 1:
            raise ValueError(f"sweep: at_once is {self.at_once}; give at least 1")
        for plan in plans_of(self):
            if plan.training.data != self.data:
                raise ValueError("sweep: data is varied; a sweep compares networks on one data set")


@dataclass(frozen=True)
class Plan:
    """One run of a sweep."""

    name: str
    values: dict[str, object]
    """What is varied."""
    training: TrainConfig
    measuring: EvaluateConfig
    threads: int

    @property
    def folder(self) -> Path:
        return self.training.out

    def promise(self) -> dict:
        """What `measured.json` says when the run is done."""
        return {"steps": self.training.steps, "measuring": to_json(self.measuring)}


def sweep(config: SweepConfig) -> None:
    """Take the runs that `out` does not hold yet, and write table.md, table.csv and fscore.png of all."""
    plans = plans_of(config)
    begin(config, plans)
    todo = [plan for plan in plans if not finished(plan)]
    # Before they need them, so that no two runs make the same pack.
    for training in {plan.training.model.encoder.picture_size: plan.training for plan in todo}.values():
        make_packs(training)
    lost: dict[str, str] = {}
    with bar() as progress:
        task = progress.add_task("runs", total=len(plans), completed=len(plans) - len(todo), note="")
        for plan, result in results(config, todo):
            if isinstance(result, Lost):
                lost[plan.name] = result.reason
                progress.console.print(f"{plan.name}: failed: {result.reason}", markup=False, soft_wrap=True)
            progress.update(task, advance=1, note=plan.name)
    done = [measured(plan) for plan in plans if finished(plan)]
    if not done:
        raise ValueError(f"sweep: all {len(plans)} runs failed; the reasons stand above and in {config.out / 'logs'}")
    print(write_report(config.out, done, lost))
    if lost:
        print(f"{len(lost)} of {len(plans)} runs failed; --resume takes them again")


def plans_of(config: SweepConfig) -> list[Plan]:
    """All runs, in the order of the grid."""
    training = TrainConfig(**{field.name: getattr(config, field.name) for field in fields(TrainConfig)})
    threads = max(1, (os.cpu_count() or 1) // config.at_once) if config.cluster is None else max(1, int(config.cpus))
    plans = []
    for values, changed in grid(training, config.vary):
        name = name_of(values)
        run = replace(changed, out=config.out / "runs" / name, workers=1)
        measuring = EvaluateConfig(
            run.out, config.data, config.split, protocol=config.protocol, points=config.points,
            train_data=config.data, limit=config.limit, out=run.out / "evaluation", device=run.device,
            allow_missing=config.allow_missing,
        )  # fmt: skip
        plans.append(Plan(name, values, run, measuring, threads))
    return plans


def begin(config: SweepConfig, plans: Sequence[Plan]) -> None:
    """Claim a new folder, or one with runs that were begun alike."""
    if config.resume:
        if not (config.out / "config.json").is_file():
            raise FileNotFoundError(f"{config.out}: no sweep to resume; leave --resume out to begin one")
        for plan in plans:
            if (plan.folder / "config.json").is_file():
                check_resumed(plan.training)
    elif config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
        raise FileExistsError(f"{config.out}: exists; give --resume to go on with it, or another folder")
    write_json(config.out / "config.json", to_json(config))


def results(config: SweepConfig, plans: Sequence[Plan]) -> Iterator[tuple[Plan, Lost | None]]:
    if config.cluster is not None:
        return run_on_cluster(taken, plans, address=config.cluster, cpus=config.cpus, gpus=config.gpus)
    return run_jobs(taken, plans, workers=config.at_once, limit_s=math.inf)


def taken(plan: Plan) -> Lost | None:
    """Train, go on with what was begun, and measure; what it says goes to its file in `logs`."""
    torch.set_num_threads(plan.threads)
    training = replace(plan.training, resume=(plan.folder / "config.json").is_file())
    log = plan.folder.parent.parent / "logs" / f"{plan.name}.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            train(training)
            evaluate_run(plan.measuring)
            write_json(plan.folder / MEASURED, plan.promise())
        except (ValueError, OSError, FloatingPointError, MemoryError) as error:
            return Lost(" ".join(str(error).split()) or type(error).__name__)
    return None


def finished(plan: Plan) -> bool:
    path = plan.folder / MEASURED
    return path.is_file() and json.loads(path.read_text()) == plan.promise()


def measured(plan: Plan) -> Measured:
    scores = json.loads((plan.folder / "evaluation" / "scores.json").read_text())
    return Measured(plan.name, plan.values, scores)
