"""Beds: single, double, bunk, canopy, day beds. The headboard is at -z."""

import math
from dataclasses import dataclass

import numpy as np

from maquette.data.synthetic.palette import Palette
from maquette.data.synthetic.parts import Extrude, Finish, Part, between, block, pick, place, taper, turn_x


@dataclass(frozen=True)
class BedStyle:
    """Choices of a bed."""

    size: str
    """single, double, cot."""
    tiers: str
    """one, bunk (two beds), loft (one, high up), canopy (posts with a frame on top)."""
    head: str
    """panel, rails, posts (a panel between posts), arched, padded, none."""
    foot: str
    """none, panel, rails, posts."""
    frame: str
    """legs, box (to the floor), plinth, drawers."""
    cover: str
    """none, blanket (hangs over the sides), duvet (thick, on top), half (folded over the foot end)."""
    pillows: int


def draw_bed_style(rng: np.random.Generator) -> BedStyle:
    """Any combination."""
    size = pick(rng, ("single", "double", "cot"), (5, 5, 0.7))
    return BedStyle(
        size,
        tiers=pick(rng, ("one", "bunk", "loft", "canopy"), (9, 1.5, 0.5, 0.8)),
        head=pick(rng, ("panel", "rails", "posts", "arched", "padded", "none"), (4, 2, 3, 1, 1.5, 0.7)),
        foot=pick(rng, ("none", "panel", "rails", "posts"), (5, 1.5, 1, 2.5)),
        frame=pick(rng, ("legs", "box", "plinth", "drawers"), (6, 2, 1, 1)),
        cover=pick(rng, ("none", "blanket", "duvet", "half"), (1, 4, 3, 1.5)),
        pillows=pick(rng, (0, 1, 2), (1, 6, 2)) if size != "double" else pick(rng, (0, 1, 2, 4), (1, 1, 6, 1)),
    )


