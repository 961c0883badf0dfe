"""Nearest points: known neighbours, and the compiled kernel against the reference on every kind of cloud."""

import multiprocessing
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette.losses import chamfer
from maquette.ops import nearest, nearest_both, nearest_ragged, nearest_reference
from maquette.ops.nearest import nearest_both_numba, nearest_both_reference, nearest_numba
from maquette.ops.splits import equal_splits

NASTY = st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, 0.5, 1e-30, 1e30, -1e38, 1e-45, float("nan"), float("inf"), float("-inf")]
)


def cloud(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_a_point_of_a_unit_grid_is_nearest_to_whatever_rounds_to_it():
    axis = torch.arange(7.0)
    grid = torch.cartesian_prod(axis, axis, axis)
    queries = torch.rand(500, 3, generator=torch.Generator().manual_seed(0)) * 6
    assert torch.equal(grid[nearest(queries, grid)[:, 0]], queries.round())


def test_every_point_is_its_own_nearest():
    points = cloud(1, 3, 700)
    assert torch.equal(nearest(points, points)[..., 0], torch.arange(700).expand(3, -1))


def test_neighbours_come_sorted_by_distance_and_are_all_of_the_points_when_k_is_their_number():
    queries, points = cloud(2, 20), cloud(3, 40)
    indices = nearest(queries, points, 40)
    distances = (queries[:, None] - points[indices]).norm(dim=-1)
    assert torch.equal(indices.sort(1).values, torch.arange(40).expand(20, -1))
    assert (distances.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("k", [1, 4])
def test_of_equally_near_points_the_lowest_indices_are_taken(k):
    points = cloud(4, 1).repeat(100, 1)
    assert torch.equal(nearest(cloud(5, 50), points, k), torch.arange(k).expand(50, -1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 17, 17), (333, 451, 1), (40, 1000, 5), (100, 16, 2)])
@pytest.mark.parametrize("layout", ["random", "lattice", "apart", "clustered", "flat"])
def test_the_kernel_agrees_with_the_reference_to_the_last_index(dtype, sizes, layout):
    n, m, k = sizes
    queries, points = cloud(6, 2, n, dtype=dtype), cloud(7, 2, m, dtype=dtype)
    if layout == "lattice":
        queries, points = (2 * queries).round(), (2 * points).round()
    elif layout == "apart":
        points = points * 1e-2 + 100
    elif layout == "clustered":
        points = points * torch.linspace(-12, 3, m, dtype=dtype)[:, None].exp2()
    elif layout == "flat":
        queries[..., 1], points[..., 1] = 0, 0
    union = queries.flatten(0, 1), points.flatten(0, 1), equal_splits(2, n), equal_splits(2, m)
    assert torch.equal(nearest_numba(*union, k), nearest_reference(*union, k))
    for found, expected in zip(nearest_both_numba(*union), nearest_both_reference(*union), strict=True):
        assert torch.equal(found, expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=40),
    st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=40),
    st.integers(1, 3),
)
def test_numbers_that_are_not_finite_count_as_infinitely_far_in_both(queries, points, k):
    q, p, k = torch.tensor(queries), torch.tensor(points), min(k, len(points))
    union = q, p, equal_splits(1, len(q)), equal_splits(1, len(p))
    assert torch.equal(nearest_numba(*union, k), nearest_reference(*union, k))


def test_ragged_clouds_are_searched_as_each_one_alone_and_short_ones_are_filled_up():
    sizes = [(5, 40), (0, 3), (70, 1), (2, 0), (33, 17), (1, 600)]
    pairs = [(cloud(10 + i, n), cloud(20 + i, m)) for i, (n, m) in enumerate(sizes)]
    query_splits, point_splits = (torch.tensor([0, *sizes_]).cumsum(0) for sizes_ in zip(*sizes, strict=True))
    queries, points = (torch.cat(clouds) for clouds in zip(*pairs, strict=True))
    for k in (1, 3):
        found = nearest_ragged(queries, points, query_splits=query_splits, point_splits=point_splits, k=k)
        for s, (q, p) in enumerate(pairs):
            expected = torch.full((len(q), k), -1)
            if len(p):
                expected[:, : len(p)] = nearest(q, p, min(k, len(p))) + point_splits[s]
            assert torch.equal(found[query_splits[s] : query_splits[s + 1]], expected)


