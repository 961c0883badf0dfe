"""Closed meshes to start from, centred at the origin. V vertices, F faces."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.shapes.mesh import Mesh


def tetrahedron(radius: float = 1.0) -> Mesh:
    """The regular tetrahedron inscribed in a sphere of `radius` world units: 4 vertices, 4 faces."""
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    return Mesh(corners * (radius / math.sqrt(3)), faces)


def cube(side: float = 1.0) -> Mesh:
    """The cube [-side/2, side/2]^3: 8 vertices, 12 faces. Vertex number 4 x + 2 y + z, each 0 on the low side."""
    low, high = -side / 2, side / 2
    corners = torch.cartesian_prod(*([torch.tensor([low, high])] * 3))
    squares = torch.tensor(
        [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]  # -x +x -y +y -z +z
    )
    return Mesh(corners, squares[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3))


def ico_sphere(level: int = 4, radius: float = 1.0) -> Mesh:
    """An icosahedron whose faces are split in four `level` times, every new vertex pushed out to `radius` world units.

    10 * 4^level + 2 vertices, 20 * 4^level faces: 2562 and 5120 at level 4. The vertices of a level are the first ones
    of the next.
    """
    if level < 0:
        raise ValueError(f"ico_sphere: level is {level}; give 0 (the icosahedron) or more")
    vertices, faces = _icosahedron()
    for _ in range(level):
        vertices, faces = _split(vertices, faces)
        vertices = torch.nn.functional.normalize(vertices, dim=-1)
    return Mesh((vertices * radius).float(), faces)


def _icosahedron() -> tuple[Float[Tensor, "12 3"], Int64[Tensor, "20 3"]]:
    """Of radius 1, in float64: the corners of three golden rectangles in the coordinate planes."""
    golden = (1 + math.sqrt(5)) / 2
    rectangle = [[-1.0, golden, 0], [1, golden, 0], [-1, -golden, 0], [1, -golden, 0]]
    corners = torch.tensor(rectangle, dtype=torch.float64)
    vertices = torch.cat([corners, corners.roll(1, -1), corners.roll(2, -1)])
    around = [[0, 11, 5], [0, 5, 1], [0, 1, 7], [0, 7, 10], [0, 10, 11]]
    above = [[1, 5, 9], [5, 11, 4], [11, 10, 2], [10, 7, 6], [7, 1, 8]]
    below = [[4, 9, 5], [2, 4, 11], [6, 2, 10], [8, 6, 7], [9, 8, 1]]
    opposite = [[3, 9, 4], [3, 4, 2], [3, 2, 6], [3, 6, 8], [3, 8, 9]]
    return torch.nn.functional.normalize(vertices, dim=-1), torch.tensor(around + above + opposite + below)


def _split(
    vertices: Float[Tensor, "V 3"], faces: Int64[Tensor, "F 3"]
) -> tuple[Float[Tensor, "V2 3"], Int64[Tensor, "F2 3"]]:
    """Every face in four at the middles of its edges, which neighbours share; the old vertices stay in front."""
    sides = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).sort(-1).values
    edges, edge_of_side = sides.unique(dim=0, return_inverse=True)
    a, b, c = faces.unbind(-1)
    ab, bc, ca = (edge_of_side.reshape(-1, 3) + len(vertices)).unbind(-1)
    quarters = torch.stack([a, ab, ca, b, bc, ab, c, ca, bc, ab, bc, ca], -1)
    return torch.cat([vertices, vertices[edges].mean(1)]), quarters.reshape(-1, 3)
