"""PLY (Stanford polygon format), ASCII and binary of both byte orders, read; little-endian binary, written.

Read: meshes and point clouds with any extra properties; colours as bytes, 16 bits or floats, of vertices or faces;
texture coordinates of vertices (s t, u v) or corners (MeshLab's texcoord list) with the picture of the `TextureFile`
comment.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from maquette.io.assemble import Contents, Material, check_indices, mesh_from_contents, points_from_file
from maquette.io.atomic import write_bytes
from maquette.io.pictures import decode_texture
from maquette.io.polygons import triangulate
from maquette.io.references import read_file, read_reference
from maquette.shapes.mesh import FaceColors, Mesh, VertexColors
from maquette.shapes.points import PointCloud

_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str
    """NumPy type without byte order; of a list's items."""
    count_kind: str | None = None
    """NumPy type of a list's length; None: not a list."""


@dataclass(frozen=True)
class _Element:
    name: str
    count: int
    properties: tuple[_Property, ...]


@dataclass(frozen=True, eq=False)
class _List:
    """Values of a list property, row after row."""

    values: np.ndarray
    sizes: np.ndarray


Columns = dict[str, "np.ndarray | _List"]


def read_ply(path: Path) -> Mesh | PointCloud:
    """One Mesh, or a PointCloud when the file has no faces; unknown properties and elements are passed over."""
    data = read_file(path)
    form, elements, comments, start = _header(path, data)
    rows = (
        _ascii_rows(path, data[start:], elements)
        if form == "ascii"
        else _binary_rows(path, data, start, elements, form)
    )
    vertex = rows.get("vertex", {})
    kinds = {p.name: p.kind for e in elements if e.name == "vertex" for p in e.properties}
    points = _stack(vertex, ("x", "y", "z"))
    if points is None:
        raise OSError(
            f"{path}: its vertices have no x, y, z" + (" (compressed splats?)" if "packed_position" in vertex else "")
        )
    colors = _colors(vertex, kinds)
    face = rows.get("face", {})
    polygons = face.get("vertex_indices", face.get("vertex_index"))
    if not isinstance(polygons, _List) or len(polygons.sizes) == 0:
        if "tristrips" in rows:
            raise OSError(f"{path}: triangle strips are not read; convert them to faces")
        return points_from_file(path, points, colors, _stack(vertex, ("nx", "ny", "nz")))
    face_kinds = {p.name: p.kind for e in elements if e.name == "face" for p in e.properties}
    return mesh_from_contents(
        path, _contents(path, vertex, face, polygons, (points, colors, _colors(face, face_kinds)), comments)
    )


def _contents(
    path: Path, vertex: Columns, face: Columns, polygons: _List, found: tuple, comments: list[str]
) -> Contents:
    points, colors, face_colors = found
    whole = polygons.sizes >= 3
    notes = [] if whole.all() else [f"{int((~whole).sum())} faces with fewer than three corners are left out"]
    if not whole.any():
        raise OSError(f"{path}: holds no faces with three corners")
    corners = polygons.values.astype(np.int64)[np.repeat(whole, polygons.sizes)]
    sizes = polygons.sizes[whole]
    check_indices(path, corners, len(points))
    triangles = triangulate(points, corners, sizes)
    uv = None
    name = next((c.split(None, 1)[1] for c in comments if c.lower().startswith("texturefile ")), None)
    image = None
    if name is not None:
        try:
            image = np.ascontiguousarray(decode_texture(read_reference(path, name.strip()), ascii(name))[..., :3])
        except OSError as error:
            notes.append(f"texture left out: {str(error).removeprefix(f'{path}: ')}")
    if image is not None:
        wedge = face.get("texcoord")
        if isinstance(wedge, _List) and (wedge.sizes[whole] == 2 * sizes).all():
            uv = wedge.values[np.repeat(whole, wedge.sizes)].astype(np.float64).reshape(-1, 2)[triangles]
        else:
            pairs = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"))
            flat = next((u for u in (_stack(vertex, pair) for pair in pairs) if u is not None), None)
            uv = None if flat is None else flat[corners[triangles]]
    textured = uv is not None
    return Contents(
        vertices=points,
        faces=corners[triangles],
        materials=(Material(image=image if textured else None),),
        uv=uv,
        vertex_colors=None if textured else colors,
        face_colors=None
        if textured or face_colors is None or colors is not None
        else np.repeat(face_colors[whole], sizes - 2, 0),
        notes=tuple(notes),
    )


