"""The report of evaluated runs: what stands in the page, what is left out of it, and what it refuses."""

import base64
import json
import re
import shutil
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette import cli, report
from maquette.data.augment import viewer_from_object
from maquette.diagnose.errors import point_errors
from maquette.evaluate import EvaluateConfig, evaluate_run
from maquette.evaluate.comparison import compared
from maquette.evaluate.opened import read_evaluations
from maquette.evaluate.pictures import answers_shown
from maquette.evaluate.scoring import Seen
from maquette.models import PointsConfig, SmallEncoder, build, save_model
from maquette.models.points import PointsHead
from maquette.report import ReportConfig, write_report
from maquette.report.objects import Collection, Truth, _answer, chosen_objects, collected
from maquette.report.solids import Frame, frame_of, solid_of, steps_of
from maquette.shapes import Mesh, PointCloud
from test_evaluate import FLAT, MULTI, TALL, write_boxes

EVIL = '<script>alert("id")'
CLOSING = "</script><b>class"


def element(page: str, name: str):
    """The JSON that a script of the page reads."""
    found = re.search(f'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found, name
    return json.loads(found[1])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    boxes = [("tall-0", CLOSING, "train", TALL), ("flat-0", "flat", "train", FLAT)]
    boxes += [(EVIL, CLOSING, "test", TALL), *((f"flat-{k}", "flat", "test", FLAT) for k in (1, 2))]
    return write_boxes(tmp_path_factory.mktemp("boxes") / "boxes", boxes)


@pytest.fixture(scope="module")
def run(tmp_path_factory, data) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "trio"
    torch.manual_seed(0)
    save_model(build(MULTI), folder, {"train": {"data": str(data), "note": "</pre><i>"}, "step": 7})
    lines = [json.dumps({"step": k, "loss": 1.0, "points": 1 / (1 + k)}) for k in range(20)]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    # Ours but for a tenth of the points: nothing here depends on them.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.evaluate.report.plot_curves", lambda *_: None)  # the report draws its own
        evaluate_run(EvaluateConfig(folder, protocol="cmu2025", out=folder / "evaluation", pictures=0))
    return folder


@pytest.fixture(scope="module")
def written(run) -> tuple[Path, Collection]:
    """The report, and the objects in it."""
    kept = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "collected", lambda *given: kept.append(found := collected(*given)) or found)
        return write_report(ReportConfig((run,), heats=("hires-cam",))), kept[0]


@pytest.fixture(scope="module")
def report_file(written) -> Path:
    return written[0]


@pytest.fixture
def made_once(monkeypatch, written):
    """Further reports take the objects of the first, as many as they want, and do not ask the network again."""
    found = written[1]
    first = {one.id: one for one in found.exhibits}
    monkeypatch.setattr(
        report, "collected", lambda _, evaluations, ids, *given: replace(found, exhibits=tuple(first[id] for id in ids))
    )


@pytest.fixture(scope="module")
def page(run, report_file) -> str:
    assert report_file == run / "evaluation" / "report.html"
    return report_file.read_text("utf-8")


def test_the_page_holds_scores_beside_baselines_curves_classes_trainings_and_the_environment(page):
    for title in ("Scores", "F-score curves", "Classes", "Objects", "Training", "Configuration", "Environment"):
        assert f"<h2>{title}</h2>" in page, title
    for row in ("voxels", "points", "mesh", "mean shape", "oracle", "ceiling"):
        assert re.search(rf"<th>(<span[^>]*></span>)?{row}</th>", page), row
    assert "maquette diagnose " in page and "maquette robustness " in page  # which have not been run
    assert "losses of trio" in page and "seed" in page and "Protocol cmu2025" in page


def test_names_are_text_wherever_they_stand(page):
    assert EVIL not in page and CLOSING not in page and "</pre><i>" not in page
    assert "&lt;script&gt;alert(&quot;id&quot;)" in page
    index = element(page, "index")
    assert {one["name"] for one in index["objects"]} == {EVIL, "flat-1", "flat-2"}
    assert {one["category"] for one in index["objects"]} == {CLOSING, "flat"}


def test_nothing_is_loaded_from_elsewhere(page):
    # Addresses in attributes are inline data or places of the page; scripts name no address at all.
    for address in re.findall(r'(?:src|href)="([^"]*)"', page):
        assert address.startswith(("data:image/", "#")), address
    assert not re.search(r"https?://|url\(|@import|fetch\(", page)


