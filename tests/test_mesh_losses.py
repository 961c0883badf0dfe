"""Regularisers of a mesh against geometry that is known: planes, folds, spheres."""

import math

import pytest
import torch

from maquette.losses import edge_loss, laplacian_cot, laplacian_cotcurv, laplacian_uniform, normal_consistency
from maquette.shapes import Mesh, cotangent_weights, cube, ico_sphere, laplacian, tetrahedron, topology_of

LOSSES = (edge_loss, normal_consistency, laplacian_uniform, laplacian_cot, laplacian_cotcurv)
KINDS = ("graph", "uniform", "inverse length", "cot", "cotcurv")
NO_FACES = torch.zeros((0, 3), dtype=torch.int64)

each_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
each_kind = pytest.mark.parametrize("kind", KINDS)


def hinge(angle: float, *, flipped: bool = False) -> Mesh:
    """Two triangles at the x axis; their normals enclose `angle`."""
    vertices = [[0.0, 0, 0], [1, 0, 0], [0.3, 1, 0], [0.6, -math.cos(angle), math.sin(angle)]]
    second = [1, 0, 3][:: -1 if flipped else 1]
    return Mesh(torch.tensor(vertices, dtype=torch.float64), torch.tensor([[0, 1, 2], second]))


def hexagons(size: int) -> Mesh:
    """A regular triangulation of a plane: equilateral triangles of side 1, `size` by `size` vertices."""
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    x, y = column + 0.5 * row, row.double() * math.sqrt(0.75)
    vertices = torch.stack([x.double(), y, torch.zeros_like(y)], -1).reshape(-1, 3)
    corner = (row * size + column)[:-1, :-1].reshape(-1)
    lower = torch.stack([corner, corner + 1, corner + size], 1)
    upper = torch.stack([corner + 1, corner + size + 1, corner + size], 1)
    return Mesh(vertices, torch.cat([lower, upper]))


def blob(seed: int = 0, *batch: int) -> Mesh:
    """An ico sphere of 42 vertices pushed about, in float64."""
    mesh = ico_sphere(1)
    noise = torch.randn(*batch, 42, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return mesh.with_vertices(mesh.vertices.double() + 0.1 * noise)


def test_edge_loss_of_a_right_triangle_is_the_mean_of_its_squared_sides():
    mesh = Mesh(torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2]]))
    assert edge_loss(mesh).item() == pytest.approx((9 + 16 + 25) / 3)
    assert edge_loss(mesh, target=3.0).item() == pytest.approx((0 + 1 + 4) / 3)


def test_edge_loss_of_a_regular_mesh_is_zero_at_its_own_edge_length():
    assert edge_loss(tetrahedron(), target=math.sqrt(8 / 3)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, 2.5, math.pi])
def test_normal_consistency_of_two_faces_is_one_minus_the_cosine_of_their_bend(angle):
    expected = 1 - math.cos(angle)
    assert normal_consistency(hinge(angle)).item() == pytest.approx(expected, abs=1e-12)
    assert normal_consistency(hinge(angle, flipped=True)).item() == pytest.approx(expected, abs=1e-12)


def test_normal_consistency_of_a_cube_counts_right_angles_and_diagonals():
    # 12 edges at right angles, 6 diagonals within a flat side.
    assert normal_consistency(cube()).item() == pytest.approx(12 / 18)


def test_normal_consistency_at_three_faces_takes_all_three_pairs():
    # Half planes at 0, 90 and 180 degrees around the x axis: bends of 90, 90 and 0 degrees.
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, -1, 0]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]]))
    assert normal_consistency(mesh).item() == pytest.approx((1 + 1 + 0) / 3)


def test_normal_consistency_leaves_out_faces_without_area():
    flat = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]], requires_grad=True)
    mesh = Mesh(flat, torch.tensor([[0, 1, 2], [1, 0, 3]]))
    value = normal_consistency(mesh)
    value.backward()
    assert value.item() == 0
    assert flat.grad is not None and torch.equal(flat.grad, torch.zeros_like(flat))


@pytest.mark.parametrize("kind", ["uniform", "cot", "cotcurv"])
def test_laplacian_of_a_regular_plane_vanishes_inside(kind):
    mesh = hexagons(6)
    inner = torch.arange(36).reshape(6, 6)[1:-1, 1:-1].reshape(-1)
    delta = laplacian(mesh, kind) @ mesh.vertices
    assert delta[inner].abs().max().item() < 1e-14


