"""Farthest point sampling: known choices, what greed promises, and the compiled kernel against the reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette.ops import farthest_points, farthest_points_ragged, farthest_reference
from maquette.ops.farthest import farthest_numba

NASTY = st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, -1e38, float("nan"), float("inf"), float("-inf")])


def cloud(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def both(points, k, start=0):
    arguments = torch.tensor([0, len(points)]), torch.tensor([k]), torch.tensor([start])
    return farthest_numba(points, *arguments), farthest_reference(points, *arguments)


def test_on_a_line_the_far_end_comes_first_then_the_middle_then_the_quarters():
    points = torch.zeros(9, 3)
    points[:, 0] = torch.arange(9.0)
    assert farthest_points(points, 5).tolist() == [0, 8, 4, 2, 6]
    assert farthest_points(points, 3, start=4).tolist() == [4, 0, 8]


def test_the_corners_of_a_cube_come_before_what_lies_inside():
    corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    points = torch.cat([0.3 * cloud(0, 50).clamp(-1, 1), corners])
    assert set(farthest_points(points, 8, start=50).tolist()) == set(range(50, 58))


def test_each_point_is_the_farthest_from_those_before_it_and_distances_never_grow():
    points = cloud(1, 400)
    chosen = farthest_points(points, 30)
    distances = torch.cdist(points, points[chosen])
    gaps = []
    for i in range(1, 30):
        apart = distances[:, :i].amin(1)
        assert apart[chosen[i]] >= apart.max() - 1e-5  # cdist rounds otherwise than the kernel
        gaps.append(apart[chosen[i]])
    assert (torch.stack(gaps).diff() <= 1e-5).all()


def test_the_choice_does_not_depend_on_motion_or_scale():
    points = cloud(2, 200, dtype=torch.float64)
    turn = torch.linalg.qr(cloud(3, 3, dtype=torch.float64)).Q
    assert torch.equal(farthest_points(points, 40), farthest_points(3 * points @ turn + 1, 40))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["random", "lattice", "clustered", "flat", "one place"])
@pytest.mark.parametrize(("n", "k"), [(1, 1), (63, 63), (64, 20), (700, 130), (300, 300)])
def test_the_kernel_agrees_with_the_reference_to_the_last_index(dtype, layout, n, k):
    points = cloud(4, n, dtype=dtype)
    if layout == "lattice":
        points = (2 * points).round()
    elif layout == "clustered":
        points = points * torch.linspace(-12, 3, n, dtype=dtype)[:, None].exp2()
    elif layout == "flat":
        points[:, 1] = 0
    elif layout == "one place":
        points = points[:1].repeat(n, 1)
    compiled, reference = both(points, k, n // 2)
    assert torch.equal(compiled, reference)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=150), st.integers(0, 149))
def test_every_point_is_taken_once_and_those_that_are_not_finite_last(points, start):
    p, start = torch.tensor(points), start % len(points)
    compiled, reference = both(p, len(p), start)
    assert torch.equal(compiled, reference)
    assert sorted(compiled.tolist()) == list(range(len(p)))
    finite = p.isfinite().all(1)[compiled[1:]].int()
    assert (finite.diff() <= 0).all()


def test_repeated_points_come_last_by_index():
    points = cloud(5, 6)[[0, 1, 0, 2, 1, 3]]
    chosen = farthest_points(points, 6).tolist()
    assert chosen[0] == 0 and set(chosen[:4]) == {0, 1, 3, 5} and chosen[4:] == [2, 4]


def test_leading_axes_are_batches_each_with_its_start():
    points = cloud(6, 2, 3, 50)
    start = torch.tensor([[0, 1, 2], [3, 4, 49]])
    found = farthest_points(points, 7, start=start)
    assert torch.equal(found[..., 0], start)
    for i in range(2):
        for j in range(3):
            assert torch.equal(found[i, j], farthest_points(points[i, j], 7, start=int(start[i, j])))
    assert torch.equal(farthest_points(points.transpose(0, 1), 7), farthest_points(points, 7).transpose(0, 1))


def test_ragged_clouds_are_thinned_each_on_its_own():
    sizes, counts = torch.tensor([0, 9, 200, 0, 1]), torch.tensor([0, 9, 80, 0, 0])
    clouds = [cloud(i, n) for i, n in enumerate(sizes.tolist())]
    splits = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    starts = torch.tensor([0, 3, 5, 0, 0])
    union = torch.cat(clouds)
    found = farthest_points_ragged(union, counts, splits=splits, starts=starts)
    reference = farthest_reference(union, splits, counts, starts) + splits[:-1].repeat_interleave(counts)
    assert torch.equal(found, reference)
    for s, part in enumerate(found.split(counts.tolist())):
        if counts[s]:
            alone = farthest_points(clouds[s], int(counts[s]), start=int(starts[s]))
            assert torch.equal(part, alone + splits[s])


def test_none_of_no_points_is_nothing():
    assert farthest_points(cloud(0, 0), 0).shape == (0,)
    assert farthest_points(cloud(0, 0, 4), 2).shape == (0, 2)
    assert farthest_points(cloud(0, 2, 4), 0).shape == (2, 0)


def test_more_than_there_are_is_refused():
    with pytest.raises(ValueError, match="farthest_points: k = 6 of 5 points"):
        farthest_points(cloud(0, 5), 6)
    with pytest.raises(ValueError, match="farthest_points: the start is point 5 of 5"):
        farthest_points(cloud(0, 5), 2, start=5)
    with pytest.raises(ValueError, match=r"points are torch\.float16"):
        farthest_points(cloud(0, 5).half(), 2)
    splits = torch.tensor([0, 2, 5])
    with pytest.raises(ValueError, match="4 points are wanted of cloud 1, which has 3"):
        farthest_points_ragged(cloud(0, 5), torch.tensor([2, 4]), splits=splits)
