"""Smoothing and subdivision: what they multiply, what they keep, where they end."""

import math

import pytest
import torch

from maquette.shapes import (
    FaceColors,
    Mesh,
    Texture,
    VertexColors,
    colors_at,
    cotangent_weights,
    cube,
    edges_of,
    face_areas,
    ico_sphere,
    loop_limit,
    loop_refinement,
    midpoint_refinement,
    positions_at,
    refined,
    sample_faces,
    smooth,
    smooth_taubin,
    subdivide,
    subdivide_loop,
    subdivide_midpoint,
    tetrahedron,
    topology_of,
)

each_scheme = pytest.mark.parametrize("scheme", [subdivide_midpoint, subdivide_loop], ids=lambda f: f.__name__)
each_refinement = pytest.mark.parametrize(
    "refinement", [midpoint_refinement, loop_refinement], ids=lambda f: f.__name__
)
SQUARE = Mesh(
    torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=torch.float64),
    torch.tensor([[0, 1, 2], [0, 2, 3]]),
)


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def double(mesh: Mesh) -> Mesh:
    return mesh.with_vertices(mesh.vertices.double())


def noisy_sphere() -> Mesh:
    mesh = double(ico_sphere(3))
    noise = torch.randn(642, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return mesh.with_vertices(mesh.vertices * (1 + 0.03 * noise))


def hexagon(rings: int = 2) -> Mesh:
    """A vertex with six neighbours, in a plane, subdivided so that there is an inside."""
    angle = torch.arange(6).double() * (math.pi / 3)
    rim = torch.stack([angle.cos(), angle.sin(), torch.zeros(6).double()], 1)
    faces = torch.tensor([[0, 1 + i, 1 + (i + 1) % 6] for i in range(6)])
    return subdivide_midpoint(Mesh(torch.cat([torch.zeros(1, 3).double(), rim]), faces), rings)


def test_smoothing_multiplies_each_wave_by_its_transfer_function():
    # A regular tetrahedron about the origin is a wave of frequency 4/3: neighbours' mean - v = -4/3 v.
    mesh, k = double(tetrahedron()), 4 / 3
    torch.testing.assert_close(smooth(mesh, 3, factor=0.3).vertices, mesh.vertices * (1 - 0.3 * k) ** 3)
    mu = 1 / (0.1 - 1 / 0.5)
    expected = mesh.vertices * ((1 - 0.5 * k) * (1 - mu * k)) ** 4
    torch.testing.assert_close(smooth_taubin(mesh, 4, factor=0.5, pass_band=0.1).vertices, expected)


def test_taubin_smoothing_keeps_the_volume_that_plain_smoothing_loses():
    mesh = noisy_sphere()
    plain, kept = smooth(mesh, 20), smooth_taubin(mesh, 20)
    roughness = [float(m.vertices.norm(dim=1).std() / m.vertices.norm(dim=1).mean()) for m in (mesh, plain, kept)]
    assert roughness[2] < 0.35 * roughness[0]
    # (1 - 0.6307 k)(1 + 0.6732 k) is at most 1.00106, at k = 0.05: 1.00106^20 in length, its cube in volume.
    assert 0.99 < volume(kept) / volume(mesh) < 1.00106**60
    assert volume(plain) / volume(mesh) < 0.8


def test_smoothing_takes_other_weights_of_the_edges():
    mesh = noisy_sphere()
    weights = cotangent_weights(mesh)
    torch.testing.assert_close(smooth(mesh, 1, weights=torch.ones_like(weights)).vertices, smooth(mesh, 1).vertices)
    assert float((smooth(mesh, 1, weights=weights).vertices - smooth(mesh, 1).vertices).abs().max()) > 1e-4


@pytest.mark.parametrize("verb", [smooth, smooth_taubin], ids=lambda f: f.__name__)
def test_smoothing_a_batch_is_smoothing_one_by_one_and_keeps_appearance(verb):
    mesh = double(ico_sphere(1)).with_appearance(VertexColors(torch.rand(42, 3)))
    batch = mesh.vertices + 0.1 * torch.rand(2, 3, 42, 3, dtype=torch.float64)
    whole = verb(mesh.with_vertices(batch), 5, topology=topology_of(mesh.faces))
    single = torch.stack([torch.stack([verb(mesh.with_vertices(v), 5).vertices for v in row]) for row in batch])
    torch.testing.assert_close(whole.vertices, single)
    assert whole.appearance is mesh.appearance


@pytest.mark.parametrize("verb", [smooth, smooth_taubin], ids=lambda f: f.__name__)
def test_smoothing_has_the_gradient_of_its_value(verb):
    vertices = double(tetrahedron()).vertices.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: verb(Mesh(v, tetrahedron().faces), 2).vertices, (vertices,))


