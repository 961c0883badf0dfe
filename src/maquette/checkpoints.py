"""Where a long optimisation stands, in one file: tensors by name, the optimiser's moments, the number of steps done.

One file, so that no two can be of different steps; safetensors, so that reading it runs no code.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from maquette.io.atomic import atomic_path


@dataclass(frozen=True)
class Checkpoint:
    """What a file of `save_checkpoint` holds."""

    step: int
    """Steps done."""
    tensors: dict[str, Tensor]
    moments: dict[int, dict[str, Tensor]]
    """The optimiser's memory, by the number of the parameter and the name of the slot."""


def snapshot(tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Copies of `tensors` and of the optimiser's moments, as a checkpoint holds them."""
    held = {f"tensor.{name}": tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    for index, slots in optimizer.state_dict()["state"].items():
        for name, value in slots.items():
            if value is not None:  # momentum of a parameter that has not moved yet
                held[f"moment.{index}.{name}"] = torch.as_tensor(value).detach().cpu().clone()
    return held


def write_snapshot(path: Path, held: dict[str, Tensor], step: int) -> None:
    """Write a snapshot taken after `step` steps, whole or not at all."""
    from safetensors.torch import save_file

    with atomic_path(path) as temporary:
        save_file({name: value.contiguous() for name, value in held.items()}, temporary, metadata={"step": str(step)})


def save_checkpoint(path: Path, tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer, step: int) -> None:
    """Write `tensors`, the state of `optimizer` and the number of steps done to `path`, whole or not at all."""
    write_snapshot(path, snapshot(tensors, optimizer), step)


def load_checkpoint(path: Path) -> Checkpoint:
    """OSError if `path` is not a checkpoint."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            step = int(file.metadata()["step"])
            names = file.keys()
            held = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise OSError(f"{path}: not a checkpoint: {str(error).splitlines()[0]}") from error
    tensors, moments = {}, {}
    for name, tensor in held.items():
        kind, _, rest = name.partition(".")
        if kind == "tensor":
            tensors[rest] = tensor
        else:
            index, _, slot = rest.partition(".")
            moments.setdefault(int(index), {})[slot] = tensor
    return Checkpoint(step, tensors, moments)


def restore_moments(optimizer: torch.optim.Optimizer, parameters: Iterable[Tensor], checkpoint: Checkpoint) -> None:
    """Give `optimizer` over `parameters` the moments it had."""
    parameters = list(parameters)
    state: dict[int, dict[str, Tensor]] = {}
    for index, slots in checkpoint.moments.items():
        for name, tensor in slots.items():
            # Adam's kernel walks parameter and moments side by side in memory, so their order there must agree.
            like = torch.empty_like(parameters[index]) if tensor.ndim else torch.empty_like(tensor)
            state.setdefault(index, {})[name] = like.copy_(tensor)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
