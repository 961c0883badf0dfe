"""What a file holds, material by material, into one Mesh with one appearance.

Letters: V vertices, F faces, M materials; an atlas is made of cells, one for each picture or plain colour.
"""

import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8

from maquette.io.colors import tinted
from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors
from maquette.shapes.points import PointCloud

Wrap = Literal["repeat", "clamp", "mirror"]

MOST_ELEMENTS = 20_000_000
"""Vertices or faces; more come from files that multiply (a small file that instances one mesh a million times)."""
GUTTER = 4
"""Pixels around each cell of an atlas, so that interpolation and the first mip levels do not see the neighbour."""
MOST_REPEATS = 64
"""Repeats of a texture within one face that are baked; beyond, the texture's mean colour stands for it."""
MOST_SHADES = 65_536
"""Plain colours in an atlas; more are rounded."""
LARGEST_ATLAS = 8192
"""Pixels along a side; above it the pictures are made smaller, with a warning."""


@dataclass(frozen=True, eq=False)
class Material:
    """Base colour of a surface, multiplied (as light) with a texture."""

    color: tuple[float, float, float] | None = None
    """Base colour, sRGB 0..1; None when the file says nothing."""
    image: UInt8[np.ndarray, "H W 3"] | None = None
    """Texture, sRGB, rows from the top."""
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    """What lies outside 0..1 along u and along v."""


@dataclass(frozen=True, eq=False)
class Contents:
    """Triangles and materials as a file gives them, before they become a Mesh."""

    vertices: Float[np.ndarray, "V 3"]
    faces: Int[np.ndarray, "F 3"]
    materials: tuple[Material, ...] = (Material(),)
    material: Int[np.ndarray, " F"] | None = None
    """Material of each face; None: the first."""
    uv: Float[np.ndarray, "F 3 2"] | None = None
    """Texture coordinates of each corner, v up; NaN where the file has none."""
    vertex_colors: Float[np.ndarray, "V 3"] | None = None
    """SRGB 0..1, multiplied with the material."""
    face_colors: Float[np.ndarray, "F 3"] | None = None
    """SRGB 0..1, instead of materials."""
    notes: tuple[str, ...] = field(default=())
    """What the reader had to leave out; said as one warning each."""


def check_indices(path: Path, indices: Int[np.ndarray, "*any"], count: int, where: str = "face corners") -> None:
    """OSError when an index is outside 0..count-1: how many, and the first."""
    wrong = (indices < 0) | (indices >= count)
    if wrong.any():
        first = int(np.flatnonzero(wrong.reshape(-1))[0])
        raise OSError(
            f"{path}: {int(wrong.sum())} of {indices.size} {where} point outside the {count} vertices; "
            f"the first is {int(indices.reshape(-1)[first])} (corner {first})"
        )


