"""A cube cut into tetrahedra, and the surface on which values at their corners change sign.

The surface of Deep Marching Tetrahedra (Shen et al. 2021, section 3.1): its vertices follow values and positions with
gradients. N corners, T tetrahedra, R cells along each side of the cube, V vertices, F faces.
"""

from dataclasses import dataclass
from itertools import combinations, permutations

import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from maquette.shapes.mesh import Mesh


@dataclass(frozen=True)
class TetrahedralGrid:
    """The cube [-half, half]^3 of R^3 cells, each cut into six tetrahedra around its diagonal (Freudenthal 1942).

    Corners are numbered as an array of axes Z Y X, (R + 1)^3 of them; neighbouring cells share the cuts of their faces.
    """

    resolution: int
    """Cells along each side."""
    half: float = 1.0
    """Half the side, in world units."""

    def __post_init__(self) -> None:
        if self.resolution < 1 or not self.half > 0:
            raise ValueError(
                f"TetrahedralGrid: resolution is {self.resolution}, half is {self.half}; give 1 or more, and above 0"
            )

    @property
    def spacing(self) -> float:
        """The side of a cell."""
        return 2 * self.half / self.resolution

    @property
    def shape(self) -> tuple[int, int, int]:
        """Corners along Z, Y and X."""
        side = self.resolution + 1
        return side, side, side


def _odd(order: tuple[int, ...]) -> bool:
    """Whether a permutation takes an odd number of swaps."""
    return sum(a > b for a, b in combinations(order, 2)) % 2 == 1


def _cell_tetrahedra() -> Int64[Tensor, "6 4 3"]:
    """Corners (x, y, z in 0, 1) of a cell's tetrahedra: a path along the axes in each order; all wound alike."""
    paths = []
    for order in permutations(range(3)):
        path = [[int(axis in order[:step]) for axis in range(3)] for step in range(4)]
        paths.append([path[0], path[2], path[1], path[3]] if _odd(order) else path)
    return torch.tensor(paths)


EDGES = tuple(combinations(range(4), 2))
"""The edges of a tetrahedron, by its corners."""


def _crossings() -> tuple[Int64[Tensor, "16 2 3"], Int64[Tensor, " 16"]]:
    """Triangles (their edges) of a tetrahedron, and how many, by the sum of 2^corner over the corners inside."""
    triangles, counts = torch.zeros(16, 2, 3, dtype=torch.int64), torch.zeros(16, dtype=torch.int64)
    for code in range(1, 15):
        inside = [corner for corner in range(4) if code >> corner & 1]
        outside = [corner for corner in range(4) if not code >> corner & 1]
        alone, others = (inside, outside) if len(inside) < 3 else (outside, inside)
        if _odd((*alone, *others)):
            others = [*others[:-2], others[-1], others[-2]]
        # Around a corner a of (a, b, c, d), whose volume is positive, the points on ab, ac, ad turn left seen from
        # beyond them; so do those on ac, ad, bd, bc, seen from c and d.
        if len(alone) == 1:
            ring = [(alone[0], other) for other in others]
        else:
            (a, b), (c, d) = alone, others
            ring = [(a, c), (a, d), (b, d), (b, c)]
        numbers = [EDGES.index((min(pair), max(pair))) for pair in ring]
        if len(inside) == 3:
            numbers.reverse()
        counts[code] = len(ring) - 2
        for triangle in range(len(ring) - 2):
            triangles[code, triangle] = torch.tensor([numbers[0], numbers[triangle + 1], numbers[triangle + 2]])
    return triangles, counts


CELL = _cell_tetrahedra()
TRIANGLES, COUNTS = _crossings()
ENDS = torch.tensor(EDGES)


def grid_points(grid: TetrahedralGrid) -> Float[Tensor, "N 3"]:
    """Where the corners are: x, y, z in world units."""
    steps = torch.linspace(-grid.half, grid.half, grid.resolution + 1)
    z, y, x = torch.meshgrid(steps, steps, steps, indexing="ij")
    return torch.stack([x, y, z], -1).reshape(-1, 3)


def grid_tetrahedra(grid: TetrahedralGrid) -> Int64[Tensor, "T 4"]:
    """The corners of all 6 R^3 tetrahedra, each of positive volume."""
    return _of_cells(grid, torch.arange(grid.resolution**3))


