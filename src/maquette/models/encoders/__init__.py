"""Picture encoders, a union of configs: RGBA in, `Features` out."""

from dataclasses import replace

from torch import nn

from maquette.models.encoders.dino import Dino, DinoEncoder
from maquette.models.encoders.norms import Norm
from maquette.models.encoders.precomputed import Codes, PrecomputedCodes
from maquette.models.encoders.resnet import Resnet, ResnetEncoder, stage_channels
from maquette.models.encoders.small import Small, SmallEncoder

__all__ = [
    "DinoEncoder",
    "EncoderConfig",
    "Norm",
    "PrecomputedCodes",
    "ResnetEncoder",
    "SmallEncoder",
    "build_encoder",
    "feature_length",
    "map_channels",
    "without_weights",
]

EncoderConfig = SmallEncoder | ResnetEncoder | DinoEncoder | PrecomputedCodes


def build_encoder(config: EncoderConfig) -> nn.Module:
    match config:
        case SmallEncoder():
            return Small(config)
        case ResnetEncoder():
            return Resnet(config)
        case DinoEncoder():
            return Dino(config)
        case PrecomputedCodes():
            return Codes(config)


def feature_length(config: EncoderConfig) -> int:
    """Numbers of `Features.code`."""
    match config:
        case SmallEncoder(features=features):
            return features
        case ResnetEncoder():
            return stage_channels(config)[-1]
        case DinoEncoder(width=width, code=code):
            return width if code == "cls" else 2 * width
        case PrecomputedCodes(length=length):
            return length


def map_channels(config: EncoderConfig) -> tuple[int, ...]:
    """Channels of `Features.maps`, fine to coarse; none for codes from a file."""
    match config:
        case SmallEncoder(width=w):
            return (w, 2 * w, 4 * w, 8 * w)
        case ResnetEncoder():
            return stage_channels(config)
        case DinoEncoder(width=width):
            return (width,)
        case PrecomputedCodes():
            return ()


def without_weights(config: EncoderConfig) -> EncoderConfig:
    """The same network with random weights, for a run that holds all its own."""
    return replace(config, weights=None) if isinstance(config, ResnetEncoder | DinoEncoder) else config
