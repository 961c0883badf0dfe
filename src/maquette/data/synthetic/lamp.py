"""Lamps: floor, table, desk, arc, pendant and wall lamps. A wall lamp's wall is at -z."""

import math
from dataclasses import dataclass

import numpy as np

from maquette.data.synthetic.palette import Palette
from maquette.data.synthetic.parts import (
    ALONG_Z,
    Finish,
    Lathe,
    Part,
    Tube,
    after,
    beam_pose,
    between,
    block,
    disc,
    loft,
    pick,
    place,
    ring,
    rounded_path,
    spindle,
    taper,
    turn_x,
    turn_y,
    turned,
)


@dataclass(frozen=True)
class LampStyle:
    """Choices of a lamp."""

    use: str
    """floor, table, desk (jointed arms), arc, pendant (hangs from the ceiling), wall."""
    base: str
    """disc, square, pyramid, tripod, dome, cross."""
    stem: str
    """plain, turned, twin (two rods), body (a vase-like body), beads."""
    shade: str
    """cone, drum, square, dome, globe, column (as tall as the lamp), bell, twin (two globes)."""


def draw_lamp_style(rng: np.random.Generator) -> LampStyle:
    """Any combination; jointed and arc lamps take shades that can be tilted."""
    use = pick(rng, ("floor", "table", "desk", "arc", "pendant", "wall"), (6, 6, 1.3, 0.8, 1.6, 1.2))
    shade = pick(
        rng, ("cone", "drum", "square", "dome", "globe", "column", "bell", "twin"), (7, 2.5, 3, 1.2, 1.2, 1, 1.5, 0.5)
    )
    if use in ("desk", "arc") and shade not in ("cone", "dome", "bell", "globe"):
        shade = "cone"
    return LampStyle(
        use,
        base=pick(rng, ("disc", "square", "pyramid", "tripod", "dome", "cross"), (4, 2, 3, 1, 1.5, 0.7)),
        stem=pick(rng, ("plain", "turned", "twin", "body", "beads"), (6, 1, 0.7, 2, 0.8)),
        shade=shade,
    )


