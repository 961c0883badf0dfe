"""The processes that train together: one, or as many as `torchrun` has started, on one machine or on several."""

import gc
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.models import SingleView, total_loss
from maquette.ops.devices import usable_device

if TYPE_CHECKING:
    from accelerate import Accelerator

Precision = Literal["no", "bf16", "fp16"]
PATIENCE = timedelta(hours=12)
"""How long processes wait for the one that packs the data."""


@contextmanager
def processes(device: str, precision: Precision, accumulate: int) -> Iterator["Accelerator"]:
    """The team of this process; what it held is given back at the end, or gloo aborts when Python exits."""
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.state import AcceleratorState, GradientState

    chosen = usable_device(device, "train")
    if chosen.type == "cuda" and chosen.index is not None:
        torch.cuda.set_device(chosen)
    if precision == "fp16" and chosen.type != "cuda":
        raise ValueError(f"train: precision fp16 needs a CUDA device, not {device}; give bf16 or no")
    team = Accelerator(
        cpu=chosen.type == "cpu",
        mixed_precision=precision,
        gradient_accumulation_steps=accumulate,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    try:
        if team.device.type != chosen.type or (team.num_processes > 1 and chosen.index is not None):
            raise ValueError(
                f"train: {team.num_processes} processes run on {team.device.type}, one device each, not on {device}; "
                f"give --device {team.device.type}"
            )
        yield team
    finally:
        # Everything that knows the process group must be gone before it is.
        team.free_memory()
        gc.collect()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        # Accelerate keeps its settings for the whole program; the next training may have others.
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


class Learner(nn.Module):
    """The network as a function from pictures and truth to losses, which is what processes share their gradients of."""

    def __init__(self, model: SingleView):
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, targets: Targets) -> dict[str, Tensor]:
        return self.model.losses(images, targets)


def parts_of(batch: int, team: "Accelerator", accumulate: int) -> list[slice]:
    """This process's parts of every batch, one after the other.

    Each takes every n-th object, so that what a network learns from the first half of a batch alone is in the first
    halves of the parts.
    """
    n = team.num_processes * accumulate
    if batch % n:
        raise ValueError(
            f"train: a batch of {batch} does not divide by {team.num_processes} processes x {accumulate} accumulated "
            f"parts; give a multiple of {n}, as {math.ceil(batch / n) * n}"
        )
    return [slice(turn * team.num_processes + team.process_index, None, n) for turn in range(accumulate)]


def means_of(team: "Accelerator", found: list[dict[str, Float[Tensor, ""]]]) -> dict[str, float]:
    """The total loss and its terms, each the mean over the parts of a batch and over all processes."""
    rows = [torch.stack([total_loss(terms), *terms.values()]).detach().float() for terms in found]
    mean = team.reduce(torch.stack(rows).mean(0), "mean")
    assert isinstance(mean, Tensor)
    return dict(zip(("loss", *found[0]), mean.tolist(), strict=True))


def in_turns(team: "Accelerator") -> Iterator[bool]:
    """Whether it is this process's turn: first the main one, then one a machine, then all others.

    So files are written by one process, and on machines that do not see them by one each; the others find them there.
    """
    turn = 0 if team.is_main_process else 1 if team.is_local_main_process else 2
    for now in range(3):
        yield now == turn
        team.wait_for_everyone()
