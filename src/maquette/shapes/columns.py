"""Inside and outside of closed meshes at the centres of cells, by what each column of cells crosses.

V vertices, F faces, Z Y X cells, P pairs of a face and a column. The winding number of a closed surface is the signed
number of faces that any ray crosses: one pass over the faces answers all centres, exactly.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maquette.ops.raster import pixels_of

PAIRS = 1 << 18
"""Pairs of a face and a column that are looked at at a time."""


def is_closed(faces: Int[Tensor, "F 3"]) -> bool:
    """Whether every edge is run through as often one way as the other: no boundary, whatever meets or intersects."""
    if len(faces) == 0:
        return True
    start, end = faces.long().reshape(-1), faces.long().roll(-1, 1).reshape(-1)
    code = torch.minimum(start, end) * (int(faces.max()) + 1) + torch.maximum(start, end)
    edges, index = code.unique(return_inverse=True)
    return not bool(torch.zeros_like(edges).index_add(0, index, (end - start).sign()).any())


def inside_columns(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "F 3"], size: tuple[int, int, int]
) -> tuple[Bool[Tensor, "Z Y X"], Bool[Tensor, "Y X"]]:
    """Whether the winding number is not 0 at each cell's centre, and of which columns rounding leaves that unsure.

    The mesh is closed, its vertices finite and in cells, cell (k, j, i) from (i, j, k) to (i + 1, j + 1, k + 1). A
    column through an edge or a vertex is moved aside by less than any number (Edelsbrunner & Muecke 1990), so that it
    meets exactly one of the faces there. A centre on the surface lies on either side.
    """
    depth, height, width = size
    vertices, faces = vertices.double(), faces.long()
    flat = vertices[:, :2][faces]
    limit = torch.tensor([width, height], device=faces.device)
    first = (flat.amin(1) - 0.5).ceil().long().clamp(min=0)
    last = ((flat.amax(1) - 0.5).floor().long() + 1).minimum(limit).maximum(first)
    first = first.minimum(last)
    boxes = torch.stack([first[:, 0], last[:, 0], first[:, 1], last[:, 1]], 1)
    steps = torch.zeros((depth + 1) * height * width, dtype=torch.int32, device=faces.device)
    for face, y, x in pixels_of(boxes, PAIRS):
        sign, z = _crossing(vertices, faces[face], x + 0.5, y + 0.5)
        crossed = sign != 0
        # The lowest cell whose centre lies above the face.
        above = ((z[crossed] - 0.5).floor().long() + 1).clamp(0, depth)
        steps.index_add_(0, (above * height + y[crossed]) * width + x[crossed], sign[crossed].int())
    winding = steps.reshape(depth + 1, height, width).cumsum(0, dtype=torch.int32)
    return winding[:-1] != 0, winding[-1] != 0


def _crossing(
    vertices: Float[Tensor, "V 3"], faces: Int[Tensor, "P 3"], x: Float[Tensor, " P"], y: Float[Tensor, " P"]
) -> tuple[Float[Tensor, " P"], Float[Tensor, " P"]]:
    """1 or -1 where the upright line through (x, y) crosses the face, else 0, and at which height."""
    signs, weights = [], []
    for i in range(3):
        start, end = faces[:, (i + 1) % 3], faces[:, (i + 2) % 3]
        turned = torch.where(start < end, 1.0, -1.0).to(x)
        # From the lower vertex, so that faces on both sides of the edge round alike.
        (ax, ay, _), (bx, by, _) = (vertices[ends(start, end)].unbind(1) for ends in (torch.minimum, torch.maximum))
        side = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        aside = torch.where(by != ay, ay - by, bx - ax)
        signs.append(torch.where(side != 0, side, aside).sign() * turned)
        weights.append(side * turned)
    sign = torch.where((signs[0] == signs[1]) & (signs[1] == signs[2]), signs[0], 0.0)
    heights = vertices[:, 2][faces]
    total = weights[0] + weights[1] + weights[2]
    known = (sign != 0) & (total != 0)
    z = (torch.stack(weights, 1) * heights).sum(1) / torch.where(known, total, 1.0)
    z = torch.maximum(torch.minimum(z, heights.amax(1)), heights.amin(1))
    return torch.where(known, sign, 0.0), z
