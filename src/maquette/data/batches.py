"""Batches from a pack: pictures and truth, augmented. Every object of a batch follows from (seed, step, its place).

So resuming at a step gives the batches that an uninterrupted training would have seen, and several processes that take
a part of each give the batches of one. B pictures a batch.
"""

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor

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
    data: Pack, size: int, seed: int, step: int, *, part: slice = WHOLE
) -> tuple[Float[Tensor, "B 4 S S"], Targets]:
    """`size` objects, one random view each; half of them mirrored left to right, colours jittered.

    `part` of the batch is made without the rest of it, as it would be with it.
    """
    objects = objects_at(len(data.entries), size, seed, step)[part]
    draws = [np.random.default_rng([seed, step, place]) for place in np.arange(size)[part]]
    first, last = data.first_view[objects], data.first_view[objects + 1]
    views = first + (np.array([rng.random() for rng in draws]) * (last - first)).astype(np.int64)
    mirrored = np.array([rng.random() < 0.5 for rng in draws])
    points = _window(data.points, objects, draws)
    voxels = data.unpacked_voxels(objects)
    places, inside = balanced(data, objects, draws)
    cameras = data.cameras[views].copy()
    pixels = data.views[views]
    # The mirror image of a picture shows the mirror image of the solid, from the opposite azimuth.
    pixels[mirrored] = pixels[mirrored, :, ::-1]
    points[mirrored, :, 0] *= -1
    places[mirrored, :, 0] *= -1
    voxels[mirrored] = voxels[mirrored][..., ::-1]
    cameras[mirrored, 0] *= -1
    return _jittered(pixels, draws), _targets(points, voxels, places, inside, cameras, draws)


def fixed_batch(data: Pack, views: Int[np.ndarray, " B"]) -> tuple[Float[Tensor, "B 4 S S"], Targets]:
    """The given views as they are, for validation and evaluation."""
    objects = np.searchsorted(data.first_view, views, side="right") - 1
    points = data.points[objects][:, :SAMPLED].astype(np.float32)
    pictures = torch.from_numpy(data.views[views]).permute(0, 3, 1, 2).to(torch.float32) / 255
    draws = [np.random.default_rng([0, view]) for view in views]
    places, inside = balanced(data, objects, draws)
    return pictures, _targets(points, data.unpacked_voxels(objects), places, inside, data.cameras[views], draws)


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
    voxels: np.ndarray,
    places: np.ndarray,
    inside: np.ndarray,
    cameras: np.ndarray,
    draws: list[np.random.Generator],
) -> Targets:
    known = np.isfinite(cameras).all(-1)
    azimuth, elevation, distance = torch.from_numpy(np.where(known[:, None], cameras, 1.0).astype(np.float32)).unbind(
        -1
    )
    return Targets(
        torch.from_numpy(points),
        torch.from_numpy(np.ascontiguousarray(voxels)),
        torch.from_numpy(places),
        torch.from_numpy(inside),
        azimuth.contiguous(),
        elevation.contiguous(),
        distance.contiguous(),
        torch.from_numpy(known),
        torch.tensor([int(rng.integers(2**62)) for rng in draws]),
    )


def _jittered(pixels: UInt8[np.ndarray, "B S S 4"], draws: list[np.random.Generator]) -> Float[Tensor, "B 4 S S"]:
    """Brightness, contrast, gamma and the order of the channels: colour says little about shape.

    The changes of a value are the same all over a picture, so 256 of them are worked out and looked up.
    """
    values = np.arange(256, dtype=np.float32) / 255
    pictures = np.empty((len(pixels), 4, *pixels.shape[1:3]), np.float32)
    for picture, source, rng in zip(pictures, pixels, draws, strict=True):
        brightness, contrast, gamma = rng.uniform(0.7, 1.3), rng.uniform(0.7, 1.3), rng.uniform(0.7, 1.4)
        table = ((values * brightness - 0.5) * contrast + 0.5).clip(1e-4, 1) ** gamma
        order = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
        for channel, origin in enumerate(order):
            np.take(table.astype(np.float32), source[..., origin], out=picture[channel])
        np.take(values, source[..., 3], out=picture[3])
    return torch.from_numpy(pictures)
