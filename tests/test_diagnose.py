"""Errors point by point, thickness, and what errors depend on: known answers."""

import itertools
import json
import math

import numpy as np
import pytest
import torch

from maquette import cli
from maquette.diagnose.breakdowns import (
    Scored,
    azimuth_bins,
    elevation_bins,
    nearness,
    objects_breakdown,
    points_breakdown,
    ranked,
    tallied,
    thickness_bins,
    thickness_names,
)
from maquette.diagnose.diagnosis import (
    BEYOND,
    DISTANCE,
    Diagnosis,
    Facts,
    Origin,
    Shown,
    read_diagnosis,
    write_diagnosis,
)
from maquette.diagnose.errors import color_ramp, error_colors, errors_between, oklab, point_errors
from maquette.diagnose.files import in_one_frame
from maquette.diagnose.thickness import local_thickness
from maquette.io import load, save
from maquette.metrics import rank_correlation, ratio
from maquette.shapes import Mesh, PointCloud, VertexColors, cube, plane, sample, transform, uv_sphere
from maquette.transforms import scale_translate

# ------------------------------------------------------------------------------------------------------ point by point


def test_every_point_of_a_plane_moved_along_its_normal_is_as_far_away_as_it_was_moved():
    line = torch.linspace(-1, 1, 21)
    x, y = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([x, y, torch.zeros_like(x)], -1).reshape(-1, 3)
    ours, theirs = point_errors(grid + torch.tensor([0.0, 0.0, 0.03]), grid)
    assert torch.allclose(ours, torch.full_like(ours, 0.03), atol=1e-6)
    assert torch.allclose(theirs, torch.full_like(theirs, 0.03), atol=1e-6)


def test_the_two_directions_are_not_exchanged():
    # A predicted point far away is wrong; a true point that nothing is near to is missed.
    ours, theirs = point_errors(torch.tensor([[0.0, 0, 0], [3.0, 0, 0]]), torch.tensor([[0.0, 0, 0], [0.0, 1, 0]]))
    assert ours.tolist() == [0, 3] and theirs.tolist() == [0, 1]


def test_concentric_spheres_are_as_far_apart_as_their_radii_differ(generator):
    inner, outer = uv_sphere(0.4, rows=48, columns=96), uv_sphere(0.5, rows=48, columns=96)
    for side in errors_between(inner, outer, points=500, generator=generator):
        # Faces lie inside of their sphere by up to 1 - cos(pi / 96) of the radius across, and as much along.
        assert torch.allclose(side.distances, torch.full((500,), 0.1), atol=2e-3)
        assert torch.allclose(side.shown_distances, torch.full_like(side.shown_distances, 0.1), atol=2e-3)


def test_a_coarse_mesh_is_cut_until_its_vertices_can_show_the_error(generator):
    # Only the middle of the large square is far from the small cube below it; its four corners are equally far.
    side, _ = errors_between(plane(2.0, 2.0), transform(cube(0.2), scale_translate(1.0, torch.tensor([0, -0.1, 0]))),
                             points=10, generator=generator)  # fmt: skip
    assert isinstance(side.shown, Mesh) and len(side.shown.vertices) > 1000
    nearest = side.shown_distances.argmin()
    assert float(side.shown_distances[nearest]) < 1e-6
    assert float(side.shown_distances.max()) == pytest.approx(0.9 * 2**0.5, abs=1e-6)


def test_colors_go_from_blue_to_red_in_equal_steps_and_stay_red_beyond_the_limit():
    blue, red = error_colors(torch.tensor([0.0, 1.0]), 0.05)
    assert blue[2] > 2 * blue[0] and red[0] > 2 * red[2]
    assert torch.equal(error_colors(torch.tensor([0.05, 7.0]), 0.05), torch.stack([red, red]))
    steps = (oklab(color_ramp())[1:] - oklab(color_ramp())[:-1]).norm(dim=-1)
    # Chords are a little shorter than the path where it turns, at the three inner colours.
    assert float(steps.min()) > 0.85 * float(steps.max())
    # Twice the limit, twice the distances: the same colours.
    distances = torch.linspace(0, 0.05, 9)
    assert torch.allclose(error_colors(distances, 0.05), error_colors(2 * distances, 0.1), atol=1e-6)


@pytest.mark.parametrize("limit", [0.0, -1.0, math.inf, math.nan])
def test_a_limit_that_is_no_distance_is_refused(limit):
    with pytest.raises(ValueError, match="limit is"):
        error_colors(torch.zeros(2), limit)


# ------------------------------------------------------------------------------------------------------------- commands