def test_an_object_of_the_page_is_the_truth_and_each_prediction_with_its_errors(page, data):
    from maquette.data.dataset import open_dataset

    index = element(page, "index")
    number = next(k for k, one in enumerate(index["objects"]) if one["name"] == "flat-1")
    found = element(page, f"object-{number}")
    raw = zlib.decompress(base64.b64decode(found["data"]))
    n = found["truth"]["vertices"]
    steps = np.frombuffer(raw, "<i2", 3 * n).reshape(3, n).cumsum(1).astype(np.int16)
    dataset = open_dataset(data)
    points = dataset.truth(next(one for one in dataset.entries if one.id == "flat-1")).points
    middle, diagonal = (points.min(0) + points.max(0)) / 2, np.linalg.norm(np.ptp(points, axis=0))
    expected = (points - middle) / diagonal
    shown = steps.T / 4096
    # Each shown point is a true one, but for rounding to a step of 1/4096.
    apart = np.linalg.norm(shown[:, None] - expected[None], axis=-1).min(1)
    assert n == len(points) and apart.max() < 3**0.5 / 2 / 4096 + 1e-6
    sizes = [9 * n, *[n] * 3]  # positions and normals, then what each prediction misses
    for header in found["solids"]:
        v = header["vertices"]
        sizes.append(6 * v + 6 * header["faces"] + 3 * v * header["normals"] + v)
    assert len(raw) == sum(sizes)


def test_what_is_wrong_and_what_is_missed_are_told_apart_in_any_units():
    # The truth is the corners of a square of side 30; the prediction is a triangle at its left edge, and one far above.
    square = torch.tensor([[0.0, 0, 0], [30, 0, 0], [0, 30, 0], [30, 30, 0]]) + 100
    ours = torch.tensor([[0.0, 0, 0], [0, 30, 0], [-5, 15, 0], [0, 0, 40], [0, 1, 40], [0, 0, 41]]) + 100
    cloud, frame = PointCloud(square), frame_of(square)
    truth = Truth(cloud, frame, solid_of(cloud, frame))
    diagonal = 30 * 2**0.5
    answer = _answer(Mesh(ours, torch.tensor([[0, 1, 2], [3, 4, 5]])), truth, (0.0, 0.0), 50.0, 1.0)
    assert answer.solid is not None
    for at, error in zip(answer.solid.positions, answer.errors, strict=True):
        away = (square - (at * frame.diagonal + frame.middle)).norm(dim=-1).min() / diagonal
        assert error == pytest.approx(255 * float(away), abs=0.51)
    for at, missed in zip(truth.solid.positions, answer.missed, strict=True):
        # Two corners lie on the prediction's edge, two are a side away from it.
        away = float(at[0] * frame.diagonal + frame.middle[0] - 100) / diagonal
        assert missed == pytest.approx(255 * away, abs=0.51)


def test_an_answer_in_the_viewers_frame_is_shown_in_that_of_the_object_and_a_failure_is_not_shown(monkeypatch):
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    turn = viewer_from_object(torch.tensor(0.7), torch.tensor(0.3))
    blank, none = torch.zeros(1, 4, 8, 8, dtype=torch.uint8), torch.zeros(1, 1)
    seen = Seen(blank, none, none, (True,), ((0.7, 0.3),), turn[None])
    given = {"points": [PointCloud(points @ turn.T)], "mesh": [Mesh(points, torch.zeros(0, 3, dtype=torch.int64))]}
    monkeypatch.setattr("maquette.evaluate.pictures.predict", lambda *asked: given)
    small = PointsConfig(SmallEncoder(width=8, features=16, picture_size=32), PointsHead(8, 8))
    found = answers_shown(build(small), seen, 0)
    assert isinstance(found["points"], PointCloud) and found["mesh"] is None
    torch.testing.assert_close(found["points"].points, points)


def test_errors_are_distances_in_diagonals_of_the_true_box():
    truth = torch.tensor([[0.0, 0, 0], [3.0, 4, 0]])
    frame = frame_of(truth)
    assert frame.diagonal == 5 and frame.middle.tolist() == [1.5, 2, 0]
    # (3, 0, 0) is 3 from the first true point and 4 from the second.
    found, _ = point_errors(frame.of(torch.tensor([[3.0, 0, 0]])), frame.of(truth))
    assert found.tolist() == pytest.approx([3 / 5])
    assert list(steps_of(torch.tensor([0.0, 0.025, 0.05, 9.0]), 0.05)) == [0, 128, 255, 255]


