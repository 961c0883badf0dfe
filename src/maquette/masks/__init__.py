"""Foreground masks: which pixels of a picture are the object, from what source, and how sure it is."""

from maquette.masks.cut import cut_out, extended
from maquette.masks.mask import GUESSES, Mask, NoForeground, mask_of_values, validate
from maquette.masks.providers import (
    Alpha,
    Auto,
    ColorModel,
    PlainBackground,
    Provider,
    Rembg,
    Segmenter,
    cut_from_file,
    foreground,
)

__all__ = [
    "GUESSES",
    "Alpha",
    "Auto",
    "ColorModel",
    "Mask",
    "NoForeground",
    "PlainBackground",
    "Provider",
    "Rembg",
    "Segmenter",
    "cut_from_file",
    "cut_out",
    "extended",
    "foreground",
    "mask_of_values",
    "validate",
]
