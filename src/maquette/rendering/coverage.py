"""Silhouettes without colours: the alpha of `render`, for fits to masks that need nothing else."""

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import ops
from maquette.camera import AnyCamera
from maquette.rendering.fragments import in_order_of_depth, on_screen
from maquette.rendering.result import Antialias, Blended, Dibr, Edges, Hard, Soft
from maquette.rendering.silhouettes import blended_across_edges, soft_coverage
from maquette.shapes.mesh import Mesh, check_sound


def coverage(mesh: Mesh, camera: AnyCamera, edges: Edges = Hard()) -> Float[Tensor, "*batch H W"]:
    """What `render` gives as alpha, in less time: 0..1, differentiable across silhouettes as `edges` has it.

    Gradients flow to the vertices and to the camera; with `Hard` there are none.
    """
    check_sound(mesh, "coverage")
    screen = on_screen(mesh, camera)
    batch = np.broadcast_shapes(mesh.vertices.shape[:-2], camera.world_from_cam.shape[:-2])
    match edges:
        case Soft() | Dibr() | Blended():
            alpha = soft_coverage(mesh, screen, camera.size, edges)[0]
        case Hard() | Antialias():
            ordered = in_order_of_depth(camera, screen)
            face = ops.raster(ordered, mesh.faces, camera.size)
            alpha = (face >= 0).to(screen.dtype)
            if isinstance(edges, Antialias):
                nothing = alpha.new_zeros(1).expand(*alpha.shape, 3)
                alpha = blended_across_edges(mesh, ordered, face, nothing, alpha)[1]
    return alpha.reshape(*batch, *camera.size)


def silhouette(mesh: Mesh, camera: AnyCamera) -> Bool[Tensor, "*batch H W"]:
    """Where pixel centres see the mesh."""
    return coverage(mesh, camera) > 0.5