def test_a_solid_survives_its_bytes():
    mesh = Mesh(
        torch.tensor([[9.0, 9, 9], [0, 0, 0], [1, 0, 0], [0, 1, 0], [-1, 0.5, 0.25]]),
        torch.tensor([[4, 1, 3], [1, 2, 3]]),
    )
    solid = solid_of(mesh, Frame(torch.zeros(3), 2.0))
    assert solid.header() == {"vertices": 4, "faces": 2, "normals": 0}
    raw = solid.data()
    positions = np.frombuffer(raw, "<i2", 12).reshape(3, 4).cumsum(1).astype(np.int16).T / 4096
    faces = np.frombuffer(raw, "<u2", 6, offset=24).reshape(3, 2).cumsum(1).astype(np.uint16).T
    # The vertex that no face has is left out; corners are where they were, in units of the frame.
    np.testing.assert_allclose(positions[faces], mesh.vertices[mesh.faces].numpy() / 2, atol=1 / 8192)


def test_a_cloud_keeps_its_normals_beside_its_points():
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    cloud = PointCloud(points, normals=torch.nn.functional.normalize(points, dim=-1))
    solid = solid_of(cloud, Frame(torch.zeros(3), 1.0))
    assert solid.normals is not None
    assert torch.allclose(torch.nn.functional.normalize(solid.positions, dim=-1), solid.normals, atol=1e-5)


def test_a_page_above_its_limit_leaves_objects_out_and_says_which(run, page, made_once, tmp_path, capsys):
    whole = len(page.encode())
    limit = (whole - 1000) / 1e6
    out = write_report(ReportConfig((run,), out=tmp_path / "r.html", limit_mb=limit, heats=("hires-cam",)))
    small = out.read_text("utf-8")
    assert len(small.encode()) <= whole - 1000
    shown = [one["name"] for one in element(small, "index")["objects"]]
    (gone,) = {EVIL, "flat-1", "flat-2"} - set(shown)
    told = capsys.readouterr().err
    assert "1 of 3 chosen objects are left out" in told and gone in told and "--limit-mb allows more" in told
    assert "1 of 3 chosen objects are left out" in small
    with pytest.raises(ValueError, match=r"without a single object in 3D, and --limit-mb is 0\.01; allow more"):
        write_report(ReportConfig((run,), out=tmp_path / "s.html", limit_mb=0.01, objects=1, heats=()))
    assert not (tmp_path / "s.html").exists()


def test_the_worst_the_best_and_the_median_come_first_when_not_all_are_shown(run):
    comparison = compared(read_evaluations([run], "report"))
    (measured,), first = comparison.runs, comparison.methods[0]
    scores = measured.values(first.name, "F@0.05")
    ranked = sorted(scores, key=lambda id: (scores[id], id))
    assert chosen_objects(comparison, 3)[:3] == [ranked[0], ranked[-1], ranked[1]]
    assert chosen_objects(comparison, 1) == ranked[:1]
    assert sorted(chosen_objects(comparison, 60)) == sorted(scores)


def test_a_run_without_an_evaluation_is_told_the_command_that_makes_it(run, data, tmp_path):
    other = tmp_path / "other"
    save_model(build(MULTI), other, {"train": {"data": str(data)}, "step": 7})
    with pytest.raises(FileNotFoundError, match=r"no evaluation; make it with `maquette evaluate \S*other`"):
        write_report(ReportConfig((other,)))
    command = rf"`maquette evaluate {other} --data {data} --split test --protocol cmu2025`"
    with pytest.raises(FileNotFoundError, match=command):
        write_report(ReportConfig((run, other), out=tmp_path / "r.html"))


def test_data_that_are_gone_or_others_are_told(run, data, made_once, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere: the data set .* is not there; say with --data where it lies"
    ):
        write_report(ReportConfig((run,), data=tmp_path / "nowhere"))
    other = write_boxes(tmp_path / "boxes", [("another", "box", "test", FLAT)])
    with pytest.raises(ValueError, match="3 of 3 measured objects are not in boxes"):
        write_report(ReportConfig((run,), data=other))
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    out = write_report(ReportConfig((run,), data=moved, out=tmp_path / "r.html", objects=1, heats=()))
    text = out.read_text("utf-8")
    assert len(element(text, "index")["objects"]) == 1 and "1 of 3 objects are chosen" in text


