"""How pictures and truth are varied before a network sees them. B pictures of S x S pixels.

Colours are sRGB in 0..1, alpha straight. Every picture has its own generator.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from maquette.data.disturb import Disturbance, disturbed
from maquette.transforms import rotation_about

Frame = Literal["object", "viewer"]
"""Truth as its front declares it, or turned so that the camera looks at it from azimuth 0, elevation 0."""


@dataclass(frozen=True)
class Augmentation:
    """Variations of the pictures that are learnt from, and the frame of what is learnt."""

    frame: Frame = "object"
    """Truth as its front declares it, or turned so that the camera looks at it from azimuth 0, elevation 0."""
    mirror: float = 0.5
    """Share of the objects that are mirrored left to right, picture and truth together."""
    brightness: float = 0.3
    """Colours are multiplied by 1 - b to 1 + b."""
    contrast: float = 0.3
    """Differences from mid-grey are multiplied by 1 - c to 1 + c."""
    gamma: tuple[float, float] = (0.7, 1.4)
    """Least and greatest exponent of the colours."""
    saturation: float = 0.0
    """Differences from a pixel's own grey are multiplied by 1 - s to 1 + s."""
    hue: float = 0.0
    """Colours turn by up to this part of the colour circle, either way; at most 0.5."""
    shuffled: float = 0.5
    """Share of the pictures whose three channels change places: colour says little about shape."""
    opaque: float = 0.0
    """Share of the pictures that are laid over a background and lose their alpha, as photographs without a mask."""
    background: Literal["random", "white"] = "random"
    """What they are laid over: one random colour each, or white."""
    reframed: float = 0.0
    """Share of the pictures that are seen in another square: a little wider or narrower, and aside."""
    disturbance: Disturbance = Disturbance()
    """Uneven light, bad masks, occlusion."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            most = 0.5 if field.name == "hue" else 1.0
            if isinstance(value, float) and not 0 <= value <= most:
                raise ValueError(f"Augmentation: {field.name} is {value:g}; give 0 to {most:g}")
        low, high = self.gamma
        if not 0 < low <= high:
            raise ValueError(f"Augmentation: gamma is {low:g} {high:g}; give LOW HIGH, both positive")


PLAIN = Augmentation(mirror=0.0, brightness=0.0, contrast=0.0, gamma=(1.0, 1.0), shuffled=0.0)
"""Pictures as they are."""


WIDTHS = (0.94, 1.08)
"""Least and greatest width of another square, in sides of the picture."""
ASIDE = 0.05
"""How far its middle may lie from the picture's along each axis, in half sides."""


