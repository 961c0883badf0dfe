"""Our format on disk: what is written is read back, an object is there whole or not at all, no index is needed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from maquette.camera import orbit
from maquette.data import dataset
from maquette.data.dataset import Pictures, Truth, open_dataset, write_object
from maquette.data.entries import Entry, of_split
from maquette.io.atomic import write_json

ENTRY = Entry("box-01", "box", "train", "boxes/01.obj", 2)


def pictures() -> Pictures:
    rng = np.random.default_rng(0)
    azimuth, elevation, distance = np.array([0.1, 3.0]), np.array([-0.2, 0.5]), np.array([1.2, 1.7])
    camera = orbit(*(torch.from_numpy(v).float() for v in (azimuth, elevation, distance)), focal=20.0, size=(16, 16))
    rgba = rng.integers(0, 256, (2, 16, 16, 4), dtype=np.uint8)
    return Pictures(rgba, camera, azimuth, elevation, distance, [{"light": "Ambient", "intensity": 0.5}])


def truth() -> Truth:
    rng = np.random.default_rng(1)
    normals = rng.normal(size=(50, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return Truth(
        rng.random((50, 3), dtype=np.float32) - 0.5,
        normals.astype(np.float32),
        rng.integers(0, 2, 50).astype(np.int16),
        ("seat", "leg"),
        rng.random((32, 32, 32)) < 0.3,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_json(tmp_path / "dataset.json", {"format": dataset.FORMAT, "version": dataset.FORMAT_VERSION})
    write_object(tmp_path, ENTRY, pictures(), truth(), {"warnings": []})
    return tmp_path


def test_what_was_written_is_read_back(root):
    data = open_dataset(root)
    assert tuple(data.entries) == (ENTRY,)
    made, solid = pictures(), truth()
    for k in range(2):
        view = data.view(ENTRY, k)
        np.testing.assert_array_equal(view.rgba, made.rgba[k])
        torch.testing.assert_close(view.camera.world_from_cam, made.camera.world_from_cam[k], rtol=0, atol=0)
        torch.testing.assert_close(view.camera.focal, made.camera.focal[k], rtol=0, atol=0)
        assert view.camera.size == (16, 16)
        assert (view.azimuth, view.elevation, view.distance) == (
            made.azimuth[k],
            made.elevation[k],
            made.distance[k],
        )
    read = data.truth(ENTRY)
    np.testing.assert_array_equal(read.points, solid.points)
    np.testing.assert_array_equal(read.labels, solid.labels)
    np.testing.assert_array_equal(read.voxels, solid.voxels)
    np.testing.assert_allclose(read.normals, solid.normals, atol=5e-4)  # kept in 16 bits
    assert read.label_names == ("seat", "leg")


def test_the_same_object_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_object(tmp_path / name, ENTRY, pictures(), truth(), {})
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) == 5
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_an_object_that_cannot_be_finished_leaves_nothing(tmp_path):
    # NaN is not JSON, and the facts are written last.
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_object(tmp_path, ENTRY, pictures(), truth(), {"size": float("nan")})
    assert list((tmp_path / "objects").iterdir()) == []


def test_an_object_that_is_there_is_kept(root):
    before = (root / "objects" / ENTRY.id / "object.json").read_bytes()
    write_object(root, ENTRY, pictures(), truth(), {"another": "fact"})
    assert (root / "objects" / ENTRY.id / "object.json").read_bytes() == before
    assert len(list((root / "objects").iterdir())) == 1


def test_the_index_can_be_made_again_from_the_folders(root):
    write_object(root, Entry("box-00", "box", "val", "boxes/00.obj", 2), pictures(), truth(), {})
    (root / "objects" / ".tmp-1234-box-02").mkdir()
    without = open_dataset(root).entries
    assert [entry.id for entry in without] == ["box-00", "box-01"]
    dataset.write_index(root, without)
    assert tuple(open_dataset(root).entries) == tuple(without)


def test_splits_share_out_the_entries(root):
    entries = (ENTRY, Entry("box-00", "box", "val", "x", 2))
    assert of_split(entries, "train") == (ENTRY,)
    assert of_split(entries, "all") == entries
    with pytest.raises(ValueError, match="'dev' is no split"):
        of_split(entries, "dev")


def test_a_view_that_does_not_exist_is_an_error(root):
    with pytest.raises(ValueError, match=r"box-01 has views 0\.\.1, not 2"):
        open_dataset(root).view(ENTRY, 2)


def test_a_folder_that_is_no_data_set_says_what_was_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"looked for dataset.json .* and for r2n2/ShapeNetRendering"):
        open_dataset(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_dataset(tmp_path / "nowhere")


def test_another_version_of_the_format_is_refused(root):
    write_json(root / "dataset.json", {"format": dataset.FORMAT, "version": 99})
    with pytest.raises(ValueError, match="version 99, this Maquette reads 'maquette-dataset' version 1"):
        open_dataset(root)


def test_a_damaged_index_is_told_with_its_line(root):
    good = json.dumps({"id": "a", "category": "b", "split": "all", "source": "c", "views": 1})
    (root / "index.jsonl").write_text(f"{good}\n{{}}\n")
    with pytest.raises(ValueError, match=r"index.jsonl line 2 is not an entry .* delete the file"):
        open_dataset(root)


def test_an_empty_data_set_says_how_to_go_on(tmp_path):
    write_json(tmp_path / "dataset.json", {"format": dataset.FORMAT, "version": dataset.FORMAT_VERSION})
    with pytest.raises(ValueError, match="holds no finished object; run `maquette prepare` again"):
        open_dataset(tmp_path)
