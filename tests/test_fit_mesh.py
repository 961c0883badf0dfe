"""Moulding a mesh by losses in space: what a fit promises, large steps, changes of the mesh on the way."""

import copy
import inspect
import json
import math
import sys

import pytest
import torch

from maquette import io
from maquette.checkpoints import load_checkpoint, restore_moments, save_checkpoint
from maquette.fitting import descent, fit
from maquette.fitting.descent import UniformAdam
from maquette.fitting.large_steps import roughened, smoothed, smoother
from maquette.fitting.mesh import FitMesh, MeshWeights, fit_mesh
from maquette.fitting.moulding import Fixed, Growth, Remeshed, Subdivided, begun, grown
from maquette.fitting.optimizers import Adam, LargeSteps, Optimizer, Sgd, optimizer_over, swap_parameter
from maquette.metrics import chamfer_squared, match
from maquette.shapes import Mesh, PointCloud, cube, ico_sphere, laplacian, report, sample, topology_of, transform
from maquette.transforms import rigid, rotation_about

SMALL = {"samples": 600, "steps": 40, "growth": Fixed(2)}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Two small pictures instead of sixty, no plot, and fewer points where a fit is scored."""
    monkeypatch.setattr("maquette.fitting.record.FILMED", 2)
    monkeypatch.setattr("maquette.fitting.film.SIDE", 48)
    monkeypatch.setattr("maquette.fitting.record.plot_curves", lambda metrics, out: None)
    monkeypatch.setattr("maquette.fitting.measure.SAMPLES", 3000)
    monkeypatch.setattr("maquette.fitting.mesh.POOL", 10_000)


def ellipsoid() -> Mesh:
    """Turned by 40 degrees, so that no scaling along the axes makes it of a sphere."""
    axes = torch.diag(torch.tensor([1.0, 0.35, 0.5, 1.0]))
    turn = rigid(rotation_about("z", torch.tensor(math.radians(40))), torch.zeros(3))
    return transform(ico_sphere(3), turn @ axes)


def apart(a: Mesh, b: Mesh) -> float:
    clouds = [sample(mesh, 4000, generator=torch.Generator().manual_seed(1)).points for mesh in (a, b)]
    return float(chamfer_squared(match(*clouds)))


def saved(mesh, path, scale: float = 1.0, shift: float = 0.0):
    b_from_a = torch.diag(torch.tensor([scale, scale, scale, 1.0]))
    b_from_a[:3, 3] = shift
    io.save(transform(mesh, b_from_a), path)
    return path


@pytest.mark.parametrize(
    ("optimizer", "growth"),
    [
        pytest.param(Adam(0.05), Fixed(2), marks=pytest.mark.slow),
        pytest.param(Sgd(1.0), Fixed(2), marks=pytest.mark.slow),
        pytest.param(LargeSteps(0.1, 3.0), Fixed(2), marks=pytest.mark.slow),
        (Adam(0.05), Subdivided(1, 2)),
        (LargeSteps(0.1, 3.0), Remeshed(2, 320, 2)),
    ],
)
def test_a_sphere_becomes_an_ellipsoid(tmp_path, optimizer: Optimizer, growth: Growth):
    target = saved(ellipsoid(), tmp_path / "target.ply")
    out = tmp_path / "fit"
    fit_mesh(FitMesh(target, out, optimizer, growth, samples=800, steps=60))
    before, after = apart(ico_sphere(2), ellipsoid()), apart(io.load(out / "result.glb"), ellipsoid())
    assert after < 0.1 * before
    assert json.loads((out / "results.json").read_text())["chamfer"] < 0.1 * before
    assert (out / "moulding.gif").stat().st_size > 0


def test_any_scale_and_place_gives_the_same_result_in_its_own_frame(tmp_path):
    results, scores = [], []
    for scale, shift in ((1.0, 0.0), (1024.0, 0.0), (1.0, 100.0)):
        target = saved(ellipsoid(), tmp_path / f"{scale:g}_{shift:g}.ply", scale, shift)
        out = tmp_path / target.stem
        fit_mesh(FitMesh(target, out, **SMALL | {"steps": 10}))
        results.append((io.load(out / "result.glb").vertices - shift) / scale)
        scores.append(json.loads((out / "results.json").read_text())["chamfer"])
    assert torch.allclose(results[1], results[0], atol=1e-5)  # a power of two rounds nothing
    # About 100, float32 knows coordinates to 8e-6; which points are nearest then differs here and there.
    assert torch.allclose(results[2], results[0], atol=0.05)
    assert scores[2] == pytest.approx(scores[0], rel=0.1)


@pytest.mark.parametrize(
    ("optimizer", "growth"), [(LargeSteps(), Subdivided(1, 3, until=0.8)), (Adam(), Remeshed(2, 600, 4, until=0.8))]
)
def test_a_resumed_fit_repeats_the_losses_of_one_that_was_not_stopped(tmp_path, monkeypatch, growth, optimizer):
    target = saved(ellipsoid(), tmp_path / "target.ply")
    config = {"optimizer": optimizer, "growth": growth, "samples": 200, "steps": 10}
    fit_mesh(FitMesh(target, tmp_path / "whole", **config))

    from maquette.fitting import mesh as module

    def stopping(*arguments, **named):
        for step in honest(*arguments, **named):
            yield step
            if step.index == 4:
                raise KeyboardInterrupt

    honest = module.fit
    monkeypatch.setattr(module, "fit", stopping)
    with pytest.raises(KeyboardInterrupt):
        fit_mesh(FitMesh(target, tmp_path / "cut", **config))
    monkeypatch.setattr(module, "fit", honest)
    fit_mesh(FitMesh(target, tmp_path / "cut", **config, resume=True))
    whole, cut = ((tmp_path / name / "metrics.jsonl").read_text() for name in ("whole", "cut"))
    assert whole == cut


def test_a_cloud_is_a_target_too(tmp_path):
    cloud = sample(ellipsoid(), 3000, generator=torch.Generator().manual_seed(0))
    io.save(PointCloud(cloud.points), tmp_path / "cloud.ply")
    fit_mesh(FitMesh(tmp_path / "cloud.ply", tmp_path / "fit", **SMALL))
    assert apart(io.load(tmp_path / "fit" / "result.glb"), ellipsoid()) < 0.3 * apart(ico_sphere(2), ellipsoid())


def test_every_loss_is_a_term_of_its_name(tmp_path):
    target = saved(cube(2.0), tmp_path / "cube.ply")
    names = list(MeshWeights.__dataclass_fields__)
    weights = MeshWeights(**dict.fromkeys(names, 0.01))
    fit_mesh(FitMesh(target, tmp_path / "fit", samples=300, steps=2, growth=Fixed(1), weights=weights))
    line = json.loads((tmp_path / "fit" / "metrics.jsonl").read_text().splitlines()[0])
    assert set(names) <= set(line)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"samples": 0}, "samples is 0"),
        ({"optimizer": Adam(-1.0)}, "optimizer.lr is -1"),
        ({"optimizer": Sgd(1.0, 1.0)}, "momentum is 1"),
        ({"optimizer": LargeSteps(0.1, -1.0)}, "smoothness is -1"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(tmp_path, change, told):
    with pytest.raises(ValueError, match=told):
        FitMesh(tmp_path / "a.ply", tmp_path / "out", **change)


@pytest.mark.parametrize(
    ("growth", "told"),
    [
        (lambda: Fixed(9), "growth.level is 9"),
        (lambda: Subdivided(4, 2), "growth.first is 4"),
        (lambda: Subdivided(until=0.0), "growth.until is 0"),
        (lambda: Remeshed(faces=4), "growth.faces is 4"),
        (lambda: Remeshed(times=0), "growth.times is 0"),
    ],
)
def test_a_growth_that_cannot_be_is_refused(growth, told):
    with pytest.raises(ValueError, match=told):
        growth()


def test_weights_are_not_negative_and_not_all_zero():
    with pytest.raises(ValueError, match=r"weights\.edge is -1"):
        MeshWeights(edge=-1.0)
    with pytest.raises(ValueError, match="nothing would move"):
        MeshWeights(**dict.fromkeys(MeshWeights.__dataclass_fields__, 0.0))


def test_a_cloud_without_normals_refuses_losses_of_normals(tmp_path):
    io.save(PointCloud(torch.rand(200, 3)), tmp_path / "cloud.ply")
    for name in ("chamfer_normal", "edge_normal_p2m", "quadric"):
        config = FitMesh(tmp_path / "cloud.ply", tmp_path / "fit", weights=MeshWeights(**{name: 1.0}))
        with pytest.raises(ValueError, match=r"fit mesh: .*cloud"):
            fit_mesh(config)
        assert not (tmp_path / "fit").exists()


def test_a_diverging_fit_names_the_term_and_the_step_and_keeps_a_state(tmp_path):
    target = saved(ellipsoid(), tmp_path / "target.ply")
    config = FitMesh(target, tmp_path / "fit", Sgd(1e6), Fixed(1), samples=100, steps=50)
    with pytest.raises(FloatingPointError, match=r"is not finite in step \d+ .*the state after \d+ steps is in"):
        fit_mesh(config)
    assert torch.isfinite(load_checkpoint(tmp_path / "fit" / "state.safetensors").tensors["vertices"]).all()


@pytest.mark.parametrize(("lr", "weights"), [(30.0, {}), (3.0, {"chamfer": 0.0, "edge": 100.0})])
def test_a_mesh_that_grows_or_shrinks_out_of_the_frame_of_its_quadrics_diverges(tmp_path, lr, weights):
    """The loss itself refuses points in another frame, which here is no mistake of the caller's."""
    target = saved(ellipsoid(), tmp_path / "target.ply")
    weighted = MeshWeights(quadric=1.0, **weights)
    config = FitMesh(target, tmp_path / "fit", Sgd(lr), Fixed(1), weighted, samples=100, steps=50)
    with pytest.raises(FloatingPointError, match=r"quadric is not finite in step \d+ .*the state after"):
        fit_mesh(config)


