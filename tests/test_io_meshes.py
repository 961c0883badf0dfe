"""Mesh files: what is saved comes back, colours are right by value, broken files are refused in one line."""

import contextlib
import json
import resource
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.io import load, save, write_json
from maquette.io.atomic import atomic_path
from maquette.io.glb import corner_normals
from maquette.io.polygons import triangulate
from maquette.io.rows import unique_rows
from maquette.shapes.mesh import FaceColors, FaceSamples, Mesh, Texture, VertexColors, colors_at, face_normals
from maquette.shapes.points import PointCloud
from maquette.shapes.primitives import cube, ico_sphere
from maquette.shapes.voxels import Voxels

# ---------------------------------------------------------------------------------------------------------------------
# Shapes to write. A tetrahedron is closed and small; its four faces can have four colours.

TETRAHEDRON = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
TETRAHEDRON_FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])


def tetrahedron(appearance=None) -> Mesh:
    return Mesh(TETRAHEDRON + 0.125, TETRAHEDRON_FACES, appearance)


def vertex_colored() -> Mesh:
    return tetrahedron(VertexColors(torch.tensor([[1.0, 0, 0], [0, 0.2, 0], [0, 0, 0.6], [0.4, 0.8, 1]])))


def face_colored() -> Mesh:
    return tetrahedron(FaceColors(torch.tensor([[1.0, 0, 0], [0, 0.2, 0], [1, 0, 0], [0.4, 0.8, 1]])))


def textured() -> Mesh:
    """Every corner has a place of its own in the texture, so all edges are seams."""
    image = (torch.arange(8 * 16 * 3).reshape(8, 16, 3) * 37 % 256) / 255
    uv = torch.rand(4, 3, 2, generator=torch.Generator().manual_seed(3))
    return tetrahedron(Texture(uv, image))


def cloud() -> PointCloud:
    generator = torch.Generator().manual_seed(1)
    normals = torch.nn.functional.normalize(torch.randn(20, 3, generator=generator), dim=-1)
    colors = torch.randint(0, 256, (20, 3), generator=generator) / 255
    return PointCloud(torch.randn(20, 3, generator=generator), colors, normals)


def same_mesh(a: Mesh, b: Mesh, *, colors: float = 1e-6) -> None:
    assert torch.equal(a.vertices, b.vertices)
    assert torch.equal(a.faces, b.faces)
    assert type(a.appearance) is type(b.appearance)
    match a.appearance, b.appearance:
        case Texture(uv, image), Texture(other_uv, other_image):
            torch.testing.assert_close(uv, other_uv, atol=1e-6, rtol=0)
            torch.testing.assert_close(image, other_image, atol=1e-6, rtol=0)
        case VertexColors(x) | FaceColors(x), VertexColors(y) | FaceColors(y):
            torch.testing.assert_close(x, y, atol=colors, rtol=0)


def corner_colors(mesh: Mesh) -> torch.Tensor:
    """Colours just inside the three corners of every face, F 3 3, whatever the appearance."""
    faces = torch.arange(len(mesh.faces)).repeat_interleave(3)
    weights = torch.full((3, 3), 0.05) + torch.eye(3) * 0.85
    colors = colors_at(mesh, FaceSamples(faces, weights.repeat(len(mesh.faces), 1)))
    assert colors is not None
    return colors.reshape(-1, 3, 3)


def flat_png(path: Path, color: tuple[int, int, int], size: int = 4) -> None:
    Image.new("RGB", (size, size), color).save(path)


# ---------------------------------------------------------------------------------------------------------------------
# Round trips.


@pytest.mark.parametrize("make", [tetrahedron, vertex_colored, face_colored, textured])
@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_glb_and_obj_give_back_the_mesh_that_was_saved(tmp_path, make, suffix):
    mesh = make()
    save(mesh, tmp_path / f"a{suffix}")
    same_mesh(load(tmp_path / f"a{suffix}"), mesh)


