"""Which discs lie over a pixel, front to back: known answers, the two implementations, and hostile input."""

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette.ops import raster_discs, raster_discs_layers, raster_discs_layers_reference, raster_discs_reference
from maquette.ops.raster_discs import raster_discs_layers_numba

BOTH = (raster_discs_layers_reference, raster_discs_layers_numba)


def random_discs(seed, count=200, batch=2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    # Depths of five values only, so that many discs are equally near.
    depth = torch.randint(1, 6, (batch, count, 1), generator=generator)
    position = torch.rand(batch, count, 2, generator=generator) * 50 - 5
    radii = torch.rand(batch, count, generator=generator) * 8
    return torch.cat([position, depth], -1).to(dtype), radii.to(dtype)


@pytest.mark.parametrize("layers_of", BOTH)
def test_layers_list_the_discs_over_a_pixel_from_front_to_back(layers_of):
    # Three discs over the left pixel at depths 3, 1, 2; one, from behind, over the right one.
    centers = torch.tensor([[[0.5, 0.5, 3.0], [0.5, 0.5, 1.0], [0.5, 0.5, 2.0], [1.5, 0.5, 9.0]]])
    radii = torch.full((1, 4), 0.4)
    assert layers_of(centers, radii, (1, 2), layers=4).tolist() == [[[[1, 2, 0, -1], [3, -1, -1, -1]]]]
    assert layers_of(centers, radii, (1, 2), layers=2).tolist() == [[[[1, 2], [3, -1]]]]


@pytest.mark.parametrize("layers_of", BOTH)
def test_of_equally_near_discs_the_lowest_come_first(layers_of):
    centers = torch.full((1, 7, 3), 2.5)
    assert layers_of(centers, torch.full((1, 7), 9.0), (5, 5), layers=3).unique(dim=2).tolist() == [[[[0, 1, 2]]] * 5]


@pytest.mark.parametrize("layers_of", BOTH)
def test_a_disc_behind_the_camera_nowhere_or_without_size_in_numbers_covers_nothing(layers_of):
    nan, inf = torch.nan, torch.inf
    centers = torch.tensor([[[2, 2, -1.0], [2, 2, 0], [2, 2, inf], [2, 2, nan], [nan, 2, 1], [inf, 2, 1], [2, 2, 1]]])
    radii = torch.tensor([[3.0, 3, 3, 3, 3, 3, nan]])
    assert (layers_of(centers, radii, (4, 4), layers=2) == -1).all()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layers", [1, 3, 300])
def test_the_kernel_of_layers_agrees_with_its_reference(seed, layers):
    centers, radii = random_discs(seed, dtype=torch.float64 if seed else torch.float32)
    first, second = (run(centers, radii, (33, 47), layers=layers) for run in BOTH)
    assert torch.equal(first, second)


def test_the_first_layer_is_the_front_most_disc():
    centers, radii = random_discs(7)
    layers = raster_discs_layers(centers, radii, (33, 47), layers=4)
    assert torch.equal(layers[..., 0], raster_discs(centers, radii, (33, 47)))
    # What there is of more layers does not change the first of them.
    assert torch.equal(layers, raster_discs_layers(centers, radii, (33, 47), layers=9)[..., :4])


def test_without_a_limit_every_disc_is_listed_once_over_each_pixel_within_its_radius():
    centers, radii = random_discs(3, count=60, batch=1)
    size = (33, 47)
    layers = raster_discs_layers(centers, radii, size, layers=60)[0]
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    offset = torch.stack([x, y], -1)[:, :, None].double() - centers[0, :, :2].double()
    covers = offset.square().sum(-1) <= radii[0].double() ** 2
    listed = torch.zeros(*size, 61, dtype=torch.int64).scatter_add_(2, layers + 1, torch.ones_like(layers))[..., 1:]
    assert torch.equal(listed, covers.long())


@pytest.mark.parametrize("run", BOTH)
def test_the_work_is_cut_into_pieces_without_a_trace(run, monkeypatch):
    centers, radii = random_discs(5)
    whole = run(centers, radii, (33, 47), layers=5)
    monkeypatch.setattr(sys.modules["maquette.ops.raster"], "PAIRS", 1000)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert torch.equal(run(centers, radii, (33, 47), layers=5), whole)
    finally:
        torch.set_num_threads(threads)


def test_no_discs_cover_nothing():
    for run in (raster_discs_layers, *BOTH):
        assert (run(torch.zeros(2, 0, 3), torch.zeros(2, 0), (3, 4), layers=2) == -1).all()
    for run in (raster_discs, raster_discs_reference):
        assert (run(torch.zeros(2, 0, 3), torch.zeros(2, 0), (3, 4)) == -1).all()
    assert raster_discs_layers(torch.zeros(0, 5, 3), torch.zeros(0, 5), (3, 4), layers=2).shape == (0, 3, 4, 2)


numbers = st.floats(width=32) | st.sampled_from([0.0, 1.0, 5.5, 6.0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(numbers, numbers, numbers, numbers), min_size=1, max_size=6))
def test_nasty_discs_neither_crash_nor_part_the_layers_from_their_reference(discs):
    rows = torch.tensor(discs)[None]
    first, second = (run(rows[..., :3], rows[..., 3], (11, 13), layers=3) for run in BOTH)
    assert torch.equal(first, second)


def test_wrong_numbers_of_layers_and_pixels_are_told():
    centers, radii = random_discs(0, count=3)
    with pytest.raises(ValueError, match="raster_discs_layers: layers is 0; ask for at least one"):
        raster_discs_layers(centers, radii, (3, 4), layers=0)
    with pytest.raises(ValueError, match=r"raster_discs_layers: size \(0, 4\)"):
        raster_discs_layers(centers, radii, (0, 4), layers=2)
