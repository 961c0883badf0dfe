"""Nearest faces and points: known answers, equal distances, and the kernels against the references."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette.ops import nearest_face, nearest_face_reference, nearest_to_face, nearest_to_face_reference
from maquette.ops.nearest_face import nearest_face_numba, nearest_to_face_numba, rows_of, squared_distances
from maquette.shapes import cube, ico_sphere

NASTY = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-30, 1e30, 1e-45, float("nan"), float("inf")])


def random(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def soup(seed, count, batch=2, dtype=torch.float32):
    """Faces over random vertices; some repeat a vertex, some a position."""
    vertices = random(seed, batch, count, 3, dtype=dtype)
    faces = torch.randint(0, count, (2 * count, 3), generator=torch.Generator().manual_seed(seed))
    return vertices, faces


def test_a_point_over_the_middle_of_a_face_is_nearest_to_it():
    sphere = ico_sphere(2)
    middle = sphere.corners().mean(1)
    for height in (1.0, 1.5):
        assert torch.equal(nearest_face(height * middle, sphere.vertices, sphere.faces), torch.arange(320))


def test_the_six_sides_of_a_cube_part_space_by_the_greatest_coordinate():
    box = cube(2.0)
    points = random(0, 500, 3)
    points = points / points.abs().amax(-1, keepdim=True) * 0.9  # inside, near the side of the greatest coordinate
    side = nearest_face(points, box.vertices, box.faces) // 2
    axis = points.abs().argmax(-1)
    assert torch.equal(side, 2 * axis + (points.gather(1, axis[:, None])[:, 0] > 0))


def test_faces_around_a_vertex_or_an_edge_are_equally_near_and_the_lowest_is_taken():
    sphere = ico_sphere(1)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    for faces in (sphere.faces, sphere.faces[order], sphere.faces[order].roll(1, 1).flip(1)):
        at_vertex = nearest_face(sphere.vertices * 1.7, sphere.vertices, faces)
        lowest = torch.stack([(faces == v).any(1).to(torch.uint8).argmax() for v in range(42)])
        assert torch.equal(at_vertex, lowest)
        edges = faces[:, :2]
        at_edge = nearest_face(sphere.vertices[edges].mean(1) * 1.9, sphere.vertices, faces)
        shares = ((faces[None] == edges[:, :1, None]) | (faces[None] == edges[:, 1:, None])).sum(-1) == 2
        assert torch.equal(at_edge, shares.to(torch.uint8).argmax(1))


def test_a_face_without_area_is_a_segment_or_a_point():
    vertices = torch.tensor([[0.0, 0, 0], [4, 0, 0], [1, 0, 0], [9, 9, 9]])
    faces = torch.tensor([[3, 3, 3], [0, 1, 1], [0, 1, 2]])
    points = torch.tensor([[2.0, 3, 4], [-3, 4, 0], [9, 9, 8]])
    squared = squared_distances(points[:, None].double(), rows_of(vertices[faces]))
    expected = torch.tensor([[49 + 36 + 25, 25, 25], [144 + 25 + 81, 25, 25], [1, 25 + 81 + 64, 25 + 81 + 64]])
    assert torch.equal(squared, expected.double())
    assert nearest_face(points, vertices, faces).tolist() == [1, 1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["random", "lattice", "apart", "flat", "sphere"])
@pytest.mark.parametrize("n", [1, 37, 300])
def test_the_kernels_agree_with_the_references_to_the_last_index(dtype, layout, n):
    points, (vertices, faces) = random(1, 2, n, 3, dtype=dtype), soup(2, 70, dtype=dtype)
    if layout == "lattice":
        points, vertices = (2 * points).round(), vertices.round()
    elif layout == "apart":
        vertices = vertices * 1e-2 + 100
    elif layout == "flat":
        points[..., 1], vertices[..., 1] = 0, 0
    elif layout == "sphere":
        sphere = ico_sphere(2)
        vertices, faces = torch.stack([sphere.vertices, 2 * sphere.vertices]).to(dtype), sphere.faces
        points[:, : min(n, 162)] = vertices[:, : min(n, 162)]
    face = nearest_face_reference(points, vertices, faces)
    assert torch.equal(nearest_face_numba(points, vertices, faces), face)
    point = nearest_to_face_reference(vertices, faces, points)
    assert torch.equal(nearest_to_face_numba(vertices, faces, points), point)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=20),
    st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_what_is_not_finite_is_at_no_distance_in_both(points, corners, chance):
    for dtype in (torch.float32, torch.float64):
        p, v = torch.tensor(points, dtype=dtype)[None], torch.tensor(corners, dtype=dtype)[None]
        f = torch.tensor([[chance.randrange(len(corners)) for _ in range(3)] for _ in range(8)])
        face = nearest_face_numba(p, v, f)
        assert torch.equal(face, nearest_face_reference(p, v, f))
        assert torch.equal(nearest_to_face_numba(v, f, p), nearest_to_face_reference(v, f, p))
        finite = v[0, f].isfinite().all(-1).all(-1)
        assert ((face == -1) == (~p.isfinite().all(-1) | ~finite.any())).all()
        assert finite[face[face >= 0]].all()


@pytest.mark.parametrize("search", [nearest_face, nearest_face_reference])
def test_nothing_to_be_near_to_gives_minus_one_and_nothing_to_ask_for_gives_nothing(search):
    vertices, faces = soup(0, 5, batch=1)
    assert search(random(1, 1, 4, 3), vertices, faces[:0]).tolist() == [[-1] * 4]
    assert search(random(1, 1, 0, 3), vertices, faces).shape == (1, 0)
    assert nearest_to_face(vertices, faces, random(1, 1, 0, 3)).tolist() == [[-1] * 10]


def test_leading_axes_are_batches_and_threads_change_nothing():
    points, vertices = random(8, 2, 3, 100, 3), random(9, 2, 3, 30, 3)
    faces = soup(1, 30)[1]
    expected = torch.stack([nearest_face(points[i, j], vertices[i, j], faces) for i in range(2) for j in range(3)])
    assert torch.equal(nearest_face(points, vertices, faces).flatten(0, 1), expected)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        swapped = nearest_face(points.transpose(0, 1), vertices.transpose(0, 1), faces)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(swapped.transpose(0, 1).flatten(0, 1), expected)


def test_the_distances_are_those_of_libigl():
    igl = pytest.importorskip("igl")
    vertices, faces = soup(3, 60, batch=1, dtype=torch.float64)
    points = random(4, 1, 400, 3, dtype=torch.float64)
    face = nearest_face(points, vertices, faces)[0]
    found = squared_distances(points[0], rows_of(vertices[0, faces[face]]))
    expected, _, _ = igl.point_mesh_squared_distance(points[0].numpy(), vertices[0].numpy(), faces.numpy())
    assert torch.allclose(found, torch.from_numpy(expected), rtol=1e-12, atol=1e-14)


def test_mixed_types_and_faces_out_of_range_are_refused():
    vertices, faces = soup(0, 5, batch=1)
    with pytest.raises(ValueError, match=r"nearest_face: points are torch.float64 and vertices torch.float32"):
        nearest_face(random(0, 1, 3, 3).double(), vertices, faces)
    with pytest.raises(ValueError, match=r"nearest_to_face: faces name vertices 0..9 of 5"):
        nearest_to_face(vertices, torch.tensor([[0, 1, 9]]), random(0, 1, 3, 3))
