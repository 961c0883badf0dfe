"""Read glTF 2.0: .glb and .gltf, with buffers and pictures embedded, beside the file, or in the binary chunk.

Nothing in the file is believed: counts and offsets are checked against the bytes that are there before anything is
allocated, and the node graph is walked once, so that cycles end. Colour factors and COLOR_0 are linear in glTF; ours
are sRGB. v is turned up.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maquette.io.assemble import (
    MOST_ELEMENTS,
    Contents,
    Material,
    Wrap,
    check_indices,
    mesh_from_contents,
    points_from_file,
)
from maquette.io.colors import srgb_from_linear
from maquette.io.pictures import decode_texture
from maquette.io.references import read_file, read_reference
from maquette.shapes.mesh import Mesh
from maquette.shapes.points import PointCloud

_COMPONENTS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_WRAPS: dict[int, Wrap] = {33071: "clamp", 33648: "mirror", 10497: "repeat"}
_COMPRESSED = {
    "KHR_draco_mesh_compression": "Draco",
    "EXT_meshopt_compression": "meshopt",
    "KHR_meshopt_compression": "meshopt",
}

MOST_WITHOUT_DATA = 1_000_000
"""Values of an accessor that no bytes stand behind: zeros, by the standard."""


@dataclass(eq=False)
class _Document:
    """The JSON, the binary chunk, and what was decoded so far; the reader's notebook, never handed out."""

    path: Path
    json: dict[str, Any]
    chunk: bytes | None
    buffers: dict[int, bytes] = field(default_factory=dict)
    pictures: dict[int, tuple[np.ndarray, bool] | None] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def wrong(self, text: str) -> OSError:
        return OSError(f"{self.path}: {text}")

    def list_of(self, owner: dict[str, Any], key: str, where: str = "") -> list[Any]:
        value = owner.get(key, [])
        if not isinstance(value, list):
            raise self.wrong(f"{where}{key} is not a list")
        return value

    def item(self, key: str, index: Any) -> dict[str, Any]:
        items = self.list_of(self.json, key)
        if type(index) is not int or not 0 <= index < len(items):  # True is no index
            raise self.wrong(f"refers to {key}[{index}], the file has {len(items)}")
        if not isinstance(items[index], dict):
            raise self.wrong(f"{key}[{index}] is not an object")
        return items[index]

    def count(self, owner: dict[str, Any], key: str, where: str, default: int | None = None) -> int:
        value = owner.get(key, default)
        if type(value) is not int or value < 0:
            raise self.wrong(f"{where}: {key} is {value!r}, not a count")
        return value

    def child(self, owner: dict[str, Any], key: str, where: str) -> dict[str, Any]:
        value = owner.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(f"{where}: {key} is not an object")
        return value

    def numbers(self, owner: dict[str, Any], key: str, default: list[float], where: str) -> np.ndarray:
        value = owner.get(key, default)
        if (
            not isinstance(value, list)
            or len(value) != len(default)
            or not all(isinstance(x, int | float) and not abs(x) > 1e30 for x in value)
        ):
            raise self.wrong(f"{where}: {key} is not a list of {len(default)} numbers")
        return np.array(value, np.float64)


def read_gltf(path: Path) -> Mesh | PointCloud:
    """One Mesh of all triangles of the scene, nodes' transforms applied; a PointCloud when it holds points only."""
    document = _parse(path, read_file(path))
    for key, name in _COMPRESSED.items():
        if key in document.list_of(document.json, "extensionsRequired"):
            raise OSError(f"{path}: compressed with {name}, which is not read; export it without compression")
    triangles, points = _Collected(), _Collected()
    for mesh, node, world, joints in _placed_meshes(document):
        for number, primitive in enumerate(document.list_of(mesh, "primitives", "mesh: ")):
            if not isinstance(primitive, dict):
                raise document.wrong("a primitive is not an object")
            where = f"node {node}, primitive {number}"
            _add_primitive(document, where, (mesh, primitive, node), (world, joints), (triangles, points))
    if triangles.faces:
        if points.vertices:
            document.note("points beside triangles are left out")
        return mesh_from_contents(path, _contents(document, triangles))
    if points.vertices:
        colors, normals = points.gathered(points.colors, 1.0), points.gathered(points.normals, 0.0)
        return points_from_file(path, np.concatenate(points.vertices), colors, normals, document.notes)
    if document.notes:
        raise OSError(f"{path}: holds no triangles and no points; {document.notes[0]}")
    raise OSError(f"{path}: holds no triangles and no points")