def test_the_command_writes_colored_solids_and_the_numbers(tmp_path, capsys):
    save(plane(1.0), tmp_path / "true.ply")
    moved = transform(plane(1.0), scale_translate(1.0, torch.tensor([0, 0.02, 0])))
    save(moved, tmp_path / "ours.ply")
    words = [str(tmp_path / "ours.ply"), str(tmp_path / "true.ply"), "--out", str(tmp_path / "out")]
    assert cli.main(["errors", *words, "--frames", "2", "--size", "64", "--limit", "0.01", "--points", "200"]) == 0
    numbers = json.loads((tmp_path / "out" / "errors.json").read_text())
    for direction in ("prediction_to_truth", "truth_to_prediction"):
        assert numbers[direction]["mean"] == pytest.approx(0.02, abs=1e-6)
        assert numbers[direction]["max"] == pytest.approx(0.02, abs=1e-6)
    for name in ("prediction", "truth"):
        for kind in ("ply", "glb"):
            shape = load(tmp_path / "out" / f"{name}.{kind}")
            assert isinstance(shape, Mesh) and isinstance(shape.appearance, VertexColors)
            red = error_colors(torch.tensor([1.0]), 0.01)
            assert torch.allclose(shape.appearance.colors, red.expand(len(shape.vertices), 3), atol=0.02)
    assert (tmp_path / "out" / "turntable.webp").read_bytes()[8:12] == b"WEBP"
    assert (tmp_path / "out" / "histogram.png").read_bytes().startswith(b"\x89PNG")
    assert "mean 0.02" in capsys.readouterr().out


@pytest.mark.parametrize(("frame", "expected"), [("no", 0.3), ("truth", 0.15), ("each", 0.0)])
def test_the_frame_is_the_files_or_the_truths_or_each_ones_own(frame, expected, generator):
    cloud = sample(cube(1.0), 50, generator=generator).points
    cloud = torch.cat([cube(2 / 3**0.5).vertices, cloud])  # the corners of a box with the diagonal 2
    ours, truth = in_one_frame(PointCloud(cloud + torch.tensor([0.3, 0, 0])), PointCloud(cloud), frame)
    assert isinstance(ours, PointCloud) and isinstance(truth, PointCloud)
    # The corner that was moved away from the cloud has nothing nearer than its old place.
    assert float(point_errors(ours.points, truth.points)[0].max()) == pytest.approx(expected, abs=1e-6)


def test_a_shape_without_a_surface_is_refused_in_one_line(tmp_path, capsys):
    save(plane(1.0), tmp_path / "true.ply")
    words = [str(tmp_path / "none.ply"), str(tmp_path / "true.ply"), "--out", str(tmp_path / "out")]
    assert cli.main(["errors", *words]) == 2
    assert "none.ply" in capsys.readouterr().err and not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------------------------------ thickness


def test_a_slab_is_as_thick_as_it_is_also_near_its_edges(generator):
    slab = cube(1.0)
    slab = slab.with_vertices(slab.vertices * torch.tensor([1.0, 0.1, 1.0]))
    cloud = sample(slab, 6000, generator=generator)
    assert cloud.normals is not None
    thickness = local_thickness(cloud.points, cloud.normals, 800)
    flat = cloud.normals[:800, 1].abs() > 0.5
    assert torch.allclose(thickness[flat], torch.full((int(flat.sum()),), 0.1), atol=1e-4)
    # Its narrow sides are a whole side away from each other.
    assert torch.allclose(thickness[~flat], torch.ones(int((~flat).sum())), atol=1e-4)


def test_a_sphere_is_as_thick_as_its_diameter(generator):
    points = torch.nn.functional.normalize(torch.randn(5000, 3, generator=generator), dim=-1)
    thickness = local_thickness(0.3 * points, points, 300)
    # The tangent plane at a point a half reach beside the ray is a little longer: reach^2 / (4 * radius).
    assert torch.allclose(thickness, torch.full((300,), 0.6), atol=2e-3)


def test_points_without_a_far_side_have_no_thickness(generator):
    cloud = sample(plane(1.0), 500, generator=generator)
    assert cloud.normals is not None
    assert bool(local_thickness(cloud.points, cloud.normals, 10).isnan().all())
    assert thickness_bins(torch.tensor([math.nan, 0.0, 0.01, 0.5])).tolist() == [-1, 0, 1, len(thickness_names()) - 1]


# ----------------------------------------------------------------------------------------------------------- breakdowns


def test_a_share_by_part_is_over_all_points_of_the_part_and_counts_its_objects():
    labels = torch.tensor([0, 0, 0, 1])
    first = tallied(torch.tensor([0.0, 0.1, 0.3, 0.5]), labels, ("leg", "seat"), 0.2)
    second = tallied(torch.tensor([0.2]), torch.tensor([0]), ("leg", "seat"), 0.2)
    objects = [{("parts", name, "points"): tally for name, tally in one.items()} for one in (first, second)]
    found = points_breakdown(objects, "parts", "By part", "true points", ["leg", "seat"], ["points", "mesh"], 0)
    assert found is not None
    leg, seat = found.bins
    assert (leg.objects, leg.points, seat.objects, seat.points) == (2, 4, 1, 1)
    beyond, distance = leg.value("points", BEYOND), leg.value("points", DISTANCE)
    assert beyond is not None and distance is not None
    assert beyond.value == pytest.approx(50) and distance.value == pytest.approx(0.6 / 4)
    # Resampled objects are twice the first (1 of 3), twice the second (all), or both.
    assert beyond.low == pytest.approx(100 / 3) and beyond.high == pytest.approx(100)
    assert seat.few and leg.value("mesh", BEYOND) is None


