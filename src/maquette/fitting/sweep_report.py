"""What a sweep tells: a table of settings (Markdown, CSV, JSON), a table of runs, and a plot."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from maquette.fitting.trials import Better, Row, Trial, best_rows, rows_of
from maquette.io.atomic import atomic_path, write_json, write_text
from maquette.io.tables import csv_text, markdown_table

COLORS = {"sgd": "#c1432e", "adam": "#2d6da3", "large-steps": "#3d8b4f"}
TITLES = {"sgd": "SGD, momentum", "adam": "Adam", "large-steps": "large steps"}
LABELS = {"chamfer": "chamfer", "unseen_iou": "IoU of unseen views"}


@dataclass(frozen=True)
class Judged:
    """What decides a sweep: a final score, its better side, and the value that time is measured to."""

    score: str
    better: Better
    threshold: float

    @property
    def label(self) -> str:
        return LABELS[self.score]


def write_report(out: Path, trials: Sequence[Trial], judged: Judged) -> str:
    """Write table.md, table.csv, table.json, runs.csv and sweep.png; returns the best settings in a few lines."""
    rows = rows_of(trials, score=judged.score, better=judged.better, threshold=judged.threshold)
    write_text(out / "table.md", markdown(rows, judged))
    write_text(out / "table.csv", csv_text([asdict(row) for row in rows]))
    write_json(out / "table.json", {"judged": asdict(judged), "rows": [_finite(asdict(row)) for row in rows]})
    write_text(out / "runs.csv", csv_text([_run_line(trial) for trial in trials]))
    plot(trials, rows, judged, out / "sweep.png")
    lines = [_told(row, judged) for row in best_rows(rows, judged.better)]
    return "\n".join([*lines, f"{out}: table.md, sweep.png, runs.csv"])


def markdown(rows: Sequence[Row], judged: Judged) -> str:
    """The table of settings; the best learning rate of each optimiser in bold."""
    best = best_rows(rows, judged.better)
    goal = f"{'≤' if judged.better == 'lower' else '≥'} {judged.threshold:g}"
    names = (
        *("target", "optimiser", "learning rate", judged.label, "best – worst start"),
        *(f"steps to {goal}", "CPU seconds to it", "CPU ms a step"),
    )
    lines = []
    for row in rows:
        mark = "**" if row in best and math.isfinite(row.quality) else ""
        ended = f", {row.ended} of {row.runs} diverged" if row.ended else ""
        partly = f" ({row.reached} of {row.runs})" if 0 < row.reached < row.runs else ""
        cells = (
            row.target,
            TITLES[row.optimizer],
            f"{mark}{row.lr:g}{mark}",
            f"{mark}{_number(row.quality)}{mark}",
            f"{_number(row.best)} – {_number(row.worst)}{ended}",
            "never" if row.steps is None else f"{row.steps:g}{partly}",
            "" if row.cpu_seconds is None else f"{row.cpu_seconds:.1f}",
            f"{1000 * row.step_cpu_seconds:.1f}",
        )
        lines.append(cells)
    return markdown_table(names, lines)


def _finite(line: dict) -> dict:
    """JSON has no infinity."""
    gone = {name for name, value in line.items() if isinstance(value, float) and not math.isfinite(value)}
    return {name: None if name in gone else value for name, value in line.items()}


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "diverged"


def _told(row: Row, judged: Judged) -> str:
    when = "never" if row.steps is None else f"after {row.steps:g} steps"
    return (
        f"{row.target}: {TITLES[row.optimizer]}, best at {row.lr:g}: {judged.label} {_number(row.quality)}; "
        f"{judged.threshold:g} {when}"
    )


def _run_line(trial: Trial) -> dict:
    last = trial.curve.readings[-1] if trial.curve.readings else None
    line = {"target": trial.target, "optimizer": trial.optimizer, "lr": trial.lr, "seed": trial.seed}
    line |= {"steps": last.step if last else 0, "seconds": round(last.seconds, 3) if last else 0.0}
    line |= {"cpu_seconds": round(last.cpu_seconds, 3) if last else 0.0}
    return line | {"ended": trial.curve.ended} | trial.scores


def plot(trials: Sequence[Trial], rows: Sequence[Row], judged: Judged, out: Path) -> None:
    """One line of panels a target: final quality and steps to the threshold over the learning rate, and the curves."""
    from matplotlib.figure import Figure

    targets = list(dict.fromkeys(row.target for row in rows))
    figure = Figure(figsize=(13.5, 3.9 * len(targets)), layout="constrained")
    panels = figure.subplots(len(targets), 3, squeeze=False)
    for (final, steps, curves), target in zip(panels, targets, strict=True):
        ours = [row for row in rows if row.target == target]
        _plot_final(final, ours, judged)
        _plot_steps(steps, ours, judged)
        _plot_curves(
            curves, [trial for trial in trials if trial.target == target], best_rows(ours, judged.better), judged
        )
        itself = [t.scores["target_chamfer"] for t in trials if t.target == target and "target_chamfer" in t.scores]
        if judged.score == "chamfer" and itself:
            final.axhline(min(itself), color="0.5", linestyle=":", label="target with itself")
        final.set_title(f"{target}: after equal steps", fontsize=10)
        final.legend(fontsize=8)
    with atomic_path(out) as path:
        figure.savefig(path, dpi=100)


def _shown(value: float, judged: Judged) -> float:
    """On a logarithmic axis both kinds of quality fall: IoU is drawn as its distance from 1."""
    return value if judged.better == "lower" else 1 - value


def _axis_label(judged: Judged) -> str:
    return judged.label if judged.better == "lower" else f"1 − {judged.label}"


def _by_optimizer(rows: Sequence[Row]) -> dict[str, list[Row]]:
    names = dict.fromkeys(row.optimizer for row in rows)
    return {name: sorted((r for r in rows if r.optimizer == name), key=lambda r: r.lr) for name in names}


def _plot_final(axes, rows: Sequence[Row], judged: Judged) -> None:
    """Median, and the range of the starts. Settings that diverged are crosses at the upper edge."""
    for name, ours in _by_optimizer(rows).items():
        held = [row for row in ours if math.isfinite(row.quality)]
        values = [_shown(row.quality, judged) for row in held]
        axes.plot([row.lr for row in held], values, "o-", color=COLORS[name], label=TITLES[name], markersize=4)
        for row, value in zip(held, values, strict=True):
            ends = sorted(_shown(end, judged) if math.isfinite(end) else value for end in (row.best, row.worst))
            axes.plot([row.lr, row.lr], ends, color=COLORS[name], linewidth=5, alpha=0.25, solid_capstyle="butt")
        gone = [row.lr for row in ours if not math.isfinite(row.quality)]
        axes.plot(gone, [0.97] * len(gone), "x", color=COLORS[name], transform=axes.get_xaxis_transform())
    axes.axhline(_shown(judged.threshold, judged), color="0.8", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel=_axis_label(judged))
    if not any(math.isfinite(row.quality) for row in rows):
        axes.set_ylim(_shown(judged.threshold, judged) / 10, _shown(judged.threshold, judged) * 10)
    axes.grid(alpha=0.25)


def _plot_steps(axes, rows: Sequence[Row], judged: Judged) -> None:
    for name, ours in _by_optimizer(rows).items():
        held = [(row.lr, max(row.steps, 1)) for row in ours if row.steps is not None]
        axes.plot(*zip(*held, strict=True) if held else ([], []), "o-", color=COLORS[name], markersize=4)
        never = [row.lr for row in ours if row.steps is None]
        axes.plot(never, [0.97] * len(never), "x", color=COLORS[name], transform=axes.get_xaxis_transform())
    near = "≤" if judged.better == "lower" else "≥"
    counts = [max(row.steps, 1) for row in rows if row.steps is not None] or [1, 100]
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="steps")
    axes.set_ylim(min(counts) / 1.5, max(counts) * 2)
    axes.set_title(f"steps to {judged.label} {near} {judged.threshold:g} (×: never)", fontsize=10)
    axes.grid(alpha=0.25)


def _plot_curves(axes, trials: Sequence[Trial], best: Sequence[Row], judged: Judged) -> None:
    """Every run, pale; those of the best learning rate of each optimiser strong."""
    strong = {(row.optimizer, row.lr) for row in best}
    labelled = set()
    for trial in sorted(trials, key=lambda trial: (trial.optimizer, trial.lr) in strong):
        setting = (trial.optimizer, trial.lr)
        steps = [reading.step for reading in trial.curve.readings]
        values = [_shown(reading.quality, judged) for reading in trial.curve.readings]
        label = f"{TITLES[trial.optimizer]} {trial.lr:g}" if setting in strong and setting not in labelled else None
        labelled.add(setting)
        width, alpha = (1.6, 0.9) if setting in strong else (0.7, 0.3)
        axes.plot(steps, values, color=COLORS[trial.optimizer], linewidth=width, alpha=alpha, label=label)
    axes.set(yscale="log", xlabel="steps", ylabel=_axis_label(judged))
    axes.set_title("all runs; the best learning rates strong", fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
