"""Meshes to voxels: the cells a surface touches, and those inside it. Array order Z Y X."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import ops, transforms
from maquette.ops.checks import check_shape
from maquette.shapes.columns import inside_columns, is_closed
from maquette.shapes.components import weld
from maquette.shapes.inside import is_inside
from maquette.shapes.mesh import Mesh, check
from maquette.shapes.verbs import bounds
from maquette.shapes.voxels import Voxels

SLACK = 1e-5
"""How far a mesh may stand out of its grid by rounding, in parts of the grid."""
PIECE = 1 << 20
"""Cells whose inside is asked for at a time."""


@dataclass(frozen=True)
class Shell:
    """The cells that the surface touches, closed boxes against closed triangles: no ray slips through."""


@dataclass(frozen=True)
class Interior:
    """The cells whose centre is inside: volume without bias, but sheets thinner than a cell may vanish."""


@dataclass(frozen=True)
class Solid:
    """Both: nothing vanishes, and the shape is up to a cell thicker than it is."""


Filling = Shell | Interior | Solid


def voxelize(
    mesh: Mesh, resolution: int, *, world_from_grid: Float[Tensor, "4 4"] | None = None, filling: Filling = Solid()
) -> Voxels:
    """`resolution`^3 cells of occupancy 0 or 1.

    The grid fills the cube that `world_from_grid` takes to the world: by default the smallest one around the middle
    of the mesh's box that holds it. A mesh that stands out of its grid is an error. A surface that runs exactly along
    the common side of two cells touches both. Inside is where the generalised winding number is beyond one half, so
    meshes may have holes, parts may intersect, and a mesh that is inside out is solid, too; for closed meshes it is
    counted exactly. A mesh without faces gives an empty grid. No gradient flows.
    """
    if resolution < 1:
        raise ValueError(f"voxelize: resolution is {resolution}; give at least one cell")
    if mesh.vertices.ndim != 2:
        raise ValueError(f"voxelize: vertices have shape {tuple(mesh.vertices.shape)}; give one mesh, not a batch")
    if world_from_grid is not None:
        check_shape("voxelize", "world_from_grid", world_from_grid, "4 4")
        if not bool(torch.linalg.det(world_from_grid[:3, :3].double()) != 0):
            raise ValueError("voxelize: world_from_grid cannot be inverted; give the grid's cube an extent")
    occupancy = torch.zeros((resolution,) * 3, dtype=mesh.vertices.dtype, device=mesh.vertices.device)
    if len(mesh.faces) == 0:
        box = torch.eye(4, device=mesh.vertices.device) if world_from_grid is None else world_from_grid
        return Voxels(occupancy, box.to(mesh.vertices))
    check(mesh, "voxelize")
    box = cube_around(mesh) if world_from_grid is None else world_from_grid.to(mesh.vertices)
    grid_from_world = torch.linalg.inv(box.double())
    cells = (transforms.apply(grid_from_world, mesh.vertices.detach().double()) + 0.5) * resolution
    used = cells[mesh.faces.reshape(-1)]
    low, high = torch.aminmax(used)
    if float(low) < -SLACK * resolution or float(high) > (1 + SLACK) * resolution:
        raise ValueError(
            f"voxelize: the mesh reaches {float(low) / resolution - 0.5:.4g} .. {float(high) / resolution - 0.5:.4g} "
            "of the grid's cube, which ends at -0.5 and 0.5; give a larger world_from_grid"
        )
    in_cells = mesh.with_vertices(cells.clamp(0, resolution))
    touched = torch.zeros_like(occupancy, dtype=torch.bool)
    if not isinstance(filling, Interior):
        touched = ops.touched_cells(in_cells.corners(), (resolution, resolution, resolution))
    if not isinstance(filling, Shell):
        touched = touched | _inside(in_cells.with_vertices(cells), touched)
    return Voxels(touched.to(occupancy.dtype), box)


def _inside(in_cells: Mesh, known: Bool[Tensor, "Z Y X"]) -> Bool[Tensor, "Z Y X"]:
    """The cells whose centre is inside; those that are `known` to be full may be left out."""
    joined = weld(Mesh(in_cells.vertices, in_cells.faces))
    if is_closed(joined.faces):
        inside, unsure = inside_columns(joined.vertices, joined.faces, (known.shape[0], known.shape[1], known.shape[2]))
        if not bool(unsure.any()):
            return inside
    # A mesh with holes has fractions of a turn: each centre is asked about, 13 times the work at 64 cells a side.
    resolution = len(known)
    in_cube = in_cells.with_vertices(in_cells.vertices / resolution - 0.5)
    around = in_cube.vertices[in_cube.faces.reshape(-1)].cpu().numpy()
    full = solid_cells(
        lambda centers: is_inside(in_cube, torch.from_numpy(centers)).numpy(), known.cpu().numpy(), around
    )
    return torch.from_numpy(full).to(known.device)


def cube_around(mesh: Mesh) -> Float[Tensor, "4 4"]:
    """`world_from_grid` of the smallest cube that holds the mesh, about the middle of its box."""
    low, high = bounds(mesh.with_vertices(mesh.vertices.detach()[mesh.faces.reshape(-1)])).unbind(-2)
    side = (high - low).max()
    if not bool(side > 0):
        raise ValueError("voxelize: all corners of the mesh are one point; give world_from_grid")
    return transforms.scale_translate(side, (low + high) / 2)


def solid_cells(
    inside: Callable[[Float[np.ndarray, "N 3"]], Bool[np.ndarray, " N"]],
    touched: Bool[np.ndarray, "Z Y X"],
    surface: Float[np.ndarray, "M 3"],
) -> Bool[np.ndarray, "Z Y X"]:
    """The cells of the cube [-0.5, 0.5]^3 that the surface touches and those whose centre is inside.

    `inside` is asked in pieces of bounded size, and only about centres in the box of the points `surface`.
    """
    resolution = len(touched)
    line = (np.arange(resolution) + 0.5) / resolution - 0.5
    x, y, z = ((line >= low) & (line <= high) for low, high in zip(surface.min(0), surface.max(0), strict=True))
    ask = np.flatnonzero(~touched & z[:, None, None] & y[:, None] & x)
    solid = touched.copy()
    for start in range(0, len(ask), PIECE):
        cells = np.unravel_index(ask[start : start + PIECE], touched.shape)
        solid[cells] = inside(np.stack([line[i] for i in reversed(cells)], -1))
    return solid


def cells_touched(points: Float[np.ndarray, "N 3"], resolution: int) -> Bool[np.ndarray, "Z Y X"]:
    """The cells of the cube [-0.5, 0.5]^3 that hold a point; what rounding has put outside counts to the nearest."""
    index = np.clip(np.floor((points + 0.5) * resolution).astype(np.int64), 0, resolution - 1)
    grid = np.zeros((resolution, resolution, resolution), dtype=bool)
    grid[index[:, 2], index[:, 1], index[:, 0]] = True
    return grid


def without_cavities(solid: Bool[np.ndarray, "Z Y X"]) -> Bool[np.ndarray, "Z Y X"]:
    """Also solid: cells from which no way through empty neighbours (across cell sides) leads out of the grid."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(solid))


def pooled(voxels: Float[Tensor, "*batch Z Y X"], resolution: int) -> Float[Tensor, "*batch R R R"]:
    """Coarser grids of the same cube: a cell is full if any of its parts is.

    That is what `voxelize` makes at this resolution with `Solid`: a cell is full where the surface passes through it or
    its centre is inside, and one that no surface touches is inside as a whole or not at all.
    """
    side = voxels.shape[-1]
    if side == resolution:
        return voxels
    if resolution < 1 or side % resolution:
        raise ValueError(
            f"pooled: the voxels have {side} cells a side, {resolution} are asked for; prepare the data with a "
            f"resolution of {resolution} or a multiple of it"
        )
    coarse = torch.nn.functional.max_pool3d(voxels.reshape(-1, 1, side, side, side), side // resolution)
    return coarse.reshape(*voxels.shape[:-3], resolution, resolution, resolution)
