"""The foreground by colours alone, without any weights: GrabCut (Rother, Kolmogorov, Blake 2004) without its user.

Gaussian mixtures of the object's and the background's colours, and a minimum cut, take turns; the first background is
the picture's rim, the first object what is unlike the rim and rather in the middle. h w pixels of the reduced picture.
"""

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.masks.cut_input import lab_of, parting_costs
from maquette.masks.guided import refined
from maquette.masks.mask import ADVICE, Mask, NoForeground
from maquette.masks.mixture import fit_mixture, log_density
from maquette.masks.pieces import without_specks
from maquette.masks.scaling import reduced

SIDE = 256
"""Pixels of the longer side on which the cut is made."""
COMPONENTS = 5
ROUNDS = 4
"""Turns of mixtures and cut."""
STEPS = 100
"""Of the solver in each cut."""
RIM = 0.06
"""Width of the rim that is background at first, of the shorter side."""
SMOOTHNESS = 2.5
"""Cost of an edge of one pixel where the picture has none, in units of log density."""
MOST = 5.0
"""A colour says no more than this log ratio for or against the object."""
CONTRAST = 20.0
"""Three quarters of the rim of a hole differ by more than this (CIE Lab) from what is seen through it."""
STEP = 3.0
"""Change of colour a pixel (CIE Lab, after a blur of one pixel) that counts as an edge."""
TRUSTED = 0.6
"""Masks of a lower score are refused."""


def by_colors(rgb: Float[Tensor, "H W 3"]) -> Mask:
    """The object by its colours; NoForeground where colours do not tell it from the background.

    The score is the intersection over union of the mask with what the two mixtures say of each pixel by itself,
    without smoothing and without a preference for the middle, times the part of the mask's rim at which the picture
    has an edge.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < 16:
        raise NoForeground(f"foreground: the picture is {width} x {height} pixels; the colour model needs 16 x 16")
    picture = reduced(rgb, SIDE).double().numpy()
    lab = lab_of(picture)
    solid, evidence = _cut(lab)
    if not solid.any():
        raise NoForeground(f"foreground: the colour model finds nothing unlike the picture's rim; {ADVICE}")
    kept, dropped = without_specks(solid, smallest=0.15)
    kept = _without_foreign_holes(kept, lab)
    likely = (evidence < 0) | (kept & ~solid)
    agreed = float((likely & kept).sum() / (likely | kept).sum())
    score = agreed * _edge_share(kept, lab)
    if score < TRUSTED:
        raise NoForeground(
            f"foreground: the colour model cannot tell object and background apart (score {score:.2f}, "
            f"needs {TRUSTED}); {ADVICE}"
        )
    alpha = refined(kept, picture, rgb)
    pixels = alpha >= 0.5
    return Mask(pixels, alpha, "colour model", score, dropped=dropped)


def _cut(lab: Float[np.ndarray, "h w 3"]) -> tuple[Bool[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """The object; for each pixel the log ratio of densities, background over object."""
    from maquette.masks.cut_numba import minimum_cut

    height, width = lab.shape[:2]
    colors = lab.reshape(-1, 3)
    right, down = parting_costs(lab, SMOOTHNESS)
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    middle = 2 * np.exp(-2 * (x**2 + y**2)) - 1
    rim = np.ones((height, width), bool)
    wide = max(2, round(RIM * min(height, width)))
    rim[wide:-wide, wide:-wide] = False
    background = fit_mixture(colors[rim.reshape(-1)], COMPONENTS)
    unlike = -log_density(colors, background).reshape(height, width)
    typical, most = np.quantile(unlike[rim], (0.5, 0.95))
    unlike = np.clip((_blurred(unlike) - typical) / max(most - typical, 1), 0, 6)
    cost = 1.5 * (1 - unlike) - middle
    cost[rim] = 4
    share = minimum_cut(cost.astype(np.float32), right, down, (cost < 0).astype(np.float32), STEPS)
    ratio = np.zeros((height, width))
    for _ in range(ROUNDS):
        solid = share > 0.5
        if min(solid.sum(), (~solid).sum()) < 50:
            break
        inside = fit_mixture(colors[solid.reshape(-1)], COMPONENTS)
        background = fit_mixture(colors[~solid.reshape(-1)], COMPONENTS)
        ratio = (log_density(colors, inside) - log_density(colors, background)).reshape(height, width)
        cost = -0.7 * (np.clip(ratio, -MOST, MOST) + middle)
        cost[rim] += 1.5
        cost[[0, -1]] += 2
        cost[:, [0, -1]] += 2
        share = minimum_cut(cost.astype(np.float32), right, down, share, STEPS)
    return share > 0.5, -ratio


def _without_foreign_holes(solid: Bool[np.ndarray, "h w"], lab: Float[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Holes filled, except those through which the surroundings of the object are seen, with a sharp rim."""
    from scipy import ndimage

    filled = ndimage.binary_fill_holes(solid)
    assert filled is not None
    labels, count = ndimage.label(filled & ~solid)
    if count == 0:
        return solid
    reach = round(0.15 * max(solid.shape))
    around = ndimage.binary_dilation(filled, iterations=reach) & ~ndimage.binary_dilation(filled, iterations=2)
    if around.sum() < 100:
        return filled
    nearby = fit_mixture(lab[around], COMPONENTS)
    usual = np.quantile(log_density(lab[around], nearby), 0.1)
    result = filled.copy()
    for k in range(1, count + 1):
        hole = labels == k
        if hole.sum() < max(6, 1e-3 * hole.size) or np.median(log_density(lab[hole], nearby)) < usual:
            continue
        rim = ndimage.binary_dilation(hole, iterations=3) & solid
        contrast = np.linalg.norm(lab[rim] - np.median(lab[hole], 0), axis=1)
        if np.quantile(contrast, 0.25) > CONTRAST:
            result &= ~hole
    return result


def _edge_share(solid: Bool[np.ndarray, "h w"], lab: Float[np.ndarray, "h w 3"]) -> float:
    """Part of the object's rim, inside the picture, where colours change by more than `STEP` a pixel."""
    from scipy import ndimage

    slope = np.sqrt(sum(ndimage.gaussian_gradient_magnitude(lab[..., c], 1.0) ** 2 for c in range(3)))
    rim = solid & ndimage.binary_dilation(~solid)
    return float((ndimage.maximum_filter(slope, 3)[rim] > STEP).mean()) if rim.any() else 0.0


def _blurred(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    from scipy import ndimage

    return ndimage.gaussian_filter(values, 1.0)
