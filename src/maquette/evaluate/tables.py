"""An evaluation on the console: the scores, the categories, and what a reader must know about them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maquette.data.pack import first_of
from maquette.evaluate.evaluation import Evaluation, is_aside, label, objects_in_words
from maquette.metrics import Protocol, is_higher_better, macro


@dataclass(frozen=True)
class Column:
    """How a score is shown."""

    title: str
    form: str
    """As `format` takes it."""

    def cell(self, value: float | None) -> str:
        return "" if value is None else format(value, self.form)


COLUMNS = {
    "chamfer_squared_x1000": Column("chamfer²\n× 1000", ".3f"),
    "chamfer_squared_x1000_all": Column("chamfer² ×\n1000, all", ".3f"),
    "chamfer_squared": Column("chamfer²", ".5f"),
    "chamfer_plain": Column("chamfer", ".4f"),
    "chamfer_plain_x10": Column("chamfer\n× 10", ".4f"),
    "normal_consistency": Column("normals", ".3f"),
    "iou": Column("IoU,\ncells", ".3f"),
    "volume_iou": Column("IoU,\nvolume", ".3f"),
}


def columns_of(protocol: Protocol) -> dict[str, Column]:
    """Every score that a protocol may give, in the order of tables."""
    return {f"F@{t:g}": Column(f"F@{t:g}", ".1f") for t in protocol.thresholds} | COLUMNS


def best_of(score: str) -> Callable:
    return max if is_higher_better(score) else min


def print_evaluation(evaluation: Evaluation, out: Path, written: list[str]) -> None:
    """The tables, with what failed, what is missing and where the files are."""
    from rich.console import Console

    console = Console(highlight=False)
    # A log is not a terminal of 80 columns: keep whole lines there.
    if not console.is_terminal:
        console = Console(highlight=False, width=150)
    run, data, protocol = evaluation.facts["run"], evaluation.facts["data"], evaluation.protocol
    step = "" if run["step"] is None else f" after {run['step']:,} steps"
    some = "" if data["evaluated"] == data["requested"] else f" (of {data['requested']})"
    console.print(f"\n[bold]{run['folder']}[/]{step}: {objects_in_words(data)}{some}, one picture each")
    said = protocol.says()
    console.print(f"protocol [bold]{protocol.name}[/] ({protocol.source}): {said['points']}", style="dim")
    console.print(f"  frame: {said['frame']}", style="dim")
    console.print(f"  chamfer: {said['chamfer']}", style="dim")
    console.print(f"  F-score: {said['F-score']}", style="dim")
    console.print(score_table(evaluation))
    if len(evaluation.categories()) > 1:
        console.print(category_table(evaluation))
    for line in remarks(evaluation):
        console.print(line, style="dim", markup=False)
    console.print(f"\n{out}: {'  '.join(written)}", soft_wrap=True, markup=False)


def score_table(evaluation: Evaluation):
    """Means over the objects, the headline with its interval; the network's best of each column is bold."""
    from rich import box
    from rich.table import Table

    means = {name: evaluation.summary(name).means for name in evaluation.methods()}
    columns = {
        name: kind
        for name, kind in columns_of(evaluation.protocol).items()
        if any(name in row for row in means.values())
    }
    network, headline = evaluation.network(), evaluation.headline()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
    table.add_column("mean over objects")
    for name, column in columns.items():
        table.add_column(column.title, justify="right")
        if name == headline:
            table.add_column("95 % of\nthe mean", justify="right")
    table.add_column("failed", justify="right")
    best = {
        name: best_of(name)(means[row][name] for row in network if name in means[row])
        for name in columns
        if any(name in means[row] for row in network)
    }
    for method in evaluation.methods():
        if method == "mean_shape":
            table.add_section()
        cells = []
        for name, column in columns.items():
            value = means[method].get(name)
            text = column.cell(value)
            cells.append(f"[bold]{text}[/]" if method in network and value == best.get(name) else text)
            if name == headline:
                found = evaluation.interval(method, name)
                cells.append("" if found is None else f"{column.cell(found.mean_low)}–{column.cell(found.mean_high)}")
        failures = evaluation.summary(method).failures
        style = None if method in network else "dim" if is_aside(evaluation, method) else ""
        table.add_row(label(method), *cells, f"[red]{failures}[/]" if failures else "", style=style)
    return table


