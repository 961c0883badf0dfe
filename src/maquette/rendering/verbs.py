"""render(shape, camera) -> Rendering: one verb for meshes, clouds and voxels."""

from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.camera import AnyCamera
from maquette.rendering.discs import Averaged, Composited, Discs
from maquette.rendering.lights import STUDIO, Lambert, Light, Material
from maquette.rendering.mesh import render_mesh
from maquette.rendering.points import render_points
from maquette.rendering.result import Edges, Hard, Rendering
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, to_mesh
from maquette.shapes.verbs import not_a_shape

WHITE = (1.0, 1.0, 1.0)


def render(
    shape: Shape,
    camera: AnyCamera,
    *,
    lights: tuple[Light, ...] = STUDIO,
    material: Material = Lambert(),
    background: tuple[float, float, float] = WHITE,
    smooth: bool = False,
    radius: float | Float[Tensor, "*some N"] = 0.01,
    edges: Edges | Discs = Hard(),
) -> Rendering:
    """Pictures of a shape from a camera, or from a batch of cameras (batches broadcast).

    `background` is sRGB 0..1; it is what shows of a shape without faces or points. Meshes: `smooth` shades with vertex
    normals instead of face normals; both sides of a face show; gradients flow to vertices, colours, texture and camera
    through the interior of what is seen, and across silhouettes as `edges` has it. Clouds: discs of `radius` world
    units, one for all or of each point, that cover each other as `edges` has it (`Hard`, `Composited`, `Averaged`).
    Voxels are rendered as the surface that `to_mesh` gives.
    """
    behind = torch.tensor(background, device=camera.world_from_cam.device)
    surface = to_mesh(shape) if isinstance(shape, Voxels) else shape
    match surface:
        case Mesh():
            _check_together(surface.vertices, camera)
            if isinstance(edges, Composited | Averaged):
                raise ValueError(
                    f"render: edges {type(edges).__name__} are for clouds; a mesh takes {_names(get_args(Edges))}"
                )
            return render_mesh(
                surface, camera, lights=lights, material=material, background=behind, smooth=smooth, edges=edges
            )
        case PointCloud():
            _check_together(surface.points, camera)
            if not isinstance(edges, Discs):
                raise ValueError(
                    f"render: edges {type(edges).__name__} are for meshes; a cloud takes {_names(get_args(Discs))}"
                )
            return render_points(
                surface, camera, lights=lights, material=material, background=behind, radius=radius, edges=edges
            )
        case _:
            raise not_a_shape("render", shape)


def _names(kinds: tuple[type, ...]) -> str:
    *others, last = (kind.__name__ for kind in kinds)
    return f"{', '.join(others)} or {last}"


def _check_together(points: Float[Tensor, "*some N 3"], camera: AnyCamera) -> None:
    pose = camera.world_from_cam
    if points.dtype != pose.dtype or points.device != pose.device:
        raise ValueError(
            f"render: the shape is {points.dtype} on {points.device}, the camera {pose.dtype} on {pose.device}; "
            "move the camera with `camera.to`"
        )


def antialiased(rendering: Rendering, factor: int = 2) -> Float[Tensor, "*batch h w 4"]:
    """A smaller RGBA picture by averaging `factor` x `factor` pixels: rgb is un-premultiplied, alpha is coverage.

    Alpha is 0 or 1 in every pixel of the rendering, as `Hard` edges give it; the background it shows is left out.
    """
    alpha = rendering.alpha[..., None]
    rgba = torch.cat([rendering.rgb * alpha, alpha], -1)
    height, width = rgba.shape[-3:-1]
    if height % factor or width % factor:
        raise ValueError(f"antialiased: {height} x {width} pixels do not divide by {factor}; render at a multiple")
    # Sums of slices: a mean over two inner axes takes four times as long.
    parts = [rgba[..., i::factor, j::factor, :] for i in range(factor) for j in range(factor)]
    small = torch.stack(parts).mean(0)
    return torch.cat([small[..., :3] / small[..., 3:].clamp(min=1e-6), small[..., 3:]], -1)
