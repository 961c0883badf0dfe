"""Reports of meshes whose topology is known, and taking them apart."""

import math
from dataclasses import replace

import pytest
import torch

from maquette import cli
from maquette.io import save
from maquette.shapes import (
    FaceColors,
    Mesh,
    PointCloud,
    Texture,
    VertexColors,
    Voxels,
    component_of_faces,
    components,
    cube,
    ico_sphere,
    keep_faces,
    report,
    tetrahedron,
    weld,
    without_floaters,
)


def ring(around: int, across: int, *, twist: bool = False, closed: bool = True) -> Mesh:
    """A band of quads around the z axis: a torus when `closed` across, else a strip, with `twist` that of Möbius."""
    u = torch.arange(around).double() / around * 2 * math.pi
    if closed:
        v = torch.arange(across).double() / across * 2 * math.pi
        out = 2 + 0.5 * v.cos()
        x, y, z = u.cos()[:, None] * out, u.sin()[:, None] * out, (0.5 * v.sin()).expand(around, across)
    else:
        v = torch.linspace(-0.5, 0.5, across, dtype=torch.float64)
        turn = u[:, None] / 2 if twist else torch.zeros(around, 1, dtype=torch.float64)
        out = 2 + v * turn.cos()
        x, y, z = u.cos()[:, None] * out, u.sin()[:, None] * out, v * turn.sin()
    faces = []
    for i in range(around):
        for j in range(across if closed else across - 1):
            corner = [(i, j), (i + 1, j), (i + 1, j + 1), (i, j + 1)]
            a, b, c, d = (
                ((s % around) * across + ((across - 1 - t) if twist and s == around else t % across)) for s, t in corner
            )
            faces += [[a, b, c], [a, c, d]]
    return Mesh(torch.stack([x, y, z], -1).reshape(-1, 3), torch.tensor(faces))


def together(*meshes: Mesh) -> Mesh:
    """A disjoint union."""
    starts = [sum(len(m.vertices) for m in meshes[:i]) for i in range(len(meshes))]
    faces = [m.faces + start for m, start in zip(meshes, starts, strict=True)]
    return Mesh(torch.cat([m.vertices for m in meshes]), torch.cat(faces))


def test_a_cube_is_closed_in_one_piece_of_known_area_and_volume():
    facts = report(cube(2.0))
    assert facts.watertight and facts.winding_consistent and facts.orientable
    assert (facts.vertices, facts.edges, facts.faces) == (8, 18, 12)
    assert (facts.components, facts.euler_characteristic, facts.genus) == (1, 2, 0)
    assert facts.area == pytest.approx(24)
    assert facts.volume == pytest.approx(8)
    assert facts.bounds == ((-1, -1, -1), (1, 1, 1))
    assert "faults              none" in str(facts)


def test_the_volume_of_a_cube_far_away_is_not_lost():
    mesh = cube()
    assert report(mesh.with_vertices(mesh.vertices.double() + 1e6)).volume == pytest.approx(1, rel=1e-9)


def test_a_torus_has_one_handle():
    facts = report(ring(40, 20))
    assert (facts.euler_characteristic, facts.genus, facts.components) == (0, 1, 1)
    assert facts.watertight and facts.winding_consistent
    # Area 4 pi^2 R r and volume 2 pi^2 R r^2; 40 by 20 corners lose less than 3 %.
    assert facts.area == pytest.approx(4 * math.pi**2 * 2 * 0.5, rel=0.03)
    assert facts.volume == pytest.approx(2 * math.pi**2 * 2 * 0.25, rel=0.03)


def test_two_spheres_are_two_pieces_and_their_handles_add_up():
    sphere = ico_sphere(2)
    apart = together(sphere, sphere.with_vertices(sphere.vertices + 5))
    assert (report(apart).components, report(apart).euler_characteristic, report(apart).genus) == (2, 4, 0)
    assert report(together(ring(8, 6), ring(8, 6))).genus == 2


def test_a_moebius_strip_has_one_side_and_one_rim_a_plain_strip_two():
    strip, moebius = report(ring(12, 3, closed=False)), report(ring(12, 3, closed=False, twist=True))
    assert strip.orientable and strip.winding_consistent
    assert not moebius.orientable and not moebius.winding_consistent
    assert strip.euler_characteristic == moebius.euler_characteristic == 0
    assert strip.boundary_edges == moebius.boundary_edges == 24
    assert not strip.watertight and strip.genus is None and strip.volume is None
    assert "not orientable" in str(moebius)


