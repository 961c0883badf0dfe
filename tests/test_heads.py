"""Decoders of every representation: sizes by arithmetic, any batch, any number of points, gradients, runs on disk."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.models import (
    AtlasConfig,
    Features,
    MeshConfig,
    ModelConfig,
    MultiHeadConfig,
    PointsConfig,
    PrecomputedCodes,
    SmallEncoder,
    VoxelsConfig,
    build,
    load_run,
    save_model,
    total_loss,
)
from maquette.models.atlas import AtlasDecoder, AtlasHead
from maquette.models.deconvolution import DeconvolutionVoxels, Pix2VoxVoxels
from maquette.models.folding_points import FoldingDecoder, FoldingPoints
from maquette.models.lattice import in_square, on_sphere
from maquette.models.mesh import MeshHead, MlpMesh
from maquette.models.network import WEIGHTS, Head, build_decoder
from maquette.models.points import MlpPoints
from maquette.models.residual_voxels import ResidualVoxels, query_loss
from maquette.shapes import Mesh, PointCloud, Voxels, cell_centers
from maquette.train.state import load_state, save_state

ENCODER = SmallEncoder(width=8, features=16, picture_size=32)
SQUARES = AtlasHead(patches=3, points=40, width=64)
SPHERE = AtlasHead(patches=1, template="sphere", points=40, width=64)
FOLDING = FoldingPoints(points=40, anchors=12, hidden=8, fold=8)
HEADS: dict[str, ModelConfig] = {
    "deconvolution": VoxelsConfig(ENCODER, DeconvolutionVoxels((8, 8, 4, 4))),
    "pix2vox": VoxelsConfig(ENCODER, Pix2VoxVoxels((8, 8, 4, 4))),
    "residual 32": VoxelsConfig(ENCODER, ResidualVoxels(32, channels=8)),
    "residual 64": VoxelsConfig(ENCODER, ResidualVoxels(64, channels=8)),
    "mlp points": PointsConfig(ENCODER, MlpPoints(40, (8, 8), "leaky_relu")),
    "folding": PointsConfig(ENCODER, FOLDING),
    "mlp mesh": MeshConfig(ENCODER, MlpMesh(1, (8, 8), samples=40)),
    "squares": AtlasConfig(ENCODER, SQUARES),
    "sphere": AtlasConfig(ENCODER, SPHERE),
}
KINDS = {"voxels": Voxels, "points": PointCloud, "mesh": Mesh, "atlas": PointCloud}


def targets_of(count: int, *, cells: int = 32) -> Targets:
    """A ball of radius 0.3, which every object is."""
    generator = torch.Generator().manual_seed(0)
    queries = torch.rand(count, 40, 3, generator=generator) - 0.5
    ball = (cell_centers(cells).norm(dim=-1) < 0.3).float()
    return Targets(
        points=0.3 * on_sphere(in_square(200)).expand(count, -1, -1),
        voxels=ball.expand(count, -1, -1, -1),
        queries=queries,
        inside=(queries.norm(dim=-1) < 0.3).float(),
        azimuth=torch.zeros(count),
        elevation=torch.zeros(count),
        distance=torch.ones(count),
        has_camera=torch.ones(count, dtype=torch.bool),
    )


def numbers(shape: Voxels | PointCloud | Mesh) -> Tensor:
    match shape:
        case Voxels(occupancy):
            return occupancy
        case PointCloud(points):
            return points
        case Mesh(vertices):
            return vertices


def parameters(head: Head, features: int = 512) -> int:
    _, decoder = build_decoder(head, PrecomputedCodes(features))
    return sum(p.numel() for p in decoder.parameters())


@pytest.mark.parametrize("name", HEADS)
def test_a_head_predicts_each_picture_alone_learns_and_comes_back_from_disk(name, tmp_path):
    model = build(HEADS[name])
    (representation,) = model.representations
    images = torch.rand(3, 4, 32, 32)
    terms = model.train().losses(images, targets_of(3))
    assert set(terms) <= set(WEIGHTS)
    weight = model.encoder.head[1].weight
    for term_name, term in terms.items():
        (gradient,) = torch.autograd.grad(term, weight, retain_graph=True, allow_unused=True)
        assert gradient is not None and gradient.abs().sum() > 0, term_name
    total_loss(terms).backward()
    assert all(p.grad is not None for p in model.parameters())

    with torch.no_grad():
        together = model.eval().shapes(model.encode(images), representation)
        alone = model.shapes(model.encode(images[1:2]), representation)
    assert all(isinstance(shape, KINDS[representation]) for shape in together)
    # Float32 sums in another order.
    torch.testing.assert_close(numbers(alone[0]), numbers(together[1]), atol=1e-5, rtol=0)

    save_model(model, tmp_path, {})
    run = load_run(tmp_path)
    assert run.model.config == model.config
    with torch.no_grad():
        again = run.model.shapes(run.model.encode(images), representation)
    assert all(torch.equal(numbers(a), numbers(b)) for a, b in zip(again, together, strict=True))


def test_the_encoder_does_not_learn_from_cameras_that_are_apart():
    model = build(PointsConfig(ENCODER, FOLDING, cameras="apart"))
    model.losses(torch.rand(2, 4, 32, 32), targets_of(2))["viewpoint"].backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.viewpoint_decoder.parameters())


def linear(*sizes: int) -> int:
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(sizes))


def transposed(*sizes: int) -> int:
    return sum(64 * inputs * outputs + outputs for inputs, outputs in pairwise(sizes))


def test_the_decoders_of_the_reports_have_the_sizes_of_their_tables():
    # Linear 512-512, then transposed convolutions of 4^3 weights a pair of channels.
    assert parameters(DeconvolutionVoxels()) == linear(512, 512) + transposed(64, 32, 16, 8, 1)
    # The code itself is 64 channels of 2^3; the last convolution has one weight a pair.
    assert parameters(Pix2VoxVoxels()) == transposed(64, 128, 64, 32, 8) + 8 + 1
    assert parameters(MlpPoints(5000)) == linear(512, 1024, 2048, 15_000)
    assert parameters(MlpMesh()) == linear(512, 1024, 2048, 3 * 2562)


def test_the_activation_is_the_one_asked_for():
    _, decoder = build_decoder(MlpPoints(4, (8, 8, 8), "leaky_relu"), PrecomputedCodes(16))
    kinds = [type(layer) for layer in decoder.layers]
    assert kinds == [nn.Linear, nn.LeakyReLU] * 3 + [nn.Linear]


def test_no_weight_depends_on_how_many_points_are_asked():
    for few, many in ((FoldingPoints(100), FoldingPoints(5000)), (AtlasHead(points=100), AtlasHead(points=5000))):
        assert parameters(few) == parameters(many)


@pytest.mark.parametrize("config", [PointsConfig(ENCODER, FOLDING), AtlasConfig(ENCODER, SQUARES)])
def test_any_number_of_points_comes_out_and_always_the_same(config):
    model = build(config).eval()
    (representation,) = model.representations
    features = Features(torch.rand(2, 16))
    with torch.no_grad():
        for count in (1, 5, 40, 1000):
            clouds = model.shapes(features, representation, points=count)
            assert [cloud.points.shape for cloud in clouds] == [(count, 3)] * 2
            again = model.shapes(features, representation, points=count)
            assert torch.equal(clouds[0].points, again[0].points)
        assert len(model.shapes(features, representation)[0].points) == 40
    with pytest.raises(ValueError, match="0 points"):
        model.shapes(features, representation, points=0)


def test_a_head_that_is_tied_to_its_points_says_so():
    model = build(PointsConfig(ENCODER, MlpPoints(40, (8,))))
    with pytest.raises(ValueError, match="MlpPoints cannot give 41 points; it is tied to its own"):
        model.shapes(Features(torch.rand(1, 16)), "points", points=41)


@torch.no_grad()
def test_fewer_folded_points_are_the_first_of_more():
    decoder = FoldingDecoder(FOLDING, 16)
    features = Features(torch.rand(2, 16))
    torch.testing.assert_close(decoder(features, 30), decoder(features, 100)[:, :30])


@torch.no_grad()
def test_a_patch_of_no_extent_folds_into_its_anchor():
    decoder = FoldingDecoder(FOLDING, 16)
    decoder.folded[-1].weight.zero_()
    decoder.folded[-1].bias.zero_()
    features = Features(torch.rand(1, 16))
    places, _ = decoder.anchors(features)
    # Point i belongs to anchor i modulo 12.
    torch.testing.assert_close(decoder(features, 40)[0], places[0].repeat(4, 1)[:40])


@torch.no_grad()
@pytest.mark.parametrize("head", [SQUARES, SPHERE])
def test_an_atlas_maps_each_place_by_itself(head):
    decoder = AtlasDecoder(head, 16)
    features = Features(torch.rand(2, 16))
    places = decoder.on_template(torch.rand(10, 2))
    points = decoder.at(features, 0, places)
    order = torch.randperm(10)
    torch.testing.assert_close(decoder.at(features, 0, places[order]), points[:, order])
    torch.testing.assert_close(decoder.at(features, 0, places[3:4]), points[:, 3:4])
    # Each picture may have its own places.
    both = torch.stack([places, places[order]])
    torch.testing.assert_close(decoder.at(features, 0, both)[1], points[1, order])


@torch.no_grad()
def test_an_atlas_shares_its_points_out_evenly():
    decoder = AtlasDecoder(SQUARES, 16)
    features = Features(torch.rand(1, 16))
    cloud = decoder(features, 11)[0]
    # 4 + 4 + 3, each the first of the even sequence.
    expected = [decoder.at(features, k, in_square(4)[: 4 if k < 2 else 3])[0] for k in range(3)]
    torch.testing.assert_close(cloud, torch.cat(expected))


@torch.no_grad()
def test_an_atlas_is_drawn_as_a_grid_a_square_or_a_closed_sphere():
    squares, sphere = AtlasDecoder(SQUARES, 16), AtlasDecoder(SPHERE, 16)
    features = Features(torch.rand(2, 16))
    of_squares, of_sphere = squares.meshes(features, cells=5), sphere.meshes(features, cells=8)
    assert len(of_squares) == len(of_sphere) == 2
    assert len(of_squares[0].vertices) == 3 * 6**2 and len(of_squares[0].faces) == 3 * 2 * 5**2
    vertices, faces = of_sphere[0].vertices, of_sphere[0].faces
    # Euler: V - E + F = 2, and every edge has two faces.
    assert len(vertices) - len(faces) * 3 // 2 + len(faces) == 2
    corner = squares.at(features, 0, torch.tensor([[0.0, 1.0]]))[0]
    assert float((of_squares[0].vertices - corner).norm(dim=-1).min()) < 1e-6


def test_the_even_sequence_fills_every_part_of_a_square_and_a_sphere():
    places = in_square(256)
    counts = torch.bincount((places * 4).long() @ torch.tensor([4, 1]), minlength=16)
    # A random draw of mean 16 strays by 4 and more; an even one by the boundary of a cell.
    assert counts.min() >= 13 and counts.max() <= 19
    assert torch.equal(in_square(100), in_square(300)[:100])
    ball = on_sphere(in_square(2000))
    torch.testing.assert_close(ball.norm(dim=-1), torch.ones(2000))
    assert float(ball.mean(0).norm()) < 0.01


# ------------------------------------------------------------------------------------------------------ voxel levels


def test_truth_that_is_too_coarse_for_a_decoder_of_the_reports_is_refused():
    model = build(HEADS["deconvolution"])
    with pytest.raises(ValueError, match="16 cells a side, 32 are asked for"):
        model.losses(torch.rand(2, 4, 32, 32), targets_of(2, cells=16))


def test_queries_are_read_from_the_cells_they_lie_in():
    # Logits that are the cells' x: read between the centres, the field is x itself.
    centers = cell_centers(8)
    queries = torch.rand(2, 50, 3) * 0.8 - 0.4
    for axis in range(3):
        logits = 40 * centers[..., axis].expand(2, -1, -1, -1)
        inside = (queries[..., axis] > 0).float()
        expected = nn.functional.binary_cross_entropy_with_logits(40 * queries[..., axis], inside)
        torch.testing.assert_close(query_loss(logits, queries, inside), expected, rtol=1e-4, atol=1e-5)


def test_queries_beyond_the_cube_say_nothing():
    logits = torch.randn(1, 8, 8, 8)
    queries = torch.tensor([[[0.1, 0.2, 0.3], [0.6, 0.0, 0.0]]])
    inside = torch.tensor([[1.0, 1.0]])
    torch.testing.assert_close(query_loss(logits, queries, inside), query_loss(logits, queries[:, :1], inside[:, :1]))
    assert float(query_loss(logits, queries[:, 1:], inside[:, 1:])) == 0


def test_every_level_of_a_residual_grid_corrects_the_one_before():
    _, decoder = build_decoder(ResidualVoxels(64, channels=8), PrecomputedCodes(16))
    features = Features(torch.rand(2, 16))
    with torch.no_grad():
        assert [len(level[0]) for level in decoder.pyramid(features)] == [8, 16, 32, 64]
        for level in decoder.levels[1:]:
            level.logit.weight.zero_()
            level.logit.bias.zero_()
        # Without corrections the finest grid is the coarsest, read between its centres.
        coarse, *_, fine = decoder.pyramid(features)
    expected = coarse[:, None]
    for _ in range(3):
        expected = nn.functional.interpolate(expected, scale_factor=2, mode="trilinear")
    torch.testing.assert_close(fine, expected[:, 0])


def test_levels_finer_than_the_voxels_of_the_data_learn_from_its_queries_alone():
    _, decoder = build_decoder(ResidualVoxels(64, channels=8), PrecomputedCodes(16))
    features = Features(torch.rand(2, 16))
    for cells, asked in ((32, True), (64, False), (128, False)):
        targets = targets_of(2, cells=cells)
        turned = replace(targets, inside=1 - targets.inside)
        with torch.no_grad():
            one, other = decoder.loss(features, targets), decoder.loss(features, turned)
        assert (one["voxels"] != other["voxels"]) == asked
        assert one["voxels_coarse"] == other["voxels_coarse"]


@pytest.mark.slow
def test_a_residual_grid_of_64_learns_a_ball_from_voxels_of_32_and_queries():
    # One code, one ball; the grid's own IoU with the ball at 64 cells, which no voxel of the truth told.
    torch.manual_seed(0)
    _, decoder = build_decoder(ResidualVoxels(64, channels=16), PrecomputedCodes(4))
    features, optimizer = Features(torch.ones(1, 4)), torch.optim.Adam(decoder.parameters(), lr=1e-2)
    for _ in range(150):
        # Drawn anew each step, as a training draws them: 4,000 that stay are too few to tell the surface to 1/64.
        queries = torch.rand(1, 4000, 3) - 0.5
        targets = replace(targets_of(1), queries=queries, inside=(queries.norm(dim=-1) < 0.3).float())
        optimizer.zero_grad()
        total_loss(decoder.loss(features, targets)).backward()
        optimizer.step()
    with torch.no_grad():
        found = decoder.shapes(features)[0].occupancy > 0.5
    truth = cell_centers(64).norm(dim=-1) < 0.3
    # A shell of half a cell of 64 about the surface holds 8 % of the ball.
    assert float((found & truth).sum() / (found | truth).sum()) > 0.92


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ResidualVoxels(channels=12), "multiple of 8"),
        (lambda: DeconvolutionVoxels((0, 1, 1, 1)), "channels are"),
        (lambda: MlpPoints(hidden=(0,)), "hidden is"),
        (lambda: MlpMesh(level=9), "level is 9"),
        (lambda: AtlasHead(patches=0), "patches is 0"),
        (lambda: FoldingPoints(anchors=0), "anchors is 0"),
        (lambda: build(VoxelsConfig(SmallEncoder(features=20), Pix2VoxVoxels())), "codes have 20 numbers"),
    ],
)
def test_sizes_that_no_head_can_have_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_bundled_network_keeps_its_heads():
    config = load_run().model.config
    assert isinstance(config, MultiHeadConfig) and isinstance(config.mesh, MeshHead)
    assert math.isclose(config.voxels.full_weight, 1.3)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            PointsConfig(ENCODER, MlpPoints(40, (8, 16), "leaky_relu")),
            r"weights of PointsConfig of SmallEncoder, MlpPoints, .*: decoders.points differs in 3 of 6 tensors: "
            r"\S+ is 16 x 8 in the weights, not 8 x 8",
        ),
        (
            VoxelsConfig(ENCODER, ResidualVoxels(32, channels=8)),
            r"weights of VoxelsConfig of SmallEncoder, ResidualVoxels, but config.json says PointsConfig of "
            r"SmallEncoder, MlpPoints: decoders.points is missing in the weights; decoders.voxels is only in the "
            r"weights",
        ),
        (
            PointsConfig(replace(ENCODER, features=24), MlpPoints(40, (8, 8), "leaky_relu")),
            r"encoder differs in \d+ of \d+ tensors: .*; viewpoint_decoder differs .* is 128 x 24 .*, not 128 x 16; ",
        ),
    ],
)
def test_weights_of_another_network_say_where_they_differ(tmp_path, other, message):
    for folder, config in (("run", HEADS["mlp points"]), ("other", other)):
        save_model(build(config), tmp_path / folder, {})
    (tmp_path / "other" / "model.safetensors").replace(tmp_path / "run" / "model.safetensors")
    with pytest.raises(OSError, match=message) as told:
        load_run(tmp_path / "run")
    assert "\n" not in str(told.value)


def test_a_state_of_another_network_says_where_it_differs(tmp_path):
    network, other = (
        build(config) for config in (HEADS["mlp points"], PointsConfig(ENCODER, MlpPoints(40, (8, 16), "leaky_relu")))
    )
    adam, another = (torch.optim.Adam(each.parameters()) for each in (network, other))
    save_state(tmp_path, {"model": network, "average": network}, adam, None, 3)
    with pytest.raises(ValueError, match=r"another network: decoders.points differs .* is 8 x 8 .*, not 16 x 8; give"):
        load_state(tmp_path, {"model": other, "average": other}, another, None)
    with pytest.raises(ValueError, match="also holds average; give the settings it was begun with"):
        load_state(tmp_path, {"model": network}, adam, None)
    assert load_state(tmp_path, {"model": network, "average": network}, adam, None) == 3
