"""The page of a batch: one file, no network, names shown as they are."""

import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from maquette.page import Card, Failure, solid_of, write_page
from maquette.shapes import Mesh, PointCloud, VertexColors
from maquette.shapes.primitives import ico_sphere
from maquette.texturing import subdivided

WICKED = "<script>alert('x')</script> & \"co\".png"


class Collector(HTMLParser):
    """Every tag with its attributes, and the text of scripts."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.text, self.open = [], [], [], None

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.open = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.open = None

    def handle_data(self, data):
        if self.open == "script":
            self.scripts[-1] += data
        else:
            self.text.append(data)


def colored(mesh: Mesh) -> Mesh:
    return mesh.with_appearance(VertexColors(mesh.vertices + 0.5))


def card(name="chair.png", folder="chair", solid=None, outside=False, poor=False) -> Card:
    base = ico_sphere(1, radius=0.4)
    return Card(
        name=name,
        folder=folder,
        files=("mesh.glb", "mesh.obj"),
        numbers={"solid": "mesh", "time": "1 s"},
        outside=outside,
        poor=poor,
        summary="",
        picture=torch.rand(32, 32, 4),
        overlay=torch.rand(32, 32, 3),
        film=torch.rand(3, 32, 32, 3),
        solid=solid or solid_of(colored(subdivided(base, 150)), base=base),
        direction=(0.5, 0.3),
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    cards = [card(), card(name=WICKED, folder="we ird#1", outside=True)]
    write_page(path, cards, [Failure(WICKED, "not a <picture>")])
    collector = Collector()
    text = path.read_text(encoding="utf-8")
    collector.feed(text)
    return text, collector


def test_nothing_is_loaded_from_elsewhere(page):
    _, collector = page
    for tag, attributes in collector.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "data", "action"):
            value = attributes.get(name)
            assert (
                value is None or value.startswith("data:image/webp;base64,") or re.match(r"^[\w%.\-]+/[\w.]+$", value)
            )
    assert [attributes.get("src") for tag, attributes in collector.tags if tag == "script"] == [None] * 3


def test_names_are_text_wherever_they_stand(page):
    text, collector = page
    assert "<script>alert" not in text
    assert len(collector.scripts) == 3
    assert "".join(collector.text).count(WICKED) == 2
    assert json.loads(collector.scripts[0])[1]["name"] == WICKED


def test_doubts_stand_beside_the_name(tmp_path):
    write_page(tmp_path / "a.html", [card(), card(outside=True, poor=True)], [])
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert text.count('class="badge"') == 2
    assert text.count("outside the training categories") == text.count("does not match the picture") == 1


def test_downloads_are_relative_and_quoted(page):
    _, collector = page
    links = [attributes["href"] for tag, attributes in collector.tags if tag == "a"]
    assert links == ["chair/mesh.glb", "chair/mesh.obj", "we%20ird%231/mesh.glb", "we%20ird%231/mesh.obj"]


def test_a_picture_outside_the_training_categories_is_marked(page):
    _, collector = page
    assert [attributes.get("class") for _, attributes in collector.tags].count("badge") == 1


def test_failed_inputs_stand_there_with_their_reasons(page):
    _, collector = page
    assert ": not a <picture>" in "".join(collector.text)


def test_plotly_stands_there_once(page):
    text, collector = page
    assert "Plotly" in collector.scripts[1]
    assert len(text) < len(collector.scripts[1]) + 200_000


def test_the_solid_in_the_page_is_the_solid():
    base = ico_sphere(2, radius=0.4)
    fine = colored(subdivided(base, 600))
    solid = solid_of(fine, base=base)
    positions = np.frombuffer(solid.positions, "<i2").reshape(-1, 3) / 32767 * solid.radius + np.array(solid.center)
    # Positions are rounded to 1/32767 of half the box.
    assert np.allclose(positions, base.vertices.numpy(), atol=0.4 / 32767)
    assert np.array_equal(np.frombuffer(solid.faces, "<u4").reshape(-1, 3), base.faces.numpy())
    assert solid.levels == 1
    colors = np.frombuffer(solid.colors, "u1").reshape(-1, 3) / 255
    assert np.allclose(colors, fine.appearance.colors.numpy(), atol=0.5 / 255 + 1e-6)


def test_points_have_no_faces_in_the_page():
    solid = solid_of(PointCloud(torch.rand(50, 3)))
    assert solid.faces == b"" and solid.levels == 0
    assert len(base64.b64encode(solid.colors)) == 200


def test_a_page_without_solids_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no solids"):
        write_page(tmp_path / "index.html", [], [])
