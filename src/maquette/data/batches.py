"""Batches from a pack: pictures and truth, augmented. Every object of a batch follows from (seed, step, its place).

So resuming at a step gives the batches that an uninterrupted training would have seen, and several processes that take
a part of each give the batches of one. B pictures a batch.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from maquette.data.augment import Augmentation, turned_voxels, varied, viewer_from_object
from maquette.data.pack import Pack
from maquette.data.targets import Targets

SAMPLED = 2048
"""Truth points a step and object."""
ASKED = 1024
"""Queries a step and object."""
WHOLE = slice(None)


def objects_at(count: int, size: int, seed: int, step: int) -> Int[np.ndarray, " B"]:
    """The objects of batch `step`: every epoch is a new order of all of them; batches run on over its end."""
    place = np.arange(step * size, (step + 1) * size)
    epochs = place // count
    orders = {int(epoch): _order(count, seed, int(epoch)) for epoch in np.unique(epochs)}
    return np.array([orders[int(epoch)][at] for epoch, at in zip(epochs, place % count, strict=True)])


@lru_cache(maxsize=2)
def _order(count: int, seed: int, epoch: int) -> Int[np.ndarray, " M"]:
    """Of a million objects it takes 20 ms, which is not for every step."""
    return np.random.default_rng([seed, 1 << 32, epoch]).permutation(count)


def training_batch(
    data: Pack,
    size: int,
    seed: int,
    step: int,
    *,
    part: slice = WHOLE,
    augmentation: Augmentation = Augmentation(),
) -> tuple[Float[Tensor, "B ..."], Targets]:
    """`size` objects, one random view each, varied as the augmentation says: pictures (B, 4, S, S) and their truth.

    A pack with codes gives codes (B, D) in the place of pictures; nothing is mirrored and no colour changes then.
    `part` of the batch is made without the rest of it, as it would be with it.
    """
    objects = objects_at(len(data.entries), size, seed, step)[part]
    draws = [np.random.default_rng([seed, step, place]) for place in np.arange(size)[part]]
    first, last = data.first_view[objects], data.first_view[objects + 1]
    views = first + (np.array([rng.random() for rng in draws]) * (last - first)).astype(np.int64)
    mirrored = np.array([rng.random() < augmentation.mirror for rng in draws], dtype=bool) & (data.codes is None)
    points = _window(data.points, objects, draws)
    voxels = None if data.voxels is None else data.unpacked_voxels(objects)
    places, inside = balanced(data, objects, draws)
    cameras = data.cameras[views].copy()
    # The mirror image of a picture shows the mirror image of the solid, from the opposite azimuth.
    points[mirrored, :, 0] *= -1
    places[mirrored, :, 0] *= -1
    if voxels is not None:
        voxels[mirrored] = voxels[mirrored][..., ::-1]
    cameras[mirrored, 0] *= -1
    if data.codes is None:
        pixels = data.views[views]
        pixels[mirrored] = pixels[mirrored, :, ::-1]
        seen = varied(pixels, augmentation, draws)
    else:
        seen = torch.from_numpy(data.codes[views])
    return seen, _targets(points, voxels, places, inside, cameras, augmentation, draws)


def fixed_batch(
    data: Pack, views: Int[np.ndarray, " B"], *, augmentation: Augmentation = Augmentation()
) -> tuple[Float[Tensor, "B ..."], Targets]:
    """The given views as they are, or their codes, for validation; of the augmentation only its frame counts."""
    objects = np.searchsorted(data.first_view, views, side="right") - 1
    points = data.points[objects][:, :SAMPLED].astype(np.float32)
    if data.codes is None:
        seen = torch.from_numpy(data.views[views]).permute(0, 3, 1, 2).to(torch.float32) / 255
    else:
        seen = torch.from_numpy(data.codes[views])
    draws = [np.random.default_rng([0, view]) for view in views]
    places, inside = balanced(data, objects, draws)
    voxels = None if data.voxels is None else data.unpacked_voxels(objects)
    return seen, _targets(points, voxels, places, inside, data.cameras[views], augmentation, draws)


def _window(
    points: np.ndarray, objects: Int[np.ndarray, " B"], draws: list[np.random.Generator]
) -> Float32[np.ndarray, "B M 3"]:
    """`SAMPLED` of each object's points: they lie in a random order, so any that follow each other will do."""
    held = points.shape[1]
    index = [(rng.integers(held) + np.arange(min(SAMPLED, held))) % held for rng in draws]
    return points[objects[:, None], np.stack(index)].astype(np.float32)


def balanced(
    data: Pack, objects: Int[np.ndarray, " B"], draws: list[np.random.Generator]
) -> tuple[Float32[np.ndarray, "B Q 3"], Float32[np.ndarray, "B Q"]]:
    """`ASKED` of each object's places, half of them inside and half outside; some repeat where a half has too few.

    Of places drawn all over the cube most are outside, and a network that says so would be right nearly always.
    """
    inside = np.unpackbits(data.inside[objects], axis=-1).astype(bool)
    index = np.empty((len(objects), ASKED), np.int64)
    for chosen, held, rng in zip(index, inside, draws, strict=True):
        for half, kind in ((chosen[: ASKED // 2], held), (chosen[ASKED // 2 :], ~held)):
            # Where an object has none of a kind, any do. Places lie in a random order, as points do.
            there = np.flatnonzero(kind) if kind.any() else np.arange(len(kind))
            half[:] = there[(rng.integers(len(there)) + np.arange(len(half))) % len(there)]
    places = data.places[objects[:, None], index].astype(np.float32)
    return places, np.take_along_axis(inside, index, 1).astype(np.float32)


def _targets(
    points: np.ndarray,
    voxels: np.ndarray | None,
    places: np.ndarray,
    inside: np.ndarray,
    cameras: np.ndarray,
    augmentation: Augmentation,
    draws: list[np.random.Generator],
) -> Targets:
    known = np.all(np.isfinite(cameras), axis=-1, keepdims=True)
    azimuth, elevation, distance = torch.from_numpy(np.where(known, cameras, 1.0).astype(np.float32)).unbind(-1)
    targets = Targets(
        torch.from_numpy(points),
        None if voxels is None else torch.from_numpy(np.ascontiguousarray(voxels)),
        torch.from_numpy(places),
        torch.from_numpy(inside),
        azimuth.contiguous(),
        elevation.contiguous(),
        distance.contiguous(),
        torch.from_numpy(known[:, 0]),
        torch.tensor([int(rng.integers(2**62)) for rng in draws]),
    )
    return in_viewer_frame(targets) if augmentation.frame == "viewer" else targets


def in_viewer_frame(targets: Targets) -> Targets:
    """The truth turned so that its camera stands at azimuth 0, elevation 0. A camera's roll is not turned away."""
    if not bool(targets.has_camera.all()):
        unknown = int((~targets.has_camera).sum())
        raise ValueError(
            f"train: frame viewer needs cameras, and {unknown} of {len(targets.has_camera)} views of a batch have "
            "none; choose frame object"
        )
    turn = viewer_from_object(targets.azimuth, targets.elevation)
    return replace(
        targets,
        points=targets.points @ turn.mT,
        queries=targets.queries @ turn.mT,
        voxels=None if targets.voxels is None else turned_voxels(targets.voxels, turn),
        azimuth=torch.zeros_like(targets.azimuth),
        elevation=torch.zeros_like(targets.elevation),
    )
