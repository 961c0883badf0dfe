"""Cameras that are nearly right: a small rigid motion for each, found together with the shape. K views.

A motion is six numbers, the speed of a screw about the world's origin, where the object is: translation and rotation
vector, in the axes of its own camera. Outlines tell a shift across the picture and a roll at once, a shift in depth and
a turn of the object only by details: in these axes each is a number of its own, and Adam, which gives every number its
own step, takes the second ones as far as the first.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera


@dataclass(frozen=True)
class FixedPoses:
    """The cameras stand where they are said to."""


@dataclass(frozen=True)
class RefinedPoses:
    """The cameras are moved a little, together with the shape."""

    lr: float = 1e-2
    """Peak learning rate, in radians and in units of the frame of fitting."""
    after: float = 0.1
    """Part of the steps before the cameras move: a shape must be there to tell them by."""

    def __post_init__(self) -> None:
        if not (self.lr > 0 and 0 <= self.after < 1):
            raise ValueError(f"fit silhouettes: poses.lr is {self.lr}, poses.after {self.after}; give above 0, 0 to 1")

    def rate(self, progress: float) -> float:
        """The learning rate at `progress` (0..1): 0 at first, then from its peak to 0 as a cosine."""
        if progress < self.after:
            return 0.0
        return self.lr * 0.5 * (1 + math.cos(math.pi * (progress - self.after) / (1 - self.after)))


Poses = FixedPoses | RefinedPoses


def corrected(cameras: Camera, twists: Float[Tensor, "K 6"]) -> Camera:
    """The cameras after their motions; differentiable."""
    axes = _axes(cameras)
    motion = axes @ transforms.rigid_from_vectors(twists[:, :3], twists[:, 3:]) @ axes.mT
    return replace(cameras, world_from_cam=motion @ cameras.world_from_cam)


def _axes(cameras: Camera) -> Float[Tensor, "K 4 4"]:
    """Each camera's axes, brought to the origin."""
    rotation = cameras.world_from_cam[:, :3, :3].detach()
    return transforms.rigid(rotation, rotation.new_zeros(len(rotation), 3))


def without_gauge(twists: Float[Tensor, "K 6"], cameras: Camera) -> Float[Tensor, "K 6"]:
    """The motions without what all share, which pictures cannot tell: a motion and a scale of the whole world.

    To first order: the mean motion is taken off, and the part of the translations that is a common scale about the
    cameras' middle.
    """
    rotation = cameras.world_from_cam[:, :3, :3].detach()
    moves, turns = (rotation @ part[..., None] for part in twists.split(3, 1))
    moves, turns = (moves - moves.mean(0))[..., 0], (turns - turns.mean(0))[..., 0]
    apart = cameras.position - cameras.position.mean(0)
    moved = moves + torch.linalg.cross(turns, cameras.position)
    scale = (moved * apart).sum() / apart.square().sum().clamp(min=1e-12)
    moves = moves - scale * apart
    return torch.cat([(rotation.mT @ part[..., None])[..., 0] for part in (moves, turns)], 1)