def _parse(path: Path, data: bytes) -> _Document:
    chunk = None
    text = data
    if data[:4] == b"glTF":
        if len(data) < 20:
            raise OSError(f"{path}: truncated: {len(data)} bytes are less than a GLB header")
        version, length, size, kind = struct.unpack("<IIII", data[4:20])
        if version != 2:
            raise OSError(f"{path}: is glTF {version}; only glTF 2 is read")
        if length > len(data):
            raise OSError(f"{path}: truncated: header says {length} bytes, file has {len(data)}")
        if kind != 0x4E4F534A or 20 + size > len(data):
            raise OSError(f"{path}: broken GLB: the first chunk is not JSON of {size} bytes")
        text = data[20 : 20 + size]
        rest = 20 + size
        if rest + 8 <= length:
            size, kind = struct.unpack("<II", data[rest : rest + 8])
            if kind == 0x004E4942:
                if rest + 8 + size > len(data):
                    raise OSError(f"{path}: truncated: binary chunk of {size} bytes, {len(data) - rest - 8} are there")
                chunk = data[rest + 8 : rest + 8 + size]
    elif path.suffix.lower() == ".glb":
        raise OSError(f"{path}: not a GLB file (it does not start with 'glTF')")
    try:
        value = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise OSError(f"{path}: not a glTF file (no UTF-8 text)") from error
    except json.JSONDecodeError as error:
        raise OSError(f"{path}: not a glTF file or truncated: {error.msg} at line {error.lineno}") from error
    except (RecursionError, ValueError) as error:  # nested a thousand deep, or a number of 5,000 digits
        raise OSError(f"{path}: broken glTF: {type(error).__name__} in its JSON") from error
    if not isinstance(value, dict) or not isinstance(value.get("asset"), dict):
        raise OSError(f"{path}: not a glTF 2 file (it has no asset)")
    version = value["asset"].get("version", "2.0")
    if not str(version).startswith("2"):
        raise OSError(f"{path}: is glTF {version!s:.10}; only glTF 2 is read")
    return _Document(path, value, chunk)


def _placed_meshes(document: _Document):
    """Meshes of the scene with their node, world matrix and, for skinned ones, the matrix of each joint."""
    nodes = document.list_of(document.json, "nodes")
    scenes = document.list_of(document.json, "scenes")
    if scenes:
        scene = document.item("scenes", document.json.get("scene", 0))
        roots = document.list_of(scene, "nodes", "scene: ")
    else:  # a library of nodes: everything that is nobody's child
        children = {
            c for n in nodes if isinstance(n, dict) for c in document.list_of(n, "children") if isinstance(c, int)
        }
        roots = [i for i in range(len(nodes)) if i not in children]
    world: dict[int, np.ndarray] = {}
    stack = [(root, np.eye(4)) for root in reversed(roots)]
    while stack:
        index, parent = stack.pop()
        node = document.item("nodes", index)
        if index in world:
            raise document.wrong(f"node {index} is reached twice: the nodes are no tree (a cycle, or two parents)")
        world[index] = parent @ _local(document, node, index)
        stack += [(child, world[index]) for child in reversed(document.list_of(node, "children", f"node {index}: "))]
    for index, matrix in world.items():
        node = document.item("nodes", index)
        if "EXT_mesh_gpu_instancing" in document.child(node, "extensions", f"node {index}"):
            document.note("instances (EXT_mesh_gpu_instancing) are not read, one of each is")
        if "mesh" not in node:
            continue
        joints = _joints(document, node["skin"], world) if "skin" in node else None
        yield document.item("meshes", node["mesh"]), index, matrix, joints


