"""Gradients across silhouettes: soft coverage in screen units, and analytic antialiasing of a z-buffered picture.

B views, V vertices, F faces, H W pixels, P pairs of neighbouring pixels. Edge i of a face lies between its corners
i + 1 and i + 2. Edge functions are homogeneous, so no vertex is divided by its depth.
"""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maquette import ops
from maquette.rendering.result import Dibr, Soft
from maquette.shapes.mesh import Mesh

PAIRS = 1 << 18
"""Pairs of pixels that are looked at at a time."""

FAINT = 1e-4
"""The coverage at which `blur_radius` ends unless it is given."""


def soft_coverage(
    mesh: Mesh, screen: Float[Tensor, "B V 4"], size: tuple[int, int], edges: Soft | Dibr
) -> tuple[Float[Tensor, "B H W"], Int[Tensor, "B H W"]]:
    """Alpha, and the face nearest to each pixel on the screen (-1 beyond the blur), from homogeneous pixels."""
    unit = (min(size) / 2) ** 2  # squared pixels
    vertices = screen[..., :3]
    match edges:
        case Soft(sigma, blur_radius):
            blur = math.log(1 / FAINT - 1) * sigma if blur_radius is None else blur_radius
            return ops.soft_silhouette(vertices, mesh.faces, size, sigma=sigma * unit, blur_radius=blur * unit)
        case Dibr(delta, blur_radius):
            blur = math.log(1 / FAINT) * delta if blur_radius is None else blur_radius
            return ops.dibr_silhouette(vertices, mesh.faces, size, delta=delta * unit, blur_radius=blur * unit)


def blended_across_edges(
    mesh: Mesh,
    screen: Float[Tensor, "B V 4"],
    faces: Int[Tensor, "B H W"],
    rgb: Float[Tensor, "*batch H W 3"],
    alpha: Float[Tensor, "*batch H W"],
) -> tuple[Float[Tensor, "*batch H W 3"], Float[Tensor, "*batch H W"]]:
    """The pictures with each pair of pixels blended at the silhouette between their centres (Laine et al. 2020, 3.3).

    The silhouette crosses the way from the centre of the nearer surface to the other's at a part t of it. With t > 1/2
    the nearer surface takes t - 1/2 of the other pixel, else the other takes 1/2 - t of its pixel: exact coverage
    for upright and level edges.
    """
    corners = screen[..., :3].double()
    inner, outer, face, edge = _crossings(mesh, corners.detach(), faces)
    height, width = faces.shape[1:]
    view = inner // (height * width)
    triangle = corners.reshape(-1, 3)[(view[:, None] * corners.shape[1] + mesh.faces[face])]
    here, there = _edge_functions(triangle, inner, outer, (height, width))
    start, end = here.gather(1, edge[:, None])[:, 0], there.gather(1, edge[:, None])[:, 0]
    t = (start / (start - end)).to(rgb)

    pictures = torch.cat([rgb, alpha[..., None]], -1).reshape(-1, 4)
    grows = (t.detach() > 0.5)[:, None]
    change = (t[:, None] - 0.5) * (pictures.index_select(0, inner) - pictures.index_select(0, outer))
    target = torch.where(grows[:, 0], outer, inner)
    blended = pictures.index_add(0, target, change).reshape(*rgb.shape[:-1], 4)
    return blended[..., :3], blended[..., 3]


