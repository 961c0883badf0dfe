"""Laws of stretched objects: the map, closed parts, samples by area, truth of exact sign."""

import numpy as np
import pytest
import torch

from maquette.data.dataset import open_dataset
from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic
from maquette.data.synthetic import make_object
from maquette.data.synthetic.objects import assemble
from maquette.data.synthetic.parts import Part, block
from maquette.data.synthetic.stretch import (
    LONGEST,
    Stretch,
    draw_stretch,
    in_stretched,
    sample_stretched_surface,
    stretched,
    stretched_distance,
)
from maquette.shapes import is_inside
from maquette.shapes.columns import is_closed

CATEGORIES = ("chair", "vase", "lamp")


def half_sides(obj) -> np.ndarray:
    return obj.mesh.vertices.abs().amax(0).double().numpy()


@pytest.fixture(scope="module", params=CATEGORIES)
def one(request):
    before = make_object(3, "train", request.param)
    return stretched(before, draw_stretch(np.random.default_rng(1), half_sides(before)))


def box_scaled(factors: tuple[float, float, float]):
    """A cube of side 1, its axes scaled by `factors` about the middle."""
    style = make_object(0, "train", "table").style
    cube = assemble([Part(block((1, 1, 1)), "part", (0.5, 0.5, 0.5), "wood", np.eye(3), np.zeros(3))], "table", style)
    half = half_sides(cube)[0]
    ends = np.array([[-half, half]] * 3)
    return stretched(cube, Stretch(ends, ends * np.array(factors)[:, None])), 2 * half


def test_a_stretch_can_be_undone_and_keeps_order():
    rng = np.random.default_rng(0)
    for _ in range(20):
        stretch = draw_stretch(rng, np.array([0.2, 0.4, 0.3]))
        points = rng.uniform(-0.6, 0.6, (200, 3))
        np.testing.assert_allclose(stretch.undone(stretch.of(points)), points, atol=1e-12)
        assert (np.diff(stretch.after) > 0).all()


def test_a_stretched_box_is_centred_and_has_diagonal_one():
    half = np.array([0.2, 0.4, 0.3])
    corners = draw_stretch(np.random.default_rng(2), half).of(np.stack([-half, half]))
    np.testing.assert_allclose(corners[0], -corners[1], atol=1e-12)
    assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(1.0)


def test_nine_of_ten_objects_stay_symmetric():
    rng = np.random.default_rng(3)
    mirrored = [
        np.allclose(stretch.after[0], -stretch.after[0][::-1])
        for stretch in (draw_stretch(rng, np.full(3, 0.3)) for _ in range(400))
    ]
    # Another fiftieth is symmetric because its axis is only scaled: 0.92, give or take four times 0.014.
    assert 0.86 < np.mean(mirrored) < 0.98


def test_slopes_are_those_of_the_map():
    stretch = draw_stretch(np.random.default_rng(4), np.array([0.2, 0.4, 0.3]))
    points = np.random.default_rng(5).uniform(-0.15, 0.15, (50, 3))
    h = 1e-9
    np.testing.assert_allclose((stretch.of(points + h) - stretch.of(points)) / h, stretch.slopes(points), rtol=1e-5)


def test_a_scaled_cube_has_samples_by_area_and_distances_of_a_box():
    box, side = box_scaled((2.0, 1.0, 1.0))
    samples = sample_stretched_surface(box, 20_000, np.random.default_rng(0))
    # Of the 10 squares of surface 2 look along x; four deviations of that share are 4 * 0.4 / sqrt(20,000) = 0.0113.
    assert (np.abs(samples.normals[:, 0]) > 0.99).mean() == pytest.approx(0.2, abs=0.0115)
    longer, _ = box_scaled((4.0, 1.0, 1.0))
    ends = np.abs(sample_stretched_surface(longer, 20_000, np.random.default_rng(0)).normals[:, 0]) > 0.99
    assert ends.mean() == pytest.approx(2 / 18, abs=0.0089)
    assert np.abs(samples.points).max(0) == pytest.approx([side, side / 2, side / 2])
    places = side * np.array([(1.25, 0, 0), (0, 0.75, 0), (0.875, 0, 0), (0, 0.25, 0), (1.1, 0.7, 0)])
    expected = side * np.array([0.25, 0.25, -0.125, -0.25, np.hypot(0.1, 0.2)])
    np.testing.assert_allclose(stretched_distance(box, places), expected, atol=1e-6)


