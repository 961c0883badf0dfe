"""Maps as figures: one a method with its scale, and a sheet of all beside what was asked. S pixels a side."""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette.evaluate.curves import SERIES
from maquette.evaluate.pictures import camera_like
from maquette.explain.heat import COLD, WARM, covering, ramp, scale_of
from maquette.explain.questions import Asked
from maquette.explain.sanity import Sanity
from maquette.io.atomic import atomic_path
from maquette.rendering import antialiased, render
from maquette.rendering.looks import covering_disc, over
from maquette.shapes import PointCloud, estimate_normals

INK, FAINT, ACCENT = "#2b2b2b", "#8a8a8a", "#c4512d"
ASIDE = (0.80, 0.80, 0.79)
"""sRGB of what is predicted and not asked about."""
CHOSEN = (0.87, 0.36, 0.16)
COLUMNS = 5
INSENSITIVE = 0.5
"""Rank correlation from which on a map hardly changes although the decoder is randomised: it does not show what the
answer depends on."""


@dataclass(frozen=True)
class Panel:
    """One method's map of a picture."""

    name: str
    title: str
    picture: Float[Tensor, "S S 3"]
    """The map over the picture."""
    heat: Float[Tensor, "S S"]
    """Raw."""
    sanity: Sanity | None


def portrait_of(asked: Asked, viewpoint: tuple[float, float], side: int = 512) -> Float[Tensor, "S S 3"]:
    """The answer from where the network believes the camera to be, what is asked about in colour."""
    points = asked.pieces.positions.detach().cpu()
    paper = torch.ones(side, side, 3)
    if len(points) < 3:
        return paper
    camera = camera_like(viewpoint, side)
    colors = torch.where(asked.chosen.cpu()[:, None], torch.tensor(CHOSEN), torch.tensor(ASIDE))
    eye = camera.world_from_cam[:3, 3]
    cloud = estimate_normals(PointCloud(points, colors), min(16, len(points)), viewpoint=eye)
    radius = min(covering_disc(points), 0.022)
    double = camera.resized((2 * side, 2 * side))
    return over(antialiased(render(cloud, double, background=(0.0, 0.0, 0.0), radius=radius)), (1.0, 1.0, 1.0))


