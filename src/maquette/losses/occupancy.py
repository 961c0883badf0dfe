"""Losses on grids of occupancy."""

import torch
from jaxtyping import Float
from torch import Tensor


def occupancy_bce(
    logits: Float[Tensor, "*batch Z Y X"], occupancy: Float[Tensor, "*batch Z Y X"], *, full_weight: float = 1.0
) -> Float[Tensor, "*batch"]:
    """Mean over the cells of the binary cross-entropy, in nats. `logits` are any real numbers, not probabilities.

    `occupancy` is 0 empty .. 1 full. Logit 0 is probability 0.5. The full cells' part counts `full_weight` times.
    """
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, occupancy, reduction="none", pos_weight=logits.new_tensor(full_weight)
    )
    return loss.mean((-3, -2, -1))
