"""Sections of the report that are numbers: scores beside baselines, classes, failures, trainings, configuration."""

import datetime
import io
import json
import platform

import torch

from maquette.data.pack import first_of
from maquette.evaluate import html
from maquette.evaluate.comparison import Comparison, curves_of
from maquette.evaluate.curves import drawn_curves
from maquette.evaluate.evaluation import objects_in_words
from maquette.evaluate.runs import Measured
from maquette.evaluate.side_by_side import (
    categories_of,
    categories_table,
    legend,
    notes,
    run_facts,
    scores_table,
    trainings,
)
from maquette.report.failures import diagnosis_part, robustness_part
from maquette.report.page import Part
from maquette.version import __version__


def title_and_lead(comparison: Comparison) -> tuple[str, str]:
    first = comparison.runs[0]
    protocol = first.protocol
    names = [run.name for run in comparison.runs]
    title = f"{names[0]}: report" if len(names) == 1 else f"{len(names)} runs: report"
    told = "" if len(names) == 1 else f"{', '.join(names)}; "
    return title, (
        f"{told}{objects_in_words(first.scores['data'])}, one picture each; protocol {protocol.name}, "
        f"{protocol.points:,} points on each surface"
    )


def numbers_parts(comparison: Comparison) -> list[Part]:
    """What stands above the objects: scores and classes."""
    lacking = [f"missing beside {run.name}: {line}" for run in comparison.runs for line in run.scores["missing"]]
    curves, drawn = curves_of(comparison), ""
    protocol = comparison.runs[0].protocol
    if len(protocol.thresholds) > 1:
        title = f"{objects_in_words(comparison.runs[0].scores['data'])}, protocol {protocol.name}"
        file = io.BytesIO()
        drawn_curves(curves, title, protocol).savefig(file, format="png")
        plot = html.picture(file.getvalue(), "F-score over threshold", kind="plot", mime="image/png")
        drawn = f'<div class="wide">{plot}</div>'
    parts = [
        Part("scores", "Scores", scores_table(comparison) + html.paragraph(legend(comparison)) + html.listing(lacking))
    ]
    if drawn:
        parts.append(Part("curves", "F-score curves", drawn))
    if len(categories_of(comparison)) > 1:
        parts.append(Part("classes", "Classes", categories_table(comparison)))
    return parts


def parts_below(comparison: Comparison) -> list[Part]:
    """What stands below the objects."""
    first = comparison.runs[0]
    said = html.facts(first.protocol.says() | {"source": first.protocol.source}) + html.listing(notes(comparison))
    configuration = f'<div class="facts">{"".join(map(run_facts, comparison.runs))}</div>'
    configuration += "".join(map(_settings, comparison.runs))
    parts = [
        Part("failed", "Predictions that failed", _failures(comparison)),
        *(diagnosis_part(run, k, alone=len(comparison.runs) == 1) for k, run in enumerate(comparison.runs)),
        *(robustness_part(run, k, alone=len(comparison.runs) == 1) for k, run in enumerate(comparison.runs)),
        Part("training", "Training", _trainings(comparison)),
        Part("protocol", f"Protocol {first.protocol.name}", said),
        Part("configuration", "Configuration", configuration),
        Part("environment", "Environment", environment(comparison)),
    ]
    return [part for part in parts if part.body]


def _failures(comparison: Comparison) -> str:
    """What has no surface to compare, and objects that were left out of the evaluation."""
    lines = []
    for run in comparison.runs:
        ours = [one for one in run.scores["failures"] if one["method"] in run.network]
        lines += [f"{run.title(one['method'])}, {one['id']}: {one['reason']}" for one in ours[:20]]
        if len(ours) > 20:
            lines.append(f"and {len(ours) - 20} more of {run.name}, in {run.folder / 'scores.json'}")
        left_out = run.scores["data"].get("left_out", [])
        if left_out:
            total = run.scores["data"]["requested"]
            lines.append(f"{len(left_out)} of {total} requested objects were not measured: {first_of(left_out)}")
    return html.listing(lines)


def _trainings(comparison: Comparison) -> str:
    without = [run.name for run in comparison.runs if not (run.run / "metrics.jsonl").is_file()]
    lines = [f"{name} keeps no metrics.jsonl, so its losses cannot be shown" for name in without]
    return trainings(comparison) + html.listing(lines)


def _settings(run: Measured) -> str:
    shown = html.escaped(json.dumps(run.settings, indent=2))
    return f"<details><summary>config.json of {html.escaped(run.name)}</summary><pre>{shown}</pre></details>"


def environment(comparison: Comparison) -> str:
    """Where each evaluation was made, and this page."""
    told = []
    for run in comparison.runs:
        scores, versions = run.scores, run.scores["run"].get("versions", {})
        facts = {
            "evaluation of": run.name,
            "folder": str(run.folder),
            "made": _moment((run.folder / "scores.json").stat().st_mtime),
            "maquette": str(versions.get("maquette", "")),
            "torch": str(versions.get("torch", "")),
            "trained with": str(versions.get("trained_with", "")),
            "platform": str(scores.get("platform", "")),
            "device": str(scores["runtime"]["device"]),
            "seed": str(scores.get("seed", "")),
            "data": f"{scores['data']['path']}, split {scores['data']['split']}",
            "view": str(scores["data"].get("view", "")),
        }
        told.append(html.facts({name: value for name, value in facts.items() if value}))
    here = {
        "this page": _moment(datetime.datetime.now().timestamp()),
        "maquette": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": "cpu, for what is shown in 3D",
    }
    return f'<div class="facts">{"".join(told)}{html.facts(here)}</div>'


def _moment(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M %Z")
