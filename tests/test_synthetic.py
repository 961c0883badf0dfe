"""Laws of the procedural objects: closed parts, exact distances, outer samples, splits."""

import math
from collections import Counter
from functools import cache

import numpy as np
import pytest

from maquette.data.synthetic import (
    CATEGORIES,
    HELD_OUT,
    SyntheticObject,
    is_held_out,
    make_object,
    sample_outer_surface,
    signed_distance,
)
from maquette.data.synthetic.objects import draw_style
from maquette.data.synthetic.parts import Convex, Extrude, Lathe, Part, Tube, block, solid_mesh, triangulate

MESH_ERROR = 3e-3
"""What the mesh of an object may differ from its analytic surface, in diagonals: tubes have eight sides."""


def only(solid) -> Part:
    return Part(solid, "part", (0.5, 0.5, 0.5), "wood", np.eye(3), np.zeros(3))


def distance_to(solid, points) -> np.ndarray:
    from maquette.data.synthetic.distance import pack, union_distance

    return union_distance(pack([only(solid)]), np.array(points, dtype=np.float64))


def volume(vertices: np.ndarray, faces: np.ndarray) -> float:
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def is_closed(faces: np.ndarray) -> bool:
    """Every directed edge has exactly one partner that runs the other way."""
    edges = Counter((int(f[k]), int(f[(k + 1) % 3])) for f in faces for k in range(3))
    return all(count == 1 and edges[b, a] == 1 for (a, b), count in edges.items())


@cache
def drawn_object(seed: int, category: str) -> SyntheticObject:
    """One that several tests look at."""
    return make_object(seed, "train", category)


def objects(count: int) -> list[tuple[str, SyntheticObject]]:
    return [(category, drawn_object(seed, category)) for category in CATEGORIES for seed in range(count)]


# known solids


def test_a_cube_has_the_distances_of_a_cube():
    points = [(0, 0, 0), (1, 0, 0), (1.5, 2, 0), (2, 2, 2), (0, 0.25, 0)]
    expected = [-0.5, 0.5, math.sqrt(1 + 1.5**2), math.sqrt(3) * 1.5, -0.25]
    np.testing.assert_allclose(distance_to(block((1, 1, 1)), points), expected, atol=1e-12)


def test_an_l_shaped_prism_is_hollow_at_its_notch():
    shape = np.array([(0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 1.0), (1.0, 2.0), (0.0, 2.0)])
    solid = Extrude(shape, 0.5)
    # The notch's corner is (1, 1): outside by the nearer wall; inside the corner by the diagonal; above by the depth.
    points = [(1.5, 1.3, 0.0), (0.9, 0.9, 0.0), (0.5, 0.5, 1.5), (3.0, 0.5, 1.5)]
    expected = [0.3, -math.sqrt(0.02), 1.0, math.sqrt(2)]
    np.testing.assert_allclose(distance_to(solid, points), expected, atol=1e-12)
    assert volume(*solid_mesh(solid)) == pytest.approx(3.0)


def test_a_four_sided_lathe_is_a_square_prism():
    # Corners at radius sqrt 2 make a square of side 2, turned by an eighth.
    solid = Lathe(np.array([(0.0, -1.0), (math.sqrt(2), -1.0), (math.sqrt(2), 1.0), (0.0, 1.0)]), 4)
    rng = np.random.default_rng(0)
    points = rng.uniform(-2.5, 2.5, (2000, 3))
    c = math.sqrt(0.5)
    turned = np.stack([c * (points[:, 0] - points[:, 2]), points[:, 1], c * (points[:, 0] + points[:, 2])], 1)
    np.testing.assert_allclose(distance_to(solid, points), distance_to(block((2, 2, 2)), turned), atol=1e-9)


def test_a_turned_pipe_is_empty_inside():
    pipe = Lathe(np.array([(0.5, 0.0), (1.0, 0.0), (1.0, 2.0), (0.5, 2.0)]), 64)
    inner = 0.5 * math.cos(math.pi / 64)
    # On the axis the nearest wall is a flat side, an apothem away.
    np.testing.assert_allclose(distance_to(pipe, [(0, 1, 0)]), [inner], atol=1e-12)
    assert volume(*solid_mesh(pipe)) == pytest.approx(2 * (1 - 0.25) * 32 * math.sin(2 * math.pi / 64))


