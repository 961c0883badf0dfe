"""Solids as the report's page reads them: a few tens of kilobytes each, with the error of every vertex.

All lengths are in object units: the diagonal of the true solid's box is 1, its middle the origin. V vertices, F faces,
N M points.
"""

import zlib
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from maquette.shapes import Mesh, PointCloud, simplify

FACES = 4000
"""Of a mesh in the page, at most."""
POINTS = 5000
"""Of a cloud in the page, at most."""
UNIT = 4096.0
"""Steps of a stored coordinate in an object unit, finer than a pixel; what lies beyond 8 units is drawn there."""


@dataclass(frozen=True)
class Frame:
    """Where the object lies in the data set's frame."""

    middle: Float[Tensor, "3"]
    diagonal: float

    def of(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
        """In object units."""
        return (points - self.middle) / self.diagonal

    def moved(self, surface: Mesh | PointCloud) -> Mesh | PointCloud:
        """The surface in object units, without its colours."""
        if isinstance(surface, Mesh):
            return Mesh(self.of(surface.vertices), surface.faces)
        return PointCloud(self.of(surface.points))


def frame_of(points: Float[Tensor, "N 3"]) -> Frame:
    low, high = points.amin(0), points.amax(0)
    return Frame((low + high) / 2, max(float((high - low).norm()), 1e-9))


@dataclass(frozen=True)
class Solid:
    """A mesh or a cloud in few bytes."""

    positions: Float[Tensor, "V 3"]
    """In object units."""
    faces: Int[Tensor, "F 3"]
    """Empty for a cloud."""
    normals: Float[Tensor, "V 3"] | None
    """Of a cloud that has them, of either sign: they are lit from the viewer's side. A mesh's follow from its faces."""

    def header(self) -> dict[str, int]:
        """What the page must know to read `data`."""
        return {"vertices": len(self.positions), "faces": len(self.faces), "normals": int(self.normals is not None)}

    def data(self) -> bytes:
        """int16 positions, then uint16 faces or int8 normals, each column by column as differences of neighbours."""
        steps = (self.positions * UNIT).round().clamp(-32767, 32767).numpy().astype(np.int32)
        parts = [_differences(steps)]
        if len(self.faces):
            parts.append(_differences(self.faces.numpy()))
        elif self.normals is not None:
            parts.append((self.normals * 127).round().numpy().astype("i1").T.tobytes())
        return b"".join(parts)


def _differences(rows: Int[np.ndarray, "N 3"]) -> bytes:
    """Whole numbers modulo 2^16, column by column; what varies slowly becomes small and packs well."""
    return (np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1])).T & 0xFFFF).astype("<u2").tobytes()


def solid_of(surface: Mesh | PointCloud, frame: Frame) -> Solid:
    """The surface with at most FACES faces or POINTS points."""
    if isinstance(surface, Mesh):
        fewer = simplify(surface, FACES)
        if len(fewer.vertices) > 0xFFFF:
            raise ValueError(f"report: a mesh of {len(surface.faces)} faces kept {len(fewer.vertices)} vertices")
        positions, faces = _in_order_of_faces(fewer)
        return Solid(frame.of(positions), faces, None)
    points, normals = surface.points, surface.normals
    chosen = torch.linspace(0, len(points) - 1, min(len(points), POINTS)).round().long()
    points = frame.of(points[chosen])
    order = _along_a_curve(points)
    return Solid(
        points[order], torch.zeros(0, 3, dtype=torch.int64), None if normals is None else normals[chosen][order]
    )


def _in_order_of_faces(mesh: Mesh) -> tuple[Float[Tensor, "V 3"], Int[Tensor, "F 3"]]:
    """Vertices in the order in which the faces come to them: neighbours have near numbers."""
    used, first, inverse = np.unique(mesh.faces.numpy(), return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(used), np.int64)
    place[order] = np.arange(len(used))
    return mesh.vertices[torch.from_numpy(used[order])], torch.from_numpy(place[inverse].reshape(-1, 3))


def _along_a_curve(points: Float[Tensor, "N 3"]) -> Int[Tensor, " N"]:
    """An order in which neighbours follow each other: by the interleaved bits of their cells (Morton 1966)."""
    cells = ((points + 1) * 256).long().clamp(0, 511)
    code = torch.zeros(len(points), dtype=torch.int64)
    for bit in range(9):
        for axis in range(3):
            code |= ((cells[:, axis] >> bit) & 1) << (3 * bit + axis)
    return code.argsort(stable=True)


def steps_of(distances: Float[Tensor, " N"], limit: float) -> bytes:
    """uint8: 255 stands for `limit` and above."""
    steps: UInt8[Tensor, " N"] = (distances / limit * 255).round().clamp(0, 255).to(torch.uint8)
    return steps.numpy().tobytes()


def packed(parts: list[bytes]) -> bytes:
    return zlib.compress(b"".join(parts), 9)
