"""Files broken at random, and files that lie about their size: a shape or one line, never a crash or a full memory."""

import contextlib
import io
import json
import os
import random
import resource
import struct
import subprocess
import sys
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from maquette.io import load, read_picture, save
from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors
from maquette.shapes.points import PointCloud
from maquette.shapes.verbs import Shape
from maquette.shapes.voxels import Voxels

# ---------------------------------------------------------------------------------------------------------------------
# Valid files of every format, small, with everything in them that our writers know.

CORNERS = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
FACES = torch.tensor([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]])
COLORS = torch.tensor([[1.0, 0, 0], [0, 0.2, 0], [0, 0, 0.6], [0.4, 0.8, 1]])


def shapes() -> list[Shape]:
    generator = torch.Generator().manual_seed(0)
    uv = torch.rand(4, 3, 2, generator=generator) * 2 - 0.5
    points = torch.randn(9, 3, generator=generator)
    return [
        Mesh(CORNERS, FACES, VertexColors(COLORS)),
        Mesh(CORNERS, FACES, FaceColors(COLORS)),
        Mesh(CORNERS, FACES, Texture(uv, torch.rand(6, 5, 3, generator=generator))),
        PointCloud(points, torch.rand(9, 3, generator=generator), torch.nn.functional.normalize(points, dim=-1)),
    ]


