"""Laws that hold for every shape under every verb: one table of shapes, one test a law."""

import pytest
import torch

from maquette import transforms
from maquette.camera import Camera, orbit
from maquette.rendering import Ambient, Headlight, render
from maquette.shapes import (
    FaceColors,
    Mesh,
    PointCloud,
    Shape,
    Texture,
    VertexColors,
    Voxels,
    bounds,
    ico_sphere,
    sample,
    to_mesh,
    transform,
    vertex_normals,
)

CARRIED = (Ambient(0.4), Headlight(0.6))
"""Lights that move with the camera, so that a picture depends on relative poses alone."""
SIZE = (40, 48)


def ball() -> Mesh:
    """A lopsided ball, so that no symmetry hides a mistake."""
    sphere = ico_sphere(2)
    x, y, z = sphere.vertices.unbind(-1)
    return sphere.with_vertices(torch.stack([x * 0.5 + 0.1 * z, y * 0.3 - 0.05, z * 0.4 + 0.1 * x * y], -1))


def seeded(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(5))


def voxels() -> Voxels:
    occupancy = torch.zeros(8, 10, 12)
    occupancy[2:6, 1:4, 3:11] = 0.9
    occupancy[3:5, 4:9, 3:6] = 1.0
    return Voxels(occupancy, transforms.scale_translate(1.2, torch.tensor([0.1, -0.05, 0.0])))


SHAPES: dict[str, Shape] = {
    "mesh": ball(),
    "mesh with vertex colours": ball().with_appearance(VertexColors(seeded(len(ball().vertices), 3))),
    "mesh with face colours": ball().with_appearance(FaceColors(seeded(len(ball().faces), 3))),
    "mesh with texture": ball().with_appearance(Texture(seeded(len(ball().faces), 3, 2), seeded(6, 5, 3))),
    "open mesh": Mesh(seeded(9, 3) - 0.5, torch.arange(9).reshape(3, 3)),
    "points": PointCloud(ball().vertices),
    "points with everything": PointCloud(ball().vertices, seeded(len(ball().vertices), 3), vertex_normals(ball())),
    "voxels": voxels(),
}

POSES = {
    "turn": transforms.rigid(transforms.rotation_about("y", torch.tensor(0.8)), torch.zeros(3)),
    "tumble": transforms.rigid(
        transforms.rotation_about("x", torch.tensor(-2.0)) @ transforms.rotation_about("z", torch.tensor(0.5)),
        torch.tensor([0.3, -0.2, 0.4]),
    ),
}


@pytest.fixture(params=SHAPES, ids=[name.replace(" ", "-") for name in SHAPES])
def shape(request) -> Shape:
    return SHAPES[request.param]


@pytest.fixture(params=POSES)
def pose(request) -> torch.Tensor:
    return POSES[request.param]


def camera(azimuth: float = 0.6, elevation: float = 0.4, distance: float = 2.0) -> Camera:
    return orbit(*torch.tensor([azimuth, elevation, distance]), focal=50.0, size=SIZE)


def same_pictures(a: torch.Tensor, b: torch.Tensor, share: float = 0.01) -> bool:
    """Equal but for a few pixels whose centres lie on an edge to within rounding."""
    differs = (a - b).abs() > 1e-3
    return float((differs.any(-1) if a.ndim == 3 else differs).float().mean()) <= share


def test_moving_the_shape_equals_moving_the_camera_back(shape, pose):
    moved_shape = render(transform(shape, pose), camera(), lights=CARRIED)
    back = transforms.inverse(pose) @ camera().world_from_cam
    moved_camera = render(shape, Camera(back, camera().focal, camera().center, SIZE), lights=CARRIED)
    assert float(moved_shape.alpha.sum()) > 20
    assert same_pictures(moved_shape.alpha, moved_camera.alpha)
    assert same_pictures(moved_shape.rgb, moved_camera.rgb)
    assert same_pictures(moved_shape.depth, moved_camera.depth)
    assert same_pictures(moved_shape.normal, moved_camera.normal @ pose[:3, :3].mT)


def test_samples_lie_within_bounds(shape, generator):
    low, high = bounds(shape)
    points = sample(shape, 500, generator=generator).points
    assert points.shape == (500, 3)
    assert bool(((points >= low - 1e-6) & (points <= high + 1e-6)).all())