def test_both_ways_at_once_is_one_way_and_the_other():
    a, b = cloud(11, 3, 90), cloud(12, 3, 170)
    b_of_a, a_of_b = nearest_both(a, b)
    assert torch.equal(b_of_a, nearest(a, b)[..., 0]) and torch.equal(a_of_b, nearest(b, a)[..., 0])


def test_splits_that_do_not_cover_the_union_are_refused():
    with pytest.raises(ValueError, match="query_splits runs 0, 4; it must rise from 0 to the number of queries, 5"):
        nearest_ragged(cloud(0, 5), cloud(1, 5), query_splits=torch.tensor([0, 4]), point_splits=torch.tensor([0, 5]))


def test_the_order_in_which_a_cloud_is_listed_does_not_change_its_chamfer_distance():
    # Presorted, reversed and constant coordinates are what quickselect would stumble over.
    a = torch.linspace(-1, 1, 5000)[:, None] * torch.tensor([1.0, 1e-3, 0.0])
    b = cloud(13, 5000) * 0.1
    assert torch.allclose(chamfer(a, b), chamfer(a.flip(0), b[torch.randperm(5000)]))


def test_leading_axes_are_batches_and_strides_do_not_matter():
    queries, points = cloud(8, 2, 3, 20), cloud(9, 2, 3, 30)
    expected = torch.stack([nearest(queries[i, j], points[i, j], 2) for i in range(2) for j in range(3)])
    assert torch.equal(nearest(queries, points, 2).flatten(0, 1), expected)
    transposed = nearest(queries.transpose(0, 1), points.transpose(0, 1), 2)
    assert torch.equal(transposed.transpose(0, 1), nearest(queries, points, 2))


def test_no_queries_give_no_indices_and_gradients_flow_through_the_points_taken():
    assert nearest(cloud(1, 0), cloud(1, 5), 2).shape == (0, 2)
    queries, points = cloud(2, 6).requires_grad_(), cloud(3, 9)
    (queries - points[nearest(queries, points)[:, 0]]).square().sum().backward()
    assert queries.grad is not None
    assert torch.allclose(queries.grad, 2 * (queries - points[nearest(queries, points)[:, 0]]).detach())


@pytest.mark.parametrize(("m", "k"), [(0, 1), (3, 4), (3, 0)])
def test_more_neighbours_than_points_are_refused(m, k):
    with pytest.raises(ValueError, match=f"nearest: k = {k} neighbours of {m} points"):
        nearest(cloud(0, 5), cloud(1, m), k)


def test_mixed_precision_is_refused():
    with pytest.raises(ValueError, match="make both float32 or both float64"):
        nearest(cloud(0, 5), cloud(1, 5).double())


def here_and_in_a_fork(fingerprint: Callable[[], int]) -> tuple[int, int]:
    """A number that an op gives on two threads, in this process and then in one forked from it."""

    def put(queue) -> None:
        torch.set_num_threads(2)
        queue.put(fingerprint())

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        here = fingerprint()
    finally:
        torch.set_num_threads(before)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=put, args=(queue,))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork beside threads
        process.start()
    try:
        return here, queue.get(timeout=60)
    finally:
        process.join(10)
        process.kill()


def test_the_op_works_in_a_forked_process_after_its_parent_used_threads():
    here, there = here_and_in_a_fork(lambda: int(nearest(cloud(1, 4, 300), cloud(2, 4, 300)).sum()))
    assert here == there


def test_calls_from_several_threads_at_once_do_not_disturb_each_other():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        pairs = [(cloud(i, 2, 200), cloud(i + 50, 2, 300)) for i in range(16)]
        union = equal_splits(2, 200), equal_splits(2, 300)
        expected = [nearest_reference(q.flatten(0, 1), p.flatten(0, 1), *union).reshape(2, 200, 1) for q, p in pairs]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda pair: nearest(*pair), pairs))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
