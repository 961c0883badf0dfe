"""`maquette prepare meshes FOLDER`: any folder of models becomes a data set of pictures and solids."""

import hashlib
import json
import os
import re
import warnings
import zlib
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from maquette import transforms
from maquette.data.entries import Entry
from maquette.data.prepare.folder import Built, Failure, Labour, Plan, Report, prepare
from maquette.data.prepare.making import R2N2_ELEVATION, R2N2_RANGE, Making, making_of
from maquette.data.prepare.manifest import Row, front_rotation, read_manifest
from maquette.data.prepare.styles import ViewsStyle, styled_pictures
from maquette.data.prepare.truth import mesh_surroundings, mesh_truth
from maquette.io import load
from maquette.shapes import Mesh, Texture, learning_from_world
from maquette.shapes.mesh import check

SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".off", ".stl")


@dataclass(frozen=True)
class PrepareMeshes:
    """Make a data set of a folder of models: GLB, glTF, OBJ, PLY, OFF, STL, in all its subfolders.

    Every file is accounted for: it becomes an object, or report.json says why not. The default cameras are those of the
    renders of Choy et al. 2016 (R2N2).
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Where the models are."""
    out: Path
    """Folder of the data set; an interrupted one is continued."""
    manifest: Path | None = None
    """CSV with the columns file (relative to the folder), label, front (+z, -z, +x, -x), split; only file is needed.
    A declared front is turned to +z, an undeclared one stays."""
    seed: int = 0
    """Another seed, other cameras, lights and points."""
    views: int = 24
    """Pictures of each object."""
    size: int = 137
    """Side of a picture in pixels."""
    points: int = 10_000
    """Points kept of each surface."""
    resolution: int = 32
    """Cells along each side of the voxel grid, 8 to 128 in steps of 8."""
    views_style: ViewsStyle = "r2n2"
    """Cameras: r2n2, within the ranges below; easy, or hard with the object off centre, as those of DISN."""
    elevation_deg: tuple[float, float] = R2N2_ELEVATION
    """Cameras of style r2n2 stand between these elevations; azimuths go all round."""
    distance: tuple[float, float] = R2N2_RANGE
    """Cameras of style r2n2 stand between these distances, in object diagonals."""
    workers: int | None = None
    """Processes; all cores if not given."""
    cluster: bool = False
    """Make the objects on a Ray cluster, or on a local one where there is none; all machines must see both folders."""
    limit_s: float = 300.0
    """Seconds after which a file is given up and reported."""

    def __post_init__(self) -> None:
        making_of("meshes", self, self.workers)


@dataclass(frozen=True)
class MeshJob:
    """One model file."""

    id: str
    path: Path
    source: str
    """The path relative to the folder."""
    row: Row


def prepare_meshes(config: PrepareMeshes) -> Report:
    """Make what is missing of the data set in `config.out`."""
    if not config.folder.is_dir():
        raise FileNotFoundError(f"{config.folder}: no such folder; give the folder that holds the models")
    rows = {} if config.manifest is None else read_manifest(config.manifest)
    names = model_files(config.folder, config.out)
    missing = tuple(
        Failure(name, "named in the manifest, but there is no such file")
        for name in rows
        if name not in names and not (config.folder / name).is_file()
    )
    named = [name for name in rows if name not in names and (config.folder / name).is_file()]
    names = sorted([*names, *named])
    if not names and not missing:
        raise ValueError(f"prepare meshes: {config.folder} holds no model; looked for {' '.join(SUFFIXES)}")
    ids = object_ids(names)
    jobs = [MeshJob(ids[name], config.folder / name, name, rows.get(name, Row())) for name in names]
    making = making_of("meshes", config, config.workers)
    identity: dict[str, object] = {**making.identity(), "manifest": _digest(rows)}
    undeclared = sum(1 for job in jobs if not job.row.front)
    remarks = (f"{undeclared} files have no declared front and keep their axes",) if undeclared else ()
    plan = Plan(config.out, "meshes", "files", identity, jobs, missing, remarks)
    how = Labour(config.workers or os.cpu_count() or 1, config.limit_s, config.cluster)
    return prepare(plan, partial(build_object, making), how)


def model_files(folder: Path, out: Path) -> list[str]:
    """Models in a folder and its subfolders, relative to it, with forward slashes; without hidden ones and `out`."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (Path(place) / name).resolve() != out.resolve()
        )
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in SUFFIXES:
                found.append((Path(place) / name).relative_to(folder).as_posix())
    return sorted(found)


def object_ids(names: list[str]) -> dict[str, str]:
    """A folder name for every file: letters and digits of its path without suffix; equal ones get a checksum."""
    plain = {
        name: re.sub(r"[^a-z0-9_]+", "-", str(Path(name).with_suffix("")).lower()).strip("-")[-100:] for name in names
    }
    count = Counter(plain.values())
    return {
        name: text if text and count[text] == 1 else f"{text or 'object'}-{zlib.crc32(name.encode()):08x}"
        for name, text in plain.items()
    }


def _digest(rows: dict[str, Row]) -> str:
    text = json.dumps({name: asdict(row) for name, row in sorted(rows.items())})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def build_object(making: Making, job: MeshJob) -> Built:
    """Pictures and truth of the model in a file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        shape = load(job.path)
    if not isinstance(shape, Mesh):
        raise ValueError(f"{job.path}: holds a {type(shape).__name__} without faces; a data set needs a surface")
    noticed = list(dict.fromkeys(str(warning.message) for warning in caught))
    # In float64: a model far from its origin must not lose digits on the way to the frame of learning.
    precise = check(shape, str(job.path)).vertices.double()
    turned = shape.with_vertices(transforms.apply(front_rotation(job.row.front).double(), precise))
    mesh = turned.with_vertices(transforms.apply(learning_from_world(turned).double(), turned.vertices).float())
    rng = np.random.default_rng((making.seed, zlib.crc32(job.id.encode())))
    seed = int(rng.integers(2**62))
    truth, more = mesh_truth(mesh, making.points, seed, resolution=making.resolution)
    about, facts = mesh_surroundings(mesh, truth.points, seed)
    if about is None:
        more = [*more, "no signed distances: the mesh is open and no place is surely inside what can be seen of it"]
    pictures = styled_pictures(mesh, making.views_style, making.ranges(), views=making.views, size=making.size, rng=rng)
    entry = Entry(job.id, job.row.category, job.row.split, job.source, making.views)
    notes = {
        "front": job.row.front or None,
        "faces": len(mesh.faces),
        "textured": isinstance(mesh.appearance, Texture),
        **facts,
        "warnings": noticed + more,
    }
    return entry, pictures, replace(truth, surroundings=about), notes
