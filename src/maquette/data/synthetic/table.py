"""Tables: dining, coffee, side and console tables, desks with drawers, corner desks. Who sits at a desk sits at +z."""

import math
from dataclasses import dataclass

import numpy as np

from maquette.data.synthetic.palette import Palette
from maquette.data.synthetic.parts import (
    Extrude,
    Finish,
    Part,
    between,
    block,
    disc,
    pick,
    place,
    rod,
    spindle,
    taper,
    turn_x,
    turned,
)


@dataclass(frozen=True)
class TableStyle:
    """Choices of a table."""

    use: str
    """dining, coffee, side, console, desk, bar: sets the proportions."""
    top: str
    """rectangle, square, round, oval, corner (an L)."""
    base: str
    """legs, splayed, trestle, cross, pedestal, twin (two pedestals), panels, sled, hairpin."""
    storage: str
    """none, shelf, drawer (a flat one), chest (drawers at one side), chests (at both)."""
    brace: str
    """none, apron, ends, ring, long (an H)."""
    cover: str
    """none, glass (a pane in a frame), cloth (a runner), overhang."""


def draw_table_style(rng: np.random.Generator) -> TableStyle:
    """Combinations that can stand: a round top has no chests, an L is a desk."""
    use = pick(rng, ("dining", "coffee", "side", "console", "desk", "bar"), (5, 5, 2, 1.5, 3, 0.7))
    if use == "desk":
        top = pick(rng, ("rectangle", "corner"), (3, 1.3))
    elif use == "console":
        top = "rectangle"
    else:
        top = pick(rng, ("rectangle", "square", "round", "oval"), (5, 2, 2, 0.8))
    bases = ("legs", "splayed", "trestle", "cross", "pedestal", "twin", "panels", "sled", "hairpin")
    base = pick(rng, bases, (8, 1.6, 1.4, 1.4, 2.2, 0.6, 1.2, 0.9, 0.6))
    storage = pick(rng, ("none", "shelf", "drawer", "chest", "chests"), (7, 1.5, 1, 0.8, 0.4))
    if use == "desk":
        storage = pick(rng, ("none", "drawer", "chest", "chests"), (1, 1.5, 4, 1.5))
    if top in ("round", "oval") and storage in ("drawer", "chest", "chests"):
        storage = "none"
    if top == "corner" and base not in ("legs", "panels"):
        base = pick(rng, ("legs", "panels"))
    return TableStyle(
        use,
        top,
        base,
        storage,
        brace=pick(rng, ("none", "apron", "ends", "ring", "long"), (3, 2.3, 1, 2.6, 1.3)),
        cover=pick(rng, ("none", "glass", "cloth", "overhang"), (6, 1.2, 1, 1)),
    )


