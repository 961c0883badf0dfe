"""Cutting an object out of its picture by its mask."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.masks.mask import Mask


def cut_out(picture: Float[Tensor, "H W 4"], mask: Mask) -> Float[Tensor, "H W 4"]:
    """The picture with the mask's alpha. Unless alpha was given, edges take the colour of the object beside them."""
    rgb = picture[..., :3]
    if mask.source != "alpha":
        # Only about the object: the nearest colours of a large picture take seconds.
        x0, y0, x1, y1 = mask.box
        rows, columns = slice(max(y0 - 4, 0), y1 + 4), slice(max(x0 - 4, 0), x1 + 4)
        known = mask.alpha[rows, columns] >= 0.98
        near = torch.zeros_like(rgb)
        near[rows, columns] = extended(rgb[rows, columns], known if bool(known.any()) else mask.pixels[rows, columns])
        rgb = near
    return torch.cat([rgb, mask.alpha[..., None]], -1)


def extended(rgb: Float[Tensor, "H W 3"], known: Bool[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """The picture with every pixel that is not `known` given the colour of the nearest one that is."""
    from scipy import ndimage

    if not bool(known.any()):
        raise ValueError(f"extended: none of the {known.numel()} pixels is known; there is no colour to extend")
    rows, columns = ndimage.distance_transform_edt(~known.numpy(), return_distances=False, return_indices=True)
    return rgb[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]
