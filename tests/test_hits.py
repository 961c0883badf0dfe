"""Rays against meshes: solids known by a formula, no leaks, the z-buffer, and the kernel against the reference."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from maquette import ops, transforms
from maquette.camera import orbit
from maquette.ops import ray_hits, ray_hits_reference
from maquette.ops.rays import ray_hits_numba
from maquette.shapes import FaceSamples, Mesh, cast, cube, ico_sphere, positions_at, tetrahedron, transform

NASTY = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-30, 1e30, 1e-45, float("nan"), float("inf")])


def random(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_a_ray_meets_a_cube_at_the_distance_of_its_slabs():
    # Kay and Kajiya 1986: the latest entry into the three slabs, if it is not after the first exit.
    origins, directions = 3 * random(0, 400, 3), random(1, 400, 3)
    first, last = torch.stack([(-1 - origins) / directions, (1 - origins) / directions]).sort(0).values
    enter, leave = first.amax(-1), last.amin(-1)
    expected = torch.where(enter >= 0, enter, leave)
    expected = torch.where((enter <= leave) & (leave >= 0), expected, torch.inf)
    hits = cast(cube(2.0), origins, directions)
    assert torch.allclose(hits.distance, expected, rtol=1e-5)
    assert torch.equal(hits.faces >= 0, expected < torch.inf)


def test_a_ray_meets_a_sphere_where_the_quadratic_says_to_the_height_of_its_facets():
    sphere = ico_sphere(4)
    directions = torch.nn.functional.normalize(random(2, 300, 3), dim=-1)
    hits = cast(sphere, torch.zeros_like(directions), directions)
    assert (hits.distance < 1 + 1e-6).all() and (
        hits.distance > sphere.corners().mean(1).norm(dim=-1).min() - 1e-6
    ).all()


def test_the_weighted_corners_are_the_place_on_the_ray():
    sphere, origins, directions = ico_sphere(2), 2 * random(3, 300, 3), random(4, 300, 3)
    hits = cast(sphere, origins, directions)
    met = hits.faces >= 0
    on_ray = (origins + hits.distance[:, None] * directions)[met]
    on_mesh = positions_at(sphere, FaceSamples(hits.faces[met], hits.barycentric[met]))
    assert met.any() and not met.all()
    assert torch.allclose(on_ray, on_mesh, atol=1e-5)
    assert torch.allclose(hits.barycentric.sum(-1), met.float())
    assert hits.distance[~met].isinf().all()


def test_no_ray_from_within_leaves_between_faces():
    # Rays at vertices, at places of edges and at nearly the same: the surface is closed, so each must meet it.
    sphere = ico_sphere(2)
    a, b = sphere.vertices[sphere.faces[:, :2]].unbind(1)
    weight = torch.linspace(0, 1, 7)[:, None, None]
    targets = torch.cat([sphere.vertices, (a * weight + b * (1 - weight)).reshape(-1, 3)])
    for scale in (1.0, 1e-4, 1e5):
        for eye in (torch.zeros(3), torch.tensor([0.3, -0.2, 0.5])):
            origins = (eye * scale).expand_as(targets)
            assert (ray_hits(origins, targets * scale - origins, sphere.vertices * scale, sphere.faces) >= 0).all()


def test_rays_through_pixel_centres_meet_the_faces_that_the_z_buffer_shows():
    sphere = ico_sphere(2)
    sphere = sphere.with_vertices(sphere.vertices * (1 + 0.3 * random(5, 162, 1)))  # ridges that hide one another
    camera = orbit(0.7, 0.4, 3.0, focal=70.0, size=(50, 60))
    rays = camera.rays().reshape(-1, 3)
    hits = cast(sphere, camera.position.expand_as(rays), rays)
    shown = ops.raster(camera.pixels_from_world(sphere.vertices)[None], sphere.faces, camera.size).reshape(-1)
    # Pixel centres within rounding (float32) of an edge may fall to its other side.
    assert (hits.faces != shown).sum() <= 3 and (shown >= 0).sum() > 500


def test_the_hits_of_a_moved_scene_are_the_hits():
    mesh = tetrahedron().with_vertices(tetrahedron().vertices.double())
    turn = torch.linalg.qr(random(6, 3, 3, dtype=torch.float64)).Q
    motion = transforms.rigid(turn * torch.linalg.det(turn), random(7, 3, dtype=torch.float64))
    origins, directions = 2 * random(8, 100, 3, dtype=torch.float64), random(9, 100, 3, dtype=torch.float64)
    here = cast(mesh, origins, directions)
    there = cast(transform(mesh, motion), transforms.apply(motion, origins), directions @ motion[:3, :3].T)
    assert torch.equal(here.faces, there.faces)
    assert torch.allclose(here.distance, there.distance) and torch.allclose(here.barycentric, there.barycentric)


def test_distance_counts_lengths_of_the_direction_and_only_forward():
    floor = Mesh(torch.tensor([[-9.0, 0, -9], [9, 0, -9], [0, 0, 9]]), torch.tensor([[0, 1, 2]]))
    eye = torch.tensor([[0.0, 3, 0]] * 4)
    directions = torch.tensor([[0.0, -1, 0], [0, -6, 0], [0, 1, 0], [1, 0, 0]])
    assert cast(floor, eye, directions).distance.tolist() == [3.0, 0.5, math.inf, math.inf]
    on_it = cast(floor, torch.zeros(1, 3), directions[:1])  # starting on the surface is meeting it
    assert on_it.distance.tolist() == [0.0]


def test_of_faces_met_at_once_the_lowest_counts():
    mesh = cube(2.0)
    twice = mesh.faces.repeat(2, 1)
    origins = torch.tensor([[0.3, 0.1, 5.0], [1.0, 1.0, 5.0], [0.0, 0.0, 5.0]])
    faces = ray_hits(origins, torch.tensor([[0.0, 0, -1]]).expand(3, 3), mesh.vertices, twice)

    def touches(f, p):
        return bool((mesh.corners()[f, :, :2].sub(p[:2]).abs().sum(-1) == 0).any())

    assert faces[0].item() in (10, 11)
    assert faces[1].item() == min(f for f in (10, 11) if touches(f, origins[1]))
    assert faces[2].item() == 10  # on the diagonal of the side +z


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["random", "lattice", "apart", "flat"])
def test_the_kernel_agrees_with_the_reference_to_the_last_index(dtype, layout):
    vertices, origins, directions = (random(i, 2, n, 3, dtype=dtype) for i, n in enumerate((60, 300, 300)))
    faces = torch.randint(0, 60, (150, 3), generator=torch.Generator().manual_seed(0))
    if layout == "lattice":
        vertices, origins, directions = vertices.round(), origins.round(), directions.round()
    elif layout == "apart":
        vertices = vertices + 50
        directions = 50 + directions - origins
    elif layout == "flat":
        vertices[..., 2] = 1
    rays = torch.cat([origins, directions], -1).double()
    found = ray_hits_numba(rays, vertices, faces)
    assert torch.equal(found, ray_hits_reference(rays, vertices, faces))
    assert (found >= 0).sum() > 50


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(*[NASTY] * 6), min_size=1, max_size=12),
    st.lists(st.tuples(NASTY, NASTY, NASTY), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_nasty_numbers_neither_crash_nor_part_the_kernel_from_the_reference(rays, corners, chance):
    faces = torch.tensor([[chance.randrange(len(corners)) for _ in range(3)] for _ in range(8)])
    lines = torch.tensor(rays, dtype=torch.float64)[None]
    for dtype in (torch.float32, torch.float64):
        vertices = torch.tensor(corners, dtype=dtype)[None]
        found = ray_hits_numba(lines, vertices, faces)
        assert torch.equal(found, ray_hits_reference(lines, vertices, faces))
        assert (found[~lines.isfinite().all(-1)] == -1).all()


def test_hits_have_the_gradients_of_their_values():
    mesh = tetrahedron()
    vertices = mesh.vertices.double().requires_grad_()
    origins = (0.2 * random(10, 4, 3, dtype=torch.float64)).requires_grad_()
    directions = random(11, 4, 3, dtype=torch.float64).requires_grad_()

    def distance(v, o, d):
        hits = cast(Mesh(v, mesh.faces), o, d)
        return hits.distance, hits.barycentric

    assert (cast(Mesh(vertices, mesh.faces), origins, directions).faces >= 0).all()
    assert torch.autograd.gradcheck(distance, (vertices, origins, directions))


def test_rays_that_miss_have_gradient_zero():
    vertices = tetrahedron().vertices.requires_grad_()
    hits = cast(
        Mesh(vertices, tetrahedron().faces), torch.tensor([[0.0, 0, 5], [9, 9, 9]]), torch.tensor([[0.1, 0.2, -1]])
    )
    (hits.distance[hits.faces >= 0].sum() + hits.barycentric.sum()).backward()
    assert vertices.grad is not None and vertices.grad.isfinite().all()


def test_batches_of_meshes_and_rays_broadcast():
    sphere = ico_sphere(1)
    several = sphere.with_vertices(sphere.vertices * torch.tensor([1.0, 2.0, 3.0])[:, None, None])
    directions = random(12, 50, 3)
    hits = cast(several, torch.zeros(1, 3), directions)
    alone = cast(sphere, torch.zeros(1, 3), directions)
    assert torch.equal(hits.faces, alone.faces.expand(3, -1))
    assert torch.allclose(hits.distance, alone.distance * torch.tensor([1.0, 2.0, 3.0])[:, None])


def test_nothing_meets_nothing_and_what_cannot_be_a_ray_is_refused():
    nothing = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64))
    hits = cast(nothing, torch.zeros(2, 3), torch.ones(2, 3))
    assert hits.faces.tolist() == [-1, -1] and hits.distance.isinf().all() and (hits.barycentric == 0).all()
    assert cast(cube(), torch.zeros(0, 3), torch.ones(0, 3)).faces.shape == (0,)
    assert cast(cube(), torch.zeros(1, 3), torch.zeros(1, 3)).faces.tolist() == [-1]
    with pytest.raises(ValueError, match="cast: 1 of 1 points are not finite"):
        cast(cube(), torch.full((1, 3), math.nan), torch.ones(1, 3))
    with pytest.raises(ValueError, match=r"ray_hits: origins are torch.float32 and directions torch.float64"):
        ray_hits(torch.zeros(1, 3), torch.ones(1, 3).double(), cube().vertices, cube().faces)
