"""Shapes to pictures."""

from maquette.rendering.dolly import DollyZoom, dolly_cameras, dolly_zoom
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
from maquette.rendering.looks import Look
from maquette.rendering.result import Edges, Hard, Rendering
from maquette.rendering.turntable import turntable
from maquette.rendering.verbs import WHITE, antialiased, render

__all__ = [
    "STUDIO",
    "WHITE",
    "Ambient",
    "Directional",
    "DollyZoom",
    "Edges",
    "Hard",
    "Headlight",
    "Lambert",
    "Light",
    "Look",
    "Material",
    "Phong",
    "Point",
    "Rendering",
    "antialiased",
    "dolly_cameras",
    "dolly_zoom",
    "render",
    "turntable",
]
