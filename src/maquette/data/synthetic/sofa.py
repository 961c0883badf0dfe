"""Sofas and armchairs: bodies, corners, chaises, ottomans; feet, cushions, pillows. The sitter looks at +z."""

from dataclasses import dataclass

import numpy as np

from maquette.data.synthetic.palette import Palette
from maquette.data.synthetic.parts import (
    Extrude,
    Finish,
    Part,
    after,
    between,
    block,
    disc,
    pick,
    place,
    taper,
    turn_x,
    turn_y,
)


@dataclass(frozen=True)
class SofaStyle:
    """Choices of a sofa."""

    plan: str
    """straight, corner (an L), chaise (one seat long), daybed (no arms, half a back), set (with an ottoman)."""
    arms: str
    """box, rounded, sloped, slim, none."""
    back: str
    """low, high, cushions (loose ones), channelled (upright rolls)."""
    feet: str
    """none, blocks, tapered, plinth, frame (an open wooden frame)."""
    seats: int
    """Seat cushions, 1 to 4; 0 for one upholstered block."""
    pillows: int


def draw_sofa_style(rng: np.random.Generator) -> SofaStyle:
    """Any combination."""
    return SofaStyle(
        plan=pick(rng, ("straight", "corner", "chaise", "daybed", "set"), (5, 2.2, 1.8, 0.7, 0.6)),
        arms=pick(rng, ("box", "rounded", "sloped", "slim", "none"), (4, 2.5, 2, 1.5, 0.8)),
        back=pick(rng, ("low", "high", "cushions", "channelled"), (3, 3, 4, 1)),
        feet=pick(rng, ("none", "blocks", "tapered", "plinth", "frame"), (3, 3, 2, 1, 1)),
        seats=pick(rng, (0, 1, 2, 3, 4), (2, 2, 4, 3, 1)),
        pillows=pick(rng, (0, 1, 2, 3), (6, 1, 2, 1)),
    )


def build_sofa(rng: np.random.Generator, style: SofaStyle, palette: Palette, finish: Finish) -> list[Part]:
    """Parts of a sofa, in metres."""
    width = between(rng, 1.25, 1.75) if style.seats == 1 else between(rng, 1.35, 2.6)
    if style.plan in ("corner", "chaise"):
        width = between(rng, 1.6, 2.7)
    return upholstered(rng, style, palette, finish, width)


