"""The report's page: one file with everything it shows. Names are shown as they are, never read as HTML."""

import base64
import html as text
from collections.abc import Sequence
from dataclasses import dataclass

from maquette.evaluate import html
from maquette.evaluate.comparison import Comparison
from maquette.evaluate.evaluation import UNLABELLED
from maquette.evaluate.tables import columns_of
from maquette.report.objects import Exhibit
from maquette.report.solids import packed

STYLES, SCRIPTS = ("objects.css",), ("solids.js", "objects.js")


@dataclass(frozen=True)
class Part:
    """A section of the page, and how the list of contents calls it."""

    anchor: str
    title: str
    body: str
    more: tuple[str, ...] = ()
    """Whole sections that follow and belong to it."""


def object_data(exhibit: Exhibit, number: int) -> str:
    """Of one object what the page reads when it is chosen."""
    parts = [exhibit.truth.data(), *(answer.missed for answer in exhibit.answers if answer.solid is not None)]
    for answer in exhibit.answers:
        if answer.solid is not None:
            parts += [answer.solid.data(), answer.errors]
    value = {
        "picture": _base64(exhibit.picture),
        "heats": [None if heat is None else _base64(heat) for heat in exhibit.heats],
        "azimuth": round(exhibit.viewpoint[0], 4),
        "elevation": round(exhibit.viewpoint[1], 4),
        "truth": exhibit.truth.header(),
        "solids": [None if answer.solid is None else answer.solid.header() for answer in exhibit.answers],
        "data": _base64(packed(parts)),
    }
    return html.data(value, f"object-{number}")


def index_data(
    comparison: Comparison, exhibits: Sequence[Exhibit], heats: Sequence[str], scale: Sequence[Sequence[int]]
) -> str:
    """Of all objects what the catalogue needs: names, classes, scores, small pictures. `scale`: 256 colours of errors.

    `heats` are the titles of the heat maps that an object may have.
    """
    protocol = comparison.runs[0].protocol
    column, sign = columns_of(protocol)[protocol.headline], 1 if protocol.higher_is_better else -1

    def told(score: float | None) -> dict[str, object]:
        # A failure is worse than anything that has a score.
        return {"text": "failed", "rank": -1e9} if score is None else {"text": column.cell(score), "rank": sign * score}

    value = {
        "methods": [{"title": method.title, "color": method.color} for method in comparison.methods],
        "heats": list(heats),
        "scale": [level for color in scale for level in color],
        "objects": [
            {
                "name": one.id,
                "category": one.category,
                "scores": [told(answer.score) for answer in one.answers],
                "thumbnails": [_base64(answer.thumbnail) for answer in one.answers],
            }
            for one in exhibits
        ],
    }
    return html.data(value, "index")


def objects_part(
    comparison: Comparison, exhibits: Sequence[Exhibit], scale: Sequence[Sequence[int]], limit: float
) -> str:
    """Catalogue and panels, without the data. `limit`: the error that has the last colour, in object units."""
    titles = [method.title for method in comparison.methods]
    categories = sorted({one.category for one in exhibits})
    orders = (("worst", "worst first"), ("best", "best first"), ("name", "by name"))
    parts = {
        "STOPS": ",".join(f"rgb({r},{g},{b})" for r, g, b in [*scale[::15], scale[-1]]),
        "MARKS": "".join(f"<span>{limit * k / 4:.3g}{' and more' if k == 4 else ''}</span>" for k in range(5)),
        "BOXES": "".join(f'<label><input type="checkbox">{text.escape(title)}</label>' for title in titles),
        "HEADLINE": text.escape(comparison.runs[0].protocol.headline),
        "CLASSES": _select("class", "class", [("", "all classes"), *((c, c or UNLABELLED) for c in categories)]),
        "ORDERS": _select("order", "order", orders),
        "METHODS": _select(
            "method",
            "by the score of",
            [(str(k), title) for k, title in enumerate(titles)],
            chosen=str(titles.index(comparison.reference)),
        ),
        "ITEMS": "".join(_item(number, one) for number, one in enumerate(exhibits)),
    }
    return html.filled("objects.html", parts)


def _select(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str = "") -> str:
    inner = "".join(
        f'<option value="{text.escape(key)}"{" selected" * (key == chosen)}>{text.escape(title)}</option>'
        for key, title in options
    )
    return f'<select id="{name}" aria-label="{text.escape(label)}">{inner}</select>'


def _item(number: int, one: Exhibit) -> str:
    name = text.escape(one.id)
    first = html.picture(one.answers[0].thumbnail, f"prediction of {one.id}") if one.answers else ""
    return (
        f'<button type="button" class="item" data-number="{number}" title="{name}"><span>'
        f"{html.picture(one.thumbnail, f'input of {one.id}')}{first}</span><em><b></b>{name}</em></button>"
    )


def whole_page(title: str, lead: str, parts: Sequence[Part], data: Sequence[str]) -> str:
    """The document; `data` are elements that scripts read."""
    links = "".join(f'<a href="#{text.escape(part.anchor)}">{text.escape(part.title)}</a>' for part in parts)
    sections = []
    for part in parts:
        sections += [html.section(part.title, part.body, anchor=part.anchor), *part.more]
    contents = f'<nav class="contents" aria-label="contents">{links}</nav>'
    scripts = SCRIPTS if data else ()
    return html.page(title, lead, [contents, *sections, *data], styles=STYLES, scripts=scripts)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
