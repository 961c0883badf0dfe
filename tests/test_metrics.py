"""Scores and protocols on solids whose answers are known."""

import math
from dataclasses import replace

import pytest
import torch

from maquette.metrics import (
    CMU2025,
    MAQUETTE,
    PROTOCOLS,
    Scores,
    Target,
    ceiling,
    chamfer_plain,
    chamfer_squared,
    f_score,
    failure_of,
    iou_of_cells,
    macro,
    match,
    match_to_itself,
    normal_consistency,
    score,
    summarise,
    voxel_iou,
)
from maquette.shapes import Mesh, PointCloud, Voxels, cell_centers, sample
from maquette.shapes.primitives import cube, ico_sphere

THRESHOLDS = (0.01, 0.02, 0.03, 0.04, 0.05)
FRAME = torch.eye(4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def plane(height, *, count=20):
    line = torch.linspace(-0.5, 0.5, count)
    x, y = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.full_like(x, height)], -1).reshape(-1, 3)


def sphere(radius, count, seed=0):
    """Points uniform on a sphere and their normals."""
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=seeded(seed)), dim=-1)
    return Target(radius * normals, normals)


def box(low, high, resolution=32):
    """Cells of the cube whose centres lie in a box."""
    centers = cell_centers(resolution)
    return ((centers > torch.tensor(low)) & (centers < torch.tensor(high))).all(-1)


# ------------------------------------------------------------------------------------------------------------- scores


def test_parallel_planes_are_as_far_apart_as_their_offset():
    matches = match(plane(0.03125), plane(0.0))
    assert chamfer_plain(matches).item() == 0.03125
    assert chamfer_squared(matches).item() == 2 * 0.03125**2
    assert f_score(matches, THRESHOLDS).f.tolist() == [0, 0, 0, 100, 100]


def test_a_distance_equal_to_the_threshold_does_not_count():
    assert f_score(match(plane(0.03125), plane(0.0)), [0.03125, 0.0313]).f.tolist() == [0, 100]


def test_half_a_surface_has_full_precision_and_half_recall():
    truth = plane(0.0)
    half = truth[truth[:, 0] < 0]
    result = f_score(match(half, truth), [0.01])
    assert result.precision.item() == 100
    assert result.recall.item() == 50
    assert result.f.item() == pytest.approx(2 * 100 * 50 / 150)


def test_a_surface_with_a_far_copy_has_half_precision_and_full_recall():
    truth = plane(0.0)
    result = f_score(match(torch.cat([truth, truth + 5]), truth), [0.01])
    assert (result.precision.item(), result.recall.item()) == (50, 100)


def test_surfaces_that_never_meet_score_zero_not_nan():
    assert f_score(match(plane(5.0), plane(0.0)), THRESHOLDS).f.tolist() == [0] * 5


def test_swapping_the_two_surfaces_swaps_precision_and_recall_and_keeps_the_rest():
    a, b = torch.rand(60, 3, generator=seeded(1)), torch.rand(40, 3, generator=seeded(2))
    there, back = match(a, b), match(b, a)
    assert torch.equal(f_score(there, [0.1]).precision, f_score(back, [0.1]).recall)
    assert torch.equal(f_score(there, [0.1]).f, f_score(back, [0.1]).f)
    torch.testing.assert_close(chamfer_squared(there), chamfer_squared(back))
    torch.testing.assert_close(chamfer_plain(there), chamfer_plain(back))


def test_scores_of_a_batch_are_scores_one_by_one():
    a, b = torch.rand(3, 30, 3), torch.rand(3, 20, 3)
    batch = match(a, b)
    for i in range(3):
        one = match(a[i], b[i])
        assert torch.equal(f_score(batch, THRESHOLDS).f[i], f_score(one, THRESHOLDS).f)
        torch.testing.assert_close(chamfer_squared(batch)[i], chamfer_squared(one))
        one_consistency = normal_consistency(one, a[i], b[i])
        torch.testing.assert_close(normal_consistency(batch, a, b)[i], one_consistency)


def test_matching_against_no_points_is_an_error():
    with pytest.raises(ValueError, match="match: 0 predicted and 4 true points"):
        match(torch.zeros(0, 3), torch.zeros(4, 3))


def test_normals_agree_as_the_cosine_of_the_angle_between_planes_and_either_side_is_right():
    points = plane(0.0)
    up = torch.tensor([0.0, 0, 1]).expand_as(points)
    tilted = torch.tensor([math.sin(0.5), 0, math.cos(0.5)]).expand_as(points)
    matches = match(points, points)
    assert normal_consistency(matches, tilted, up).item() == pytest.approx(math.cos(0.5), rel=1e-6)
    assert normal_consistency(matches, -tilted, up).item() == pytest.approx(math.cos(0.5), rel=1e-6)


