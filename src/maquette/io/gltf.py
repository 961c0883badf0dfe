"""Read glTF 2.0: .glb and .gltf, with buffers and pictures embedded, beside the file, or in the binary chunk.

The node graph is walked once, so that cycles end. COLOR_0 is linear in glTF; ours is sRGB. v is turned up.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maquette.io.assemble import MOST_ELEMENTS, Contents, check_indices, mesh_from_contents, points_from_file
from maquette.io.colors import srgb_from_linear
from maquette.io.gltf_document import COMPRESSED, Document, accessor_count, accessor_values, parse
from maquette.io.gltf_materials import base_color, material_of
from maquette.io.references import read_file
from maquette.shapes.mesh import Mesh
from maquette.shapes.points import PointCloud


def read_gltf(path: Path) -> Mesh | PointCloud:
    """One Mesh of all triangles of the scene, nodes' transforms applied; a PointCloud when it holds points only."""
    document = parse(path, read_file(path))
    for key, name in COMPRESSED.items():
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


def _placed_meshes(document: Document):
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


def _local(document: Document, node: dict[str, Any], index: int) -> np.ndarray:
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


def _joints(document: Document, skin_index: Any, world: dict[int, np.ndarray]) -> np.ndarray:
    skin = document.item("skins", skin_index)
    joints = document.list_of(skin, "joints", "skin: ")
    if not all(isinstance(j, int) and j in world for j in joints):
        raise document.wrong(f"skin {skin_index} has joints outside the scene")
    matrices = np.stack([world[j] for j in joints]) if joints else np.zeros((0, 4, 4))
    if "inverseBindMatrices" in skin:
        inverse = accessor_values(document, skin["inverseBindMatrices"])
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


def _add_primitive(document: Document, where: str, source: tuple, placement: tuple, collected: tuple) -> None:
    mesh, primitive, node_index = source
    for key, name in COMPRESSED.items():
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
    count = accessor_count(document, attributes["POSITION"])

    if "indices" in primitive:
        indices = accessor_values(document, primitive["indices"], integer=True).reshape(-1).astype(np.int64)
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


def _triangles(document: Document, where: str, mode: int, indices: np.ndarray) -> np.ndarray:
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


def _positions(document: Document, where: str, mesh: dict, primitive: dict, placement: tuple) -> np.ndarray:
    world, joints = placement
    attributes = primitive["attributes"]
    vertices = accessor_values(document, attributes["POSITION"])
    if vertices.shape[-1] != 3:
        raise document.wrong(f"{where}: positions are not VEC3")
    targets = document.list_of(primitive, "targets", where)
    weights = document.list_of(mesh, "weights", where)
    for morph, weight in zip(targets, weights, strict=False):
        if isinstance(weight, int | float) and weight and isinstance(morph, dict) and "POSITION" in morph:
            moved = accessor_values(document, morph["POSITION"])
            if moved.shape != vertices.shape:
                raise document.wrong(f"{where}: a morph target has {moved.shape} for {vertices.shape} positions")
            vertices = vertices + weight * moved
    with np.errstate(over="ignore", invalid="ignore"):
        if joints is not None and "JOINTS_0" in attributes and "WEIGHTS_0" in attributes:
            bones = accessor_values(document, attributes["JOINTS_0"], integer=True)
            share = accessor_values(document, attributes["WEIGHTS_0"])
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


def _colors(document: Document, where: str, attributes: dict, count: int) -> np.ndarray | None:
    if "COLOR_0" not in attributes:
        return None
    linear = accessor_values(document, attributes["COLOR_0"])
    if len(linear) != count or linear.shape[-1] not in (3, 4):
        raise document.wrong(f"{where}: COLOR_0 has shape {linear.shape} for {count} positions")
    return srgb_from_linear(np.nan_to_num(linear[:, :3]).clip(0, 1))


def _normals(document: Document, attributes: dict, count: int, world: np.ndarray) -> np.ndarray | None:
    if "NORMAL" not in attributes:
        return None
    normals = accessor_values(document, attributes["NORMAL"])
    if normals.shape != (count, 3):
        return None
    linear = world[:3, :3]
    # The cofactor matrix turns normals, and needs no inverse (a flat node has none).
    cofactor = np.stack(
        [np.cross(linear[1], linear[2]), np.cross(linear[2], linear[0]), np.cross(linear[0], linear[1])]
    )
    normals = np.nan_to_num(normals) @ cofactor.T
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-30)


def _original(document: Document, attributes: dict, count: int) -> np.ndarray | None:
    if "_VERTEX" not in attributes:
        return None
    original = accessor_values(document, attributes["_VERTEX"]).reshape(-1)
    return original.astype(np.int64) if len(original) == count and (original >= 0).all() else None


def _contents(document: Document, triangles: _Collected) -> Contents:
    colors = triangles.gathered(triangles.colors, 1.0)
    faces, vertices = np.concatenate(triangles.faces), np.concatenate(triangles.vertices)
    face_colors = None
    if len(triangles.original) == 1 and triangles.original[0] is not None:
        vertices, faces, colors, face_colors = _rejoined(vertices, faces, colors, triangles.original[0])
    return Contents(
        vertices=vertices,
        faces=faces,
        materials=tuple(material_of(document, index) for index in triangles.materials),
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


def _material_uv(document: Document, where: str, primitive: dict, attributes: dict, count: int, triangles: _Collected):
    """Number of the material in use, and its texture coordinates per vertex (v up) or None."""
    index = primitive.get("material")
    if index is not None:
        document.item("materials", index)
    number = triangles.materials.setdefault(index, len(triangles.materials))
    texture, _ = base_color(document, index)
    if texture is None:
        return number, None
    transform = document.child(document.child(texture, "extensions", where), "KHR_texture_transform", where)
    which = transform.get("texCoord", texture.get("texCoord", 0))
    name = f"TEXCOORD_{which}"
    if name not in attributes:
        document.note("a textured material on triangles without texture coordinates: they get its base colour")
        return number, None
    uv = accessor_values(document, attributes[name])
    if uv.shape != (count, 2):
        raise document.wrong(f"{where}: {name} has shape {uv.shape} for {count} positions")
    if transform:
        offset = document.numbers(transform, "offset", [0.0, 0.0], where)
        scale = document.numbers(transform, "scale", [1.0, 1.0], where)
        angle = float(document.numbers({"r": [transform.get("rotation", 0.0)]}, "r", [0.0], where)[0])
        c, s = np.cos(angle), np.sin(angle)
        uv = (uv * scale) @ np.array([[c, -s], [s, c]]) + offset
    return number, np.stack([uv[:, 0], 1 - uv[:, 1]], -1)