@pytest.mark.parametrize("make", [tetrahedron, vertex_colored, face_colored])
@pytest.mark.parametrize("suffix", [".ply", ".off"])
def test_ply_and_off_give_back_the_mesh_with_colours_rounded_to_8_bits(tmp_path, make, suffix):
    mesh = make()
    save(mesh, tmp_path / f"a{suffix}")
    same_mesh(load(tmp_path / f"a{suffix}"), mesh, colors=0.5 / 255 + 1e-6)


def test_stl_gives_back_the_triangles_and_joins_equal_corners(tmp_path):
    mesh = tetrahedron()
    save(mesh, tmp_path / "a.stl")
    loaded = load(tmp_path / "a.stl")
    assert torch.equal(loaded.corners(), mesh.corners())
    assert len(loaded.vertices) == 4


@pytest.mark.parametrize("suffix", [".ply", ".glb", ".obj"])
def test_point_clouds_come_back_with_colours_and_normals(tmp_path, suffix):
    points = cloud()
    save(points, tmp_path / f"a{suffix}")
    loaded = load(tmp_path / f"a{suffix}")
    assert isinstance(loaded, PointCloud)
    assert torch.equal(loaded.points, points.points)
    torch.testing.assert_close(loaded.colors, points.colors, atol=1e-6, rtol=0)
    torch.testing.assert_close(loaded.normals, points.normals, atol=1e-6, rtol=0)


def test_voxels_come_back_bit_by_bit(tmp_path):
    occupancy = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    voxels = Voxels(occupancy, torch.diag(torch.tensor([2.0, 3, 4, 1])))
    save(voxels, tmp_path / "a.npz")
    loaded = load(tmp_path / "a.npz")
    assert torch.equal(loaded.occupancy, voxels.occupancy)
    assert torch.equal(loaded.world_from_grid, voxels.world_from_grid)


def test_many_face_colours_survive_glb_as_face_colours(tmp_path):
    """More runs than materials are wanted for: colours of split vertices, joined again on the way back."""
    grid = torch.stack(torch.meshgrid(torch.arange(21.0), torch.arange(21.0), indexing="ij"), -1).reshape(-1, 2)
    vertices = torch.cat([grid, torch.zeros(len(grid), 1)], -1)
    corner = (torch.arange(20)[:, None] * 21 + torch.arange(20)).reshape(-1, 1)
    faces = torch.cat([corner + torch.tensor([0, 21, 22]), corner + torch.tensor([0, 22, 1])])
    colors = torch.rand(len(faces), 3, generator=torch.Generator().manual_seed(0))
    mesh = Mesh(vertices, faces, FaceColors(colors))
    save(mesh, tmp_path / "a.glb")
    same_mesh(load(tmp_path / "a.glb"), mesh)
    save(mesh, tmp_path / "a.obj")  # as a palette: 8 bits
    torch.testing.assert_close(corner_colors(load(tmp_path / "a.obj")), corner_colors(mesh), atol=0.51 / 255, rtol=0)


def test_a_mesh_that_needs_gradients_or_is_float64_can_be_saved(tmp_path):
    mesh = vertex_colored()
    mesh = Mesh(mesh.vertices.double().requires_grad_(), mesh.faces, mesh.appearance)
    for suffix in (".glb", ".obj", ".ply", ".off"):
        save(mesh, tmp_path / f"a{suffix}")
        assert torch.equal(load(tmp_path / f"a{suffix}").vertices, mesh.vertices.float())


def test_file_names_with_blanks_and_letters_of_other_scripts_work(tmp_path):
    folder = tmp_path / "my möbel 椅子"
    for make in (textured, face_colored):
        save(make(), folder / "ein stuhl ü.obj")
        same_mesh(load(folder / "ein stuhl ü.obj"), make())


# ---------------------------------------------------------------------------------------------------------------------
# What a format cannot hold is said; what makes no sense is refused.


def test_stl_says_that_it_holds_no_colours(tmp_path):
    with pytest.warns(UserWarning, match="save: STL holds no colours"):
        save(vertex_colored(), tmp_path / "a.stl")


