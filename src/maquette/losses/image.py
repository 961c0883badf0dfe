"""Losses between pictures. H W pixels; each is one number per picture of the batch.

What is true is a mask, boolean, or a picture; what is predicted carries the gradient.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor


def silhouette_mse(alpha: Float[Tensor, "*batch H W"], mask: Shaped[Tensor, "*some H W"]) -> Float[Tensor, "*batch"]:
    """Mean over the pixels of (alpha - mask)^2: alpha is coverage 0..1, the mask boolean, 1 inside.

    A mask of numbers is an error: class ids or 0..255 in it would make a loss that no shape can bring down. A picture
    without pixels gives 0.
    """
    _check_mask("silhouette_mse", alpha, mask)
    height, width = alpha.shape[-2:]
    return (alpha - mask.to(alpha)).square().flatten(-2).sum(-1) / max(height * width, 1)


def soft_iou_loss(alpha: Float[Tensor, "*batch H W"], mask: Shaped[Tensor, "*some H W"]) -> Float[Tensor, "*batch"]:
    """1 - intersection over union: 1 - sum(a m) / sum(a + m - a m), alpha a 0..1, boolean mask m (Chen et al. 2019).

    Otherwise as `silhouette_mse`. Nothing against nothing agrees: 0, with a gradient of zero.
    """
    _check_mask("soft_iou_loss", alpha, mask)
    inside = mask.to(alpha)
    both = (alpha * inside).flatten(-2).sum(-1)
    either = (alpha + inside - alpha * inside).flatten(-2).sum(-1)
    some = either > 0
    return (1 - both / torch.where(some, either, 1.0)) * some


def photometric_l1(
    picture: Float[Tensor, "*batch H W C"],
    target: Shaped[Tensor, "*some H W C"],
    *,
    within: Shaped[Tensor, "*some H W"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean over pixels and channels of |picture - target|, both in 0..1.

    `within`, a boolean mask, leaves out all other pixels, of the mean, too. No pixels give 0; a pixel that is equal
    has a gradient of zero.
    """
    return _over_pixels(_difference("photometric_l1", picture, target, within).abs(), within)


def photometric_l2(
    picture: Float[Tensor, "*batch H W C"],
    target: Shaped[Tensor, "*some H W C"],
    *,
    within: Shaped[Tensor, "*some H W"] | None = None,
) -> Float[Tensor, "*batch"]:
    """Mean over pixels and channels of (picture - target)^2; otherwise as `photometric_l1`."""
    return _over_pixels(_difference("photometric_l2", picture, target, within).square(), within)


def _check_mask(function: str, alpha: Tensor, mask: Tensor) -> None:
    if mask.dtype != torch.bool:
        told = f" with values {mask.min().item():g} to {mask.max().item():g}" if mask.numel() else ""
        raise ValueError(f"{function}: the mask is {mask.dtype}{told}; give a boolean one, such as mask > 0.5")
    if mask.shape != alpha.shape or mask.device != alpha.device:
        raise ValueError(
            f"{function}: the picture is {tuple(alpha.shape)} on {alpha.device}, the mask {tuple(mask.shape)} on "
            f"{mask.device}; make them alike, with expand for one mask of many pictures"
        )


def _difference(function: str, picture: Tensor, target: Tensor, within: Tensor | None) -> Float[Tensor, "*batch H W C"]:
    """Picture less target; zero where the mask is not."""
    if picture.shape != target.shape or picture.dtype != target.dtype or picture.device != target.device:
        raise ValueError(
            f"{function}: the picture is {picture.dtype} {tuple(picture.shape)} on {picture.device}, the target "
            f"{target.dtype} {tuple(target.shape)} on {target.device}; make them alike, in 0..1"
        )
    if within is None:
        return picture - target
    _check_mask(function, picture[..., 0], within)
    # Before any arithmetic: what is left out may hold anything, and has no gradient.
    return torch.where(within[..., None], picture, 0.0) - torch.where(within[..., None], target, 0.0)


def _over_pixels(errors: Float[Tensor, "*batch H W C"], within: Tensor | None) -> Float[Tensor, "*batch"]:
    """The sum of the errors over the number of pixels, or of those in the mask, and of channels."""
    height, width, channels = errors.shape[-3:]
    total = errors.flatten(-3).sum(-1) / max(channels, 1)
    return total / max(height * width, 1) if within is None else total / within.flatten(-2).sum(-1).clamp(min=1)