def test_the_cotangent_laplacian_of_any_plane_vanishes_inside():
    # The cotangent weights are linearly precise; uniform ones are not.
    mesh = hexagons(6)
    moved = mesh.vertices.clone()
    moved[:, :2] += 0.2 * torch.rand(36, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mesh = mesh.with_vertices(moved)
    inner = torch.arange(36).reshape(6, 6)[1:-1, 1:-1].reshape(-1)
    assert (laplacian(mesh, "cot") @ moved)[inner].abs().max().item() < 1e-13
    assert (laplacian(mesh, "uniform") @ moved)[inner].abs().max().item() > 1e-2


@pytest.mark.parametrize("radius", [1.0, 2.5])
def test_cotcurv_of_a_sphere_is_a_third_of_its_mean_curvature(radius):
    # A_i counts each face at three vertices. 2 % is the error of 2562 vertices.
    assert laplacian_cotcurv(ico_sphere(4, radius)).item() == pytest.approx(1 / (3 * radius), rel=0.02)


def test_cotangents_of_a_right_isosceles_triangle_are_zero_and_one():
    mesh = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), torch.tensor([[0, 1, 2]]))
    # Edges in order: (0, 1) and (0, 2) lie opposite to 45 degrees, (1, 2) to 90.
    torch.testing.assert_close(cotangent_weights(mesh), torch.tensor([1.0, 1.0, 0.0]))


def test_the_cotangent_laplacian_is_the_gradient_of_area():
    # d area / d v_i = sum_j (cot a + cot b) (v_i - v_j) / 2 (Desbrun et al. 1999, eq. 8 and 9).
    mesh = blob()
    vertices = mesh.vertices.requires_grad_()
    a, b, c = vertices[mesh.faces].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2
    (gradient,) = torch.autograd.grad(area, vertices)
    torch.testing.assert_close(-(laplacian(mesh, "cot") @ vertices) / 2, gradient)


@each_kind
def test_rows_of_a_laplacian_sum_to_zero(kind):
    matrix = laplacian(blob(), kind)
    assert matrix.is_coalesced()
    assert (matrix @ torch.ones(42, 1, dtype=torch.float64)).abs().max().item() < 1e-12


@pytest.mark.parametrize("kind", ["graph", "cot", "inverse length"])
def test_an_unscaled_laplacian_is_symmetric_and_negative_semidefinite(kind):
    matrix = laplacian(blob(), kind).to_dense()
    torch.testing.assert_close(matrix, matrix.T)
    assert torch.linalg.eigvalsh(matrix).max().item() < 1e-10


@pytest.mark.parametrize(
    ("kind", "loss"), [("uniform", laplacian_uniform), ("cotcurv", laplacian_cotcurv)], ids=["uniform", "cotcurv"]
)
def test_a_laplacian_loss_is_the_mean_length_of_the_matrix_times_the_vertices(kind, loss):
    mesh = blob()
    torch.testing.assert_close(loss(mesh), (laplacian(mesh, kind) @ mesh.vertices).norm(dim=1).mean())


def test_laplacian_cot_is_the_distance_to_the_weighted_mean_of_the_neighbours():
    mesh = blob()
    matrix = laplacian(mesh, "cot")
    weights = -matrix.to_dense().diagonal()
    torch.testing.assert_close(laplacian_cot(mesh), ((matrix @ mesh.vertices) / weights[:, None]).norm(dim=1).mean())


@each_loss
def test_a_mesh_loss_of_a_batch_with_given_topology_is_the_loss_one_by_one(loss):
    mesh = blob(1, 2, 3)
    single = torch.stack([torch.stack([loss(mesh.with_vertices(v)) for v in row]) for row in mesh.vertices])
    torch.testing.assert_close(loss(mesh, topology_of(mesh.faces)), single)


@each_loss
def test_a_mesh_loss_ignores_rotation_and_the_order_of_vertices_and_faces(loss):
    mesh, generator = blob(2), torch.Generator().manual_seed(3)
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    order = torch.randperm(42, generator=generator)
    faces = order.argsort()[mesh.faces][torch.randperm(80, generator=generator)].roll(1, 1)
    torch.testing.assert_close(loss(Mesh((mesh.vertices @ turn.T)[order] + 1, faces)), loss(mesh))


