"""`maquette compare RUN...`: runs side by side, measured by one protocol on the same objects.

Nothing is measured here: every number comes from evaluations, which `maquette evaluate` has left in the runs, or in
folders of their own.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from maquette.evaluate.comparison import Comparison, as_json, compared, curves_of, difference
from maquette.evaluate.curves import plot_curves
from maquette.evaluate.evaluation import objects_in_words
from maquette.evaluate.opened import read_evaluations
from maquette.evaluate.runs import check_comparable
from maquette.evaluate.side_by_side import write_comparison_page
from maquette.evaluate.tables import columns_of
from maquette.io.atomic import write_json


@dataclass(frozen=True)
class CompareConfig:
    """Put evaluated runs side by side: one page, compare.json and fscore.png.

    The runs must have been measured by the same protocol on the same objects. Differences are against the first run:
    mean over the objects, with the interval of 95 % of the means of resampled objects.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Two or more folders of runs, each with an evaluation, or of evaluations themselves."""
    out: Path
    """Folder for index.html, compare.json and fscore.png. Existing files are replaced."""
    evaluation: str = "evaluation"
    """The evaluation's folder in each run; that of another protocol is evaluation-PROTOCOL."""


def compare_runs(config: CompareConfig) -> Comparison:
    """Read the evaluations, refuse what cannot be compared, and write the page."""
    if len(config.runs) < 2:
        raise ValueError(f"compare: {len(config.runs)} run; give at least two runs or evaluations")
    measured = read_evaluations(config.runs, "compare", config.evaluation)
    check_comparable(measured)
    comparison = compared(measured)
    protocol = measured[0].protocol
    if len(protocol.thresholds) > 1:
        data = measured[0].scores["data"]
        title = f"{objects_in_words(data)}, protocol {protocol.name}"
        plot_curves(curves_of(comparison), title, protocol, config.out / "fscore.png")
    else:
        (config.out / "fscore.png").unlink(missing_ok=True)
    write_json(config.out / "compare.json", as_json(comparison))
    write_comparison_page(comparison, config.out)
    print_comparison(comparison, config.out)
    return comparison


def print_comparison(comparison: Comparison, out: Path) -> None:
    """The table, as the page has it."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    protocol = comparison.runs[0].protocol
    column = columns_of(protocol)[protocol.headline]
    data = comparison.runs[0].scores["data"]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("", column.title, "95 % of the mean", f"against {comparison.reference}", "higher", "lower", "p"):
        table.add_column(escape(title), justify="left" if not title else "right")
    for method in (*comparison.methods, *comparison.beside):
        if comparison.beside and method is comparison.beside[0]:
            table.add_section()
        interval, against = method.interval, method.against
        table.add_row(
            escape(method.title),
            column.cell(method.means.get(protocol.headline)),
            "" if interval is None else f"{column.cell(interval.mean_low)} to {column.cell(interval.mean_high)}",
            "" if against is None else difference(against, column.form),
            *(("", "", "") if against is None else (str(against.higher), str(against.lower), f"{against.p:.2g}")),
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=140)
    console.print(f"{objects_in_words(data)}, protocol {protocol.name}")
    console.print(table)
    files = ["index.html", "compare.json"] + ["fscore.png"] * (len(protocol.thresholds) > 1)
    console.print(f"{out}: {'  '.join(files)}", soft_wrap=True, markup=False)
