"""Foregrounds: from alpha, from a plain background, or an error that says what to do."""

import itertools
import math
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.cli import main
from maquette.io import read_picture, write_picture
from maquette.masks import (
    ColorModel,
    Mask,
    PlainBackground,
    Rembg,
    Segmenter,
    cut_out,
    extended,
    foreground,
    mask_of_values,
    validate,
)
from maquette.masks.cut_numba import minimum_cut
from maquette.masks.mixture import fit_mixture, log_density
from maquette.masks.rembg import mask_of_answer
from maquette.masks.segmenter import class_index, weights_folder

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
        foreground(rgba, PlainBackground())


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


def textured_background(generator, size):
    """Stripes that wander, with grain."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, size[0]), torch.linspace(0, 1, size[1]), indexing="ij")
    wave = torch.sin(40 * (rows + 0.1 * torch.sin(9 * columns)))[..., None]
    grain = 0.03 * torch.randn(*size, 3, generator=generator)
    return (torch.tensor([0.45, 0.3, 0.15]) + 0.12 * wave + grain).clamp(0, 1)


def composite(generator, size=(160, 200)):
    """A blue ring with a red disc over stripes, and where it is."""
    rgb = textured_background(generator, size)
    rows, columns = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    unit = min(size) / 160
    away = ((rows - 85 * unit) ** 2 + (columns - 95 * unit) ** 2).sqrt() / unit
    solid = away < 50
    color = torch.where(away[..., None] < 30, torch.tensor([0.8, 0.1, 0.15]), torch.tensor([0.2, 0.3, 0.8]))
    return torch.cat([torch.where(solid[..., None], color, rgb), torch.ones(*size, 1)], -1), solid


@pytest.mark.parametrize("size", [pytest.param((160, 200), marks=pytest.mark.slow), (48, 60), (700, 610)])
def test_colours_tell_an_object_from_a_textured_background(generator, size):
    rgba, solid = composite(generator, size)
    mask = foreground(rgba)
    assert mask.source == "colour model"
    assert mask.score > 0.8
    assert mask.pixels.shape == mask.alpha.shape == size
    assert agreement(mask.pixels, solid) >= 0.9


def test_a_large_picture_is_masked_as_its_reduction_is(generator):
    rgba, solid = composite(generator, (320, 400))
    large = rgba.repeat_interleave(4, 0).repeat_interleave(4, 1)
    truth = solid.repeat_interleave(4, 0).repeat_interleave(4, 1)
    assert agreement(foreground(large, ColorModel()).pixels, truth) >= 0.9


def test_noise_alone_is_refused_with_what_to_do(generator):
    rgba = torch.rand(120, 150, 4, generator=generator)
    rgba[..., 3] = 1
    with pytest.raises(ValueError, match=r"the border varies by .*give a PNG"):
        foreground(rgba)


@pytest.mark.parametrize("size", [(1, 1), (8, 40), (15, 15)])
def test_pictures_of_few_pixels_are_refused(generator, size):
    rgba = torch.rand(*size, 4, generator=generator)
    rgba[..., 3] = 1
    with pytest.raises(ValueError, match=f"{size[1]} x {size[0]} pixels"):
        foreground(rgba, ColorModel())


def test_a_grey_picture_has_an_object_by_its_brightness(generator):
    rgba, solid = composite(generator)
    grey = torch.where(solid, 0.9, rgba[..., :3].mean(-1))
    mask = foreground(torch.cat([grey[..., None].expand(-1, -1, 3), rgba[..., 3:]], -1), ColorModel())
    assert agreement(mask.pixels, solid) >= 0.9


def test_a_mask_of_three_values_is_refused():
    values = torch.tensor([[0.0, 0.5], [1.0, 0.0]])
    with pytest.raises(ValueError, match="a mask has two values, this one has 3: 0, 128, 255"):
        mask_of_values(values, "m.png")
    assert mask_of_values(torch.tensor([[0.0, 1.0]]), "m.png").tolist() == [[False, True]]


def mask(solid, source="colour model"):
    return Mask(solid, solid.float(), source, 1.0)


def test_guesses_that_cover_too_little_or_too_much_are_refused_and_alpha_is_not():
    for solid in (disc(60, 60, 5), ~disc(60, 60, 5)):
        with pytest.raises(ValueError, match="must be 2% to 90%"):
            validate(mask(solid))
        validate(mask(solid, "alpha"))
    with pytest.raises(ValueError, match="found nothing"):
        validate(mask(disc(60, 60, 0), "alpha"))


def test_a_mask_along_the_border_or_in_pieces_is_remarked_on():
    rows, _ = coordinates()
    assert validate(mask(disc(60, 60, 30))).remarks == ()
    assert "touches" in validate(mask(rows > 60)).remarks[0]
    assert "in pieces, the largest has 50%" in validate(mask(disc(30, 60, 20) | disc(90, 60, 20))).remarks[0]


def test_the_minimum_cut_of_a_row_is_that_of_all_cuts():
    cost = np.array([[-2.0, 0.7, -0.5, 0.6, 3.0, -1.2]], np.float32)
    right = np.array([[0.5, 0.3, 0.9, 0.2, 1.0, 0.0]], np.float32)
    cuts = np.array(list(itertools.product((0, 1), repeat=6)))
    energy = cuts @ cost[0] + np.abs(np.diff(cuts, axis=1)) @ right[0, :5]
    found = minimum_cut(cost, right, np.zeros_like(cost), np.full_like(cost, 0.5), 2000)[0] > 0.5
    assert found.astype(int).tolist() == cuts[energy.argmin()].tolist()


def test_a_mixture_has_the_means_of_what_it_was_fitted_to(generator):
    colors = torch.randn(2000, 3, generator=generator, dtype=torch.float64).numpy()
    colors[:1000] += 40
    mixture = fit_mixture(colors, 2)
    # Means of 1000 samples of deviation 1 lie within 4 / sqrt(1000) = 0.13.
    assert np.allclose(np.sort(mixture.means[:, 0]), [0, 40], atol=0.13)
    grid = np.stack(np.meshgrid(*[np.arange(-20, 61, 2.0)] * 3, indexing="ij"), -1).reshape(-1, 3)
    assert abs(np.exp(log_density(grid, mixture)).sum() * 8 - 1) < 0.01


def test_a_missing_library_is_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.setattr("maquette.masks.rembg.is_rembg_installed", lambda: False)
    rgba = torch.ones(20, 20, 4)
    with pytest.raises(ValueError, match=r"pip install 'maquette\[segment\]'"):
        foreground(rgba, Segmenter("some/model"))
    with pytest.raises(ValueError, match=r"pip install 'maquette\[rembg\]'"):
        foreground(rgba, Rembg())


def test_a_segmenter_that_is_not_here_is_refused_at_once_without_a_network():
    pytest.importorskip("huggingface_hub", reason="the extra `segment` is not installed")
    with pytest.raises(OSError, match=r"^nobody/nothing: the segmenter is not on this machine"):
        weights_folder("nobody/nothing", "main")


def test_a_class_is_found_by_its_name():
    probabilities = torch.zeros(3, 4, 4)
    probabilities[0] = 0.5
    probabilities[2, :1] = 1.0
    names = {0: "background", 1: "cat", 2: "car, auto"}
    assert class_index(probabilities, names, "") == 2
    assert class_index(probabilities, names, "Auto") == 2
    with pytest.raises(ValueError, match="knows no 'fox'; one of background, cat, car"):
        class_index(probabilities, names, "fox")


def test_an_answer_of_a_network_is_scored_by_its_stability():
    answer = disc(60, 60, 40).float() * 0.3
    answer[disc(60, 60, 30)] = 1.0
    found = mask_of_answer(answer, "rembg", "")
    assert torch.equal(found.pixels, disc(60, 60, 30))
    assert found.score == pytest.approx(int(disc(60, 60, 30).sum()) / int(disc(60, 60, 40).sum()))


def test_the_command_writes_a_mask_and_a_cut_out_and_overwrites_nothing(tmp_path, generator, capsys):
    rgba, solid = composite(generator)
    write_picture(rgba, tmp_path / "ring.png")
    words = ["mask", str(tmp_path / "ring.png"), "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "colour model, score " in capsys.readouterr().out
    with Image.open(tmp_path / "out" / "ring_mask.png") as written:
        assert written.mode == "L"
        assert set(np.unique(np.asarray(written))) == {0, 255}
        assert agreement(torch.from_numpy(np.asarray(written) > 0), solid) >= 0.9
    assert read_picture(tmp_path / "out" / "ring_cutout.png").shape == rgba.shape
    assert main(words) == 2
    assert "ring_mask.png: exists; give another --out, or --force" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0
    assert main(["mask", str(tmp_path / "none.png"), "--out", str(tmp_path / "out")]) == 2
    assert "none.png: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["chair", "hamburger", "horse", "poly_fox", "teapot"])
def test_the_example_photos_have_a_foreground(maquette_data, name):
    mask = foreground(read_picture(maquette_data / "photos" / f"{name}.png"))
    assert mask.source == ("plain background" if name in ("poly_fox", "teapot") else "alpha")
    assert 0.1 < float(mask.pixels.float().mean()) < 0.5


def test_the_photo_of_a_cup_on_a_table_gives_the_cup_and_its_saucer(maquette_data):
    mask = foreground(read_picture(maquette_data / "photos" / "coffee.png"))
    assert mask.source == "colour model"
    # An ellipse drawn by hand around the saucer, and the cup's upper rim, which stands out of it.
    rows, columns = torch.meshgrid(torch.arange(400.0), torch.arange(600.0), indexing="ij")
    saucer = ((columns - 278) / 201) ** 2 + ((rows - 225) / 163) ** 2 < 1
    cup = ((columns - 291) / 117) ** 2 + ((rows - 112) / 95) ** 2 < 1
    assert agreement(mask.pixels, saucer | cup) >= 0.9
