"""Mesh: triangles over shared vertices, their appearance, and points drawn from their surface.

V vertices, F faces, N samples. Faces are counter-clockwise seen from outside.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette.ops.checks import check_triangles


@dataclass(frozen=True)
class VertexColors:
    """One colour a vertex, interpolated across faces."""

    colors: Float[Tensor, "*batch V 3"]
    """sRGB in 0..1."""


@dataclass(frozen=True)
class FaceColors:
    """One flat colour a face."""

    colors: Float[Tensor, "F 3"]
    """sRGB in 0..1."""


@dataclass(frozen=True)
class Texture:
    """A picture wrapped around the faces; it repeats outside 0..1."""

    uv: Float[Tensor, "F 3 2"]
    """Per corner of a face: u to the right, v up; (0, 0) is the lower left corner of the picture."""
    image: Float[Tensor, "H W 3"]
    """sRGB in 0..1."""


Appearance = VertexColors | FaceColors | Texture


@dataclass(frozen=True)
class Mesh:
    """Triangles over shared vertices, counter-clockwise seen from outside.

    Leading `*batch` axes of `vertices` are deformations of one topology. The constructor stores; `check` judges.
    """

    vertices: Float[Tensor, "*batch V 3"]
    """World-space positions."""
    faces: Int[Tensor, "F 3"]
    """Vertex indices."""
    appearance: Appearance | None = None

    def with_vertices(self, vertices: Float[Tensor, "*batch V 3"]) -> "Mesh":
        return replace(self, vertices=vertices)

    def with_appearance(self, appearance: Appearance | None) -> "Mesh":
        return replace(self, appearance=appearance)

    def corners(self) -> Float[Tensor, "*batch F 3 3"]:
        """Positions of the three corners of every face."""
        return _at_corners(self.vertices, self.faces)


@dataclass(frozen=True)
class FaceSamples:
    """Points on a mesh, told by where they lie on it, so that any attribute can be read there."""

    faces: Int[Tensor, "*batch N"]
    barycentric: Float[Tensor, "*batch N 3"]
    """Weights of the face's corners; non-negative, sum 1."""


def _at_corners(values: Float[Tensor, "*batch V C"], faces: Int[Tensor, "F 3"]) -> Float[Tensor, "*batch F 3 C"]:
    # index_select has a much faster backward on a CPU than indexing with a tensor.
    picked = values.index_select(-2, faces.reshape(-1))
    return picked.reshape(*values.shape[:-2], len(faces), 3, values.shape[-1])


def check(mesh: Mesh, name: str) -> Mesh:
    """The mesh itself if it has faces, finite vertices and indices in range; `name` stands in the error."""
    check_sound(mesh, name)
    if len(mesh.faces) == 0:
        raise ValueError(f"{name}: the mesh has no faces ({mesh.vertices.shape[-2]} vertices)")
    return mesh


def check_sound(mesh: Mesh, name: str) -> Mesh:
    """As `check`, for what has an answer without faces, too."""
    check_triangles(name, mesh.vertices, mesh.faces)
    count = mesh.vertices.shape[-2]
    bad = ~torch.isfinite(mesh.vertices).all(-1)
    if bool(bad.any()):
        first = int(bad.reshape(-1).nonzero()[0]) % count
        raise ValueError(
            f"{name}: {int(bad.sum())} of {bad.numel()} vertices are not finite, the first is number {first}"
        )
    outside = (mesh.faces < 0) | (mesh.faces >= count)
    if bool(outside.any()):
        first = int(outside.any(-1).nonzero()[0])
        raise ValueError(
            f"{name}: {int(outside.any(-1).sum())} faces point outside the {count} vertices, "
            f"the first is face {first} = {mesh.faces[first].tolist()}"
        )
    return mesh


def unit(vectors: Float[Tensor, "*some 3"]) -> Float[Tensor, "*some 3"]:
    """Vectors brought to length 1; those shorter than 1e-18, whose squares float32 cannot hold, become 0.

    These have no gradient, where dividing by a smallest length would give one of 1e18.
    """
    length = vectors.norm(dim=-1, keepdim=True)
    return vectors / torch.where(length > 1e-18, length, torch.inf)


def _area_vectors(mesh: Mesh, name: str) -> Float[Tensor, "*batch F 3"]:
    check_triangles(name, mesh.vertices, mesh.faces)
    a, b, c = mesh.corners().unbind(-2)
    return torch.linalg.cross(b - a, c - a) / 2


def face_areas(mesh: Mesh) -> Float[Tensor, "*batch F"]:
    """Areas in squared world units."""
    return _area_vectors(mesh, "face_areas").norm(dim=-1)


def face_normals(mesh: Mesh) -> Float[Tensor, "*batch F 3"]:
    """Unit normals to the outside; zero for a face without area."""
    return unit(_area_vectors(mesh, "face_normals"))


def vertex_normals(mesh: Mesh) -> Float[Tensor, "*batch V 3"]:
    """Unit normals, the mean of the adjacent faces weighted by area; zero for a vertex without faces."""
    vectors = _area_vectors(mesh, "vertex_normals").repeat_interleave(3, -2)
    total = torch.zeros_like(mesh.vertices).index_add(-2, mesh.faces.reshape(-1), vectors)
    return unit(total)


