"""Combinations of choices that only the test split shows, one table for all categories.

Every entry fixes two or more choices of a category's style. A style that has them all is held out: the training and
validation splits draw again until they find one that is not; a quarter of the test split is forced into one of them.
"""

from typing import Any

HELD_OUT: dict[str, tuple[dict[str, Any], ...]] = {
    "chair": (
        {"base": "star", "back": "spindled"},
        {"base": "sled", "back": "slatted"},
        {"base": "pedestal", "back": "arched"},
        {"base": "cantilever", "arms": "closed"},
    ),
    "sofa": (
        {"plan": "corner", "back": "channelled"},
        {"plan": "chaise", "arms": "sloped"},
        {"plan": "straight", "feet": "frame", "arms": "rounded"},
    ),
    "table": (
        {"base": "pedestal", "cover": "glass", "top": "rectangle"},
        {"base": "splayed", "storage": "shelf"},
        {"base": "cross", "top": "square"},
    ),
    "lamp": (
        {"use": "floor", "base": "tripod", "shade": "square"},
        {"use": "table", "stem": "body", "shade": "dome"},
        {"use": "pendant", "shade": "bell"},
    ),
    "bed": (
        {"tiers": "canopy", "head": "arched"},
        {"tiers": "one", "head": "rails", "frame": "drawers"},
        {"tiers": "bunk", "cover": "duvet"},
    ),
    "car": (
        {"body": "pickup", "service": "police"},
        {"body": "van", "extra": "rack"},
        {"body": "coupe", "service": "taxi"},
    ),
    "plane": (
        {"wing": "delta", "engine": "wing-props"},
        {"height": "high", "tail": "vee"},
        {"wing": "biplane", "tail": "tee"},
    ),
    "vase": (
        {"shape": "gourd", "handles": "two"},
        {"section": "square", "foot": "stand"},
        {"shape": "bowl", "top": "lid"},
    ),
}


def is_held_out(category: str, style: object) -> bool:
    """Whether a style has all choices of one of its category's entries."""
    return any(all(getattr(style, name) == value for name, value in entry.items()) for entry in HELD_OUT[category])
