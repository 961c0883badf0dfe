"""Gradients across silhouettes: soft coverage in screen units, and analytic antialiasing of a z-buffered picture.

B views, V vertices, F faces, H W pixels, P pairs of neighbouring pixels. Edge i of a face lies between its corners
i + 1 and i + 2. Edge functions are homogeneous, so no vertex is divided by its depth.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maquette import ops
from maquette.rendering.result import Blended, Dibr, Soft
from maquette.shapes.mesh import Mesh

PAIRS = 1 << 18
"""Pairs of pixels that are looked at at a time."""

STEPS = 64
"""Faces that are crossed at most between the centres of two pixels."""

FAINT = 1e-4
"""The coverage at which `blur_radius` ends unless it is given."""


def soft_coverage(
    mesh: Mesh, screen: Float[Tensor, "B V 4"], size: tuple[int, int], edges: Soft | Dibr | Blended
) -> tuple[Float[Tensor, "B H W"], Int[Tensor, "B H W"]]:
    """Alpha, and the face nearest to each pixel on the screen (-1 beyond the blur), from homogeneous pixels."""
    vertices = screen[..., :3]
    width, blur = reach(edges, size)
    match edges:
        case Soft() | Blended():
            return ops.soft_silhouette(vertices, mesh.faces, size, sigma=width, blur_radius=blur)
        case Dibr():
            return ops.dibr_silhouette(vertices, mesh.faces, size, delta=width, blur_radius=blur)


def reach(edges: Soft | Dibr | Blended, size: tuple[int, int]) -> tuple[float, float]:
    """Sigma (or delta) and the squared distance at which the blur ends, both in squared pixels."""
    unit = (min(size) / 2) ** 2
    match edges:
        case Soft(sigma=width):
            blur = math.log(1 / FAINT - 1) * width
        case Blended(sigma=width):
            blur = math.log(1 / FAINT - 1) * width
        case Dibr(delta=width):
            blur = math.log(1 / FAINT) * width
    return width * unit, (blur if edges.blur_radius is None else edges.blur_radius) * unit


def blended_across_edges(
    mesh: Mesh,
    screen: Float[Tensor, "B V 3"],
    faces: Int[Tensor, "B H W"],
    rgb: Float[Tensor, "*batch H W 3"],
    alpha: Float[Tensor, "*batch H W"],
) -> tuple[Float[Tensor, "*batch H W 3"], Float[Tensor, "*batch H W"]]:
    """The pictures with each pair of pixels blended at the silhouette between their centres (Laine et al. 2020, 3.3).

    `screen` is what the z-buffer `faces` was made from. The silhouette crosses the way from the centre of the nearer
    surface to the other's at a part t of it. With t > 1/2 the nearer surface takes t - 1/2 of the other pixel, else
    the other takes 1/2 - t of its pixel: exact coverage for upright and level edges. Pairs side by side are blended
    first, then those one above the other: a pixel that loses on both sides keeps the product of what they leave it, as
    the corner of a box does, and nothing leaves 0..1.
    """
    corners = screen.double()
    inner, outer, face, edge = _crossings(mesh, corners.detach(), faces)
    size = (faces.shape[1], faces.shape[2])
    triangle = _triangles(mesh, corners, inner // (size[0] * size[1]), face)
    start, end = _edge_functions(triangle, (inner, outer), size).gather(2, edge.expand(2, -1)[..., None])[..., 0]
    t = (start / (start - end)).to(rgb)[:, None]

    pictures = torch.cat([rgb, alpha[..., None]], -1).reshape(-1, 4)
    target = torch.where(t.detach()[:, 0] > 0.5, outer, inner)
    beside = inner // size[1] == outer // size[1]
    for pair in (beside.nonzero()[:, 0], (~beside).nonzero()[:, 0]):
        part = t.index_select(0, pair) - 0.5
        ours, theirs = (pictures.index_select(0, pixel[pair]) for pixel in (inner, outer))
        pictures = pictures.index_add(0, target[pair], part * (ours - theirs))
    blended = pictures.reshape(*rgb.shape[:-1], 4)
    return blended[..., :3], blended[..., 3]


def _crossings(
    mesh: Mesh, corners: Float[Tensor, "B V 3"], faces: Int[Tensor, "B H W"]
) -> tuple[Int[Tensor, "P"], Int[Tensor, "P"], Int[Tensor, "P"], Int[Tensor, "P"]]:
    """Pixels (flattened) of the nearer surface and of the other one, and face and edge of the silhouette between."""
    mates = edge_mates(mesh.faces, mesh.vertices.shape[-2])
    flat = faces.reshape(-1)
    place = torch.arange(len(flat), device=flat.device).reshape(faces.shape)
    level = torch.stack([place[:, :, :-1].reshape(-1), place[:, :, 1:].reshape(-1)])
    upright = torch.stack([place[:, :-1].reshape(-1), place[:, 1:].reshape(-1)])
    pairs = torch.cat([level, upright], 1)
    pairs = pairs[:, flat[pairs[0]] != flat[pairs[1]]]
    found = [
        _silhouettes_between(
            mesh, corners, flat, pairs[:, start : start + PAIRS], mates, (faces.shape[1], faces.shape[2])
        )
        for start in range(0, pairs.shape[1], PAIRS)
    ]
    inner, outer, half_edge = torch.cat(found, 1) if found else pairs.new_empty(3, 0)
    return inner, outer, half_edge // 3, half_edge % 3


def _silhouettes_between(
    mesh: Mesh,
    corners: Float[Tensor, "B V 3"],
    faces: Int[Tensor, "Q"],
    pairs: Int[Tensor, "2 P"],
    mates: Int[Tensor, "F 3"],
    size: tuple[int, int],
) -> Int[Tensor, "3 N"]:
    """Pixels of the nearer surface and of the other, and the half edge where the surface ends between their centres.

    From the nearer face the way leads over the edges of the surface, face by face, to one where the surface ends or
    turns away, or to the other pixel. Laine et al. look at the nearer face only, and so miss most of the outline of
    what is round: faces there are seen edge-on and narrower than pixels.
    """
    count = size[0] * size[1]
    near, far = (_nearness(mesh, corners, faces, pixel, size) for pixel in pairs)
    inner, outer = torch.where(near > far, pairs, pairs.flip(0))[:, near != far]
    face, entry = faces[inner], torch.full_like(inner, -1)
    found = [pairs.new_empty(3, 0)]
    for _ in range(STEPS):
        if not len(inner):
            break
        triangle = _triangles(mesh, corners, inner // count, face)
        here, there = _edge_functions(triangle, (inner, outer), size)
        leaves = (here >= 0) & (there < 0) & (torch.arange(3, device=face.device) != entry[:, None])
        part, edge = torch.where(leaves, here / (here - there), torch.inf).min(1)
        mate = mates[face, edge]
        fourth = _vertices(corners, inner // count, mesh.faces.reshape(-1)[mate.clamp(min=0)])
        rows = torch.arange(len(edge), device=edge.device)
        line = torch.linalg.cross(triangle[rows, (edge + 1) % 3], triangle[rows, (edge + 2) % 3])
        ends = (mate < 0) | _folds(line, triangle[rows, edge], fourth)
        goes = part.isfinite()
        found.append(torch.stack([inner, outer, 3 * face + edge])[:, goes & ends & _counts(line, inner, outer, size)])
        goes &= ~ends & (mate // 3 != faces[outer])
        inner, outer, face, entry = inner[goes], outer[goes], mate[goes] // 3, mate[goes] % 3
    return torch.cat(found, 1)


def _nearness(
    mesh: Mesh,
    corners: Float[Tensor, "B V 3"],
    faces: Int[Tensor, "Q"],
    pixel: Int[Tensor, "P"],
    size: tuple[int, int],
) -> Float[Tensor, "P"]:
    """1 / w at the pixels' centres, 0 where there is no face."""
    face = faces[pixel]
    triangle = _triangles(mesh, corners, pixel // (size[0] * size[1]), face.clamp(min=0))
    functions = _edge_functions(triangle, (pixel,), size)[0]
    # 1 / w is the sum of the edge functions over the determinant.
    return torch.where(face < 0, 0.0, functions.sum(1) / (functions * triangle[..., 2]).sum(1))


def _folds(line: Float[Tensor, "P 3"], third: Float[Tensor, "P 3"], fourth: Float[Tensor, "P 3"]) -> Bool[Tensor, "P"]:
    """Whether two faces lie on the same side of the line of their common edge: the surface turns away there."""
    ours, theirs = ((line * corner).sum(1) * corner[:, 2].sign() for corner in (third, fourth))
    return ours * theirs > 0


def _counts(
    line: Float[Tensor, "P 3"], inner: Int[Tensor, "P"], outer: Int[Tensor, "P"], size: tuple[int, int]
) -> Bool[Tensor, "P"]:
    """Steep edges move the pixels beside them, flat ones those above and below: both together would count twice."""
    beside = inner // size[1] == outer // size[1]
    return beside == (line[:, 0].abs() >= line[:, 1].abs())


def _triangles(
    mesh: Mesh, corners: Float[Tensor, "B V 3"], view: Int[Tensor, "P"], face: Int[Tensor, "P"]
) -> Float[Tensor, "P 3 3"]:
    index = mesh.faces.index_select(0, face)
    return _vertices(corners, view[:, None].expand(-1, 3).reshape(-1), index.reshape(-1)).reshape(-1, 3, 3)


def _vertices(
    corners: Float[Tensor, "B V 3"], view: Int[Tensor, "N"], vertex: Int[Tensor, "N"]
) -> Float[Tensor, "N 3"]:
    return corners.reshape(-1, 3).index_select(0, view * corners.shape[1] + vertex)


def _edge_functions(
    triangle: Float[Tensor, "P 3 3"], pixels: tuple[Int[Tensor, "P"], ...], size: tuple[int, int]
) -> Float[Tensor, "Q P 3"]:
    """The edge functions at the centres of each of the `pixels`, not negative within the face."""
    values = []
    for pixel in pixels:
        place = pixel % (size[0] * size[1])
        x = triangle[..., 0] - (place % size[1] + 0.5)[:, None] * triangle[..., 2]
        y = triangle[..., 1] - (place // size[1] + 0.5)[:, None] * triangle[..., 2]
        values.append(x.roll(-1, 1) * y.roll(1, 1) - y.roll(-1, 1) * x.roll(1, 1))
    # The determinant, whichever pixel the corners are shifted to.
    side = torch.where((values[0] * triangle[..., 2]).sum(1, keepdim=True) < 0, -1.0, 1.0)
    return torch.stack(values) * side


def edge_mates(faces: Int[Tensor, "F 3"], count: int) -> Int[Tensor, "F 3"]:
    """For each edge the half edge 3 f + i of the face f on its other side; -1 at borders and where more faces meet."""
    low = torch.minimum(faces.roll(-1, 1), faces.roll(1, 1))
    high = torch.maximum(faces.roll(-1, 1), faces.roll(1, 1))
    keys, order = (low.long() * count + high).reshape(-1).sort()
    # Pairs of equal keys, with others on either side.
    same = torch.nn.functional.pad(keys[1:] == keys[:-1], (1, 1))
    pair = (same[1:-1] & ~same[:-2] & ~same[2:]).nonzero()[:, 0]
    first, second = order[pair], order[pair + 1]
    mates = torch.full_like(faces.reshape(-1), -1, dtype=torch.int64)
    mates[first], mates[second] = second, first
    return mates.reshape(-1, 3)