def check_finite(path: Path, vertices: Float[np.ndarray, "V 3"], where: str = "vertices") -> None:
    """OSError when a coordinate is NaN, infinite, or beyond float32: how many, and the first."""
    with np.errstate(over="ignore", invalid="ignore"):
        wrong = ~np.isfinite(vertices.astype(np.float32)).all(-1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise OSError(
            f"{path}: {int(wrong.sum())} of {len(vertices)} {where} are NaN or infinite; "
            f"the first is number {first}: {', '.join(f'{x:g}' for x in vertices[first])}"
        )


def mesh_from_contents(path: Path, contents: Contents) -> Mesh:
    """One Mesh: only the vertices that faces use, in their order; one appearance.

    Pictures or several textures become one atlas; vertex colours times the material's colour become VertexColors;
    colours of faces or materials without a texture become FaceColors; a file that says nothing about colour gives None.
    Faces without area stay.
    """
    if len(contents.faces) == 0:
        raise OSError(f"{path}: holds no faces")
    if max(len(contents.faces), len(contents.vertices)) > MOST_ELEMENTS:
        raise OSError(f"{path}: more than {MOST_ELEMENTS // 1_000_000} million vertices or faces")
    check_indices(path, contents.faces, len(contents.vertices))
    contents = _with_used_vertices(contents)
    check_finite(path, contents.vertices)
    notes = list(contents.notes)
    contents, appearance = _appearance(contents, notes)
    _say(path, notes)
    return Mesh(
        vertices=torch.from_numpy(contents.vertices.astype(np.float32)),
        faces=torch.from_numpy(np.ascontiguousarray(contents.faces, np.int64)),
        appearance=appearance,
    )


def points_from_file(
    path: Path,
    points: Float[np.ndarray, "N 3"],
    colors: Float[np.ndarray, "N 3"] | None,
    normals: Float[np.ndarray, "N 3"] | None,
    notes: Iterable[str] = (),
) -> PointCloud:
    """A PointCloud from what a file holds; OSError when it holds none or they are not finite."""
    if len(points) == 0:
        raise OSError(f"{path}: holds no faces and no points")
    check_finite(path, points, "points")
    _say(path, notes)
    return PointCloud(
        points=torch.from_numpy(points.astype(np.float32)),
        colors=None if colors is None else torch.from_numpy(_unit(colors).astype(np.float32)),
        normals=None if normals is None else torch.from_numpy(np.nan_to_num(normals).astype(np.float32)),
    )


def _say(path: Path, notes: Iterable[str]) -> None:
    for note in notes:  # the line that called `load`: load, the format's reader, a function above, and this one
        warnings.warn(f"load: {path}: {note}", stacklevel=5)


def _unit(colors: np.ndarray) -> np.ndarray:
    return np.nan_to_num(colors).clip(0, 1)


def _with_used_vertices(contents: Contents) -> Contents:
    used = np.zeros(len(contents.vertices), bool)
    used[contents.faces.reshape(-1)] = True
    if used.all():
        return contents
    new = np.cumsum(used) - 1
    colors = contents.vertex_colors
    return replace(
        contents,
        vertices=contents.vertices[used],
        faces=new[contents.faces],
        vertex_colors=None if colors is None else colors[used],
    )


def _appearance(contents: Contents, notes: list[str]) -> tuple[Contents, VertexColors | FaceColors | Texture | None]:
    """The one appearance, and the contents again: vertices that two materials tint differently are split."""
    count = len(contents.faces)
    material = np.zeros(count, np.int64) if contents.material is None else contents.material
    colors = contents.vertex_colors
    if colors is not None:
        colors = _unit(colors)
        if (colors == 1).all() and any(m.color is not None or m.image is not None for m in contents.materials):
            colors = None  # white changes nothing; many exporters write it
    used, material = np.unique(material, return_inverse=True)
    materials = [contents.materials[i] for i in used]
    uv = np.full((count, 3, 2), np.nan) if contents.uv is None else contents.uv
    mapped = np.isfinite(uv).all((1, 2))
    pictured = np.array([m.image is not None for m in materials])[material] & mapped

    if contents.face_colors is not None:
        if colors is not None:
            notes.append("has colours of vertices and of faces; those of the faces are kept")
        return contents, FaceColors(torch.from_numpy(_unit(contents.face_colors).astype(np.float32)))
    base = np.array([m.color or (1.0, 1.0, 1.0) for m in materials])
    if pictured.any():
        if colors is not None and not (colors[contents.faces[pictured]] == 1).all():
            notes.append("vertex colours over a texture are left out")
        plain = base[material]
        if colors is not None:
            plain = tinted(plain, colors[contents.faces].mean(1))
        return contents, _texture(materials, material, uv, pictured, plain, notes)
    if colors is not None:
        contents, owner = _split_by_color(contents, base, material)
        colors = _unit(contents.vertex_colors) if contents.vertex_colors is not None else colors
        tint = np.ones((len(contents.vertices), 3))
        tint[contents.faces.reshape(-1)] = np.repeat(base[owner], 3, 0)
        white = (tint == 1).all()
        return contents, VertexColors(torch.from_numpy((colors if white else tinted(colors, tint)).astype(np.float32)))
    if any(m.color is not None or m.image is not None for m in materials):
        return contents, FaceColors(torch.from_numpy(_unit(base[material]).astype(np.float32)))
    return contents, None


def _split_by_color(contents: Contents, base: np.ndarray, material: np.ndarray) -> tuple[Contents, np.ndarray]:
    """Vertices shared by materials of different colours are doubled, so that one colour per vertex can be right."""
    tints, owner = np.unique(base, axis=0, return_inverse=True)
    owner = owner.reshape(-1)[material]
    if len(tints) == 1:
        return contents, material
    key = contents.faces * len(tints) + owner[:, None]
    unique, inverse = np.unique(key, return_inverse=True)
    vertex = unique // len(tints)
    colors = contents.vertex_colors
    split = replace(
        contents,
        vertices=contents.vertices[vertex],
        faces=inverse.reshape(-1, 3),
        vertex_colors=None if colors is None else colors[vertex],
    )
    return split, material


@dataclass(frozen=True, eq=False)
class _Cell:
    """A picture to be placed in the atlas, and the faces that look at it."""

    faces: np.ndarray
    pixels: np.ndarray
    """H W 3, 8 bits, without the gutter."""
    uv: np.ndarray | None
    """Corners within the cell, 0..1 each way, v up; None: the cell's middle (a plain colour)."""
    wrap: tuple[Wrap, Wrap] = ("clamp", "clamp")
    """How the gutter continues the picture; along an axis of one whole repeat it wraps as the texture did."""


def _texture(
    materials: list[Material],
    material: np.ndarray,
    uv: np.ndarray,
    pictured: np.ndarray,
    plain: np.ndarray,
    notes: list[str],
) -> Texture:
    # Materials that look the same (one picture under one colour) share a cell; kits often have dozens.
    looks: dict[tuple, list[int]] = {}
    for index, m in enumerate(materials):
        if m.image is not None and (pictured & (material == index)).any():
            looks.setdefault((id(m.image), m.color or (1.0, 1.0, 1.0), m.wrap), []).append(index)

    if len(looks) == 1 and pictured.all():
        image, color, wrap = _look(materials, looks)
        inside = [uv[..., axis].min() >= 0 and uv[..., axis].max() <= 1 for axis in (0, 1)]
        if all(kind == "repeat" or ok for kind, ok in zip(wrap, inside, strict=True)):
            return _as_texture(uv, _tinted_pixels(image, color))

    cells: list[_Cell] = []
    for indices in looks.values():
        m = materials[indices[0]]
        faces = np.flatnonzero(pictured & np.isin(material, indices))
        cells += _picture_cells(m, faces, uv[faces], notes)
    rest = np.flatnonzero(~pictured)
    if len(rest):
        shades = np.round(_unit(plain[rest]) * 255).astype(np.uint8)
        solid, owner = np.unique(shades, axis=0, return_inverse=True)
        if len(solid) > MOST_SHADES:
            notes.append(f"{len(solid)} colours beside a texture are rounded to 5 bits a channel")
            solid, owner = np.unique(shades // 8 * 8 + 4, axis=0, return_inverse=True)
        side = 8 if len(solid) <= 1024 else 1
        for number, pixel in enumerate(solid):
            faces = rest[owner.reshape(-1) == number] if len(solid) <= 1024 else rest[:0]
            cells.append(_Cell(faces, np.broadcast_to(pixel, (side, side, 3)), None))
        if len(solid) > 1024:  # one look-up instead of a search per colour
            order = np.argsort(owner.reshape(-1), kind="stable")
            groups = np.split(rest[order], np.cumsum(np.bincount(owner.reshape(-1), minlength=len(solid)))[:-1])
            first = len(cells) - len(solid)
            cells[first:] = [replace(c, faces=g) for c, g in zip(cells[first:], groups, strict=True)]
    return _atlas(cells, uv, notes)


def _look(materials: list[Material], looks: dict[tuple, list[int]]):
    m = materials[next(iter(looks.values()))[0]]
    assert m.image is not None
    return m.image, m.color or (1.0, 1.0, 1.0), m.wrap


def _tinted_pixels(image: np.ndarray, color: tuple[float, float, float]) -> np.ndarray:
    if color == (1.0, 1.0, 1.0):
        return image
    table = tinted((np.arange(256) / 255)[:, None], np.array(color)[None])  # 256 values for each channel
    table = np.round(table.clip(0, 1) * 255).astype(np.uint8)
    return np.stack([table[image[..., c], c] for c in range(3)], -1)


def _as_texture(uv: np.ndarray, pixels: np.ndarray) -> Texture:
    return Texture(
        uv=torch.from_numpy(uv.astype(np.float32)),
        image=torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255,
    )


def _picture_cells(m: Material, faces: np.ndarray, uv: np.ndarray, notes: list[str]) -> list[_Cell]:
    """The part of a texture's plane that faces look at, repeats included: one cell, and one plain cell for what repeats
    too often.
    """
    assert m.image is not None
    image = _tinted_pixels(m.image, m.color or (1.0, 1.0, 1.0))
    uv = uv.clip(-1e6, 1e6)
    for axis, kind in enumerate(m.wrap):
        if kind == "clamp":
            continue
        # A face moves by whole periods to the origin, so that only the repeats *within* faces have to be baked.
        period = 2.0 if kind == "mirror" else 1.0
        shift = np.floor(uv[..., axis].min(1) / period + 1e-6) * period
        uv[..., axis] -= shift[:, None]
    far = (np.abs(uv) > MOST_REPEATS).any((1, 2))
    cells = []
    if far.any():
        notes.append(
            f"{int(far.sum())} faces repeat a texture more than {MOST_REPEATS} times; they get its mean colour"
        )
        mean = np.round(image.reshape(-1, 3).mean(0)).astype(np.uint8)
        cells.append(_Cell(faces[far], np.broadcast_to(mean, (8, 8, 3)), None))
        faces, uv = faces[~far], uv[~far]
    if len(faces) == 0:
        return cells
    low, high = [], []
    for axis in (0, 1):
        low.append(min(0, math.floor(uv[..., axis].min() + 1e-6)))
        high.append(max(1, math.ceil(uv[..., axis].max() - 1e-6)))
    height, width = image.shape[:2]
    repeats = (high[0] - low[0], high[1] - low[1])
    room = LARGEST_ATLAS - 2 * GUTTER
    fit = min(1.0, room / (width * repeats[0]), room / (height * repeats[1]))
    if fit < 1:
        notes.append(f"a repeated texture is made smaller to fit {LARGEST_ATLAS} pixels")
        image = _resized(image, fit)
        height, width = image.shape[:2]
    # Rows run from the top, v from the bottom.
    image = _padded(image, (-low[0] * width, (high[0] - 1) * width), ((high[1] - 1) * height, -low[1] * height), m.wrap)
    local = (uv - low) / repeats
    cells.append(_Cell(faces, image, local, (_around(m.wrap[0], repeats[0]), _around(m.wrap[1], repeats[1]))))
    return cells


def _around(kind: Wrap, repeats: int) -> Wrap:
    """How a baked strip of repeats goes on beyond its ends."""
    return "repeat" if kind == "repeat" or (kind == "mirror" and repeats % 2 == 0) else "clamp"


def _padded(image: np.ndarray, across: tuple[int, int], down: tuple[int, int], wrap: tuple[Wrap, Wrap]) -> np.ndarray:
    modes: dict[Wrap, Literal["wrap", "edge", "symmetric"]]
    modes = {"repeat": "wrap", "clamp": "edge", "mirror": "symmetric"}
    if any(across):
        image = np.pad(image, ((0, 0), across, (0, 0)), modes[wrap[0]])
    if any(down):
        image = np.pad(image, (down, (0, 0), (0, 0)), modes[wrap[1]])
    return image


def _resized(image: np.ndarray, scale: float) -> np.ndarray:
    from PIL import Image

    height, width = (max(1, int(n * scale)) for n in image.shape[:2])
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((width, height), Image.Resampling.BOX))


def _atlas(cells: list[_Cell], uv: np.ndarray, notes: list[str]) -> Texture:
    """Shelves of cells, tallest first, in a picture about as high as wide."""
    smaller = False
    for _ in range(12):
        sizes = [(c.pixels.shape[1] + 2 * GUTTER, c.pixels.shape[0] + 2 * GUTTER) for c in cells]
        area = sum(w * h for w, h in sizes)
        width = max(max(w for w, _ in sizes), math.ceil(math.sqrt(area)))
        corners, height = _shelves(sizes, width)
        if max(width, height) <= LARGEST_ATLAS:
            break
        cells = [replace(c, pixels=_resized(c.pixels, 0.7)) if c.uv is not None else c for c in cells]
        smaller = True
    if smaller:
        notes.append(f"textures are made smaller to fit one atlas of {LARGEST_ATLAS} pixels")
    sheet = np.zeros((height, width, 3), np.uint8)
    out = np.zeros_like(uv)
    g = GUTTER
    for cell, (x, y) in zip(cells, corners, strict=True):
        h, w = cell.pixels.shape[:2]
        sheet[y : y + h + 2 * g, x : x + w + 2 * g] = _padded(cell.pixels, (g, g), (g, g), cell.wrap)
        local = 0.5 if cell.uv is None else cell.uv
        out[cell.faces] = (np.array([x + g, height - y - g - h]) + local * np.array([w, h])) / (width, height)
    return _as_texture(out, sheet)


def _shelves(sizes: list[tuple[int, int]], width: int) -> tuple[list[tuple[int, int]], int]:
    corners = [(0, 0)] * len(sizes)
    x = y = shelf = 0
    for index in sorted(range(len(sizes)), key=lambda i: (-sizes[i][1], -sizes[i][0])):
        w, h = sizes[index]
        if x + w > width:
            x, y, shelf = 0, y + shelf, 0
        corners[index] = (x, y)
        x, shelf = x + w, max(shelf, h)
    return corners, y + shelf
