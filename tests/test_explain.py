"""Heat maps: known answers on functions made by hand, laws of each method, every representation, bad input."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from maquette import cli
from maquette.data.dataset import Truth
from maquette.explain import (
    Box,
    ExplainConfig,
    GradCam,
    GradCamPlusPlus,
    GuidedBackprop,
    GuidedGradCam,
    HiResCam,
    IntegratedGradients,
    Loss,
    Part,
    Picked,
    Saliency,
    SmoothGrad,
    Whole,
    heat_maps,
    overlaid,
)
from maquette.explain.attribution import gradient, guided_gradient, integrated_gradients, smooth_gradient
from maquette.explain.gradcam import enlarged, grad_cam, grad_cam_plus_plus, hires_cam
from maquette.explain.heat import scale_of
from maquette.explain.maps import heat_map
from maquette.explain.questions import ask, value_of
from maquette.explain.sanity import cascade, likeness
from maquette.explain.sources import truth_of_file
from maquette.io import read_picture, save, write_picture
from maquette.models import (
    AtlasConfig,
    DinoEncoder,
    MeshConfig,
    OccupancyConfig,
    PointsConfig,
    SingleView,
    SmallEncoder,
    VoxelsConfig,
    build,
    load_run,
    save_model,
)
from maquette.models.atlas import AtlasHead
from maquette.models.graph_mesh import GraphMeshHead
from maquette.models.mesh import MeshHead
from maquette.models.occupancy import ConcatOccupancy
from maquette.models.points import PointsHead
from maquette.models.voxels import VoxelsDecoder, VoxelsHead
from maquette.shapes import PointCloud, cell_centers

ENCODER = SmallEncoder(width=8, features=16, picture_size=32)
NETWORKS = {
    "voxels": VoxelsConfig(ENCODER, VoxelsHead(hidden=8, channels=2)),
    "points": PointsConfig(ENCODER, PointsHead(points=40, hidden=8)),
    "mesh": MeshConfig(ENCODER, MeshHead(level=1, hidden=8)),
    "graph mesh": MeshConfig(ENCODER, GraphMeshHead(level=1, widths=(8, 8), hidden=8, blocks=1, channels=4)),
    "atlas": AtlasConfig(ENCODER, AtlasHead(patches=2, points=40, width=8)),
    "occupancy": OccupancyConfig(ENCODER, ConcatOccupancy()),
}
METHODS = (
    Saliency(), Saliency("alpha"), SmoothGrad(samples=2), IntegratedGradients(steps=2), GuidedBackprop(), GradCam(),
    GradCamPlusPlus(), HiResCam(), GuidedGradCam(),
)  # fmt: skip
CORNER = Box((0.0, -1.0, -0.1), (1.0, 0.1, 0.1))


def network(name: str) -> SingleView:
    """With random weights; half of the cells of a grid are full."""
    torch.manual_seed(0)
    model = build(NETWORKS[name]).eval()
    decoder = model.decoders[model.representations[0]]
    if isinstance(decoder, VoxelsDecoder):
        with torch.no_grad():
            decoder.shift_level(float(decoder(model.encode(picture()[None])).median().sigmoid()))
    return model


def picture(side: int = 32, seed: int = 0) -> Tensor:
    """A disc of random colours."""
    line = torch.linspace(-1, 1, side)
    disc = (line[:, None].square() + line.square() < 0.6).float()
    rgb = torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))
    return torch.cat([rgb * disc, disc[None]])


def truth() -> Truth:
    """A ball of radius 0.3, its upper half one part and its lower half another."""
    directions = np.random.default_rng(0).normal(size=(2048, 3)).astype(np.float32)
    points = 0.3 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    voxels = (cell_centers(32).norm(dim=-1) < 0.3).numpy()
    return Truth(points, None, (points[:, 1] < 0).astype(np.int16), ("top", "foot", "arm"), voxels)


@pytest.fixture(scope="module")
def bundled() -> SingleView:
    return load_run(None).model.requires_grad_(False)


# ------------------------------------------------------------------------------------------------ methods, one by one


def test_saliency_and_integrated_gradients_of_a_linear_function_are_its_weights():
    weights = torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(0))
    given = torch.rand(4, 5, 5, generator=torch.Generator().manual_seed(1))

    def score(pictures):
        return (pictures * weights).sum((1, 2, 3)) + 3

    torch.testing.assert_close(gradient(score, given), weights)
    torch.testing.assert_close(smooth_gradient(score, given, SmoothGrad(samples=4)), weights)
    torch.testing.assert_close(integrated_gradients(score, given, IntegratedGradients(steps=4)), weights * given)


def test_integrated_gradients_of_a_product_share_it_out_evenly():
    # Of x y, the way from (0, 0) gives each of the two x y / 2 (Sundararajan et al. 2017, by symmetry).
    given = torch.zeros(4, 2, 2)
    given[0, 0, 0], given[1, 1, 1] = 0.6, 0.5
    found = integrated_gradients(lambda x: x[:, 0, 0, 0] * x[:, 1, 1, 1], given, IntegratedGradients(steps=8))
    expected = torch.zeros(4, 2, 2)
    expected[0, 0, 0] = expected[1, 1, 1] = 0.15
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("representation", ["points", "voxels"])
def test_integrated_gradients_add_up_to_what_the_picture_changes(bundled, representation):
    given = picture(64, seed=3)
    question = ask(bundled, given, CORNER, representation).question
    heat = heat_map(bundled, given, IntegratedGradients(steps=64), question, representation)
    with torch.no_grad():
        features = bundled.encode(torch.stack([given, torch.zeros_like(given)]))
        full, empty = value_of(question, bundled, representation, features).tolist()
    # The network has kinks on the way, so the quadrature is not exact.
    assert abs(float(heat.sum()) - (full - empty)) < 0.02 * float(heat.abs().sum())
    assert abs(full - empty) > 0.05 * float(heat.abs().sum())


def test_without_noise_smoothgrad_is_saliency_and_with_little_noise_it_is_near():
    model = network("points")
    question = ask(model, picture(), Whole(), "points").question
    plain = heat_map(model, picture(), Saliency(), question, "points")
    still = heat_map(model, picture(), SmoothGrad(samples=2, noise=0.0), question, "points")
    torch.testing.assert_close(still, plain, rtol=1e-4, atol=1e-7)

    def away(noise: float) -> float:
        smooth = heat_map(model, picture(), SmoothGrad(samples=4, noise=noise), question, "points")
        return float((smooth - plain).abs().sum() / plain.abs().sum())

    assert away(1e-4) < 0.05 < away(0.3)


def test_noise_is_in_the_colours_only_and_follows_from_the_seed():
    seen: list[Tensor] = []

    def score(pictures):
        seen.append(pictures.detach())
        return pictures.square().sum((1, 2, 3))

    found = [smooth_gradient(score, picture(), SmoothGrad(samples=4, noise=0.2, seed=seed)) for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert bool((seen[0][:, 3] == picture()[3]).all())
    assert float((seen[0][:, :3] - picture()[:3]).std()) == pytest.approx(0.2, rel=0.1)


RELUS = {
    "torch.relu": torch.relu,
    "functional": nn.functional.relu,
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "method": lambda x: x.relu(),
}


@pytest.mark.parametrize("name", RELUS)
def test_guided_backprop_of_a_small_network_is_that_computed_by_hand(name):
    # Pixels 1 and 2 to (1, -1, 2) before the ReLU, and 1, 1, -1 times what passes it. The second is dropped since it is
    # negative, the third since its gradient is: 1 for the first pixel remains.
    first = torch.tensor([[1.0, 0.0], [1.0, -1.0], [0.0, 1.0]])
    given = torch.zeros(4, 2, 2)
    given[0, 0] = torch.tensor([1.0, 2.0])

    def score(pictures):
        return RELUS[name](pictures[:, 0, 0] @ first.T) @ torch.tensor([1.0, 1.0, -1.0])

    assert guided_gradient(score, given)[0].tolist() == [[1.0, 0.0], [0.0, 0.0]]
    assert gradient(score, given)[0].tolist() == [[1.0, -1.0], [0.0, 0.0]]


def test_guided_backprop_and_grad_cam_are_captum_s_where_it_can_see_the_layers():
    from captum.attr import GuidedBackprop as Guided
    from captum.attr import LayerGradCam

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(128, 1)
    )

    def score(pictures):
        return net(pictures)[:, 0]

    given = picture(16)[None].requires_grad_()
    with pytest.warns(UserWarning, match="backward hooks"):
        expected = Guided(net).attribute(given, target=0)[0]
    torch.testing.assert_close(guided_gradient(score, picture(16)), expected.detach())
    expected = LayerGradCam(net, net[3]).attribute(given, target=0, relu_attributions=True)[0, 0]
    activation = net[:4](given)
    (grad,) = torch.autograd.grad(net[4:](activation).sum(), activation)
    torch.testing.assert_close(grad_cam(activation[0].detach(), grad[0]), expected.detach())


def test_class_activation_maps_of_two_small_channels_are_those_computed_by_hand():
    activation = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]])
    grad = torch.tensor([[[1.0, 0.0], [-1.0, 2.0]], [[-4.0, 0.0], [0.0, 0.0]]])
    # Grad-CAM: the mean gradients are 1/2 and -1.
    assert grad_cam(activation, grad).tolist() == [[0.5, 0.0], [0.5, 2.0]]
    # HiResCAM: 1 x 1 and 4 x 2 are positive, 3 x -1 is not; the second channel's gradient stands where it is 0.
    assert hires_cam(activation, grad).tolist() == [[1.0, 0.0], [0.0, 8.0]]
    # Grad-CAM++: alpha is 1 / (2 + 10) and 4 / (8 + 80) where the first channel's gradient is 1 and 2; others do not
    # count. The weight is 1/12 + 2/22.
    expected = activation[0] * (1 / 12 + 1 / 11)
    torch.testing.assert_close(grad_cam_plus_plus(activation, grad), expected)


def test_grad_cam_plus_plus_is_grad_cam_where_all_places_count_alike():
    # Chattopadhay et al. 2018, section 3.2: with equal alphas it is Grad-CAM, but for a factor.
    activation = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    activation = activation / activation.sum((1, 2), keepdim=True)
    one, other = (
        grad_cam(activation, torch.full((3, 4, 4), 0.7)),
        grad_cam_plus_plus(activation, torch.full((3, 4, 4), 0.7)),
    )
    torch.testing.assert_close(one / one.max(), other / other.max())


def test_hires_cam_of_a_flattened_map_adds_up_to_the_answer():
    # Draelos and Carin 2020, section 3.3: with one linear layer on all places, it is what each place adds.
    generator = torch.Generator().manual_seed(0)
    activation, weights = (torch.rand(3, 4, 4, generator=generator) for _ in range(2))
    assert float(hires_cam(activation, weights).sum()) == pytest.approx(float((activation * weights).sum()), rel=1e-5)


def test_a_small_map_is_enlarged_about_the_middles_of_its_places():
    large = enlarged(torch.tensor([[0.0, 1.0], [0.0, 1.0]]), 8)
    torch.testing.assert_close(large[0], torch.tensor([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]))


# ---------------------------------------------------------------------------------------- networks and representations


@pytest.mark.parametrize("name", NETWORKS)
def test_every_method_gives_a_map_of_every_representation(name):
    model = network(name)
    representation = model.representations[0]
    target = CORNER if representation in ("voxels", "occupancy") else Whole()
    question = ask(model, picture(), target, representation).question
    for method in METHODS:
        heat = heat_map(model, picture(), method, question, representation)
        assert heat.shape == (32, 32)
        assert bool(heat.isfinite().all())
        if isinstance(method, Saliency | IntegratedGradients):
            assert float(heat.abs().max()) > 0


@pytest.mark.parametrize("code", ["cls", "cls+mean"])
def test_transformers_have_maps_but_none_that_are_defined_for_relus(code):
    pytest.importorskip("transformers", reason="the extra 'transformers' is not installed")
    encoder = DinoEncoder(None, width=24, layers=2, heads=2, grid=4, picture_size=56, code=code)
    torch.manual_seed(0)
    model = build(PointsConfig(encoder, PointsHead(points=8, hidden=8))).eval()
    for method in METHODS:
        if isinstance(method, GuidedBackprop | GuidedGradCam | GradCamPlusPlus):
            reason = "both signs" if isinstance(method, GradCamPlusPlus) else "the encoder DinoEncoder has none"
            with pytest.raises(ValueError, match=reason):
                heat_maps(model, picture(56)[None], method, Whole(), "points")
        else:
            heat = heat_maps(model, picture(56)[None], method, Whole(), "points")
            assert bool(heat.isfinite().all())
            assert float(heat.abs().max()) > 0


def test_maps_of_a_batch_are_those_of_its_pictures_alone():
    model, two = network("mesh"), torch.stack([picture(seed=0), picture(seed=1)])
    together = heat_maps(model, two, Saliency(), Whole(), "mesh")
    alone = [heat_maps(model, one[None], Saliency(), Whole(), "mesh")[0] for one in two]
    torch.testing.assert_close(together, torch.stack(alone))


def test_colours_that_the_mask_hides_have_no_saliency():
    heat = heat_maps(network("mesh"), picture()[None], Saliency(), Whole(), "mesh")[0]
    assert float(heat[picture()[3] == 0].abs().max()) == 0
    assert float(heat[picture()[3] == 1].max()) > 0


# --------------------------------------------------------------------------------------------------------------- sanity


def test_maps_are_alike_by_their_ranks_and_by_nothing_beyond_the_object():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(32, 32, generator=generator) + 0.1 for _ in range(2))
    everywhere = torch.ones(32, 32, dtype=torch.bool)
    assert likeness(a, -3 * a, everywhere) == pytest.approx((1, 1), abs=1e-6)
    assert likeness(a, a.exp(), everywhere)[0] == pytest.approx(1)
    assert likeness(a, 1 / a, everywhere)[0] == pytest.approx(-1)
    assert abs(likeness(a, b, everywhere)[0]) < 0.1  # three standard deviations of 1,024 independent pixels
    inside = picture()[3] > 0.5
    assert abs(likeness(a * inside, b * inside, inside)[0]) < 0.13
    assert likeness(a, torch.ones(32, 32), everywhere) == (None, None)


def test_a_cascade_loses_the_decoder_first_and_keeps_the_numbers_of_every_tensor():
    model = network("points")
    before = {name: values.clone() for name, values in model.state_dict().items()}
    seen = []
    for name, lost in cascade(model, "points", fine=True):
        changed = {key for key, values in lost.state_dict().items() if not torch.equal(values, before[key])}
        seen.append((name, changed))
        for key, values in lost.state_dict().items():
            torch.testing.assert_close(values.flatten().sort().values, before[key].flatten().sort().values)
    assert [name for name, _ in seen[:2]] == ["decoder.layers.2", "decoder.layers.0"]
    assert seen[0][1] == {"decoders.points.layers.2.weight", "decoders.points.layers.2.bias"}
    assert seen[-1][0] == "encoder.stem.0"
    assert all(earlier[1] <= later[1] for earlier, later in pairwise(seen))
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())
    # In two stages the same weights are lost.
    *_, (_, coarse) = cascade(model, "points")
    assert all(torch.equal(values, lost.state_dict()[name]) for name, values in coarse.state_dict().items())


def test_of_the_bundled_network_guided_backprop_hardly_depends_on_the_decoder_and_others_do(bundled):
    # Adebayo et al. 2018, section 4.1: guided backpropagation is invariant to randomised higher layers.
    model, given = bundled, picture(64, seed=3)
    question = ask(model, given, CORNER, "points").question
    name, lost = next(cascade(model, "points"))
    assert name == "decoder"
    found = {
        type(method): likeness(
            heat_map(model, given, method, question, "points"),
            heat_map(lost, given, method, question, "points"),
            given[3] > 0.5,
        )[0]
        for method in (GuidedBackprop(), Saliency(), IntegratedGradients(steps=8))
    }
    assert found[GuidedBackprop] > 0.8
    assert found[Saliency] < 0.7
    assert found[IntegratedGradients] < 0.7


# -------------------------------------------------------------------------------------------------- pictures and files


def test_a_map_of_nothing_leaves_the_picture_grey_and_heat_colours_it():
    rgba = picture(8).permute(1, 2, 0)
    plain = overlaid(rgba, torch.zeros(8, 8))
    assert bool((plain == plain[..., :1]).all())
    heat = torch.zeros(8, 8)
    heat[2, 3], heat[4, 4] = 1.0, -1.0
    drawn = overlaid(rgba, heat)
    assert drawn[2, 3, 0] > drawn[2, 3, 2]  # warm: red above blue
    assert drawn[4, 4, 2] > drawn[4, 4, 0]
    untouched = heat == 0
    torch.testing.assert_close(drawn[untouched], plain[untouched])
    assert scale_of(torch.zeros(8, 8)) == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    save_model(network("points"), folder, {})
    return folder


def test_pictures_become_maps_sheets_and_numbers_and_a_bad_one_loses_only_itself(tmp_path, run, capsys):
    photo, broken, out = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "maps"
    write_picture(picture(48).permute(1, 2, 0), photo)
    broken.write_bytes(b"no picture")
    cloud = tmp_path / "truth.ply"
    save(PointCloud(torch.from_numpy(truth().points)), cloud)
    words = ["explain", str(photo), str(broken), "--run", str(run), "--out", str(out), "--truth", str(cloud)]
    code = cli.main([*words, "--methods", "saliency", "integrated-gradients", "--steps", "4", "target:loss"])
    said = capsys.readouterr()
    assert code == 2
    assert (
        said.err.splitlines()[0]
        == f"maquette: {broken}: not a picture that can be read (known: "
        + (said.err.splitlines()[0].partition("(known: ")[2])
    )
    record = json.loads((out / "explain.json").read_text())
    assert [entry["picture"] for entry in record["failed"]] == [str(broken)]
    (entry,) = record["pictures"]
    assert set(entry["maps"]) == set(record["methods"]) == {"saliency", "integrated-gradients"}
    assert entry["maps"]["saliency"]["sanity"]["stages"] == ["decoder", "encoder"]
    assert entry["value"] != entry["value_of_empty_picture"]
    with np.load(out / "a" / "maps.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"saliency", "integrated-gradients"}
        assert arrays["saliency"].dtype == np.float32
        assert arrays["saliency"].shape == (32, 32)
        assert float(arrays["integrated-gradients"].sum()) == pytest.approx(
            entry["maps"]["integrated-gradients"]["sum"]
        )
    sheet = read_picture(out / "a" / "sheet.png")[..., :3]
    assert float(sheet.std()) > 0.02
    assert (out / "a" / "saliency.png").is_file()


CONTRADICTIONS = {
    "no pictures": {"photos": ()},
    "belong together": {"data": Path("data")},
    "two truths": {"truth": Path("a.ply"), "data": Path("data"), "object": "a"},
    "target:part needs labels": {"target": Part("leg")},
    "target:loss needs a truth": {"target": Loss()},
    "noise is -1": {"noise": -1.0},
    "steps is 1": {"steps": 1},
    "samples is 0": {"samples": 0},
}


@pytest.mark.parametrize("words", CONTRADICTIONS)
def test_a_request_that_contradicts_itself_says_so(words):
    with pytest.raises(ValueError, match=words):
        ExplainConfig(**({"photos": ("a.png",), "out": Path("out")} | CONTRADICTIONS[words]))


def test_a_region_that_is_none_says_so():
    with pytest.raises(ValueError, match="low x y z below high"):
        Box((0.0, 0.0, 0.0), (1.0, -1.0, 1.0))
    with pytest.raises(ValueError, match="radius is 0"):
        Picked((0.0, 0.0, 0.0), 0.0)


def test_what_a_command_cannot_do_is_one_line(tmp_path, run, capsys):
    photo = tmp_path / "a.png"
    write_picture(picture(48).permute(1, 2, 0), photo)
    words = ["explain", str(photo), "--run", str(run), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--methods", "salience"]) == 2
    assert "invalid choice 'salience'" in capsys.readouterr().err
    assert cli.main([*words, "--as", "mesh"]) == 2
    assert capsys.readouterr().err == "maquette: explain: this network predicts points, not 'mesh'\n"
    assert not (tmp_path / "out").exists()


def test_a_cloud_as_truth_is_taken_to_the_frame_of_learning_and_tells_no_inside(tmp_path):
    path = tmp_path / "cloud.ply"
    save(PointCloud(7 * torch.from_numpy(truth().points) + 3), path)
    found = truth_of_file(path)
    extent = found.points.max(0) - found.points.min(0)
    assert np.linalg.norm(extent) == pytest.approx(1, rel=1e-5)
    assert found.voxels is None
