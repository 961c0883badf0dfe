"""Shapes to pictures."""

from maquette.rendering.lights import STUDIO, Ambient, Directional, Headlight, Light
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
    "Light",
    "Rendering",
    "antialiased",
    "render",
    "turntable",
]