def _local(document: _Document, node: dict[str, Any], index: int) -> np.ndarray:
    where = f"node {index}"
    if "matrix" in node:
        return document.numbers(node, "matrix", [0.0] * 16, where).reshape(4, 4).T
    x, y, z, w = document.numbers(node, "rotation", [0.0, 0.0, 0.0, 1.0], where)
    length = x * x + y * y + z * z + w * w
    s = 2 / length if length > 0 else 0.0
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - s * (y * y + z * z), s * (x * y - z * w), s * (x * z + y * w)],
        [s * (x * y + z * w), 1 - s * (x * x + z * z), s * (y * z - x * w)],
        [s * (x * z - y * w), s * (y * z + x * w), 1 - s * (x * x + y * y)],
    ]
    matrix[:3, :3] *= document.numbers(node, "scale", [1.0, 1.0, 1.0], where)
    matrix[:3, 3] = document.numbers(node, "translation", [0.0, 0.0, 0.0], where)
    return matrix


def _joints(document: _Document, skin_index: Any, world: dict[int, np.ndarray]) -> np.ndarray:
    skin = document.item("skins", skin_index)
    joints = document.list_of(skin, "joints", "skin: ")
    if not all(isinstance(j, int) and j in world for j in joints):
        raise document.wrong(f"skin {skin_index} has joints outside the scene")
    matrices = np.stack([world[j] for j in joints]) if joints else np.zeros((0, 4, 4))
    if "inverseBindMatrices" in skin:
        inverse = _accessor(document, skin["inverseBindMatrices"])
        if inverse.shape != (len(joints), 16):
            raise document.wrong(f"skin {skin_index} has {len(joints)} joints and other inverseBindMatrices")
        matrices = matrices @ inverse.reshape(-1, 4, 4).swapaxes(-1, -2)
    return matrices


@dataclass(eq=False)
class _Collected:
    """Vertices and triangles of all primitives so far, to be concatenated."""

    vertices: list[np.ndarray] = field(default_factory=list)
    colors: list[np.ndarray | None] = field(default_factory=list)
    normals: list[np.ndarray | None] = field(default_factory=list)
    original: list[np.ndarray | None] = field(default_factory=list)
    total: int = 0
    faces: list[np.ndarray] = field(default_factory=list)
    uv: list[np.ndarray] = field(default_factory=list)
    material: list[np.ndarray] = field(default_factory=list)
    face_total: int = 0
    offsets: dict[tuple, int] = field(default_factory=dict)
    """Where the vertices of accessors that several primitives share begin."""
    materials: dict[Any, int] = field(default_factory=dict)

    def gathered(self, values: list[np.ndarray | None], default: float) -> np.ndarray | None:
        if all(v is None for v in values):
            return None
        pairs = zip(values, self.vertices, strict=True)
        return np.concatenate([np.full_like(p, default) if v is None else v for v, p in pairs])


