"""The error by part, thickness, view, category and distance to the training set, from what was measured of each object.

Pure: numbers in, `Breakdown`s out. Points of one object are alike, so intervals resample objects, not points.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maquette.diagnose.diagnosis import BEYOND, DISTANCE, Bin, Breakdown, Dot, Nearness, Value
from maquette.metrics import Estimate, bootstrap, rank_correlation, ratio

THICKNESSES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, math.inf)
"""Edges of bins, in object diagonals."""
SECTORS = 8
"""Of azimuth; the first has the front in its middle."""
STEP_DEG = 10
"""Width of a bin of elevation."""
TREND = 5
"""Bins of equally many objects along the distance to the training set, at most."""


@dataclass(frozen=True)
class Tally:
    """Distances of some of one object's points, summed."""

    points: int
    total: float
    """Sum of the distances."""
    beyond: int
    """Points farther than the tolerance."""


Tallies = dict[tuple[str, str, str], Tally]
"""By (breakdown, bin, method)."""


def tallied(
    distances: Float[Tensor, " N"], groups: Int[Tensor, " N"], names: Sequence[str], tolerance: float
) -> dict[str, Tally]:
    """Points by their group, an index into `names`; groups without points and points of group -1 are left out."""
    found = {}
    for index in groups.unique().tolist():
        if index >= 0:
            own = distances[groups == index].double()
            found[names[index]] = Tally(len(own), float(own.sum()), int((own >= tolerance).sum()))
    return found


def thickness_names() -> list[str]:
    edges = THICKNESSES
    return [
        f"{low:g} or more" if math.isinf(high) else f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)
    ]


def thickness_bins(thickness: Float[Tensor, " Q"]) -> Int[Tensor, " Q"]:
    """The bin of each point; -1 where the thickness is not known."""
    edges = torch.tensor(THICKNESSES[1:-1], dtype=thickness.dtype)
    return torch.where(thickness.isnan(), -1, torch.bucketize(thickness.nan_to_num(0.0), edges, right=True))


def points_breakdown(
    objects: Sequence[Tallies], key: str, title: str, of: str, names: Sequence[str], methods: Sequence[str], seed: int
) -> Breakdown | None:
    """One property of points over all objects; None where no object has it. Bins without points are left out."""
    bins = []
    for name in names:
        values, counts = [], (0, 0)
        for method in methods:
            own = [tally for one in objects if (tally := one.get((key, name, method))) is not None]
            if not own:
                continue
            points = np.array([tally.points for tally in own])
            beyond = ratio(100.0 * np.array([tally.beyond for tally in own]), points, seed=seed)
            mean = ratio(np.array([tally.total for tally in own]), points, seed=seed)
            values += [Value(method, BEYOND, beyond), Value(method, DISTANCE, mean)]
            counts = max(counts, (len(own), int(points.sum())))
        if values:
            bins.append(Bin(name, *counts, tuple(values)))
    return Breakdown(key, title, of, (BEYOND, DISTANCE), tuple(bins)) if bins else None


# ------------------------------------------------------------------------------------------------------- whole objects


@dataclass(frozen=True)
class Scored:
    """One object's headline by every method, where it was seen from, and how near the training set is."""

    id: str
    category: str
    azimuth: float
    """Radians; NaN where the data does not know the camera."""
    elevation: float
    scores: dict[str, float]
    """By the name of a method."""
    distance: float | None = None
    """To the nearest training shape, where that is known."""


def objects_breakdown(
    objects: Sequence[Scored],
    bins: Sequence[tuple[str, Bool[np.ndarray, " N"]]],
    key: str,
    title: str,
    score: str,
    methods: Sequence[str],
    seed: int,
) -> Breakdown | None:
    """The mean score of the objects in each bin; bins without objects are left out, None where none has any."""
    made = []
    for name, chosen in bins:
        own = [one for one, is_in in zip(objects, chosen, strict=True) if is_in]
        values = []
        for method in methods:
            scores = np.array([one.scores[method] for one in own if method in one.scores])
            if len(scores):
                found = bootstrap(scores, seed=seed)
                values.append(Value(method, score, Estimate(found.mean, found.mean_low, found.mean_high)))
        if values:
            made.append(Bin(name, len(own), None, tuple(values)))
    return Breakdown(key, title, "objects", (score,), tuple(made)) if made else None


