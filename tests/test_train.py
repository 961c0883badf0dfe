"""Training: batches that follow from (seed, step), checkpoints, and runs that go on as if nothing had happened."""

import copy
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from forked import ended, forked, send
from maquette.data import pack as packing
from maquette.data.batches import fixed_batch, objects_at, training_batch
from maquette.data.crop import crop_to_mask
from maquette.data.dataset import Prepared, open_dataset, write_index
from maquette.data.entries import of_split
from maquette.data.pack import pack
from maquette.models import PointsConfig, ResnetEncoder, SmallEncoder, build, load_run, save_model
from maquette.models.points import PointsHead
from maquette.train import TrainConfig, begin_from, learning_rate, train

MODEL = PointsConfig(SmallEncoder(width=8, features=16, picture_size=32), PointsHead(points=64, hidden=16))


@pytest.fixture(scope="module")
def data(ten_objects) -> Path:
    return ten_objects


def config(data: Path, out: Path, **changes) -> TrainConfig:
    settings = {"steps": 6, "batch": 4, "save_every": 2, "validate_every": 3, "workers": 1} | changes
    return TrainConfig(out=out, data=data, model=MODEL, **settings)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory) -> Path:
    """A run of six steps that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    train(config(data, out))
    return out


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_a_crop_centres_the_object_and_keeps_its_colour():
    picture = torch.zeros(40, 60, 4)
    picture[10:20, 30:50] = torch.tensor([1.0, 0.5, 0.0, 1.0])
    crop = crop_to_mask(picture, 28, margin=0.2)
    # The longer side, 20 pixels, and 20 % on both sides make 28: no resampling at all.
    assert crop.side == 28 and crop.corner == (26.0, 1.0)
    expected = torch.zeros(28, 28, 4)
    expected[9:19, 4:24] = torch.tensor([1.0, 0.5, 0.0, 1.0])
    torch.testing.assert_close(crop.rgba, expected)


def test_a_crop_may_reach_beyond_the_picture():
    crop = crop_to_mask(torch.ones(10, 20, 4), 24, margin=0.1)
    assert crop.corner == (-2.0, -7.0) and crop.side == 24
    assert crop.rgba[..., 3].sum() == 200


def test_an_empty_picture_has_nothing_to_crop():
    with pytest.raises(ValueError, match="no pixel is more than half opaque"):
        crop_to_mask(torch.zeros(8, 8, 4), 16)


def test_a_pack_holds_what_the_data_set_holds(data):
    made = pack(data, "train", 32, workers=1)
    source = open_dataset(data)
    entry = made.entries[1]
    view, truth = source.view(entry, 1), source.truth(entry)
    at = made.first_view[1] + 1
    assert made.cameras[at] == pytest.approx([view.azimuth, view.elevation, view.distance])
    crop = crop_to_mask(torch.from_numpy(view.rgba / np.float32(255)), 32)
    assert np.abs(made.views[at] / 255 - crop.rgba.numpy()).max() <= 0.5 / 255 + 1e-6
    np.testing.assert_array_equal(made.unpacked_voxels(np.array([1]))[0], truth.voxels)
    stored = {tuple(point) for point in truth.points.astype(np.float16)}
    assert {tuple(point) for point in made.points[1]} <= stored


def test_a_pack_is_made_once(data, monkeypatch):
    pack(data, "train", 32, workers=1)
    monkeypatch.setattr(packing, "_write", lambda *_: pytest.fail("packed again"))
    pack(data, "train", 32, workers=1)


def test_objects_that_were_made_again_are_packed_again(data, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    before = pack(copy, "train", 32, workers=1)
    folder = copy / "objects" / before.entries[0].id
    with np.load(folder / "shape.npz") as arrays:
        changed = dict(arrays) | {"voxels": np.zeros_like(arrays["voxels"])}
    np.savez(folder / "shape.npz", **changed)
    after = pack(copy, "train", 32, workers=1)
    assert before.voxels[0].any() and not after.voxels[0].any()
    np.testing.assert_array_equal(before.voxels[1:], after.voxels[1:])


def test_objects_of_a_large_set_that_come_go_or_are_made_again_are_noticed_without_a_look_at_each(
    data, tmp_path, monkeypatch
):
    copy = tmp_path / "data"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    monkeypatch.setattr(packing, "LOOKED_AT", 2)
    looked, stamp = [], Prepared.stamp
    monkeypatch.setattr(Prepared, "stamp", lambda self, entry: looked.append(entry.id) or stamp(self, entry))

    def folder() -> Path:
        dataset = open_dataset(copy)
        return packing.pack_folder(copy, dataset, of_split(dataset.entries, "train"), "train", 32, False)

    found = [folder()]
    assert folder() == found[0] and len(looked) == 2 * 2
    entries = list(open_dataset(copy).entries)
    unseen = next(entry for entry in entries if entry.split == "train" and entry.id not in looked)
    kept = tmp_path / "kept"
    shutil.move(copy / "objects" / unseen.id, kept)  # taken away
    found.append(folder())
    shutil.copytree(kept, copy / "objects" / unseen.id)  # made again
    found.append(folder())
    write_index(copy, entries[:-1])  # no longer named
    found.append(folder())
    assert len(set(found)) == 4


def test_an_object_that_cannot_be_read_is_named_and_leaves_no_pack(data, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    spoilt = next(entry.id for entry in open_dataset(copy).entries if entry.split == "train")
    (copy / "objects" / spoilt / "views" / "00.png").write_bytes(b"no picture")
    with pytest.raises(OSError, match=f"cannot be packed: {spoilt}: ") as caught:
        pack(copy, "train", 32, workers=1)
    assert len(str(caught.value).splitlines()) == 1
    assert list((copy / "packs").iterdir()) == []


def test_objects_that_cannot_be_read_are_left_out_only_where_that_is_allowed(data, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    whole = pack(data, "train", 32, workers=1)
    ids = [entry.id for entry in whole.entries]
    (copy / "objects" / ids[1] / "views" / "00.png").write_bytes(b"no picture")
    shutil.rmtree(copy / "objects" / ids[3])
    told = f"2 of {len(ids)} objects of split 'train' cannot be packed: {ids[1]}: .*; {ids[3]}: .*--allow-missing"
    with pytest.raises(OSError, match=told):
        pack(copy, "train", 32, workers=1)
    for _ in range(2):  # made, and opened again
        with pytest.warns(UserWarning, match=f"2 of {len(ids)} objects .* they are left out"):
            rest = pack(copy, "train", 32, workers=1, allow_missing=True)
    assert [entry.id for entry in rest.entries] == [id for n, id in enumerate(ids) if n not in (1, 3)]
    assert len(rest.left_out) == 2 and rest.left_out[0].startswith(ids[1])
    kept = np.array([n for n in range(len(ids)) if n not in (1, 3)])
    np.testing.assert_array_equal(rest.voxels, whole.voxels[kept])
    np.testing.assert_array_equal(rest.views, np.concatenate([whole.views[2 * n : 2 * n + 2] for n in kept]))
    np.testing.assert_array_equal(rest.first_view, 2 * np.arange(len(kept) + 1))
    with pytest.raises(OSError, match="2 of"):  # the pack that lacks them is not taken for a whole one
        pack(copy, "train", 32, workers=1)


@pytest.mark.slow
def test_a_script_without_a_main_guard_packs_in_several_processes(data, tmp_path):
    """Workers do not run the program that started them."""
    copy, script = tmp_path / "data", tmp_path / "script.py"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("packs"))
    script.write_text(
        "from pathlib import Path\nimport maquette.data.pack as packing\nprint('once')\npacking.PIECE = 1\n"
        f"print(len(packing.pack(Path({str(copy)!r}), 'train', 32, workers=2).entries))\n"
    )
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.split() == ["once", str(len(pack(data, "train", 32, workers=1).entries))]


def test_a_split_that_is_not_there_is_named(data):
    with pytest.raises(ValueError, match="no objects of split 'holdout'"):
        pack(data, "holdout", 32)


def test_every_epoch_shows_every_object_once():
    seen = np.concatenate([objects_at(7, 3, 0, step) for step in range(14)])
    for epoch in range(6):
        assert sorted(seen[epoch * 7 : epoch * 7 + 7]) == list(range(7))
    assert list(seen[:7]) != list(seen[7:14])


def test_a_batch_follows_from_seed_and_step(data):
    made = pack(data, "train", 32, workers=1)
    (a, truth_a), (b, truth_b) = (training_batch(made, 4, 5, 9) for _ in range(2))
    torch.testing.assert_close(a, b, rtol=0, atol=0)
    torch.testing.assert_close(truth_a.points, truth_b.points, rtol=0, atol=0)
    assert not torch.equal(a, training_batch(made, 4, 5, 10)[0])
    assert not torch.equal(a, training_batch(made, 4, 6, 9)[0])


def test_a_part_of_a_batch_is_as_in_the_whole(data):
    """So several processes share a batch out, and each object keeps its view, its truth and its random numbers."""
    made = pack(data, "train", 32, workers=1)
    images, truth = training_batch(made, 6, 5, 9)
    for part in (slice(0, None, 2), slice(1, None, 2), slice(2, 4)):
        some, some_truth = training_batch(made, 6, 5, 9, part=part)
        assert torch.equal(some, images[part])
        for name, value in vars(truth).items():
            assert torch.equal(getattr(some_truth, name), value[part]), name
        assert torch.equal(some_truth.uniform(3, 2), truth.uniform(3, 2)[part])
    assert not torch.equal(truth.uniform(5), truth.uniform(5, use=1))


def test_points_voxels_and_camera_are_mirrored_with_the_picture(data):
    made = pack(data, "train", 32, workers=1)
    plain = {}
    for view in range(len(made.views)):
        images, truth = fixed_batch(made, np.array([view]))
        plain[round(abs(float(truth.azimuth[0])), 4)] = (images, truth)
    mirrored = 0
    for step in range(6):
        images, truth = training_batch(made, 4, 0, step)
        for i in range(4):
            image, original = plain[round(abs(float(truth.azimuth[i])), 4)]
            turned = not torch.equal(images[i, 3], image[0, 3])
            mirrored += turned
            sign = -1 if turned else 1
            assert torch.equal(images[i, 3], image[0, 3].flip(-1) if turned else image[0, 3])
            assert float(truth.azimuth[i]) == pytest.approx(sign * float(original.azimuth[0]), abs=1e-4)
            voxels = original.voxels[0].flip(-1) if turned else original.voxels[0]
            assert torch.equal(truth.voxels[i], voxels)
            points = truth.points[i] * torch.tensor([sign, 1.0, 1.0])
            low, high = points.amin(0), points.amax(0)
            torch.testing.assert_close(low, original.points[0].amin(0), atol=0.1, rtol=0)
            torch.testing.assert_close(high, original.points[0].amax(0), atol=0.1, rtol=0)
    assert 0 < mirrored < 24


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    rate = partial(learning_rate, 0.5, "cosine", 200, 1000)
    assert rate(0) == pytest.approx(0.5 / 200, rel=1e-3)
    assert rate(500) == pytest.approx(0.25)
    assert rate(999) < 1e-5
    assert learning_rate(0.5, "constant", 0, 1000, 0) == learning_rate(0.5, "constant", 0, 1000, 999) == 0.5


def test_a_run_holds_what_it_needs_and_can_be_loaded(whole):
    names = {path.name for path in whole.iterdir()}
    assert {
        "config.json",
        "model.safetensors",
        "metrics.jsonl",
        "state.safetensors",
        "pictures",
        "tensorboard",
    } <= names
    assert len(losses(whole)) == 6
    run = load_run(whole)
    assert run.model.config == MODEL and run.settings["step"] == 6
    assert not [name for name in names if name.startswith(".tmp")]


def test_a_resumed_run_repeats_the_losses_of_one_that_was_never_stopped(data, whole, tmp_path, monkeypatch):

    def save_and_stop(model, folder, settings):
        save_model(model, folder, settings)
        if settings["step"] == 4:
            raise KeyboardInterrupt

    # Stopped after four of six steps; the schedule is that of six.
    monkeypatch.setattr("maquette.train.save_model", save_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train(config(data, tmp_path / "parts"))
    monkeypatch.undo()
    assert len(losses(tmp_path / "parts")) == 4
    train(config(data, tmp_path / "parts", resume=True))
    # The same operations on the same numbers: equal to the last bit.
    assert losses(tmp_path / "parts") == losses(whole)


@pytest.mark.slow
@pytest.mark.parametrize("killed_in", ["save_model", "save_state"])
def test_a_run_killed_while_its_last_step_is_saved_is_finished_when_it_is_resumed(
    data, tmp_path, monkeypatch, killed_in
):
    train(config(data, tmp_path / "whole", steps=2))

    def kill(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"maquette.train.{killed_in}", kill)
    with pytest.raises(KeyboardInterrupt):
        train(config(data, tmp_path / "parts", steps=2))
    monkeypatch.undo()
    train(config(data, tmp_path / "parts", steps=2, resume=True))
    whole, parts = (load_run(tmp_path / name).model.state_dict() for name in ("whole", "parts"))
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=0, atol=0)


def test_killed_at_any_moment_a_run_resumes_with_the_same_losses(data, tmp_path):
    kill_and_resume(data, tmp_path, kills=2, steps=16)


@pytest.mark.slow
def test_a_run_survives_many_kills(data, tmp_path):
    kill_and_resume(data, tmp_path, kills=50, steps=40)


def lines_in(out: Path) -> int:
    path = out / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.is_file() else 0


def kill_and_resume(data: Path, folder: Path, *, kills: int, steps: int) -> None:
    """Kill -9 a training at random moments after its first checkpoint, resume it, compare with one never killed."""
    # With all that has a state: moments, an average of the weights, a schedule; and parts that are accumulated.
    settings = {"steps": steps, "validate_every": steps // 2, "warmup": 10}
    settings |= {"ema": 0.9, "clip": 1.0, "accumulate": 2}
    train(config(data, folder / "whole", **settings))
    out, rng = folder / "killed", np.random.default_rng(0)
    for _ in range(kills):
        begun = (out / "config.json").is_file()
        before = lines_in(out)
        process = forked(train, config(data, out, **settings, resume=begun))
        deadline = time.monotonic() + 120
        while process.is_alive() and time.monotonic() < deadline:
            if (out / "state.safetensors").is_file() and lines_in(out) != before:
                break
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))
        send(process, signal.SIGKILL)
        ended(process)
    train(config(data, out, **settings, resume=True))
    assert losses(out) == losses(folder / "whole")
    assert (out / "model.safetensors").read_bytes() == (folder / "whole" / "model.safetensors").read_bytes()


def test_a_run_is_not_overwritten_and_not_resumed_with_other_settings(data, whole, tmp_path):
    run = shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(FileExistsError, match="--resume"):
        train(config(data, run))
    with pytest.raises(ValueError, match="begun with batch 4, not 8"):
        train(config(data, run, batch=8, resume=True))
    # A run from before a setting was there has its default.
    path = run / "config.json"
    settings = json.loads(path.read_text())
    del settings["train"]["ema"]
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=r"begun with ema .*, not 0.5"):
        train(config(data, run, ema=0.5, resume=True))
    with pytest.raises(FileNotFoundError, match="no run to resume"):
        train(config(data, tmp_path / "other", resume=True))


def test_a_run_may_begin_from_another_and_leave_its_encoder_alone(data, whole, tmp_path):
    first = load_run(whole).model
    more = {"start": whole, "learn": "decoders", "ema": 0.5, "seed": 1, "schedule": "constant"}
    train(config(data, tmp_path / "second", steps=2, **more))
    second = load_run(tmp_path / "second").model
    for name, value in first.encoder.state_dict().items():
        torch.testing.assert_close(second.encoder.state_dict()[name], value, rtol=0, atol=0)
    steps = torch.cat(
        [
            (second.get_parameter(f"decoders.{name}") - value).abs().flatten()
            for name, value in first.decoders.named_parameters()
        ]
    )
    # Two steps of warm-up are of 5e-6 and 1e-5 at most (Adam's are no longer than its rate): not from random weights.
    assert 0 < steps.max() < 2e-5
    train(config(data, tmp_path / "second", steps=4, resume=True, **more))
    train(config(data, tmp_path / "at once", steps=4, **more))
    assert losses(tmp_path / "second") == losses(tmp_path / "at once")


def test_a_run_does_not_begin_from_one_with_another_encoder(data, whole, tmp_path):
    with pytest.raises(ValueError, match="has no weights for this encoder"):
        other = replace(MODEL, encoder=ResnetEncoder(picture_size=32))
        train(replace(config(data, tmp_path / "second", start=whole), model=other))


def test_a_run_may_take_the_encoder_alone_and_says_what_begins_at_random(data, tmp_path, capsys):
    settings = config(data, tmp_path / "run", start="bundled", take="encoder", learn="decoders")
    bundled = load_run().model
    # The bundled network has this very head, so all of it would fit.
    model = build(PointsConfig(head=bundled.config.points))
    random = copy.deepcopy(model.decoders.state_dict())
    begin_from(model, replace(settings, model=model.config), tell=True)
    for part in ("encoder", "viewpoint_decoder"):
        expected = bundled.get_submodule(part).state_dict()
        torch.testing.assert_close(model.get_submodule(part).state_dict(), expected, rtol=0, atol=0)
    torch.testing.assert_close(model.decoders.state_dict(), random, rtol=0, atol=0)
    assert capsys.readouterr().err.endswith("tensors begin as in bundled; random: decoders.points\n")
    with pytest.raises(ValueError, match="take says what is taken of start; give --start RUN, or --start bundled"):
        replace(settings, start=None)


def test_an_encoder_that_is_not_to_learn_must_fit_whole(data, tmp_path):
    wider = replace(config(data, tmp_path / "run", start="bundled"), model=PointsConfig(SmallEncoder(features=256)))
    begin_from(build(wider.model), wider, tell=False)
    with pytest.raises(ValueError, match=r"bundled has not all of it: encoder differs in 2 of .* is 512 x 1536 in"):
        begin_from(build(wider.model), replace(wider, learn="decoders"), tell=False)


def test_statistics_that_never_change_are_not_taken_over_processes(data, tmp_path):
    with pytest.raises(ValueError, match="sync_norm takes statistics over all processes, and norm frozen has"):
        frozen = PointsConfig(ResnetEncoder(norm="frozen"))
        TrainConfig(out=tmp_path / "run", data=data, model=frozen, sync_norm=True)


@pytest.mark.slow
def test_a_run_stopped_before_its_first_checkpoint_begins_again(data, whole, tmp_path):
    train(config(data, tmp_path / "early"))
    # What a kill in the first steps leaves: the configuration, and perhaps a few lines.
    for name in ("state.safetensors", "model.safetensors"):
        (tmp_path / "early" / name).unlink()
    train(config(data, tmp_path / "early", resume=True))
    assert losses(tmp_path / "early") == losses(whole)


@pytest.mark.parametrize("missing", ["abacus", "cuda:99"])
def test_a_device_that_is_not_there_is_one_line(data, tmp_path, missing):
    with pytest.raises(ValueError, match=missing):
        train(config(data, tmp_path / "run", device=missing))
