"""glTF files: what they say is what is seen, what is broken is refused in one line, what is written serves viewers."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.io import load, save, write_json
from maquette.io.glb import corner_normals
from maquette.io.rows import unique_rows
from maquette.shapes.mesh import VertexColors, face_normals
from maquette.shapes.primitives import cube, ico_sphere
from test_io_meshes import (
    TETRAHEDRON,
    TETRAHEDRON_FACES,
    cloud,
    corner_colors,
    face_colored,
    flat_png,
    tetrahedron,
    textured,
    vertex_colored,
)


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
