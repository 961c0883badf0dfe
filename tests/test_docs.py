"""The documentation names what exists, and the gallery's commands are commands."""

import functools
import importlib
import re
import runpy
import shlex
from pathlib import Path

import pytest

import maquette
from maquette import cli

DOCS = Path(__file__).parents[1] / "docs"
PAGE = (DOCS / "pytorch3d.md").read_text(encoding="utf-8")
MODULES = ("camera", "conventions", "losses", "ops", "registration", "rendering", "shapes", "transforms")
NAMES = sorted(set(re.findall(rf"`((?:{'|'.join(MODULES)})\.[\w.]+)`", PAGE)))


@functools.cache
def importable(name: str):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return None


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_the_table_exists(name):
    parts = name.split(".")
    depth = max(k for k in range(1, len(parts) + 1) if importable("maquette." + ".".join(parts[:k])) is not None)
    thing = importable("maquette." + ".".join(parts[:depth]))
    for part in parts[depth:]:
        fields = getattr(thing, "__dataclass_fields__", {})
        assert hasattr(thing, part) or part in fields, f"{name}: no {part}"
        thing = getattr(thing, part, None)


def test_plain_names_of_the_table_are_maquette_s_own():
    assert len(NAMES) > 120
    for name in ("load", "save", "render", "look_at", "orbit", "to_mesh"):
        assert f"`{name}`" in PAGE
        assert hasattr(maquette, name)


def test_every_command_of_the_gallery_is_one_and_writes_a_picture_of_the_page():
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    make = runpy.run_path(str(DOCS / "make_gallery.py"))
    lines = make["commands"](page)
    assert len(lines) > 15
    written = set()
    for line in lines:
        program, *words = shlex.split(line)
        if program == "python":
            assert (DOCS.parent / words[0]).is_file(), line
            continue
        assert program == "maquette", line
        assert words[0] in {name.split()[0] for name in cli.COMMANDS}, line
        written.add(words[words.index("--out") + 1])
    shown = {f"docs/{path}" for path in re.findall(r"!\[[^]]*]\(([^)]+)\)", page)}
    for path in shown:
        assert (DOCS.parent / path).is_file(), path
    assert {path for path in written if path.startswith("docs/")} <= shown


def test_the_gallery_is_small():
    assert sum(path.stat().st_size for path in (DOCS / "pictures" / "gallery").iterdir()) < 1_500_000