def test_a_run_that_was_trained_further_is_refused(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"step": 9}))
    with pytest.raises(ValueError, match=r"has 9 steps now and had 7 when it was measured; evaluate it again"):
        write_report(ReportConfig((other,)))


@pytest.mark.slow
def test_the_bundled_network_is_reported_by_one_command(data, tmp_path):
    out = write_report(ReportConfig(data=data, out=tmp_path / "bundled.html"))
    text = out.read_text("utf-8")
    assert "<h1>bundled network: report</h1>" in text and "<h2>Where it fails</h2>" in text
    assert re.search(r"<th>(<span[^>]*></span>)?mean shape</th>", text)
    assert len(element(text, "index")["methods"]) == 4 and len(element(text, "index")["heats"]) == 2
    # The evaluation beside it makes the page again.
    assert (tmp_path / "bundled-evaluation" / "scores.json").is_file()


def test_settings_that_make_no_sense_are_refused(run):
    with pytest.raises(ValueError, match="give RUN, or --data"):
        ReportConfig()
    with pytest.raises(ValueError, match="give --out"):
        ReportConfig(data=run)
    with pytest.raises(ValueError, match=r"give a name that ends in \.html"):
        ReportConfig((run,), out=Path("page.pdf"))
    with pytest.raises(ValueError, match="given twice"):
        write_report(ReportConfig((run, run), out=Path("r.html")))


@pytest.mark.parametrize("command", ["diagnose x", "robustness x", "latent map --out x", "report x", "evaluate --out x",
                                     "explain x.png --out x"])  # fmt: skip
def test_a_device_that_is_not_there_is_one_line_that_says_what_is(command, capsys):
    # torch knows no banana, and no machine so many GPUs; data on "meta" cannot be read.
    for device in ("banana", "cuda:99", "meta"):
        assert cli.main([*command.split(), "--device", device]) == 2
        told = capsys.readouterr().err
        name = command.partition(" x")[0].partition(" --")[0]
        assert told.startswith(f"maquette: {name}: device '{device}' cannot be used: ") and told.count("\n") == 1
        assert "this machine has cpu" in told


# -------------------------------------------------------------------------------------------------------- in a browser

LOOK = """() => new Promise(done => {
  stage.ask();  // whose frame comes first; what it has drawn can be read until the frame ends
  requestAnimationFrame(() => {
    const canvas = document.getElementById("stage"), whole = canvas.getBoundingClientRect();
    const boxes = [...document.querySelectorAll(".panel .view")].map(view => view.getBoundingClientRect());
    const places = boxes.map(box => [box.left - whole.left, box.top - whole.top, box.width]);
    done([canvas.toDataURL(), places, canvas.width / whole.width]);
  });
})"""
INPUT, TRUTH, VOXELS, POINTS, MESH = range(5)


@pytest.fixture(scope="module")
def desktop(opened, report_file):
    """The page on a screen as wide as a table."""
    page = opened(report_file, 800, 600)
    page.wait_for_selector("#panels[data-object]")
    return page


def panels(page) -> list[np.ndarray]:
    """H x W x 4 of the canvas in each panel: nothing in that of the input, the truth, then the predictions."""
    data, places, ratio = page.evaluate(LOOK)
    canvas = np.asarray(Image.open(BytesIO(base64.b64decode(data.partition(",")[2])))).astype(int)
    found = []
    for place in places:
        x, y, side = (round(ratio * length) for length in place)
        found.append(canvas[y : y + side, x : x + side])
    return found


def covered(picture: np.ndarray) -> float:
    """The share of a panel in which something is drawn."""
    return float((picture[..., 3] > 0).mean())


def test_choosing_an_object_shows_input_truth_and_every_prediction(desktop):
    captions = desktop.locator(".panel figcaption").all_inner_texts()
    assert [caption.split()[-1] for caption in captions[1:]] == ["truth", "voxels", "points", "mesh"]
    assert desktop.locator(".panel img").count() == 1  # the input
    # A network that has learnt nothing still answers with a cloud and with a sphere.
    shares = [covered(picture) for picture in panels(desktop)]
    assert shares[INPUT] == 0 and min(shares[number] for number in (TRUTH, POINTS, MESH)) > 0.03
    assert desktop.evaluate("window.contexts") == 1
    desktop.locator(".item", has_text="flat-2").click()
    desktop.wait_for_function("document.getElementById('name').textContent === 'flat-2'")
    assert desktop.locator(".item.chosen").count() == 1


