"""Moulding by silhouettes: shapes, cameras and colours come back; a fit can stop, go on, and fail clearly."""

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from maquette import cli, transforms
from maquette.camera import Camera
from maquette.checkpoints import load_checkpoint
from maquette.fitting import descent, fit, unit_from_target
from maquette.fitting.colors import ColoredVertices, Textured, color_error, colored
from maquette.fitting.moulding import Fixed, Subdivided
from maquette.fitting.optimizers import Adam, Sgd
from maquette.fitting.poses import FixedPoses, RefinedPoses, corrected, without_gauge
from maquette.fitting.record import Record
from maquette.fitting.silhouettes import (
    AGREED,
    MISSING,
    SURPLUS,
    UNSEEN,
    FitSilhouettes,
    LargeSteps,
    SilhouetteFit,
    fit_silhouettes,
    in_frame,
    view_ious,
    with_outlines,
)
from maquette.fitting.views import Fibonacci, Grid, Views, load_views, render_views
from maquette.io import load, save, write_picture
from maquette.losses import silhouette_mse
from maquette.registration import Similarity, umeyama
from maquette.rendering import Antialias, Dibr, Soft
from maquette.rendering.coverage import coverage
from maquette.shapes import Mesh, VertexColors, bounds, ico_sphere, to_mesh, transform
from maquette.shapes.mesh import unit

ELLIPSOID = torch.tensor([1.0, 0.6, 0.4])


def ellipsoid(level: int = 3) -> Mesh:
    sphere = ico_sphere(level)
    return Mesh(sphere.vertices * ELLIPSOID, sphere.faces)


def turned() -> Mesh:
    """Its axes are not those of the box that a fit starts from."""
    turn = transforms.rotation_from_vector(torch.tensor([0.3, 0.5, 0.7]))
    return Mesh(ellipsoid().vertices @ turn.T, ellipsoid().faces)


@pytest.fixture(autouse=True)
def fewer_samples(monkeypatch):
    """Of the final scores, whose precision is not what is tested here; and fewer and smaller pictures of the film."""
    monkeypatch.setattr("maquette.fitting.record.FILMED", 2)
    monkeypatch.setattr("maquette.fitting.film.SIDE", 48)
    monkeypatch.setattr("maquette.fitting.measure.SAMPLES", 2000)


@pytest.fixture
def target(tmp_path):
    """Far from the origin, and large: a fit is the same in any frame."""
    path = tmp_path / "ellipsoid.ply"
    save(Mesh(ellipsoid().vertices * 40 + 300, ellipsoid().faces), path)
    return path


def small(tmp_path, target, **changes) -> FitSilhouettes:
    config = FitSilhouettes(
        out=tmp_path / "fit", render=target, cameras=Fibonacci(views=10), growth=Fixed(2), size=40, steps=60, unseen=4
    )
    return replace(config, **changes)


def results(config: FitSilhouettes) -> dict:
    return json.loads((config.out / "results.json").read_text())


def looped(views: Views, config: FitSilhouettes) -> SilhouetteFit:
    """A fit as a loop of one's own."""
    task = SilhouetteFit(views, config)
    for _ in fit(task.objective, task.optimizer, config.steps):
        pass
    return task


@pytest.mark.parametrize("optimizer", [pytest.param(Adam(lr=0.02), marks=pytest.mark.slow), LargeSteps(lr=0.2)])
def test_a_sphere_takes_the_outlines_of_an_ellipsoid_in_views_it_has_not_seen(tmp_path, optimizer):
    views = render_views(turned(), Fibonacci(views=10), 40)
    unseen = render_views(turned(), Fibonacci(views=4, turn_deg=60.0), 40)
    task = looped(views, small(tmp_path, tmp_path, optimizer=optimizer))
    # A row of pixels around an outline of 25 x 13 would be 0.75; at first the sphere fills the hull's box.
    assert float(view_ious(task.mesh(), task.views()).mean()) > 0.95
    assert float(view_ious(task.mesh(), in_frame(unseen, task.unit)).mean()) > 0.93


