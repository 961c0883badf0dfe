"""Voxels to the sides of their cells, the surface as blocks show it."""

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from maquette.shapes.mesh import Mesh
from maquette.shapes.verbs import transform
from maquette.shapes.voxels import Voxels


def cubify(voxels: Voxels, threshold: float = 0.5) -> Mesh:
    """The sides between full cells (occupancy >= `threshold`) and empty ones, two triangles each, seen from outside.

    A cell's side lies half way between two cell centres: cell i spans i / R - 0.5 to (i + 1) / R - 0.5 of the grid's
    cube, so the mesh encloses exactly the full cells (PyTorch3D's `cubify` leaves the choice to `align`, and spreads
    cell corners or centres over -1..1; ours is its "corner", in the frame of the voxels). Outside the grid is empty:
    the surface is closed at the box. Corners are shared, so where two cells touch only along an edge, that edge has
    four faces. Grids without full cells give a mesh without faces. No gradient flows.
    """
    occupancy = voxels.occupancy.detach()
    if occupancy.ndim != 3:
        raise ValueError(f"cubify: voxels have shape {tuple(occupancy.shape)}; give one grid (Z, Y, X) at a time")
    # A ring of empty cells: the side between padded cells i and i + 1 has the coordinate i.
    full = torch.nn.functional.pad(occupancy >= threshold, (1,) * 6)
    corners = torch.cat([_sides(full, axis) for axis in range(3)])
    depth, height, width = occupancy.shape
    x, y, z = corners.unbind(-1)
    number = (z * (height + 1) + y) * (width + 1) + x
    used, quads = number.unique(return_inverse=True)
    places = torch.stack(
        [used % (width + 1), used // (width + 1) % (height + 1), used // ((width + 1) * (height + 1))], -1
    )
    dtype = occupancy.dtype if occupancy.is_floating_point() else torch.float32
    cells = torch.tensor([width, height, depth], dtype=dtype, device=occupancy.device)
    in_cube = Mesh(places / cells - 0.5, quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3))
    moved = transform(in_cube, voxels.world_from_grid)
    assert isinstance(moved, Mesh)
    return moved


def _sides(full: Bool[Tensor, "Z Y X"], axis: int) -> Int64[Tensor, "Q 4 3"]:
    """Corners (x, y, z) in cells of the sides across x, y or z (`axis` 0, 1, 2), counter-clockwise from outside."""
    before, after = (
        full.narrow(2 - axis, 0, full.shape[2 - axis] - 1),
        full.narrow(2 - axis, 1, full.shape[2 - axis] - 1),
    )
    # The next two axes in turn make a right-handed frame with this one.
    square = torch.zeros(4, 3, dtype=torch.int64, device=full.device)
    square[[1, 2], (axis + 1) % 3] = 1
    square[[2, 3], (axis + 2) % 3] = 1
    shift = torch.ones(3, dtype=torch.int64, device=full.device)
    shift[axis] = 0
    ahead = (before & ~after).nonzero().flip(-1) - shift
    back = (after & ~before).nonzero().flip(-1) - shift
    return torch.cat([ahead[:, None] + square, back[:, None] + square.flip(0)])
