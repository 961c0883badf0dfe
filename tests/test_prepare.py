"""Preparing data: truth of awkward meshes, pictures, and runs that survive dead workers, broken files and kill -9."""

import contextlib
import io
import math
import os
import signal
import time
from multiprocessing.forkserver import ForkServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from forked import ended, forked, send
from maquette.camera import orbit
from maquette.data.dataset import open_dataset
from maquette.data.prepare import PrepareMeshes, PrepareSynthetic, Report, prepare_meshes, prepare_synthetic
from maquette.data.prepare.manifest import front_rotation, read_manifest
from maquette.data.prepare.meshes import model_files, object_ids
from maquette.data.prepare.synthetic import shared_out
from maquette.data.prepare.truth import mesh_truth, outer_points, without_cavities
from maquette.data.prepare.views import Ranges, pictures, random_lights, random_pictures
from maquette.data.workers import Lost, run_jobs
from maquette.rendering import antialiased, render
from maquette.shapes import FaceColors, Mesh, VertexColors
from maquette.transforms import apply

# Corner k of a box has the bits of k as x, y, z; its faces run counter-clockwise seen from outside.
QUADS = ((0, 4, 6, 2), (1, 3, 7, 5), (0, 1, 5, 4), (2, 6, 7, 3), (0, 2, 3, 1), (4, 5, 7, 6))


def box(low=(-1.0, -1.0, -1.0), high=(1.0, 1.0, 1.0), *, without: int | None = None) -> Mesh:
    """A box; `without` leaves one of its sides away: 0 -x, 1 +x, 2 -y, 3 +y, 4 -z, 5 +z."""
    vertices = torch.tensor([[(low, high)[k >> axis & 1][axis] for axis in range(3)] for k in range(8)])
    quads = [quad for k, quad in enumerate(QUADS) if k != without]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    return Mesh(vertices, torch.tensor(faces))


def union(*meshes: Mesh) -> Mesh:
    vertices, faces, count = [], [], 0
    for mesh in meshes:
        vertices.append(mesh.vertices)
        faces.append(mesh.faces + count)
        count += len(mesh.vertices)
    return Mesh(torch.cat(vertices), torch.cat(faces))


def flipped(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces.flip(1))


def cube(half: float) -> Mesh:
    return box((-half,) * 3, (half,) * 3)


HALF = 0.5 / math.sqrt(3)  # half the side of a cube whose diagonal is 1


def test_points_of_a_cube_lie_on_it_with_outward_normals_and_its_cells_are_full():
    truth, warnings = mesh_truth(cube(HALF), 2000, 0)
    np.testing.assert_allclose(np.abs(truth.points).max(1), HALF, atol=1e-6)
    axis = np.abs(truth.points).argmax(1)
    outward = np.zeros((2000, 3))
    outward[np.arange(2000), axis] = np.sign(truth.points[np.arange(2000), axis])
    np.testing.assert_allclose(truth.normals, outward, atol=1e-6)
    # The side is 32 / sqrt 3 = 18.5 cells about the middle of the grid: it reaches into 10 cells on each side.
    full = np.zeros((32, 32, 32), bool)
    full[6:26, 6:26, 6:26] = True
    np.testing.assert_array_equal(truth.voxels, full)
    assert warnings == []


def test_points_inside_a_union_of_parts_are_no_surface():
    a, b = ((-0.3, -0.1, -0.1), (0.1, 0.1, 0.1)), ((-0.1, -0.2, -0.2), (0.3, 0.2, 0.2))
    points, _, _ = outer_points(union(box(*a), box(*b)), 4000, torch.Generator().manual_seed(0))
    for low, high in (a, b):
        assert not ((points > np.add(low, 1e-4)) & (points < np.subtract(high, 1e-4))).all(1).any()
    # a: its four sides up to b and one end; b: all but where a enters.
    area_a, area_b = 4 * 0.2 * 0.2 + 0.2**2, 6 * 0.4**2 - 0.2**2
    share = (points[:, 0] < -0.1 - 1e-6).mean()
    assert share == pytest.approx(area_a / (area_a + area_b), abs=4 * math.sqrt(0.25 / 4000))


