"""A texture for a mesh that has none: its faces laid out flat in charts (UV atlas), its colours baked into a picture.

V vertices, F faces, H W pixels of the picture.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import ops
from maquette.shapes.closest import closest_points
from maquette.shapes.mesh import FaceSamples, Mesh, Texture, check, colors_at, positions_at

CHUNK = 1 << 18
"""Texels whose colour is found at a time."""


@dataclass(frozen=True)
class Atlas:
    """Where each corner of each face lies in a picture."""

    uv: Float[Tensor, "F 3 2"]
    """0..1, u to the right, v up; no two faces overlap. Faces without area lie in one point."""
    size: tuple[int, int]
    """Height and width of the picture for which the charts are padded."""


def unwrap(mesh: Mesh, size: int = 1024, *, padding: int = 4) -> Atlas:
    """The faces cut into charts and packed into a picture of about `size` by `size`, charts `padding` texels apart.

    By the library xatlas, which takes about half a second for a thousand faces and ten for twenty thousand: simplify
    first. Scale of the mesh does not matter. Empty meshes, vertices not finite and wrong indices are errors.
    """
    import xatlas

    check(mesh, "unwrap")
    if mesh.vertices.ndim != 2:
        raise ValueError(f"unwrap: vertices have shape {tuple(mesh.vertices.shape)}; give one mesh at a time")
    if not (16 <= size <= 16384 and 0 <= padding <= size // 8):
        raise ValueError(f"unwrap: size {size}, padding {padding}; give a size in 16..16384, a padding up to an eighth")
    vertices = mesh.vertices.detach().double()
    extent = (vertices.amax(0) - vertices.amin(0)).max().clamp(min=torch.finfo(torch.float64).tiny)
    scaled = ((vertices - vertices.amin(0)) / extent).float().cpu().numpy()
    atlas, options = xatlas.Atlas(), xatlas.PackOptions()
    options.resolution, options.padding, options.bilinear = size, padding, True
    atlas.add_mesh(scaled, mesh.faces.cpu().numpy().astype(np.uint32))
    atlas.generate(pack_options=options)
    if atlas.width == 0 or atlas.height == 0:
        raise ValueError(f"unwrap: none of the {len(mesh.faces)} faces has an area to lay out")
    _, corners, uv = atlas.get_mesh(0)
    placed = torch.from_numpy(uv[corners.astype(np.int64)].astype(np.float32))
    return Atlas(placed.to(mesh.vertices.device), (int(atlas.height), int(atlas.width)))


def bake(mesh: Mesh, size: int = 1024, *, source: Mesh | None = None, padding: int = 4) -> Mesh:
    """The mesh with a Texture on a new atlas that shows its own colours, or those of `source` where it is closest.

    Every texel whose centre lies on a face has the colour there; the others that of the nearest such texel, so that
    interpolation at seams meets no background. `source` lets a simplified mesh wear the colours of the full one.
    The picture is about `size` by `size` (see `unwrap`). No gradient flows.
    """
    owner = mesh if source is None else source
    if owner.appearance is None:
        raise ValueError("bake: the mesh has no colours; give a `source` that has, or an appearance")
    atlas = unwrap(mesh, size, padding=padding)
    index, barycentric = _texels(atlas)
    flat_index, flat_barycentric = index.reshape(-1), barycentric.reshape(-1, 3).to(mesh.vertices.dtype)
    covered = (flat_index >= 0).nonzero()[:, 0]
    if len(covered) == 0:
        raise ValueError(f"bake: no texel lies on a face at size {size}; ask for a larger one")
    still = mesh.with_vertices(mesh.vertices.detach())
    worn = owner.with_vertices(owner.vertices.detach())
    image = torch.zeros((len(flat_index), 3), dtype=torch.float32, device=index.device)
    for some in covered.split(CHUNK):
        samples = FaceSamples(flat_index[some], flat_barycentric[some])
        if source is not None:
            samples = closest_points(worn, positions_at(still, samples).to(worn.vertices.dtype))
        colors = colors_at(worn, samples)
        assert colors is not None
        image[some] = colors.detach().to(image.dtype)
    picture = _extended(image.reshape(*atlas.size, 3), index >= 0)
    return mesh.with_appearance(Texture(atlas.uv, picture))


def _texels(atlas: Atlas) -> tuple[Tensor, Float[Tensor, "H W 3"]]:
    """The face under each texel's centre, -1 for none, and the barycentrics there."""
    height, width = atlas.size
    scale = torch.tensor([width, -height], dtype=torch.float64, device=atlas.uv.device)
    pixels = atlas.uv.double() * scale + torch.tensor([0, height], device=atlas.uv.device)
    vertices = torch.cat([pixels.reshape(-1, 2), torch.ones_like(pixels.reshape(-1, 2)[:, :1])], 1)
    faces = torch.arange(len(vertices), device=vertices.device).reshape(-1, 3)
    index = ops.raster(vertices[None], faces, (height, width))[0]
    a, b, c = pixels[index.clamp(min=0)].unbind(-2)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    p = torch.stack([x, y], -1).to(pixels) + 0.5
    whole = _cross(b - a, c - a)
    whole = torch.where(whole == 0, 1.0, whole)
    barycentric = torch.stack([_cross(b - p, c - p), _cross(c - p, a - p), _cross(a - p, b - p)], -1) / whole[..., None]
    # Rounding may leave a centre on an edge outside by a little.
    barycentric = barycentric.clamp(min=0)
    return index, barycentric / barycentric.sum(-1, keepdim=True).clamp(min=1e-12)


def _cross(a: Float[Tensor, "*some 2"], b: Float[Tensor, "*some 2"]) -> Float[Tensor, "*some"]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _extended(image: Float[Tensor, "H W 3"], covered: Bool[Tensor, "H W"]) -> Float[Tensor, "H W 3"]:
    """Every texel that is not covered takes the nearest one that is."""
    from scipy import ndimage

    row, column = ndimage.distance_transform_edt(~covered.cpu().numpy(), return_distances=False, return_indices=True)
    return image[torch.from_numpy(row).long().to(image.device), torch.from_numpy(column).long().to(image.device)]
