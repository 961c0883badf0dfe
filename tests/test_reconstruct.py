"""From a picture to files and a page, with a network that has learned nothing."""

import errno
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
import torch

import maquette as mq
from maquette import cli
from maquette.io import load, read_picture, write_picture
from maquette.models import (
    MeshConfig,
    MultiHeadConfig,
    OccupancyConfig,
    PointsConfig,
    PrecomputedCodes,
    SmallEncoder,
    build,
    load_run,
    save_model,
)
from maquette.models.mesh import MeshHead
from maquette.models.occupancy import TriplaneOccupancy
from maquette.models.outside import distance_to_training, load_features, save_features, training_features
from maquette.models.points import PointsHead
from maquette.models.solids import solid_surface
from maquette.reconstruct import find_pictures, folder_names, reconstruct
from maquette.shapes import Mesh, PointCloud, Voxels, bounds
from maquette.shapes.columns import is_closed


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    config = MultiHeadConfig(encoder=SmallEncoder(), points=PointsHead(points=256), mesh=MeshHead(level=2))
    save_model(build(config), folder, {})
    return folder


@pytest.fixture(autouse=True)
def coarse(monkeypatch, request):
    """Fewer vertices and pixels than a person would want, but in the tests that count them."""
    if "three_lines" not in request.node.name:
        monkeypatch.setattr("maquette.reconstruct.VERTICES", 500)
    if not any(words in request.node.name for words in ("lies_over", "every_file")):
        monkeypatch.setattr("maquette.reconstruct.CROP", 128)


@pytest.fixture
def photos(tmp_path) -> Path:
    """A good picture and one of each kind of bad input."""
    folder = tmp_path / "photos"
    folder.mkdir()
    write_picture(disc(), folder / "disc.png")
    write_picture(torch.rand(64, 64, 3), folder / "busy.png")
    write_picture(torch.zeros(64, 64, 4), folder / "transparent.png")
    whole = (folder / "disc.png").read_bytes()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("this is no picture")
    (folder / "folder.png").mkdir()
    (folder / "bomb.png").write_bytes(bomb(40_000, 40_000))
    return folder


def disc(size=64) -> torch.Tensor:
    line = torch.arange(size) + 0.5 - size / 2
    inside = (line[:, None] ** 2 + line**2 < (0.4 * size) ** 2).float()
    rgb = torch.tensor([0.8, 0.3, 0.1]).expand(size, size, 3)
    return torch.cat([rgb, inside[..., None]], -1)


