"""Registration: motions that were made are found again, never a mirror image, and every gradient is finite."""

import itertools
import math

import pytest
import torch

from maquette import transforms
from maquette.registration import Similarity, icp, icp_steps, kabsch, umeyama


def cloud(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def motion(seed, *batch, dtype=torch.float64, angle=None):
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(*batch, 4, generator=generator, dtype=dtype)
    if angle is not None:
        axis = torch.nn.functional.normalize(q[..., 1:], dim=-1)
        q = torch.cat([torch.full_like(q[..., :1], math.cos(angle / 2)), axis * math.sin(angle / 2)], -1)
    scale = 0.5 + torch.rand(batch, generator=generator, dtype=dtype)
    translation = torch.randn(*batch, 3, generator=generator, dtype=dtype)
    return Similarity(transforms.rotation_from_quaternion(q), translation, scale)


def same(found, made, **tolerance):
    for name in ("rotation", "translation", "scale"):
        torch.testing.assert_close(getattr(found, name), getattr(made, name), **tolerance)


@pytest.mark.parametrize("points", [cloud(0, 2, 3, 10), cloud(1, 2, 3, 3), cloud(2, 2, 3, 9) * torch.tensor([1, 1, 0])])
def test_a_similarity_that_was_made_is_found_from_ten_points_or_three_or_flat_ones(points):
    made = motion(3, 2, 3)
    same(umeyama(points, made.apply(points)), made)
    rigid = Similarity(made.rotation, made.translation, torch.ones(2, 3, dtype=torch.float64))
    same(kabsch(points, rigid.apply(points)), rigid)


def test_a_single_precision_motion_is_found_in_single_precision():
    points, made = cloud(0, 100, dtype=torch.float32), motion(1, dtype=torch.float32)
    same(umeyama(points, made.apply(points)), made, rtol=0, atol=1e-5)


def test_umeyamas_own_example_gives_his_numbers():
    source = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 2, 0]], dtype=torch.float64)
    target = torch.tensor([[0, 0, 0], [-1, 0, 0], [0, 2, 0]], dtype=torch.float64)
    # In the plane (section IV) the best is no reflection; in space the same points are a half turn about y.
    found = umeyama(source, target)
    torch.testing.assert_close(found.rotation, torch.diag(torch.tensor([-1, 1, -1], dtype=torch.float64)))
    torch.testing.assert_close(found.scale, torch.tensor(1.0, dtype=torch.float64))


def test_a_mirror_image_is_met_by_a_rotation():
    points = cloud(4, 5, 20)
    found = umeyama(points, points * torch.tensor([1, 1, -1]))
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.ones(5, dtype=torch.float64))


def test_no_nearby_motion_is_better():
    source, target = cloud(5, 12), cloud(6, 12)
    for solve in (umeyama, kabsch):
        best = solve(source, target)
        least = (best.apply(source) - target).square().sum()
        for axis, turn in itertools.product("xyz", (-1e-3, 1e-3)):
            tilt = transforms.rotation_about(axis, torch.tensor(turn, dtype=torch.float64))
            other = Similarity(tilt @ best.rotation, best.translation, best.scale)
            assert (other.apply(source) - target).square().sum() > least
        if solve is umeyama:
            for factor in (0.999, 1.001):
                other = Similarity(best.rotation, best.translation, best.scale * factor)
                assert (other.apply(source) - target).square().sum() > least


def test_a_weight_counts_as_so_many_points_and_none_hides_what_a_point_holds():
    source, target = cloud(7, 6), cloud(8, 6)
    weights = torch.tensor([1.0, 2, 3, 0, 1, 0], dtype=torch.float64)
    index = torch.tensor([0, 1, 1, 2, 2, 2, 4])
    hidden = torch.where(weights[:, None] == 0, torch.nan, source)
    same(umeyama(hidden, target, weights=weights), umeyama(source[index], target[index]))


def test_the_matrix_does_what_apply_does():
    made, points = motion(9, 4), cloud(10, 4, 7)
    torch.testing.assert_close(transforms.apply(made.matrix(), points), made.apply(points))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_gradients_agree_with_finite_differences(seed):
    source, target = cloud(seed, 2, 5).requires_grad_(), cloud(seed + 20, 2, 5).requires_grad_()
    weights = torch.rand(2, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).add(0.1)

    def matrix(a, b, w):
        return umeyama(a, b, weights=w).matrix()

    torch.autograd.gradcheck(matrix, (source, target, weights.requires_grad_()))
    torch.autograd.gradcheck(lambda a, b: kabsch(a, b).matrix(), (source, target))


def test_gradients_agree_where_singular_values_coincide():
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)
    target = motion(11).apply(corners).requires_grad_()
    torch.autograd.gradcheck(lambda a, b: umeyama(a, b).matrix(), (corners.requires_grad_(), target))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["one point", "one place", "line", "to one place"])