def _header(path: Path, data: bytes) -> tuple[str, list[_Element], list[str], int]:
    if not re.match(rb"ply\r?\n|ply\r", data):
        raise OSError(f"{path}: not a PLY file (it does not start with 'ply')")
    end = re.search(rb"(^|\n|\r)end_header[ \t]*(\r\n|\n|\r)?", data[: 1 << 20])
    if end is None:
        raise OSError(f"{path}: truncated: the header has no end")
    start = end.end()
    text = data[: end.start()].decode("latin-1")
    form, elements, comments = None, [], []
    for line in re.split(r"\r\n|\n|\r", text)[1:]:
        words = line.split()
        match words:
            case ["format", kind, *_]:
                form = kind
            case ["comment" | "obj_info", *rest]:
                comments.append(" ".join(rest))
            case ["element", name, count] if count.isdecimal() and len(count) < 19:
                elements.append(_Element(name, int(count), ()))
            case ["property", "list", count_kind, kind, name] if elements and count_kind in _TYPES and kind in _TYPES:
                if _TYPES[count_kind].startswith("f"):
                    raise OSError(f"{path}: broken PLY header: {line[:60]!a}")
                elements[-1] = _with(elements[-1], _Property(name, _TYPES[kind], _TYPES[count_kind]))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1] = _with(elements[-1], _Property(name, _TYPES[kind]))
            case []:
                pass
            case _:
                raise OSError(f"{path}: broken PLY header: {line[:60]!a}")
    if form not in ("ascii", "binary_little_endian", "binary_big_endian"):
        raise OSError(f"{path}: PLY of an unknown format {form!a}")
    return form, elements, comments, start


def _with(element: _Element, new: _Property) -> _Element:
    return _Element(element.name, element.count, (*element.properties, new))


def _short(path: Path, element: _Element, have: str) -> OSError:
    return OSError(f"{path}: truncated: header says {element.count} of element {element.name}, {have}")


def _ascii_rows(path: Path, body: bytes, elements: list[_Element]) -> dict[str, Columns]:
    words = body.split()
    rows: dict[str, Columns] = {}
    at = 0
    for element in elements:
        width = len(element.properties)
        if element.count * width > len(words) - at:
            raise _short(path, element, f"{len(words) - at} numbers are left")
        try:
            if all(p.count_kind is None for p in element.properties):
                table = (
                    np.array(words[at : at + element.count * width]).astype(np.float64).reshape(element.count, width)
                )
                rows[element.name] = {p.name: table[:, k] for k, p in enumerate(element.properties)}
                at += element.count * width
            else:
                rows[element.name], at = _ascii_lists(path, words, at, element)
        except (ValueError, OverflowError) as error:
            raise OSError(f"{path}: broken numbers in element {element.name}: {error}") from error
    return rows


