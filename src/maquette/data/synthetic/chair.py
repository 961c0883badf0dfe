"""Chairs: dining and kitchen chairs, stools, office chairs, cantilevers, armchairs. The back is at -z."""

import math
from dataclasses import dataclass

import numpy as np

from maquette.data.synthetic.palette import Palette
from maquette.data.synthetic.parts import (
    Extrude,
    Finish,
    Part,
    Tube,
    beam_pose,
    between,
    block,
    disc,
    moved,
    part_mesh,
    pick,
    place,
    rod,
    rounded_path,
    spindle,
    taper,
    turn_x,
    turned,
)
from maquette.data.synthetic.sofa import SofaStyle, draw_sofa_style, upholstered


@dataclass(frozen=True)
class ChairStyle:
    """Choices of a chair."""

    base: str
    """four, splayed, sled, cantilever, pedestal, star, panels (solid sides), lounge (an upholstered armchair)."""
    back: str
    """solid, framed, slatted, ladder, spindled, arched, panel (on two posts), none (a stool)."""
    arms: str
    """none, open (a rail on posts), closed (panels)."""
    seat: str
    """square, round, tapered (wider in front)."""
    cushion: bool
    stretchers: str
    """none, sides (an H), ring (all four sides)."""


def draw_chair_style(rng: np.random.Generator) -> ChairStyle:
    """Any combination; stools are a sixth."""
    bases = ("four", "splayed", "sled", "cantilever", "pedestal", "star", "panels", "lounge")
    backs = ("solid", "framed", "slatted", "ladder", "spindled", "arched", "panel", "none")
    return ChairStyle(
        base=pick(rng, bases, (7, 3, 1.3, 1.3, 1.2, 2.2, 0.6, 4)),
        back=pick(rng, backs, (5, 2, 2, 2.5, 1.5, 1.3, 2, 3.4)),
        arms=pick(rng, ("none", "open", "closed"), (6, 2.4, 0.8)),
        seat=pick(rng, ("square", "round", "tapered"), (6, 2, 1.5)),
        cushion=bool(rng.random() < 0.5),
        stretchers=pick(rng, ("none", "sides", "ring"), (4, 1.5, 1.5)),
    )


@dataclass(frozen=True)
class _Size:
    """Metres."""

    width: float
    depth: float
    height: float
    """Top of the seat board."""
    board: float
    leg: float
    back: float
    """Height of the back over the seat."""
    lean: float
    """Radians."""


