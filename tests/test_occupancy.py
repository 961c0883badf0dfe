"""Occupancy fields: what they are asked, what they learn, the meshes that come out."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from maquette.fitting.descent import Adam
from maquette.models import Features, OccupancyConfig, build, load_run, save_model
from maquette.models.occupancy import (
    AdditiveOccupancy,
    ConcatOccupancy,
    ConditionalOccupancy,
    Meshing,
    OccupancyDecoder,
    TriplaneOccupancy,
    Uniform,
    uniform_queries,
)
from maquette.shapes import Mesh, cell_centers, implicit_mesh
from maquette.shapes.columns import is_closed
from test_models import SMALL, targets_of

COARSE = Meshing(resolution=16)
HEADS = {
    "concat": ConcatOccupancy(meshing=COARSE),
    "additive": AdditiveOccupancy(meshing=COARSE),
    "conditional": ConditionalOccupancy(hidden=16, blocks=2, meshing=COARSE),
    "conditional by layers": ConditionalOccupancy(hidden=16, blocks=2, normalisation="layer", meshing=COARSE),
    "triplane": TriplaneOccupancy(channels=8, doublings=2, hidden=16, meshing=COARSE),
}


@pytest.fixture(params=HEADS)
def head(request):
    return HEADS[request.param]


def seeded(head, features: int = 16) -> OccupancyDecoder:
    torch.manual_seed(0)
    return OccupancyDecoder(head, features)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_layers_are_those_of_the_reports():
    def sizes(module):
        return [tuple(part.weight.shape) for part in module.modules() if isinstance(part, nn.Linear)]

    concat, added = seeded(ConcatOccupancy(), 512), seeded(AdditiveOccupancy(), 512)
    assert sizes(concat) == [(256, 515), (128, 256), (64, 128), (1, 64)]
    assert sizes(added.field.code) == [(256, 512), (128, 256)]
    assert sizes(added.field.place) == [(64, 3), (128, 64), (128, 128)]
    assert sizes(added.field.layers) == [(128, 128), (128, 128), (64, 128), (1, 64)]
    assert sum(p.numel() for p in seeded(TriplaneOccupancy(), 512).parameters()) <= 2_500_000


def test_code_and_place_side_by_side_are_what_the_first_layer_reads():
    decoder = seeded(ConcatOccupancy())
    code, places = random(2, 16), random(2, 5, 3) - 0.5
    together = torch.cat([code[:, None].expand(2, 5, 16), places], -1)
    torch.testing.assert_close(decoder(Features(code), places), decoder.field.layers(together)[..., 0])


def test_a_place_is_answered_alike_whatever_else_is_asked(head):
    decoder = seeded(head).eval()
    code, places = random(3, 16), random(3, 7, 3) - 0.5
    together = decoder(Features(code), places)
    assert together.shape == (3, 7)
    # Float32 sums in another order.
    torch.testing.assert_close(decoder(Features(code[1:2]), places[1:2, 4:])[0], together[1, 4:], atol=1e-5, rtol=0)
    order = torch.tensor([6, 2, 0, 1, 3, 5, 4])
    torch.testing.assert_close(decoder(Features(code), places[:, order]), together[:, order], atol=1e-5, rtol=0)


@pytest.mark.parametrize("head", [HEADS["conditional by layers"], HEADS["triplane"]])
def test_without_batch_statistics_training_answers_as_evaluation_does(head):
    decoder = seeded(head)
    features, places = Features(random(3, 16)), random(3, 7, 3) - 0.5
    torch.testing.assert_close(decoder.train()(features, places), decoder.eval()(features, places), rtol=0, atol=0)


def test_the_planes_are_xy_xz_and_yz_with_their_borders_on_the_cube_s(generator):
    decoder = seeded(TriplaneOccupancy(channels=1, doublings=2, hidden=4))
    # Each plane holds the coordinate of its columns and rows, so what is read is where it is read.
    line = (torch.arange(16) + 0.5) / 16 - 0.5
    columns, rows = line.expand(16, 16), line[:, None].expand(16, 16)
    places = (torch.rand(1, 30, 3, generator=generator) - 0.5) * (15 / 16)
    read = []
    decoder.field.layers = nn.Sequential(nn.Identity())
    decoder.field.layers.register_forward_hook(lambda _, given, __: read.append(given[0]))
    for plane in (columns, rows):
        decoder.field(plane.expand(1, 3, 1, 16, 16), places)
    x, y, z = places[0].unbind(-1)
    for values, expected in zip(read, ((x, x, y), (y, z, z)), strict=True):
        torch.testing.assert_close(values[0, :, :3], torch.stack(expected, -1))
        torch.testing.assert_close(values[0, :, 3:], places[0])


def test_uniform_places_know_the_voxel_they_lie_in(generator):
    # Full where x > 0 and y < z: no two axes may be exchanged.
    x, y, z = cell_centers(32).unbind(-1)
    targets = replace(targets_of(2, generator), voxels=((x > 0) & (y < z)).float().expand(2, 32, 32, 32).contiguous())
    places, inside = uniform_queries(targets, 4000)
    assert places.shape == (2, 4000, 3) and places.min() >= -0.5 and places.max() < 0.5
    x, y, z = places.unbind(-1)
    sure = (y - z).abs() > 1 / 32
    assert torch.equal(inside[sure], ((x > 0) & (y < z)).float()[sure])
    # A quarter is full; of 8,000 draws the share strays by less than 0.02 (4 deviations).
    assert abs(float(inside.mean()) - 0.25) < 0.02
    head = ConcatOccupancy(queries=Uniform(500))
    assert seeded(head).loss(Features(random(2, 16)), targets)["occupancy"].isfinite()


def test_to_know_nothing_costs_the_logarithm_of_two(generator):
    decoder = seeded(ConcatOccupancy())
    with torch.no_grad():
        last = decoder.field.layers[-1]
        last.weight.zero_(), last.bias.zero_()
    loss = decoder.loss(Features(random(2, 16)), targets_of(2, generator))["occupancy"]
    assert loss.item() == pytest.approx(math.log(2))


def test_every_field_sends_a_gradient_to_the_encoder(head, generator):
    model = build(OccupancyConfig(SMALL, head))
    terms = model.losses(random(4, 4, 32, 32), targets_of(4, generator))
    assert set(terms) == {"viewpoint", "occupancy"}
    (gradient,) = torch.autograd.grad(terms["occupancy"], model.encoder.head[1].weight)
    assert gradient.abs().sum() > 0


def taught_a_slab(head) -> tuple[OccupancyDecoder, Features]:
    """A field that has learnt x > 0.1 at all y and z."""
    decoder, features = seeded(head), Features(torch.ones(1, 16))
    optimizer = Adam(decoder.parameters(), lr=1e-2)
    for step in range(40):
        places = random(1, 400, 3, seed=step) - 0.5
        inside = (places[..., 0] > 0.1).float()
        loss = nn.functional.binary_cross_entropy_with_logits(decoder(features, places), inside)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return decoder.eval(), features


def test_what_is_learnt_on_an_axis_is_meshed_there_and_closed_at_the_cube(head):
    decoder, features = taught_a_slab(head)
    (mesh,) = decoder.shapes(features)
    assert isinstance(mesh, Mesh) and is_closed(mesh.faces)
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    # A cell of 1/16 at each end.
    torch.testing.assert_close(low, torch.tensor([0.1, -0.5, -0.5]), atol=0.07, rtol=0)
    torch.testing.assert_close(high, torch.tensor([0.5, 0.5, 0.5]), atol=0.07, rtol=0)
    assert (mesh.vertices.abs() <= 0.5).all()


def test_a_field_s_mesh_is_that_of_the_dense_grid():
    decoder, features = taught_a_slab(HEADS["triplane"])
    mesh = decoder.meshes(features, Meshing(resolution=64))[0]
    condition = decoder.field.condition(features.code)
    box = torch.tensor([[-0.5] * 3, [0.5] * 3])
    dense = implicit_mesh(lambda places: -decoder.closed(condition, places), box, resolution=65)
    assert torch.equal(mesh.faces, dense.faces)
    # Products of matrices round by the number of their rows.
    torch.testing.assert_close(mesh.vertices, dense.vertices, atol=1e-4, rtol=0)


def test_a_higher_level_is_a_smaller_solid_and_shifting_makes_it_a_half():
    decoder, features = taught_a_slab(HEADS["concat"])
    half, most = (decoder.meshes(features, Meshing(16, level))[0].vertices.amin(0)[0] for level in (0.5, 0.9))
    assert most > half
    decoder.shift_level(0.9)
    shifted = decoder.meshes(features, COARSE)[0].vertices.amin(0)[0]
    torch.testing.assert_close(shifted, most, atol=1e-4, rtol=0)


def test_a_field_without_an_inside_gives_a_mesh_without_faces():
    decoder = seeded(ConcatOccupancy(meshing=COARSE))
    with torch.no_grad():
        decoder.field.layers[-1].bias.fill_(-20)
    assert [len(mesh.faces) for mesh in decoder.shapes(Features(random(2, 16)))] == [0, 0]


def test_a_saved_field_predicts_the_same_when_it_is_loaded(tmp_path, head):
    config = OccupancyConfig(SMALL, replace(head, queries=Uniform(10)))
    model = build(config).eval()
    save_model(model, tmp_path, {})
    run = load_run(tmp_path)
    assert run.model.config == config
    images, places = random(2, 4, 32, 32), random(2, 5, 3)
    ours, theirs = (each.decoders["occupancy"](each.encode(images), places) for each in (model, run.model))
    assert torch.equal(ours, theirs)


def test_numbers_that_no_field_is_built_from_are_refused():
    with pytest.raises(ValueError, match="resolution is 100; give a power of two"):
        Meshing(resolution=100)
    with pytest.raises(ValueError, match=r"level is 1\.0"):
        Meshing(level=1.0)
    with pytest.raises(ValueError, match="count is 0"):
        Uniform(0)