@pytest.mark.parametrize("suffix", [".ply", ".off"])
def test_ply_and_off_say_that_a_texture_becomes_vertex_colours(tmp_path, suffix):
    image = torch.tensor([0.2, 0.4, 0.6]).expand(4, 4, 3)
    with pytest.warns(UserWarning, match=r"holds no texture; its colours at the vertices are written"):
        save(tetrahedron(Texture(textured().appearance.uv, image)), tmp_path / f"a{suffix}")
    torch.testing.assert_close(load(tmp_path / f"a{suffix}").appearance.colors, torch.tensor([[0.2, 0.4, 0.6]] * 4))


def test_a_shape_that_a_format_cannot_hold_is_refused_with_what_can_be_done(tmp_path):
    voxels = Voxels(torch.zeros(2, 2, 2), torch.eye(4))
    with pytest.raises(ValueError, match=r"save: no writer for Voxels as '.glb' .* can be saved as .npz; to_mesh"):
        save(voxels, tmp_path / "a.glb")
    with pytest.raises(ValueError, match=r"save: no writer for PointCloud as '.stl'"):
        save(cloud(), tmp_path / "a.stl")
    with pytest.raises(ValueError, match=r"load: no reader for '.fbx'"):
        load(tmp_path / "a.fbx")


def test_meshes_that_are_broken_or_batched_are_not_saved(tmp_path):
    path = tmp_path / "a.glb"
    with pytest.raises(ValueError, match="save: vertices have shape"):
        save(tetrahedron().with_vertices(torch.zeros(5, 4, 3)), path)
    with pytest.raises(ValueError, match="no faces"):
        save(Mesh(TETRAHEDRON, torch.zeros(0, 3, dtype=torch.int64)), path)
    with pytest.raises(ValueError, match="not finite"):
        save(tetrahedron().with_vertices(torch.full((4, 3), torch.nan)), path)
    with pytest.raises(ValueError, match="outside the 4 vertices"):
        save(Mesh(TETRAHEDRON, torch.tensor([[0, 1, 4]])), path)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------------------
# OBJ.

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


# ---------------------------------------------------------------------------------------------------------------------
# glTF.


def gltf(path: Path, change=None, *, vertices=TETRAHEDRON, faces=TETRAHEDRON_FACES, arrays=()) -> Path:
    """A small glTF; `arrays` are further accessors (number 2 on), `change` edits the document."""
    blocks = [np.asarray(vertices, np.float32), np.asarray(faces, np.uint32).reshape(-1), *arrays]
    accessors, views, data = [], [], b""
    for block in blocks:
        block = np.ascontiguousarray(block)
        kind = {"float32": 5126, "uint32": 5125, "uint16": 5123, "uint8": 5121}[str(block.dtype)]
        shape = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}[1 if block.ndim == 1 else block.shape[1]]
        views.append({"buffer": 0, "byteOffset": len(data), "byteLength": block.nbytes})
        accessors.append({"bufferView": len(views) - 1, "componentType": kind, "count": len(block), "type": shape})
        data += block.tobytes() + b"\0" * (-block.nbytes % 4)
    document = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": len(data), "uri": "b.bin"}],
    }
    if change is not None:
        change(document)
    path.with_name("b.bin").write_bytes(data)
    write_json(path, document)
    return path


def test_transforms_of_nested_nodes_are_applied(tmp_path):
    half = 0.5**0.5

    def change(document):
        document["nodes"] = [
            {"children": [1], "translation": [1, 2, 3]},
            {"mesh": 0, "rotation": [0, 0, half, half], "scale": [2, 2, 2]},  # a quarter turn about z: x goes to y
        ]

    mesh = load(gltf(tmp_path / "a.gltf", change))
    expected = torch.tensor([[1.0, 2, 3], [1, 4, 3], [-1, 2, 3], [1, 2, 5]])
    torch.testing.assert_close(mesh.vertices, expected)


def test_a_mirrored_node_keeps_the_outside_outside(tmp_path):
    mesh = load(gltf(tmp_path / "a.gltf", lambda d: d["nodes"][0].update(scale=[-1, 1, 1])))
    centre = mesh.vertices.mean(0)
    outward = ((mesh.corners().mean(1) - centre) * face_normals(mesh)).sum(-1)
    assert (outward > 0).all()


