"""Voxels from features: transposed 3-D convolutions to the logits of a 32^3 grid (course reports 000 and 002)."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.losses import occupancy_bce
from maquette.models.features import Features
from maquette.models.ranges import check_ranges
from maquette.shapes import Voxels

RESOLUTION = 32


@dataclass(frozen=True)
class VoxelsHead:
    """Two linear layers to 8^3 cells, then two doublings; one logit a cell."""

    hidden: int = 256
    """Width of the hidden layer."""
    channels: int = 16
    """Of the 8^3 grid; the 16^3 grid has half as many again."""
    full_weight: float = 1.0
    """Weight of full cells in the loss; above 1 it keeps thin parts at the price of a thicker solid."""

    def __post_init__(self) -> None:
        check_ranges(self, {"hidden": (1, 65_536), "channels": (2, 1024), "full_weight": (1e-6, 1e6)})


class VoxelsDecoder(nn.Module):
    """A linear map to the coarse grid, then normalised transposed convolutions."""

    def __init__(self, config: VoxelsHead, features: int):
        super().__init__()
        self.config = config
        c, d = config.channels, config.channels * 3 // 2
        self.start = nn.Sequential(nn.Linear(features, config.hidden), nn.ReLU(), nn.Linear(config.hidden, c * 8**3))
        self.grow = nn.Sequential(
            nn.BatchNorm3d(c), nn.ReLU(),
            nn.ConvTranspose3d(c, d, 4, 2, 1), nn.BatchNorm3d(d), nn.ReLU(),
            nn.ConvTranspose3d(d, 1, 2, 2),
        )  # fmt: skip
        # Channels last is the quicker memory order on CPUs, 1.5 times here.
        self.grow.to(memory_format=torch.channels_last_3d)  # pyrefly: ignore[no-matching-overload]: torch's types lack it

    def forward(self, features: Features) -> Float[Tensor, "B Z Y X"]:
        """Logits; a probability is their sigmoid."""
        start = self.start(features.code).reshape(len(features), -1, 8, 8, 8)
        return self.grow(start.contiguous(memory_format=torch.channels_last_3d))[:, 0]

    @torch.no_grad()
    def shift_level(self, level: float) -> None:
        """Shift all logits by one number, so that what had probability `level` now has 0.5."""
        last = self.grow[-1]
        assert isinstance(last, nn.ConvTranspose3d) and last.bias is not None
        last.bias -= math.log(level / (1 - level))

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        return {
            "voxels": occupancy_bce(
                self(features), targets.grid(RESOLUTION), full_weight=self.config.full_weight
            ).mean()
        }

    def shapes(self, features: Features) -> list[Voxels]:
        frame = torch.eye(4, device=features.code.device)
        return [Voxels(occupancy, frame) for occupancy in self(features).sigmoid()]
