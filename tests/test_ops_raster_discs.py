"""Rasterising discs: their area and order, and the compiled kernel against the reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette.ops import raster_discs, raster_discs_reference
from maquette.ops.raster_discs import raster_discs_numba

NUMBERS = st.one_of(
    st.integers(-3, 40).map(float), st.sampled_from([0.5, 7.5, -1e30, 1e30, 1e-30, float("nan"), float("inf")])
)
DEPTHS = st.sampled_from([-2.0, -1.0, 0.0, 1e-30, 1.0, 1.0, 2.0, 3.0, 1e30, float("nan"), float("inf")])


def random(seed, *shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_disc_covers_the_pixel_centres_within_its_radius():
    disc = raster_discs(torch.tensor([[[20.0, 15.0, 1.0]]]), torch.tensor([[9.0]]), (30, 40))[0]
    y, x = torch.meshgrid(torch.arange(30) + 0.5, torch.arange(40) + 0.5, indexing="ij")
    assert torch.equal(disc == 0, (x - 20) ** 2 + (y - 15) ** 2 <= 81)


def test_the_front_most_disc_is_seen_and_the_lowest_of_equals_and_none_behind_the_camera():
    centers = torch.tensor([[[5.0, 5, 3], [5, 5, 2], [5, 5, 2], [5, 5, 0], [5, 5, -1], [5, 5, torch.nan]]])
    disc = raster_discs(centers, torch.full((1, 6), 20.0), (10, 10))
    assert (disc == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_the_disc_kernel_agrees_with_its_reference(seed):
    centers = random(seed, 2, 150, 3) * torch.tensor([90.0, 70.0, 2.0]) - torch.tensor([10.0, 10.0, 0.3])
    radii = random(seed + 10, 2, 150) * 8
    if seed == 2:
        centers, radii = (2 * centers).round() / 2, radii.round()
    size = (53, 71)
    assert torch.equal(raster_discs_numba(centers, radii, size), raster_discs_reference(centers, radii, size))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, DEPTHS, NUMBERS), min_size=1, max_size=6))
def test_nasty_discs_neither_crash_nor_part_the_kernel_from_the_reference(discs):
    rows = torch.tensor(discs)[None]
    centers, radii = rows[..., :3], rows[..., 3]
    assert torch.equal(raster_discs_numba(centers, radii, (11, 13)), raster_discs_reference(centers, radii, (11, 13)))
