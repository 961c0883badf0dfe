"""From where a picture was taken: azimuth, elevation and distance of the camera, from features.

The picture is cropped to its object, so distance shows only in the strength of its perspective.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.models.features import Features

TYPICAL_DISTANCE = 1.6
"""Object diagonals; the head learns the ratio to it."""


@dataclass(frozen=True)
class Viewpoint:
    """Cameras on a sphere about the object, `maquette.camera.orbit`'s arguments."""

    azimuth: Float[Tensor, "B"]
    """Radians; 0 is in front, growing towards +x."""
    elevation: Float[Tensor, "B"]
    """Radians, growing upwards."""
    distance: Float[Tensor, "B"]
    """In diagonals of the object."""


class ViewpointDecoder(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(features, 128), nn.ReLU(), nn.Linear(128, 4))

    def forward(self, features: Features) -> Viewpoint:
        x, z, elevation, ratio = self.layers(features.code).unbind(-1)
        return Viewpoint(torch.atan2(x, z), elevation, TYPICAL_DISTANCE * ratio.clamp(-1, 1).exp())

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """Mean squared error of (sin, cos) of the azimuth, the elevation, and the logarithm of the distance.

        The sine and cosine are not normalised: about an axis of symmetry the azimuth is unknowable, and 0 says so.
        """
        predicted = self.layers(features.code)
        ratio = (targets.distance / TYPICAL_DISTANCE).log()
        truth = torch.stack([targets.azimuth.sin(), targets.azimuth.cos(), targets.elevation, ratio], -1)
        known = targets.has_camera.to(predicted.dtype)
        error = ((predicted - truth) ** 2).sum(-1)
        return {"viewpoint": (error * known).sum() / known.sum().clamp(min=1)}
