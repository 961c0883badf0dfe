"""Cars: saloons, hatchbacks, SUVs, vans, pickups, lorries, buses, racing cars; police and taxi. The bonnet is at +z."""

import math
from dataclasses import dataclass

import numpy as np

from maquette.data.synthetic.palette import Palette
from maquette.data.synthetic.parts import (
    ALONG_X,
    ALONG_Z,
    Extrude,
    Finish,
    Lathe,
    Part,
    between,
    block,
    loft,
    pick,
    place,
    rectangle,
    rod,
    turn_y,
)


@dataclass(frozen=True)
class CarStyle:
    """Choices of a car."""

    body: str
    """saloon, hatch, coupe, suv, van, pickup, lorry (cab and box), bus, formula (open wheels), roadster (no roof)."""
    service: str
    """private, police, taxi, rescue: what sits on the roof."""
    arches: str
    """cut (wheel arches in the body), plain, flared (mudguards)."""
    extra: str
    """none, spoiler, rack (roof rack), scoop, spare (a wheel at the back)."""
    edges: str
    """sharp (one extruded outline), chamfered (narrowing shoulders)."""


def draw_car_style(rng: np.random.Generator) -> CarStyle:
    """Any combination; a formula car has no roof for a sign."""
    bodies = ("saloon", "hatch", "coupe", "suv", "van", "pickup", "lorry", "bus", "formula", "roadster")
    body = pick(rng, bodies, (7, 3.5, 2.5, 4, 2.5, 1.5, 3, 1, 0.8, 0.8))
    service = pick(rng, ("private", "police", "taxi", "rescue"), (7, 1.6, 1.3, 0.8))
    extra = pick(rng, ("none", "spoiler", "rack", "scoop", "spare"), (6, 2, 1, 1, 0.6))
    if body in ("formula", "roadster"):
        service = "private"
        extra = "none" if extra == "rack" else extra
    return CarStyle(
        body,
        service,
        pick(rng, ("cut", "plain", "flared"), (5, 3, 2)),
        extra,
        pick(rng, ("sharp", "chamfered"), (1, 2)),
    )


