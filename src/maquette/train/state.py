"""What a training leaves in its folder: the state to go on from, in one file, and the lines of steps done."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from maquette.checkpoints import load_checkpoint, restore_moments, save_checkpoint
from maquette.io.atomic import write_text
from maquette.models.runs import misfit

STATE = "state.safetensors"


def save_state(
    out: Path,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scaler: "torch.amp.GradScaler | None",
    step: int,
) -> None:
    """Networks by name, the optimiser's moments, the scale of half-precision losses, the number of steps done."""
    tensors = {
        f"{kind}.{name}": value for kind, module in modules.items() for name, value in module.state_dict().items()
    }
    scale = {} if scaler is None else scaler.state_dict()
    tensors |= {f"scaler.{name}": torch.tensor(value, dtype=torch.float64) for name, value in scale.items()}
    save_checkpoint(out / STATE, tensors, optimizer, step)


def load_state(
    out: Path,
    modules: Mapping[str, nn.Module],
    optimizer: torch.optim.Optimizer,
    scaler: "torch.amp.GradScaler | None",
) -> int:
    """Fill what `save_state` was given; returns the number of steps done."""
    checkpoint = load_checkpoint(out / STATE)
    saved = dict(checkpoint.tensors)
    scale = {name: saved.pop(f"scaler.{name}").item() for name in ({} if scaler is None else scaler.state_dict())}
    for kind, module in modules.items():
        own = {name.removeprefix(f"{kind}."): saved[name] for name in saved if name.startswith(f"{kind}.")}
        differs = misfit(module.state_dict(), own)
        if differs:
            raise ValueError(f"{out / STATE}: checkpoint of another network: {differs}; give the same model")
        module.load_state_dict(own)
    more = {name.partition(".")[0] for name in saved} - set(modules)
    if more:
        raise ValueError(f"{out / STATE}: also holds {', '.join(sorted(more))}; give the settings it was begun with")
    learning = [parameter for parameter in modules["model"].parameters() if parameter.requires_grad]
    restore_moments(optimizer, learning, checkpoint)
    if scaler is not None:
        whole = ("growth_interval", "_growth_tracker")
        scaler.load_state_dict({name: int(value) if name in whole else value for name, value in scale.items()})
    return checkpoint.step


def cut_metrics(out: Path, step: int) -> None:
    """Drop the lines of steps at or after `step`: they were written after the checkpoint and will be written again."""
    path = out / "metrics.jsonl"
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except json.JSONDecodeError:
            # A line cut short by a kill is of a step after the checkpoint.
            continue
    write_text(path, "".join(f"{line}\n" for line in kept))