def test_linear_colour_factors_become_srgb(tmp_path):
    """0.21404 of the light is sRGB 0.5 (IEC 61966-2-1)."""

    def change(document):
        document["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [0.21404114, 0, 1, 1]}}]
        document["meshes"][0]["primitives"][0]["material"] = 0

    mesh = load(gltf(tmp_path / "a.gltf", change))
    torch.testing.assert_close(mesh.appearance.colors, torch.tensor([[0.5, 0, 1]]).expand(4, 3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [np.float32, np.uint8, np.uint16])
def test_linear_vertex_colours_become_srgb(tmp_path, kind):
    top = 1 if kind is np.float32 else np.iinfo(kind).max
    colors = np.zeros((4, 4), kind)
    colors[:, 0], colors[:, 3] = 0.21404114 * top, top

    def change(document):
        document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"] = 2
        document["accessors"][2]["normalized"] = kind is not np.float32

    mesh = load(gltf(tmp_path / "a.gltf", change, arrays=[colors]))
    assert isinstance(mesh.appearance, VertexColors)
    torch.testing.assert_close(mesh.appearance.colors[0], torch.tensor([0.5, 0, 0]), atol=0.005, rtol=0)


def test_a_texture_under_a_factor_is_multiplied_as_light(tmp_path):
    """White under the linear factor 0.21404 is sRGB 0.5."""
    flat_png(tmp_path / "w.png", (255, 255, 255))

    def change(document):
        document["images"], document["textures"] = [{"uri": "w.png"}], [{"source": 0}]
        material = {"baseColorTexture": {"index": 0}, "baseColorFactor": [0.21404114, 1, 1, 1]}
        document["materials"] = [{"pbrMetallicRoughness": material}]
        document["meshes"][0]["primitives"][0] |= {"material": 0, "attributes": {"POSITION": 0, "TEXCOORD_0": 2}}

    mesh = load(gltf(tmp_path / "a.gltf", change, arrays=[np.zeros((4, 2), np.float32)]))
    expected = torch.tensor([0.5, 1, 1]).expand(4, 3, 3)
    torch.testing.assert_close(corner_colors(mesh), expected, atol=0.5 / 255, rtol=0)


def test_the_top_of_a_gltf_picture_is_at_v_0_in_the_file_and_at_v_1_here(tmp_path):
    """glTF 2.0, 3.8.3: (0, 0) is the upper left corner of the picture."""
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4], picture[4:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "t.png")

    def change(document):
        document["images"], document["textures"] = [{"uri": "t.png"}], [{"source": 0}]
        document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        document["meshes"][0]["primitives"][0] |= {"material": 0, "attributes": {"POSITION": 0, "TEXCOORD_0": 2}}

    mesh = load(gltf(tmp_path / "a.gltf", change, arrays=[np.full((4, 2), (0.5, 0.25), np.float32)]))
    torch.testing.assert_close(mesh.appearance.uv, torch.tensor([0.5, 0.75]).expand(4, 3, 2))
    assert corner_colors(mesh)[0, 0].tolist() == [1, 0, 0]


@pytest.mark.parametrize(("wrap", "expected"), [(33071, [0, 0, 1]), (33648, [0, 0, 1]), (10497, [1, 0, 0])])
def test_wrapping_modes_decide_what_is_seen_outside_the_picture(tmp_path, wrap, expected):
    """At u = 1.25 of a picture, red left and blue right: repeated it is red, mirrored and clamped it is blue."""
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:, :8], picture[:, 8:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(picture).save(tmp_path / "t.png")

    def change(document):
        document["images"], document["samplers"] = [{"uri": "t.png"}], [{"wrapS": wrap, "wrapT": wrap}]
        document["textures"] = [{"source": 0, "sampler": 0}]
        document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        document["meshes"][0]["primitives"][0] |= {"material": 0, "attributes": {"POSITION": 0, "TEXCOORD_0": 2}}

    mesh = load(gltf(tmp_path / "a.gltf", change, arrays=[np.full((4, 2), (1.25, 0.5), np.float32)]))
    torch.testing.assert_close(corner_colors(mesh)[0, 0], torch.tensor(expected, dtype=torch.float32))


def test_clamped_coordinates_far_outside_see_the_edge(tmp_path):
    flat_png(tmp_path / "t.png", (255, 0, 0))

    def change(document):
        document["images"], document["samplers"] = [{"uri": "t.png"}], [{"wrapS": 33071, "wrapT": 33071}]
        document["textures"] = [{"source": 0, "sampler": 0}]
        document["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        document["meshes"][0]["primitives"][0] |= {"material": 0, "attributes": {"POSITION": 0, "TEXCOORD_0": 2}}

    mesh = load(gltf(tmp_path / "a.gltf", change, arrays=[np.full((4, 2), (-2.5, 3.5), np.float32)]))
    assert corner_colors(mesh)[0, 0].tolist() == [1, 0, 0]


def test_strips_and_fans_become_triangles_that_face_the_same_way(tmp_path):
    square = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]]
    for mode, order in ((5, [0, 1, 2, 3]), (6, [0, 1, 3, 2])):
        path = gltf(
            tmp_path / "a.gltf",
            lambda d, mode=mode: d["meshes"][0]["primitives"][0].update(mode=mode),
            vertices=square,
            faces=[order],
        )
        mesh = load(path)
        assert len(mesh.faces) == 2
        assert face_normals(mesh).tolist() == [[0, 0, 1], [0, 0, 1]]


