"""The optimisers of fits and trainings: torch's Adam and SGD, and uniform Adam, without what torch's bring along.

torch marks the bookkeeping of its optimisers for its compiler, which is imported at the first call and takes longer
than torch itself: as long as 300 steps of a fit. Nothing is compiled here, so the methods are called as they are.
"""

from inspect import unwrap

import torch
from torch import Tensor


class Descent(torch.optim.Optimizer):
    """An optimiser like torch's, which any loop can use, that never imports torch's compiler."""

    add_param_group = unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = unwrap(torch.optim.Optimizer.zero_grad)
    state_dict = unwrap(torch.optim.Optimizer.state_dict)
    load_state_dict = unwrap(torch.optim.Optimizer.load_state_dict)


class Adam(Descent):
    """Adam (Kingma & Ba 2015), with the moments `exp_avg` and `exp_avg_sq` of torch's, step for step the same."""

    def __init__(self, params, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8):
        super().__init__(params, {"lr": lr, "betas": checked_betas("Adam", lr, betas), "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):  # pyrefly: ignore[bad-override]: torch tells with and without a closure apart
        loss = _evaluated(closure)
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter, gradient in _moved(group):
                count, mean, square = moments(self.state[parameter], gradient, first, second)
                deviation = square.sqrt().mul_((1 - second**count) ** -0.5).add_(group["eps"])
                parameter.addcdiv_(mean, deviation, value=-group["lr"] / (1 - first**count))
        return loss


class FusedAdam(Descent, torch.optim.Adam):
    """torch's own Adam, whose fused kernel updates the many weights of a network at once."""

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))


class UniformAdam(Descent):
    """Adam that divides by the largest second moment of a parameter instead of each entry's own.

    Coordinates then share one step size, so that a step keeps the direction of the gradient (Nicolet et al. 2021,
    "Large Steps in Inverse Rendering of Geometry", section 3.3).
    """

    def __init__(self, params, lr: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-12):
        super().__init__(params, {"lr": lr, "betas": checked_betas("UniformAdam", lr, betas), "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):  # pyrefly: ignore[bad-override]: torch tells with and without a closure apart
        loss = _evaluated(closure)
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter, gradient in _moved(group):
                count, mean, square = moments(self.state[parameter], gradient, first, second)
                largest = float((square.max() / (1 - second**count)).sqrt())
                parameter.sub_(mean, alpha=group["lr"] / (1 - first**count) / (largest + group["eps"]))
        return loss


class Sgd(Descent):
    """Gradient descent with momentum as torch has it: velocity v <- m v + g, the parameter moves by -lr v."""

    def __init__(self, params, lr: float = 1.0, momentum: float = 0.0):
        if not lr > 0 or not 0 <= momentum < 1:
            raise ValueError(f"Sgd: lr is {lr}, momentum is {momentum}; give lr > 0 and momentum in [0, 1)")
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):  # pyrefly: ignore[bad-override]: torch tells with and without a closure apart
        loss = _evaluated(closure)
        for group in self.param_groups:
            for parameter, gradient in _moved(group):
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                velocity = state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
                parameter.sub_(velocity, alpha=group["lr"])
        return loss


def checked_betas(name: str, lr: float, betas: tuple[float, float]) -> tuple[float, float]:
    if not lr > 0 or not 0 <= betas[0] < 1 or not 0 <= betas[1] < 1:
        raise ValueError(f"{name}: lr is {lr}, betas are {betas}; give lr > 0 and betas in [0, 1)")
    return betas


def moments(state: dict, gradient: Tensor, first: float, second: float) -> tuple[int, Tensor, Tensor]:
    """The number of this step from 1 on, and the running means of the gradient and of its square with it."""
    if not state:
        # As torch counts: a tensor, so that it is saved and restored as the moments are.
        state["step"] = torch.zeros(())
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state["step"] += 1
    mean = state["exp_avg"].lerp_(gradient, 1 - first)
    return int(state["step"]), mean, state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)


def _moved(group: dict) -> list[tuple[Tensor, Tensor]]:
    """The parameters that have a gradient, with it."""
    return [(parameter, parameter.grad) for parameter in group["params"] if parameter.grad is not None]


def _evaluated(closure):
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()