def _add_primitive(document: _Document, where: str, source: tuple, placement: tuple, collected: tuple) -> None:
    mesh, primitive, node_index = source
    for key, name in _COMPRESSED.items():
        if key in document.child(primitive, "extensions", where):
            raise document.wrong(f"compressed with {name}, which is not read; export it without compression")
    mode = primitive.get("mode", 4)
    if mode in (1, 2, 3):
        document.note("lines are left out")
        return
    if mode not in (0, 4, 5, 6):
        raise document.wrong(f"{where}: mode {mode!r} does not exist")
    attributes = document.child(primitive, "attributes", where)
    if "POSITION" not in attributes:
        raise document.wrong(f"{where}: has no positions")
    triangles, points = collected
    target = points if mode == 0 else triangles

    key = (
        node_index,
        mode == 0,
        str([attributes.get(k) for k in ("POSITION", "COLOR_0", "NORMAL", "JOINTS_0", "WEIGHTS_0", "_VERTEX")]),
    )
    if "targets" in primitive or key not in target.offsets:
        vertices = _positions(document, where, mesh, primitive, placement)
        target.offsets[key] = target.total
        target.vertices.append(vertices)
        target.colors.append(_colors(document, where, attributes, len(vertices)))
        target.normals.append(_normals(document, attributes, len(vertices), placement[0]) if mode == 0 else None)
        target.original.append(_original(document, attributes, len(vertices)))
        target.total += len(vertices)
    start = target.offsets[key]
    count = _accessor_count(document, attributes["POSITION"])

    if "indices" in primitive:
        indices = _accessor(document, primitive["indices"], integer=True).reshape(-1).astype(np.int64)
    else:
        indices = np.arange(count)
    check_indices(document.path, indices, count, f"indices of {where}")
    if target.total > MOST_ELEMENTS or target.face_total > MOST_ELEMENTS:
        raise document.wrong(f"more than {MOST_ELEMENTS // 1_000_000} million vertices or faces")
    if mode == 0:
        return
    faces = _triangles(document, where, mode, indices)
    if np.linalg.det(placement[0][:3, :3]) < 0:
        faces = faces[:, ::-1]  # a mirrored node turns its triangles inside out
    triangles.faces.append(faces + start)
    triangles.face_total += len(faces)
    material, uv = _material_uv(document, where, primitive, attributes, count, triangles)
    triangles.uv.append(np.full((len(faces), 3, 2), np.nan) if uv is None else uv[faces])
    triangles.material.append(np.full(len(faces), material))


def _triangles(document: _Document, where: str, mode: int, indices: np.ndarray) -> np.ndarray:
    if mode == 4:
        if len(indices) % 3:
            document.note(
                f"{where}: {len(indices)} corners are no whole triangles, the last {len(indices) % 3} are left out"
            )
        return indices[: len(indices) // 3 * 3].reshape(-1, 3)
    if len(indices) < 3:
        return np.zeros((0, 3), np.int64)
    if mode == 5:
        strip = np.stack([indices[:-2], indices[1:-1], indices[2:]], -1)
        strip[1::2] = strip[1::2][:, [1, 0, 2]]
        return strip
    return np.stack([indices[1:-1], indices[2:], np.broadcast_to(indices[0], len(indices) - 2)], -1)


def _positions(document: _Document, where: str, mesh: dict, primitive: dict, placement: tuple) -> np.ndarray:
    world, joints = placement
    attributes = primitive["attributes"]
    vertices = _accessor(document, attributes["POSITION"])
    if vertices.shape[-1] != 3:
        raise document.wrong(f"{where}: positions are not VEC3")
    targets = document.list_of(primitive, "targets", where)
    weights = document.list_of(mesh, "weights", where)
    for morph, weight in zip(targets, weights, strict=False):
        if isinstance(weight, int | float) and weight and isinstance(morph, dict) and "POSITION" in morph:
            moved = _accessor(document, morph["POSITION"])
            if moved.shape != vertices.shape:
                raise document.wrong(f"{where}: a morph target has {moved.shape} for {vertices.shape} positions")
            vertices = vertices + weight * moved
    with np.errstate(over="ignore", invalid="ignore"):
        if joints is not None and "JOINTS_0" in attributes and "WEIGHTS_0" in attributes:
            bones = _accessor(document, attributes["JOINTS_0"], integer=True)
            share = _accessor(document, attributes["WEIGHTS_0"])
            if bones.shape != (len(vertices), 4) or share.shape != (len(vertices), 4):
                raise document.wrong(f"{where}: joints and weights do not fit the positions")
            if (bones >= len(joints)).any():
                raise document.wrong(f"{where}: joint {int(bones.max())} of {len(joints)}")
            homogeneous = np.concatenate([vertices, np.ones((len(vertices), 1))], -1)
            posed = np.zeros_like(vertices)
            for k in range(4):  # the node's own transform does not count for a skinned mesh (glTF 3.7.3.3)
                posed += (
                    share[:, k, None]
                    * np.einsum("vij,vj->vi", joints[bones[:, k].astype(np.int64)], homogeneous)[:, :3]
                )
            return posed
        if np.array_equal(world, np.eye(4)):
            return vertices  # as they are: a NaN stays in its place and is named below
        return vertices @ world[:3, :3].T + world[:3, 3]


def _colors(document: _Document, where: str, attributes: dict, count: int) -> np.ndarray | None:
    if "COLOR_0" not in attributes:
        return None
    linear = _accessor(document, attributes["COLOR_0"])
    if len(linear) != count or linear.shape[-1] not in (3, 4):
        raise document.wrong(f"{where}: COLOR_0 has shape {linear.shape} for {count} positions")
    return srgb_from_linear(np.nan_to_num(linear[:, :3]).clip(0, 1))


def _normals(document: _Document, attributes: dict, count: int, world: np.ndarray) -> np.ndarray | None:
    if "NORMAL" not in attributes:
        return None
    normals = _accessor(document, attributes["NORMAL"])
    if normals.shape != (count, 3):
        return None
    linear = world[:3, :3]
    # The cofactor matrix turns normals, and needs no inverse (a flat node has none).
    cofactor = np.stack(
        [np.cross(linear[1], linear[2]), np.cross(linear[2], linear[0]), np.cross(linear[0], linear[1])]
    )
    normals = np.nan_to_num(normals) @ cofactor.T
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-30)


