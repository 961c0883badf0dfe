"""Aeroplanes: propeller planes, airliners, fighters, biplanes, gliders. The nose is at +z."""

import math
from dataclasses import dataclass

import numpy as np

from maquette.data.synthetic.palette import Palette
from maquette.data.synthetic.parts import (
    ALONG_X,
    ALONG_Z,
    Finish,
    Part,
    between,
    block,
    disc,
    loft,
    moved,
    pick,
    place,
    rectangle,
    rod,
    turn_z,
    turned,
)


@dataclass(frozen=True)
class PlaneStyle:
    """Choices of an aeroplane."""

    wing: str
    """straight, swept, delta, biplane."""
    height: str
    """low, middle, high: where the wing meets the fuselage."""
    tail: str
    """low, tee, vee, twin."""
    engine: str
    """nose (a propeller), wing-props, under (jets under the wings), rear (jets at the tail), none (a glider)."""
    gear: str
    """none, wheels, skids (floats)."""
    body: str
    """round, boxy."""


def draw_plane_style(rng: np.random.Generator) -> PlaneStyle:
    """Any combination."""
    return PlaneStyle(
        wing=pick(rng, ("straight", "swept", "delta", "biplane"), (4, 4, 1.3, 1)),
        height=pick(rng, ("low", "middle", "high"), (4, 2, 3)),
        tail=pick(rng, ("low", "tee", "vee", "twin"), (6, 2, 0.8, 1)),
        engine=pick(rng, ("nose", "wing-props", "under", "rear", "none"), (4, 1.5, 3, 1.5, 0.6)),
        gear=pick(rng, ("none", "wheels", "skids"), (3, 3, 0.5)),
        body=pick(rng, ("round", "boxy"), (3, 1)),
    )


