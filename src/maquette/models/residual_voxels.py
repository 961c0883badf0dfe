"""Voxels from coarse to fine: every grid of 8^3 cells and up corrects the logits of the one before. R cells a side.

Each level has a loss of its own, so that the solid is right in the large before it is in the small. Levels that are
finer than the data's voxels learn from its queries, places known to be inside or outside, which know no grid.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.losses import occupancy_bce
from maquette.models.deconvolution import as_shapes
from maquette.models.features import Features
from maquette.models.ranges import check_ranges
from maquette.shapes import Voxels

SIDE = 4
"""Cells a side of the first grid."""


@dataclass(frozen=True)
class ResidualVoxels:
    """Coarse to fine, to 32, 64 or 128 cells a side; every level adds to the logits of the level before."""

    resolution: Literal[32, 64, 128] = 64
    """Cells a side. Beyond those of the data's voxels, its places inside and outside teach."""
    channels: int = 128
    """Of the first grid, of 4^3 cells; every doubling halves them, to no fewer than 8."""
    full_weight: float = 1.0
    """Weight of full cells in the loss; above 1 it keeps thin parts at the price of a thicker solid."""

    def __post_init__(self) -> None:
        check_ranges(self, {"channels": (8, 1024), "full_weight": (1e-6, 1e6)})
        if self.channels % 8:
            raise ValueError(f"ResidualVoxels: channels are {self.channels}; give a multiple of 8")


class Level(nn.Module):
    """Bends a grid by the code, and reads off logits for eight cells in each of its own, to add to the coarser ones.

    All wide convolutions run on the coarser side of a doubling, at an eighth of the cells.
    """

    def __init__(self, inputs: int, outputs: int, features: int):
        super().__init__()
        # One group and no batch; `bend` has the scales and offsets.
        self.norm = nn.GroupNorm(1, inputs, affine=False)
        self.bend = nn.Linear(features, 2 * inputs)
        self.conv = nn.Conv3d(inputs, inputs, 3, padding=1)
        self.logit = nn.ConvTranspose3d(inputs, 1, 2, 2)
        self.up = nn.ConvTranspose3d(inputs, outputs, 2, 2) if outputs else None
        nn.init.zeros_(self.bend.weight)
        nn.init.zeros_(self.bend.bias)

    def forward(
        self, grid: Float[Tensor, "B C z y x"], code: Float[Tensor, "B D"]
    ) -> tuple[Float[Tensor, "B 1 Z Y X"], Float[Tensor, "B E Z Y X"] | None]:
        """(corrections of the logits, the finer grid unless this is the last level)."""
        scale, shift = self.bend(code)[..., None, None, None].chunk(2, 1)
        # Perez et al. 2018: the code chooses what each channel looks for.
        grid = grid + self.conv(torch.relu(self.norm(grid) * (1 + scale) + shift))
        seen = torch.relu(grid)
        return self.logit(seen), None if self.up is None else self.up(seen)


class ResidualVoxelsDecoder(nn.Module):
    def __init__(self, config: ResidualVoxels, features: int):
        super().__init__()
        self.config = config
        channels, side = [config.channels], SIDE
        while 2 * side < config.resolution:
            channels.append(max(8, channels[-1] // 2 // 8 * 8))
            side *= 2
        self.start = nn.Linear(features, channels[0] * SIDE**3)
        self.levels = nn.ModuleList(Level(inputs, outputs, features) for inputs, outputs in pairwise([*channels, 0]))
        # Channels last is the quicker memory order on CPUs, 1.5 times here.
        self.levels.to(memory_format=torch.channels_last_3d)  # pyrefly: ignore[no-matching-overload]: torch's types lack it

    def pyramid(self, features: Features) -> list[Float[Tensor, "B z y x"]]:
        """Logits from 8 cells a side to the resolution."""
        grid = self.start(features.code).reshape(len(features), -1, SIDE, SIDE, SIDE)
        grid = grid.contiguous(memory_format=torch.channels_last_3d)
        logits: list[Tensor] = []
        for level in self.levels:
            correction, grid = cast(Level, level)(grid, features.code)
            if logits:
                correction = correction + nn.functional.interpolate(logits[-1], scale_factor=2, mode="trilinear")
            logits.append(correction)
        return [grid[:, 0] for grid in logits]

    def forward(self, features: Features) -> Float[Tensor, "B Z Y X"]:
        """Logits; a probability is their sigmoid."""
        return self.pyramid(features)[-1]

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """`voxels` of the finest level, `voxels_coarse` the mean of all others."""
        losses = [self._level_loss(logits, targets) for logits in self.pyramid(features)]
        return {"voxels": losses[-1], "voxels_coarse": torch.stack(losses[:-1]).mean()}

    def _level_loss(self, logits: Float[Tensor, "B Z Y X"], targets: Targets) -> Float[Tensor, ""]:
        weight, cells = self.config.full_weight, logits.shape[-1]
        if targets.voxels is not None and targets.voxels.shape[-1] % cells == 0:
            return occupancy_bce(logits, targets.grid(cells), full_weight=weight).mean()
        return query_loss(logits, targets.queries, targets.inside, full_weight=weight)

    def shapes(self, features: Features) -> list[Voxels]:
        return as_shapes(self(features))


def query_loss(
    logits: Float[Tensor, "B Z Y X"],
    queries: Float[Tensor, "B Q 3"],
    inside: Float[Tensor, "B Q"],
    *,
    full_weight: float = 1.0,
) -> Float[Tensor, ""]:
    """Mean binary cross-entropy (nats) of the trilinear logits at the queries in the cube [-0.5, 0.5]^3, 0 if none is.

    Logits stand for the centres of their cells, so that the field read between them is the one whose surface is drawn.
    """
    # `grid_sample` takes x, y, z in -1..1 from edge to edge of the grid, which is Z Y X.
    read = nn.functional.grid_sample(
        logits[:, None], 2 * queries[:, None, None], padding_mode="border", align_corners=False
    )[:, 0, 0, 0]
    known = (queries.abs() <= 0.5).all(-1).to(logits.dtype)
    # A mean of each object's mean: how objects are shared out between processes does not matter.
    loss = nn.functional.binary_cross_entropy_with_logits(
        read, inside, reduction="none", pos_weight=logits.new_tensor(full_weight)
    )
    return ((loss * known).sum(-1) / known.sum(-1).clamp(min=1)).mean()
