"""Runs of optimisers measured side by side: the curve of one, and what the curves of several random starts say.

Quality is what a run is judged by (chamfer, intersection over union), measured on what the run never sees.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

import torch

from maquette.fitting.loop import Objective, Step, fit

READINGS = 30
"""Readings of a run; more of them early, when more happens."""
GREW = 1e4
"""A run whose loss has grown so many times since its start is not coming back."""

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Reading:
    """Where a run stood after `step` steps, and what the step it took from there did; that is None after the last."""

    step: int
    seconds: float
    """Of a clock on the wall, spent on those steps; measuring is not counted."""
    cpu_seconds: float
    """Of processors, likewise: comparable even where the machine has other things to do."""
    quality: float
    loss: float | None = None
    gradient: float | None = None
    """Mean length of the gradient of the loss by one vertex: by one row of what the optimiser moves."""
    moved: float | None = None
    """Mean way of one vertex in that step."""


@dataclass(frozen=True)
class Curve:
    """The readings of a run, and why it ended before its time; "" if it did not."""

    readings: list[Reading]
    ended: str = ""


def reading_steps(total: int) -> set[int]:
    """0, `total`, and between them evenly in the square root of time."""
    return {round(total * (i / READINGS) ** 2) for i in range(READINGS + 1)}


def traced(
    objective: Objective, optimizer: torch.optim.Optimizer, steps: int, *, quality: Callable[[], float]
) -> Curve:
    """Take the steps, and read the quality on the way. The optimiser has one parameter, of one row a vertex.

    A run ends early where a term is not finite, where the loss is 10,000 times what it was at first, or where the
    quality is not a number. One call of the objective goes before the clock starts, because first calls compile.
    """
    (parameter,) = (parameter for group in optimizer.param_groups for parameter in group["params"])
    torch.stack(list(objective(0).values())).sum().backward()
    at, readings, first, spent = reading_steps(steps), [], math.inf, (0.0, 0.0)
    waiting: tuple[Reading, torch.Tensor] | None = (Reading(0, *spent, quality()), parameter.detach().clone())
    start = _clocks()
    try:
        for step in fit(objective, optimizer, steps):
            now = _clocks()
            spent = (spent[0] + now[0] - start[0], spent[1] + now[1] - start[1])
            first = step.loss if step.index == 0 else first
            if waiting is not None:
                readings.append(_after(*waiting, step, parameter))
                waiting = None
            if step.loss > GREW * first:
                return Curve(readings, f"the loss grew from {first:.3g} to {step.loss:.3g} in {step.index} steps")
            done = step.index + 1
            if done in at:
                waiting = (Reading(done, *spent, quality()), parameter.detach().clone())
                if not math.isfinite(waiting[0].quality):
                    return Curve(readings, f"nothing is left to measure after {done} steps")
            start = _clocks()
    except FloatingPointError as error:
        return Curve(readings, str(error))
    return Curve(readings if waiting is None else [*readings, waiting[0]])


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _after(reading: Reading, before: torch.Tensor, step: Step, parameter: torch.Tensor) -> Reading:
    """The reading, with what the step did that was taken from there."""
    assert parameter.grad is not None
    gradient, moved = parameter.grad.norm(dim=-1).mean(), (parameter.detach() - before).norm(dim=-1).mean()
    return replace(reading, loss=step.loss, gradient=float(gradient), moved=float(moved))


def reached(readings: Sequence[Reading], threshold: float, better: Better) -> Reading | None:
    """The first reading whose quality is the threshold or better."""
    return next(
        (r for r in readings if (r.quality <= threshold if better == "lower" else r.quality >= threshold)), None
    )


@dataclass(frozen=True)
class Trial:
    """A run that was taken: of which setting, from which start, and what came of it."""

    target: str
    optimizer: str
    lr: float
    seed: int
    curve: Curve
    scores: dict[str, float]
    """Final scores; empty where the run ended early."""


@dataclass(frozen=True)
class Row:
    """What the random starts of one setting say together."""

    target: str
    optimizer: str
    lr: float
    runs: int
    ended: int
    """Runs that ended early; they count as the worst."""
    quality: float
    """Median of the final quality; infinitely bad unless more than half of the runs went to their end."""
    best: float
    worst: float
    reached: int
    """Runs that reached the threshold."""
    steps: float | None
    """Median of the steps to the threshold; None unless more than half of the runs reached it."""
    cpu_seconds: float | None
    """Median of the seconds of processors to the threshold, likewise."""
    step_cpu_seconds: float
    """Median of the mean of a step."""


def rows_of(trials: Sequence[Trial], *, score: str, better: Better, threshold: float) -> list[Row]:
    """One row a setting, in the order in which settings first come; `score` names the final score that counts."""
    settings: dict[tuple[str, str, float], list[Trial]] = {}
    for trial in trials:
        settings.setdefault((trial.target, trial.optimizer, trial.lr), []).append(trial)
    lost = math.inf if better == "lower" else -math.inf
    rows = []
    for (target, optimizer, lr), group in settings.items():
        finals = sorted((t.scores.get(score, lost) for t in group), reverse=better == "higher")
        first = [reached(t.curve.readings, threshold, better) for t in group]
        steps = [math.inf if r is None else float(r.step) for r in first]
        seconds = [math.inf if r is None else r.cpu_seconds for r in first]
        rate = [t.curve.readings[-1] for t in group if t.curve.readings]
        rows.append(
            Row(
                target,
                optimizer,
                lr,
                runs=len(group),
                ended=sum(bool(t.curve.ended) for t in group),
                quality=_middle(finals),
                best=finals[0],
                worst=finals[-1],
                reached=sum(r is not None for r in first),
                steps=_finite(_middle(steps)),
                cpu_seconds=_finite(_middle(seconds)),
                step_cpu_seconds=median([r.cpu_seconds / max(r.step, 1) for r in rate] or [0.0]),
            )
        )
    return rows


def _middle(values: Sequence[float]) -> float:
    """The median; infinite where one of the two in the middle is."""
    values = sorted(values)
    low, high = values[(len(values) - 1) // 2], values[len(values) // 2]
    return (low + high) / 2


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def best_rows(rows: Sequence[Row], better: Better) -> list[Row]:
    """Of each target and optimiser the learning rate of the best median."""
    chosen: dict[tuple[str, str], Row] = {}
    for row in rows:
        held = chosen.get((row.target, row.optimizer))
        if held is None or (row.quality < held.quality if better == "lower" else row.quality > held.quality):
            chosen[row.target, row.optimizer] = row
    return list(chosen.values())
