"""An index is a sequence of entries that stays on the disk: what it says, and how little is read of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from maquette.data import entries as indexing
from maquette.data.entries import Entry, counts, of_split, open_entries, splits, views_of, write_entries

MANY = [
    Entry(f"o{n:03d}", ("chair", "car")[n % 2], ("train", "train", "val", "test")[n % 4], f"{n}", n % 5)
    for n in range(40)
]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    write_entries(tmp_path / "index.jsonl", MANY)
    return tmp_path / "index.jsonl"


def test_an_index_reads_as_the_list_that_was_written(index):
    entries = open_entries(index)
    assert list(entries) == MANY and len(entries) == 40
    assert entries[7] == MANY[7] and entries[-1] == MANY[-1]
    assert list(entries[3:30:4]) == MANY[3:30:4]
    assert list(entries[5:][2:4]) == MANY[7:9]
    with pytest.raises(IndexError, match="entry 40 of 40"):
        entries[40]


def test_a_split_is_the_entries_of_that_split_whatever_holds_them(index):
    entries = open_entries(index)
    for split in ("train", "val", "test", "all"):
        wanted = [entry for entry in MANY if split in ("all", entry.split)]
        assert list(of_split(entries, split)) == list(of_split(MANY, split)) == wanted
    assert list(of_split(of_split(entries, "train"), "val")) == []


def test_counts_are_read_from_the_table(index, monkeypatch):
    entries = open_entries(index)
    train = of_split(entries, "train")
    for some, kept in ((entries, MANY), (train, [entry for entry in MANY if entry.split == "train"])):
        parsed = count_parsed(monkeypatch)
        counted, held, views = counts(some), splits(some), views_of(some)
        # Not none: under test, the type checker looks at an entry of each argument.
        assert len(parsed) < 20
        monkeypatch.undo()
        assert counted == counts(kept) and held == {entry.split for entry in kept}
        np.testing.assert_array_equal(views, [entry.views for entry in kept])


def test_one_entry_costs_one_line(index, monkeypatch):
    entries = open_entries(index)
    val = of_split(entries, "val")
    parsed = count_parsed(monkeypatch)
    _ = entries[11], val[1]
    assert len(parsed) == 2


def count_parsed(monkeypatch) -> list[str]:
    """The texts of JSON that are parsed from now on."""
    parsed, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text: parsed.append(text) or loads(text))
    return parsed


def test_the_table_of_a_large_index_is_kept_and_follows_its_file(index, monkeypatch):
    monkeypatch.setattr(indexing, "LARGE", 10)
    first = open_entries(index)
    assert isinstance(first.rows, np.memmap)
    monkeypatch.setattr(indexing, "_table", lambda *_: pytest.fail("the table was made again"))
    assert list(open_entries(index)) == MANY
    monkeypatch.undo()
    monkeypatch.setattr(indexing, "LARGE", 10)
    write_entries(index, MANY[:20])
    assert list(open_entries(index)) == MANY[:20]
    assert len(list((index.parent / indexing.TABLES).iterdir())) == 1


def test_an_index_where_nobody_may_write_is_read_all_the_same(index, monkeypatch):
    monkeypatch.setattr(indexing, "LARGE", 10)
    (index.parent / indexing.TABLES).write_text("a file in the place of the folder")
    assert list(open_entries(index)) == MANY


def test_an_empty_index_has_no_entries(tmp_path):
    (tmp_path / "index.jsonl").write_text("")
    assert list(open_entries(tmp_path / "index.jsonl")) == []


def test_lines_of_other_writers_mean_what_they_say(tmp_path):
    """What is not written letter by letter as here is parsed as JSON, with the same table in the end."""
    path = tmp_path / "index.jsonl"
    odd = [
        Entry("plain", "chair", "train", "a.obj", 12),
        Entry('a "quoted" name', "caf\u00e9", "val", "b\\c.obj", 0),
        Entry("", "chair", "test", "split: all", 3),
        Entry("last", "car", "all", "tab\there", 1_000_000),
    ]
    ordered = json.dumps({"views": 12, "source": "a.obj", "split": "train", "category": "chair", "id": "plain"})
    for lines in (
        [json.dumps(vars(entry)) for entry in odd],
        [json.dumps(vars(entry), separators=(",", ":")) for entry in odd],
        [json.dumps(vars(entry), ensure_ascii=False) for entry in odd],
        [ordered, *(f" {json.dumps(vars(entry))} " for entry in odd[1:])],
    ):
        for end in ("\n", ""):
            path.write_text("\n".join(lines) + end, "utf-8")
            entries = open_entries(path)
            assert list(entries) == odd and counts(entries) == counts(odd)
            np.testing.assert_array_equal(views_of(entries), [12, 0, 3, 1_000_000])


@pytest.mark.parametrize(
    "line",
    [
        '{"id": "o", "category": "c", "split": "holdout", "source": "s", "views": 1}',
        '{"id": "o", "category": "c", "split": "train", "source": "s", "views": 01}',
        '{"id": "o", "category": "c", "split": "train", "source": "s", "views": -1}',
        '{"id": "o", "category": "c", "split": "train", "source": "s", "views": 99999999999999}',
        '{"id": "o", "category": "c", "split": "train", "source": "s", "views": 1}}',
        '{"id": "o", "category": "c", "split": "train", "source": "s"}',
        '{"id": "o\t", "category": "c", "split": "train", "source": "s", "views": 1}',
        "[]",
    ],
)
def test_a_line_that_is_no_entry_is_told_by_its_number(index, line):
    with open(index, "a") as file:
        file.write(line + "\n")
    with pytest.raises(ValueError, match="line 41 is not an entry"):
        open_entries(index)
