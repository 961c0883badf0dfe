"""What stands beside a network's scores: the mean shape of a category, retrieval, and the oracle.

All three answer with something from the training set, so a network that has learnt more than to look up must beat
them. Q objects to measure, M training objects, K training views.
"""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette.data.pack import Pack
from maquette.io.atomic import atomic_path
from maquette.metrics import f_score, failure_of, match
from maquette.models import SingleView
from maquette.ops.nearest_sets import nearest_sets
from maquette.shapes import Mesh, Voxels, sample, to_mesh

Advance = Callable[[int], object]
"""Told how many items have been done since the last call."""

THUMBNAIL = 16
"""Pixels a side of the picture feature that needs no training."""
LEVELS = tuple(round(0.05 * step, 2) for step in range(1, 15))
"""Occupancies tried as the surface of a mean shape."""
LEVEL_OBJECTS = 24
"""Training objects of a category on which its level is chosen."""
LEVEL_POINTS = 2048
ORACLE_POINTS = 512
"""Points of each shape in the search for the oracle's candidates."""
ORACLE_CANDIDATES = 64
ORACLE_CHOICE_POINTS = 2048
"""Points by which the best candidate is chosen."""
CHOICE_THRESHOLD = 0.05


# --------------------------------------------------------------------------------------------------------- mean shapes


@dataclass(frozen=True)
class MeanShape:
    """The average training object of a category."""

    occupancy: Float[Tensor, "Z Y X"]
    """Share of the category's training objects that fill the cell."""
    level: float
    """Occupancy at which the surface is taken."""
    objects: int
    """Training objects averaged."""

    @property
    def voxels(self) -> Voxels:
        return Voxels(self.occupancy, torch.eye(4))

    def surface(self) -> Mesh:
        return to_mesh(self.voxels, level=self.level)


