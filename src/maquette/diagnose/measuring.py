"""One pass over the objects of an evaluation: the network answers once more, and its errors are summed point by point.

N predicted points, M true points.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.data.dataset import Truth
from maquette.data.entries import Entry
from maquette.diagnose.breakdowns import Tallies, Tally, tallied, thickness_bins, thickness_names
from maquette.diagnose.thickness import local_thickness
from maquette.evaluate.opened import Evaluated
from maquette.evaluate.scoring import NOTHING_SHOWN, Seen, generator_of, predict, truth_seen
from maquette.metrics import failure_of, match
from maquette.metrics.surfaces import drawn_from, surface_of
from maquette.shapes import Shape

ASKED = 2048
"""True points of each object whose thickness is found."""
BATCH = 16
"""Objects whose predictions are held at a time."""
RECALL, PRECISION, THICKNESS = "parts_missed", "parts_wrong", "thickness"
"""Keys of breakdowns."""


@dataclass(frozen=True)
class Reply:
    """One object, the network's answers, and what they are compared with."""

    entry: Entry
    index: int
    """Of the object in the evaluation."""
    truth: Truth
    """In the frame that the network predicts in."""
    answers: dict[str, Shape]
    failures: dict[str, str]
    """By representation: why there is no solid."""


@dataclass(frozen=True)
class ObjectErrors:
    """Of one object: sums by part and by thickness, and why there are none of some method."""

    tallies: Tallies
    failures: dict[str, str]
    unknown: int
    """Points asked for whose thickness was not found; all of `ASKED` where the data has no normals."""


def replies(evaluated: Evaluated, seen: Seen, chosen: Sequence[int]) -> Iterator[Reply]:
    """The network's answers to some of the objects, as the evaluation asked for them."""
    protocol = evaluated.measured.protocol
    once = protocol.clouds == "as they are" or protocol.drawn == "all vertices"
    for start in range(0, len(chosen), BATCH):
        some = chosen[start : start + BATCH]
        given = torch.cat([seen.given(slice(index, index + 1)) for index in some])
        predicted = predict(evaluated.run.model, given, {}, once=once)
        for place, index in enumerate(some):
            entry = evaluated.entries[index]
            turn = None if seen.turns is None else seen.turns[index]
            answers = {name: shapes[place] for name, shapes in predicted.items()}
            failures = {
                name: reason
                for name, shape in answers.items()
                if (reason := failure_of(shape) if seen.shown[index] else NOTHING_SHOWN)
            }
            yield Reply(entry, index, truth_seen(evaluated.dataset, entry, turn), answers, failures)


def drawn(evaluated: Evaluated, entry: Entry, method: str, shape: Shape) -> Float[Tensor, "N 3"] | None:
    """The points that the protocol compares, in the frame of the data; None where the surface has none."""
    protocol = evaluated.measured.protocol
    surface = surface_of(protocol, shape)
    if failure_of(surface):
        return None
    return drawn_from(protocol, surface, generator_of(evaluated.seed, entry.id, method)).points


def errors_of(evaluated: Evaluated, one: Reply, tolerance: float) -> ObjectErrors:
    """Distances both ways, summed by the part and by the thickness of the truth."""
    truth = torch.from_numpy(one.truth.points)
    labels = torch.from_numpy(one.truth.labels.astype("int64"))
    names, failures = one.truth.label_names, dict(one.failures)
    thickness = thickness_of(one.truth)
    bins = None if thickness is None else thickness_bins(thickness)
    tallies: Tallies = {}

    def add(key: str, method: str, found: dict[str, Tally]) -> None:
        tallies.update({(key, name, method): tally for name, tally in found.items()})

    for method, shape in one.answers.items():
        if method in failures:
            continue
        points = drawn(evaluated, one.entry, method, shape)
        if points is None:
            failures[method] = "a surface without points"
            continue
        matches = match(points, truth)
        if len(names) > 1:
            add(RECALL, method, tallied(matches.to_predicted, labels, names, tolerance))
            add(PRECISION, method, tallied(matches.to_truth, labels[matches.truth_of], names, tolerance))
        if bins is not None:
            asked = matches.to_predicted[: len(bins)]
            add(THICKNESS, method, tallied(asked, bins, thickness_names(), tolerance))
    unknown = ASKED if thickness is None else int(thickness.isnan().sum())
    return ObjectErrors(tallies, failures, unknown)


def thickness_of(truth: Truth) -> Float[Tensor, " Q"] | None:
    """Of the truth's first points; None where the data has no normals."""
    if truth.normals is None:
        return None
    return local_thickness(torch.from_numpy(truth.points), torch.from_numpy(truth.normals), ASKED)


def measured_errors(
    evaluated: Evaluated, seen: Seen, tolerance: float, advance: Callable[[int], object]
) -> list[ObjectErrors]:
    """Of every object of the evaluation, in its order."""
    found = []
    for one in replies(evaluated, seen, range(len(evaluated.entries))):
        found.append(errors_of(evaluated, one, tolerance))
        advance(1)
    return found
