"""Foregrounds: from alpha, from a plain background, or an error that says what to do."""

import math

import pytest
import torch

from maquette.masks import cut_out, extended, foreground

SIZE = 120


def coordinates():
    line = torch.arange(SIZE) + 0.5
    return torch.meshgrid(line, line, indexing="ij")


def disc(x: float, y: float, radius: float):
    rows, columns = coordinates()
    return (columns - x) ** 2 + (rows - y) ** 2 < radius**2


def picture(solid, color=(0.8, 0.2, 0.1), background=(0.5, 0.5, 0.5), alpha=None):
    rgb = torch.where(solid[..., None], torch.tensor(color), torch.as_tensor(background))
    alpha = torch.ones(SIZE, SIZE) if alpha is None else alpha
    return torch.cat([rgb, alpha[..., None]], -1)


def agreement(a, b) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_alpha_is_the_mask_where_there_is_alpha():
    solid = disc(50, 60, 30)
    mask = foreground(picture(solid, alpha=solid.float()))
    assert mask.source == "alpha"
    assert torch.equal(mask.pixels, solid)
    assert mask.box == (20, 30, 80, 90)


def test_soft_edges_of_alpha_are_kept_for_compositing():
    rows, columns = coordinates()
    distance = ((columns - 60) ** 2 + (rows - 60) ** 2).sqrt()
    alpha = (31 - distance).clamp(0, 1)
    mask = foreground(picture(alpha > 0, alpha=alpha))
    assert torch.equal(mask.alpha, alpha)
    assert torch.equal(mask.pixels, alpha >= 0.5)


@pytest.mark.parametrize("background", [(0.5, 0.5, 0.5), (1.0, 1.0, 1.0), (0.05, 0.1, 0.3)])
def test_an_object_on_a_plain_background_is_found(background):
    solid = disc(50, 60, 30)
    mask = foreground(picture(solid, background=background))
    assert mask.source == "plain background"
    assert torch.equal(mask.pixels, solid)


def test_a_background_that_shades_from_side_to_side_with_noise_is_plain():
    rows, columns = coordinates()
    shade = 0.7 + 0.1 * rows / SIZE - 0.05 * (columns / SIZE) ** 2
    noise = 0.01 * torch.randn(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    solid = disc(60, 60, 30)
    rgba = picture(solid, background=shade[..., None].expand(-1, -1, 3))
    rgba[..., :3] = (rgba[..., :3] + noise).clamp(0, 1)
    # Grain costs up to a pixel around the disc of radius 30: 2/30 of its area.
    assert agreement(foreground(rgba).pixels, solid) > 0.9


def test_an_object_may_touch_the_border():
    solid = disc(60, SIZE, 30)
    assert torch.equal(foreground(picture(solid)).pixels, solid)


def test_a_soft_shadow_is_background():
    rows, columns = coordinates()
    away = ((columns - 70) / 40) ** 2 + ((rows - 92) / 14) ** 2
    shadow = 1 - 0.35 * torch.exp(-away)
    solid = disc(60, 60, 30)
    mask = foreground(picture(solid, background=(0.9 * shadow)[..., None].expand(-1, -1, 3)))
    assert agreement(mask.pixels, solid) > 0.97


def test_the_hole_of_a_ring_is_background():
    solid = disc(60, 60, 40) & ~disc(60, 60, 20)
    assert torch.equal(foreground(picture(solid)).pixels, solid)


def test_a_highlight_that_fades_to_the_background_colour_is_not_a_hole():
    rows, columns = coordinates()
    glow = torch.exp(-((columns - 60) ** 2 + (rows - 60) ** 2) / 200)[..., None]
    solid = disc(60, 60, 45)
    rgba = picture(solid, background=(1.0, 1.0, 1.0))
    rgba[..., :3] = rgba[..., :3] * (1 - glow) + glow
    assert bool(foreground(rgba).pixels[60, 60])


def test_small_pieces_are_dropped_and_told():
    solid = disc(60, 60, 30) | disc(10, 10, 3)
    mask = foreground(picture(solid, alpha=solid.float()))
    assert torch.equal(mask.pixels, disc(60, 60, 30))
    assert mask.dropped.startswith("1 small piece, ")
    assert float(mask.alpha[10, 10]) == 0


def test_large_pieces_are_all_kept():
    solid = disc(35, 60, 20) | disc(90, 60, 15)
    mask = foreground(picture(solid, alpha=solid.float()))
    assert torch.equal(mask.pixels, solid)
    assert mask.dropped == ""


def test_a_fully_transparent_picture_is_refused():
    with pytest.raises(ValueError, match=r"fully transparent.*give a PNG"):
        foreground(picture(disc(60, 60, 30), alpha=torch.zeros(SIZE, SIZE)))


def test_a_busy_border_is_refused_with_its_variation():
    rgba = torch.rand(SIZE, SIZE, 4, generator=torch.Generator().manual_seed(0))
    rgba[..., 3] = 1
    with pytest.raises(
        ValueError, match=r"no alpha and no plain background \(the border varies by 0\.\d\d.*give a PNG"
    ):
        foreground(rgba)


def test_a_picture_of_one_colour_is_refused():
    with pytest.raises(ValueError, match="one plain colour"):
        foreground(picture(torch.zeros(SIZE, SIZE, dtype=torch.bool)))


def test_the_cut_out_has_no_background_colour_at_its_edges():
    rows, columns = coordinates()
    coverage = (30.5 - ((columns - 60) ** 2 + (rows - 60) ** 2).sqrt()).clamp(0, 1)[..., None]
    rgb = coverage * torch.tensor([0.8, 0.2, 0.1]) + (1 - coverage) * torch.tensor([0.0, 0.0, 1.0])
    rgba = torch.cat([rgb, torch.ones(SIZE, SIZE, 1)], -1)
    cut = cut_out(rgba, foreground(rgba))
    assert float(cut[..., 2][cut[..., 3] > 0].max()) < 0.25
    # The covered area is that of the disc, to half a pixel along its rim.
    assert abs(float(cut[..., 3].sum()) - math.pi * 30**2) < math.pi * 30


def test_extended_pixels_take_the_nearest_known_colour():
    rgb = torch.rand(5, 7, 3)
    known = torch.zeros(5, 7, dtype=torch.bool)
    known[2, 3] = True
    assert torch.equal(extended(rgb, known), rgb[2, 3].expand(5, 7, 3))
    with pytest.raises(ValueError, match="none of the 35 pixels"):
        extended(rgb, torch.zeros(5, 7, dtype=torch.bool))


@pytest.mark.parametrize("name", ["chair", "hamburger", "horse", "poly_fox", "teapot"])
def test_the_example_photos_have_a_foreground(maquette_data, name):
    from maquette.io import read_picture

    mask = foreground(read_picture(maquette_data / "photos" / f"{name}.png"))
    assert mask.source == ("plain background" if name in ("poly_fox", "teapot") else "alpha")
    assert 0.1 < float(mask.pixels.float().mean()) < 0.5


def test_the_photo_of_a_cup_on_a_table_is_refused(maquette_data):
    from maquette.io import read_picture

    with pytest.raises(ValueError, match="no plain background"):
        foreground(read_picture(maquette_data / "photos" / "coffee.png"))
