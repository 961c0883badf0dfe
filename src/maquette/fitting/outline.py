"""One mask, one camera: a mesh that is nearly right is moved until its outline is the mask's, and the camera with it.

One view tells nothing of depth, so few steps are taken, each spread wide over the surface (large steps), and what they
bend is paid for. The result counts only if it agrees better with the mask. V vertices, H W pixels.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera
from maquette.fitting.loop import fit
from maquette.fitting.moulding import Moulding
from maquette.fitting.optimizers import LargeSteps
from maquette.losses import laplacian_delta, silhouette_mse
from maquette.rendering import Antialias
from maquette.rendering.coverage import coverage, silhouette
from maquette.shapes import Mesh, edges_of

SIZE = 160
"""Pixels of the longer side in which outlines are compared while they are fitted."""
SPREAD = 0.03
"""Distance over which a step is spread, as a part of the mesh's extent."""
STEP = 0.02
"""Peak learning rate of the vertices, as a part of the mesh's extent; one step moves them by less."""
POSE_STEP = 2e-3
"""Peak rate of the camera's motion, in radians and as a part of the mesh's extent."""
STIFFNESS = 30.0
"""Weight of the change of the Laplacian, at an edge's length, against the silhouette's error."""


@dataclass(frozen=True)
class Outlined:
    """A mesh and a camera, and how well they agree with the mask; as they were, if nothing better was found."""

    mesh: Mesh
    camera: Camera
    before: float
    """Intersection over union of the silhouette and the mask, 0..1, at first,"""
    after: float
    """and of this mesh from this camera: never less."""


def fit_outline(mesh: Mesh, camera: Camera, mask: Bool[Tensor, "H W"], *, steps: int) -> Outlined:
    """`steps` of differentiable rendering towards the mask, which has the camera's size. Nothing is drawn at random."""
    if steps < 1:
        raise ValueError(f"fit_outline: steps is {steps}; give at least 1")
    if mask.shape != camera.size:
        raise ValueError(
            f"fit_outline: the mask is {tuple(mask.shape)}, the camera's picture {camera.size}; make them alike"
        )
    before = mask_iou(mesh, camera, mask)
    scale = SIZE / max(camera.size)
    size = (max(1, round(camera.size[0] * scale)), max(1, round(camera.size[1] * scale)))
    small = camera.resized(size)
    share = torch.nn.functional.interpolate(mask[None, None].float(), size, mode="area")[0, 0]
    extent = float((mesh.vertices.amax(0) - mesh.vertices.amin(0)).max())
    edge = float(edge_length(mesh))

    # The solve spreads a gradient over sqrt(lambda) edges, however fine the mesh.
    wide = LargeSteps(lr=STEP * extent, smoothness=(SPREAD * extent / edge) ** 2)
    with torch.enable_grad():
        moulding = Moulding(mesh.vertices.detach(), mesh.faces, wide)
        twist = torch.zeros(6, dtype=mesh.vertices.dtype, requires_grad=True)
        moulding.optimizer.add_param_group({"params": [twist], "lr": POSE_STEP * extent})

        def objective(index: int) -> dict[str, Float[Tensor, ""]]:
            moulding.anneal(index / steps)
            live = moulding.live()
            alpha = coverage(live, turned(small, twist), Antialias())
            return {
                "silhouette": silhouette_mse(alpha, share > 0.5),
                "stiffness": STIFFNESS / edge**2 * laplacian_delta(mesh, live, moulding.topology),
            }

        for _ in fit(objective, moulding.optimizer, steps):
            pass
    moved, there = moulding.mesh(), turned(camera, twist.detach())
    after = mask_iou(moved, there, mask)
    if not after > before:
        return Outlined(mesh, camera, before, before)
    return Outlined(mesh.with_vertices(moved.vertices), there, before, after)


def turned(camera: Camera, twist: Float[Tensor, "6"]) -> Camera:
    """The camera after a small motion: a translation and a rotation vector, in the world's axes about its origin."""
    return replace(camera, world_from_cam=transforms.rigid_from_vectors(twist[:3], twist[3:]) @ camera.world_from_cam)


@torch.no_grad()
def mask_iou(mesh: Mesh, camera: Camera, mask: Bool[Tensor, "H W"]) -> float:
    """Intersection over union of the mesh's silhouette and the mask, by pixel centres; 0..1, 1 where both are empty."""
    ours = silhouette(mesh, camera)
    either = (ours | mask).sum()
    return float((ours & mask).sum() / either) if bool(either > 0) else 1.0


def edge_length(mesh: Mesh) -> Float[Tensor, ""]:
    """The mean."""
    start, end = mesh.vertices[edges_of(mesh.faces)].unbind(1)
    return (start - end).norm(dim=-1).mean()
