"""How the discs of a point cloud cover each other: the choices beside `Hard`, and the weights they give. K layers.

With d the distance of a pixel's centre from the middle of a disc of radius r on the screen, a disc has the opacity
a = opacity (1 - d^2 / r^2) there: 1 (times its opacity) in the middle, 0 at the rim, and smooth between, so that a
picture tells a disc where to move. This is the choice of PyTorch3D's point renderer (Wiles et al. 2020, SynSin).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.rendering.result import Hard

THINNEST = 1e-8
"""Weight below which a pixel of averaged discs counts as not covered."""


@dataclass(frozen=True)
class Composited:
    """Discs that are clear towards their rims, laid over each other from front to back.

    The k-th disc from the front has the weight a_k (1 - a_1) ... (1 - a_{k-1}); alpha is the sum of weights. Gradients
    flow to positions, radii, opacities and all that the points carry.
    """

    layers: int = 8
    """Discs a pixel may show; those behind are left out."""
    opacity: float | Float[Tensor, "*some N"] = 1.0
    """Of the middles of the discs, 0..1: one for all, or of each point."""

    def __post_init__(self):
        _check_layers(self)


@dataclass(frozen=True)
class Averaged:
    """Discs that show their mean, weighted by the opacity each has at the pixel; alpha is 1 where there is any.

    Gradients flow as with `Composited`, but none tells a disc to cover more: alpha does not change.
    """

    layers: int = 8
    """Discs a pixel may show, from the front; those behind are left out."""
    opacity: float | Float[Tensor, "*some N"] = 1.0
    """Of the middles of the discs, 0..1: one for all, or of each point."""

    def __post_init__(self):
        _check_layers(self)


Discs = Hard | Composited | Averaged
"""How the discs of a cloud cover each other."""


def weights_of(
    opacities: Float[Tensor, "P K"], how: Composited | Averaged
) -> tuple[Float[Tensor, "P K"], Float[Tensor, " P"]]:
    """(weight of each disc, alpha) at pixels where discs, nearest first, have `opacities`; 0 where there is none."""
    match how:
        case Composited():
            # One layer after the other: torch's cumprod is slow to differentiate, and wrong ways around zeros are many.
            clear, weights = torch.ones_like(opacities[:, 0]), []
            for opacity in opacities.unbind(1):
                weights.append(opacity * clear)
                clear = clear * (1 - opacity)
            return torch.stack(weights, 1), 1 - clear
        case Averaged():
            total = opacities.sum(1)
            covered = total > THINNEST
            return opacities / torch.where(covered, total, torch.inf)[:, None], covered.to(opacities)


def _check_layers(how: Composited | Averaged) -> None:
    name = type(how).__name__
    if how.layers < 1:
        raise ValueError(f"{name}: layers is {how.layers}; ask for at least one")
    opacity = torch.as_tensor(how.opacity).detach()
    if not bool(((opacity >= 0) & (opacity <= 1)).all()):
        raise ValueError(f"{name}: opacity is in {float(opacity.min()):g}..{float(opacity.max()):g}; give 0..1")
