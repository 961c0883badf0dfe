"""Lights, and how much of them a surface sends back (Lambert 1760; Phong 1975).

Shading multiplies and adds sRGB values as they are, as simple viewers and PyTorch3D do: a surface under light of
intensity 1 that falls on it straight has its own colour. Nothing casts a shadow, and light does not fade on its way.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Triple = tuple[float, float, float]
WHITE_LIGHT: Triple = (1.0, 1.0, 1.0)


@dataclass(frozen=True)
class Ambient:
    """Equal light from everywhere; it makes no highlights."""

    intensity: float = 0.45
    color: Triple = WHITE_LIGHT


@dataclass(frozen=True)
class Directional:
    """Parallel light, like the sun's."""

    direction: Triple
    """World-space direction in which the light travels; need not be of length 1."""
    intensity: float = 0.6
    color: Triple = WHITE_LIGHT

    def __post_init__(self):
        if not (any(self.direction) and all(map(math.isfinite, self.direction))):
            raise ValueError(f"Directional: direction is {self.direction}; give where the light travels to")


@dataclass(frozen=True)
class Point:
    """Light from one place to all sides, like a small lamp's; as strong far as near."""

    position: Triple
    """World-space position of the lamp."""
    intensity: float = 0.6
    color: Triple = WHITE_LIGHT


@dataclass(frozen=True)
class Headlight:
    """Parallel light that travels with the camera, along its viewing axis."""

    intensity: float = 0.6
    color: Triple = WHITE_LIGHT


Light = Ambient | Directional | Point | Headlight
STUDIO: tuple[Light, ...] = (Ambient(0.45), Headlight(0.2), Directional((-0.4, -1.0, -0.6), 0.45))
"""The default: soft light from above, in front and to the right, and none of the shadows black."""


@dataclass(frozen=True)
class Lambert:
    """A dull surface: bright by the cosine of the angle to the light, alike from every side it is seen from."""


@dataclass(frozen=True)
class Phong:
    """A surface with highlights in the light's colour, added to what `Lambert` gives.

    The highlight is `specular` times the light times cos(a)^shininess, where a is the angle between the mirrored
    light and the way to the camera (Phong 1975, not Blinn's half vector); none where the light comes from behind.
    """

    specular: float = 0.3
    shininess: float = 32.0
    """1 is broad, 200 small and sharp."""

    def __post_init__(self):
        if self.specular < 0 or not 1 <= self.shininess < math.inf:
            raise ValueError(
                f"Phong: specular is {self.specular}, shininess {self.shininess}; give at least 0 and at least 1"
            )


Material = Lambert | Phong


def shade(
    color: Float[Tensor, "*points 3"],
    normals: Float[Tensor, "*points 3"],
    *,
    positions: Float[Tensor, "*points 3"],
    towards_camera: Float[Tensor, "*points 3"],
    forward: Float[Tensor, "*points 3"],
    lights: tuple[Light, ...],
    material: Material,
) -> Float[Tensor, "*points 3"]:
    """Colours sent to the camera, at least 0 and not yet clamped to 1.

    `color` is the surface's own (sRGB 0..1), `normals` have length 1 and look to the side that is seen. `positions`
    lie in the world; `towards_camera` leads from there to the camera, of any length; `forward` is the camera's viewing
    axis, of length 1.
    """
    diffuse = torch.zeros_like(color[..., :1])
    shining = torch.zeros_like(diffuse)
    for light in lights:
        strength = _strength(light, color)
        match light:
            case Ambient():
                diffuse = diffuse + strength
                continue
            case Directional(direction):
                towards = -torch.nn.functional.normalize(normals.new_tensor(direction), dim=0)
            case Point(position):
                towards = torch.nn.functional.normalize(normals.new_tensor(position) - positions, dim=-1)
            case Headlight():
                towards = -forward
        cosine = (normals * towards).sum(-1, keepdim=True)
        diffuse = diffuse + strength * cosine.clamp(min=0)
        if isinstance(material, Phong):
            view = torch.nn.functional.normalize(towards_camera, dim=-1)
            mirrored = 2 * cosine * normals - towards
            closeness = (mirrored * view).sum(-1, keepdim=True).clamp(min=0)
            shining = shining + strength * torch.where(cosine > 0, closeness, 0.0) ** material.shininess
    lit = color * diffuse
    return lit + material.specular * shining if isinstance(material, Phong) else lit


def _strength(light: Light, like: Tensor) -> Float[Tensor, "C"]:
    """Intensity times colour: one number for white light, which saves work, else three."""
    if light.color == WHITE_LIGHT:
        return like.new_tensor([light.intensity])
    return like.new_tensor(light.color) * light.intensity