def test_the_result_is_in_the_frame_of_the_mesh_that_was_rendered(tmp_path, target):
    config = small(tmp_path, target, steps=8, growth=Fixed(1))
    fit_silhouettes(config)
    low, high = bounds(load(config.out / "result.glb"))
    torch.testing.assert_close(low, 300 - 40 * ELLIPSOID, atol=6.0, rtol=0)
    torch.testing.assert_close(high, 300 + 40 * ELLIPSOID, atol=6.0, rtol=0)
    scores = results(config)
    assert scores["unseen_views"] == 4
    assert 0 < scores["target_chamfer"] < scores["chamfer"] < 0.1
    for name in ("moulding.gif", "curves.png", "metrics.jsonl", "config.json"):
        assert (config.out / name).stat().st_size > 0


@pytest.mark.parametrize("edges", [Soft(), Dibr(), Antialias()])
def test_every_kind_of_edge_brings_the_outlines_nearer(tmp_path, edges):
    views = render_views(turned(), Fibonacci(views=10), 40)
    config = small(tmp_path, tmp_path, edges=edges, steps=12)
    before = view_ious(SilhouetteFit(views, config).mesh(), views).mean()
    task = looped(views, config)
    assert float(view_ious(task.mesh(), task.views()).mean()) > float(before) + 0.1