def test_a_skinned_mesh_is_posed_by_its_joints(tmp_path):
    """One joint moved by (0, 0, 5); the mesh's own node does not count."""
    joints, weights = np.zeros((4, 4), np.uint8), np.tile(np.array([1, 0, 0, 0], np.float32), (4, 1))

    def change(document):
        document["nodes"] = [{"mesh": 0, "skin": 0, "translation": [9, 9, 9]}, {"translation": [0, 0, 5]}]
        document["scenes"][0]["nodes"] = [0, 1]
        document["skins"] = [{"joints": [1]}]
        document["meshes"][0]["primitives"][0]["attributes"] |= {"JOINTS_0": 2, "WEIGHTS_0": 3}

    mesh = load(gltf(tmp_path / "a.gltf", change, arrays=[joints, weights]))
    torch.testing.assert_close(mesh.vertices, TETRAHEDRON + torch.tensor([0.0, 0, 5]))


def edit(*path_and_value):
    """A change of one entry of the document: edit("nodes", 0, "mesh", 7)."""
    *path, last, value = path_and_value

    def change(document):
        for key in path:
            document = document[key]
        document[last] = value

    return change


PRIMITIVE = ("meshes", 0, "primitives", 0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (edit("nodes", [{"children": [1], "mesh": 0}, {"children": [0]}]), "node 0 is reached twice"),
        (edit("nodes", 0, "children", [0]), "node 0 is reached twice"),
        (edit("nodes", 0, "mesh", 7), r"refers to meshes\[7\], the file has 1"),
        (edit("scene", "hello"), r"refers to scenes\['?hello"),
        (edit("accessors", 0, "count", 10**15), "accessor 0 ends at byte"),
        (edit("accessors", 0, "count", -1), "not a count"),
        (edit("accessors", 0, "byteOffset", 4), "accessor 0 ends at byte"),
        (edit("bufferViews", 0, "byteLength", 10**9), "bufferView 0 ends at byte 1000000000"),
        (edit("buffers", 0, "byteLength", 10**9), "truncated: buffer 0 of 1000000000 bytes"),
        (edit("buffers", 0, "uri", "/etc/passwd"), "absolute paths and URLs are not followed"),
        (edit("buffers", 0, "uri", "https://example.org/b.bin"), "absolute paths and URLs are not followed"),
        (edit("buffers", 0, "uri", "gone.bin"), "refers to 'gone.bin', which does not exist"),
        (edit("buffers", 0, "uri", "data:application/octet-stream;base64,AAA@"), "not base64"),
        (edit("extensionsRequired", ["KHR_draco_mesh_compression"]), "compressed with Draco"),
        (edit(*PRIMITIVE, "extensions", {"KHR_draco_mesh_compression": {}}), "compressed with Draco"),
        (edit(*PRIMITIVE, "mode", 9), "mode 9 does not exist"),
        (edit(*PRIMITIVE, "attributes", {}), "has no positions"),
        (edit("meshes", []), r"refers to meshes\[0\]"),
        (edit("asset", "version", "1.0"), "is glTF 1.0; only glTF 2 is read"),
        (edit("nodes", 0, "matrix", [1, 2]), "matrix is not a list of 16 numbers"),
        (edit("scenes", 0, "nodes", []), "holds no triangles and no points"),
        (edit("nodes", 0, "mesh", [0]), r"refers to meshes\[\[0\]\]"),
        (edit("accessors", 0, "count", True), "count is True, not a count"),
        (edit("nodes", 0, "children", {}), "children is not a list"),
    ],
)
def test_broken_gltf_is_refused_with_its_reason(tmp_path, change, match):
    path = gltf(tmp_path / "a.gltf", change)
    with pytest.raises(OSError, match=match) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_indices_out_of_range_are_counted_and_the_first_is_named(tmp_path):
    path = gltf(tmp_path / "a.gltf", faces=[[0, 1, 2], [0, 9, 7]])
    with pytest.raises(
        OSError, match=r"2 of 6 indices of node 0, primitive 0 .*outside the 4 vertices; the first is 9"
    ):
        load(path)


