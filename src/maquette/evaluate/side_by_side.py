"""The page of a comparison: one file with the table, the curves, the categories, the trainings and the same objects."""

import io
from pathlib import Path

from maquette.data.dataset import read_json
from maquette.evaluate import html
from maquette.evaluate.comparison import Comparison, Method, difference
from maquette.evaluate.evaluation import objects_in_words
from maquette.evaluate.runs import Measured, read_training
from maquette.evaluate.tables import best_of, columns_of
from maquette.io.atomic import write_text
from maquette.metrics import is_higher_better

TERMS = ("#1f6f8b", "#c4512d", "#3f7d4e", "#7a5aa6", "#b8860b", "#b03a6f", "#5b7f1f")
"""Colours of the terms of a loss."""


def write_comparison_page(comparison: Comparison, out: Path) -> None:
    """index.html in `out`: everything it shows is in it; names are shown as they are, never read as HTML."""
    first = comparison.runs[0]
    data, protocol = first.scores["data"], first.protocol
    curves = out / "fscore.png"
    sections = [
        html.section("Scores", scores_table(comparison), html.paragraph(legend(comparison))),
        html.section(
            "F-score over the distance that counts as right",
            html.plot(curves.read_bytes(), "F-score over threshold"),
        )
        if curves.is_file()
        else "",
        _objects(comparison),
        html.section("Categories", categories_table(comparison)) if len(categories_of(comparison)) > 1 else "",
        html.section("Training", curves) if (curves := trainings(comparison)) else "",
        html.section("Runs", f'<div class="facts">{"".join(map(run_facts, comparison.runs))}</div>'),
        html.section(
            f"Protocol {protocol.name}",
            html.facts(protocol.says() | {"source": protocol.source}),
            html.listing(notes(comparison)),
        ),
    ]
    title = f"{len(comparison.runs)} runs side by side"
    lead = (
        f"{objects_in_words(data)}, one picture each, the same for all; protocol "
        f"{protocol.name}, {protocol.points:,} points on each surface"
    )
    write_text(out / "index.html", html.page(title, lead, sections))


def legend(comparison: Comparison) -> str:
    """How the table of scores is read."""
    headline = comparison.runs[0].protocol.headline
    return (
        f"Means over the objects; below {headline} where 95 % of the means of resampled objects lie. Differences of "
        f"{headline} are against {comparison.reference}, object by object, with the same kind of interval; p is that "
        "of a sign-flip test. Bold: best of the networks. Another seed of a training moves scores, too, which is not "
        "in these intervals."
    )


# --------------------------------------------------------------------------------------------------------------- tables


def scores_table(comparison: Comparison) -> str:
    """A row a method: scores, failures, the difference to the reference, size and speed."""
    protocol = comparison.runs[0].protocol
    everyone = (*comparison.methods, *comparison.beside)
    columns = {k: c for k, c in columns_of(protocol).items() if any(k in method.means for method in everyone)}
    best = {
        name: best_of(name)(method.means[name] for method in comparison.methods if name in method.means)
        for name in columns
        if any(name in method.means for method in comparison.methods)
    }
    headline = protocol.headline
    # The headline first: on a narrow screen it is what is seen.
    order = [headline, *(name for name in columns if name != headline)]
    rows = []
    for method in everyone:
        ours = method in comparison.methods
        cells = []
        for name in order:
            below = ""
            if name == headline and method.interval is not None:
                below = (
                    f"{columns[name].cell(method.interval.mean_low)} – {columns[name].cell(method.interval.mean_high)}"
                )
            value = method.means.get(name)
            kind = "best" if ours and value is not None and value == best[name] else ""
            cells.append(html.Cell(columns[name].cell(value), below, kind))
        cells.insert(1, _difference_cell(method, columns[headline].form, headline))
        cells.append(html.Cell(str(method.failures) if method.failures else ""))
        cells += [html.Cell(text) for text in (_size(method) if ours else ("", ""))]
        kind = "rule" if comparison.beside and method is comparison.beside[0] else "" if ours else "aside"
        rows.append(html.TableRow(html.swatch(method.color, method.title) if ours else method.title, cells, kind))
    titles = [columns[name].title.replace("\n", " ") for name in order]
    titles.insert(1, "difference")
    return html.table(["", *titles, "failed", "parameters", "ms an object"], rows)