def written(folder: Path, suffix: str, kinds: tuple[type, ...]) -> list[bytes]:
    """What `save` makes of the shapes; the files that lie beside them (materials, textures) stay in the folder."""
    files = []
    for number, shape in enumerate(s for s in shapes() if isinstance(s, kinds)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save(shape, folder / f"seed{number}{suffix}")
        files.append((folder / f"seed{number}{suffix}").read_bytes())
    return files


def ply(form: str) -> bytes:
    """Quads and triangles, a list of texture coordinates, an element nobody knows."""
    head = f"ply\nformat {form} 1.0\ncomment x\nelement vertex 5\n"
    head += "".join(f"property {kind} {name}\n" for kind, name in PLY_COLUMNS)
    head += "element face 2\nproperty list uchar int vertex_indices\nproperty list uchar float texcoord\n"
    head += "element other 2\nproperty list ushort double values\nproperty char mark\nend_header\n"
    order = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}[form]
    rows = [[("3f3B", [k % 2, k // 2, k / 5, 255, 40 * k, 0])] for k in range(5)]
    for ring in ([0, 1, 3, 2], [0, 4, 1]):
        uv = [0.25] * (2 * len(ring))
        rows.append([(f"B{len(ring)}i", [len(ring), *ring]), (f"B{len(uv)}f", [len(uv), *uv])])
    rows += [[("H2db", [2, 0.5, 1.5, 7])], [("Hb", [0, -7])]]
    if form == "ascii":
        return (head + "\n".join(" ".join(str(x) for _, values in row for x in values) for row in rows)).encode()
    return head.encode() + b"".join(struct.pack(order + kind, *values) for row in rows for kind, values in row)


PLY_COLUMNS = [*(("float", axis) for axis in "xyz"), *(("uchar", name) for name in ("red", "green", "blue"))]


def ascii_stl() -> bytes:
    rows = []
    for face in CORNERS[FACES].tolist():
        rows += ["facet normal 0 0 1", "outer loop", *(f"vertex {x} {y} {z}" for x, y, z in face)]
        rows += ["endloop", "endfacet"]
    return "\n".join(["solid seed", *rows, "endsolid seed"]).encode()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, occupancy=np.ones((3, 2, 4), np.float32), world_from_grid=np.eye(4, dtype=np.float32))
    return file.getvalue()


def pictures() -> list[bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (7, 6, 4), np.uint8)
    files = []
    for kind, mode in [("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "RGB"), ("JPEG", "CMYK"), ("GIF", "P"),
                       ("WEBP", "RGBA"), ("BMP", "RGB"), ("TIFF", "RGB"), ("TIFF", "F"), ("TGA", "RGBA"),
                       ("PPM", "RGB"), ("DDS", "RGBA"), ("JPEG2000", "RGB")]:  # fmt: skip
        image = Image.fromarray(pixels).convert("L").convert("I;16") if mode == "I;16" else Image.fromarray(pixels)
        image = image if mode == "I;16" else image.convert("L").convert("F") if mode == "F" else image.convert(mode)
        file = io.BytesIO()
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(file, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP") else {}))
        files.append(file.getvalue())
    return files


# ---------------------------------------------------------------------------------------------------------------------
# Breaking them: blindly, and knowing the format, so that the damage lies deeper than the first check.

NUMBERS = [b"-1", b"99999999999999999999", b"0", b"1e400", b"nan", b"4294967295", b"1.5", b"2147483648", b"", b"x"]
VALUES = [
    None, True, -1, 0, 1, 7, 255, 2**31, 2**63, 2**70, 0.5, -1e300, float("nan"), float("inf"),
    "", "x", "data:,", "data:;base64,AAAA", "../../x", "VEC3", [], [0], [[]], {}, {"index": 0}, [1e300] * 3, [0.0] * 16,
]  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    match rng.randrange(6):
        case 0:
            return bytes(out[: rng.randrange(len(out))])
        case 1:
            for _ in range(rng.randint(1, 8)):
                out[rng.randrange(len(out))] = rng.randrange(256)
        case 2:
            at = rng.randrange(len(out))
            out[at : at + rng.randint(1, 40)] = b""
        case 3:
            at = rng.randrange(len(out))
            out[at:at] = out[rng.randrange(len(out)) :][: rng.randint(1, 40)]
        case 4:  # numbers are where counts and offsets are
            digits = [i for i, c in enumerate(out) if 48 <= c < 58]
            if digits:
                at = rng.choice(digits)
                out[at : at + 1] = rng.choice(NUMBERS)
        case 5:  # the same of binary files
            at = rng.randrange(len(out))
            out[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\x80"])
    return bytes(out)


def mutated_words(data: bytes, rng: random.Random) -> bytes:
    """Words and lines of a text replaced, doubled, left out."""
    lines = data.splitlines()
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(lines))
        words = lines[at].split()
        match rng.randrange(4):
            case 0 if words:
                words[rng.randrange(len(words))] = rng.choice([*NUMBERS, rng.choice(data.split())])
                lines[at] = b" ".join(words)
            case 1:
                lines.insert(at, rng.choice(lines))
            case 2 if len(lines) > 1:
                del lines[at]
            case _:
                lines[at] = lines[at] + b" " + rng.choice(NUMBERS)
    return b"\n".join(lines)


def mutated_tree(value: object, rng: random.Random) -> object:
    """One place of a JSON tree replaced, doubled or left out."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        changed = value.copy()
        action = rng.random()
        if action < 0.04:
            del changed[key]
        elif action < 0.08 and isinstance(changed, list):
            changed.append(changed[key])
        else:
            changed[key] = mutated_tree(value[key], rng)
        return changed
    return rng.choice(VALUES)


def mutated_gltf(data: bytes, rng: random.Random) -> bytes:
    tree = json.loads(data)
    for _ in range(rng.randint(1, 3)):
        tree = mutated_tree(tree, rng)
    return json.dumps(tree).encode()


def glb_parts(data: bytes) -> tuple[bytes, bytes]:
    size = struct.unpack("<I", data[12:16])[0]
    return data[20 : 20 + size], data[28 + size :]


def mutated_glb(data: bytes, rng: random.Random) -> bytes:
    """The JSON inside or the numbers behind it are broken; the lengths in the headers are right."""
    text, chunk = glb_parts(data)
    text, chunk = (mutated_gltf(text, rng), chunk) if rng.random() < 0.8 else (text, mutated(chunk, rng))
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(chunk), b"BIN\0") + chunk
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def mutated_npz(data: bytes, rng: random.Random) -> bytes:
    """Arrays broken within an archive whose checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    breaking = rng.choice([mutated, mutated_words])
    members[name] = breaking(members[name], rng)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return file.getvalue()


def mutated_png(data: bytes, rng: random.Random) -> bytes:
    """One chunk broken, with a right length and checksum; other kinds of pictures are broken blindly."""
    if not data.startswith(b"\x89PNG"):
        return mutated(data, rng)
    chunks, at = [], 8
    while at < len(data):
        size = struct.unpack(">I", data[at : at + 4])[0]
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    which = rng.randrange(len(chunks))
    kind, body = chunks[which]
    chunks[which] = (kind, mutated(body, rng) if body else b"\0")
    packed = (struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    return data[:8] + b"".join(packed)


Breaking = Callable[[bytes, random.Random], bytes]
MESHES, ALL = (Mesh,), (Mesh, PointCloud)
FORMATS: dict[str, tuple[str, Callable[[Path], list[bytes]], tuple[Breaking, ...]]] = {
    "obj": ("a.obj", lambda folder: written(folder, ".obj", ALL), (mutated, mutated_words)),
    "ply": ("a.ply", lambda folder: written(folder, ".ply", ALL), (mutated,)),
    "ply ascii": ("a.ply", lambda folder: [ply("ascii")], (mutated, mutated_words)),
    "ply little": ("a.ply", lambda folder: [ply("binary_little_endian")], (mutated,)),
    "ply big": ("a.ply", lambda folder: [ply("binary_big_endian")], (mutated,)),
    "stl": ("a.stl", lambda folder: written(folder, ".stl", MESHES), (mutated,)),
    "stl ascii": ("a.stl", lambda folder: [ascii_stl()], (mutated, mutated_words)),
    "off": ("a.off", lambda folder: written(folder, ".off", MESHES), (mutated, mutated_words)),
    "glb": ("a.glb", lambda folder: written(folder, ".glb", ALL), (mutated, mutated_glb, mutated_glb)),
    "gltf": ("a.gltf", lambda folder: gltf_beside_buffers(folder), (mutated, mutated_gltf, mutated_gltf)),
    "npz": ("a.npz", lambda folder: [npz()], (mutated, mutated_npz)),
    "picture": ("a.png", lambda folder: pictures(), (mutated, mutated_png)),
}  # fmt: skip


def gltf_beside_buffers(folder: Path) -> list[bytes]:
    """The JSON of our GLB files with the bytes beside it, in a hierarchy with every kind of transform."""
    texts = []
    for number, data in enumerate(written(folder, ".glb", ALL)):
        text, chunk = glb_parts(data)
        (folder / f"b{number}.bin").write_bytes(chunk)
        tree = json.loads(text)
        tree["buffers"] = [{"uri": f"b{number}.bin", "byteLength": len(chunk)}]
        tree["nodes"] = [
            {"children": [1, 2], "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]},
            {"mesh": 0, "translation": [0, 0, 1], "rotation": [0, 0, 0, 1], "scale": [1, 1, 2], "skin": 0},
            {"mesh": 0},
        ]
        tree["skins"] = [{"joints": [0, 1]}]
        tree["scenes"], tree["scene"] = [{"nodes": [0]}], 0
        texts.append(json.dumps(tree).encode())
    return texts


@contextlib.contextmanager
def memory(gigabytes: float):
    """At most so much more address space: a bomb becomes a MemoryError. Where the system tells it (Linux)."""
    statm = Path("/proc/self/statm")
    if not statm.is_file():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(statm.read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + int(gigabytes * 2**30), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def try_to_read(path: Path) -> None:
    """Reads; lets nothing pass but a sound shape, or an error of one line that begins with the path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"load: ", UserWarning)  # what was left out
        try:
            shape = read_picture(path) if path.suffix == ".png" else load(path)
        except (OSError, ValueError) as error:
            assert str(error).startswith(f"{path}: "), error
            assert len(str(error).splitlines()) == 1, error
            assert len(str(error)) < 400 + len(str(path)), error
            return
    match shape:
        case Mesh(vertices, faces):
            assert torch.isfinite(vertices).all()
            assert 0 <= faces.min() and faces.max() < len(vertices)
        case PointCloud(points):
            assert torch.isfinite(points).all()
        case Voxels(occupancy):
            assert torch.isfinite(occupancy).all()
        case torch.Tensor():
            assert shape.shape[-1] == 4 and 0 <= shape.min() and shape.max() <= 1


def fuzz(folder: Path, name: str, rounds: int, seed: int) -> None:
    rng = random.Random(f"{name} {seed}")
    file, make, breakings = FORMATS[name]
    seeds = make(folder)
    path = folder / file
    for data in seeds:  # the seeds themselves are whole, or nothing is tested
        path.write_bytes(data)
        read_picture(path) if file == "a.png" else load(path)
    with memory(1.0):
        for number in range(rounds):
            data = rng.choice(breakings)(rng.choice(seeds), rng)
            path.write_bytes(data)
            try:
                try_to_read(path)
            except BaseException as error:
                error.add_note(f"{name}, seed {seed}, round {number}: {data[:2000]!r}")
                raise


@pytest.mark.parametrize("name", FORMATS)
def test_randomly_broken_files_give_a_shape_or_one_line(tmp_path, name):
    fuzz(tmp_path, name, 60, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_randomly_broken_files_give_a_shape_or_one_line(tmp_path, name):
    fuzz(tmp_path, name, 8_500, seed=1)


def test_broken_material_files_and_textures_give_a_mesh_with_a_warning(tmp_path):
    rng = random.Random(0)
    shape = shapes()[2]
    save(shape, tmp_path / "a.obj")
    library, picture = tmp_path / "a.mtl", tmp_path / "a_texture.png"
    for path, breakings in ((library, (mutated, mutated_words)), (picture, (mutated, mutated_png))):
        good = path.read_bytes()
        for _ in range(60):
            path.write_bytes(rng.choice(breakings)(good, rng))
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", r"load: ", UserWarning)
                assert isinstance(load(tmp_path / "a.obj"), Mesh)
        path.write_bytes(good)


# ---------------------------------------------------------------------------------------------------------------------
# Files that lie about their size.


def glb(tree: dict, chunk: bytes = b"") -> bytes:
    text = json.dumps({"asset": {"version": "2.0"}} | tree).encode()
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(chunk), b"BIN\0") + chunk
    return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def triangles_of(accessor: dict) -> dict:
    return {
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "nodes": [{"mesh": 0}],
        "accessors": [{"componentType": 5126, "type": "VEC3"} | accessor],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36}],
    }


def archive(shape: tuple[int, ...], size: int, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive whose array says it has `shape` and holds `size` zeros."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": shape})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as target:
        target.writestr("occupancy.npy", head.getvalue() + bytes(size))
    return file.getvalue()


def long_header(size: int) -> bytes:
    """An archive whose array has `size` zeros where its header should be: a thousandth of that, when packed."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target, target.open("occupancy.npy", "w") as array:
        array.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", size))
        for _ in range(size // 2**20):
            array.write(bytes(2**20))
    return file.getvalue()


XYZ = b"property float x\nproperty float y\nproperty float z\n"
PLY_BOMB = b"ply\nformat %s 1.0\nelement vertex %d\n" + XYZ + b"end_header\n0 0 0"
PLY_LIST = b"ply\nformat binary_little_endian 1.0\nelement face 1\nproperty list uint int vertex_indices\nend_header\n"
BOMBS = {
    "ascii.ply": PLY_BOMB % (b"ascii", 2_000_000_000),
    "binary.ply": PLY_BOMB % (b"binary_little_endian", 2_000_000_000),
    "empty_rows.ply": b"ply\nformat ascii 1.0\nelement vertex 9000000000000000\nend_header\n",
    "list.ply": PLY_LIST + b"\xff\xff\xff\xff",
    "binary.stl": bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50),
    "a.off": b"OFF\n2000000000 2000000000 0\n0 0 0\n",
    "face.off": b"OFF\n1 1 0\n0 0 0\n2000000000 0 0 0\n",
    "accessor.glb": glb(triangles_of({"bufferView": 0, "count": 2**31}), bytes(36)),
    "without_data.glb": glb(triangles_of({"count": 2**31})),
    "sparse.glb": glb(
        triangles_of({"count": 3, "sparse": {"count": 2**31, "indices": {"bufferView": 0, "componentType": 5125},
                                             "values": {"bufferView": 0}}}), bytes(36)),
    # Made when they are asked for: it takes a while.
    "truncated.npz": lambda: archive((512, 512, 512), 1000),
    "zeros.npz": lambda: archive((1024, 1024, 1024), 1000),
    "negative.npz": lambda: archive((-1, -(10**9), 1), 1000),
    "header.npz": lambda: long_header(2**28),
    "lzma.npz": archive((2, 2, 2), 8, zipfile.ZIP_LZMA).replace(b"\x5d\x00", b"\xff\xff", 1),
    "stride.glb": glb(triangles_of({"bufferView": 0, "count": 1}) | {
        "bufferViews": [{"buffer": 0, "byteLength": 36, "byteStride": 10**30}]}, bytes(36)),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_count_that_the_file_cannot_hold_is_refused_before_memory_is_taken(tmp_path, name):
    made = BOMBS[name]
    (tmp_path / name).write_bytes(made() if callable(made) else made)
    started = time.process_time()
    with memory(0.2), pytest.raises(OSError) as caught:
        load(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert len(str(caught.value).splitlines()) == 1
    assert time.process_time() - started < 2  # counting to two thousand million would take longer


def test_many_large_textures_of_zeros_are_left_out_when_they_pass_the_limit_together(tmp_path, monkeypatch):
    monkeypatch.setattr("maquette.io.pictures.MOST_TEXELS", 250)
    save(shapes()[2], tmp_path / "a.obj")
    for number in range(4):
        Image.new("RGB", (10, 10), (number, 0, 0)).save(tmp_path / f"{number}.png")
    library = "".join(f"newmtl m{k}\nmap_Kd {k}.png\n" for k in range(4))
    (tmp_path / "a.mtl").write_text(library)
    text = (tmp_path / "a.obj").read_text().replace("usemtl texture\n", "")
    faces = [line for line in text.splitlines() if line.startswith("f ")]
    for number, line in enumerate(faces):
        text = text.replace(line, f"usemtl m{number}\n{line}")
    (tmp_path / "a.obj").write_text(text)
    with pytest.warns(UserWarning, match="more than 0 million pixels together") as told:
        load(tmp_path / "a.obj")
    assert len([w for w in told if "together" in str(w.message)]) == 2


@pytest.mark.slow
def test_instances_do_not_multiply_a_small_file_without_end(tmp_path):
    """2,000 nodes that all show one mesh of 30,000 vertices."""
    points = np.random.default_rng(0).random((30_000, 3), np.float32)
    tree = triangles_of({"bufferView": 0, "count": len(points)})
    tree["nodes"] = [{"mesh": 0}] * 2_000
    tree["bufferViews"][0]["byteLength"] = tree["buffers"][0]["byteLength"] = points.nbytes
    (tmp_path / "a.glb").write_bytes(glb(tree, points.tobytes()))
    with memory(2.0), pytest.raises(OSError, match="more than 20 million vertices or faces"):
        load(tmp_path / "a.glb")


# ---------------------------------------------------------------------------------------------------------------------
# Real files that broke other readers.

EACH_IN_A_PROCESS = """
import json, os, resource, signal, sys, warnings
import PIL.Image
from maquette.io import load

warnings.simplefilter("ignore")
for paths in json.load(sys.stdin):
    if (child := os.fork()) == 0:
        signal.alarm(10)
        told = []
        for path in paths:
            try:
                load(path)
                told.append("a shape")
            except (OSError, ValueError) as error:
                told.append(str(error))
        print(json.dumps([resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, told]), flush=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        print(json.dumps([0, [f"ended with {os.waitstatus_to_exitcode(status)}"]]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_files_that_broke_other_readers_load_or_fail_in_a_line_within_ten_seconds_and_a_gigabyte(
    maquette_data, tmp_path
):
    """Each in a process of its own: as it is, and what has no suffix that is known under every suffix."""
    known = (".glb", ".gltf", ".obj", ".ply", ".off", ".stl", ".npz")
    jobs = []
    for number, path in enumerate(sorted(p for p in (maquette_data / "malformed").rglob("*") if p.is_file())):
        copies = [] if path.suffix.lower() in known else [tmp_path / f"{number}{suffix}" for suffix in known]
        for copy in copies:
            copy.write_bytes(path.read_bytes())
        jobs.append([str(path), *map(str, copies)])
    run = subprocess.run(
        [sys.executable, "-c", EACH_IN_A_PROCESS], input=json.dumps(jobs), capture_output=True, text=True, check=True
    )
    results = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(results) == len(jobs) > 100
    shapes_read = 0
    for paths, (kilobytes, told) in zip(jobs, results, strict=True):
        assert kilobytes < 2**20, paths[0]
        for path, said in zip(paths, told, strict=True):
            assert said == "a shape" or (path in said and len(said.splitlines()) == 1), (path, said)
            shapes_read += said == "a shape"
    assert shapes_read > 40
