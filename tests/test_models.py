"""Single-view networks: shapes out, independence of the batch, weights from files."""

import json
from dataclasses import replace

import pytest
import torch

from maquette.data.targets import Targets
from maquette.models import (
    Features,
    MeshConfig,
    MultiHeadConfig,
    PointsConfig,
    SmallEncoder,
    VoxelsConfig,
    build,
    load_run,
    save_model,
)
from maquette.models.looks import WAYS, seen, united
from maquette.models.mesh import MeshHead
from maquette.models.points import PointsHead
from maquette.models.viewpoint import ViewpointDecoder
from maquette.models.voxels import VoxelsHead
from maquette.shapes import Mesh, PointCloud, Voxels

SMALL = SmallEncoder(width=8, features=16, picture_size=32)
MULTI = MultiHeadConfig(
    SMALL, VoxelsHead(hidden=8, channels=8), PointsHead(points=50, hidden=8), MeshHead(level=1, hidden=8, samples=40)
)


def targets_of(count: int, generator: torch.Generator) -> Targets:
    return Targets(
        torch.rand(count, 60, 3, generator=generator) - 0.5,
        (torch.rand(count, 32, 32, 32, generator=generator) > 0.9).float(),
        torch.rand(count, 40, 3, generator=generator) - 0.5,
        (torch.rand(count, 40, generator=generator) > 0.5).float(),
        torch.zeros(count),
        torch.zeros(count),
        torch.ones(count),
        torch.ones(count, dtype=torch.bool),
        torch.arange(count),
    )


@pytest.mark.parametrize("count", [1, 3])
def test_every_representation_comes_out_for_any_batch_size(count):
    model = build(MULTI).eval()
    features = model.encode(torch.rand(count, 4, 32, 32))
    for name, kind in (("voxels", Voxels), ("points", PointCloud), ("mesh", Mesh)):
        shapes = model.shapes(features, name)
        assert len(shapes) == count
        assert all(isinstance(shape, kind) for shape in shapes)
    grid = model.shapes(features, "voxels")[0]
    assert grid.occupancy.shape == (32, 32, 32)
    assert 0 <= grid.occupancy.min() <= grid.occupancy.max() <= 1


def test_a_picture_is_predicted_alike_alone_and_in_a_batch():
    model = build(MULTI).eval()
    images = torch.rand(3, 4, 32, 32)
    together = model.shapes(model.encode(images), "mesh")[1].vertices
    alone = model.shapes(model.encode(images[1:2]), "mesh")[0].vertices
    # Float32 sums in another order.
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


def test_colours_under_a_transparent_pixel_do_not_matter():
    model = build(MULTI).eval()
    image = torch.rand(1, 4, 32, 32)
    image[:, 3, :, :16] = 0
    other = image.clone()
    other[:, :3, :, :16] = 0.9
    torch.testing.assert_close(model.encode(image).code, model.encode(other).code)


def test_shifting_the_level_makes_it_a_half():
    model = build(VoxelsConfig(SMALL, VoxelsHead(hidden=8, channels=8))).eval()
    features = Features(torch.rand(1, 16))
    before = model.shapes(features, "voxels")[0].occupancy
    decoder = model.decoders["voxels"]
    decoder.shift_level(0.6)
    after = model.shapes(features, "voxels")[0].occupancy
    # Bayes: the odds are divided by 0.6 / 0.4.
    torch.testing.assert_close(after / (1 - after), before / (1 - before) * 0.4 / 0.6)


def test_a_single_head_knows_only_its_representation():
    model = build(PointsConfig(SMALL, PointsHead(points=50)))
    assert model.representations == ("points",)
    with pytest.raises(ValueError, match="predicts points, not 'mesh'"):
        model.shapes(Features(torch.zeros(1, 16)), "mesh")


def test_every_term_sends_a_gradient_to_the_encoder(generator):
    model = build(MULTI)
    terms = model.losses(torch.rand(4, 4, 32, 32), targets_of(4, generator))
    assert set(terms) == {"viewpoint", "voxels", "points", "mesh", "smooth"}
    weight = model.encoder.head[1].weight
    for name, term in terms.items():
        (gradient,) = torch.autograd.grad(term, weight, retain_graph=True, allow_unused=True)
        assert gradient is not None and gradient.abs().sum() > 0, name