def _difference_cell(method: Method, form: str, headline: str) -> html.Cell:
    if method.against is None:
        return html.Cell("reference")
    found = method.against
    clear = found.low > 0 or found.high < 0
    better = (found.difference > 0) == is_higher_better(headline)
    kind = ("up" if better else "down") if clear else ""
    return html.Cell(
        difference(found, form), f"higher on {found.higher}, lower on {found.lower}; p {found.p:.2g}", kind
    )


def _size(method: Method) -> tuple[str, str]:
    """Parameters of the whole network, and milliseconds from a picture to this representation."""
    spent = method.run.scores["runtime"]["milliseconds"]
    parts = ("encode", f"decode {method.name}", f"mesh {method.name}")
    milliseconds = sum(spent.get(part, 0.0) for part in parts)
    return f"{method.run.scores['run']['parameters'] / 1e6:.1f} M", f"{milliseconds:.1f}" if milliseconds else ""


def categories_of(comparison: Comparison) -> list[str]:
    return sorted({name for method in comparison.methods for name in _by_category(method)})


def _by_category(method: Method) -> dict[str, dict]:
    return method.run.scores["methods"][method.name]["categories"]


def categories_table(comparison: Comparison) -> str:
    """The headline per category; objects counted."""
    protocol = comparison.runs[0].protocol
    headline, column = protocol.headline, columns_of(protocol)[protocol.headline]
    everyone = (*comparison.methods, *comparison.beside)
    rows = []
    for category in categories_of(comparison):
        values = [_by_category(m).get(category, {}).get("means", {}).get(headline) for m in everyone]
        ours = [value for value in values[: len(comparison.methods)] if value is not None]
        count = _by_category(comparison.methods[0]).get(category, {}).get("objects", 0)
        cells = [html.Cell(str(count))]
        for k, value in enumerate(values):
            best = k < len(comparison.methods) and value is not None and value == best_of(headline)(ours)
            cells.append(html.Cell(column.cell(value), kind="best" if best else ""))
        untrained = [run.name for run in comparison.runs if category in run.scores["untrained_categories"]]
        note = f" (not trained on: {', '.join(untrained)})" if untrained else ""
        rows.append(html.TableRow(category + note, cells))
    means = [method.run.scores["methods"][method.name]["macro"].get(headline) for method in everyone]
    rows.append(
        html.TableRow("mean of categories", [html.Cell(""), *(html.Cell(column.cell(m)) for m in means)], "rule")
    )
    return html.table([headline, "objects", *(method.title for method in everyone)], rows)


def notes(comparison: Comparison) -> list[str]:
    """What a reader must know about the numbers."""
    first = comparison.runs[0]
    lines = [*first.protocol.notes]
    said = first.scores["protocol"]
    if said["true_points_at_least"] < said["true_points"]:
        lines.append(
            f"the truth holds only {said['true_points_at_least']:,} points where the protocol asks for "
            f"{said['true_points']:,}"
        )
    trained = {run.name: run.scores["training_data"]["path"] for run in comparison.runs}
    if len(set(trained.values())) > 1:
        lines.append("the runs were trained on different data: " + "; ".join(f"{k}: {v}" for k, v in trained.items()))
    frames = {run.name: run.scores["run"].get("frame", "object") for run in comparison.runs}
    if "viewer" in frames.values():
        told = "; ".join(f"{name}: that of the {frame}" for name, frame in frames.items())
        lines.append(f"frames that the networks predict in, which are different tasks: {told}")
    lines.append(f"mean shape, retrieval, oracle and ceiling are those of {first.name}'s evaluation")
    return lines