def upholstered(
    rng: np.random.Generator, style: SofaStyle, palette: Palette, finish: Finish, width: float
) -> list[Part]:
    """A seat with arms and back, `width` metres from arm to arm: sofas, and armchairs as one-seaters."""
    depth = between(rng, 0.7, 1.1) * (1.0 if width > 1.3 else between(rng, 0.8, 1.0))
    lift = between(rng, 0.06, 0.2) if style.feet in ("blocks", "tapered", "frame") else between(rng, 0.0, 0.05)
    seat_height = lift + between(rng, 0.22, 0.34)
    back_height = seat_height + {"low": between(rng, 0.16, 0.36)}.get(style.back, between(rng, 0.32, 0.62))
    arm = {"none": 0.0, "slim": between(rng, 0.05, 0.1)}.get(style.arms, min(between(rng, 0.13, 0.38), 0.24 * width))
    if style.back != "low" and width < 1.2 and rng.random() < 0.35:
        back_height += between(rng, 0.1, 0.3)
    arm_height = min(seat_height + between(rng, 0.1, 0.3), back_height - 0.02)
    back = between(rng, 0.12, 0.28)
    soft = finish.bevel * 0.2
    inner = width - 2 * arm
    parts: list[Part] = []

    # The seat block and what lies on it.
    cushion = between(rng, 0.1, 0.2) if style.seats > 0 else 0.0
    base_top = seat_height - 0.75 * cushion
    parts.append(
        place(
            block((inner + 0.01, base_top - lift, depth - 0.02), soft * 0.3),
            "seat",
            palette,
            "fabric",
            (0, (base_top + lift) / 2, -0.01),
        )
    )
    reach = depth - back
    if style.seats > 0:
        each = inner / style.seats
        overhang = between(rng, -0.03, 0.05)
        for k in range(style.seats):
            x = -inner / 2 + each * (k + 0.5)
            parts.append(
                place(
                    block((each - 0.012, cushion, reach + overhang), soft, finish.steps),
                    "cushion",
                    palette,
                    "fabric",
                    (x, base_top + cushion / 2, depth / 2 - reach / 2 + overhang / 2),
                )
            )
    long_side = 1.0 if rng.random() < 0.5 else -1.0
    back_width = inner * 0.55 if style.plan == "daybed" else inner + 0.01
    back_x = -long_side * (inner - back_width) / 2
    parts += _back(rng, style, palette, finish, (back_width, back_x, depth, back, lift, seat_height, back_height))
    for side in (-1.0, 1.0):
        if style.arms != "none":
            parts.append(_arm(rng, style, palette, finish, (side * (inner + arm) / 2, arm, depth, lift, arm_height)))
    parts += _feet(rng, style, palette, finish, (width, depth, lift, 0.0, 0.0))

    if style.plan in ("corner", "chaise"):
        reach_out = between(rng, 0.5, 0.85) if style.plan == "chaise" else between(rng, 0.7, 1.5)
        wing = between(rng, 0.55, 0.85) if style.plan == "chaise" else depth
        x = long_side * (width / 2 - wing / 2)
        z = depth / 2 + reach_out / 2 - 0.02
        parts.append(
            place(
                block((wing - 0.004, base_top - lift, reach_out + 0.04), soft * 0.3),
                "seat",
                palette,
                "fabric",
                (x, (base_top + lift) / 2, z),
            )
        )
        seat_wide = wing - (back if style.plan == "corner" else 0.0)
        seat_x = x - long_side * (wing - seat_wide) / 2
        if cushion > 0:
            parts.append(
                place(
                    block((seat_wide - 0.02, cushion, reach_out), soft, finish.steps),
                    "cushion",
                    palette,
                    "fabric",
                    (seat_x, base_top + cushion / 2, z + 0.02),
                )
            )
        if style.plan == "corner":
            tall = back_height - lift
            length = reach_out + depth * 0.9
            parts.append(
                place(
                    block((back, tall * 0.98, length), soft, finish.steps),
                    "back",
                    palette,
                    "fabric",
                    (long_side * (width - back) / 2, lift + tall * 0.49, depth / 2 + reach_out - length / 2),
                )
            )
            if style.arms != "none" and rng.random() < 0.6:
                thick = max(arm, 0.08)
                parts.append(
                    place(
                        block((wing, arm_height - lift, thick), soft, finish.steps),
                        "arm",
                        palette,
                        "fabric",
                        (x, (arm_height + lift) / 2, depth / 2 + reach_out + thick / 2 - 0.03),
                    )
                )
        parts += _feet(rng, style, palette, finish, (wing, reach_out, lift, x, z + 0.01))
    if style.plan == "set":
        wide, long = between(rng, 0.45, 0.7), between(rng, 0.4, 0.6)
        x, z = between(rng, -0.4, 0.4) * inner, depth / 2 + between(rng, 0.15, 0.4) + long / 2
        tall = seat_height - lift - between(rng, 0.0, 0.06)
        parts.append(
            place(block((wide, tall, long), soft, finish.steps), "ottoman", palette, "fabric", (x, lift + tall / 2, z))
        )
        parts += _feet(rng, style, palette, finish, (wide, long, lift, x, z))
    for _ in range(style.pillows if inner > 0.5 else min(style.pillows, 1)):
        size = between(rng, 0.28, 0.42)
        pose = after(turn_x(-between(rng, 0.2, 0.5)), turn_y(between(rng, -0.5, 0.5)))
        x = between(rng, -0.5, 0.5) * (inner - size)
        z = -depth / 2 + back + 0.13 + (0.08 if style.back == "cushions" else 0.0)
        parts.append(place(_pillow(size), "pillow", palette, "accent", (x, seat_height + 0.46 * size, z), turn=pose))
    return parts


def _pillow(size: float):
    """A flat cushion standing on its edge."""
    return block((size, 0.8 * size, 0.3 * size), 0.13 * size, 2)