def test_walls_of_a_closed_cavity_are_hidden_and_the_cavity_is_solid():
    mesh = union(cube(HALF), flipped(cube(0.6 * HALF)))
    truth, _ = mesh_truth(mesh, 2000, 0)
    np.testing.assert_allclose(np.abs(truth.points).max(1), HALF, atol=1e-6)
    assert truth.voxels[16, 16, 16]


def test_an_open_box_keeps_all_its_walls_and_its_inside_stays_empty_when_it_can_be_seen():
    mesh = box((-HALF,) * 3, (HALF,) * 3, without=3)
    points, normals, _ = outer_points(mesh, 5000, torch.Generator().manual_seed(0))
    for axis, sign in ((0, -1), (0, 1), (1, -1), (2, -1), (2, 1)):
        on = np.abs(points[:, axis] - sign * HALF) < 1e-6
        assert on.mean() == pytest.approx(0.2, abs=0.03)
        assert (np.abs(normals[on][:, axis]) > 0.999).all()


def test_a_double_sided_sheet_loses_nothing():
    sheet = Mesh(
        torch.tensor([[-0.4, 0.0, -0.3], [0.4, 0.0, -0.3], [0.4, 0.0, 0.3], [-0.4, 0.0, 0.3]]),
        torch.tensor([[0, 1, 2], [0, 2, 3], [2, 1, 0], [3, 2, 0]]),
    )
    truth, warnings = mesh_truth(sheet, 500, 0)
    np.testing.assert_allclose(np.abs(truth.normals[:, 1]), 1.0, atol=1e-6)
    assert truth.voxels.any() and warnings == []


def test_a_model_that_is_inside_out_gets_outward_normals():
    points, normals, _ = outer_points(flipped(cube(HALF)), 500, torch.Generator().manual_seed(0))
    assert ((points * normals).sum(1) > 0).all()


def test_cavities_are_filled_and_tunnels_are_not():
    solid = np.ones((5, 5, 5), bool)
    solid[2, 2, 2] = False
    assert without_cavities(solid).all()
    solid[:, 2, 2] = False
    np.testing.assert_array_equal(without_cavities(solid), solid)


# ------------------------------------------------------------------------------------------------------------ pictures


def test_shading_by_faces_gives_the_pictures_of_the_renderer():
    mesh = cube(HALF)
    colored = mesh.with_appearance(FaceColors(torch.rand(12, 3, generator=torch.Generator().manual_seed(0))))
    camera = orbit(
        torch.tensor([0.3, 2.0]), torch.tensor([0.5, -0.4]), torch.tensor([1.4, 2.0]), focal=36.0, size=(33, 33)
    )
    lights = random_lights(np.random.default_rng(0))
    for shape in (mesh, colored):
        rendering = render(shape, camera.resized((66, 66)), lights=lights, background=(0.0, 0.0, 0.0))
        expected = (antialiased(rendering) * 255).numpy()
        # Half a step of rounding to 8 bits, and float32.
        assert np.abs(pictures(shape, camera, lights) - expected).max() < 0.51
    corner = mesh.with_appearance(VertexColors(torch.rand(8, 3, generator=torch.Generator().manual_seed(0))))
    assert pictures(corner, camera, lights).shape == (2, 33, 33, 4)


def test_viewpoints_lie_in_their_ranges_one_in_each_sector_and_show_the_object_in_the_middle():
    ranges = Ranges((-0.1, 0.6), (1.2, 2.0))
    shot = random_pictures(cube(HALF), ranges, views=8, size=33, rng=np.random.default_rng(3))
    assert (shot.elevation >= -0.1).all() and (shot.elevation <= 0.6).all()
    assert (shot.distance >= 1.2).all() and (shot.distance <= 2.0).all()
    gaps = np.diff(np.sort(shot.azimuth), append=shot.azimuth.min() + 2 * math.pi)
    assert gaps.max() <= 2 * 2 * math.pi / 8 + 1e-9
    assert (shot.rgba[:, 16, 16, 3] == 255).all()
    # Straight alpha: pixels half covered are as bright as their face, and empty ones are empty.
    assert (shot.rgba[:, 0, 0] == 0).all()
    again = random_pictures(cube(HALF), ranges, views=8, size=33, rng=np.random.default_rng(3))
    np.testing.assert_array_equal(shot.rgba, again.rgba)


