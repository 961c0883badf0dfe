"""Wavefront OBJ and MTL, read and written.

Read: polygons (concave ones too), negative indices, UV seams, colours behind the coordinates of a vertex, several
materials and libraries, comments anywhere, continued lines, UTF-8 and UTF-16. Left out: curves, surfaces, lines,
smoothing groups, normals of faces.
"""

import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from maquette.io.assemble import Contents, Material, Wrap, check_indices, mesh_from_contents, points_from_file
from maquette.io.atomic import write_bytes, write_text
from maquette.io.pictures import decode_texture, encode_png
from maquette.io.polygons import triangulate
from maquette.io.references import read_file, read_reference
from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors
from maquette.shapes.points import PointCloud

_COMMENT = re.compile(r"(^|\s)#.*")
"""A comment begins at a blank: `wood#2.png` is a name."""

_OPTION_NUMBER = re.compile(r"[-+]?(\d{1,40}\.?\d{0,40}|\.\d{1,40})([eE][-+]?\d{1,3})?")
"""As options of maps have them; bounded, since a file may hold a word of a million digits."""
MOST_MATERIALS = 256
"""Face colours beyond this many become a palette texture instead of one material each."""


def read_obj(path: Path) -> Mesh | PointCloud:
    """One Mesh of all groups and objects; a PointCloud when the file has vertices and no faces."""
    lines = _lines(path, read_file(path))
    vertices: list[list[float]] = []
    colored = 0
    uvs: list[list[float]] = []
    normals: list[list[float]] = []
    corners: list[int] = []
    corner_uvs: list[int] = []
    sizes: list[int] = []
    owners: list[int] = []
    names: dict[str | None, int] = {None: 0}
    libraries: list[str] = []
    material, small, lined = 0, 0, False
    for number, line in lines:
        keyword, _, rest = line.partition(" ")
        try:
            match keyword:
                case "v":
                    vertices.append([float(x) for x in rest.split()])
                    if len(vertices[-1]) < 3:
                        raise ValueError("a vertex needs three coordinates")
                    colored += len(vertices[-1]) >= 6
                case "vt":
                    uvs.append([*(float(x) for x in rest.split()), 0.0][:2])
                    if len(uvs[-1]) < 2:
                        raise ValueError("texture coordinates are missing")
                case "vn":
                    normals.append([float(x) for x in rest.split()])
                case "f" | "fo":
                    fields = rest.split()
                    if len(fields) < 3:
                        small += 1
                        continue
                    for text in fields:
                        parts = text.split("/")
                        v = int(parts[0])
                        t = int(parts[1]) if len(parts) > 1 and parts[1] else 0
                        # 1 is the first; -1 the last so far. Zero is an error, told below as index -1.
                        corners.append(v - 1 if v >= 0 else len(vertices) + v if len(vertices) + v >= 0 else -1)
                        corner_uvs.append(t - 1 if t > 0 else len(uvs) + t if t < 0 else -1)
                    sizes.append(len(fields))
                    owners.append(material)
                case "usemtl":
                    material = names.setdefault(rest.strip(), len(names))
                case "mtllib":
                    libraries.append(rest.strip())
                case "l":
                    lined = True
        except ValueError as error:
            raise OSError(f"{path}: line {number}: {_shown(line)}: {error}") from error
    if not vertices:
        raise OSError(f"{path}: holds no vertices; not an OBJ file?")
    notes = []
    if small:
        notes.append(f"{small} faces with fewer than three corners are left out")
    if lined:
        notes.append("lines are left out")

    points = np.array([v[:3] for v in vertices], np.float64)
    colors = None
    if colored:
        colors = np.array([v[3:6] if len(v) >= 6 else [1.0, 1.0, 1.0] for v in vertices])
        if np.nanmax(colors) > 1:
            colors = np.where([[len(v) >= 6] for v in vertices], colors / 255, 1.0)
    if not sizes:
        same = len(normals) == len(vertices) and all(len(n) == 3 for n in normals)
        return points_from_file(path, points, colors, np.array(normals) if same else None, notes)

    try:
        corner, corner_uv = np.array(corners, np.int64), np.array(corner_uvs, np.int64)
    except OverflowError as error:
        raise OSError(f"{path}: a face has an index of more than 63 bits") from error
    check_indices(path, corner, len(points))
    if (corner_uv >= len(uvs)).any() or (corner_uv < -1).any():
        check_indices(path, corner_uv[corner_uv != -1], len(uvs), "texture indices")
    triangles = triangulate(points, corner, np.array(sizes))
    uv = None
    if uvs:
        table = np.concatenate([np.array(uvs), [[np.nan, np.nan]]])  # -1, no texture coordinate, reads the last row
        uv = table[corner_uv[triangles]]
    materials, uv = _materials(path, names, libraries, uv, np.repeat(owners, np.array(sizes) - 2), notes)
    contents = Contents(
        vertices=points,
        faces=corner[triangles],
        materials=materials,
        material=np.repeat(owners, np.array(sizes) - 2),
        uv=uv,
        vertex_colors=colors,
        notes=tuple(notes),
    )
    return mesh_from_contents(path, contents)


