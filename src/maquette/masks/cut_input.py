"""What the cut of a picture looks at: its colours in CIE Lab, and how much parting neighbours costs."""

import numpy as np
from jaxtyping import Float

LEAST = 0.08
"""Part of the smoothness that remains across the strongest edges."""


def lab_of(rgb: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """sRGB 0..1 in CIE Lab."""
    from skimage.color import rgb2lab

    return rgb2lab(rgb)


def parting_costs(
    lab: Float[np.ndarray, "h w 3"], smoothness: float
) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Costs of an edge between a pixel and the next to the right, and below (Rother et al. 2004, eq. 11).

    The last column and row have no next pixel; theirs are 0. A flat picture has the full smoothness everywhere.
    """
    across = ((lab[:, 1:] - lab[:, :-1]) ** 2).sum(-1)
    along = ((lab[1:] - lab[:-1]) ** 2).sum(-1)
    beta = 1 / (2 * (across.mean() + along.mean()) / 2 + 1e-6)
    weights = [smoothness * (LEAST + (1 - LEAST) * np.exp(-beta * step)) for step in (across, along)]
    right = np.pad(weights[0], ((0, 0), (0, 1)))
    down = np.pad(weights[1], ((0, 1), (0, 0)))
    return right.astype(np.float32), down.astype(np.float32)
