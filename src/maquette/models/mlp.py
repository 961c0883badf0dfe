"""Multilayer perceptrons, the decoders of the course's reports."""

from itertools import pairwise
from typing import Literal

from torch import nn

Activation = Literal["relu", "leaky_relu"]


def mlp(sizes: tuple[int, ...], activation: Activation = "relu") -> nn.Sequential:
    """Linear maps from each size to the next, with the activation between them and none at the end."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU() if activation == "relu" else nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1])