def build_table(rng: np.random.Generator, style: TableStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Parts of a table, in metres."""
    sizes = {  # width, depth, height
        "dining": (1.1, 2.2, 0.75, 1.1, 0.6, 0.82),
        "coffee": (0.7, 1.5, 0.45, 0.8, 0.22, 0.5),
        "side": (0.35, 0.6, 0.35, 0.6, 0.4, 0.75),
        "console": (0.8, 1.5, 0.28, 0.5, 0.6, 0.95),
        "desk": (1.0, 1.8, 0.5, 0.85, 0.62, 0.8),
        "bar": (0.5, 0.9, 0.5, 0.8, 0.9, 1.15),
    }[style.use]
    w, d, h = (between(rng, sizes[k], sizes[k + 1]) for k in (0, 2, 4))
    if style.top in ("square", "round"):
        w = d = max(d, 0.6 * w)
    chunky = rng.random() < 0.35
    t = (between(rng, 0.05, 0.13) if chunky else between(rng, 0.018, 0.06)) * (1 if style.use != "coffee" else 0.8)
    leg = (between(rng, 0.09, 0.18) if chunky else between(rng, 0.035, 0.09)) * min(1.0, 0.5 + 0.5 * min(w, d))
    hard = "wood" if rng.random() < 0.8 else "metal"
    under = hard if rng.random() < 0.75 else "metal"
    parts = _top(rng, style, palette, finish, (w, d, h, t), hard)
    rim = 0.0 if style.cover != "overhang" else between(rng, 0.04, 0.12) * min(w, d)
    shrink = 0.7 if style.top in ("round", "oval") else 1.0
    # Legs stay a hair inside the top's edge: flush faces of two parts flicker in pictures.
    x = (w / 2 - rim) * shrink - leg / 2 - 0.003
    z = (d / 2 - rim) * shrink - leg / 2 - 0.003
    bottom = h - t
    parts += _base(rng, style, palette, finish, (x, z, bottom, leg), under)
    if style.base in ("legs", "splayed", "hairpin", "panels", "sled"):
        parts += _storage(rng, style, palette, finish, (x, z, bottom, leg), hard)
    return parts


def _top(rng, style: TableStyle, palette: Palette, finish: Finish, size, hard: str) -> list[Part]:
    w, d, h, t = size
    bevel = finish.bevel * 0.6 * t
    if style.top == "corner":
        # An L seen from above (x, -z): the return runs to the front on one side.
        arm, out, side = d * between(rng, 0.8, 1.0), between(rng, 0.5, 1.1), (1.0 if rng.random() < 0.5 else -1.0)
        shape = [
            (-w / 2, d / 2),
            (-w / 2, -d / 2),
            (w / 2 - arm, -d / 2),
            (w / 2 - arm, -d / 2 - out),
            (w / 2, -d / 2 - out),
            (w / 2, d / 2),
        ]
        if side < 0:
            shape = [(-x, y) for x, y in shape[::-1]]
        flat = turn_x(-math.pi / 2)
        parts = [place(Extrude(np.array(shape), t / 2), "top", palette, hard, (0, h - t / 2, 0), turn=flat)]
        centre, far = side * (w / 2 - arm / 2), d / 2 + out
        if rng.random() < 0.6:
            panel = block((arm * 0.92, h - t, 0.03))
            parts.append(place(panel, "leg", palette, hard, (centre, (h - t) / 2, far - 0.05)))
            panel = block((0.03, (h - t) * 0.95, out + d * 0.8))
            at = (side * (w / 2 - 0.04), (h - t) * 0.525, d * 0.1 + out / 2)
            parts.append(place(panel, "panel", palette, hard, at))
            if rng.random() < 0.5:
                inner = block((0.03, (h - t) * 0.9, out * 0.95))
                at = (side * (w / 2 - arm * 0.94), (h - t) * 0.55, d / 2 + out * 0.47)
                parts.append(place(inner, "panel", palette, hard, at))
        else:
            for sx in (-1.0, 1.0):
                foot = block((0.06, h - t, 0.06))
                parts.append(
                    place(foot, "leg", palette, hard, (centre + sx * (arm / 2 - 0.05), (h - t) / 2, far - 0.05))
                )
        return parts
    if style.top in ("round", "oval"):
        radius = w / 2 / (math.cos(math.pi / finish.sides) if finish.sides < 10 else 1.0)
        if style.top == "round":
            return [place(disc(radius, t, finish.sides, bevel=bevel), "top", palette, hard, (0, h - t, 0))]
        n = max(8, finish.sides)
        angles = [2 * math.pi * (k + 0.5) / n for k in range(n)]
        polygon = np.array([(w / 2 * math.cos(a), d / 2 * math.sin(a)) for a in angles])
        return [place(Extrude(polygon, t / 2), "top", palette, hard, (0, h - t / 2, 0), turn=turn_x(-math.pi / 2))]
    if style.cover == "glass":
        edge = min(0.12 * min(w, d), 0.09)
        pane = block((w - 2 * edge + 0.004, t * 0.4, d - 2 * edge + 0.004))
        parts = [place(pane, "glass", palette, "glass", (0, h - t * 0.3, 0))]
        for s in (-1.0, 1.0):
            parts.append(place(block((w, t, edge)), "top", palette, hard, (0, h - t / 2, s * (d - edge) / 2)))
            parts.append(
                place(block((edge, t, d - 2 * edge)), "top", palette, hard, (s * (w - edge) / 2, h - t / 2, 0))
            )
        return parts
    parts = [place(block((w, t, d), bevel, finish.steps), "top", palette, hard, (0, h - t / 2, 0))]
    if style.cover == "cloth" and w > 0.65:
        along = rng.random() < 0.5
        wide, fall, thin = between(rng, 0.35, 0.8), between(rng, 0.08, 0.3) * h, 0.005
        a, b = (w * wide, d + 2 * thin) if along else (w + 2 * thin, d * wide)
        parts.append(place(block((a, thin * 2, b)), "cloth", palette, "accent", (0, h, 0)))
        for s in (-1.0, 1.0):
            flap = block((a, fall, thin) if along else (thin, fall, b))
            edge = (0, h - fall / 2, s * (b - thin) / 2) if along else (s * (a - thin) / 2, h - fall / 2, 0)
            parts.append(place(flap, "cloth", palette, "accent", edge))
    return parts


def _base(rng, style: TableStyle, palette: Palette, finish: Finish, size, hard: str) -> list[Part]:
    x, z, h, t = size
    h = h + 0.004
    parts: list[Part] = []
    corners = [(sx, sz) for sx in (-1.0, 1.0) for sz in (-1.0, 1.0)]
    if style.base == "legs":
        thin = between(rng, 0.45, 0.9) if rng.random() < 0.3 else 1.0
        round_leg = finish.sides >= 12 and rng.random() < 0.4
        for sx, sz in corners:
            if round_leg:
                parts.append(place(disc(t * 0.5 * thin, h, 12, top=t * 0.5), "leg", palette, hard, (sx * x, 0, sz * z)))
            else:
                pull = t * (1 - thin) / 2
                leg = taper(h, (t * thin, t * thin), (t, t), (-sx * pull, -sz * pull))
                parts.append(place(leg, "leg", palette, hard, (sx * (x + pull), 0, sz * (z + pull))))
    elif style.base == "splayed":
        spread = between(rng, 0.0, 0.12) * h
        for sx, sz in corners:
            head, foot = (sx * x * 0.82, h, sz * z * 0.82), (sx * (x * 0.82 + spread), 0.0, sz * (z * 0.82 + spread))
            if finish.sides >= 12:
                parts.append(spindle(foot, head, t * 0.4, 10, "leg", palette, hard))
            else:
                leg = taper(h, (t * 0.6, t * 0.6), (t, t), (head[0] - foot[0], head[2] - foot[2]))
                parts.append(place(leg, "leg", palette, hard, foot))
    elif style.base == "trestle":
        for sx in (-1.0, 1.0):
            px = sx * x * 0.8
            wide = t * between(rng, 1.0, 2.5)
            parts.append(place(block((t, h, wide)), "leg", palette, hard, (px, h / 2, 0)))
            parts.append(place(taper(t * 0.8, (t * 1.2, 2 * z), (t * 1.2, 1.6 * z)), "leg", palette, hard, (px, 0, 0)))
            parts.append(place(block((t, t * 0.8, 1.8 * z)), "leg", palette, hard, (px, h - t * 0.4, 0)))
        level = h * between(rng, 0.15, 0.6)
        parts.append(place(block((1.6 * x, t * 0.6, t * 0.6)), "stretcher", palette, hard, (0, level, 0)))
    elif style.base == "cross":
        for sx in (-1.0, 1.0):
            for s in (-1.0, 1.0):
                a, b = (sx * x * 0.85, 0.0, s * z), (sx * x * 0.85, h, -s * z)
                parts.append(_square_cut(a, b, t * 0.8, palette, hard))
        parts.append(rod((-x, h / 2, 0), (x, h / 2, 0), (t * 0.6, t * 0.6), "stretcher", palette, hard))
    elif style.base in ("pedestal", "twin"):
        spots = [0.0] if style.base == "pedestal" else [-0.55 * x, 0.55 * x]
        foot = min(z * between(rng, 0.5, 0.85), x * (0.85 if style.base == "pedestal" else 0.4))
        stem = max(foot * between(rng, 0.1, 0.3), 0.025)
        kind = pick(rng, ("disc", "stacked", "turned", "feet"))
        for px in spots:
            if kind == "disc":
                flat = between(rng, 0.02, 0.06)
                profile = [(foot, 0), (foot * 0.95, flat), (stem, flat + 0.005), (stem, h)]
            elif kind == "stacked":
                step = between(rng, 0.04, 0.08)
                profile = [
                    (foot, 0),
                    (foot, step),
                    (foot * 0.65, step),
                    (foot * 0.65, 2 * step),
                    (stem, 2 * step + 0.01),
                    (stem, h),
                ]
            else:
                belly = stem * between(rng, 1.2, 2.0)
                profile = [(stem * 1.3, 0.06), (stem, h * 0.3), (belly, h * 0.5), (stem, h * 0.75), (stem * 1.6, h)]
                if kind == "turned":
                    profile = [(foot, 0), (foot * 0.8, 0.05), *profile]
            parts.append(place(turned(profile, finish.sides), "base", palette, hard, (px, 0, 0)))
            if kind == "feet":
                count = pick(rng, (3, 4))
                for k in range(count):
                    angle = 2 * math.pi * (k + 0.5) / count
                    tip = (px + 1.1 * foot * math.cos(angle), 0.022, 1.1 * foot * math.sin(angle))
                    parts.append(rod((px, 0.16, 0), tip, (0.04, 0.04), "leg", palette, hard, up=(0, 1, 0)))
    elif style.base == "panels":
        thin = max(t * 0.5, 0.02)
        if rng.random() < 0.35:
            # Two thick slabs, well under the top.
            slab, at, deep = t * between(rng, 0.8, 2.0), x * between(rng, 0.55, 0.9), 2 * z * between(rng, 0.6, 1.0)
            for sx in (-1.0, 1.0):
                leg = block((slab, h, deep), finish.bevel * 0.3 * slab)
                parts.append(place(leg, "leg", palette, hard, (sx * at, h / 2, 0)))
            return parts
        for sx in (-1.0, 1.0):
            parts.append(
                place(block((thin, h, 2 * z + t)), "leg", palette, hard, (sx * (x + t / 2 - thin / 2), h / 2, 0))
            )
        if rng.random() < 0.7:
            low = between(rng, 0.0, 0.6) * h
            back = block((2 * x + t, h - low, thin))
            parts.append(place(back, "panel", palette, hard, (0, (h + low) / 2, -z * between(rng, 0.0, 0.98))))
    elif style.base == "sled":
        for sx in (-1.0, 1.0):
            for sz in (-1.0, 1.0):
                parts.append(place(block((t * 0.7, h, t * 0.7)), "leg", palette, hard, (sx * x, h / 2, sz * z)))
            parts.append(place(block((t * 0.7, t * 0.7, 2 * z)), "leg", palette, hard, (sx * x, t * 0.35, 0)))
        if rng.random() < 0.5:
            for sz in (-1.0, 1.0):
                parts.append(place(block((2 * x, t * 0.7, t * 0.7)), "leg", palette, hard, (0, t * 0.35, sz * z)))
    else:  # hairpin legs: two thin rods each
        for sx, sz in corners:
            for dx, dz in ((0.0, 0.07), (0.07, 0.0)):
                head = (sx * (x - dx), h, sz * (z - dz))
                parts.append(spindle((sx * x, 0.0, sz * z), head, 0.008, 6, "leg", palette, "metal"))
    if style.use == "desk" and style.base == "legs" and rng.random() < 0.6:
        # Closed on three sides; a corner desk's own panels close the rest.
        low = h * (between(rng, 0.05, 0.25) if rng.random() < 0.7 else between(rng, 0.3, 0.6))
        parts.append(place(block((2 * x, h - low, 0.025)), "panel", palette, hard, (0, (h + low) / 2, -z)))
        for sx in (-1.0, 1.0):
            side = block((0.025, h - low, 2 * z))
            parts.append(place(side, "panel", palette, hard, (sx * x, (h + low) / 2, 0)))
        return parts
    parts += _brace(rng, style, palette, (x, z, h, t), hard)
    return parts


def _square_cut(a, b, thick: float, palette: Palette, material: str) -> Part:
    """A leg from a to b in a plane of constant x whose ends are cut level."""
    return place(
        taper(b[1] - a[1], (thick, thick * 1.2), (thick, thick * 1.2), (b[0] - a[0], b[2] - a[2])),
        "leg",
        palette,
        material,
        a,
    )


def _brace(rng, style: TableStyle, palette: Palette, size, hard: str) -> list[Part]:
    x, z, h, t = size
    if style.brace == "none" or style.base not in ("legs", "splayed"):
        return []
    x, z = (x, z) if style.base == "legs" else (0.84 * x, 0.84 * z)
    thick = t * between(rng, 0.4, 0.8)
    level = between(rng, 0.1, 0.4) * h if style.base == "legs" else 0.8 * h
    parts = []
    if style.brace == "apron":
        tall = min(between(rng, 0.05, 0.12), 0.4 * h)
        for s in (-1.0, 1.0):
            parts.append(place(block((2 * x, tall, thick)), "apron", palette, hard, (0, h - tall / 2, s * z)))
            parts.append(place(block((thick, tall, 2 * z)), "apron", palette, hard, (s * x, h - tall / 2, 0)))
        return parts
    for s in (-1.0, 1.0):
        parts.append(place(block((thick, thick, 2 * z)), "stretcher", palette, hard, (s * x, level, 0)))
        if style.brace == "ring":
            parts.append(place(block((2 * x, thick, thick)), "stretcher", palette, hard, (0, level, s * z)))
    if style.brace == "long":
        parts.append(place(block((2 * x, thick, thick)), "stretcher", palette, hard, (0, level, 0)))
    return parts


def _storage(rng, style: TableStyle, palette: Palette, finish: Finish, size, hard: str) -> list[Part]:
    x, z, h, t = size
    parts: list[Part] = []
    inner_x, inner_z = (0.8 * x, 0.8 * z) if style.base == "splayed" else (x, z)
    if style.storage == "shelf":
        level = between(rng, 0.15, 0.45) * h
        parts.append(place(block((2 * inner_x, 0.025, 2 * inner_z)), "shelf", palette, hard, (0, level, 0)))
    elif style.storage == "drawer":
        tall = min(0.16, 0.4 * h)
        body = block((2 * inner_x, tall, 2 * inner_z))
        parts.append(place(body, "drawer", palette, hard, (0, h - tall / 2, 0)))
        count = pick(rng, (1, 2, 3))
        for k in range(count):
            each = 2 * inner_x / count
            px = -inner_x + each * (k + 0.5)
            parts += _front(palette, hard, (px, h - tall / 2, inner_z), (each * 0.88, tall * 0.75))
    elif style.storage in ("chest", "chests"):
        wide = min(between(rng, 0.25, 0.45), 0.7 * x)
        low = 0.0 if rng.random() < 0.4 else between(rng, 0.05, 0.45) * h
        deep = 2 * inner_z + 0.6 * t
        sides = (-1.0, 1.0) if style.storage == "chests" else (pick(rng, (-1.0, 1.0)),)
        count = pick(rng, (1, 2, 3, 4))
        for s in sides:
            px = s * (x + t / 2 - wide / 2)
            parts.append(place(block((wide, h - low, deep)), "drawer", palette, hard, (px, (h + low) / 2, 0)))
            each = (h - low) / count
            for k in range(count):
                at = (px, low + each * (k + 0.5), deep / 2)
                parts += _front(palette, hard, at, (wide * 0.88, each * 0.82))
        if style.use == "desk" and rng.random() < 0.6:
            parts.append(place(block((2 * x, h * 0.6, 0.02)), "panel", palette, hard, (0, h * 0.7, -inner_z)))
    return parts


def _front(palette: Palette, hard: str, at, size) -> list[Part]:
    """A drawer's front plate with a handle, facing +z."""
    x, y, z = at
    return [
        place(block((size[0], size[1], 0.02)), "drawer", palette, hard, (x, y, z + 0.004)),
        place(
            block((min(0.12, 0.35 * size[0]), 0.022, 0.03)),
            "handle",
            palette,
            "metal",
            (x, y + 0.1 * size[1], z + 0.022),
        ),
    ]