def build_bed(rng: np.random.Generator, style: BedStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Parts of a bed, in metres."""
    width = {"single": between(rng, 0.8, 1.2), "double": between(rng, 1.35, 2.1)}.get(
        style.size, between(rng, 0.6, 0.75)
    )
    length = between(rng, 1.75, 2.15) if style.size != "cot" else between(rng, 1.1, 1.4)
    post = between(rng, 0.05, 0.09) if rng.random() < 0.6 else between(rng, 0.1, 0.24)
    hard = "wood" if rng.random() < 0.8 else "metal"
    low = between(rng, 0.22, 0.5)
    if style.tiers == "bunk":
        post = min(post, 0.1)
        top = between(rng, 1.45, 1.85)
        levels = [between(rng, 0.25, 0.42), top - between(rng, 0.35, 0.5)]
        parts = _posts(palette, hard, (width, length, post, top))
        for level in levels:
            parts += _lying(rng, style, palette, finish, (width, length, post, level), hard)
            rise = between(rng, 0.14, 0.3)
            parts += _guards(rng, palette, hard, (width, length, post, level + rise), level is levels[1])
        return parts + _ladder(rng, palette, hard, (width, length, post, levels[1] + 0.2))
    if style.tiers == "loft":
        post = min(post, 0.1)
        top = between(rng, 1.4, 1.8)
        level = top - between(rng, 0.3, 0.45)
        parts = _posts(palette, hard, (width, length, post, top))
        parts += _lying(rng, style, palette, finish, (width, length, post, level), hard)
        parts += _guards(rng, palette, hard, (width, length, post, top - 0.05), True)
        if rng.random() < 0.5:
            parts.append(place(block((width - 0.1, 0.035, 0.5)), "shelf", palette, hard, (0, 0.72, -length / 2 + 0.3)))
        return parts + _ladder(rng, palette, hard, (width, length, post, level + 0.15))
    parts = _lying(rng, style, palette, finish, (width, length, post, low), hard)
    if style.tiers == "canopy":
        top = between(rng, 1.6, 2.1)
        bar = post = min(post, 0.1)
        parts += _posts(palette, hard, (width, length, post, top))
        for s in (-1.0, 1.0):
            parts.append(place(block((width, bar, bar)), "canopy", palette, hard, (0, top - bar / 2, s * (length / 2))))
            parts.append(place(block((bar, bar, length)), "canopy", palette, hard, (s * (width / 2), top - bar / 2, 0)))
        if rng.random() < 0.35:
            roof = block((width + post, 0.03, length + post))
            parts.append(place(roof, "canopy", palette, "accent", (0, top + 0.012, 0)))
    head = low + between(rng, 0.28, 0.85)
    foot = low + between(rng, 0.02, 0.3)
    parts += _board(rng, style.head, palette, finish, (width, -length / 2, post, low, head), hard)
    if style.foot != "none":
        parts += _board(rng, style.foot, palette, finish, (width, length / 2, post, low, foot), hard)
    parts += _support(rng, style, palette, (width, length, post, low), hard)
    return parts


def _posts(palette: Palette, hard: str, size) -> list[Part]:
    width, length, post, top = size
    return [
        place(block((post, top, post)), "post", palette, hard, (sx * width / 2, top / 2, sz * length / 2))
        for sx in (-1.0, 1.0)
        for sz in (-1.0, 1.0)
    ]


def _lying(rng, style: BedStyle, palette: Palette, finish: Finish, size, hard: str) -> list[Part]:
    """Frame, mattress, bedding; `level` is the top of the frame."""
    width, length, post, level = size
    rail = between(rng, 0.08, 0.2)
    rail = min(rail, level - 0.03)
    rim = between(rng, 0.0, 0.06)
    parts = [
        place(
            block((width + 2 * rim, rail, length), finish.bevel * 0.03),
            "frame",
            palette,
            hard,
            (0, level - rail / 2, 0),
        )
    ]
    thick = between(rng, 0.1, 0.26)
    soft = max(0.015, finish.bevel * 0.12) if finish.bevel > 0 or rng.random() < 0.3 else 0.0
    inset = between(rng, 0.0, 0.05)
    wide, long = width - 2 * inset, length - post * 0.6 - 2 * inset
    up = level + thick - 0.02
    parts.append(
        place(block((wide, thick, long), soft, finish.steps), "mattress", palette, "linen", (0, up - thick / 2, 0))
    )
    head = -length / 2 + post * 0.5
    pillow_long = between(rng, 0.26, 0.42) * min(1.0, length / 1.8)
    per_row = 1 if style.size != "double" or style.pillows == 1 else 2
    for k in range(style.pillows):
        column, row = k % per_row, k // per_row
        each = wide / per_row
        pillow_wide = min(each * between(rng, 0.72, 0.9), 0.95)
        high = between(rng, 0.09, 0.17)
        x = -wide / 2 + each * (column + 0.5)
        z = head + 0.04 + pillow_long * (0.5 + 0.75 * row)
        tilt = turn_x(-between(rng, 0.0, 0.35) if row == 0 else -0.1)
        solid = block((pillow_wide, high, pillow_long), 0.35 * high, 2 if finish.steps > 1 else 1)
        parts.append(place(solid, "pillow", palette, "linen", (x, up + high * 0.4 + 0.02, z), turn=tilt))
    if style.cover != "none":
        start = head + pillow_long * (between(rng, 0.8, 1.3) if style.pillows else 0.2)
        if style.cover == "half":
            start = length / 2 - length * between(rng, 0.3, 0.5)
        end = length / 2 - post * 0.25 + (0.02 if style.foot == "none" and style.tiers == "one" else -0.02)
        fat = between(rng, 0.02, 0.05) if style.cover != "duvet" else between(rng, 0.07, 0.14)
        hang = between(rng, 0.3, 1.1) * thick if style.cover != "duvet" else thick * 0.4
        over = 0.015 if style.cover == "half" else between(rng, 0.015, 0.06)
        body = block((wide + 2 * over, hang + fat, end - start), min(soft * 1.2, 0.4 * fat + 0.3 * soft), finish.steps)
        parts.append(place(body, "blanket", palette, "accent", (0, up + fat - (hang + fat) / 2, (start + end) / 2)))
        if rng.random() < 0.45:  # the fold at the head end
            fold = block((wide + 2.6 * over, hang + fat * 1.5, between(rng, 0.12, 0.3)), min(soft, 0.02), finish.steps)
            colour = "linen" if rng.random() < 0.5 else "accent"
            parts.append(
                place(fold, "blanket", palette, colour, (0, up + fat * 1.5 - (hang + fat * 1.5) / 2, start + 0.06))
            )
    return parts


def _board(rng, kind: str, palette: Palette, finish: Finish, size, hard: str) -> list[Part]:
    """Headboard or footboard at depth z, up to `top`."""
    width, z, post, level, top = size
    if kind == "none":
        return []
    thin = max(0.03, 0.5 * post)
    bevel = finish.bevel * 0.4 * post
    base = 0.0 if rng.random() < 0.7 else level * 0.4
    if kind == "panel":
        panel = block((width + post * 0.5, top - base, thin * 1.2), finish.bevel * 0.5 * thin)
        return [place(panel, "headboard", palette, hard, (0, (top + base) / 2, z))]
    if kind == "padded":
        count = pick(rng, (1, 2, 4, 6))
        each = (width + 0.06) / count
        fat = between(rng, 0.08, 0.16)
        solid = block((each * 0.992, top - base, fat), min(0.035, 0.3 * fat), finish.steps)
        return [
            place(solid, "headboard", palette, "fabric", (-(width + 0.06) / 2 + each * (k + 0.5), (top + base) / 2, z))
            for k in range(count)
        ]
    if kind == "arched":
        half, rise = width / 2 + post * 0.2, (top - level) * between(rng, 0.3, 0.7)
        n = max(4, finish.sides // 2)
        crown = [
            (half * math.cos(math.pi * k / n), top - rise + rise * math.sin(math.pi * k / n)) for k in range(n + 1)
        ]
        polygon = np.array([(-half, base), (half, base), *crown])
        return [place(Extrude(polygon, thin * 0.6), "headboard", palette, hard, (0, 0, z))]
    taller = top + between(rng, 0.0, 0.14)
    parts = [
        place(block((post, taller, post), bevel), "post", palette, hard, (s * (width / 2), taller / 2, z))
        for s in (-1.0, 1.0)
    ]
    if rng.random() < 0.3:
        cap = block((post * 1.35, post * 0.4, post * 1.35))
        parts += [place(cap, "post", palette, hard, (s * (width / 2), taller, z)) for s in (-1.0, 1.0)]
    span = width - post * 0.5
    if kind == "rails":
        count = pick(rng, (1, 2, 3))
        tall = min(between(rng, 0.05, 0.14), 0.6 * (top - level) / count + 0.03)
        for k in range(count):
            y = top - tall / 2 - (top - level) * k / count
            parts.append(place(block((span, tall, thin)), "headboard", palette, hard, (0, y, z)))
        if rng.random() < 0.4:
            for k in range(pick(rng, (3, 5, 7))):
                x = span * (((k + 1) / 8) - 0.5)
                parts.append(
                    place(block((0.03, top - level, thin * 0.5)), "slat", palette, hard, (x, (top + level) / 2, z))
                )
        return parts
    low = level - 0.1 if rng.random() < 0.7 else level * 0.3
    parts.append(place(block((span, top - low, thin * 0.8)), "headboard", palette, hard, (0, (top + low) / 2, z)))
    if rng.random() < 0.4:
        rail = block((span, 0.07, thin * 1.4), finish.bevel * 0.02)
        parts.append(place(rail, "headboard", palette, hard, (0, top - 0.01, z)))
    return parts


def _support(rng, style: BedStyle, palette: Palette, size, hard: str) -> list[Part]:
    width, length, post, low = size
    if style.frame == "box":
        body = block((width + 0.01, low - 0.03, length - post * 0.6))
        return [place(body, "frame", palette, hard, (0, (low - 0.03) / 2, 0))]
    if style.frame == "plinth":
        return [
            place(block((width * 0.84, low - 0.02, length * 0.84)), "leg", palette, "dark", (0, (low - 0.02) / 2, 0))
        ]
    parts = []
    if style.frame == "drawers":
        parts.append(place(block((width * 0.98, low - 0.02, length * 0.97)), "frame", palette, hard, (0, low / 2, 0)))
        count = pick(rng, (1, 2, 3))
        each = length * 0.9 / count
        for s in (-1.0, 1.0):
            for k in range(count):
                z = -length * 0.45 + each * (k + 0.5)
                front = block((0.03, low * 0.62, each * 0.9))
                parts.append(place(front, "drawer", palette, hard, (s * (width / 2 + 0.002), low * 0.45, z)))
                handle = block((0.03, 0.025, 0.14))
                parts.append(place(handle, "handle", palette, "metal", (s * (width / 2 + 0.024), low * 0.52, z)))
        return parts
    thin = between(rng, 0.6, 1.0)
    t = min(max(post, 0.06), 0.16)
    inset = between(rng, 0.0, 0.12)
    for sx in (-1.0, 1.0):
        for sz in (-1.0, 1.0):
            leg = taper(low - 0.03, (t * thin, t * thin), (t, t))
            x, z = sx * (width / 2 - t / 2 - inset), sz * (length / 2 - t / 2 - inset)
            parts.append(place(leg, "leg", palette, pick(rng, (hard, "metal")), (x, 0, z)))
    return parts


def _guards(rng, palette: Palette, hard: str, size, both: bool) -> list[Part]:
    """Rails around a raised bed."""
    width, length, post, y = size
    bar = post * 0.5
    tall = bar * between(rng, 1.0, 2.5)
    parts = [place(block((width, tall, bar)), "rail", palette, hard, (0, y, s * length / 2)) for s in (-1.0, 1.0)]
    if both:
        side = 1.0 if rng.random() < 0.5 else -1.0
        parts.append(place(block((bar, tall, length)), "rail", palette, hard, (side * width / 2, y, 0)))
        part = between(rng, 0.4, 1.0) * length
        parts.append(
            place(block((bar, tall, part)), "rail", palette, hard, (-side * width / 2, y, (part - length) / 2))
        )
    return parts


def _ladder(rng, palette: Palette, hard: str, size) -> list[Part]:
    """At the foot end of one side, or none."""
    width, length, _, top = size
    if rng.random() < 0.3:
        return []
    side = 1.0 if rng.random() < 0.5 else -1.0
    x, z, wide = side * (width / 2 + 0.05), length / 2 - 0.35, 0.38
    parts = [
        place(block((0.04, top, 0.05)), "ladder", palette, hard, (x, top / 2, z + s * wide / 2)) for s in (-1.0, 1.0)
    ]
    count = pick(rng, (3, 4, 5))
    for k in range(count):
        rung = block((0.03, 0.035, wide))
        parts.append(place(rung, "ladder", palette, hard, (x, top * (k + 0.7) / (count + 0.3), z)))
    return parts
