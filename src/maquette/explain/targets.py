"""What of an answer is to be explained: all of it, a region of the solid, or how wrong it is.

A region is said in the frame of learning (docs/conventions.md), in object diagonals: y up, front +z, the solid's box
centred at the origin, its diagonal 1.
"""

import math
from dataclasses import dataclass

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Whole:
    """All that is predicted."""


@dataclass(frozen=True)
class Box:
    """What is predicted in a box along the axes, borders included."""

    low: Triple
    """Its corner of smallest x y z, in object diagonals."""
    high: Triple
    """Its corner of largest x y z."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (*self.low, *self.high)):
            raise ValueError(f"Box: low is {self.low} and high {self.high}; give finite numbers")
        if not all(low <= high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"Box: low is {self.low} and high {self.high}; give low x y z below high x y z")


@dataclass(frozen=True)
class Part:
    """What is predicted where the truth has a part: of each piece of the answer the nearest true point says which."""

    label: str
    """As the data set names it, such as `leg`."""


@dataclass(frozen=True)
class Picked:
    """What is predicted about a place."""

    place: Triple
    """x y z, in object diagonals."""
    radius: float = 0.06
    """Of the ball about it."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in self.place):
            raise ValueError(f"Picked: place is {self.place}; give three finite numbers")
        if not 0 < self.radius < math.inf:
            raise ValueError(f"Picked: radius is {self.radius}; give a length above 0")


@dataclass(frozen=True)
class Loss:
    """How wrong the answer is: the network's own loss against the truth."""


Target = Whole | Box | Part | Picked | Loss


def in_words(target: Target) -> str:
    """Which pieces of an answer are meant, as the end of a sentence."""
    match target:
        case Whole():
            return "all that is predicted"
        case Box(low, high):
            return f"those in the box from {numbers(low)} to {numbers(high)}"
        case Part(label):
            return f"those nearest to the part {label!r} of the truth"
        case Picked(place, radius):
            return f"those within {radius:g} of {numbers(place)}"
        case Loss():
            return "the network's own loss against the truth"


def numbers(triple: Triple) -> str:
    return f"({', '.join(f'{value:g}' for value in triple)})"
