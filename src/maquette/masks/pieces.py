"""Connected pieces of masks as numpy arrays H W: small ones dropped, holes filled, rims grown."""

import numpy as np
from jaxtyping import Bool

SPECK = 0.03
"""Pieces smaller than this part of the largest one are dropped."""


def connected(region: Bool[np.ndarray, "H W"], seeds: Bool[np.ndarray, "H W"]) -> Bool[np.ndarray, "H W"]:
    """The pieces of `region` (4-connected) that hold a seed."""
    from scipy import ndimage

    labels, count = ndimage.label(region)
    chosen = np.zeros(count + 1, bool)
    chosen[labels[seeds]] = True
    chosen[0] = False
    return chosen[labels]


def without_specks(solid: Bool[np.ndarray, "H W"], *, smallest: float = SPECK) -> tuple[Bool[np.ndarray, "H W"], str]:
    """The pieces (8-connected) of at least `smallest` of the largest one's area, and in words what was dropped."""
    from scipy import ndimage

    labels, count = ndimage.label(solid, np.ones((3, 3)))
    areas = np.bincount(labels.reshape(-1), minlength=count + 1)
    areas[0] = 0
    keep = areas >= smallest * areas.max()
    keep[0] = False
    lost = areas.sum() - areas[keep].sum()
    pieces = count - int(keep.sum())
    words = f"{pieces} small {'piece' if pieces == 1 else 'pieces'}, {lost / areas.sum():.1%} of the foreground"
    return keep[labels], words if pieces else ""


def without_holes(solid: Bool[np.ndarray, "H W"], *, largest: float) -> Bool[np.ndarray, "H W"]:
    """Holes (4-connected, away from the border) of at most `largest` of the region's area are filled."""
    from scipy import ndimage

    labels, count = ndimage.label(ndimage.binary_fill_holes(solid) & ~solid)
    areas = np.bincount(labels.reshape(-1), minlength=count + 1)
    small = areas <= largest * solid.sum()
    small[0] = False
    return solid | small[labels]


def dominant_share(solid: Bool[np.ndarray, "H W"]) -> float:
    """Area of the largest piece (8-connected) over that of all."""
    from scipy import ndimage

    labels, _ = ndimage.label(solid, np.ones((3, 3)))
    areas = np.bincount(labels.reshape(-1))[1:]
    return float(areas.max() / areas.sum()) if len(areas) else 0.0


def grown(region: Bool[np.ndarray, "H W"], pixels: int) -> Bool[np.ndarray, "H W"]:
    from scipy import ndimage

    return ndimage.binary_dilation(region, np.ones((3, 3)), iterations=pixels)