@pytest.mark.parametrize("verb", [smooth, smooth_taubin], ids=lambda f: f.__name__)
def test_a_vertex_without_edges_is_not_smoothed(verb):
    mesh = Mesh(torch.cat([tetrahedron().vertices, torch.full((1, 3), 7.0)]), tetrahedron().faces)
    assert verb(mesh).vertices[-1].tolist() == [7, 7, 7]


def test_smoothing_refuses_factors_that_would_swell():
    with pytest.raises(ValueError, match=r"smooth: steps 10, factor 1\.5"):
        smooth(tetrahedron(), factor=1.5)
    with pytest.raises(ValueError, match="multiplies the highest frequency by 2"):
        smooth_taubin(tetrahedron(), factor=0.9)
    with pytest.raises(ValueError, match="pass band 3"):
        smooth_taubin(tetrahedron(), pass_band=3.0)


@each_scheme
def test_a_step_of_subdivision_makes_four_faces_of_one_and_a_vertex_of_every_edge(scheme):
    mesh = cube()
    fine = scheme(mesh, 2)
    vertices, edges, faces = 8, 18, 12
    for _ in range(2):
        vertices, edges, faces = vertices + edges, 2 * edges + 3 * faces, 4 * faces
    assert (len(fine.vertices), len(edges_of(fine.faces)), len(fine.faces)) == (vertices, edges, faces)
    topology = topology_of(fine.faces)
    assert set(topology.uses.tolist()) == {2} and bool(topology.opposed.all())
    assert scheme(mesh, 0) is mesh


def test_midpoint_subdivision_leaves_the_surface_as_it_is():
    mesh = double(cube())
    fine = subdivide_midpoint(mesh, 2)
    assert volume(fine) == pytest.approx(1)
    torch.testing.assert_close(face_areas(fine), torch.full((192,), 1 / 32).double())
    assert torch.equal(fine.vertices[:8], mesh.vertices)


@each_scheme
def test_a_plane_stays_a_plane_with_its_orientation(scheme):
    fine = scheme(SQUARE, 3)
    assert float(fine.vertices[:, 2].abs().max()) == 0
    a, b, c = fine.vertices[fine.faces].unbind(1)
    assert float(torch.linalg.cross(b - a, c - a)[:, 2].min()) > 0


def test_loop_subdivision_of_a_regular_plane_keeps_every_inner_vertex():
    mesh = hexagon()
    topology = topology_of(mesh.faces)
    rim = torch.zeros(len(mesh.vertices), dtype=torch.bool)
    rim[topology.edges[topology.uses == 1].reshape(-1)] = True
    fine = subdivide_loop(mesh)
    torch.testing.assert_close(fine.vertices[: len(rim)][~rim], mesh.vertices[~rim])


def test_loop_weights_are_the_published_ones():
    # A bump of height 16 at the middle of a regular plane: 10/16 stays (1 - 6 / 16), a new vertex on an edge to it gets
    # 3/8, one opposite to it 1/8.
    mesh = hexagon()
    height = torch.zeros(len(mesh.vertices), 1, dtype=torch.float64)
    height[0] = 16
    fine = refined(height, loop_refinement(mesh.faces, len(mesh.vertices)))[:, 0]
    edges, old = edges_of(mesh.faces), len(mesh.vertices)
    assert fine[0].item() == pytest.approx(10)
    ring = edges[(edges == 0).any(1)].amax(1)
    torch.testing.assert_close(fine[ring], torch.ones(6).double())
    touching = (edges == 0).any(1)
    opposite = torch.isin(edges, ring).all(1)
    torch.testing.assert_close(fine[old:][touching], torch.full((6,), 6.0).double())
    torch.testing.assert_close(fine[old:][opposite], torch.full((6,), 2.0).double())
    assert float(fine[old:][~touching & ~opposite].abs().max()) == 0


def test_the_rim_of_a_square_becomes_a_curve_that_does_not_see_the_inside():
    fine = subdivide_loop(SQUARE)
    # 3/4 (0, 0) + 1/8 (1, 0) + 1/8 (0, 1), and the middle of the lower side; the diagonal has both opposite corners.
    torch.testing.assert_close(fine.vertices[0], torch.tensor([1 / 8, 1 / 8, 0]).double())
    edges = edges_of(SQUARE.faces).tolist()
    torch.testing.assert_close(fine.vertices[4 + edges.index([0, 1])], torch.tensor([0.5, 0, 0]).double())
    torch.testing.assert_close(fine.vertices[4 + edges.index([0, 2])], torch.tensor([0.5, 0.5, 0]).double())


def test_the_limit_of_a_rim_is_exact_in_double_precision():
    # 2/3 (0, 0) + 1/6 (1, 0) + 1/6 (0, 1).
    assert (loop_limit(SQUARE)[0] - torch.tensor([1, 1, 0]).double() / 6).abs().max() < 1e-15


