"""Pictures disturbed step by step: hidden, cut off, blurred, noisy, unevenly lit, badly cut out. H W pixels, S a side.

Straight RGBA in 0..1, before anything is cropped. What is drawn follows from (seed, id, kind): every level of a sweep
does the same to a picture, only more of it.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.data.disturb import Disturbance, disturbed

Kind = Literal["occlusion", "crop", "blur", "noise", "light", "background"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Sweep:
    """One kind of disturbance and how much of it."""

    kind: Kind
    title: str
    levels: tuple[float, ...]
    """Beginning with none at all; infinite: as much as there can be."""
    names: tuple[str, ...]
    """Of the levels, for axes."""


SWEEPS = (
    Sweep("occlusion", "hidden by a disc, % of the object", (0.0, 0.1, 0.2, 0.3, 0.4), ("0", "10", "20", "30", "40")),
    Sweep("crop", "cut off by the picture's border, %", (0.0, 0.1, 0.2, 0.3, 0.4), ("0", "10", "20", "30", "40")),
    Sweep("blur", "blurred, σ in % of the object's side", (0.0, 0.01, 0.02, 0.04, 0.08), ("0", "1", "2", "4", "8")),
    Sweep("noise", "noise, deviation of 0..1", (0.0, 0.05, 0.1, 0.2, 0.4), ("0", "0.05", "0.1", "0.2", "0.4")),
    Sweep("light", "uneven light, deviation of its log", (0.0, 0.25, 0.5, 1.0, 2.0), ("0", "0.25", "0.5", "1", "2")),
    Sweep(
        "background", "background cut out with it, rim in % of its side", (0.0, 0.02, 0.05, 0.1, math.inf),
        ("0", "2", "5", "10", "no mask"),
    ),
)  # fmt: skip


def disturbed_picture(
    rgba: Float[Tensor, "H W 4"], kind: Kind, level: float, *, seed: int, id: str
) -> Float[Tensor, "S S 4"]:
    """A picture as a square, disturbed; level 0 changes nothing else. One that shows no object stays as it is."""
    rgba = squared(rgba)
    solid = (rgba[..., 3] > 0.5).numpy()
    if level == 0 or not solid.any():
        return rgba
    digest = hashlib.sha256("/".join((str(seed), id, kind)).encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    match kind:
        case "occlusion":
            return hidden(rgba, within_disc(solid, level, rng))
        case "crop":
            return hidden(rgba, beyond_border(solid, level, rng))
        case "blur":
            return blurred(rgba, level * side_of(solid))
        case "noise":
            drawn = torch.from_numpy(rng.normal(size=(*solid.shape, 3)).astype(np.float32))
            return torch.cat([(rgba[..., :3] + level * drawn).clamp(0, 1), rgba[..., 3:]], -1)
        case "light":
            planes = disturbed(rgba.permute(2, 0, 1)[None], Disturbance(shading=level), [rng])
            return planes[0].permute(1, 2, 0)
        case "background":
            return with_background(rgba, solid, level * side_of(solid), rng)


def squared(rgba: Float[Tensor, "H W 4"]) -> Float[Tensor, "S S 4"]:
    """Made a square by transparent pixels below and to the right."""
    height, width = rgba.shape[:2]
    side = max(height, width)
    return torch.nn.functional.pad(rgba, (0, 0, 0, side - width, 0, side - height))


def side_of(solid: Bool[np.ndarray, "S S"]) -> int:
    """The longer side of the object's box in pixels."""
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    return int(max(rows[-1] - rows[0], columns[-1] - columns[0])) + 1


def within_disc(solid: Bool[np.ndarray, "S S"], share: float, rng: np.random.Generator) -> Bool[np.ndarray, "S S"]:
    """The disc about one of the object's pixels that holds this share of them."""
    pixels = np.argwhere(solid)
    middle = pixels[rng.integers(len(pixels))]
    reach = np.sort(((pixels - middle) ** 2).sum(1))[round(share * len(pixels)) - 1]
    down, across = np.indices(solid.shape)
    return (down - middle[0]) ** 2 + (across - middle[1]) ** 2 <= reach


def beyond_border(solid: Bool[np.ndarray, "S S"], share: float, rng: np.random.Generator) -> Bool[np.ndarray, "S S"]:
    """What lies beyond a straight cut from one of the four sides that takes about this share of the object's pixels."""
    axis, low = int(rng.integers(2)), bool(rng.integers(2))
    place = np.sort(np.argwhere(solid)[:, axis])
    gone = round(share * len(place))
    index = np.indices(solid.shape)[axis]
    return index < place[gone] if low else index > place[-gone - 1]


def hidden(rgba: Float[Tensor, "S S 4"], where: Bool[np.ndarray, "S S"]) -> Float[Tensor, "S S 4"]:
    """Transparent there, as a mask has it that knows what is hidden."""
    return torch.where(torch.from_numpy(where)[..., None], torch.zeros(4), rgba)


def blurred(rgba: Float[Tensor, "S S 4"], sigma: float) -> Float[Tensor, "S S 4"]:
    """Colour and mask through a Gaussian of `sigma` pixels."""
    from scipy.ndimage import gaussian_filter

    alpha = rgba[..., 3:]
    smooth = gaussian_filter(torch.cat([rgba[..., :3] * alpha, alpha], -1).numpy(), (sigma, sigma, 0), mode="constant")
    color, alpha = torch.from_numpy(smooth).split([3, 1], -1)
    return torch.cat([color / alpha.clamp(min=1e-6), alpha], -1).clamp(0, 1)


def with_background(
    rgba: Float[Tensor, "S S 4"], solid: Bool[np.ndarray, "S S"], width: float, rng: np.random.Generator
) -> Float[Tensor, "S S 4"]:
    """Over a background of a random colour that is not quite even; a rim of `width` pixels counts as the object."""
    from scipy.ndimage import distance_transform_edt

    color = torch.from_numpy(rng.random(3).astype(np.float32))
    coarse = torch.from_numpy((0.12 * rng.normal(size=(1, 3, 4, 4))).astype(np.float32))
    field = torch.nn.functional.interpolate(coarse, solid.shape, mode="bicubic", align_corners=True)[0]
    fine = torch.from_numpy((0.02 * rng.normal(size=(*solid.shape, 3))).astype(np.float32))
    behind = (color + field.permute(1, 2, 0) + fine).clamp(0, 1)
    alpha = rgba[..., 3:]
    rim = torch.from_numpy(np.asarray(distance_transform_edt(~solid)) <= width)[..., None]
    return torch.cat([rgba[..., :3] * alpha + behind * (1 - alpha), torch.where(rim, 1.0, alpha)], -1)