def test_a_missing_face_leaves_three_boundary_edges():
    facts = report(Mesh(cube().vertices, cube().faces[1:]))
    assert (facts.boundary_edges, facts.watertight, facts.genus, facts.volume) == (3, False, None, None)
    assert facts.winding_consistent
    assert "no, 3 boundary edges" in str(facts)


def test_a_flipped_face_makes_three_flipped_edges_that_flipping_back_mends():
    faces = torch.cat([cube().faces[:1].flip(1), cube().faces[1:]])
    facts = report(Mesh(cube().vertices, faces))
    assert facts.watertight and facts.orientable and not facts.winding_consistent
    assert facts.flipped_edges == 3 and facts.volume is None


def test_a_mesh_inside_out_has_a_negative_volume():
    facts = report(Mesh(cube().vertices, cube().faces.flip(1)))
    assert facts.volume == pytest.approx(-1)
    assert "inside out" in str(facts)


def test_three_faces_at_an_edge_are_a_nonmanifold_edge():
    faces = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    facts = report(Mesh(torch.rand(5, 3), faces))
    assert (facts.nonmanifold_edges, facts.boundary_edges) == (1, 6)


def test_two_tetrahedra_that_touch_in_a_point_are_pinched_there():
    # Vertex 3 of the first is vertex 3 of the second.
    base = tetrahedron()
    faces = torch.where(base.faces == 3, 3, base.faces + 4)
    facts = report(Mesh(torch.rand(7, 3), torch.cat([base.faces, faces])))
    assert (facts.pinched_vertices, facts.components, facts.genus) == (1, 1, None)
    assert "1 pinched vertex" in str(facts)


def test_faults_are_counted():
    vertices = torch.cat([cube().vertices, cube().vertices[:2], torch.tensor([[torch.nan, 0, 0]])])
    extra = torch.tensor([cube().faces[0].roll(1).tolist(), [3, 3, 5], [0, 8, 1]])
    facts = report(Mesh(vertices, torch.cat([cube().faces, extra])))
    assert (facts.duplicate_faces, facts.coincident_vertices, facts.nonfinite_vertices) == (1, 2, 1)
    # (3, 3, 5) repeats a vertex; (0, 8, 1) has corners 0 and 8 in one place.
    assert facts.degenerate_faces == 2
    assert facts.unreferenced_vertices == 2
    assert "2 degenerate faces, 1 duplicate face, 2 unreferenced vertices" in str(facts)


def test_a_collapsed_face_does_not_open_a_closed_mesh():
    faces = torch.cat([cube().faces, torch.tensor([[0, 0, 1], [2, 2, 2]])])
    assert report(Mesh(cube().vertices, faces)) == replace(report(cube()), faces=14, degenerate_faces=2)


def test_a_mesh_without_faces_has_a_report():
    facts = report(Mesh(torch.rand(3, 3), torch.zeros((0, 3), dtype=torch.int64)))
    assert not facts.watertight and facts.components == 0 and facts.area == 0 and facts.bounds is None
    assert facts.unreferenced_vertices == 3
    assert str(report(Mesh(torch.zeros(0, 3), torch.zeros((0, 3), dtype=torch.int64))))


def test_a_report_refuses_wrong_indices_and_batches():
    with pytest.raises(ValueError, match=r"report: 1 faces point outside the 4 vertices, the first is face 0"):
        report(Mesh(torch.rand(4, 3), torch.tensor([[0, 1, 4]])))
    with pytest.raises(ValueError, match="report: vertices have shape"):
        report(Mesh(torch.rand(2, 4, 3), tetrahedron().faces))


def test_welding_closes_a_soup_of_triangles():
    soup = Mesh(cube().corners().reshape(-1, 3), torch.arange(36).reshape(12, 3))
    assert report(soup).components == 12 and report(soup).coincident_vertices == 28
    welded = weld(soup)
    assert report(welded).watertight and len(welded.vertices) == 8
    assert torch.equal(welded.corners(), soup.corners())


