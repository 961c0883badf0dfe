"""Pix3D and DeepSDF: small trees in the published layouts, written here, and read back by what mathematics says."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from maquette.data.dataset import open_dataset
from maquette.data.deepsdf import read_camera, read_samples
from maquette.data.info import DataInfo, described, tell_about
from maquette.data.pack import pack
from maquette.io import save
from maquette.shapes import PointCloud
from maquette.transforms import rotation_from_euler
from test_shapenet import BOXES, box_obj

CORNERS = np.array([[(low, high)[k >> axis & 1][axis] for axis in range(3)] for low, high in BOXES for k in range(8)])
LOW, HIGH = CORNERS.min(0), CORNERS.max(0)

# --------------------------------------------------------------------------------------------------------------- Pix3D

WIDTH, HEIGHT, FOCAL = 96, 72, 40.0
ROTATION = rotation_from_euler(torch.tensor([0.2, -0.5, 0.1]), "xyz").double().numpy()
TRANSLATION = np.array([0.1, -0.05, 2.0])


def published_pixels(points: np.ndarray) -> np.ndarray:
    """Where the published demo draws points of the model: a camera at the origin with +x on its left, +y up, along +z.

    The lens is in mm of a sensor of 32 mm across the picture's width.
    """
    x, y, z = (points @ ROTATION.T + TRANSLATION).T
    pixels = FOCAL / 32 * WIDTH
    return np.stack([WIDTH / 2 - pixels * x / z, HEIGHT / 2 - pixels * y / z], -1)


@pytest.fixture
def pix3d(tmp_path: Path) -> Path:
    for folder in ("img/chair", "mask/chair", "model/chair/A"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "model/chair/A/model.obj").write_text(box_obj(BOXES))
    line = (np.arange(128) + 0.5) / 128 * (HIGH - LOW).max()
    # Voxels: x to the left as the model's, y outward is its -z, z upward its y.
    x, y, z = np.meshgrid(LOW[0] + line, -(HIGH[2] - line), LOW[1] + line, indexing="ij")
    model = np.stack([x, z, -y], -1)
    cells = np.any([((model > low) & (model < high)).all(-1) for low, high in BOXES], axis=0)
    savemat(tmp_path / "model/chair/A/voxel.mat", {"voxel": cells.astype(np.uint8)})
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    Image.fromarray(picture).save(tmp_path / "img/chair/0001.png")
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[20:50, 30:70] = 255
    Image.fromarray(mask).save(tmp_path / "mask/chair/0001.png")
    annotation = {
        "img": "img/chair/0001.png", "mask": "mask/chair/0001.png", "category": "chair", "img_size": [WIDTH, HEIGHT],
        "model": "model/chair/A/model.obj", "voxel": "model/chair/A/voxel.mat", "rot_mat": ROTATION.tolist(),
        "trans_mat": TRANSLATION.tolist(), "focal_length": FOCAL, "bbox": [30, 20, 70, 50], "truncated": False,
    }  # fmt: skip
    (tmp_path / "pix3d.json").write_text(json.dumps([annotation, annotation]))
    return tmp_path


def test_photographs_of_one_model_are_its_views_with_the_mask_as_alpha(pix3d):
    data = open_dataset(pix3d)
    (entry,) = data.entries
    assert (entry.category, entry.split, entry.views) == ("chair", "all", 2)
    view = data.view(entry, 1)
    assert view.rgba.shape == (HEIGHT, WIDTH, 4)
    assert tuple(view.rgba[30, 40]) == (90, 90, 90, 255) and view.rgba[0, 0, 3] == 0


def test_a_camera_of_pix3d_shows_the_model_where_the_published_one_does(pix3d):
    data = open_dataset(pix3d)
    (entry,) = data.entries
    scale = 1 / np.linalg.norm(HIGH - LOW)
    # Front -z to +z is half a turn about y; then the box is centred and its diagonal 1.
    learning = (CORNERS - (LOW + HIGH) / 2) * scale * [-1, 1, -1]
    view = data.view(entry, 0)
    found = view.camera.project(torch.from_numpy(learning).float()).numpy()
    np.testing.assert_allclose(found, published_pixels(CORNERS), atol=2e-3)
    eye = (-ROTATION.T @ TRANSLATION - (LOW + HIGH) / 2) * scale * [-1, 1, -1]
    assert view.distance == pytest.approx(np.linalg.norm(eye), abs=1e-5)
    assert view.azimuth == pytest.approx(math.atan2(eye[0], eye[2]), abs=1e-5)


def test_points_and_cells_of_pix3d_coincide(pix3d):
    data = open_dataset(pix3d)
    truth = data.truth(data.entries[0])
    assert truth.voxels is not None and truth.normals is not None
    inner = np.clip(((truth.points - 0.02 * truth.normals + 0.5) * 32).astype(int), 0, 31)
    assert truth.voxels[inner[:, 2], inner[:, 1], inner[:, 0]].mean() > 0.97
    outer = np.clip(((truth.points + 0.06 * truth.normals + 0.5) * 32).astype(int), 0, 31)
    assert truth.voxels[outer[:, 2], outer[:, 1], outer[:, 0]].mean() < 0.1


def test_what_pix3d_lacks_is_counted_and_what_is_broken_is_named(pix3d):
    table = json.loads((pix3d / "pix3d.json").read_text())
    other = table[0] | {"model": "model/chair/B/model.obj"}
    (pix3d / "pix3d.json").write_text(json.dumps([table[0], other]))
    (lost,) = open_dataset(pix3d).missing
    assert (lost.source, lost.reason) == ("model/chair/B/model.obj", "lacks model/chair/B/model.obj")
    with pytest.raises(OSError, match=r"1 of 2 objects .* model/chair/B/model.obj: lacks"):
        pack(pix3d, "all", 32, workers=1)
    for change, message in (({"rot_mat": [[1]]}, "rot_mat is no rotation"), ({"focal_length": -1}, "no camera")):
        (pix3d / "pix3d.json").write_text(json.dumps([table[0] | change]))
        with pytest.raises(ValueError, match=f"pix3d.json: annotation 0 is broken: .*{message}"):
            open_dataset(pix3d)
    (pix3d / "pix3d.json").write_text(json.dumps(table))
    (pix3d / "model/chair/A/voxel.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    data = open_dataset(pix3d)
    with pytest.raises(OSError, match=r"voxel.mat: not a MATLAB 5 file"):
        data.truth(data.entries[0])


# ------------------------------------------------------------------------------------------------------------- DeepSDF

RADIUS, MIDDLE = 0.3, np.array([0.1, 0.2, -0.05])
NAME = "ShapeNetV2/03001627/abc"


@pytest.fixture
def deepsdf(tmp_path: Path) -> Path:
    """Points of a box with unequal sides, in which exchanged axes show, and distances to a ball about its middle."""
    rng = np.random.default_rng(0)
    for place in ("SdfSamples", "SurfaceSamples", "NormalizationParameters"):
        (tmp_path / place / NAME).parent.mkdir(parents=True)
    half = np.array([0.4, 0.35, 0.3])
    faces = rng.uniform(-1, 1, (5000, 3))
    faces[np.arange(5000), rng.integers(3, size=5000)] = rng.choice([-1.0, 1.0], 5000)
    save(PointCloud(torch.from_numpy(faces * half + MIDDLE).float()), tmp_path / "SurfaceSamples" / f"{NAME}.ply")
    scale = 1 / (1.03 * np.linalg.norm(half))
    np.savez(tmp_path / "NormalizationParameters" / f"{NAME}.npz", offset=-MIDDLE, scale=scale)
    places = rng.uniform(-1, 1, (4000, 3))
    distance = np.linalg.norm(places, axis=1) - RADIUS
    rows = np.concatenate([places, distance[:, None]], 1).astype(np.float32)
    pos, neg = rows[distance > 0], rows[distance <= 0]
    pos[:7, 3] = np.nan
    np.savez(tmp_path / "SdfSamples" / f"{NAME}.npz", pos=pos, neg=neg)
    (tmp_path / "chairs_train.json").write_text(json.dumps({"ShapeNetV2": {"03001627": ["abc"]}}))
    images = tmp_path / "03001627/abc/hard/image"
    images.mkdir(parents=True)
    picture = np.zeros((224, 224, 4), np.uint8)
    picture[60:160, 70:150] = 255
    for k in range(2):
        Image.fromarray(picture).save(images / f"{k:02d}.png")
    lines = ["[30.0, 20.0, 0.0, 0.8, 35.0, 32.0, 1.75, 0.1, -0.05, 0.02], ", "[0, 0, 0, 1.0, 35, 32, 1.75, 0, 0, 0], "]
    (images / "rendering_metadata.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_samples_of_deepsdf_keep_their_distances_and_lose_what_is_not_a_number(deepsdf):
    data = open_dataset(deepsdf)
    (entry,) = data.entries
    assert (entry.category, entry.split, entry.views) == ("chair", "train", 2)
    truth = data.truth(entry)
    assert truth.normals is None and truth.voxels is None and truth.surroundings is not None
    assert len(truth.surroundings.places) == 4000 - 7
    half = np.array([0.4, 0.35, 0.3])
    np.testing.assert_allclose(np.abs(truth.points).max(0), half / np.linalg.norm(2 * half), atol=1e-5)
    # A ball stays a ball: its radius in the unit of the samples, taken to that of learning.
    radius = RADIUS * 1.03 * np.linalg.norm([0.4, 0.35, 0.3]) / np.linalg.norm([0.8, 0.7, 0.6])
    about = truth.surroundings
    np.testing.assert_allclose(np.linalg.norm(about.places, axis=1) - radius, about.distances, atol=1e-4)


def test_a_camera_of_hard_views_shows_the_shifted_object_where_blender_does(deepsdf):
    data = open_dataset(deepsdf)
    (entry,) = data.entries
    points = MIDDLE + np.array([[0.4, 0.35, 0.3], [-0.4, 0.1, 0.2], [0.0, 0.0, -0.3]])
    # Blender: (x, -z, y) of the file, moved by the shift; the camera at azimuth (from +x, clockwise from above).
    blender = points[:, [0, 2, 1]] * [1, -1, 1] + [0.1, -0.05, 0.02]
    a, e, d = math.radians(30), math.radians(20), 0.8 * 1.75
    eye = d * np.array([math.cos(a) * math.cos(e), -math.sin(a) * math.cos(e), math.sin(e)])
    backward, right = eye / d, np.array([math.sin(a), math.cos(a), 0.0])
    x, y, z = ((blender - eye) @ axis for axis in (right, np.cross(backward, right), backward))
    expected = np.stack([112 + 245 * x / -z, 112 - 245 * y / -z], -1)
    learning = (points - MIDDLE) / np.linalg.norm([0.8, 0.7, 0.6]) * [-1, 1, -1]
    found = data.view(entry, 0).camera.project(torch.from_numpy(learning).float()).numpy()
    np.testing.assert_allclose(found, expected, atol=5e-3)
    front = read_camera(deepsdf / "03001627/abc/hard/image/rendering_metadata.txt", 1, (224, 224))
    torch.testing.assert_close(front.position, torch.tensor([1.75, 0, 0]), atol=1e-5, rtol=0)


def test_an_instance_without_inside_is_refused_and_the_nested_layout_is_found(deepsdf):
    path = deepsdf / "SdfSamples" / f"{NAME}.npz"
    with np.load(path) as arrays:
        pos = arrays["pos"]
    (deepsdf / "SdfSamples" / NAME).mkdir()
    nested = deepsdf / "SdfSamples" / NAME / "abc.npz"
    path.rename(nested)
    data = open_dataset(deepsdf)
    assert data.truth(data.entries[0]).surroundings is not None
    np.savez(nested, pos=pos, neg=np.full((3, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="neg holds no sample inside"):
        read_samples(nested)
    with pytest.raises(OSError, match=r"1 of 1 objects .* neg holds no sample inside"):
        pack(deepsdf, "train", 32, workers=1)


def test_a_pack_of_signed_distances_has_no_grids_and_says_so_where_they_are_needed(deepsdf):
    data = pack(deepsdf, "train", 32, workers=1)
    assert data.voxels is None and data.resolution == 0 and data.inside.any()
    with pytest.raises(ValueError, match="this data set has no voxels"):
        data.unpacked_voxels(np.array([0]))


@pytest.mark.parametrize("line", ["30 20 0", "[1, 2]", "[30, 20, 0, -1, 35, 32, 1.75, 0, 0, 0],", "__import__('os')"])
def test_a_broken_line_of_metadata_is_named(tmp_path, line):
    (tmp_path / "rendering_metadata.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"metadata.txt line 1: .* are not ten numbers"):
        read_camera(tmp_path / "rendering_metadata.txt", 0, (224, 224))


# --------------------------------------------------------------------------------------------------------------- info


def test_info_tells_what_an_object_has_and_its_defects(pix3d, deepsdf, capsys):
    (pix3d / "pix3d.json").rename(pix3d / "elsewhere.json")
    facts = described(open_dataset(deepsdf), deepsdf, 5)
    assert facts["categories"] == {"chair": {"train": 1}} and facts["defects"] == []
    assert facts["holds"]["voxels"] == ["none"] and facts["holds"]["signed distances"] == ["3993"]
    Image.fromarray(np.zeros((224, 224, 4), np.uint8)).save(deepsdf / "03001627/abc/hard/image/01.png")
    (deepsdf / "03001627/abc/hard/image/00.png").write_bytes(b"no picture")
    tell_about(DataInfo(deepsdf, check="all"))
    said = capsys.readouterr().out
    assert "DeepSDF" in said and "defects: 2" in said
    assert "view 1 shows nothing" in said and "view 0: cannot identify image file" in said
    tell_about(DataInfo(deepsdf, check="1", json=True))
    assert len(json.loads(capsys.readouterr().out)["defects"]) == 2
    with pytest.raises(ValueError, match="check is 'some'"):
        DataInfo(deepsdf, check="some")
