"""Residual networks (He et al. 2015) with the parameter names of published weights. B pictures, S pixels a side."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.models.encoders.norms import Norm, norm_layer
from maquette.models.encoders.published import read_tensors, weights_file
from maquette.models.features import Features
from maquette.models.ranges import check_ranges

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ResnetEncoder:
    """ResNet-18, 34 or 50 up to its mean pool: 512, 512 or 2,048 features, 11.2, 21.3 or 23.5 M parameters."""

    depth: Literal[18, 34, 50] = 18
    """Layers, as He et al. count them."""
    weights: str | None = None
    """Published ImageNet weights: a file (.safetensors, or .pth read without running code), or 'hub:OWNER/NAME/FILE' on
    the Hugging Face hub; none: random."""
    norm: Norm = "batch"
    """Normalisation; 'group' and 'frozen' do not depend on the batch, and 'frozen' is for published weights."""
    picture_size: int = 137
    """Pixels a side."""

    def __post_init__(self) -> None:
        check_ranges(self, {"picture_size": (32, 1024)})


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al. 2015, figure 5 left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = norm_layer(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = norm_layer(norm, width)
        self.downsample = shortcut(inputs, width, stride, norm)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions and a shortcut (figure 5 right); as published, the 3x3 has the stride."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, norm: Norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = norm_layer(norm, width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = norm_layer(norm, width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = norm_layer(norm, 4 * width)
        self.downsample = shortcut(inputs, 4 * width, stride, norm)

    def forward(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, "B D h w"]:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def shortcut(inputs: int, outputs: int, stride: int, norm: Norm) -> nn.Sequential | None:
    """A 1x1 convolution where the sizes differ (option B), nothing where they agree."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm_layer(norm, outputs))


BLOCKS = {18: (BasicBlock, (2, 2, 2, 2)), 34: (BasicBlock, (3, 4, 6, 3)), 50: (Bottleneck, (3, 4, 6, 3))}
"""Kind and number of the blocks of each stage, by depth (He et al. 2015, table 1)."""
WIDTHS = (64, 128, 256, 512)


def stage_channels(config: ResnetEncoder) -> tuple[int, ...]:
    """Channels at the end of each stage."""
    block, _ = BLOCKS[config.depth]
    return tuple(block.expansion * width for width in WIDTHS)


class Resnet(nn.Module):
    """The layout of the published weights; its last layer `fc` is left out, so keys `fc.*` are not read."""

    def __init__(self, config: ResnetEncoder):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = norm_layer(config.norm, 64)
        block, counts = BLOCKS[config.depth]
        inputs = 64
        stages = []
        for width, count in zip(WIDTHS, counts, strict=True):
            first = block(inputs, width, 1 if width == 64 else 2, config.norm)
            inputs = block.expansion * width
            stages.append(nn.Sequential(first, *(block(inputs, width, 1, config.norm) for _ in range(count - 1))))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        if config.weights is not None:
            load_published(self, weights_file(config.weights), f"ResNet-{config.depth}")

    def forward(self, images: Float[Tensor, "B 4 S S"]) -> Features:
        x = torch.relu(self.bn1(self.conv1(on_white(images))))
        x = nn.functional.max_pool2d(x, 3, 2, 1)
        maps = [self.layer1(x)]
        for layer in (self.layer2, self.layer3, self.layer4):
            maps.append(layer(maps[-1]))
        return Features(maps[-1].mean((2, 3)), tuple(maps))


def on_white(images: Float[Tensor, "B 4 S S"]) -> Float[Tensor, "B 3 S S"]:
    """Pictures over white, normalised as those of ImageNet are for published networks."""
    rgb, alpha = images[:, :3], images[:, 3:]
    mean, std = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (rgb * alpha + (1 - alpha) - mean) / std


def load_published(network: Resnet, path: Path, name: str) -> None:
    """Read published ImageNet weights into `network`, by name; every tensor must be there and fit, and none be over."""
    tensors, wanted = read_tensors(path), network.state_dict()
    # The oldest published files lack the counters of batch normalisation, which evaluation does not use.
    missing = [key for key in wanted if key not in tensors and not key.endswith("num_batches_tracked")]
    wrong = [key for key in wanted if key in tensors and tensors[key].shape != wanted[key].shape]
    over = [
        key for key in tensors if key not in wanted and not key.startswith("fc.") and "num_batches_tracked" not in key
    ]
    if missing or wrong or over:
        raise ValueError(
            f"{path}: not weights of {name} with this norm: of {len(wanted)} tensors {len(missing)} are missing, "
            f"{len(wrong)} have another shape, {len(over)} have no place (first: {(missing + wrong + over)[0]}); "
            "give another depth, norm or file"
        )
    network.load_state_dict({key: tensors.get(key, wanted[key]) for key in wanted})
