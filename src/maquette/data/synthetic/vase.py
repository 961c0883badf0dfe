"""Vases, jugs, bowls, urns and pots: turned bodies, handles, feet, lids, flowers. They have no front."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from maquette.data.synthetic.palette import Palette
from maquette.data.synthetic.parts import (
    Finish,
    Lathe,
    Part,
    Tube,
    between,
    disc,
    pick,
    place,
    ring,
    spindle,
    turn_y,
    turned,
)


@dataclass(frozen=True)
class VaseStyle:
    """Choices of a vase."""

    shape: str
    """cylinder, bottle, ball, amphora, tulip, cone, waist, bowl, gourd, stepped."""
    section: str
    """round, square, six (six flat sides)."""
    handles: str
    """none, one, two."""
    foot: str
    """none, ring, stand (a stem with a plate), block."""
    top: str
    """open, lip (a rim that stands out), lid, flowers, plant."""


def draw_vase_style(rng: np.random.Generator) -> VaseStyle:
    """Any combination."""
    shapes = ("cylinder", "bottle", "ball", "amphora", "tulip", "cone", "waist", "bowl", "gourd", "stepped")
    return VaseStyle(
        shape=pick(rng, shapes),
        section=pick(rng, ("round", "square", "six"), (6, 1.2, 1)),
        handles=pick(rng, ("none", "one", "two"), (6, 1, 2)),
        foot=pick(rng, ("none", "ring", "stand", "block"), (5, 2, 1, 1)),
        top=pick(rng, ("open", "lip", "lid", "flowers", "plant"), (4, 3, 1, 1.5, 1.2)),
    )


PROFILES = {
    # Radius over height, both as shares; a point is (radius, height).
    "cylinder": ((0.9, 0.0), (1.0, 0.1), (1.0, 0.9), (0.95, 1.0)),
    "bottle": ((0.75, 0.0), (1.0, 0.15), (1.0, 0.42), (0.6, 0.6), (0.25, 0.72), (0.22, 0.95), (0.32, 1.0)),
    "ball": ((0.5, 0.0), (0.85, 0.15), (1.0, 0.42), (0.9, 0.7), (0.6, 0.9), (0.5, 1.0)),
    "amphora": ((0.35, 0.0), (0.6, 0.2), (0.95, 0.5), (1.0, 0.65), (0.7, 0.8), (0.38, 0.86), (0.4, 0.95), (0.55, 1.0)),
    "tulip": ((0.6, 0.0), (0.75, 0.15), (0.7, 0.5), (0.72, 0.75), (1.0, 1.0)),
    "cone": ((0.5, 0.0), (0.62, 0.2), (1.0, 1.0)),
    "waist": ((0.9, 0.0), (0.75, 0.25), (0.55, 0.5), (0.7, 0.78), (1.0, 1.0)),
    "bowl": ((0.4, 0.0), (0.7, 0.2), (0.92, 0.55), (1.0, 1.0)),
    "gourd": ((0.7, 0.0), (1.0, 0.18), (0.95, 0.38), (0.5, 0.52), (0.65, 0.68), (0.55, 0.82), (0.25, 0.92), (0.3, 1.0)),
    "stepped": ((1.0, 0.0), (1.0, 0.3), (0.75, 0.34), (0.75, 0.66), (0.5, 0.7), (0.5, 1.0)),
}


def build_vase(rng: np.random.Generator, style: VaseStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Parts of a vase, of about unit height."""
    height = 1.0
    radius = between(rng, 0.18, 0.55)
    if style.shape == "bowl":
        radius = between(rng, 0.6, 1.3)
    bend = [(between(rng, 0.88, 1.12), between(rng, -0.03, 0.03)) for _ in range(8)]
    last = len(PROFILES[style.shape]) - 1
    outline = [
        (radius * r * bend[k][0], height * (y + (bend[k][1] if 0 < k < last else 0.0)))
        for k, (r, y) in enumerate(PROFILES[style.shape])
    ]
    sides = {"square": 4, "six": 6}.get(style.section, max(8, finish.sides))
    if sides >= 16 and style.shape not in ("stepped", "cylinder"):
        outline = _smooth(outline)
    wall = min(radius * between(rng, 0.06, 0.16), 0.7 * min(r for r, _ in outline))
    material = pick(rng, ("ceramic", "ceramic", "glass", "metal", "paint"))
    lift = {"stand": between(rng, 0.15, 0.5), "block": between(rng, 0.05, 0.2), "ring": between(rng, 0.02, 0.06)}.get(
        style.foot, 0.0
    )
    spin = turn_y(math.pi / 4) if sides == 4 else turn_y(0.0)
    solid = _hollow(outline, wall, 0.05 + wall)
    parts = [place(Lathe(solid, sides), "body", palette, material, (0, lift, 0), turn=spin)]
    base = outline[0][0]
    if style.foot == "ring":
        parts.append(place(disc(base * 1.06, lift + 0.01, sides), "foot", palette, material, turn=spin))
    elif style.foot == "block":
        parts.append(place(disc(base * 1.25, lift + 0.01, pick(rng, (4, sides))), "foot", palette, "wood", turn=spin))
    elif style.foot == "stand":
        flat = base * between(rng, 0.9, 1.4)
        stem = base * between(rng, 0.2, 0.4)
        profile = [(flat, 0), (flat, 0.02), (stem, 0.07), (stem, lift * 0.7), (base * 0.8, lift + 0.01)]
        parts.append(place(turned(profile, sides), "foot", palette, material, turn=spin))
    if style.handles != "none":
        parts += _handles(rng, style, palette, (outline, wall, lift, radius), material)
    mouth = outline[-1][0]
    if style.top == "lip":
        parts.append(
            place(
                ring(mouth - wall * 0.9, mouth * 1.0 + 0.05, 0.04, sides),
                "lip",
                palette,
                material,
                (0, lift + height - 0.02, 0),
                turn=spin,
            )
        )
    elif style.top == "lid":
        high = between(rng, 0.06, 0.22)
        lid = turned([(mouth * 1.06, 0), (mouth * 1.06, 0.03), (mouth * 0.6, high * 0.8), (mouth * 0.15, high)], sides)
        parts.append(place(lid, "lid", palette, material, (0, lift + height - 0.005, 0), turn=spin))
        knob = between(rng, 0.03, 0.07)
        parts.append(place(_ball(knob, 8), "lid", palette, material, (0, lift + height + high + 0.6 * knob, 0)))
    elif style.top in ("flowers", "plant"):
        parts += _stems(rng, style, palette, (outline[-1][0] - wall, lift + height))
    return parts


