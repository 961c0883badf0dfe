"""The settings of the course's reports (CMU 16-889 of 2022 and 16-825 of 2025), so that a table is one command each.

    maquette train --preset cmu2025-points --data DATA --out RUN --model.encoder.weights resnet18.pth
    maquette evaluate RUN --protocol cmu2025

Anything may be set otherwise beside the preset: `--model.head.smooth 10`. ImageNet weights are not downloaded, they are
given. What holds for all of them: ResNet-18, Adam with a constant learning rate of 4e-4 from the first step, pictures
as they are. What is ours: pictures are cropped to their object and laid over white, chamfer distances are means over
the points (report 002 sums them over points and batch, which makes its w_smooth all but nothing), clouds are compared
with as many points of the truth as a batch holds, and beside each network a viewpoint is read off its features without
changing them. Losses keep the course's ratio, w_chamfer 1 to w_smooth; Adam does not see their common factor.
"""

from dataclasses import replace
from pathlib import Path

from maquette.data.augment import PLAIN
from maquette.models import MeshConfig, OccupancyConfig, PointsConfig, ResnetEncoder, VoxelsConfig
from maquette.models.deconvolution import DeconvolutionVoxels, Pix2VoxVoxels
from maquette.models.mesh import MlpMesh
from maquette.models.occupancy import ConcatOccupancy, Uniform
from maquette.models.points import MlpPoints
from maquette.train import TrainConfig

ENCODER = ResnetEncoder(18)
FOUR_LAYERS = (1024, 1024, 2048)
"""Report 002 has four fully connected layers of widths that it does not tell: these are ours."""

COURSE = TrainConfig(
    out=Path("RUN"),
    data=Path("DATA"),
    model=PointsConfig(ENCODER, MlpPoints(5000), cameras="apart"),
    steps=10_000,
    batch=8,
    lr=4e-4,
    schedule="constant",
    warmup=0,
    augment=PLAIN,
)
"""What all have in common; folders are given with the preset."""

CMU2022_VOXELS = replace(COURSE, model=VoxelsConfig(ENCODER, DeconvolutionVoxels(), cameras="apart"))
"""Report 001, F1@0.05 90.406 under protocol cmu2022: 10,000 steps of 8. It does not tell its decoders: report 000's."""
CMU2022_POINTS = COURSE
"""Report 001, F1@0.05 94.938 under protocol cmu2022 with 5,000 points: 10,000 steps of 8."""
CMU2022_MESH = replace(COURSE, model=MeshConfig(ENCODER, MlpMesh(samples=5000, smooth=0.1), cameras="apart"))
"""Report 001, F1@0.05 90.006 under protocol cmu2022: 10,000 steps of 8, w_smooth 0.1."""


def cmu2022_points(points: int) -> TrainConfig:
    """Report 001's sweep of n_points, 5,000 steps: F1@0.05 82.991, 88.563, 92.098 and 94.377 for 500 to 5,000.

    Protocol cmu2022, which compares as many points as the network gives: its ceiling moves with them.
    """
    return replace(COURSE, model=PointsConfig(ENCODER, MlpPoints(points), cameras="apart"), steps=5000)


CMU2025_VOXELS = replace(COURSE, model=VoxelsConfig(ENCODER, Pix2VoxVoxels(), cameras="apart"), batch=32)
"""Report 002 under protocol cmu2025 with 1,000 points: 10,000 steps of 32. It shows curves only."""
CMU2025_POINTS = replace(
    COURSE,
    model=PointsConfig(ENCODER, MlpPoints(5000, FOUR_LAYERS, "leaky_relu"), cameras="apart"),
    batch=32,
    steps=2000,
)
"""Report 002 under protocol cmu2025 with 5,000 points: 2,000 steps of 32. It shows curves only."""
CMU2025_MESH = replace(
    COURSE,
    model=MeshConfig(ENCODER, MlpMesh(hidden=FOUR_LAYERS, samples=1000, smooth=0.1), cameras="apart"),
    batch=32,
    steps=2000,
)
"""Report 002 under protocol cmu2025 with 1,000 points: 2,000 steps of 32. Its sweep is `--model.head.smooth`, 0.001 to
10, with F1@0.05 72.977, 72.133, 70.951, 71.834 and 72.337: noise, since its chamfer distance is a sum."""
CMU_IMPLICIT = replace(
    COURSE,
    model=OccupancyConfig(ENCODER, ConcatOccupancy(queries=Uniform(1000)), cameras="apart"),
    steps=3810,
)
"""Report 000's occupancy field: 5 epochs of 762 steps of 8, 1,000 places a picture. It reports a final cross-entropy of
0.12358, the term `occupancy` in metrics.jsonl, and no F1; protocol cmu2022 measures its mesh."""

PRESETS: dict[str, TrainConfig] = {
    "cmu2022-voxels": CMU2022_VOXELS,
    "cmu2022-points": CMU2022_POINTS,
    "cmu2022-points-500": cmu2022_points(500),
    "cmu2022-points-1000": cmu2022_points(1000),
    "cmu2022-points-2500": cmu2022_points(2500),
    "cmu2022-points-5000": cmu2022_points(5000),
    "cmu2022-mesh": CMU2022_MESH,
    "cmu2025-voxels": CMU2025_VOXELS,
    "cmu2025-points": CMU2025_POINTS,
    "cmu2025-mesh": CMU2025_MESH,
    "cmu-implicit": CMU_IMPLICIT,
}
