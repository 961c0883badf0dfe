"""Points by folding: the code names anchors, and about each of them a small square is folded. Any number of points.

After FoldingNet (Yang et al. 2018), TreeGAN (Shu et al. 2019) and PCN (Yuan et al. 2018): a tree of two levels, whose
leaves are read off a continuous square. B clouds, N points, A anchors, G places of an anchor's square.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.losses import chamfer
from maquette.models.features import Features
from maquette.models.lattice import in_square
from maquette.models.ranges import check_ranges
from maquette.shapes import PointCloud


@dataclass(frozen=True)
class FoldingPoints:
    """Anchors, each with a small square folded about it; any number of points, also after training."""

    points: int = 2048
    """N, in training and unless told otherwise. No weight depends on it."""
    anchors: int = 256
    """Places of which each is the middle of a folded square."""
    hidden: int = 512
    """Width of the layer that names the anchors."""
    fold: int = 64
    """Width of the layers that fold, and numbers that describe an anchor."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {"points": (1, 1_000_000), "anchors": (1, 65_536), "hidden": (1, 65_536), "fold": (1, 4096)},
        )


class FoldingDecoder(nn.Module):
    def __init__(self, config: FoldingPoints, features: int):
        super().__init__()
        self.config = config
        self.trunk = nn.Sequential(nn.Linear(features, config.hidden), nn.ReLU())
        self.places = nn.Linear(config.hidden, 3 * config.anchors)
        self.kinds = nn.Linear(config.hidden, config.anchors * config.fold)
        # What an anchor is and where in its square a point lies, as two summands of one linear layer: the first is
        # computed once an anchor, the second once for all anchors.
        self.of_anchor, self.of_place = nn.Linear(config.fold + 3, config.fold), nn.Linear(2, config.fold, bias=False)
        self.folded = nn.Sequential(
            nn.ReLU(), nn.Linear(config.fold, config.fold), nn.ReLU(), nn.Linear(config.fold, 3)
        )
        # Begin as a loose cloud of the object's size, not as one point.
        nn.init.uniform_(self.places.bias, -0.3, 0.3)

    def anchors(self, features: Features) -> tuple[Float[Tensor, "B A 3"], Float[Tensor, "B A K"]]:
        """Where the anchors are, and what each is."""
        hidden, count = self.trunk(features.code), len(features)
        places = self.places(hidden).reshape(count, self.config.anchors, 3)
        kinds = self.kinds(hidden).reshape(count, self.config.anchors, -1)
        return places, self.of_anchor(torch.cat([kinds.relu(), places], -1))

    def fold(
        self, places: Float[Tensor, "B A 3"], kinds: Float[Tensor, "B A K"], points: int
    ) -> Float[Tensor, "B N 3"]:
        """Point i lies at the place i // A of the square of anchor i % A, so fewer points are the first of more."""
        each = math.ceil(points / self.config.anchors)
        square = self.of_place(2 * in_square(each, device=places.device) - 1)
        offsets = self.folded(kinds[:, None] + square[None, :, None])
        return (places[:, None] + offsets).reshape(len(places), -1, 3)[:, :points]

    def forward(self, features: Features, points: int | None = None) -> Float[Tensor, "B N 3"]:
        return self.fold(*self.anchors(features), self.config.points if points is None else points)

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """`points` of the cloud; `points_coarse` of the anchors alone, which spreads them over the surface."""
        places, kinds = self.anchors(features)
        cloud = self.fold(places, kinds, self.config.points)
        return {
            "points": chamfer(cloud, targets.points).mean(),
            "points_coarse": chamfer(places, targets.points).mean(),
        }

    def shapes(self, features: Features, points: int | None = None) -> list[PointCloud]:
        return [PointCloud(cloud) for cloud in self(features, points)]
