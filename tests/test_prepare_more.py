"""Signed distances of meshes, styles of views, ShapeNetCore as it is unpacked, finer grids, clusters."""

import importlib.util
import json
import math
import os
import sys
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from maquette import cli
from maquette.conventions import world_from_shapenet
from maquette.data.cluster import require_ray, run_on_cluster
from maquette.data.dataset import object_folder, open_dataset
from maquette.data.pack import pack
from maquette.data.prepare import shell
from maquette.data.prepare.manifest import front_rotation
from maquette.data.prepare.meshes import PrepareMeshes, prepare_meshes
from maquette.data.prepare.shapenet import FRONTS, PrepareShapenet, prepare_shapenet, read_splits
from maquette.data.prepare.shell import shell_distance, visible_shell
from maquette.data.prepare.styles import leaves_frame, styled_pictures
from maquette.data.prepare.truth import mesh_surroundings, mesh_truth
from maquette.data.prepare.views import Ranges
from maquette.data.workers import Lost
from maquette.shapes import Mesh, cube, ico_sphere
from test_shapenet import BOXES, box_obj

BALL = ico_sphere(3)
RADIUS = 0.5 / math.sqrt(3)
OPEN_BALL = Mesh(BALL.vertices * RADIUS, BALL.faces[:-1])


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    """A sixteenth of the points: what is tested does not depend on how many there are."""
    monkeypatch.setattr(shell, "PIXELS", 100)


def places(count: int = 400) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (count, 3))


def test_a_shell_knows_inside_and_outside_of_an_open_ball():
    seen = visible_shell(OPEN_BALL)
    assert ((seen.points * seen.normals).sum(1) < 0).mean() < 0.01  # the inner wall is seen through the hole only
    assert seen.wrong_observations < 0.01
    found = shell_distance(seen, places())
    true = np.linalg.norm(places(), axis=1) - RADIUS
    clear = np.isfinite(found) & (np.abs(true) > 0.02)
    assert np.isfinite(found).mean() > 0.9
    # Flat faces lie up to 1.5 % of the radius within the ball, points of the shell 0.003 apart.
    np.testing.assert_allclose(found[clear], true[clear], atol=0.012)


def test_the_sign_of_a_shell_is_unanimous_or_none():
    # Two sheets with a narrow gap, facing each other's back: between them points of both vote, and disagree.
    sheet = torch.tensor([[-0.4, 0.0, -0.4], [0.4, 0.0, -0.4], [0.4, 0.0, 0.4], [-0.4, 0.0, 0.4]])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    seen = visible_shell(Mesh(sheet, faces))
    assert seen.wrong_observations > 0.4 and seen.bad_faces == 1
    assert np.isnan(shell_distance(seen, np.array([[0.0, 0.05, 0.0]]))).all()
    about, facts = mesh_surroundings(Mesh(sheet, faces), sheet.numpy(), 0)
    assert about is None and facts["distances"] is None


def test_a_closed_mesh_has_exact_distances_and_says_which_were_used(monkeypatch):
    monkeypatch.setattr(shell, "VIEWS", 12)  # an eighth
    half = 0.5 / math.sqrt(3)
    mesh = cube(1.0)
    mesh = mesh.with_vertices(mesh.vertices / mesh.vertices.abs().max() * half)
    about, facts = mesh_surroundings(mesh, places(50) * 0.2, 0)
    assert facts == {"distances": "winding number"} and about is not None
    beyond = np.abs(about.places) - half
    true = np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(1), 0)
    np.testing.assert_allclose(about.distances, true, atol=2e-6)
    about, facts = mesh_surroundings(OPEN_BALL, OPEN_BALL.vertices.numpy(), 0)
    assert facts["distances"] == "visible shell" and about is not None and (about.distances < 0).any()


def test_finer_grids_pool_to_coarser_ones():
    mesh = OPEN_BALL
    fine, coarse = (mesh_truth(mesh, 500, 0, resolution=side)[0].voxels for side in (64, 32))
    assert fine is not None and coarse is not None and fine.shape == (64, 64, 64)
    pooled = fine.reshape(32, 2, 32, 2, 32, 2).any((1, 3, 5))
    # The touched cells are found by samples of the surface: a cell that is only grazed may be missed.
    assert (pooled ^ coarse).sum() / coarse.sum() < 0.02


