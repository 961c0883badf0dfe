"""Colours of a solid from one picture: seen vertices read the picture, the others their mirror image or a neighbour.

V vertices, N points, H W pixels. A vertex is seen as far as it is not hidden (depth test) and faces the camera;
objects are taken to be symmetric about x = 0, so what the mirrored vertex sees is the second choice.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette import ops
from maquette.camera import Camera
from maquette.masks import extended
from maquette.rendering import render
from maquette.shapes import Mesh, PointCloud, VertexColors, check, subdivide_midpoint, vertex_normals

GRAZING = (0.15, 0.55)
"""Cosines between normal and line of sight: below the first a vertex is not seen, above the second it is in full."""
HIDDEN = 0.012
"""A vertex further than this part of the object's diagonal behind the surface in front begins to be hidden."""
EDGE = 0.008
"""Width of the rim of the mask that is not trusted, as a part of the picture's side: it holds background colour."""

BLUR = 0.04
"""Beyond this part of the picture's side from the object, its extended colours are blurred."""


def textured(mesh: Mesh, camera: Camera, picture: Float[Tensor, "H W 4"]) -> Mesh:
    """The mesh with vertex colours from a picture (sRGB, alpha marks the object) taken by `camera`, of its size."""
    _check(camera, picture)
    return mesh.with_appearance(VertexColors(projected_colors(mesh, camera, picture)[0]))


def textured_points(
    cloud: PointCloud, camera: Camera, picture: Float[Tensor, "H W 4"], *, radius: float = 0.02
) -> PointCloud:
    """The cloud with colours from a picture; points hide others as discs of `radius` world units do."""
    _check(camera, picture)
    points = cloud.points
    depth = render(cloud, camera, radius=radius).depth
    source = _trusted(picture)
    # A disc faces the camera: on a slope its neighbours stand out by about its radius.
    slack = max(HIDDEN * _diagonal(points), 3 * radius)
    mirrored = points * points.new_tensor([-1.0, 1.0, 1.0])
    direct = _unhidden(points, camera, depth, slack)
    through = 0.5 * _unhidden(mirrored, camera, depth, slack) * _on_surface(mirrored, points)
    colors, known = _blended(points, mirrored, direct, through, camera, source)
    return PointCloud(points, _filled(points, colors, known), cloud.normals)


def projected_colors(
    mesh: Mesh, camera: Camera, picture: Float[Tensor, "H W 4"]
) -> tuple[Float[Tensor, "V 3"], Float[Tensor, "V"]]:
    """Vertex colours (sRGB), and how far each is seen directly: 1 in full view, 0 hidden or turned away."""
    vertices, normals = mesh.vertices, vertex_normals(mesh)
    depth = render(mesh, camera).depth
    flip = vertices.new_tensor([-1.0, 1.0, 1.0])
    slack = HIDDEN * _diagonal(vertices)
    direct = _unhidden(vertices, camera, depth, slack) * _facing(vertices, normals, camera)
    mirrored = vertices * flip
    through = (
        _unhidden(mirrored, camera, depth, slack)
        * _facing(mirrored, normals * flip, camera)
        * _on_surface(mirrored, vertices)
    )
    colors, known = _blended(vertices, mirrored, direct, through, camera, _trusted(picture))
    colors = _filled(vertices, colors, known)
    return _smoothed(colors, known, mesh.faces), direct


def subdivided(mesh: Mesh, vertices: int) -> Mesh:
    """Every face cut into four at the midpoints of its edges, until there are at least `vertices`; the surface stays.

    Colours of vertices are interpolated; a mesh with face colours or a texture is an error, as is one without faces.
    """
    check(mesh, "subdivided")
    if mesh.vertices.ndim != 2:
        raise ValueError(f"subdivided: vertices have shape {tuple(mesh.vertices.shape)}; give one mesh at a time")
    if not (mesh.appearance is None or isinstance(mesh.appearance, VertexColors)):
        kind = type(mesh.appearance).__name__
        raise ValueError(f"subdivided: the mesh has {kind}; subdivide first, or give one with vertex colours or none")
    while mesh.vertices.shape[-2] < vertices:
        mesh = subdivide_midpoint(mesh)
    return mesh


def _check(camera: Camera, picture: Tensor) -> None:
    if tuple(picture.shape[:2]) != tuple(camera.size):
        raise ValueError(
            f"textured: the camera takes {camera.size[0]} x {camera.size[1]} pixels, "
            f"the picture has {picture.shape[0]} x {picture.shape[1]}; use camera.resized"
        )


def _diagonal(points: Float[Tensor, "N 3"]) -> float:
    return float((points.amax(0) - points.amin(0)).norm())


