"""The foreground of a picture: from its alpha, or because its background is plain. H W pixels, values 0..1.

The background's colour is a quadratic in the picture's coordinates, fitted to the border without what touches it;
what a flood from the border reaches within a tolerance of that colour is background. Soft shadows are flooded too.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

PLAIN = 0.06
"""Largest difference (of any channel, 0..1) from the fitted colour that still counts as a plain border."""
BORDER_SHARE = 0.75
"""Part of the border that must be plain; the object may touch the rest."""
WORKING_SIDE = 768
"""Pictures are judged at no more pixels a side than this; the mask is enlarged again."""
SPECK = 0.03
"""Pieces smaller than this part of the largest one are dropped."""
SHADOW = 0.55
"""A shadow keeps the background's hue and at least this part of its brightness, and has no edges."""
ADVICE = "give a PNG with a transparent background (for instance from `rembg i photo.png cut.png`)"


@dataclass(frozen=True)
class Mask:
    """What of a picture belongs to the object."""

    foreground: Bool[Tensor, "H W"]
    alpha: Float[Tensor, "H W"]
    """Coverage 0..1: `foreground` with soft edges, for compositing."""
    source: Literal["alpha", "plain background"]
    dropped: str = ""
    """What was left out as too small, in words; empty if nothing was."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) in pixels, half open."""
        rows = self.foreground.any(1).nonzero()
        columns = self.foreground.any(0).nonzero()
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def foreground(picture: Float[Tensor, "H W 4"]) -> Mask:
    """The mask of an RGBA picture (sRGB, straight alpha): its alpha, or what stands on a plain background.

    Alpha counts when at least one pixel in a thousand is less than half covered. Otherwise the picture must have a
    plain background; a picture that has neither is a ValueError that says what to do.
    """
    alpha = picture[..., 3]
    if bool((alpha < 0.5).all()):
        seen = f"the most opaque pixel has alpha {float(alpha.max()):.2f}"
        raise ValueError(f"foreground: the picture is fully transparent ({seen}); {ADVICE}")
    if float((alpha < 0.5).float().mean()) >= 1e-3:
        kept, dropped = _without_specks((alpha >= 0.5).numpy())
        # Soft edges belong to the nearest piece: keep what touches a kept one.
        near = torch.from_numpy(_grown(kept, 2))
        return Mask(torch.from_numpy(kept), alpha * near, "alpha", dropped)
    return _on_plain_background(picture[..., :3])


def cut_out(picture: Float[Tensor, "H W 4"], mask: Mask) -> Float[Tensor, "H W 4"]:
    """The picture with the mask's alpha. On a plain background, edges take the colour of the object beside them."""
    rgb = picture[..., :3]
    if mask.source == "plain background":
        rgb = extended(rgb, mask.alpha >= 0.98)
    return torch.cat([rgb, mask.alpha[..., None]], -1)


def extended(rgb: Float[Tensor, "H W 3"], known: Bool[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """The picture with every pixel that is not `known` given the colour of the nearest one that is."""
    from scipy import ndimage

    if not bool(known.any()):
        raise ValueError(f"extended: none of the {known.numel()} pixels is known; there is no colour to extend")
    rows, columns = ndimage.distance_transform_edt(~known.numpy(), return_distances=False, return_indices=True)
    return rgb[torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]


def _on_plain_background(rgb: Float[Tensor, "H W 3"]) -> Mask:
    height, width = rgb.shape[:2]
    if min(height, width) < 8:
        raise ValueError(f"foreground: the picture is {width} x {height} pixels; give at least 8 x 8")
    from scipy import ndimage

    ratio = min(1.0, WORKING_SIDE / max(height, width))
    small = _resized(rgb, (max(8, round(height * ratio)), max(8, round(width * ratio)))) if ratio < 1 else rgb
    colors = small.double().numpy()
    background, noise = _fitted_background(colors)
    grainy = noise > 0.008
    if grainy:
        colors = _smoothed(colors, 1.5)
        background, noise = _fitted_background(colors)
    difference = np.abs(colors - background).max(-1)
    solid = ~_flooded(colors, background, difference, noise)
    # What compression leaves around edges is thin and faint; thin parts of an object are not faint.
    solid = ndimage.binary_opening(solid, np.ones((3, 3))) | (solid & (difference > 0.2))
    if grainy:  # smoothing has widened what is dark or bright
        solid = ~_grown(~solid, 1)
    share = solid.mean()
    if share < 2e-4:
        raise ValueError(f"foreground: the picture is one plain colour, there is no object on it; {ADVICE}")
    if share > 0.97:
        raise ValueError(f"foreground: only {1 - share:.0%} of the picture is plain background; {ADVICE}")
    kept, dropped = _without_specks(solid)
    alpha = torch.from_numpy(_soft_edges(kept, difference)).float()
    if ratio < 1:
        alpha = _resized(alpha[..., None], (height, width))[..., 0]
    return Mask(alpha >= 0.5, alpha, "plain background", dropped)


def _fitted_background(colors: Float[np.ndarray, "H W 3"]) -> tuple[Float[np.ndarray, "H W 3"], float]:
    """The colour of the background everywhere, and the spread (0..1) of the border around it."""
    height, width = colors.shape[:2]
    ring = max(2, round(0.01 * max(height, width)))
    on_ring = np.ones((height, width), bool)
    on_ring[ring:-ring, ring:-ring] = False
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * y, x * x, y * y], -1)
    border, basis = colors[on_ring], terms[on_ring]
    # Least squares again and again on the half that fits best: an object at the border does not pull the colour.
    difference = np.abs(border - np.median(border, 0)).max(-1)
    for _ in range(8):
        used = difference <= max(np.quantile(difference, 0.7), 1e-3)
        weights = np.linalg.lstsq(basis[used], border[used], rcond=None)[0]
        difference = np.abs(border - basis @ weights).max(-1)
    varies = float(np.quantile(difference, BORDER_SHARE))
    if varies > PLAIN:
        raise ValueError(
            "foreground: no alpha and no plain background "
            f"(the border varies by {varies:.2f}, plain is {PLAIN}); {ADVICE}"
        )
    return terms @ weights, float(np.quantile(difference, 0.5)) * 1.5