def test_vertices_that_are_not_finite_are_counted_and_the_first_is_named(tmp_path):
    vertices = TETRAHEDRON.clone()
    vertices[2, 1] = torch.nan
    path = gltf(tmp_path / "a.gltf", vertices=vertices)
    with pytest.raises(OSError, match=r"1 of 4 vertices are NaN or infinite; the first is number 2: 0, nan, 0"):
        load(path)


def test_deeply_nested_json_is_refused(tmp_path):
    (tmp_path / "a.gltf").write_text("[" * 100_000)
    with pytest.raises(OSError, match=r"a\.gltf: "):
        load(tmp_path / "a.gltf")


def glb_document(path: Path) -> tuple[dict, bytes]:
    data = path.read_bytes()
    magic, version, length, size, kind = struct.unpack("<4sIIII", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), 0x4E4F534A)
    rest = 20 + size
    body, kind = struct.unpack("<II", data[rest : rest + 8])
    assert (rest + 8 + body, kind, size % 4, body % 4) == (len(data), 0x004E4942, 0, 0)
    return json.loads(data[20:rest]), data[rest + 8 :]


@pytest.mark.parametrize("make", [tetrahedron, vertex_colored, face_colored, textured, cloud])
def test_a_written_glb_says_all_that_viewers_need(tmp_path, make):
    save(make(), tmp_path / "a.glb")
    document, body = glb_document(tmp_path / "a.glb")
    for material in document["materials"]:
        assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
        assert material["pbrMetallicRoughness"]["roughnessFactor"] == 1
        assert material["doubleSided"]
    for primitive in document["meshes"][0]["primitives"]:
        assert {"POSITION", "NORMAL"} <= primitive["attributes"].keys()
        position = document["accessors"][primitive["attributes"]["POSITION"]]
        assert position["min"] <= position["max"]
    for view in document["bufferViews"]:
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= len(body)


def test_corner_normals_are_flat_on_a_box_and_round_on_a_sphere():
    box = cube()
    normals = torch.from_numpy(corner_normals(box.vertices.numpy(), box.faces.numpy()))
    torch.testing.assert_close(normals, face_normals(box)[:, None].expand(-1, 3, -1), atol=1e-6, rtol=0)
    ball = ico_sphere(3)
    normals = torch.from_numpy(corner_normals(ball.vertices.numpy(), ball.faces.numpy()))
    outward = torch.nn.functional.normalize(ball.corners(), dim=-1)
    assert (normals * outward).sum(-1).min() > 0.999


