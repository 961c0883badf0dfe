"""Meshes to pictures: the kernel says which face a pixel shows, PyTorch says how much.

B views, F faces, H W pixels. For a pixel's ray d = (x, y, 1) and a face with homogeneous corners v0 v1 v2, the
barycentrics of the hit are proportional to d . (v1 x v2), d . (v2 x v0), d . (v0 x v1) (Olano and Greer 1997), so
perspective needs no case of its own and depth is the barycentric mean of the corners' depths.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette import ops
from maquette.camera import Camera, pixel_centers
from maquette.rendering.lights import Light, Material, shade
from maquette.rendering.result import Rendering
from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors, check, read_texture, unit, vertex_normals

PLAIN = 0.75
"""Grey of a mesh without appearance."""


def render_mesh(
    mesh: Mesh,
    camera: Camera,
    *,
    lights: tuple[Light, ...],
    material: Material,
    background: Float[Tensor, "3"],
    smooth: bool,
) -> Rendering:
    check(mesh, "render")
    # NumPy's, because torch's imports sympy, which takes half a second.
    batch = np.broadcast_shapes(mesh.vertices.shape[:-2], camera.focal.shape[:-1])
    height, width = camera.size
    pixels = camera.pixels_from_world(mesh.vertices).expand(*batch, -1, 3).reshape(-1, mesh.vertices.shape[-2], 3)
    face = ops.raster(pixels.detach(), mesh.faces, camera.size)
    # The visible pixels of all views in one list: P of them.
    view, row, column = (face >= 0).nonzero(as_tuple=True)
    corner = mesh.faces[face[view, row, column]]
    centers = pixel_centers(camera.size, dtype=pixels.dtype, device=pixels.device)
    weights = _barycentrics(_gather(pixels, view, corner), centers[row, column])

    world = mesh.vertices.expand(*batch, -1, 3).reshape(-1, mesh.vertices.shape[-2], 3)
    depth = (_gather(pixels[..., 2:], view, corner)[..., 0] * weights).sum(-1)
    forward = camera.world_from_cam[..., :3, 2].expand(*batch, 3).reshape(-1, 3)
    position = camera.position.expand(*batch, 3).reshape(-1, 3)
    triangle = _gather(world, view, corner)
    flat = torch.linalg.cross(triangle[:, 1] - triangle[:, 0], triangle[:, 2] - triangle[:, 0])
    # Both sides of a face are drawn; its normal is turned to the viewer.
    away = ((triangle[:, 0] - position[view]) * flat).sum(-1, keepdim=True) > 0
    if smooth:
        normals = vertex_normals(mesh).expand(*batch, -1, 3).reshape(world.shape)
        normal = (_gather(normals, view, corner) * weights[..., None]).sum(-2)
    else:
        normal = flat
    normal = unit(torch.where(away, -normal, normal))
    color = _colors(mesh, batch, face[view, row, column], corner, view, weights)
    seen = (triangle * weights[..., None]).sum(-2)
    lit = shade(
        color,
        normal,
        positions=seen,
        towards_camera=position[view] - seen,
        forward=forward[view],
        lights=lights,
        material=material,
    )
    rgb = lit.clamp(0, 1)

    def spread(values: Float[Tensor, "P C"], empty: Float[Tensor, "C"]) -> Float[Tensor, "*batch H W C"]:
        picture = empty.expand(*face.shape, len(empty)).clone()
        return picture.index_put((view, row, column), values).reshape(*batch, height, width, len(empty))

    nothing = pixels.new_zeros(3)
    return Rendering(
        spread(rgb, background.to(rgb)),
        (face >= 0).to(pixels.dtype).reshape(*batch, height, width),
        spread(depth[:, None], nothing[:1])[..., 0],
        spread(normal, nothing),
    )


def _gather(
    values: Float[Tensor, "B V C"], view: Int[Tensor, "P"], corner: Int[Tensor, "P 3"]
) -> Float[Tensor, "P 3 C"]:
    """Values of the three corners seen by every visible pixel."""
    flat = values.reshape(-1, values.shape[-1])
    index = view[:, None] * values.shape[1] + corner
    return flat.index_select(0, index.reshape(-1)).reshape(*corner.shape, values.shape[-1])


def _barycentrics(corners: Float[Tensor, "P 3 3"], centers: Float[Tensor, "P 2"]) -> Float[Tensor, "P 3"]:
    """Perspective-correct weights of the corners at the pixel centres."""
    # In float64, like the kernel: float32 sees the corners of a face that is edge-on in one line, and divides 0 by 0.
    exact, middle = corners.double(), centers.double()
    # Shifted to the pixel, so that large coordinates do not cancel: only x - x_pixel w is small.
    a, b, c = (exact[..., :2] - middle[:, None] * exact[..., 2:]).unbind(1)
    weights = torch.stack([_cross2(b, c), _cross2(c, a), _cross2(a, b)], -1)
    return (weights / weights.sum(-1, keepdim=True)).to(corners)


def _cross2(a: Float[Tensor, "P 2"], b: Float[Tensor, "P 2"]) -> Float[Tensor, "P"]:
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _colors(
    mesh: Mesh,
    batch: tuple[int, ...],
    face: Int[Tensor, "P"],
    corner: Int[Tensor, "P 3"],
    view: Int[Tensor, "P"],
    weights: Float[Tensor, "P 3"],
) -> Float[Tensor, "P 3"]:
    match mesh.appearance:
        case None:
            return weights.new_full((len(weights), 3), PLAIN)
        case FaceColors(colors):
            return colors[face]
        case VertexColors(colors):
            colors = colors.expand(*batch, -1, 3).reshape(-1, mesh.vertices.shape[-2], 3)
            return (_gather(colors, view, corner) * weights[..., None]).sum(-2)
        case Texture(uv, image):
            return read_texture(image, (uv[face] * weights[..., None]).sum(-2))
