"""What a failure analysis found, as a value: what the error depends on, with counts and intervals, and who is shown.

It is made of plain frozen dataclasses, written to diagnosis.json and read back from it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maquette.data.dataset import read_json
from maquette.evaluate.evaluation import objects_in_words
from maquette.evaluate.opened import Evaluated
from maquette.io.atomic import write_json
from maquette.metrics import Estimate
from maquette.settings import from_json, to_json
from maquette.version import __version__

FILE = "diagnosis.json"
FEW = 5
"""A bin of fewer objects says so: its interval is too narrow to be believed."""
BEYOND, DISTANCE = "beyond", "distance"
"""Measures of points: percent farther away than the tolerance, and the mean distance."""


@dataclass(frozen=True)
class Value:
    """One measure of one method in one bin."""

    method: str
    measure: str
    """BEYOND, DISTANCE or a score of the protocol."""
    estimate: Estimate
    """With the interval of 95 % of resampled objects."""


@dataclass(frozen=True)
class Bin:
    """Points or objects that have something in common."""

    name: str
    objects: int
    """That have a part in it."""
    points: int | None
    """Of all of them together; None where whole objects are counted."""
    values: tuple[Value, ...]

    @property
    def few(self) -> bool:
        return self.objects < FEW

    def value(self, method: str, measure: str) -> Estimate | None:
        return next((v.estimate for v in self.values if (v.method, v.measure) == (method, measure)), None)


@dataclass(frozen=True)
class Breakdown:
    """The error by one property: by part, by thickness, by azimuth."""

    key: str
    title: str
    of: str
    """What is counted: true points, predicted points, objects."""
    measures: tuple[str, ...]
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Dot:
    """One object in a scatter plot."""

    id: str
    category: str
    distance: float
    """To the nearest training shape."""
    scores: tuple[float, ...]
    """Of the methods, in their order."""


@dataclass(frozen=True)
class Nearness:
    """How the score goes with the distance to the nearest training shape."""

    measure: str
    """Of the distance: chamfer_plain, or the oracle's headline taken from 100."""
    score: str
    methods: tuple[str, ...]
    """The representations, then retrieval and the oracle where they were measured."""
    dots: tuple[Dot, ...]
    """Objects with all of these scores."""
    correlations: tuple[Estimate | None, ...]
    """Spearman's of each method's score with the distance; None where one of them does not vary."""
    trend: Breakdown
    """Mean scores of equally many objects each, from the nearest to the farthest."""
    middles: tuple[float, ...]
    """Median distance of each bin of the trend."""


@dataclass(frozen=True)
class File:
    """A picture of a shown object: `input`, `truth`, `prediction`, `errors` (on the prediction), `missed` (truth)."""

    what: str
    path: str
    """Relative to the folder of the diagnosis."""


@dataclass(frozen=True)
class Shown:
    """An object that is shown: the best, median or worst of all, or of a category."""

    category: str
    """Of which it is the best, median or worst; empty: of all objects."""
    kind: str
    """best, median or worst."""
    id: str
    score: float
    """The headline."""
    failure: str
    """Why there was no solid; empty where there was one."""
    files: tuple[File, ...]


@dataclass(frozen=True)
class Origin:
    """The evaluation that something was found out from."""

    name: str
    """Of the network."""
    run: str
    evaluation: str
    """Its folder."""
    data: str
    objects: str
    """What was measured, in words: 24 test objects of NAME."""
    protocol: str
    maquette: str
    """Version of this program when it was found out."""


def origin_of(evaluated: Evaluated) -> Origin:
    measured = evaluated.measured
    return Origin(
        name=measured.name,
        run=measured.scores["run"]["folder"],
        evaluation=str(measured.folder),
        data=measured.scores["data"]["path"],
        objects=objects_in_words(measured.scores["data"]),
        protocol=measured.protocol.name,
        maquette=__version__,
    )


@dataclass(frozen=True)
class Facts:
    """What a diagnosis is of."""

    origin: Origin
    headline: str
    higher_is_better: bool
    methods: tuple[str, ...]
    """The network's representations, the best by the headline first: that one is shown."""
    tolerance: float
    """Distance, in units of the data (object diagonals), from which on a point counts as wrong."""
    seed: int
    remarks: tuple[str, ...]
    """What could not be told and why, what was left out and how much."""


@dataclass(frozen=True)
class Diagnosis:
    """A network's failures on the objects of one evaluation."""

    facts: Facts
    breakdowns: tuple[Breakdown, ...]
    nearness: Nearness | None
    shown: tuple[Shown, ...]

    def breakdown(self, key: str) -> Breakdown | None:
        return next((one for one in self.breakdowns if one.key == key), None)


def write_diagnosis(diagnosis: Diagnosis, folder: Path) -> None:
    """diagnosis.json in `folder`."""
    write_json(folder / FILE, to_json(diagnosis))


def read_diagnosis(folder: Path) -> Diagnosis:
    """What `write_diagnosis` wrote."""
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; make it with `maquette diagnose RUN`")
    try:
        return from_json(Diagnosis, read_json(path))
    except (ValueError, TypeError, KeyError) as error:
        raise OSError(f"{path}: not a diagnosis of this version ({error}); run `maquette diagnose` again") from error


def measure_in_words(measure: str, tolerance: float, of: str) -> str:
    """For axes and tables."""
    match measure:
        case "beyond" if of == "true points":
            return f"% of true points farther than {tolerance:g} from the prediction"
        case "beyond":
            return f"% of predicted points farther than {tolerance:g} from the truth"
        case "distance":
            return "mean distance (diagonal of the object = 1)"
        case _:
            return f"{measure}, mean over objects"


def methods_in(values: Sequence[Bin]) -> list[str]:
    """Those with a value in any bin, in their order."""
    return list(dict.fromkeys(value.method for one in values for value in one.values))
