"""What moves the vertices of a fit: a choice of optimisers, and how one goes on when the mesh under it changes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.fitting import descent


@dataclass(frozen=True)
class Adam:
    """Adam on the positions themselves (Kingma & Ba 2015)."""

    lr: float = 0.01
    """Peak learning rate, where the target spans [-1, 1]."""


@dataclass(frozen=True)
class Sgd:
    """Gradient descent with momentum."""

    lr: float = 1.0
    momentum: float = 0.9


@dataclass(frozen=True)
class LargeSteps:
    """Uniform Adam through (I + smoothness L)^-1 (Nicolet et al. 2021).

    One step size for all vertices is set by the largest gradient, and the solve spreads a step wide: rates are about
    ten times those of Adam, and few thousand vertices want a lower smoothness than the paper's 19.
    """

    lr: float = 0.1
    smoothness: float = 3.0
    """The lambda of the paper: the higher, the wider a gradient is spread; 0 leaves uniform Adam."""


Optimizer = Adam | Sgd | LargeSteps


def checked(optimizer: Optimizer, name: str) -> None:
    """ValueError, with the name of the command in it, for numbers that no optimiser takes."""
    if not (optimizer.lr > 0 and math.isfinite(optimizer.lr)):
        raise ValueError(f"{name}: optimizer.lr is {optimizer.lr}; give a positive number")
    if isinstance(optimizer, Sgd) and not 0 <= optimizer.momentum < 1:
        raise ValueError(f"{name}: optimizer.momentum is {optimizer.momentum}; give a number in [0, 1)")
    if isinstance(optimizer, LargeSteps) and not (optimizer.smoothness >= 0 and math.isfinite(optimizer.smoothness)):
        raise ValueError(f"{name}: optimizer.smoothness is {optimizer.smoothness}; give 0 or more")


def optimizer_over(parameters: list[Tensor], choice: Optimizer) -> torch.optim.Optimizer:
    match choice:
        case Adam(lr):
            return descent.Adam(parameters, lr=lr)
        case Sgd(lr, momentum):
            return descent.Sgd(parameters, lr=lr, momentum=momentum)
        case LargeSteps(lr):
            return descent.UniformAdam(parameters, lr=lr)


def swap_parameter(
    optimizer: torch.optim.Optimizer,
    old: Tensor,
    new: Tensor,
    *,
    carry: Callable[[Float[Tensor, "V C"]], Float[Tensor, "W C"]],
) -> None:
    """Put `new` in the place of `old`, its moments those of the old carried over by a linear map of vertex values."""
    found = False
    for group in optimizer.param_groups:
        for index, parameter in enumerate(group["params"]):
            if parameter is old:
                group["params"][index], found = new, True
    if not found:
        raise ValueError(f"swap_parameter: the optimiser has no such parameter of shape {tuple(old.shape)}")
    state = optimizer.state.pop(old, None)
    if state:
        # A scalar is a count of steps; a moment has the shape of its parameter.
        optimizer.state[new] = {
            name: torch.empty_like(new).copy_(carry(value)) if torch.is_tensor(value) and value.ndim else value
            for name, value in state.items()
        }
