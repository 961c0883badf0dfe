"""Varied pictures and turned truth, by what they must give for known colours and known solids."""

import colorsys
import math

import numpy as np
import pytest
import torch

from maquette.camera import orbit
from maquette.data.augment import (
    ASIDE,
    PLAIN,
    WIDTHS,
    Augmentation,
    hue_turned,
    seen_in_square,
    turned_voxels,
    varied,
    viewer_from_object,
)
from maquette.data.batches import fixed_batch, in_viewer_frame, training_batch
from maquette.data.entries import Entry
from maquette.data.pack import Pack
from maquette.models import PointsConfig, PrecomputedCodes, build
from maquette.models.points import PointsHead
from maquette.shapes.voxelize import pooled
from maquette.train.validation import draw
from maquette.transforms import rotation_about


def pictures(count: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 5, 5, 4), dtype=np.uint8)


def floats(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255


def draws(count: int = 6) -> list[np.random.Generator]:
    return [np.random.default_rng([1, n]) for n in range(count)]


def test_a_plain_augmentation_changes_nothing():
    made = varied(pictures(), PLAIN, draws())
    # Colours below 1e-4 are lifted there, so that a gamma below 1 stays finite.
    torch.testing.assert_close(made, floats(pictures()), atol=1e-4, rtol=1e-6)


def test_saturation_keeps_the_grey_and_a_picture_varies_alone():
    how = Augmentation(**(vars(PLAIN) | {"saturation": 1.0, "hue": 0.5, "opaque": 0.5}))
    grey = np.repeat(pictures()[..., :1], 4, axis=-1)
    grey[..., 3] = 255
    torch.testing.assert_close(varied(grey, how, draws()), floats(grey), atol=1e-4, rtol=1e-5)
    whole = varied(pictures(), how, draws())
    torch.testing.assert_close(varied(pictures()[2:4], how, draws()[2:4]), whole[2:4], rtol=0, atol=0)


def test_hue_turns_as_in_hsv():
    rgb = floats(pictures(4))[:, :3]
    turned = hue_turned(rgb, torch.tensor([0.0, 1 / 3, 0.21, -0.4]).reshape(-1, 1, 1, 1))
    torch.testing.assert_close(turned[0], rgb[0])
    torch.testing.assert_close(turned[1], rgb[1].roll(1, 0), atol=1e-6, rtol=0)  # red to green, green to blue
    for picture, turn in ((2, 0.21), (3, -0.4)):
        h, s, v = colorsys.rgb_to_hsv(*rgb[picture, :, 1, 2].tolist())
        expected = colorsys.hsv_to_rgb((h + turn) % 1, s, v)
        assert turned[picture, :, 1, 2].tolist() == pytest.approx(expected, abs=1e-5)
    grey = torch.full((1, 3, 2, 2), 0.3)
    torch.testing.assert_close(hue_turned(grey, torch.full((1, 1, 1, 1), 0.3)), grey)


def test_another_square_moves_pixels_and_lays_nothing_beyond_them():
    rgba = floats(np.full((2, 8, 8, 4), 255, np.uint8)) * torch.tensor([0.2, 0.5, 0.7, 1.0]).reshape(1, 4, 1, 1)
    rgba[:, :3, 3, 4] = 0.9
    # Half a side has four pixels: a quarter of it to the right and a half down are one pixel and two.
    moved = seen_in_square(rgba, torch.ones(2), torch.tensor([[0.25, 0.5], [0.0, 0.0]]))
    torch.testing.assert_close(moved[0, :, :6, :7], rgba[0, :, 2:, 1:])
    assert (moved[0, 3, 6:] == 0).all()
    assert (moved[0, 3, :, 7] == 0).all()
    torch.testing.assert_close(moved[1], rgba[1])
    wide = seen_in_square(rgba, torch.tensor([1.0, 2.0]), torch.zeros(2, 2))
    # Twice as wide, the square shows the picture at a quarter of its area.
    torch.testing.assert_close(wide[:, 3].sum((1, 2)), torch.tensor([64.0, 16.0]))


def test_so_many_pictures_are_reframed_as_asked_for():
    square = np.zeros((200, 16, 16, 4), np.uint8)
    square[:, 4:12, 4:12] = 255
    seen = varied(square, Augmentation(**(vars(PLAIN) | {"reframed": 0.4})), draws(200))
    changed = ((seen[:, 3] - floats(square)[:, 3]).abs() > 1e-4).any(2).any(1)
    assert 52 < changed.sum() < 108  # 80, give or take four times 7
    areas = seen[:, 3].sum((1, 2)) / 64
    at = torch.arange(16) + 0.5
    for line in (seen[:, 3].sum(1), seen[:, 3].sum(2)):
        aside = ((line * at).sum(1) / line.sum(1) - 8).abs()
        assert 0.1 < aside.max() < ASIDE * 8 / WIDTHS[0] + 0.02
    laid = varied(square, Augmentation(reframed=1.0, opaque=1.0), draws(200))
    assert (laid[:, 3] == 1).all()  # no rim where the square reaches beyond the picture
    assert 1 / WIDTHS[1] ** 2 - 0.05 < areas.min() < areas.max() < 1 / WIDTHS[0] ** 2 + 0.05


def test_opaque_pictures_are_laid_over_their_background():
    over = varied(pictures(), Augmentation(**(vars(PLAIN) | {"opaque": 1.0, "background": "white"})), draws())
    rgb, alpha = floats(pictures())[:, :3], floats(pictures())[:, 3:]
    torch.testing.assert_close(over[:, :3], rgb * alpha + 1 - alpha, atol=1e-4, rtol=0)
    assert (over[:, 3] == 1).all()
    some = varied(np.zeros((200, 2, 2, 4), np.uint8), Augmentation(opaque=0.5), draws(200))
    filled = some[:, 3, 0, 0] == 1
    assert 70 < filled.sum() < 130
    # One colour a picture, another in each.
    assert (some[filled][:, :3].amax((2, 3)) == some[filled][:, :3].amin((2, 3))).all()
    assert some[filled][:, 0, 0, 0].std() > 0.2


@pytest.mark.parametrize(
    ("change", "message"),
    [({"hue": 0.7}, "hue is 0.7; give 0 to 0.5"), ({"mirror": -1.0}, "mirror is -1"), ({"gamma": (2.0, 1.0)}, "LOW")],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**change)


# --------------------------------------------------------------------------------------------------- the viewer's frame


def test_the_camera_stands_in_front_after_the_turn():
    azimuth, elevation = torch.tensor([0.3, -2.5, 3.0]), torch.tensor([0.4, -0.2, 1.2])
    turn = viewer_from_object(azimuth, elevation)
    camera = orbit(azimuth, elevation, torch.full((3,), 1.5), focal=100.0, size=(64, 64))
    front = orbit(0.0, 0.0, 1.5, focal=100.0, size=(64, 64))
    points = torch.rand(7, 3, generator=torch.Generator().manual_seed(0)) - 0.5
    for k in range(3):
        # What the camera sees of the solid, the front camera sees of the turned one.
        torch.testing.assert_close(front.project(points @ turn[k].T), camera[k].project(points), atol=1e-3, rtol=0)


def test_turned_voxels_are_those_of_the_turned_solid():
    side = 32
    line = (torch.arange(side) + 0.5) / side - 0.5
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    centers = torch.stack([x, y, z], -1)

    def solid(places: torch.Tensor) -> torch.Tensor:
        """A box off the middle, no side as long as another, within the ball that every turn keeps in the cube."""
        low, high = torch.tensor([-0.1, -0.3, 0.05]), torch.tensor([0.3, -0.05, 0.2])
        return ((places > low) & (places < high)).all(-1).float()

    quarter = rotation_about("y", torch.tensor([math.pi / 2]))
    torch.testing.assert_close(turned_voxels(solid(centers)[None], quarter), solid(centers @ quarter[0])[None])
    turn = viewer_from_object(torch.tensor([0.7]), torch.tensor([0.4]))
    exact, found = solid(centers @ turn[0]), turned_voxels(solid(centers)[None], turn)[0]
    # A looked-up cell is at most half a cell's diagonal beside the place: where the box ends farther away, they agree.
    low, high = torch.tensor([-0.1, -0.3, 0.05]), torch.tensor([0.3, -0.05, 0.2])
    clear = (torch.maximum(low - centers @ turn[0], centers @ turn[0] - high).amax(-1)).abs() > 0.5 * 3**0.5 / side
    assert torch.equal(exact[clear], found[clear]) and clear.float().mean() > 0.9 and exact[clear].sum() > 30
    # All that was in the cube's corners has left it.
    assert turned_voxels(torch.ones(1, 8, 8, 8), rotation_about("y", torch.tensor([math.pi / 4])))[0, 0, 4, 0] == 0


def pack_of(cameras: np.ndarray, codes: np.ndarray | None = None) -> Pack:
    rng = np.random.default_rng(0)
    count = len(cameras)
    return Pack(
        entries=[Entry(str(n), "chair", "train", "", 1) for n in range(count)],
        views=rng.integers(0, 256, (count, 6, 6, 4), dtype=np.uint8),
        cameras=cameras.astype(np.float32),
        first_view=np.arange(count + 1),
        points=(rng.random((count, 40, 3)) * 0.5 - 0.25).astype(np.float16),
        voxels=np.packbits(rng.random((count, 16**3)) < 0.5, axis=-1),
        places=(rng.random((count, 2048, 3)) - 0.5).astype(np.float16),
        inside=rng.integers(0, 256, (count, 256), dtype=np.uint8),
        codes=codes,
    )


def test_a_batch_in_the_viewers_frame_is_the_turned_batch():
    data = pack_of(np.array([[0.3, 0.2, 1.5], [2.0, -0.1, 1.2]]))
    views = np.array([1, 0])
    plain, seen = (
        fixed_batch(data, views, augmentation=Augmentation(frame=frame))[1] for frame in ("object", "viewer")
    )
    turn = viewer_from_object(plain.azimuth, plain.elevation)
    torch.testing.assert_close(seen.points, plain.points @ turn.mT)
    torch.testing.assert_close(seen.queries, plain.queries @ turn.mT)
    assert seen.azimuth.tolist() == [0, 0] and seen.elevation.tolist() == [0, 0]
    torch.testing.assert_close(seen.distance, plain.distance)
    torch.testing.assert_close(seen.inside, plain.inside)
    assert seen.voxels is not None and seen.voxels.shape == (2, 16, 16, 16)


def test_a_mirrored_picture_is_turned_by_its_mirrored_camera():
    data = pack_of(np.array([[0.9, 0.3, 1.5]]))
    mirrored = Augmentation(mirror=1.0)
    _, plain = training_batch(data, 1, 0, 0, augmentation=mirrored)
    _, seen = training_batch(data, 1, 0, 0, augmentation=Augmentation(mirror=1.0, frame="viewer"))
    assert plain.azimuth.item() == pytest.approx(-0.9)
    torch.testing.assert_close(seen.points, in_viewer_frame(plain).points)


def test_views_without_cameras_have_no_viewers_frame():
    data = pack_of(np.full((2, 3), np.nan))
    with pytest.raises(ValueError, match="frame viewer needs cameras, and 2 of 2 views"):
        fixed_batch(data, np.array([0, 1]), augmentation=Augmentation(frame="viewer"))


def test_codes_come_in_the_place_of_pictures_and_nothing_is_mirrored():
    codes = np.arange(6, dtype=np.float32).reshape(3, 2)
    data = pack_of(np.tile([0.5, 0.1, 1.0], (3, 1)), codes)
    seen, targets = training_batch(data, 30, 0, 0)
    assert seen.shape == (30, 2)
    assert {tuple(row) for row in seen.tolist()} == {(0, 1), (2, 3), (4, 5)}
    assert torch.allclose(targets.azimuth, torch.tensor(0.5))
    torch.testing.assert_close(fixed_batch(data, np.array([2, 0]))[0], torch.tensor([[4.0, 5], [0, 1]]))


def test_a_network_that_is_shown_codes_is_pictured_beside_the_pictures(tmp_path):
    data = pack_of(np.tile([0.5, 0.1, 1.0], (2, 1)), np.eye(2, dtype=np.float32))
    data.views[:] = (255, 0, 0, 255)
    model = build(PointsConfig(PrecomputedCodes(2), PointsHead(points=64, hidden=16)))
    sheet = draw(model, data, torch.device("cpu"), tmp_path, 0)
    # Two rows of picture, cloud, truth.
    assert sheet.shape == (3, 256, 384)
    assert torch.equal(sheet[:, :, :128], torch.tensor([1.0, 0, 0])[:, None, None].expand(3, 256, 128))


def test_the_grid_of_targets_is_the_one_a_network_asks_for():
    data = pack_of(np.array([[0.3, 0.2, 1.5]]))
    _, targets = fixed_batch(data, np.array([0]))
    assert data.resolution == 16 and targets.grid(16).shape == (1, 16, 16, 16)
    fine = torch.zeros(1, 4, 4, 4)
    fine[0, 3, 0, 1] = 1
    assert pooled(fine, 2).nonzero().tolist() == [[0, 1, 0, 0]]
    with pytest.raises(ValueError, match="the voxels have 16 cells a side, 32 are asked for"):
        targets.grid(32)
