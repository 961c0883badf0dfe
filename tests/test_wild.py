"""Training pictures under randomised conditions, and what goes wrong in photographs."""

import numpy as np
import pytest
import torch

from maquette.data.dataset import open_dataset
from maquette.data.disturb import PHOTOGRAPHS, Disturbance, disturbed
from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic
from maquette.data.prepare.wild import ELEVATION, LENS, repainted
from maquette.shapes import FaceColors, cube

SETTINGS = {"count": 4, "views": 2, "size": 32, "points": 200, "val": 0.25, "test": 0.25, "workers": 1}


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The same objects under both conditions."""
    folder = tmp_path_factory.mktemp("wild")
    for conditions in ("studio", "wild"):
        prepare_synthetic(PrepareSynthetic(folder / conditions, conditions=conditions, **SETTINGS))
    return open_dataset(folder / "studio"), open_dataset(folder / "wild")


def test_conditions_change_training_pictures_and_nothing_else(both):
    studio, wild = both
    assert tuple(studio.entries) == tuple(wild.entries)
    assert {entry.split for entry in wild.entries} == {"train", "val", "test"}
    for entry in wild.entries:
        here, there = wild.view(entry, 0), studio.view(entry, 0)
        assert (entry.split == "train") == (not np.array_equal(here.rgba, there.rgba))
        np.testing.assert_array_equal(wild.truth(entry).points, studio.truth(entry).points)
        np.testing.assert_array_equal(wild.truth(entry).voxels, studio.truth(entry).voxels)


def test_wild_cameras_look_at_the_object_through_any_lens(both):
    _, wild = both
    for entry in wild.entries:
        if entry.split != "train":
            continue
        for k in range(entry.views):
            view = wild.view(entry, k)
            assert LENS[0] * 0.92 <= view.distance <= LENS[1] * 1.08
            assert ELEVATION[0] <= view.elevation <= ELEVATION[1]
            # The frame of learning is centred: its origin is in the middle of the picture.
            middle = view.camera.project(torch.zeros(1, 3))
            torch.testing.assert_close(middle, torch.full((1, 2), 16.0), atol=1e-3, rtol=0)
            # However far the camera, an object of diagonal 1 is about as large: focal / distance is the same to 8 %.
            assert abs(float(view.camera.focal[0]) / view.distance / (149.8 / 137 * 32 / 1.2) - 1) < 0.09


def test_paint_changes_colours_by_label_and_no_vertex():
    mesh = cube(0.5).with_appearance(FaceColors(torch.full((12, 3), 0.5)))
    labels = np.arange(12) // 6
    painted = [repainted(mesh, labels, np.random.default_rng(seed)) for seed in range(12)]
    assert all(torch.equal(solid.vertices, mesh.vertices) for solid in painted)
    colors = torch.stack([solid.appearance.colors for solid in painted])
    assert 0 < colors.min() and colors.max() < 1
    # Unevenness scales a face's colour: within a label the ratios of the channels stay.
    ratio = colors / colors.sum(-1, keepdim=True)
    inside = (colors < 0.985).all(-1) & (colors > 0.015).all(-1)
    for solid in range(12):
        for label in (0, 1):
            rows = ratio[solid, labels == label][inside[solid, labels == label]]
            assert len(rows) < 2 or (rows - rows[0]).abs().max() < 1e-4


def squares(count: int) -> torch.Tensor:
    """Opaque grey squares in the middle, with colours that hidden pixels keep."""
    pictures = torch.full((count, 4, 32, 32), 0.5)
    pictures[:, 3] = 0
    pictures[:, 3, 8:24, 8:24] = 1
    return pictures


def draws(count: int, seed: int) -> list[np.random.Generator]:
    return [np.random.default_rng([seed, place]) for place in range(count)]


def test_nothing_is_disturbed_where_nothing_is_asked():
    pictures = squares(3)
    assert torch.equal(disturbed(pictures, Disturbance(), draws(3, 0)), pictures)


def test_uneven_light_keeps_masks_and_occluders_only_take_from_them():
    pictures = squares(40)
    lit = disturbed(pictures, Disturbance(0.3, 0.0, 0.0), draws(40, 1))
    assert torch.equal(lit[:, 3], pictures[:, 3]) and lit[:, :3].std() > 0.05
    hidden = disturbed(pictures, Disturbance(0.0, 0.0, 1.0), draws(40, 1))
    assert torch.equal(hidden[:, :3], pictures[:, :3])
    assert (hidden[:, 3] <= pictures[:, 3]).all()
    left = hidden[:, 3].sum((1, 2)) / pictures[:, 3].sum((1, 2))
    assert left.mean() < 0.97 and left.mean() > 0.6


def test_bad_masks_err_near_the_rim():
    pictures = squares(40)
    cut = disturbed(pictures, Disturbance(0.0, 1.0, 0.0), draws(40, 2))[:, 3]
    assert 0 <= cut.min() and cut.max() <= 1
    # The mean of 5 x 5 pixels is all mask inside of 10..22 and none beyond 6..26; only rare noise reaches farther.
    assert (cut[:, 12:20, 12:20] > 0.5).float().mean() > 0.98
    assert (cut[:, :3] > 0.5).float().mean() < 0.05
    sizes = (cut > 0.5).float().sum((1, 2))
    assert sizes.min() < 16**2 < sizes.max()


def test_a_picture_is_disturbed_alike_alone_and_in_a_batch():
    together = disturbed(squares(5), PHOTOGRAPHS, draws(5, 3))
    for place, rng in enumerate(draws(5, 3)):
        # The same steps on the same numbers; sums over neighbours may be taken in another order.
        alone = disturbed(squares(1), PHOTOGRAPHS, [rng])[0]
        torch.testing.assert_close(alone, together[place], atol=1e-6, rtol=0)


def test_shares_beyond_one_are_refused():
    with pytest.raises(ValueError, match=r"occluded is 1\.5; give 0 to 1"):
        Disturbance(occluded=1.5)
