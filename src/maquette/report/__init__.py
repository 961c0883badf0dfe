"""`maquette report RUN...`: one self-contained page of what evaluated runs do, object by object and in numbers.

Read `write_report` from top to bottom. The numbers are those of the evaluations; truth and predictions of the objects
that the page shows are made once more.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from maquette.console import bar
from maquette.evaluate import EvaluateConfig, evaluate_run, html
from maquette.evaluate.comparison import Comparison, compared
from maquette.evaluate.runs import check_comparable
from maquette.io.atomic import write_text
from maquette.report.facts import numbers_parts, parts_below, title_and_lead
from maquette.report.objects import Exhibit, chosen_objects, exhibits
from maquette.report.page import Part, index_data, object_data, objects_part, whole_page
from maquette.report.sources import read_measured, with_data

ERROR_LIMIT = 0.1
"""Of the colours, in object units."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ReportConfig:
    """One HTML file that opens without a network: scores beside baselines, every object in 3D, errors, heat maps.

    Give runs with an evaluation, or folders of evaluations. Without any, the network that comes with Maquette is first
    evaluated on --data, beside baselines of its training objects; its evaluation is kept next to the page.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Folders of runs, each with an evaluation, or of evaluations."""
    data: Path | None = None
    """Data set: where that of the evaluations lies now, or what the bundled network is measured on."""
    out: Path | None = None
    """The page; unless told, report.html in the evaluation's folder. An existing file is replaced."""
    evaluation: str = "evaluation"
    """The evaluation's folder in each run; that of another protocol is evaluation-PROTOCOL."""
    objects: int = 60
    """Shown in 3D, at most: the best, the median and the worst of each representation, and others evenly spread."""
    limit_mb: float = 15.0
    """Size of the page in millions of bytes; above it, objects are left out, and the page says so."""

    def __post_init__(self) -> None:
        if not self.runs and self.data is None:
            raise ValueError("report: give RUN, or --data on which the bundled network is to be measured")
        if not self.runs and self.out is None:
            raise ValueError("report: the bundled network has no folder for the page; give --out report.html")
        if len(self.runs) > 1 and self.out is None:
            raise ValueError(f"report: {len(self.runs)} runs in one page; give --out report.html")
        if self.out is not None and self.out.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"report: --out {self.out} is no page; give a name that ends in .html")
        if self.objects < 1:
            raise ValueError(f"report: objects is {self.objects}; show at least one")
        if not self.limit_mb > 0:
            raise ValueError(f"report: limit-mb is {self.limit_mb:g}; give a size above 0")


def write_report(config: ReportConfig) -> Path:
    """Read the evaluations, make the shown objects once more, and write the page."""
    folders = config.runs or (evaluate_bundled(config),)
    measured = read_measured(folders, config.evaluation)
    check_comparable(measured)
    sources = [with_data(run, config.data) for run in measured]
    comparison = compared(measured)
    out = measured[0].folder / "report.html" if config.out is None else config.out
    ids = chosen_objects(comparison, config.objects)
    with bar() as progress:
        task = progress.add_task("looking", total=len(ids) * len(sources), note="objects")
        shown = exhibits(comparison, sources, ids, ERROR_LIMIT, lambda done: progress.update(task, advance=done))
    page, left_out = fitted(comparison, shown, config.limit_mb)
    write_text(out, page)
    size = len(page.encode()) / MEGABYTE
    print(f"{out}: {size:.1f} MB, {len(shown) - len(left_out)} of {len(measured[0].objects())} objects in 3D")
    if left_out:
        print(left_out_in_words(left_out, len(shown), config.limit_mb), file=sys.stderr)
    return out


def evaluate_bundled(config: ReportConfig) -> Path:
    """The bundled network measured on the data, beside baselines of the same data set's training objects."""
    assert config.out is not None
    folder = config.out.with_name(f"{config.out.stem}-evaluation")
    evaluate_run(EvaluateConfig(data=config.data, train_data=config.data, out=folder))
    return folder


def fitted(comparison: Comparison, shown: Sequence[Exhibit], limit_mb: float) -> tuple[str, list[str]]:
    """The page within its limit, and the ids of the objects that were left out for it: those chosen last."""
    around, scale = (numbers_parts(comparison), parts_below(comparison)), error_scale()
    count = len(shown)
    while True:
        left_out = [one.id for one in shown[count:]]
        page = page_of(comparison, around, shown[:count], left_out, scale, limit_mb)
        over = len(page.encode()) - limit_mb * MEGABYTE
        if over <= 0:
            return page, left_out
        if count == 0:
            raise ValueError(
                f"report: {over / MEGABYTE + limit_mb:.2f} MB without a single object in 3D, and --limit-mb is "
                f"{limit_mb:g}; allow more"
            )
        while count and over > 0:
            count -= 1
            over -= len(object_data(shown[count], count))


def left_out_in_words(left_out: Sequence[str], chosen: int, limit_mb: float) -> str:
    named = ", ".join(left_out[:5]) + (f" and {len(left_out) - 5} more" if len(left_out) > 5 else "")
    return (
        f"{len(left_out)} of {chosen} chosen objects are left out, or the page were larger than {limit_mb:g} MB: "
        f"{named}; --limit-mb allows more"
    )


def page_of(
    comparison: Comparison,
    around: tuple[list[Part], list[Part]],
    shown: Sequence[Exhibit],
    left_out: Sequence[str],
    scale: Sequence[Sequence[int]],
    limit_mb: float,
) -> str:
    """`around` are the sections above and below the objects."""
    chosen, total = len(shown) + len(left_out), len(comparison.runs[0].objects())
    remarks = []
    if chosen < total:
        remarks.append(f"{chosen} of {total} objects are chosen: best, median and worst, and others evenly spread")
    if left_out:
        remarks.append(left_out_in_words(left_out, chosen, limit_mb))
    body, data = html.listing(remarks), []
    if shown:
        body += objects_part(comparison, shown, scale, ERROR_LIMIT)
        data = [index_data(comparison, shown, HEATS, scale), *(object_data(one, k) for k, one in enumerate(shown))]
    title, lead = title_and_lead(comparison)
    return whole_page(title, lead, [*around[0], Part("objects", "Objects", body), *around[1]], data)


HEATS: tuple[str, ...] = ()


def error_scale() -> list[list[int]]:
    """256 colours from no error to the limit."""
    import numpy as np

    stops = np.array([[43, 74, 155], [79, 151, 204], [233, 229, 196], [238, 154, 77], [176, 22, 30]])
    at = np.linspace(0, 4, 256)
    return np.stack([np.interp(at, range(5), stops[:, k]) for k in range(3)], 1).round().astype(int).tolist()
