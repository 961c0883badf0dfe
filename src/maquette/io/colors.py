"""sRGB and linear light on arrays, for files that store colours linearly (glTF factors and COLOR_0)."""

import numpy as np
from jaxtyping import Float


def linear_from_srgb(srgb: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """Linear light from sRGB values in 0..1 (IEC 61966-2-1)."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(linear: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    """SRGB values from linear light in 0..1 (IEC 61966-2-1)."""
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055)


def tinted(a: Float[np.ndarray, "*a"], b: Float[np.ndarray, "*b"]) -> np.ndarray:
    """The product of two sRGB colours as light: what a texture under a colour factor looks like."""
    return srgb_from_linear(linear_from_srgb(a) * linear_from_srgb(b))