def _smooth(outline: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """One round of corner cutting (Chaikin 1974), ends kept."""
    out = [outline[0]]
    for (ar, ay), (br, by) in pairwise(outline):
        out += [(0.75 * ar + 0.25 * br, 0.75 * ay + 0.25 * by), (0.25 * ar + 0.75 * br, 0.25 * ay + 0.75 * by)]
    return [*out, outline[-1]]


def _hollow(outline: list[tuple[float, float]], wall: float, floor: float) -> np.ndarray:
    """The outline as a vessel: the same curve `wall` further in, closed by a floor."""
    inner = [(r - wall, y) for r, y in outline if y > floor + 0.02]
    below = max((r, y) for r, y in outline if y <= floor + 0.02)[0]
    return np.array(
        [
            (0.0, 0.0),
            *outline,
            *inner[::-1],
            (max(0.4 * inner[0][0], min(inner[0][0], below - wall)), floor),
            (0.0, floor),
        ]
    )


def _ball(radius: float, sides: int) -> Lathe:
    rows = max(3, sides // 2)
    points = [(radius * math.sin(math.pi * k / rows), -radius * math.cos(math.pi * k / rows)) for k in range(1, rows)]
    return turned([(0.0, -radius), *points, (0.0, radius)], sides)


def _handles(rng, style: VaseStyle, palette: Palette, size, material: str) -> list[Part]:
    outline, wall, lift, radius = size
    low, high = between(rng, 0.25, 0.5), between(rng, 0.65, 0.95)
    heights = [y for _, y in outline]
    radii = [r for r, _ in outline]
    start, end = (float(np.interp(y, heights, radii)) - 0.6 * wall for y in (low, high))
    reach = max(radii) + radius * between(rng, 0.15, 0.6)
    thick = between(rng, 0.014, 0.03)
    path = [
        (start, low),
        (0.5 * (start + reach), low + 0.02),
        (reach, low + 0.3 * (high - low)),
        (reach, low + 0.75 * (high - low)),
        (0.5 * (end + reach), high),
        (end, high - 0.02),
    ]
    axis = np.array([(r, y + lift, 0.0) for r, y in _smooth(_smooth(path))])
    tube = Tube(axis, thick)
    both = (0.0, math.pi) if style.handles == "two" else (pick(rng, (0.0, math.pi)),)
    return [place(tube, "handle", palette, material, turn=turn_y(angle)) for angle in both]


def _stems(rng, style: VaseStyle, palette: Palette, size) -> list[Part]:
    mouth, top = size
    parts = []
    count = pick(rng, (1, 3, 5, 7)) if style.top == "flowers" else pick(rng, (4, 6, 8))
    for k in range(count):
        angle = 2 * math.pi * k / count + between(rng, -0.3, 0.3)
        out = mouth * between(rng, 0.3, 0.7)
        rise = between(rng, 0.25, 0.7)
        spread = between(rng, 0.4, 1.4) * mouth + between(rng, 0.0, 0.15)
        a = (out * 0.4 * math.cos(angle), top - 0.3, out * 0.4 * math.sin(angle))
        b = (spread * math.cos(angle), top + rise, spread * math.sin(angle))
        if style.top == "flowers":
            parts.append(spindle(a, b, 0.012, 5, "stem", palette, "wood"))
            parts.append(place(_ball(between(rng, 0.04, 0.1), 6), "flower", palette, "accent", b))
        else:
            long = between(rng, 0.08, 0.2)
            bush = turned(
                [(0.02, -1.2 * long), (0.5 * long, -0.2 * long), (0.6 * long, 0.4 * long), (0.1 * long, 1.2 * long)], 6
            )
            parts.append(spindle(a, b, 0.01, 5, "stem", palette, "wood"))
            parts.append(place(bush, "leaf", palette, "fabric", b))
    return parts
