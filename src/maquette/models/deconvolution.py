"""The voxel decoders of the course's reports: a code as a grid of 2^3 cells, transposed convolutions to 32^3.

Both give logits, and learn by the cross-entropy of logits. Report 002 ends in a sigmoid and takes the cross-entropy of
probabilities: the same function of the same weights, without its loss of precision where a cell is certain.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.losses import occupancy_bce
from maquette.models.features import Features
from maquette.shapes import Voxels


@dataclass(frozen=True)
class DeconvolutionVoxels:
    """Report 000: a linear layer, then four transposed convolutions of 64, 32, 16, 8, 1 channels."""

    channels: tuple[int, int, int, int] = (64, 32, 16, 8)
    """Of the grids of 2^3, 4^3, 8^3 and 16^3 cells; the last grid, 32^3, has one, the logit."""

    def __post_init__(self) -> None:
        check_channels(self, self.channels)


@dataclass(frozen=True)
class Pix2VoxVoxels:
    """Report 002, after Pix2Vox-F (Xie et al. 2019): five transposed convolutions of 128, 64, 32, 8, 1 channels."""

    channels: tuple[int, int, int, int] = (128, 64, 32, 8)
    """Of the grids of 4^3, 8^3, 16^3 and 32^3 cells. The code itself is the grid of 2^3: a multiple of 8 numbers."""

    def __post_init__(self) -> None:
        check_channels(self, self.channels)


def check_channels(config: object, channels: tuple[int, ...]) -> None:
    if not all(1 <= count <= 4096 for count in channels):
        raise ValueError(f"{type(config).__name__}: channels are {channels}; give 1 to 4,096")


class DeconvolutionDecoder(nn.Module):
    def __init__(self, config: DeconvolutionVoxels | Pix2VoxVoxels, features: int):
        super().__init__()
        self.config = config
        match config:
            case DeconvolutionVoxels(channels=channels):
                self.start = nn.Sequential(nn.Linear(features, 8 * channels[0]), nn.ReLU())
                sizes = (*channels, 1)
                self.grow = nn.Sequential(*_doublings(sizes, nn.ReLU())[:-1])
            case Pix2VoxVoxels(channels=channels):
                if features % 8:
                    raise ValueError(
                        f"Pix2VoxVoxels: codes have {features} numbers; take an encoder that gives a multiple of 8"
                    )
                self.start = nn.Identity()
                sizes = (features // 8, *channels)
                self.grow = nn.Sequential(*_doublings(sizes, nn.LeakyReLU()), nn.ConvTranspose3d(channels[-1], 1, 1))

    def forward(self, features: Features) -> Float[Tensor, "B Z Y X"]:
        """Logits; a probability is their sigmoid."""
        return self.grow(self.start(features.code).reshape(len(features), -1, 2, 2, 2))[:, 0]

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        logits = self(features)
        return {"voxels": occupancy_bce(logits, targets.grid(logits.shape[-1])).mean()}

    def shapes(self, features: Features) -> list[Voxels]:
        return as_shapes(self(features))


def _doublings(sizes: tuple[int, ...], activation: nn.Module) -> list[nn.Module]:
    """Transposed convolutions k4 s2 p1, each of which doubles the grid, each with the activation after it."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.ConvTranspose3d(inputs, outputs, 4, 2, 1), activation]
    return layers


def as_shapes(logits: Float[Tensor, "B Z Y X"]) -> list[Voxels]:
    """Probabilities in the cube of learning."""
    frame = torch.eye(4, device=logits.device)
    return [Voxels(occupancy, frame) for occupancy in logits.sigmoid()]
