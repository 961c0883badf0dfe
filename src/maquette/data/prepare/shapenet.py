"""`maquette prepare shapenet FOLDER`: the models of ShapeNetCore, version 1 or 2, become a data set.

FOLDER/<synset>/<model>/model.obj                          version 1, fronts at +x
FOLDER/<synset>/<model>/models/model_normalized.obj        version 2, fronts at -z
FOLDER/taxonomy.json                                       names of the synsets, if it is there
"""

import csv
import hashlib
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from maquette.data.dataset import read_json
from maquette.data.entries import SPLITS
from maquette.data.prepare.folder import Failure, Labour, Plan, Report, prepare
from maquette.data.prepare.making import R2N2_ELEVATION, R2N2_RANGE, making_of
from maquette.data.prepare.manifest import Row
from maquette.data.prepare.meshes import MeshJob, build_object
from maquette.data.prepare.styles import ViewsStyle
from maquette.data.shapenet import CATEGORIES

PLACES = {1: Path("model.obj"), 2: Path("models/model_normalized.obj")}
FRONTS = {1: "+x", 2: "-z"}
"""READMEs of ShapeNetCore; `maquette.conventions.world_from_shapenet` turns the same way."""


@dataclass(frozen=True)
class PrepareShapenet:
    """Make a data set of ShapeNetCore, version 1 or 2, as it is unpacked. Fronts are turned to +z."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Holds a folder for each synset."""
    out: Path
    """Folder of the data set; an interrupted one is continued."""
    splits: Path | None = None
    """CSV with the columns synsetId, modelId, split, or JSON {split: {synset: [models]}}; models that it does not name
    are left out, those that it names and that are not there are reported."""
    synsets: tuple[str, ...] = ()
    """Only these, by number or name; all if not given."""
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
    """Seconds after which a model is given up and reported."""

    def __post_init__(self) -> None:
        making_of("shapenet", self, self.workers)


def prepare_shapenet(config: PrepareShapenet) -> Report:
    """Make what is missing of the data set in `config.out`."""
    if not config.folder.is_dir():
        raise FileNotFoundError(f"{config.folder}: no such folder; give the one that holds the synsets")
    version, found = models_in(config.folder)
    names = synset_names(config.folder / "taxonomy.json")
    split_of = {} if config.splits is None else read_splits(config.splits)
    wanted = sorted(found if config.splits is None else split_of)
    if config.synsets:
        known = {synset for synset, _ in found} | {synset for synset, _ in split_of}
        unknown = [word for word in config.synsets if word not in known and word not in names.values()]
        if unknown:
            raise ValueError(f"prepare shapenet: no synset {unknown[0]!r}; there are {', '.join(sorted(known))}")
        wanted = [key for key in wanted if key[0] in config.synsets or names.get(key[0]) in config.synsets]
    jobs, missing = [], []
    for synset, model in wanted:
        source = f"{synset}/{model}"
        if (synset, model) not in found:
            missing.append(Failure(source, "named in the splits, but there is no such model"))
            continue
        row = Row(names.get(synset, synset), FRONTS[version], split_of.get((synset, model), "all"))
        path = config.folder / source / PLACES[version]
        jobs.append(MeshJob(f"{synset}-{model}", path, source, row))
    making = making_of("shapenet", config, config.workers)
    table = json.dumps(sorted((*key, split) for key, split in split_of.items()))
    identity = making.identity() | {
        "version": version,
        "splits": hashlib.sha256(table.encode()).hexdigest()[:16],
        "synsets": list(config.synsets),
    }
    plan = Plan(config.out, "shapenet", "models", identity, jobs, tuple(missing))
    how = Labour(config.workers or os.cpu_count() or 1, config.limit_s, config.cluster)
    return prepare(plan, partial(build_object, making), how)


def models_in(folder: Path) -> tuple[int, set[tuple[str, str]]]:
    """(version, {(synset, model)}) of a folder."""
    found: dict[int, set[tuple[str, str]]] = {1: set(), 2: set()}
    for synset in sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit()):
        for model in os.listdir(synset):
            for version, place in PLACES.items():
                if (synset / model / place).is_file():
                    found[version].add((synset.name, model))
    if found[1] and found[2]:
        raise ValueError(
            f"prepare shapenet: {folder} holds {len(found[1])} models of version 1 and {len(found[2])} of version 2, "
            "which look another way; give one version"
        )
    version = 1 if found[1] else 2
    if not found[version]:
        looked = " and ".join(f"<synset>/<model>/{place}" for place in PLACES.values())
        raise ValueError(f"prepare shapenet: {folder} holds no model; looked for {looked}")
    return version, found[version]


def synset_names(taxonomy: Path) -> dict[str, str]:
    """The first name of each synset: from the taxonomy's file, or of the thirteen usual ones."""
    if not taxonomy.is_file():
        return CATEGORIES
    try:
        return {item["synsetId"]: item["name"].split(",")[0] for item in read_json(taxonomy)}
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{taxonomy}: not a taxonomy: expected a list of synsetId and name") from error


def read_splits(path: Path) -> dict[tuple[str, str], str]:
    """{(synset, model): split} of a CSV or JSON file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the splits as CSV or JSON")
    rows: list[tuple[str, str, str]] = []
    if path.suffix == ".json":
        try:
            for split, synsets in read_json(path).items():
                rows += [(synset, model, split) for synset, models in synsets.items() for model in models]
        except (AttributeError, TypeError) as error:
            raise ValueError(f"{path}: not splits; expected {{split: {{synset: [models]}}}}") from error
    else:
        lines = csv.DictReader(path.read_text("utf-8-sig").splitlines())
        if not {"synsetId", "modelId", "split"} <= set(lines.fieldnames or ()):
            raise ValueError(f"{path}: the first line must name the columns synsetId, modelId, split")
        # Spreadsheets drop the leading zero of a synset.
        rows = [(line["synsetId"].zfill(8), line["modelId"], line["split"]) for line in lines]
    splits: dict[tuple[str, str], str] = {}
    for synset, model, split in rows:
        if split not in SPLITS:
            raise ValueError(f"{path}: {synset}/{model} has split {split!r}; give one of {', '.join(SPLITS)}")
        if splits.setdefault((synset, model), split) != split:
            raise ValueError(f"{path}: {synset}/{model} is in two splits")
    return splits
