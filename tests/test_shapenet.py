"""The R2N2/ShapeNet layout: a small tree in exactly that layout, written here from its description, and read back."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.data.dataset import HasCodes, open_dataset
from maquette.data.pack import pack
from maquette.data.shapenet import read_binvox, read_metadata
from maquette.evaluate import EvaluateConfig, evaluate_run
from maquette.evaluate.scoring import fixed_view, look
from maquette.metrics.scores import f_score, match
from maquette.models import PointsConfig, PrecomputedCodes, build, load_run, save_model
from maquette.models.points import PointsHead
from maquette.shapes import PointCloud, Voxels, bounds, sample
from maquette.train.validation import draw
from test_evaluate import TALL, write_boxes

# A chair in ShapeNet's own frame: y up, front +x. Boxes (low corner, high corner): seat, back at -x, and an arm on the
# left side only (-z, seen from behind), so that no mirror image looks the same.
BOXES = (
    ((-0.25, -0.05, -0.25), (0.25, 0.1, 0.25)),
    ((-0.25, 0.1, -0.25), (-0.1, 0.5, 0.25)),
    ((-0.1, 0.1, -0.25), (0.2, 0.25, -0.1)),
)
LOW, HIGH = np.array((-0.25, -0.05, -0.25)), np.array((0.25, 0.5, 0.25))
SYNSET, MODEL = "03001627", "1a2b"
VIEWS = ((0.0, 0.0, 0.9), (37.0, 25.0, 0.75), (215.0, 30.0, 1.0))


def box_obj(boxes) -> str:
    lines, count = ["mtllib model.mtl"], 0
    for low, high in boxes:
        corners = [[(low, high)[k >> axis & 1][axis] for axis in range(3)] for k in range(8)]
        lines += ["v " + " ".join(f"{c:.6f}" for c in corner) for corner in corners]
        quads = ((0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6))
        lines += ["f " + " ".join(str(count + i + 1) for i in quad) for quad in quads]
        count += 8
    return "\n".join(lines) + "\n"


def binvox_bytes(filled: np.ndarray) -> bytes:
    """`filled` is indexed x, y, z; the file runs with y fastest, then z, then x."""
    order = filled.transpose(0, 2, 1).reshape(-1).astype(np.uint8)
    starts = np.flatnonzero(np.concatenate([[True], order[1:] != order[:-1]]))
    pairs = bytearray()
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        length = int(end - start)
        while length:
            run = min(length, 255)
            pairs += bytes([order[start], run])
            length -= run
    side = filled.shape[0]
    head = f"#binvox 1\ndim {side} {side} {side}\ntranslate -0.5 -0.5 -0.5\nscale 1\ndata\n"
    return head.encode() + bytes(pairs)


def chair_cells(side: int = 32) -> np.ndarray:
    """Cells (x, y, z) whose centres are inside, of a cube from the low corner, the longest side across `side`."""
    longest = (HIGH - LOW).max()
    line = (np.arange(side) + 0.5) / side * longest
    x, y, z = np.meshgrid(*(LOW[axis] + line for axis in range(3)), indexing="ij")
    points = np.stack([x, y, z], -1)
    return np.any([((points > low) & (points < high)).all(-1) for low, high in BOXES], axis=0)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    mesh = tmp_path / "shapenet" / SYNSET / MODEL
    render = tmp_path / "r2n2" / "ShapeNetRendering" / SYNSET / MODEL / "rendering"
    voxels = tmp_path / "r2n2" / "ShapeNetVoxels" / SYNSET / MODEL
    for folder in (mesh, render, voxels):
        folder.mkdir(parents=True)
    (mesh / "model.obj").write_text(box_obj(BOXES))
    (voxels / "model.binvox").write_bytes(binvox_bytes(chair_cells()))
    lines = []
    for k, (azimuth, elevation, ratio) in enumerate(VIEWS):
        picture = np.zeros((137, 137, 4), np.uint8)
        picture[40:90, 50 + k : 100] = (200, 10, 20, 255)
        Image.fromarray(picture).save(render / f"{k:02d}.png")
        lines.append(f"{azimuth} {elevation} 0 {ratio} 25")
    (render / "rendering_metadata.txt").write_text("\n".join(lines) + "\n")
    np.save(render / "feats.npy", np.arange(3 * 512, dtype=np.float32).reshape(3, 512))
    (tmp_path / "split_03001627.json").write_text(json.dumps({"test": {SYNSET: {MODEL: [2, 0, 1]}}}))
    return tmp_path


@pytest.fixture
def few_looks(monkeypatch) -> None:
    """What is outer is looked at from fewer sides than usual, where it is not what is asked."""
    monkeypatch.setattr("maquette.data.prepare.truth.DIRECTIONS", 8)


def test_a_split_file_decides_which_views_an_object_has_and_in_which_order(tree):
    data = open_dataset(tree)
    (entry,) = data.entries
    assert (entry.id, entry.category, entry.split, entry.views) == (f"{SYNSET}-{MODEL}", "chair", "test", 3)
    firsts = [int(np.flatnonzero(data.view(entry, k).rgba[60, :, 3])[0]) for k in range(3)]
    assert firsts == [52, 50, 51]
    with pytest.raises(ValueError, match=r"has views 0\.\.2, not 3"):
        data.view(entry, 3)


def test_a_picture_keeps_its_alpha(tree):
    data = open_dataset(tree)
    view = data.view(data.entries[0], 0)
    assert view.rgba.shape == (137, 137, 4)
    assert view.rgba[0, 0, 3] == 0
    assert tuple(view.rgba[60, 60]) == (200, 10, 20, 255)


def published_pixels(points: np.ndarray, azimuth: float, elevation: float, distance: float) -> np.ndarray:
    """Where the renders show points of the stored frame: Blender's camera, as the published loaders define it.

    Blender turns y up to z up when it reads an OBJ: (x, y, z) becomes (x, -z, y). The camera stands at azimuth
    (clockwise from +x seen from above) and elevation on a sphere about the origin, OpenGL axes, 149.8 px for 137.
    """
    a, e = math.radians(azimuth), math.radians(elevation)
    blender = np.stack([points[:, 0], -points[:, 2], points[:, 1]], -1)
    eye = distance * np.array([math.cos(a) * math.cos(e), -math.sin(a) * math.cos(e), math.sin(e)])
    backward = eye / np.linalg.norm(eye)
    right = np.array([math.sin(a), math.cos(a), 0.0])
    up = np.cross(backward, right)
    x, y, z = ((blender - eye) @ axis for axis in (right, up, backward))
    return np.stack([68.5 + 149.8 * x / -z, 68.5 - 149.8 * y / -z], -1)


def test_a_camera_shows_the_mesh_where_the_published_camera_does(tree):
    data = open_dataset(tree)
    (entry,) = data.entries
    mesh = data.mesh(entry)
    stored = np.array(
        [[(low, high)[k >> axis & 1][axis] for axis in range(3)] for low, high in BOXES for k in range(8)]
    )
    for k, number in enumerate((2, 0, 1)):
        azimuth, elevation, ratio = VIEWS[number]
        expected = published_pixels(stored, azimuth, elevation, ratio * 1.75)
        # As sets: the reader may order vertices differently.
        found = data.view(entry, k).camera.project(mesh.vertices).numpy()
        distance = np.linalg.norm(expected[:, None] - found[None], axis=-1)
        assert distance.min(1).max() < 0.02 and distance.min(0).max() < 0.02  # pixels; float32


def test_angles_are_those_of_the_metadata_turned_to_our_front(tree):
    # An object whose box is centred and of diagonal 1: the camera is where the metadata says, with our sign of azimuth.
    half = 0.5 / math.sqrt(3)
    obj = tree / "shapenet" / SYNSET / MODEL / "model.obj"
    obj.write_text(box_obj((((-half, -half, -half), (half, half, half)),)))
    data = open_dataset(tree)
    view = data.view(data.entries[0], 2)
    assert math.degrees(view.azimuth) == pytest.approx(-37.0, abs=1e-3)
    assert math.degrees(view.elevation) == pytest.approx(25.0, abs=1e-3)
    assert view.distance == pytest.approx(0.75 * 1.75, abs=1e-5)
    assert view.camera.focal.tolist() == pytest.approx([149.8, 149.8])


def test_mesh_and_voxels_have_their_front_at_plus_z_and_coincide(tree):
    data = open_dataset(tree)
    (entry,) = data.entries
    truth = data.truth(entry)
    box = bounds(PointCloud(torch.from_numpy(truth.points)))
    torch.testing.assert_close(box.mean(0), torch.zeros(3), atol=2e-3, rtol=0)
    assert float((box[1] - box[0]).norm()) == pytest.approx(1.0, abs=5e-3)
    # The back stands at -z, and the arm, which was at the stored -z, is at +x.
    high = truth.points[truth.points[:, 1] > 0.3]
    assert high[:, 2].max() < 0
    z, y, x = np.nonzero(truth.voxels)
    arm = (y > 13) & (y < 16) & (z > 16)  # above the seat's top at -0.14, below the arm's at 0.03, before the back
    assert arm.any() and x[arm].min() > 16
    # Voxelised truth, its surface, against the points: F-score at 0.05 of at least 97 by specification of the frame.
    solid = Voxels(torch.from_numpy(truth.voxels).float(), torch.eye(4))
    surface = sample(solid, 10_000, generator=torch.Generator().manual_seed(0)).points
    matches = match(surface, torch.from_numpy(truth.points))
    assert float(f_score(matches, (0.05,)).f[0]) >= 97


def test_all_three_axes_of_a_binvox_file_keep_their_place(tmp_path):
    filled = np.zeros((8, 8, 8), bool)
    filled[1, 2, 3] = filled[7, 0, 5] = True
    path = tmp_path / "model.binvox"
    path.write_bytes(binvox_bytes(filled))
    np.testing.assert_array_equal(read_binvox(path), filled)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PNG", "not a binvox file"),
        (b"#binvox 1\ndim 4 4\ndata\n\x00\x40", "no line `dim` with three numbers"),
        (b"#binvox 1\ndim 4 4 4\ndata\n\x00\x20", "holds 32 of 64 cells"),
        (b"#binvox 1\ndim 99999 99999 99999\ndata\n\x00\x20", r"up to 1024\^3"),
    ],
)
def test_a_damaged_binvox_file_is_an_error_that_names_it(tmp_path, content, message):
    path = tmp_path / "model.binvox"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"model.binvox: .*{message}"):
        read_binvox(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("10 20 0 0.8", "are not five numbers"),
        ("10 twenty 0 0.8 25", "are not five numbers"),
        ("10 20 0 0 25", "distance must be positive"),
        ("nan 20 0 0.8 25", "angles finite"),
        ("10 20 5 0.8 25", "rolled by 5 degrees"),
    ],
)
def test_a_broken_metadata_line_is_an_error_with_its_place(tmp_path, line, message):
    path = tmp_path / "rendering_metadata.txt"
    path.write_text(f"1 2 0 0.9 25\n{line}\n")
    with pytest.raises(ValueError, match=f"rendering_metadata.txt line 2: .*{message}"):
        read_metadata(path, 1)
    with pytest.raises(ValueError, match="has 2 lines, none for picture 07"):
        read_metadata(path, 7)


def test_a_model_that_lacks_a_file_is_told_and_the_others_are_read(tree):
    split = {"test": {SYNSET: {MODEL: [0], "gone": [0, 1]}}}
    (tree / "split_03001627.json").write_text(json.dumps(split))
    with pytest.warns(UserWarning, match="1 of 2 models lack files .* 03001627/gone: .*model.obj"):
        data = open_dataset(tree)
    assert [entry.source for entry in data.entries] == [f"{SYNSET}/{MODEL}"]
    assert len(data.missing) == 1


def test_a_tree_without_a_complete_model_is_an_error(tree):
    (tree / "r2n2" / "ShapeNetRendering" / SYNSET / MODEL / "rendering" / "01.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"none of 1 models is complete.*01\.png"):
        open_dataset(tree)


def test_without_a_split_file_every_model_and_picture_counts(tree):
    (tree / "split_03001627.json").unlink()
    (entry,) = open_dataset(tree).entries
    assert (entry.split, entry.views) == ("all", 3)


def test_of_two_split_files_the_larger_is_taken_with_a_warning_and_each_can_be_named(tree):
    other = tree / "split_3c.json"
    other.write_text(json.dumps({"train": {SYNSET: {MODEL: [0], "x": [0]}}}))
    with pytest.warns(UserWarning) as caught:
        open_dataset(tree)
    assert any("split_3c.json names most models" in str(warning.message) for warning in caught)
    assert open_dataset(tree / "split_03001627.json").entries[0].split == "test"


@pytest.mark.parametrize("content", ['{"training": {}}', '{"train": {"0": {"m": [-1]}}}', '{"train": [1]}', "[1]"])
def test_a_json_of_another_kind_is_no_split_file(tree, content):
    (tree / "split_03001627.json").write_text(content)
    with pytest.raises(ValueError, match=r"split_03001627.json: not a split file"):
        open_dataset(tree)


def test_codes_are_the_rows_of_the_views_in_the_order_of_the_split(tree, few_looks):
    data = open_dataset(tree)
    assert isinstance(data, HasCodes)
    assert data.codes(data.entries[0])[:, 0].tolist() == [2 * 512, 0, 512]
    packed = pack(tree, "test", 32, codes=True, workers=1)
    assert packed.codes is not None
    np.testing.assert_array_equal(packed.codes, data.codes(data.entries[0]))
    assert pack(tree, "test", 32, workers=1).codes is None


def test_codes_that_do_not_fit_the_pictures_are_an_error(tree, few_looks):
    feats = tree / "r2n2" / "ShapeNetRendering" / SYNSET / MODEL / "rendering" / "feats.npy"
    np.save(feats, np.zeros((2, 512), np.float32))
    with pytest.raises(OSError, match=r"feats.npy: has shape \(2, 512\)"):
        pack(tree, "test", 32, codes=True, workers=1)
    feats.write_bytes(b"\x93NUMPY")
    with pytest.raises(OSError, match=r"feats.npy: not an array"):
        pack(tree, "test", 32, codes=True, workers=1)


def test_three_classes_are_read_and_what_they_lack_is_counted_by_split(tree, few_looks):
    obj = (tree / "shapenet" / SYNSET / MODEL / "model.obj").read_text()
    for synset in ("02958343", "02691156"):
        for place in ("shapenet", "r2n2/ShapeNetRendering", "r2n2/ShapeNetVoxels"):
            shutil.copytree(tree / place / SYNSET / MODEL, tree / place / synset / MODEL)
        (tree / "shapenet" / synset / MODEL / "model.obj").write_text(obj)
    (tree / "split_03001627.json").unlink()
    table = {
        "train": {"02958343": {MODEL: [0, 1], "gone": [0]}, "02691156": {MODEL: [1]}},
        "test": {SYNSET: {MODEL: [2]}},
    }
    (tree / "split_3c.json").write_text(json.dumps(table))
    with pytest.warns(UserWarning, match="1 of 4 models lack files"):
        data = open_dataset(tree)
        assert [(entry.category, entry.split, entry.views) for entry in data.entries] == [
            ("car", "train", 2),
            ("airplane", "train", 1),
            ("chair", "test", 1),
        ]
        with pytest.raises(OSError, match="1 of 3 objects of split 'train' cannot be packed: 02958343/gone: lacks"):
            pack(tree, "train", 32, workers=1)
        assert len(pack(tree, "test", 32, workers=1).entries) == 1
        with pytest.warns(UserWarning, match="1 of 3 objects .* they are left out"):
            assert len(pack(tree, "train", 32, workers=1, allow_missing=True).entries) == 2


def test_a_network_that_reads_codes_is_pictured_and_measured(tree, few_looks):
    views = json.loads((tree / "split_03001627.json").read_text())["test"][SYNSET][MODEL]
    (tree / "split_03001627.json").unlink()
    for kind in ("shapenet", "r2n2/ShapeNetRendering", "r2n2/ShapeNetVoxels"):
        for copy in ("learnt", "shown"):
            shutil.copytree(tree / kind / SYNSET / MODEL, tree / kind / SYNSET / copy)
    table = {name: {SYNSET: {model: views}} for name, model in (("train", "learnt"), ("val", "shown"), ("test", MODEL))}
    (tree / "split_all.json").write_text(json.dumps(table))
    model = PointsConfig(PrecomputedCodes(512, picture_size=32), PointsHead(points=32, hidden=8))
    network = build(model)
    draw(network, pack(tree, "val", 32, codes=True, workers=1), torch.device("cpu"), tree / "run", 0)
    assert list((tree / "run" / "pictures").glob("*.png"))
    save_model(network, tree / "run", {"train": {"data": str(tree)}})
    evaluation = evaluate_run(EvaluateConfig(tree / "run", limit=1, pictures=1))
    answers = {row.method: row.answer for row in evaluation.rows}
    assert answers["retrieval_encoder"] == answers["retrieval_thumbnail"] == f"{SYNSET}-learnt"
    assert evaluation.summary("points").failures == 0

    # The code, not the picture, is what such a network is given and found by.
    dataset, network = open_dataset(tree), load_run(tree / "run").model
    seen = look(network, dataset, dataset.entries, lambda done: None)
    assert isinstance(dataset, HasCodes)
    for row, entry in zip(seen.codes, dataset.entries, strict=True):
        assert torch.equal(row, torch.from_numpy(dataset.codes(entry)[fixed_view(entry)]))
    assert torch.equal(seen.given(slice(0, 1)), seen.codes[:1])


def test_data_without_codes_is_refused_to_a_network_that_reads_them(tmp_path):
    model = PointsConfig(PrecomputedCodes(8), PointsHead(points=16, hidden=8))
    save_model(build(model), tmp_path / "run", {})
    data = write_boxes(tmp_path / "boxes", [("a", "tall", "test", TALL)])
    with pytest.raises(ValueError, match=r"reads codes of pictures .* and boxes holds none; give the --data"):
        evaluate_run(EvaluateConfig(tmp_path / "run", data=data))