def _original(document: _Document, attributes: dict, count: int) -> np.ndarray | None:
    if "_VERTEX" not in attributes:
        return None
    original = _accessor(document, attributes["_VERTEX"]).reshape(-1)
    return original.astype(np.int64) if len(original) == count and (original >= 0).all() else None


def _contents(document: _Document, triangles: _Collected) -> Contents:
    colors = triangles.gathered(triangles.colors, 1.0)
    faces, vertices = np.concatenate(triangles.faces), np.concatenate(triangles.vertices)
    face_colors = None
    if len(triangles.original) == 1 and triangles.original[0] is not None:
        vertices, faces, colors, face_colors = _rejoined(vertices, faces, colors, triangles.original[0])
    return Contents(
        vertices=vertices,
        faces=faces,
        materials=tuple(_material(document, index) for index in triangles.materials),
        material=np.concatenate(triangles.material),
        uv=np.concatenate(triangles.uv),
        vertex_colors=colors,
        face_colors=face_colors,
        notes=tuple(document.notes),
    )


def _rejoined(vertices: np.ndarray, faces: np.ndarray, colors: np.ndarray | None, original: np.ndarray):
    """Undo the splits that our writer made for normals, texture seams and face colours; nothing when the file says
    otherwise.
    """
    numbers, first, inverse = np.unique(original, return_index=True, return_inverse=True)
    if len(numbers) == 0 or not np.array_equal(vertices[first][inverse], vertices, equal_nan=True):
        return vertices, faces, colors, None
    joined, face_colors = colors, None
    if colors is not None:
        joined = colors[first]
        if not np.array_equal(joined[inverse], colors):
            corners = colors[faces]
            if not (corners == corners[:, :1]).all():
                return vertices, faces, colors, None
            joined, face_colors = None, corners[:, 0]
    return vertices[first], inverse[faces], joined, face_colors


def _material_uv(document: _Document, where: str, primitive: dict, attributes: dict, count: int, triangles: _Collected):
    """Number of the material in use, and its texture coordinates per vertex (v up) or None."""
    index = primitive.get("material")
    if index is not None:
        document.item("materials", index)
    number = triangles.materials.setdefault(index, len(triangles.materials))
    texture, _ = _base(document, index)
    if texture is None:
        return number, None
    transform = document.child(document.child(texture, "extensions", where), "KHR_texture_transform", where)
    which = transform.get("texCoord", texture.get("texCoord", 0))
    name = f"TEXCOORD_{which}"
    if name not in attributes:
        document.note("a textured material on triangles without texture coordinates: they get its base colour")
        return number, None
    uv = _accessor(document, attributes[name])
    if uv.shape != (count, 2):
        raise document.wrong(f"{where}: {name} has shape {uv.shape} for {count} positions")
    if transform:
        offset = document.numbers(transform, "offset", [0.0, 0.0], where)
        scale = document.numbers(transform, "scale", [1.0, 1.0], where)
        angle = float(document.numbers({"r": [transform.get("rotation", 0.0)]}, "r", [0.0], where)[0])
        c, s = np.cos(angle), np.sin(angle)
        uv = (uv * scale) @ np.array([[c, -s], [s, c]]) + offset
    return number, np.stack([uv[:, 0], 1 - uv[:, 1]], -1)


