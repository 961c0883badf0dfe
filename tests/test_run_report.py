"""The report of evaluated runs: what stands in the page, what is left out of it, and what it refuses."""

import base64
import json
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from maquette.diagnose.errors import point_errors
from maquette.evaluate import EvaluateConfig, evaluate_run
from maquette.models import build, save_model
from maquette.report import ReportConfig, write_report
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
    evaluate_run(EvaluateConfig(folder, pictures=0))
    return folder


@pytest.fixture(scope="module")
def page(run) -> str:
    out = write_report(ReportConfig((run,)))
    assert out == run / "evaluation" / "report.html"
    return out.read_text("utf-8")


def test_the_page_holds_scores_beside_baselines_curves_classes_trainings_and_the_environment(page):
    for title in ("Scores", "F-score curves", "Classes", "Objects", "Training", "Configuration", "Environment"):
        assert f"<h2>{title}</h2>" in page, title
    for row in ("voxels", "points", "mesh", "mean shape", "oracle", "ceiling"):
        assert re.search(rf"<th>(<span[^>]*></span>)?{row}</th>", page), row
    assert "losses of trio" in page and "seed" in page and "Protocol maquette" in page


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
    torch.testing.assert_close(torch.nn.functional.normalize(solid.positions, dim=-1), solid.normals)


def test_a_page_above_its_limit_leaves_objects_out_and_says_which(run, page, tmp_path, capsys):
    whole = len(page.encode())
    out = write_report(ReportConfig((run,), out=tmp_path / "r.html", limit_mb=(whole - 1000) / 1e6))
    small = out.read_text("utf-8")
    assert len(small.encode()) <= whole - 1000
    shown = [one["name"] for one in element(small, "index")["objects"]]
    (gone,) = {EVIL, "flat-1", "flat-2"} - set(shown)
    told = capsys.readouterr().err
    assert "1 of 3 chosen objects are left out" in told and gone in told and "--limit-mb allows more" in told
    assert "1 of 3 chosen objects are left out" in small
    with pytest.raises(ValueError, match=r"without a single object in 3D, and --limit-mb is 0\.01; allow more"):
        write_report(ReportConfig((run,), out=tmp_path / "s.html", limit_mb=0.01))
    assert not (tmp_path / "s.html").exists()


def test_the_worst_the_best_and_the_median_come_first_when_not_all_are_shown(run, tmp_path):
    out = write_report(ReportConfig((run,), out=tmp_path / "r.html", objects=1))
    text = out.read_text("utf-8")
    (only,) = element(text, "index")["objects"]
    scores = {}
    for line in (run / "evaluation" / "scores.csv").read_text().splitlines():
        if ",voxels," in line:
            id = next(name for name in (EVIL, "flat-1", "flat-2") if name.replace('"', '""') in line or name in line)
            scores[id] = line
    assert only["name"] in scores
    assert "1 of 3 objects are chosen" in text


def test_a_run_without_an_evaluation_is_told_the_command_that_makes_it(run, data, tmp_path):
    other = tmp_path / "other"
    save_model(build(MULTI), other, {"train": {"data": str(data)}, "step": 7})
    with pytest.raises(FileNotFoundError, match=r"no evaluation; make it with `maquette evaluate \S*other`"):
        write_report(ReportConfig((other,)))
    command = rf"`maquette evaluate {other} --data {data} --split test`"
    with pytest.raises(FileNotFoundError, match=command):
        write_report(ReportConfig((run, other), out=tmp_path / "r.html"))


def test_data_that_are_gone_or_others_are_told(run, data, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"nowhere: the data set .* is not there; say with --data where it lies"
    ):
        write_report(ReportConfig((run,), data=tmp_path / "nowhere"))
    other = write_boxes(tmp_path / "boxes", [("another", "box", "test", FLAT)])
    with pytest.raises(ValueError, match=r"is not what .* was measured on: .* is not there"):
        write_report(ReportConfig((run,), data=other))
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    write_report(ReportConfig((run,), data=moved, out=tmp_path / "r.html", objects=1))


def test_a_run_that_was_trained_further_is_refused(run, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"step": 9}))
    with pytest.raises(ValueError, match=r"has 9 steps now and had 7 when it was measured; evaluate it again"):
        write_report(ReportConfig((other,)))


def test_settings_that_make_no_sense_are_refused(run):
    with pytest.raises(ValueError, match="give RUN, or --data"):
        ReportConfig()
    with pytest.raises(ValueError, match="give --out"):
        ReportConfig(data=run)
    with pytest.raises(ValueError, match=r"give a name that ends in \.html"):
        ReportConfig((run,), out=Path("page.pdf"))
    with pytest.raises(ValueError, match="given twice"):
        write_report(ReportConfig((run, run), out=Path("r.html")))
