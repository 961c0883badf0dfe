"""Points drawn from a mesh are uniform over its surface: chi-square by area and within faces, seeds, composition."""

import math

import pytest
import torch
from scipy.stats import chisquare, kstest

from maquette import load
from maquette.shapes import (
    Mesh,
    VertexColors,
    colors_at,
    face_areas,
    face_normals,
    interpolate,
    positions_at,
    sample,
    sample_faces,
    torus,
    vertex_normals,
)

LEAST = 1e-3
"""A seeded draw that is uniform falls below this p once in a thousand seeds; one that is biased, always."""


def p_of_areas(mesh: Mesh, faces: torch.Tensor, least: float = 8.0) -> float:
    """Chi-square of how often faces were drawn against their areas.

    Faces in order of area are pooled until `least` draws are expected of them: the approximation wants 5 or so.
    """
    areas = face_areas(mesh).double()
    expected, order = (areas / areas.sum() * len(faces)).sort(descending=True)
    drawn = torch.bincount(faces, minlength=len(areas))[order].tolist()
    pools = [[0.0, 0.0]]
    for observed, wanted in zip(drawn, expected.tolist(), strict=True):
        if pools[-1][1] >= least:
            pools.append([0.0, 0.0])
        pools[-1][0] += observed
        pools[-1][1] += wanted
    *full, (observed, wanted) = pools
    if full and wanted < least:
        full[-1] = [full[-1][0] + observed, full[-1][1] + wanted]
    else:
        full.append([observed, wanted])
    return float(chisquare(*zip(*full, strict=True)).pvalue) if len(full) > 1 else 1.0


@pytest.fixture
def uneven() -> Mesh:
    """A torus of faces of unlike areas, some of none, one of them the first and one the last."""
    solid = torus(rows=7, columns=11)
    stretch = torch.tensor([3.0, 0.3, 1.0])
    flat = torch.tensor([[0, 1, 0]])
    return Mesh(solid.vertices * stretch, torch.cat([flat, solid.faces[:40], flat, solid.faces[40:], flat]))


@pytest.mark.parametrize("n", [100, 1000, 10_000, 100_000])
def test_faces_are_drawn_in_proportion_to_their_areas(uneven, n):
    for seed in range(3):
        drawn = sample_faces(uneven, n, generator=torch.Generator().manual_seed(seed)).faces
        assert p_of_areas(uneven, drawn) > LEAST


def test_the_test_of_areas_finds_a_small_bias(uneven):
    # Faces drawn as often as each other instead: the test must have the power to tell.
    drawn = torch.randint(len(uneven.faces), (10_000,), generator=torch.Generator().manual_seed(0))
    assert p_of_areas(uneven, drawn) < 1e-12


def test_faces_without_area_are_never_drawn_wherever_they_are(uneven, generator):
    drawn = sample_faces(uneven, 100_000, generator=generator).faces.unique()
    assert float(face_areas(uneven)[drawn].min()) > 0
    assert not {0, 41, len(uneven.faces) - 1} & set(drawn.tolist())


def test_barycentrics_are_uniform_in_sixteen_equal_parts_of_a_face(uneven, generator):
    weights = sample_faces(uneven, 32_000, generator=generator).barycentric.double()
    # A triangle cut in four along each side: strips of w0, and in each, alternating upright and turned triangles.
    i, j, k = (weights * 4).floor().clamp(max=3).unbind(-1)
    parts = (i * 4 + j) * 2 + (3 - i - j - k)  # floors sum to 3 in upright triangles, to 2 in turned ones
    counts = parts.long().unique(return_counts=True)[1]
    assert len(counts) == 16
    assert chisquare(counts.numpy()).pvalue > LEAST


def test_each_weight_has_the_distribution_of_a_uniform_point(uneven, generator):
    weights = sample_faces(uneven, 5000, generator=generator).barycentric
    # The part of a triangle with a weight above w is a triangle of (1 - w)^2 of its area.
    for axis in range(3):
        assert kstest(weights[:, axis].numpy(), lambda w: 1 - (1 - w) ** 2).pvalue > LEAST


