"""Features read where a camera sees points: pixel centres, borders, what is not seen, gradients."""

import math

import pytest
import torch

from maquette.camera import Camera, look_at, orbit, orthographic
from maquette.rendering.features import features_at

SIZE = (6, 8)


def ahead(dtype=torch.float64) -> Camera:
    """At the origin, looking along +z, y down, so that a pixel (x, y) at depth d is unprojected by hand."""
    return Camera(
        torch.eye(4, dtype=dtype),
        torch.tensor([5.0, 5.0], dtype=dtype),
        torch.tensor([4.0, 3.0], dtype=dtype),
        SIZE,
    )


def seen_at(x: float, y: float, depth: float = 2.0) -> torch.Tensor:
    return torch.tensor([(x - 4) / 5 * depth, (y - 3) / 5 * depth, depth], dtype=torch.float64)


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_point_over_a_pixels_centre_reads_that_pixel_whatever_its_depth():
    features = random(0, 3, *SIZE)
    for row, column, depth in [(0, 0, 1.0), (2, 5, 0.01), (5, 7, 100.0)]:
        read = features_at(features, ahead(), seen_at(column + 0.5, row + 0.5, depth)[None])
        assert torch.allclose(read[0], features[:, row, column])


def test_between_centres_a_linear_map_is_read_exactly():
    y, x = torch.meshgrid(torch.arange(6.0) + 0.5, torch.arange(8.0) + 0.5, indexing="ij")
    features = torch.stack([x, y]).double()
    places = torch.tensor([[0.5, 0.5], [3.3, 2.7], [7.5, 5.5], [6.2, 1.1]], dtype=torch.float64)
    points = torch.stack([seen_at(*place) for place in places.tolist()])
    assert torch.allclose(features_at(features, ahead(), points), places)


def test_within_half_a_pixel_of_the_border_the_outermost_value_holds():
    features = random(0, 3, *SIZE)
    for place, (row, column) in [((0.0, 0.2), (0, 0)), ((8.0, 6.0), (5, 7)), ((7.9, 0.0), (0, 7))]:
        assert torch.allclose(features_at(features, ahead(), seen_at(*place)[None])[0], features[:, row, column])


def test_a_coarser_map_covers_the_same_picture():
    # The mean over blocks of 2 x 2 of a linear function is its value at the block's middle.
    y, x = torch.meshgrid(torch.arange(6.0) + 0.5, torch.arange(8.0) + 0.5, indexing="ij")
    fine = torch.stack([x, y]).double()
    coarse = torch.nn.functional.avg_pool2d(fine, 2)
    points = torch.stack([seen_at(*place) for place in [(1.0, 1.0), (3.7, 2.2), (7.0, 5.0)]])
    assert torch.allclose(features_at(coarse, ahead(), points), features_at(fine, ahead(), points))


def test_what_is_outside_the_picture_behind_or_not_finite_reads_zero_without_gradient():
    behind = -seen_at(3.0, 3.0)
    unseen = torch.stack(
        [
            seen_at(-0.01, 3.0),
            seen_at(8.01, 3.0),
            seen_at(3.0, -0.01),
            seen_at(3.0, 6.01),
            behind,
            torch.zeros(3),
            torch.tensor([0.0, math.nan, 1.0]),
            torch.tensor([0.0, 0.0, math.inf]),
        ]
    ).requires_grad_()
    features = (1 + random(0, 2, *SIZE)).requires_grad_()
    read = features_at(features, ahead(), unseen)
    assert torch.equal(read, torch.zeros(8, 2))
    gradients = torch.autograd.grad(read.sum(), (unseen, features))
    assert all(bool((gradient == 0).all()) for gradient in gradients)


def test_a_hidden_and_a_near_unseen_point_leave_the_seen_ones_their_gradient():
    points = torch.stack([seen_at(3.2, 2.1), torch.zeros(3), -seen_at(3.2, 2.1)]).requires_grad_()
    (gradient,) = torch.autograd.grad(features_at(random(1, 2, *SIZE), ahead(), points).sum(), points)
    assert bool(gradient.isfinite().all()) and float(gradient[0].norm()) > 0 == float(gradient[1:].norm())


def test_features_points_and_camera_have_their_gradients():
    features = random(0, 2, 1, 3, 4).requires_grad_()
    camera = orbit(torch.tensor([0.3, 1.9]).double(), 0.4, 3.0, focal=20.0, size=(20, 24))
    points = ((random(1, 2, 3, 3) - 0.5) * 1.2).requires_grad_()
    pose = camera.world_from_cam.requires_grad_()

    def read(features, points, pose):
        return features_at(features, Camera(pose, camera.focal, camera.center, camera.size), points)

    assert float((read(features, points, pose) != 0).double().mean()) > 0.9
    assert torch.autograd.gradcheck(read, (features, points, pose))


def test_batches_broadcast_and_equal_one_by_one():
    features, points = random(0, 2, 3, 5, 7), random(1, 4, 3) - 0.5
    cameras = orbit(torch.tensor([0.3, 1.9]).double(), 0.4, 3.0, focal=20.0, size=(20, 24))
    both = features_at(features, cameras, points)
    assert both.shape == (2, 4, 3)
    for b in range(2):
        assert torch.allclose(both[b], features_at(features[b], cameras[b], points))
    assert torch.allclose(features_at(features[:1], cameras, points)[1], features_at(features[0], cameras[1], points))


def test_moving_points_and_camera_together_changes_nothing():
    eye, shift = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([5.0, -1.0, 2.0]).double()
    features, points = random(0, 3, 8, 8), random(1, 10, 3) - 0.5
    here, there = (look_at(eye + s, s, focal=10.0, size=(8, 8)) for s in (torch.zeros_like(shift), shift))
    assert torch.allclose(features_at(features, here, points), features_at(features, there, points + shift))


def test_an_orthographic_camera_reads_the_same_column_at_any_depth_and_nothing_behind():
    camera = orthographic(ahead(), 2.0)
    features = random(0, 3, *SIZE)
    points = seen_at(2.5, 4.5) + torch.tensor([[0.0, 0, 0], [0, 0, 7], [0, 0, -2.5]]).double()
    read = features_at(features, camera, points)
    assert torch.allclose(read[:2], features[:, 4, 2].expand(2, 3))
    assert read[2].tolist() == [0, 0, 0]


def test_no_points_read_nothing():
    assert features_at(random(0, 3, *SIZE), ahead(), torch.zeros(0, 3, dtype=torch.float64)).shape == (0, 3)


def test_mixed_types_and_empty_maps_are_refused():
    with pytest.raises(ValueError, match=r"points torch\.float32 on cpu, the camera torch\.float64"):
        features_at(random(0, 3, *SIZE), ahead(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="a map of at least one pixel"):
        features_at(torch.zeros(3, 0, 4), ahead(torch.float32), torch.zeros(2, 3))
