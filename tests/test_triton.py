"""The kernels for GPUs, run by Triton's interpreter where there is none, against the references."""

import pytest
import torch

pytest.importorskip("triton", reason="Triton is made for Linux only; its kernels are checked there")

from maquette.camera import orbit
from maquette.ops import (
    ball_reference,
    farthest_reference,
    nearest_face_reference,
    nearest_reference,
    nearest_to_face_reference,
    raster_discs_layers_reference,
    ray_hits_reference,
)
from maquette.ops.ball_triton import ball_triton
from maquette.ops.farthest_triton import farthest_triton
from maquette.ops.nearest_face_triton import nearest_face_triton, nearest_to_face_triton
from maquette.ops.nearest_triton import nearest_triton
from maquette.ops.raster import raster_layers_reference
from maquette.ops.raster_discs_triton import raster_discs_layers_triton
from maquette.ops.raster_triton import raster_layers_triton
from maquette.ops.rays_triton import ray_hits_triton
from maquette.ops.silhouette import EXPONENTIAL, LOGISTIC, soft_silhouette_backward_reference, soft_silhouette_reference
from maquette.ops.silhouette_triton import soft_silhouette_backward_triton, soft_silhouette_triton
from maquette.shapes.primitives import ico_sphere


def cloud(seed, n):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))


def also(k: int) -> list:
    """What is left of one and of k neighbours in every layout."""
    left = [(1, "random"), (k, "lattice"), (1, "not finite")]
    return [pytest.param(*each, marks=pytest.mark.slow) for each in left]


@pytest.fixture
def kernels_device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(("k", "layout"), [(3, "random"), (1, "lattice"), (3, "not finite"), *also(3)])
def test_nearest_agrees_with_its_reference_on_ragged_clouds(k, layout, kernels_device):
    queries, points = cloud(0, 90), cloud(1, 330)
    if layout == "lattice":
        queries, points = (2 * queries).round(), (2 * points).round()
    elif layout == "not finite":
        queries[::7, 1], points[::3, 2], points[1::9, 0] = torch.nan, torch.inf, torch.nan
    splits = torch.tensor([0, 70, 70, 90]), torch.tensor([0, 300, 328, 330])
    union = queries.to(kernels_device), points.to(kernels_device), *splits
    assert torch.equal(nearest_triton(*union, k), nearest_reference(*union, k))


@pytest.mark.parametrize("distance", [3.0, 0.9])
def test_layers_of_faces_agree_with_their_reference_also_for_faces_through_the_cameras_plane(
    distance, kernels_device, monkeypatch
):
    # So few that two programs share a face, and one of them goes on.
    monkeypatch.setattr("maquette.ops.raster_triton.PIXELS", 32)
    monkeypatch.setattr("maquette.ops.raster_triton.STRIPS", 2)
    sphere = ico_sphere(0)
    faces = torch.cat([sphere.faces, sphere.faces[:5], sphere.faces[:1, [0, 0, 1]]])  # doubled ones, a degenerate one
    camera = orbit(0.3, 0.2, distance, focal=8.0, size=(7, 9))
    pixels = camera.pixels_from_world(sphere.vertices)[None]
    found = raster_layers_triton(pixels.to(kernels_device), faces.to(kernels_device), (7, 9), 3)
    assert torch.equal(found.cpu(), raster_layers_reference(pixels, faces, (7, 9), 3))
    assert (found[..., 0] >= 0).any()


@pytest.mark.parametrize(("k", "layout"), [(7, "random"), (1, "lattice"), (7, "not finite"), *also(7)])
def test_balls_agree_with_their_reference_on_ragged_clouds(k, layout, kernels_device):
    queries, points = cloud(0, 90), cloud(1, 330)
    if layout == "lattice":
        queries, points = (2 * queries).round(), (2 * points).round()
    elif layout == "not finite":
        queries[::7, 1], points[::3, 2], points[1::9, 0] = torch.nan, torch.inf, torch.nan
    splits = torch.tensor([0, 70, 70, 90]), torch.tensor([0, 300, 328, 330])
    union = queries.to(kernels_device), points.to(kernels_device), *splits
    assert torch.equal(ball_triton(*union, 1.0, k), ball_reference(*union, 1.0, k))


@pytest.mark.parametrize("layout", ["random", "lattice", "not finite"])
def test_farthest_points_agree_with_their_reference_on_ragged_clouds(layout, kernels_device):
    points = cloud(2, 60)
    if layout == "lattice":
        points = points.round()
    elif layout == "not finite":
        points[::5, 1] = torch.nan
    union = points.to(kernels_device), *(torch.tensor(x) for x in ([0, 40, 40, 60], [12, 0, 20], [3, 0, 5]))
    assert torch.equal(farthest_triton(*union), farthest_reference(*union))


