"""Shapes to pictures."""

from maquette.rendering.discs import Averaged, Composited, Discs
from maquette.rendering.dolly import DollyZoom, dolly_cameras, dolly_zoom
from maquette.rendering.fragments import Fragments, fragments, interpolate, interpolate_corners, paint
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
from maquette.rendering.result import Antialias, Blended, Dibr, Edges, Hard, Rendering, Soft
from maquette.rendering.turntable import turntable
from maquette.rendering.verbs import WHITE, antialiased, render

__all__ = [
    "STUDIO",
    "WHITE",
    "Ambient",
    "Antialias",
    "Averaged",
    "Blended",
    "Composited",
    "Dibr",
    "Directional",
    "Discs",
    "DollyZoom",
    "Edges",
    "Fragments",
    "Hard",
    "Headlight",
    "Lambert",
    "Light",
    "Look",
    "Material",
    "Phong",
    "Point",
    "Rendering",
    "Soft",
    "antialiased",
    "dolly_cameras",
    "dolly_zoom",
    "fragments",
    "interpolate",
    "interpolate_corners",
    "paint",
    "render",
    "turntable",
]