def test_normals_of_random_directions_agree_by_half():
    # |cos| of an angle between uniform directions is uniform in 0..1; its standard error here is 0.29 / sqrt(4000).
    target = sphere(1.0, 2000)
    directions = sphere(1.0, 2000, seed=7).points
    matches = match(target.points, target.points)
    assert normal_consistency(matches, directions, target.points).item() == pytest.approx(0.5, abs=0.03)


def test_iou_of_nested_and_of_overlapping_boxes_is_the_ratio_of_their_volumes():
    whole, half = box((-0.5,) * 3, (0.5,) * 3), box((-0.25,) * 3, (0.25,) * 3)
    assert voxel_iou(half, whole).item() == 1 / 8
    left, middle = box((-0.5, -0.5, -0.5), (0.0, 0.5, 0.5)), box((-0.25, -0.5, -0.5), (0.25, 0.5, 0.5))
    assert voxel_iou(left, middle).item() == pytest.approx(1 / 3)
    assert voxel_iou(torch.stack([whole, left]), torch.stack([whole, ~left])).tolist() == [1, 0]


def test_iou_of_two_empty_grids_is_one():
    assert voxel_iou(torch.zeros(2, 2, 2, dtype=torch.bool), torch.zeros(2, 2, 2, dtype=torch.bool)).item() == 1


def test_a_point_is_never_its_own_neighbour_even_beside_its_twin():
    points = torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0]])
    matches = match_to_itself(points)
    assert matches.to_truth.tolist() == [0, 0, 1]
    assert matches.truth_of[:2].tolist() == [1, 0]


# ---------------------------------------------------------------------------------------------------------- protocols


@pytest.mark.parametrize("name", ["maquette", "cmu2022", "cmu2025"])
def test_the_ceiling_is_what_random_sampling_of_the_area_predicts(name):
    # Of N points on area A, a point has one of the others within t with probability 1 - exp(-pi N t^2 / A). On a sphere
    # the cap within chord t has exactly that area. Neighbouring points share neighbours, hence 5 binomial deviations.
    count, radius = 10_000, 0.345
    protocol = PROTOCOLS[name]
    values = ceiling(protocol, sphere(radius, count), generator=seeded()).values
    for t in THRESHOLDS:
        share = 1 - math.exp(-protocol.points * t**2 / (4 * radius**2))
        deviation = 500 * math.sqrt(share * (1 - share) / protocol.points)
        assert values[f"F@{t:g}"] == pytest.approx(100 * share, abs=deviation + 0.01)


def test_the_ceiling_is_what_a_second_sampling_scores():
    # Standard error of a share of 1,000 points is at most 1.6 percent; the mean distance varies by a few percent.
    protocol = replace(MAQUETTE, points=1000)
    truth, again = sphere(0.35, 1000, seed=1), sphere(0.35, 1000, seed=2)
    alone = ceiling(protocol, truth, generator=seeded()).values
    second = score(protocol, PointCloud(again.points, normals=again.normals), truth, generator=seeded()).values
    assert alone.keys() == second.keys()
    for t in THRESHOLDS:
        assert alone[f"F@{t:g}"] == pytest.approx(second[f"F@{t:g}"], abs=5)
    assert alone["chamfer_plain"] == pytest.approx(second["chamfer_plain"], rel=0.1)
    assert alone["chamfer_squared_x1000"] == pytest.approx(second["chamfer_squared_x1000"], rel=0.15)


def test_protocol_maquette_measures_the_gap_between_concentric_spheres():
    # The facets of a level-4 ico-sphere lie at most 0.4 % inside. Nearest samples add a sideways part: with 10,000
    # points on area A of the order sqrt(A / 10,000) / 2, so plain distances lie between the gap and 0.6 % above.
    target = sphere(0.3, 10_000)
    values = score(MAQUETTE, ico_sphere(4, radius=0.335), target, generator=seeded()).values
    assert 0.033 < values["chamfer_plain"] < 0.037
    assert 2 * 1000 * 0.033**2 < values["chamfer_squared_x1000"] < 2 * 1000 * 0.037**2
    assert values["F@0.03"] == 0
    assert values["F@0.04"] > 98 and values["F@0.05"] == 100
    assert values["normal_consistency"] > 0.99
    assert "iou" not in values, "this truth has no cells"


