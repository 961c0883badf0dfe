"""A point cloud from features: a multilayer perceptron that names N points (Fan et al. 2017), ours and the reports'."""

from dataclasses import dataclass
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.losses import chamfer, chamfer_plain
from maquette.models.features import Features
from maquette.models.mlp import Activation, mlp
from maquette.models.ranges import check_ranges, check_widths
from maquette.shapes import PointCloud


@dataclass(frozen=True)
class PointsHead:
    """Features to N points in one go."""

    points: int = 2048
    """N."""
    hidden: int = 512
    """Width of the hidden layer."""
    distance: Literal["squared", "plain"] = "squared"
    """What the chamfer loss averages; plain distances give higher F-scores at small thresholds."""

    def __post_init__(self) -> None:
        check_ranges(self, {"points": (1, 1_000_000), "hidden": (1, 65_536)})


@dataclass(frozen=True)
class MlpPoints:
    """Fully connected layers to N points; unless told otherwise, those of report 000."""

    points: int = 1000
    """N; the last layer has 3 N outputs, so that the network is tied to it."""
    hidden: tuple[int, ...] = (1024, 2048)
    """Widths of the hidden layers."""
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        check_ranges(self, {"points": (1, 1_000_000)})
        check_widths(self, self.hidden)


class PointsDecoder(nn.Module):
    def __init__(self, config: PointsHead | MlpPoints, features: int):
        super().__init__()
        self.config = config
        outputs = 3 * config.points
        match config:
            case PointsHead(hidden=hidden):
                self.layers = mlp((features, hidden, outputs))
            case MlpPoints(hidden=hidden, activation=activation):
                self.layers = mlp((features, *hidden, outputs), activation)
        # Begin as a loose cloud of the object's size, not as one point.
        nn.init.uniform_(cast(nn.Linear, self.layers[-1]).bias, -0.3, 0.3)

    def forward(self, features: Features) -> Float[Tensor, "B N 3"]:
        return self.layers(features.code).reshape(len(features), -1, 3)

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        if isinstance(self.config, PointsHead) and self.config.distance == "plain":
            return {"points_plain": chamfer_plain(self(features), targets.points).mean()}
        return {"points": chamfer(self(features), targets.points).mean()}

    def shapes(self, features: Features) -> list[PointCloud]:
        return [PointCloud(points) for points in self(features)]
