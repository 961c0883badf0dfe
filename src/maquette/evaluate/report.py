"""What an evaluation says: tables on the console, scores.json, a line per object and method in scores.csv, a plot."""

import csv
import io
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from maquette.evaluate.baselines import ORACLE_CANDIDATES
from maquette.evaluate.scoring import Row
from maquette.io.atomic import atomic_path, write_json, write_text
from maquette.metrics import Protocol, Scores, Summary, macro, summarise

UNLABELLED = "(no category)"

LABELS = {
    "voxels": "voxels",
    "points": "points",
    "mesh": "mesh",
    "atlas": "patches",
    "occupancy": "occupancy",
    "mean_shape": "mean shape",
    "retrieval_encoder": "retrieval, encoder",
    "retrieval_thumbnail": "retrieval, thumbnail",
    "oracle": "oracle",
    "ceiling": "ceiling",
    "ceiling_voxels": "ceiling, 32³ voxels",
}
"""How the methods are named in tables and plots, in their order."""

WORDS = {
    "voxels": "the network's occupancies, their surface at 0.5",
    "points": "the network's cloud",
    "mesh": "the network's mesh",
    "atlas": "the network's patches, points evenly spread over them",
    "occupancy": "the closed surface of the network's field of occupancy",
    "mean_shape": "mean occupancy over the category's training objects, at the level best for F@0.05 on training "
    "objects; uses the truth's category",
    "retrieval_encoder": "training object whose view is nearest by cosine of the trained encoder's features, over all "
    "training objects and views",
    "retrieval_thumbnail": "training object whose view is nearest by 16 x 16 grey and mask (Euclidean), a feature "
    "without training, over all training objects and views",
    "oracle": f"best by F@0.05 (2,048 points) of the {ORACLE_CANDIDATES} training objects nearest to the truth by "
    "chamfer distance of 512 points; uses the truth",
    "ceiling": "the truth against another sampling of itself: each of its points against all its others",
    "ceiling_voxels": "the truth's own voxels, their surface at 0.5",
}
"""What each method is."""


@dataclass(frozen=True)
class Evaluation:
    """All scores of one evaluation and what they depend on."""

    protocol: Protocol
    representations: tuple[str, ...]
    """The network's."""
    rows: tuple[Row, ...]
    facts: dict
    """Run, data, counts, seed, in JSON's types."""

    def methods(self) -> list[str]:
        """Those with scores, in the order of `LABELS`."""
        there = {row.method for row in self.rows}
        return [name for name in LABELS if name in there]

    def summary(self, method: str, category: str | None = None) -> Summary:
        """Over all objects, or over those of one category."""
        return summarise(self._scores(method, category))

    def categories(self) -> list[str]:
        return sorted({category_of(row) for row in self.rows})

    def by_category(self, method: str) -> dict[str, Summary]:
        """Of the categories in which the method has an answer."""
        found = {name: self.summary(method, name) for name in self.categories()}
        return {name: summary for name, summary in found.items() if summary.objects}

    def better_retrieval(self) -> str | None:
        """Of the two features, the one with the higher mean F at the widest threshold: the baseline to beat."""
        both = [name for name in self.methods() if name.startswith("retrieval")]
        return max(both, key=lambda name: self.summary(name).means[self.headline()], default=None)

    def own_points(self, method: str) -> list[int]:
        """How many points the method's clouds had before they were resampled to the protocol's number."""
        return sorted({n for row in self.rows if row.method == method and (n := row.scores.own_points) is not None})

    def fewest_true_points(self) -> int:
        """The least that any object was compared with: fewer than the protocol's where the data holds fewer."""
        counts = [row.scores.truth_points for row in self.rows if row.method == "ceiling"]
        return min((count for count in counts if count is not None), default=0)

    def headline(self) -> str:
        return f"F@{self.protocol.thresholds[-1]:g}"

    def _scores(self, method: str, category: str | None) -> list[Scores]:
        return [
            row.scores
            for row in self.rows
            if row.method == method and (category is None or category_of(row) == category)
        ]


def category_of(row: Row) -> str:
    return row.entry.category or UNLABELLED


# --------------------------------------------------------------------------------------------------------------- files


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """scores.json, scores.csv and fscore.png in `out`, each whole or not at all."""
    write_json(out / "scores.json", as_json(evaluation))
    write_text(out / "scores.csv", as_csv(evaluation.rows))
    with atomic_path(out / "fscore.png") as path:
        plot(evaluation, path)


