"""Depth pictures: 16-bit grey PNG, as RGB-D cameras and data sets have them."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from maquette.io.atomic import atomic_path


def write_depth_steps(steps: Float[Tensor, "H W"], path: str | Path) -> None:
    """Write whole numbers 0..65535, rounded, as a PNG of 16-bit grey, whole or not at all; 0 means: nothing there."""
    from PIL import Image

    if Path(path).suffix.lower() != ".png":
        raise ValueError(f"write_depth_steps: depth is written as .png, not {Path(path).suffix!r} ({path})")
    values = steps.detach().cpu().double().round().numpy()
    if not (values.size and values.min() >= 0 and values.max() <= 65535):
        raise ValueError(
            f"write_depth_steps: steps of shape {values.shape} do not all lie in 0..65535; scale the depth"
        )
    with atomic_path(path) as temporary:
        Image.fromarray(values.astype(np.uint16)).save(temporary, "PNG")
