"""Seeded objects: a category, its style, its parts, one mesh with labels; distance and outer samples of it.

The same (seed, split) gives the same object: PCG64 streams keyed by seed, split and attempt, no BLAS in the geometry.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int

from maquette.data.synthetic.bed import BedStyle, build_bed, draw_bed_style
from maquette.data.synthetic.car import CarStyle, build_car, draw_car_style
from maquette.data.synthetic.chair import ChairStyle, build_chair, draw_chair_style
from maquette.data.synthetic.held_out import HELD_OUT, is_held_out
from maquette.data.synthetic.lamp import LampStyle, build_lamp, draw_lamp_style
from maquette.data.synthetic.palette import Palette, draw_palette
from maquette.data.synthetic.parts import Finish, Part, draw_finish, part_mesh, scaled
from maquette.data.synthetic.plane import PlaneStyle, build_plane, draw_plane_style
from maquette.data.synthetic.sofa import SofaStyle, build_sofa, draw_sofa_style
from maquette.data.synthetic.table import TableStyle, build_table, draw_table_style
from maquette.data.synthetic.vase import VaseStyle, build_vase, draw_vase_style
from maquette.shapes.mesh import FaceColors, Mesh

Style = ChairStyle | SofaStyle | TableStyle | LampStyle | BedStyle | CarStyle | PlaneStyle | VaseStyle

SPLITS: dict[str, int] = {"train": 0, "val": 1, "test": 2}
"""Part of the key of every random stream."""
HELD_OUT_SHARE = 0.25
"""Share of the test split that shows a held-out combination."""
GAP = 1e-4
"""How far in front of a surface point `sample_outer_surface` looks for other parts, in diagonals of the object."""

FAMILIES: dict[str, tuple[Callable[..., Style], Callable[..., list[Part]]]] = {
    "chair": (draw_chair_style, build_chair),
    "sofa": (draw_sofa_style, build_sofa),
    "table": (draw_table_style, build_table),
    "lamp": (draw_lamp_style, build_lamp),
    "bed": (draw_bed_style, build_bed),
    "car": (draw_car_style, build_car),
    "plane": (draw_plane_style, build_plane),
    "vase": (draw_vase_style, build_vase),
}
CATEGORIES = tuple(FAMILIES)


@dataclass(frozen=True)
class SyntheticObject:
    """An object in the frame of learning: bounding box centred, diagonal 1, y up, front +z."""

    mesh: Mesh
    """The parts' meshes one after another (they intersect), with a colour per face."""
    face_labels: Int[np.ndarray, " F"]
    """Index into `label_names` per face."""
    label_names: tuple[str, ...]
    face_parts: Int[np.ndarray, " F"]
    """Index into `parts` per face."""
    parts: tuple[Part, ...]
    category: str
    style: Style


@dataclass(frozen=True)
class OuterSamples:
    """Points on the outer surface of an object, uniform by area."""

    points: Float[np.ndarray, "N 3"]
    normals: Float[np.ndarray, "N 3"]
    """Unit, outward, of the face."""
    faces: Int[np.ndarray, " N"]
    """Index of the face each point lies on; `face_labels[faces]` are the labels."""


def make_object(seed: int, split: str, category: str | None = None) -> SyntheticObject:
    """The object number `seed` of a split, of any category unless one is named.

    Training and validation never show the combinations of `HELD_OUT`; a quarter of the test objects does.
    """
    if split not in SPLITS:
        raise ValueError(f"make_object: unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    if category is not None and category not in FAMILIES:
        raise ValueError(f"make_object: unknown category {category!r}; choose one of {', '.join(CATEGORIES)}")
    if seed < 0:
        raise ValueError(f"make_object: seed is {seed}; give a number that is not negative")
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([0x4D61, SPLITS[split], seed])))
    drawn = CATEGORIES[int(rng.random() * len(CATEGORIES))]
    category = category or drawn
    style = draw_style(rng, split, category)
    _, build = FAMILIES[category]
    palette: Palette = draw_palette(rng)
    finish: Finish = draw_finish(rng)
    return assemble(build(rng, style, palette, finish), category, style)


