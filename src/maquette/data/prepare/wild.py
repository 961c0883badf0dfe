"""Pictures under randomised conditions (domain randomisation, Tobin et al. 2017): lenses, lights, colours, finishes.

A network that has seen every sort of light and paint takes a photograph for one more of them. K views, F faces.
"""

import colorsys
import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int

from maquette.data.dataset import Pictures
from maquette.data.prepare.views import FOCAL, Ranges, orbit_pictures
from maquette.rendering import Ambient, Directional, Headlight, Lambert, Light, Phong
from maquette.rendering.lights import Material, Triple
from maquette.shapes import FaceColors, Mesh

ELEVATION = (math.radians(-12.0), math.radians(65.0))
LENS = (1.0, 4.0)
"""From how many diagonals an object is photographed, from a wide lens close by to a long one far away."""
USUAL = 1.2
"""The distance at which the focal length is `FOCAL`; farther away it grows, so that objects fill the picture."""
REPAINTED = 0.5
"""Share of objects whose parts get colours of any hue."""


def wild_pictures(
    mesh: Mesh, labels: Int[np.ndarray, " F"], *, views: int, size: int, rng: np.random.Generator
) -> Pictures:
    """`views` square pictures of a mesh in the frame of learning; lens, lights and paint are drawn once an object."""
    lens = math.exp(rng.uniform(*np.log(LENS)))
    # Low views and the usual three quarters are the most frequent, as in photographs.
    low = rng.uniform(ELEVATION[0], math.radians(20.0))
    ranges = Ranges((low, rng.uniform(low, ELEVATION[1])), (0.92 * lens, 1.08 * lens))
    return orbit_pictures(
        repainted(mesh, labels, rng),
        ranges,
        views=views,
        size=size,
        focal=FOCAL * size * lens / USUAL,
        lights=wild_lights(rng),
        material=wild_material(rng),
        rng=rng,
    )


def wild_lights(rng: np.random.Generator) -> tuple[Light, ...]:
    """From flat light to a single lamp, tinted, from anywhere but far below."""
    ambient = rng.uniform(0.2, 0.9)
    lights: list[Light] = [Ambient(float(ambient), _tint(rng))]
    if rng.random() < 0.6:
        lights.append(Headlight(float(rng.uniform(0.0, 0.5) * (1.1 - ambient)), _tint(rng)))
    for _ in range(rng.integers(0, 4)):
        azimuth, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(math.radians(-15), math.radians(85))
        travels = (
            -math.cos(elevation) * math.sin(azimuth),
            -math.sin(elevation),
            -math.cos(elevation) * math.cos(azimuth),
        )
        lights.append(Directional(travels, float(rng.uniform(0.2, 1.2) * (1.1 - ambient)), _tint(rng)))
    return tuple(lights)


def wild_material(rng: np.random.Generator) -> Material:
    """A third of the objects shine."""
    if rng.random() < 0.65:
        return Lambert()
    return Phong(float(rng.uniform(0.1, 0.7)), float(2 ** rng.uniform(1, 6)))


def repainted(mesh: Mesh, labels: Int[np.ndarray, " F"], rng: np.random.Generator) -> Mesh:
    """Half of the objects get a random colour a label; all get a little unevenness from face to face."""
    assert isinstance(mesh.appearance, FaceColors)
    colors = mesh.appearance.colors.clone()
    if rng.random() < REPAINTED:
        few = [_paint(rng) for _ in range(rng.integers(1, 4))]
        of_label = {int(label): few[rng.integers(len(few))] for label in np.unique(labels)}
        colors = torch.tensor([of_label[int(label)] for label in labels]).to(colors)
    uneven = rng.normal(1.0, rng.uniform(0.0, 0.12), (len(labels), 1))
    colors = (colors * torch.from_numpy(uneven).to(colors)).clamp(0.01, 0.99)
    return replace(mesh, appearance=FaceColors(colors))


def _paint(rng: np.random.Generator) -> Triple:
    return colorsys.hsv_to_rgb(rng.random(), rng.random() ** 1.5, rng.uniform(0.08, 1.0))


def _tint(rng: np.random.Generator) -> Triple:
    """Nearly white, warm or cold."""
    warm = rng.normal(0.0, 0.06)
    return (float(1 + warm), 1.0, float(1 - warm))
