"""Every named protocol on solids whose scores follow from its definition."""

import math
from dataclasses import replace

import pytest
import torch

from maquette import transforms
from maquette.metrics import (
    CMU2022,
    CMU2025,
    MAQUETTE,
    PROTOCOLS,
    Target,
    ceiling,
    contains,
    no_scores,
    score,
)
from maquette.metrics.frames import UnitBall
from maquette.metrics.surfaces import surface_of
from maquette.shapes import Mesh, PointCloud, Voxels, cell_centers, to_mesh
from maquette.shapes.primitives import cube, ico_sphere

FRAME = torch.eye(4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def plane(height, *, count=20):
    """A unit square at a height, its points on a grid."""
    line = torch.linspace(-0.5, 0.5, count)
    x, y = torch.meshgrid(line, line, indexing="ij")
    return torch.stack([x, y, torch.full_like(x, height)], -1).reshape(-1, 3)


def flat(points):
    return Target(points, torch.tensor([0.0, 0, 1]).expand_as(points))


def ball(radius, *, count=4000, places=20_000, voxels=None):
    """A sphere's points, and places of the cube of which the ball holds some."""
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=seeded(1)), dim=-1)
    strewn = 1.1 * (torch.rand(places, 3, generator=seeded(2)) - 0.5)
    return Target(radius * normals, normals, voxels, strewn, strewn.norm(dim=-1) < radius)


# ------------------------------------------------------------------------------------------- distances and frames

UNITS = {
    "maquette": 1.0,
    "cmu2022": 1.0,
    "cmu2025": 1.0,
    "occnet": 1.0,  # the longest side is 1 already
    "atlasnet": math.sqrt(2),  # half the diagonal of the square becomes 1
    "p2m": 0.57,
    "meshrcnn": 10.0,
    "what3d": 1.0,
    "deepsdf": 1.0,
    "disn": math.sqrt(2),
}
"""By how much each protocol's frame is larger than the unit square's own."""

CHAMFERS = {
    "maquette": {"chamfer_squared_x1000": lambda d: 2000 * d**2, "chamfer_plain": lambda d: d},
    "cmu2022": {},
    "cmu2025": {},
    "occnet": {"chamfer_plain_x10": lambda d: 10 * d},
    "atlasnet": {"chamfer_squared_x1000": lambda d: 2000 * d**2},
    "p2m": {"chamfer_squared": lambda d: 2 * d**2},
    "meshrcnn": {"chamfer_squared": lambda d: 2 * d**2},
    "what3d": {},
    "deepsdf": {"chamfer_squared_x1000": lambda d: 2000 * d**2, "chamfer_squared_x1000_all": lambda d: 2000 * d**2},
    "disn": {"chamfer_squared_x1000": lambda d: 2000 * d**2},
}

DISTANCES = {
    "maquette": (0.01, 0.02, 0.03, 0.04, 0.05),
    "cmu2022": (0.01, 0.02, 0.03, 0.04, 0.05),
    "cmu2025": (0.01, 0.02, 0.03, 0.04, 0.05),
    "occnet": (),
    "atlasnet": (math.sqrt(0.001),),
    "p2m": (0.01, math.sqrt(2e-4)),
    "meshrcnn": (0.1, 0.3, 0.5),
    "what3d": (0.005, 0.01, 0.02, 0.05, 0.1, 0.2),
    "deepsdf": (),
    "disn": (0.025,),
}
"""Thresholds as distances of the frame."""


@pytest.mark.parametrize("name", UNITS)
def test_parallel_planes_are_as_far_apart_as_their_gap_in_the_protocol_s_units(name):
    # Each point's nearest is straight across, so every distance is the gap; 1/64 is exact in 32 bits.
    gap = 1 / 64
    values = score(PROTOCOLS[name], PointCloud(plane(gap)), flat(plane(0.0)), generator=seeded()).values
    found = {key: value for key, value in values.items() if key.startswith("chamfer")}
    expected = {key: of(gap * UNITS[name]) for key, of in CHAMFERS[name].items()}
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", UNITS)
def test_a_gap_counts_as_right_strictly_below_each_threshold(name):
    protocol = PROTOCOLS[name]
    assert len(protocol.thresholds) == len(DISTANCES[name])
    for number, distance in enumerate(DISTANCES[name]):
        for factor, first_right in ((0.998, number), (1.002, number + 1)):
            cloud = PointCloud(plane(factor * distance / UNITS[name]))
            values = score(protocol, cloud, flat(plane(0.0)), generator=seeded()).values
            f = [round(values[f"F@{t:g}"], 4) for t in protocol.thresholds]
            # What is farther than the grid's spacing still has its nearest straight across.
            assert f == [100.0 if k >= first_right else 0.0 for k in range(len(f))]