def varied(
    pixels: UInt8[np.ndarray, "B S S 4"], how: Augmentation, draws: list[np.random.Generator]
) -> Float[Tensor, "B 4 S S"]:
    """The pictures in other colours, some of them in another square, some without their alpha.

    What brightness, contrast and gamma make of a value is the same all over a picture, so 256 of them are worked out
    and looked up.
    """
    values = np.arange(256, dtype=np.float32) / 255
    made = np.empty((len(pixels), 4, *pixels.shape[1:3]), np.float32)
    b, c = how.brightness, how.contrast
    for picture, source, rng in zip(made, pixels, draws, strict=True):
        brightness, contrast, gamma = rng.uniform(1 - b, 1 + b), rng.uniform(1 - c, 1 + c), rng.uniform(*how.gamma)
        table = ((values * brightness - 0.5) * contrast + 0.5).clip(1e-4, 1) ** gamma
        order = rng.permutation(3) if rng.random() < how.shuffled else np.arange(3)
        for channel, origin in enumerate(order):
            np.take(table.astype(np.float32), source[..., origin], out=picture[channel])
        np.take(values, source[..., 3], out=picture[3])
    pictures = torch.from_numpy(made)
    if how.disturbance != Disturbance():
        pictures = disturbed(pictures, how.disturbance, draws)
    if how.reframed:
        # Before a background is laid under them: what lies beyond a picture is transparent.
        squares = [_square(rng) if rng.random() < how.reframed else (1.0, 0.0, 0.0) for rng in draws]
        width, right, down = torch.tensor(squares).unbind(-1)
        pictures = seen_in_square(pictures, width, torch.stack([right, down], -1))
    rgb, alpha = pictures[:, :3], pictures[:, 3:]

    def each(draw: Callable[[np.random.Generator], object]) -> Float[Tensor, "B C 1 1"]:
        """Numbers for each picture, from its own generator."""
        drawn = np.array([draw(rng) for rng in draws], dtype=np.float32)
        return torch.from_numpy(drawn.reshape(len(draws), -1, 1, 1))

    if how.saturation:
        grey = (rgb * rgb.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
        factor = each(lambda rng: rng.uniform(1 - how.saturation, 1 + how.saturation))
        rgb = (grey + (rgb - grey) * factor).clamp(0, 1)
    if how.hue:
        rgb = hue_turned(rgb, each(lambda rng: rng.uniform(-how.hue, how.hue)))
    if how.opaque:
        chosen = each(lambda rng: rng.random() < how.opaque) > 0
        color = each(lambda rng: rng.random(3)) if how.background == "random" else torch.ones(1, 3, 1, 1)
        rgb = torch.where(chosen, rgb * alpha + color * (1 - alpha), rgb)
        alpha = torch.where(chosen, torch.ones_like(alpha), alpha)
    return torch.cat([rgb, alpha], 1) if how.saturation or how.hue or how.opaque else pictures


def _square(rng: np.random.Generator) -> tuple[float, float, float]:
    return rng.uniform(*WIDTHS), rng.uniform(-ASIDE, ASIDE), rng.uniform(-ASIDE, ASIDE)


def seen_in_square(
    images: Float[Tensor, "B 4 S S"], width: Float[Tensor, " B"], shift: Float[Tensor, "B 2"]
) -> Float[Tensor, "B 4 S S"]:
    """What straight RGBA pictures show in another square, `width` of their sides wide and moved by `shift` half sides
    (right, down); what lies beyond a picture is transparent."""
    theta = images.new_zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = width
    theta[:, :, 2] = shift
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    # Colours are weighted by alpha while resampling, or hidden ones would bleed in.
    alpha = images[:, 3:]
    moved = grid_sample(torch.cat([images[:, :3] * alpha, alpha], 1), grid, align_corners=False)
    alpha = moved[:, 3:]
    return torch.cat([moved[:, :3] / alpha.clamp(min=1e-3), alpha], 1).clamp(0, 1)


LUMA = (0.299, 0.587, 0.114)
"""Shares of the channels in a pixel's grey (ITU-R BT.601)."""


def hue_turned(rgb: Float[Tensor, "B 3 S S"], turns: Float[Tensor, "B 1 1 1"]) -> Float[Tensor, "B 3 S S"]:
    """Colours of another hue, the same HSV saturation and value; a whole turn changes nothing, a third takes red to
    green.

    The channels of a colour of hue h, saturation s and value v are v - v s clip(min(k, 4 - k), 0, 1) with
    k = (n + 6 h) mod 6 and n = 5, 3, 1.
    """
    value, low = rgb.amax(1, keepdim=True), rgb.amin(1, keepdim=True)
    spread = value - low
    r, g, b = rgb.split(1, 1)
    safe = torch.where(spread > 0, spread, 1.0)
    sector = torch.where(
        value == r, (g - b) / safe % 6, torch.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4)
    )
    k = (rgb.new_tensor([5.0, 3.0, 1.0])[:, None, None] + sector + 6 * turns) % 6
    return value - spread * torch.minimum(k, 4 - k).clamp(0, 1)


# --------------------------------------------------------------------------------------------------- the viewer's frame


def viewer_from_object(
    azimuth: Float[Tensor, "*batch"], elevation: Float[Tensor, "*batch"]
) -> Float[Tensor, "*batch 3 3"]:
    """The rotation after which a camera at (azimuth, elevation), radians, stands at azimuth 0, elevation 0."""
    return rotation_about("x", elevation) @ rotation_about("y", -azimuth)


def turned_voxels(voxels: Float[Tensor, "B Z Y X"], b_from_a: Float[Tensor, "B 3 3"]) -> Float[Tensor, "B Z Y X"]:
    """Grids of the turned solids: each cell takes what the old grid has where its centre came from, 0 beyond it."""
    side = voxels.shape[-1]
    line = (torch.arange(side) + 0.5) / side - 0.5
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    centers = torch.stack([x, y, z], -1).reshape(1, -1, 3)
    cell = ((centers @ b_from_a + 0.5) * side).floor().long()  # by the inverse rotation, its transpose
    held = ((cell >= 0) & (cell < side)).all(-1)
    x, y, z = cell.clamp(0, side - 1).unbind(-1)
    found = torch.gather(voxels.reshape(len(voxels), -1), 1, (z * side + y) * side + x)
    return (found * held).reshape(voxels.shape)
