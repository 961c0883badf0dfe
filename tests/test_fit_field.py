"""`maquette fit field`: holes open, the result is in the target's frame, a stopped fit goes on as it would have."""

import json
import math
from dataclasses import replace

import pytest
import torch

from maquette.fitting import record
from maquette.fitting.field import FieldWeights, FitField, attraction, fit_field, outer_points
from maquette.fitting.growing_field import FREEDOM, HALF, Ball, Box, GrowingField, refined_at, start_values, started
from maquette.io import load, save
from maquette.losses import eikonal, field_laplacian, sign_change
from maquette.shapes import (
    Mesh,
    PointCloud,
    TetrahedralGrid,
    cube,
    grid_points,
    ico_sphere,
    report,
    to_mesh,
    torus,
    transform,
)
from maquette.transforms import scale_translate


@pytest.fixture(autouse=True)
def short_films(monkeypatch):
    monkeypatch.setattr(record, "FILMED", 2)


@pytest.fixture
def ring(tmp_path):
    """A torus of outer radius 35 about (100, -20, 3)."""
    path = tmp_path / "ring.ply"
    save(transform(torus(25.0, 10.0), scale_translate(1.0, torch.tensor([100.0, -20.0, 3.0]))), path)
    return path


def small(ring, out, **changes):
    return replace(FitField(ring, out, start=Ball(), resolutions=(8, 16), steps=60, samples=500, lr=0.3), **changes)


def losses(folder):
    return [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_a_ball_becomes_a_torus_in_the_frame_of_its_target(ring, tmp_path):
    fit_field(small(ring, tmp_path / "out", resolutions=(12, 24), steps=120, samples=1000, lr=0.2))
    scores = json.loads((tmp_path / "out" / "results.json").read_text())
    assert (scores["genus"], scores["euler_characteristic"], scores["components"]) == (1, 0, 1)
    assert scores["f_score"] > 90  # within 2 % of the diagonal, half a cell of so coarse a grid
    result, target = report(to_mesh(load(tmp_path / "out" / "result.glb"))), report(to_mesh(load(ring)))
    assert result.watertight and result.volume == pytest.approx(target.volume, rel=0.15)
    assert result.bounds is not None and target.bounds is not None
    for ours, theirs in zip(sum(result.bounds, ()), sum(target.bounds, ()), strict=True):
        assert ours == pytest.approx(theirs, abs=3.5)  # a cell is 3.2 wide


@pytest.mark.slow
@pytest.mark.parametrize("stopped", [4, 8])
def test_a_stopped_fit_goes_on_as_it_would_have(ring, tmp_path, monkeypatch, stopped):
    """Before the grid becomes finer, in step 5, and after."""
    config = small(ring, tmp_path / "whole", steps=10)
    fit_field(config)
    taken = record.Record.step

    def interrupted(self, step, state, optimizer):
        taken(self, step, state, optimizer)
        if step.index + 1 == stopped:
            raise KeyboardInterrupt

    broken = replace(config, out=tmp_path / "broken")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(record.Record, "step", interrupted)
        fit_field(broken)
    fit_field(replace(broken, resume=True))
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")


def test_starts_are_signed_distances():
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 0.25, 0]])
    torch.testing.assert_close(
        start_values(Ball(0.5), points, torch.ones(3)), torch.tensor([-0.5, 0.5, math.sqrt(3) - 0.5, -0.25])
    )
    torch.testing.assert_close(
        start_values(Box(), points, torch.full((3,), 0.5)), torch.tensor([-0.5, 0.5, math.sqrt(3) / 2, -0.25])
    )


