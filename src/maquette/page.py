"""One page for a batch: pictures of every solid, and one live 3D view for the chosen one.

The page holds everything it shows (pictures, solids, plotly's JavaScript from the installed package), so it opens from
the disk and can be sent alone; only the downloads lie beside it. A browser allows few 3D views at a time: there is one.
"""

import base64
import html
import importlib.util
import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette.io import write_text
from maquette.shapes import Mesh, PointCloud, VertexColors, bounds

THUMBNAIL = 320
"""Pixels a side of pictures in the page."""
FILM = (200, 24)
"""Pixels a side and frames, at most, of a turntable in the page."""


@dataclass(frozen=True)
class Solid:
    """A coloured solid as the page's script reads it, in a few hundred kilobytes."""

    positions: bytes
    """int16 x y z: (position - center) / radius * 32767."""
    faces: bytes
    """uint32 corners before subdivision; empty for points."""
    colors: bytes
    """uint8 r g b, of the vertices after `levels` subdivisions."""
    levels: int
    center: tuple[float, float, float]
    radius: float


@dataclass(frozen=True)
class Card:
    """What the page shows of one picture."""

    name: str
    folder: str
    """Of the downloads, relative to the page."""
    files: tuple[str, ...]
    """Names in `folder`."""
    numbers: dict[str, str]
    """Shown as a table."""
    outside: bool
    """Unlike the training pictures."""
    poor: bool
    """The solid does not cover what the picture shows."""
    summary: str
    picture: Float[Tensor, "S S 4"]
    """The crop that the network saw."""
    overlay: Float[Tensor, "S S 3"]
    film: Float[Tensor, "T H W 3"]
    solid: Solid
    direction: tuple[float, float]
    """Azimuth and elevation in radians from which the picture was taken: the first view."""


@dataclass(frozen=True)
class Failure:
    """An input that gave nothing."""

    name: str
    reason: str


def solid_of(shape: Mesh | PointCloud, *, base: Mesh | None = None) -> Solid:
    """The shape for the page. A mesh that is the subdivision of `base` is stored as that, with its own colours."""
    low, high = bounds(shape).unbind(-2)
    center = (low + high) / 2
    radius = max(float((high - low).max()) / 2, 1e-9)
    match shape:
        case Mesh(vertices, faces, appearance):
            base = shape if base is None else base
            levels = round(math.log(len(faces) / len(base.faces), 4))
            positions, corners = base.vertices, base.faces
            colors = appearance.colors if isinstance(appearance, VertexColors) else torch.full_like(vertices, 0.75)
        case PointCloud(positions, colors):
            levels, corners = 0, torch.zeros(0, 3, dtype=torch.int64)
            colors = torch.full_like(positions, 0.75) if colors is None else colors
    return Solid(
        ((positions - center) / radius * 32767).round().clamp(-32767, 32767).numpy().astype("<i2").tobytes(),
        corners.numpy().astype("<u4").tobytes(),
        (colors.clamp(0, 1) * 255).round().numpy().astype("u1").tobytes(),
        levels,
        tuple(center.tolist()),
        radius,
    )


def write_page(path: Path, cards: list[Card], failures: list[Failure]) -> None:
    """Write the page, whole or not at all. Names are shown as they are, never read as HTML."""
    if not cards:
        raise ValueError("write_page: no solids to show")
    solids = [
        {
            "name": card.name,
            "positions": _base64(card.solid.positions),
            "faces": _base64(card.solid.faces),
            "colors": _base64(card.solid.colors),
            "levels": card.solid.levels,
            "azimuth": card.direction[0],
            "elevation": card.direction[1],
        }
        for card in cards
    ]
    count = f"{len(cards)} {'solid' if len(cards) == 1 else 'solids'}"
    missed = f", {len(failures)} {'input' if len(failures) == 1 else 'inputs'} failed" if failures else ""
    parts = {
        "TITLE": f"Maquette: {count}",
        "COUNT": f"{count} from {'a picture' if len(cards) == 1 else 'pictures'}{missed}",
        "STYLE": _asset("page.css"),
        "CARDS": "\n".join(_card(k, card) for k, card in enumerate(cards)),
        "FAILURES": _failures(failures),
        # `<` would end the script element early, whatever stands in a name.
        "SOLIDS": json.dumps(solids).replace("<", "\\u003c"),
        "PLOTLY": plotly_script(),
        "SCRIPT": _asset("page.js"),
    }
    # Split, not replaced one after another: what a part holds is never searched for another part's name.
    pieces = _asset("page.html").split("@@")
    write_text(path, "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces)))


def plotly_script() -> str:
    """Plotly's JavaScript as the installed package brings it; the package itself is not imported."""
    found = importlib.util.find_spec("plotly")
    if found is None or not found.submodule_search_locations:
        raise ImportError("plotly is not installed, and the page needs its JavaScript; pip install plotly")
    return (Path(found.submodule_search_locations[0]) / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def _asset(name: str) -> str:
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


def _card(index: int, card: Card) -> str:
    name = html.escape(card.name)
    warnings = ["outside the training categories"] * card.outside + ["does not match the picture"] * card.poor
    badges = "".join(f'<span class="badge">{warning}</span>' for warning in warnings)
    rows = "".join(
        f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>" for key, value in card.numbers.items()
    )
    links = "".join(
        f'<a href="{html.escape(quote(f"{card.folder}/{file}"))}" download>{html.escape(file)}</a>'
        for file in card.files
    )
    rgb, alpha = card.picture.split([3, 1], -1)
    pictures = (
        (_webp([rgb * alpha + 0.97 * (1 - alpha)], THUMBNAIL), "input", f"{name}, cut out and cropped"),
        (_webp([card.overlay], THUMBNAIL), "overlay", f"the solid laid over {name}"),
        (_film(card.film), "turntable", f"the solid of {name} from all sides"),
    )
    figures = "".join(
        f'<figure><img src="data:image/webp;base64,{_base64(data)}" alt="{text}">'
        f"<figcaption>{title}</figcaption></figure>"
        for data, title, text in pictures
    )
    return (
        f'<article class="card" data-index="{index}"><header><h2>{name}</h2>{badges}'
        f'<button type="button" aria-label="show {name} in 3D">Show in 3D</button></header>'
        f'<div class="pictures">{figures}</div><table>{rows}</table><p class="files">{links}</p></article>'
    )


def _failures(failures: list[Failure]) -> str:
    if not failures:
        return ""
    items = "".join(f"<li><b>{html.escape(f.name)}</b>: {html.escape(f.reason)}</li>" for f in failures)
    return f'<section class="failures"><h2>Not reconstructed</h2><ul>{items}</ul></section>'


def _film(frames: Float[Tensor, "T H W 3"]) -> bytes:
    side, most = FILM
    step = -(-len(frames) // most)
    return _webp(list(frames[::step]), side, duration=round(2400 * step / len(frames)))


def _webp(frames: list[Float[Tensor, "H W 3"]], side: int, *, duration: int = 100) -> bytes:
    """A picture, or a film of frames that each stay `duration` milliseconds."""
    from PIL import Image

    images = []
    for frame in frames:
        array = (frame.clamp(0, 1) * 255).round().numpy().astype(np.uint8)
        images.append(Image.fromarray(array).resize((side, side), Image.Resampling.LANCZOS))
    file = io.BytesIO()
    many = {"save_all": True, "append_images": images[1:], "duration": duration, "loop": 0} if len(images) > 1 else {}
    images[0].save(file, "WEBP", quality=80, **many)
    return file.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