def test_a_tube_is_a_capsule_chain_and_its_mesh_stays_near():
    bend = np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (1.7, 0.3, 0.0), (2.0, 1.0, 0.0)])
    solid = Tube(bend, 0.2)
    np.testing.assert_allclose(distance_to(solid, [(0.5, 1, 0), (-1, 0, 0), (0.5, 0, 0)]), [0.8, 0.8, -0.2], atol=1e-12)
    vertices, faces = solid_mesh(solid)
    centres = vertices[faces].mean(1)
    assert np.abs(distance_to(solid, np.concatenate([vertices, centres]))).max() < 0.15 * 0.2


def test_ears_tile_the_polygon():
    star = np.array(
        [(math.cos(k * math.pi / 7) * (1 + k % 2), math.sin(k * math.pi / 7) * (1 + k % 2)) for k in range(14)]
    )
    area = sum(
        float(np.cross(np.append(star[b] - star[a], 0), np.append(star[c] - star[a], 0))[2]) / 2
        for a, b, c in triangulate(star)
    )
    x, y = star.T
    assert area == pytest.approx(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)
    with pytest.raises(ValueError, match="triangulate: no ear"):
        triangulate(star[::-1])


# objects


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    for category in CATEGORIES:
        first, again, other = drawn_object(1, category), make_object(1, "train", category), drawn_object(2, category)
        for a, b in (
            (first.mesh.vertices, again.mesh.vertices),
            (first.mesh.faces, again.mesh.faces),
            (first.mesh.appearance.colors, again.mesh.appearance.colors),
        ):
            assert a.numpy().tobytes() == b.numpy().tobytes()
        assert first.face_labels.tobytes() == again.face_labels.tobytes()
        assert first.mesh.vertices.numpy().tobytes() != other.mesh.vertices.numpy().tobytes()


def test_splits_share_no_object():
    seen = [
        make_object(seed, split).mesh.vertices.numpy().tobytes()
        for split in ("train", "val", "test")
        for seed in range(5)
    ]
    assert len(set(seen)) == len(seen)


def test_objects_fill_the_frame_of_learning():
    for _, obj in objects(3):
        vertices = obj.mesh.vertices.numpy()
        low, high = vertices.min(0), vertices.max(0)
        np.testing.assert_allclose(low, -high, atol=1e-6)
        assert np.linalg.norm(high - low) == pytest.approx(1, abs=1e-6)
        assert len(obj.face_labels) == len(obj.mesh.faces) == len(obj.face_parts)
        assert obj.face_labels.max() == len(obj.label_names) - 1
        colours = obj.mesh.appearance.colors.numpy()
        assert colours.shape == (len(obj.mesh.faces), 3)
        assert 0 <= colours.min() and colours.max() <= 1


def test_every_part_is_closed_outward_and_convex_where_it_says_so():
    for category, obj in objects(3):
        for part in obj.parts:
            vertices, faces = solid_mesh(part.solid)
            where = f"{category} {part.label} {type(part.solid).__name__}"
            assert is_closed(faces), where
            assert volume(vertices, faces) > 0, where
            if isinstance(part.solid, Convex):
                a, b, c = (vertices[faces[:, k]] for k in range(3))
                normal = np.cross(b - a, c - a)
                normal /= np.linalg.norm(normal, axis=1, keepdims=True)
                # Flat sides of four corners are two triangles: 1e-6 of the diagonal is the rounding of both.
                assert (np.einsum("fk,vk->fv", normal, vertices) - (normal * a).sum(1)[:, None]).max() < 1e-6, where


def test_samples_lie_on_the_surface_and_in_no_other_part():
    rng = np.random.default_rng(0)
    for category, obj in objects(2):
        samples = sample_outer_surface(obj, 1500, rng)
        distance = signed_distance(obj, samples.points)
        tube = np.array([isinstance(part.solid, Tube) for part in obj.parts])[obj.face_parts[samples.faces]]
        # Polyhedral parts: float32 vertices, and 1e-4 where another part passes within the samples' gap.
        assert np.abs(distance[~tube]).max(initial=0) < 1.1e-4, category
        assert np.abs(distance[tube]).max(initial=0) < MESH_ERROR, category
        assert (signed_distance(obj, samples.points + 1e-3 * samples.normals) > -MESH_ERROR).all()
        assert (signed_distance(obj, samples.points + 1e-4 * samples.normals)[~tube] > 0).all(), category
        np.testing.assert_allclose(np.linalg.norm(samples.normals, axis=1), 1, atol=1e-9)


