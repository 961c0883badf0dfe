"""Evaluated runs, read from their folders to be compared, and whether they may be."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from maquette.data.dataset import read_json
from maquette.evaluate.evaluation import label
from maquette.metrics import PROTOCOLS, Protocol
from maquette.models.runs import BUNDLED

TEXTS = ("id", "category", "view", "method", "answer", "failure")
"""Columns of scores.csv that are no scores."""


@dataclass(frozen=True)
class Line:
    """One method's scores of one object, as scores.csv has them."""

    id: str
    category: str
    view: str
    method: str
    values: dict[str, float]
    failure: str


@dataclass(frozen=True)
class Measured:
    """One run's evaluation."""

    name: str
    """Short, and unlike the others'."""
    run: Path
    folder: Path
    """Of the evaluation."""
    scores: dict
    """scores.json."""
    lines: tuple[Line, ...]
    settings: dict
    """config.json of the run; empty where there is none."""

    @property
    def network(self) -> list[str]:
        return [name for name, method in self.scores["methods"].items() if method["kind"] == "network"]

    @property
    def protocol(self) -> Protocol:
        said = self.scores["protocol"]
        return replace(PROTOCOLS[said["name"]], points=said["points"])

    def objects(self) -> dict[str, str]:
        """View by id, of every object that was measured."""
        return {line.id: line.view for line in self.lines}

    def values(self, method: str, score: str) -> dict[str, float]:
        """By id."""
        return {line.id: line.values[score] for line in self.lines if line.method == method and score in line.values}

    def title(self, method: str) -> str:
        """The run's name, with the representation where it has several."""
        return self.name if len(self.network) == 1 else f"{self.name}, {label(method)}"

    def command(self) -> str:
        """What made this evaluation, but for the run."""
        data, said = self.scores["data"], self.scores["protocol"]
        parts = [f"--data {data['path']}", f"--split {data['split']}"]
        if said["name"] != "maquette":
            parts.append(f"--protocol {said['name']}")
        if said["points"] != PROTOCOLS[said["name"]].points:
            parts.append(f"--points {said['points']}")
        if data["labelled_only"]:
            parts.append("--labelled")
        left_out = len(data.get("left_out", ()))  # older evaluations do not tell
        if left_out:
            parts.append("--allow-missing")
        if data["evaluated"] != data["requested"] - left_out:
            parts.append(f"--limit {data['evaluated']}")
        return " ".join(parts)


def short_names(runs: Sequence[Path]) -> list[str]:
    """The folders' names, with as many of their parents' as tell them apart."""
    parts = [run.resolve().parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [str(run) for run in runs]


def read_run(run: Path, folder: Path, name: str) -> Measured:
    scores = read_json(folder / "scores.json")
    try:
        with open(folder / "scores.csv", newline="", encoding="utf-8") as file:
            lines = tuple(_line(row) for row in csv.DictReader(file))
        found = Measured(
            name, run, folder, scores, lines, read_json(run / "config.json") if (run / "config.json").is_file() else {}
        )
        _ = found.command(), found.network, found.protocol, scores["run"], scores["runtime"]
    except (KeyError, TypeError, ValueError) as error:
        raise OSError(
            f"{folder}: not an evaluation by this version ({type(error).__name__}: {error}); run "
            f"`maquette evaluate {run}` again"
        ) from error
    return found


def _line(row: dict[str, str]) -> Line:
    values = {name: float(value) for name, value in row.items() if name not in TEXTS and value}
    return Line(row["id"], row["category"], row["view"], row["method"], values, row["failure"])


def is_bundled(run: Path) -> bool:
    return run.resolve() == BUNDLED.resolve()


def again(measured: Measured, like: Measured | None = None) -> str:
    """The command that would make the evaluation once more, or as `like` was made."""
    run = "" if is_bundled(measured.run) else f" {measured.run}"
    own = measured.folder.parent == measured.run and measured.folder.name.startswith("evaluation")
    return f"maquette evaluate{run} {(like or measured).command()}" + ("" if own else f" --out {measured.folder}")


def check_comparable(measured: Sequence[Measured]) -> None:
    """One protocol with one number of points, on the same objects seen in the same views; else an error says why."""
    first = measured[0]
    for other in measured[1:]:
        advice = f"evaluate both alike: `{again(other, first)}`"
        mine, theirs = ((m.scores["protocol"]["name"], m.scores["protocol"]["points"]) for m in (first, other))
        if mine != theirs:
            raise ValueError(
                f"compare: {first.folder} was measured by protocol {mine[0]} with {mine[1]:,} points, "
                f"{other.folder} by {theirs[0]} with {theirs[1]:,}; {advice}"
            )
        frames = [m.scores["run"].get("frame", "object") for m in (first, other)]
        if frames[0] != frames[1] and not first.protocol.needs_unit_diagonal:
            raise ValueError(
                f"compare: {first.run} predicts in the frame of the {frames[0]}, {other.run} in that of the "
                f"{frames[1]}, and the unit of protocol {mine[0]} follows from the box, which turns; choose "
                "evaluations by a protocol as the default one"
            )
        ours, others = first.objects(), other.objects()
        if ours != others:
            alike = sum(others.get(id) == view for id, view in ours.items())
            raise ValueError(
                f"compare: {first.folder} was measured on {len(ours)} objects of {first.scores['data']['path']}, "
                f"{other.folder} on {len(others)} of {other.scores['data']['path']}, only {alike} of them the same in "
                f"the same view; {advice}"
            )


# ----------------------------------------------------------------------------------------------------- training curves


@dataclass(frozen=True)
class Training:
    """What metrics.jsonl tells, by the name of a loss: steps and values."""

    losses: dict[str, tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]]
    """Smoothed: means over a hundredth of the steps."""
    validation: dict[str, tuple[Float[np.ndarray, " V"], Float[np.ndarray, " V"]]]


ASIDE = ("step", "lr", "images_per_s", "loss")
POINTS = 100
"""Of a smoothed curve."""


def read_training(run: Path) -> Training | None:
    """None where the run keeps no metrics."""
    path = run / "metrics.jsonl"
    if not path.is_file():
        return None
    losses: dict[str, list[tuple[float, float]]] = {}
    held: dict[str, list[tuple[float, float]]] = {}
    for text in path.read_text("utf-8").splitlines():
        try:
            line = json.loads(text)
            step = float(line["step"])
        except (ValueError, KeyError, TypeError):
            continue  # a line cut short by a kill
        _collect(losses, step, {name: value for name, value in line.items() if name not in ASIDE})
        if isinstance(line.get("validation"), dict):
            _collect(held, step, line["validation"])
    return Training(
        {name: _smoothed(pairs) for name, pairs in losses.items()}, {k: _arrays(v) for k, v in held.items()}
    )


def _collect(curves: dict[str, list[tuple[float, float]]], step: float, values: dict) -> None:
    for name, value in values.items():
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            curves.setdefault(name, []).append((step, float(value)))


def _arrays(pairs: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(pairs)
    return array[:, 0], array[:, 1]


def _smoothed(pairs: Sequence[tuple[float, float]]) -> tuple[np.ndarray, np.ndarray]:
    steps, values = _arrays(pairs)
    pieces = np.array_split(np.arange(len(steps)), min(POINTS, len(steps)))
    return np.array([steps[p].mean() for p in pieces]), np.array([values[p].mean() for p in pieces])
