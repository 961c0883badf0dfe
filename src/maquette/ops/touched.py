"""Which cells of a grid triangles touch.

F triangles, Z Y X cells. Coordinates are in cells: cell (k, j, i) is the closed box from (i, j, k) to (i + 1, j + 1,
k + 1) in x, y, z. A triangle and a box are apart exactly if one of 13 axes parts them: the box's three, the triangle's
normal, and the nine products of their edges (Akenine-Moeller 2001, "Fast 3D triangle-box overlap testing").
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.ops.checks import FLOATS, check_shape
from maquette.ops.compiled import compiled
from maquette.ops.threads import parallel

PAIRS = 1 << 20
"""Pairs of a triangle and a cell of its box that the reference holds at a time."""


def touched_cells(corners: Float[Tensor, "F 3 3"], size: tuple[int, int, int]) -> Bool[Tensor, "Z Y X"]:
    """The cells of a grid of `size` (Z, Y, X) that any triangle touches, sides, edges and corners included.

    Computed in float64: exact for corners on multiples of a small power of 1/2. A triangle without area touches the
    cells of its segment or point. Corners outside the grid are fine; triangles that are not finite are skipped.

    There is no kernel of its own for a GPU: a mesh is voxelised once, not in every step of a training, and the plain
    reference runs there, in pieces of bounded memory.
    """
    check_shape("touched_cells", "corners", corners, "F 3 3")
    if corners.dtype not in FLOATS:
        raise ValueError(f"touched_cells: corners are {corners.dtype}; make them float32 or float64")
    if len(size) != 3 or min(size) < 1:
        raise ValueError(f"touched_cells: size is {size}; give (Z, Y, X) of at least one cell")
    return _touched_cells(corners.detach().double(), *size)


def touched_cells_reference(corners: Float[Tensor, "F 3 3"], size: tuple[int, int, int]) -> Bool[Tensor, "Z Y X"]:
    """What `touched_cells` means: every triangle against every cell of its box, in pieces of bounded memory."""
    corners = corners.double()
    corners = corners[corners.isfinite().all(-1).all(-1)]
    grid = torch.zeros(size[0] * size[1] * size[2], dtype=torch.bool, device=corners.device)
    last = torch.tensor(size[::-1], dtype=corners.dtype, device=corners.device)
    # Cells that the triangle's box touches: the box's own three axes.
    first = (corners.amin(1).ceil() - 1).maximum(torch.zeros_like(last)).minimum(last).long()
    end = (corners.amax(1).floor() + 1).minimum(last).maximum(torch.zeros_like(last)).long()
    counts = (end - first).clamp(min=0)
    ends = counts.prod(-1).cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, PAIRS):
        pair = torch.arange(start, min(start + PAIRS, total), device=corners.device)
        face = torch.searchsorted(ends, pair, right=True)
        width, height, _ = counts[face].unbind(-1)
        within = pair - (ends[face] - counts[face].prod(-1))
        x = first[face, 0] + within % width
        y = first[face, 1] + within // width % height
        z = first[face, 2] + within // (width * height)
        touched = _overlap(corners[face], torch.stack([x, y, z], -1) + 0.5)
        grid[((z * size[1] + y) * size[2] + x)[touched]] = True
    return grid.reshape(size)


def _overlap(corners: Float[Tensor, "P 3 3"], centers: Float[Tensor, "P 3"]) -> Bool[Tensor, " P"]:
    """Whether no axis but the box's own parts a triangle from the unit cube around a centre."""
    points, middle = corners.unbind(1), centers.unbind(-1)
    (ax, ay, az), (bx, by, bz) = (points[1] - points[0]).unbind(-1), (points[2] - points[1]).unbind(-1)
    normal = (ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx)
    dx, dy, dz = (points[0] - centers).unbind(-1)
    offset = normal[0] * dx + normal[1] * dy + normal[2] * dz
    touched = offset.abs() <= (normal[0].abs() + normal[1].abs() + normal[2].abs()) * 0.5
    for k in range(3):
        edge = (points[(k + 1) % 3] - points[k]).unbind(-1)
        for axis in range(3):
            # The axis (unit vector) x (edge) has two components, in the plane of the two other axes.
            i, j = (axis + 1) % 3, (axis + 2) % 3
            places = [point[:, j] * edge[i] - point[:, i] * edge[j] for point in points]
            low, high = (
                torch.minimum(torch.minimum(*places[:2]), places[2]),
                torch.maximum(torch.maximum(*places[:2]), places[2]),
            )
            center, reach = middle[j] * edge[i] - middle[i] * edge[j], (edge[i].abs() + edge[j].abs()) * 0.5
            touched &= (low - reach <= center) & (center <= high + reach)
    return touched


# Not `custom_op`: its first call imports torch's compiler, which takes as long as importing torch.
torch.library.define("maquette::touched_cells", "(Tensor corners, int depth, int height, int width) -> Tensor")
_touched_cells = torch.ops.maquette.touched_cells.default


@torch.library.impl("maquette::touched_cells", "CompositeExplicitAutograd")
def _(corners: Tensor, depth: int, height: int, width: int) -> Tensor:
    return touched_cells_reference(corners, (depth, height, width))


@torch.library.register_fake("maquette::touched_cells")
def _(corners: Tensor, depth: int, height: int, width: int) -> Tensor:
    return corners.new_empty((depth, height, width), dtype=torch.bool)


@torch.library.impl("maquette::touched_cells", "CPU")
def _(corners: Tensor, depth: int, height: int, width: int) -> Tensor:
    return (touched_cells_numba if compiled() else touched_cells_reference)(corners, (depth, height, width))


def touched_cells_numba(corners: Float[Tensor, "F 3 3"], size: tuple[int, int, int]) -> Bool[Tensor, "Z Y X"]:
    """The compiled kernel behind `touched_cells` on the CPU; threads that meet in a cell write the same."""
    from maquette.ops.touched_numba import touch

    grid = torch.zeros(size, dtype=torch.bool)
    parallel(touch, len(corners), corners.double().contiguous().numpy(), grid.numpy(), chunks_per_thread=4)
    return grid