# ------------------------------------------------------------------------------------------------------------- workers


def test_results_come_back_for_every_job():
    assert dict(run_jobs(math.factorial, [1, 2, 3, 4, 5], workers=2, limit_s=60.0)) == {1: 1, 2: 2, 3: 6, 4: 24, 5: 120}


def test_a_job_that_hangs_is_stopped_and_the_next_is_done():
    (first, second) = run_jobs(time.sleep, [60.0, 0.0], workers=1, limit_s=0.5)
    assert first == (60.0, Lost("took longer than 0.5 s; the worker was stopped"))
    assert second == (0.0, None)


def test_a_worker_that_dies_costs_one_job():
    results = dict(run_jobs(os._exit, [3, 4], workers=1, limit_s=60.0))
    assert results[3] == Lost("the worker ended with exit code 3; its traceback stands above")
    assert isinstance(results[4], Lost)


# ------------------------------------------------------------------------------------------------------------ synthetic


def synthetic(out: Path, count: int = 3, **changes) -> PrepareSynthetic:
    return PrepareSynthetic(out, count=count, views=2, size=33, points=64, workers=1, **changes)


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> Path:
    """Three synthetic objects, made without interruption."""
    out = tmp_path_factory.mktemp("synthetic") / "three"
    report = prepare_synthetic(synthetic(out))
    assert (report.sources, report.objects, report.failures) == (3, 3, ())
    assert report.summary() == "3 objects: 3 objects, 0 failed"
    return out


def test_synthetic_objects_open_as_a_data_set(three):
    data = open_dataset(three)
    assert len({entry.category for entry in data.entries}) == 3
    for entry in data.entries:
        truth = data.truth(entry)
        assert truth.points.shape == (64, 3)
        np.testing.assert_allclose(np.linalg.norm(truth.normals, axis=1), 1.0, atol=2e-3)
        assert truth.labels.max() < len(truth.label_names)
        cells = np.clip(((truth.points + 0.5) * 32).astype(int), 0, 31)
        assert truth.voxels[cells[:, 2], cells[:, 1], cells[:, 0]].all()
        view = data.view(entry, 1)
        assert view.rgba.shape == (33, 33, 4) and (view.rgba[..., 3] == 255).any()
        torch.testing.assert_close(view.camera.position.norm(), torch.tensor(view.distance), atol=1e-5, rtol=0)


def test_a_second_run_changes_nothing_and_a_larger_count_only_adds(three, tmp_path):
    two = tmp_path / "two"
    prepare_synthetic(synthetic(two, 2))
    before = contents(two)
    prepare_synthetic(synthetic(two, 2))
    assert contents(two) == before
    prepare_synthetic(synthetic(two, 3))
    assert contents(two) == contents(three)


def test_another_config_in_the_same_folder_is_refused(three):
    with pytest.raises(ValueError, match=r"was made with seed 0 instead of 1; give another --out"):
        prepare_synthetic(synthetic(three, seed=1))


