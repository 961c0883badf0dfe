"""The page of a diagnosis, and its sections for other pages: plots, tables with counts, and the objects shown."""

from collections.abc import Sequence
from pathlib import Path

from maquette.diagnose.diagnosis import (
    BEYOND,
    DISTANCE,
    FEW,
    Breakdown,
    Diagnosis,
    Estimate,
    Shown,
    measure_in_words,
)
from maquette.diagnose.plots import plot_breakdown, plot_nearness, plot_views
from maquette.evaluate import html
from maquette.evaluate.evaluation import label
from maquette.io.atomic import write_text

SORTED = ("category", "parts_missed", "parts_wrong")
"""Breakdowns whose bins have no order of their own."""
PLOTS = (
    "category.png", "parts_missed.png", "parts_wrong.png", "thickness.png", "views.png", "nearness.png",
)  # fmt: skip
"""All that there may be."""
CAPTIONS = {
    "input": "input",
    "truth": "truth",
    "prediction": "prediction",
    "errors": "prediction, by its errors",
    "missed": "truth, by what was missed",
}


def write_diagnosis_page(diagnosis: Diagnosis, out: Path) -> None:
    """The plots as PNG and index.html in `out`."""
    tolerance = diagnosis.facts.tolerance
    for one in diagnosis.breakdowns:
        if one.key not in ("azimuth", "elevation"):
            plot_breakdown(one, one.measures[0], tolerance, out / f"{one.key}.png", sort=one.key in SORTED)
    azimuth = diagnosis.breakdown("azimuth")
    if azimuth is not None:
        plot_views(azimuth, diagnosis.breakdown("elevation"), out / "views.png")
    if diagnosis.nearness is not None:
        plot_nearness(diagnosis.nearness, out / "nearness.png")
    facts = diagnosis.facts
    title = f"{facts.origin.name}: where it fails"
    lead = f"{facts.origin.objects}, one picture each; protocol {facts.origin.protocol}"
    write_text(out / "index.html", html.page(title, lead, diagnosis_sections(diagnosis, out)))


def diagnosis_sections(diagnosis: Diagnosis, folder: Path) -> list[str]:
    """Sections of HTML for any page with our styles; pictures and plots are read from `folder` and inlined."""
    sections = []
    for title, keys, plots in (
        ("Categories", ("category",), ("category.png",)),
        ("Parts", ("parts_missed", "parts_wrong"), ("parts_missed.png", "parts_wrong.png")),
        ("Thickness", ("thickness",), ("thickness.png",)),
        ("Views", ("azimuth", "elevation"), ("views.png",)),
    ):
        found = [one for key in keys if (one := diagnosis.breakdown(key)) is not None]
        drawn = [_plot(folder / name, title) for name in plots if (folder / name).is_file()]
        if found:
            tables = [_details(one, diagnosis) for one in found]
            sections.append(html.section(title, html.paragraph(_about(title, diagnosis)), *drawn, *tables))
    if diagnosis.nearness is not None and (folder / "nearness.png").is_file():
        about = html.paragraph(_about("Training", diagnosis))
        drawn = _plot(folder / "nearness.png", "score by the distance to the training set")
        sections.append(html.section("Distance to the training set", about, drawn, _correlations(diagnosis)))
    sections.append(_shown(diagnosis, folder))
    sections.append(html.section("What to know", html.listing([_few(), *diagnosis.facts.remarks])))
    return [section for section in sections if section]


def _few() -> str:
    return (
        f"Intervals: 95 % of the means of resampled objects. Bins of fewer than {FEW} objects are hollow in plots and "
        "marked as few in tables: their intervals are too narrow to be believed."
    )