def test_what_is_drawn_is_seen(desktop):
    # The canvas lies over the panels' background, a gradient from light to light.
    view = desktop.locator(".panel .view").nth(TRUTH)
    shot = np.asarray(Image.open(BytesIO(view.screenshot())).convert("RGB")).astype(int)
    seen = float((np.abs(shot - shot[:, :1]).max(-1) > 24).mean())
    assert seen == pytest.approx(covered(panels(desktop)[TRUTH]), abs=0.03)


def test_one_drag_turns_all_panels(desktop):
    before = panels(desktop)
    azimuth = float(desktop.get_attribute("#panels", "data-azimuth"))
    view = desktop.locator(".panel .view").nth(TRUTH)
    view.scroll_into_view_if_needed()
    box = view.bounding_box()
    desktop.mouse.move(box["x"] + 20, box["y"] + 60)
    desktop.mouse.down()
    desktop.mouse.move(box["x"] + 120, box["y"] + 60)
    desktop.mouse.up()
    # 100 pixels to the right turn the camera by a radian to the left.
    assert float(desktop.get_attribute("#panels", "data-azimuth")) == pytest.approx(azimuth - 1, abs=0.01)
    changed = [bool((now != then).any()) for now, then in zip(panels(desktop), before, strict=True)]
    assert changed == [False, True, covered(before[VOXELS]) > 0, True, True]


def test_errors_are_drawn_in_the_colours_of_the_scale(desktop):
    assert desktop.locator("#scale").is_hidden()
    grey = panels(desktop)[TRUTH]
    desktop.click("#error")
    assert desktop.locator("#scale").is_visible()
    hot = panels(desktop)[TRUTH]
    # Nothing that an unlearnt network answers is near the truth: its points are red, which stone is not.
    assert (hot[..., 0] - hot[..., 2]).max() > 100 > (grey[..., 0] - grey[..., 2]).max()
    assert "missed by" in desktop.locator(".panel").nth(TRUTH).inner_text()
    desktop.click("#own")
    assert (panels(desktop)[TRUTH] == grey).all()


def test_the_catalogue_is_sorted_by_score_and_filtered_by_class(desktop):
    for order, sign in (("worst", 1), ("best", -1)):
        desktop.select_option("#order", order)
        scores = [float(text) for text in desktop.locator(".item b").all_inner_texts()]
        assert scores == sorted(scores, key=lambda score, sign=sign: sign * score)
    desktop.select_option("#class", "flat")
    assert desktop.locator(".item:visible").count() == 2
    assert desktop.inner_text("#count") == "2 of 3 objects"
    desktop.select_option("#class", "")


def test_a_name_that_is_a_script_is_shown_and_not_run(desktop):
    desktop.locator(".item", has_text="alert").click()
    desktop.wait_for_function("document.getElementById('name').textContent.includes('alert')")
    assert desktop.inner_text("#name") == EVIL
    assert desktop.inner_text("#category") == CLOSING


def test_a_heat_map_lies_over_the_input_when_it_is_asked_for(desktop):
    choice = desktop.locator(".panel select").first
    before = desktop.locator(".panel img").first.get_attribute("src")
    choice.select_option(label="HiResCAM, voxels")
    assert desktop.locator(".panel img").first.get_attribute("src") != before
    desktop.locator(".panel select").first.select_option(label="input")
    assert desktop.locator(".panel img").first.get_attribute("src") == before


def test_a_phone_shows_everything_without_scrolling_sideways(desktop, page):
    # The page is as wide as the phone says, and not as wide as a desk.
    assert re.search(r'<meta name="viewport" content="width=device-width', page)
    desktop.set_viewport_size({"width": 390, "height": 844})
    assert desktop.evaluate("document.documentElement.scrollWidth") == 390
    boxes = [view.bounding_box() for view in desktop.locator(".panel .view").all()]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 390 for box in boxes)
    assert min(box["width"] for box in boxes) > 140  # two in a row
    desktop.click("#error")
    assert desktop.evaluate("document.documentElement.scrollWidth") == 390
    assert covered(panels(desktop)[TRUTH]) > 0.03
