"""How sure a mean over few objects is, whether two methods differ, and whether two scores go together. N objects, R
resamplings.

Objects are resampled with replacement (Efron's bootstrap, percentile intervals): what would another test set of the
same kind have said? Nothing else varies; trainings with other seeds differ, too, and that is not in these intervals.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

RESAMPLINGS = 2000
COVERED = 0.95
PIECE = 1 << 22
"""Numbers drawn at a time."""


@dataclass(frozen=True)
class Interval:
    """A mean and a median over objects, and between which values 95 % of the resampled ones lie."""

    mean: float
    mean_low: float
    mean_high: float
    median: float
    median_low: float
    median_high: float
    objects: int


@dataclass(frozen=True)
class Paired:
    """One method minus another on the same objects."""

    objects: int
    difference: float
    """Mean of the differences."""
    low: float
    high: float
    """Of 95 % of the resampled means."""
    higher: int
    """Objects on which the first has the higher score."""
    lower: int
    p: float
    """How often a difference at least as large comes about when each object's sign is tossed: two-sided."""


@dataclass(frozen=True)
class Estimate:
    """A number, and between which values 95 % of those of resampled objects lie."""

    value: float
    low: float
    high: float


def ratio(
    sums: Shaped[np.ndarray, " N"], counts: Shaped[np.ndarray, " M"], *, seed: int = 0, resamplings: int = RESAMPLINGS
) -> Estimate:
    """A mean over the parts of all objects: the objects' sums over their counts, which are above 0.

    Objects are resampled with all of their parts, for parts of one object are alike.
    """
    if sums.shape != counts.shape:
        raise ValueError(f"ratio: {len(sums)} sums and {len(counts)} counts; give both of the same objects")
    sums, counts = _checked("ratio", sums), _checked("ratio", counts)
    if not (counts > 0).all():
        raise ValueError(f"ratio: {int((counts <= 0).sum())} of {len(counts)} counts are not above 0; leave them out")
    drawn = np.concatenate([sums[i].sum(1) / counts[i].sum(1) for i in _resampled(len(sums), seed, resamplings)])
    return Estimate(float(sums.sum() / counts.sum()), *_percentiles(drawn))


def rank_correlation(
    first: Shaped[np.ndarray, " N"], second: Shaped[np.ndarray, " M"], *, seed: int = 0, resamplings: int = RESAMPLINGS
) -> Estimate:
    """Spearman's: 1 where one score always grows with the other, -1 where it always falls, 0 where they are unrelated.

    Equal values share their mean rank. It is not defined where all of one score are equal: then an error. Resampled
    objects that are all equal count as 0.
    """
    if first.shape != second.shape:
        raise ValueError(f"rank_correlation: {len(first)} and {len(second)} scores; give both of the same objects")
    first, second = _checked("rank_correlation", first), _checked("rank_correlation", second)
    if len(np.unique(first)) < 2 or len(np.unique(second)) < 2:
        raise ValueError(f"rank_correlation: one of the {len(first)} scores does not vary; there is nothing to rank")
    drawn = [_spearman(first[i], second[i]) for i in _resampled(len(first), seed, resamplings)]
    value = float(_spearman(first[None], second[None])[0])
    return Estimate(value, *_percentiles(np.concatenate(drawn)))


def _spearman(first: Float[np.ndarray, "R N"], second: Float[np.ndarray, "R N"]) -> Float[np.ndarray, " R"]:
    """Pearson's correlation of the ranks in each row."""
    a, b = (_ranks(scores) - (scores.shape[1] + 1) / 2 for scores in (first, second))
    size = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), size, out=np.zeros(len(a)), where=size > 0)


def _ranks(scores: Float[np.ndarray, "R N"]) -> Float[np.ndarray, "R N"]:
    """From 1 for the lowest of each row; equal scores share the mean of theirs."""
    levels, at = np.unique(scores, return_inverse=True)
    at, rows = at.reshape(scores.shape), np.arange(len(scores))[:, None]
    counts = np.bincount((rows * len(levels) + at).reshape(-1), minlength=len(scores) * len(levels))
    counts = counts.reshape(len(scores), len(levels))
    below = counts.cumsum(1) - counts
    return (below + (counts + 1) / 2)[rows, at]


def bootstrap(values: Shaped[np.ndarray, " N"], *, seed: int = 0, resamplings: int = RESAMPLINGS) -> Interval:
    """Mean and median with their intervals. A single object has intervals of no width."""
    values = _checked("bootstrap", values)
    means, medians = [], []
    for index in _resampled(len(values), seed, resamplings):
        drawn = values[index]
        means.append(drawn.mean(1))
        medians.append(np.median(drawn, axis=1))
    low, high = _percentiles(np.concatenate(means))
    middle_low, middle_high = _percentiles(np.concatenate(medians))
    return Interval(float(values.mean()), low, high, float(np.median(values)), middle_low, middle_high, len(values))


def paired(
    first: Shaped[np.ndarray, " N"], second: Shaped[np.ndarray, " M"], *, seed: int = 0, resamplings: int = RESAMPLINGS
) -> Paired:
    """Compare two methods on the same objects, in the same order.

    The interval resamples objects. `p` is that of Fisher's sign-flip test: were the methods alike, each difference
    could as well have had the other sign. It counts the observed signs as one of the tosses, so it is never 0.
    """
    if first.shape != second.shape:
        raise ValueError(f"paired: {len(first)} and {len(second)} scores; give both methods' of the same objects")
    differences = _checked("paired", first) - _checked("paired", second)
    mean = float(differences.mean())
    means = np.concatenate([differences[i].mean(1) for i in _resampled(len(differences), seed, resamplings)])
    low, high = _percentiles(means)
    rng, extreme = np.random.default_rng((seed, 1)), 0
    for rows in _pieces(len(differences), resamplings):
        signs = rng.integers(0, 2, (rows, len(differences)), dtype=np.int8) * 2 - 1
        # Sums of the same numbers in another order differ by rounding.
        extreme += int((np.abs(signs @ differences) >= abs(differences.sum()) * (1 - 1e-12) - 1e-15).sum())
    p = (extreme + 1) / (resamplings + 1)
    return Paired(len(differences), mean, low, high, int((differences > 0).sum()), int((differences < 0).sum()), p)


def _checked(function: str, values: Shaped[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    values = np.asarray(values, dtype=np.float64)
    if len(values) == 0:
        raise ValueError(f"{function}: no scores; give at least one object's")
    if not np.isfinite(values).all():
        raise ValueError(f"{function}: {int((~np.isfinite(values)).sum())} of {len(values)} scores are not finite")
    return values


def _pieces(objects: int, resamplings: int):
    """How many resamplings to hold at a time."""
    most = max(1, PIECE // objects)
    while resamplings > 0:
        yield min(most, resamplings)
        resamplings -= most


def _resampled(objects: int, seed: int, resamplings: int):
    rng = np.random.default_rng((seed, 0))
    for rows in _pieces(objects, resamplings):
        yield rng.integers(0, objects, (rows, objects))


def _percentiles(resampled: Float[np.ndarray, " R"]) -> tuple[float, float]:
    rest = 50 * (1 - COVERED)
    low, high = np.percentile(resampled, (rest, 100 - rest))
    return float(low), float(high)
