"""Write GLB so that every viewer shows it: not black, not inside out, with the right colours.

PBR material with metallic 0 and roughness 1 (a missing metallicFactor means metal, which is black without
surroundings), both sides drawn, normals always, colours linear as glTF wants them, pictures inside as PNG, v turned
down.
"""

import json
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from maquette.io.atomic import write_bytes
from maquette.io.colors import linear_from_srgb
from maquette.io.pictures import encode_png
from maquette.io.rows import unique_rows
from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors
from maquette.shapes.points import PointCloud

CREASE = np.deg2rad(40.0)
"""Faces that meet at a sharper angle are shaded apart: a box keeps its edges, a sphere of 80 triangles is round."""
MOST_RUNS = 256
"""Face colours in at most this many runs of equal colour become materials, which every viewer shows; else colours of
split vertices.
"""
_ARRAY, _ELEMENTS = 34962, 34963


@dataclass(eq=False)
class _Chunks:
    """The growing binary chunk with the views and accessors that describe it."""

    data: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)

    def view(self, data: bytes, target: int | None = None) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        self.data += data
        self.views.append(view)
        return len(self.views) - 1

    def accessor(self, values: np.ndarray, target: int = _ARRAY) -> int:
        kind = {"f": 5126, "u": 5125}[values.dtype.kind]
        accessor: dict[str, Any] = {
            "bufferView": self.view(np.ascontiguousarray(values).tobytes(), target),
            "componentType": kind,
            "count": len(values),
            "type": {1: "SCALAR", 2: "VEC2", 3: "VEC3"}[1 if values.ndim == 1 else values.shape[1]],
        }
        if values.ndim == 2 and values.shape[1] == 3:  # required for positions
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def write_glb(shape: Mesh | PointCloud, path: Path) -> None:
    """One node with one mesh; a cloud as points. Vertices are split where normals, texture or face colours differ;
    the attribute `_VERTEX` keeps the original numbers, so that `load` gives the mesh that was saved."""
    write_bytes(path, glb_bytes(shape, path.stem))


