"""OFF (Geomview): OFF, COFF, NOFF, STOFF and their combinations as text; written as OFF or COFF."""

import re
from pathlib import Path

import numpy as np
import torch

from maquette.io.assemble import Contents, check_indices, mesh_from_contents, points_from_file
from maquette.io.atomic import write_text
from maquette.io.polygons import triangulate
from maquette.io.references import read_file
from maquette.shapes.mesh import FaceColors, Mesh, VertexColors
from maquette.shapes.points import PointCloud


def read_off(path: Path) -> Mesh | PointCloud:
    """Polygons as triangles, colours of vertices or faces; a PointCloud when there are no faces."""
    text = read_file(path).decode("latin-1")
    lines = [line for line in (raw.split("#", 1)[0].split() for raw in text.splitlines()) if line]
    head = re.fullmatch(r"(ST)?(C)?(N)?(4)?(n)?OFF", lines[0][0]) if lines else None
    if head is None:
        raise OSError(f"{path}: not an OFF file (it does not start with OFF)")
    if head[4] or head[5]:
        raise OSError(f"{path}: {lines[0][0]} has vertices in more than three dimensions, which are not read")
    if len(lines[0]) > 1 and lines[0][1].upper() == "BINARY":
        raise OSError(f"{path}: binary OFF is not read; convert it to text")
    rows = ([lines[0][1:]] if len(lines[0]) > 1 else []) + lines[1:]
    try:
        vertex_count, face_count = (int(x) for x in rows[0][:2])
    except (ValueError, IndexError) as error:
        raise OSError(f"{path}: the numbers of vertices and faces are missing") from error
    if vertex_count < 0 or face_count < 0 or len(rows) - 1 < vertex_count + face_count:
        raise OSError(
            f"{path}: truncated: header says {vertex_count} vertices and {face_count} faces, "
            f"{len(rows) - 1} lines follow"
        )
    body = rows[1 : 1 + vertex_count]
    columns = min((len(row) for row in body), default=0)
    if columns < 3:
        raise OSError(f"{path}: a vertex has fewer than three coordinates")
    try:
        table = np.array([row[:columns] for row in body], np.float64)
        faces = [_face(row) for row in rows[1 + vertex_count : 1 + vertex_count + face_count]]
    except (ValueError, IndexError) as error:
        raise OSError(f"{path}: broken numbers: {error}") from error
    normals = table[:, 3:6] if head[3] and columns >= 6 else None
    start = 6 if head[3] else 3
    colors = None
    # Many programs write colours behind the coordinates of a plain OFF.
    if (head[2] or not head[3]) and not head[1] and columns >= start + 3:
        whole = all(re.fullmatch(r"\d+", x) for row in body for x in row[start : start + 3])
        colors = table[:, start : start + 3] / (255 if whole else 1)
    if not faces:
        return points_from_file(path, table[:, :3], colors, normals)
    if (small := sum(len(corners) < 3 for corners, _ in faces)) == len(faces):
        raise OSError(f"{path}: holds no faces with three corners")
    notes = (f"{small} faces with fewer than three corners are left out",) if small else ()
    faces = [f for f in faces if len(f[0]) >= 3]
    corners = np.array([i for f, _ in faces for i in f], np.int64)
    sizes = np.array([len(f) for f, _ in faces])
    check_indices(path, corners, vertex_count)
    return mesh_from_contents(
        path,
        Contents(
            vertices=table[:, :3],
            faces=corners[triangulate(table[:, :3], corners, sizes)],
            vertex_colors=colors,
            face_colors=_face_colors(path, faces, sizes) if colors is None else None,
            notes=notes,
        ),
    )


def _face(row: list[str]) -> tuple[list[int], list[str]]:
    """Corners and what follows them (a colour, perhaps)."""
    count = int(row[0])
    if count < 0 or len(row) < 1 + count:
        raise ValueError(f"a face of {count} corners has {len(row) - 1}")
    corners = [int(x) for x in row[1 : 1 + count]]
    if any(abs(x) > 2**62 for x in corners):
        raise ValueError("a face has an index of more than 62 bits")
    return corners, row[1 + count :]


def _face_colors(path: Path, faces: list[tuple[list[int], list[str]]], sizes: np.ndarray) -> np.ndarray | None:
    """Three or four numbers behind a face are a colour: whole ones 0..255, else 0..1. An index into a colour map is not
    a colour.
    """
    colors = []
    for _, rest in faces:
        if len(rest) not in (3, 4):
            return None
        scale = 255 if all(re.fullmatch(r"\d+", x) for x in rest) else 1
        try:
            colors.append([float(x) / scale for x in rest[:3]])
        except ValueError as error:
            raise OSError(f"{path}: broken colour of a face: {error}") from error
    return np.repeat(np.array(colors), sizes - 2, 0)


def write_off(mesh: Mesh, path: Path) -> None:
    """OFF with colours of faces, or COFF with colours of vertices, in 8 bits."""
    columns = [[f"{x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices.detach().cpu().tolist()]]
    face_rows = [f"3 {a} {b} {c}" for a, b, c in mesh.faces.tolist()]
    head = "OFF"
    match mesh.appearance:
        case VertexColors(colors):
            head = "COFF"
            columns.append([f"{r} {g} {b} 255" for r, g, b in _bytes(colors)])
        case FaceColors(colors):
            face_rows = [f"{row} {r} {g} {b}" for row, (r, g, b) in zip(face_rows, _bytes(colors), strict=True)]
    vertex_rows = [" ".join(row) for row in zip(*columns, strict=True)]
    write_text(path, "\n".join([head, f"{len(vertex_rows)} {len(face_rows)} 0", *vertex_rows, *face_rows]) + "\n")


def _bytes(colors: torch.Tensor) -> list[list[int]]:
    return (colors.detach().cpu().clamp(0, 1) * 255).round().int().tolist()
