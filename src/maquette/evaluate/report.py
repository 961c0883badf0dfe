"""An evaluation as files: scores.json, a line per object and method in scores.csv, the curves in fscore.png."""

import csv
import io
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from maquette.evaluate.curves import curves_of, plot_curves
from maquette.evaluate.evaluation import Evaluation, objects_in_words, words
from maquette.evaluate.scoring import Row
from maquette.io.atomic import write_json, write_text
from maquette.metrics import macro


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """scores.json, scores.csv and, where the protocol has F-scores, fscore.png in `out`, each whole or not at all."""
    write_json(out / "scores.json", as_json(evaluation))
    write_text(out / "scores.csv", as_csv(evaluation.rows))
    curves = curves_of(evaluation)
    if curves:
        plot_curves(curves, title_of(evaluation), evaluation.protocol, out / "fscore.png")
    else:
        # One of another protocol must not stand beside these scores.
        (out / "fscore.png").unlink(missing_ok=True)


def title_of(evaluation: Evaluation) -> str:
    data, protocol = evaluation.facts["data"], evaluation.protocol
    return f"{objects_in_words(data)}, protocol {protocol.name}, {protocol.points:,} points"


def as_json(evaluation: Evaluation) -> dict:
    """Everything but the single objects' scores, failures excepted."""
    protocol = evaluation.protocol
    retrieval = evaluation.better_retrieval()
    methods = {}
    for name in evaluation.methods():
        categories = evaluation.by_category(name)
        summary = evaluation.summary(name)
        intervals = {
            score: asdict(interval)
            for score in summary.means
            if not score.startswith(("precision", "recall")) and (interval := evaluation.interval(name, score))
        }
        versus = evaluation.against(name, retrieval) if retrieval and name in evaluation.representations else None
        methods[name] = {
            "kind": "network" if name in evaluation.representations else "baseline",
            "what": words(name, evaluation.facts["run"]["frame"]),
            **asdict(summary),
            "intervals": intervals,
            "against_retrieval": versus and asdict(versus),
            "own_points": evaluation.own_points(name),
            "macro": macro(categories),
            "categories": {category: asdict(found) for category, found in categories.items()},
        }
    failures = [
        {"id": row.entry.id, "method": row.method, "reason": row.scores.failure}
        for row in evaluation.rows
        if row.scores.failure
    ]
    return {
        "protocol": {
            "name": protocol.name,
            "source": protocol.source,
            **protocol.says(),
            "says_points": protocol.says()["points"],
            "points": protocol.points,
            "true_points": protocol.of_truth,
            "true_points_at_least": evaluation.fewest_true_points(),
            "places": evaluation.places(),
            "thresholds": list(protocol.thresholds),
            "squared_thresholds": protocol.squared_thresholds,
            "headline": protocol.headline,
            "higher_is_better": protocol.higher_is_better,
            "notes": list(protocol.notes),
        },
        **evaluation.facts,
        "untrained_categories": evaluation.untrained(),
        "platform": platform.platform(),
        "retrieval": retrieval,
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