def test_protocol_maquette_scores_the_voxels_of_a_solid_near_its_surface():
    solid = cell_centers(32).norm(dim=-1) < 0.35
    target = Target(sphere(0.35, 10_000).points, sphere(0.35, 10_000).normals, solid)
    values = score(MAQUETTE, Voxels(solid.float(), FRAME), target, generator=seeded()).values
    assert values["iou"] == 1
    assert values["F@0.05"] >= 97 and values["F@0.03"] >= 97


def test_protocol_maquette_compares_closed_meshes_with_the_cells_whose_middles_they_hold():
    low, high = (0.0, -0.25, -0.5), (0.25, 0.25, 0.25)
    unit = cube()
    solid = unit.with_vertices((unit.vertices + 0.5) * (torch.tensor(high) - torch.tensor(low)) + torch.tensor(low))
    block = box(low, high)
    assert iou_of_cells(solid, block) == 1
    assert iou_of_cells(solid, box(low, (0.5, 0.25, 0.25))) == 0.5
    # What stands out of the cube has no cells: half of this block does, the other half lies in the truth.
    assert iou_of_cells(solid.with_vertices(solid.vertices - torch.tensor([0.0, 0.0, 0.375])), block) == 0.5
    # Without a face there is no inside; with doubled vertices, as at a seam, there is.
    assert iou_of_cells(Mesh(solid.vertices, solid.faces[1:]), block) is None
    apart = Mesh(solid.vertices[solid.faces.reshape(-1)], torch.arange(36).reshape(12, 3))
    assert iou_of_cells(apart, block) == 1


def test_protocol_maquette_reads_voxels_on_their_own_side_of_every_axis():
    # One small block in a corner that no turn or mirroring maps to itself, and its centre as the truth.
    block = box((0.2, -0.4, 0.0), (0.4, -0.3, 0.1))
    centers = cell_centers(32)[block]
    target = Target(centers, torch.zeros_like(centers), block)
    values = score(replace(MAQUETTE, points=500), Voxels(block.float(), FRAME), target, generator=seeded()).values
    assert values["precision@0.05"] == 100


def test_protocol_maquette_takes_a_cloud_s_own_points_repeated():
    truth = plane(0.0)
    target = Target(truth, torch.tensor([0.0, 0, 1]).expand_as(truth))
    values = score(
        replace(MAQUETTE, points=1000), PointCloud(truth + torch.tensor([0, 0, 0.025])), target, generator=seeded()
    )
    assert values.values["F@0.03"] == 100 and values.values["F@0.02"] == 0
    assert "normal_consistency" not in values.values


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (Voxels(torch.full((32, 32, 32), 0.4), FRAME), "no cell is fuller than 0.5"),
        (Voxels(torch.full((32, 32, 32), math.nan), FRAME), "32768 of 32768 numbers are not finite"),
        (Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int64)), "a mesh without faces"),
        (Mesh(torch.ones(3, 3), torch.tensor([[0, 1, 2]])), "a mesh without area"),
        (Mesh(torch.full((3, 3), math.inf), torch.tensor([[0, 1, 2]])), "9 of 9 numbers are not finite"),
        (PointCloud(torch.zeros(0, 3)), "a cloud without points"),
        (PointCloud(torch.tensor([[0.0, 0, math.nan], [0, 0, 0]])), "1 of 6 numbers are not finite"),
    ],
)
def test_a_prediction_without_a_surface_scores_zero_and_is_left_out_of_the_distances(name, shape, why):
    target = Target(sphere(0.35, 100).points, sphere(0.35, 100).normals, box((-0.2,) * 3, (0.2,) * 3))
    result = score(PROTOCOLS[name], shape, target, generator=seeded())
    assert result.failure == why
    assert all(value == 0 for key, value in result.values.items() if not key.endswith("_all"))
    assert {f"F@{t:g}" for t in PROTOCOLS[name].thresholds} <= result.values.keys()
    assert not any("chamfer" in key or "normal" in key for key in result.values if not key.endswith("_all"))
    assert ("iou" in result.values) == (not isinstance(shape, PointCloud) and name == "maquette")


def test_a_shape_with_a_surface_is_no_failure():
    assert failure_of(ico_sphere(1)) is None
    assert failure_of(PointCloud(torch.zeros(1, 3))) is None
    assert failure_of(Voxels(torch.full((2, 2, 2), 0.6), FRAME)) is None


