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

from maquette.evaluate.pictures import camera_like
from maquette.explain.heat import COLD, WARM, ramp, scale_of
from maquette.explain.questions import Asked
from maquette.explain.sanity import Sanity
from maquette.io.atomic import atomic_path
from maquette.models import SingleView
from maquette.rendering import antialiased, render
from maquette.rendering.looks import covering_disc, over
from maquette.shapes import PointCloud, estimate_normals

INK, FAINT, ACCENT = "#2b2b2b", "#8a8a8a", "#c4512d"
ASIDE = (0.80, 0.80, 0.79)
"""sRGB of what is predicted and not asked about."""
CHOSEN = (0.87, 0.36, 0.16)
COLUMNS = 5
INSENSITIVE = 0.5
"""Rank correlation with the map of randomised weights from which on a map says more of the picture than of the
network."""


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
    panels: Sequence[Panel], picture: Float[Tensor, "S S 4"], model: SingleView, asked: Asked, path: Path
) -> None:
    """The picture, what is asked, every map, and how much each depends on the weights, as PNG."""
    from matplotlib.figure import Figure

    known = [panel for panel in panels if panel.sanity is not None]
    total = 2 + len(panels) + bool(known)
    columns = min(COLUMNS, total)
    rows = math.ceil(total / columns)
    width, height, head = 2.5, 3.05, 0.62
    figure = Figure(figsize=(width * columns, height * rows + head), dpi=140, facecolor="white")
    tall = height * rows + head

    def place(number: int) -> tuple[float, float]:
        """Lower left corner of a cell, in inches."""
        return width * (number % columns), tall - head - height * (number // columns + 1)

    def axes_at(number: int):
        x, y = place(number)
        return figure.add_axes(
            ((x + 0.08) / (width * columns), (y + 0.48) / tall, 2.34 / (width * columns), 2.34 / tall)
        )

    def titled(number: int, title: str, color: str = INK) -> None:
        x, y = place(number)
        figure.text((x + 0.08) / (width * columns), (y + 2.88) / tall, title, fontsize=10.5, color=color, weight="bold")

    words = textwrap.fill(asked.words[:1].upper() + asked.words[1:], int(14.5 * width * columns))
    figure.text(0.08 / (width * columns), (tall - 0.13) / tall, words, fontsize=11, color=INK, va="top")
    titled(0, "Picture")
    _show(axes_at(0), over(torch.cat([picture[..., :3] * picture[..., 3:], picture[..., 3:]], -1), (1.0, 1.0, 1.0)))
    titled(1, "Asked about", ACCENT)
    with torch.no_grad():
        view = model.viewpoint(asked_features(model, picture))
    _show(axes_at(1), portrait_of(asked, (float(view.azimuth[0]), float(view.elevation[0]))))
    for number, panel in enumerate(panels, 2):
        titled(number, panel.title)
        _show(axes_at(number), panel.picture)
        x, y = place(number)
        box = ((x + 0.35) / (width * columns), (y + 0.33) / tall, 1.8 / (width * columns), 0.07 / tall)
        _bar(figure, box, panel.heat)
    if known:
        titled(total - 1, "Alike with random weights")
        x, y = place(total - 1)
        box = ((x + 1.22) / (width * columns), (y + 0.48) / tall, 1.12 / (width * columns), 2.3 / tall)
        _bars(figure.add_axes(box), known)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def asked_features(model: SingleView, picture: Float[Tensor, "S S 4"]):
    """Of a large crop, at the size that the network takes."""
    small = torch.nn.functional.interpolate(
        picture.permute(2, 0, 1)[None], (model.picture_size,) * 2, mode="bilinear", antialias=True
    )
    return model.encode(small.to(next(model.parameters()).device))


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
    cover = line.abs().sqrt()[:, None] * 0.92
    axes = figure.add_axes(box)
    axes.imshow((1 + cover * (strip - 1))[None].numpy(), aspect="auto", extent=(float(line[0]), 1, 0, 1))
    axes.set_yticks([])
    ticks = [-1, 0, 1] if signed else [0, 1]
    axes.set_xticks(ticks, [f"{tick * scale:.2g}" for tick in ticks], fontsize=7.5, color=FAINT)
    axes.tick_params(length=2, color=FAINT, pad=2)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _bars(axes, panels: Sequence[Panel]) -> None:
    """Rank correlation of each map with that of the network with randomised weights."""
    values = [max(0.0, panel.sanity.correlation[-1]) if panel.sanity else 0.0 for panel in panels]
    colors = [ACCENT if value >= INSENSITIVE else "#1f6f8b" for value in values]
    rows = np.arange(len(panels))
    axes.barh(rows, values, color=colors, height=0.62)
    for row, panel in zip(rows, panels, strict=True):
        assert panel.sanity is not None
        axes.text(max(0.0, values[row]) + 0.03, row, f"{panel.sanity.correlation[-1]:.2f}", va="center", fontsize=7.5)
    axes.set(xlim=(0, 1.25), ylim=(len(panels) - 0.5, -0.5))
    axes.set_yticks(rows, [panel.title for panel in panels], fontsize=8)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7.5, color=FAINT)
    axes.tick_params(length=0)
    axes.axvline(INSENSITIVE, color="#bbbbbb", linewidth=0.8, linestyle=(0, (3, 2)))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#dddddd")