def build_chair(rng: np.random.Generator, style: ChairStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Parts of a chair, in metres."""
    if style.base == "lounge":
        return _lounge(rng, style, palette, finish)
    stool = style.back == "none"
    width = between(rng, 0.36, 0.58)
    chunky = rng.random() < 0.35
    slim = between(rng, 0.78, 1.35) * width if not chunky else between(rng, 0.5, 1.0) * width
    size = _Size(
        width=width,
        depth=width * between(rng, 0.88, 1.12),
        height=width * between(rng, 0.6, 2.7) if stool else min(max(slim, 0.28), 0.56),
        board=width * between(rng, 0.12, 0.26) if chunky else between(rng, 0.025, 0.08),
        leg=width * (between(rng, 0.13, 0.26) if chunky else between(rng, 0.06, 0.14)),
        back=width * between(rng, 0.75, 1.6),
        lean=0.0 if rng.random() < 0.4 else between(rng, 0.02, 0.24),
    )
    hard = "wood" if rng.random() < 0.75 else "metal"
    seat_material = "fabric" if not style.cushion and rng.random() < 0.4 else hard
    parts = _base(rng, style, palette, finish, size, hard)
    parts += _seat(rng, style, palette, finish, size, seat_material)
    if not stool:
        at = (0.0, size.height - size.board * 0.5, -size.depth / 2 + size.leg / 2)
        material = seat_material if style.base in ("star", "pedestal") or rng.random() < 0.3 else hard
        parts += moved(_back(rng, style, palette, finish, size, (hard, material)), turn_x(-size.lean), at)
    if style.arms != "none" and not (stool and size.height > 0.55):
        parts += _arms(rng, style, palette, finish, size, hard)
    return parts


def _lounge(rng, style: ChairStyle, palette: Palette, finish: Finish) -> list[Part]:
    drawn = draw_sofa_style(rng)
    arms = {"none": "none", "open": "slim", "closed": pick(rng, ("box", "rounded", "sloped"))}
    if style.arms == "none" and rng.random() < 0.75:
        arms["none"] = pick(rng, ("box", "rounded", "sloped"))
    back = "low" if style.back in ("none", "panel") else pick(rng, ("high", "cushions", "high", "channelled"))
    one = SofaStyle(
        plan="straight",
        arms=arms[style.arms],
        back=back,
        feet=drawn.feet,
        seats=int(style.cushion),
        pillows=int(rng.random() < 0.2),
    )
    parts = upholstered(rng, one, palette, finish, between(rng, 0.7, 1.3))
    if rng.random() < 0.2:  # a recliner's footrest, hinged below the front edge of the seat
        seat = next(part for part in parts if part.label == "seat")
        corners, _ = part_mesh(seat)
        low, high = corners.min(0), corners.max(0)
        tilt, long = between(rng, 0.15, 0.7), between(rng, 0.35, 0.6)
        rest = block((float(high[0] - low[0]) * 0.96, 0.07, long), 0.02 * (finish.bevel > 0))
        hinge = (
            0.0,
            float(0.4 * low[1] + 0.6 * high[1]) - 0.5 * long * math.sin(tilt),
            float(high[2]) + 0.5 * long * math.cos(tilt) - 0.03,
        )
        parts.append(place(rest, "footrest", palette, "fabric", hinge, turn=turn_x(tilt)))
    return parts


def _seat(rng, style: ChairStyle, palette: Palette, finish: Finish, size: _Size, material: str) -> list[Part]:
    bevel = finish.bevel * 0.7 * size.board
    w, d, h, t = size.width, size.depth, size.height, size.board
    fat = between(rng, 0.03, 0.09)
    if style.seat == "round":
        radius = max(w, d) * 0.52 / math.cos(math.pi / finish.sides)
        parts = [place(disc(radius, t, finish.sides, bevel=bevel), "seat", palette, material, (0, h - t, 0))]
        if style.cushion:
            pad = disc(radius * 0.93, fat, finish.sides, bevel=max(bevel, 0.3 * fat))
            parts.append(place(pad, "cushion", palette, "fabric", (0, h - 0.004, 0)))
        return parts
    if style.seat == "tapered":
        wide, narrow, deep = w / 2 * 1.08, w / 2 * 0.86, d / 2
        polygon = np.array([(-wide, -deep), (wide, -deep), (narrow, deep), (-narrow, deep)])
        parts = [
            place(Extrude(polygon, t / 2), "seat", palette, material, (0, h - t / 2, 0), turn=turn_x(-math.pi / 2))
        ]
        if style.cushion:
            pad = Extrude(polygon * 0.92, fat / 2)
            parts.append(
                place(pad, "cushion", palette, "fabric", (0, h + fat / 2 - 0.004, 0), turn=turn_x(-math.pi / 2))
            )
        return parts
    parts = [place(block((w, t, d), bevel, finish.steps), "seat", palette, material, (0, h - t / 2, 0))]
    if style.cushion:
        inset = pick(rng, (1.0, 0.97, 0.9))
        pad = block((w * inset, fat, d * inset), max(bevel, 0.25 * fat * (finish.bevel > 0)), finish.steps)
        parts.append(place(pad, "cushion", palette, "fabric", (0, h + fat / 2 - 0.004, (1 - inset) * 0.0)))
    return parts


def _base(rng, style: ChairStyle, palette: Palette, finish: Finish, size: _Size, hard: str) -> list[Part]:
    w, d, t = size.width, size.depth, size.leg
    top = size.height - size.board * 0.5
    inset = 0.7 if style.seat == "round" else 1.0
    # Legs stay a hair inside the seat's edge: flush faces of two parts flicker in pictures.
    x, z = ((w - t) / 2 - 0.003) * inset, ((d - t) / 2 - 0.003) * inset
    parts: list[Part] = []
    if style.base in ("four", "splayed"):
        spread = between(rng, 0.03, 0.12) if style.base == "splayed" else 0.0
        thin = between(rng, 0.45, 0.9) if rng.random() < 0.4 else 1.0
        round_leg = finish.sides >= 10 and rng.random() < 0.4
        feet = []
        for sx in (-1.0, 1.0):
            for sz in (-1.0, 1.0):
                pull = 0.8 if spread else 1.0
                head = (sx * x * pull, top, sz * z * pull)
                foot = (sx * (x * pull + spread), 0.0, sz * (z * pull + spread * 0.8))
                feet.append((foot, head))
                if round_leg:
                    if spread:
                        parts.append(spindle(foot, head, t * 0.5, 10, "leg", palette, hard))
                    else:
                        leg = disc(t * 0.5 * thin, top, 10, top=t * 0.5)
                        parts.append(place(leg, "leg", palette, hard, foot))
                else:
                    leg = taper(top, (t * thin, t * thin), (t, t), (head[0] - foot[0], head[2] - foot[2]))
                    parts.append(place(leg, "leg", palette, hard, foot))
        parts += _stretchers(rng, style, palette, feet, min(t * 0.6, 0.05), hard)
        if rng.random() < 0.3 and style.seat == "square":
            parts.append(place(block((2 * x, 0.06, 2 * z)), "apron", palette, hard, (0, top - 0.03, 0)))
    elif style.base == "sled":
        for sx in (-1.0, 1.0):
            if finish.sides >= 16:
                r = min(t * 0.3, 0.016)
                path = rounded_path([(0, top, z * 0.9), (0, r, z), (0, r, -z), (0, top, -z * 0.9)], 0.06)
                parts.append(place(Tube(path, r), "leg", palette, "metal", (sx * x, 0, 0)))
            else:
                parts.append(place(block((t, t, 2 * z + t)), "leg", palette, hard, (sx * x, t / 2, 0)))
                for sz in (-1.0, 1.0):
                    parts.append(place(block((t, top, t)), "leg", palette, hard, (sx * x, top / 2, sz * z)))
        if rng.random() < 0.5:
            parts.append(rod((-x, 0.03, -z), (x, 0.03, -z), (0.02, 0.02), "stretcher", palette, hard))
    elif style.base == "cantilever":
        for sx in (-1.0, 1.0):
            if finish.sides >= 16:
                r = min(t * 0.3, 0.016)
                path = rounded_path([(0, top - r, -z), (0, top - r, z), (0, r, z), (0, r, -z)], 0.08)
                parts.append(place(Tube(path, r), "leg", palette, "metal", (sx * x, 0, 0)))
            else:
                parts.append(place(block((t, t, 2 * z + t)), "leg", palette, "metal", (sx * x, t / 2, 0)))
                parts.append(place(block((t, top, t)), "leg", palette, "metal", (sx * x, top / 2, z)))
        parts.append(rod((-x, 0.02, -z), (x, 0.02, -z), (0.025, 0.025), "stretcher", palette, "metal"))
    elif style.base == "panels":
        for sx in (-1.0, 1.0):
            parts.append(place(block((t * 0.6, top, d)), "leg", palette, hard, (sx * (w / 2 - t * 0.3), top / 2, 0)))
        parts.append(place(block((w, top * 0.35, t * 0.4)), "apron", palette, hard, (0, top * 0.8, -d / 4)))
    elif style.base == "pedestal":
        foot = w * between(rng, 0.36, 0.52)
        stem = w * between(rng, 0.05, 0.12)
        flare = between(rng, 0.015, 0.05)
        if rng.random() < 0.4:
            profile = [(foot, 0), (foot, 0.015), (stem * 1.6, flare * 2.5), (stem, top * 0.45), (stem * 1.8, top)]
        else:
            profile = [(foot, 0), (foot, flare), (stem, flare + 0.01), (stem, top)]
        parts.append(place(turned(profile, finish.sides), "base", palette, pick(rng, ("metal", hard))))
    else:
        parts += _star(rng, palette, finish, size, top)
    return parts


def _star(rng, palette: Palette, finish: Finish, size: _Size, top: float) -> list[Part]:
    """Four or five arms on casters around a gas spring."""
    count = 5 if rng.random() < 0.8 else 4
    reach = size.width * between(rng, 0.48, 0.62)
    caster = between(rng, 0.02, 0.035) if rng.random() < 0.75 else 0.0
    hub = between(rng, 0.025, 0.05)
    rise = 2 * caster + between(rng, 0.02, 0.07)
    parts = [place(disc(hub, top - rise + 0.02, finish.sides), "pole", palette, "metal", (0, rise - 0.02, 0))]
    start = between(rng, 0.0, 2 * math.pi)
    for k in range(count):
        angle = start + 2 * math.pi * k / count
        x, z = reach * math.sin(angle), reach * math.cos(angle)
        low = 2 * caster + 0.012
        parts.append(rod((0, rise, 0), (x, low, z), (0.045, 0.03), "leg", palette, "metal", up=(0, 1, 0)))
        if caster > 0:
            pose, _, _ = beam_pose((0, 0, 0), (math.cos(angle), 0, -math.sin(angle)))
            wheel = turned([(caster, -0.018), (caster, 0.018)], max(finish.sides, 8))
            parts.append(place(wheel, "wheel", palette, "rubber", (x * 0.97, caster, z * 0.97), turn=pose))
    if rng.random() < 0.5:
        under = (size.width * 0.5, 0.05, size.depth * 0.5)
        parts.append(place(block(under), "base", palette, "metal", (0, size.height - size.board - 0.015, 0)))
    return parts


def _stretchers(rng, style: ChairStyle, palette: Palette, feet: list, thick: float, hard: str) -> list[Part]:
    """Bars between legs; `feet` are (foot, head) for (-x,-z), (-x,+z), (+x,-z), (+x,+z)."""
    if style.stretchers == "none":
        return []
    level = between(rng, 0.12, 0.5)

    def at(k: int, t: float) -> tuple[float, ...]:
        foot, head = feet[k]
        return tuple(a + (b - a) * t for a, b in zip(foot, head, strict=True))

    pairs = [(0, 1), (2, 3)] + ([(0, 2), (1, 3)] if style.stretchers == "ring" else [])
    parts = [
        rod(at(i, level), at(j, level), (thick, thick), "stretcher", palette, hard, up=(0, 1, 0)) for i, j in pairs
    ]
    if style.stretchers == "sides":
        a = [(p + q) / 2 for p, q in zip(at(0, level), at(1, level), strict=True)]
        b = [(p + q) / 2 for p, q in zip(at(2, level), at(3, level), strict=True)]
        parts.append(rod(a, b, (thick, thick), "stretcher", palette, hard, up=(0, 1, 0)))
    return parts


def _back(rng, style: ChairStyle, palette: Palette, finish: Finish, size: _Size, materials) -> list[Part]:
    """Parts over the seat's rear edge, standing at the origin, upright."""
    hard, soft = materials
    w, t, h = size.width, size.leg * between(rng, 0.7, 1.0), size.back
    if style.seat == "tapered":
        w *= 0.86
    if style.seat == "round":
        w *= 0.85
    t = min(t, 0.3 * w)
    bevel = finish.bevel * 0.5 * t
    post = block((t, h, t), bevel * 0.5)
    x = (w - t) / 2 - 0.002
    posts = [place(post, "back", palette, hard, (sx * x, h / 2, 0)) for sx in (-1.0, 1.0)]
    rail = between(rng, 0.05, 0.14)
    thin = t * between(rng, 0.4, 0.8)
    if style.back == "solid":
        fat = between(rng, 0.025, 0.1) if size.board < 0.08 else between(rng, 0.06, 0.17)
        lift = 0.0 if rng.random() < 0.6 else between(rng, 0.05, 0.16)
        cut = between(rng, 0.1, 0.3) * w if rng.random() < 0.4 else 0.0
        narrow = pick(rng, (1.0, 1.0, 0.85, 0.7, 1.1))
        parts = []
        if lift > 0:
            parts.append(
                place(block((w * 0.3, lift + 0.1, fat * 0.5)), "back", palette, hard, (0, (lift + 0.1) / 2, 0))
            )
        a, b = w / 2, w / 2 * narrow
        if cut > 0 or narrow != 1.0:
            cut = min(cut, 0.8 * b)
            crown = [(b, h - cut), (b - cut, h), (cut - b, h), (-b, h - cut)] if cut > 0 else [(b, h), (-b, h)]
            polygon = np.array([(-a, lift), (a, lift), *crown])
            parts.append(place(Extrude(polygon, fat / 2), "back", palette, soft))
        else:
            solid = block((w, h - lift, fat), finish.bevel * 0.6 * fat, finish.steps)
            parts.append(place(solid, "back", palette, soft, (0, (h + lift) / 2, 0)))
        if style.cushion and rng.random() < 0.4:
            pad = block((w * 0.8, (h - lift) * 0.8, 0.04), 0.01 * (finish.bevel > 0))
            parts.append(place(pad, "cushion", palette, "fabric", (0, lift + (h - lift) * 0.5, fat / 2 + 0.012)))
        return parts
    if style.back == "panel":
        low = h * between(rng, 0.25, 0.5)
        fat = between(rng, 0.03, 0.09) if size.board < 0.08 else between(rng, 0.06, 0.14)
        panel = block((w * between(rng, 0.95, 1.15), h - low, fat), finish.bevel * 0.6 * fat, finish.steps)
        short = [
            place(block((t, h * 0.93, thin)), "back", palette, hard, (sx * x * 0.8, h * 0.465, 0)) for sx in (-1.0, 1.0)
        ]
        return [*short, place(panel, "back", palette, soft, (0, (h + low) / 2, fat * 0.3))]
    top = place(block((w - 0.5 * t, rail, thin), bevel), "back", palette, hard, (0, h - rail / 2, 0))
    if style.back == "framed":
        low = h * between(rng, 0.05, 0.3)
        parts = [*posts, top, place(block((w - t, rail * 0.6, thin)), "back", palette, hard, (0, low + rail * 0.3, 0))]
        if rng.random() < 0.5:
            panel = block((w - 1.5 * t, h - rail - low, thin * 0.5))
            parts.append(
                place(panel, "back", palette, soft if rng.random() < 0.5 else "fabric", (0, (h - rail + low) / 2, 0))
            )
        return parts
    if style.back == "ladder":
        count = pick(rng, (1, 2, 3, 4))
        gap = (h - rail) / (count + 0.6)
        rungs = [
            place(block((w - t, rail * 0.8, thin)), "back", palette, hard, (0, gap * (k + 0.8), 0))
            for k in range(count)
        ]
        return [*posts, *([top] if count == 1 or rng.random() < 0.7 else []), *rungs]
    if style.back in ("slatted", "spindled"):
        count = pick(rng, (2, 3, 4, 5)) if style.back == "slatted" else pick(rng, (4, 5, 6, 7, 8))
        wide = (w - 2 * t) / (2 * count) if style.back == "slatted" else 0.0
        parts = [*posts, top]
        for k in range(count):
            px = (w - t) * ((k + 1) / (count + 1) - 0.5)
            if style.back == "slatted":
                parts.append(
                    place(
                        block((wide, h - rail * 0.5, thin * 0.5)), "slat", palette, hard, (px, (h - rail * 0.5) / 2, 0)
                    )
                )
            else:
                r = between(rng, 0.008, 0.014)
                parts.append(spindle((px, 0, 0), (px, h - rail * 0.5, 0), r, 6, "spindle", palette, hard))
        return parts
    # An arch: the outline of a half disc on two posts, open or with rungs.
    straight = max(h - w / 2, 0.1)
    steps = max(4, finish.sides // 2)
    outer = [
        (w / 2 * math.cos(math.pi * k / steps), straight + w / 2 * math.sin(math.pi * k / steps))
        for k in range(steps + 1)
    ]
    r = w / 2 - t
    inner = [
        (r * math.cos(math.pi * k / steps), straight + r * math.sin(math.pi * k / steps)) for k in range(steps + 1)
    ]
    polygon = np.array([(r, 0.0), (w / 2, 0.0), *outer, (-w / 2, 0.0), (-r, 0.0), *inner[::-1]])
    parts = [place(Extrude(polygon, thin / 2), "back", palette, hard)]
    if rng.random() < 0.7:
        parts.append(
            place(block((2 * r + 0.01, rail * 0.7, thin * 0.7)), "back", palette, hard, (0, straight * 0.8, 0))
        )
    if rng.random() < 0.4:
        parts.append(
            place(block((r * 0.5, straight + r, thin * 0.5)), "slat", palette, hard, (0, (straight + r) / 2, 0))
        )
    return parts


def _arms(rng, style: ChairStyle, palette: Palette, finish: Finish, size: _Size, hard: str) -> list[Part]:
    rise = between(rng, 0.15, 0.26)
    thick = min(size.leg * 0.8, 0.06)
    parts = []
    for sx in (-1.0, 1.0):
        x = sx * (size.width / 2 + (thick * 0.3 if style.seat != "tapered" else thick * 0.5))
        y = size.height + rise
        front, rear = size.depth * between(rng, 0.2, 0.45), -size.depth / 2 + size.leg / 2
        if style.arms == "closed":
            panel = block((thick, rise + size.board, front - rear), finish.bevel * 0.4 * thick)
            parts.append(place(panel, "arm", palette, hard, (x, y - (rise + size.board) / 2, (front + rear) / 2)))
            continue
        # The rail ends in the back where there is one, else on a second post.
        rear_y = rear - (rise * math.tan(size.lean) if style.back != "none" else 0.0)
        rail = block((thick * 1.3, thick * 0.8, front - rear_y + thick), finish.bevel * 0.3 * thick)
        parts.append(place(rail, "arm", palette, hard, (x, y, (front + rear_y) / 2)))
        ends = (
            [front - thick] if style.back not in ("none",) and style.seat == "square" else [front - thick, rear + thick]
        )
        for z in ends:
            low = size.height - size.board * 0.7
            if style.seat == "round":
                parts.append(rod((x * 0.72, low, z * 0.6), (x, y, z), (thick * 0.7, thick * 0.7), "arm", palette, hard))
            else:
                parts.append(place(block((thick * 0.8, y - low, thick)), "arm", palette, hard, (x, (y + low) / 2, z)))
    return parts