def test_parts_stay_closed_and_edges_become_short(one):
    assert is_closed(one.mesh.faces)
    assert len(one.face_labels) == len(one.mesh.faces)
    before = one.stretch.undone(one.mesh.vertices.double().numpy())[one.mesh.faces.numpy()]
    edges = np.linalg.norm(np.roll(before, -1, axis=1) - before, axis=-1)
    assert edges.max() <= LONGEST + 1e-5


def test_the_mesh_and_the_truth_tell_the_same_inside(one):
    places = np.random.default_rng(6).uniform(-0.5, 0.5, (3000, 3))
    by_mesh = is_inside(one.mesh, torch.from_numpy(places)).numpy()
    away = np.abs(stretched_distance(one, places))
    far = away > 5e-3  # chords, and tubes of eight sides, differ from the smooth surface by less
    np.testing.assert_array_equal(in_stretched(one, places)[far], by_mesh[far])
    assert by_mesh[far].any()


def test_samples_lie_on_the_stretched_surface_and_normals_point_out(one):
    samples = sample_stretched_surface(one, 500, np.random.default_rng(7))
    assert np.abs(stretched_distance(one, samples.points)).max() < 5e-3
    np.testing.assert_allclose(np.linalg.norm(samples.normals, axis=1), 1.0, atol=1e-9)
    step = 1e-3 * samples.normals
    assert in_stretched(one, samples.points + step).mean() < 0.01  # where two parts meet one may be that near
    assert in_stretched(one, samples.points - step).mean() > 0.99  # a corner may be thinner


def test_a_share_of_the_training_objects_is_stretched_and_of_others_none(tmp_path):
    settings = {"count": 8, "views": 1, "size": 64, "points": 200, "val": 0.25, "test": 0.25, "workers": 1}
    for share in (0.0, 0.5, 1.0):
        prepare_synthetic(PrepareSynthetic(tmp_path / str(share), stretched=share, **settings))
    none, half, every = (open_dataset(tmp_path / str(share)) for share in (0.0, 0.5, 1.0))
    assert tuple(none.entries) == tuple(half.entries) == tuple(every.entries)
    some = set()
    for entry in every.entries:
        drawn, either, other = (data.truth(entry).points for data in (none, half, every))
        assert np.array_equal(drawn, other) == (entry.split != "train")
        if entry.split == "train":
            # The same object, whatever the share; either as drawn or stretched in the one way that it is stretched.
            some.add(is_other := np.array_equal(either, other))
            assert is_other or np.array_equal(either, drawn)
        truth = every.truth(entry)
        view = every.view(entry, 0)
        u, v = view.camera.project(torch.from_numpy(truth.points)).floor().long().clamp(0, 63).unbind(-1)
        assert (np.asarray(view.rgba)[v.numpy(), u.numpy(), 3] > 0).mean() > 0.95  # the picture shows this very solid
        about = truth.surroundings
        nearest = np.linalg.norm(about.places[:300, None] - truth.points[None], axis=-1).min(1)
        # None of its points is nearer than the distance says, but for the flat sides of tubes.
        assert (np.abs(about.distances[:300]) < nearest + 5e-3).all()
        cell = ((truth.points + 0.5) * 32).astype(int).clip(0, 31)
        assert truth.voxels[cell[:, 2], cell[:, 1], cell[:, 0]].all()  # where the surface passes, cells are full
    assert some == {False, True}


def test_a_share_beyond_one_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"stretched is 1\.5; it is a share"):
        PrepareSynthetic(tmp_path, stretched=1.5)
