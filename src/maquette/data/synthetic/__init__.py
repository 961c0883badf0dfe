"""A seeded world of furniture-like objects with part labels and exact signed distances."""

from maquette.data.synthetic.held_out import HELD_OUT, is_held_out
from maquette.data.synthetic.objects import (
    CATEGORIES,
    OuterSamples,
    SyntheticObject,
    make_object,
    sample_outer_surface,
    signed_distance,
)

__all__ = [
    "CATEGORIES",
    "HELD_OUT",
    "OuterSamples",
    "SyntheticObject",
    "is_held_out",
    "make_object",
    "sample_outer_surface",
    "signed_distance",
]
