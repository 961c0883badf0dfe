"""Files of shapes: what is saved comes back; what is no file, or cannot be written whole, is refused in one line."""

import contextlib
import resource
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.io import load, save
from maquette.io.atomic import atomic_path
from maquette.shapes.mesh import FaceColors, FaceSamples, Mesh, Texture, VertexColors, colors_at
from maquette.shapes.points import PointCloud
from maquette.shapes.primitives import ico_sphere
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
