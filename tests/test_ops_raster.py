"""Rasterising: projected areas, depth order, the camera plane, and the compiled kernels against the references."""

import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette.ops import raster, raster_layers, raster_reference
from maquette.ops.raster import raster_layers_numba, raster_layers_reference, raster_numba
from test_ops_nearest import here_and_in_a_fork

NUMBERS = st.one_of(
    st.integers(-3, 40).map(float), st.sampled_from([0.5, 7.5, -1e30, 1e30, 1e-30, float("nan"), float("inf")])
)
DEPTHS = st.sampled_from([-2.0, -1.0, 0.0, 1e-30, 1.0, 1.0, 2.0, 3.0, 1e30, float("nan"), float("inf")])


def random(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def homogeneous(pixels, depth):
    """Pixel positions (x, y) at a depth, as the op wants them."""
    depth = torch.as_tensor(depth).expand(pixels.shape[:-1])[..., None]
    return torch.cat([pixels * depth, depth], -1)


def sphere(subdivisions=24):
    """A unit sphere of latitude and longitude."""
    theta = torch.linspace(0, math.pi, subdivisions + 1, dtype=torch.float64)[:, None]
    phi = torch.arange(2 * subdivisions, dtype=torch.float64)[None] * (math.pi / subdivisions)
    points = torch.stack(
        [theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos().expand(-1, 2 * subdivisions)], -1
    )
    i, j = torch.meshgrid(torch.arange(subdivisions), torch.arange(2 * subdivisions), indexing="ij")
    a, n = i * 2 * subdivisions, 2 * subdivisions
    corner = (a + j, a + (j + 1) % n, a + n + j, a + n + (j + 1) % n)
    faces = torch.stack([corner[0], corner[2], corner[1], corner[1], corner[2], corner[3]], -1).reshape(-1, 3)
    return points.reshape(-1, 3).float(), faces


def seen_from(points, distance, focal=100.0, size=(128, 128)):
    """Project by a pinhole camera on the z axis at `distance`, looking at the origin."""
    w = distance - points[:, 2]
    pixels = [focal * points[:, 0] + size[1] / 2 * w, size[0] / 2 * w - focal * points[:, 1], w]
    return torch.stack(pixels, -1)[None], size


def test_a_triangle_covers_exactly_the_pixel_centres_in_it():
    corners = homogeneous(torch.tensor([[[1.0, 1.0], [11.0, 1.0], [1.0, 11.0]]]), 2.0)
    y, x = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(16) + 0.5, indexing="ij")
    inside = (x >= 1) & (y >= 1) & (x + y <= 12)
    for faces in ([[0, 1, 2]], [[0, 2, 1]]):
        assert torch.equal(raster(corners, torch.tensor(faces), (16, 16))[0] == 0, inside)


def test_a_sphere_covers_the_area_of_its_outline():
    points, faces = sphere(64)
    vertices, size = seen_from(points, 3.0, focal=200, size=(256, 256))
    # A sphere of radius 1 at distance 3 has the outline radius f / sqrt(3^2 - 1); facets take away about 0.1 %.
    area = math.pi * 200**2 / 8
    assert (raster(vertices, faces, size) >= 0).sum().item() == pytest.approx(area, rel=0.005)


def test_the_nearest_face_wins_whatever_the_order():
    corners = torch.tensor([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]])
    vertices = torch.cat([homogeneous(corners, depth) for depth in (3.0, 1.0, 2.0)])[None]
    order = torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]])
    assert (raster(vertices, order, (8, 8)) == 1).all()
    assert (raster(vertices, order[[1, 0, 2]], (8, 8)) == 0).all()


def test_of_equally_near_faces_the_lowest_is_taken():
    corners = homogeneous(torch.tensor([[[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]]]), 2.0)
    assert (raster(corners, torch.tensor([[0, 1, 2]] * 3), (8, 8)) == 0).all()


