"""Codes that another network made before: the course's `feats.npy`. B pictures, D numbers a code."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from maquette.models.features import Features
from maquette.models.ranges import check_ranges


@dataclass(frozen=True)
class PrecomputedCodes:
    """No network: the data set holds a code for each picture, and the decoders learn from that alone."""

    length: int = 512
    """Numbers a code; the course's are of ResNet-18."""
    picture_size: int = 64
    """Pixels a side of the pictures that are shown beside the results; the network does not see them."""

    def __post_init__(self) -> None:
        check_ranges(self, {"length": (1, 65_536), "picture_size": (16, 1024)})


class Codes(nn.Module):
    """Passes codes on as features without maps."""

    def __init__(self, config: PrecomputedCodes):
        super().__init__()
        self.config = config

    def forward(self, codes: Float[Tensor, "B *rest"]) -> Features:
        if codes.ndim != 2 or codes.shape[1] != self.config.length:
            raise ValueError(
                f"encode: this network takes codes of {self.config.length} numbers in the place of pictures, not "
                f"{tuple(codes.shape)}; train with another encoder for pictures"
            )
        return Features(codes)