@pytest.mark.parametrize(
    "mesh",
    [double(tetrahedron()), double(cube()), SQUARE, double(ico_sphere(0))],
    ids=lambda m: f"{len(m.faces)} faces",
)
def test_loop_subdivision_goes_to_its_limit_and_the_limit_does_not_change_on_the_way(mesh):
    limit, count = loop_limit(mesh), len(mesh.vertices)
    once = subdivide_loop(mesh)
    torch.testing.assert_close(loop_limit(once)[:count], limit)
    # The slowest part shrinks by 5/8 or less a step.
    error = [float((subdivide_loop(mesh, steps).vertices[:count] - limit).abs().max()) for steps in range(6)]
    assert error[5] < 0.7**5 * error[0]


def test_the_loop_limit_of_an_icosahedron_is_nearly_a_sphere():
    fine = subdivide_loop(double(ico_sphere(0)), 4)
    radius = loop_limit(fine).norm(dim=1)
    assert float(radius.max() / radius.min()) < 1.03


@each_refinement
def test_weights_of_a_refinement_sum_to_one(refinement):
    fan = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])  # three faces at one edge, and vertex 5 in none
    for faces, vertices in ((cube().faces, 8), (SQUARE.faces, 4), (fan, 6)):
        values = refined(torch.ones(vertices, 1), refinement(faces, vertices))
        torch.testing.assert_close(values, torch.ones_like(values))


@each_scheme
def test_subdividing_a_batch_is_subdividing_one_by_one(scheme):
    batch = torch.rand(2, 3, 8, 3, dtype=torch.float64)
    whole = scheme(cube().with_vertices(batch), 2)
    single = torch.stack([torch.stack([scheme(cube().with_vertices(v), 2).vertices for v in row]) for row in batch])
    torch.testing.assert_close(whole.vertices, single)


@each_scheme
def test_subdivision_has_the_gradient_of_its_value(scheme):
    vertices = double(tetrahedron()).vertices.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: scheme(Mesh(v, tetrahedron().faces)).vertices, (vertices,))


@pytest.mark.parametrize("kind", [VertexColors, FaceColors, Texture])
def test_midpoint_subdivision_keeps_the_colour_of_every_point_of_the_surface(kind):
    generator = torch.Generator().manual_seed(0)
    appearance = {
        VertexColors: VertexColors(torch.rand(8, 3, generator=generator)),
        FaceColors: FaceColors(torch.rand(12, 3, generator=generator)),
        Texture: Texture(torch.rand(12, 3, 2, generator=generator), torch.rand(16, 16, 3, generator=generator)),
    }[kind]
    mesh = cube().with_appearance(appearance)
    fine = subdivide_midpoint(mesh)
    samples = sample_faces(fine, 200, generator=generator)
    # The same points, told by the coarse face they lie in.
    point, parent = positions_at(fine, samples), samples.faces // 4
    corners = mesh.corners()[parent]
    barycentric = torch.linalg.solve(corners.transpose(1, 2), point[..., None])[..., 0]
    torch.testing.assert_close(
        colors_at(fine, samples), colors_at(mesh, type(samples)(parent, barycentric)), atol=1e-4, rtol=0
    )


def test_subdivision_once_prepared_serves_any_vertices_and_features():
    refinement = loop_refinement(cube().faces, 8)
    assert torch.equal(subdivide(cube(), refinement).vertices, subdivide_loop(cube()).vertices)
    assert refined(torch.rand(5, 8, 7), refinement).shape == (5, 26, 7)
    with pytest.raises(ValueError, match="refined: values of 4 vertices, the refinement is of 8"):
        subdivide(tetrahedron(), refinement)


@each_scheme
def test_subdividing_refuses_collapsed_faces_and_wrong_indices(scheme):
    with pytest.raises(ValueError, match=r"1 faces repeat a vertex, the first is face 1 = \[2, 2, 3\]"):
        scheme(Mesh(torch.rand(4, 3), torch.tensor([[0, 1, 2], [2, 2, 3]])))
    with pytest.raises(ValueError, match="faces use vertex 9, but there are 4 vertices"):
        scheme(Mesh(torch.rand(4, 3), torch.tensor([[0, 1, 9]])))
    with pytest.raises(ValueError, match="-1 steps"):
        scheme(cube(), -1)


@each_scheme
@pytest.mark.parametrize("count", [0, 4])
def test_subdividing_a_mesh_without_faces_leaves_its_vertices(scheme, count):
    mesh = Mesh(torch.rand(count, 3), torch.zeros((0, 3), dtype=torch.int64))
    fine = scheme(mesh)
    assert torch.equal(fine.vertices, mesh.vertices) and fine.faces.shape == (0, 3)
