"""Implicit surfaces to meshes: a function sampled on a grid, and the surface where it crosses a level."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette import ops
from maquette.shapes.mesh import Mesh
from maquette.shapes.parametric import Surface, extent, value

PIECE = 1 << 16
"""Points the function is asked for at a time."""


Function = Callable[[Float[Tensor, "N 3"]], Float[Tensor, " N"]]
"""One number a point, whatever other points it is asked for together with."""


@torch.no_grad()
def implicit_mesh(
    function: Function,
    box: Float[Tensor, "2 3"],
    *,
    resolution: int = 64,
    level: float = 0.0,
) -> Mesh:
    """The surface `function == level`, by marching cubes; inside is where the function is below the level.

    `box` holds the smallest and largest corner, as `bounds` gives them, in world units; its type and device are those
    of the points the function gets. There are `resolution` samples along each axis, the first and the last on the
    box, so a vertex at index i lies at low + i (high - low) / (resolution - 1). Nothing is smoothed. The mesh is
    closed: a surface that reaches the border of the box is an error. A level that is never crossed gives a mesh
    without faces. No gradient flows. Vertices err by O(h^2) in the step h (linear interpolation along an edge).
    """
    if resolution < 2:
        raise ValueError(f"implicit_mesh: resolution is {resolution}; give at least two samples along each axis")
    check_box("implicit_mesh", box)
    index = torch.arange(resolution**3, device=box.device)
    values = sampled("implicit_mesh", function, box, index, resolution).reshape((resolution,) * 3)
    return closed_surface("implicit_mesh", values, box, level)


def check_box(name: str, box: Float[Tensor, "2 3"]) -> None:
    if not bool((box[0] < box[1]).all()):
        raise ValueError(f"{name}: box is {box.tolist()}; give its smallest and its largest corner")


def sampled(
    name: str, function: Function, box: Float[Tensor, "2 3"], index: Int64[Tensor, " N"], side: int
) -> Float[Tensor, " N"]:
    """The function at some samples of the grid of `side`^3 over the box, by their places in its order Z Y X."""
    low, step = box[0].double(), steps_of(box, side)
    values = torch.empty(len(index), dtype=box.dtype, device=box.device)
    for start in range(0, len(index), PIECE):
        piece = index[start : start + PIECE]
        grid = torch.stack([piece % side, piece // side % side, piece // side**2], -1)
        found = function((low + grid * step).to(box.dtype))
        if found.shape != piece.shape:
            raise ValueError(
                f"{name}: the function gives {tuple(found.shape)} for points {(len(piece), 3)}; "
                f"it must give one number a point, {tuple(piece.shape)}"
            )
        values[start : start + PIECE] = found
    return values


def steps_of(box: Float[Tensor, "2 3"], side: int) -> Float[Tensor, "3"]:
    """The distances between neighbouring samples, in float64."""
    return (box[1] - box[0]).double() / (side - 1)


def closed_surface(name: str, values: Float[Tensor, "Z Y X"], box: Float[Tensor, "2 3"], level: float) -> Mesh:
    """Marching cubes of samples, the first and the last on the box; a surface that reaches its border is an error."""
    inside = values < level
    # All six sides; only then is the surface closed.
    reaches = torch.stack(
        [side.any() for axis in range(3) for side in (inside.select(axis, 0), inside.select(axis, -1))]
    )
    if bool(reaches.any()):
        raise ValueError(
            f"{name}: the function is below the level {level:g} on the border of the box {box.tolist()}, so the "
            "surface would be open; enlarge the box (or negate the function, should it be positive inside)"
        )
    vertices, faces = ops.isosurface(-values, -level)
    return Mesh((box[0].double() + vertices * steps_of(box, len(values))).to(box.dtype), faces)


def surface_mesh(surface: Surface, *, resolution: int = 64, margin: float = 0.1) -> Mesh:
    """The mesh of a parametric surface's implicit function, in its own box grown by `margin` of the largest side.

    Samples are as far apart along every axis: `resolution` of them along each side of the cube around the box.
    """
    if not margin > 0:
        raise ValueError(f"surface_mesh: margin is {margin}; the box must be larger than the surface")
    half = float(extent(surface)[1].max()) * (1 + 2 * margin)
    box = torch.tensor([[-half] * 3, [half] * 3])
    return implicit_mesh(lambda points: value(surface, points), box, resolution=resolution)