def test_values_learn_in_units_of_the_grids_spacing_and_offsets_in_spacings():
    field = started(Ball(), 4, torch.ones(3), lr=0.2)
    rates = []
    for resolution, progress in ((4, 0.0), (8, 0.0), (8, 0.5), (8, 1.0)):
        if resolution > field.grid.resolution:
            field.refine(resolution)
        field.anneal(progress)
        rates.append([group["lr"] for group in field.optimizer.param_groups])
    wide, fine = 2 * HALF / 4, 2 * HALF / 8
    expected = [[0.2 * wide, 0.2], [0.2 * fine, 0.2], [0.1 * fine, 0.1], [0.0, 0.0]]
    torch.testing.assert_close(torch.tensor(rates), torch.tensor(expected), atol=1e-9, rtol=1e-6)


@pytest.mark.parametrize("offset", [0.75, 1e4])
def test_offsets_of_any_size_move_the_surface_by_less_than_their_freedom(offset):
    """A level plane, all of whose corners are lifted alike; 0.75 is 0.6 of the freedom, being 3 of 3, 4, 5."""
    points = grid_points(TetrahedralGrid(5, HALF))
    field = GrowingField(points[:, 1], torch.tensor([0.0, offset, 0.0]).expand_as(points), lr=0.1)
    vertices, spacing = field.mesh().vertices, 2 * HALF / 5
    inner = vertices[(vertices[:, ::2].abs() < HALF - 1.5 * spacing).all(1) & (vertices[:, 1].abs() < spacing)]
    assert len(inner) == 9  # of the 5 x 5 cells those away from the walls
    lifted = FREEDOM * spacing * (0.6 if offset < 1 else 1.0)
    torch.testing.assert_close(inner[:, 1], torch.full((len(inner),), lifted), atol=1e-5, rtol=0)


def test_a_finer_grid_has_the_same_linear_field_and_the_moments_of_the_coarse_one():
    slope = torch.tensor([0.2, -0.5, 0.7])
    points = grid_points(TetrahedralGrid(4, HALF))
    field = GrowingField(points @ slope, torch.zeros_like(points), lr=0.1)
    (field.values @ (points @ slope)).backward()
    field.optimizer.step()
    with torch.no_grad():
        field.values.copy_(points @ slope)
    refined_at(field, (4, 7), 3, 4.0)
    assert field.grid.resolution == 4
    refined_at(field, (4, 7), 4, 4.0)
    fine = grid_points(TetrahedralGrid(7, HALF))
    torch.testing.assert_close(field.values.detach(), fine @ slope)
    torch.testing.assert_close(field.optimizer.state[field.values]["exp_avg"], 0.1 * (fine @ slope))
    torch.testing.assert_close(field.at(torch.tensor([[0.3, -0.2, 0.9]])), torch.tensor([0.79]))


def test_the_surface_of_any_field_is_closed(generator):
    points = grid_points(TetrahedralGrid(6, HALF))
    field = GrowingField(
        torch.randn(7**3, generator=generator), 5 * torch.randn(points.shape, generator=generator), 0.1
    )
    told = report(field.mesh())
    assert told.watertight and told.winding_consistent
    assert told.volume is not None and told.volume > 0


def test_stray_surface_moves_the_field_up_in_front_of_the_target_and_down_behind_it():
    goal = PointCloud(torch.tensor([[5.0, 0, 0]]))
    for sign in (1.0, -1.0):
        field = started(Ball(), 6, torch.ones(3), lr=0.1)
        facing = replace(goal, normals=torch.tensor([[-sign, 0.0, 0.0]]))
        only = FieldWeights(chamfer=0.0, stray=1.0)
        terms = attraction(field, field.live(), facing, only, samples=200, index=0, seed=0)
        terms["stray"].backward()
        assert field.values.grad is not None
        assert bool((sign * field.values.grad <= 0).all()) and bool((field.values.grad != 0).any())


