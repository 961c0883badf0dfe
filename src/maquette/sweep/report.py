"""What a sweep tells: table.md, table.csv, and fscore.png with one curve a run and representation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from maquette.io.atomic import atomic_path, write_text
from maquette.io.tables import csv_text, markdown_table
from maquette.metrics import is_higher_better
from maquette.sweep.grid import told

BESIDE = {"mean_shape": "category's mean shape", "oracle": "oracle", "ceiling": "ceiling"}
"""Baselines told beside the networks; the better retrieval stands there, too. They are of the first run's evaluation:
retrieval uses that run's encoder, all others follow from data and protocol."""


@dataclass(frozen=True)
class Measured:
    """A run that is done."""

    name: str
    values: dict[str, object]
    """What is varied."""
    scores: dict
    """scores.json of its evaluation."""

    def networks(self) -> dict[str, dict]:
        """Scores by representation."""
        return {name: told for name, told in self.scores["methods"].items() if told["kind"] == "network"}

    def baselines(self) -> dict[str, dict]:
        """Scores of what a network must be compared with, by how it is called."""
        methods, found = self.scores["methods"], {}
        if (retrieval := self.scores.get("retrieval") or "") in methods:
            found[retrieval.replace("_", ", ")] = methods[retrieval]
        return found | {label: methods[name] for name, label in BESIDE.items() if name in methods}

    def thresholds(self) -> list[float]:
        """As the protocol and the names of its scores have them."""
        return self.scores["protocol"]["thresholds"]

    def limits(self) -> list[float]:
        """Thresholds as distances: some protocols compare squares."""
        squared = self.scores["protocol"]["squared_thresholds"]
        return [t**0.5 for t in self.thresholds()] if squared else self.thresholds()


def write_report(out: Path, runs: Sequence[Measured], lost: Mapping[str, str]) -> str:
    """Write the files; returns the table as Markdown, with what failed below it.

    Curves are drawn where the protocol has thresholds to join.
    """
    text = markdown(runs, lost)
    write_text(out / "table.md", text)
    write_text(out / "table.csv", csv_text(lines(runs)))
    if len(runs[0].thresholds()) < 2:
        (out / "fscore.png").unlink(missing_ok=True)
        return f"{text}\n{out}: table.md, table.csv"
    with atomic_path(out / "fscore.png") as path:
        plot(runs, path)
    return f"{text}\n{out}: table.md, table.csv, fscore.png"


def measures(runs: Sequence[Measured]) -> list[str]:
    """The scores that tables show: F at each threshold, then all others but precision and recall."""
    names = dict.fromkeys(name for run in runs for told in run.networks().values() for name in told["means"])
    f = [name for name in names if name.startswith("F@")]
    return f + [name for name in names if name not in f and not name.startswith(("precision", "recall"))]


def lines(runs: Sequence[Measured]) -> list[dict[str, object]]:
    """A row for each run and representation, with all numbers."""
    rows = []
    for run in runs:
        values = {name: told(value) for name, value in run.values.items()}
        for name, scores in run.networks().items():
            counts = {"objects": scores["objects"], "failures": scores["failures"]}
            rows.append(values | {"representation": name} | scores["means"] | counts)
    return rows


def markdown(runs: Sequence[Measured], lost: Mapping[str, str]) -> str:
    """The table; the best of each F-score and of the headline in bold, the baselines below, and what failed."""
    varied, shown = list(runs[0].values), measures(runs)
    networks = [(run, name, scores) for run in runs for name, scores in run.networks().items()]
    headline = runs[0].scores["protocol"]["headline"]
    best = {
        name: (max if is_higher_better(name) else min)(
            scores["means"][name] for _, _, scores in networks if name in scores["means"]
        )
        for name in shown
        if name.startswith("F@") or name == headline
    }
    rows = []
    for run, name, scores in networks:
        cells = [told(run.values[field]) for field in varied] + [name]
        for score in shown:
            text = _number(score, scores["means"].get(score))
            cells.append(f"**{text}**" if score in best and scores["means"].get(score) == best[score] else text)
        rows.append([*cells, str(scores["failures"])])
    for label, scores in runs[0].baselines().items():
        cells = [*[""] * len(varied), label, *(_number(score, scores["means"].get(score)) for score in shown)]
        rows.append([*cells, str(scores["failures"])])
    # The last part of a dotted name says enough, unless two are alike.
    last = [field.rpartition(".")[2] for field in varied]
    titles = last if len(set(last)) == len(last) else varied
    table = markdown_table([*titles, "", *shown, "failed"], rows)
    failures = "".join(f"\nfailed: {name}: {reason}" for name, reason in lost.items())
    return f"{header(runs[0])}\n\n{table}{failures}"


def header(run: Measured) -> str:
    protocol, data = run.scores["protocol"], run.scores["data"]
    return (
        f"{data['evaluated']} of {data['requested']} {data['split']} objects of {data['name']}, protocol "
        f"{protocol['name']}, {protocol['points']:,} points; F-scores in percent"
    )


def _number(score: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f}" if score.startswith("F@") else f"{value:.4g}"


def plot(runs: Sequence[Measured], path: Path) -> None:
    """F-score over the threshold; runs from dark to light in the order of the grid, representations by their dashes."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    protocol = runs[0].scores["protocol"]
    figure = Figure(figsize=(8.4, 4.8), dpi=130, layout="constrained")
    axes = figure.subplots()
    thresholds, limits = runs[0].thresholds(), runs[0].limits()
    kinds = list(dict.fromkeys(name for run in runs for name in run.networks()))
    for place, run in enumerate(runs):
        color = colormaps["viridis"](0.9 * place / max(len(runs) - 1, 1))
        label = ", ".join(f"{name.rpartition('.')[2]} {told(value)}" for name, value in run.values.items())
        for name, scores in run.networks().items():
            f = [scores["means"][f"F@{t:g}"] for t in thresholds]
            dashes = ("-", "--", ":", "-.")[kinds.index(name) % 4]
            end = f"{label}{f', {name}' if len(kinds) > 1 else ''}:  {f[-1]:.1f}"
            axes.plot(limits, f, dashes, color=color, marker="o", markersize=3.5, linewidth=1.8, label=end)
    for (label, scores), dashes in zip(runs[0].baselines().items(), ("--", "-.", ":", "-"), strict=False):
        f = [scores["means"][f"F@{t:g}"] for t in thresholds]
        axes.plot(limits, f, dashes, color="0.65", linewidth=1.2, label=f"{label}:  {f[-1]:.1f}")
    axes.set(
        ylim=(0, 101), ylabel="F-score in percent",
        xlabel=f"distance below which a point counts as right, in the units of protocol {protocol['name']}",
    )  # fmt: skip
    axes.set_xticks(limits, [f"{limit:.3g}" for limit in limits])
    axes.set_title(header(runs[0]).split(";")[0], loc="left", fontsize=9.5, color="#333333")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", fontsize=8, frameon=False, title=f"F@{thresholds[-1]:g}", title_fontsize=8)
    figure.savefig(path, format="png")
