"""Meshes to pictures: the kernel says which face a pixel shows, PyTorch says how much.

B views, F faces, H W pixels, P visible pixels of all views in one list.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import ops
from maquette.camera import AnyCamera, Camera
from maquette.rendering.blending import blended_over_depth
from maquette.rendering.fragments import (
    Fragments,
    at_corners,
    in_order_of_depth,
    interpolate,
    interpolate_corners,
    nearest_on_faces,
    on_screen,
    paint,
    seen_of,
    weighted,
)
from maquette.rendering.lights import Light, Material, shade
from maquette.rendering.result import Antialias, Blended, Dibr, Edges, Hard, Rendering, Soft
from maquette.rendering.silhouettes import blended_across_edges, soft_coverage
from maquette.shapes.mesh import (
    FaceColors,
    Mesh,
    Texture,
    VertexColors,
    check_sound,
    read_texture,
    unit,
    vertex_normals,
)

PLAIN = 0.75
"""Grey of a mesh without appearance."""


def render_mesh(
    mesh: Mesh,
    camera: AnyCamera,
    *,
    lights: tuple[Light, ...],
    material: Material,
    background: Float[Tensor, "3"],
    smooth: bool,
    edges: Edges,
) -> Rendering:
    check_sound(mesh, "render")
    screen = on_screen(mesh, camera)
    ordered = in_order_of_depth(camera, screen)
    face = ops.raster(ordered, mesh.faces, camera.size)
    shown, alpha = face, (face >= 0).to(screen.dtype)
    if isinstance(edges, Soft | Dibr):
        # Around the surface its colours go on: those of the nearest face on the screen.
        alpha, nearest = soft_coverage(mesh, screen, camera.size, edges)
        shown = torch.where(face >= 0, face, nearest)
    elif isinstance(edges, Blended):
        alpha = soft_coverage(mesh, screen, camera.size, edges)[0]
    seen = seen_of(mesh, camera, screen, shown)
    covered = face.reshape(-1).index_select(0, seen.pixels) >= 0
    if isinstance(edges, Soft | Dibr):
        inside = torch.where(covered[:, None], seen.barycentrics, nearest_on_faces(seen, screen)[0])
        seen = replace(seen, barycentrics=inside)

    def surface(seen: Fragments) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"], Float[Tensor, "P"]]:
        return _surface(mesh, camera, seen, screen, lights, material, smooth)

    color, normal, depth = surface(seen)
    behind = background.to(color)
    alpha = alpha.reshape(seen.shape)
    match edges:
        case Hard():
            rgb = paint(seen, color, behind)
        case Soft() | Dibr():
            opaque = alpha.reshape(-1).index_select(0, seen.pixels)[:, None]
            rgb = paint(seen, color * opaque + behind * (1 - opaque), behind)
            depth, normal = depth * covered, normal * covered[:, None]
        case Blended():
            mixed = blended_over_depth(mesh, screen, seen.shape, edges, lambda pairs: surface(pairs)[0])
            rgb = mixed * alpha[..., None] + behind * (1 - alpha[..., None])
        case Antialias():
            rgb = paint(seen, color, behind)
            rgb, alpha = blended_across_edges(mesh, ordered, face, rgb, alpha)
    nothing = color.new_zeros(3)
    depth = paint(seen, depth[:, None], nothing[:1])[..., 0]
    return Rendering(rgb, alpha, depth, paint(seen, normal, nothing))


def _surface(
    mesh: Mesh,
    camera: AnyCamera,
    seen: Fragments,
    screen: Float[Tensor, "B V 4"],
    lights: tuple[Light, ...],
    material: Material,
    smooth: bool,
) -> tuple[Float[Tensor, "P 3"], Float[Tensor, "P 3"], Float[Tensor, "P"]]:
    """Lit colour, normal and depth of what the pixels see."""
    views = seen.shape[:-2]
    depth = interpolate(seen, screen[..., 3:].reshape(*views, -1, 1))[:, 0]
    forward = _by_view(camera.world_from_cam[..., :3, 2], seen)
    triangle = at_corners(seen, mesh.vertices)
    position = weighted(triangle, seen.barycentrics)
    if isinstance(camera, Camera):
        towards_camera = _by_view(camera.position, seen) - position
    else:
        towards_camera = -forward
    a, b, c = triangle.unbind(1)
    flat = _cross(b - a, c - a)
    # Both sides of a face are drawn; its normal is turned to the viewer.
    away = (towards_camera.detach() * flat.detach()).sum(-1, keepdim=True) < 0
    normal = interpolate(seen, vertex_normals(mesh)) if smooth else flat
    normal = unit(torch.where(away, -normal, normal))
    lit = shade(
        _colors(mesh, seen),
        normal,
        positions=position,
        towards_camera=towards_camera,
        forward=forward,
        lights=lights,
        material=material,
    )
    return lit.clamp(0, 1), normal, depth


def _by_view(values: Float[Tensor, "*some C"], seen: Fragments) -> Float[Tensor, "P C"]:
    """One row of each camera for each of its visible pixels."""
    views = values.expand(*seen.shape[:-2], -1).reshape(-1, values.shape[-1])
    if len(views) == 1:
        return views.expand(len(seen.views), -1)
    return views.t().contiguous().index_select(1, seen.views).t()


def _cross(a: Float[Tensor, "P 3"], b: Float[Tensor, "P 3"]) -> Float[Tensor, "P 3"]:
    """Cross product; torch's is slow where each column stands by itself."""
    return a.roll(-1, 1) * b.roll(1, 1) - a.roll(1, 1) * b.roll(-1, 1)


def _colors(mesh: Mesh, seen: Fragments) -> Float[Tensor, "P 3"]:
    match mesh.appearance:
        case None:
            return mesh.vertices.new_full((len(seen.faces), 3), PLAIN)
        case FaceColors(colors):
            return colors.index_select(0, seen.faces)
        case VertexColors(colors):
            return interpolate(seen, colors)
        case Texture(uv, image):
            return read_texture(image, interpolate_corners(seen, uv))