def mean_shapes(training: Pack, advance: Advance) -> dict[str, MeanShape]:
    """The mean shape of every named category, its level the best for F@0.05 on evenly spaced training objects."""
    categories: dict[str, list[int]] = {}
    for index, entry in enumerate(training.entries):
        if entry.category:
            categories.setdefault(entry.category, []).append(index)
    shapes = {}
    for category, members in sorted(categories.items()):
        total = np.zeros((training.resolution,) * 3)
        for start in range(0, len(members), 256):
            total += training.unpacked_voxels(np.array(members[start : start + 256])).sum(0)
        occupancy = torch.from_numpy((total / len(members)).astype(np.float32))
        count = min(LEVEL_OBJECTS, len(members))
        judges = [members[i * len(members) // count] for i in range(count)]
        shapes[category] = MeanShape(occupancy, best_level(occupancy, training, judges), len(members))
        advance(1)
    return shapes


def best_level(occupancy: Float[Tensor, "Z Y X"], training: Pack, judges: list[int]) -> float:
    """The one of LEVELS with the highest mean F@0.05 on some training objects; the lowest of equals."""
    clouds = torch.from_numpy(training.points[np.array(judges), :LEVEL_POINTS].astype(np.float32))
    best, best_f = LEVELS[0], -1.0
    for level in LEVELS:
        surface = to_mesh(Voxels(occupancy, torch.eye(4)), level=level)
        if failure_of(surface):
            continue
        drawn = sample(surface, LEVEL_POINTS, generator=torch.Generator().manual_seed(0)).points
        matches = match(drawn.expand(len(clouds), -1, -1).contiguous(), clouds)
        f = float(f_score(matches, [CHOICE_THRESHOLD]).f.mean())
        if f > best_f:
            best, best_f = level, f
    return best


def save_mean_shapes(path: Path, shapes: dict[str, MeanShape]) -> None:
    """A small file beside a run, so that it can be measured where its training data is not."""
    names = sorted(shapes)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            categories=np.array(names),
            occupancy=np.stack([shapes[name].occupancy.numpy() for name in names]).astype(np.float16),
            level=np.array([shapes[name].level for name in names]),
            objects=np.array([shapes[name].objects for name in names]),
        )


def load_mean_shapes(path: Path) -> dict[str, MeanShape]:
    """What `save_mean_shapes` wrote, to 16-bit occupancies."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {
                str(name): MeanShape(torch.from_numpy(occupancy.astype(np.float32)), float(level), int(objects))
                for name, occupancy, level, objects in zip(
                    *(arrays[key] for key in ("categories", "occupancy", "level", "objects")), strict=True
                )
            }
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise OSError(f"{path}: not a file of mean shapes: {error}; evaluate again with the training data") from error


# ----------------------------------------------------------------------------------------------------------- retrieval


def thumbnails(pictures: Float[Tensor, "B 4 S S"]) -> Float[Tensor, "B D"]:
    """A picture as 16 x 16 means of grey (over black) and of the mask: a feature without training."""
    alpha = pictures[:, 3:]
    grey = pictures[:, :3].mean(1, keepdim=True) * alpha
    return torch.nn.functional.adaptive_avg_pool2d(torch.cat([grey, alpha], 1), THUMBNAIL).flatten(1)


@dataclass(frozen=True)
class Retrieved:
    """The training view that is nearest, for each picture and by each feature: its place in the pack."""

    encoder: Int[Tensor, " Q"]
    """By the cosine of the trained encoder's features, or of the codes that the data holds in their place."""
    thumbnail: Int[Tensor, " Q"]
    """By the Euclidean distance of `thumbnails`."""

    def by_feature(self) -> dict[str, Int[Tensor, " Q"]]:
        return {"retrieval_encoder": self.encoder, "retrieval_thumbnail": self.thumbnail}


@torch.no_grad()
def retrieve(
    model: SingleView,
    training: Pack,
    features: Float[Tensor, "Q D"],
    small: Float[Tensor, "Q E"],
    advance: Advance,
    *,
    batch: int = 64,
) -> Retrieved:
    """Search all views of all training objects. `features` and `small` are the pictures' own, by encoder and thumbnail.

    Training features are compared as they come and never kept, so memory does not grow with the training set.
    """
    device = features.device
    wanted = torch.nn.functional.normalize(features, dim=1)
    best = torch.full((2, len(features)), -torch.inf, device=device)
    view = torch.zeros(2, len(features), dtype=torch.int64, device=device)
    for start in range(0, len(training.views), batch):
        views = torch.from_numpy(np.array(training.views[start : start + batch]))
        pictures = views.to(device).permute(0, 3, 1, 2) / 255
        given = (
            pictures if training.codes is None else torch.from_numpy(np.array(training.codes[start : start + batch]))
        )
        cosine = wanted @ torch.nn.functional.normalize(model.encode(given.to(device)).code, dim=1).T
        nearness = -torch.cdist(small, thumbnails(pictures), compute_mode="donot_use_mm_for_euclid_dist")
        for row, likeness in enumerate((cosine, nearness)):
            value, index = likeness.max(1)
            better = value > best[row]
            best[row] = torch.where(better, value, best[row])
            view[row] = torch.where(better, index + start, view[row])
        advance(len(pictures))
    return Retrieved(*view.cpu())


# -------------------------------------------------------------------------------------------------------------- oracle


def oracle_points(points: Float[np.ndarray, "N 3"]) -> Float[Tensor, "P 3"]:
    """As many points as the oracle looks at; a truth with fewer repeats them."""
    return torch.from_numpy(np.resize(points, (ORACLE_CHOICE_POINTS, 3)))


def oracle(truths: Float[Tensor, "Q N 3"], training: Pack, advance: Advance) -> Int[Tensor, " Q"]:
    """The training object that suits each truth best: what no retrieval can beat by much, since this sees the truth.

    Of the 64 training objects nearest by chamfer distance of 512 points (exact, over all training objects), the one
    with the highest F@0.05 at 2,048 points.
    """
    sets = torch.from_numpy(training.points[:, :ORACLE_POINTS].astype(np.float32))
    count = min(ORACLE_CANDIDATES, len(sets))
    chosen = torch.empty(len(truths), dtype=torch.int64)
    for start in range(0, len(truths), 8):
        piece = truths[start : start + 8]
        candidates, _ = nearest_sets(piece[:, :ORACLE_POINTS].contiguous(), sets, count)
        for q, (truth, indices) in enumerate(zip(piece, candidates, strict=True), start):
            clouds = torch.from_numpy(training.points[indices.numpy(), :ORACLE_CHOICE_POINTS].astype(np.float32))
            cloud = truth[:ORACLE_CHOICE_POINTS].expand(count, -1, -1)
            f = f_score(match(clouds, cloud.contiguous()), [CHOICE_THRESHOLD]).f[:, 0]
            chosen[q] = indices[f.argmax()]
        advance(len(piece))
    return chosen