def test_two_planes_that_cut_each_other_swap_where_their_true_depths_are_equal():
    # 1 / w is linear on the screen: over 30 pixels 1 -> 1/3 equals 1/3 -> 1 at x = 15, and 0.45 at x = 24.75, where
    # depths interpolated linearly would already have been equal at x = 18.3.
    def strip(left, right):
        return torch.tensor([[0, 0, 1], [0, 90, 1], [30, 0, 1], [30, 90, 1.0]]) * torch.tensor(
            [[left], [left], [right], [right]]
        )

    faces = torch.tensor([[0, 1, 2], [1, 2, 3], [4, 5, 6], [5, 6, 7]])
    for first, second, x in (((1.0, 3.0), (3.0, 1.0), 15), ((1.0, 3.0), (1 / 0.45, 1 / 0.45), 24.75)):
        face = raster(torch.cat([strip(*first), strip(*second)])[None], faces, (30, 30))[0]
        assert torch.equal(face < 2, (torch.arange(30) + 0.5 < x).expand(30, -1))


def test_neighbouring_faces_leave_no_hole_between_them():
    for seed in range(5):
        grid = torch.cartesian_prod(torch.arange(9.0), torch.arange(9.0)) * 4
        inner = ((grid > 0) & (grid < 32)).all(1, keepdim=True)
        grid = grid + inner * (random(seed, 81, 2) - 0.5) * (seed % 2) * 3  # even seeds have edges on pixel columns
        i, j = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
        a = (i * 9 + j).reshape(-1)
        faces = torch.cat([torch.stack([a, a + 1, a + 9], 1), torch.stack([a + 1, a + 9, a + 10], 1)])
        vertices = homogeneous(grid - 0.5 * (seed // 2), 1 + random(seed + 9, 81))[None]
        assert (raster(vertices, faces, (30, 30)) >= 0).all()


def test_from_inside_a_sphere_every_pixel_sees_a_face():
    points, faces = sphere()
    vertices, size = seen_from(points, 0.3, focal=40)
    assert (raster(vertices, faces, size) >= 0).all()


def test_what_is_behind_the_camera_is_not_seen():
    points, faces = sphere()
    vertices, size = seen_from(points, -3.0)
    assert (raster(vertices, faces, size) == -1).all()


def test_a_floor_that_passes_under_the_camera_fills_the_picture_below_the_horizon():
    # A camera at height 1 over a floor of z from -1000 to 1000: the horizon is the middle row, the floor reaches it.
    floor = torch.tensor([[-1e3, 1.0, -1e3], [1e3, 1.0, -1e3], [1e3, 1.0, 1e3], [-1e3, 1.0, 1e3]])
    vertices = torch.stack([50 * floor[:, 0] + 32 * floor[:, 2], 50 * floor[:, 1] + 32 * floor[:, 2], floor[:, 2]], -1)
    face = raster(vertices[None], torch.tensor([[0, 1, 2], [0, 2, 3]]), (64, 64))[0]
    # At row y the floor is at depth 50 / (y + 0.5 - 32): 100 at the first row below the horizon, well within it.
    assert (face[32:] >= 0).all() and (face[:32] == -1).all()


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("seed", range(6))
def test_the_kernel_agrees_with_the_reference_on_every_pixel(seed, threads):
    scale, shift = torch.tensor([200.0, 200.0, 3.0]), torch.tensor([50.0, 50.0, (seed % 3) - 1.0])
    vertices = (random(seed, 2, 40, 3) - 0.4) * scale + shift
    if seed >= 3:
        vertices = vertices.double().round()
    faces = torch.randint(0, 40, (120, 3), generator=torch.Generator().manual_seed(seed))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        face = raster_numba(vertices, faces, (53, 71))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(face, raster_reference(vertices, faces, (53, 71)))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, DEPTHS), min_size=3, max_size=9), st.randoms(use_true_random=False))
def test_nasty_vertices_neither_crash_nor_part_the_kernel_from_the_reference(corners, chance):
    vertices = torch.tensor(corners, dtype=torch.float64)[None]
    faces = torch.tensor([[chance.randrange(len(corners)) for _ in range(3)] for _ in range(6)])
    for dtype in (torch.float32, torch.float64):
        v = vertices.to(dtype)
        assert torch.equal(raster_numba(v, faces, (11, 13)), raster_reference(v, faces, (11, 13)))


def test_faces_without_area_and_faces_that_are_not_finite_are_skipped():
    corners = torch.tensor([[[1.0, 1, 1], [9, 9, 1], [5, 5, 1], [9, 1, 1], [torch.nan, 0, 1], [torch.inf, 0, 1]]])
    faces = torch.tensor([[0, 1, 2], [0, 0, 1], [3, 3, 3], [0, 1, 4], [0, 3, 5]])
    assert (raster(corners, faces, (10, 10)) == -1).all()