def test_face_and_place_within_it_are_independent(uneven, generator):
    samples = sample_faces(uneven, 20_000, generator=generator)
    areas = face_areas(uneven).double()
    half = (areas.cumsum(0) / areas.sum() > 0.5)[samples.faces]
    for axis in range(3):
        first = samples.barycentric[half, axis].numpy()
        assert kstest(first, samples.barycentric[~half, axis].numpy()).pvalue > LEAST


def test_points_of_a_torus_are_uniform_by_its_own_measure(generator):
    solid = torus(0.75, 0.25, rows=96, columns=96)
    x, y, z = sample(solid, 20_000, generator=generator).points.unbind(-1)
    # The area element is r (R + r cos t) dt dp: t has the distribution (t + r / R sin t) / 2 pi, p is uniform.
    t = torch.atan2(z, torch.hypot(x, y) - 0.75).double()
    assert (
        kstest(t.numpy(), lambda t: 0.5 + (t + (0.25 / 0.75) * torch.tensor(t).sin().numpy()) / (2 * math.pi)).pvalue
        > LEAST
    )
    p = torch.atan2(y, x).double()
    assert kstest(p.numpy(), lambda p: 0.5 + p / (2 * math.pi)).pvalue > LEAST


def test_the_same_seed_draws_the_same_faces_and_more_samples_are_another_draw(uneven):
    draws = [sample_faces(uneven, 100, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)]
    assert torch.equal(draws[0].faces, draws[1].faces) and torch.equal(draws[0].barycentric, draws[1].barycentric)
    assert not torch.equal(draws[0].faces, draws[2].faces)


def test_one_draw_gives_positions_normals_and_colours_that_belong_together(uneven, generator):
    painted = uneven.with_appearance(VertexColors((uneven.vertices / 8 + 0.5).clamp(0, 1)))
    samples = sample_faces(painted, 500, generator=generator)
    points = positions_at(painted, samples)
    a, _, _ = painted.corners()[samples.faces].unbind(-2)
    flat = face_normals(painted)[samples.faces]
    assert float(((points - a) * flat).sum(-1).abs().max()) < 1e-5
    assert torch.allclose(colors_at(painted, samples), points / 8 + 0.5, atol=1e-6)
    smooth = interpolate(vertex_normals(painted)[painted.faces], samples)
    assert bool(((smooth * flat).sum(-1) > 0).all())
    cloud = sample(painted, 500, generator=torch.Generator().manual_seed(0))
    assert torch.equal(cloud.points, points) and torch.equal(cloud.normals, flat)


def test_areas_of_very_unlike_sizes_are_all_reached(generator):
    # A float32 cumulative sum of a million small areas beside a large one would lose them.
    count = 100_000
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
    small = corners * 1e-2
    mesh = Mesh(
        torch.cat([corners * 1e2, small]),
        torch.cat([torch.tensor([[0, 1, 2]]), torch.tensor([[3, 4, 5]]).expand(count, 3)]),
    )
    share = count * 1e-4 / (1e4 + count * 1e-4)
    drawn = sample_faces(mesh, 200_000, generator=generator).faces
    hit = int((drawn > 0).sum())
    assert abs(hit - 200_000 * share) < 5 * math.sqrt(200_000 * share)


@pytest.mark.parametrize("n", [10, 100, 1000, 10_000])
def test_the_cow_is_sampled_uniformly(maquette_data, n):
    cow = load(next(maquette_data.rglob("cow.obj")))
    samples = sample_faces(cow, n, generator=torch.Generator().manual_seed(1))
    assert samples.faces.shape == (n,) and samples.barycentric.shape == (n, 3)
    assert p_of_areas(cow, samples.faces) > LEAST
    cloud = sample(cow, n, generator=torch.Generator().manual_seed(1))
    assert torch.equal(cloud.points, positions_at(cow, samples))
    assert cloud.normals.shape == cloud.colors.shape == (n, 3)
