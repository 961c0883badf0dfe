"""Meshes to cells and back: exact overlap, volumes, the round trip through the sides of cells, kernel and reference."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette import transforms
from maquette.ops import touched_cells, touched_cells_reference
from maquette.ops.touched import touched_cells_numba
from maquette.shapes import (
    Interior,
    Mesh,
    Shell,
    Solid,
    Voxels,
    bounds,
    cell_centers,
    cells_of_points,
    cube,
    cubify,
    face_areas,
    face_normals,
    ico_sphere,
    is_inside,
    sample,
    signed_distance,
    torus,
    transform,
    voxelize,
)
from maquette.shapes.columns import inside_columns, is_closed

UNIT = torch.eye(4)


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.corners().double().unbind(-2)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def random_voxels(seed: int, *size: int) -> Voxels:
    values = torch.rand(size, generator=torch.Generator().manual_seed(seed))
    return Voxels((values > 0.6).float(), UNIT)


def meets(triangle: torch.Tensor, low: tuple[int, int, int]) -> bool:
    """Whether a triangle meets a unit cube, by cutting it with the six half spaces in exact arithmetic."""
    polygon = [[Fraction(x) for x in corner] for corner in triangle.tolist()]
    for axis in range(3):
        for sign, limit in ((1, low[axis]), (-1, -(low[axis] + 1))):
            kept = []
            for a, b in zip(polygon, polygon[1:] + polygon[:1], strict=True):
                over_a, over_b = sign * a[axis] - limit, sign * b[axis] - limit
                if over_a >= 0:
                    kept.append(a)
                if over_a * over_b < 0:
                    t = over_a / (over_a - over_b)
                    kept.append([p + t * (q - p) for p, q in zip(a, b, strict=True)])
            polygon = kept
    return bool(polygon)


EIGHTHS = st.integers(-8, 32).map(lambda n: n / 8)
TRIANGLES = st.lists(st.tuples(*[st.tuples(EIGHTHS, EIGHTHS, EIGHTHS)] * 3), min_size=1, max_size=2)


@settings(max_examples=40, deadline=None)
@given(TRIANGLES)
def test_a_cell_is_touched_exactly_if_clipping_the_triangle_to_it_leaves_something(triangles):
    # Multiples of 1/8 are exact in floating point, so ties are told apart rightly, too.
    corners = torch.tensor(triangles, dtype=torch.float64)
    grid = touched_cells(corners, (2, 2, 3))
    for z in range(2):
        for y in range(2):
            for x in range(3):
                assert bool(grid[z, y, x]) == any(meets(triangle, (x, y, z)) for triangle in corners)


@settings(max_examples=60, deadline=None)
@given(TRIANGLES)
def test_kernel_and_reference_agree_on_ties_and_degenerate_triangles(triangles):
    corners = torch.tensor(triangles, dtype=torch.float64)
    assert torch.equal(touched_cells_numba(corners, (4, 3, 5)), touched_cells_reference(corners, (4, 3, 5)))


def test_kernel_and_reference_agree_on_many_triangles_in_pieces(monkeypatch):
    monkeypatch.setattr("maquette.ops.touched.PAIRS", 1000)
    corners = torch.rand(300, 3, 3, generator=torch.Generator().manual_seed(0)) * 12 - 2
    corners[5, 1, 2], corners[6, 0, 0], corners[7] = math.nan, math.inf, 1e30
    assert torch.equal(touched_cells_numba(corners, (7, 8, 9)), touched_cells_reference(corners, (7, 8, 9)))
    assert not touched_cells(corners[5:8], (7, 8, 9)).any()


def test_no_triangles_touch_nothing():
    for op in (touched_cells, touched_cells_reference, touched_cells_numba):
        assert not op(torch.zeros(0, 3, 3), (2, 3, 4)).any()
    with pytest.raises(ValueError, match="at least one cell"):
        touched_cells(torch.zeros(0, 3, 3), (2, 0, 4))


def test_every_cell_that_holds_a_point_of_the_surface_is_touched(generator):
    mesh = transform(
        torus(0.33, 0.12), transforms.rigid(transforms.rotation_about("x", torch.tensor(0.7)), torch.zeros(3))
    )
    shell = voxelize(mesh, 24, world_from_grid=UNIT, filling=Shell()).occupancy
    held = cells_of_points(sample(mesh, 50_000, generator=generator).points, 24)
    assert bool((shell >= held).all())
    # Nothing is touched from afar: centres lie within half a cell's diagonal of the tube.
    centers = cell_centers(24)[shell > 0] @ transforms.rotation_about("x", torch.tensor(0.7))
    x, y, z = centers.unbind(-1)
    distance = (torch.hypot(torch.hypot(x, y) - 0.33, z) - 0.12).abs()
    # The polygon of 16 sides lies within r (1 - cos(pi / 16)) of the tube, the one of 32 round the axis within R's.
    assert float(distance.max()) < math.sqrt(3) / 2 / 24 + 0.12 * 0.02 + 0.45 * 0.005


def test_the_volume_of_a_ball_lies_between_its_cells_inside_and_all_its_cells():
    ball = ico_sphere(4, 0.5)
    shell, inside, solid = (
        voxelize(ball, 32, world_from_grid=UNIT, filling=f).occupancy for f in (Shell(), Interior(), Solid())
    )
    assert torch.equal(solid, torch.maximum(shell, inside))
    assert set(solid.unique().tolist()) == {0.0, 1.0}
    truth = math.pi / 6
    # Centres in a ball: a lattice count, whose error is far below the shell's half volume.
    assert float(inside.mean()) == pytest.approx(truth, rel=0.01)
    assert float((solid - shell).mean()) < truth < float(solid.mean())


def test_no_path_through_cell_sides_leads_through_a_shell():
    shell = voxelize(ico_sphere(3, 0.45), 20, world_from_grid=UNIT, filling=Shell()).occupancy > 0
    from scipy.ndimage import label

    regions, count = label(~shell.numpy())
    assert count == 2 and regions[0, 0, 0] != regions[10, 10, 10]


@pytest.mark.parametrize("size", [(6, 6, 6), (9, 9, 9)])
def test_cells_come_back_from_the_sides_of_their_cells(size):
    voxels = random_voxels(1, *size)
    back = voxelize(cubify(voxels), size[0], world_from_grid=UNIT, filling=Interior())
    assert torch.equal(back.occupancy, voxels.occupancy)


def test_a_surface_along_the_side_of_cells_touches_both():
    shell = voxelize(cube(0.5), 4, world_from_grid=UNIT, filling=Shell()).occupancy
    assert shell.sum() == 64  # from -0.25 to 0.25 in cells of 0.25: all around the four inner planes
    inside = voxelize(cube(0.5), 4, world_from_grid=UNIT, filling=Interior()).occupancy
    assert inside[1:3, 1:3, 1:3].sum() == 8 == inside.sum()


def test_the_default_grid_is_the_smallest_cube_around_the_mesh():
    mesh = transform(cube(), transforms.rigid(torch.diag(torch.tensor([2.0, 1.0, 0.5])), torch.tensor([5.0, 6.0, 7.0])))
    voxels = voxelize(mesh, 8)
    middle = transforms.apply(voxels.world_from_grid, torch.tensor([[0.0, 0, 0], [0.5, 0.5, 0.5]]))
    assert torch.allclose(middle, torch.tensor([[5.0, 6.0, 7.0], [6.0, 7.0, 8.0]]))
    inside = voxelize(mesh, 8, filling=Interior())
    assert torch.allclose(bounds(inside), bounds(mesh))
    assert inside.occupancy.sum() == 8 * 4 * 2


def test_voxels_move_with_the_mesh():
    mesh = ico_sphere(2, 0.3)
    world_from_a = transforms.rigid(
        transforms.rotation_about("y", torch.tensor(0.5)) * 3, torch.tensor([1.0, 2.0, 3.0])
    )
    moved = voxelize(transform(mesh, world_from_a), 16, world_from_grid=world_from_a, filling=Interior())
    assert torch.equal(moved.occupancy, voxelize(mesh, 16, world_from_grid=UNIT, filling=Interior()).occupancy)


def test_a_mesh_that_is_inside_out_or_has_a_hole_is_solid_too():
    ball = ico_sphere(3, 0.4)
    whole = voxelize(ball, 16, world_from_grid=UNIT).occupancy
    flipped = Mesh(ball.vertices, ball.faces.flip(1))
    assert torch.equal(voxelize(flipped, 16, world_from_grid=UNIT).occupancy, whole)
    holed = voxelize(Mesh(ball.vertices, ball.faces[5:]), 16, world_from_grid=UNIT).occupancy
    assert float((holed - whole).abs().sum()) <= 8


def test_a_mesh_without_faces_gives_an_empty_grid():
    empty = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.long))
    assert voxelize(empty, 4).occupancy.sum() == 0


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"reaches -0\.6 .. 0\.6 of the grid's cube"):
        voxelize(cube(1.2), 8, world_from_grid=UNIT)
    with pytest.raises(ValueError, match="give one mesh, not a batch"):
        voxelize(Mesh(cube().vertices[None], cube().faces), 8)
    with pytest.raises(ValueError, match="at least one cell"):
        voxelize(cube(), 0)
    with pytest.raises(ValueError, match="all corners of the mesh are one point"):
        voxelize(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])), 4)
    with pytest.raises(ValueError, match="not finite"):
        voxelize(Mesh(torch.full((3, 3), math.nan), torch.tensor([[0, 1, 2]])), 4)


@pytest.mark.parametrize("seed", range(3))
def test_cubes_enclose_exactly_the_full_cells(seed):
    voxels = random_voxels(seed, 4, 5, 6)
    mesh = cubify(voxels)
    full = voxels.occupancy
    assert volume(mesh) == pytest.approx(float(full.sum()) / (4 * 5 * 6), rel=1e-5)
    padded = torch.nn.functional.pad(full, (1,) * 6)
    sides = [1 / (n_a * n_b) for n_a, n_b in ((5, 6), (4, 6), (4, 5))]  # across z, y, x
    area = sum(float(padded.diff(dim=axis).abs().sum()) * sides[axis] for axis in range(3))
    assert float(face_areas(mesh).sum()) == pytest.approx(area, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_cubes_are_closed_share_their_corners_and_look_outward(seed):
    voxels = random_voxels(seed, 5, 5, 5)
    mesh = cubify(voxels)
    walked = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    forth, back = walked.unique(dim=0, return_counts=True), walked.flip(1).unique(dim=0, return_counts=True)
    assert torch.equal(forth[0], back[0]) and torch.equal(forth[1], back[1])
    assert len(mesh.vertices.unique(dim=0)) == len(mesh.vertices) == len(mesh.faces.unique())
    # A small step inward from the middle of a side is in a full cell, a step outward is not.
    middles, normals = mesh.corners().mean(-2), face_normals(mesh)
    padded = torch.nn.functional.pad(voxels.occupancy, (1,) * 6)
    for step, expected in ((-0.01, 1.0), (0.01, 0.0)):
        z, y, x = ((middles + step * normals + 0.5) * 5 + 1).floor().long().flip(-1).unbind(-1)
        assert torch.equal(padded[z, y, x], torch.full((len(mesh.faces),), expected))


def test_a_cell_becomes_a_cube_at_its_place_in_the_world():
    occupancy = torch.zeros(2, 3, 4)
    occupancy[1, 2, 3] = 0.5
    mesh = cubify(Voxels(occupancy, transforms.scale_translate(12.0, torch.tensor([1.0, 2.0, 3.0]))))
    assert [len(mesh.vertices), len(mesh.faces)] == [8, 12]
    assert torch.allclose(bounds(mesh), torch.tensor([[4.0, 4, 3], [7, 8, 9]]))


def test_the_threshold_is_reached_or_not():
    voxels = Voxels(torch.tensor([[[0.2, 0.7]]]), UNIT)
    assert [len(cubify(voxels, t).faces) for t in (0.1, 0.2, 0.5, 0.7, 0.8)] == [20, 20, 12, 12, 0]


def test_a_mirrored_grid_still_looks_outward():
    voxels = Voxels(random_voxels(2, 4, 4, 4).occupancy, torch.diag(torch.tensor([-1.0, 1, 1, 1])))
    assert volume(cubify(voxels)) == pytest.approx(float(voxels.occupancy.mean()), rel=1e-5)


def test_empty_voxels_have_no_sides_and_a_batch_is_refused():
    mesh = cubify(Voxels(torch.zeros(2, 3, 4), UNIT))
    assert mesh.vertices.shape == (0, 3) and mesh.faces.shape == (0, 3)
    assert cubify(Voxels(torch.zeros(0, 3, 4), UNIT)).faces.shape == (0, 3)
    with pytest.raises(ValueError, match="give one grid"):
        cubify(Voxels(torch.zeros(5, 2, 3, 4), UNIT))


@pytest.mark.parametrize("resolution", [7, 16])
def test_columns_and_winding_numbers_agree_on_what_is_inside_closed_meshes(resolution, generator):
    overlapping = [cube(), cube().with_vertices(cube().vertices + 0.3)]
    vertices = torch.cat([part.vertices for part in overlapping])
    faces = torch.cat([part.faces + 8 * i for i, part in enumerate(overlapping)])
    turned = torch.linalg.qr(torch.randn(3, 3, generator=generator)).Q
    for mesh in (torus(1.0, 0.4), Mesh(vertices, faces), Mesh(vertices @ turned, faces), Mesh(vertices, faces.flip(1))):
        assert is_closed(mesh.faces)
        cells = (mesh.vertices.double() / 4 + 0.5) * resolution
        inside, unsure = inside_columns(cells, mesh.faces, (resolution,) * 3)
        centers = 4 * cell_centers(resolution).double()
        told = is_inside(mesh, centers.reshape(-1, 3).float()).reshape(inside.shape)
        beside = signed_distance(mesh, centers.reshape(-1, 3).float()).reshape(inside.shape).abs() > 1e-5
        assert not unsure.any()
        assert torch.equal(inside & beside, told & beside)
        assert inside.any()


def test_a_column_through_edges_and_vertices_crosses_a_closed_mesh_as_often_in_as_out():
    # Corners of the octahedron and its edges lie above cell centres.
    ends = torch.tensor(
        [[4.5, 4.5, 8.0], [4.5, 4.5, 1.0], [8.5, 4.5, 4.5], [0.5, 4.5, 4.5], [4.5, 8.5, 4.5], [4.5, 0.5, 4.5]]
    )
    faces = torch.tensor([[0, 2, 4], [0, 4, 3], [0, 3, 5], [0, 5, 2], [1, 4, 2], [1, 3, 4], [1, 5, 3], [1, 2, 5]])
    inside, unsure = inside_columns(ends, faces, (9, 9, 9))
    assert not unsure.any()
    # The column through both tips is full between them.
    assert inside[:, 4, 4].tolist() == [False] + [True] * 7 + [False]


def test_a_mesh_is_closed_unless_an_edge_is_left_over():
    assert is_closed(cube().faces)
    assert not is_closed(cube().faces[1:])
    assert not is_closed(torch.cat([cube().faces, cube().faces[:1]]))
    assert not is_closed(torch.cat([cube().faces[1:], cube().faces[:1].flip(1)]))
