"""Meshes to start from, centred at the origin; all are closed but the plane. V vertices, F faces, R rows, C columns.

Sizes are world units. Where a picture can be given, the mesh wears it as a texture that shows it once, upright and
readable from outside.
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.shapes.mesh import Mesh, Texture
from maquette.shapes.parametric import Superquadric, Torus, surface_at


def tetrahedron(radius: float = 1.0) -> Mesh:
    """The regular tetrahedron inscribed in a sphere of `radius` world units: 4 vertices, 4 faces."""
    _check_positive("tetrahedron", radius=radius)
    corners = torch.tensor([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
    return Mesh(corners * (radius / math.sqrt(3)), faces)


def cube(side: float = 1.0) -> Mesh:
    """The cube [-side/2, side/2]^3: 8 vertices, 12 faces. Vertex number 4 x + 2 y + z, each 0 on the low side."""
    _check_positive("cube", side=side)
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
    _check_positive("ico_sphere", radius=radius)
    vertices, faces = _icosahedron()
    for _ in range(level):
        vertices, faces = _split(vertices, faces)
        vertices = torch.nn.functional.normalize(vertices, dim=-1)
    return Mesh((vertices * radius).float(), faces)


def uv_sphere(
    radius: float = 1.0, *, rows: int = 16, columns: int = 32, image: Float[Tensor, "H W 3"] | None = None
) -> Mesh:
    """A sphere of `rows` bands of latitude, poles on the y axis: (rows - 1) columns + 2 vertices.

    2 (rows - 1) columns faces. The picture is a map of the whole sphere (equirectangular), its middle at the front +z.
    """
    _check_positive("uv_sphere", radius=radius)
    latitude, longitude, faces, uv = _globe("uv_sphere", rows, columns)
    azimuth = longitude - math.pi
    vertices = torch.stack([latitude.cos() * azimuth.sin(), latitude.sin(), latitude.cos() * azimuth.cos()], -1)
    return _wearing(Mesh((vertices * radius).float(), faces), uv, image)


def superquadric(
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
    powers: tuple[float, float] = (1.0, 1.0),
    *,
    rows: int = 32,
    columns: int = 64,
) -> Mesh:
    """A superellipsoid of half extents `scale` over bands of latitude, poles on the z axis: see `Superquadric`."""
    latitude, longitude, faces, _ = _globe("superquadric", rows, columns)
    return Mesh(surface_at(Superquadric(scale, powers), latitude, longitude).float(), faces)


def torus(
    major: float = 0.75,
    minor: float = 0.25,
    *,
    rows: int = 16,
    columns: int = 32,
    image: Float[Tensor, "H W 3"] | None = None,
) -> Mesh:
    """A tube of radius `minor` around the z axis, its middle at the distance `major`: rows columns vertices.

    2 rows columns faces; `rows` go round the tube, `columns` round the axis. The picture's lower edge lies on the
    inmost ring, so its middle is outmost.
    """
    if min(rows, columns) < 3:
        raise ValueError(f"torus: {rows} rows and {columns} columns; give at least 3 of each")
    if not major > minor > 0:
        raise ValueError(f"torus: major is {major} and minor {minor}; a torus has major > minor > 0")
    row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    t = row.double() * (2 * math.pi / rows) - math.pi
    p = column.double() * (2 * math.pi / columns)
    vertices = surface_at(Torus(major, minor), t, p).reshape(-1, 3).float()
    faces = _quads(row.reshape(-1), column.reshape(-1), rows, columns)
    return _wearing(Mesh(vertices, faces), _quads_uv(row.reshape(-1), column.reshape(-1), rows, columns), image)


def cylinder(radius: float = 0.5, height: float = 1.0, *, sides: int = 32) -> Mesh:
    """A prism about the y axis whose corners lie on a cylinder, with flat lids: 2 sides + 2 vertices, 4 sides faces."""
    if sides < 3:
        raise ValueError(f"cylinder: {sides} sides; give at least 3")
    _check_positive("cylinder", radius=radius, height=height)
    angle = torch.arange(sides, dtype=torch.float64) * (2 * math.pi / sides)
    ring = torch.stack([angle.sin() * radius, torch.zeros_like(angle), angle.cos() * radius], -1)
    up = torch.tensor([0.0, height / 2, 0.0], dtype=torch.float64)
    vertices = torch.cat([ring - up, ring + up, torch.stack([-up, up])])
    here = torch.arange(sides)
    there, bottom, top = (here + 1) % sides, torch.full_like(here, 2 * sides), torch.full_like(here, 2 * sides + 1)
    corners = [here, there, there + sides, here, there + sides, here + sides]
    lids = [bottom, there, here, top, here + sides, there + sides]
    return Mesh(vertices.float(), torch.stack(corners + lids, -1).reshape(-1, 3))


def plane(
    width: float = 1.0, depth: float = 1.0, *, cells: int = 1, image: Float[Tensor, "H W 3"] | None = None
) -> Mesh:
    """A floor: `width` along x, `depth` along z, facing up (+y), of `cells` x `cells` rectangles. It is open.

    The picture is seen upright from above with the front, +z, below.
    """
    if cells < 1:
        raise ValueError(f"plane: {cells} cells; give at least 1")
    _check_positive("plane", width=width, depth=depth)
    line = torch.arange(cells + 1, dtype=torch.float64) / cells - 0.5
    z, x = torch.meshgrid(-line * depth, line * width, indexing="ij")
    vertices = torch.stack([x, torch.zeros_like(x), z], -1).reshape(-1, 3)
    row, column = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
    row, column = row.reshape(-1), column.reshape(-1)
    faces = _quads(row, column, cells + 1, cells + 1)
    return _wearing(Mesh(vertices.float(), faces), _quads_uv(row, column, cells, cells), image)


def _check_positive(name: str, **lengths: float) -> None:
    """Refuse lengths that would leave nothing of a primitive, or turn it inside out."""
    if not all(0 < length < math.inf for length in lengths.values()):
        said = ", ".join(f"{what} {length}" for what, length in lengths.items())
        raise ValueError(f"{name}: {said}; give positive lengths")


def _wearing(mesh: Mesh, uv: Float[Tensor, "F 3 2"], image: Float[Tensor, "H W 3"] | None) -> Mesh:
    return mesh if image is None else mesh.with_appearance(Texture(uv, image))


def _quads(row: Int64[Tensor, " Q"], column: Int64[Tensor, " Q"], rows: int, columns: int) -> Int64[Tensor, "F 3"]:
    """Two faces for each cell between a vertex of a grid and the next ones up and to the right, which go round."""
    right, up = (column + 1) % columns, (row + 1) % rows
    a, b = row * columns + column, row * columns + right
    c, d = up * columns + right, up * columns + column
    return torch.stack([a, b, c, a, c, d], -1).reshape(-1, 3)


def _quads_uv(row: Int64[Tensor, " Q"], column: Int64[Tensor, " Q"], rows: int, columns: int) -> Float[Tensor, "F 3 2"]:
    """Texture coordinates of the corners of `_quads`, over a picture of `rows` x `columns` cells."""
    u, v = column / columns, row / rows
    right, up = (column + 1) / columns, (row + 1) / rows
    return torch.stack([u, v, right, v, right, up, u, v, right, up, u, up], -1).reshape(-1, 3, 2)


def _globe(
    name: str, rows: int, columns: int
) -> tuple[Float[Tensor, " V"], Float[Tensor, " V"], Int64[Tensor, "F 3"], Float[Tensor, "F 3 2"]]:
    """Latitude and longitude (from 0) of the vertices of a sphere, float64, its faces and their texture coordinates.

    Rings from south to north first, then the south pole and the north pole.
    """
    if rows < 2 or columns < 3:
        raise ValueError(f"{name}: {rows} rows and {columns} columns; give at least 2 rows and 3 columns")
    row, column = torch.meshgrid(torch.arange(1, rows), torch.arange(columns), indexing="ij")
    pole = torch.tensor([-math.pi / 2, math.pi / 2], dtype=torch.float64)
    latitude = torch.cat([row.reshape(-1).double() * (math.pi / rows) - math.pi / 2, pole])
    longitude = torch.cat([column.reshape(-1).double() * (2 * math.pi / columns), torch.zeros_like(pole)])

    row, column = row[:-1].reshape(-1), column[:-1].reshape(-1)
    here = torch.arange(columns)
    there, last = (here + 1) % columns, (rows - 2) * columns
    south, north = torch.full_like(here, len(latitude) - 2), torch.full_like(here, len(latitude) - 1)
    fans = [torch.stack([south, there, here], -1), torch.stack([here + last, there + last, north], -1)]
    u, right, middle = here / columns, (here + 1) / columns, (here + 0.5) / columns
    low, high = torch.full_like(u, 1 / rows), torch.full_like(u, 1 - 1 / rows)
    zero, one = torch.zeros_like(u), torch.ones_like(u)
    fans_uv = [
        torch.stack([middle, zero, right, low, u, low], -1).reshape(-1, 3, 2),
        torch.stack([u, high, right, high, middle, one], -1).reshape(-1, 3, 2),
    ]
    faces = torch.cat([_quads(row - 1, column, rows - 1, columns), *fans])
    return latitude, longitude, faces, torch.cat([_quads_uv(row, column, rows, columns), *fans_uv])


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