def test_thresholds_are_strict_in_every_protocol():
    # A threshold that 32 bits hold exactly: 1/32, and its square for those that compare squares.
    for protocol in PROTOCOLS.values():
        if protocol.name in ("cmu2022", "cmu2025", "maquette", "what3d"):
            at = replace(protocol, thresholds=(0.03125,))
            values = score(at, PointCloud(plane(0.03125)), flat(plane(0.0)), generator=seeded()).values
            assert values["F@0.03125"] == 0


@pytest.mark.parametrize("name", ["occnet", "meshrcnn", "atlasnet", "disn", "triposr"])
def test_protocols_with_a_size_of_their_own_do_not_see_that_of_the_data(name):
    cloud, target = PointCloud(plane(1 / 64)), flat(plane(0.0))
    larger = Target(7 * target.points + 3, target.normals)
    here = score(PROTOCOLS[name], cloud, target, generator=seeded()).values
    there = score(PROTOCOLS[name], PointCloud(7 * cloud.points + 3), larger, generator=seeded()).values
    assert there == pytest.approx(here, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("name", ["maquette", "cmu2022", "cmu2025", "what3d", "deepsdf", "p2m"])
def test_protocols_in_the_data_s_units_see_its_size(name):
    def f_or_distance(scale):
        target = Target(scale * plane(0.0), flat(plane(0.0)).normals)
        values = score(PROTOCOLS[name], PointCloud(scale * plane(1 / 64)), target, generator=seeded()).values
        return sum(values.values())

    assert f_or_distance(4) != pytest.approx(f_or_distance(1), rel=0.1)


def test_the_unit_balls_of_atlasnet_and_disn_have_different_middles():
    # A dense half and a sparse half: the mean leaves the middle of the box.
    points = torch.cat([plane(0.0)[plane(0.0)[:, 0] < 0].repeat(9, 1), plane(0.0)[plane(0.0)[:, 0] > 0]])
    target, cloud = flat(points), PointCloud(points + torch.tensor([0, 0, 1 / 64]))
    mean = float(points[:, 0].mean())
    farthest = math.hypot(0.5 - mean, 0.5)
    for name, unit in (("atlasnet", math.sqrt(2)), ("disn", 1 / farthest)):
        protocol = replace(PROTOCOLS[name], points=len(points))
        values = score(protocol, cloud, target, generator=seeded()).values
        assert values["chamfer_squared_x1000"] == pytest.approx(2000 * (unit / 64) ** 2, rel=1e-4)
    with pytest.raises(ValueError, match="middle is 'centre'; choose box or mean"):
        UnitBall("centre")


# ---------------------------------------------------------------------------------------------------- what is drawn


def test_pixel2mesh_compares_all_used_vertices_and_ten_thousand_true_points():
    mesh = ico_sphere(2, radius=0.3)
    loose = Mesh(torch.cat([mesh.vertices, torch.full((5, 3), 9.0)]), mesh.faces)
    result = score(PROTOCOLS["p2m"], loose, ball(0.3, count=12_000), generator=seeded())
    assert (result.own_points, result.truth_points) == (162, 10_000)
    assert result.values["precision@0.0001"] > 99


def test_disn_draws_vertices_whatever_area_they_stand_for():
    # Two squares of equal area; one of them has a hundred times the vertices.
    coarse, fine = plane(0.0, count=2), plane(1.0, count=15)
    quads = []
    for count, start in ((2, 0), (15, 4)):
        at = start + torch.arange(count * count).reshape(count, count)
        a, b, c, d = at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]
        quads += [torch.stack([a, b, c], -1).reshape(-1, 3), torch.stack([a, c, d], -1).reshape(-1, 3)]
    mesh, target = Mesh(torch.cat([coarse, fine]), torch.cat(quads)), flat(plane(1.0, count=15))
    by_vertices = score(PROTOCOLS["disn"], mesh, target, generator=seeded()).values["precision@0.025"]
    by_area = score(replace(PROTOCOLS["disn"], drawn="by area"), mesh, target, generator=seeded())
    # 225 of 229 vertices are on the true square; the standard error of 2,048 draws is 0.3 %.
    assert by_vertices == pytest.approx(100 * 225 / 229, abs=1.2)
    assert by_area.values["precision@0.025"] < 55


