"""Frames in which solids are compared: a scale and a middle that follow from the truth, or from each solid by itself.

N points. Protocols differ most of all in units, so these are the first thing to compare between two numbers.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class AsStored:
    """The data's own frame times `scale`. In ours, as in ShapeNet's units, the diagonal of an object's box is 1."""

    scale: float = 1.0


@dataclass(frozen=True)
class LongestSide:
    """The longest side of the truth's box is `length`, its middle the origin; the prediction goes along."""

    length: float


@dataclass(frozen=True)
class UnitBall:
    """The truth in the unit ball about its `middle`; the prediction goes along."""

    middle: str
    """`box` or `mean` (of the points)."""

    def __post_init__(self) -> None:
        if self.middle not in ("box", "mean"):
            raise ValueError(f"unit ball: middle is {self.middle!r}; choose box or mean")


@dataclass(frozen=True)
class EachInItsOwnBox:
    """Each solid by itself: the middle of its box the origin, its longest side `length`."""

    length: float


Frame = AsStored | LongestSide | UnitBall | EachInItsOwnBox


@dataclass(frozen=True)
class Placement:
    """x -> scale (x - middle)."""

    scale: float
    middle: Float[Tensor, "3"]

    def __call__(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        return (points - self.middle) * self.scale


def placement(frame: Frame, points: Float[Tensor, "N 3"]) -> Placement:
    """The map to `frame` of a solid that is known by its points. Where they are all one point its scale is 1."""
    low, high = points.amin(0), points.amax(0)
    match frame:
        case AsStored(scale):
            return Placement(scale, torch.zeros_like(low))
        case LongestSide(length) | EachInItsOwnBox(length):
            middle, extent = (low + high) / 2, float((high - low).max()) / length
        case UnitBall(where):
            middle = points.double().mean(0).to(points) if where == "mean" else (low + high) / 2
            extent = float((points - middle).norm(dim=-1).max())
    return Placement(1 / extent if extent > 0 else 1.0, middle)


def in_words(frame: Frame) -> str:
    match frame:
        case AsStored(scale):
            return "as stored, the diagonal of the truth's box " + ("1" if scale == 1 else f"made {scale:g}")
        case LongestSide(length):
            return f"truth's box centred, its longest side {length:g}"
        case UnitBall(middle):
            return f"truth centred on {'the middle of its box' if middle == 'box' else 'its mean'}, in the unit ball"
        case EachInItsOwnBox(length):
            return f"each solid's own box centred, its longest side {length:g}"