def sample_faces(mesh: Mesh, n: int, *, generator: torch.Generator | None = None) -> FaceSamples:
    """`n` points uniform over the surface: a face by its area, then uniform barycentrics.

    Faces without area are never drawn. Gradients flow through the corners later, not through the choice.
    """
    if not bool(torch.isfinite(mesh.vertices).all()):
        raise ValueError("sample_faces: some vertices are not finite; there is nothing to sample")
    shape = (*mesh.vertices.shape[:-2], n)
    return sample_faces_from(mesh, torch.rand((3, *shape), generator=generator, dtype=torch.float64).movedim(0, -1))


def sample_faces_from(mesh: Mesh, draw: Float[Tensor, "*batch N 3"]) -> FaceSamples:
    """As `sample_faces`, by numbers that are uniform in [0, 1): N triples, on any device.

    The first chooses the face, u and v the barycentrics (1 - sqrt u, sqrt u (1 - v), v sqrt u) (Osada et al. 2002,
    eq. 1). A surface that is not finite gives positions that are not, so that a loss of them can tell of it.
    """
    # Detached before the areas: a graph over them would be built for nothing.
    areas = face_areas(Mesh(mesh.vertices.detach(), mesh.faces)).double()
    cumulative = areas.cumsum(-1)
    total = cumulative[..., -1:]
    if bool((total <= 0).any()):
        raise ValueError(f"sample_faces: the surface area is {total.min().item():g}; there is nothing to sample")
    choice, u, v = draw.to(areas).unbind(-1)
    # Inverse of the cumulative area; `right` steps over faces without area.
    faces = torch.searchsorted(cumulative, choice * total, right=True).clamp(max=areas.shape[-1] - 1)
    root = u.sqrt()
    barycentric = torch.stack([1 - root, root * (1 - v), root * v], -1).to(mesh.vertices.dtype)
    return FaceSamples(faces, barycentric)


def interpolate(corners: Float[Tensor, "*batch F 3 C"], samples: FaceSamples) -> Float[Tensor, "*batch N C"]:
    """An attribute given at every corner of every face, read at the samples."""
    index = samples.faces[..., None, None].expand(*samples.faces.shape, *corners.shape[-2:])
    picked = torch.gather(corners, -3, index)
    return (picked * samples.barycentric[..., None]).sum(-2)


def positions_at(mesh: Mesh, samples: FaceSamples) -> Float[Tensor, "*batch N 3"]:
    """World positions of the samples, differentiable in the vertices."""
    flat = mesh.vertices.reshape(-1, 3)
    corner = mesh.faces[samples.faces]
    if mesh.vertices.ndim > 2:
        first = torch.arange(0, len(flat), mesh.vertices.shape[-2], device=flat.device)
        corner = corner + first.reshape(*mesh.vertices.shape[:-2], 1, 1)
    # Corners first, and only those that are read: twice as quick as `interpolate`, forward and backward.
    picked = flat.index_select(0, corner.movedim(-1, 0).reshape(-1)).reshape(3, *samples.faces.shape, 3)
    return (picked * samples.barycentric.movedim(-1, 0)[..., None]).sum(0)


def colors_at(mesh: Mesh, samples: FaceSamples) -> Float[Tensor, "*batch N 3"] | None:
    """Colours at the samples (sRGB 0..1), or None for a mesh without appearance."""
    match mesh.appearance:
        case None:
            return None
        case FaceColors(colors):
            return colors[samples.faces]
        case VertexColors(colors):
            return interpolate(_at_corners(colors.expand_as(mesh.vertices), mesh.faces), samples)
        case Texture(uv, image):
            return read_texture(image, (uv[samples.faces] * samples.barycentric[..., None]).sum(-2))


def read_texture(image: Float[Tensor, "H W 3"], uv: Float[Tensor, "*points 2"]) -> Float[Tensor, "*points 3"]:
    """Bilinear read with repeat; differentiable in the image and in uv.

    Texel centres lie at half integers: texel (i, j) sits at u = (j + 0.5) / W, v = 1 - (i + 0.5) / H.
    """
    height, width = image.shape[:2]
    x = uv[..., 0] * width - 0.5
    y = (1 - uv[..., 1]) * height - 0.5
    x0, y0 = x.detach().floor(), y.detach().floor()
    fx, fy = x - x0, y - y0
    left, top = x0.long() % width, y0.long() % height
    right, bottom = (left + 1) % width, (top + 1) % height
    # All four texels of all points at once, each colour by itself in memory: a third of the time.
    texels = torch.stack([top * width + left, top * width + right, bottom * width + left, bottom * width + right])
    read = image.reshape(-1, 3).index_select(0, texels.reshape(-1)).t().contiguous().reshape(3, 4, *uv.shape[:-1])
    upper = read[:, 0] * (1 - fx) + read[:, 1] * fx
    lower = read[:, 2] * (1 - fx) + read[:, 3] * fx
    return (upper * (1 - fy) + lower * fy).movedim(0, -1)