def _trusted(picture: Float[Tensor, "H W 4"]) -> Float[Tensor, "3 H W"]:
    """The object's colours without the rim, where the background shines through, extended over the whole picture."""
    from scipy import ndimage

    alpha = picture[..., 3].numpy()
    rim = max(1, round(EDGE * max(alpha.shape)))
    solid = alpha >= 0.95
    known = ndimage.minimum_filter(solid, 2 * rim + 1, mode="constant", cval=False)
    # Thin parts that erosion removes altogether keep what they have.
    known |= solid & ~ndimage.maximum_filter(known, 6 * rim + 1)
    if not known.any():
        known = alpha >= 0.5 * alpha.max()
    near = extended(picture[..., :3], torch.from_numpy(known)).numpy()
    # Far from the object the nearest colour makes streaks; there, a blurred one.
    reach = max(2, round(BLUR * max(alpha.shape)))
    far = ndimage.uniform_filter((~ndimage.maximum_filter(known, 2 * reach + 1)).astype(np.float32), reach)[..., None]
    soft = near
    for _ in range(2):
        soft = ndimage.uniform_filter(soft, (2 * reach + 1, 2 * reach + 1, 1), mode="nearest")
    return torch.from_numpy(near * (1 - far) + soft * far).permute(2, 0, 1).contiguous()


def _unhidden(
    points: Float[Tensor, "N 3"], camera: Camera, depth: Float[Tensor, "H W"], slack: float
) -> Float[Tensor, "N"]:
    """1 for points on the surface that is seen, falling to 0 between one and two `slack` (world units) behind it."""
    pixels = camera.project(points)
    own = camera.pixels_from_world(points)[:, 2]
    height, width = camera.size
    column = pixels[:, 0].floor().long()
    row = pixels[:, 1].floor().long()
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (own > 0)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    front = depth[row, column]  # 0 means nothing there
    behind = torch.where(front > 0, (own - front) / slack - 1, torch.zeros_like(own))
    return (1 - behind.clamp(0, 1)) * inside


def _facing(points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], camera: Camera) -> Float[Tensor, "N"]:
    sight = torch.nn.functional.normalize(camera.position - points, dim=-1)
    cosine = (normals * sight).sum(-1)
    t = ((cosine - GRAZING[0]) / (GRAZING[1] - GRAZING[0])).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _on_surface(points: Float[Tensor, "N 3"], surface: Float[Tensor, "M 3"]) -> Float[Tensor, "N"]:
    """1 where the solid has a point near by, falling to 0 at 5 % of its diagonal: is it symmetric here?"""
    nearest = ops.nearest(points[None], surface[None])[0, :, 0]
    distance = (points - surface[nearest]).norm(dim=-1) / _diagonal(surface)
    return (1 - distance / 0.05).clamp(0, 1)


def _blended(points, mirrored, direct, through, camera: Camera, source: Float[Tensor, "3 H W"]):
    """Colours where anything is seen, and how far: the direct view first, the mirrored one for the rest."""
    weight = torch.stack([direct, (1 - direct) * through])
    colors = torch.stack([_read(source, camera.project(points)), _read(source, camera.project(mirrored))])
    known = weight.sum(0)
    return (colors * weight[..., None]).sum(0) / known.clamp(min=1e-6)[:, None], known


def _read(source: Float[Tensor, "3 H W"], pixels: Float[Tensor, "N 2"]) -> Float[Tensor, "N 3"]:
    """Bilinear; pixels beyond the picture read its border."""
    height, width = source.shape[1:]
    grid = pixels / pixels.new_tensor([width, height]) * 2 - 1
    values = torch.nn.functional.grid_sample(
        source[None], grid[None, None], mode="bilinear", padding_mode="border", align_corners=False
    )
    return values[0, :, 0].T


def _filled(
    points: Float[Tensor, "N 3"], colors: Float[Tensor, "N 3"], known: Float[Tensor, "N"]
) -> Float[Tensor, "N 3"]:
    """Unseen points take the mean colour of the nearest seen ones; half seen ones mix."""
    seen = known >= min(0.5, float(known.max()))
    if float(known.max()) <= 0:
        raise ValueError(f"textured: the camera sees none of the {len(points)} points; is it inside the object?")
    index = ops.nearest(points[None], points[seen][None], k=min(4, int(seen.sum())))[0]
    neighbours = points[seen][index]
    away = (points[:, None] - neighbours).norm(dim=-1)
    nearness = 1 / (away + 1e-3 * _diagonal(points))
    borrowed = (colors[seen][index] * nearness[..., None]).sum(1) / nearness.sum(1, keepdim=True)
    share = known.clamp(0, 1)[:, None]
    return share * colors + (1 - share) * borrowed


def _smoothed(
    colors: Float[Tensor, "V 3"], known: Float[Tensor, "V"], faces: Int[Tensor, "F 3"], rounds: int = 30
) -> Float[Tensor, "V 3"]:
    """Heat flow over the edges where nothing was seen; seen colours stay and feed it."""
    from scipy import sparse

    count = len(colors)
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).numpy()
    pairs = sparse.coo_array((np.ones(len(edges), np.float32), (edges[:, 0], edges[:, 1])), shape=(count, count))
    adjacent = (pairs + pairs.T).tocsr()
    degree = adjacent.sum(1)
    kept = known.clamp(0, 1).numpy().astype(np.float32)
    kept[degree == 0] = 1
    flow = sparse.diags_array((1 - kept) / np.maximum(degree, 1)).astype(np.float32) @ adjacent
    source = kept[:, None] * colors.numpy()
    values = colors.numpy()
    for _ in range(rounds):
        values = source + flow @ values
    return torch.from_numpy(values).clamp(0, 1)
