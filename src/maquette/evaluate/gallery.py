"""The best, the median and the worst answers of a network: gallery.png, and a page with the scores around it."""

from collections.abc import Sequence
from pathlib import Path

from maquette.evaluate import html
from maquette.evaluate.evaluation import Evaluation, is_aside, label
from maquette.evaluate.pictures import Answered, webp
from maquette.evaluate.report import title_of
from maquette.evaluate.tables import Column, best_of, columns_of, remarks
from maquette.io.atomic import atomic_path, write_text
from maquette.metrics import macro

KINDS = ("best", "median", "worst")


def write_gallery(evaluation: Evaluation, answered: Sequence[Answered], path: Path) -> None:
    """A PNG: a row a representation; input, truth and prediction of its best, its median and its worst object."""
    from matplotlib.figure import Figure

    methods = list(dict.fromkeys(one.pick.method for one in answered))
    side, gap, left, head, foot = 1.25, 0.16, 0.95, 0.42, 0.24  # inches
    width = left + 9 * side + 3 * gap
    height = head + len(methods) * (side + foot) + 0.06
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    for row, method in enumerate(methods):
        top = height - head - row * (side + foot)
        figure.text(0.08 / width, (top - side / 2) / height, label(method), fontsize=10, va="center", weight="bold")
        for one in (one for one in answered if one.pick.method == method):
            group = KINDS.index(one.pick.kind)
            x = left + group * (3 * side + gap)
            if row == 0:
                figure.text(
                    (x + 1.5 * side) / width, (height - 0.13) / height, one.pick.kind, fontsize=10.5, ha="center",
                    va="center", weight="bold",
                )  # fmt: skip
                for k, title in enumerate(("input", "truth", "prediction")):
                    figure.text(
                        (x + (k + 0.5) * side) / width, (height - 0.32) / height, title, fontsize=8, ha="center",
                        va="center", color="#5d6b7a",
                    )  # fmt: skip
            for k, picture in enumerate((one.seen, one.truth, one.answer)):
                box = ((x + k * side) / width, (top - side) / height, side / width, side / height)
                axes = figure.add_axes(box)
                axes.imshow(picture.clamp(0, 1).numpy(), interpolation="antialiased")
                axes.axis("off")
            id = one.pick.row.entry.id
            name = id if len(id) <= 34 else f"{id[:33]}…"
            figure.text(
                (x + 1.5 * side) / width, (top - side - 0.08) / height, f"{name.replace('$', chr(92) + '$')}: "
                f"{score_of(evaluation, one)}", fontsize=8, ha="center", va="center", color="#1d2733",
            )  # fmt: skip
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def write_evaluation_page(evaluation: Evaluation, answered: Sequence[Answered], out: Path) -> None:
    """index.html: the table, the curves and the gallery, in one file."""
    curves = out / "fscore.png"
    sections = [html.section("Scores", scores_table(evaluation), html.listing(remarks(evaluation)))]
    if curves.is_file():
        drawn = html.plot(curves.read_bytes(), "F-score over threshold")
        sections.append(html.section("F-score", drawn))
    if len(evaluation.categories()) > 1:
        sections.append(html.section("Categories", categories_table(evaluation)))
    strips = [
        html.strip(
            f"{label(one.pick.method)}, {one.pick.kind}: {one.pick.row.entry.id}",
            [
                html.figure(webp(one.seen), "input"),
                html.figure(webp(one.truth), "truth"),
                html.figure(webp(one.answer), label(one.pick.method), score_of(evaluation, one)),
            ],
        )
        for one in answered
    ]
    if strips:
        sections.append(html.section("Best, median, worst", f'<div class="objects threes">{"".join(strips)}</div>'))
    said = evaluation.protocol.says() | {"source": evaluation.protocol.source}
    sections.append(html.section(f"Protocol {evaluation.protocol.name}", html.facts(said)))
    title = f"{Path(evaluation.facts['run']['folder']).name}: evaluation"
    write_text(out / "index.html", html.page(title, title_of(evaluation), sections))


def score_of(evaluation: Evaluation, one: Answered) -> str:
    name, scores = evaluation.headline(), one.pick.row.scores
    return (
        "failed" if scores.failure else f"{name} {columns_of(evaluation.protocol)[name].cell(scores.values.get(name))}"
    )


def scores_table(evaluation: Evaluation) -> str:
    """Means with the interval of the headline below it."""
    means = {name: evaluation.summary(name).means for name in evaluation.methods()}
    columns = {k: c for k, c in columns_of(evaluation.protocol).items() if any(k in row for row in means.values())}
    rows, network, headline = [], evaluation.network(), evaluation.headline()
    # The headline first: on a narrow screen it is what is seen.
    columns = {name: columns[name] for name in sorted(columns, key=lambda name: name != headline)}
    for method in evaluation.methods():
        cells = []
        for name, column in columns.items():
            value, ours = means[method].get(name), [means[m][name] for m in network if name in means[m]]
            best = method in network and value is not None and value == best_of(name)(ours)
            below = _below(evaluation, method, name, column)
            cells.append(html.Cell(column.cell(value), below, "best" if best else ""))
        failures = evaluation.summary(method).failures
        cells.append(html.Cell(str(failures) if failures else ""))
        kind = "rule" if method == "mean_shape" else "aside" if is_aside(evaluation, method) else ""
        rows.append(html.TableRow(label(method), cells, kind))
    heads = ["", *(column.title.replace("\n", " ") for column in columns.values()), "failed"]
    return html.table(heads, rows) + html.paragraph(
        f"Means over {evaluation.facts['data']['evaluated']} objects; below {headline} where 95 % of the means of "
        "resampled objects lie."
    )


def _below(evaluation: Evaluation, method: str, name: str, column: Column) -> str:
    found = evaluation.interval(method, name) if name == evaluation.headline() else None
    return "" if found is None else f"{column.cell(found.mean_low)} – {column.cell(found.mean_high)}"


def categories_table(evaluation: Evaluation) -> str:
    """The headline of every category, and the mean of the categories."""
    headline = evaluation.headline()
    column = columns_of(evaluation.protocol)[headline]
    methods = [name for name in evaluation.methods() if not is_aside(evaluation, name)]
    rows = []
    for category in evaluation.categories():
        cells = [html.Cell(str(evaluation.summary("ceiling", category).objects))]
        cells += [html.Cell(column.cell(evaluation.summary(m, category).means.get(headline))) for m in methods]
        told = " (not trained on)" if category in evaluation.untrained() else ""
        rows.append(html.TableRow(category + told, cells))
    means = [macro(evaluation.by_category(method)).get(headline) for method in methods]
    cells = [html.Cell(""), *(html.Cell(column.cell(mean)) for mean in means)]
    rows.append(html.TableRow("mean of categories", cells, "rule"))
    return html.table([headline, "objects", *map(label, methods)], rows)
