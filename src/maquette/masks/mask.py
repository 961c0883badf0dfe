"""What a foreground mask is, and what every mask must fulfil. H W pixels."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.masks.pieces import dominant_share

Source = Literal["alpha", "plain background", "rembg", "segmenter", "colour model"]
GUESSES: tuple[Source, ...] = ("rembg", "segmenter", "colour model")
"""Sources that find an object whether there is one or not."""
SHARES = (0.02, 0.90)
"""A guess that covers less or more of the picture is refused."""
MOST_BORDER = 0.30
"""Part of the picture's border that a foreground may touch without a remark."""
DOMINANT = 0.60
"""The largest piece should have this part of the foreground's area."""
ADVICE = "give a PNG with a transparent background (for instance from `rembg i photo.png cut.png`)"


class NoForeground(ValueError):
    """This way of finding the object does not fit the picture; another one may."""


@dataclass(frozen=True)
class Mask:
    """What of a picture belongs to the object: true or false for each pixel, never a number or a class."""

    pixels: Bool[Tensor, "H W"]
    alpha: Float[Tensor, "H W"]
    """Coverage 0..1: `pixels` with soft edges, for compositing."""
    source: Source
    score: float
    """How far the mask is to be trusted, 0..1; each provider says what it measures."""
    category: str = ""
    """Class that the segmenter names; empty for sources without classes."""
    dropped: str = ""
    """What was left out as too small, in words; empty if nothing was."""
    remarks: tuple[str, ...] = ()
    """What looks doubtful about the mask, in words."""

    def __post_init__(self):
        if self.pixels.dtype != torch.bool:
            raise ValueError(
                f"Mask: pixels are {self.pixels.dtype}, a mask is boolean; compare first, as in `classes == car`"
            )
        if self.pixels.ndim != 2 or self.pixels.shape != self.alpha.shape:
            shapes = f"{tuple(self.pixels.shape)} and {tuple(self.alpha.shape)}"
            raise ValueError(f"Mask: pixels and alpha are H W both, got {shapes}")
        if not 0 <= self.score <= 1:
            raise ValueError(f"Mask: the score is {self.score}; give 0 to 1")

    @property
    def share(self) -> float:
        """Of the picture."""
        return float(self.pixels.float().mean())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in pixels, half open."""
        rows = self.pixels.any(1).nonzero()
        columns = self.pixels.any(0).nonzero()
        if len(rows) == 0:
            raise ValueError("box: the mask is empty")
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def validate(mask: Mask) -> Mask:
    """The mask with remarks on what looks doubtful; a NoForeground where it cannot be an object.

    An empty mask is refused, and a guess (of `GUESSES`) that covers less or more of the picture than `SHARES`: what
    alpha or a plain background say is no guess, however small. Remarks are made on a foreground that touches more
    than `MOST_BORDER` of the border, and on one whose largest piece has less than `DOMINANT` of its area.
    """
    share = mask.share
    low, high = SHARES
    if share == 0:
        raise NoForeground(f"foreground: {mask.source} found nothing in the picture; {ADVICE}")
    if mask.source in GUESSES and not low <= share <= high:
        raise NoForeground(
            f"foreground: {mask.source} took {share:.1%} of the picture for the object, which must be "
            f"{low:.0%} to {high:.0%}; {ADVICE}"
        )
    remarks = list(mask.remarks)
    touched = border_share(mask.pixels)
    if touched > MOST_BORDER:
        remarks.append(f"the object touches {touched:.0%} of the picture's border")
    largest = dominant_share(mask.pixels.numpy())
    if largest < DOMINANT:
        remarks.append(f"the foreground is in pieces, the largest has {largest:.0%} of it")
    return replace(mask, remarks=tuple(remarks))


def border_share(pixels: Bool[Tensor, "H W"]) -> float:
    """Part of the picture's outermost pixels that is foreground."""
    border = torch.cat([pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]])
    return float(border.float().mean())


def mask_of_values(values: Float[Tensor, "H W"], name: str) -> Bool[Tensor, "H W"]:
    """A mask from grey values 0..1: there must be exactly two of them, the higher is the object."""
    levels = values.unique()
    if len(levels) == 2:
        return values == levels[1]
    shown = ", ".join(f"{round(float(level) * 255)}" for level in levels[:6])
    more = f" and {len(levels) - 6} more" if len(levels) > 6 else ""
    raise ValueError(
        f"{name}: a mask has two values, this one has {len(levels)}: {shown}{more} (of 255); "
        "write 0 outside the object and 255 on it, as PNG"
    )