def test_samples_have_colours_where_the_shape_has_them(shape, generator):
    cloud = sample(shape, 20, generator=generator)
    colored = isinstance(shape, Mesh) and shape.appearance is not None
    colored |= isinstance(shape, PointCloud) and shape.colors is not None
    assert (cloud.colors is not None) == colored
    if cloud.normals is not None:
        assert torch.allclose(cloud.normals.norm(dim=-1), torch.ones(20), atol=1e-5)


def test_sampling_a_moved_shape_is_moving_its_samples(shape, pose):
    here = sample(shape, 50, generator=torch.Generator().manual_seed(1))
    there = sample(transform(shape, pose), 50, generator=torch.Generator().manual_seed(1))
    # The same draw picks the same face but for rounding of its area where two faces meet.
    agree = (transforms.apply(pose, here.points) - there.points).norm(dim=-1) < 1e-4
    assert float(agree.float().mean()) >= 0.95


def test_alpha_is_0_outside_the_projected_bounds(shape):
    radius = 0.02
    low, high = bounds(shape)
    grown = torch.stack([low - radius, high + radius])
    corners = torch.cartesian_prod(*grown.unbind(-1))
    seen = camera().project(corners)
    x, y = (torch.arange(n) + 0.5 for n in (SIZE[1], SIZE[0]))
    (left, top), (right, bottom) = seen.amin(0), seen.amax(0)
    outside = ((x < left) | (x > right))[None, :] | ((y < top) | (y > bottom))[:, None]
    alpha = render(shape, camera(), radius=radius).alpha
    assert float(alpha[outside].sum()) == 0 and float(alpha.sum()) > 0


def test_depth_lies_between_that_of_the_nearest_and_the_farthest_point(shape):
    rendering = render(shape, camera())
    corners = torch.cartesian_prod(*bounds(shape).unbind(-1))
    depth = camera().pixels_from_world(corners)[:, 2]
    seen = rendering.depth[rendering.alpha > 0]
    assert float(seen.min()) >= float(depth.min()) - 1e-5 and float(seen.max()) <= float(depth.max()) + 1e-5


def test_pictures_are_finite_and_within_their_ranges(shape):
    rendering = render(shape, camera(distance=0.3))
    assert bool(((rendering.rgb >= 0) & (rendering.rgb <= 1)).all())
    assert set(rendering.alpha.unique().tolist()) <= {0.0, 1.0}
    assert bool(torch.isfinite(rendering.depth).all()) and bool((rendering.depth >= 0).all())
    assert torch.allclose(rendering.normal.norm(dim=-1), rendering.alpha, atol=1e-4)


def test_a_moved_shape_has_moved_bounds(shape):
    shift = torch.tensor([1.0, -2.0, 0.5])
    moved = transform(shape, transforms.scale_translate(3.0, shift))
    assert torch.allclose(bounds(moved), bounds(shape) * 3 + shift, atol=1e-5)


def test_moving_there_and_back_changes_nothing(shape, pose):
    again = transform(transform(shape, pose), transforms.inverse(pose))
    assert torch.allclose(bounds(again), bounds(shape), atol=1e-5)
    assert type(again) is type(shape)
    if not isinstance(shape, Voxels):
        first, second = (x.vertices if isinstance(x, Mesh) else x.points for x in (shape, again))
        assert torch.allclose(first, second, atol=1e-5)


def test_the_mesh_of_a_moved_shape_is_the_moved_mesh(shape, pose):
    if isinstance(shape, PointCloud):
        with pytest.raises(ValueError, match="no faces"):
            to_mesh(shape)
        return
    here, there = transform(to_mesh(shape), pose), to_mesh(transform(shape, pose))
    assert torch.allclose(here.vertices, there.vertices, atol=1e-5)
    assert torch.equal(here.faces, there.faces)


def test_several_views_are_the_views_one_by_one(shape):
    cameras = orbit(
        torch.tensor([0.1, 2.0]), torch.tensor([0.4, -0.3]), torch.tensor([2.0, 2.5]), focal=50.0, size=SIZE
    )
    together = render(shape, cameras)
    for k in range(2):
        alone = render(shape, cameras[k])
        assert torch.equal(together.alpha[k], alone.alpha)
        assert torch.allclose(together.rgb[k], alone.rgb, atol=1e-6)
        assert torch.allclose(together.depth[k], alone.depth, atol=1e-6)
