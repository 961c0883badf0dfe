"""Batches from a pack: pictures and truth, augmented. Every batch follows from (seed, step) alone.

So resuming at a step gives the batches that an uninterrupted training would have seen. B pictures a batch.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from maquette.data.pack import Pack
from maquette.data.targets import Targets

SAMPLED = 2048
"""Truth points a step and object."""
ASKED = 1024
"""Queries a step and object."""


def generator_of(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, step])


def objects_at(count: int, size: int, seed: int, step: int) -> Int[np.ndarray, " B"]:
    """The objects of batch `step`: every epoch is a new order of all of them; batches run on over its end."""
    place = np.arange(step * size, (step + 1) * size)
    epochs = place // count
    orders = {epoch: np.random.default_rng([seed, 1 << 32, epoch]).permutation(count) for epoch in np.unique(epochs)}
    return np.array([orders[epoch][at] for epoch, at in zip(epochs, place % count, strict=True)])


def training_batch(data: Pack, size: int, seed: int, step: int) -> tuple[Float[Tensor, "B 4 S S"], Targets]:
    """`size` objects, one random view each; half of them mirrored left to right, colours jittered."""
    rng = generator_of(seed, step)
    objects = objects_at(len(data.entries), size, seed, step)
    first, last = data.first_view[objects], data.first_view[objects + 1]
    views = first + (rng.random(size) * (last - first)).astype(np.int64)
    points = data.points[objects][:, rng.permutation(data.points.shape[1])[:SAMPLED]].astype(np.float32)
    voxels = data.unpacked_voxels(objects)
    places, inside = balanced(data, objects, rng)
    cameras = data.cameras[views].copy()
    images = data.views[views]
    mirrored = rng.random(size) < 0.5
    # The mirror image of a picture shows the mirror image of the solid, from the opposite azimuth.
    images = np.where(mirrored[:, None, None, None], images[:, :, ::-1], images)
    points[mirrored, :, 0] *= -1
    places[mirrored, :, 0] *= -1
    voxels[mirrored] = voxels[mirrored][..., ::-1]
    cameras[mirrored, 0] *= -1
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32) / 255
    return _jitter(pictures, rng), _targets(points, voxels, places, inside, cameras, rng)


def fixed_batch(data: Pack, views: Int[np.ndarray, " B"]) -> tuple[Float[Tensor, "B 4 S S"], Targets]:
    """The given views as they are, for validation and evaluation."""
    objects = np.searchsorted(data.first_view, views, side="right") - 1
    points = data.points[objects][:, :SAMPLED].astype(np.float32)
    pictures = torch.from_numpy(data.views[views]).permute(0, 3, 1, 2).to(torch.float32) / 255
    rng = np.random.default_rng(0)
    places, inside = balanced(data, objects, rng)
    return pictures, _targets(points, data.unpacked_voxels(objects), places, inside, data.cameras[views], rng)


def balanced(
    data: Pack, objects: Int[np.ndarray, " B"], rng: np.random.Generator
) -> tuple[Float[np.ndarray, "B Q 3"], Float[np.ndarray, "B Q"]]:
    """`ASKED` of each object's places, half of them inside and half outside; some repeat where a half has too few.

    Of places drawn all over the cube most are outside, and a network that says so would be right nearly always.
    """
    places = data.places[objects].astype(np.float32)
    inside = np.unpackbits(data.inside[objects], axis=-1).astype(bool)
    # A random order with the wanted kind first, then cut: draws without repetition as far as they go.
    chosen = []
    for kind in (inside, ~inside):
        order = np.argsort(np.where(kind, rng.random(kind.shape), 2.0), axis=1)
        have = np.maximum(kind.sum(1), 1)
        chosen.append(np.take_along_axis(order, np.arange(ASKED // 2)[None] % have[:, None], axis=1))
    index = np.concatenate(chosen, 1)
    return np.take_along_axis(places, index[..., None], 1), np.take_along_axis(inside, index, 1).astype(np.float32)


def _targets(
    points: np.ndarray,
    voxels: np.ndarray,
    places: np.ndarray,
    inside: np.ndarray,
    cameras: np.ndarray,
    rng: np.random.Generator,
) -> Targets:
    known = np.isfinite(cameras).all(-1)
    azimuth, elevation, distance = torch.from_numpy(np.where(known[:, None], cameras, 1.0).astype(np.float32)).unbind(
        -1
    )
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    return Targets(
        torch.from_numpy(points),
        torch.from_numpy(np.ascontiguousarray(voxels)),
        torch.from_numpy(places),
        torch.from_numpy(inside),
        azimuth.contiguous(),
        elevation.contiguous(),
        distance.contiguous(),
        torch.from_numpy(known),
        generator,
    )


def _jitter(pictures: Float[Tensor, "B 4 S S"], rng: np.random.Generator) -> Float[Tensor, "B 4 S S"]:
    """Brightness, contrast, gamma and the order of the channels: colour says little about shape."""
    count = len(pictures)

    def draw(low: float, high: float) -> Float[Tensor, "B 1 1 1"]:
        return torch.from_numpy(rng.uniform(low, high, (count, 1, 1, 1)).astype(np.float32))

    rgb = pictures[:, :3]
    order = torch.from_numpy(
        np.stack([rng.permutation(3) if rng.random() < 0.5 else np.arange(3) for _ in range(count)])
    )
    rgb = torch.gather(rgb, 1, order[:, :, None, None].expand_as(rgb))
    rgb = ((rgb * draw(0.7, 1.3) - 0.5) * draw(0.7, 1.3) + 0.5).clamp(1e-4, 1) ** draw(0.7, 1.4)
    return torch.cat([rgb, pictures[:, 3:]], 1)
