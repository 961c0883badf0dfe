"""OBJ files and their materials: what they say is what is seen; polygons become triangles of the same area."""

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.io import load, save
from maquette.io.polygons import triangulate
from maquette.shapes.mesh import FaceColors, FaceSamples, Mesh, Texture, colors_at
from test_io_meshes import corner_colors, flat_png

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


def test_a_comment_behind_a_colour_in_an_mtl_file_does_not_change_the_colour(tmp_path):
    flat_png(tmp_path / "t.png", (200, 100, 50))
    (tmp_path / "a.mtl").write_text("newmtl m # the only one\nmap_Kd t.png\n\nKd 1.000 1.000 1.000  # white\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{SQUARE}usemtl m\nf 1/1 2/2 3/3 4/4\n")
    expected = torch.tensor([200, 100, 50]) / 255
    torch.testing.assert_close(corner_colors(load(tmp_path / "a.obj")), expected.expand(2, 3, 3))


def test_diffuse_colours_are_the_colours_of_faces(tmp_path):
    (tmp_path / "a.mtl").write_text("newmtl red one\n\tKd .5 0 0#half\nnewmtl grey\nKd 0.25\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{SQUARE}usemtl red one\nf 1 2 3\nusemtl grey\nf 1 3 4\n")
    mesh = load(tmp_path / "a.obj")
    assert isinstance(mesh.appearance, FaceColors)
    assert mesh.appearance.colors.tolist() == [[0.5, 0, 0], [0.25, 0.25, 0.25]]


def test_the_texture_lies_on_the_square_the_right_way_up(tmp_path):
    """v grows upwards: the lower left corner (vt 0 0) sees the picture's last row."""
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0], image[0, 1], image[1, 0], image[1, 1] = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
    Image.fromarray(image.repeat(16, 0).repeat(16, 1)).save(tmp_path / "t.png")
    (tmp_path / "a.mtl").write_text("newmtl m\nmap_Kd t.png\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{SQUARE}usemtl m\nf 1/1 2/2 3/3 4/4\n")
    save(load(tmp_path / "a.obj"), tmp_path / "b.glb")
    for name in ("a.obj", "b.glb"):
        mesh = load(tmp_path / name)
        seen = corner_colors(mesh)
        for at, color in (((0, 0), (0, 0, 1)), ((1, 0), (1, 1, 0)), ((1, 1), (0, 1, 0)), ((0, 1), (1, 0, 0))):
            near = (mesh.corners()[..., :2] == torch.tensor(at)).all(-1)
            assert near.any()
            torch.testing.assert_close(seen[near], torch.tensor(color, dtype=torch.float32).expand(int(near.sum()), 3))


def test_negative_indices_continued_lines_and_comments_are_read(tmp_path):
    (tmp_path / "a.obj").write_bytes(
        b"# c\r\nv 0 0 0 # first\r\nv\t1 0 0\r\nv 1 1 \\\r\n 0\r\nf -3 -2 \\\r\n-1\r\nv 9 9 9"
    )
    mesh = load(tmp_path / "a.obj")
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]  # the fourth is not used
    assert mesh.faces.tolist() == [[0, 1, 2]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_obj_files_with_a_byte_order_mark_are_read(tmp_path, encoding):
    (tmp_path / "a.obj").write_text(SQUARE + "f 1 2 3\n", encoding=encoding)
    assert len(load(tmp_path / "a.obj").faces) == 1


def test_vertex_colours_of_obj_are_read_as_floats_or_bytes(tmp_path):
    (tmp_path / "a.obj").write_text("v 0 0 0 0.5 0 1\nv 1 0 0 0 0 0\nv 0 1 0 1 1 1\nf 1 2 3\n")
    (tmp_path / "b.obj").write_text("v 0 0 0 51 0 255\nv 1 0 0 0 0 0\nv 0 1 0 255 255 255\nf 1 2 3\n")
    assert load(tmp_path / "a.obj").appearance.colors[0].tolist() == [0.5, 0, 1]
    torch.testing.assert_close(load(tmp_path / "b.obj").appearance.colors[0], torch.tensor([0.2, 0, 1]))


def test_several_materials_become_one_atlas_with_each_its_colour(tmp_path):
    flat_png(tmp_path / "red.png", (255, 0, 0), 5)
    flat_png(tmp_path / "grey.png", (128, 128, 128), 16)
    (tmp_path / "a.mtl").write_text(
        "newmtl r\nmap_Kd red.png\nnewmtl g\nmap_Kd -s 1 1 1 grey.png\nKd 1 1 0\nnewmtl plain\nKd 0.2 0.4 0.6\n"
    )
    (tmp_path / "a.obj").write_text(
        f"mtllib a.mtl\n{SQUARE}usemtl r\nf 1/1 2/2 3/3\nusemtl g\nf 1/1 3/3 4/4\n"
        "usemtl plain\nf 1 2 4\nusemtl r\nf 2 3 4\n"
    )
    mesh = load(tmp_path / "a.obj")
    assert isinstance(mesh.appearance, Texture)
    half = 128 / 255
    # The last face has the textured material and no place in its texture: the material's colour, which is white.
    expected = torch.tensor([[1.0, 0, 0], [half, half, 0], [0.2, 0.4, 0.6], [1, 1, 1]])
    torch.testing.assert_close(corner_colors(mesh), expected[:, None].expand(4, 3, 3), atol=0.5 / 255, rtol=0)


@pytest.mark.parametrize("shift", [0.0, -3.0, 7.5])
def test_repeats_are_baked_into_the_atlas(tmp_path, shift):
    """A face that sees its texture 3 x 2 times, beside another material: colours as the formula of repetition says."""
    picture = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "t.png")
    flat_png(tmp_path / "u.png", (1, 2, 3))
    (tmp_path / "a.mtl").write_text("newmtl t\nmap_Kd t.png\nnewmtl u\nmap_Kd u.png\n")
    rows = "".join(f"vt {u + shift} {v + shift}\n" for u, v in ((0, 0), (3, 0), (3, 2), (0, 2)))
    (tmp_path / "a.obj").write_text(
        f"mtllib a.mtl\n{SQUARE}{rows}usemtl t\nf 1/5 2/6 3/7\nf 1/5 3/7 4/8\nusemtl u\nf 1/1 2/2 3/3\n"
    )
    mesh = load(tmp_path / "a.obj")
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(200, 3, generator=generator)
    weights = weights / weights.sum(-1, keepdim=True)
    faces = torch.arange(200) % 2
    uv = torch.tensor([[[0.0, 0], [3, 0], [3, 2]], [[0, 0], [3, 2], [0, 2]]]) + shift
    direct = Mesh(mesh.vertices, mesh.faces[:2], Texture(uv, torch.from_numpy(picture).float() / 255))
    samples = FaceSamples(faces, weights)
    torch.testing.assert_close(colors_at(mesh, samples), colors_at(direct, samples), atol=2e-3, rtol=0)


