"""Pieces of self-contained pages: pictures inlined, names escaped. A cell of a table is text, or HTML that says so."""

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ASSETS = Path(__file__).parents[1] / "assets"


@dataclass(frozen=True)
class Html:
    """Text that is HTML already: nothing of it comes from a name."""

    text: str


def escaped(text: str | Html) -> str:
    return text.text if isinstance(text, Html) else html.escape(text)


@dataclass(frozen=True)
class Cell:
    """Of a table."""

    text: str | Html
    below: str = ""
    """A second line in small letters."""
    kind: str = ""
    """CSS class: best, up, down."""


@dataclass(frozen=True)
class TableRow:
    head: str | Html
    cells: Sequence[Cell]
    kind: str = ""
    """CSS class: aside, rule."""


def page(
    title: str, lead: str, sections: Sequence[str], *, styles: Sequence[str] = (), scripts: Sequence[str] = ()
) -> str:
    """A whole document. `sections` are HTML, title and lead are text; styles and scripts are names of assets."""
    style = "".join(map(_asset, ("page.css", "report.css", *styles)))
    script = "".join(f"<script>\n{_asset(name)}</script>\n" for name in scripts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<div class="top"><h1>{html.escape(title)}</h1><p>{html.escape(lead)}</p></div>\n'
        f"<main>\n{chr(10).join(section for section in sections if section)}\n</main>\n{script}</body>\n</html>\n"
    )


def filled(name: str, parts: dict[str, str]) -> str:
    """The asset with HTML in the place of each @@NAME@@."""
    # Split, not replaced one after another: what a part holds is never searched for another part's name.
    pieces = _asset(name).split("@@")
    return "".join(parts[piece] if k % 2 else piece for k, piece in enumerate(pieces))


def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def section(title: str, *parts: str, anchor: str = "") -> str:
    """`anchor` is what a link of the same page names it by."""
    opening = f'<section id="{html.escape(anchor)}">' if anchor else "<section>"
    return f"{opening}<h2>{html.escape(title)}</h2>\n{chr(10).join(parts)}\n</section>"


def data(value: object, name: str) -> str:
    """JSON that a script of the page finds by the id `name`: `<` would end the element, whatever stands in a text."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{html.escape(name)}">{text}</script>'


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def listing(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def table(heads: Sequence[str], rows: Sequence[TableRow]) -> str:
    """Scrolls sideways where the screen is narrow, its first column staying in sight."""
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    body = "".join(
        f'<tr class="{row.kind}"><th>{escaped(row.head)}</th>{"".join(map(_cell, row.cells))}</tr>' for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(cell: Cell) -> str:
    below = f"<small>{html.escape(cell.below)}</small>" if cell.below else ""
    return f'<td class="{cell.kind}">{escaped(cell.text)}{below}</td>'


def swatch(color: str, text: str) -> Html:
    """A name with its colour before it."""
    return Html(f'<span class="swatch" style="background:{html.escape(color)}"></span>{html.escape(text)}')


def picture(data: bytes, alt: str, *, kind: str = "", mime: str = "image/webp") -> str:
    encoded = base64.b64encode(data).decode("ascii")
    return f'<img class="{kind}" loading="lazy" src="data:{mime};base64,{encoded}" alt="{html.escape(alt)}">'


def plot(png: bytes, alt: str) -> str:
    """A plot that was drawn as PNG; as lossless WebP it is less than half as long."""
    file = io.BytesIO()
    with Image.open(io.BytesIO(png)) as image:
        image.convert("RGB").save(file, "webp", lossless=True)
    return picture(file.getvalue(), alt, kind="plot")


def figure(data: bytes | None, title: str, score: str = "", alt: str = "") -> str:
    """A small picture with what it is and how good; without data an empty frame says that there is none."""
    image = picture(data, alt or title) if data is not None else '<div class="none">no picture</div>'
    strong = f"<b>{html.escape(score)}</b>" if score else ""
    return f"<figure>{image}<figcaption>{strong}{html.escape(title)}</figcaption></figure>"


def strip(title: str, figures: Sequence[str]) -> str:
    """Figures of one object beside each other, as many as the screen holds."""
    return f'<div class="object"><h3>{html.escape(title)}</h3><div class="strip">{"".join(figures)}</div></div>'


def facts(values: dict[str, str]) -> str:
    rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in values.items())
    return f"<table>{rows}</table>"
