"""Devices that torch can compute on here."""

import torch


def usable_device(name: str, command: str) -> torch.device:
    """The device of this name; where torch knows none, or this machine lacks it, a ValueError that begins with
    `command`.
    """
    try:
        device = torch.device(name)
        float(torch.zeros(1, device=device))  # reading it back, which tensors without data (meta) refuse
    except (RuntimeError, AssertionError, ImportError) as error:
        own = torch.accelerator.current_accelerator()
        held = [] if own is None else [f"{own.type}:{k}" for k in range(torch.accelerator.device_count())]
        raise ValueError(
            f"{command}: device {name!r} cannot be used: {str(error).splitlines()[0].rstrip('.')}; this machine has "
            f"{', '.join(['cpu', *held])}"
        ) from error
    return device