@pytest.mark.parametrize("style", ["easy", "hard"])
def test_views_of_a_style_keep_to_its_ranges_and_within_the_frame(style):
    small = Mesh(BALL.vertices * 0.2, BALL.faces)
    shot = styled_pictures(small, style, Ranges((0.0, 0.0), (1.0, 1.0)), views=8, size=64, rng=np.random.default_rng(0))
    assert not leaves_frame(shot.rgba).any()
    # The object's middle, the origin, is where the recorded camera shows it: the middle of the mask.
    at = shot.camera.project(torch.zeros(1, 3))[:, 0].numpy()
    for k in range(8):
        rows, columns = np.nonzero(shot.rgba[k, ..., 3] > 127)
        assert at[k] == pytest.approx([columns.mean() + 0.5, rows.mean() + 0.5], abs=1.0)
    off = np.linalg.norm(at - 32, axis=1)
    position = shot.camera.position.numpy()
    np.testing.assert_allclose(np.linalg.norm(position, axis=1), shot.distance, atol=1e-5)
    if style == "easy":
        degrees = np.degrees(shot.elevation)
        assert off.max() < 1e-3 and (degrees >= 20).all() and (degrees <= 30).all()
        assert (shot.distance >= 0.65 * 1.75).all() and (shot.distance <= 1.75).all()
        turned = (np.degrees(shot.azimuth) - 45 * (np.arange(8) + 1) + 180) % 360 - 180
        assert np.abs(turned).max() <= 5
    else:
        assert off.max() > 2


def test_a_view_that_cannot_stay_in_the_frame_is_given_up():
    large = Mesh(BALL.vertices * 0.9, BALL.faces)
    with pytest.raises(ValueError, match="view 0 leaves the frame in all of 50 tries"):
        styled_pictures(large, "easy", Ranges((0.0, 0.0), (1.0, 1.0)), views=1, size=16, rng=np.random.default_rng(0))


@pytest.mark.parametrize("version", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_shapenet_is_turned_by_its_version_and_split_by_a_file(tmp_path: Path, version):
    place = {1: "model.obj", 2: "models/model_normalized.obj"}[version]
    for synset, model in (("03001627", "a"), ("03001627", "b"), ("02818832", "c")):
        (tmp_path / "core" / synset / model / place).parent.mkdir(parents=True)
        (tmp_path / "core" / synset / model / place).write_text(box_obj(BOXES))
    names = [{"synsetId": "02818832", "name": "bed"}, {"synsetId": "03001627", "name": "chair,seat"}]
    (tmp_path / "core" / "taxonomy.json").write_text(json.dumps(names))
    splits = tmp_path / "all.csv"
    splits.write_text(
        "id,synsetId,subSynsetId,modelId,split\n1,3001627,3001627,a,train\n2,02818832,02818832,c,test\n"
        "3,03001627,03001627,gone,val\n"
    )
    config = PrepareShapenet(
        tmp_path / "core", tmp_path / "out", splits=splits, views=1, size=33, points=64, resolution=64, workers=1
    )
    report = prepare_shapenet(config)
    assert [(failure.source, failure.reason) for failure in report.failures] == [
        ("03001627/gone", "named in the splits, but there is no such model")
    ]
    data = open_dataset(tmp_path / "out")
    assert [(entry.id, entry.category, entry.split) for entry in data.entries] == [
        ("02818832-c", "bed", "test"),
        ("03001627-a", "chair", "train"),
    ]
    truth = data.truth(data.entries[0])
    # The stored back is at -x above 0.1: opposite of the front for version 1, on the left of a front at -z.
    high = truth.points[truth.points[:, 1] > 0.3]
    assert (high[:, 2].max() < 0) if version == 1 else (high[:, 0].min() > 0)
    torch.testing.assert_close(front_rotation(FRONTS[version]), world_from_shapenet(version))
    assert truth.voxels is not None and truth.voxels.shape == (64, 64, 64)
    facts = json.loads((object_folder(tmp_path / "out", "02818832-c") / "object.json").read_text())
    assert facts["distances"] == "winding number"
    packed = pack(tmp_path / "out", "train", 32, workers=1)
    assert packed.resolution == 64
    np.testing.assert_array_equal(packed.unpacked_voxels(np.array([0]))[0] > 0, data.truth(data.entries[1]).voxels)
    assert packed.unpacked_voxels(np.array([0]), 32).shape == (1, 32, 32, 32)


def test_splits_that_contradict_themselves_are_refused(tmp_path):
    path = tmp_path / "splits.json"
    path.write_text(json.dumps({"train": {"03001627": ["a"]}, "test": {"03001627": ["a"]}}))
    with pytest.raises(ValueError, match="03001627/a is in two splits"):
        read_splits(path)
    path.write_text(json.dumps({"dev": {"03001627": {"a": [0]}}}))
    with pytest.raises(ValueError, match="03001627/a has split 'dev'"):
        read_splits(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resolution": 20}, "resolution is 20; choose 8 to 128"),
        ({"views_style": "hard", "distance": (1.0, 2.0)}, "views of style hard have their own ranges"),
    ],
)
def test_contradictions_of_settings_are_refused(tmp_path, change, message):
    with pytest.raises(ValueError, match=f"prepare meshes: {message}"):
        PrepareMeshes(tmp_path, tmp_path / "out", **change)


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_a_cluster_without_ray_is_one_line_and_writes_nothing(tmp_path):
    (tmp_path / "a.obj").write_text(box_obj(BOXES))
    with pytest.raises(ValueError, match=r"needs Ray; pip install 'maquette\[cluster\]'"):
        prepare_meshes(PrepareMeshes(tmp_path, tmp_path / "out", cluster=True))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="needs Ray"):
        require_ray()


