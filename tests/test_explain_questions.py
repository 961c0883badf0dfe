"""What heat maps ask of an answer: a box, a place, a part, the loss against a truth; and what is refused."""

import pytest
import torch
from torch import Tensor

from maquette.explain import Box, GradCam, Loss, Part, Picked, Saliency, Whole, heat_maps
from maquette.explain.maps import heat_map
from maquette.explain.questions import Question, ask, value_of
from maquette.models import PointsConfig, PrecomputedCodes, SingleView, build, total_loss
from maquette.models.points import PointsHead
from maquette.shapes import cell_centers
from test_explain import CORNER, network, picture, truth


def value(model: SingleView, question: Question, given: Tensor) -> float:
    with torch.no_grad():
        return float(value_of(question, model, model.representations[0], model.encode(given[None]))[0])


def test_a_region_of_a_grid_is_its_full_cells_and_asks_their_mean_log_odds():
    model = network("voxels")
    asked = ask(model, picture(), CORNER, "voxels")
    with torch.no_grad():
        logits = model.decoders["voxels"](model.encode(picture()[None]))[0]
    x, y, z = cell_centers(32).unbind(-1)
    meant = (logits > 0) & (x >= 0) & (y <= 0.1) & (z.abs() <= 0.1)
    assert int(asked.chosen.sum()) == int(meant.sum())
    assert value(model, asked.question, picture()) == pytest.approx(float(logits[meant].mean()), rel=1e-5)


def test_of_points_the_mean_distance_from_the_middle_is_asked():
    model = network("points")
    asked = ask(model, picture(), CORNER, "points")
    points = asked.pieces.positions
    away = (points - points.mean(0)).norm(dim=-1)
    assert value(model, asked.question, picture()) == pytest.approx(float(away[asked.chosen].mean()), rel=1e-5)


def test_a_part_is_what_lies_nearest_to_it_and_others_are_listed():
    model = network("points")
    asked = ask(model, picture(), Part("foot"), "points", truth=truth())
    heights = asked.pieces.positions[:, 1]
    # Points near the border between the parts may belong to either: the truth has about 2,000 points.
    sure = heights.abs() > 0.02
    assert torch.equal(asked.chosen[sure], (heights < 0)[sure])
    with pytest.raises(ValueError, match=r"no part 'arm'; it has foot, top$"):
        ask(model, picture(), Part("arm"), "points", truth=truth())


@pytest.mark.parametrize("name", ["voxels", "points", "mesh", "graph mesh", "occupancy"])
def test_the_loss_against_a_truth_is_the_decoder_s_own(name):
    model = network(name)
    representation = model.representations[0]
    asked = ask(model, picture(), Loss(), representation, truth=truth())
    with torch.no_grad():
        terms = model.losses(picture()[None], asked.question.targets)
    terms.pop("viewpoint")
    assert value(model, asked.question, picture()) == pytest.approx(float(total_loss(terms)), rel=1e-5)
    assert bool(heat_map(model, picture(), Saliency(), asked.question, representation).isfinite().all())


def test_a_region_without_pieces_says_what_is_near():
    model = network("points")
    with pytest.raises(ValueError, match="no points in the box; the answer's points reach from"):
        ask(model, picture(), Box((2.0, 2.0, 2.0), (3.0, 3.0, 3.0)), "points")
    with pytest.raises(ValueError, match=r"within 0.06 of \(0, 5, 0\); the nearest is 4\.[0-9]+ away"):
        ask(model, picture(), Picked((0.0, 5.0, 0.0)), "points")
    with pytest.raises(ValueError, match="Part needs the truth"):
        ask(model, picture(), Part("leg"), "points")


def test_what_a_network_cannot_explain_is_refused():
    codes = build(PointsConfig(PrecomputedCodes(8), PointsHead(points=8, hidden=8)))
    with pytest.raises(ValueError, match="reads codes"):
        heat_maps(codes, picture()[None], Saliency(), Whole(), "points")
    with pytest.raises(ValueError, match="predicts points, not 'mesh'"):
        heat_maps(network("points"), picture()[None], Saliency(), Whole(), "mesh")
    with pytest.raises(ValueError, match="layer is 4; this encoder has 4 maps, -4 to 3"):
        heat_maps(network("points"), picture()[None], GradCam(4), Whole(), "points")