def _base(document: _Document, index: int | None) -> tuple[dict | None, np.ndarray]:
    """The base colour's texture reference, if any, and its factor (linear RGBA)."""
    if index is None:
        return None, np.ones(4)
    material, where = document.item("materials", index), f"material {index}"
    extensions = document.child(material, "extensions", where)
    pbr, color, texture = document.child(material, "pbrMetallicRoughness", where), "baseColorFactor", "baseColorTexture"
    if "KHR_materials_pbrSpecularGlossiness" in extensions:
        pbr = document.child(extensions, "KHR_materials_pbrSpecularGlossiness", where)
        color, texture = "diffuseFactor", "diffuseTexture"
    factor = document.numbers(pbr, color, [1.0, 1.0, 1.0, 1.0], where)
    return (document.child(pbr, texture, where) if texture in pbr else None), factor


def _material(document: _Document, index: int | None) -> Material:
    if index is None:
        return Material()
    reference, factor = _base(document, index)
    material = document.item("materials", index)
    see_through = material.get("alphaMode", "OPAQUE") in ("BLEND", "MASK")
    r, g, b = (float(x) for x in srgb_from_linear(factor[:3].clip(0, 1)))
    image = None
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")
    if reference is not None:
        texture = document.item("textures", reference.get("index"))
        found = _picture(document, texture)
        if found is not None:
            image = found[0]
            see_through = see_through and (found[1] or factor[3] < 1)
        if "sampler" in texture:
            sampler = document.item("samplers", texture["sampler"])
            wrap = (_wrap(sampler.get("wrapS")), _wrap(sampler.get("wrapT")))
    else:
        see_through = see_through and factor[3] < 1
    if see_through:
        document.note("transparency is not kept: the surfaces become opaque")
    silent = reference is None and factor.tolist() == [1.0] * 4 and not _says_color(document, material)
    return Material(None if silent else (r, g, b), image, wrap)


def _says_color(document: _Document, material: dict) -> bool:
    """Whether a base colour is written down; a material may be about roughness alone."""
    return "baseColorFactor" in document.child(material, "pbrMetallicRoughness", "material") or bool(
        material.get("extensions")
    )


def _wrap(value: Any) -> Wrap:
    return _WRAPS.get(value, "repeat") if isinstance(value, int) else "repeat"


def _picture(document: _Document, texture: dict) -> tuple[np.ndarray, bool] | None:
    """RGB of a texture's picture and whether it has transparent pixels; None, and a note, when it cannot be had."""
    source = texture.get("source")
    for extension in ("EXT_texture_webp", "EXT_texture_avif"):
        source = document.child(document.child(texture, "extensions", "texture"), extension, "texture").get(
            "source", source
        )
    if source is None:
        document.note("a texture of a kind that is not read (KTX2?): its material's base colour is used")
        return None
    image = document.item("images", source)
    if source not in document.pictures:
        try:
            if "bufferView" in image:
                data, name = bytes(_view(document, image["bufferView"])[0]), f"picture {source}"
            else:
                uri = image.get("uri")
                if not isinstance(uri, str):
                    raise document.wrong(f"picture {source} has neither uri nor bufferView")
                data, name = read_reference(document.path, uri), ascii(uri[:60])
            rgba = decode_texture(data, name)
            document.pictures[source] = np.ascontiguousarray(rgba[..., :3]), bool((rgba[..., 3] < 255).any())
        except OSError as error:
            document.note(
                f"texture left out, its material's base colour is used: {str(error).removeprefix(f'{document.path}: ')}"
            )
            document.pictures[source] = None
    return document.pictures[source]


