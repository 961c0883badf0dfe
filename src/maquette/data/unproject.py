"""`maquette unproject VIEWS --out CLOUD`: RGB-D views to the cloud of points that they are pictures of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import tyro

from maquette.data.rgbd import (
    JUMP,
    distances_between_neighbours,
    measured,
    strided,
    unproject,
    without_flying_pixels,
)
from maquette.data.rgbd_files import MILLIMETRES, load_rgbd_archive, load_rgbd_folder
from maquette.io import save
from maquette.shapes import PointCloud, thin, union

CLOUDS = (".ply", ".glb", ".obj")


@dataclass(frozen=True)
class UnprojectConfig:
    """RGB-D views to a coloured cloud."""

    views: tyro.conf.Positional[Path]
    """A folder with color/, depth/ (16-bit PNG), trajectory.log and a camera's .json; or an .npz archive of views."""
    out: Path
    """The union of all views, in one frame: .ply .glb .obj"""
    each: bool = False
    """Write the cloud of each view, too, beside the union: NAME_0.ply, NAME_1.ply, ..."""
    only: tuple[int, ...] = ()
    """Numbers of the views to take, from 0; all of them if none is named."""
    near: float = 0.0
    """Depths up to this are left out, in world units."""
    far: float = float("inf")
    """Depths above this are left out, in world units."""
    jump: float = JUMP
    """Pixels at which depth jumps by more than this part of it, and so fly between things, are left out. inf: none."""
    stride: int = 1
    """Take every n-th pixel of every n-th row."""
    thin: float | None = None
    """Keep one point, the mean, in each cell of a grid with this edge, in world units."""
    trajectory: Path | None = None
    """Camera-to-world matrices of a folder's views; by default its trajectory.log or odometry.log."""
    intrinsics: Path | None = None
    """The camera of a folder's views; by default the only .json in it or above it."""
    steps_per_unit: float = MILLIMETRES
    """Steps of a folder's depth pictures in one world unit: 1000 for millimetres to metres."""
    force: bool = False
    """Write over existing files."""

    def __post_init__(self):
        if self.out.suffix.lower() not in CLOUDS:
            raise ValueError(
                f"unproject: no cloud is called {self.out.suffix!r} ({self.out}); one of {', '.join(CLOUDS)}"
            )


def unproject_views(config: UnprojectConfig) -> None:
    """Write the union of the views, and say how well neighbouring views lie on each other."""
    _refuse_existing([config.out], config)
    if config.views.suffix.lower() == ".npz":
        views = load_rgbd_archive(config.views)
    else:
        views = load_rgbd_folder(
            config.views,
            trajectory=config.trajectory,
            intrinsics=config.intrinsics,
            steps_per_unit=config.steps_per_unit,
        )
    count = len(views.depth)
    taken = config.only or tuple(range(count))
    for k in taken:
        if not 0 <= k < count:
            raise ValueError(f"unproject: view {k} of {count} in {config.views}; they are numbered from 0")
    files = [config.out.with_stem(f"{config.out.stem}_{k}") for k in taken] if config.each else []
    _refuse_existing(files, config)

    clouds = []
    for k in taken:
        view = without_flying_pixels(measured(views[k], near=config.near, far=config.far), jump=config.jump)
        clouds.append(unproject(strided(view, config.stride)))
        print(f"view {k}: {len(clouds[-1].points):,} of {views.depth[k].numel():,} pixels")
    if not any(len(cloud.points) for cloud in clouds):
        raise ValueError(f"unproject: no pixel of {config.views} is left; widen --near, --far and --jump")
    _tell_distances(taken, clouds)
    written = [*zip(clouds, files, strict=True)] if config.each else []
    for cloud, file in [*written, (union(clouds), config.out)]:
        if len(cloud.points) == 0:
            print(f"{file}: not written, the view has no points")
            continue
        cloud = cloud if config.thin is None else thin(cloud, config.thin)
        save(cloud, file)
        print(f"{file}: {len(cloud.points):,} points")


def _tell_distances(taken: Sequence[int], clouds: Sequence[PointCloud]) -> None:
    seen = [(k, cloud) for k, cloud in zip(taken, clouds, strict=True) if len(cloud.points)]
    if len(seen) < 2:
        return
    distances = distances_between_neighbours([cloud for _, cloud in seen])
    for ((here, _), (there, _)), (forth, back) in zip(pairwise(seen), distances, strict=True):
        print(f"views {here} and {there}: median distance {float(forth):.4g} there, {float(back):.4g} back")
    print(f"largest median distance between neighbouring views: {max(map(float, sum(distances, ()))):.4g} world units")


def _refuse_existing(files: Sequence[Path], config: UnprojectConfig) -> None:
    for file in files:
        if file.exists() and not config.force:
            raise FileExistsError(f"{file}: exists; give another --out, or --force to write over it")