def _ascii_lists(path: Path, words: list[bytes], at: int, element: _Element) -> tuple[Columns, int]:
    values: list[list[bytes]] = [[] for _ in element.properties]
    sizes: list[list[int]] = [[] for _ in element.properties]
    for row in range(element.count):
        for k, p in enumerate(element.properties):
            n = 1
            if p.count_kind is not None:
                if at >= len(words):
                    raise _short(path, element, f"{row} are there")
                n = int(float(words[at]))
                at += 1
            if n < 0 or at + n > len(words):
                raise _short(path, element, f"{row} are there")
            values[k] += words[at : at + n]
            sizes[k].append(n)
            at += n
    columns: Columns = {}
    for p, value, size in zip(element.properties, values, sizes, strict=True):
        numbers = np.array(value).astype(np.float64) if value else np.zeros(0)
        if p.count_kind is not None and p.kind[0] in "iu":
            if not (np.abs(numbers) < 2**53).all():
                raise ValueError("an index is not a whole number")
            numbers = numbers.astype(np.int64)
        columns[p.name] = numbers if p.count_kind is None else _List(numbers, np.array(size, np.int64))
    return columns, at


def _binary_rows(path: Path, data: bytes, at: int, elements: list[_Element], form: str) -> dict[str, Columns]:
    order = "<" if form == "binary_little_endian" else ">"
    rows: dict[str, Columns] = {}
    # assimp once wrote an empty line after the header; the sizes tell.
    fixed = sum(e.count * _dtype(e, order, None).itemsize for e in elements)
    if (
        data[at : at + 1] == b"\n"
        and all(p.count_kind is None for e in elements for p in e.properties)
        and len(data) - at == fixed + 1
    ):
        at += 1
    for element in elements:
        least = _dtype(element, order, None).itemsize
        if element.count * least > len(data) - at:
            raise _short(path, element, f"{len(data) - at} bytes are left")
        lists = [p for p in element.properties if p.count_kind is not None]
        if not lists:
            dtype = _dtype(element, order, None)
            if dtype.itemsize == 0:
                continue
            table = np.frombuffer(data, dtype, element.count, at)
            rows[element.name] = {p.name: table[f"p{k}"].astype(np.float64) for k, p in enumerate(element.properties)}
            at += element.count * dtype.itemsize
        else:
            rows[element.name], at = _binary_lists(path, data, at, element, order)
    return rows


def _dtype(element: _Element, order: str, lengths: list[int] | None) -> np.dtype:
    """A row as bytes; `lengths` of its lists, None: only what is always there."""
    fields: list[tuple] = []
    waiting = list(lengths or [])
    for k, p in enumerate(element.properties):
        if p.count_kind is None:
            fields.append((f"p{k}", order + p.kind))
        else:
            fields.append((f"n{k}", order + p.count_kind))
            if lengths is not None:
                fields.append((f"p{k}", order + p.kind, (waiting.pop(0),)))
    return np.dtype(fields)