@pytest.mark.parametrize(
    "error",
    [
        Exception("The current node timed out during startup. This could happen"),  # ray/_private/node.py
        RuntimeError("Failed to start GCS.\n Last 10 lines of error files:"),
        ConnectionError("ray client connection timeout"),
    ],
)
def test_a_cluster_that_does_not_start_is_one_line(monkeypatch, capsys, tmp_path, error):
    def init(**settings):
        raise error

    stand_in_for_ray(monkeypatch, init)
    (tmp_path / "a.obj").write_text(box_obj(BOXES))
    assert cli.main(["prepare", "meshes", str(tmp_path), "--out", str(tmp_path / "out"), "--cluster"]) == 2
    *_, line = capsys.readouterr().err.splitlines()
    first = str(error).splitlines()[0].rstrip(".")
    assert line == f"maquette: no Ray cluster at 'local': {first}; mend that, or leave --cluster out"


def test_a_fault_in_starting_a_cluster_keeps_its_traceback(monkeypatch):
    def init(**settings):
        raise TypeError("init() got an unexpected argument")

    stand_in_for_ray(monkeypatch, init)
    with pytest.raises(TypeError, match="unexpected argument"):
        next(run_on_cluster(abs, [1], address="local"))


def work(job: str) -> str:
    """One that is done, one that raises, one whose process dies, one that takes too long."""
    if job == "raises":
        raise TypeError("two\nlines")
    if job == "dies":
        os._exit(3)
    if job == "hangs":
        time.sleep(600)
    return job.upper()


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.filterwarnings("default")  # Ray's own
def test_a_job_that_fails_on_a_cluster_costs_that_job_only(monkeypatch):
    """The processes of the cluster take seconds to start, longer than the limit, which does not count them."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*sys.path, str(Path(__file__).parents[1])]))
    jobs = ["hangs", "one", "raises", "two", "dies", "three"]
    found = dict(run_on_cluster(work, jobs, address="local", limit_s=1.0))
    assert set(found) == set(jobs)
    assert [found[job] for job in ("one", "two", "three")] == ["ONE", "TWO", "THREE"]
    assert found["hangs"] == Lost("took longer than 1 s; it was stopped")
    assert found["raises"] == Lost("TypeError: two lines")
    died = found["dies"]
    assert isinstance(died, Lost) and "died unexpectedly" in died.reason


def stand_in_for_ray(monkeypatch, init) -> None:
    """A module `ray` that can do no more than begin."""
    ray = ModuleType("ray")
    ray.__spec__ = ModuleSpec("ray", None)
    ray.init = init
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
