"""A coarse mask brought to the edges of its full picture: the guided filter (He, Sun, Tang 2010; fast form 2015)."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.masks.pieces import grown
from maquette.masks.scaling import resized

RADIUS = 3
"""Of the filter's window, in coarse pixels."""
EDGE = 2e-4
"""Variance of colour (0..1 squared) below which the guide shows no edge."""
STRIP = 2_000_000
"""Pixels of the full picture at a time."""
BAND = 2
"""The fine edge lies within so many coarse pixels of the coarse one."""


def refined(
    coarse: Bool[np.ndarray, "h w"], guide: Float[np.ndarray, "h w 3"], rgb: Float[Tensor, "H W 3"]
) -> Float[Tensor, "H W"]:
    """Coverage 0..1 of the full picture; `guide` is `rgb` at the coarse mask's size."""
    from scipy import ndimage

    def mean(values: np.ndarray) -> np.ndarray:
        size = (2 * RADIUS + 1, 2 * RADIUS + 1) + (1,) * (values.ndim - 2)
        return ndimage.uniform_filter(values, size, mode="nearest")

    target = coarse.astype(np.float64)
    color_mean, target_mean = mean(guide), mean(target)
    products = guide[..., :, None] * guide[..., None, :]
    covariance = mean(products.reshape(*coarse.shape, 9)).reshape(products.shape)
    covariance = covariance - color_mean[..., :, None] * color_mean[..., None, :] + EDGE * np.eye(3)
    joint = mean(guide * target[..., None]) - color_mean * target_mean[..., None]
    slope = np.linalg.solve(covariance, joint[..., None])[..., 0]
    offset = target_mean - (slope * color_mean).sum(-1)
    lines = mean(np.concatenate([slope, offset[..., None]], -1))
    bounds = np.stack([~grown(~coarse, BAND), grown(coarse, BAND)], -1)
    maps = torch.from_numpy(np.concatenate([lines, bounds], -1)).float().movedim(-1, 0)[None]
    height, width = rgb.shape[:2]
    alpha = rgb.new_empty(height, width)
    count = max(1, STRIP // width)
    for row in range(0, height, count):
        part = rgb[row : row + count]
        slope_x, slope_y, slope_z, offset, inside, within = _rows(maps, row, len(part), (height, width))
        line = slope_x * part[..., 0] + slope_y * part[..., 1] + slope_z * part[..., 2] + offset
        sharp = (2 * line - 0.5).clamp(0, 1)
        alpha[row : row + count] = torch.minimum(torch.maximum(sharp, inside), within)
    return alpha


def _rows(maps: Float[Tensor, "1 C h w"], row: int, count: int, size: tuple[int, int]) -> Float[Tensor, "C n W"]:
    """Rows `row` to `row + count` of the maps enlarged to `size`, without enlarging the rest."""
    height, width = size
    y = ((torch.arange(row, row + count) + 0.5) * maps.shape[2] / height - 0.5).clamp(0, maps.shape[2] - 1)
    low = y.long()
    high = (low + 1).clamp(max=maps.shape[2] - 1)
    between = (y - low)[:, None]
    mixed = maps[0, :, low] * (1 - between) + maps[0, :, high] * between
    return resized(mixed.movedim(0, -1), (count, width)).movedim(-1, 0)
