"""Balls: known neighbours, and the compiled kernel against the reference on every kind of cloud."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette.ops import ball_query, ball_query_ragged, ball_reference, nearest
from maquette.ops.ball import ball_numba

NASTY = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, -1e38, 1e-45, float("nan"), float("inf"), float("-inf")]
)


def cloud(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def both(queries, points, radius, k):
    splits = torch.tensor([0, len(queries)]), torch.tensor([0, len(points)])
    return ball_numba(queries, points, *splits, radius, k), ball_reference(queries, points, *splits, radius, k)


def test_the_ball_of_radius_one_on_a_unit_grid_holds_a_point_and_its_six_neighbours():
    axis = torch.arange(5.0)
    grid = torch.cartesian_prod(axis, axis, axis)
    middle = 2 * 25 + 2 * 5 + 2
    found = ball_query(grid, grid, radius=1.0, k=8)
    assert found[middle].tolist() == [middle + step for step in (-25, -5, -1, 0, 1, 5, 25)] + [-1]
    assert found[0].tolist() == [0, 1, 5, 25, -1, -1, -1, -1]


def test_a_ball_with_room_for_all_holds_exactly_the_points_within_the_radius_in_order():
    queries, points = cloud(0, 40), cloud(1, 70)
    found = ball_query(queries, points, radius=1.3, k=70)
    inside = (queries[:, None] - points).norm(dim=-1) <= 1.3
    for row, mask in zip(found, inside, strict=True):
        assert row[row >= 0].tolist() == mask.nonzero()[:, 0].tolist()


def test_an_overfull_ball_gives_its_lowest_indices():
    queries, points = cloud(2, 300), cloud(3, 900)
    everything = ball_query(queries, points, radius=0.8, k=900)
    assert torch.equal(ball_query(queries, points, radius=0.8, k=5), everything[:, :5])


def test_the_nearest_point_lies_in_the_ball_if_any_does():
    queries, points = cloud(4, 200), cloud(5, 300)
    found = ball_query(queries, points, radius=0.3, k=300)
    closest = nearest(queries, points)
    assert torch.equal((found == closest).any(1), (found >= 0).any(1))


def test_radius_zero_finds_the_copies_of_a_point():
    points = cloud(6, 50).repeat(3, 1)
    expected = torch.arange(50)[:, None] + torch.tensor([0, 50, 100])
    assert torch.equal(ball_query(points[:50], points, radius=0.0, k=3), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["random", "lattice", "apart", "clustered", "sorted", "one place"])
@pytest.mark.parametrize(("radius", "k"), [(0.1, 4), (1.0, 3), (1.0, 300), (float("inf"), 70)])
def test_the_kernel_agrees_with_the_reference_to_the_last_index(dtype, layout, radius, k):
    queries, points = cloud(7, 90, dtype=dtype), cloud(8, 2100, dtype=dtype)
    if layout == "lattice":
        queries, points = (2 * queries).round(), (2 * points).round()
    elif layout == "apart":
        points = points * 1e-2 + 100
    elif layout == "clustered":
        points = points * torch.linspace(-12, 3, len(points), dtype=dtype)[:, None].exp2()
    elif layout == "sorted":
        points = points[points[:, 0].argsort()]
    elif layout == "one place":
        points = points[:1].repeat(len(points), 1)
    compiled, reference = both(queries, points, radius, k)
    assert torch.equal(compiled, reference)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=40),
    st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=40),
    st.sampled_from([0.0, 1e-25, 1.0, 1e25, float("inf")]),
)
def test_numbers_that_are_not_finite_lie_in_no_ball(queries, points, radius):
    q, p = torch.tensor(queries), torch.tensor(points)
    compiled, reference = both(q, p, radius, 40)
    assert torch.equal(compiled, reference)
    finite = p.isfinite().all(1)
    assert finite[compiled[compiled >= 0]].all()
    assert (compiled[~q.isfinite().all(1)] == -1).all()


def test_leading_axes_are_batches_and_gradients_flow_through_the_points_taken():
    queries, points = cloud(9, 2, 3, 20).requires_grad_(), cloud(10, 2, 3, 30)
    found = ball_query(queries, points, radius=1.0, k=4)
    one_by_one = [ball_query(queries[i, j], points[i, j], radius=1.0, k=4) for i in range(2) for j in range(3)]
    assert torch.equal(found.flatten(0, 1), torch.stack(one_by_one))
    assert not found.requires_grad


def test_ragged_clouds_are_searched_each_on_its_own():
    sizes, counts = [0, 7, 300, 0, 1], [3, 0, 40, 2, 5]
    clouds = [cloud(i, n) for i, n in enumerate(sizes)]
    queries = [cloud(i + 9, n) for i, n in enumerate(counts)]
    splits = [torch.tensor([0, *s]).cumsum(0) for s in (counts, sizes)]
    found = ball_query_ragged(
        torch.cat(queries), torch.cat(clouds), query_splits=splits[0], point_splits=splits[1], radius=0.9, k=6
    )
    for s, part in enumerate(found.split(counts)):
        alone = ball_query(queries[s], clouds[s], radius=0.9, k=6)
        assert torch.equal(part, torch.where(alone < 0, -1, alone + splits[1][s]))


def test_no_points_give_no_neighbours_and_no_queries_no_rows():
    assert ball_query(cloud(0, 4), cloud(0, 0), radius=1.0, k=2).tolist() == [[-1, -1]] * 4
    assert ball_query(cloud(0, 0), cloud(0, 4), radius=1.0, k=2).shape == (0, 2)
    assert ball_query(cloud(0, 0, 5), cloud(0, 0, 4), radius=1.0, k=2).shape == (0, 5, 2)


def test_what_is_no_ball_is_refused():
    a = cloud(0, 5)
    with pytest.raises(ValueError, match=r"ball_query: radius is -1\.0"):
        ball_query(a, a, radius=-1.0, k=1)
    with pytest.raises(ValueError, match="ball_query: radius is nan"):
        ball_query(a, a, radius=float("nan"), k=1)
    with pytest.raises(ValueError, match="ball_query: k is 0"):
        ball_query(a, a, radius=1.0, k=0)
    with pytest.raises(ValueError, match="make both float32 or both float64"):
        ball_query(a, a.double(), radius=1.0, k=1)
    good = torch.tensor([0, 5])
    for wrong, told in (([0, 4], "runs 0, 4"), ([1, 5], "runs 1, 5"), ([0, 6, 5], "runs 0, 6, 5")):
        bad = torch.tensor(wrong)
        with pytest.raises(ValueError, match=f"query_splits {told}; it must rise from 0 to the number of queries, 5"):
            ball_query_ragged(a, a, query_splits=bad, point_splits=good.new_zeros(len(bad)), radius=1.0, k=1)