def test_welding_keeps_vertices_of_different_colour_apart():
    soup = Mesh(cube().corners().reshape(-1, 3), torch.arange(36).reshape(12, 3))
    one = soup.with_appearance(VertexColors(torch.zeros(36, 3)))
    assert len(weld(one).vertices) == 8
    two = soup.with_appearance(VertexColors(torch.arange(36)[:, None].ge(18).float().expand(36, 3)))
    assert len(weld(two).vertices) > 8
    assert torch.equal(weld(two).appearance.colors[weld(two).faces], two.appearance.colors[two.faces])


def test_welding_takes_minus_zero_for_zero_and_leaves_nan_alone():
    vertices = torch.tensor([[0.0, 0, 0], [-0.0, 0, 0], [torch.nan, 0, 0], [torch.nan, 0, 0]])
    assert weld(Mesh(vertices, torch.tensor([[0, 1, 2], [1, 2, 3]]))).faces.tolist() == [[0, 0, 1], [0, 1, 2]]


def test_components_are_numbered_in_the_order_of_their_first_faces():
    mesh = together(tetrahedron(), cube(), tetrahedron())
    order = torch.cat([torch.arange(16, 20), torch.arange(16)])
    assert component_of_faces(mesh.faces).tolist() == [0] * 4 + [1] * 12 + [2] * 4
    assert component_of_faces(mesh.faces[order]).tolist() == [0] * 4 + [1] * 4 + [2] * 12
    assert [len(piece.faces) for piece in components(mesh)] == [4, 12, 4]
    assert components(Mesh(torch.rand(3, 3), torch.zeros((0, 3), dtype=torch.int64))) == []


@pytest.mark.parametrize("kind", ["vertices", "faces", "texture"])
def test_floaters_go_and_appearance_stays_with_what_is_left(kind):
    mesh = together(cube(0.1), cube(2.0), cube(1.0))
    colors = torch.rand(24, 3)
    appearance = {
        "vertices": VertexColors(colors),
        "faces": FaceColors(torch.rand(36, 3)),
        "texture": Texture(torch.rand(36, 3, 2), torch.rand(4, 4, 3)),
    }[kind]
    left = without_floaters(mesh.with_appearance(appearance))
    assert torch.equal(left.corners(), mesh.corners()[12:])
    match left.appearance:
        case VertexColors(found):
            assert torch.equal(found[left.faces], colors[mesh.faces[12:]])
        case FaceColors(found):
            assert torch.equal(found, appearance.colors[12:])
        case Texture(uv, _):
            assert torch.equal(uv, appearance.uv[12:])


def test_floaters_are_told_by_their_part_of_the_largest_area():
    # Areas 0.06, 24 and 6.
    mesh = together(cube(0.1), cube(2.0), cube(1.0))
    assert [len(without_floaters(mesh, keep).faces) for keep in (0.0, 0.002, 0.01, 0.26, 1.0)] == [36, 36, 24, 12, 12]
    assert len(without_floaters(together(cube(), cube().with_vertices(cube().vertices + 0.3)), 1.0).faces) == 24
    with pytest.raises(ValueError, match="without_floaters: keep is 2"):
        without_floaters(mesh, 2.0)


def test_keeping_faces_of_a_batch_keeps_every_mesh():
    batch = torch.rand(2, 3, 8, 3)
    kept = keep_faces(Mesh(batch, cube().faces), torch.arange(12) < 2)
    assert torch.equal(kept.corners(), Mesh(batch, cube().faces).corners()[..., :2, :, :])
    assert kept.vertices.shape == (2, 3, 4, 3)


def test_inspect_prints_the_report_of_a_file(tmp_path, capsys):
    save(cube(), tmp_path / "cube.ply")
    save(PointCloud(torch.rand(5, 3)), tmp_path / "points.ply")
    save(Voxels(torch.ones(2, 3, 4), torch.eye(4)), tmp_path / "voxels.npz")
    for name, words in (
        ("cube.ply", "8 vertices, 18 edges, 12 faces"),
        ("points.ply", "a cloud of 5 points, no colours"),
        ("voxels.npz", "voxels, 4 x 3 x 2, 24 of them full"),
    ):
        assert cli.main(["inspect", str(tmp_path / name)]) == 0
        assert words in capsys.readouterr().out
    assert cli.main(["inspect", str(tmp_path / "none.ply")]) == 2
