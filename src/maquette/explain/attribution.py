"""Attributions to the pixels of a picture: gradients, smoothed, integrated or guided. B pictures, S pixels a side.

Saliency, SmoothGrad and integrated gradients are captum's. A picture is straight RGBA as the network takes it, and all
four channels have an attribution.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.explain.guided import Guided
from maquette.explain.methods import IntegratedGradients, SmoothGrad

Score = Callable[[Tensor], Tensor]
"""Pictures (B, 4, S, S) to the number asked for, (B,)."""
BATCH = 32
"""Pictures at once, of those that one map needs."""


def gradient(score: Score, picture: Float[Tensor, "4 S S"]) -> Float[Tensor, "4 S S"]:
    """Of the number asked for by each value of the picture."""
    from captum.attr import Saliency as Gradient

    return Gradient(score).attribute(picture[None].clone().requires_grad_(), abs=False)[0].detach()


def smooth_gradient(score: Score, picture: Float[Tensor, "4 S S"], method: SmoothGrad) -> Float[Tensor, "4 S S"]:
    """The mean gradient over copies with normal noise in their colours; the mask stays."""
    from captum.attr import NoiseTunnel
    from captum.attr import Saliency as Gradient

    tunnel = NoiseTunnel(Gradient(lambda rgb, alpha: score(torch.cat([rgb, alpha], 1))))
    parts = tuple(part.clone().requires_grad_() for part in picture[None].split([3, 1], 1))
    devices = [picture.device] if picture.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(method.seed)
        found = tunnel.attribute(
            parts,
            nt_samples=method.samples,
            nt_samples_batch_size=min(BATCH, method.samples),
            stdevs=(method.noise, 0.0),
            abs=False,
        )
    return torch.cat(found, 1)[0].detach()  # pyrefly: ignore[bad-argument-type]: a pair, as `parts` is


def integrated_gradients(
    score: Score, picture: Float[Tensor, "4 S S"], method: IntegratedGradients
) -> Float[Tensor, "4 S S"]:
    """From the empty picture, transparent and black, to the picture."""
    from captum.attr import IntegratedGradients as Integral

    given = picture[None].clone().requires_grad_()
    empty = torch.zeros_like(given)
    return Integral(score).attribute(given, empty, n_steps=method.steps, internal_batch_size=BATCH)[0].detach()


def guided_gradient(score: Score, picture: Float[Tensor, "4 S S"]) -> Float[Tensor, "4 S S"]:
    """The gradient with the guided backward pass in every ReLU of encoder and decoder."""
    given = picture[None].clone().requires_grad_()
    with torch.enable_grad(), Guided():
        (found,) = torch.autograd.grad(score(given).sum(), given)
    return found[0]


def strength(attribution: Float[Tensor, "4 S S"], channels: str) -> Float[Tensor, "S S"]:
    """One number a pixel: the mean of absolute values over the colours, or the absolute value in the mask."""
    return attribution[:3].abs().mean(0) if channels == "rgb" else attribution[3].abs()
