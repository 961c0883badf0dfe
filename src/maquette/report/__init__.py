"""`maquette report RUN...`: one self-contained page of what evaluated runs do, object by object and in numbers.

Read `write_report` from top to bottom. The numbers are those of the evaluations; truth and predictions of the objects
that the page shows are made once more.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro

from maquette.console import bar
from maquette.diagnose.errors import error_colors
from maquette.diagnose.program import DiagnoseConfig, diagnose_run
from maquette.evaluate import EvaluateConfig, evaluate_run, html
from maquette.evaluate.comparison import Comparison, compared
from maquette.evaluate.opened import read_evaluations, with_objects
from maquette.evaluate.runs import check_comparable
from maquette.io.atomic import write_text
from maquette.ops.devices import usable_device
from maquette.report.facts import numbers_parts, parts_below, title_and_lead
from maquette.report.objects import Collection, Showing, chosen_objects, collected
from maquette.report.page import Part, index_data, object_data, objects_part, whole_page

MEGABYTE = 1_000_000
HeatName = Literal["integrated-gradients", "hires-cam", "grad-cam", "smoothgrad"]


@dataclass(frozen=True)
class ReportConfig:
    """One HTML file that opens without a network: scores beside baselines, every object in 3D, errors, heat maps.

    Give runs with an evaluation, or folders of evaluations. Without any, the network that comes with Maquette is first
    evaluated and diagnosed on --data, beside baselines of its training objects; that is kept next to the page.
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
    limit: float = 0.05
    """Distance, in object diagonals, from which on the colour of an error is red."""
    heats: tuple[HeatName, ...] = ("integrated-gradients", "hires-cam")
    """Heat maps of each object; `--heats` alone for none. docs/interpretation.md tells what they say."""
    limit_mb: float = 15.0
    """Size of the page in millions of bytes; above it, objects are left out, and the page says so."""
    device: str = "cpu"
    """A torch device for the networks: cpu, cuda, cuda:1, mps."""

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
        if not 0 < self.limit < math.inf:
            raise ValueError(f"report: limit is {self.limit:g}; give a distance above 0")
        if not self.limit_mb > 0:
            raise ValueError(f"report: limit-mb is {self.limit_mb:g}; give a size above 0")


def write_report(config: ReportConfig) -> Path:
    """Read the evaluations, make the shown objects once more, and write the page."""
    device = usable_device(config.device, "report")
    folders = config.runs or (evaluate_bundled(config),)
    measured = read_evaluations(folders, "report", config.evaluation)
    check_comparable(measured)
    evaluations = [with_objects(one, "report", config.data) for one in measured]
    comparison = compared(measured)
    out = measured[0].folder / "report.html" if config.out is None else config.out
    ids = chosen_objects(comparison, config.objects)
    with bar() as progress:
        task = progress.add_task("looking", total=len(ids) * len(evaluations), note="objects")
        showing = Showing(config.limit, config.heats, device)
        found = collected(comparison, evaluations, ids, showing, lambda done: progress.update(task, advance=done))
    page, left_out = fitted(comparison, found, config)
    write_text(out, page)
    size = len(page.encode()) / MEGABYTE
    print(f"{out}: {size:.1f} MB, {len(ids) - len(left_out)} of {len(measured[0].objects())} objects in 3D")
    if left_out:
        print(left_out_in_words(left_out, len(ids), config.limit_mb), file=sys.stderr)
    return out


def evaluate_bundled(config: ReportConfig) -> Path:
    """The bundled network measured on the data, beside baselines of its training objects, and where it fails."""
    assert config.out is not None
    folder = config.out.with_name(f"{config.out.stem}-evaluation")
    evaluate_run(EvaluateConfig(data=config.data, train_data=config.data, out=folder, device=config.device))
    diagnose_run(DiagnoseConfig(folder, device=config.device))
    return folder


def fitted(comparison: Comparison, found: Collection, config: ReportConfig) -> tuple[str, list[str]]:
    """The page within its limit, and the ids of the objects that were left out for it: those chosen last."""
    around, shown = (numbers_parts(comparison), parts_below(comparison)), found.exhibits
    limit_mb, count = config.limit_mb, len(shown)
    while True:
        left_out = [one.id for one in shown[count:]]
        page = page_of(comparison, around, replace(found, exhibits=shown[:count]), left_out, config)
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
    found: Collection,
    left_out: Sequence[str],
    config: ReportConfig,
) -> str:
    """`around` are the sections above and below the objects."""
    shown, scale = found.exhibits, error_scale(config.limit)
    chosen, total = len(shown) + len(left_out), len(comparison.runs[0].objects())
    remarks = list(found.remarks)
    if chosen < total:
        remarks.append(f"{chosen} of {total} objects are chosen: best, median and worst, and others evenly spread")
    if left_out:
        remarks.append(left_out_in_words(left_out, chosen, config.limit_mb))
    body, data = html.listing(remarks), []
    if shown:
        body += objects_part(comparison, shown, scale, config.limit)
        data = [object_data(one, number) for number, one in enumerate(shown)]
        data.append(index_data(comparison, shown, found.heats, scale))
    title, lead = title_and_lead(comparison)
    return whole_page(title, lead, [*around[0], Part("objects", "Objects", body), *around[1]], data)


def error_scale(limit: float) -> list[list[int]]:
    """256 colours from no error to the limit."""
    colors = error_colors(torch.linspace(0, limit, 256), limit)
    return (colors * 255).round().int().tolist()
