"""The search for the nearest point sets is exact."""

import pytest
import torch

from maquette.losses import chamfer
from maquette.ops import nearest_sets as module
from maquette.ops.nearest_sets import nearest_sets, nearest_sets_reference


def clouds(count, points, seed):
    """Boxes of points of random proportions and places, so that some sets are near and others far."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.rand(count, 1, 3, generator=generator)
    place = 0.3 * torch.rand(count, 1, 3, generator=generator)
    return torch.rand(count, points, 3, generator=generator) * size + place


@pytest.mark.parametrize("k", [1, 7, 60])
def test_the_search_finds_what_trying_all_sets_finds(k):
    queries, sets = clouds(5, 50, seed=1), clouds(60, 33, seed=2)
    found, distances = nearest_sets(queries, sets, k)
    expected = torch.stack([chamfer(query.expand(60, -1, -1), sets) for query in queries])
    values, order = expected.sort(dim=1)
    assert torch.equal(found, order[:, :k])
    # Squared distances of about 0.1 in float32, summed in another order.
    torch.testing.assert_close(distances, values[:, :k], rtol=1e-5, atol=1e-7)
    assert torch.equal(nearest_sets_reference(queries, sets, k)[0], order[:, :k])


def test_a_set_is_nearest_to_itself():
    sets = clouds(40, 64, seed=3)
    found, distances = nearest_sets(sets, sets)
    assert found[:, 0].tolist() == list(range(40))
    assert not distances.any()


def test_of_equal_sets_the_lowest_comes_first():
    sets = clouds(4, 20, seed=4).repeat(3, 1, 1)
    assert nearest_sets(sets[:4], sets, 3)[0].tolist() == [[i, i + 4, i + 8] for i in range(4)]


def test_a_far_origin_changes_no_order():
    # Steps of float32 at 1000 are 6e-5, so chamfer distances of about 0.1 keep three digits.
    queries, sets = clouds(5, 50, seed=8) + 1000, clouds(60, 33, seed=9) + 1000
    expected = torch.stack([chamfer(query.expand(60, -1, -1), sets) for query in queries]).sort(dim=1)
    found, distances = nearest_sets(queries, sets, 60)
    torch.testing.assert_close(distances, expected.values, rtol=1e-3, atol=1e-4)
    assert torch.equal(found[:, 0], expected.indices[:, 0])


def test_copies_of_a_set_are_all_found():
    sets = clouds(30, 40, seed=10)
    shuffled = torch.cat([sets, sets[:, torch.randperm(40, generator=torch.Generator().manual_seed(0))]])
    found, distances = nearest_sets(sets, shuffled, 2)
    assert found.tolist() == [[i, i + 30] for i in range(30)]
    assert not distances.any()


def test_sets_far_outside_the_queries_are_found_in_order():
    query = torch.zeros(1, 3, 3)
    sets = torch.stack([torch.full((2, 3), float(value)) for value in (50, -3, 4, 1000)])
    found, distances = nearest_sets(query, sets, 4)
    assert found.tolist() == [[1, 2, 0, 3]]
    torch.testing.assert_close(distances, torch.tensor([[54.0, 96, 15000, 6e6]]))


def test_one_point_everywhere_is_a_set_like_any_other():
    sets = torch.zeros(3, 5, 3)
    assert nearest_sets(sets[:1], sets, 2)[0].tolist() == [[0, 1]]


def test_the_search_without_a_compiler_is_the_same(monkeypatch):
    queries, sets = clouds(3, 20, seed=5), clouds(15, 20, seed=6)
    compiled = nearest_sets(queries, sets, 4)
    monkeypatch.setattr(module, "compiled", lambda: False)
    plain = nearest_sets(queries, sets, 4)
    assert torch.equal(compiled[0], plain[0])
    torch.testing.assert_close(compiled[1], plain[1])


def test_a_search_that_makes_no_sense_is_refused():
    sets = clouds(3, 4, seed=7)
    with pytest.raises(ValueError, match="k = 4 of 3 sets"):
        nearest_sets(sets, sets, 4)
    with pytest.raises(ValueError, match="sets of 4 and 0 points"):
        nearest_sets(sets, sets[:, :0])
    with pytest.raises(ValueError, match="sets are not all finite"):
        nearest_sets(sets, sets / 0)
