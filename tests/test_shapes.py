"""Known answers about meshes, clouds and voxels: areas, normals, uniform samples, texture corners, cell positions."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from maquette import transforms
from maquette.shapes import (
    FaceColors,
    Mesh,
    PointCloud,
    Texture,
    VertexColors,
    Voxels,
    bounds,
    cell_centers,
    cells_of_points,
    check,
    colors_at,
    cube,
    face_areas,
    face_normals,
    ico_sphere,
    learning_from_world,
    positions_at,
    read_texture,
    sample,
    sample_faces,
    to_mesh,
    transform,
    vertex_normals,
)
from maquette.shapes.verbs import not_a_shape

TRIANGLE = Mesh(torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 4, 0]]), torch.tensor([[0, 1, 2]]))


def strip(*areas: float) -> Mesh:
    """Separate right triangles of these areas."""
    corners = [[[2 * k, 0, 0], [2 * k + 1, 0, 0], [2 * k, 2 * area, 0]] for k, area in enumerate(areas)]
    return Mesh(torch.tensor(corners, dtype=torch.float32).reshape(-1, 3), torch.arange(3 * len(areas)).reshape(-1, 3))


def test_a_right_triangle_has_half_the_product_of_its_legs_and_its_normal_by_the_right_hand():
    assert face_areas(TRIANGLE).tolist() == [6.0]
    assert face_normals(TRIANGLE).tolist() == [[0.0, 0.0, 1.0]]


def test_normals_of_a_sphere_are_radial():
    sphere = ico_sphere(3)
    # Symmetry makes them exact at the icosahedron's corners; elsewhere a vertex sees its ring of edge 0.15 unevenly.
    assert torch.allclose(vertex_normals(sphere)[:12], sphere.vertices[:12], atol=1e-5)
    assert float((vertex_normals(sphere) * sphere.vertices).sum(-1).min()) > math.cos(0.02)


def test_a_vertex_normal_is_the_mean_weighted_by_area():
    # Two faces at a right angle share an edge; one is three times as large.
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, -3]])
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 3, 1]]))
    expected = torch.tensor([0.0, -3.0, 1.0]) / math.sqrt(10)
    assert torch.allclose(vertex_normals(mesh)[0], expected)


def test_a_face_without_area_has_no_normal_and_is_never_drawn(generator):
    mesh = Mesh(TRIANGLE.vertices, torch.tensor([[0, 0, 1], [0, 1, 2], [1, 2, 2]]))
    assert face_normals(mesh)[0].tolist() == [0.0, 0.0, 0.0]
    assert sample_faces(mesh, 1000, generator=generator).faces.unique().tolist() == [1]


def test_faces_are_drawn_by_their_area(generator):
    areas = np.array([0.5, 1.0, 2.0, 3.5])
    drawn = sample_faces(strip(*areas), 20_000, generator=generator).faces
    counts = torch.bincount(drawn, minlength=4).numpy()
    assert chisquare(counts, 20_000 * areas / areas.sum()).pvalue > 1e-3


def test_points_are_uniform_within_a_face(generator):
    weights = sample_faces(TRIANGLE, 20_000, generator=generator).barycentric
    # The four triangles between the middles of the edges have equal area: a corner's weight above 1/2, or none.
    counts = torch.cat([(weights > 0.5).sum(0), (weights <= 0.5).all(-1).sum()[None]]).numpy()
    assert chisquare(counts).pvalue > 1e-3
    assert bool((weights >= 0).all()) and torch.allclose(weights.sum(-1), torch.ones(20_000))


def test_the_mean_of_many_samples_is_the_centroid(generator):
    points = sample(TRIANGLE, 40_000, generator=generator).points
    # The standard deviation of a coordinate of a triangle is side / sqrt(18); four standard errors.
    assert torch.allclose(points.mean(0), torch.tensor([1.0, 4 / 3, 0.0]), atol=4 * 4 / math.sqrt(18 * 40_000))


def test_a_batch_of_deformations_is_sampled_each_by_its_own_areas(generator):
    narrow, wide = strip(1.0, 0.0), strip(0.0, 1.0)
    both = Mesh(torch.stack([narrow.vertices, wide.vertices]), narrow.faces)
    faces = sample_faces(both, 100, generator=generator).faces
    assert faces.shape == (2, 100)
    assert faces[0].unique().tolist() == [0] and faces[1].unique().tolist() == [1]


def test_the_same_seed_draws_the_same_points_and_another_seed_others():
    draw = [sample(ico_sphere(1), 50, generator=torch.Generator().manual_seed(s)).points for s in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1])
    assert not torch.equal(draw[0], draw[2])


def test_samples_carry_normals_and_colours(generator):
    solid = cube(2.0)
    # Colour (position + 1) / 2 is linear, so interpolation must give it back at every sample.
    painted = solid.with_appearance(VertexColors((solid.vertices + 1) / 2))
    cloud = sample(painted, 500, generator=generator)
    assert torch.allclose(cloud.colors, (cloud.points + 1) / 2, atol=1e-6)
    # On a cube of side 2 the normal is the coordinate that has reached 1.
    assert torch.allclose((cloud.points * cloud.normals).sum(-1), torch.ones(500), atol=1e-6)


def test_positions_at_samples_are_differentiable_in_the_vertices(generator):
    vertices = TRIANGLE.vertices.double().requires_grad_()
    samples = sample_faces(TRIANGLE.with_vertices(TRIANGLE.vertices.double()), 4, generator=generator)
    assert torch.autograd.gradcheck(lambda v: positions_at(TRIANGLE.with_vertices(v), samples), (vertices,))


def test_face_colours_are_flat(generator):
    colors = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    mesh = strip(1.0, 1.0).with_appearance(FaceColors(colors))
    samples = sample_faces(mesh, 100, generator=generator)
    assert torch.equal(colors_at(mesh, samples), colors[samples.faces])


IMAGE = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[0, 0, 1], [1, 1, 1]]])
"""red green / blue white, rows from the top."""


@pytest.mark.parametrize(
    ("u", "v", "color"), [(0.25, 0.25, "blue"), (0.75, 0.25, "white"), (0.25, 0.75, "red"), (0.75, 0.75, "green")]
)
def test_u_runs_right_and_v_runs_up_from_the_lower_left_corner(u, v, color):
    named = {"red": [1.0, 0, 0], "green": [0, 1.0, 0], "blue": [0, 0, 1.0], "white": [1.0, 1, 1]}
    assert torch.allclose(read_texture(IMAGE, torch.tensor([[u, v]])), torch.tensor([named[color]]))


def test_a_texture_repeats():
    uv = torch.tensor([[0.3, 0.6], [0.0, 1.0], [0.9, 0.1]])
    for shift in ([1.0, 0.0], [0.0, -1.0], [-2.0, 3.0]):
        assert torch.allclose(read_texture(IMAGE, uv + torch.tensor(shift)), read_texture(IMAGE, uv), atol=1e-5)


def test_between_texels_a_texture_is_linear():
    assert torch.allclose(read_texture(IMAGE, torch.tensor([[0.5, 0.5]])), IMAGE.mean((0, 1)))


def test_reading_a_texture_has_its_gradient():
    image = torch.rand(3, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    uv = torch.tensor([[0.31, 0.42], [0.77, 0.93]], dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(read_texture, (image, uv))


def test_a_broken_mesh_is_told_what_is_wrong_with_it():
    with pytest.raises(ValueError, match=r"chair.obj: the mesh has no faces \(3 vertices\)"):
        check(Mesh(TRIANGLE.vertices, torch.zeros(0, 3, dtype=torch.long)), "chair.obj")
    holed = TRIANGLE.vertices.clone()
    holed[1, 2] = math.nan
    with pytest.raises(ValueError, match=r"chair\.obj: 1 of 3 vertices are not finite, the first is number 1"):
        check(TRIANGLE.with_vertices(holed), "chair.obj")
    for index in (3, -1):
        with pytest.raises(
            ValueError, match=rf"1 faces point outside the 3 vertices, the first is face 1 = \[0, 1, {index}\]"
        ):
            check(Mesh(TRIANGLE.vertices, torch.tensor([[0, 1, 2], [0, 1, index]])), "chair.obj")


def test_there_is_nothing_to_sample_on_what_has_no_area_or_no_points():
    with pytest.raises(ValueError, match="surface area is 0"):
        sample(Mesh(torch.zeros(3, 3), TRIANGLE.faces), 10)
    with pytest.raises(ValueError, match="the cloud has no points"):
        sample(PointCloud(torch.zeros(0, 3)), 10)
    with pytest.raises(ValueError, match="n is 0"):
        sample(TRIANGLE, 0)


def test_a_cloud_gives_each_point_once_before_it_repeats(generator):
    cloud = PointCloud(torch.arange(30.0).reshape(10, 3), torch.arange(30.0).reshape(10, 3) / 30)
    few = sample(cloud, 7, generator=generator)
    assert len(few.points.unique(dim=0)) == 7
    assert torch.allclose(few.colors, few.points / 30)
    many = sample(cloud, 25, generator=generator)
    assert set(many.points.unique(dim=0, return_counts=True)[1].tolist()) == {2, 3}


def test_cell_centres_are_at_half_integers_of_the_cell_in_zyx_order():
    centers = cell_centers(4)
    assert centers[0, 0, 0].tolist() == [-0.375, -0.375, -0.375]
    assert centers[1, 2, 3].tolist() == [0.375, 0.125, -0.125]
    for point, cell in [
        (centers[1, 2, 3], (1, 2, 3)),
        (torch.full((3,), 0.5), (3, 3, 3)),
        (torch.full((3,), -0.5), (0, 0, 0)),
    ]:
        grid = cells_of_points(point[None], 4)
        assert grid.nonzero().tolist() == [list(cell)]
    with pytest.raises(ValueError, match=r"points reach 0\.6"):
        cells_of_points(torch.tensor([[0.0, -0.6, 0.0]]), 4)


def block() -> Voxels:
    """Cells z 1-2, y 2-4, x 0-3 of a grid of 4 x 6 x 8."""
    occupancy = torch.zeros(4, 6, 8)
    occupancy[1:3, 2:5, 0:4] = 1
    return Voxels(occupancy, torch.eye(4))


def test_bounds_of_voxels_are_the_faces_of_their_cells():
    expected = torch.tensor([[0 / 8 - 0.5, 2 / 6 - 0.5, 1 / 4 - 0.5], [4 / 8 - 0.5, 5 / 6 - 0.5, 3 / 4 - 0.5]])
    assert torch.allclose(bounds(block()), expected)


def test_the_surface_of_full_cells_runs_along_their_faces_up_to_the_box():
    # Half way between full and empty centres is the cells' common face; x = -0.5 is the box itself.
    assert torch.allclose(bounds(to_mesh(block())), bounds(block()), atol=1e-6)


def test_a_smooth_field_of_a_sphere_gives_the_sphere():
    resolution, radius = 32, 0.4
    distance = cell_centers(resolution).norm(dim=-1) - radius
    occupancy = (0.5 - distance * resolution / 4).clamp(0, 1)
    mesh = to_mesh(Voxels(occupancy, torch.eye(4)))
    # Linear interpolation of a distance errs by h^2 / (8 r) along an edge of length h.
    assert float((mesh.vertices.norm(dim=-1) - radius).abs().max()) < (1 / resolution) ** 2 / (8 * radius) * 1.5
    assert bool(((mesh.corners().mean(-2) * face_normals(mesh)).sum(-1) > 0).all())
    assert math.isclose(float(face_areas(mesh).sum()), 4 * math.pi * radius**2, rel_tol=0.01)


def test_voxels_lie_in_the_world_where_their_matrix_puts_them():
    moved = transform(block(), transforms.scale_translate(2.0, torch.tensor([1.0, 2.0, 3.0])))
    expected = bounds(block()) * 2 + torch.tensor([1.0, 2.0, 3.0])
    assert torch.allclose(bounds(moved), expected)
    assert torch.allclose(bounds(to_mesh(moved)), expected, atol=1e-6)


def test_what_has_no_surface_says_so():
    with pytest.raises(ValueError, match="a point cloud has no faces"):
        to_mesh(PointCloud(torch.zeros(3, 3)))
    with pytest.raises(ValueError, match=r"bounds: voxels have shape \(5, 2, 2, 2\); give one grid"):
        bounds(Voxels(torch.ones(5, 2, 2, 2), torch.eye(4)))
    with pytest.raises(ValueError, match="not empty"):
        bounds(Voxels(torch.zeros(2, 2, 2), torch.eye(4)))
    with pytest.raises(ValueError, match="one grid"):
        to_mesh(Voxels(torch.zeros(5, 2, 2, 2), torch.eye(4)))
    assert len(to_mesh(Voxels(torch.zeros(2, 2, 2), torch.eye(4))).faces) == 0


def test_what_is_no_shape_is_told_so():
    # In tests, types are checked before a verb is reached; without that check, this is what a user reads.
    error = not_a_shape("render", torch.zeros(5, 3))
    assert str(error) == "render: Tensor is not a shape; give a Mesh, PointCloud or Voxels"


def test_a_mirror_keeps_the_outside_outside_and_the_texture_in_place():
    mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1]))
    uv = cube().corners()[..., :2].contiguous() + 0.5
    solid = cube().with_appearance(Texture(uv, IMAGE))
    mirrored = transform(solid, mirror)
    assert bool(((mirrored.corners().mean(-2) * face_normals(mirrored)).sum(-1) > 0).all())
    # Each corner keeps its own uv: x is mirrored, u is not.
    assert torch.allclose(mirrored.appearance.uv[..., 0], 0.5 - mirrored.corners()[..., 0])


def test_mirrored_voxels_have_the_mirrored_surface():
    mirror = torch.diag(torch.tensor([-1.0, 1, 1, 1]))
    first, second = to_mesh(transform(block(), mirror)), transform(to_mesh(block()), mirror)
    assert torch.allclose(first.vertices, second.vertices, atol=1e-6)
    assert torch.equal(first.faces, second.faces)


@pytest.mark.parametrize("scale", [1e-8, 1e-6, 1e-3, 1e6])
def test_normals_are_of_length_1_whatever_the_unit_of_length(scale):
    sphere = transform(ico_sphere(2), transforms.scale_translate(scale, torch.zeros(3)))
    for normals in (face_normals(sphere), vertex_normals(sphere)):
        assert torch.allclose(normals.norm(dim=-1), torch.ones(()), atol=1e-5)


def test_a_face_without_area_gives_its_normal_no_gradient():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [2, 0, 0], [0, 1, 0]]).requires_grad_()
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 1, 3]]))
    for normals in (face_normals, vertex_normals):
        (gradient,) = torch.autograd.grad((normals(mesh) * torch.tensor([1.0, 2, 3])).sum(), vertices)
        assert float(gradient.abs().max()) < 10  # the other face is of size 1, and so are its derivatives


def test_the_normals_of_samples_turn_with_their_faces(generator):
    lift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 2, 0]], dtype=torch.float64)
    up = torch.tensor([[0.0, 0, 0], [0, 0, 1], [0, 0, 0]], dtype=torch.float64)
    cloud = sample(Mesh(vertices + lift * up, torch.tensor([[0, 1, 2]])), 4, generator=generator)
    assert cloud.normals is not None
    # The plane z = lift x / 2 has the normal (-lift / 2, 0, 1), to first order.
    (slope,) = torch.autograd.grad(cloud.normals[0, 0], lift)
    assert slope.item() == pytest.approx(-0.5)


def test_normals_of_a_cloud_stay_normal_to_a_stretched_surface(generator):
    stretch = torch.diag(torch.tensor([1.0, 3.0, 1.0, 1.0]))
    samples = sample_faces(TRIANGLE, 1, generator=generator)
    tilted = transform(TRIANGLE, transforms.rigid(transforms.rotation_about("x", torch.tensor(0.6)), torch.zeros(3)))
    cloud = PointCloud(positions_at(tilted, samples), normals=face_normals(tilted))
    assert torch.allclose(transform(cloud, stretch).normals, face_normals(transform(tilted, stretch)), atol=1e-6)


def test_the_frame_of_learning_is_centred_and_has_diagonal_one():
    moved = transform(cube(), transforms.scale_translate(7.0, torch.tensor([3.0, -2.0, 9.0])))
    low, high = bounds(transform(moved, learning_from_world(moved)))
    assert torch.allclose(low, -high, atol=1e-6)
    assert math.isclose(float((high - low).norm()), 1.0, rel_tol=1e-6)
    with pytest.raises(ValueError, match="diagonal 0"):
        learning_from_world(PointCloud(torch.ones(4, 3)))