def draw_style(rng: np.random.Generator, split: str, category: str) -> Style:
    """The choices of one object: in the test split held out with probability `HELD_OUT_SHARE`, elsewhere never."""
    draw, _ = FAMILIES[category]
    style = draw(rng)
    if split == "test" and rng.random() < HELD_OUT_SHARE:
        choices = HELD_OUT[category]
        return replace(style, **choices[int(rng.random() * len(choices))])
    while is_held_out(category, style):
        style = draw(rng)
    return style


def assemble(parts: list[Part], category: str, style: Style) -> SyntheticObject:
    """Parts in any frame with y up and front +z, brought to the frame of learning and joined."""
    corners = [part_mesh(part)[0] for part in parts]
    low = np.min([c.min(0) for c in corners], axis=0)
    high = np.max([c.max(0) for c in corners], axis=0)
    factor = 1.0 / math.sqrt(float(((high - low) ** 2).sum()))
    placed = tuple(scaled(part, factor, -(low + high) / 2) for part in parts)
    names = tuple(dict.fromkeys(part.label for part in placed))
    vertices, faces, owner, count = [], [], [], 0
    for index, part in enumerate(placed):
        v, f = part_mesh(part)
        vertices.append(v)
        faces.append(f + count)
        owner.append(np.full(len(f), index))
        count += len(v)
    face_parts = np.concatenate(owner)
    colours = np.array([part.colour for part in placed], dtype=np.float32)[face_parts]
    labels = np.array([names.index(part.label) for part in placed], dtype=np.int64)[face_parts]
    mesh = Mesh(
        torch.from_numpy(np.concatenate(vertices).astype(np.float32)),
        torch.from_numpy(np.concatenate(faces).astype(np.int64)),
        FaceColors(torch.from_numpy(colours)),
    )
    return SyntheticObject(mesh, labels, names, face_parts, placed, category, style)


def signed_distance(obj: SyntheticObject, points: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, " N"]:
    """Signed distance to the union of the parts: exact outside, of exact sign everywhere, negative inside.

    Inside, the value is that of the part the point is deepest in: never further from 0 than the truth.
    """
    from maquette.data.synthetic.distance import pack, union_distance

    return union_distance(pack(obj.parts), points)


def sample_outer_surface(obj: SyntheticObject, n: int, rng: np.random.Generator) -> OuterSamples:
    """`n` points uniform by area on the outer surface: what lies inside or against another part is left out."""
    from maquette.data.synthetic.distance import buried, pack

    packed = pack(obj.parts)
    vertices = obj.mesh.vertices.numpy().astype(np.float64)
    corners = vertices[obj.mesh.faces.numpy()]
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    doubled = np.sqrt((across * across).sum(1))
    normal = across / np.maximum(doubled, 1e-30)[:, None]
    heights = np.cumsum(doubled)
    points, faces, found = [], [], 0
    for _ in range(100):
        draw = max(int(1.6 * (n - found)) + 16, 256)
        face = np.minimum(np.searchsorted(heights, rng.random(draw) * heights[-1], side="right"), len(heights) - 1)
        root, v = np.sqrt(rng.random(draw)), rng.random(draw)
        a, b, c = corners[face, 0], corners[face, 1], corners[face, 2]
        point = a * (1 - root)[:, None] + b * (root * (1 - v))[:, None] + c * (root * v)[:, None]
        keep = ~buried(packed, point, normal[face], obj.face_parts[face], GAP)
        points.append(point[keep])
        faces.append(face[keep])
        found += int(keep.sum())
        if found >= n:
            break
    else:
        raise ValueError(f"sample_outer_surface: {found} of {n} points after 100 rounds; the parts bury each other")
    chosen = np.concatenate(faces)[:n]
    return OuterSamples(np.concatenate(points)[:n], normal[chosen], chosen)