def test_a_missing_texture_leaves_the_colour_and_a_warning(tmp_path):
    (tmp_path / "a.mtl").write_text("newmtl m\nKd 0 0.5 0\nmap_Kd nowhere.png\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{SQUARE}usemtl m\nf 1/1 2/2 3/3\n")
    with pytest.warns(UserWarning, match=r"a.obj: texture left out, .* refers to 'nowhere.png', which does not exist"):
        mesh = load(tmp_path / "a.obj")
    assert mesh.appearance.colors.tolist() == [[0, 0.5, 0]]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../../../../../etc/passwd", "http://a.b/c.png", "C:\\pictures\\a.png", "file:///a.png"]
)
def test_textures_outside_the_models_folder_are_not_read(tmp_path, name):
    (tmp_path / "a.mtl").write_text(f"newmtl m\nKd 0 0.5 0\nmap_Kd {name}\n")
    (tmp_path / "a.obj").write_text(f"mtllib a.mtl\n{SQUARE}usemtl m\nf 1/1 2/2 3/3\n")
    with pytest.warns(UserWarning, match="put the file beside the model"):
        load(tmp_path / "a.obj")


def test_a_texture_in_a_sibling_folder_is_read(tmp_path):
    (tmp_path / "textures").mkdir()
    (tmp_path / "models").mkdir()
    flat_png(tmp_path / "textures" / "my wood#2.png", (0, 255, 0))
    (tmp_path / "models" / "a.mtl").write_text("newmtl m\nmap_Kd ..\\textures\\my wood#2.png\n")
    (tmp_path / "models" / "a.obj").write_text(f"mtllib a.mtl\n{SQUARE}usemtl m\nf 1/1 2/2 3/3\n")
    assert corner_colors(load(tmp_path / "models" / "a.obj"))[0, 0].tolist() == [0, 1, 0]


def test_a_concave_polygon_keeps_its_area(tmp_path):
    """An L of area 3 in the plane x + z = 0 (so its true area is 3 sqrt 2), whichever corner comes first."""
    corners = [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]
    for turn in range(6):
        ring = corners[turn:] + corners[:turn]
        rows = "".join(f"v {x} {y} {-x}\n" for x, y in ring)
        (tmp_path / "a.obj").write_text(f"{rows}f 1 2 3 4 5 6\n")
        mesh = load(tmp_path / "a.obj")
        a, b, c = mesh.corners().unbind(1)
        cross = torch.linalg.cross(b - a, c - a) / 2
        assert cross.norm(dim=-1).sum().item() == pytest.approx(3 * 2**0.5, rel=1e-6)
        assert cross.sum(0).norm().item() == pytest.approx(3 * 2**0.5, rel=1e-6)  # no triangle is turned over


def test_a_dart_is_cut_along_its_inner_diagonal():
    points = np.array([[0.0, 0, 0], [2, 0, 0], [0.5, 0.5, 0], [0, 2, 0]])  # concave at the third corner
    triangles = triangulate(points, np.arange(4), np.array([4]))
    a, b, c = points[triangles].swapaxes(0, 1)
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


def test_a_random_simple_polygon_is_tiled_by_its_triangles():
    rng = np.random.default_rng(0)
    for n in (5, 9, 40, 150):
        angle = np.sort(rng.uniform(0, 2 * np.pi, n))
        radius = rng.uniform(0.2, 1, n)  # a star around the origin: simple, and concave in many places
        ring = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(n)], -1)
        triangles = triangulate(ring, np.arange(n), np.array([n]))
        a, b, c = ring[triangles].swapaxes(0, 1)
        areas = np.cross(b - a, c - a)[:, 2] / 2
        whole = np.cross(ring, np.roll(ring, -1, 0))[:, 2].sum() / 2
        assert areas.sum() == pytest.approx(whole)
        assert (areas > -1e-12).all()
