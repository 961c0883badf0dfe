"""Soft silhouettes: known coverages, gradients against finite differences, compiled kernels against the reference."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette.ops import dibr_silhouette, raster, soft_silhouette
from maquette.ops import silhouette as module

NUMBERS = st.one_of(
    st.integers(-3, 20).map(float), st.sampled_from([0.5, 7.5, -1e30, 1e30, 1e-30, float("nan"), float("inf")])
)
SQUARE = torch.tensor([[[8.0, 8, 1], [24, 8, 1], [24, 24, 1], [8, 24, 1]]], dtype=torch.float64)
HALVES = torch.tensor([[0, 1, 2], [0, 2, 3]])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def scene(seed, views=2, vertices=30, faces=40):
    points = torch.rand(views, vertices, 2, dtype=torch.float64, generator=seeded(seed)) * 40 - 5
    if seed % 2:
        points = points.round()  # edges through pixel corners, faces without area, ties
    return points, torch.randint(0, vertices, (faces, 3), generator=seeded(seed))


def soft(vertices, faces, size, sigma=1.3, blur_radius=12.0):
    return soft_silhouette(vertices, faces, size, sigma=sigma, blur_radius=blur_radius)[0]


def dibr(vertices, faces, size, delta=1.3, blur_radius=12.0):
    return dibr_silhouette(vertices, faces, size, delta=delta, blur_radius=blur_radius)[0]


def test_coverage_is_the_logistic_function_of_the_signed_squared_distance():
    # One triangle whose long side lies on x = 10: pixel (16, j) is (j - 9.5) to the right of it, and far from the rest.
    corners = torch.tensor([[[10.0, -1e3, 1], [10, 1e3, 1], [1e3, 0, 1]]], dtype=torch.float64)
    alpha = soft(corners, torch.tensor([[0, 1, 2]]), (32, 32), sigma=2.0, blur_radius=40.0)[0, 16]
    x = torch.arange(32, dtype=torch.float64) - 9.5
    expected = torch.sigmoid(x.sign() * x**2 / 2.0)
    expected[x**2 >= 40] *= x[x**2 >= 40] > 0  # outside the blur nothing is left, inside all counts
    assert torch.allclose(alpha, expected, rtol=1e-9, atol=1e-12)


def test_coverages_of_several_faces_are_joined_as_if_independent():
    points, faces = scene(0)
    vertices = torch.cat([points, torch.ones_like(points[..., :1])], -1)
    rest = torch.ones(2, 31, 29, dtype=torch.float64)
    for face in faces:
        rest = rest * (1 - soft(vertices, face[None], (31, 29)))
    assert torch.allclose(1 - rest, soft(vertices, faces, (31, 29)), atol=1e-12)


def test_a_narrow_soft_silhouette_is_the_hard_one():
    # Not on the diagonal between the faces: two halves covered by chance are not a whole, which is SoftRas' way.
    vertices = SQUARE + torch.tensor([0.25, 0.05, 0.0])
    hard = (raster(vertices, HALVES, (32, 32)) >= 0).double()
    for alpha in (soft(vertices, HALVES, (32, 32), 1e-4), dibr(vertices, HALVES, (32, 32), 1e-4)):
        assert torch.allclose(alpha, hard, atol=1e-12)


def test_dibr_is_one_inside_and_falls_exponentially_outside():
    alpha = dibr(SQUARE, HALVES, (32, 32), delta=3.0, blur_radius=30.0)[0]
    assert bool((alpha[8:24, 8:24] == 1).all())
    # To the right of the square, by the middle of the upper half, only the first face is near.
    right = torch.arange(8, dtype=torch.float64) + 0.5
    expected = torch.exp(-(right**2) / 3) * (right**2 < 30)
    assert torch.allclose(alpha[10, 24:], expected, atol=1e-9)


def test_the_face_of_least_distance_is_told_and_the_lowest_of_equals():
    for function in (soft_silhouette, dibr_silhouette):
        width = {"sigma": 1.0} if function is soft_silhouette else {"delta": 1.0}
        twice = torch.cat([HALVES, HALVES])
        nearest = function(SQUARE, twice, (32, 32), blur_radius=9.5, **width)[1][0]
        assert nearest[10, 20] == 0 and nearest[20, 10] == 1 and nearest[10, 26] == 0 and nearest[26, 10] == 1
        assert nearest[10, 27] == -1 and nearest[0, 0] == -1 and nearest.max() == 1


@pytest.mark.parametrize("silhouette", [soft, dibr])
def test_gradients_are_those_of_finite_differences(silhouette):
    # In perspective, and with faces that lie over each other.
    points, faces = scene(0, views=1, vertices=9, faces=6)
    w = torch.rand(1, 9, 1, dtype=torch.float64, generator=seeded(3)) + 0.5
    vertices = torch.cat([points * 0.4 * w, w], -1).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: silhouette(v, faces, (14, 13)), (vertices,), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("silhouette", [soft, dibr])
def test_the_picture_of_a_square_grows_as_its_area_and_its_outline(silhouette):
    # Averaged over places within a pixel, sums over pixels are integrals over the screen.
    steps = (torch.arange(6, dtype=torch.float64) + 0.5) / 6
    shifts = torch.cat([torch.cartesian_prod(steps, steps), torch.zeros(36, 1)], 1)[:, None]
    middle = torch.tensor([16.0, 16.0, 0.0], dtype=torch.float64)

    def area(scale):
        square = (SQUARE - middle) * torch.stack([scale, scale, torch.ones_like(scale)]) + middle + shifts
        return silhouette(square, HALVES, (34, 34), 0.5, 5.0).sum() / len(shifts)

    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(area(scale), scale)
    with torch.no_grad():
        difference = (area(scale + 0.05) - area(scale - 0.05)) / 0.1
    assert slope.item() == pytest.approx(difference.item(), rel=0.01)
    if silhouette is dibr:
        # d/ds of L^2 + 4 L times the integral of exp(-x^2 / delta) over x > 0, with L = 16 s.
        assert slope.item() == pytest.approx(2 * 16**2 + 4 * 16 * math.sqrt(math.pi * 0.5) / 2, rel=0.01)


@pytest.mark.parametrize("kind", [module.LOGISTIC, module.EXPONENTIAL])
@pytest.mark.parametrize("seed", range(4))
def test_the_kernels_agree_with_the_reference(kind, seed):
    points, faces = scene(seed)
    upstream = torch.rand(2, 31, 29, dtype=torch.float64, generator=seeded(seed)) - 0.5
    upstream[:, 5:9] = 0
    depth, nearest = module.soft_silhouette_numba(points, faces, (31, 29), kind, 1.3, 12.0)
    expected = module.soft_silhouette_reference(points, faces, (31, 29), kind, 1.3, 12.0)
    assert torch.equal(nearest, expected[1])
    assert torch.allclose(depth, expected[0], rtol=1e-12)  # sums in another order
    back = module.soft_silhouette_backward_numba(points, faces, upstream, kind, 1.3, 12.0)
    plain = module.soft_silhouette_backward_reference(points, faces, upstream, kind, 1.3, 12.0)
    assert float((back - plain).abs().max()) < 1e-12 * float(plain.abs().max())


def test_chunks_and_threads_change_nothing(monkeypatch):
    points, faces = scene(0, views=3)
    upstream = torch.rand(3, 31, 29, dtype=torch.float64, generator=seeded(0))

    def both():
        forward = module.soft_silhouette_numba(points, faces, (31, 29), 0, 1.3, 12.0)
        return *forward, module.soft_silhouette_backward_numba(points, faces, upstream, 0, 1.3, 12.0)

    before, threads = both(), torch.get_num_threads()
    monkeypatch.setattr(module, "CHUNK", 50)
    torch.set_num_threads(3)
    try:
        after = both()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=3, max_size=9), st.randoms(use_true_random=False))
def test_nasty_points_give_finite_gradients_and_do_not_part_the_kernel_from_the_reference(corners, chance):
    points = torch.tensor(corners, dtype=torch.float64)[None]
    faces = torch.tensor([[chance.randrange(len(corners)) for _ in range(3)] for _ in range(6)])
    for kind in (module.LOGISTIC, module.EXPONENTIAL):
        arguments = (points, faces, (11, 13), kind, 0.7, 9.0)
        (depth, nearest), plain = module.soft_silhouette_numba(*arguments), module.soft_silhouette_reference(*arguments)
        assert torch.equal(nearest, plain[1]) and torch.allclose(depth, plain[0], rtol=1e-9)
    vertices = torch.cat([points, torch.ones_like(points[..., :1])], -1).float().requires_grad_()
    for silhouette in (soft, dibr):
        alpha = silhouette(vertices, faces, (11, 13))
        assert bool(((alpha >= 0) & (alpha <= 1)).all())
        (gradient,) = torch.autograd.grad(alpha.sum(), vertices)
        used = vertices.detach().isfinite().all(-1)
        assert bool(gradient[used].isfinite().all())


def test_pixel_centres_on_edges_and_on_corners_have_no_gradient_that_is_not_finite():
    corners = torch.tensor([[[4.5, 4.5, 1], [12.5, 4.5, 1], [4.5, 12.5, 1]]]).requires_grad_()
    for silhouette in (soft, dibr):
        alpha = silhouette(corners, torch.tensor([[0, 1, 2]]), (16, 16))
        (gradient,) = torch.autograd.grad(alpha.sum(), corners)
        assert bool(gradient.isfinite().all()) and float(gradient.abs().sum()) > 0


def test_faces_behind_the_camera_and_empty_meshes_leave_an_empty_picture():
    behind = SQUARE * torch.tensor([1.0, 1.0, -1.0])
    none = torch.zeros(0, 3, dtype=torch.int64)
    for silhouette in (soft, dibr):
        for vertices, faces in ((behind, HALVES), (SQUARE, none)):
            vertices = vertices.clone().requires_grad_()
            alpha = silhouette(vertices, faces, (32, 32))
            (gradient,) = torch.autograd.grad(alpha.sum(), vertices)
            assert bool((alpha == 0).all()) and bool((gradient == 0).all())
        assert silhouette(SQUARE[:0], HALVES, (5, 6)).shape == (0, 5, 6)


def test_a_disc_finds_the_place_and_the_size_of_another_from_its_silhouette():
    angle = torch.arange(40, dtype=torch.float64) / 40 * 2 * math.pi
    rim = torch.cat([torch.zeros(1, 2, dtype=torch.float64), torch.stack([angle.cos(), angle.sin()], -1)])
    around = torch.arange(40)
    fan = torch.stack([torch.zeros(40, dtype=torch.int64), around + 1, (around + 1) % 40 + 1], -1)

    def picture(middle, radius):
        points = rim * radius + middle
        return soft(torch.cat([points, torch.ones(41, 1, dtype=torch.float64)], -1)[None], fan, (48, 48), 2.0, 18.0)

    target = picture(torch.tensor([27.0, 22.0], dtype=torch.float64), 13.0).detach()
    middle = torch.tensor([20.0, 26.0], dtype=torch.float64, requires_grad=True)
    radius = torch.tensor(7.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([middle, radius], lr=0.5)
    for k in range(90):
        optimizer.param_groups[0]["lr"] = 0.5 * 0.96**k
        optimizer.zero_grad()
        ((picture(middle, radius) - target) ** 2).sum().backward()
        optimizer.step()
    assert torch.allclose(middle, torch.tensor([27.0, 22.0], dtype=torch.float64), atol=0.05)
    assert radius.item() == pytest.approx(13.0, abs=0.05)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="soft_silhouette: sigma is 0"):
        soft(SQUARE, HALVES, (4, 4), sigma=0.0)
    with pytest.raises(ValueError, match=r"dibr_silhouette: delta is 1\.0, blur_radius -1\.0"):
        dibr(SQUARE, HALVES, (4, 4), delta=1.0, blur_radius=-1.0)
    with pytest.raises(ValueError, match=r"soft_silhouette: size \(0, 4\)"):
        soft(SQUARE, HALVES, (0, 4))
    for silhouette in (soft, dibr):
        with pytest.raises(ValueError, match=r"soft_silhouette: faces name vertices 0..4 of 4"):
            silhouette(SQUARE, torch.tensor([[0, 1, 4]]), (4, 4))
