"""`load` and `save`: files become shapes and shapes files, by the suffix and the type."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from maquette.io.glb import write_glb
from maquette.io.gltf import read_gltf
from maquette.io.obj import read_obj, write_obj
from maquette.io.off import read_off, write_off
from maquette.io.ply import read_ply, write_ply
from maquette.io.stl import read_stl, write_stl
from maquette.io.voxel_file import read_voxels, write_voxels
from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors, check, read_texture
from maquette.shapes.points import PointCloud
from maquette.shapes.verbs import Shape
from maquette.shapes.voxels import Voxels

_READERS = {
    ".glb": read_gltf,
    ".gltf": read_gltf,
    ".obj": read_obj,
    ".ply": read_ply,
    ".off": read_off,
    ".stl": read_stl,
    ".npz": read_voxels,
}
_WRITERS: dict[type, dict[str, Callable[..., None]]] = {
    Mesh: {".glb": write_glb, ".obj": write_obj, ".ply": write_ply, ".stl": write_stl, ".off": write_off},
    PointCloud: {".glb": write_glb, ".obj": write_obj, ".ply": write_ply},
    Voxels: {".npz": write_voxels},
}


def load(path: str | Path) -> Shape:
    """The shape in a file: a Mesh, a PointCloud when it has no faces, or Voxels, in the file's own frame and units.

    .glb .gltf .obj .ply .off .stl .npz (voxels). Everything in a file becomes one shape: nodes' transforms are applied,
    polygons are cut into triangles, several materials become one atlas. What is left out (transparency, a missing
    texture) is said in a warning. Raises OSError with the path first when the file is missing, empty, truncated, not of
    its format, or its mesh has no faces, NaN or indices out of range. No code of the file is run and no other file
    outside its folder's parent is read.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give a file in it")
    if reader is None:
        raise ValueError(f"load: no reader for {path.suffix!r} ({path}); known are {' '.join(_READERS)}")
    # Numbers that float32 cannot hold become infinite without a word from NumPy; `check_finite` names them.
    with np.errstate(over="ignore", invalid="ignore"):
        return reader(path)


def save(shape: Shape, path: str | Path) -> None:
    """Write a shape in the format of the suffix, whole or not at all; missing folders are made.

    Mesh: .glb .obj .ply .stl .off; PointCloud: .ply .glb .obj; Voxels: .npz. OBJ puts its materials beside it as
    `<name>.mtl` and `<name>_texture.png`. What a format cannot hold is said in a warning: STL has no colours; PLY and
    OFF hold colours of vertices or faces, so a texture is read at the vertices. OFF and PLY round colours to 8 bits.
    """
    path = Path(path)
    writers = _WRITERS.get(type(shape))
    if writers is None:
        raise ValueError(f"save: a {type(shape).__name__} is not a shape; give a Mesh, PointCloud or Voxels")
    writer = writers.get(path.suffix.lower())
    if writer is None:
        kinds = ", ".join(writers)
        way_out = "; to_mesh makes a mesh of it" if isinstance(shape, Voxels) else ""
        raise ValueError(
            f"save: no writer for {type(shape).__name__} as {path.suffix!r} ({path}); "
            f"this shape can be saved as {kinds}{way_out}"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; give the path of a file")
    match shape:
        case Mesh():
            _single(shape.vertices, "vertices", 2)
            shape = _as_the_format_holds(check(shape, "save"), path)
        case PointCloud(points, colors, normals):
            _single(points, "points", 2)
            if len(points) == 0:
                raise ValueError("save: the cloud has no points")
            _finite(points, "points")
            if normals is not None:
                _finite(normals, "normals")
            if colors is not None:
                _finite(colors, "colors")
        case Voxels(occupancy, world_from_grid):
            _single(occupancy, "occupancy", 3)
            _finite(occupancy, "occupancy")
            _finite(world_from_grid, "world_from_grid")
    writer(shape, path)


def _single(values: torch.Tensor, name: str, axes: int) -> None:
    if values.ndim != axes:
        raise ValueError(
            f"save: {name} have shape {tuple(values.shape)}: a file holds one shape, save each of the batch"
        )


def _finite(values: torch.Tensor, name: str) -> None:
    bad = ~torch.isfinite(values)
    if bool(bad.any()):
        raise ValueError(f"save: {int(bad.sum())} of {values.numel()} numbers in {name} are not finite")


def _as_the_format_holds(mesh: Mesh, path: Path) -> Mesh:
    """The mesh with an appearance that the format can hold, and a warning when something is lost."""
    match mesh.appearance:
        case VertexColors(values) | FaceColors(values):
            _finite(values, "colors")
            _single(values, "colors", 2)
        case Texture(uv, image):
            _finite(uv, "uv")
            _finite(image, "the texture")
    kind = path.suffix[1:].upper()
    if kind == "STL" and mesh.appearance is not None:
        warnings.warn(f"save: STL holds no colours; only the shape is written ({path})", stacklevel=3)
        return mesh.with_appearance(None)
    if kind in ("PLY", "OFF") and isinstance(mesh.appearance, Texture):
        warnings.warn(f"save: {kind} holds no texture; its colours at the vertices are written ({path})", stacklevel=3)
        return mesh.with_appearance(_colors_at_vertices(mesh, mesh.appearance))
    return mesh


def _colors_at_vertices(mesh: Mesh, texture: Texture) -> VertexColors:
    """The texture read at each vertex, the mean over its corners."""
    read = read_texture(texture.image, texture.uv.reshape(-1, 2)).detach()
    corner = mesh.faces.reshape(-1)
    total = read.new_zeros(len(mesh.vertices), 3).index_add(0, corner, read)
    count = read.new_zeros(len(mesh.vertices)).index_add(0, corner, read.new_ones(len(corner)))
    return VertexColors(total / count.clamp(min=1)[:, None])