def test_layers_of_discs_agree_with_their_reference(kernels_device):
    centers = cloud(3, 24)[None] * torch.tensor([4.0, 4.0, 1.0]) + torch.tensor([6.0, 5.0, 1.0])
    centers[0, 5:9, 2] = centers[0, 4, 2]
    scene = centers.to(kernels_device), torch.full((1, 24), 2.5, device=kernels_device), (11, 13)
    found = raster_discs_layers_triton(*scene, layers=3)
    assert torch.equal(found, raster_discs_layers_reference(*scene, layers=3))
    assert (found[..., 2] >= 0).any()


@pytest.mark.parametrize("kind", [LOGISTIC, EXPONENTIAL])
def test_soft_silhouettes_and_their_gradients_agree_with_their_references(kind, kernels_device):
    sphere = ico_sphere(0)
    camera = orbit(0.3, 0.2, 3.0, focal=12.0, size=(11, 13))
    points = camera.project(sphere.vertices)[None].double().to(kernels_device)
    faces = torch.cat([sphere.faces[:9], sphere.faces[:2], sphere.faces[:1, [0, 0, 1]]]).to(kernels_device)
    scene = points, faces, (11, 13), kind, 0.4, 3.0
    (depth, nearest), (expected, face) = soft_silhouette_triton(*scene), soft_silhouette_reference(*scene)
    assert torch.equal(nearest, face)
    assert torch.allclose(depth, expected, rtol=1e-9, atol=1e-12)  # the order of the sums differs
    upstream = torch.randn(depth.shape, generator=torch.Generator().manual_seed(0)).double().to(kernels_device)
    upstream = torch.where(expected.isinf(), 0.0, upstream)
    scene = points, faces, upstream, kind, 0.4, 3.0
    gradient = soft_silhouette_backward_triton(*scene)
    assert torch.allclose(gradient, soft_silhouette_backward_reference(*scene), rtol=1e-9, atol=1e-12)
    assert gradient.abs().max() > 0.01


def octahedron_with_faults(layout):
    """Two deformations of an octahedron, with doubled faces, a segment, a point and, if wished, what is not finite."""
    faces = torch.tensor([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])
    faces = torch.cat([faces, faces[2:5], torch.tensor([[0, 2, 2], [1, 1, 1]])])
    vertices = torch.tensor([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]).repeat(2, 1, 1)
    if layout != "lattice":
        vertices[1] += 0.3 * cloud(4, 6)
    if layout == "not finite":
        vertices[0, 3, 1], vertices[1, 5, 2] = torch.nan, torch.inf
    return vertices, faces


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of NumPy, which the interpreter runs on
@pytest.mark.parametrize(
    ("layout", "dtype"), [("random", torch.float32), ("lattice", torch.float64), ("not finite", torch.float32)]
)
def test_nearest_faces_and_nearest_points_of_faces_agree_with_their_references(layout, dtype, kernels_device):
    vertices, faces = octahedron_with_faults(layout)
    points = cloud(5, 80).reshape(2, 40, 3)
    if layout == "lattice":
        points = points.round()  # as near to several faces: those of a vertex, and across planes of symmetry
    elif layout == "not finite":
        points[:, ::9, 1], points[:, 1::9, 0] = torch.nan, -torch.inf
    scene = tuple(each.to(kernels_device) for each in (points.to(dtype), vertices.to(dtype), faces))
    found = nearest_face_triton(*scene)
    assert torch.equal(found, nearest_face_reference(*scene))
    back = nearest_to_face_triton(*scene[1:], scene[0])
    assert torch.equal(back, nearest_to_face_reference(*scene[1:], scene[0]))
    assert (found >= 0).any() and (back >= 0).any()


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of NumPy, which the interpreter runs on
@pytest.mark.parametrize("layout", ["random", "lattice", "not finite"])
def test_hits_of_rays_agree_with_their_reference(layout, kernels_device):
    vertices, faces = octahedron_with_faults(layout)
    rays = torch.cat([2 * cloud(6, 140), cloud(7, 140)], 1)
    rays[:70, 3:] = 0.3 * rays[:70, 3:] - rays[:70, :3]  # at the octahedron
    if layout == "lattice":
        rays = rays.round()  # through edges and vertices, along axes, of length 0
    elif layout == "not finite":
        rays[::9, 1], rays[1::9, 4] = torch.nan, torch.inf
    scene = tuple(each.to(kernels_device) for each in (rays.double().reshape(2, 70, 6), vertices, faces))
    found = ray_hits_triton(*scene)
    assert torch.equal(found, ray_hits_reference(*scene))
    assert 20 < (found >= 0).sum() < 120


def test_without_faces_none_is_near_and_none_is_hit(kernels_device):
    vertices, faces = (each.to(kernels_device) for each in octahedron_with_faults("random"))
    points = cloud(5, 6).reshape(2, 3, 3).to(kernels_device)
    assert (nearest_face_triton(points, vertices, faces[:0]) == -1).all()
    assert nearest_to_face_triton(vertices, faces[:0], points).shape == (2, 0)
    assert (nearest_to_face_triton(vertices, faces, points[:, :0]) == -1).all()
    assert (ray_hits_triton(torch.cat([points, points], -1).double(), vertices, faces[:0]) == -1).all()