def crossed_tetrahedra(grid: TetrahedralGrid, values: Float[Tensor, " N"]) -> Int64[Tensor, "T 4"]:
    """Those of the cells whose corners are not all on one side; enough for `isosurface_of`, and far fewer than all."""
    if len(values) != (grid.resolution + 1) ** 3:
        raise ValueError(f"crossed_tetrahedra: {len(values)} values; the grid has {grid.shape} corners")
    inside = (values.detach() < 0).reshape(grid.shape)
    some, every = inside, inside
    for axis in range(3):
        here, there = (slice(None),) * axis + (slice(None, -1),), (slice(None),) * axis + (slice(1, None),)
        some, every = some[here] | some[there], every[here] & every[there]
    return _of_cells(grid, (some & ~every).reshape(-1).nonzero()[:, 0])


def _of_cells(grid: TetrahedralGrid, cells: Int64[Tensor, " C"]) -> Int64[Tensor, "T 4"]:
    count, side = grid.resolution, grid.resolution + 1
    z, y, x = cells // count**2, cells // count % count, cells % count
    offsets = (CELL @ torch.tensor([1, side, side**2])).to(cells.device)
    return (((z * side + y) * side + x)[:, None, None] + offsets).reshape(-1, 4)


def isosurface_of(values: Float[Tensor, " N"], positions: Float[Tensor, "N 3"], tetrahedra: Int[Tensor, "T 4"]) -> Mesh:
    """The surface between values below 0, which are inside, and the others; marching tetrahedra.

    A vertex lies on each edge whose ends differ in sign, where the linear interpolation is 0 (Shen et al. 2021, eq. 1);
    gradients flow to values and positions, the choice of the edges is held fixed. Faces are counter-clockwise seen from
    outside if the tetrahedra have positive volume, (b - a) x (c - a) . (d - a) > 0; every vertex is shared. The
    surface is closed but at the border of the tetrahedra. Values that do not change sign give an empty mesh. A value of
    exactly 0 counts as outside: vertices then coincide, and faces without area are kept. Values and positions that are
    not finite are errors.
    """
    count = len(values)
    if len(positions) != count:
        raise ValueError(f"isosurface_of: {count} values for {len(positions)} positions; give one for each")
    if not bool(values.detach().isfinite().all()) or not bool(positions.detach().isfinite().all()):
        raise ValueError("isosurface_of: values or positions are not all finite")
    if len(tetrahedra) and not (0 <= int(tetrahedra.min()) and int(tetrahedra.max()) < count):
        raise ValueError(
            f"isosurface_of: tetrahedra use corners {int(tetrahedra.min())} to {int(tetrahedra.max())}; "
            f"there are {count} values"
        )
    low, high, faces = _crossed_edges(values.detach() < 0, tetrahedra.long())
    start, end = values.index_select(0, low), values.index_select(0, high)
    share = (start / (start - end))[:, None]  # the ends differ in sign, so never 0 / 0
    vertices = positions.index_select(0, low) * (1 - share) + positions.index_select(0, high) * share
    return Mesh(vertices, faces)


def _crossed_edges(inside: Tensor, tetrahedra: Int64[Tensor, "T 4"]) -> tuple[Tensor, Tensor, Int64[Tensor, "F 3"]]:
    """Lower and higher corner of each crossed edge, and the faces over these edges."""
    device, count = inside.device, len(inside)
    corners = inside.to(torch.uint8).index_select(0, tetrahedra.reshape(-1)).reshape(-1, 4)
    code = (corners << torch.arange(4, dtype=torch.uint8, device=device)).sum(1, dtype=torch.int64)
    crossed = ((code > 0) & (code < 15)).nonzero()[:, 0]
    tetrahedra, code = tetrahedra.index_select(0, crossed), code.index_select(0, crossed)
    triangles = TRIANGLES.to(device).index_select(0, code)
    second = (COUNTS.to(device).index_select(0, code) == 2).nonzero()[:, 0]
    edges = torch.cat([triangles[:, 0], triangles[:, 1].index_select(0, second)])
    owner = torch.cat([torch.arange(len(code), device=device), second])
    ends = ENDS.to(device).index_select(0, edges.reshape(-1))
    first = owner.repeat_interleave(3) * 4
    a, b = (tetrahedra.reshape(-1).index_select(0, first + end) for end in ends.unbind(1))
    keys, faces = torch.unique(torch.minimum(a, b) * count + torch.maximum(a, b), return_inverse=True)
    return keys // count, keys % count, faces.reshape(-1, 3)
