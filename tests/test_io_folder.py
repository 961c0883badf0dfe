"""Folders of results: there whole or not at all."""

import pytest

from maquette.io.folder import replacing


def test_an_input_that_is_not_there_is_named_and_the_older_folder_stays(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "old.txt").touch()
    with pytest.raises(FileNotFoundError) as caught, replacing(out, force=True):
        (tmp_path / "cameras.json").read_text()
    assert caught.value.filename == str(tmp_path / "cameras.json")
    assert [file.name for file in tmp_path.rglob("*")] == ["out", "old.txt"]


def test_what_cannot_be_written_is_told_of_the_folder_and_not_of_the_one_beside_it(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OSError, match=f"^{out}: is a directory$"), replacing(out, force=False) as folder:
        (folder / "page").mkdir()
        (folder / "page").write_text("")
    (tmp_path / "file").touch()
    with (
        pytest.raises(OSError, match=f"^{tmp_path / 'file' / 'out'}: "),
        replacing(tmp_path / "file" / "out", force=False),
    ):
        pass
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