def _shown(line: str) -> str:
    return ascii(line if len(line) <= 60 else line[:57] + "...")


def _lines(path: Path, data: bytes):
    """Numbered lines that say something, without comments, continued lines joined, blanks made single."""
    text = _text(path, data)
    number, pending, first = 0, "", 1
    for raw in text.splitlines():
        number += 1
        line = _COMMENT.sub("", raw) if "#" in raw else raw
        if not pending:
            first = number
        if line.rstrip().endswith("\\") and not line.lstrip().startswith(("mtllib", "usemtl")):
            pending += line.rstrip()[:-1] + " "
            continue
        line = (pending + line).strip().replace("\t", " ")
        pending = ""
        if line:
            yield first, line
    if pending.strip():
        yield first, pending.strip()


def _text(path: Path, data: bytes) -> str:
    for mark, encoding in ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise OSError(f"{path}: broken {encoding} text") from error
    if b"\0" in data[:4096]:
        raise OSError(f"{path}: not an OBJ or MTL file (it is binary)")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")  # old exporters; only names can hold such letters


def _materials(
    path: Path, names: dict, libraries: list[str], uv: np.ndarray | None, owner: np.ndarray, notes: list[str]
) -> tuple[tuple[Material, ...], np.ndarray | None]:
    """The material of each name in `names`, in order, and the texture coordinates moved as the maps' options say."""
    known: dict[str, _Entry] = {}
    for library in libraries:
        try:
            known = _read_mtl(path, read_reference(path, library)) | known
            continue
        except OSError as error:
            reason = str(error).removeprefix(f"{path}: ")
        # One line may also list several files.
        parts = library.split() if " " in library else []
        failed = 0
        for part in parts:
            try:
                known = _read_mtl(path, read_reference(path, part)) | known
            except OSError:
                failed += 1
        if failed == len(parts):
            notes.append(f"material library left out: {reason}")
    pictures: dict[str, np.ndarray | None] = {}
    materials, missing = [], []
    for index, name in enumerate(names):
        entry = known.get(name) if name is not None else None
        if entry is None:
            if name is not None and known and name not in ("", "(null)", "None"):
                missing.append(name)
            materials.append(Material())
            continue
        image = None
        if entry.map is not None:
            if entry.map not in pictures:
                decoded = sum(p.shape[0] * p.shape[1] for p in pictures.values() if p is not None)
                pictures[entry.map] = _picture(path, entry.map, decoded, notes)
            image = pictures[entry.map]
        color = entry.color or (1.0, 1.0, 1.0)
        if image is not None and color == (0.0, 0.0, 0.0):
            color = (1.0, 1.0, 1.0)  # some exporters write Kd 0 0 0 beside a map; a black texture is never meant
        if entry.opacity < 1:
            note = "transparency is not kept: the surfaces become opaque"
            if note not in notes:
                notes.append(note)
        materials.append(Material(color, image, entry.wrap))
        if uv is not None and (entry.scale != (1.0, 1.0) or entry.offset != (0.0, 0.0)):
            uv[owner == index] = uv[owner == index] * entry.scale + np.array(entry.offset)
    if missing:
        notes.append(
            f"{len(missing)} materials are in no library, the first is {_shown(missing[0])}; they get no colour"
        )
    return tuple(materials), uv