def build_plane(rng: np.random.Generator, style: PlaneStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Parts of an aeroplane, in units of about a metre."""
    length = between(rng, 6.0, 9.0)
    radius = length * between(rng, 0.05, 0.1) * (1.25 if rng.random() < 0.25 else 1.0)
    sides = max(8, finish.sides)
    half = length / 2
    parts = _fuselage(rng, style, palette, (half, radius, sides))
    level = {"low": -0.6, "middle": 0.0, "high": 0.75}[style.height] * radius
    span = length * between(rng, 0.85, 1.35) * (0.65 if style.wing == "delta" else 1.0)
    chord = length * between(rng, 0.13, 0.22) * (2.2 if style.wing == "delta" else 1.0)
    sweep = {"straight": between(rng, 0.0, 0.04), "swept": between(rng, 0.15, 0.34), "delta": 0.5, "biplane": 0.0}[
        style.wing
    ]
    narrow = {"straight": between(rng, 0.45, 1.0), "swept": between(rng, 0.25, 0.55), "delta": 0.15, "biplane": 1.0}[
        style.wing
    ]
    rise = between(rng, -0.02, 0.1)
    z = half * between(rng, -0.02, 0.16) if style.wing != "delta" else -0.2 * half
    wing = (span / 2, chord, sweep * span / 2, narrow, rise)
    parts += _pair(wing, "wing", palette, "second", (0.0, level, z))
    if style.wing == "biplane":
        gap = radius * between(rng, 1.5, 2.2)
        parts += _pair(wing, "wing", palette, "second", (0.0, level + gap, z))
        for s in (-1.0, 1.0):
            for share in (0.35, 0.8):
                x = s * share * span / 2
                base = level + share * span / 2 * math.tan(rise)
                for dz in (-0.3, 0.3):
                    a, b = (x, base, z + dz * chord), (x, base + gap, z + dz * chord)
                    parts.append(rod(a, b, (0.06, 0.06), "strut", palette, "metal"))
    parts += _tail(rng, style, palette, (half, radius, chord * (0.5 if style.wing == "delta" else 0.75), sweep))
    parts += _engines(rng, style, palette, (half, radius, level, z, span, chord, sweep, rise), sides)
    parts += _gear(rng, style, palette, (half, radius, z), finish)
    return parts


def _fuselage(rng, style: PlaneStyle, palette: Palette, size) -> list[Part]:
    half, r, sides = size
    thin = r * between(rng, 0.12, 0.4)
    waist = -half * between(rng, 0.1, 0.45)
    nose = r * between(rng, 1.2, 3.2)
    blunt = style.engine == "nose"
    if style.body == "boxy":
        tall = between(rng, 0.85, 1.2)
        middle = block((2 * r, 2 * r * tall, half - nose - waist), 0.2 * r)
        front = loft(
            [
                (0.0, rectangle(2 * r, 2 * r * tall, 0.2 * r)),
                (nose, rectangle(2 * r * 0.5, 2 * r * tall * 0.5, 0.1 * r)),
            ]
        )
        # The tail boom narrows towards its upper edge.
        lift = r * between(rng, 0.0, 0.5)
        share = thin / r
        rear = loft(
            [
                (0.0, rectangle(2 * r, 2 * r * tall, 0.2 * r)),
                (waist + half, rectangle(2 * r * share, 2 * r * tall * share, 0.2 * r * share, (0.0, lift))),
            ]
        )
        parts = [
            place(middle, "fuselage", palette, "paint", (0, 0, (half - nose + waist) / 2)),
            place(front, "fuselage", palette, "paint", (0, 0, half - nose - 0.001), turn=ALONG_Z),
            *moved(
                [place(rear, "fuselage", palette, "paint", turn=ALONG_Z)], np.diag([-1.0, 1.0, -1.0]), (0, 0, waist)
            ),
        ]
    else:
        bow = [(r, half - nose), (r * 0.86, half - 0.5 * nose), (r * 0.55, half - 0.14 * nose), (r * 0.2, half)]
        if blunt:
            bow = [(r, half - nose), (r * 0.9, half - 0.3 * nose), (r * 0.62, half)]
        profile = [(thin, -half), (r * 0.7, waist - 0.35 * (waist + half)), (r, waist), *bow]
        parts = [place(turned(profile, sides), "fuselage", palette, "paint", turn=ALONG_Z)]
    kind = pick(rng, ("canopy", "screen", "row"))
    if kind == "canopy" or blunt:
        long = r * between(rng, 1.6, 3.2)
        high = r * between(rng, 0.4, 0.8)
        wide = r * 1.2
        canopy = loft(
            [
                (0.0, rectangle(wide, long, 0.15 * r)),
                (high * 0.7, rectangle(wide * 0.85, long * 0.85 * 0.95, 0.12 * r, (0.0, -0.05 * long))),
                (high, rectangle(wide * 0.6, long * 0.85 * 0.6, 0.08 * r, (0.0, -0.07 * long))),
            ]
        )
        z = half * between(rng, 0.05, 0.4)
        parts.append(place(canopy, "window", palette, "glass", (0, 0.82 * r, z)))
    else:
        z = half - nose
        parts.append(
            place(block((2 * r * 0.8, 0.35 * r, 0.5 * r)), "window", palette, "glass", (0, 0.52 * r, z + 0.12 * r))
        )
    if kind == "row":
        count = pick(rng, (5, 7, 9))
        for k in range(count):
            z = waist + (half - nose - waist) * (k + 0.5) / count
            parts.append(place(block((2.03 * r, 0.25 * r, 0.3 * r)), "window", palette, "glass", (0, 0.12 * r, z)))
    if rng.random() < 0.3 and style.body == "round":
        stripe = turned([(1.012 * r, waist + 0.1), (1.012 * r, waist + 0.1 + between(rng, 0.2, 0.8))], sides)
        parts.append(place(stripe, "fuselage", palette, "second", turn=ALONG_Z))
    return parts


def _pair(wing, label: str, palette: Palette, material: str, at, *, upright: float | None = None) -> list[Part]:
    """Two wings from the root at `at`; the right one grows along +x, tilted up by the dihedral."""
    half, chord, back, narrow, rise = wing
    parts = []
    for s in (-1.0, 1.0) if upright is None else (1.0,):
        # The loft's rings lie across its y axis (the span): x is the thickness, z the chord.
        root, tip = _section(chord, chord * 0.11, 0.0), _section(chord * narrow, chord * 0.11 * narrow, -back)
        solid = loft([(0.0, root), (half, tip)])
        angle = (-math.pi / 2 + rise) if upright is None else upright
        turn = turn_z(angle if s > 0 else -angle)
        parts.append(place(solid, label, palette, material, at, turn=turn))
    return parts


def _section(chord: float, thick: float, back: float) -> list:
    """A six-sided aerofoil, (thickness, chord) in `loft`'s order, its middle moved by `back` along z."""
    a, c = thick / 2, chord / 2
    return [
        (0.0, c + back),
        (a, 0.35 * c + back),
        (a * 0.6, -0.5 * c + back),
        (0.0, -c + back),
        (-a * 0.6, -0.5 * c + back),
        (-a, 0.35 * c + back),
    ]


def _tail(rng, style: PlaneStyle, palette: Palette, size) -> list[Part]:
    half, r, chord, sweep = size
    z = -half + 0.5 * chord
    span = half * between(rng, 0.28, 0.45)
    tall = half * between(rng, 0.2, 0.36)
    back = max(0.1, sweep) * span
    lean = tall * between(rng, 0.2, 0.7)
    fin = (tall, chord, lean, between(rng, 0.4, 0.8), 0.0)
    plane = (span, chord * 0.85, back, between(rng, 0.4, 0.8), 0.0)
    if style.tail == "vee":
        parts = []
        for angle in (-0.75, 0.75):
            parts += _pair(
                (span * 1.1, chord * 0.9, back, 0.6, 0.0), "tail", palette, "second", (0, 0, z), upright=angle
            )
        return parts
    if style.tail == "twin":
        parts = _pair(plane, "tail", palette, "second", (0, 0, z))
        for s in (-1.0, 1.0):
            small = (tall * 0.75, chord * 0.7, lean * 0.4, 0.7, 0.0)
            at = (s * span * 0.9, -0.2 * tall, z - back * 0.9)
            parts += _pair(small, "tail", palette, "second", at, upright=0.0)
        return parts
    parts = _pair(fin, "tail", palette, "second", (0, 0, z), upright=0.0)
    at = (0.0, tall * 0.97, z - lean) if style.tail == "tee" else (0.0, 0.1 * r, z)
    return parts + _pair(plane, "tail", palette, "second", at)


def _propeller(rng, palette: Palette, at, radius: float) -> list[Part]:
    """Two to four blades and a spinner, in front of `at`."""
    x, y, z = at
    blades = pick(rng, (2, 2, 3, 4))
    spin = between(rng, 0.0, math.pi)
    hub = radius * 0.16
    spinner = turned([(hub, -0.1 * radius), (hub, 0.08 * radius), (hub * 0.5, 0.26 * radius)], 8)
    parts = [place(spinner, "propeller", palette, "metal", at, turn=ALONG_Z)]
    for k in range(blades):
        angle = spin + 2 * math.pi * k / blades
        tip = (x + radius * math.cos(angle), y + radius * math.sin(angle), z + 0.04 * radius)
        parts.append(rod((x, y, z + 0.04 * radius), tip, (0.17 * radius, 0.04 * radius), "propeller", palette, "dark"))
    return parts


def _engines(rng, style: PlaneStyle, palette: Palette, size, sides: int) -> list[Part]:
    half, r, level, z, span, chord, sweep, rise = size
    if style.engine == "nose":
        return _propeller(rng, palette, (0.0, 0.0, half), r * between(rng, 1.3, 2.0))
    if style.engine == "none":
        return []
    e = r * between(rng, 0.3, 0.5)
    long = e * between(rng, 2.6, 4.5)
    shell = turned([(0.8 * e, -0.5 * long), (e, -0.1 * long), (e, 0.4 * long), (0.85 * e, 0.5 * long)], sides)
    mouth = disc(0.7 * e, 0.02 * long, sides)
    parts = []
    spots = [0.32] if rng.random() < 0.65 else [0.27, 0.55]
    for s in (-1.0, 1.0):
        for share in spots if style.engine != "rear" else [0.0]:
            x = s * share * span / 2
            y = level + share * span / 2 * math.tan(rise)
            zz = z - sweep * share * span / 2 + 0.35 * chord
            if style.engine == "under":
                y -= e * 1.25
                parts.append(
                    place(
                        block((0.25 * e, 1.2 * e, 0.7 * long)),
                        "engine",
                        palette,
                        "paint",
                        (x, y + 0.8 * e, zz - 0.1 * long),
                    )
                )
            elif style.engine == "rear":
                x, y, zz = s * (r * 0.9 + e * 0.9), 0.35 * r, -half * 0.55
                parts.append(place(block((r + e, 0.25 * e, 0.5 * long)), "engine", palette, "paint", (0.5 * x, y, zz)))
            parts.append(place(shell, "engine", palette, "metal", (x, y, zz), turn=ALONG_Z))
            if style.engine == "wing-props":
                parts += _propeller(rng, palette, (x, y, zz + 0.5 * long), e * between(rng, 2.0, 2.8))
            else:
                parts.append(place(mouth, "engine", palette, "dark", (x, y, zz + 0.49 * long), turn=ALONG_Z))
    return parts


def _gear(rng, style: PlaneStyle, palette: Palette, size, finish: Finish) -> list[Part]:
    half, r, z = size
    if style.gear == "none":
        return []
    drop = -r - half * between(rng, 0.08, 0.15)
    track = r * between(rng, 0.8, 1.6)
    parts = []
    if style.gear == "skids":
        for s in (-1.0, 1.0):
            float_body = block((0.7 * r, 0.6 * r, half * 1.1), 0.18 * r)
            parts.append(place(float_body, "gear", palette, "second", (s * track, drop, z + 0.1 * half)))
            for dz in (-0.2, 0.25):
                foot = (s * track, drop, z + dz * half)
                parts.append(
                    rod((s * 0.3 * r, -0.3 * r, z + dz * half * 0.8), foot, (0.08, 0.08), "strut", palette, "metal")
                )
        return parts
    wheel = half * between(rng, 0.04, 0.075)
    solid = turned([(wheel, -0.3 * wheel), (wheel, 0.3 * wheel)], max(8, finish.sides))
    third = half * 0.6 if rng.random() < 0.6 else -half * 0.8
    main = z - 0.15 * half if third > 0 else z + 0.25 * half
    for x, zz in ((-track, main), (track, main), (0.0, third)):
        tail = zz == third and third < 0
        w = 0.6 if tail else 1.0
        foot = (x, drop + wheel * (1 - w) if not tail else -0.55 * r - wheel, zz)
        parts.append(rod((0.4 * x, 0.0, zz), foot, (0.09, 0.09), "strut", palette, "metal"))
        parts.append(place(solid, "wheel", palette, "rubber", foot, turn=ALONG_X))
    return parts
