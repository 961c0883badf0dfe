"""How a network's scores fall when its pictures are disturbed, as a value: written to robustness.json and read back."""

from dataclasses import dataclass
from pathlib import Path

from maquette.data.dataset import read_json
from maquette.diagnose.diagnosis import Origin, Value
from maquette.io.atomic import write_json
from maquette.metrics import Estimate
from maquette.settings import from_json, to_json

FILE = "robustness.json"


@dataclass(frozen=True)
class Point:
    """One method under one level of one disturbance."""

    kind: str
    level: str
    """Its name; the first of a sweep is none at all."""
    method: str
    score: str
    mean: Estimate
    """Over the objects, with the interval of 95 % of resampled objects."""
    change: Estimate
    """Against no disturbance, on the same objects."""


@dataclass(frozen=True)
class Swept:
    """A kind of disturbance as it was tried."""

    kind: str
    title: str
    levels: tuple[str, ...]


@dataclass(frozen=True)
class Robustness:
    """Scores under disturbed pictures."""

    origin: Origin
    objects: int
    """Of the evaluation's: those whose pictures were disturbed."""
    scores: tuple[str, ...]
    """Headline first."""
    methods: tuple[str, ...]
    """Representations, then retrieval where its training data was there."""
    sweeps: tuple[Swept, ...]
    points: tuple[Point, ...]
    floors: tuple[Value, ...]
    """The mean shape's scores, which no picture changes; it knows the category."""
    seed: int
    remarks: tuple[str, ...]

    def curve(self, kind: str, method: str, score: str) -> list[Point]:
        """By level, from none upwards."""
        return [p for p in self.points if (p.kind, p.method, p.score) == (kind, method, score)]


def write_robustness(robustness: Robustness, folder: Path) -> None:
    """robustness.json in `folder`."""
    write_json(folder / FILE, to_json(robustness))


def read_robustness(folder: Path) -> Robustness:
    """What `write_robustness` wrote."""
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; make it with `maquette robustness RUN`")
    try:
        return from_json(Robustness, read_json(path))
    except (ValueError, TypeError, KeyError) as error:
        raise OSError(f"{path}: not of this version ({error}); run `maquette robustness` again") from error