def test_cameras_that_are_not_known_teach_nothing(generator):
    decoder = ViewpointDecoder(8)
    targets = targets_of(2, generator)
    unknown = replace(targets, has_camera=torch.tensor([True, False]))
    features = Features(torch.rand(2, 8))
    first = decoder.loss(features[:1], targets.first(1))["viewpoint"]
    torch.testing.assert_close(decoder.loss(features, unknown)["viewpoint"], first)


def test_a_saved_network_predicts_the_same_when_it_is_loaded(tmp_path):
    for config in (MULTI, VoxelsConfig(SMALL), MeshConfig(SMALL, MeshHead(level=1))):
        model = build(config).eval()
        save_model(model, tmp_path / "run", {"step": 3})
        run = load_run(tmp_path / "run")
        assert run.model.config == config
        assert run.settings["step"] == 3
        images = torch.rand(2, 4, 32, 32)
        torch.testing.assert_close(run.model.encode(images).code, model.encode(images).code, rtol=0, atol=0)


def test_a_run_saved_when_the_network_of_several_heads_was_called_trio_still_loads(tmp_path):
    save_model(build(MULTI), tmp_path, {"train": {"type": "TrainConfig"}})
    written = tmp_path / "config.json"
    written.write_text(written.read_text().replace('"MultiHeadConfig"', '"TrioConfig"'))
    assert "TrioConfig" in written.read_text()
    assert load_run(tmp_path).model.config == MULTI


def test_weights_of_another_network_are_refused(tmp_path):
    save_model(build(MULTI), tmp_path / "a", {})
    save_model(build(PointsConfig(SMALL)), tmp_path / "b", {})
    (tmp_path / "b" / "model.safetensors").replace(tmp_path / "a" / "model.safetensors")
    with pytest.raises(
        OSError, match=r"of PointsConfig of SmallEncoder, PointsHead, but config\.json says MultiHeadConfig of Small"
    ):
        load_run(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"not a file of weights", b"\x80\x04cos\nsystem\n"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, content):
    save_model(build(MULTI), tmp_path, {})
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(OSError, match="not a safetensors file"):
        load_run(tmp_path)


