"""Picture encoders: RGBA in, features out. B pictures, S pixels a side, D numbers a code."""

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from jaxtyping import Float
from torch import Tensor, nn

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

    def __post_init__(self) -> None:
        check_ranges(self, {"width": (8, 1024), "features": (1, 65_536), "picture_size": (16, 1024)})


@dataclass(frozen=True)
class Resnet18Encoder:
    """ResNet-18 (He et al. 2015, table 1) up to its mean pool: 512 features, 11.2 M parameters."""

    weights: Path | None = None
    """File of published ImageNet weights (.safetensors, or .pth read without running code); none: random."""
    picture_size: int = 137
    """Pixels a side."""

    def __post_init__(self) -> None:
        check_ranges(self, {"picture_size": (32, 1024)})


EncoderConfig = SmallEncoder | Resnet18Encoder


def build_encoder(config: EncoderConfig) -> nn.Module:
    match config:
        case SmallEncoder():
            return Small(config)
        case Resnet18Encoder():
            return ResNet18(config)


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2015, figure 2). Parameter names are as in published weights."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


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
        w = config.width
        self.stem = nn.Sequential(nn.Conv2d(4, w, 5, 2, 2, bias=False), nn.BatchNorm2d(w), nn.ReLU())
        self.stages = nn.Sequential(
            Block(w, 2 * w, 2), Block(2 * w, 4 * w, 2), Block(4 * w, 8 * w, 2), Block(8 * w, 8 * w, 1)
        )
        self.squeeze = nn.Conv2d(8 * w, 4 * w, 1)
        grid = config.picture_size // 16
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * w * grid**2, config.features), nn.ReLU())
        # Channels last is the quicker memory order of convolutions on CPUs, 1.3 to 2 times here.
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]: torch's types lack it

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


IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ResNet18(nn.Module):
    """The layout of the published weights; its last layer `fc` is left out, so keys `fc.*` are not read."""

    def __init__(self, config: Resnet18Encoder):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Block(64, 64, 1), Block(64, 64, 1))
        self.layer2 = nn.Sequential(Block(64, 128, 2), Block(128, 128, 1))
        self.layer3 = nn.Sequential(Block(128, 256, 2), Block(256, 256, 1))
        self.layer4 = nn.Sequential(Block(256, 512, 2), Block(512, 512, 1))
        if config.weights is not None:
            load_published(self, config.weights)

    def forward(self, images: Float[Tensor, "B 4 S S"]) -> Features:
        rgb, alpha = images[:, :3], images[:, 3:]
        x = rgb * alpha + (1 - alpha)
        mean, std = (x.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        x = torch.relu(self.bn1(self.conv1((x - mean) / std)))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        maps = [self.layer1(x)]
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return Features(maps[-1].mean((2, 3)), tuple(maps))


def map_channels(config: EncoderConfig) -> tuple[int, ...]:
    """Channels of `Features.maps`, fine to coarse."""
    match config:
        case SmallEncoder(width=w):
            return (w, 2 * w, 4 * w, 8 * w)
        case Resnet18Encoder():
            return (64, 128, 256, 512)


def load_published(network: ResNet18, path: Path) -> None:
    """Read the published ImageNet ResNet-18 into `network`, by name; every tensor must be there and fit."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file; give the published ResNet-18 weights (.safetensors or .pth)")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        read = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise OSError(f"{path}: cannot be read as weights ({type(error).__name__}); download the file again") from error
    tensors = (
        {name: value for name, value in read.items() if isinstance(value, Tensor)} if isinstance(read, dict) else {}
    )
    wanted = network.state_dict()
    # The oldest published files lack the counters of batch normalisation, which evaluation does not use.
    missing = [name for name in wanted if name not in tensors and not name.endswith("num_batches_tracked")]
    wrong = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
    if missing or wrong:
        raise ValueError(
            f"{path}: not ResNet-18 weights: {len(missing)} of {len(wanted)} tensors are missing and {len(wrong)} have "
            f"another shape (first: {(missing + wrong)[0]})"
        )
    network.load_state_dict({name: tensors.get(name, wanted[name]) for name in wanted})


def feature_length(config: EncoderConfig) -> int:
    """Numbers of `Features.code`."""
    return config.features if isinstance(config, SmallEncoder) else 512
