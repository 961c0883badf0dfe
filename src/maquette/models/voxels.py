"""Voxels from features: transposed 3-D convolutions to the logits of a 32^3 grid (course reports 000 and 002)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.losses import occupancy_bce
from maquette.data.targets import Targets
from maquette.shapes import Voxels

RESOLUTION = 32


@dataclass(frozen=True)
class VoxelsHead:
    """Linear to 2^3 cells, then four doublings; one logit a cell."""

    channels: int = 64
    """Of the two coarsest grids; the two doublings after them halve them, the last one gives the logit."""
    full_weight: float = 1.0
    """Weight of full cells in the loss; above 1 it keeps thin parts at the price of a thicker solid."""


class VoxelsDecoder(nn.Module):
    def __init__(self, config: VoxelsHead, features: int):
        super().__init__()
        self.config = config
        c = config.channels
        self.start = nn.Linear(features, c * 8)
        self.grow = nn.Sequential(
            nn.ConvTranspose3d(c, c, 4, 2, 1), nn.LeakyReLU(0.1),
            nn.ConvTranspose3d(c, c // 2, 4, 2, 1), nn.LeakyReLU(0.1),
            nn.ConvTranspose3d(c // 2, c // 4, 4, 2, 1), nn.LeakyReLU(0.1),
            nn.ConvTranspose3d(c // 4, 1, 4, 2, 1),
        )  # fmt: skip

    def forward(self, features: Float[Tensor, "B D"]) -> Float[Tensor, "B Z Y X"]:
        """Logits; a probability is their sigmoid."""
        start = torch.relu(self.start(features)).reshape(len(features), -1, 2, 2, 2)
        return self.grow(start)[:, 0]

    def loss(self, features: Float[Tensor, "B D"], targets: Targets) -> dict[str, Float[Tensor, ""]]:
        return {"voxels": occupancy_bce(self(features), targets.voxels, full_weight=self.config.full_weight).mean()}

    def shapes(self, features: Float[Tensor, "B D"]) -> list[Voxels]:
        frame = torch.eye(4, device=features.device)
        return [Voxels(occupancy, frame) for occupancy in self(features).sigmoid()]