def build_lamp(rng: np.random.Generator, style: LampStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Parts of a lamp, in metres."""
    if style.use == "desk":
        return _desk(rng, style, palette, finish)
    if style.use == "arc":
        return _arc(rng, style, palette, finish)
    if style.use == "pendant":
        return _pendant(rng, style, palette, finish)
    if style.use == "wall":
        return _wall(rng, style, palette, finish)
    floor = style.use == "floor"
    height = between(rng, 1.15, 1.8) if floor else between(rng, 0.28, 0.6)
    tall = height * (between(rng, 0.15, 0.36) if floor else between(rng, 0.35, 0.75))
    wide = tall * between(rng, 0.34, 0.8)
    if style.shade == "column":
        tall, wide = height * between(rng, 0.6, 0.88), height * between(rng, 0.06, 0.12) * (1 if floor else 2)
    foot = wide * between(rng, 0.45, 0.95) if style.shade != "column" else wide * between(rng, 0.7, 1.2)
    if floor:
        foot = max(foot, 0.1)
    thick = between(rng, 0.012, 0.03) if floor else between(rng, 0.012, 0.035)
    if rng.random() < 0.2:
        thick *= 1.7
    low = height - tall
    parts = _foot(rng, style, palette, finish, foot, 0.9 * low)
    if style.shade == "twin":
        parts += _stem(rng, style, palette, finish, (low + 0.3 * tall, thick, foot))
        for s in (-1.0, 1.0):
            tip = (s * wide * 0.8, low + 0.6 * tall, 0.0)
            parts.append(spindle((0, low * 0.9, 0), tip, thick * 0.6, 6, "pole", palette, "metal"))
            parts.append(place(_globe(wide * 0.4, finish.sides), "shade", palette, "shade", tip))
        return parts
    parts += _stem(rng, style, palette, finish, (low + (0.5 if style.shade != "globe" else 0.1) * tall, thick, foot))
    parts += _shade(rng, style.shade, palette, finish, (wide, tall), (0, low, 0))
    return parts


def _globe(radius: float, sides: int) -> Lathe:
    rows = max(3, sides // 2)
    points = [(radius * math.sin(math.pi * k / rows), -radius * math.cos(math.pi * k / rows)) for k in range(1, rows)]
    return turned([(0.0, -radius), *points, (0.0, radius)], sides)


def _shade(rng, kind: str, palette: Palette, finish: Finish, size, at, turn=None) -> list[Part]:
    """A shade whose lower rim is at `at`, open below and, but for domes, above; with a bulb or spokes that hold it."""
    wide, tall = size
    wall = max(0.03 * wide, 0.004)
    sides = finish.sides
    if kind == "square":
        sides = 4
    if kind == "globe":
        solid = _globe(tall / 2, max(sides, 8))
        return [_turned_part(solid, "shade", palette, "shade", at, turn, tall / 2)]
    top = wide * {"cone": between(rng, 0.25, 0.8), "bell": between(rng, 0.3, 0.5)}.get(kind, 1.0)
    if kind == "square" and rng.random() < 0.4:
        top = wide * between(rng, 0.5, 0.95)
    if kind in ("drum", "column"):
        top = wide * between(rng, 0.88, 1.0)
        if kind == "column" and rng.random() < 0.6:
            sides = 4
    if kind == "dome":
        rows = max(3, sides // 4)
        outer = [
            (wide * math.cos(0.5 * math.pi * k / rows), tall * math.sin(0.5 * math.pi * k / rows)) for k in range(rows)
        ]
        shrink = 1 - wall / wide
        profile = [
            *outer,
            (0.0, tall),
            (0.0, tall - 2 * wall),
            *[(r * shrink, y * (1 - 2 * wall / tall)) for r, y in outer[::-1]],
        ]
    elif kind == "bell":
        mid = (top + (wide - top) * 0.3, tall * 0.4)
        outer = [(wide, 0.0), mid, (top, tall)]
        profile = [*outer, *[(r - wall, y) for r, y in outer[::-1]]]
    else:
        profile = [(wide, 0.0), (top, tall), (top - wall, tall), (wide - wall, 0.0)]
    parts = [_turned_part(Lathe(np.array(profile), sides), "shade", palette, "shade", at, turn, 0.0)]
    if kind == "dome":
        return parts
    if rng.random() < 0.5:  # closed: a plate in the upper third
        y = tall * between(rng, 0.6, 0.9)
        r = (top + (wide - top) * (1 - y / tall)) * 0.98
        parts.append(_turned_part(disc(r, wall, sides), "shade", palette, "shade", at, turn, y))
    else:
        bulb = _globe(min(0.3 * tall, 0.4 * wide), 8)
        parts.append(_turned_part(bulb, "bulb", palette, "light", at, turn, tall * 0.5))
        arm = block((2 * top * 0.98 * math.cos(math.pi / sides), wall, wall))
        parts.append(_turned_part(arm, "pole", palette, "metal", at, turn, tall * 0.93))
    return parts


def _turned_part(solid, label: str, palette: Palette, material: str, at, turn, lift: float) -> Part:
    """A part of the shade, `lift` above its rim; four-sided ones get their flat sides towards the axes."""
    tilt = np.eye(3) if turn is None else turn
    offset = tilt[:, 1] * lift
    if isinstance(solid, Lathe) and solid.sides == 4:
        tilt = after(turn_y(math.pi / 4), tilt)
    return place(solid, label, palette, material, (at[0] + offset[0], at[1] + offset[1], at[2] + offset[2]), turn=tilt)


def _foot(rng, style: LampStyle, palette: Palette, finish: Finish, radius: float, reach: float) -> list[Part]:
    """What the lamp stands on."""
    thick = between(rng, 0.015, 0.05) * (1 if radius > 0.1 else 0.6)
    material = pick(rng, ("metal", "wood", "metal", "ceramic"))
    if style.base == "disc":
        bevel = 0.4 * thick if rng.random() < 0.5 else 0.0
        return [place(disc(radius, thick, finish.sides, bevel=bevel), "base", palette, material)]
    if style.base == "dome":
        profile = [(radius, 0), (radius, thick * 0.4), (radius * 0.7, thick * 1.3), (radius * 0.25, thick * 1.8)]
        return [place(turned(profile, finish.sides), "base", palette, material)]
    side = radius * 1.8
    if style.base == "square":
        return [
            place(block((side, thick, side), finish.bevel * 0.4 * thick), "base", palette, material, (0, thick / 2, 0))
        ]
    if style.base == "pyramid":
        low = block((side, thick * 0.5, side))
        top = side * between(rng, 0.3, 0.8)
        return [
            place(low, "base", palette, material, (0, thick * 0.25, 0)),
            place(taper(thick, (side, side), (top, top)), "base", palette, material, (0, thick * 0.45, 0)),
        ]
    if style.base == "cross":
        bars = (block((2.2 * radius, thick, thick)), block((thick, thick * 0.98, 2.2 * radius)))
        return [place(bar, "base", palette, material, (0, thick / 2, 0)) for bar in bars]
    tall = reach * between(rng, 0.5, 0.95) if style.use == "floor" else reach * 0.4
    spread = max(radius * 1.3, tall * between(rng, 0.2, 0.35))
    legs = []
    for k in range(3):
        angle = 2 * math.pi * k / 3 + math.pi / 6
        foot = (spread * math.cos(angle), 0.0, spread * math.sin(angle))
        legs.append(
            spindle(foot, (0, tall, 0), max(0.01, 0.012 * tall), 8, "leg", palette, pick(rng, ("wood", "metal")))
        )
    return [*legs, place(disc(0.03, 0.05, 8), "base", palette, "metal", (0, tall - 0.03, 0))]


def _stem(rng, style: LampStyle, palette: Palette, finish: Finish, size) -> list[Part]:
    """From the foot to `top`."""
    top, thick, foot = size
    start = 0.005 if style.base != "tripod" else (0.4 * top if style.use == "floor" else 0.25 * top)
    length = top - start
    material = pick(rng, ("metal", "metal", "wood"))
    if style.stem == "body" and style.base != "tripod" and style.use == "table":
        # The base is a pot or a bottle.
        r = foot * between(rng, 0.5, 1.0)
        tall = top * between(rng, 0.45, 0.7)
        shape = pick(rng, ("bottle", "ball", "cone", "waist"))
        profile = {
            "bottle": [(r * 0.8, 0), (r, tall * 0.3), (r * 0.9, tall * 0.6), (thick, tall * 0.8), (thick, tall)],
            "ball": [(r * 0.5, 0), (r * 0.9, tall * 0.22), (r, tall * 0.5), (r * 0.85, tall * 0.78), (thick, tall)],
            "cone": [(r, 0), (r * 0.95, tall * 0.1), (thick, tall)],
            "waist": [(r, 0), (r * 0.5, tall * 0.5), (r * 0.9, tall), (thick, tall * 1.01)],
        }[shape]
        return [
            place(turned(profile, finish.sides), "body", palette, "ceramic", (0, start, 0)),
            place(disc(thick * 0.8, length - tall * 0.9, 8), "pole", palette, "metal", (0, start + tall * 0.9, 0)),
        ]
    if style.stem == "twin":
        gap = max(0.5 * foot, 2.5 * thick) if style.base != "tripod" else 2.5 * thick
        rods = [
            place(disc(thick * 0.6, length, 8), "pole", palette, material, (s * gap / 2, start, 0)) for s in (-1.0, 1.0)
        ]
        bar = block((gap + thick * 1.4, thick, thick))
        return [*rods, place(bar, "pole", palette, material, (0, top - thick, 0))]
    if style.stem == "beads":
        count = pick(rng, (2, 3, 4, 5))
        r = min(thick * 2.6, 0.45 * length / count)
        parts = [place(disc(thick * 0.7, length, 8), "pole", palette, "metal", (0, start, 0))]
        gap = 0.8 * length / count
        for k in range(count):
            parts.append(place(_globe(r, finish.sides), "pole", palette, "wood", (0, start + gap * (k + 0.6), 0)))
        return parts
    if style.stem == "turned":
        r = thick
        shape = ((2.0, 0.0), (1.2, 0.08), (1.0, 0.3), (1.7, 0.36), (1.0, 0.42), (0.8, 0.8), (1.0, 1.0))
        profile = [(r * a, length * b) for a, b in shape]
        return [place(turned(profile, finish.sides), "pole", palette, material, (0, start, 0))]
    if rng.random() < 0.35:
        return [place(block((thick * 1.7, length, thick * 1.7)), "pole", palette, material, (0, start + length / 2, 0))]
    return [place(disc(thick, length, max(6, min(12, finish.sides))), "pole", palette, material, (0, start, 0))]


def _desk(rng, style: LampStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Two jointed arms over a foot, the head looks down and to the front."""
    parts = _foot(
        rng,
        LampStyle("table", "disc" if style.base == "tripod" else style.base, "plain", "cone"),
        palette,
        finish,
        between(rng, 0.08, 0.13),
        0.1,
    )
    a = np.array((0.0, 0.02, -0.02))
    lower, upper = between(rng, 0.2, 0.36), between(rng, 0.18, 0.36)
    back, forward = between(rng, 0.0, 0.5), between(rng, 0.4, 1.2)
    b = a + np.array((0.0, lower * math.cos(back), -lower * math.sin(back)))
    c = b + np.array((0.0, upper * math.cos(forward), upper * math.sin(forward)))
    r = between(rng, 0.007, 0.014)
    if rng.random() < 0.5:
        parts += [spindle(a, b, r, 8, "pole", palette, "metal"), spindle(b, c, r, 8, "pole", palette, "metal")]
    else:
        parts.append(place(Tube(np.stack([a, b, c]), r), "pole", palette, "metal"))
    for joint in (b, c):
        solid = turned([(2.0 * r, -1.6 * r), (2.0 * r, 1.6 * r)], 8)
        parts.append(place(solid, "joint", palette, "metal", joint, turn=beam_pose((0, 0, 0), (1, 0, 0))[0]))
    wide, tall = between(rng, 0.07, 0.12), between(rng, 0.1, 0.17)
    tilt = turn_x(-between(rng, 0.2, 0.9))
    rim = c - tilt[:, 1] * tall * 0.9
    return parts + _shade(rng, style.shade, palette, finish, (wide, tall), rim, tilt)


def _arc(rng, style: LampStyle, palette: Palette, finish: Finish) -> list[Part]:
    """A bow from a heavy foot at -z over to the shade at +z."""
    parts = _foot(
        rng,
        LampStyle("table", "disc" if style.base == "tripod" else style.base, "plain", "cone"),
        palette,
        finish,
        between(rng, 0.14, 0.22),
        0.1,
    )
    height, reach = between(rng, 1.3, 1.9), between(rng, 0.6, 1.1)
    rise = height - reach * 0.5
    bow = [
        (0.0, rise + 0.5 * reach * math.sin(math.pi * k / 10), 0.5 * reach * (1 - math.cos(math.pi * k / 10)))
        for k in range(11)
    ]
    radius = between(rng, 0.01, 0.018)
    parts.append(place(Tube(np.array([(0.0, 0.02, 0.0), *bow]), radius), "pole", palette, "metal"))
    tall = between(rng, 0.18, 0.3)
    drop = between(rng, 0.0, 0.15)
    end = (0.0, rise - drop, reach)
    if drop > 0.05:
        parts.append(spindle((0, rise, reach), end, radius * 0.7, 6, "pole", palette, "metal"))
    low = (end[0], end[1] - tall * 0.93, end[2])
    return parts + _shade(rng, style.shade, palette, finish, (tall * between(rng, 0.6, 1.0), tall), low)


def _pendant(rng, style: LampStyle, palette: Palette, finish: Finish) -> list[Part]:
    """A plate on the ceiling, a rod or cord, a shade."""
    tall = between(rng, 0.18, 0.4)
    wide = tall * between(rng, 0.35, 0.8)
    drop = between(rng, 0.15, 0.9) if rng.random() < 0.5 else between(rng, 0.04, 0.15)
    plate = max(wide * between(rng, 0.4, 0.9), 0.05)
    top = tall + drop
    flat = between(rng, 0.015, 0.07)
    square = style.base in ("square", "pyramid", "cross")
    solid = block((1.7 * plate, flat, 1.7 * plate)) if square else disc(plate, flat, finish.sides)
    parts = [place(solid, "base", palette, "metal", (0, top + (flat / 2 if square else 0), 0))]
    thick = between(rng, 0.006, 0.025)
    parts.append(
        place(disc(thick, top - 0.5 * tall + 0.01, 4 if square else 8), "pole", palette, "metal", (0, 0.5 * tall, 0))
    )
    if style.shade == "twin":
        for s in (-1.0, 1.0):
            parts.append(spindle((0, tall, 0), (s * wide, 0.5 * tall, 0), thick * 0.8, 6, "pole", palette, "metal"))
            parts.append(place(_globe(wide * 0.45, finish.sides), "shade", palette, "shade", (s * wide, 0.5 * tall, 0)))
        return parts
    return parts + _shade(
        rng, "drum" if style.shade == "column" else style.shade, palette, finish, (wide, tall), (0, 0, 0)
    )


def _half_bowl(palette: Palette, size, panels: int) -> list[Part]:
    """The front half of an open bowl with flat panels; its rim is 1 / `narrow` times as wide as its bottom."""
    wide, deep, tall, narrow = size
    thin = 0.94
    parts = []
    for k in range(panels):
        a, b = math.pi * k / panels, math.pi * (k + 1) / panels
        section = [(wide * s * math.cos(t), deep * s * math.sin(t)) for t, s in ((b, 1), (a, 1), (a, thin), (b, thin))]
        panel = loft([(0.0, [(x * narrow, z * narrow) for x, z in section]), (tall, section)])
        parts.append(place(panel, "shade", palette, "shade"))
    floor = [
        (wide * narrow * math.cos(t), deep * narrow * math.sin(t))
        for t in (math.pi * (panels - k) / panels for k in range(panels + 1))
    ]
    return [*parts, place(loft([(0.0, floor), (0.05 * tall, floor)]), "shade", palette, "shade")]


def _wall(rng, style: LampStyle, palette: Palette, finish: Finish) -> list[Part]:
    """A plate on the wall at -z, an arm to the front, a shade; or half a bowl on the wall."""
    wide = between(rng, 0.09, 0.2)
    if style.shade in ("dome", "square", "drum") or rng.random() < 0.3:
        # Half a bowl: a trough of one to three faces, wider above.
        tall, deep = wide * between(rng, 0.4, 1.0), wide * between(rng, 0.7, 1.4)
        narrow = between(rng, 0.3, 0.7)
        if rng.random() < 0.75:
            parts = _half_bowl(palette, (wide, deep, tall, narrow), pick(rng, (3, 4, 6)))
        else:
            bowl = taper(tall, (2 * wide * narrow, deep * narrow), (2 * wide, deep), (0.0, deep * (1 - narrow) / 2))
            parts = [place(bowl, "shade", palette, "shade", (0, 0, deep * narrow / 2))]
        plate = block((wide * between(rng, 0.4, 1.4), tall * between(rng, 0.7, 1.6), 0.02))
        if len(parts) > 1 and rng.random() < 0.7:
            plate = block((2 * wide * narrow * 0.9, tall * 0.4, deep * narrow * 0.8))
            return [*parts, place(plate, "base", palette, "metal", (0, tall * 0.25, deep * narrow * 0.45))]
        return [*parts, place(plate, "base", palette, "metal", (0, tall * 0.6, 0.0))]
    plate = wide * between(rng, 0.35, 0.7)
    tall = wide * between(rng, 1.0, 2.2)
    reach = wide + between(rng, 0.04, 0.15)
    radius = between(rng, 0.007, 0.015)
    drop = between(rng, 0.0, 0.5) * tall
    parts = [place(disc(plate, 0.02, finish.sides, bevel=0.008), "base", palette, "metal", (0, 0, 0), turn=ALONG_Z)]
    elbow = np.array([(0.0, 0.0, 0.01), (0.0, -drop, reach * 0.6), (0.0, -drop, reach), (0.0, 0.3 * tall, reach)])
    if drop < 0.05 * tall:
        elbow = np.array([(0.0, 0.0, 0.01), (0.0, 0.0, reach), (0.0, 0.3 * tall, reach)])
    parts.append(
        place(Tube(rounded_path(elbow, 0.3 * min(drop, 0.1 * tall) + 0.012), radius), "pole", palette, "metal")
    )
    kind = style.shade if style.shade in ("cone", "bell", "globe") else "drum"
    parts.append(place(ring(radius * 0.5, radius * 2.2, 0.01, 8), "joint", palette, "metal", (0, 0.05 * tall, reach)))
    return parts + _shade(rng, kind, palette, finish, (wide, tall), (0, 0.06 * tall, reach))
