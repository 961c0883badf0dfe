"""`maquette prepare synthetic`: procedural objects with exact truth."""

import math
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from maquette.data.dataset import Truth
from maquette.data.entries import Entry
from maquette.data.prepare.folder import Built, Labour, Plan, Report, prepare
from maquette.data.prepare.making import Making, making_of
from maquette.data.prepare.styles import ViewsStyle, styled_pictures
from maquette.data.prepare.truth import surroundings
from maquette.data.prepare.wild import wild_pictures
from maquette.shapes.voxelize import cells_touched, solid_cells

NUMBERS_PER_SEED = 10_000_000
"""Object n of `--seed s` is the generator's number s * NUMBERS_PER_SEED + n."""
ENOUGH_TO_TOUCH = 10_000
"""Surface points by which cells are found that the surface passes through, of grids of 32^3."""
ELEVATION, DISTANCE = (-5.0, 40.0), (1.1, 2.2)


@dataclass(frozen=True)
class PrepareSynthetic:
    """Make a data set of procedural objects: chairs, sofas, tables, lamps, beds, cars, planes, vases.

    The same number of the same seed always gives the same bytes, whatever the count: a data set can be enlarged by
    running the command again with a larger one.
    """

    out: Path
    """Folder of the data set; an interrupted one is continued."""
    count: int = 1000
    """Objects."""
    seed: int = 0
    """Another seed, other objects."""
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
    elevation_deg: tuple[float, float] = ELEVATION
    """Cameras of style r2n2 stand between these elevations; azimuths go all round."""
    distance: tuple[float, float] = DISTANCE
    """Cameras of style r2n2 stand between these distances, in object diagonals."""
    conditions: Literal["studio", "wild"] = "studio"
    """Of the training pictures: even light, or lenses, lights, colours and finishes of every sort. Validation and test
    pictures are always taken in the studio."""
    stretched: float = 0.0
    """Share of the training objects that are stretched unevenly along each axis. Validation and test objects never
    are."""
    val: float = 0.05
    """Share of objects for validation."""
    test: float = 0.05
    """Share of objects for the test; a quarter of them shows combinations of parts that training never does."""
    workers: int | None = None
    """Processes; all cores if not given."""
    cluster: bool = False
    """Make the objects on a Ray cluster, or on a local one where there is none; all machines must see the folder."""
    limit_s: float = 120.0
    """Seconds after which an object is given up and reported."""

    def __post_init__(self) -> None:
        _making(self)
        if self.count < 1:
            raise ValueError(f"prepare synthetic: count is {self.count}; ask for at least one object")
        if self.seed < 0:
            raise ValueError(f"prepare synthetic: seed is {self.seed}; give 0 or more")
        if not 0 <= self.stretched <= 1:
            raise ValueError(f"prepare synthetic: stretched is {self.stretched}; it is a share, give 0 to 1")
        if min(self.val, self.test) < 0 or self.val + self.test > 1:
            raise ValueError(
                f"prepare synthetic: val {self.val} and test {self.test} are shares; their sum is at most 1"
            )
        if self.conditions == "wild" and self.views_style != "r2n2":
            raise ValueError("prepare synthetic: wild conditions have their own cameras; leave --views-style out")


@dataclass(frozen=True)
class _Job:
    id: str
    number: int
    category: str
    split: str

    @property
    def source(self) -> str:
        return f"synthetic {self.number}"


def _making(config: PrepareSynthetic) -> Making:
    return making_of("synthetic", config, config.workers, elevation_deg=ELEVATION, distance=DISTANCE)


def prepare_synthetic(config: PrepareSynthetic) -> Report:
    """Make what is missing of the data set in `config.out`."""
    jobs = []
    for n, split in enumerate(shared_out(config.count, config.val, config.test)):
        category = _category(config.seed, n)
        jobs.append(_Job(f"{category}-{n:06d}", config.seed * NUMBERS_PER_SEED + n, category, split))
    identity = _making(config).identity() | {"val": config.val, "test": config.test, "conditions": config.conditions}
    if config.stretched:  # told only where it is not as it was before
        identity |= {"stretched": config.stretched}
    plan = Plan(config.out, "synthetic", "objects", identity, jobs)
    how = Labour(config.workers or os.cpu_count() or 1, config.limit_s, config.cluster)
    return prepare(plan, partial(_build, config), how)


def shared_out(count: int, val: float, test: float) -> list[str]:
    """Spreads each share evenly over the numbers, so that it does not depend on the count.

    Where both fall on one number the test takes it, and validation the next one that is free.
    """
    splits, owed = [], 0
    for n in range(count):
        owed += math.floor((n + 1) * val + 0.5) - math.floor(n * val + 0.5)
        if math.floor((n + 1) * test) > math.floor(n * test):
            splits.append("test")
        elif owed:
            splits.append("val")
            owed -= 1
        else:
            splits.append("train")
    return splits


def _category(seed: int, n: int) -> str:
    """Every run of as many numbers as there are categories holds each once, in a random order."""
    from maquette.data.synthetic import CATEGORIES

    block, place = divmod(n, len(CATEGORIES))
    return CATEGORIES[np.random.default_rng((seed, block)).permutation(len(CATEGORIES))[place]]


def _build(config: PrepareSynthetic, job: _Job) -> Built:
    from maquette.data.synthetic import make_object
    from maquette.data.synthetic.solids import as_drawn, as_stretched

    made = make_object(job.number, job.split, job.category)
    # Streams of their own, so that more points do not change the views.
    for_views, for_points, for_stretch = (np.random.default_rng((job.number, stream)) for stream in (1, 2, 5))
    training = job.split == "train"
    changed = training and bool(for_stretch.random() < config.stretched)
    solid = as_stretched(made, for_stretch) if changed else as_drawn(made)
    making = _making(config)
    if config.conditions == "wild" and training:
        pictures = wild_pictures(solid.mesh, solid.face_labels, views=config.views, size=config.size, rng=for_views)
    else:
        style, ranges = making.views_style, making.ranges()
        pictures = styled_pictures(solid.mesh, style, ranges, views=config.views, size=config.size, rng=for_views)
    enough = ENOUGH_TO_TOUCH * max(1, config.resolution // 32) ** 2
    surface = solid.sample(max(config.points, enough), for_points)
    voxels = solid_cells(solid.inside, cells_touched(surface.points, config.resolution), surface.points)
    n = config.points
    truth = Truth(
        surface.points[:n].astype(np.float32),
        surface.normals[:n].astype(np.float32),
        made.face_labels[surface.faces[:n]].astype(np.int16),
        made.label_names,
        voxels,
        surroundings(solid.distance, surface.points[:n], job.number),
    )
    facts: dict[str, object] = {"number": job.number, "front": "+z"}
    if config.stretched:
        facts["stretched"] = changed
    entry = Entry(job.id, job.category, job.split, job.source, config.views)
    return entry, pictures, truth, facts