def test_a_folder_with_other_things_is_not_touched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists and is not a data set"):
        prepare_synthetic(synthetic(tmp_path))
    assert contents(tmp_path) == {"thesis.txt": b"mine"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "count is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"val": 0.7, "test": 0.7}, "their sum is at most 1"),
        ({"elevation_deg": (40.0, -5.0)}, "give LOW HIGH"),
        ({"distance": (0.2, 2.0)}, "stay outside"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        synthetic(tmp_path, **change)


def prepare(out: Path, count: int) -> None:
    ForkServer.ensure_running = lambda self: None  # it runs, as a child of the process that this one is a copy of
    prepare_synthetic(synthetic(out, count))


def killed(out: Path, count: int, when: int) -> None:
    """Prepare, and kill -9 it when `when` objects are there, or a moment after it has begun the next one."""
    process = forked(prepare, out, count)
    while process.is_alive():
        names = os.listdir(out / "objects") if (out / "objects").is_dir() else []
        if sum(not name.startswith(".") for name in names) >= when:
            break
        time.sleep(0.002)
    send(process, signal.SIGKILL)
    ended(process)


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(three, tmp_path):
    out = tmp_path / "killed"
    killed(out, 3, 1)
    for entry in open_dataset(out).entries:  # whatever is there is whole
        open_dataset(out).truth(entry)
    prepare_synthetic(synthetic(out))
    assert contents(out) == contents(three)


@pytest.mark.slow
def test_twenty_kills_leave_no_half_object(tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "killed"
    prepare_synthetic(synthetic(whole, 40))
    for kill in range(20):
        killed(out, 40, 2 * kill + 1)
        for entry in open_dataset(out).entries:
            open_dataset(out).truth(entry)
            open_dataset(out).view(entry, 1)
    prepare_synthetic(synthetic(out, 40))
    assert contents(out) == contents(whole)


# --------------------------------------------------------------------------------------------------------------- meshes


def write_obj(path: Path, mesh: Mesh) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices.tolist()]
    lines += [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in mesh.faces.tolist()]
    path.write_text("\n".join(lines) + "\n")


def meshes(folder: Path, out: Path, **changes) -> PrepareMeshes:
    return PrepareMeshes(folder, out, views=2, size=33, points=64, workers=1, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A flat box whose declared front is -x, one file that is no mesh, and one cloud."""
    folder = tmp_path_factory.mktemp("meshes") / "models"
    write_obj(folder / "kit" / "Flat Box.obj", box((10.0, 20.0, 30.0), (11.0, 22.0, 34.0)))
    (folder / "broken.glb").write_bytes(b"glTF")
    header = (
        "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\nend_header\n"
    )
    (folder / "cloud.ply").write_text(header + "0 0 0\n")
    (folder / "notes.txt").write_text("not a model")
    (folder / "manifest.csv").write_text("file,label,front\nkit/Flat Box.obj,box,-x\ngone.obj,box,\n")
    return folder


@pytest.fixture(scope="module")
def made(folder) -> tuple[Report, str]:
    """What became of the folder, and what was said about it."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        report = prepare_meshes(meshes(folder, folder.parent / "out", manifest=folder / "manifest.csv"))
    return report, said.getvalue()


@pytest.mark.parametrize(("val", "test"), [(0.05, 0.05), (0.05, 0.1), (0.1, 0.2), (0.5, 0.25), (0.25, 0.0), (0.0, 1.0)])
def test_every_split_gets_its_share_whatever_the_count(val, test):
    splits = shared_out(1000, val, test)
    for name, share in (("val", val), ("test", test), ("train", 1 - val - test)):
        assert abs(splits.count(name) - 1000 * share) <= 1, name
    assert shared_out(317, val, test) == splits[:317]


def test_every_file_of_a_folder_is_accounted_for(made):
    report, said = made
    assert (report.sources, report.objects) == (4, 1)
    reasons = {failure.source: failure.reason for failure in report.failures}
    assert sorted(reasons) == ["broken.glb", "cloud.ply", "gone.obj"]
    assert "broken.glb" in reasons["broken.glb"]
    assert "PointCloud without faces" in reasons["cloud.ply"]
    assert reasons["gone.obj"] == "named in the manifest, but there is no such file"
    assert "4 files: 1 objects, 3 failed" in said
    assert "failed: broken.glb: " in said
    assert "have no declared front and keep their axes" in said
    assert (report.out / "report.json").read_text().count("reason") == 3


def test_a_declared_front_is_turned_to_plus_z_and_the_box_normalised(made):
    data = open_dataset(made[0].out)
    (entry,) = data.entries
    assert (entry.id, entry.category, entry.split, entry.source) == ("kit-flat-box", "box", "all", "kit/Flat Box.obj")
    points = data.truth(entry).points
    # 1 x 2 x 4 with the front along x becomes 4 x 2 x 1, divided by its diagonal.
    extent = np.array([4.0, 2.0, 1.0]) / math.sqrt(21)
    np.testing.assert_allclose(np.abs(points).max(0), extent / 2, rtol=0.1)
    assert (np.abs(points) <= extent / 2 + 1e-6).all()
    assert math.degrees(data.view(entry, 0).elevation) == pytest.approx(27.5, abs=2.5)
    assert 1.1375 <= data.view(entry, 0).distance <= 1.75


def test_a_folder_where_nothing_can_be_read_is_an_error_with_a_report(tmp_path):
    (tmp_path / "broken.glb").write_bytes(b"glTF")
    with pytest.raises(ValueError, match=r"prepare meshes: no object was made; the first reason: broken.glb"):
        prepare_meshes(meshes(tmp_path, tmp_path / "out"))
    assert (tmp_path / "out" / "report.json").is_file()


def test_folders_without_models_and_missing_folders_are_errors(tmp_path):
    with pytest.raises(ValueError, match=r"holds no model; looked for \.glb"):
        prepare_meshes(meshes(tmp_path, tmp_path / "out"))
    with pytest.raises(FileNotFoundError, match="no such folder"):
        prepare_meshes(meshes(tmp_path / "nowhere", tmp_path / "out"))


def test_models_are_found_in_subfolders_but_not_in_the_output(tmp_path):
    for name in ("a.OBJ", "b/c.stl", "b/d.txt", ".hidden/e.obj", "out/f.obj", ".g.obj"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert model_files(tmp_path, tmp_path / "out") == ["a.OBJ", "b/c.stl"]


def test_ids_are_folder_names_and_differ_even_where_names_look_alike():
    names = ["kit/Armchair.gltf", "a/b.obj", "a-b.obj", "a/b.ply", "模型.glb"]
    ids = object_ids(names)
    assert ids["kit/Armchair.gltf"] == "kit-armchair"
    assert len(set(ids.values())) == 5
    assert all(set(id) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-") for id in ids.values())


@pytest.mark.parametrize(
    ("front", "axis"), [("+z", (0, 0, 1)), ("-z", (0, 0, -1)), ("+x", (1, 0, 0)), ("-x", (-1, 0, 0)), ("", (0, 0, 1))]
)
def test_a_front_goes_to_plus_z_by_a_rotation_about_y(front, axis):
    turn = front_rotation(front)
    points = torch.tensor([axis, (0, 1, 0)], dtype=torch.float32)
    torch.testing.assert_close(apply(turn, points), torch.tensor([[0.0, 0, 1], [0, 1, 0]]))
    assert float(torch.linalg.det(turn)) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.obj,x\n", "no column 'file'"),
        ("file,front\na.obj,up\n", "line 2: front is 'up'"),
        ("file,split\na.obj,dev\n", "line 2: split is 'dev'"),
        ("file\na.obj\na.obj\n", "line 3: a.obj is named a second time"),
        ("file,label\n,x\n", "line 2: no file is named"),
    ],
)
def test_a_manifest_with_a_mistake_is_told_with_its_line(tmp_path, text, message):
    path = tmp_path / "manifest.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_manifest(path)


def test_a_real_model_keeps_what_can_be_seen_of_it(maquette_data, tmp_path):
    source = maquette_data / "meshes" / "kaykit_furniture"
    small = tmp_path / "models"
    small.mkdir()
    for path in source.glob("*"):
        if path.stem in ("couch", "couch_A") or path.suffix == ".png":
            (small / path.name).write_bytes(path.read_bytes())
    if not list(small.glob("*.gltf")):
        pytest.skip("the kit has no couch")
    report = prepare_meshes(meshes(small, tmp_path / "out"))
    assert report.objects == 1
    data = open_dataset(tmp_path / "out")
    view = data.view(data.entries[0], 0)
    # Textured: it shows a colour, not one grey.
    shown = view.rgba[view.rgba[..., 3] == 255][:, :3]
    assert np.ptp(shown, axis=0).max() > 20
    assert Image.fromarray(view.rgba).mode == "RGBA"
