"""The foreground of a picture that has transparency."""

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.masks.mask import ADVICE, Mask, NoForeground
from maquette.masks.pieces import grown, without_specks


def from_alpha(picture: Float[Tensor, "H W 4"]) -> Mask:
    """What is more than half covered. The score is 1: it is not found, it is given.

    Alpha counts when at least one pixel in a thousand is less than half covered; NoForeground otherwise. A fully
    transparent picture is a ValueError.
    """
    alpha = picture[..., 3]
    if bool((alpha < 0.5).all()):
        seen = f"the most opaque pixel has alpha {float(alpha.max()):.2f}"
        raise ValueError(f"foreground: the picture is fully transparent ({seen}); {ADVICE}")
    if float((alpha < 0.5).float().mean()) < 1e-3:
        raise NoForeground(f"foreground: the picture has no transparent pixels; {ADVICE}")
    kept, dropped = without_specks((alpha >= 0.5).numpy())
    # Soft edges belong to the nearest piece: keep what touches a kept one.
    near = torch.from_numpy(grown(kept, 2))
    return Mask(torch.from_numpy(kept), alpha * near, "alpha", 1.0, dropped=dropped)