class _Entry:
    """One material of an MTL file, while it is being read."""

    def __init__(self) -> None:
        self.color: tuple[float, float, float] | None = None
        self.map: str | None = None
        self.opacity = 1.0
        self.scale = (1.0, 1.0)
        self.offset = (0.0, 0.0)
        self.wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")


def _read_mtl(path: Path, data: bytes) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    entry = _Entry()
    for line in _text(path, data).splitlines():
        line = _COMMENT.sub("", line).strip()
        keyword, _, rest = line.replace("\t", " ").partition(" ")
        rest = rest.strip()
        match keyword.lower():
            case "newmtl":
                entry = entries.setdefault(rest, _Entry())
            case "kd":
                values = _numbers(rest)
                if len(values) >= 3:
                    entry.color = (values[0], values[1], values[2])
                elif len(values) == 1:
                    entry.color = (values[0], values[0], values[0])
            case "d":
                values = _numbers(rest.removeprefix("-halo"))
                entry.opacity = values[0] if values else 1.0
            case "tr":
                values = _numbers(rest)
                entry.opacity = 1 - values[0] if values else 1.0
            case "map_kd":
                _read_map(entry, rest)
    return entries


def _numbers(text: str) -> list[float]:
    """The numbers at the start of a text, clipped to 0..1."""
    values = []
    for word in text.split():
        word = word.split("#", 1)[0]
        try:
            value = float(word)
        except ValueError:
            break
        values.append(min(max(value, 0.0), 1.0) if value == value else 0.0)
    return values


def _read_map(entry: _Entry, text: str) -> None:
    """`map_Kd [options] file name`; of the options, scale, offset and clamping matter to a colour."""
    counts = {
        "-blendu": 1,
        "-blendv": 1,
        "-boost": 1,
        "-mm": 2,
        "-texres": 1,
        "-clamp": 1,
        "-bm": 1,
        "-imfchan": 1,
        "-cc": 1,
        "-type": 1,
    }
    words = text.split()
    while len(words) > 1 and words[0].startswith("-"):
        option = words.pop(0).lower()
        if option in ("-s", "-o", "-t"):
            values = []
            while words[1:] and len(values) < 3 and _OPTION_NUMBER.fullmatch(words[0]):
                values.append(float(words.pop(0)))
            u, v = [*values, *([1.0, 1.0] if option == "-s" else [0.0, 0.0])[len(values) :]][:2]
            if option == "-s":
                entry.scale = (u, v)
            elif option == "-o":
                entry.offset = (u, v)
        elif option in counts:
            arguments = [words.pop(0) for _ in range(min(counts[option], len(words) - 1))]
            if option == "-clamp" and arguments == ["on"]:
                entry.wrap = ("clamp", "clamp")
        else:  # not an option after all: a name that begins with a dash
            words.insert(0, option)
            break
    entry.map = " ".join(words) or None  # names may hold blanks


def _picture(path: Path, name: str, decoded: int, notes: list[str]) -> np.ndarray | None:
    try:
        rgba = decode_texture(read_reference(path, name.strip('"')), ascii(name), decoded=decoded)
    except OSError as error:
        notes.append(f"texture left out, its material's colour is used: {str(error).removeprefix(f'{path}: ')}")
        return None
    return np.ascontiguousarray(rgba[..., :3])


