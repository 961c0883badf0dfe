"""Scores over the levels of each disturbance, and a sheet of what the pictures look like. S pixels a side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from maquette.data.entries import Entry
from maquette.diagnose.plots import GRID, INK, SOFT, bare, color_of, save_figure
from maquette.diagnose.robustness import Robustness
from maquette.diagnose.sweeps import Sweep
from maquette.evaluate.curves import COLORS, GREYS
from maquette.evaluate.evaluation import label
from maquette.evaluate.pictures import input_picture


def plot_curves(robustness: Robustness, path: Path) -> None:
    """A PNG: a panel a disturbance; the headline with its band, the second score dashed; beside it in grey."""
    from matplotlib.figure import Figure

    rows = -(-len(robustness.sweeps) // 3)
    height = 0.72 + 2.2 * rows
    figure = Figure(figsize=(7.6, height), dpi=160)
    for k, sweep in enumerate(robustness.sweeps):
        row, column = divmod(k, 3)
        box = (0.07 + 0.32 * column, (height - 0.8 - 2.2 * row - 1.52) / height, 0.265, 1.52 / height)
        axes = figure.add_axes(box)
        for value in robustness.floors:
            if value.measure == robustness.scores[0]:
                color, style = GREYS["mean_shape"]
                axes.axhline(value.estimate.value, color=color, linestyle=style, linewidth=1.2)
        for method in robustness.methods:
            for strong, score in zip((True, False), robustness.scores, strict=False):
                _curve(axes, robustness, sweep.kind, method, score, strong=strong)
        axes.set(ylim=(0, 101), xlim=(-0.15, len(sweep.levels) - 0.85))
        axes.set_xticks(range(len(sweep.levels)), sweep.levels)
        axes.set_title(sweep.kind, loc="left", fontsize=9.5, color=INK)
        axes.set_xlabel(sweep.title, fontsize=7.4, color=SOFT)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        bare(axes)
        axes.tick_params(labelsize=7.8)
    _legend(figure, robustness, height)
    save_figure(figure, path)


def _curve(axes, robustness: Robustness, kind: str, method: str, score: str, *, strong: bool) -> None:
    points = robustness.curve(kind, method, score)
    network = method in COLORS
    if not points or (not network and not strong):
        return
    at = list(range(len(points)))
    style = GREYS["retrieval"][1] if not network else "-" if strong else (0, (2, 1.5))
    color = color_of(method)
    axes.plot(
        at, [p.mean.value for p in points], color=color, linestyle=style, linewidth=2.0 if network and strong else 1.3,
        marker="o", markersize=3,
    )  # fmt: skip
    if network and strong:
        axes.fill_between(
            at, [p.mean.low for p in points], [p.mean.high for p in points], color=color, alpha=0.15, linewidth=0
        )


def _legend(figure, robustness: Robustness, height: float) -> None:
    """The title, and below it what each line is."""
    headline = robustness.scores[0]
    figure.text(
        0.03, 1 - 0.17 / height,
        f"{robustness.objects} objects, protocol {robustness.origin.protocol}; band: 95 % of the means of resampled "
        "objects", fontsize=10, color=INK, va="center",
    )  # fmt: skip
    entries = []
    for method in robustness.methods:
        network = method in COLORS
        entries.append((f"{label(method)}, {headline}", color_of(method), "-" if network else GREYS["retrieval"][1]))
        if network:
            entries += [(f"{label(method)}, {s}", color_of(method), (0, (2, 1.5))) for s in robustness.scores[1:]]
    if robustness.floors:
        entries.append((f"mean shape, {headline}", *GREYS["mean_shape"]))
    from matplotlib.lines import Line2D

    x = 0.03
    for text, color, style in entries:
        y = 1 - 0.42 / height
        figure.add_artist(Line2D((x, x + 0.035), (y, y), color=color, linestyle=style, linewidth=1.6))
        figure.text(x + 0.042, y, text, fontsize=8, color=INK, va="center")
        x += 0.062 + 0.0095 * len(text)


def plot_sheet(
    entries: Sequence[Entry],
    sweeps: Sequence[Sweep],
    images: Mapping[tuple[str, int], UInt8[Tensor, "Q 4 S S"]],
    path: Path,
) -> None:
    """A PNG: a row a disturbance, what the network sees of some objects from the least to the most of it."""
    from matplotlib.figure import Figure

    levels = max(len(sweep.levels) for sweep in sweeps)
    objects = len(next(iter(images.values())))
    side, head, text, left, gap = 0.74, 0.34, 0.17, 1.02, 0.12
    width = left + objects * (levels * side + gap)
    height = head + len(sweeps) * (side + text) + 0.05
    figure = Figure(figsize=(width, height), dpi=150, facecolor="white")
    for q in range(objects):
        x = left + q * (levels * side + gap)
        id = entries[q].id if len(entries[q].id) <= 40 else f"{entries[q].id[:39]}…"
        figure.text(x / width, 1 - 0.17 / height, id.replace("$", r"\$"), fontsize=8.5, color=INK, va="center")
    for row, sweep in enumerate(sweeps):
        top = height - head - row * (side + text)
        figure.text(0.06 / width, (top - side / 2) / height, sweep.kind, fontsize=9, va="center", weight="bold")
        for q in range(objects):
            for level, name in enumerate(sweep.names):
                x = left + q * (levels * side + gap) + level * side
                axes = figure.add_axes((x / width, (top - side) / height, 0.96 * side / width, 0.96 * side / height))
                axes.imshow(input_picture(images[sweep.kind, level][q], 128).clamp(0, 1).numpy())
                axes.set(xticks=[], yticks=[])
                for spine in axes.spines.values():
                    spine.set(color="#dfe4e8", linewidth=0.6)
                figure.text(
                    (x + 0.48 * side) / width, (top - side - 0.075) / height, name, fontsize=7, color=SOFT,
                    ha="center", va="center",
                )  # fmt: skip
    save_figure(figure, path)
