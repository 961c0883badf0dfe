"""A small residual network for pictures of an object on nothing. B pictures, S pixels a side."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.models.encoders.norms import Norm, norm_layer
from maquette.models.encoders.resnet import BasicBlock
from maquette.models.features import Features
from maquette.models.ranges import check_ranges


@dataclass(frozen=True)
class SmallEncoder:
    """Residual network of 2.1 M parameters for pictures of 64 x 64; trains on a CPU."""

    width: int = 24
    """Channels after the stem, a multiple of 8; the three stages have 2, 4 and 8 times as many."""
    features: int = 512
    """Length of the feature vector."""
    picture_size: int = 64
    """Pixels a side; a multiple of 16."""
    norm: Norm = "batch"
    """Normalisation; 'group' does not depend on the batch."""

    def __post_init__(self) -> None:
        check_ranges(self, {"width": (8, 1024), "features": (1, 65_536), "picture_size": (16, 1024)})


class Small(nn.Module):
    """Stem, three stages that halve the picture, and a linear map of the last 4 x 4 grid.

    The grid is not averaged away: where something is in the picture says what shape it has.
    """

    def __init__(self, config: SmallEncoder):
        super().__init__()
        # oneDNN writes out of bounds in the backward pass of strided 1x1 convolutions of 4 channels (torch 2.13, AVX2).
        if config.width < 8 or config.width % 8:
            raise ValueError(f"SmallEncoder: width is {config.width}; give a multiple of 8")
        if config.picture_size % 16:
            raise ValueError(f"SmallEncoder: picture_size is {config.picture_size}; give a multiple of 16")
        w, norm = config.width, config.norm
        self.stem = nn.Sequential(nn.Conv2d(4, w, 5, 2, 2, bias=False), norm_layer(norm, w), nn.ReLU())
        self.stages = nn.Sequential(
            BasicBlock(w, 2 * w, 2, norm),
            BasicBlock(2 * w, 4 * w, 2, norm),
            BasicBlock(4 * w, 8 * w, 2, norm),
            BasicBlock(8 * w, 8 * w, 1, norm),
        )
        self.squeeze = nn.Conv2d(8 * w, 4 * w, 1)
        grid = config.picture_size // 16
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * w * grid**2, config.features), nn.ReLU())
        # Channels last is the quicker memory order of convolutions on CPUs, 1.3 to 2 times here.
        self.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]: torch's types lack it

    def forward(self, images: Float[Tensor, "B 4 S S"]) -> Features:
        rgb, alpha = images[:, :3], images[:, 3:]
        # Background becomes 0 and is told from a grey surface by the fourth channel.
        x = torch.cat([(rgb * 2 - 1) * alpha, alpha], 1)
        x = x.contiguous(memory_format=torch.channels_last)
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        # The last two stages are of one size: the later one holds all that the earlier does.
        return Features(self.head(self.squeeze(maps[-1])), (*maps[:-2], maps[-1]))
