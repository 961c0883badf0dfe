"""Places about a solid: signed distances that are kept, balanced queries, and voxels where nothing better is known."""

import numpy as np
import torch

from maquette.data.batches import ASKED, balanced
from maquette.data.dataset import Truth
from maquette.data.pack import QUERIES, Pack, queries
from maquette.data.prepare.truth import surroundings

RADIUS = 0.3


def ball(places: np.ndarray) -> np.ndarray:
    return np.linalg.norm(places, axis=1) - RADIUS


def solid(about=None) -> Truth:
    axis = (np.arange(32) + 0.5) / 32 - 0.5
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    # Half of a ball, so that exchanged axes show.
    cells = (x * x + y * y + z * z < RADIUS**2) & (x > 0)
    points = np.zeros((4, 3), np.float32)
    return Truth(points, points, np.zeros(4, np.int16), ("surface",), cells, about)


def test_distances_are_those_of_the_places_that_are_kept():
    rng = np.random.default_rng(0)
    surface = rng.normal(size=(500, 3))
    surface *= RADIUS / np.linalg.norm(surface, axis=1, keepdims=True)
    about = surroundings(ball, surface, 7, count=2000)
    assert about.places.shape == (2000, 3)
    # Kept in 16 bits, places lose nothing; distances are exact to float32.
    np.testing.assert_array_equal(about.places.astype(np.float16).astype(np.float32), about.places)
    np.testing.assert_allclose(about.distances, ball(about.places.astype(np.float64)), atol=1e-6)
    # Of a Gaussian of width s per axis about a plane, two thirds stray less than s along the normal.
    near = np.abs(about.distances[1000:])
    assert 0.6 < (near[1::2] < 0.06).mean() < 0.76
    assert 0.6 < (near[::2] < 0.015).mean() < 0.76
    assert about.places[:1000].min() < -0.5 and about.places[:1000].max() > 0.5


def test_queries_know_inside_by_signed_distance():
    about = surroundings(ball, np.array([[RADIUS, 0, 0]]), 1)
    places, inside = queries(solid(about), 0)
    assert places.shape == (QUERIES, 3)
    np.testing.assert_array_equal(inside, ball(places) < 0)


def test_queries_without_distances_know_inside_by_their_voxel():
    places, inside = queries(solid(), 0)
    # A cell's diagonal is 0.054: beyond it the voxel and the ball agree.
    deep = np.abs(ball(places)) > 0.03
    sure = deep & (np.abs(places[:, 0]) > 0.032)
    np.testing.assert_array_equal(inside[sure], ((ball(places) < 0) & (places[:, 0] > 0))[sure])
    assert sure.mean() > 0.5 and inside.mean() > 0.45


def test_a_batch_asks_as_often_inside_as_outside():
    places, inside = queries(solid(surroundings(ball, np.array([[RADIUS, 0, 0]]), 1)), 0)
    outside_only = np.zeros(QUERIES, bool)
    data = Pack(
        entries=(),
        views=np.zeros((0, 1, 1, 4), np.uint8),
        cameras=np.zeros((0, 3), np.float32),
        first_view=np.zeros(3, np.int64),
        points=np.zeros((2, 1, 3), np.float16),
        voxels=np.zeros((2, 4096), np.uint8),
        places=np.stack([places, places]).astype(np.float16),
        inside=np.packbits(np.stack([inside, outside_only]), axis=-1),
    )
    asked, answers = balanced(data, np.array([0, 1]), [np.random.default_rng(seed) for seed in range(2)])
    assert asked.shape == (2, ASKED, 3)
    assert answers[0].sum() == ASKED // 2
    np.testing.assert_array_equal(answers[0] > 0.5, ball(asked[0]) < 0)
    # A solid without a place inside is told as it is.
    assert answers[1].sum() == 0
    assert torch.isfinite(torch.from_numpy(asked)).all()
