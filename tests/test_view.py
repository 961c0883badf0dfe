"""The viewer: where shapes stand, who is served, and what it refuses."""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
import torch

from maquette.evaluate.opened import run_measured
from maquette.io import save
from maquette.models import PointsConfig, SmallEncoder, build, save_model
from maquette.models.points import PointsHead
from maquette.shapes import Mesh, PointCloud, VertexColors, Voxels, cube
from maquette.view import ViewConfig, check_port, served
from maquette.view.stage import is_empty, placed, visible


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def around(low, high):
    return torch.tensor([low, high], dtype=torch.float32)


def moved(place, point):
    """Where a point of an item is drawn."""
    return [p + place.scale * (x - m) for p, x, m in zip(place.position, point, place.middle, strict=True)]


BOXES = [around((0, 0, 0), (3, 1, 4)), around((-10, -2, -10), (-4, 4, -2))]


def test_side_by_side_shapes_stand_on_one_floor_and_have_room_to_turn():
    left, right = placed(BOXES, overlaid=False, alike=False)
    assert moved(left, (0, 0, 0))[1] == moved(right, (-10, -2, -10))[1] == 0
    # They sweep circles of the diagonals of their floors, 5 and 10, a quarter of the wider apart.
    assert left.position[2] == right.position[2] == 0
    assert right.position[0] - left.position[0] == pytest.approx(5 / 2 + 10 / 2 + 0.25 * 10)
    assert left.position[0] - 5 / 2 == pytest.approx(-(right.position[0] + 10 / 2))


def test_overlaid_shapes_keep_their_places_to_each_other():
    first, second = placed(BOXES, overlaid=True, alike=False)
    assert torch.tensor(moved(first, (1, 2, 3))).tolist() == moved(second, (1, 2, 3))


@pytest.mark.parametrize("overlaid", [False, True])
def test_shapes_of_the_same_size_have_diagonals_of_one(overlaid):
    for place, (low, high) in zip(placed(BOXES, overlaid=overlaid, alike=True), BOXES, strict=True):
        assert math.dist(moved(place, low.tolist()), moved(place, high.tolist())) == pytest.approx(1)


def test_voxels_are_drawn_as_blocks_and_colours_are_kept():
    occupancy = torch.zeros(4, 4, 4)
    occupancy[1, 2, 3] = 1
    drawn = visible(Voxels(occupancy, torch.eye(4)), (1.0, 0.5, 0.0))
    assert isinstance(drawn, Mesh) and len(drawn.faces) == 12  # a cube
    painted = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]), VertexColors(torch.eye(3)))
    assert visible(painted, (1.0, 0.5, 0.0)) is painted
    cloud = visible(PointCloud(torch.eye(3), normals=torch.eye(3)), (1.0, 1.0, 1.0))
    # A cloud's light is in its colour: most from above.
    assert isinstance(cloud, PointCloud) and cloud.colors is not None and int(cloud.colors[:, 0].argmax()) == 1
    assert is_empty(Voxels(torch.zeros(4, 4, 4), torch.eye(4))) and not is_empty(painted)


def test_what_cannot_be_viewed_is_refused(tmp_path):
    save(cube(), tmp_path / "box.ply")
    with pytest.raises(ValueError, match="nothing to look at"):
        ViewConfig()
    with pytest.raises(ValueError, match="is a folder; give one run alone"):
        ViewConfig((tmp_path, tmp_path / "box.ply"))
    with pytest.raises(ValueError, match="--data belongs to a run"):
        ViewConfig((tmp_path / "box.ply",), data=tmp_path)


def test_a_port_that_is_taken_is_told_in_a_line():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match=rf"view: 127\.0\.0\.1:{port} cannot be used: .*; choose another --port"):
            check_port("127.0.0.1", port)


@pytest.mark.slow
def test_ctrl_c_ends_the_viewer_cleanly(tmp_path):
    pytest.importorskip("viser", reason="needs viser: pip install 'maquette[view]'")
    save(cube(), tmp_path / "box.ply")
    command = [sys.executable, "-m", "maquette", "view", str(tmp_path / "box.ply"), "--port", str(free_port())]
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )
    assert program.stdout is not None
    address = program.stdout.readline().split()[0]
    assert urllib.request.urlopen(address).status == 200
    program.send_signal(signal.SIGINT)
    assert program.communicate(timeout=60)[0] == "closed\n"
    assert program.returncode == 0


@pytest.mark.slow
def test_the_viewer_is_reached_from_this_machine_alone_and_shows_each_file(tmp_path):
    pytest.importorskip("viser", reason="needs viser: pip install 'maquette[view]'")
    save(cube(), tmp_path / "box.ply")
    save(PointCloud(torch.rand(100, 3)), tmp_path / "cloud.ply")
    config = ViewConfig((tmp_path / "box.ply", tmp_path / "cloud.ply"), port=free_port())
    with served(config) as address:
        assert address == f"http://127.0.0.1:{config.port}"
        assert b"<html" in urllib.request.urlopen(address).read()
        with pytest.raises(OSError, match="cannot be used"), served(config):
            pass
    with pytest.raises(OSError):
        urllib.request.urlopen(address)


def test_an_evaluation_leads_to_its_network_also_where_both_have_moved(tmp_path):
    network = build(PointsConfig(SmallEncoder(width=8, features=16, picture_size=32), PointsHead(64, 16)))
    save_model(network, tmp_path / "moved", {})
    evaluation = tmp_path / "moved" / "evaluation"
    evaluation.mkdir()
    (evaluation / "scores.json").write_text(json.dumps({"run": {"folder": str(tmp_path / "old")}}))
    assert run_measured(evaluation) == tmp_path / "moved"
    with pytest.raises(FileNotFoundError, match="neither a run nor an evaluation"), served(ViewConfig((tmp_path,))):
        pass
