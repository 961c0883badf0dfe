"""Maps of codes whose directions are known, and ways between codes."""

import itertools
import math

import numpy as np
import pytest
import torch

from maquette.latent.drawn_map import uncrowded
from maquette.latent.embedding import embed, principal_components, same_category
from maquette.latent.walk import between, drawn, measured, slerp, walk_camera
from maquette.models.features import Features
from maquette.shapes import PointCloud, plane, transform
from maquette.transforms import scale_translate


def test_principal_components_are_the_axes_of_an_ellipse_with_their_shares_of_the_variance(generator):
    angle = 2 * math.pi * torch.arange(60) / 60
    flat = torch.stack([3 * angle.cos(), 1 * angle.sin(), torch.zeros(60)], -1)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator))
    found = principal_components(flat @ turn.T + 5.0)
    assert found.explained == pytest.approx((0.9, 0.1), abs=1e-6)
    assert torch.allclose(found.places.abs(), flat[:, :2].abs(), atol=1e-5)
    # The same map again, whatever sign the singular vectors come with.
    assert torch.allclose(principal_components(flat @ turn.T).places, found.places, atol=1e-5)


def test_codes_in_one_direction_have_a_second_axis_without_variance():
    found = principal_components(torch.arange(4.0)[:, None])
    assert found.explained == (pytest.approx(1), 0) and found.places[:, 1].tolist() == [0] * 4


def test_neighbours_of_a_category_are_counted_against_chance():
    codes = torch.tensor([[1.0, 0.0]] * 6 + [[0.0, 1.0]] * 6) + 0.01 * torch.arange(12.0)[:, None]
    same, chance = same_category(codes, ["a"] * 6 + ["b"] * 6)
    assert same == 1 and chance == pytest.approx(2 * 6 * 5 / (12 * 11))
    # Categories that have nothing to do with the codes: two or three of five neighbours.
    mixed, _ = same_category(codes, ["a", "b"] * 6)
    assert mixed == pytest.approx((2 * 3 + 3 * 2) / 2 / 15, abs=0.01)


def test_no_two_pictures_on_a_map_overlap_and_no_more_would_fit():
    places = np.random.default_rng(0).uniform(0, 10, (200, 2))
    kept = uncrowded(places, 1.0)
    apart = [np.abs(places[a] - places[b]).max() for a, b in itertools.combinations(kept, 2)]
    assert min(apart) >= 1
    for index in set(range(200)) - set(kept):
        assert min(np.abs(places[index] - places[other]).max() for other in kept) < 1


def test_a_map_by_t_sne_keeps_groups_together():
    pytest.importorskip("sklearn")
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(24, 8, generator=generator) * 0.1
    codes[12:] += 5
    places = embed(codes, "tsne").places
    middles = places[:12].mean(0), places[12:].mean(0)
    nearer = [(place - middles[0]).norm() < (place - middles[1]).norm() for place in places]
    assert all(nearer[:12]) and not any(nearer[12:])


def test_a_library_that_is_missing_is_told_in_one_line(monkeypatch):
    monkeypatch.setattr("maquette.latent.embedding.find_spec", lambda name: None)
    for method, package in (("tsne", "scikit-learn"), ("umap", "umap-learn")):
        with pytest.raises(ValueError, match=f"needs {package}.*pip install 'maquette\\[latent\\]'"):
            embed(torch.zeros(5, 2), method)


def test_a_great_circle_has_even_angles_and_lengths_between_those_of_its_ends():
    first, last = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 4.0, 0.0]])
    third = slerp(first, last, 1 / 3)
    length = 2 + 2 / 3
    assert torch.allclose(third, length * torch.tensor([[math.cos(math.pi / 6), 0.5, 0.0]]), atol=1e-6)
    assert torch.allclose(slerp(first, first, 0.5), first)
    with pytest.raises(ValueError, match="opposite"):
        slerp(first, -first, 0.5)


@pytest.mark.parametrize("blend", ["linear", "spherical"])
def test_a_way_begins_at_the_first_code_and_ends_at_the_last_and_mixes_maps_linearly(blend, generator):
    ends = [
        Features(torch.rand(1, 6, generator=generator), (torch.rand(1, 2, 3, 3, generator=generator),)) for _ in "ab"
    ]
    for t, end in zip((0.0, 1.0), ends, strict=True):
        assert torch.allclose(between(*ends, t, blend).code, end.code, atol=1e-6)
    middle = between(*ends, 0.5, blend)
    assert torch.allclose(middle.maps[0], (ends[0].maps[0] + ends[1].maps[0]) / 2)
    if blend == "linear":
        assert torch.allclose(middle.code, (ends[0].code + ends[1].code) / 2)


def test_a_point_keeps_the_color_of_its_place_in_the_first_solid():
    # Two points change places; their colours go along: red grows with x, green is the same.
    first = PointCloud(torch.tensor([[-0.3, 0.0, 0.0], [0.3, 0.0, 0.0]]))
    camera = walk_camera("viewer", 64)
    places = camera.project(first.points)[..., :2].floor().long().tolist()
    start, end = drawn([first, PointCloud(first.points.flip(0))], "points", camera)
    is_red = [[bool(picture[y, x, 0] > 1.5 * picture[y, x, 1]) for x, y in places] for picture in (start, end)]
    assert is_red == [[False, True], [True, False]]


def test_steps_of_a_way_are_the_distances_of_its_surfaces_however_they_are_sampled():
    solids = [
        transform(plane(1.0), scale_translate(1.0, torch.tensor([0.0, y, 0.0]))) for y in (0, 0.001, 0.002, 0.005)
    ]
    found = measured(solids)
    # Far less than the points of a surface are apart; 3 of the 5 thousandths are the last of three steps.
    assert found["steps"] == pytest.approx([0.001, 0.001, 0.003], abs=1e-6)
    assert found["ends"] == pytest.approx(0.005, abs=1e-6) == found["path"]
    assert found["largest_step"] == pytest.approx(3 / (5 / 3), rel=1e-3)
    assert measured([PointCloud(torch.eye(3))] * 2)["path"] == 0