def test_means_count_failures_as_zero_in_f_and_leave_them_out_of_chamfer():
    good = Scores({"F@0.05": 80.0, "chamfer_plain": 0.02})
    better = Scores({"F@0.05": 100.0, "chamfer_plain": 0.01})
    summary = summarise([good, better, Scores({"F@0.05": 0.0}, "a mesh without faces")])
    assert (summary.objects, summary.failures) == (3, 1)
    assert summary.means == {"F@0.05": 60, "chamfer_plain": pytest.approx(0.015)}
    assert summary.counts == {"F@0.05": 3, "chamfer_plain": 2}


def test_every_category_weighs_the_same_in_the_macro_mean():
    many, few = summarise([Scores({"F@0.05": 90.0})] * 9), summarise([Scores({"F@0.05": 50.0})])
    assert macro({"chair": many, "lamp": few}) == {"F@0.05": 70}


def test_the_same_generator_gives_the_same_scores():
    target = sphere(0.3, 3000)
    protocol = replace(MAQUETTE, points=500)
    first, again, other = (score(protocol, ico_sphere(2, radius=0.31), target, generator=seeded(s)) for s in (3, 3, 4))
    assert first == again
    assert first != other


def test_grids_of_other_cells_are_compared_by_the_volumes_they_share():
    # Boxes of half the cube's side, which both grids hold exactly; one of them lies half a box aside.
    low, high = (-0.25,) * 3, (0.25,) * 3
    truth, aside = box(low, high), box((0.0, -0.25, -0.25), (0.5, 0.25, 0.25), resolution=64)
    assert iou_of_cells(Voxels(box(low, high, resolution=16).float(), FRAME), truth) == 1
    assert iou_of_cells(Voxels(aside.float(), FRAME), truth) == pytest.approx(1 / 3)
    half_as_large = torch.diag(torch.tensor([0.5, 0.5, 0.5, 1]))
    assert iou_of_cells(Voxels(torch.ones(32, 32, 32), half_as_large), truth) == 1


def test_protocol_cmu2025_takes_a_cloud_as_it_is_with_as_many_true_points():
    # A truth of two points far apart: with as many true points as predicted ones, one, recall is all or nothing.
    truth = torch.tensor([[0.0, 0, 0], [5, 0, 0]])
    target = Target(truth, torch.zeros_like(truth))
    recalls = {
        score(CMU2025, PointCloud(truth[:1]), target, generator=seeded(s)).values["recall@0.05"] for s in range(20)
    }
    assert recalls == {0, 100}


def test_protocol_cmu2025_centres_voxels_and_mirrors_them_as_the_course_does():
    # A wedge of blocks that is its own image under no symmetry; the course reads (x, y, z) as (-z, y, -x), centred.
    solid = box((-0.4, -0.4, -0.4), (0.4, -0.2, -0.1)) | box((-0.4, -0.4, -0.4), (-0.2, 0.3, 0.0))
    points = sample(Voxels(solid.float(), FRAME), 4000, generator=seeded()).points
    as_course = torch.stack([-points[:, 2], points[:, 1], -points[:, 0]], -1) + torch.tensor([0.3, 0.1, -0.2])
    prediction = Voxels(solid.float(), FRAME)

    def f(truth):
        target = Target(truth, torch.zeros_like(truth))
        return score(replace(CMU2025, points=4000), prediction, target, generator=seeded()).values["F@0.05"]

    # Sample means differ by about 0.3 / sqrt(4000) = 0.005.
    assert f(as_course) > 99.5
    assert f(points) < 80


def test_protocol_cmu2025_leaves_meshes_where_they_are():
    target = sphere(0.3, 2000)
    moved = ico_sphere(3, radius=0.3).with_vertices(ico_sphere(3, radius=0.3).vertices + torch.tensor([0.2, 0, 0]))
    here = score(CMU2025, ico_sphere(3, radius=0.3), target, generator=seeded()).values["F@0.05"]
    there = score(CMU2025, moved, target, generator=seeded()).values["F@0.05"]
    assert here > 98 and there < 60


def test_f_of_protocol_cmu2025_has_the_course_s_epsilon():
    truth = plane(0.0)
    matches = match(truth[truth[:, 0] < 0], truth)
    assert f_score(matches, [0.01], epsilon=1e-8).f.item() == pytest.approx(2 * 100 * 50 / (150 + 1e-8), rel=1e-12)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_needs_points(name):
    with pytest.raises(ValueError, match=f"protocol {name}: points is 1"):
        replace(PROTOCOLS[name], points=1)