@pytest.mark.parametrize("text", ['{"model": "x"}', "", "{}", "[]", json.dumps({"model": {"type": "Sculptor"}})])
def test_a_broken_configuration_is_refused(tmp_path, text):
    save_model(build(MULTI), tmp_path, {})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(OSError, match="not a run's configuration"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("encoder", "width"), "wide"), (("encoder", "width"), 8 * 10**12), (("encoder", "width"), 12),
        (("encoder", "width"), True), (("encoder", "width"), 8.0), (("encoder", "features"), -1),
        (("encoder", "picture_size"), 0), (("encoder", "picture_size"), None), (("points", "points"), 10**18),
        (("points", "hidden"), [1]), (("mesh", "level"), 60), (("mesh", "smooth"), float("nan")),
        (("mesh", "smooth"), "x"), (("voxels", "channels"), 0), (("voxels_share",), float("inf")), (("mesh",), 3),
    ],
)  # fmt: skip
def test_absurd_values_in_a_configuration_are_refused_in_a_line(tmp_path, path, value):
    save_model(build(MULTI), tmp_path, {})
    settings = json.loads((tmp_path / "config.json").read_text())
    place = settings["model"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(OSError, match=r"config\.json: not a run's configuration: ValueError: ") as caught:
        load_run(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_weights_that_are_not_finite_are_refused(tmp_path):
    model = build(PointsConfig(SMALL))
    with torch.no_grad():
        model.encoder.head[1].bias[0] = float("nan")
    save_model(model, tmp_path, {})
    with pytest.raises(OSError, match="not finite"):
        load_run(tmp_path)


def test_a_cloud_of_two_looks_is_the_same_for_the_mirrored_picture_mirrored():
    model = build(PointsConfig(encoder=SmallEncoder(width=8, features=32, picture_size=32), head=PointsHead(points=50)))
    images = torch.rand(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        here, there = (
            model.eval().shapes_of_looks(model.look(pictures)[:2], "points") for pictures in (images, images.flip(-1))
        )
    for a, b in zip(here, there, strict=True):
        assert isinstance(a, PointCloud) and isinstance(b, PointCloud) and a.points.shape == (100, 3)
        turned = b.points.roll(50, 0) * torch.tensor([-1.0, 1.0, 1.0])
        assert torch.equal(a.points, turned)


def test_clouds_unite_all_looks_and_other_shapes_are_those_of_the_first():
    model = build(MULTI).eval()
    images = torch.rand(1, 4, 32, 32)
    with torch.no_grad():
        looks = model.look(images)
        # Three looks whole, and of the 7 x 50 points of the others 28 %.
        assert len(WAYS) == 10 and len(model.shapes_of_looks(looks, "points")[0].points) == 150 + 98
        alone = model.shapes(model.encode(images), "voxels")[0]
        assert torch.equal(model.shapes_of_looks(looks, "voxels")[0].occupancy, alone.occupancy)


def looks_at_a_ball(looks: int = 6, points: int = 100) -> list[PointCloud]:
    """Points of a ball of radius 0.1, other ones each look."""
    drawn = torch.randn(looks, points, 3, generator=torch.Generator().manual_seed(1))
    return [PointCloud(0.1 * cloud / cloud.norm(dim=-1, keepdim=True)) for cloud in drawn]


def rows(points: torch.Tensor) -> set[tuple[float, ...]]:
    return {tuple(row) for row in points.tolist()}


def test_looks_that_agree_unite_to_the_cloud_that_each_of_them_is():
    cloud = looks_at_a_ball(1)[0]
    assert rows(united([cloud] * 6).points) == rows(cloud.points)


def test_up_to_three_looks_unite_to_all_their_points_in_order():
    for count in (1, 3):
        clouds = looks_at_a_ball(count)
        assert torch.equal(united(clouds).points, torch.cat([cloud.points for cloud in clouds]))


def test_what_only_a_later_look_strews_far_from_all_others_is_left_out_and_what_the_first_three_say_is_kept():
    clouds = looks_at_a_ball()
    strewn = torch.arange(3, 18).reshape(5, 3) / 10.0  # further apart than the ball is wide
    for look in range(6):
        seen_so = [
            PointCloud(torch.cat([strewn, cloud.points])) if at == look else cloud for at, cloud in enumerate(clouds)
        ]
        found = rows(united(seen_so).points)
        assert rows(strewn) <= found if look < 3 else not rows(strewn) & found


def test_of_the_later_looks_a_share_of_the_points_is_taken_where_all_lie_densest_in_their_order():
    clouds = looks_at_a_ball()
    found = united(clouds).points
    assert len(found) == 3 * 100 + 84  # 28 % of the last 300
    # What is left out lies no denser, by the distance to the 15th other point, than what is taken of those looks.
    every = torch.cat([cloud.points for cloud in clouds])
    taken = torch.tensor([tuple(row) in rows(found) for row in every.tolist()])
    assert torch.equal(every[taken], found)
    density = torch.cdist(every.double(), every.double()).sort(1).values[:, 15]
    assert density[300:][taken[300:]].max() <= density[300:][~taken[300:]].min() + 1e-6  # float32 distances


def test_a_united_cloud_does_not_depend_on_the_order_of_points_or_of_later_looks_and_is_mirrored_with_them():
    clouds = looks_at_a_ball()
    found = rows(united(clouds).points)
    shuffled = [PointCloud(cloud.points.flip(0)) for cloud in (*clouds[2::-1], *clouds[:2:-1])]
    assert rows(united(shuffled).points) == found
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    assert rows(united([PointCloud(cloud.points * mirror) for cloud in clouds]).points * mirror) == found


def test_a_wider_look_shows_the_object_smaller_and_hidden_colours_nowhere():
    images = torch.zeros(1, 4, 40, 40)
    images[:, 0] = 1  # red everywhere, seen only inside
    images[:, :, 10:30, 10:30] = torch.tensor([0.0, 1.0, 0.0, 1.0])[:, None, None]
    wide = seen(images, False, 1.25, (0.0, 0.0))
    # 20 pixels a side become 16.
    assert wide[0, 3].sum().item() == pytest.approx(16**2, rel=0.02)
    assert wide[0, 0][wide[0, 3] > 0.01].max() < 1e-3
    # A square moved by a tenth of the half side shows the object two pixels to the left.
    moved = seen(images, False, 1.0, (0.1, 0.0))
    torch.testing.assert_close(moved[0, 3, 10:30, 8:28], torch.ones(20, 20))
