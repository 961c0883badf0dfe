"""STL, ASCII and binary: triangles and nothing else. Vertices are repeated for each face; equal ones become one."""

import re
import struct
from pathlib import Path

import numpy as np

from maquette.io.assemble import Contents, mesh_from_contents
from maquette.io.atomic import write_bytes
from maquette.io.references import read_file
from maquette.io.rows import unique_rows
from maquette.shapes.mesh import Mesh

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(path: Path) -> Mesh:
    """Triangles of all solids; bitwise equal corners become one vertex. The stored normals are not used: the winding
    says more.
    """
    data = read_file(path)
    count = struct.unpack("<I", data[80:84])[0] if len(data) >= 84 else -1
    # Binary headers may begin with "solid" too, so the size decides first.
    if len(data) == 84 + 50 * count or data.lstrip()[:5].lower() != b"solid":
        corners = _binary(path, data, count)
    else:
        corners = _ascii(path, data)
    if len(corners) == 0:
        raise OSError(f"{path}: holds no faces")
    flat = corners.reshape(-1, 3)
    first, vertex = unique_rows(flat)
    return mesh_from_contents(path, Contents(vertices=flat[first].astype(np.float64), faces=vertex.reshape(-1, 3)))


def _binary(path: Path, data: bytes, count: int) -> np.ndarray:
    if count < 0:
        raise OSError(f"{path}: not an STL file: neither 'solid' nor the 84 bytes of a binary header")
    if len(data) < 84 + 50 * count:
        raise OSError(
            f"{path}: truncated or not STL: header says {count} faces = {84 + 50 * count} bytes, file has {len(data)}"
        )
    return np.frombuffer(data, _RECORD, count, 84)["corners"]


def _ascii(path: Path, data: bytes) -> np.ndarray:
    found = re.findall(rb"vertex\s+(\S+)\s+(\S+)\s+(\S+)", data, re.IGNORECASE)
    facets = len(re.findall(rb"\bfacet\s+normal", data, re.IGNORECASE))
    if len(found) != 3 * facets or len(re.findall(rb"\bendfacet\b", data, re.IGNORECASE)) != facets:
        raise OSError(f"{path}: truncated or broken: {facets} facets and {len(found)} vertices")
    try:
        return np.array(found).astype(np.float32).reshape(-1, 3, 3) if found else np.zeros((0, 3, 3), np.float32)
    except ValueError as error:
        raise OSError(f"{path}: {error}") from error


def write_stl(mesh: Mesh, path: Path) -> None:
    """Binary STL."""
    records = np.zeros(len(mesh.faces), _RECORD)
    corners = mesh.vertices.detach().cpu().numpy().astype(np.float32)[mesh.faces.cpu().numpy()]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    records["normal"] = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-30)
    records["corners"] = corners
    write_bytes(path, b"Maquette, binary STL".ljust(80) + struct.pack("<I", len(records)) + records.tobytes())
