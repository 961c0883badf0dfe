"""Fewer faces, and textures laid out anew: what the surface and its colours must keep."""

import pytest
import torch

from maquette import ops
from maquette.shapes import (
    FaceColors,
    Mesh,
    Texture,
    VertexColors,
    bake,
    closest_points,
    colors_at,
    cube,
    face_areas,
    ico_sphere,
    positions_at,
    report,
    sample_faces,
    simplify,
    subdivide_midpoint,
    unwrap,
)


def painted(mesh: Mesh) -> Mesh:
    """Colours that are linear in space, so that they can be told anywhere."""
    return mesh.with_appearance(VertexColors(linear(mesh.vertices)))


def linear(points: torch.Tensor) -> torch.Tensor:
    return 0.5 + 0.4 * points


def sides(level: int) -> Mesh:
    """A cube of finer faces, each of its six sides in its own colour."""
    fine = subdivide_midpoint(cube(), level)
    palette = torch.tensor([[0.9, 0, 0], [0, 0.9, 0], [0, 0, 0.9], [0.9, 0.9, 0], [0, 0.9, 0.9], [0.9, 0, 0.9]])
    return fine.with_appearance(FaceColors(palette[torch.arange(len(fine.faces)) * 6 // len(fine.faces)]))


def test_a_simplified_sphere_is_still_a_closed_sphere():
    mesh = ico_sphere(3)
    small = simplify(mesh, 320)
    facts, full = report(small), report(mesh)
    assert len(small.faces) <= 320
    assert facts.watertight and facts.genus == 0 and facts.unreferenced_vertices == 0
    assert facts.volume is not None and full.volume is not None
    # An ico sphere of 320 faces has 0.955 of this volume.
    assert 0.95 < facts.volume / full.volume < 1.01
    assert small.vertices.dtype == mesh.vertices.dtype and small.faces.dtype == torch.int64


def test_simplifying_flat_sides_keeps_them_exactly():
    facts = report(simplify(subdivide_midpoint(cube(), 3), 12))
    assert facts.faces == 12 and facts.watertight
    assert facts.area == pytest.approx(6, rel=1e-5) and facts.volume == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize(("scale", "shift"), [(1e-4, 0.0), (1e4, 0.0), (1.0, 100.0)])
def test_simplifying_does_not_depend_on_units_or_place(scale, shift):
    mesh = ico_sphere(2).with_vertices(ico_sphere(2).vertices.double())
    plain = simplify(mesh, 100)
    other = simplify(mesh.with_vertices(mesh.vertices * scale + shift), 100)
    assert torch.equal(other.faces, plain.faces)
    torch.testing.assert_close((other.vertices - shift) / scale, plain.vertices, atol=1e-6, rtol=0)


def test_a_mesh_with_few_enough_faces_stays_as_it_is():
    mesh = cube()
    assert simplify(mesh, 12) is mesh


def test_colours_of_vertices_are_read_where_the_old_surface_is_closest():
    mesh = painted(ico_sphere(3))
    small = simplify(mesh, 200)
    assert isinstance(small.appearance, VertexColors)
    nearest = positions_at(mesh, closest_points(mesh, small.vertices))
    torch.testing.assert_close(small.appearance.colors, linear(nearest), atol=1e-5, rtol=0)


def test_colours_of_faces_stay_on_their_side():
    mesh = sides(3)
    small = simplify(mesh, 100)
    assert isinstance(small.appearance, FaceColors) and isinstance(mesh.appearance, FaceColors)
    middle = closest_points(mesh, small.corners().mean(1)).faces
    assert torch.equal(small.appearance.colors, mesh.appearance.colors[middle])
    # A cube has the same area in each of its colours.
    for color in mesh.appearance.colors.unique(dim=0):
        held = face_areas(small)[(small.appearance.colors == color).all(1)]
        assert float(held.sum()) == pytest.approx(1, rel=1e-4)


def test_a_texture_becomes_vertex_colours():
    mesh = bake(painted(ico_sphere(2)), 128)
    small = simplify(mesh, 100)
    assert isinstance(small.appearance, VertexColors)
    nearest = positions_at(mesh, closest_points(mesh, small.vertices))
    # A texel is 1 / 25 of the sphere's radius wide, and colours change by 0.4 over the radius.
    torch.testing.assert_close(small.appearance.colors, linear(nearest), atol=0.03, rtol=0)


def test_simplifying_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="simplify: the mesh has no faces"):
        simplify(Mesh(torch.rand(3, 3), torch.zeros((0, 3), dtype=torch.int64)), 1)
    with pytest.raises(ValueError, match="simplify: 1 of 8 vertices are not finite"):
        simplify(Mesh(cube().vertices.index_fill(0, torch.tensor([3]), torch.nan), cube().faces), 4)
    with pytest.raises(ValueError, match="simplify: 1 faces point outside the 8 vertices"):
        simplify(Mesh(cube().vertices, torch.cat([cube().faces, torch.tensor([[0, 1, 8]])])), 4)
    with pytest.raises(ValueError, match="simplify: faces is 0"):
        simplify(cube(), 0)
    with pytest.raises(ValueError, match="simplify: vertices have shape"):
        simplify(Mesh(torch.rand(2, 8, 3), cube().faces), 4)


@pytest.mark.parametrize("mesh", [cube(), ico_sphere(2)], ids=["cube", "ico sphere"])
def test_charts_lie_in_the_picture_and_do_not_overlap(mesh):
    atlas = unwrap(mesh, 256)
    height, width = atlas.size
    assert float(atlas.uv.min()) >= 0 and float(atlas.uv.max()) <= 1
    pixels = torch.stack(
        [atlas.uv[..., 0] * width, (1 - atlas.uv[..., 1]) * height, torch.ones(len(mesh.faces), 3)], -1
    )
    a, b, c = pixels.unbind(1)
    doubled = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    area = float(doubled.abs().sum()) / 2
    index = ops.raster(pixels.reshape(1, -1, 3), torch.arange(3 * len(mesh.faces)).reshape(-1, 3), atlas.size)
    # Were two faces to overlap, fewer texels would be covered than the faces are large.
    assert int((index >= 0).sum()) == pytest.approx(area, rel=0.02)
    assert area > 0.4 * height * width


def test_a_cube_is_laid_out_without_distortion():
    mesh, atlas = cube(), unwrap(cube(), 256)
    pixels = atlas.uv * torch.tensor([atlas.size[1], atlas.size[0]])
    flat = (pixels - pixels.roll(1, 1)).norm(dim=-1)
    solid = (mesh.corners() - mesh.corners().roll(1, 1)).norm(dim=-1)
    ratio = flat / solid
    assert float(ratio.max() / ratio.min()) < 1.001


def test_a_baked_texture_shows_the_colours_of_the_vertices(generator):
    mesh = painted(ico_sphere(2))
    baked = bake(mesh, 256)
    assert isinstance(baked.appearance, Texture)
    samples = sample_faces(mesh, 3000, generator=generator)
    # A texel is about 0.02 wide, colours change by 0.4 a unit; seams are up to two texels off.
    torch.testing.assert_close(colors_at(baked, samples), colors_at(mesh, samples), atol=0.02, rtol=0)


def test_a_baked_texture_shows_the_colours_of_the_faces(generator):
    mesh = sides(0)
    baked, samples = bake(mesh, 128), sample_faces(mesh, 3000, generator=generator)
    found, true = colors_at(baked, samples), colors_at(mesh, samples)
    assert found is not None and true is not None
    # Only within a texel of an edge between colours do they mix: 128 texels hold three sides in a row.
    inside = samples.barycentric.amin(1) > 0.06
    torch.testing.assert_close(found[inside], true[inside], atol=1e-5, rtol=0)


def test_nothing_of_the_background_shines_through_at_seams(generator):
    mesh = ico_sphere(1).with_appearance(VertexColors(torch.full((42, 3), 0.7)))
    baked = bake(mesh, 64)
    found = colors_at(baked, sample_faces(mesh, 2000, generator=generator))
    torch.testing.assert_close(found, torch.full((2000, 3), 0.7))
    assert isinstance(baked.appearance, Texture)
    torch.testing.assert_close(baked.appearance.image, torch.full_like(baked.appearance.image, 0.7))


def test_a_simplified_mesh_wears_the_colours_of_the_full_one(generator):
    full = sides(3)
    small = bake(simplify(full.with_appearance(None), 12), 128, source=full)
    samples = sample_faces(small, 3000, generator=generator)
    points, found = positions_at(small, samples), colors_at(small, samples)
    true = colors_at(full, closest_points(full, points))
    assert found is not None and true is not None
    inside = points.abs().sort(1).values[:, 1] < 0.44
    torch.testing.assert_close(found[inside], true[inside], atol=1e-4, rtol=0)


def test_unwrapping_does_not_depend_on_the_scale_of_the_mesh():
    mesh = ico_sphere(1)
    for scale in (1.0, 2.0**-30, 2.0**30):  # powers of two: nothing is rounded
        torch.testing.assert_close(unwrap(mesh.with_vertices(scale * mesh.vertices), 128).uv, unwrap(mesh, 128).uv)


def test_faces_without_area_are_laid_out_in_a_point_and_harm_nothing():
    faces = torch.cat([cube().faces, torch.tensor([[0, 0, 1], [3, 3, 3]])])
    baked = bake(painted(Mesh(cube().vertices, faces)), 64)
    assert isinstance(baked.appearance, Texture)
    assert bool(baked.appearance.uv.isfinite().all()) and bool(baked.appearance.image.isfinite().all())
    torch.testing.assert_close(baked.appearance.uv[-1], baked.appearance.uv[-1][:1].expand(3, 2))


def test_unwrapping_and_baking_refuse_what_they_cannot_do():
    with pytest.raises(ValueError, match="bake: the mesh has no colours"):
        bake(cube())
    with pytest.raises(ValueError, match="unwrap: size 4"):
        unwrap(cube(), 4)
    with pytest.raises(ValueError, match="unwrap: vertices have shape"):
        unwrap(Mesh(torch.rand(2, 8, 3), cube().faces))
    with pytest.raises(ValueError, match="unwrap: none of the 1 faces has an area"):
        unwrap(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]])))
    with pytest.raises(ValueError, match="unwrap: 1 faces point outside"):
        unwrap(Mesh(torch.rand(3, 3), torch.tensor([[0, 1, 3]])))
