"""Breakdowns drawn: a dot and its interval for every bin and method, counts beside them; azimuth as seen from above."""

import math
from collections.abc import Sequence
from pathlib import Path

from maquette.diagnose.diagnosis import Breakdown, Estimate, Nearness, measure_in_words, methods_in
from maquette.evaluate.curves import COLORS, GREYS
from maquette.evaluate.evaluation import label
from maquette.io.atomic import atomic_path

INK, SOFT, GRID = "#333333", "#5d6b7a", "#e6e6e6"
ROW = 0.34
"""Inches of a row of dots, at least."""
DOT = 0.105
"""Inches from one method's dot to the next."""
ROWS = 24
"""Bins without an order of their own that are drawn at most; tables have all."""


def color_of(method: str) -> str:
    if method in COLORS:
        return COLORS[method]
    return GREYS["retrieval" if method.startswith("retrieval") else method][0]


def save_figure(figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def bare(axes) -> None:
    """The frame that all plots here have."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)


def plot_breakdown(breakdown: Breakdown, measure: str, tolerance: float, path: Path, *, sort: bool) -> None:
    """A PNG: a row a bin. `sort` puts the worst of the first method on top; bins with an order of their own keep it.

    Of more than `ROWS` bins to be sorted those with most objects are drawn, and the title says so.
    """
    from matplotlib.figure import Figure

    bins, methods, title = list(breakdown.bins), methods_in(breakdown.bins), breakdown.title
    if sort:
        if len(bins) > ROWS:
            title = f"{title} (the {ROWS} of {len(bins)} with most objects)"
            bins = sorted(bins, key=lambda one: (-one.objects, -(one.points or 0)))[:ROWS]
        lower_is_better = measure in ("beyond", "distance") or measure.startswith("chamfer")
        bins.sort(key=lambda one: _worth(one.value(methods[0], measure)) * (-1 if lower_is_better else 1))
    row = max(ROW, DOT * (len(methods) + 1.2))
    height = 1.28 + row * len(bins)
    figure = Figure(figsize=(7.6, height), dpi=160)
    longest = max(len(one.name) for one in bins)
    left, right = min(0.34, 0.035 + 0.0105 * longest), 0.75
    axes = figure.add_axes((left, 0.58 / height, right - left, row * len(bins) / height))
    for place, one in enumerate(bins):
        if place % 2 == 0:
            axes.axhspan(place - 0.5, place + 0.5, color="#f6f7f8", linewidth=0)
        for k, method in enumerate(methods):
            found = one.value(method, measure)
            if found is not None:
                y = place + (k - (len(methods) - 1) / 2) * DOT / row
                _dot(axes, found, y, color_of(method), hollow=one.few)
        points = "" if one.points is None else f", {one.points:,} points"
        few = " (few)" if one.few else ""
        axes.annotate(
            f"{one.objects} object{'s' * (one.objects != 1)}{few}{points}", (1.015, place),
            xycoords=("axes fraction", "data"), fontsize=7.6, color=SOFT, va="center", annotation_clip=False,
        )  # fmt: skip
    axes.set(ylim=(len(bins) - 0.5, -0.5), xlabel=measure_in_words(measure, tolerance, breakdown.of))
    axes.xaxis.label.set(size=9, color=INK)
    axes.set_yticks(range(len(bins)), [one.name.replace("$", r"\$") for one in bins], fontsize=9)
    axes.tick_params(axis="y", length=0)
    if measure in ("beyond", "distance"):
        axes.set_xlim(left=0)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    bare(axes)
    axes.spines["left"].set_visible(False)
    _legend(figure, methods, title, height)
    save_figure(figure, path)


def _worth(found: Estimate | None) -> float:
    return math.inf if found is None else found.value


def _dot(axes, found: Estimate, y: float, color: str, *, hollow: bool) -> None:
    axes.plot((found.low, found.high), (y, y), color=color, linewidth=1.5, solid_capstyle="butt", alpha=0.75)
    axes.plot(
        (found.value,), (y,), marker="o", markersize=4.6, color=color, markerfacecolor="white" if hollow else color,
        markeredgewidth=1.2, linestyle="none", zorder=3,
    )  # fmt: skip


def _legend(figure, methods: Sequence[str], title: str, height: float) -> None:
    """The title, and below it the methods in their colours."""
    figure.text(0.03, 1 - 0.2 / height, title, fontsize=10, color=INK, va="center")
    x = 0.03
    for method in methods:
        figure.text(x, 1 - 0.45 / height, "●", fontsize=8, color=color_of(method), va="center")
        figure.text(x + 0.018, 1 - 0.45 / height, label(method), fontsize=8.5, color=INK, va="center")
        x += 0.045 + 0.0115 * len(label(method))


# ---------------------------------------------------------------------------------------------------------------- views


def plot_views(azimuth: Breakdown, elevation: Breakdown | None, path: Path) -> None:
    """A PNG: the score by the azimuth of the camera, from above with the front below, and by its elevation."""
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

    methods, score = methods_in(azimuth.bins), azimuth.measures[0]
    figure = Figure(figsize=(7.6, 4.1), dpi=160)
    _legend(figure, methods, f"{score} by the side that the picture shows", 4.1)
    around = figure.add_axes((0.05, 0.075, 0.44, 0.66), projection="polar")
    assert isinstance(around, PolarAxes)
    around.set_theta_zero_location("S")  # the front is where the reader stands, +x to the right
    lows = [value.estimate.low for one in azimuth.bins for value in one.values]
    highs = [value.estimate.high for one in azimuth.bins for value in one.values]
    inner = min(lows) - 0.35 * (max(highs) - min(lows) + 1e-9)
    for k, method in enumerate(methods):
        shift = (k - (len(methods) - 1) / 2) * math.radians(5)
        for one in azimuth.bins:
            found = one.value(method, score)
            if found is not None:
                at = math.radians(float(one.name.rstrip("°"))) + shift
                color = color_of(method)
                around.plot((at, at), (found.low, found.high), color=color, linewidth=1.4, alpha=0.75)
                around.plot(
                    (at,), (found.value,), marker="o", markersize=4, color=color, linestyle="none",
                    markerfacecolor="white" if one.few else color,
                )  # fmt: skip
    outer = max(highs) + 0.04 * (max(highs) - inner)
    around.set(ylim=(inner, outer))
    counts = {one.name: one.objects for one in azimuth.bins}
    names = {"0°": "front", "90°": "+x side", "180°": "back", "270°": "−x side"}
    angles = [k * 45 for k in range(8)]
    around.set_xticks(
        [math.radians(a) for a in angles],
        [f"{names.get(f'{a}°', f'{a}°')}\n{counts.get(f'{a}°', 0)}" for a in angles], fontsize=7.8, color=INK,
    )  # fmt: skip
    around.tick_params(axis="y", labelsize=7, labelcolor=SOFT)
    around.set_rlabel_position(22.5)
    around.grid(color=GRID, linewidth=0.8)
    around.spines["polar"].set_color(GRID)
    if elevation is not None:
        _elevations(figure.add_axes((0.66, 0.13, 0.22, 0.62)), elevation, methods, score)
    save_figure(figure, path)


def _elevations(axes, elevation: Breakdown, methods: Sequence[str], score: str) -> None:
    bins = elevation.bins
    for place, one in enumerate(bins):
        for k, method in enumerate(methods):
            found = one.value(method, score)
            if found is not None:
                y = place + (k - (len(methods) - 1) / 2) * 0.16
                _dot(axes, found, y, color_of(method), hollow=one.few)
        axes.annotate(
            f"{one.objects}" + (" (few)" if one.few else ""), (1.04, place), xycoords=("axes fraction", "data"),
            fontsize=7.8, color=SOFT, va="center", annotation_clip=False,
        )  # fmt: skip
    axes.set_yticks(range(len(bins)), [one.name for one in bins], fontsize=8.5)
    axes.set(ylim=(-0.6, len(bins) - 0.4), xlabel=score)
    axes.set_title("by elevation; right: objects", fontsize=8.5, color=SOFT, loc="left")
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    bare(axes)


# ------------------------------------------------------------------------------------------------------------- nearness


def plot_nearness(nearness: Nearness, path: Path) -> None:
    """A PNG: an object a dot, means of equally many objects joined; networks in colours, what stands beside in grey."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.6), dpi=160)
    axes = figure.add_axes((0.085, 0.12, 0.60, 0.79))
    first = next(name for name in nearness.methods if name in COLORS)
    distances = [dot.distance for dot in nearness.dots]
    at = nearness.methods.index(first)
    axes.plot(
        distances, [dot.scores[at] for dot in nearness.dots], linestyle="none", marker="o", markersize=4,
        color=color_of(first), alpha=0.35, markeredgewidth=0,
    )  # fmt: skip
    ends = []
    for method, correlation in zip(nearness.methods, nearness.correlations, strict=True):
        values = [one.value(method, nearness.score) for one in nearness.trend.bins]
        means = [math.nan if found is None else found.value for found in values]
        strong = method in COLORS
        style = "-" if strong else GREYS["retrieval" if method.startswith("retrieval") else method][1]
        axes.plot(
            nearness.middles, means, color=color_of(method), linestyle=style, linewidth=2.2 if strong else 1.4,
            marker="o", markersize=3.5,
        )  # fmt: skip
        ends.append((means[-1], method, correlation))
    spread = max(dot for one in nearness.dots for dot in one.scores) - min(
        d for one in nearness.dots for d in one.scores
    )
    top, gap = math.inf, 0.085 * (spread or 1.0)
    right = max(distances)
    for value, method, correlation in sorted(ends, key=lambda end: -end[0]):
        top = min(value, top)
        said = (
            ""
            if correlation is None
            else f"\nρ {correlation.value:+.2f} ({correlation.low:+.2f} to {correlation.high:+.2f})"
        )
        axes.annotate(
            f"{label(method)}{said}", (right, value), (right + 0.045 * (right - min(distances)), top),
            color=color_of(method), fontsize=8.2, va="center", annotation_clip=False, linespacing=1.15,
        )  # fmt: skip
        top -= gap
    measured = {
        "chamfer_plain": "mean distance of truth and nearest training shape (diagonal of the object = 1)",
    }.get(nearness.measure, f"distance to the nearest training shape: {nearness.measure}")
    axes.set(xlabel=measured, ylabel=nearness.score)
    axes.set_title(
        f"{len(nearness.dots)} objects; lines: means of {nearness.trend.bins[0].objects} each; ρ: rank correlation",
        loc="left", fontsize=10, color=INK,
    )  # fmt: skip
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    bare(axes)
    save_figure(figure, path)
