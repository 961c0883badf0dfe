"""Means of scores over objects and over categories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maquette.metrics.scoring import Scores


@dataclass(frozen=True)
class Summary:
    """Of the objects that one method was asked for."""

    objects: int
    failures: int
    means: dict[str, float]
    """Of each score, over the objects that have it."""
    counts: dict[str, int]
    """How many objects each mean is over: fewer than `objects` where failures are excluded."""


def summarise(scores: Sequence[Scores]) -> Summary:
    """Means over objects. Failures stand in the F-scores and the IoU as 0 and are missing from the other scores."""
    values: dict[str, list[float]] = {}
    for one in scores:
        for name, value in one.values.items():
            values.setdefault(name, []).append(value)
    return Summary(
        len(scores),
        sum(one.failure is not None for one in scores),
        {name: sum(found) / len(found) for name, found in values.items()},
        {name: len(found) for name, found in values.items()},
    )


def macro(categories: Mapping[str, Summary]) -> dict[str, float]:
    """Mean over the categories' means, so that each category weighs the same however many objects it has."""
    names = dict.fromkeys(name for summary in categories.values() for name in summary.means)
    means = {name: [s.means[name] for s in categories.values() if name in s.means] for name in names}
    return {name: sum(found) / len(found) for name, found in means.items()}
