"""F-score against threshold, drawn: networks in colours, what stands beside them in grey, each named at its end."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from maquette.evaluate.evaluation import Evaluation, label
from maquette.io.atomic import atomic_path
from maquette.metrics import Protocol

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = {"voxels": "#c4512d", "points": "#1f6f8b", "mesh": "#3f7d4e", "occupancy": "#b8860b", "atlas": "#7a5aa6"}
SERIES = (
    "#1f6f8b", "#c4512d", "#3f7d4e", "#7a5aa6", "#b8860b", "#b03a6f", "#4a5fb5", "#5b7f1f", "#8a5a3c", "#2a8f86",
    "#d98200", "#111111", "#d46a9f", "#7fa8d9", "#9a9a2e", "#6b2d2d")  # fmt: skip
"""Of runs beside each other; the seventeenth has the first one's again."""
GREYS = {
    "ceiling": ("#b0b0b0", "-"),
    "oracle": ("#8a8a8a", (0, (1, 1.5))),
    "retrieval": ("#555555", (0, (5, 2))),
    "mean_shape": ("#8a8a8a", (0, (5, 1.5, 1, 1.5))),
}


@dataclass(frozen=True)
class Curve:
    """Mean F-scores of one method."""

    name: str
    f: tuple[float, ...]
    """In percent, per threshold."""
    color: str
    style: str | tuple = "-"
    strong: bool = False


def grey_curve(method: str, name: str, f: Sequence[float]) -> Curve:
    """Of what stands beside a network."""
    color, style = GREYS["retrieval" if method.startswith("retrieval") else method]
    return Curve(name, tuple(f), color, style)


def curves_of(evaluation: Evaluation) -> list[Curve]:
    """The network's and the baselines'; none where there are fewer than two thresholds to join."""
    thresholds = evaluation.protocol.thresholds
    if len(thresholds) < 2:
        return []
    found = []
    for name in evaluation.methods():
        if name == "ceiling_voxels" or (name.startswith("retrieval") and name != evaluation.better_retrieval()):
            continue
        means = evaluation.summary(name).means
        f = [means[f"F@{t:g}"] for t in thresholds]
        title = label(name).split(",")[0]
        if name in evaluation.representations:
            found.append(Curve(title, tuple(f), COLORS.get(name, "black"), strong=True))
        else:
            found.append(grey_curve(name, title, f))
    return found


def plot_curves(curves: Sequence[Curve], title: str, protocol: Protocol, path: Path) -> None:
    """A PNG, whole or not at all."""
    figure = drawn_curves(curves, title, protocol)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def drawn_curves(curves: Sequence[Curve], title: str, protocol: Protocol) -> "Figure":
    """The axis is the distance, also where a protocol's thresholds are its square."""
    from matplotlib.figure import Figure

    longest = max(len(curve.name) for curve in curves)
    figure = Figure(figsize=(7.6, 4.6), dpi=160)
    room = min(0.45, 0.075 + 0.0115 * (longest + 6))  # to the right for the names
    axes = figure.add_axes((0.085, 0.12, 0.915 - room, 0.79))
    limits = protocol.limits
    for curve in curves:
        axes.plot(
            limits, curve.f, color=curve.color, linestyle=curve.style, linewidth=2.2 if curve.strong else 1.4,
            marker="o", markersize=3.5,
        )  # fmt: skip
    top = 100.0
    # Names at the ends of the lines, pushed apart where lines meet.
    for curve in sorted(curves, key=lambda curve: -curve.f[-1]):
        top = min(curve.f[-1], top)
        axes.annotate(
            f"{curve.name}  {curve.f[-1]:.1f}", (limits[-1], curve.f[-1]), (limits[-1] * 1.03, top),
            color=curve.color, fontsize=9, va="center", annotation_clip=False,
        )  # fmt: skip
        top -= 4.4
    crowded = limits[1] < 0.1 * limits[-1]
    apart: list[float] = []
    for limit in reversed(limits):  # numbers of ticks that would run into each other are left out
        if not apart or apart[-1] - limit > 0.06 * limits[-1]:
            apart.append(limit)
    axes.set(
        xlim=(0 if crowded else 0.9 * limits[0], limits[-1] * 1.005), ylim=(0, 101),
        ylabel="F-score in percent",
    )  # fmt: skip
    axes.set_xlabel(  # from the left: beside long names the axes are narrower than it is
        "distance below which a point counts as right" + (
            " (diagonal of the object = 1)" if protocol.name in ("maquette", "cmu2022", "cmu2025") else ""
        ),
        loc="left",
    )  # fmt: skip
    axes.set_xticks(apart, [f"{limit:.3g}" for limit in apart])
    axes.set_title(title, loc="left", fontsize=10, color="#333333")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