def bomb(width: int, height: int) -> bytes:
    """A PNG header that promises pixels which are not there."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def command(*words) -> int:
    return cli.main(["reconstruct", *map(str, words), "--turntable-frames", "1"])


@pytest.fixture(scope="module")
def done(run, tmp_path_factory) -> Path:
    """What the command writes for one picture, to be copied."""
    folder = tmp_path_factory.mktemp("done")
    write_picture(disc(), folder / "disc.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.reconstruct.VERTICES", 500)
        patch.setattr("maquette.reconstruct.CROP", 128)
        assert command(folder / "disc.png", "--out", folder / "out", "--run", run) == 0
    return folder / "out"


def test_three_lines_of_python_give_a_solid(run, tmp_path):
    write_picture(disc(), tmp_path / "disc.png")
    result = reconstruct(tmp_path / "disc.png", run=run)
    mq.save(result.mesh, tmp_path / "disc.glb")
    again = load(tmp_path / "disc.glb")
    assert isinstance(again, Mesh)
    assert len(again.vertices) >= 10_000
    assert result.mask.source == "alpha"
    # Every colour of the picture is the same, so all of the solid is of that colour.
    assert torch.allclose(result.mesh.appearance.colors, torch.tensor([0.8, 0.3, 0.1]).expand(1, 3), atol=0.01)


@pytest.mark.parametrize(("representation", "kind"), [("mesh", Mesh), ("points", PointCloud), ("voxels", Mesh)])
def test_every_representation_lies_over_its_picture(run, representation, kind):
    result = reconstruct(disc(), representation=representation, run=run)
    assert isinstance(result.shape, kind)
    points = result.shape.vertices if isinstance(result.shape, Mesh) else result.shape.points
    pixels = result.camera.project(points)
    low, high = pixels.amin(0), pixels.amax(0)
    # The object fills its crop up to the margin, so the middles of both boxes are the crop's middle.
    assert torch.allclose((low + high) / 2, torch.tensor([256.0, 256.0]), atol=1.5)


def test_points_have_no_mesh_and_say_so(run):
    with pytest.raises(ValueError, match="point cloud"):
        _ = reconstruct(disc(), representation="points", run=run).mesh


def test_the_command_writes_every_file_and_the_page(run, tmp_path, capsys):
    write_picture(disc(), tmp_path / "disc.png")
    out = tmp_path / "out"
    assert command(tmp_path / "disc.png", "--out", out, "--run", run, "--as", "mesh") == 0
    names = sorted(file.name for file in (out / "disc").iterdir())
    assert names == ["input.png", "mesh.glb", "mesh.obj", "mesh.ply", "overlay.png", "turntable.gif"]
    assert json.loads((out / "reconstruction.json").read_text())["solids"][0]["representation"] == "mesh"
    assert (out / "index.html").read_text().startswith("<!doctype html>")
    assert json.loads((out / "reconstruction.json").read_text())["solids"][0]["folder"] == "disc"
    assert read_picture(out / "disc" / "overlay.png").shape == (512, 512, 4)
    shapes = [load(out / "disc" / f"mesh.{suffix}") for suffix in ("glb", "obj", "ply")]
    for shape in shapes:
        assert torch.allclose(bounds(shape), bounds(shapes[0]), atol=1e-5)
        assert shape.appearance is not None
    assert "index.html" in capsys.readouterr().out


def test_points_are_saved_as_points(run, tmp_path):
    write_picture(disc(), tmp_path / "disc.png")
    assert command(tmp_path / "disc.png", "--out", tmp_path / "out", "--run", run, "--as", "points") == 0
    cloud = load(tmp_path / "out" / "disc" / "points.ply")
    assert isinstance(cloud, PointCloud)
    assert cloud.points.shape == (3 * 256 + 502, 3)  # three looks whole, 28 % of the points of seven


def test_bad_pictures_are_named_and_the_others_done(run, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(photos, photos / "missing.png", photos / "*.tiff", "--out", out, "--run", run) == 2
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert all(line.startswith("maquette: ") for line in lines)
    expected = {
        "busy.png": "no plain background",
        "transparent.png": "fully transparent",
        "truncated.png": "truncated",
        "empty.png": "empty",
        "text.png": "not a picture",
        "folder.png": "folder",
        "bomb.png": "1600 million pixels",
        "missing.png": "no such file",
        "*.tiff": "matches no file",
    }
    for name, reason in expected.items():
        told = [line for line in lines if name in line]
        assert len(told) == 1, (name, lines)
        assert reason in told[0].lower()
    assert len(lines) == len(expected) + 1
    assert "9 inputs failed" in lines[-1]
    assert sorted(file.name for file in out.iterdir()) == ["disc", "index.html", "reconstruction.json"]
    failed = json.loads((out / "reconstruction.json").read_text())["failed"]
    assert len(failed) == len(expected)
    page = (out / "index.html").read_text()
    assert all(name in page for name in expected)


def test_nothing_is_written_when_every_picture_fails(run, photos, tmp_path, capsys):
    assert command(photos / "empty.png", "--out", tmp_path / "out", "--run", run) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["photos"]
    assert "nothing was reconstructed" in capsys.readouterr().err


def test_an_existing_out_is_kept_unless_forced(run, done, photos, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    (out / "old").touch()
    assert command(photos / "disc.png", "--out", out, "--run", run) == 2
    assert "--force" in capsys.readouterr().err
    assert (out / "old").exists()
    assert command(photos / "disc.png", "--out", out, "--run", run, "--force") == 0
    assert not (out / "old").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "photos"]


def test_force_does_not_replace_what_is_not_ours(run, photos, tmp_path, capsys):
    assert command(photos / "disc.png", "--out", photos, "--run", run, "--force") == 2
    assert "not replaced even with --force" in capsys.readouterr().err
    assert (photos / "disc.png").exists()


def test_force_does_not_delete_its_own_inputs(run, done, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    assert command(out / "disc" / "input.png", "--out", out, "--run", run, "--force") == 2
    assert "would delete" in capsys.readouterr().err


def test_a_forced_run_that_fails_leaves_the_old_results(run, done, photos, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done, out)
    before = (out / "reconstruction.json").read_bytes()
    assert command(photos / "empty.png", "--out", out, "--run", run, "--force") == 2
    assert (out / "reconstruction.json").read_bytes() == before
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out", "photos"]


def test_wrong_weights_are_told_in_one_line(run, photos, tmp_path, capsys):
    wrong = tmp_path / "wrong"
    shutil.copytree(run, wrong)
    (wrong / "model.safetensors").write_bytes(b"\x80\x04not weights")
    assert command(photos / "disc.png", "--out", tmp_path / "out", "--run", wrong) == 2
    assert "not a safetensors file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_that_does_not_predict_it_is_refused_before_work(photos, tmp_path, capsys):
    save_model(build(MeshConfig(head=MeshHead(level=2))), tmp_path / "mesh", {})
    words = (photos / "disc.png", "--out", tmp_path / "out", "--run", tmp_path / "mesh", "--as", "voxels")
    assert command(*words) == 2
    assert "predicts mesh, not voxels" in capsys.readouterr().err


def test_an_interrupt_leaves_nothing_behind(run, photos, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("maquette.reconstruct.write_page", interrupted)
    assert command(photos / "disc.png", "--out", tmp_path / "out", "--run", run) == 130
    assert [file.name for file in tmp_path.iterdir()] == ["photos"]
    assert "interrupted" in capsys.readouterr().err


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(run, photos, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("maquette.reconstruct.write_page", full)
    out = tmp_path / "out"
    assert command(photos / "disc.png", "--out", out, "--run", run) == 2
    assert capsys.readouterr().err == f"maquette: {out}: cannot be written: the disk is full\n"
    assert [file.name for file in tmp_path.iterdir()] == ["photos"]


@pytest.mark.slow
def test_a_file_that_grows_too_large_leaves_nothing_behind(run, photos, tmp_path):
    # A process of its own under a limit on the size of files: the page is larger than 1 MB.
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)); "
        "from maquette.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    out = tmp_path / "out"
    words = ["reconstruct", photos / "disc.png", "--out", out, "--run", run, "--turntable-frames", "2"]
    environment = os.environ | {"NUMBA_DISABLE_CACHING": "0"}
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, words)], capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"maquette: {out}")
    assert [file.name for file in tmp_path.iterdir()] == ["photos"]


def test_equal_names_get_folders_of_their_own():
    paths = [Path(name) for name in ("a/chair.png", "b/chair.jpg", "c/CHAIR.png", "index.html.png", "..png")]
    names = folder_names(paths)
    assert names[:3] == ["chair", "chair-2", "CHAIR-3"]
    assert len({name.casefold() for name in names}) == len(names)
    assert not {"index.html", ".", ".."} & set(names)


def test_a_picture_that_is_named_twice_is_done_once(photos):
    found, failures = find_pictures((str(photos / "disc.png"), str(photos / "d*.png")))
    assert [path.name for path in found] == ["disc.png"]
    assert failures == []


def test_hesitant_voxels_still_give_a_solid_without_dust():
    occupancy = torch.zeros(32, 32, 32)
    occupancy[10:20, 10:20, 10:20] = 0.3
    occupancy[2, 2, 2] = 0.3
    mesh = solid_surface(Voxels(occupancy, torch.eye(4)))
    low, high = bounds(mesh)
    # Cells 10..19 of 32, with half a cell of slack for where the surface passes between centres.
    assert torch.allclose(low, torch.full((3,), 10 / 32 - 0.5), atol=0.5 / 32 + 1e-6)
    assert torch.allclose(high, torch.full((3,), 20 / 32 - 0.5), atol=0.5 / 32 + 1e-6)


def test_pictures_unlike_the_training_pictures_are_outside(run, generator):
    training = torch.randn(400, 16, generator=generator) * 0.1 + 1
    held_out = torch.randn(200, 16, generator=generator) * 0.1 + 1  # around (1, ..., 1), as the training
    labels = torch.arange(400) % 2
    known = training_features(training, held_out, labels=labels, categories=("chair", "table"))
    save_features(known, run)
    again = load_features(run)
    (run / "features.safetensors").unlink()
    same = distance_to_training(training[:2], again)
    # Features are stored with 11 bits.
    assert max(novelty.distance for novelty in same) < 0.01
    assert [novelty.nearest for novelty in same] == ["chair", "table"]
    far = distance_to_training(torch.linspace(-1, 3, 16)[None], again)[0]
    assert far.is_outside
    outside = [novelty.is_outside for novelty in distance_to_training(held_out, again)]
    # One in forty by definition of the threshold, and one that 16-bit features may turn.
    assert abs(sum(outside) - 5) <= 1


def test_the_command_says_what_is_outside(run, photos, tmp_path, capsys):
    length = load_run(run).model.encode(torch.zeros(1, 4, 64, 64)).code.shape[1]
    noise = torch.randn(64, length)
    save_features(training_features(noise, noise), run)
    try:
        assert command(photos / "disc.png", "--out", tmp_path / "out", "--run", run) == 0
    finally:
        (run / "features.safetensors").unlink()
    assert "outside the training categories" in capsys.readouterr().out
    assert "outside the training categories" in (tmp_path / "out" / "index.html").read_text()


def filled(folder: Path, bias: float) -> Path:
    """A run whose field has the same logit everywhere."""
    model = build(OccupancyConfig(SmallEncoder(width=8, features=16, picture_size=32), TriplaneOccupancy(channels=4)))
    with torch.no_grad():
        last = model.decoders["occupancy"].field.layers[-1]
        last.weight.zero_(), last.bias.fill_(bias)
    save_model(model, folder, {})
    return folder


def test_a_field_s_surface_is_what_its_run_gives_unless_told(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("maquette.models.solids.FINE", 16)
    result = reconstruct(photos / "disc.png", run=filled(tmp_path / "run", 5.0))
    assert result.representation == "occupancy" and result.surface is not None and is_closed(result.surface.faces)
    # Full everywhere, closed at the border of the cube, within the last cell of a sixteenth.
    torch.testing.assert_close(bounds(result.surface), torch.tensor([[-0.5] * 3, [0.5] * 3]), atol=1 / 16, rtol=0)
    # Logit -2 is probability 0.12: no half, but more than a fifth of it.
    hesitant = reconstruct(photos / "disc.png", run=filled(tmp_path / "hesitant", -2.0))
    assert len(hesitant.mesh.faces) > 0
    with pytest.raises(ValueError, match=r"nowhere fuller than 0\.04 for this picture"):
        reconstruct(photos / "disc.png", run=filled(tmp_path / "empty", -8.0))


def test_refining_keeps_what_agrees_better_and_tells_both_numbers(photos, tmp_path, capsys):
    save_model(build(MeshConfig(head=MeshHead(level=2))), tmp_path / "mesh", {})
    words = (photos / "disc.png", "--out", tmp_path / "out", "--run", tmp_path / "mesh", "--turntable-frames", "1")
    assert command(*words, "--refine", "5") == 0
    (record,) = json.loads((tmp_path / "out" / "reconstruction.json").read_text())["solids"]
    before, after = record["silhouette_iou_before_refining"], record["silhouette_iou"]
    assert record["representation"] == "mesh" and 0.5 < before
    # The page's number is by soft coverage at the edges, the other by pixel centres.
    assert after > before - 0.01
    assert f"silhouettes agree to {before:.1%}, refined " in capsys.readouterr().out


def test_points_are_not_refined_and_steps_are_counted_from_zero(run, photos, tmp_path, capsys):
    words = (photos / "disc.png", "--out", tmp_path / "out", "--run", run)
    assert command(*words, "--as", "points", "--refine", "5") == 2
    assert "--refine moves meshes, and points are none" in capsys.readouterr().err
    assert command(*words, "--refine", "-1") == 2
    assert "refine is -1; give 0 or more steps" in capsys.readouterr().err


def test_a_solid_of_the_viewers_frame_is_looked_at_from_its_front(tmp_path):
    torch.manual_seed(0)
    model = PointsConfig(SmallEncoder(width=8, features=16, picture_size=32), PointsHead(points=256, hidden=16))
    save_model(build(model), tmp_path, {"train": {"augment": {"frame": "viewer"}}})
    result = reconstruct(disc(), run=tmp_path)
    assert result.frame == "viewer" and result.viewpoint[:2] == (0, 0)
    # The camera's own axes: x right, y down, z away from +z of the solid.
    torch.testing.assert_close(result.camera.world_from_cam[:3, :3], torch.diag(torch.tensor([1.0, -1, -1])))


def test_a_run_that_reads_codes_says_that_a_picture_has_none(tmp_path):
    save_model(build(PointsConfig(PrecomputedCodes(8), PointsHead(points=16, hidden=8))), tmp_path, {})
    with pytest.raises(
        ValueError, match=r"reads codes that another network made of pictures .*choose a run that reads"
    ):
        reconstruct(disc(), run=tmp_path)
