"""What a protocol is: a frame, what is drawn from both surfaces, distances, thresholds, alignment, and extras.

A protocol is data: eleven of them stand in `maquette.metrics.named`, and one function, `score`, reads them all.
"""

from dataclasses import dataclass
from typing import Literal

from maquette.metrics.frames import AsStored, Frame, in_words


@dataclass(frozen=True)
class Chamfer:
    """A chamfer distance. Squared: both directions' means of squared distances, added. Plain: half the sum of both
    means of distances. Times `factor`."""

    squared: bool
    factor: float = 1.0

    @property
    def name(self) -> str:
        times = "" if self.factor == 1 else f"_x{self.factor:g}"
        return f"chamfer_{'squared' if self.squared else 'plain'}{times}"

    def __str__(self) -> str:
        kind = "squared: sum of both means" if self.squared else "plain: half the sum of both means"
        return kind if self.factor == 1 else f"{kind} x {self.factor:g}"


@dataclass(frozen=True)
class VolumeIou:
    """Of two solids, at places strewn evenly over the truth's cube: its box made a cube, `padding` added to the side.

    At most `places`; where the data knows inside from outside at given places only, those of them in the cube.
    """

    places: int
    padding: float


@dataclass(frozen=True)
class YawThenIcp:
    """The prediction turned about the vertical axis, `steps` tries a full turn, to its lowest plain chamfer distance,
    then iterative closest points. Both look at `points` points of each cloud."""

    steps: int = 72
    points: int = 1000


@dataclass(frozen=True)
class Protocol:
    """Everything that a score depends on, besides the two solids and the random draw."""

    name: str
    source: str
    """Where it is defined and how well we know it."""
    frame: Frame
    points: int
    """Drawn from a predicted surface, and from the true one unless `true_points` says otherwise."""
    headline: str
    """The score that decides which of two methods is better."""
    true_points: int | None = None
    drawn: Literal["by area", "from vertices", "all vertices"] = "by area"
    """Of a predicted mesh. The true points are drawn by area, whatever is done to the prediction."""
    clouds: Literal["resampled", "as they are"] = "resampled"
    """A predicted cloud, to `points` or with as many true points as it has."""
    grids: Literal["closed", "course 2022", "course 2025"] = "closed"
    """The surface of predicted voxels: see `maquette.metrics.surfaces`."""
    alignment: YawThenIcp | None = None
    thresholds: tuple[float, ...] = ()
    """Of F-scores, in units of the frame; empty for none."""
    squared_thresholds: bool = False
    """Whether thresholds are compared with squared distances."""
    epsilon: float = 0.0
    """Added to P + R in percent."""
    chamfers: tuple[Chamfer, ...] = ()
    normals: bool = False
    """Normal consistency, absolute, of surfaces."""
    voxel_iou: bool = False
    """Of predicted voxels and closed meshes with the truth's cells."""
    volume_iou: VolumeIou | None = None
    """Of predicted voxels and closed meshes."""
    penalty: bool = False
    """Also chamfer over all objects, where a failure counts as a single point in the middle of the truth's box."""
    viewer_centred: bool = False
    """Whether it is defined for data in the frame of the viewer."""
    notes: tuple[str, ...] = ()
    """What a reader of its numbers must know."""

    def __post_init__(self) -> None:
        if self.points < 2 or (self.true_points is not None and self.true_points < 2):
            fewest = self.points if self.points < 2 else self.true_points
            raise ValueError(f"protocol {self.name}: points is {fewest}; compare at least two")
        if self.drawn != "by area" and self.normals:
            raise ValueError(f"protocol {self.name}: vertices have no normals to compare")

    @property
    def of_truth(self) -> int:
        """How many true points are asked for."""
        return self.points if self.true_points is None else self.true_points

    @property
    def higher_is_better(self) -> bool:
        return is_higher_better(self.headline)

    @property
    def limits(self) -> tuple[float, ...]:
        """Thresholds as distances, in units of the frame."""
        return tuple(t**0.5 for t in self.thresholds) if self.squared_thresholds else self.thresholds

    @property
    def needs_unit_diagonal(self) -> bool:
        """Whether its numbers are in the data's units, which must then be those in which an object's diagonal is 1."""
        return isinstance(self.frame, AsStored)

    def says(self) -> dict[str, str]:
        """The protocol in words, for tables and files."""
        points = f"{self.points:,} points of each surface" if self.drawn == "by area" else ""
        if self.drawn == "from vertices":
            points = f"{self.points:,} vertices of the prediction"
        if self.drawn == "all vertices":
            points = "all vertices of the prediction"
        if self.drawn != "by area" or self.of_truth != self.points:
            points += f", {self.of_truth:,} points of the truth"
        aligned = "" if self.alignment is None else "; aligned by yaw, then ICP"
        unit = "squared distance" if self.squared_thresholds else "distance"
        limits = ", ".join(f"{t:g}" for t in self.thresholds)
        return {
            "frame": f"{in_words(self.frame)}{aligned}" + ("; no alignment" if self.alignment is None else ""),
            "points": points,
            "chamfer": "; ".join(map(str, self.chamfers)) or "none",
            "F-score": f"{unit} < {limits}, in percent" if limits else "none",
            "failures": "F, precision, recall and IoU 0; excluded from the other means, whose counts are given",
        }


def is_higher_better(score: str) -> bool:
    """Distances are better when lower, everything else when higher."""
    return not score.startswith("chamfer")
