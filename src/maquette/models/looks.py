"""A picture seen several times: as it is, in the mirror, a little smaller or larger, a little aside.

B pictures of S pixels, N points a look. A network's answers to these differ where it is unsure. Clouds unite them: what
one answer misses, another may hold.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import ops
from maquette.data.augment import seen_in_square
from maquette.models.features import Features
from maquette.shapes import PointCloud, union


@dataclass(frozen=True)
class Look:
    """What an encoder makes of pictures, seen in one way."""

    features: Features
    mirrored: bool = False
    """Left and right exchanged: the answer is the mirrored solid."""


_SQUARES: tuple[tuple[float, tuple[float, float]], ...] = (
    (1.0, (0.0, 0.0)),
    (1.05, (0.0, 0.0)),
    (1.0, (0.03, 0.03)),
    (0.96, (0.0, 0.0)),
    (1.0, (-0.03, 0.03)),
)
"""How much wider the square is that is seen, and how far it is moved, in half sides; first the picture itself."""
WAYS: tuple[tuple[bool, float, tuple[float, float]], ...] = tuple(
    (mirrored, width, (right, -down if mirrored else down))
    for width, (right, down) in _SQUARES
    for mirrored in (False, True)
)
"""Mirrored or not, and a square, each way another place of the object. Chosen on validation objects of the bundled
network: two looks give most, the rest tells which points are sure."""

WHOLE = 3
"""Looks whose clouds are taken as they are."""
DENSE = 0.28
"""Share of the other looks' points that is taken, so that there are about five times N. On validation objects of the
bundled network two whole looks and 0.35 would give a higher F@0.05, but take more than a point of F@0.02: thin parts
would have too few points."""
NEIGHBOURS = 16
"""Points that a density is measured by, the point itself among them; 8 and 64 choose about the same points."""


def seen(
    images: Float[Tensor, "B 4 S S"], mirrored: bool, width: float, shift: tuple[float, float]
) -> Float[Tensor, "B 4 S S"]:
    """Straight RGBA pictures seen in one of `WAYS`; what lies beyond them is transparent."""
    images = images.flip(-1) if mirrored else images
    if width == 1 and shift == (0.0, 0.0):
        return images
    count = len(images)
    return seen_in_square(images, images.new_full((count,), width), images.new_tensor(shift).expand(count, 2))


def united(clouds: Sequence[PointCloud]) -> PointCloud:
    """One cloud of several looks' at the same object, which lie in one frame and have N points each, without colours.

    The first `WHOLE` clouds are taken as they are, so that nothing thin is lost. Of all points of the others the share
    `DENSE` is taken (rounded to a whole number) that lies where all clouds together are densest: nearest to their
    `NEIGHBOURS`-th nearest point. Where a network is unsure its points are strewn through space, each look's elsewhere;
    there the later looks would add stray points. Points stay in the order given; nothing is moved.
    """
    points = union(clouds).points
    first = sum(len(cloud.points) for cloud in clouds[:WHOLE])
    others = points[first:]
    if len(others) == 0:
        return PointCloud(points)
    nearest = ops.nearest(others, points, min(NEIGHBOURS, len(points)))
    sparsity = (points[nearest[:, -1]] - others).norm(dim=-1)
    kept = sparsity.argsort(stable=True)[: round(DENSE * len(others))].sort().values
    return PointCloud(torch.cat([points[:first], others[kept]]))