def test_a_mesh_without_faces_and_a_batch_without_views_are_empty_pictures():
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert (raster(torch.zeros(2, 4, 3), none, (5, 6)) == -1).all()
    assert raster(torch.zeros(0, 4, 3), torch.tensor([[0, 1, 2]]), (5, 6)).shape == (0, 5, 6)
    assert (raster_reference(torch.zeros(2, 4, 3), none, (5, 6)) == -1).all()


@pytest.mark.parametrize("wrong", [-1, 4])
def test_faces_out_of_range_are_refused(wrong):
    for function in (raster, raster_reference):
        with pytest.raises(ValueError, match=r"raster: faces name vertices .* of 4"):
            function(torch.zeros(1, 4, 3), torch.tensor([[0, 1, wrong]]), (4, 4))


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(ValueError, match=r"raster: size \(0, 4\)"):
        raster(torch.zeros(1, 4, 3), torch.tensor([[0, 1, 2]]), (0, 4))


def test_layers_are_in_order_of_depth_and_of_number_where_depths_are_equal():
    corners = torch.tensor([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]])
    vertices = torch.cat([homogeneous(corners, depth) for depth in (3.0, 1.0, 2.0, 1.0)])[None]
    order = torch.arange(12).reshape(4, 3)
    assert (raster_layers(vertices, order, (8, 8), layers=6) == torch.tensor([1, 3, 2, 0, -1, -1])).all()
    assert (raster_layers(vertices, order, (8, 8), layers=3) == torch.tensor([1, 3, 2])).all()


def test_a_convex_body_has_two_layers_and_the_second_is_its_back():
    points, faces = sphere()
    vertices, size = seen_from(points, 3.0)
    layers = raster_layers(vertices, faces, size, layers=3)
    assert torch.equal(layers[..., 0], raster(vertices, faces, size))
    # At a latitude-longitude grid's poles and outline pixel centres may lie on edges, and belong to both faces.
    covered, triple = layers[..., 0] >= 0, layers[..., 2] >= 0
    assert torch.equal(covered, layers[..., 1] >= 0) and triple.sum() < 0.05 * covered.sum()
    nearer = vertices[0, :, 2][faces].mean(1)
    front, back = layers[covered & ~triple][:, :2].unbind(1)
    assert ((nearer[front] <= nearer[back]).double().mean()) > 0.99


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("seed", [0, 3])
def test_the_kernel_of_layers_agrees_with_the_reference_and_with_one_layer(seed, threads, monkeypatch):
    scale, shift = torch.tensor([200.0, 200.0, 3.0]), torch.tensor([50.0, 50.0, (seed % 3) - 1.0])
    vertices = (random(seed, 3, 40, 3) - 0.4) * scale + shift
    if seed >= 2:
        vertices = vertices.double().round()
    faces = torch.randint(0, 40, (120, 3), generator=torch.Generator().manual_seed(seed))
    faces = torch.cat([faces, faces[:40]])  # ties everywhere
    monkeypatch.setattr(sys.modules["maquette.ops.raster"], "BOXES", 200)  # one view at a time
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        layers = {k: raster_layers_numba(vertices, faces, (33, 41), k) for k in (1, 5)}
    finally:
        torch.set_num_threads(before)
    assert torch.equal(layers[5], raster_layers_reference(vertices, faces, (33, 41), 5))
    assert torch.equal(layers[1], layers[5][..., :1])
    assert torch.equal(layers[1][..., 0], raster_numba(vertices, faces, (33, 41)))


def test_layers_of_nothing_and_no_layers():
    none = torch.zeros(0, 3, dtype=torch.int64)
    assert (raster_layers(torch.zeros(2, 4, 3), none, (5, 6), layers=2) == -1).all()
    with pytest.raises(ValueError, match=r"raster_layers: size \(4, 4\), 0 layers"):
        raster_layers(torch.zeros(1, 4, 3), none, (4, 4), layers=0)


def test_the_op_works_in_a_forked_process_after_its_parent_used_threads():
    points, faces = sphere()
    vertices, size = seen_from(points, 3.0)
    here, there = here_and_in_a_fork(lambda: int(raster(vertices, faces, size).sum()))
    assert here == there