def _buffer(document: _Document, index: Any) -> bytes:
    buffer = document.item("buffers", index)
    if index not in document.buffers:
        uri = buffer.get("uri")
        length = document.count(buffer, "byteLength", f"buffer {index}")
        if uri is None and index == 0 and document.chunk is not None:
            data = document.chunk
        elif isinstance(uri, str):
            data = read_reference(document.path, uri)
        else:
            raise document.wrong(f"buffer {index} has no data")
        if length > len(data):
            raise document.wrong(f"truncated: buffer {index} of {length} bytes, {len(data)} are there")
        document.buffers[index] = data
    return document.buffers[index]


def _view(document: _Document, index: Any) -> tuple[memoryview, int | None]:
    """The bytes of a buffer view and its stride."""
    view, where = document.item("bufferViews", index), f"bufferView {index}"
    for key, name in _COMPRESSED.items():
        if key in document.child(view, "extensions", where):
            raise document.wrong(f"compressed with {name}, which is not read; export it without compression")
    data = _buffer(document, view.get("buffer"))
    start, length = document.count(view, "byteOffset", where, 0), document.count(view, "byteLength", where)
    if start + length > len(data):
        raise document.wrong(f"{where} ends at byte {start + length}, its buffer has {len(data)}")
    stride = document.count(view, "byteStride", where, 0)
    return memoryview(data)[start : start + length], stride or None


def _accessor_count(document: _Document, index: Any) -> int:
    return document.count(document.item("accessors", index), "count", f"accessor {index}")


def _accessor(document: _Document, index: Any, *, integer: bool = False) -> np.ndarray:
    """An accessor as N x width floats (normalised integers scaled to 0..1 or -1..1), or as the integers it stores."""
    accessor, where = document.item("accessors", index), f"accessor {index}"
    kind, width = accessor.get("componentType"), _WIDTHS.get(str(accessor.get("type")))
    if not isinstance(kind, int) or kind not in _COMPONENTS or width is None:
        raise document.wrong(f"{where}: type {accessor.get('type')!r} of {kind!r} does not exist")
    dtype = np.dtype(_COMPONENTS[kind])
    if integer and dtype.kind == "f":
        raise document.wrong(f"{where}: holds floats where indices are expected")
    count = document.count(accessor, "count", where)
    if "bufferView" in accessor:
        values = _strided(document, accessor, where, dtype, (count, width))
    else:
        if count > MOST_WITHOUT_DATA:
            raise document.wrong(f"{where}: {count} values without data")
        values = np.zeros((count, width), dtype)
    if "sparse" in accessor:
        sparse = document.child(accessor, "sparse", where)
        n = document.count(sparse, "count", where)
        places, items = document.child(sparse, "indices", where), document.child(sparse, "values", where)
        place_kind = places.get("componentType")
        if place_kind not in (5121, 5123, 5125):
            raise document.wrong(f"{where}: sparse indices of type {place_kind!r}")
        at = _strided(document, places, where, np.dtype(_COMPONENTS[place_kind]), (n, 1))[:, 0].astype(np.int64)
        if (at >= count).any():
            raise document.wrong(f"{where}: sparse index {int(at.max())} of {count}")
        values = values.copy()
        values[at] = _strided(document, items, where, dtype, (n, width))
    if integer:
        return values
    if accessor.get("normalized") and dtype.kind != "f":
        return np.maximum(values.astype(np.float64) / np.iinfo(dtype).max, -1.0)
    return values.astype(np.float64)


def _strided(document: _Document, accessor: dict, where: str, dtype: np.dtype, shape: tuple[int, int]) -> np.ndarray:
    data, stride = _view(document, accessor.get("bufferView"))
    offset = document.count(accessor, "byteOffset", where, 0)
    size = dtype.itemsize * shape[1]
    stride = stride or size
    if stride < size:
        raise document.wrong(f"{where}: stride {stride} is less than its {size} bytes")
    if shape[0] == 0:
        return np.zeros(shape, dtype)
    end = offset + stride * (shape[0] - 1) + size
    if end > len(data):
        raise document.wrong(f"{where} ends at byte {end}, its view has {len(data)}")
    return np.ndarray(shape, dtype, data, offset, (stride, dtype.itemsize))
