"""Lights, and how much of them a surface sends back. Shading multiplies sRGB values, as simple viewers do."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Ambient:
    """Equal light from everywhere."""

    intensity: float = 0.45


@dataclass(frozen=True)
class Directional:
    """Parallel light, Lambert's cosine law."""

    direction: tuple[float, float, float]
    """World-space direction in which the light travels; need not be of length 1."""
    intensity: float = 0.6


@dataclass(frozen=True)
class Headlight:
    """Parallel light that travels with the camera, along its viewing axis."""

    intensity: float = 0.6


Light = Ambient | Directional | Headlight
STUDIO: tuple[Light, ...] = (Ambient(0.45), Headlight(0.2), Directional((-0.4, -1.0, -0.6), 0.45))
"""The default: soft light from above, in front and to the right, and none of the shadows black."""


def irradiance(
    normals: Float[Tensor, "*batch H W 3"], forward: Float[Tensor, "*batch 3"], lights: tuple[Light, ...]
) -> Float[Tensor, "*batch H W"]:
    """Sum of the lights on surfaces with unit `normals` (world axes), seen by cameras looking along `forward`."""
    total = torch.zeros_like(normals[..., 0])
    for light in lights:
        match light:
            case Ambient(intensity):
                total = total + intensity
            case Directional(direction, intensity):
                towards = -torch.nn.functional.normalize(normals.new_tensor(direction), dim=0)
                total = total + intensity * (normals @ towards).clamp(min=0)
            case Headlight(intensity):
                total = total + intensity * -(normals * forward[..., None, None, :]).sum(-1).clamp(max=0)
    return total
