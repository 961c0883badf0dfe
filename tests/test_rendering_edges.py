"""Silhouettes with gradients, parallel rays, shaders of one's own: known areas, finite differences, targets found."""

import math

import pytest
import torch

from maquette.camera import OrthographicCamera, orbit, orthographic
from maquette.fitting.descent import Adam
from maquette.rendering import (
    Ambient,
    Antialias,
    Blended,
    Composited,
    Dibr,
    Hard,
    Soft,
    fragments,
    interpolate,
    interpolate_corners,
    paint,
    render,
)
from maquette.rendering.coverage import coverage
from maquette.rendering.silhouettes import edge_mates
from maquette.shapes import FaceColors, Mesh, PointCloud, Texture, VertexColors, cube, ico_sphere, vertex_normals

FLAT = (Ambient(1.0),)
BLACK = (0.0, 0.0, 0.0)
SOFTNESSES = [Soft(4e-3), Dibr(4e-3), Antialias()]


def exact(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices.double(), mesh.faces)


def ahead(size: int = 48, distance: float = 3.0):
    """Looks at the origin from the front, a little from the side and from above."""
    one = torch.tensor(1.0, dtype=torch.float64)
    return orbit(0.3 * one, 0.2 * one, distance * one, focal=1.2 * size, size=(size, size))


def flat_square(low: float, high: float) -> tuple[Mesh, OrthographicCamera]:
    """A square in pixel coordinates, and a camera that sees it so."""
    corners = torch.tensor([[low, low, 2], [high, low, 2], [high, high, 2], [low, high, 2]], dtype=torch.float64)
    eye = torch.eye(4, dtype=torch.float64)
    camera = OrthographicCamera(eye, torch.ones(2).double(), torch.zeros(2).double(), (16, 16))
    return Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]])), camera


# Areas and their gradients ---------------------------------------------------------------------------------------


def test_antialiased_coverage_of_a_square_is_its_overlap_with_each_pixel_except_at_its_corners():
    mesh, camera = flat_square(3.3, 11.85)
    alpha = render(mesh, camera, edges=Antialias()).alpha
    pixel = torch.arange(16, dtype=torch.float64)
    overlap = ((pixel + 1).clamp(max=11.85) - pixel.clamp(min=3.3)).clamp(min=0)
    assert torch.allclose(alpha[6], overlap, atol=1e-9) and torch.allclose(alpha[:, 6], overlap, atol=1e-9)
    inner = torch.ones(16, 16, dtype=torch.bool)
    inner[[3, 11], :] = False  # the rows of the corners, in which edges are not whole
    assert torch.allclose(alpha[inner], torch.outer(overlap, overlap)[inner], atol=1e-9)


@pytest.mark.parametrize("half", [0.05, 0.2, 0.45])
def test_what_is_smaller_than_a_pixel_covers_its_own_area_of_it_and_no_colour_turns_negative(half):
    mesh, camera = flat_square(8.5 - half, 8.5 + half)
    seen = render(mesh, camera, edges=Antialias(), lights=FLAT, background=BLACK)
    assert seen.alpha[8, 8].item() == pytest.approx((2 * half) ** 2)
    assert seen.alpha.sum().item() == pytest.approx((2 * half) ** 2)
    assert float(seen.rgb.min()) >= 0 and float(seen.alpha.min()) >= 0


@pytest.mark.parametrize("level", [0, 1])
def test_antialiased_pictures_stay_within_the_colours_they_blend(level):
    ball = exact(ico_sphere(level)).with_appearance(FaceColors(torch.ones(20 * 4**level, 3, dtype=torch.float64)))
    for distance in (3.0, 40.0, 130.0):  # from 40 pixels across to 1
        seen = render(ball, ahead(distance=distance), edges=Antialias(), lights=FLAT, background=BLACK)
        for picture in (seen.rgb, seen.alpha):
            assert float(picture.min()) >= -1e-12 and float(picture.max()) <= 1 + 1e-12


def test_the_antialiased_picture_of_a_ball_has_its_area_and_the_gradient_of_its_area():
    ball = exact(ico_sphere(3))
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)

    def area(camera, edges, scale):
        return render(ball.with_vertices(ball.vertices * scale), camera, edges=edges).alpha.mean()

    with torch.no_grad():
        fine = [float(area(ahead(256), Hard(), s * scale)) for s in (0.98, 1.0, 1.02)]
    ours = area(ahead(), Antialias(), scale)
    (slope,) = torch.autograd.grad(ours, scale)
    # The rim's faces are narrower than a pixel here: the silhouette is found by walking over them.
    assert ours.item() == pytest.approx(fine[1], rel=2e-3)
    assert slope.item() == pytest.approx((fine[2] - fine[0]) / 0.04, rel=0.02)