@pytest.mark.parametrize(
    ("loss", "power"), list(zip(LOSSES, (2, 0, 1, 1, -1), strict=True)), ids=[f.__name__ for f in LOSSES]
)
def test_a_mesh_loss_scales_with_its_power_of_length(loss, power):
    mesh = blob(3)
    torch.testing.assert_close(loss(mesh.with_vertices(4 * mesh.vertices)), 4.0**power * loss(mesh))


@pytest.mark.parametrize("loss", [edge_loss, normal_consistency, laplacian_uniform], ids=lambda loss: loss.__name__)
def test_a_mesh_loss_has_the_gradient_of_its_value(loss):
    mesh = blob(4)
    faces, topology = mesh.faces, topology_of(mesh.faces)
    vertices = mesh.vertices.requires_grad_()
    assert torch.autograd.gradcheck(lambda v: loss(Mesh(v, faces), topology), (vertices,))
    if loss is edge_loss:
        assert torch.autograd.gradcheck(lambda v: loss(Mesh(v, faces), topology, target=0.3), (vertices,))


@pytest.mark.parametrize("loss", [laplacian_cot, laplacian_cotcurv], ids=lambda loss: loss.__name__)
def test_the_gradient_of_a_cotangent_loss_is_that_of_its_value_at_fixed_weights(loss):
    mesh = blob(5)
    kind = "cot" if loss is laplacian_cot else "cotcurv"
    matrix = laplacian(mesh, kind)
    scale = -1 / matrix.to_dense().diagonal()[:, None] if loss is laplacian_cot else 1.0
    vertices = mesh.vertices.requires_grad_()
    (expected,) = torch.autograd.grad(((matrix @ vertices) * scale).norm(dim=1).mean(), vertices)
    (gradient,) = torch.autograd.grad(loss(mesh.with_vertices(vertices)), vertices)
    torch.testing.assert_close(gradient, expected)


DEGENERATE = {
    "all vertices in one place": torch.zeros(4, 3),
    "all vertices on a line": torch.arange(4.0)[:, None] * torch.tensor([1.0, 2.0, 3.0]),
    "two vertices in one place": torch.tensor([[0.0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]]),
    "a needle": torch.tensor([[0.0, 0, 0], [1, 0, 0], [0.5, 1e-7, 0], [0.5, 1, 0]]),
    "far away": torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) + 1e6,
    "tiny": torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * 1e-15,
    "huge": torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]) * 1e15,
}


@each_loss
@pytest.mark.parametrize("vertices", DEGENERATE.values(), ids=DEGENERATE)
def test_a_mesh_loss_is_finite_with_a_finite_gradient_on_degenerate_meshes(loss, vertices):
    vertices = vertices.clone().requires_grad_()
    value = loss(Mesh(vertices, tetrahedron().faces))
    value.backward()
    assert math.isfinite(value.item())
    assert vertices.grad is not None and bool(vertices.grad.isfinite().all())


@each_loss
def test_a_mesh_loss_without_faces_is_zero(loss):
    vertices = torch.rand(2, 5, 3, requires_grad=True)
    value = loss(Mesh(vertices, NO_FACES))
    value.sum().backward()
    assert torch.equal(value, torch.zeros(2))
    assert torch.equal(loss(Mesh(torch.zeros(0, 3), NO_FACES)), torch.tensor(0.0))


@each_kind
def test_a_laplacian_without_faces_is_zero(kind):
    assert laplacian(Mesh(torch.rand(3, 3), NO_FACES), kind).to_dense().abs().sum().item() == 0


@each_loss
def test_a_mesh_loss_refuses_faces_and_topology_that_do_not_fit(loss):
    with pytest.raises(ValueError, match=f"{loss.__name__}: faces use vertex 7, but there are 4 vertices"):
        loss(Mesh(torch.rand(4, 3), torch.tensor([[0, 1, 7]])))
    with pytest.raises(ValueError, match=f"{loss.__name__}: the topology is of 12 faces, the mesh has 4"):
        loss(Mesh(torch.rand(8, 3), tetrahedron().faces), topology_of(cube().faces))


def test_a_laplacian_of_several_meshes_is_refused():
    with pytest.raises(ValueError, match="laplacian: vertices have shape"):
        laplacian(Mesh(torch.rand(2, 4, 3), tetrahedron().faces), "uniform")


@each_loss
def test_a_mesh_loss_runs_where_its_mesh_is(loss, device):
    mesh = blob()
    there = Mesh(mesh.vertices.to(device), mesh.faces.to(device))
    torch.testing.assert_close(loss(there).cpu(), loss(mesh))