def run_facts(run: Measured) -> str:
    """What a run is, how it was trained, and how fast and large it is."""
    facts = run.scores["run"]
    train = run.settings.get("train") or {}
    told = {"run": run.name, "model": str(facts["model"]), "parameters": f"{facts['parameters']:,}"}
    if facts["step"] is not None:
        told["steps"] = f"{facts['step']:,}"
    told |= {name: f"{train[name]}" for name in ("batch", "lr", "schedule", "seed", "data") if name in train}
    if "batch" in train and facts["step"] is not None and isinstance(train["batch"], int):
        told["pictures seen"] = f"{facts['step'] * train['batch']:,}"
    spent = run.scores["runtime"]
    told["ms an object"] = ", ".join(f"{name} {value:g}" for name, value in spent["milliseconds"].items())
    if spent["peak_memory_mb"]:
        told["peak memory"] = f"{spent['peak_memory_mb']:,} MB ({spent['device']})"
    return html.facts(told)


# ------------------------------------------------------------------------------------------------------------- pictures


def _objects(comparison: Comparison) -> str:
    """The objects that every evaluation has pictures of."""
    kept = [_pictured(run) for run in comparison.runs]
    alike = [id for id in kept[0] if all(id in other for other in kept[1:])]
    title = "The same objects"
    if not alike:
        lacking = [run for run, pictures in zip(comparison.runs, kept, strict=True) if not pictures]
        who = lacking[0] if lacking else comparison.runs[-1]
        return html.section(
            title, html.paragraph(f"No pictures: evaluate {who.name} with as many --pictures as the others.")
        )
    protocol = comparison.runs[0].protocol
    headline, column = protocol.headline, columns_of(protocol)[protocol.headline]
    strips = []
    for id in alike:
        files, category = kept[0][id]
        figures = [html.figure(_read(files.get("input")), "input"), html.figure(_read(files.get("truth")), "truth")]
        for method in comparison.methods:
            own = kept[comparison.runs.index(method.run)][id][0]
            value = method.run.values(method.name, headline).get(id)
            text = f"{headline} {column.cell(value)}" if value is not None else "failed"
            figures.append(html.figure(_read(own.get(method.name)), method.title, text, f"{method.title} of {id}"))
        strips.append(html.strip(f"{id} ({category})" if category else id, figures))
    return html.section(title, f'<div class="objects">{"".join(strips)}</div>')


def _pictured(run: Measured) -> dict[str, tuple[dict[str, Path], str]]:
    """By id: the files of an object's pictures, and its category."""
    folder = run.folder / "pictures"
    if not (folder / "index.json").is_file():
        return {}
    return {
        one["id"]: ({name: folder / file for name, file in one["files"].items()}, one["category"])
        for one in read_json(folder / "index.json")["objects"]
    }


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path is not None and path.is_file() else None


def trainings(comparison: Comparison) -> str:
    """The losses of each run, smoothed; terms of different models are not comparable, so each has its own plot."""
    figures = []
    for run in comparison.runs:
        training = read_training(run.run)
        if training is not None and training.losses:
            figures.append(_training_figure(run.name, training.losses, training.validation))
    if not figures:
        return ""
    explained = "Terms of the loss over the steps; dashed: on validation objects. Each run has its own scale."
    return html.paragraph(explained) + f'<div class="plots">{"".join(figures)}</div>'


def _training_figure(name: str, losses: dict, validation: dict) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 3.2), dpi=130, layout="constrained")
    axes = figure.subplots()
    for k, (term, (steps, values)) in enumerate(losses.items()):
        color = TERMS[k % len(TERMS)]
        axes.plot(steps, values, color=color, linewidth=1.6, label=term)
        if term in validation:
            axes.plot(*validation[term], color=color, linewidth=1.3, linestyle=(0, (4, 2)), marker="o", markersize=2.5)
    if all((values > 0).all() for _, values in losses.values()):
        axes.set_yscale("log")
    axes.set_xlabel("step", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.legend(fontsize=7.5, frameon=False, ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    picture = html.plot(file.getvalue(), f"losses of {name}")
    return f"<figure>{picture}<figcaption>{html.escaped(name)}</figcaption></figure>"
