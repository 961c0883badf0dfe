"""PLY, OFF and STL files of every kind are read; counts that a file cannot hold are refused."""

import struct

import pytest
import torch

from maquette.io import load, save
from maquette.shapes.mesh import VertexColors
from maquette.shapes.points import PointCloud
from test_io_meshes import corner_colors, flat_png, tetrahedron
from test_io_obj import SQUARE

PLY_HEAD = "ply\nformat {} 1.0\ncomment x\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"


@pytest.mark.parametrize("form", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_ply_of_every_kind_gives_the_same_mesh(tmp_path, form):
    """A quad and a triangle, colours as bytes, an extra property, an element that nobody knows."""
    head = PLY_HEAD.format(form) + "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty double q\n"
    head += "element face 2\nproperty list uchar int vertex_indices\nproperty short flags\n"
    head += "element edge 1\nproperty int vertex1\nproperty int vertex2\nend_header\n"
    square = [(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]
    if form == "ascii":
        body = "".join(f"{x} {y} {z} 255 51 0 0.5\n" for x, y, z in square) + "4 0 1 2 3 7\n3 0 2 1 -7\n0 1\n"
        data = body.encode()
    else:
        order = "<" if "little" in form else ">"
        data = b"".join(struct.pack(order + "fffBBBd", *p, 255, 51, 0, 0.5) for p in square)
        data += struct.pack(order + "B4ih", 4, 0, 1, 2, 3, 7) + struct.pack(order + "B3ih", 3, 0, 2, 1, -7)
        data += struct.pack(order + "ii", 0, 1)
    (tmp_path / "a.ply").write_bytes(head.encode() + data)
    mesh = load(tmp_path / "a.ply")
    assert mesh.vertices.tolist() == [list(map(float, p)) for p in square]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 2, 1]]
    torch.testing.assert_close(mesh.appearance.colors, torch.tensor([[1, 0.2, 0]]).expand(4, 3))


def test_ply_with_float_colours_and_no_faces_is_a_cloud(tmp_path):
    head = PLY_HEAD.format("ascii").replace("vertex 4", "vertex 1")
    head += "property float red\nproperty float green\nproperty float blue\nend_header\n"
    (tmp_path / "a.ply").write_text(head + "1 2 3 0.5 0 1\n")
    points = load(tmp_path / "a.ply")
    assert isinstance(points, PointCloud)
    assert (points.points.tolist(), points.colors.tolist()) == ([[1, 2, 3]], [[0.5, 0, 1]])


def test_ply_with_a_texture_file_is_textured(tmp_path):
    flat_png(tmp_path / "t.png", (0, 0, 255))
    head = PLY_HEAD.format("ascii").replace("comment x", "comment TextureFile t.png").replace("vertex 4", "vertex 3")
    head += "element face 1\nproperty list uchar int vertex_indices\nproperty list uchar float texcoord\nend_header\n"
    (tmp_path / "a.ply").write_text(head + "0 0 0\n1 0 0\n0 1 0\n3 0 1 2 6 0 0 1 0 0 1\n")
    mesh = load(tmp_path / "a.ply")
    assert mesh.appearance.uv.tolist() == [[[0, 0], [1, 0], [0, 1]]]
    assert corner_colors(mesh)[0, 0].tolist() == [0, 0, 1]


def test_a_count_that_the_file_cannot_hold_is_refused_before_memory_is_taken(tmp_path):
    huge = 10**14
    (tmp_path / "a.ply").write_text(
        PLY_HEAD.format("ascii").replace("vertex 4", f"vertex {huge}") + "end_header\n0 0 0\n"
    )
    (tmp_path / "b.ply").write_text(
        PLY_HEAD.format("binary_little_endian").replace("vertex 4", f"vertex {huge}") + "end_header\n0 0 0\n"
    )
    (tmp_path / "c.off").write_text(f"OFF\n{huge} 1 0\n0 0 0\n")
    (tmp_path / "d.stl").write_bytes(b"x" * 80 + struct.pack("<I", 2**32 - 1) + b"0" * 50)
    for name in ("a.ply", "b.ply", "c.off", "d.stl"):
        with pytest.raises(OSError, match="truncated"):
            load(tmp_path / name)


@pytest.mark.parametrize(
    ("head", "row", "kind"),
    [
        ("OFF", "{p}", None),
        ("COFF", "{p} 0.2 0.4 1.0 1.0", VertexColors),
        ("COFF", "{p} 51 102 255 255", VertexColors),
        ("NOFF", "{p} 0 0 1", None),
        ("CNOFF", "{p} 0 0 1 51 102 255 255", VertexColors),
    ],
)
def test_off_variants_are_read(tmp_path, head, row, kind):
    rows = "\n".join(row.format(p=p) for p in ("0 0 0", "1 0 0", "1 1 0", "0 1 0"))
    (tmp_path / "a.off").write_text(f"{head} # comment\n4 1 0\n\n{rows}\n4 0 1 2 3\n")
    mesh = load(tmp_path / "a.off")
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    if kind is None:
        assert mesh.appearance is None
    else:
        torch.testing.assert_close(mesh.appearance.colors, torch.tensor([[0.2, 0.4, 1]]).expand(4, 3))


def test_colours_of_faces_in_off_are_read(tmp_path):
    (tmp_path / "a.off").write_text("OFF\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2 255 0 51\n3 0 2 3 0.5 0.5 0.5\n")
    colors = load(tmp_path / "a.off").appearance.colors
    torch.testing.assert_close(colors, torch.tensor([[1.0, 0, 0.2], [0.5, 0.5, 0.5]]))


def test_ascii_stl_is_read_and_a_cut_one_refused(tmp_path):
    facet = "facet normal 0 0 1\nouter loop\nvertex 0 0 0\nvertex 1 0 0\nvertex 0 1 0\nendloop\nendfacet\n"
    text = f"solid a\n{facet}endsolid\nsolid b\n{facet.replace('1 0 0', '2 0 0')}endsolid\n"
    (tmp_path / "a.stl").write_text(text)
    mesh = load(tmp_path / "a.stl")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0], [2, 0, 0]]
    assert mesh.faces.tolist() == [[0, 1, 2], [0, 3, 2]]
    (tmp_path / "a.stl").write_text(text[:-80])
    with pytest.raises(OSError, match="truncated or broken"):
        load(tmp_path / "a.stl")


def test_a_binary_stl_whose_header_begins_with_solid_is_read(tmp_path):
    save(tetrahedron(), tmp_path / "a.stl")
    data = (tmp_path / "a.stl").read_bytes()
    (tmp_path / "a.stl").write_bytes(b"solid or so".ljust(80) + data[80:])
    assert len(load(tmp_path / "a.stl").faces) == 4


def test_a_face_without_area_is_kept(tmp_path):
    (tmp_path / "a.obj").write_text(SQUARE + "f 1 2 2\nf 1 2 3\n")
    assert load(tmp_path / "a.obj").faces.tolist() == [[0, 1, 1], [0, 1, 2]]
    save(load(tmp_path / "a.obj"), tmp_path / "a.glb")
    assert load(tmp_path / "a.glb").faces.tolist() == [[0, 1, 1], [0, 1, 2]]
