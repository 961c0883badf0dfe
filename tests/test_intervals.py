"""Bootstrap intervals and paired comparisons."""

import numpy as np
import pytest

from maquette.metrics import bootstrap, paired


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution():
    # Of n = 400 values the mean's standard error is s / 20; percentiles of 2,000 resamplings are good to a few percent.
    values = np.random.default_rng(0).normal(50, 10, 400)
    found = bootstrap(values)
    error = 1.96 * values.std() / 20
    assert found.mean == pytest.approx(values.mean())
    assert (found.mean_low, found.mean_high) == pytest.approx((found.mean - error, found.mean + error), abs=0.15)
    # The median's standard error is sqrt(pi / 2) times the mean's.
    assert 1.6 * error < found.median_high - found.median_low < 3.2 * error
    assert found.median == np.median(values) and found.objects == 400


def test_values_that_are_all_the_same_have_intervals_without_width():
    for count in (1, 7):
        found = bootstrap(np.full(count, 3.0))
        assert {found.mean, found.mean_low, found.mean_high, found.median, found.median_low, found.median_high} == {3.0}


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).random(30)
    assert bootstrap(values, seed=4) == bootstrap(values, seed=4) != bootstrap(values, seed=5)


def test_many_objects_are_resampled_in_pieces(monkeypatch):
    values = np.random.default_rng(1).random(50)
    whole = bootstrap(values)
    monkeypatch.setattr("maquette.metrics.intervals.PIECE", 70)
    assert bootstrap(values) == whole


def test_a_method_compared_with_itself_differs_by_nothing():
    values = np.random.default_rng(2).random(20)
    found = paired(values, values)
    assert (found.difference, found.low, found.high, found.higher, found.lower, found.p) == (0, 0, 0, 0, 0, 1)


def test_wins_losses_and_the_mean_difference_are_counted_per_object():
    found = paired(np.array([3.0, 5, 1, 2]), np.array([1.0, 5, 2, 0]))
    assert (found.objects, found.difference, found.higher, found.lower) == (4, 0.75, 2, 1)
    back = paired(np.array([1.0, 5, 2, 0]), np.array([3.0, 5, 1, 2]))
    assert (back.difference, back.higher, back.lower) == (-0.75, 1, 2)


def test_differences_of_one_sign_come_about_by_chance_as_often_as_all_tosses_agree():
    # Eight equal differences: all signs agree in 2 of 256 tosses; 20,000 tosses tell that to 15 %.
    found = paired(np.full(8, 1.5), np.full(8, 1.0), resamplings=20_000)
    assert found.p == pytest.approx(2 / 256, rel=0.3)
    assert found.low == found.high == found.difference == 0.5


def test_pairing_sees_what_two_separate_intervals_hide():
    rng = np.random.default_rng(3)
    hard = rng.uniform(20, 100, 100)
    ours = hard + rng.normal(1, 1, 100)
    assert bootstrap(ours).mean_low < bootstrap(hard).mean_high
    found = paired(ours, hard)
    assert found.low > 0.5 and found.p < 0.01


def test_scores_of_no_or_other_objects_are_refused():
    with pytest.raises(ValueError, match="bootstrap: no scores"):
        bootstrap(np.zeros(0))
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        bootstrap(np.array([1.0, np.nan]))
    with pytest.raises(ValueError, match="paired: 2 and 3 scores"):
        paired(np.zeros(2), np.zeros(3))