def test_points_that_do_not_decide_the_turn_give_a_rotation_and_finite_gradients(dtype, kind):
    line = torch.arange(5, dtype=dtype)[:, None] * torch.tensor([1.0, 2.0, 3.0], dtype=dtype)
    here = torch.ones(5, 3, dtype=dtype)
    source, target = {
        "one point": (here[:1], 2 * here[:1]),
        "one place": (here, cloud(0, 5, dtype=dtype)),
        "line": (line, line.flip(-1)),
        "to one place": (cloud(0, 5, dtype=dtype), here),
    }[kind]
    source, target = source.clone().requires_grad_(), target.clone().requires_grad_()
    found = umeyama(source, target)
    torch.testing.assert_close(torch.linalg.det(found.rotation), torch.tensor(1.0, dtype=dtype))
    torch.testing.assert_close(found.apply(source).mean(0), target.mean(0))
    for gradient in torch.autograd.grad((found.matrix() * torch.arange(16).reshape(4, 4)).sum(), (source, target)):
        assert gradient.isfinite().all()
    if kind in ("one point", "one place"):
        assert float(found.scale.detach()) == 1


def test_weights_that_are_all_zero_give_the_identity():
    found = umeyama(cloud(0, 4), cloud(1, 4), weights=torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(found.matrix(), torch.eye(4, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_iterative_closest_points_find_a_small_motion_of_some_of_the_points(dtype):
    target = cloud(12, 400, dtype=dtype)
    made = motion(13, dtype=dtype, angle=0.1)
    made = Similarity(made.rotation, 0.05 * made.translation, torch.ones((), dtype=dtype))
    source = (target[:150] - made.translation) @ made.rotation
    found = icp(source, target)
    assert bool(found.converged) and float(found.rmse) < 1e-5
    same(found.transform, made, rtol=0, atol=1e-5)
    assert torch.equal(found.matches, torch.arange(150))


def test_the_scale_is_found_when_it_is_asked_for():
    target = cloud(14, 300)
    found = icp(target[:200] / 1.05, target, solve=umeyama)
    assert abs(float(found.transform.scale) - 1.05) < 1e-9
    assert icp(target[:200] / 1.05, target).transform.scale == 1


def test_the_error_never_grows():
    # Besl & McKay 1992, section IV.D.
    source, target = cloud(15, 3, 80), cloud(16, 3, 120)
    for solve in (kabsch, umeyama):
        history = icp(source, target, solve=solve).history
        assert len(history) > 3 and (history.diff(dim=0) <= 1e-12).all()


def test_a_batch_ends_as_each_of_it_would_alone():
    source, target = cloud(17, 3, 60), cloud(18, 3, 90)
    together = icp(source, target)
    lengths = set()
    for b in range(3):
        alone = icp(source[b], target[b])
        lengths.add(len(alone.history))
        torch.testing.assert_close(together.transform.matrix()[b], alone.transform.matrix())
        torch.testing.assert_close(together.history[: len(alone.history), b], alone.history)
        assert torch.equal(together.converged[b], alone.converged)
    assert len(lengths) > 1


def test_the_start_decides_where_it_ends():
    target = cloud(19, 200)
    made = motion(20)
    made = Similarity(made.rotation, made.translation, torch.ones((), dtype=torch.float64))
    source = (target - made.translation) @ made.rotation
    found = icp(source, target, start=made)
    assert float(found.rmse) < 1e-12 and bool(found.converged)
    assert float(icp(source, target).rmse) > 0.1


def test_too_few_steps_are_told_as_not_converged():
    found = icp(cloud(21, 50), cloud(22, 50), steps=1)
    assert not bool(found.converged) and len(found.history) == 2


def test_the_steps_go_on_as_long_as_they_are_asked_for():
    source, target = cloud(23, 40).requires_grad_(), cloud(24, 60)
    steps = list(itertools.islice(icp_steps(source, target), 4))
    assert [step.index for step in steps] == [0, 1, 2, 3]
    steps[-1].transform.matrix().sum().backward()
    assert source.grad is not None and source.grad.isfinite().all()


def test_what_cannot_be_registered_is_refused():
    a = cloud(0, 5)
    with pytest.raises(ValueError, match=r"umeyama: source is \(5, 3\) and target \(4, 3\)"):
        # Under the type checks of the tests the two axes must agree already; the function tells users.
        umeyama.__wrapped__(a, a[:4])
    with pytest.raises(ValueError, match="kabsch: source has 0 points"):
        kabsch(a[:0], a[:0])
    with pytest.raises(ValueError, match="make both float32 or both float64"):
        umeyama(a, a.float())
    with pytest.raises(ValueError, match="weights must be finite and at least 0; the least is -1"):
        umeyama(a, a, weights=-torch.ones(5, dtype=torch.float64))
    with pytest.raises(ValueError, match="icp: 1 of 5 target points are not finite"):
        icp(a, torch.cat([a[:4], torch.full((1, 3), torch.inf, dtype=torch.float64)]))
    with pytest.raises(ValueError, match="icp: steps is 0"):
        icp(a, a, steps=0)