@pytest.mark.slow
def test_a_stopped_fit_goes_on_with_the_losses_it_would_have_had(tmp_path, target, monkeypatch):
    """Across a change of level, with cameras that move: their moments and the draws of views go on, too."""
    whole = small(
        tmp_path, target, growth=Subdivided(1, 2, 0.5), steps=12, poses=RefinedPoses(after=0.0), out=tmp_path / "whole"
    )
    fit_silhouettes(whole)
    parts = replace(whole, out=tmp_path / "parts")
    taken = Record.step

    def interrupted(self, step, *rest):
        taken(self, step, *rest)
        if step.index == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(Record, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_silhouettes(parts)
    monkeypatch.setattr(Record, "step", taken)
    fit_silhouettes(replace(parts, resume=True))
    ours, expected = ((config.out / "metrics.jsonl").read_text().splitlines() for config in (parts, whole))
    assert len(ours) == 12
    for a, b in zip(ours, expected, strict=True):
        assert json.loads(a) == pytest.approx(json.loads(b), rel=1e-5)


@pytest.mark.slow
def test_the_cow_is_found_from_20_silhouettes(tmp_path, maquette_data):
    """A fifth of the steps that the documentation gives it."""
    cow = load(maquette_data / "meshes" / "cow" / "cow.obj")
    cow = to_mesh(transform(cow, unit_from_target(cow)))
    task = looped(render_views(cow, Fibonacci(), 128), FitSilhouettes(out=tmp_path, render=tmp_path, steps=400))
    unseen = in_frame(render_views(cow, UNSEEN, 128), task.unit)
    assert float(view_ious(task.mesh(), unseen).mean()) > 0.97


# Cameras -------------------------------------------------------------------------------------------------------------


def bumpy(level: int) -> Mesh:
    """An ellipsoid with three bumps: outlines of one without look alike from too many sides."""
    sphere = ico_sphere(level)
    towards = torch.nn.functional.normalize(torch.tensor([[1.0, 0.3, 0.2], [-0.3, 1.0, 0.5], [-0.5, -0.6, 0.8]]), dim=1)
    bumps = 1 + 0.6 * torch.exp(-8 * (1 - sphere.vertices @ towards.T)).sum(1, keepdim=True)
    return Mesh(sphere.vertices * ELLIPSOID * bumps, sphere.faces)


def with_limbs(level: int) -> Mesh:
    """An ellipsoid with six limbs of different lengths, which tell cameras apart as an animal's do."""
    sphere, lengths = ico_sphere(level), torch.tensor([1.0, 0.7, 0.9, 0.8, 0.6, 0.75])
    towards = torch.tensor(
        [[1.0, 0.3, 0.2], [-0.3, 1.0, 0.5], [-0.5, -0.6, 0.8], [0.4, -0.9, -0.2], [-0.9, 0.1, -0.3], [0.2, 0.4, -1.0]]
    )
    cosines = sphere.vertices @ torch.nn.functional.normalize(towards, dim=1).T
    limbs = (lengths * torch.exp(-16 * (1 - cosines))).sum(1, keepdim=True)
    return Mesh(sphere.vertices * ELLIPSOID * (1 + limbs), sphere.faces)


@pytest.mark.slow
def test_a_camera_that_stands_wrong_is_found_again(tmp_path):
    """One of ten stands 0.13 units aside, which moves its picture by nearly 2 pixels."""
    views = render_views(bumpy(3), Fibonacci(views=10), 40)
    twist = torch.zeros(10, 6)
    twist[4, :2] = torch.tensor([0.12, 0.06])
    wrong = replace(views, cameras=corrected(views.cameras, twist))

    def apart(found: Views, k: int) -> float:
        """Mean distance in pixels of the shape's points in view k."""
        points = bumpy(1).vertices
        return float((found.cameras[k].project(points) - views.cameras[k].project(points)).norm(dim=-1).mean())

    config = small(tmp_path, tmp_path, optimizer=Adam(lr=0.02), poses=RefinedPoses(lr=5e-3), steps=100, batch=3)
    task = looped(wrong, config)
    found = in_frame(task.views(), task.unit.inverse())
    assert apart(wrong, 4) > 1.5
    assert apart(found, 4) < 0.5 * apart(wrong, 4)
    # The shape and the others' frame follow the wrong one a little.
    assert max(apart(found, k) for k in range(10) if k != 4) < 0.6
    task = looped(wrong, replace(config, poses=FixedPoses(), steps=2))
    still = in_frame(task.views(), task.unit.inverse()).cameras
    torch.testing.assert_close(still.position, wrong.cameras.position, atol=1e-5, rtol=0)


def test_cameras_wait_and_then_move_at_a_rate_that_falls_from_its_peak_to_zero():
    poses = RefinedPoses(lr=0.03, after=0.2)
    rates = [poses.rate(progress) for progress in (0.0, 0.19, 0.2, 0.6, 1.0)]
    assert rates == pytest.approx([0.0, 0.0, 0.03, 0.015, 0.0], abs=1e-12)


def test_the_cameras_that_were_found_are_saved_and_read_beside_the_pictures(tmp_path):
    views = render_views(bumpy(2), Fibonacci(views=4), 24)
    folder = tmp_path / "views"
    folder.mkdir()
    for k, mask in enumerate(views.masks):
        write_picture(mask[..., None].float(), folder / f"{k}.png")
    config = FitSilhouettes(
        out=tmp_path / "fit", folder=folder, cameras=Fibonacci(views=4), growth=Fixed(1), size=24, steps=3,
        poses=RefinedPoses(after=0.0),
    )  # fmt: skip
    fit_silhouettes(config)
    task = looped(load_views(folder, config.cameras), config)
    found = in_frame(task.views(), task.unit.inverse()).cameras
    assert float((found.position - views.cameras.position).norm(dim=-1).min()) > 1e-3
    (config.out / "cameras.json").rename(folder / "cameras.json")
    read = load_views(folder)
    assert read.cameras.size == found.size
    for name in ("world_from_cam", "focal", "center"):
        torch.testing.assert_close(getattr(read.cameras, name), getattr(found, name), atol=1e-5, rtol=1e-5)


def in_own_axes(twists, cameras):
    """Motions in the world's axes, as `corrected` takes them."""
    into = cameras.world_from_cam[:, :3, :3].mT
    return torch.cat([(into @ part[..., None])[..., 0] for part in twists.split(3, 1)], 1)


def test_motions_that_pictures_cannot_tell_are_taken_off():
    cameras = render_views(ellipsoid(1), Fibonacci(views=12), 8).cameras
    common = torch.tensor([0.3, -0.1, 0.2, 0.02, 0.01, -0.03]).expand(12, 6)
    nothing = torch.zeros(12, 6)
    torch.testing.assert_close(without_gauge(in_own_axes(common, cameras), cameras), nothing, atol=1e-6, rtol=0)
    apart = cameras.position - cameras.position.mean(0)
    growing = in_own_axes(torch.cat([0.1 * apart, torch.zeros(12, 3)], 1), cameras)
    torch.testing.assert_close(without_gauge(growing, cameras), nothing, atol=1e-6, rtol=0)
    one = torch.zeros(12, 6)
    one[3, 5] = 0.1
    assert float(without_gauge(one, cameras)[3, 5]) == pytest.approx(0.1 * 11 / 12, rel=1e-4)


def test_a_growth_of_the_world_is_told_from_turns_that_move_cameras_which_stand_on_one_side(generator):
    """A turn moves a camera at p by turn x p: of motions that undo it and add a growth, the growth is taken off."""
    cameras = render_views(ellipsoid(1), Grid(around=4, elevations_deg=(50.0,)), 8).cameras
    position = cameras.position
    turns = 0.1 * torch.randn(4, 3, generator=generator)
    turns = turns - turns.mean(0)
    swept = torch.linalg.cross(turns, position)
    growing = 0.2 * (position - position.mean(0)) - swept
    kept = without_gauge(in_own_axes(torch.cat([growing, turns], 1), cameras), cameras)
    expected = in_own_axes(torch.cat([swept.mean(0) - swept, turns], 1), cameras)
    torch.testing.assert_close(kept, expected, atol=1e-6, rtol=0)


def test_a_correction_shifts_a_camera_along_its_own_axes_and_turns_it_about_the_origin():
    cameras = render_views(ellipsoid(1), Fibonacci(views=3), 8).cameras
    twists = torch.zeros(3, 6)
    twists[0, :3] = torch.tensor([0.1, 0.2, 0.3])
    twists[1, 5] = math.pi / 2
    moved, origin = corrected(cameras, twists), torch.zeros(1, 3)
    shift = cameras.world_from_cam[0, :3, :3] @ twists[0, :3]
    torch.testing.assert_close(moved.position[0], cameras.position[0] + shift, atol=1e-6, rtol=0)
    # A quarter turn about its own viewing axis: the origin, which is looked at, stays, x becomes y.
    torch.testing.assert_close(moved[1].project(origin), cameras[1].project(origin), atol=1e-4, rtol=0)
    torch.testing.assert_close(moved.world_from_cam[1, :3, 0], cameras.world_from_cam[1, :3, 1], atol=1e-6, rtol=0)
    assert torch.equal(moved.position[2], cameras.position[2])


def shaken(cameras: Camera) -> Camera:
    """Each camera turned by 3 degrees and shifted by 5 % of its distance, at random."""
    turns, shifts = (unit(torch.randn(2, len(cameras.position), 3, generator=torch.Generator().manual_seed(0)))).unbind(
        0
    )
    shift = 0.05 * cameras.position.norm(dim=-1, keepdim=True) * shifts
    pose = cameras.world_from_cam.clone()
    pose[:, :3, :3] = transforms.rotation_from_vector(math.radians(3) * turns) @ pose[:, :3, :3]
    pose[:, :3, 3] += shift
    return replace(cameras, world_from_cam=pose)


def wrong_by(found: Camera, true: Camera) -> tuple[Similarity, float, float]:
    """What takes `found` nearest to `true` as one body; mean errors in degrees and in parts of the distance."""

    def body(cameras: Camera) -> Tensor:
        reach = cameras.position.norm(dim=-1).mean()
        tips = cameras.position[:, None] + reach * cameras.world_from_cam[:, :3, :3].mT
        return torch.cat([cameras.position[:, None], tips], 1).reshape(-1, 3)

    alike = umeyama(body(found), body(true))
    turn = alike.rotation @ found.world_from_cam[:, :3, :3] @ true.world_from_cam[:, :3, :3].mT
    degrees = transforms.vector_from_rotation(turn).norm(dim=-1).rad2deg().mean()
    away = (alike.apply(found.position) - true.position).norm(dim=-1) / true.position.norm(dim=-1)
    return alike, float(degrees), float(away.mean())


def test_outlines_bring_shaken_cameras_back_to_a_shape_that_is_known():
    """2 pixels off become less than half of one; at 40 pixels, outlines that are drawn by centres tell no more."""
    mesh, steps = bumpy(2), 30
    views = render_views(mesh, Fibonacci(views=6), 40)
    wrong, twists = shaken(views.cameras), torch.zeros(6, 6, requires_grad=True)
    optimizer, points = descent.Adam([twists]), bumpy(1).vertices

    def objective(index: int) -> dict[str, Tensor]:
        optimizer.param_groups[0]["lr"] = RefinedPoses(lr=0.03, after=0.0).rate(index / steps)
        alpha = coverage(mesh, corrected(wrong, twists), Antialias())
        return {"silhouette_mse": silhouette_mse(alpha, views.masks).mean()}

    def pixels(cameras: Camera) -> float:
        return float((cameras.project(points) - views.cameras.project(points)).norm(dim=-1).mean())

    for _ in fit(objective, optimizer, steps):
        pass
    assert pixels(wrong) > 1.5 and pixels(corrected(wrong, twists.detach())) < 0.5


@pytest.mark.slow
def test_cameras_and_shape_are_found_together(tmp_path):
    """All cameras 3 degrees and 5 % off, of a shape with limbs: of a round one, outlines do not tell the cameras.

    What must hold: cameras end nearer to the true ones than they began, and the unseen outlines nearer to those that
    the true cameras give than to those that the wrong ones give.
    """
    views, unseen = (render_views(with_limbs(4), Fibonacci(k, turn_deg=t), 64) for k, t in ((12, 0.0), (6, 60.0)))
    wrong = replace(views, cameras=shaken(views.cameras))
    config = small(tmp_path, tmp_path, growth=Subdivided(2, 3), poses=RefinedPoses(), steps=800)

    def found(views: Views, config: FitSilhouettes) -> tuple[float, float, float]:
        """Errors of the cameras, and the unseen intersection over union, after the similarity that fits best."""
        task = looped(views, config)
        back = task.unit.inverse()
        alike, degrees, away = wrong_by(in_frame(task.views(), back).cameras, true.cameras)
        mesh = transform(transform(task.mesh(), back), alike.matrix())
        return degrees, away, float(view_ious(mesh, unseen).mean())

    true = views
    still = replace(config, poses=FixedPoses())
    _, turned_by, shifted_by = wrong_by(wrong.cameras, true.cameras)
    degrees, away, refined = found(wrong, config)
    assert degrees < turned_by and away < shifted_by
    least, most = found(wrong, still)[2], found(true, still)[2]
    assert most - refined < refined - least


# Colours -------------------------------------------------------------------------------------------------------------


def striped() -> Mesh:
    """Colours are linear in space, so that vertex colours can tell them exactly."""
    mesh = ellipsoid(2)
    return mesh.with_appearance(VertexColors((mesh.vertices / ELLIPSOID + 1) / 2))


@pytest.mark.parametrize("choice", [ColoredVertices(), pytest.param(Textured(size=128), marks=pytest.mark.slow)])
def test_colours_come_back_from_the_views(choice):
    views = render_views(striped(), Fibonacci(views=12), 48)
    unseen = render_views(striped(), Fibonacci(views=5, turn_deg=60.0), 48)
    mesh = colored(ellipsoid(2), views, choice)
    # Smoothing and what a texel rounds; grey instead would be 0.3 off.
    assert color_error(mesh, unseen) < 0.02
    if isinstance(mesh.appearance, VertexColors):
        worn = striped().appearance
        assert isinstance(worn, VertexColors)
        torch.testing.assert_close(mesh.appearance.colors, worn.colors, atol=0.06, rtol=0)


def grey_views() -> tuple[Mesh, Views]:
    grey = ellipsoid(2).with_appearance(VertexColors(torch.full((162, 3), 0.5)))
    return grey, render_views(grey, Fibonacci(views=6), 48)


def test_the_error_of_colours_is_the_root_of_the_mean_square_over_pixels_and_channels():
    grey, views = grey_views()
    assert views.rgb is not None
    other = replace(views, rgb=views.rgb + torch.tensor([0.1, -0.2, 0.2]))
    assert color_error(grey, other) == pytest.approx(math.sqrt((0.01 + 0.04 + 0.04) / 3), rel=1e-4)


def test_colours_at_the_rims_of_masks_are_those_of_the_background_and_are_left_out():
    grey, views = grey_views()
    assert views.rgb is not None
    outside = torch.nn.functional.max_pool2d((~views.masks)[:, None].float(), 3, 1, 1)[:, 0] > 0
    red = replace(views, rgb=torch.where(outside[..., None], torch.tensor([1.0, 0, 0]), views.rgb))
    appearance = colored(grey, red, ColoredVertices()).appearance
    assert isinstance(appearance, VertexColors)
    torch.testing.assert_close(appearance.colors, torch.full((162, 3), 0.5), atol=1e-3, rtol=0)


def test_what_no_view_shows_takes_the_colours_beside_it():
    views = render_views(striped(), Grid(around=1, elevations_deg=(0.0, 20.0)), 48)
    mesh = colored(ellipsoid(2), views, ColoredVertices())
    assert isinstance(mesh.appearance, VertexColors)
    assert bool(mesh.appearance.colors.isfinite().all())
    behind = mesh.appearance.colors[mesh.vertices[:, 2] < -0.3]
    assert float(behind[:, 2].min()) > 0.4, "blue grows towards the front, which is all that was seen"


def test_masks_alone_have_no_colours_to_give():
    views = replace(render_views(striped(), Fibonacci(views=4), 24), rgb=None)
    with pytest.raises(ValueError, match="masks without colours"):
        colored(ellipsoid(1), views, ColoredVertices())


# What a user meets ---------------------------------------------------------------------------------------------------


def test_intersection_over_union_is_that_of_the_pixels():
    views = render_views(ellipsoid(), Fibonacci(views=4), 32)
    assert view_ious(ellipsoid(), views).tolist() == [1.0] * 4
    half = views.masks.clone()
    half[0, :, :16] = False
    expected = int(half[0].sum()) / int(views.masks[0].sum())
    assert float(view_ious(ellipsoid(), replace(views, masks=half))[0]) == pytest.approx(expected)


def test_the_film_shows_what_is_missing_and_what_is_too_much():
    views = render_views(ellipsoid(2), Fibonacci(views=4), 32)
    plain = torch.zeros(64, 64, 3)
    shown = {
        name: [
            tuple(round(v, 3) for v in color)
            for color in with_outlines(plain, mesh, views)[:, 64:].reshape(-1, 3).tolist()
        ]
        for name, mesh in (
            ("same", ellipsoid(2)),
            ("less", Mesh(ellipsoid(2).vertices * 0.7, ellipsoid(2).faces)),
            ("more", Mesh(ellipsoid(2).vertices * 1.4, ellipsoid(2).faces)),
        )
    }
    assert set(shown["same"]) == {AGREED, (1.0, 1.0, 1.0)}
    assert MISSING in shown["less"]
    assert SURPLUS not in shown["less"]
    assert SURPLUS in shown["more"]
    assert MISSING not in shown["more"]


def test_a_folder_of_masks_is_fitted_by_the_command(tmp_path, capsys):
    views = render_views(ellipsoid(), Grid(around=4, elevations_deg=(-30.0, 30.0)), 32)
    folder = tmp_path / "views"
    folder.mkdir()
    for k, mask in enumerate(views.masks):
        write_picture(mask[..., None].float(), folder / f"{k}.png")
    out = tmp_path / "fit"
    words = ["fit", "silhouettes", str(folder), "--out", str(out), "--steps", "6", "--unseen", "2"]
    grid = ["cameras:grid", "--cameras.around", "4", "--cameras.elevations-deg", "-30", "30"]
    assert cli.main([*words, *grid, "growth:fixed", "--growth.level", "1"]) == 0
    assert "in 6 views" in capsys.readouterr().out
    assert json.loads((out / "results.json").read_text())["unseen_views"] == 2

    classes = views.masks[3].float()
    classes[:2] = 7 / 255
    write_picture(classes[..., None], folder / "3.png")
    assert cli.main([*words, "--force", *grid]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "3.png" in told
    assert "0, 7, 255" in told
    assert cli.main(["fit", "silhouettes", str(folder), "--out", str(tmp_path / "other")]) == 2
    assert "views without cameras" in capsys.readouterr().err


def test_a_diverging_fit_names_the_term_and_the_step_and_keeps_a_state(tmp_path, target):
    """Vertices that no camera sees have no gradient and a finite loss: it is their distance that tells."""
    config = small(tmp_path, target, optimizer=Sgd(lr=1e9), growth=Fixed(1), size=16)
    with pytest.raises(FloatingPointError, match=r"silhouette_mse is not finite in step \d+ .*the state after"):
        fit_silhouettes(config)
    assert torch.isfinite(load_checkpoint(config.out / "state.safetensors").tensors["vertices"]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"render": None}, "give a folder of views, or --render"),
        ({"folder": "x"}, "one of them"),
        ({"steps": 0}, "steps is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"size": 4}, "size is 4"),
        ({"optimizer": Adam(lr=-1.0)}, "optimizer.lr is -1"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(tmp_path, changes, message):
    from pathlib import Path

    if "folder" in changes:
        changes = {"folder": Path(changes["folder"])}
    with pytest.raises(ValueError, match=message):
        small(tmp_path, tmp_path / "target.ply", **changes)