@pytest.mark.parametrize("edges", [Soft(4e-3, 0.1), Dibr(4e-3, 0.1), Antialias()])  # so wide that no blur ends
def test_gradients_of_a_picture_to_a_move_are_those_of_differences_of_it(edges):
    colored = exact(ico_sphere(2)).with_appearance(VertexColors((ico_sphere(2).vertices.double() + 1) / 2))
    weights = torch.rand(48, 48, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def picture(shift):
        seen = render(colored.with_vertices(colored.vertices + shift), ahead(), edges=edges, lights=FLAT)
        return torch.cat([seen.rgb, seen.alpha[..., None]], -1)

    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad((picture(shift) * weights).sum(), shift)
    with torch.no_grad():
        for size, score, wrong in (
            # So small a step that no pixel comes to see another face.
            (1e-6, lambda seen: (seen * weights).sum(), 1e-4),
            # A step in which many do, which alpha must not notice: by a third of a pixel.
            (0.02, lambda seen: seen[..., 3].sum(), 0.05),
        ):
            steps = size * torch.eye(3, dtype=torch.float64)
            differences = torch.stack([(score(picture(step)) - score(picture(-step))) / (2 * size) for step in steps])
            if size > 1e-3:
                with torch.enable_grad():
                    (gradient,) = torch.autograd.grad(score(picture(shift)), shift)
            assert (gradient - differences).norm() < wrong * differences.norm()


def test_a_square_that_moves_in_front_of_another_takes_its_pixels_by_their_overlap():
    back, camera = flat_square(-5.0, 30.0)
    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    front = torch.tensor([[4.0, -5, 1], [9.7, -5, 1], [9.7, 30, 1], [4.0, 30, 1]], dtype=torch.float64)
    vertices = torch.cat([back.vertices, front + shift * torch.tensor([1.0, 0, 0])])
    colors = torch.tensor([[0.0, 0, 0]] * 2 + [[1.0, 0.5, 0]] * 2, dtype=torch.float64)
    mesh = Mesh(vertices, torch.cat([back.faces, back.faces + 4]), FaceColors(colors))
    seen = render(mesh, camera, lights=FLAT, edges=Antialias())
    assert torch.allclose(seen.rgb[8, 9], torch.tensor([0.7, 0.35, 0.0], dtype=torch.float64))
    assert bool((seen.alpha == 1).all())
    (slope,) = torch.autograd.grad(seen.rgb[8, 9].sum(), shift)
    assert slope.item() == pytest.approx(1.5)


def test_no_colour_bleeds_where_faces_of_one_surface_meet():
    colors = FaceColors(torch.rand(320, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    ball = exact(ico_sphere(2)).with_appearance(colors)
    hard, smooth = (render(ball, ahead(), lights=FLAT, edges=edges) for edges in (Hard(), Antialias()))
    ring = torch.nn.functional.max_pool2d(1 - hard.alpha[None], 3, 1, 1)[0] == 0
    assert int(ring.sum()) > 500 and torch.equal(hard.rgb[ring], smooth.rgb[ring])
    assert torch.equal(hard.depth, smooth.depth) and torch.equal(hard.normal, smooth.normal)


# Looks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("edges", [Soft(), Dibr()])
def test_soft_edges_fade_the_surfaces_own_colour_into_the_background(edges):
    red = exact(ico_sphere(2)).with_appearance(FaceColors(torch.tensor([[1.0, 0, 0]] * 320, dtype=torch.float64)))
    seen = render(red, ahead(), lights=FLAT, background=(0.0, 0.0, 1.0), edges=edges)
    expected = torch.stack([seen.alpha, torch.zeros_like(seen.alpha), 1 - seen.alpha], -1)
    assert torch.allclose(seen.rgb, expected, atol=1e-6)
    between = (seen.alpha > 0.01) & (seen.alpha < 0.99)
    assert int(between.sum()) > 50
    hard = render(red, ahead(), lights=FLAT)
    assert torch.allclose(seen.depth, hard.depth) and torch.allclose(seen.normal, hard.normal)


@pytest.mark.parametrize("edges", [*SOFTNESSES, Hard(), Blended()])
@pytest.mark.parametrize("vertices", [0, 5])
def test_a_mesh_without_faces_shows_the_background(edges, vertices):
    cameras = orbit(torch.zeros(2), torch.zeros(2), torch.full((2,), 3.0), focal=20.0, size=(8, 6))
    nothing, places = torch.zeros(0, 3, dtype=torch.int64), torch.zeros(vertices, 3, requires_grad=True)
    for appearance, camera in (
        (None, cameras),
        (VertexColors(places), cameras[0]),
        (Texture(torch.zeros(0, 3, 2), torch.ones(4, 4, 3)), orthographic(cameras, 3.0)),
    ):
        mesh = Mesh(places, nothing, appearance)
        seen = render(mesh, camera, background=(0.25, 0.5, 1.0), edges=edges, smooth=True)
        assert bool((seen.rgb == torch.tensor([0.25, 0.5, 1.0])).all())
        assert not bool(seen.alpha.any()) and not bool(seen.depth.any()) and not bool(seen.normal.any())
        assert not bool(coverage(mesh, camera, edges).any())


def test_the_default_softness_is_that_of_pytorch3d_whatever_the_size():
    # A half plane whose edge is 3 pixels left of a pixel's centre, in pictures whose shorter side is 64.
    corners = torch.tensor([[-500.0, -500, 1], [29.5, -500, 1], [29.5, 600, 1], [-500, 600, 1]], dtype=torch.float64)
    mesh = Mesh(corners, torch.tensor([[0, 1, 2], [0, 2, 3]]))
    eye, one, zero = torch.eye(4).double(), torch.ones(2).double(), torch.zeros(2).double()
    for size in ((64, 64), (64, 100), (90, 64)):
        alpha = render(mesh, OrthographicCamera(eye, one, zero, size), edges=Soft()).alpha
        # One pixel is 2 / 64 wide; the blur ends at 0.0303, which is 0.97 pixels.
        assert alpha[40, 28].item() == pytest.approx(1 / (1 + math.exp(-((2 / 64) ** 2) / 1e-4)), rel=1e-6)
        assert alpha[40, 30].item() == 0.0


@pytest.mark.parametrize("edges", [*SOFTNESSES, Hard()])
def test_one_of_many_views_is_the_view_alone(edges):
    cameras = orbit(torch.arange(3.0), torch.full((3,), 0.4), torch.full((3,), 2.5), focal=40.0, size=(32, 40))
    together = render(cube(), cameras, edges=edges)
    for k in range(3):
        alone = render(cube(), cameras[k], edges=edges)
        for name in ("rgb", "alpha", "depth", "normal"):
            assert torch.allclose(getattr(together, name)[k], getattr(alone, name), atol=1e-6), name


@pytest.mark.parametrize("edges", [*SOFTNESSES, Hard()])
def test_what_is_behind_the_camera_shows_nothing_and_takes_no_gradient(edges):
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    away = exact(cube()).vertices + shift + torch.tensor([0.0, 0, 50])
    seen = render(Mesh(away, cube().faces), ahead(16), edges=edges)
    assert bool((seen.alpha == 0).all()) and bool((seen.rgb == 1).all())
    if seen.rgb.requires_grad:
        (gradient,) = torch.autograd.grad(seen.rgb.sum() + seen.alpha.sum(), shift, allow_unused=True)
        assert gradient is None or bool((gradient == 0).all())


@pytest.mark.parametrize(
    "edges", [SOFTNESSES[0], *(pytest.param(each, marks=pytest.mark.slow) for each in SOFTNESSES[1:3])]
)
def test_a_ball_finds_the_place_and_the_size_of_another_by_silhouettes_alone(edges):
    cameras = orbit(
        torch.tensor([0.0, 1.6]), torch.tensor([0.2, 0.3]), torch.tensor([3.0, 3.0]), focal=38.0, size=(32, 32)
    )
    ball = ico_sphere(1)
    target = render(ball.with_vertices(0.8 * ball.vertices + torch.tensor([0.2, -0.1, 0.15])), cameras, edges=edges)
    place, size = torch.zeros(3, requires_grad=True), torch.tensor(0.55, requires_grad=True)
    optimizer = Adam([place, size], lr=0.05)
    for k in range(50):
        optimizer.param_groups[0]["lr"] = 0.05 * 0.94**k
        seen = render(ball.with_vertices(size * ball.vertices + place), cameras, edges=edges)
        optimizer.zero_grad()
        (seen.alpha - target.alpha).square().sum().backward()
        optimizer.step()
    # A fifth of a pixel, which is 3 / 38 wide there.
    assert torch.allclose(place, torch.tensor([0.2, -0.1, 0.15]), atol=0.016)
    assert size.item() == pytest.approx(0.8, abs=0.016)


def test_edges_that_are_not_for_the_shape_are_refused():
    with pytest.raises(ValueError, match="edges Soft are for meshes"):
        render(PointCloud(torch.zeros(1, 3, dtype=torch.float64)), ahead(), edges=Soft())
    with pytest.raises(
        ValueError, match="edges Composited are for clouds; a mesh takes Hard, Soft, Dibr, Antialias or Blended"
    ):
        render(exact(cube()), ahead(), edges=Composited())
    with pytest.raises(ValueError, match=r"sigma is -0\.\d+"):
        render(exact(cube()), ahead(), edges=Soft(-1e-4))


# Parallel rays ---------------------------------------------------------------------------------------------------


def test_a_ball_seen_with_parallel_rays_is_a_disc_of_its_own_radius_and_its_depths_are_true():
    camera = orthographic(ahead(64), 3.0)
    seen = render(exact(ico_sphere(4)), camera, background=BLACK)
    radius = 1.2 * 64 / 3
    assert seen.alpha.sum().item() == pytest.approx(math.pi * radius**2, rel=0.01)
    across = (camera.origins() - camera.position).norm(dim=-1)
    depth = 3 - (1 - across**2).clamp(min=0).sqrt()
    inside = across < 0.9
    assert float((seen.depth - depth).abs()[inside].max()) < 0.005  # facets of 0.08 across
    hits = camera.origins() + camera.rays() * seen.depth[..., None]
    assert float((hits * seen.normal).sum(-1)[inside].min()) > math.cos(0.06)


def test_with_parallel_rays_the_nearer_of_two_hides_the_other_even_behind_the_camera():
    mesh, camera = flat_square(-5.0, 30.0)
    both = Mesh(torch.cat([mesh.vertices, mesh.vertices - torch.tensor([0.0, 0, 7.0])]), mesh.faces)
    for faces, depth in ((torch.cat([mesh.faces, mesh.faces + 4]), -5.0), (mesh.faces, 2.0)):
        seen = render(Mesh(both.vertices, faces), camera)
        assert torch.allclose(seen.depth, torch.tensor(depth, dtype=torch.float64))


# Shaders of one's own --------------------------------------------------------------------------------------------


def test_a_shader_of_ones_own_sees_what_render_sees():
    ball, camera = exact(ico_sphere(2)), ahead()
    seen = fragments(ball, camera)
    normal = torch.nn.functional.normalize(interpolate(seen, vertex_normals(ball)), dim=-1)
    picture = paint(seen, normal, torch.zeros(3))
    assert torch.allclose(picture, render(ball, camera, smooth=True).normal, atol=1e-9)
    where = paint(seen, interpolate(seen, ball.vertices), torch.full((3,), torch.nan))
    rendering = render(ball, camera)
    hits = camera.position + camera.rays() * rendering.depth[..., None]
    assert torch.allclose(where[rendering.alpha > 0], hits[rendering.alpha > 0], atol=1e-9)
    assert bool(where[rendering.alpha == 0].isnan().all())


def test_attributes_of_corners_are_those_of_vertices_where_they_agree():
    ball, camera = exact(ico_sphere(2)), ahead()
    seen = fragments(ball, camera)
    assert torch.allclose(interpolate_corners(seen, ball.corners()), interpolate(seen, ball.vertices), atol=1e-12)
    image = torch.rand(5, 7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    uv = ball.corners()[..., :2]
    picture = render(ball.with_appearance(Texture(uv, image)), camera, lights=FLAT).rgb
    from maquette.shapes.mesh import read_texture

    own = paint(seen, read_texture(image, interpolate_corners(seen, uv)), torch.ones(3))
    assert torch.allclose(picture, own, atol=1e-12)


def test_barycentrics_have_the_gradients_of_differences():
    mesh = Mesh(
        torch.tensor([[-2.0, -1.5, 0.3], [2.2, -1.4, -0.5], [0.1, 2.5, 0.8]]).double(), torch.tensor([[0, 1, 2]])
    )
    values = torch.eye(3, dtype=torch.float64)
    for camera in (ahead(5), orthographic(ahead(5), 3.0)):
        fixed = fragments(mesh, camera).pixels

        def weights(vertices, values, camera=camera, fixed=fixed):
            seen = fragments(mesh.with_vertices(vertices), camera)
            assert torch.equal(seen.pixels, fixed)
            return interpolate(seen, values)

        inputs = (mesh.vertices.clone().requires_grad_(), values.clone().requires_grad_())
        assert torch.autograd.gradcheck(weights, inputs)


def test_edges_know_the_faces_on_both_sides():
    mates = edge_mates(ico_sphere(1).faces, 42)
    faces = ico_sphere(1).faces.reshape(-1)
    half_edges = torch.arange(mates.numel()).reshape(-1, 3)
    assert bool((mates >= 0).all()) and torch.equal(mates.reshape(-1)[mates], half_edges)
    start, end = (faces[half_edges // 3 * 3 + (half_edges % 3 + k) % 3] for k in (1, 2))
    other, opposite = (faces[mates // 3 * 3 + (mates % 3 + k) % 3] for k in (1, 2))
    assert torch.equal(start, opposite) and torch.equal(end, other)
    # Borders, and an edge that three faces share.
    assert edge_mates(torch.tensor([[0, 1, 2]]), 3).tolist() == [[-1, -1, -1]]
    assert bool((edge_mates(torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4]]), 5) == -1).all())
    assert edge_mates(torch.zeros(0, 3, dtype=torch.int64), 5).shape == (0, 3)