def test_the_solve_of_large_steps_is_that_of_the_dense_matrix():
    mesh = ico_sphere(2)
    topology = topology_of(mesh.faces)
    dense = torch.eye(162) - 7.0 * laplacian(mesh, "graph", topology).to_dense()
    values = torch.randn(162, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ours = smoother(topology, 162, 7.0)
    assert torch.allclose(smoothed(ours, values), torch.linalg.solve(dense.double(), values), atol=1e-12)
    assert torch.allclose(roughened(ours, smoothed(ours, values)), values, atol=1e-12)


def test_the_gradient_of_the_solve_is_right():
    ours = smoother(topology_of(ico_sphere(0).faces), 12, 3.0)
    values = torch.randn(12, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda u: smoothed(ours, u), values)


def test_smoothing_keeps_what_all_vertices_share():
    ours = smoother(topology_of(ico_sphere(1).faces), 42, 19.0)
    assert torch.allclose(smoothed(ours, torch.full((42, 3), 2.0)), torch.tensor(2.0), atol=1e-6)


def test_a_smoother_refuses_what_does_not_fit():
    topology = topology_of(ico_sphere(0).faces)
    with pytest.raises(ValueError, match="strength is -1"):
        smoother(topology, 12, -1.0)
    with pytest.raises(ValueError, match="faces use vertex 11"):
        smoother(topology, 3, 1.0)
    with pytest.raises(ValueError, match="the smoother is of 12 vertices"):
        smoothed(smoother(topology, 12, 1.0), torch.zeros(5, 3))


def test_the_first_step_of_uniform_adam_is_the_gradient_over_its_largest_entry():
    point = torch.zeros(2, 3, requires_grad=True)
    optimizer = UniformAdam([point], lr=0.1)
    point.grad = torch.tensor([[4.0, -2.0, 0.0], [1.0, 0.0, 0.0]])
    optimizer.step()
    assert torch.allclose(point.detach(), -0.1 * point.grad / 4)


@pytest.mark.parametrize("kind", [descent.Adam, descent.UniformAdam, descent.Sgd])
def test_a_closure_is_evaluated_with_gradients_and_its_loss_given_back(kind):
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    optimizer = kind([x], lr=0.5)

    def closure():
        optimizer.zero_grad()
        loss = x.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 5.0
    assert x.grad is not None and x.grad.tolist() == [2.0, -4.0]
    assert float(x.detach().square().sum()) < 5.0


def test_uniform_adam_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(tmp_path):
    def run(optimizer, point, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            (point - torch.arange(6.0).reshape(2, 3)).square().sum().backward()
            optimizer.step()

    whole = torch.ones(2, 3, requires_grad=True)
    first = UniformAdam([whole], lr=0.1)
    run(first, whole, 5)
    save_checkpoint(tmp_path / "state", {"point": whole}, first, 5)
    run(first, whole, 5)
    checkpoint = load_checkpoint(tmp_path / "state")
    other = checkpoint.tensors["point"].clone().requires_grad_()
    second = UniformAdam([other], lr=0.1)
    restore_moments(second, [other], checkpoint)
    run(second, other, 5)
    assert torch.equal(whole, other)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (descent.Adam, torch.optim.Adam),
        (lambda params, lr: descent.Sgd(params, lr, 0.9), lambda params, lr: torch.optim.SGD(params, lr, 0.9)),
    ],
)
def test_adam_and_sgd_take_the_steps_of_torch_and_go_on_from_its_moments(ours, theirs):
    def run(optimizer, point, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            ((point - torch.tensor([1.0, -3.0, 0.2])) * torch.tensor([1.0, 10.0, 1e-4])).square().sum().backward()
            optimizer.step()

    mine, other = (torch.zeros(3, requires_grad=True) for _ in range(2))
    known = theirs([other], lr=0.003)
    run(ours([mine], lr=0.003), mine, 20)
    run(known, other, 20)
    torch.testing.assert_close(mine, other)  # not bit for bit: roots and divisions are taken in another order
    went_on = ours([mine], lr=0.003)
    state = copy.deepcopy(known.state_dict()["state"])  # loading shares tensors
    went_on.load_state_dict({"state": state, "param_groups": went_on.state_dict()["param_groups"]})
    run(went_on, mine, 20)
    run(known, other, 20)
    torch.testing.assert_close(mine, other)


def test_no_fit_imports_the_compiler_of_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch._dynamo", None)  # an import of it is an error
    for method in vars(torch.optim.Optimizer).values():
        # A method keeps what it has of the compiler, where it has been called before.
        if hasattr(own := inspect.unwrap(method) if callable(method) else None, "__dynamo_disable"):
            monkeypatch.delattr(own, "__dynamo_disable")
    x = torch.ones(2, requires_grad=True)
    with pytest.raises(ImportError, match=r"torch\._dynamo"):
        torch.optim.Adam([x])
    for make in (descent.Adam, descent.UniformAdam, descent.Sgd, descent.FusedAdam):
        optimizer = make([x])
        list(fit(lambda index: {"square": x.square().sum()}, optimizer, 2))
        optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("choice", [Adam(), Sgd(), LargeSteps()])
def test_a_swapped_parameter_keeps_its_moments(choice):
    old = torch.rand(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = optimizer_over([old], choice)
    old.square().sum().backward()
    optimizer.step()
    before = {name: value.clone() for name, value in optimizer.state[old].items() if value.ndim}
    new = torch.zeros(8, 3, requires_grad=True)
    swap_parameter(optimizer, old, new, carry=lambda values: torch.cat([values, values]))
    assert optimizer.param_groups[0]["params"] == [new] or optimizer.param_groups[0]["params"][0] is new
    assert before and all(torch.equal(optimizer.state[new][name][4:], value) for name, value in before.items())
    with pytest.raises(ValueError, match="no such parameter"):
        swap_parameter(optimizer, old, new, carry=lambda values: values)


@pytest.mark.parametrize("choice", [Adam(), LargeSteps()])
def test_a_mesh_becomes_finer_without_moving(choice):
    points = sample(ellipsoid(), 500, generator=torch.Generator().manual_seed(0)).points
    growth = Subdivided(1, 3, until=0.5)
    moulding = begun(points, growth, choice)
    before = report(moulding.mesh())
    for index in range(11):
        grown(moulding, growth, index, 20)
    after = report(moulding.mesh())
    assert (before.faces, after.faces) == (80, 1280)
    assert after.area == pytest.approx(before.area, rel=1e-5)  # midpoints lie on their faces
    assert after.volume == pytest.approx(before.volume, rel=1e-5)
