"""Normalisation of channels, by choice with or without a dependence on the batch. C channels."""

from typing import Literal

from torch import nn

Norm = Literal["batch", "group", "frozen"]
"""batch: by the statistics of the batch while training (Ioffe and Szegedy 2015). group: by those of each picture alone,
in groups of channels (Wu and He 2018), the same for any batch and any number of processes. frozen: batch normalisation
by statistics that never change, those of published weights; its scales and offsets are learnt."""

GROUP = 8
"""Channels a group."""


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation that uses and keeps the statistics it was loaded with, in training, too."""

    def train(self, mode: bool = True) -> "FrozenBatchNorm2d":
        return super().train(False)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """Parameters are called as published weights call those of batch normalisation."""
    match norm:
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(channels // GROUP, channels)
        case "frozen":
            return FrozenBatchNorm2d(channels).eval()
