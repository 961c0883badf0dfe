"""Cameras that are nearly right: a small rigid motion for each, found together with the shape. K views.

A motion is six numbers, the speed of a screw: translation and rotation vector, in the world's axes, about its origin.
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

    lr: float = 5e-3
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
    motion = transforms.rigid_from_vectors(twists[:, :3], twists[:, 3:])
    return replace(cameras, world_from_cam=motion @ cameras.world_from_cam)


def without_gauge(twists: Float[Tensor, "K 6"], cameras: Camera) -> Float[Tensor, "K 6"]:
    """The motions without what all share, which pictures cannot tell: a motion and a scale of the whole world.

    To first order: the mean motion is taken off, and the part of the translations that is a common scale about the
    cameras' middle.
    """
    free = twists - twists.mean(0)
    apart = cameras.position - cameras.position.mean(0)
    moved = free[:, :3] + torch.linalg.cross(free[:, 3:], cameras.position)
    scale = (moved * apart).sum() / apart.square().sum().clamp(min=1e-12)
    return torch.cat([free[:, :3] - scale * apart, free[:, 3:]], 1)