def as_json(evaluation: Evaluation) -> dict:
    """Everything but the single objects' scores, failures excepted."""
    protocol = evaluation.protocol
    methods = {}
    for name in evaluation.methods():
        categories = evaluation.by_category(name)
        methods[name] = {
            "kind": "network" if name in evaluation.representations else "baseline",
            "what": WORDS[name],
            **asdict(evaluation.summary(name)),
            "own_points": evaluation.own_points(name),
            "macro": macro(categories),
            "categories": {category: asdict(summary) for category, summary in categories.items()},
        }
    failures = [
        {"id": row.entry.id, "method": row.method, "reason": row.scores.failure}
        for row in evaluation.rows
        if row.scores.failure
    ]
    return {
        "protocol": {
            "name": protocol.name,
            **protocol.says(),
            "points": protocol.points,
            "true_points_at_least": evaluation.fewest_true_points(),
            "thresholds": list(protocol.thresholds),
        },
        **evaluation.facts,
        "platform": platform.platform(),
        "retrieval": evaluation.better_retrieval(),
        "methods": methods,
        "failures": failures,
    }


def as_csv(rows: Sequence[Row]) -> str:
    """A line per object and method; a score that is not defined is left empty."""
    names = list(dict.fromkeys(name for row in rows for name in row.scores.values))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "category", "view", "method", *names, "answer", "failure"])
    for row in rows:
        values = [f"{row.scores.values[name]:.6g}" if name in row.scores.values else "" for name in names]
        writer.writerow(
            [row.entry.id, row.entry.category, row.view, row.method, *values, row.answer, row.scores.failure or ""]
        )
    return text.getvalue()


COLORS = {
    "voxels": "#c4512d",
    "points": "#1f6f8b",
    "mesh": "#3f7d4e",
    "atlas": "#7a5aa6",
    "occupancy": "#8a6d1c",
}
GREYS = {
    "ceiling": ("#b0b0b0", "-"),
    "oracle": ("#8a8a8a", (0, (1, 1.5))),
    "retrieval": ("#555555", (0, (5, 2))),
    "mean_shape": ("#8a8a8a", (0, (5, 1.5, 1, 1.5))),
}


def plot(evaluation: Evaluation, path: Path) -> None:
    """F-score against threshold: the network in colours, what stands beside it in grey, each line named at its end."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.6), dpi=160)
    axes = figure.add_axes((0.085, 0.12, 0.69, 0.79))  # room to the right for the labels
    thresholds = evaluation.protocol.thresholds
    ends = []
    for name in evaluation.methods():
        if name == "ceiling_voxels" or (name.startswith("retrieval") and name != evaluation.better_retrieval()):
            continue
        means = evaluation.summary(name).means
        f = [means[f"F@{t:g}"] for t in thresholds]
        if name in evaluation.representations:
            color, style, width = COLORS.get(name, "black"), "-", 2.2
        else:
            (color, style), width = GREYS[name.split("_")[0] if name.startswith("retrieval") else name], 1.4
        axes.plot(thresholds, f, color=color, linestyle=style, linewidth=width, marker="o", markersize=3.5)
        label = LABELS[name].split(",")[0]
        ends.append((f[-1], f"{label}  {f[-1]:.1f}", color))
    top = 100.0
    # Labels at the ends of the lines, pushed apart where lines meet.
    for f, label, color in sorted(ends, reverse=True):
        top = min(f, top)
        axes.annotate(
            label, (thresholds[-1], f), (thresholds[-1] * 1.03, top), color=color, fontsize=9, va="center",
            annotation_clip=False,
        )  # fmt: skip
        top -= 4.4
    axes.set(
        xlim=(0.9 * thresholds[0], thresholds[-1] * 1.005), ylim=(0, 101), xticks=thresholds,
        xlabel="distance below which a point counts as right (diagonal of the object = 1)", ylabel="F-score in percent",
    )  # fmt: skip
    data = evaluation.facts["data"]
    axes.set_title(
        f"{data['evaluated']} {data['split']} objects of {data['name']}, protocol {evaluation.protocol.name}, "
        f"{evaluation.protocol.points:,} points",
        loc="left", fontsize=10, color="#333333",
    )  # fmt: skip
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, format="png")


# ------------------------------------------------------------------------------------------------------------- console


def print_evaluation(evaluation: Evaluation, out: Path) -> None:
    """The tables, with what failed, what is missing and where the files are."""
    from rich.console import Console

    console = Console(highlight=False)
    # A log is not a terminal of 80 columns: keep whole lines there.
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    run, data, protocol = evaluation.facts["run"], evaluation.facts["data"], evaluation.protocol
    step = "" if run["step"] is None else f" after {run['step']:,} steps"
    some = "" if data["evaluated"] == data["requested"] else f" of {data['requested']}"
    console.print(
        f"\n[bold]{run['folder']}[/]{step}: {data['evaluated']}{some} {data['split']} objects of {data['name']}, "
        "one picture each"
    )
    console.print(
        f"protocol [bold]{protocol.name}[/]: {protocol.points:,} points a surface; {protocol.says()['frame']}",
        style="dim",
    )
    console.print(score_table(evaluation))
    if len(evaluation.categories()) > 1:
        console.print(category_table(evaluation))
    for line in remarks(evaluation):
        console.print(line, style="dim")
    console.print(f"\n{out / 'scores.json'}  scores.csv  fscore.png")


COLUMNS = {
    "chamfer_squared_x1000": ("chamfer²\n× 1000", ".3f", min),
    "chamfer_plain": ("chamfer", ".4f", min),
    "normal_consistency": ("normals", ".3f", max),
    "iou": ("IoU", ".3f", max),
}


def score_table(evaluation: Evaluation):
    """Means over the objects; the network's best of each column is bold."""
    from rich import box
    from rich.table import Table

    means = {name: evaluation.summary(name).means for name in evaluation.methods()}
    fs = {f"F@{t:g}": (f"F@{t:g}", ".1f", max) for t in evaluation.protocol.thresholds}
    columns = {name: kind for name, kind in (fs | COLUMNS).items() if any(name in row for row in means.values())}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("mean over objects")
    for title, _, _ in columns.values():
        table.add_column(title, justify="right")
    table.add_column("failed", justify="right")
    network = [name for name in evaluation.methods() if name in evaluation.representations]
    best = {
        name: best_of(means[row][name] for row in network if name in means[row])
        for name, (_, _, best_of) in columns.items()
        if any(name in means[row] for row in network)
    }
    for method in evaluation.methods():
        if method == "mean_shape":
            table.add_section()
        cells = []
        for name, (_, form, _) in columns.items():
            value = means[method].get(name)
            text = "" if value is None else format(value, form)
            cells.append(f"[bold]{text}[/]" if method in network and value == best.get(name) else text)
        failures = evaluation.summary(method).failures
        style = None if method in network else "dim" if is_aside(evaluation, method) else ""
        table.add_row(LABELS[method], *cells, f"[red]{failures}[/]" if failures else "", style=style)
    return table