@pytest.mark.parametrize(("name", "count"), [("atlasnet", 2500), ("meshrcnn", 10_000), ("what3d", 10_000)])
def test_surfaces_and_truths_give_as_many_points_as_the_protocol_asks(name, count):
    result = score(PROTOCOLS[name], ico_sphere(3, radius=0.3), ball(0.3, count=12_000), generator=seeded())
    assert result.truth_points == count
    assert score(PROTOCOLS[name], PointCloud(plane(0.0)), ball(0.3), generator=seeded()).own_points == 400


@pytest.mark.parametrize("name", ["deepsdf", "occnet"])
def test_a_truth_that_holds_fewer_points_than_asked_gives_all_it_has(name):
    protocol = PROTOCOLS[name]
    result = score(protocol, ico_sphere(3, radius=0.3), ball(0.3), generator=seeded())
    assert result.truth_points == 4000 < protocol.of_truth
    assert ceiling(protocol, ball(0.3), generator=seeded()).truth_points == 4000


def test_the_chamfer_floor_of_deepsdf_is_what_its_number_of_points_leaves():
    # Nearest of n random points on area A: E d^2 = A / (pi n), each way (template spec 4.1).
    n, radius = 30_000, 0.3
    values = ceiling(PROTOCOLS["deepsdf"], ball(radius, count=n), generator=seeded()).values
    assert values["chamfer_squared_x1000"] == pytest.approx(2000 * 4 * radius**2 / n, rel=0.03)


# ----------------------------------------------------------------------------------------------------------- solids


def test_concentric_balls_share_the_cube_of_the_ratio_of_their_radii():
    # 20,000 places of which 7 % lie in the larger ball: a standard error of about 0.013.
    target = ball(0.3)
    for name in ("occnet", "maquette", "disn"):
        result = score(PROTOCOLS[name], ico_sphere(4, radius=0.24), target, generator=seeded())
        assert result.values["volume_iou"] == pytest.approx(0.8**3, abs=0.04)
        assert result.places is not None and 1000 < result.places <= 20_000


def test_a_truth_without_places_is_looked_up_in_its_cells():
    solid = cell_centers(32).norm(dim=-1) < 0.35
    target = replace(ball(0.35), voxels=solid, places=None, inside=None)
    own = score(PROTOCOLS["occnet"], Voxels(solid.float(), FRAME), target, generator=seeded())
    assert own.values["volume_iou"] == 1 and own.places == 100_000
    half = Voxels((solid & (cell_centers(32)[..., 0] > 0)).float(), FRAME)
    # Standard error of half of some 55,000 places in the ball.
    assert score(PROTOCOLS["occnet"], half, target, generator=seeded()).values["volume_iou"] == pytest.approx(
        0.5, abs=0.01
    )


def test_what_has_no_inside_has_no_iou():
    target, mesh = ball(0.3), ico_sphere(3, radius=0.3)
    for shape in (Mesh(mesh.vertices, mesh.faces[1:]), PointCloud(mesh.vertices)):
        assert "volume_iou" not in score(PROTOCOLS["occnet"], shape, target, generator=seeded()).values
    bare = Target(target.points, target.normals)
    assert "volume_iou" not in score(PROTOCOLS["occnet"], mesh, bare, generator=seeded()).values


def inside(solid, points):
    found = contains(solid, points)
    assert found is not None
    return found


def test_a_closed_mesh_its_voxels_and_a_box_contain_the_same_points():
    points = torch.rand(2000, 3, generator=seeded()) - 0.5
    in_box = (points.abs() < 0.25).all(-1)
    box = cube(side=0.5)
    cells = Voxels((cell_centers(32).abs() < 0.25).all(-1).float(), FRAME)
    halves = Voxels(torch.ones(4, 4, 4), torch.diag(torch.tensor([0.5, 0.5, 0.5, 1])))
    for solid in (box, cells, halves):
        assert inside(solid, points).equal(in_box)
    split = Mesh(box.corners().reshape(-1, 3), torch.arange(3 * len(box.faces)).reshape(-1, 3))
    assert inside(split, points).equal(in_box), "corners that only lie at the same place close the mesh, too"