def _about(title: str, diagnosis: Diagnosis) -> str:
    facts = diagnosis.facts
    return {
        "Categories": f"{facts.headline} of every category.",
        "Parts": f"Recall side: which share of a part's true points has no predicted point within {facts.tolerance:g} "
        "object diagonals. Precision side: of the predicted points that are nearest to a part, which share is farther "
        "from the truth than that.",
        "Thickness": "The thickness below a true point is how far a ray against its normal goes until it leaves the "
        "solid, in object diagonals. Shares of the true points that are missed.",
        "Views": "By the camera that took the picture. Azimuth from above: the front is below, +x to the right; below "
        "each angle stands how many objects were seen from there.",
        "Training": "How far the nearest training shape is from the truth (the oracle's answer). A network that only "
        "looks things up falls as retrieval does.",
    }[title]


def _plot(path: Path, alt: str) -> str:
    """On a phone it keeps a size that can be read, and is moved sideways."""
    return f'<div class="wide">{html.plot(path.read_bytes(), alt)}</div>'


def _details(one: Breakdown, diagnosis: Diagnosis) -> str:
    """The numbers of a breakdown, folded."""
    rows = []
    for b in one.bins:
        counts = str(b.objects) + (" (few)" if b.few else "")
        cells = [html.Cell(counts), *([html.Cell(f"{b.points:,}")] if b.points is not None else [])]
        for method in diagnosis.facts.methods:
            for measure in one.measures:
                cells.append(_cell(b.value(method, measure), measure))
        rows.append(html.TableRow(b.name, cells))
    heads = ["", "objects", *(["points"] if one.bins[0].points is not None else [])]
    short = {BEYOND: "% beyond", DISTANCE: "mean distance"}
    heads += [f"{label(method)}, {short.get(m, m)}" for method in diagnosis.facts.methods for m in one.measures]
    summary = f"{one.title}: {measure_in_words(one.measures[0], diagnosis.facts.tolerance, one.of)}"
    return f"<details><summary>{html.escaped(summary)}</summary>{html.table(heads, rows)}</details>"


def _cell(found: Estimate | None, measure: str) -> html.Cell:
    if found is None:
        return html.Cell("")
    form = ".4f" if measure == DISTANCE or measure.startswith("chamfer") else ".1f"
    return html.Cell(f"{found.value:{form}}", f"{found.low:{form}} – {found.high:{form}}")


def _correlations(diagnosis: Diagnosis) -> str:
    near = diagnosis.nearness
    assert near is not None
    rows = [
        html.TableRow(label(method), [html.Cell("not defined") if rho is None else _signed(rho)])
        for method, rho in zip(near.methods, near.correlations, strict=True)
    ]
    table = html.table(["", f"rank correlation of {near.score} with the distance"], rows)
    if "oracle" not in near.methods:
        return table
    return table + html.paragraph("The oracle's answer is the nearest training shape: its fall is no finding.")


def _signed(rho: Estimate) -> html.Cell:
    return html.Cell(f"{rho.value:+.2f}", f"{rho.low:+.2f} – {rho.high:+.2f}")


def _shown(diagnosis: Diagnosis, folder: Path) -> str:
    groups: dict[str, list[Shown]] = {}
    for one in diagnosis.shown:
        groups.setdefault(one.category, []).append(one)
    parts = []
    for category, some in groups.items():
        strips = [_strip(one, diagnosis, folder) for one in some]
        title = category or "All objects"
        parts.append(f'<h3>{html.escaped(title)}</h3><div class="objects threes">{"".join(strips)}</div>')
    best = label(diagnosis.facts.methods[0])
    text = f"Of {best}, by {diagnosis.facts.headline}; errors from blue (none) to red, in object diagonals."
    return html.section("Best, median, worst", html.paragraph(text), *parts) if parts else ""


def _strip(one: Shown, diagnosis: Diagnosis, folder: Path) -> str:
    score = f"failed: {one.failure}" if one.failure else f"{diagnosis.facts.headline} {one.score:.3g}"
    figures: Sequence[str] = [
        html.figure((folder / file.path).read_bytes(), CAPTIONS.get(file.what, file.what))
        for file in one.files
        if (folder / file.path).is_file()
    ]
    return html.strip(f"{one.kind}: {one.id}, {score}", figures)