def scored(id, azimuth_deg, elevation_deg, score, distance=None):
    return Scored(id, "chair", math.radians(azimuth_deg), math.radians(elevation_deg), {"points": score}, distance)


def test_the_front_has_its_sector_on_both_sides_and_unknown_cameras_are_in_none():
    objects = [scored("a", 350, 5, 1.0), scored("b", 20, -5, 3.0), scored("c", 100, 15, 5.0)]
    objects.append(scored("d", math.nan, math.nan, 9.0))
    found = objects_breakdown(objects, azimuth_bins(objects), "azimuth", "", "F@0.05", ["points"], 0)
    assert found is not None
    assert [(one.name, one.objects) for one in found.bins] == [("0°", 2), ("90°", 1)]
    front = found.bins[0].value("points", "F@0.05")
    assert front is not None and (front.value, front.low, front.high) == (2, 1, 3)
    names = [name for name, chosen in elevation_bins(objects) if chosen.any()]
    assert names == ["-10° to 0°", "0° to 10°", "10° to 20°"]


def test_scores_that_fall_with_the_distance_have_rank_correlation_minus_one():
    objects = [scored(f"{k}", 0, 0, 100 - math.exp(k), distance=0.1 * k) for k in range(10)]
    objects.append(scored("unknown", 0, 0, 0.0))
    found = nearness(objects, "chamfer_plain", "F@0.05", ["points"], 0)
    assert found is not None and len(found.dots) == 10
    (rho,) = found.correlations
    assert rho is not None and rho.value == pytest.approx(-1) and rho.high == pytest.approx(-1)
    means = [one.value("points", "F@0.05") for one in found.trend.bins]
    assert sum(one.objects for one in found.trend.bins) == 10
    assert all(a is not None and b is not None and a.value > b.value for a, b in itertools.pairwise(means))


def test_failures_are_the_worst_and_two_objects_have_no_median():
    values = {"a": 90.0, "b": 10.0, "c": 50.0, "d": 0.0}
    assert ranked(values, ["c"], True) == [("best", "a"), ("median", "b"), ("worst", "c")]
    assert ranked({"a": 0.1, "b": 0.2}, [], False) == [("best", "a"), ("worst", "b")]


def test_a_diagnosis_is_read_back_as_it_was_written(tmp_path):
    objects = [scored(f"{k}", 45 * k, 5 * k, 90.0 - k, distance=0.1 * k) for k in range(8)]
    by_azimuth = objects_breakdown(objects, azimuth_bins(objects), "azimuth", "t", "F@0.05", ["points"], 0)
    assert by_azimuth is not None
    origin = Origin("a", "runs/a", "runs/a/evaluation", "data", "8 test objects of d", "maquette", "0.1.0")
    facts = Facts(origin, "F@0.05", True, ("points",), 0.02, 0, ("a remark",))
    near = nearness(objects, "chamfer_plain", "F@0.05", ["points"], 0)
    diagnosis = Diagnosis(facts, (by_azimuth,), near, (Shown("", "best", "0", 90.0, "", ()),))
    write_diagnosis(diagnosis, tmp_path)
    assert read_diagnosis(tmp_path) == diagnosis
    (tmp_path / "diagnosis.json").write_text("{}")
    with pytest.raises(OSError, match="run `maquette diagnose` again"):
        read_diagnosis(tmp_path)


# ----------------------------------------------------------------------------------------------------------- statistics


def test_ranks_of_equal_scores_are_shared():
    # Ranks 1.5 1.5 3 4 against 1 2 3 4: Pearson's correlation of them is 4.5 / sqrt(4.5 * 5).
    found = rank_correlation(np.array([1.0, 1.0, 2.0, 7.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.value == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert rank_correlation(np.array([1, 2, 3]), np.array([9, 4, 1])).value == pytest.approx(-1)
    with pytest.raises(ValueError, match="does not vary"):
        rank_correlation(np.ones(3), np.arange(3))


def test_a_ratio_of_sums_weighs_objects_by_their_parts():
    found = ratio(np.array([1.0, 8.0]), np.array([1, 2]))
    assert found.value == pytest.approx(3) and (found.low, found.high) == pytest.approx((1, 4))
    with pytest.raises(ValueError, match="not above 0"):
        ratio(np.array([1.0]), np.array([0]))