def test_equal_rows_are_found_in_order_of_first_appearance():
    table = np.array([[2.0, 1], [0.0, 5], [2, 1], [-0.0, 5], [1, 2]])
    first, group = unique_rows(table)
    assert (first.tolist(), group.tolist()) == ([0, 1, 4], [0, 1, 0, 1, 2])
    rng = np.random.default_rng(0)
    table = rng.integers(0, 12, (5000, 3))
    first, group = unique_rows(table)
    assert len(first) == len(np.unique(table, axis=0))
    assert (table[first][group] == table).all()


# ---------------------------------------------------------------------------------------------------------------------
# PLY, OFF, STL.

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


# ---------------------------------------------------------------------------------------------------------------------
# Files that are not there, empty, cut, or something else; and what is left behind by a full disk.


@pytest.mark.parametrize("suffix", [".glb", ".gltf", ".obj", ".ply", ".off", ".stl", ".npz"])
def test_files_that_are_no_files_are_told_apart(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(path)
    path.mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load(path)
    path.rmdir()
    path.write_bytes(b"")
    with pytest.raises(OSError, match="empty file"):
        load(path)
    path.write_bytes(bytes(range(256)) * 4)
    with pytest.raises(OSError, match=f"a{suffix}: "):
        load(path)


def test_a_cut_glb_says_both_sizes(tmp_path):
    save(tetrahedron(), tmp_path / "a.glb")
    data = (tmp_path / "a.glb").read_bytes()
    (tmp_path / "a.glb").write_bytes(data[:-100])
    with pytest.raises(OSError, match=f"truncated: header says {len(data)} bytes, file has {len(data) - 100}"):
        load(tmp_path / "a.glb")


def test_pickles_in_an_archive_are_not_run(tmp_path):
    np.savez(tmp_path / "a.npz", occupancy=np.array([print], dtype=object), world_from_grid=np.eye(4))
    with pytest.raises(OSError, match="not numbers"):
        load(tmp_path / "a.npz")


def test_an_archive_that_would_unpack_to_terabytes_is_refused(tmp_path):
    import io
    import zipfile

    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (10**4, 10**4, 10**4)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("occupancy.npy", head.getvalue())
    with pytest.raises(OSError, match="occupancy has shape"):
        load(tmp_path / "a.npz")


@contextlib.contextmanager
def full_disk(size: int):
    """Writing beyond `size` bytes of a file fails, as on a full disk. Python ignores the signal that comes with it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["old.ply", "a.glb", "a.obj", "a.off", "a.stl"])
def test_a_full_disk_leaves_the_old_file_or_nothing(tmp_path, name):
    save(tetrahedron(), tmp_path / "old.ply")
    before = (tmp_path / "old.ply").read_bytes()
    with full_disk(2000), pytest.raises(OSError, match=f"{name}: cannot be written: ") as caught:
        save(ico_sphere(3), tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert [p.name for p in tmp_path.iterdir()] == ["old.ply"]
    assert (tmp_path / "old.ply").read_bytes() == before


def test_an_interrupted_write_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------------------
# Real files.


def test_the_cow_has_the_colours_of_its_texture(maquette_data):
    mesh = load(maquette_data / "meshes" / "cow" / "cow.obj")
    picture = np.asarray(Image.open(maquette_data / "meshes" / "cow" / "cow_texture.png").convert("RGB"))
    assert (mesh.vertices.shape[0], mesh.faces.shape[0]) == (2930, 5856)
    assert torch.equal(mesh.appearance.image, torch.from_numpy(picture.astype(np.float32) / 255))


@pytest.mark.filterwarnings("ignore:load.*transparency is not kept")
def test_all_real_meshes_survive_a_round_trip_through_glb(maquette_data, tmp_path):
    files = sorted(p for p in (maquette_data / "meshes").rglob("*") if p.suffix in (".glb", ".gltf", ".obj"))
    assert len(files) == 223
    for path in files[::20]:
        mesh = load(path)
        save(mesh, tmp_path / "a.glb")
        same_mesh(load(tmp_path / "a.glb"), mesh)
