"""The same numbers as PyTorch3D where it is installed; elsewhere these are skipped, and say so."""

import math

import pytest
import torch

pytest.importorskip("pytorch3d", reason="PyTorch3D is not installed, so its numbers cannot be compared with ours")

from pytorch3d.loss import (
    chamfer_distance,
    mesh_edge_loss,
    mesh_laplacian_smoothing,
    mesh_normal_consistency,
    point_mesh_face_distance,
)
from pytorch3d.ops import ball_query as their_ball_query
from pytorch3d.ops import knn_points, sample_farthest_points
from pytorch3d.renderer import (
    MeshRasterizer,
    PerspectiveCameras,
    RasterizationSettings,
    SoftSilhouetteShader,
)
from pytorch3d.structures import Meshes, Pointclouds

from maquette import losses, ops
from maquette.camera import orbit
from maquette.conventions import pytorch3d_from_camera
from maquette.rendering import Soft, render
from maquette.shapes import Mesh
from maquette.shapes.primitives import ico_sphere


@pytest.fixture
def clouds():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 300, 3, generator=generator), torch.randn(2, 200, 3, generator=generator)


@pytest.fixture
def bumpy() -> Mesh:
    sphere = ico_sphere(2)
    return sphere.with_vertices(sphere.vertices * (1 + 0.3 * (3 * sphere.vertices[:, :1]).sin()))


def test_nearest_neighbours_and_chamfer_are_theirs(clouds):
    a, b = clouds
    assert torch.equal(ops.nearest(a, b, 5), knn_points(a, b, K=5).idx)
    assert torch.allclose(losses.chamfer(a, b).mean(), chamfer_distance(a, b)[0])


def test_farthest_points_and_balls_are_theirs(clouds):
    a, b = clouds
    assert torch.equal(ops.farthest_points(a, 40), sample_farthest_points(a, K=40)[1])
    assert torch.equal(ops.ball_query(a, b, radius=0.5, k=8), their_ball_query(a, b, K=8, radius=0.5).idx)


def test_losses_of_meshes_are_theirs(bumpy, clouds):
    theirs = Meshes([bumpy.vertices], [bumpy.faces])
    assert torch.allclose(losses.edge_loss(bumpy), mesh_edge_loss(theirs))
    assert torch.allclose(losses.normal_consistency(bumpy), mesh_normal_consistency(theirs), atol=1e-6)
    for loss, method in (
        (losses.laplacian_uniform, "uniform"),
        (losses.laplacian_cot, "cot"),
        (losses.laplacian_cotcurv, "cotcurv"),
    ):
        assert torch.allclose(loss(bumpy), mesh_laplacian_smoothing(theirs, method), rtol=1e-4)
    points = clouds[0][0]
    assert torch.allclose(
        losses.point_mesh_face_distance(points, bumpy),
        point_mesh_face_distance(theirs, Pointclouds([points])),
        rtol=1e-4,
    )


def test_soft_silhouettes_are_theirs(bumpy):
    camera = orbit(0.4, 0.3, 2.7, focal=32 / math.tan(math.pi / 6), size=(64, 64))
    rotation, translation = pytorch3d_from_camera(camera)
    cameras = PerspectiveCameras(
        focal_length=camera.focal[None],
        principal_point=camera.center[None],
        R=rotation[None],
        T=translation[None],
        image_size=((64, 64),),
        in_ndc=False,
    )
    settings = RasterizationSettings(
        image_size=64, blur_radius=math.log(1 / 1e-4 - 1) * 1e-4, faces_per_pixel=200, perspective_correct=False
    )
    theirs = Meshes([bumpy.vertices], [bumpy.faces])
    alpha = SoftSilhouetteShader()(MeshRasterizer(cameras, settings)(theirs), theirs)[0, ..., 3]
    assert torch.allclose(render(bumpy, camera, edges=Soft()).alpha, alpha, atol=1e-3)
