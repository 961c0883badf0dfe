"""What a comparison of runs says: every representation of every run, against the first run's best."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from maquette.evaluate.curves import COLORS, SERIES, Curve, grey_curve
from maquette.evaluate.evaluation import label
from maquette.evaluate.runs import Measured
from maquette.evaluate.tables import best_of
from maquette.metrics import Interval, Paired, bootstrap, paired


@dataclass(frozen=True)
class Method:
    """One representation of one run, or a baseline."""

    run: Measured
    name: str
    """As in scores.csv."""
    title: str
    color: str
    means: dict[str, float]
    failures: int
    interval: Interval | None
    """Of the headline."""
    against: Paired | None
    """The headline minus that of the reference, on the same objects; None for the reference itself."""


@dataclass(frozen=True)
class Comparison:
    """All that the page shows."""

    runs: tuple[Measured, ...]
    methods: tuple[Method, ...]
    """Of the networks, in the order of the runs; the first run's best is the reference."""
    beside: tuple[Method, ...]
    """Baselines, as the first run's evaluation has them."""
    reference: str
    """Title of the method that the others are compared with."""


def compared(measured: Sequence[Measured]) -> Comparison:
    """Every representation of every run, against the first run's best by the headline."""
    first, protocol = measured[0], measured[0].protocol
    headline, better = protocol.headline, best_of(protocol.headline)

    def title(run: Measured, name: str) -> str:
        """Of one run alone, the representation says enough."""
        return label(name) if len(measured) == 1 else run.title(name)

    means = {name: first.scores["methods"][name]["means"].get(headline) for name in first.network}
    known = {name: mean for name, mean in means.items() if mean is not None}
    reference = better(known, key=lambda name: known[name]) if known else first.network[0]
    theirs = first.values(reference, headline)
    methods = []
    for run in measured:
        for name in run.network:
            color = SERIES[len(methods) % len(SERIES)]
            if len(measured) == 1:
                color = COLORS.get(name, color)
            own = None if run is first and name == reference else theirs
            methods.append(_method(run, name, title(run, name), color, headline, own))
    retrieval = first.scores["retrieval"]
    wanted = ("mean_shape", retrieval, "oracle", "ceiling")
    beside = [_method(first, n, label(n), "#8a8a8a", headline, theirs) for n in wanted if n in first.scores["methods"]]
    return Comparison(tuple(measured), tuple(methods), tuple(beside), title(first, reference))


def _method(
    run: Measured, name: str, title: str, color: str, headline: str, reference: dict[str, float] | None
) -> Method:
    found, values = run.scores["methods"][name], run.values(name, headline)
    both = [] if reference is None else [id for id in values if id in reference]
    against = None
    if reference is not None and both:
        against = paired(np.array([values[id] for id in both]), np.array([reference[id] for id in both]))
    interval = bootstrap(np.array(list(values.values()))) if values else None
    return Method(run, name, title, color, found["means"], found["failures"], interval, against)


def curves_of(comparison: Comparison) -> list[Curve]:
    thresholds = comparison.runs[0].protocol.thresholds

    def f(method: Method) -> tuple[float, ...]:
        return tuple(method.means[f"F@{t:g}"] for t in thresholds)

    ours = [Curve(method.title, f(method), method.color, strong=True) for method in comparison.methods]
    return ours + [grey_curve(method.name, method.title, f(method)) for method in comparison.beside]


def as_json(comparison: Comparison) -> dict:
    first = comparison.runs[0]
    return {
        "protocol": first.scores["protocol"],
        "data": first.scores["data"],
        "reference": comparison.reference,
        "runs": [
            {"name": run.name, "folder": str(run.run), "evaluation": str(run.folder)}
            | {key: run.scores[key] for key in ("run", "training_data", "runtime")}
            | {"train": run.settings.get("train"), "model": run.settings.get("model")}
            for run in comparison.runs
        ],
        "methods": [_json_of(method) for method in comparison.methods],
        "baselines": [_json_of(method) for method in comparison.beside],
    }


def _json_of(method: Method) -> dict:
    categories = method.run.scores["methods"][method.name]["categories"]
    headline = method.run.protocol.headline
    return {
        "title": method.title,
        "run": method.run.name,
        "method": method.name,
        "means": method.means,
        "failures": method.failures,
        "interval": method.interval and asdict(method.interval),
        "against_reference": method.against and asdict(method.against),
        "categories": {name: found["means"].get(headline) for name, found in categories.items()},
    }


def difference(against: Paired, form: str) -> str:
    signed = f"+{form}"
    return f"{against.difference:{signed}} ({against.low:{signed}} to {against.high:{signed}})"