def write_obj(shape: Mesh | PointCloud, path: Path) -> None:
    """OBJ; with colours of faces or a texture also `<name>.mtl` and `<name>_texture.png` beside it. The OBJ is written
    last.
    """
    if isinstance(shape, PointCloud):
        _write_points(shape, path)
        return
    if isinstance(shape.appearance, FaceColors):
        _write_face_colors(shape, shape.appearance.colors.detach().cpu().numpy(), path)
        return
    vertices, faces = shape.vertices.detach().cpu().numpy(), shape.faces.cpu().numpy() + 1
    stem = re.sub(r"\s+", "_", path.stem)
    head = ["# Maquette"]
    v_lines = _rows("v", vertices)
    f_rows: list[str]
    match shape.appearance:
        case VertexColors(colors):
            v_lines = _rows("v", np.concatenate([vertices, colors.detach().cpu().numpy()], -1))
            f_rows = [f"f {a} {b} {c}" for a, b, c in faces.tolist()]
        case Texture(uv, image):
            write_bytes(path.with_name(f"{stem}_texture.png"), encode_png(image))
            write_text(
                path.with_name(f"{stem}.mtl"),
                f"newmtl texture\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nmap_Kd {stem}_texture.png\n",
            )
            head += [f"mtllib {stem}.mtl"]
            table, index = np.unique(uv.detach().cpu().numpy().reshape(-1, 2), axis=0, return_inverse=True)
            v_lines += _rows("vt", table)
            index = index.reshape(-1, 3) + 1
            pairs = np.stack([faces, index], -1).reshape(-1, 6).tolist()
            f_rows = ["usemtl texture", *(f"f {a}/{s} {b}/{t} {c}/{u}" for a, s, b, t, c, u in pairs)]
        case _:
            f_rows = [f"f {a} {b} {c}" for a, b, c in faces.tolist()]
    write_text(path, "\n".join([*head, *v_lines, *f_rows]) + "\n")


def _rows(keyword: str, values: Float[np.ndarray, "N C"]) -> list[str]:
    form = keyword + " %.9g" * values.shape[1]
    return [form % tuple(row) for row in values.tolist()]


def _write_face_colors(mesh: Mesh, colors: np.ndarray, path: Path) -> None:
    table, index = np.unique(colors, axis=0, return_inverse=True)
    index = index.reshape(-1)
    if len(table) > MOST_MATERIALS:
        write_obj(mesh.with_appearance(palette_texture(colors)), path)
        return
    stem = re.sub(r"\s+", "_", path.stem)
    entries = [
        f"newmtl color_{i}\nKa 0 0 0\nKd {r:.9g} {g:.9g} {b:.9g}\nKs 0 0 0"
        for i, (r, g, b) in enumerate(table.tolist())
    ]
    write_text(path.with_name(f"{stem}.mtl"), "\n".join(entries) + "\n")
    rows = ["# Maquette", f"mtllib {stem}.mtl", *_rows("v", mesh.vertices.detach().cpu().numpy())]
    last = -1
    for owner, (a, b, c) in zip(index.tolist(), (mesh.faces.cpu().numpy() + 1).tolist(), strict=True):
        if owner != last:
            rows.append(f"usemtl color_{owner}")
            last = owner
        rows.append(f"f {a} {b} {c}")
    write_text(path, "\n".join(rows) + "\n")


def palette_texture(colors: Float[np.ndarray, "F 3"]) -> Texture:
    """Face colours as a texture: a sheet of 4 x 4 cells, each face looking at the middle of one. Rounded to 8 bits."""
    table, index = np.unique(np.round(colors.clip(0, 1) * 255).astype(np.uint8), axis=0, return_inverse=True)
    side = int(np.ceil(np.sqrt(len(table))))
    sheet = np.zeros((side * side, 3), np.float32)
    sheet[: len(table)] = table / 255
    image = sheet.reshape(side, side, 3).repeat(4, 0).repeat(4, 1)
    row, column = np.divmod(index.reshape(-1), side)
    uv = np.stack([(column + 0.5) / side, 1 - (row + 0.5) / side], -1).astype(np.float32)
    return Texture(uv=torch.from_numpy(uv[:, None].repeat(3, 1)), image=torch.from_numpy(image))


def _write_points(cloud: PointCloud, path: Path) -> None:
    values = cloud.points.detach().cpu().numpy()
    if cloud.colors is not None:
        values = np.concatenate([values, cloud.colors.detach().cpu().numpy()], -1)
    rows = ["# Maquette", *_rows("v", values)]
    if cloud.normals is not None:
        rows += _rows("vn", cloud.normals.detach().cpu().numpy())
    write_text(path, "\n".join(rows) + "\n")
