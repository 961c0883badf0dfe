"""Colours of objects: a part's material decides its colour, a scheme per object decides how varied they are."""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

WOODS: tuple[Colour, ...] = (
    (0.52, 0.29, 0.20),
    (0.76, 0.62, 0.49),
    (0.88, 0.72, 0.52),
    (0.63, 0.43, 0.26),
    (0.36, 0.23, 0.16),
    (0.72, 0.51, 0.32),
    (0.45, 0.33, 0.25),
    (0.82, 0.75, 0.64),
    (0.24, 0.18, 0.15),
)
FABRICS: tuple[Colour, ...] = (
    (0.33, 0.60, 0.78),
    (0.93, 0.66, 0.28),
    (0.88, 0.55, 0.53),
    (0.56, 0.65, 0.84),
    (0.45, 0.62, 0.42),
    (0.70, 0.25, 0.24),
    (0.55, 0.45, 0.62),
    (0.87, 0.84, 0.78),
    (0.35, 0.37, 0.42),
    (0.20, 0.32, 0.45),
    (0.62, 0.53, 0.42),
    (0.36, 0.22, 0.16),
    (0.15, 0.15, 0.16),
    (0.75, 0.76, 0.78),
)
METALS: tuple[Colour, ...] = (
    (0.70, 0.76, 0.78),
    (0.45, 0.48, 0.52),
    (0.30, 0.33, 0.36),
    (0.80, 0.80, 0.80),
    (0.12, 0.12, 0.13),
    (0.76, 0.62, 0.36),
    (0.90, 0.90, 0.92),
)
PAINTS: tuple[Colour, ...] = (
    (0.86, 0.34, 0.22),
    (0.24, 0.60, 0.42),
    (0.30, 0.33, 0.42),
    (0.92, 0.72, 0.18),
    (0.20, 0.42, 0.70),
    (0.85, 0.86, 0.88),
    (0.62, 0.12, 0.14),
    (0.12, 0.13, 0.15),
    (0.55, 0.75, 0.85),
    (0.93, 0.55, 0.20),
    (0.50, 0.30, 0.55),
    (0.60, 0.62, 0.65),
    (0.40, 0.52, 0.24),
    (0.94, 0.93, 0.88),
)
SHADES: tuple[Colour, ...] = (
    (0.80, 0.77, 0.60),
    (0.72, 0.68, 0.65),
    (0.95, 0.93, 0.85),
    (0.90, 0.80, 0.55),
    (0.85, 0.55, 0.50),
    (0.55, 0.65, 0.72),
    (0.95, 0.95, 0.95),
    (0.35, 0.38, 0.42),
)
CERAMICS: tuple[Colour, ...] = (
    (0.92, 0.91, 0.87),
    (0.75, 0.42, 0.28),
    (0.25, 0.40, 0.62),
    (0.35, 0.55, 0.50),
    (0.20, 0.20, 0.22),
    (0.85, 0.70, 0.55),
    (0.60, 0.75, 0.78),
    (0.55, 0.28, 0.30),
    (0.50, 0.55, 0.40),
)


@dataclass(frozen=True)
class Palette:
    """One colour per material of an object."""

    wood: Colour
    fabric: Colour
    accent: Colour
    """A second fabric: pillows, blankets, cloths."""
    linen: Colour
    """Mattresses and bed pillows."""
    metal: Colour
    paint: Colour
    second: Colour
    """A second paint: roofs, stripes."""
    shade: Colour
    ceramic: Colour
    glass: Colour
    rubber: Colour
    light: Colour
    dark: Colour


def draw_palette(rng: np.random.Generator) -> Palette:
    """A fifth of the objects is of one grey, a tenth of one colour; the others colour their materials."""
    scheme = rng.uniform()
    if scheme < 0.2:
        level = float(rng.uniform(0.42, 0.9))
        return _uniform((level, level, level))
    if scheme < 0.3:
        pool = (WOODS, FABRICS, METALS, PAINTS, CERAMICS)[int(rng.integers(5))]
        return _uniform(_pick(rng, pool))
    # Pastel palettes pull every colour towards white, as many low-poly packs do.
    pastel = float(rng.uniform(0.2, 0.5)) if rng.uniform() < 0.25 else 0.0
    tint = float(rng.uniform(0.55, 0.95))
    glass = (0.62 * tint, 0.75 * tint, 0.85 * tint)
    rubber = float(rng.uniform(0.08, 0.32))
    linen = float(rng.uniform(0.75, 0.95))
    fabric = _pick(rng, FABRICS, pastel)
    paint = _pick(rng, PAINTS, pastel)
    return Palette(
        wood=_pick(rng, WOODS if rng.uniform() < 0.8 else PAINTS, pastel),
        fabric=fabric,
        accent=_pick(rng, FABRICS, pastel) if rng.uniform() < 0.7 else fabric,
        linen=(linen, linen, float(min(1.0, linen * rng.uniform(0.9, 1.03)))),
        metal=_pick(rng, METALS),
        paint=paint,
        second=_pick(rng, PAINTS, pastel) if rng.uniform() < 0.4 else paint,
        shade=_pick(rng, SHADES, pastel),
        ceramic=_pick(rng, CERAMICS, pastel),
        glass=glass,
        rubber=(rubber, rubber, rubber * 1.05),
        light=(0.95, 0.85, 0.45),
        dark=(0.25, 0.26, 0.30),
    )


def _uniform(colour: Colour) -> Palette:
    return Palette(*(colour for _ in range(13)))


def _pick(rng: np.random.Generator, pool: tuple[Colour, ...], pastel: float = 0.0) -> Colour:
    """A colour near one of the pool."""
    base = pool[int(rng.integers(len(pool)))]
    gain = float(rng.uniform(0.85, 1.12))
    jitter = [float(rng.uniform(-0.03, 0.03)) for _ in range(3)]
    mixed = [min(max(c * gain + j, 0.02), 0.98) for c, j in zip(base, jitter, strict=True)]
    return (
        mixed[0] * (1 - pastel) + pastel,
        mixed[1] * (1 - pastel) + pastel,
        mixed[2] * (1 - pastel) + pastel,
    )