def _back(rng, style: SofaStyle, palette: Palette, finish: Finish, frame: tuple[float, ...]) -> list[Part]:
    width, x, depth, thick, lift, seat_height, height = frame
    soft = finish.bevel * 0.2
    z = -depth / 2 + thick / 2
    parts = []
    if style.back == "channelled":
        count = max(3, round(width / between(rng, 0.14, 0.3)))
        each = width / count
        for k in range(count):
            parts.append(
                place(
                    block((each * 0.99, height - lift, thick), min(0.3 * each, 0.06), finish.steps),
                    "back",
                    palette,
                    "fabric",
                    (x - width / 2 + each * (k + 0.5), (height + lift) / 2, z),
                )
            )
        return parts
    solid_top = height if style.back != "cushions" else height - between(rng, 0.0, 0.14)
    lean = between(rng, 0.0, 0.1) if rng.random() < 0.5 else 0.0
    tall = solid_top - lift
    # A frustum leaning back: thicker below.
    parts.append(
        place(
            taper(tall, (width, thick), (width * pick(rng, (1.0, 1.0, 0.94)), thick * 0.85), (0.0, -lean), soft),
            "back",
            palette,
            "fabric",
            (x, lift, z),
        )
    )
    if style.back == "cushions":
        count = max(1, style.seats)
        each = width / count
        fat = between(rng, 0.12, 0.2)
        high = height - seat_height + between(rng, 0.0, 0.05)
        tilt = turn_x(-between(rng, 0.08, 0.28))
        for k in range(count):
            parts.append(
                place(
                    block((each - 0.014, high, fat), max(soft, 0.02), finish.steps),
                    "cushion",
                    palette,
                    "fabric",
                    (x - width / 2 + each * (k + 0.5), seat_height + high * 0.48, z + thick / 2 + fat * 0.25),
                    turn=tilt,
                )
            )
    return parts


def _arm(rng, style: SofaStyle, palette: Palette, finish: Finish, frame: tuple[float, ...]) -> Part:
    x, width, depth, lift, height = frame
    soft = finish.bevel * 0.2
    if style.arms in ("rounded", "sloped"):
        # The profile runs over depth (z) and height; the polygon's x axis becomes -z.
        front, tall = -depth / 2, height - lift
        cut = tall * (0.3 if style.arms == "rounded" else 0.55)
        if style.arms == "rounded":
            corner = [(front, tall - cut), (front + 0.3 * cut, tall - 0.3 * cut), (front + cut, tall)]
        else:
            corner = [(front, tall - cut), (front + depth * 0.5, tall)]
        polygon = np.array([(front, 0.0), (-front, 0.0), (-front, tall), *corner[::-1]])
        return place(Extrude(polygon, width / 2), "arm", palette, "fabric", (x, lift, 0.0), turn=turn_y(np.pi / 2))
    return place(
        block((width, height - lift, depth), soft, finish.steps),
        "arm",
        palette,
        "wood" if style.arms == "slim" and style.feet == "frame" else "fabric",
        (x, (height + lift) / 2, 0.0),
    )


def _feet(rng, style: SofaStyle, palette: Palette, finish: Finish, frame: tuple[float, ...]) -> list[Part]:
    width, depth, lift, x, z = frame
    if style.feet == "none" or lift < 0.01:
        return []
    if style.feet == "plinth":
        return [place(block((width * 0.94, lift + 0.02, depth * 0.92)), "leg", palette, "dark", (x, lift / 2, z))]
    parts = []
    size = 0.045 + 0.05 * finish.bevel
    for sx in (-1.0, 1.0):
        for sz in (-1.0, 1.0):
            px, pz = x + sx * (width / 2 - size - 0.01), z + sz * (depth / 2 - size - 0.01)
            if style.feet == "tapered":
                leg = taper(lift + 0.01, (size * 0.6, size * 0.6), (size * 1.2, size * 1.2), (-sx * 0.02, -sz * 0.02))
                parts.append(place(leg, "leg", palette, "wood", (px, 0, pz)))
            elif finish.sides >= 12 and style.feet == "blocks":
                parts.append(place(disc(size * 0.7, lift + 0.01, 12), "leg", palette, "metal", (px, 0, pz)))
            else:
                parts.append(
                    place(
                        block((size * 1.4, lift + 0.01, size * 1.4)),
                        "leg",
                        palette,
                        "wood",
                        (px, (lift + 0.01) / 2, pz),
                    )
                )
        if style.feet == "frame":
            parts.append(
                place(
                    block((size, size, depth - 2 * size)),
                    "leg",
                    palette,
                    "wood",
                    (x + sx * (width / 2 - size - 0.01), lift - size * 0.4, z),
                )
            )
    return parts
