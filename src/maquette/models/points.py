"""A point cloud from features: a multilayer perceptron that names N points (Fan et al. 2017)."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.losses import chamfer
from maquette.models.features import Features
from maquette.models.ranges import check_ranges
from maquette.shapes import PointCloud


@dataclass(frozen=True)
class PointsHead:
    """Features to N points in one go."""

    points: int = 2048
    """N."""
    hidden: int = 512
    """Width of the hidden layer."""

    def __post_init__(self) -> None:
        check_ranges(self, {"points": (1, 1_000_000), "hidden": (1, 65_536)})


class PointsDecoder(nn.Module):
    def __init__(self, config: PointsHead, features: int):
        super().__init__()
        self.config = config
        first, last = nn.Linear(features, config.hidden), nn.Linear(config.hidden, 3 * config.points)
        # Begin as a loose cloud of the object's size, not as one point.
        nn.init.uniform_(last.bias, -0.3, 0.3)
        self.layers = nn.Sequential(first, nn.ReLU(), last)

    def forward(self, features: Features) -> Float[Tensor, "B N 3"]:
        return self.layers(features.code).reshape(len(features), -1, 3)

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        return {"points": chamfer(self(features), targets.points).mean()}

    def shapes(self, features: Features) -> list[PointCloud]:
        return [PointCloud(points) for points in self(features)]
