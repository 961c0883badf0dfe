"""The foreground of a picture whose background is plain. H W pixels, values 0..1.

The background's colour is a quadratic in the picture's coordinates, fitted to the border without what touches it;
what a flood from the border reaches within a tolerance of that colour is background. Soft shadows are flooded too.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.masks.mask import ADVICE, Mask, NoForeground
from maquette.masks.pieces import connected, grown, without_specks
from maquette.masks.scaling import reduced, resized

PLAIN = 0.06
"""Largest difference (of any channel, 0..1) from the fitted colour that still counts as a plain border."""
BORDER_SHARE = 0.75
"""Part of the border that must be plain; the object may touch the rest."""
WORKING_SIDE = 768
"""Pictures are judged at no more pixels a side than this; the mask is enlarged again."""
SHADOW = 0.55
"""A shadow keeps the background's hue and at least this part of its brightness, and has no edges."""


def on_plain_background(rgb: Float[Tensor, "H W 3"]) -> Mask:
    """What of a picture stands out from its plain background; NoForeground where the background is not plain.

    The score is 1 for a border of one colour, and falls to a half where it varies as much as a plain one may.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < 8:
        raise ValueError(f"foreground: the picture is {width} x {height} pixels; give at least 8 x 8")
    from scipy import ndimage

    colors = reduced(rgb, WORKING_SIDE).double().numpy()
    background, noise, varies = _fitted_background(colors)
    grainy = noise > 0.008
    if grainy:
        colors = _smoothed(colors, 1.5)
        background, noise, _ = _fitted_background(colors)
    difference = np.abs(colors - background).max(-1)
    solid = ~_flooded(colors, background, difference, noise)
    # What compression leaves around edges is thin and faint; thin parts of an object are not faint.
    solid = ndimage.binary_opening(solid, np.ones((3, 3))) | (solid & (difference > 0.2))
    if grainy:  # smoothing has widened what is dark or bright
        solid = ~grown(~solid, 1)
    share = solid.mean()
    if share < 2e-4:
        raise ValueError(f"foreground: the picture is one plain colour, there is no object on it; {ADVICE}")
    if share > 0.97:
        raise NoForeground(f"foreground: only {1 - share:.0%} of the picture is plain background; {ADVICE}")
    kept, dropped = without_specks(solid)
    alpha = torch.from_numpy(_soft_edges(kept, difference)).float()
    if alpha.shape != rgb.shape[:2]:
        alpha = resized(alpha[..., None], (height, width))[..., 0]
    score = 1 - 0.5 * min(varies / PLAIN, 1.0)
    return Mask(alpha >= 0.5, alpha, "plain background", score, dropped=dropped)


def _fitted_background(colors: Float[np.ndarray, "H W 3"]) -> tuple[Float[np.ndarray, "H W 3"], float, float]:
    """The colour of the background everywhere; the spread (0..1) of the border around it, typical and at most."""
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
        raise NoForeground(
            "foreground: no alpha and no plain background "
            f"(the border varies by {varies:.2f}, plain is {PLAIN}); {ADVICE}"
        )
    return terms @ weights, float(np.quantile(difference, 0.5)) * 1.5, varies


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
    reached = outside | (grown(runs_out[labels], 2) & shaded)
    # A hole (the arch of a handle) has the background's colour and a sharp rim; a highlight fades out.
    labels, count = ndimage.label(plain & ~reached)
    if count:
        index = np.arange(1, count + 1)
        area = ndimage.sum_labels(np.ones_like(difference), labels, index)
        inside = ndimage.mean(difference, labels, index)
        rim = ndimage.grey_dilation(labels, size=(7, 7))
        rim[grown(labels > 0, 1)] = 0
        contrast = np.nan_to_num(np.asarray(ndimage.median(difference, rim, index)), nan=0.0)
        holes = (area >= 2e-5 * labels.size) & (area >= 6) & (inside < max(0.01, 1.2 * noise)) & (contrast > 0.12)
        reached |= np.concatenate([[False], holes])[labels]
    return reached


def _touching_border(region: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    border = np.zeros_like(region)
    border[[0, -1]] = border[:, [0, -1]] = True
    return connected(region, border & region)


def _soft_edges(solid: Bool[np.ndarray, "H W"], difference: Float[np.ndarray, "H W"]) -> Float[np.ndarray, "H W"]:
    """Coverage: 1 inside, 0 outside; on the rim, the difference to the background relative to that of the inside."""
    from scipy import ndimage

    inside = ~grown(~solid, 1)
    reference = ndimage.grey_dilation(np.where(solid, difference, 0), size=(5, 5))
    partial = np.clip(difference / np.maximum(reference, 1e-6), 0, 1)
    return np.where(inside, 1.0, np.where(solid, np.maximum(partial, 0.5), 0.0))


def _smoothed(colors: Float[np.ndarray, "H W 3"], sigma: float) -> Float[np.ndarray, "H W 3"]:
    from scipy import ndimage

    return ndimage.gaussian_filter(colors, (sigma, sigma, 0))
