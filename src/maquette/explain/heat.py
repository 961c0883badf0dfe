"""Heat laid over a picture: colours where a map is strong, the picture in grey where it is weak. S pixels a side."""

import torch
from jaxtyping import Float
from torch import Tensor

WARM = ((1.00, 0.93, 0.62), (0.99, 0.71, 0.26), (0.91, 0.36, 0.13), (0.69, 0.09, 0.16), (0.36, 0.02, 0.17))
"""sRGB from weak to strong, of what raises the number asked for, and of maps without a sign."""
COLD = ((0.80, 0.91, 0.97), (0.52, 0.74, 0.88), (0.24, 0.52, 0.76), (0.11, 0.30, 0.58), (0.05, 0.13, 0.36))
"""Of what lowers it."""
PALE = 0.55
"""How far the picture under the heat is taken towards white."""
SHARE = 0.995
"""Of a map's pixels that lie within the scale; a few beyond it would take the colour from all others."""


def scale_of(heat: Float[Tensor, "S S"]) -> float:
    """The value that gets the strongest colour: a high quantile of |heat|; the largest where that is 0."""
    size = heat.abs().flatten()
    high = float(size.quantile(SHARE)) if size.numel() else 0.0
    return high or float(size.max())


def overlaid(picture: Float[Tensor, "S S 4"], heat: Float[Tensor, "S S"]) -> Float[Tensor, "S S 3"]:
    """A picture (straight sRGB and alpha) on white, grey and pale, and a raw map over it in colours.

    Warm where the map is positive, blue where it is negative, denser the nearer to `scale_of`; 0 leaves the picture.
    """
    rgb, alpha = picture[..., :3], picture[..., 3:]
    grey = (rgb * rgb.new_tensor([0.299, 0.587, 0.114])).sum(-1, keepdim=True) * alpha + (1 - alpha)
    ground = (grey + PALE * (1 - grey)).expand(-1, -1, 3)
    scale = scale_of(heat)
    relative = heat / scale if scale > 0 else torch.zeros_like(heat)
    strong = relative.abs().clamp(max=1)
    colors = torch.where((relative < 0)[..., None], ramp(strong, COLD), ramp(strong, WARM))
    cover = covering(strong)[..., None]
    return ground + cover * (colors - ground)


def covering(strong: Float[Tensor, "*some"]) -> Float[Tensor, "*some"]:
    """How much of the picture the colour of a value in 0..1 hides."""
    return 0.92 * strong**0.7


def ramp(values: Float[Tensor, "*some"], colors: tuple[tuple[float, float, float], ...]) -> Float[Tensor, "*some 3"]:
    """Colours of values in 0..1, linear between those given at equal steps."""
    table = torch.tensor(colors, dtype=values.dtype, device=values.device)
    place = values.clamp(0, 1) * (len(table) - 1)
    below = place.floor().long().clamp(max=len(table) - 2)
    part = (place - below)[..., None]
    return table[below] * (1 - part) + table[below + 1] * part
