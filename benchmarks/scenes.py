"""What is measured: clouds and meshes that come from formulas, so that everybody measures the same."""

import importlib.util

import torch
from torch import Tensor

from maquette.camera import Camera, focal_from_fov, orbit
from maquette.shapes import Mesh, VertexColors
from maquette.shapes.primitives import ico_sphere


def spheres(count: int, n: int, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Two batches of clouds on the unit sphere, the second moved by `shift` along every axis."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.nn.functional.normalize(torch.randn(count, n, 3, generator=generator), dim=-1) for _ in "ab")
    return a, b + shift


def torus(columns: int, rows: int, size: int, views: int = 1) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """A torus of 2 x columns x rows faces in views of size x size pixels, as `raster` takes it."""
    u = torch.arange(columns)[:, None] * (2 * torch.pi / columns)
    v = torch.arange(rows)[None] * (2 * torch.pi / rows)
    ring = 1 + 0.45 * v.cos()
    x, y, z = (p.reshape(-1) for p in torch.broadcast_tensors(ring * u.cos(), ring * u.sin(), 0.45 * v.sin()))
    w = 4 - (0.6 * y + 0.8 * z)
    px, py = size * x + size / 2 * w, size * (0.8 * y - 0.6 * z) + size / 2 * w
    i, j = (g.reshape(-1) for g in torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="ij"))
    a, b = i * rows + j, i * rows + (j + 1) % rows
    c, d = (i + 1) % columns * rows + j, (i + 1) % columns * rows + (j + 1) % rows
    faces = torch.cat([torch.stack([a, c, b], 1), torch.stack([b, c, d], 1)])
    return torch.stack([px, py, w], -1).expand(views, -1, -1).contiguous(), faces, (size, size)


def bumpy_sphere() -> Mesh:
    """2,562 vertices and 5,120 faces (the cow has 2,930 and 5,856), coloured, not convex."""
    sphere = ico_sphere(4)
    x, y, z = sphere.vertices.unbind(-1)
    vertices = sphere.vertices * (1 + 0.3 * (3 * x).sin() * (4 * y).cos() * (2 * z).cos())[:, None]
    return Mesh(vertices, sphere.faces, VertexColors((sphere.vertices + 1) / 2))


def around(views: int, size: int) -> Camera:
    """Cameras once around the origin, the unit sphere in view."""
    azimuth = torch.arange(views) * (2 * torch.pi / views)
    return orbit(azimuth, 0.4, 2.7, focal=focal_from_fov(torch.pi / 3, size), size=(size, size))


def pytorch3d_there() -> bool:
    return importlib.util.find_spec("pytorch3d") is not None
