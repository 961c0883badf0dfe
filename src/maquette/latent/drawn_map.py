"""A map of codes drawn: a dot a picture in the colour of its category, and pictures where there is room. S pixels."""

import html as text
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from maquette.data.entries import Entry
from maquette.evaluate import html
from maquette.evaluate.curves import SERIES
from maquette.evaluate.pictures import input_picture, webp
from maquette.io.atomic import atomic_path, write_text
from maquette.latent.embedding import Embedding

INK, SOFT = "#333333", "#5d6b7a"
WIDTH, HEIGHT, SIDE = 9.0, 7.4, 0.46
"""Inches, of the map and of a picture on it."""
PAGE_SIDE = 96
"""Pixels of a picture on the page."""


def colors_of(categories: Sequence[str]) -> dict[str, str]:
    """A colour a category; those beyond the tenth share grey."""
    names = sorted(set(categories))
    return {name: SERIES[k] if k < len(SERIES) else "#9a9a9a" for k, name in enumerate(names)}


def on_canvas(places: Float[np.ndarray, "N 2"], width: float, height: float) -> Float[np.ndarray, "N 2"]:
    """The places spread over a canvas, x to the right and y upwards; each axis by its own scale."""
    low, high = places.min(0), places.max(0)
    part = (places - low) / np.where(high > low, high - low, 1.0)
    return part * np.array([width, height])


def uncrowded(places: Float[np.ndarray, "N 2"], side: float) -> list[int]:
    """Which squares of `side` about the places can be kept so that no two overlap: the first come, all round.

    The order is that of farthest points, so that every region of the map has its picture before any has a second.
    """
    from_middle = ((places - places.mean(0)) ** 2).sum(1)
    nearest, kept, current = np.full(len(places), np.inf), [], int(from_middle.argmin())
    for _ in range(len(places)):
        if all(np.abs(places[current] - places[other]).max() >= side for other in kept):
            kept.append(current)
        nearest = np.minimum(nearest, ((places - places[current]) ** 2).sum(1))
        nearest[current] = -1.0
        current = int(nearest.argmax())
    return kept


def axis_names(embedding: Embedding) -> tuple[str, str]:
    if embedding.explained is None:
        name = {"tsne": "t-SNE", "umap": "UMAP", "pca": "PCA"}[embedding.method]
        return f"{name}: near is alike; axes and long distances mean nothing", ""
    first, second = (100 * part for part in embedding.explained)
    return f"first principal component, {first:.0f} % of the variance", f"second, {second:.0f} %"


def plot_map(
    embedding: Embedding, entries: Sequence[Entry], images: UInt8[Tensor, "N 4 S S"], title: str, path: Path
) -> None:
    """A PNG of the map."""
    from matplotlib.figure import Figure

    left, bottom, right, top = 0.75, 0.62, 1.5, 0.5
    figure = Figure(figsize=(WIDTH + left + right, HEIGHT + bottom + top), dpi=130)
    total = (WIDTH + left + right, HEIGHT + bottom + top)
    axes = figure.add_axes((left / total[0], bottom / total[1], WIDTH / total[0], HEIGHT / total[1]))
    room = 0.56 * SIDE
    places = on_canvas(embedding.places.double().numpy(), WIDTH - 2 * room, HEIGHT - 2 * room) + room
    colors = colors_of([entry.category for entry in entries])
    for index in uncrowded(places, SIDE * 1.06):
        x, y = places[index]
        picture = input_picture(images[index], 72).clamp(0, 1).numpy()
        box = (x - SIDE / 2, x + SIDE / 2, y - SIDE / 2, y + SIDE / 2)
        axes.imshow(picture, extent=box, zorder=1, interpolation="antialiased")
        edge = colors[entries[index].category]
        axes.plot(*_outline(box), color=edge, linewidth=1.3, zorder=2)
    for name, color in colors.items():
        own = places[[entry.category == name for entry in entries]]
        axes.plot(
            own[:, 0], own[:, 1], linestyle="none", marker="o", markersize=4.2, color=color, markeredgecolor="white",
            markeredgewidth=0.7, zorder=3,
        )  # fmt: skip
    horizontal, vertical = axis_names(embedding)
    axes.set(xlim=(0, WIDTH), ylim=(0, HEIGHT), xticks=[], yticks=[], aspect="auto")
    axes.set(xlabel=horizontal, ylabel=vertical)
    for spine in axes.spines.values():
        spine.set_color("#d7dde3")
    for k, (name, color) in enumerate(colors.items()):
        y = 1 - (top + 0.12 + 0.24 * k) / total[1]
        count = sum(entry.category == name for entry in entries)
        figure.text((WIDTH + left + 0.12) / total[0], y, "●", color=color, fontsize=10, va="center")
        shown = (name or "(no category)").replace("$", r"\$")
        figure.text((WIDTH + left + 0.30) / total[0], y, f"{shown}  {count}", color=INK, fontsize=9, va="center")
    figure.text(left / total[0], 1 - 0.25 / total[1], title.replace("$", r"\$"), fontsize=11, color=INK, va="center")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")


def _outline(box: tuple[float, float, float, float]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    x0, x1, y0, y1 = box
    return (x0, x1, x1, x0, x0), (y0, y0, y1, y1, y0)


STYLE = """<style>
.map { position: relative; width: 100%; aspect-ratio: 4 / 3; background: #fbfcfd; border-radius: 8px }
.map a { position: absolute; width: .7rem; height: .7rem; margin: -.35rem; border-radius: 50%;
  border: 1.5px solid #fff }
.map a img { display: none; position: absolute; left: .5rem; top: .5rem; width: 96px; max-width: none; z-index: 3;
  border: 2px solid; border-radius: 6px; background: #fff }
.map a:hover, .map a:focus { z-index: 4; outline: 2px solid #1d2733 }
.map a:hover img, .map a:focus img { display: block }
</style>"""


def write_map_page(
    embedding: Embedding,
    entries: Sequence[Entry],
    images: UInt8[Tensor, "N 4 S S"],
    title: str,
    remarks: Sequence[str],
    path: Path,
) -> None:
    """A page in one file without any script: every dot shows its picture when it is pointed at."""
    places = on_canvas(embedding.places.double().numpy(), 94.0, 92.0) + np.array([3.0, 4.0])
    colors = colors_of([entry.category for entry in entries])
    dots = []
    for index, entry in enumerate(entries):
        color, (x, y) = colors[entry.category], places[index]
        picture = html.picture(webp(input_picture(images[index], PAGE_SIDE)), entry.id)
        name = text.escape(f"{entry.id} ({entry.category})" if entry.category else entry.id)
        dots.append(
            f'<a tabindex="0" title="{name}" style="left:{x:.2f}%;top:{100 - y:.2f}%;background:{color}">{picture}</a>'
        )
    legend = "".join(f"<li>{html.swatch(color, name or '(no category)').text}</li>" for name, color in colors.items())
    horizontal, vertical = axis_names(embedding)
    about = html.paragraph("; ".join([horizontal, *([f"upwards: {vertical}"] if vertical else []), *remarks]) + ".")
    body = f'{STYLE}<div class="map">{"".join(dots)}</div><ul>{legend}</ul>'
    write_text(path, html.page(title, "point at a dot to see its picture", [html.section("Map", about, body)]))