def write_panel(panel: Panel, path: Path) -> None:
    """A map with its scale, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0, 4.55), dpi=150)
    axes = figure.add_axes((0.03, 0.135, 0.94, 0.8264))
    _show(axes, panel.picture)
    _bar(figure, (0.14, 0.088, 0.72, 0.022), panel.heat)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def write_sheet(
    panels: Sequence[Panel],
    picture: Float[Tensor, "S S 4"],
    asked: Asked,
    viewpoint: tuple[float, float],
    path: Path,
) -> None:
    """The picture, what is asked, every map, and how much each depends on the weights, as PNG."""
    known = [panel for panel in panels if panel.sanity is not None]
    cells = Cells(2 + len(panels) + bool(known), asked.words[:1].upper() + asked.words[1:])
    cells.title(0, "Picture")
    alpha = picture[..., 3:]
    _show(cells.axes(0), picture[..., :3] * alpha + (1 - alpha))
    cells.title(1, "Asked about", ACCENT)
    _show(cells.axes(1), portrait_of(asked, viewpoint))
    for number, panel in enumerate(panels, 2):
        cells.title(number, panel.title)
        _show(cells.axes(number), panel.picture)
        _bar(cells.figure, cells.box(number, 0.35, 0.33, 1.8, 0.07), panel.heat)
    if known:
        last = cells.count - 1
        cells.title(last, "Alike with random weights")
        wide = 2.9 if last % cells.columns < cells.columns - 1 else 1.05
        _bars(cells.figure.add_axes(cells.box(last, 1.25, 0.62, wide, 2.2)), known)
    with atomic_path(path) as temporary:
        cells.figure.savefig(temporary, format="png")


class Cells:
    """A figure of square cells in rows, measured in inches from the lower left corner of a cell."""

    WIDTH, HEIGHT, HEAD, MOST = 2.5, 3.1, 0.62, 4

    def __init__(self, count: int, head: str):
        from matplotlib.figure import Figure

        self.count, self.columns = count, min(self.MOST, count)
        self.wide = self.WIDTH * self.columns
        self.tall = self.HEIGHT * math.ceil(count / self.columns) + self.HEAD
        self.figure = Figure(figsize=(self.wide, self.tall), dpi=140, facecolor="white")
        words = textwrap.fill(head, int(12.5 * self.wide)).replace("$", r"\$")
        self.figure.text(0.08 / self.wide, 1 - 0.13 / self.tall, words, fontsize=11, color=INK, va="top")

    def box(self, number: int, x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
        """Part of a cell in the figure's own units."""
        left = self.WIDTH * (number % self.columns) + x
        bottom = self.tall - self.HEAD - self.HEIGHT * (number // self.columns + 1) + y
        return left / self.wide, bottom / self.tall, width / self.wide, height / self.tall

    def axes(self, number: int):
        return self.figure.add_axes(self.box(number, 0.08, 0.48, 2.34, 2.34))

    def title(self, number: int, text: str, color: str = INK) -> None:
        x, y, _, _ = self.box(number, 0.08, 2.88, 0.0, 0.0)
        self.figure.text(x, y, text, fontsize=10.5, color=color, weight="bold")


def _show(axes, picture: Float[Tensor, "S S 3"]) -> None:
    axes.imshow((picture.clamp(0, 1) * 255).byte().cpu().numpy(), interpolation="lanczos")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#dddddd")


def _bar(figure, box: tuple[float, float, float, float], heat: Float[Tensor, "S S"]) -> None:
    """A colour bar: from 0, or from its negative, to the value with the strongest colour."""
    scale = scale_of(heat)
    signed = bool((heat < 0).any())
    line = torch.linspace(-1 if signed else 0, 1, 256)
    strip = torch.where((line < 0)[:, None], ramp(line.abs(), COLD), ramp(line.abs(), WARM))
    cover = covering(line.abs())[:, None]
    axes = figure.add_axes(box)
    axes.imshow((1 + cover * (strip - 1))[None].numpy(), aspect="auto", extent=(float(line[0]), 1, 0, 1))
    axes.set_yticks([])
    ticks = [-1, 0, 1] if signed else [0, 1]
    axes.set_xticks(ticks, [f"{tick * scale:.2g}" for tick in ticks], fontsize=7.5, color=FAINT)
    axes.tick_params(length=2, color=FAINT, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _bars(axes, panels: Sequence[Panel]) -> None:
    """Rank correlation of each map with those of the network without its decoder's, and without any, knowledge."""
    for row, panel in enumerate(panels):
        assert panel.sanity is not None
        decoder, everything = panel.sanity.without_decoder, panel.sanity.correlation[-1]
        color = ACCENT if decoder is not None and decoder >= INSENSITIVE else "#1f6f8b"
        for value, shift, alpha in ((decoder, -0.19, 1.0), (everything, 0.19, 0.4)):
            length, text = (0.0, "constant") if value is None else (max(0.0, value), f"{value:.2f}")
            axes.barh(row + shift, length, color=color, alpha=alpha, height=0.34)
            axes.text(length + 0.03, row + shift, text, va="center", fontsize=6.5, color=INK)
    axes.set(xlim=(0, 1.2), ylim=(len(panels) - 0.4, -0.6))
    axes.set_yticks(range(len(panels)), [panel.title for panel in panels], fontsize=8)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7.5, color=FAINT)
    axes.set_xlabel("rank correlation; full: decoder random, pale: all random", fontsize=7.5, color=FAINT)
    axes.tick_params(length=0)
    axes.axvline(INSENSITIVE, color="#bbbbbb", linewidth=0.8, linestyle=(0, (3, 2)))
    _bare(axes)


def _bare(axes) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#dddddd")


def write_cascade(panels: Sequence[Panel], path: Path) -> None:
    """Rank correlation of each map with that of the network after each stage of the cascade, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 4.2), dpi=140, facecolor="white")
    axes = figure.add_axes((0.07, 0.25, 0.69, 0.66))
    # A constant map has no correlation, and a gap in its line.
    lines = [
        (panel.title, np.array([1.0, *panel.sanity.correlation], dtype=float), panel.sanity.stages)
        for panel in panels
        if panel.sanity is not None
    ]
    stages, top = lines[0][2], 1.1
    # Names at the ends of the lines, pushed apart where lines meet.
    for (title, values, _), color in sorted(
        zip(lines, SERIES, strict=False), key=lambda pair: -np.nan_to_num(pair[0][1][-1])
    ):
        axes.plot(values, color=color, marker="o", markersize=3, linewidth=1.5)
        end, last = len(stages), float(np.nan_to_num(values[-1]))
        top = min(last, top)
        axes.annotate(
            title, (end, last), (end + 0.15, top), color=color, fontsize=8.5, va="center", annotation_clip=False
        )
        top -= 0.1
    axes.set_xticks(range(len(stages) + 1), ["as trained", *stages], rotation=40, ha="right", fontsize=7.5)
    axes.set(xlim=(0, len(stages)), ylim=(-0.6, 1.04))
    axes.axhline(0, color="#bbbbbb", linewidth=0.8)
    title = "Rank correlation with the first map, as weights are randomised from the answer down"
    axes.set_title(title, loc="left", fontsize=9.5, color=INK)
    axes.tick_params(axis="y", labelsize=7.5, colors=FAINT)
    _bare(axes)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
