"""Objects of an evaluation with everything that the page shows of them: pictures, the truth, each prediction, errors.

Truth and predictions are made once more from the runs and their data, as `maquette evaluate` makes them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from maquette.data.entries import Entry
from maquette.diagnose.errors import distances_to, point_errors
from maquette.evaluate.comparison import Comparison
from maquette.evaluate.opened import Evaluated
from maquette.evaluate.pictures import PAPER, UNKNOWN, answers_shown, camera_like, input_picture, portrait, webp
from maquette.evaluate.scoring import Seen, look
from maquette.report.heats import drawn_heats, heats_of_run
from maquette.report.solids import Frame, Solid, frame_of, solid_of, steps_of
from maquette.shapes import Mesh, PointCloud

THUMBNAIL = 112
"""Pixels a side of a picture in the gallery."""
INPUT = 256
"""Pixels a side of the picture that the network saw."""


@dataclass(frozen=True)
class Answer:
    """A prediction of one object."""

    solid: Solid | None
    """None where it failed."""
    errors: bytes
    """uint8, of each vertex: the distance to the nearest point that is known of the truth."""
    missed: bytes
    """uint8, of each shown true point: the distance to the predicted surface."""
    thumbnail: bytes
    """WebP."""
    score: float | None
    """The headline; None where it failed or has none."""


@dataclass(frozen=True)
class Exhibit:
    """One object of the page."""

    id: str
    category: str
    viewpoint: tuple[float, float]
    """Azimuth and elevation of the picture's camera, radians."""
    known: bool
    """Whether the data knows the camera."""
    picture: bytes
    """WebP: the crop that the network saw."""
    thumbnail: bytes
    truth: Solid
    answers: tuple[Answer, ...] = ()
    """One a method, in the order of the comparison."""
    heats: tuple[bytes | None, ...] = ()
    """WebP: heat maps over the picture, one a title; None where there is none."""


def chosen_objects(comparison: Comparison, most: int) -> list[str]:
    """Ids in the order of what must be seen: the worst, best and median of each method, then others evenly spread."""
    ids = sorted(comparison.runs[0].objects())
    headline, higher = comparison.runs[0].protocol.headline, comparison.runs[0].protocol.higher_is_better
    first: list[str] = []
    for method in comparison.methods:
        values = method.run.values(method.name, headline)
        sign = 1 if higher else -1
        # A failure has no score, or 0: it is the worst.
        ranked = sorted(ids, key=lambda id, values=values, sign=sign: (sign * values.get(id, -sign * math.inf), id))
        first += [ranked[0], ranked[-1], ranked[(len(ranked) - 1) // 2]]
    first = list(dict.fromkeys(first))[:most]
    others = [id for id in ids if id not in first]
    count = min(most - len(first), len(others))
    return first + [others[k * len(others) // count] for k in range(count)]


@dataclass(frozen=True)
class Truth:
    """An object's true surface, whole and as the page shows it, in the frame of its data set."""

    cloud: PointCloud
    frame: Frame
    solid: Solid


@dataclass(frozen=True)
class Showing:
    """How objects are shown."""

    limit: float
    """The error that has the last colour, in object units."""
    heats: tuple[str, ...]
    """Methods of heat maps."""
    device: torch.device


@dataclass(frozen=True)
class Collection:
    """The objects of the page."""

    exhibits: tuple[Exhibit, ...]
    heats: tuple[str, ...]
    """Titles of the heat maps of each."""
    remarks: tuple[str, ...]
    """What could not be shown of any, and why."""


def collected(
    comparison: Comparison,
    evaluations: Sequence[Evaluated],
    ids: Sequence[str],
    showing: Showing,
    advance: Callable[[int], object],
) -> Collection:
    """The objects `ids`, each run asked once more.

    Everything is shown in the frame of the object: what a network predicts in its viewer's frame is turned back.
    """
    headline = comparison.runs[0].protocol.headline
    truths = {id: _truth(evaluations[0], id) for id in ids}
    found: dict[str, Exhibit] = {}
    titles: list[str] = []
    remarks: list[str] = []
    for evaluated in evaluations:
        measured, run = evaluated.measured, evaluated.run
        entries = _by_id(evaluated)
        run.model.to(showing.device)
        seen = look(run.model, evaluated.dataset, [entries[id] for id in ids], lambda done: None, frame=run.frame)
        heats, refused = heats_of_run(run, measured.name, comparison, showing.heats)
        titles += [title for title, _ in heats.methods]
        remarks += refused
        names = [method.name for method in comparison.methods if method.run is measured]
        for at, id in enumerate(ids):
            if id not in found:
                found[id] = _unanswered(entries[id], seen, at, truths[id])
            one, surfaces = found[id], answers_shown(run.model, seen, at)
            scores = {name: measured.values(name, headline).get(id) for name in names}
            answers = [
                _answer(surfaces[name], truths[id], one.viewpoint, scores[name], showing.limit) for name in names
            ]
            given = seen.given(slice(at, at + 1))[0]
            drawn = drawn_heats(run.model, given, heats) if seen.shown[at] else [None for _ in heats.methods]
            found[id] = replace(one, answers=(*one.answers, *answers), heats=(*one.heats, *drawn))
            advance(1)
        run.model.to("cpu")  # which makes room for the next
    return Collection(tuple(found.values()), tuple(titles), tuple(remarks))


def _unanswered(entry: Entry, seen: Seen, at: int, truth: Truth) -> Exhibit:
    large, small = (webp(input_picture(seen.images[at], side)) for side in (INPUT, THUMBNAIL))
    viewpoint = seen.viewpoints[at]
    known = math.isfinite(viewpoint[0])
    return Exhibit(entry.id, entry.category, viewpoint if known else UNKNOWN, known, large, small, truth.solid)


def _by_id(evaluated: Evaluated) -> dict[str, Entry]:
    return {entry.id: entry for entry in evaluated.entries}


def _truth(evaluated: Evaluated, id: str) -> Truth:
    truth = evaluated.dataset.truth(_by_id(evaluated)[id])
    normals = None if truth.normals is None else torch.from_numpy(truth.normals)
    cloud = PointCloud(torch.from_numpy(truth.points), normals=normals)
    frame = frame_of(cloud.points)
    return Truth(cloud, frame, solid_of(cloud, frame))


def _answer(
    surface: Mesh | PointCloud | None,
    truth: Truth,
    viewpoint: tuple[float, float],
    score: float | None,
    limit: float,
) -> Answer:
    camera = camera_like(viewpoint, THUMBNAIL)
    if surface is None:
        paper = torch.tensor(PAPER).expand(*camera.size, 3)
        return Answer(None, b"", b"", webp(paper), None)
    solid = solid_of(surface, truth.frame)
    errors, _ = point_errors(solid.positions, truth.frame.of(truth.cloud.points))
    missed = distances_to(truth.frame.moved(surface), truth.solid.positions)
    return Answer(solid, steps_of(errors, limit), steps_of(missed, limit), webp(portrait(surface, camera)), score)