def test_the_sign_agrees_with_the_winding_number_and_the_distance_with_the_mesh():
    igl = pytest.importorskip("igl")
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.5, 0.5, (2000, 3))
    for category, obj in objects(2):
        vertices, faces = obj.mesh.vertices.numpy().astype(np.float64), obj.mesh.faces.numpy()
        distance = signed_distance(obj, points)
        far = np.abs(distance) > MESH_ERROR
        inside = igl.fast_winding_number(vertices, faces, points) > 0.5
        np.testing.assert_array_equal(inside[far], (distance < 0)[far], err_msg=category)
        brute = igl.signed_distance(points, vertices, faces, igl.SIGNED_DISTANCE_TYPE_UNSIGNED)[0]
        out = distance > 0
        error = np.abs(brute - distance)[out].max()
        has_tube = any(isinstance(part.solid, Tube) for part in obj.parts)
        assert error < (MESH_ERROR if has_tube else 1e-6), category


def test_the_distance_inside_never_exceeds_the_true_depth():
    rng = np.random.default_rng(2)
    points = rng.uniform(-0.5, 0.5, (3000, 3))
    for category in ("chair", "bed", "car"):
        obj = make_object(0, "train", category)
        distance = signed_distance(obj, points)
        surface = sample_outer_surface(obj, 4000, rng).points
        inside = np.flatnonzero(distance < -1e-3)[:200]
        nearest = np.sqrt(((points[inside, None] - surface[None]) ** 2).sum(-1)).min(1)
        assert (-distance[inside] <= nearest + 1e-6).all()


def test_samples_are_uniform_by_area():
    obj = make_object(3, "train", "table")
    samples = sample_outer_surface(obj, 40_000, np.random.default_rng(3))
    # The table is symmetric in x: half of the points on its top lie left of the middle.
    top = obj.mesh.vertices.numpy()[:, 1].max()
    on_top = (samples.points[:, 1] > top - 1e-5) & (samples.normals[:, 1] > 0.999)
    x = samples.points[on_top, 0]
    left = (x < 0).mean()
    assert left == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(on_top.sum()))


# variety and splits


def test_held_out_combinations_are_a_quarter_of_test_and_never_in_training():
    rng = np.random.default_rng(4)
    for category in CATEGORIES:
        assert len(HELD_OUT[category]) >= 1
        for split in ("train", "val"):
            assert not any(is_held_out(category, draw_style(rng, split, category)) for _ in range(150))
        share = np.mean([is_held_out(category, draw_style(rng, "test", category)) for _ in range(150)])
        # Four standard deviations of a share of 0.25 among 150.
        assert share == pytest.approx(0.25, abs=4 * math.sqrt(0.25 * 0.75 / 150)), category
    drawn = [make_object(seed, "test") for seed in range(10)]
    assert any(is_held_out(obj.category, obj.style) for obj in drawn)


def test_every_held_out_combination_is_one_that_training_could_have_drawn():
    # Each of its choices, alone, is among what training shows: only the combination is new.
    rng = np.random.default_rng(5)
    for category, entries in HELD_OUT.items():
        shown = [draw_style(rng, "train", category) for _ in range(200)]
        for entry in entries:
            for name, value in entry.items():
                assert any(getattr(style, name) == value for style in shown), (category, name, value)


def test_categories_are_drawn_alike_and_differ_in_topology():
    drawn = [make_object(seed, "train") for seed in range(48)]
    share = Counter(obj.category for obj in drawn)
    assert set(share) == set(CATEGORIES)
    for category in CATEGORIES:
        # Four standard deviations of a share of an eighth.
        assert share[category] / 48 == pytest.approx(1 / 8, abs=4 * math.sqrt(1 / 8 * 7 / 8 / 48))
        of_it = [obj for obj in drawn if obj.category == category]
        # Most have a choice of style, and a set of parts, of their own.
        assert len({obj.style for obj in of_it}) > 0.6 * len(of_it)
        parts = {tuple(sorted(Counter(part.label for part in obj.parts).items())) for obj in of_it}
        assert len(parts) > 0.5 * len(of_it), category
    assert all(20 <= len(obj.mesh.faces) <= 6000 for obj in drawn)


def test_fronts_are_at_plus_z():
    behind = (("chair", "back"), ("bed", "pillow"), ("plane", "tail"))
    for seed in range(6):
        for category, label in behind:
            obj = make_object(seed, "train", category)
            if label in obj.label_names:
                faces = obj.mesh.faces.numpy()[obj.face_labels == obj.label_names.index(label)]
                assert obj.mesh.vertices.numpy()[faces][..., 2].mean() < 0, (category, seed)


@pytest.mark.parametrize(
    ("seed", "split", "category", "message"),
    [
        (0, "dev", None, "unknown split 'dev'"),
        (0, "test", "boat", "unknown category 'boat'"),
        (-1, "test", None, "seed is -1"),
    ],
)
def test_wrong_arguments_are_named(seed, split, category, message):
    with pytest.raises(ValueError, match=message):
        make_object(seed, split, category)