def _binary_lists(path: Path, data: bytes, at: int, element: _Element, order: str) -> tuple[Columns, int]:
    """Rows with lists: at once while all rows are like the first, else in runs of equal rows."""
    tables: list[np.ndarray] = []
    done = 0
    while done < element.count:
        lengths = _lengths_at(path, data, at, element, order, done)
        dtype = _dtype(element, order, lengths)
        most = min(element.count - done, (len(data) - at) // dtype.itemsize)
        if most == 0:
            raise _short(path, element, f"{done} are there")
        # Look a little ahead first: a mix of triangles and quads changes all the time, a plain mesh never.
        for ahead in (min(most, 64), most):
            table = np.frombuffer(data, dtype, ahead, at)
            like = np.ones(ahead, bool)
            waiting = list(lengths)
            for k, p in enumerate(element.properties):
                if p.count_kind is not None:
                    like &= table[f"n{k}"] == waiting.pop(0)
            if not like.all():
                break
        run = len(table) if like.all() else int(like.argmin())
        tables.append(table[:run])
        done += run
        at += run * dtype.itemsize
    columns: Columns = {}
    for k, p in enumerate(element.properties):
        values = [t[f"p{k}"].reshape(-1) for t in tables]
        joined = np.concatenate(values) if values else np.zeros(0, p.kind)
        if p.count_kind is None:
            columns[p.name] = joined.astype(np.float64)
        else:
            sizes = [np.full(len(t), t[f"p{k}"].shape[1], np.int64) for t in tables]
            columns[p.name] = _List(joined, np.concatenate(sizes) if sizes else np.zeros(0, np.int64))
    return columns, at


def _lengths_at(path: Path, data: bytes, at: int, element: _Element, order: str, row: int) -> list[int]:
    lengths = []
    for p in element.properties:
        n = 1
        if p.count_kind is not None:
            kind = np.dtype(order + p.count_kind)
            if at + kind.itemsize > len(data):
                raise _short(path, element, f"{row} are there")
            n = int(np.frombuffer(data, kind, 1, at)[0])
            at += kind.itemsize
            lengths.append(n)
        at += n * np.dtype(p.kind).itemsize
        if n < 0 or at > len(data):
            raise _short(path, element, f"{row} are there")
    return lengths


def _stack(columns: Columns, names: tuple[str, ...]) -> np.ndarray | None:
    found = [columns.get(name) for name in names]
    if not all(isinstance(c, np.ndarray) for c in found):
        return None
    return np.stack([c for c in found if isinstance(c, np.ndarray)], -1)


def _colors(columns: Columns, kinds: dict[str, str]) -> np.ndarray | None:
    for names in (("red", "green", "blue"), ("diffuse_red", "diffuse_green", "diffuse_blue"), ("r", "g", "b")):
        colors = _stack(columns, names)
        if colors is not None:
            kind = kinds[names[0]]
            if kind[0] in "iu":
                return colors / (65535 if kind == "u2" else 255)
            return colors / 255 if len(colors) and np.nanmax(colors) > 1 else colors
    return None


def write_ply(shape: Mesh | PointCloud, path: Path) -> None:
    """Little-endian binary PLY: positions in float32, colours in 8 bits, normals of clouds."""
    points = shape.vertices if isinstance(shape, Mesh) else shape.points
    columns: list[tuple[str, str, np.ndarray]] = []
    columns += _columns(("x", "y", "z"), "<f4", points.detach().cpu().numpy())
    colors, face_colors, faces = None, None, None
    if isinstance(shape, Mesh):
        faces = shape.faces.cpu().numpy()
        match shape.appearance:
            case VertexColors(values):
                colors = values
            case FaceColors(values):
                face_colors = values
    else:
        colors = shape.colors
        if shape.normals is not None:
            columns += _columns(("nx", "ny", "nz"), "<f4", shape.normals.detach().cpu().numpy())
    if colors is not None:
        columns += _columns(("red", "green", "blue"), "u1", _bytes(colors))
    names = {"<f4": "float", "u1": "uchar"}
    head = ["ply", "format binary_little_endian 1.0", "comment Maquette", f"element vertex {len(points)}"]
    head += [f"property {names[kind]} {name}" for name, kind, _ in columns]
    body = _table(columns, len(points))
    if faces is not None:
        head += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
        rows = [("n", "u1", np.full(len(faces), 3)), *_columns(("a", "b", "c"), "<i4", faces)]
        if face_colors is not None:
            head += [f"property uchar {name}" for name in ("red", "green", "blue")]
            rows += _columns(("red", "green", "blue"), "u1", _bytes(face_colors))
        body += _table(rows, len(faces))
    write_bytes(path, "\n".join([*head, "end_header\n"]).encode() + body)


def _columns(names: tuple[str, str, str], kind: str, values: np.ndarray) -> list[tuple[str, str, np.ndarray]]:
    return [(name, kind, values[:, k]) for k, name in enumerate(names)]


def _table(columns: list[tuple[str, str, np.ndarray]], count: int) -> bytes:
    table = np.zeros(count, np.dtype([(name, kind) for name, kind, _ in columns]))
    for name, _, values in columns:
        table[name] = values
    return table.tobytes()


def _bytes(colors: Tensor) -> np.ndarray:
    return (colors.detach().cpu().clamp(0, 1) * 255).round().byte().numpy()