def category_table(evaluation: Evaluation):
    """The headline per category, and the mean of the categories."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    headline = evaluation.headline()
    column, better = columns_of(evaluation.protocol)[headline], best_of(headline)
    methods = [name for name in evaluation.methods() if not is_aside(evaluation, name)]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(column.title)
    table.add_column("objects", justify="right")
    for name in methods:
        table.add_column(label(name).replace(", ", "\n"), justify="right")
    tables = {name: evaluation.by_category(name) for name in methods}
    network = [name for name in methods if name in evaluation.representations]
    untrained = evaluation.untrained()
    for category in evaluation.categories():
        values = {
            name: tables[name][category].means[headline]
            for name in methods
            if category in tables[name] and headline in tables[name][category].means
        }
        ours = [values[name] for name in network if name in values]
        best = better(ours) if ours else None
        cells = []
        for name in methods:
            value = values.get(name)
            text = column.cell(value)
            mean = values.get("mean_shape")
            below = name in network and value is not None and mean is not None and better(value, mean) != value
            text = f"[red]{text}[/]" if below else text
            cells.append(f"[bold]{text}[/]" if name in network and value is not None and value == best else text)
        title = escape(category) + (" [yellow](not trained on)[/]" if category in untrained else "")
        table.add_row(title, str(evaluation.summary("ceiling", category).objects), *cells)
    table.add_section()
    means = {name: macro(tables[name]).get(headline) for name in methods}
    table.add_row("mean of categories", "", *(column.cell(means[name]) for name in methods))
    return table


def remarks(evaluation: Evaluation) -> list[str]:
    """What a reader must know about the numbers."""
    return [
        *_of_missing(evaluation),
        *_of_frame(evaluation),
        *_of_medians(evaluation),
        *_of_counts(evaluation),
        *_of_points(evaluation),
        *evaluation.protocol.notes,
        *_of_time(evaluation),
        *(f"missing: {line}" for line in evaluation.facts["missing"]),
    ]


def _of_missing(evaluation: Evaluation) -> list[str]:
    lines, data, training = [], evaluation.facts["data"], evaluation.facts["training_data"]
    if data["left_out"]:
        lost = data["left_out"]
        lines.append(f"{len(lost)} of {data['requested']} requested objects are missing: {first_of(lost)}")
    if training.get("left_out"):
        total = training["objects"] + training["left_out"]
        lines.append(
            f"{training['left_out']} of {total} training objects are missing: mean shapes, retrieval and oracle are "
            "without them"
        )
    return lines


def _of_frame(evaluation: Evaluation) -> list[str]:
    if evaluation.facts["run"]["frame"] == "object":
        return []
    return [
        "in the viewer's frame: the truth is turned so that its camera looks from azimuth 0, elevation 0; mean shape "
        "and oracle are turned by that camera, which they are told, retrieval by the camera of the view it found"
    ]


def _of_medians(evaluation: Evaluation) -> list[str]:
    headline, retrieval = evaluation.headline(), evaluation.better_retrieval()
    column, lines = columns_of(evaluation.protocol)[headline], []
    for name in evaluation.network():
        found = evaluation.interval(name, headline)
        if found is None:
            continue
        low, high = column.cell(found.median_low), column.cell(found.median_high)
        line = f"{label(name)}: median {headline} {column.cell(found.median)} ({low} to {high})"
        versus = evaluation.against(name, retrieval) if retrieval else None
        if versus is not None and retrieval is not None:
            sign = f"+{column.form}"
            line += (
                f"; against {label(retrieval)} {format(versus.difference, sign)} ({format(versus.low, sign)} to "
                f"{format(versus.high, sign)}), higher on {versus.higher}, lower on {versus.lower}, p = {versus.p:.2g}"
            )
        lines.append(line)
    return lines


def _of_counts(evaluation: Evaluation) -> list[str]:
    lines, network = [], evaluation.network()
    total = evaluation.facts["data"]["evaluated"]
    for name in evaluation.methods():
        summary = evaluation.summary(name)
        if summary.objects < total:
            lines.append(f"{label(name)}: only {summary.objects} of {total} objects have one")
        if summary.failures:
            counted = summary.objects - summary.failures
            lines.append(f"{label(name)}: {summary.failures} failed, F = IoU = 0; other means over {counted}")
        for score in ("iou", "volume_iou"):
            having = summary.counts.get(score, 0)
            if name in network and 0 < having < summary.objects:
                lines.append(
                    f"{label(name)}: {score} of {having} of {summary.objects} objects, the others are not closed"
                )
    failures = [row for row in evaluation.rows if row.scores.failure and row.method in network]
    lines += [f"  {row.entry.id}, {label(row.method)}: {row.scores.failure}" for row in failures[:10]]
    if len(failures) > 10:
        lines.append(f"  and {len(failures) - 10} more, in scores.json")
    if "mean_shape" in evaluation.methods():
        lines.append(
            "the mean shape knows the truth's category, the oracle the truth itself; red: worse than the mean shape"
        )
    if evaluation.untrained():
        lines.append(f"not trained on: {', '.join(evaluation.untrained())}; a network cannot know these")
    return lines


def _of_points(evaluation: Evaluation) -> list[str]:
    protocol, lines = evaluation.protocol, []
    for name in evaluation.network():
        own = evaluation.own_points(name)
        if not own:
            continue
        many = f"{own[0]:,}" if len(own) == 1 else f"{own[0]:,} to {own[-1]:,}"
        if protocol.drawn != "by area":
            taken = "all" if protocol.drawn == "all vertices" else f"{protocol.points:,} draws"
            lines.append(f"{label(name)}: {many} vertices or points of its own, {taken} of them compared")
        elif protocol.clouds == "resampled":
            lines.append(f"{label(name)}: clouds of {many} points, resampled to {protocol.points:,}")
        elif own != [protocol.points]:
            lines.append(f"{label(name)}: clouds of {many} points as they are, against as many true ones")
    fewest = evaluation.fewest_true_points()
    if fewest < protocol.of_truth:
        lines.append(f"the truth holds only {fewest:,} points where the protocol asks for {protocol.of_truth:,}")
    places = evaluation.places()
    if places is not None and protocol.volume_iou is not None:
        many = f"{places[0]:,}" if places[0] == places[1] else f"{places[0]:,} to {places[1]:,}"
        lines.append(f"volume IoU at {many} places an object, of {protocol.volume_iou.places:,} asked for")
    return lines


def _of_time(evaluation: Evaluation) -> list[str]:
    spent = evaluation.facts["runtime"]
    if not spent["milliseconds"]:
        return []
    parts = ", ".join(f"{name} {ms:.1f}" for name, ms in spent["milliseconds"].items())
    memory = f"; peak memory {spent['peak_memory_mb']:,} MB" if spent["peak_memory_mb"] else ""
    return [f"milliseconds an object on {spent['device']}: {parts}{memory}"]