# ---------------------------------------------------------------------------------------------------- course's grids


def test_protocol_cmu2022_reads_a_cell_s_middle_as_its_corner_on_the_right_axes():
    block = torch.zeros(32, 32, 32)
    block[4:10, 8:20, 12:28] = 1  # z, y, x
    ours, course = to_mesh(Voxels(block, FRAME)), surface_of(CMU2022, Voxels(block, FRAME))
    assert isinstance(course, Mesh)
    low, high = ours.vertices.aminmax(dim=0)
    torch.testing.assert_close(course.vertices.amin(0), low - 1 / 64)
    torch.testing.assert_close(course.vertices.amax(0), high - 1 / 64)


@pytest.mark.parametrize("protocol", [CMU2022, CMU2025])
def test_the_course_s_grids_are_open_where_the_solid_meets_the_box(protocol):
    slab = torch.zeros(32, 32, 32)
    slab[:, :16] = 1  # reaches five sides of the box; only the sixth has a surface
    surface = surface_of(protocol, Voxels(slab, FRAME))
    assert isinstance(surface, Mesh)
    assert float(surface.vertices[:, 1].max() - surface.vertices[:, 1].min()) < 1e-6
    full = score(protocol, Voxels(torch.ones(32, 32, 32), FRAME), ball(0.3), generator=seeded())
    assert full.failure == "a mesh without faces" and full.values["F@0.05"] == 0


# ------------------------------------------------------------------------------------------------- alignment, failure


def wedge(count=6000):
    """An L with a foot of its own: no turn about the vertical takes it to itself."""
    rng = seeded(4)
    parts = []
    for low, high in (((-0.4, -0.4, -0.1), (0.4, -0.25, 0.1)), ((-0.4, -0.4, -0.1), (-0.2, 0.3, 0.1))):
        low, high = torch.tensor(low), torch.tensor(high)
        parts.append(low + (high - low) * torch.rand(count // 2, 3, generator=rng))
    points = torch.cat(parts)
    return points[torch.randperm(len(points), generator=rng)]


def test_triposr_forgives_size_place_and_turns_about_the_vertical():
    protocol, points = replace(PROTOCOLS["triposr"], points=3000), wedge()
    target = Target(points[:3000], torch.zeros(3000, 3))
    for angle in (0.0, 0.7, 2.5, -1.9):
        turn = transforms.rotation_about("y", torch.tensor(angle))
        moved = PointCloud(3 * points[3000:] @ turn.mT + torch.tensor([5.0, 1, -2]))
        free = score(protocol, moved, target, generator=seeded()).values
        held = score(replace(protocol, alignment=None), moved, target, generator=seeded()).values
        # The box of the turned solid is another, so its normalised size is off by up to a fifth.
        assert free["F@0.2"] > 80
        assert free["chamfer_plain"] <= held["chamfer_plain"] + 0.01
    same = score(protocol, PointCloud(4 * points[3000:] + 1), target, generator=seeded()).values
    assert same["F@0.1"] > 99


def test_a_failure_under_deepsdf_counts_as_one_point_in_the_middle():
    # Points in opposite pairs on a sphere: the middle is their centre, every distance the radius.
    half = ball(0.3).points
    target = Target(torch.cat([half, -half]), torch.zeros(2 * len(half), 3))
    result = no_scores(PROTOCOLS["deepsdf"], ico_sphere(1), target, "gone")
    assert result.values == {"chamfer_squared_x1000_all": pytest.approx(1000 * 2 * 0.3**2, rel=1e-5)}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_says_its_frame_points_distances_and_what_failures_score(name):
    protocol = PROTOCOLS[name]
    said = protocol.says()
    assert said.keys() == {"frame", "points", "chamfer", "F-score", "failures"}
    assert ("squared" in said["chamfer"]) == any(c.squared for c in protocol.chamfers)
    assert ("squared" in said["F-score"]) == protocol.squared_thresholds
    assert protocol.headline in score(protocol, ico_sphere(2, radius=0.3), ball(0.3), generator=seeded()).values
    assert protocol.higher_is_better == protocol.headline.startswith("F@")


def test_the_default_protocol_is_ours():
    assert MAQUETTE.name == "maquette" and MAQUETTE.points == 10_000 and MAQUETTE.headline == "F@0.05"
    assert set(PROTOCOLS) == {*UNITS, "triposr"}