def _crossings(
    mesh: Mesh, corners: Float[Tensor, "B V 3"], faces: Int[Tensor, "B H W"]
) -> tuple[Int[Tensor, "P"], Int[Tensor, "P"], Int[Tensor, "P"], Int[Tensor, "P"]]:
    """Pixels (flattened) of the nearer surface and of the other one, the nearer face and which of its edges it is."""
    size = (faces.shape[1], faces.shape[2])
    opposite = across_edges(mesh.faces, mesh.vertices.shape[-2])
    flat = faces.reshape(-1)
    place = torch.arange(len(flat), device=flat.device).reshape(faces.shape)
    level = torch.stack([place[:, :, :-1].reshape(-1), place[:, :, 1:].reshape(-1)])
    upright = torch.stack([place[:, :-1].reshape(-1), place[:, 1:].reshape(-1)])
    pairs = torch.cat([level, upright], 1)
    pairs = pairs[:, flat[pairs[0]] != flat[pairs[1]]]
    found = []
    for start in range(0, pairs.shape[1], PAIRS):
        first, second = pairs[:, start : start + PAIRS]
        both = torch.stack([torch.cat([first, second]), torch.cat([second, first])])
        inner, outer = both[:, flat[both[0]] >= 0]
        face = flat[inner]
        view = inner // (size[0] * size[1])
        index = view[:, None] * corners.shape[1]
        triangle = corners.reshape(-1, 3)[index + mesh.faces[face]]
        here, there = _edge_functions(triangle, inner, outer, size)
        # The face leaves the way to the other centre through the first edge on it.
        t = torch.where((there < 0) & (here >= 0), here / (here - there), torch.inf)
        part, edge = t.min(1)
        beyond = opposite[face, edge]
        fourth = corners.reshape(-1, 3)[index[:, 0] + beyond.clamp(min=0)]
        keep = part.isfinite() & ((beyond < 0) | _folds(triangle, edge, fourth))
        keep &= _is_nearer(corners, mesh, flat, inner, outer, size)
        found.append(torch.stack([inner, outer, face, edge])[:, keep])
    if not found:
        return (pairs[0, :0],) * 4
    return tuple(torch.cat(found, 1))


def _is_nearer(corners, mesh, flat, inner, outer, size) -> Bool[Tensor, "P"]:
    """Whether the face of pixel `inner` is in front of that of `outer`, each at its own pixel's centre."""
    nearness = []
    for pixel in (inner, outer):
        face = flat[pixel]
        index = (pixel // (size[0] * size[1]))[:, None] * corners.shape[1] + mesh.faces[face.clamp(min=0)]
        triangle = corners.reshape(-1, 3)[index]
        functions, _ = _edge_functions(triangle, pixel, pixel, size)
        # 1 / w is the sum of the edge functions over the determinant.
        det = (functions * triangle[..., 2]).sum(1)
        nearness.append(torch.where(face < 0, -torch.inf, functions.sum(1) / det))
    return nearness[0] > nearness[1]


def _folds(triangle: Float[Tensor, "P 3 3"], edge: Int[Tensor, "P"], fourth: Float[Tensor, "P 3"]) -> Bool[Tensor, "P"]:
    """Whether the face across the edge lies on the same side of it on the screen: the surface turns away there."""
    rows = torch.arange(len(edge), device=edge.device)
    along = torch.linalg.cross(triangle[rows, (edge + 1) % 3], triangle[rows, (edge + 2) % 3])
    third = triangle[rows, edge]
    ours, theirs = ((along * corner).sum(1) * corner[:, 2].sign() for corner in (third, fourth))
    return ours * theirs > 0


def _edge_functions(
    triangle: Float[Tensor, "P 3 3"], here: Int[Tensor, "P"], there: Int[Tensor, "P"], size: tuple[int, int]
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"]]:
    """The three edge functions at two pixels' centres, not negative within the face."""
    values = []
    for pixel in (here, there):
        place = pixel % (size[0] * size[1])
        x = triangle[..., 0] - (place % size[1] + 0.5)[:, None] * triangle[..., 2]
        y = triangle[..., 1] - (place // size[1] + 0.5)[:, None] * triangle[..., 2]
        values.append(x.roll(-1, 1) * y.roll(1, 1) - y.roll(-1, 1) * x.roll(1, 1))
    # The determinant, whichever pixel the corners are shifted to.
    side = torch.where((values[0] * triangle[..., 2]).sum(1, keepdim=True) < 0, -1.0, 1.0)
    return values[0] * side, values[1] * side


def across_edges(faces: Int[Tensor, "F 3"], count: int) -> Int[Tensor, "F 3"]:
    """For each edge of each face the vertex of the face across it; -1 at borders and where three or more faces meet."""
    low = torch.minimum(faces.roll(-1, 1), faces.roll(1, 1))
    high = torch.maximum(faces.roll(-1, 1), faces.roll(1, 1))
    keys, order = (low.long() * count + high).reshape(-1).sort()
    same = keys[1:] == keys[:-1]
    no = same.new_zeros(1)
    # A pair of equal keys with others on either side.
    pair = (same & ~torch.cat([no, same[:-1]]) & ~torch.cat([same[1:], no])).nonzero()[:, 0] if len(same) else order[:0]
    first, second = order[pair], order[pair + 1]
    opposite = torch.full_like(faces.reshape(-1), -1)
    opposite[first], opposite[second] = faces.reshape(-1)[second], faces.reshape(-1)[first]
    return opposite.reshape(-1, 3)