def category_table(evaluation: Evaluation):
    """F at the widest threshold per category, and the mean of the categories."""
    from rich import box
    from rich.table import Table

    headline = evaluation.headline()
    methods = [name for name in evaluation.methods() if not is_aside(evaluation, name)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(headline)
    table.add_column("objects", justify="right")
    for name in methods:
        table.add_column(LABELS[name].replace(", ", "\n"), justify="right")
    tables = {name: evaluation.by_category(name) for name in methods}
    network = [name for name in methods if name in evaluation.representations]
    for category in evaluation.categories():
        values = {name: tables[name][category].means[headline] for name in methods if category in tables[name]}
        best = max((values[name] for name in network), default=None)
        cells = []
        for name in methods:
            text = f"{values[name]:.1f}" if name in values else ""
            below = name in network and "mean_shape" in values and values[name] < values["mean_shape"]
            text = f"[red]{text}[/]" if below else text
            cells.append(f"[bold]{text}[/]" if name in network and values[name] == best else text)
        table.add_row(category, str(evaluation.summary("ceiling", category).objects), *cells)
    table.add_section()
    means = {name: macro(tables[name])[headline] for name in methods}
    table.add_row("mean of categories", "", *(f"{means[name]:.1f}" for name in methods))
    return table


def is_aside(evaluation: Evaluation, method: str) -> bool:
    """Told, but not what a network is measured against."""
    retrieval = method.startswith("retrieval") and method != evaluation.better_retrieval()
    return retrieval or method == "ceiling_voxels"


def remarks(evaluation: Evaluation) -> list[str]:
    """What a reader must know about the numbers."""
    lines = []
    network = [name for name in evaluation.methods() if name in evaluation.representations]
    total = evaluation.facts["data"]["evaluated"]
    for name in evaluation.methods():
        summary = evaluation.summary(name)
        if summary.objects < total:
            lines.append(f"{LABELS[name]}: only {summary.objects} of {total} objects have one")
        if summary.failures:
            counted = summary.objects - summary.failures
            lines.append(f"{LABELS[name]}: {summary.failures} failed, F = IoU = 0; other means over {counted}")
    failures = [row for row in evaluation.rows if row.scores.failure and row.method in network]
    lines += [f"  {row.entry.id}, {LABELS[row.method]}: {row.scores.failure}" for row in failures[:10]]
    if len(failures) > 10:
        lines.append(f"  and {len(failures) - 10} more, in scores.json")
    if "mean_shape" in evaluation.methods():
        lines.append(
            "the mean shape knows the truth's category, the oracle the truth itself; red: below the mean shape"
        )
    for name in network:
        own = evaluation.own_points(name)
        if not own:
            continue
        protocol = evaluation.protocol
        if protocol.clouds == "resampled":
            lines.append(f"{LABELS[name]}: clouds of {own[0]:,} points, resampled to {protocol.points:,}")
        elif own != [protocol.points]:
            lines.append(f"{LABELS[name]}: clouds of {own[0]:,} points as they are, against as many true ones")
    fewest = evaluation.fewest_true_points()
    if fewest < evaluation.protocol.points:
        lines.append(
            f"the truth holds only {fewest:,} points where the protocol asks for {evaluation.protocol.points:,}"
        )
    if evaluation.protocol.name == "cmu2025" and "voxels" in network:
        lines.append("cmu2025 mirrors voxels that have their axes right, as the course's code does: see its docstring")
    return lines + [f"missing: {line}" for line in evaluation.facts["missing"]]