def test_points_within_other_parts_are_no_surface_and_normals_point_out():
    inner, outer = ico_sphere(2), ico_sphere(2)
    both = Mesh(
        torch.cat([inner.vertices * 0.3, outer.vertices]),
        torch.cat([inner.faces, outer.faces.flip(1) + len(inner.vertices)]),  # wound the wrong way
    )
    single = outer_points(Mesh(outer.vertices, outer.faces.flip(1)))
    assert single.normals is not None and bool(((single.normals * single.points).sum(1) > 0.9).all())
    parts = Mesh(
        torch.cat([inner.vertices * 0.3, outer.vertices]), torch.cat([inner.faces, outer.faces + len(inner.vertices)])
    )
    assert float(outer_points(parts).points.norm(dim=1).min()) > 0.9
    hollow = outer_points(both)  # a ball with a hole in it: both surfaces are seen from the space between
    assert float(hollow.points.norm(dim=1).min()) < 0.31


def test_a_distance_has_slope_one_everywhere():
    points = grid_points(TetrahedralGrid(5)).double().reshape(6, 6, 6, 3)
    direction = torch.tensor([2.0, -1.0, 2.0], dtype=torch.float64) / 3
    assert float(eikonal(points @ direction, 0.4)) == pytest.approx(0, abs=1e-12)
    assert float(eikonal(3 * points @ direction, 0.4)) == pytest.approx(4)
    assert float(field_laplacian(points @ direction, 0.4, reach=9.0)) == pytest.approx(0, abs=1e-12)
    flat = torch.zeros(3, 3, 3, requires_grad=True)
    eikonal(flat, 0.4).backward()
    assert flat.grad is not None and bool(flat.grad.isfinite().all())


def test_the_laplacian_of_a_square_is_known_near_the_surface_alone():
    points = grid_points(TetrahedralGrid(4)).double().reshape(5, 5, 5, 3)
    squares = points.square().sum(-1)  # Laplacian 6, spacing 0.5
    assert float(field_laplacian(squares, 0.5, reach=9.0)) == pytest.approx(9.0)
    assert float(field_laplacian(squares + 5, 0.5, reach=1.0)) == 0
    assert float(field_laplacian(-squares - 5, 0.5, reach=1.0)) == 0


def test_sign_changes_cost_the_cross_entropy_with_the_other_end():
    values = torch.ones(2, 2, 2, dtype=torch.float64)
    values[0, 0, 0] = -2.0
    # Three edges change sign: each -2 should be positive, each 1 negative; in spacings of one half.
    expected = math.log(1 + math.exp(4)) + math.log(1 + math.exp(2))
    assert float(sign_change(values, 0.5)) == pytest.approx(expected)
    assert float(sign_change(values.abs(), 0.5)) == 0


def test_losses_of_the_field_have_the_gradients_of_finite_differences(generator):
    values = torch.randn(4, 4, 4, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: eikonal(v, 0.3), values)
    assert torch.autograd.gradcheck(lambda v: field_laplacian(v, 0.3, reach=9.0), values)


def test_bad_input_is_told_in_one_line(ring, tmp_path):
    out = tmp_path / "out"
    for changes, message in (
        ({"steps": 0}, "steps is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"resolutions": ()}, "resolutions are"),
        ({"resolutions": (16, 8)}, "rising numbers"),
        ({"lr": -1.0}, "lr is -1"),
        ({"until": 2.0}, "until is 2"),
    ):
        with pytest.raises(ValueError, match=message):
            small(ring, out, **changes)
    with pytest.raises(ValueError, match=r"weights\.eikonal is nan"):
        FieldWeights(eikonal=math.nan)
    with pytest.raises(ValueError, match="nothing would attract"):
        FieldWeights(chamfer=0.0, stray=0.0)
    with pytest.raises(ValueError, match="radius is 2"):
        Ball(2.0)
    with pytest.raises(ValueError, match="the target has no surface"):
        outer_points(Mesh(cube().vertices, cube().faces[:0]))


def test_a_field_that_is_too_coarse_to_hold_its_surface_says_so(ring, tmp_path):
    with pytest.raises(FloatingPointError, match="the surface has vanished after 0 steps"):
        fit_field(small(ring, tmp_path / "out", start=Ball(0.01), resolutions=(5,)))
