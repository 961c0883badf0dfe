"""Shapes to pictures."""

from maquette.rendering.lights import (
    STUDIO,
    Ambient,
    Directional,
    Headlight,
    Lambert,
    Light,
    Material,
    Phong,
    Point,
)
from maquette.rendering.result import Edges, Hard, Rendering
from maquette.rendering.turntable import turntable
from maquette.rendering.verbs import WHITE, antialiased, render

__all__ = [
    "STUDIO",
    "WHITE",
    "Ambient",
    "Directional",
    "Edges",
    "Hard",
    "Headlight",
    "Lambert",
    "Light",
    "Material",
    "Phong",
    "Point",
    "Rendering",
    "antialiased",
    "render",
    "turntable",
]