def _flooded(colors, background, difference, noise: float) -> Bool[np.ndarray, "H W"]:
    """Background: reached from the border through its colour or its soft shadow, and holes that show it through."""
    from scipy import ndimage

    tolerance = float(np.clip(4 * noise, 0.03, 0.12))
    plain = difference < tolerance
    # A shadow scales all channels alike and changes slowly; the edge of an object does not.
    scale = (colors * background).sum(-1) / np.maximum((background**2).sum(-1), 1e-6)
    hue = np.abs(colors - scale[..., None] * background).max(-1)
    smooth = ndimage.gaussian_filter(colors.mean(-1), 1.0)
    slope = np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)) / 8
    gentle = max(0.02, noise)
    shaded = (scale > SHADOW) & (scale < 1.02) & (hue < max(0.02, 2 * noise))
    shadow = shaded & (slope < gentle)
    outside = _touching_border(plain)
    reached = _touching_border(plain | shadow)
    # A shadow fades into the background along much of its rim; a grey object with a leak in its edge does not.
    labels, count = ndimage.label(reached & ~outside)
    rim = ndimage.grey_dilation(labels, size=(3, 3))
    rim[labels > 0] = 0
    around = np.bincount(rim.reshape(-1), minlength=count + 1)
    fading = np.bincount(rim.reshape(-1), (outside & (slope < gentle)).reshape(-1), minlength=count + 1)
    runs_out = fading >= 0.3 * np.maximum(around, 1)
    runs_out[0] = False
    # Beside the object's edge the slope is the edge's: the shadow goes on below it.
    reached = outside | (_grown(runs_out[labels], 2) & shaded)
    # A hole (the arch of a handle) has the background's colour and a sharp rim; a highlight fades out.
    labels, count = ndimage.label(plain & ~reached)
    if count:
        index = np.arange(1, count + 1)
        area = ndimage.sum_labels(np.ones_like(difference), labels, index)
        inside = ndimage.mean(difference, labels, index)
        rim = ndimage.grey_dilation(labels, size=(7, 7))
        rim[_grown(labels > 0, 1)] = 0
        contrast = np.nan_to_num(np.asarray(ndimage.median(difference, rim, index)), nan=0.0)
        holes = (area >= 2e-5 * labels.size) & (area >= 6) & (inside < max(0.01, 1.2 * noise)) & (contrast > 0.12)
        reached |= np.concatenate([[False], holes])[labels]
    return reached


def _touching_border(region: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    border = np.zeros_like(region)
    border[[0, -1]] = border[:, [0, -1]] = True
    return _connected(region, border & region)


def _connected(region: Bool[np.ndarray, "H W"], seeds: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The pieces of `region` (4-connected) that hold a seed."""
    from scipy import ndimage

    labels, count = ndimage.label(region)
    chosen = np.zeros(count + 1, bool)
    chosen[labels[seeds]] = True
    chosen[0] = False
    return chosen[labels]


def _without_specks(solid: Bool[np.ndarray, "H W"]) -> tuple[Bool[np.ndarray, "H W"], str]:
    """The large pieces (8-connected), and in words what was dropped."""
    from scipy import ndimage

    labels, count = ndimage.label(solid, np.ones((3, 3)))
    areas = np.bincount(labels.reshape(-1), minlength=count + 1)
    areas[0] = 0
    keep = areas >= SPECK * areas.max()
    keep[0] = False
    lost = areas.sum() - areas[keep].sum()
    pieces = count - int(keep.sum())
    words = f"{pieces} small {'piece' if pieces == 1 else 'pieces'}, {lost / areas.sum():.1%} of the foreground"
    return keep[labels], words if pieces else ""


def _soft_edges(solid: Bool[np.ndarray, "H W"], difference: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Coverage: 1 inside, 0 outside; on the rim, the difference to the background relative to that of the inside."""
    from scipy import ndimage

    inside = ~_grown(~solid, 1)
    reference = ndimage.grey_dilation(np.where(solid, difference, 0), size=(5, 5))
    partial = np.clip(difference / np.maximum(reference, 1e-6), 0, 1)
    return np.where(inside, 1.0, np.where(solid, np.maximum(partial, 0.5), 0.0))


def _grown(region: Bool[np.ndarray, "H W"], pixels: int) -> Bool[np.ndarray, "H W"]:
    from scipy import ndimage

    return ndimage.binary_dilation(region, np.ones((3, 3)), iterations=pixels)


def _smoothed(colors: Float[np.ndarray, "H W 3"], sigma: float) -> Float[np.ndarray, "H W 3"]:
    from scipy import ndimage

    return ndimage.gaussian_filter(colors, (sigma, sigma, 0))


def _resized(values: Float[Tensor, "H W C"], size: tuple[int, int]) -> Float[Tensor, "h w C"]:
    channels = values.movedim(-1, 0)[None]
    mode = "area" if size[0] < values.shape[0] else "bilinear"
    return torch.nn.functional.interpolate(channels, size, mode=mode)[0].movedim(0, -1)