def category_bins(objects: Sequence[Scored]) -> list[tuple[str, Bool[np.ndarray, " N"]]]:
    names = np.array([one.category for one in objects])
    return [(str(name) or "(no category)", names == name) for name in np.unique(names)]


def azimuth_bins(objects: Sequence[Scored]) -> list[tuple[str, Bool[np.ndarray, " N"]]]:
    """Eight sectors, named by their middle in degrees."""
    degrees = np.degrees([one.azimuth for one in objects])
    width = 360 / SECTORS
    with np.errstate(invalid="ignore"):
        sector = np.floor((degrees + width / 2) / width) % SECTORS
    return [(f"{k * width:g}°", sector == k) for k in range(SECTORS)]


def elevation_bins(objects: Sequence[Scored]) -> list[tuple[str, Bool[np.ndarray, " N"]]]:
    """Steps of ten degrees, as far as there are any."""
    degrees = np.degrees([one.elevation for one in objects])
    with np.errstate(invalid="ignore"):
        step = np.floor(degrees / STEP_DEG)
    there = np.unique(step[np.isfinite(step)]).astype(int)
    return [(f"{k * STEP_DEG}° to {(k + 1) * STEP_DEG}°", step == k) for k in there]


def nearness(objects: Sequence[Scored], measure: str, score: str, methods: Sequence[str], seed: int) -> Nearness | None:
    """How scores go with the distance to the nearest training shape; None with fewer than three objects to rank."""
    known = [one for one in objects if one.distance is not None and all(m in one.scores for m in methods)]
    if len(known) < 3:
        return None
    distances = np.array([one.distance for one in known], dtype=np.float64)
    correlations = []
    for method in methods:
        scores = np.array([one.scores[method] for one in known])
        varies = len(np.unique(scores)) > 1 and len(np.unique(distances)) > 1
        correlations.append(rank_correlation(distances, scores, seed=seed) if varies else None)
    order = np.argsort(distances, kind="stable")
    bins, middles = [], []
    for part in np.array_split(order, min(TREND, max(1, len(known) // 3))):
        chosen = np.zeros(len(known), dtype=bool)
        chosen[part] = True
        low, high = distances[part].min(), distances[part].max()
        bins.append((f"{low:.3g} to {high:.3g}", chosen))
        middles.append(float(np.median(distances[part])))
    title = "Score by the distance to the nearest training shape"
    trend = objects_breakdown(known, bins, "nearness", title, score, methods, seed)
    assert trend is not None
    dots = tuple(
        Dot(one.id, one.category, float(d), tuple(one.scores[m] for m in methods))
        for one, d in zip(known, distances, strict=True)
    )
    return Nearness(measure, score, tuple(methods), dots, tuple(correlations), trend, tuple(middles))


# -------------------------------------------------------------------------------------------------------- who is shown


def ranked(values: dict[str, float], failed: Sequence[str], higher_is_better: bool) -> list[tuple[str, str]]:
    """(kind, id) of the best, the median and the worst object; failures are the worst. Ties: the first of the ids.

    Of two objects there are a best and a worst, of one a best.
    """
    sign = -1 if higher_is_better else 1

    def order(id: str) -> tuple[bool, float, str]:
        return id in failed, sign * values.get(id, 0.0), id

    ids = sorted({*values, *failed}, key=order)
    if not ids:
        return []
    if len(ids) < 3:
        return list(zip(("best", "worst"), ids, strict=False))
    return [("best", ids[0]), ("median", ids[(len(ids) - 1) // 2]), ("worst", ids[-1])]
