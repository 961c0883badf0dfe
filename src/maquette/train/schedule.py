"""Learning rates, and the moving average of the weights."""

import math
from typing import Literal

import torch
from torch import Tensor, nn

Schedule = Literal["cosine", "constant"]


def learning_rate(peak: float, schedule: Schedule, warmup: int, steps: int, step: int) -> float:
    """Rises in a line over `warmup` steps; constant stays there, a cosine falls to 0 at the last of `steps`."""
    warm = min(1.0, (step + 1) / max(warmup, 1))
    if schedule == "constant":
        return peak * warm
    return peak * warm * 0.5 * (1 + math.cos(math.pi * step / steps))


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move `average` towards `model`: what it was counts `decay`, and less in the first steps, (1 + n) / (10 + n).

    Buffers, as the statistics of batch normalisation, are averages already and are copied.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list[Tensor](average.parameters()), list[Tensor](model.parameters()), share)
    for mine, theirs in zip(average.buffers(), model.buffers(), strict=True):
        mine.copy_(theirs)