def build_car(rng: np.random.Generator, style: CarStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Parts of a car, in metres; proportions run from toy-like to real."""
    if style.body == "formula":
        return _formula(rng, style, palette, finish)
    toy = between(rng, 0.0, 1.0)
    length = between(rng, 3.4, 4.9) * (1 - 0.28 * toy)
    width = between(rng, 1.55, 1.95)
    wheel = between(rng, 0.27, 0.38) * (1 + 0.15 * toy)
    clear = wheel * between(rng, 0.35, 0.8)
    shoulder = clear + between(rng, 0.42, 0.68)
    tall = between(rng, 0.42, 0.66) * (1 + 0.2 * toy)
    if style.body in ("suv", "van", "lorry", "bus", "pickup"):
        shoulder += between(rng, 0.05, 0.25)
        wheel *= 1.08
    if style.body in ("lorry", "bus"):
        length *= between(rng, 1.0, 1.35)
    if style.body == "coupe":
        tall *= 0.8
    front = length / 2
    axle_front = front - wheel - between(rng, 0.25, 0.45)
    axle_rear = -front + wheel + between(rng, 0.25, 0.5)
    frame = _Frame(length, width, wheel, clear, shoulder, tall, axle_front, axle_rear)
    parts = _hull(rng, style, palette, frame)
    parts += _cabin(rng, style, palette, frame)
    parts += _wheels(rng, style, palette, finish, frame)
    parts += _details(rng, style, palette, frame)
    return parts


@dataclass(frozen=True)
class _Frame:
    """Metres; heights over the ground."""

    length: float
    width: float
    wheel: float
    """Radius."""
    clear: float
    """Underside."""
    shoulder: float
    """Where the windows begin."""
    tall: float
    """From the shoulder to the roof."""
    axle_front: float
    axle_rear: float


def _across(
    polygon: list[tuple[float, float]], half_width: float, label: str, palette: Palette, material: str, x: float = 0.0
):
    """An outline (z, y), counter-clockwise seen from -x... with +z to the right, run across the car."""
    shape = np.array(polygon)
    # The extrusion's x becomes +z and its axis -x.
    return place(Extrude(shape, half_width), label, palette, material, (x, 0, 0), turn=turn_y(-math.pi / 2))


def _hull(rng, style: CarStyle, palette: Palette, f: _Frame) -> list[Part]:
    """Everything below the windows."""
    half, top, low = f.length / 2, f.shoulder, f.clear
    nose_drop = {"van": 0.02, "bus": 0.0, "lorry": 0.02}.get(style.body, between(rng, 0.0, 0.2))
    tail_drop = between(rng, 0.0, 0.1)
    nose_lean, tail_lean = between(rng, 0.0, 0.16), between(rng, 0.0, 0.12)
    mid = low + (top - low) * between(rng, 0.3, 0.6)
    upper = [
        (half - nose_lean * 0.5, low),
        (half, mid),
        (half - nose_lean, top - nose_drop),
        (half * 0.25, top),
        (-half * 0.4, top),
        (-half + tail_lean, top - tail_drop),
        (-half, mid),
        (-half + 0.1, low),
    ]
    arch = f.wheel * between(rng, 1.08, 1.25)
    under: list[tuple[float, float]] = []
    if style.arches == "cut":
        for axle in (f.axle_rear, f.axle_front):
            rise = math.asin(min(max((low - f.wheel) / arch, -0.9), 0.9))
            steps = 5
            for k in range(steps + 1):
                angle = math.pi - rise + (2 * rise - math.pi) * k / steps
                under.append((axle + arch * math.cos(angle), f.wheel + arch * math.sin(angle)))
        # On a short wheelbase wide arches would run into each other: such a body has a plain sill.
        if under[5][0] >= under[6][0]:
            under = []
    # The arch must stay below the shoulder.
    ceiling = top - 0.06 - max(nose_drop, tail_drop)
    under = [(z, min(y, ceiling)) for z, y in under]
    polygon = [upper[-1], *under, *upper[:-1]] if under else [upper[-1], *upper[:-1]]
    full = f.width / 2
    level = max(mid, f.wheel + arch + 0.04) if under else mid
    crest = top - max(nose_drop, tail_drop)
    if style.edges == "sharp" or crest < level + 0.06:
        parts = [_across(polygon, full, "body", palette, "paint")]
    else:
        # The full width up to `level`, above it shoulders that narrow, and a narrow core with the whole outline.
        narrow = full * between(rng, 0.84, 0.94)
        share = narrow / full
        shoulders = loft(
            [
                (level - 0.002, rectangle(f.width * 0.998, f.length * 0.975, 0.06)),
                (crest, rectangle(2 * narrow, f.length * 0.975 * share, 0.06 * share)),
            ]
        )
        parts = [
            _across(polygon, narrow, "body", palette, "paint"),
            _across(_lower(polygon, level), full, "body", palette, "paint"),
            place(shoulders, "body", palette, "paint"),
        ]
    if style.arches == "flared":
        for axle in (f.axle_front, f.axle_rear):
            r, w = f.wheel * 1.3, 0.1
            n = 6
            outer = [
                (axle + r * math.cos(math.pi * k / n), f.wheel + r * math.sin(math.pi * k / n)) for k in range(n + 1)
            ]
            for s in (-1.0, 1.0):
                parts.append(_across(outer, w, "fender", palette, "second", s * (f.width / 2 - 0.02)))
    return parts


def _lower(polygon: list[tuple[float, float]], level: float) -> list[tuple[float, float]]:
    """The outline with everything above `level` pressed down to it, doubled points dropped."""
    out: list[tuple[float, float]] = []
    for z, y in polygon:
        p = (z, min(y, level))
        if not out or p != out[-1]:
            out.append(p)
    return out


def _cabin(rng, style: CarStyle, palette: Palette, f: _Frame) -> list[Part]:
    """Windows and roof: frusta that narrow upwards."""
    half, y = f.length / 2, f.shoulder - 0.02
    wide = f.width * between(rng, 0.84, 0.97)
    roof = wide * between(rng, 0.72, 0.95)
    # From, to at the shoulder; slopes at the back and in front as shares of the cabin's height.
    spans = {
        "saloon": (-0.62, 0.38, 0.6, 0.8),
        "hatch": (-0.97, 0.4, 0.3, 0.8),
        "coupe": (-0.75, 0.25, 1.2, 1.1),
        "suv": (-0.97, 0.38, 0.18, 0.6),
        "van": (-0.97, 0.78, 0.05, 0.5),
        "pickup": (-0.15, 0.42, 0.15, 0.6),
        "lorry": (0.32, pick(rng, (0.92, 0.92, 0.8, 0.68, 0.58)), 0.0, 0.4),
        "bus": (-0.985, 0.98, 0.02, 0.08),
        "roadster": (-0.3, 0.25, 0.4, 0.8),
    }
    rear, ahead, slope_rear, slope_front = spans[style.body]
    rear = half * (rear + between(rng, -0.08, 0.05) * (rear > -0.9))
    ahead = half * (ahead + between(rng, -0.12, 0.08) * (ahead < 0.9))
    tall = f.tall * {"van": 1.3, "bus": 1.5, "lorry": 1.15, "suv": 1.08}.get(style.body, 1.0)
    back_in, front_in = (s * tall * between(rng, 0.75, 1.25) for s in (slope_rear, slope_front))
    limit = 0.72 * (ahead - rear)
    shrink = min(1.0, limit / max(back_in + front_in, 1e-6))
    back_in, front_in = back_in * shrink, front_in * shrink
    long = ahead - rear
    long_top = long - back_in - front_in
    shift = (0.0, (back_in - front_in) / 2)
    at = (0.0, y, (rear + ahead) / 2)
    if style.body == "roadster":
        screen = loft(
            [
                (0.0, rectangle(wide, 0.08)),
                (tall * 0.7, rectangle(roof, 0.05, 0.0, (0.0, -0.35 * tall))),
            ]
        )
        parts = [place(screen, "window", palette, "glass", (0, y, ahead))]
        for s in (-1.0, 1.0):
            seat = block((0.45, 0.45, 0.16), 0.05)
            parts.append(place(seat, "seat", palette, "dark", (s * 0.24 * f.width, y + 0.15, rear + 0.2)))
        return parts

    def section(t: float) -> tuple[float, list]:
        w, d = wide + (roof - wide) * t, long + (long_top - long) * t
        return t * tall, rectangle(w, d, 0.0, (0.0, shift[1] * t))

    same = style.body in ("van", "lorry", "bus", "suv") or rng.random() < 0.6
    parts = [place(loft([section(0.0), section(1.0)]), "cabin", palette, "paint" if same else "second", at)]
    # Windows are slabs that stand out of the cabin by 8 mm: along x through the doors, along z through the screens.
    low, high = between(rng, 0.08, 0.2), between(rng, 0.78, 0.9)
    out = 0.016
    share = between(rng, 0.6, 0.85)
    windows = []
    if style.body != "lorry":
        panes = pick(rng, (1, 2, 2, 3)) if style.body != "bus" else pick(rng, (4, 5, 6))
        if style.body == "van" and rng.random() < 0.5:
            panes = -1
        windows += _side_windows((wide, roof, long, long_top, shift[1], tall), (low, high, out, share), panes)
    else:
        windows += _side_windows((wide, roof, long, long_top, shift[1], tall), (low, high, out, share), 1)
    pillar = between(rng, 0.06, 0.16)

    def screen_section(t: float) -> tuple[float, list]:
        w, d = (wide + (roof - wide) * t) - 2 * pillar, long + (long_top - long) * t + out
        return t * tall, rectangle(w, d, 0.0, (0.0, shift[1] * t))

    windows.append(loft([screen_section(low), screen_section(high)]))
    parts += [place(window, "window", palette, "glass", at) for window in windows]
    top = y + tall
    if style.body == "lorry":
        box_high = (top - f.clear) * between(rng, 0.8, 1.25)
        start, end = -half * between(rng, 0.97, 1.02), rear + between(rng, -0.06, 0.02)
        base = max(f.clear + 0.1, 1.9 * f.wheel)
        ends = max(base + box_high, top + 0.1) if rng.random() < 0.75 else base + 0.45
        box = block((f.width * between(rng, 0.97, 1.08), ends - base, end - start), 0.0 if rng.random() < 0.6 else 0.05)
        parts.append(place(box, "box", palette, "second", (0, (ends + base) / 2, (start + end) / 2)))
    if style.body == "pickup":
        # The bed: two walls and a tailgate over the hull.
        start, end, rise = -half * 0.97, rear - 0.02, between(rng, 0.12, 0.3)
        for s in (-1.0, 1.0):
            wall = block((0.08, rise, end - start))
            parts.append(
                place(
                    wall,
                    "bed",
                    palette,
                    "paint",
                    (s * (f.width / 2 - 0.1), f.shoulder + rise / 2 - 0.06, (start + end) / 2),
                )
            )
        gate = block((f.width - 0.2, rise, 0.08))
        parts.append(place(gate, "bed", palette, "paint", (0, f.shoulder + rise / 2 - 0.06, start + 0.04)))
    return parts + _roof(rng, style, palette, (roof, long_top, top, at[2] + shift[1]))


def _side_windows(frame, cut, panes: int) -> list:
    """Frusta through the cabin from side to side: as the cabin, shorter in z, a little wider in x."""
    wide, roof, long, long_top, shift, tall = frame
    low, high, out, share = cut
    windows = []
    count = max(panes, 1)
    ends = []
    for t in (low, high):
        w, d, z = wide + (roof - wide) * t + out, (long + (long_top - long) * t) * share, shift * t
        ends.append((t * tall, w, d, z))
    for k in range(count):
        if panes == -1:
            a, b = 0.68, 1.0  # a closed van: only the driver's window
        else:
            gap = 0.06 if count > 1 else 0.0
            a, b = k / count + gap / count, (k + 1) / count - gap / count
        windows.append(
            loft([(y, rectangle(w, d * (b - a), 0.0, (0.0, z - d / 2 + d * (a + b) / 2))) for y, w, d, z in ends])
        )
    return windows


def _roof(rng, style: CarStyle, palette: Palette, frame) -> list[Part]:
    wide, long, top, z = frame
    parts = []
    if style.service == "police":
        tall = between(rng, 0.07, 0.15)
        bar = block((wide * 0.3, tall, 0.2))
        parts.append(place(bar, "light", palette, "light", (-wide * 0.24, top + tall / 2 - 0.01, z)))
        parts.append(place(bar, "light", palette, "glass", (wide * 0.24, top + tall / 2 - 0.01, z)))
        middle = block((wide * 0.2, tall * 0.8, 0.16))
        parts.append(place(middle, "light", palette, "dark", (0, top + tall * 0.4 - 0.01, z)))
    elif style.service == "taxi":
        tall = between(rng, 0.1, 0.2)
        sign = loft([(0.0, rectangle(wide * 0.4, 0.26)), (tall, rectangle(wide * 0.34, 0.12))])
        parts.append(place(sign, "sign", palette, "light", (0, top - 0.01, z)))
    elif style.service == "rescue":
        for s in (-1.0, 1.0):
            bar = block((wide * 0.8, 0.1, 0.16))
            parts.append(place(bar, "light", palette, "light", (0, top + 0.04, z + s * long * 0.4)))
        for s in (-1.0, 1.0):
            rail = block((0.07, 0.07, long * 0.8))
            parts.append(place(rail, "rack", palette, "metal", (s * wide * 0.25, top + 0.05, z)))
    if style.extra == "rack" and style.service == "private":
        for s in (-1.0, 1.0):
            rail = block((0.05, 0.09, long * 0.85))
            parts.append(place(rail, "rack", palette, "dark", (s * wide * 0.42, top + 0.035, z)))
            parts.append(
                place(block((wide * 0.86, 0.04, 0.05)), "rack", palette, "dark", (0, top + 0.07, z + s * long * 0.25))
            )
    return parts


def _wheels(rng, style: CarStyle, palette: Palette, finish: Finish, f: _Frame) -> list[Part]:
    sides = max(8, finish.sides)
    wide = between(rng, 0.16, 0.28)
    out = between(rng, -0.03, 0.06) + (0.06 if style.arches == "flared" else 0.0)
    dish = rng.random() < 0.6
    parts = []
    axles = [f.axle_front, f.axle_rear]
    if style.body in ("lorry", "bus") and rng.random() < 0.3:
        axles.append(f.axle_rear + 2.15 * f.wheel)
    r = f.wheel
    for z in axles:
        for s in (-1.0, 1.0):
            x = s * (f.width / 2 + out - wide / 2)
            rim = r * 0.6
            edge = 0.06 * r
            profile = [
                (0.0, -wide / 2),
                (r - edge, -wide / 2),
                (r, -wide / 2 + edge),
                (r, wide / 2 - edge),
                (r - edge, wide / 2),
                (0.0, wide / 2),
            ]
            parts.append(place(Lathe(np.array(profile), sides), "wheel", palette, "rubber", (x, r, z), turn=ALONG_X))
            cap = Lathe(np.array([(0.0, 0.0), (rim, 0.0), (rim * (0.7 if dish else 1.0), 0.03), (0.0, 0.03)]), sides)
            turn = ALONG_X if s > 0 else -ALONG_X @ np.diag([1.0, 1.0, -1.0])
            parts.append(place(cap, "rim", palette, "metal", (x + s * (wide / 2 - 0.01), r, z), turn=turn))
    return parts


def _details(rng, style: CarStyle, palette: Palette, f: _Frame) -> list[Part]:
    half = f.length / 2
    parts = []
    mid = f.clear + (f.shoulder - f.clear) * 0.55
    lamp = between(rng, 0.12, 0.3)
    tall = between(rng, 0.09, 0.18)
    for s in (-1.0, 1.0):
        x = s * (f.width / 2 - lamp / 2 - between(rng, 0.08, 0.15))
        parts.append(place(block((lamp, tall, 0.24)), "light", palette, "light", (x, mid + 0.08, half - 0.11)))
        parts.append(place(block((lamp, tall, 0.24)), "light", palette, "paint", (x, mid + 0.08, -half + 0.11)))
    if rng.random() < 0.7:
        high = between(rng, 0.12, 0.24)
        colour = pick(rng, ("metal", "dark", "second"))
        for s, z in ((1.0, half), (-1.0, -half)):
            bumper = block((f.width * between(rng, 0.9, 1.02), high, 0.24), 0.04)
            parts.append(place(bumper, "bumper", palette, colour, (0, f.clear + high * 0.6, z - s * 0.06)))
    if rng.random() < 0.4:
        grille = block((f.width * between(rng, 0.3, 0.55), tall * 1.1, 0.2))
        parts.append(place(grille, "grille", palette, "dark", (0, mid + 0.03, half - 0.09)))
    if rng.random() < 0.45:
        ahead = half * (0.28 if style.body not in ("van", "bus", "lorry") else 0.7)
        for s in (-1.0, 1.0):
            mirror = block((0.2, 0.12, 0.09))
            parts.append(
                place(mirror, "mirror", palette, "paint", (s * (f.width / 2 + 0.04), f.shoulder + 0.08, ahead))
            )
    if style.extra == "spoiler" and style.body in ("saloon", "coupe", "hatch", "roadster", "pickup"):
        high = between(rng, 0.12, 0.3)
        y = f.shoulder - 0.1
        z = -half + 0.14
        if style.body == "hatch":
            y += f.tall
            z += 0.3
        parts.append(place(block((f.width * 0.92, 0.05, 0.28)), "spoiler", palette, "paint", (0, y + high + 0.08, z)))
        for s in (-1.0, 1.0):
            foot = block((0.06, high + 0.14, 0.16))
            parts.append(place(foot, "spoiler", palette, "paint", (s * f.width * 0.32, y + high / 2 + 0.02, z)))
    if style.extra == "scoop":
        scoop = loft([(0.0, rectangle(0.5, 0.6)), (0.16, rectangle(0.4, 0.4))])
        parts.append(place(scoop, "scoop", palette, "second", (0, f.shoulder - 0.08, half * 0.62)))
    if style.extra == "spare" and style.body in ("suv", "hatch", "van"):
        r = f.wheel * 0.85
        solid = Lathe(np.array([(0.0, 0.0), (r, 0.0), (r, 0.18), (0.0, 0.18)]), 12)
        parts.append(place(solid, "wheel", palette, "rubber", (0, f.shoulder, -half - 0.14), turn=ALONG_Z))
    return parts


def _formula(rng, style: CarStyle, palette: Palette, finish: Finish) -> list[Part]:
    """An open racing car: long nose, wings, free wheels."""
    length, width = between(rng, 3.8, 5.0), between(rng, 1.5, 1.9)
    half, low = length / 2, 0.1
    hull = between(rng, 0.55, 0.75)
    parts = []
    tub = [
        (-half * 0.8, low),
        (half * 0.3, low),
        (half * 0.3, 0.55),
        (half * 0.1, 0.6),
        (-half * 0.1, 0.6),
        (-half * 0.25, 0.95),
        (-half * 0.35, 0.95),
        (-half * 0.8, 0.5),
    ]
    parts.append(_across(tub, hull / 2, "body", palette, "paint"))
    nose = loft([(0.0, rectangle(hull, 0.45)), (half * 0.72, rectangle(hull * 0.3, 0.15, 0.0, (0.0, 0.08)))])
    parts.append(place(nose, "nose", palette, "paint", (0, 0.33, half * 0.29), turn=ALONG_Z))
    pod = block((width * 0.72, 0.38, half * 0.7), 0.06)
    parts.append(place(pod, "body", palette, "second", (0, 0.32, -half * 0.25)))
    parts.append(place(block((0.3, 0.18, 0.3), 0.05), "helmet", palette, "light", (0, 0.68, half * 0.02)))
    wing = block((width * between(rng, 0.9, 1.0), 0.05, 0.35))
    parts.append(place(wing, "wing", palette, "second", (0, 0.2, half * 0.95)))
    rear = between(rng, 0.75, 1.05)
    parts.append(place(wing, "wing", palette, "second", (0, rear, -half * 0.92)))
    for s in (-1.0, 1.0):
        fin = block((0.04, rear - 0.2, 0.4))
        parts.append(place(fin, "wing", palette, "second", (s * width * 0.42, (rear + 0.3) / 2, -half * 0.9)))
    parts.append(place(block((0.12, rear - 0.3, 0.3)), "wing", palette, "dark", (0, rear / 2 + 0.15, -half * 0.86)))
    r, wide = between(rng, 0.3, 0.38), between(rng, 0.3, 0.42)
    for z in (half * 0.58, -half * 0.68):
        parts.append(place(block((width * 0.9, 0.06, 0.08)), "axle", palette, "metal", (0, r, z)))
        for s in (-1.0, 1.0):
            profile = np.array([(0.0, -wide / 2), (r, -wide / 2), (r, wide / 2), (0.0, wide / 2)])
            solid = Lathe(profile, max(10, finish.sides))
            parts.append(place(solid, "wheel", palette, "rubber", (s * (width / 2), r, z), turn=ALONG_X))
    if rng.random() < 0.5:
        parts.append(rod((-0.2, 0.75, half * 0.12), (0.2, 0.75, half * 0.12), (0.05, 0.05), "halo", palette, "dark"))
    return parts