def glb_bytes(shape: Mesh | PointCloud, name: str) -> bytes:
    """The file that `write_glb` writes."""
    chunks = _Chunks()
    extra = _points(shape, chunks) if isinstance(shape, PointCloud) else _mesh(shape, chunks)
    primitives = extra.pop("primitives")
    document = {
        "asset": {"version": "2.0", "generator": "Maquette"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": name}],
        "meshes": [{"name": name, "primitives": primitives}],
        **extra,
        "accessors": chunks.accessors,
        "bufferViews": chunks.views,
        "buffers": [{"byteLength": len(chunks.data)}],
    }
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    body = bytes(chunks.data) + b"\0" * (-len(chunks.data) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(body), len(text), 0x4E4F534A)
    return head + text + struct.pack("<II", len(body), 0x004E4942) + body


def _points(cloud: PointCloud, chunks: _Chunks) -> dict[str, Any]:
    attributes = {"POSITION": chunks.accessor(_array(cloud.points))}
    if cloud.colors is not None:
        attributes["COLOR_0"] = chunks.accessor(_linear(_array(cloud.colors)))
    if cloud.normals is not None:
        attributes["NORMAL"] = chunks.accessor(_array(cloud.normals))
    return {
        "primitives": [{"attributes": attributes, "mode": 0, "material": 0}],
        "materials": [_material(unlit=True)],
    } | _UNLIT


_UNLIT = {"extensionsUsed": ["KHR_materials_unlit"]}


def _mesh(mesh: Mesh, chunks: _Chunks) -> dict[str, Any]:
    vertices, faces = _array(mesh.vertices), mesh.faces.cpu().numpy()
    normals = corner_normals(vertices, faces)
    columns = [normals.reshape(-1, 3)]
    uv = colors = None
    runs = np.zeros(1, np.int64)
    match mesh.appearance:
        case Texture(uv=corner_uv):
            uv = _array(corner_uv).reshape(-1, 2)
            columns.append(uv)
        case VertexColors(values):
            colors = _array(values)[faces].reshape(-1, 3)
        case FaceColors(values):
            flat = _array(values)
            runs = np.flatnonzero(np.concatenate([[True], (flat[1:] != flat[:-1]).any(-1)]))
            if len(runs) > MOST_RUNS:
                colors = flat.repeat(3, 0)
                columns.append(colors)
                runs = np.zeros(1, np.int64)
    first, corner = _split(faces, columns)
    original = faces.reshape(-1)[first]
    attributes = {
        "POSITION": chunks.accessor(vertices[original]),
        "NORMAL": chunks.accessor(normals.reshape(-1, 3)[first]),
    }
    if uv is not None:
        attributes["TEXCOORD_0"] = chunks.accessor(np.stack([uv[first, 0], 1 - uv[first, 1]], -1))
    if colors is not None:
        attributes["COLOR_0"] = chunks.accessor(_linear(colors[first]))
    if len(np.unique(original)) < len(original) and len(vertices) < 2**24:
        attributes["_VERTEX"] = chunks.accessor(original.astype(np.float32))
    indices = corner.reshape(-1, 3).astype(np.uint32)
    extra: dict[str, Any] = {"primitives": [], "materials": []}
    numbers: dict[tuple, int] = {}
    for begin, end in zip(runs, [*runs[1:], len(indices)], strict=True):
        color = (1.0, 1.0, 1.0)
        if isinstance(mesh.appearance, FaceColors) and colors is None:
            color = tuple(_linear(_array(mesh.appearance.colors)[begin]).tolist())
        if color not in numbers:
            numbers[color] = len(numbers)
            extra["materials"].append(_material(color, textured=uv is not None))
        extra["primitives"].append({
            "attributes": attributes,
            "indices": chunks.accessor(indices[begin:end].reshape(-1), _ELEMENTS),
            "mode": 4,
            "material": numbers[color],
        })  # fmt: skip
    if mesh.appearance is None:  # nothing is known about colour: the material says only how light falls
        del extra["materials"][0]["pbrMetallicRoughness"]["baseColorFactor"]
    if isinstance(mesh.appearance, Texture):
        extra["images"] = [{"bufferView": chunks.view(encode_png(mesh.appearance.image)), "mimeType": "image/png"}]
        extra["samplers"] = [{"magFilter": 9729, "minFilter": 9987, "wrapS": 10497, "wrapT": 10497}]
        extra["textures"] = [{"source": 0, "sampler": 0}]
    return extra


def _material(color: tuple = (1.0, 1.0, 1.0), *, textured: bool = False, unlit: bool = False) -> dict[str, Any]:
    surface: dict[str, Any] = {"baseColorFactor": [*color, 1.0], "metallicFactor": 0.0, "roughnessFactor": 1.0}
    if textured:
        surface["baseColorTexture"] = {"index": 0}
    return {"pbrMetallicRoughness": surface, "doubleSided": True} | (
        {"extensions": {"KHR_materials_unlit": {}}} if unlit else {}
    )


def _array(tensor) -> Float[np.ndarray, "*any"]:
    return tensor.detach().cpu().float().numpy()


def _linear(colors: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    return linear_from_srgb(colors.astype(np.float64).clip(0, 1)).astype(np.float32)


def _split(faces: Int[np.ndarray, "F 3"], columns: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Corners that agree in vertex and all columns become one: (a corner of each, the new number of every corner).

    The order is that of the vertices, so a mesh without splits keeps its numbering.
    """
    bits = [(c.astype(np.float32) + np.float32(0)).view(np.int32) for c in columns]
    first, corner = unique_rows(np.concatenate([faces.reshape(-1, 1), *bits], -1))
    by_vertex = np.argsort(faces.reshape(-1)[first], kind="stable")
    rank = np.empty_like(by_vertex)
    rank[by_vertex] = np.arange(len(first))
    return first[by_vertex], rank[corner]


def corner_normals(vertices: Float[np.ndarray, "V 3"], faces: Int[np.ndarray, "F 3"]) -> Float[np.ndarray, "F 3 3"]:
    """Unit normals of corners: at each, the area-weighted mean of the faces around it that meet its face at less than
    `CREASE`.

    Faces are neighbours when their corners lie at the same place, so seams of textures do not show. Where more than 64
    faces meet (the tip of a cone, the middle of a disc) each keeps its own normal. Faces without area take the mean of
    all around, or else +y.
    """
    area = np.cross(
        vertices[faces[:, 1]] - vertices[faces[:, 0]], vertices[faces[:, 2]] - vertices[faces[:, 0]]
    ).astype(np.float64)
    size = np.linalg.norm(area, axis=-1, keepdims=True)
    unit = np.divide(area, size, out=np.zeros_like(area), where=size > 0)
    place = unique_rows(vertices)[1][faces].reshape(-1)
    order = np.argsort(place, kind="stable")
    counts = np.bincount(place)
    starts = np.cumsum(counts) - counts
    # Pairs (corner, face around it), the corners sorted by place.
    around = counts[place[order]]
    lone = around > 64
    around = np.where(lone, 1, around)
    first = np.where(lone, np.arange(len(order)), starts[place[order]])
    pair_corner = np.repeat(order, around)
    within = np.arange(around.sum()) - np.repeat(np.cumsum(around) - around, around)
    pair_face = order[np.repeat(first, around) + within] // 3
    own = unit[pair_corner // 3]
    smooth = (
        ((own * unit[pair_face]).sum(-1) > np.cos(CREASE))
        | (pair_face == pair_corner // 3)
        | (size[pair_corner // 3, 0] == 0)
    )
    total = np.zeros((3 * len(faces), 3))
    for axis in range(3):
        total[:, axis] = np.bincount(pair_corner[smooth], area[pair_face[smooth], axis], minlength=len(total))
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    normals = np.where(length > 0, total / np.maximum(length, 1e-300), [0.0, 1.0, 0.0])
    return normals.astype(np.float32).reshape(-1, 3, 3)
