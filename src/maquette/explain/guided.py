"""Guided backpropagation: the gradient passes a ReLU only where it is positive, too.

Captum's `GuidedBackprop` hooks modules of type `nn.ReLU`. Half of the ReLUs here are calls of `torch.relu`, and one
module may serve several layers, so the rule is laid on the call itself, however it is spelt.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode


class _GuidedRelu(torch.autograd.Function):
    """max(x, 0); backward g where x > 0 and g > 0, else 0 (Springenberg et al. 2014, figure 1)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0].clamp(min=0) * (x > 0)


class Guided(TorchFunctionMode):
    """Within it every ReLU that runs has the guided backward pass, in encoder and decoder alike.

    Other activations (leaky, parametric, GELU, sigmoid) keep their own: the rule is not defined for them.
    """

    RELUS = (torch.relu, torch.relu_, torch.nn.functional.relu, Tensor.relu, Tensor.relu_)

    def __init__(self) -> None:
        super().__init__()
        self.relus = 0
        """How many have run."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func in self.RELUS:
            self.relus += 1
            return _GuidedRelu.apply(args[0] if args else (kwargs or {})["input"])
        return func(*args, **(kwargs or {}))


@torch.no_grad()
def relus_of_encoder(encoder: torch.nn.Module, picture: Float[Tensor, "4 S S"]) -> int:
    """How many ReLUs run between a picture and its features."""
    with Guided() as guided:
        encoder(picture[None])
    return guided.relus
