"""Single-view networks: an encoder, decoders by representation, and runs on disk."""

from maquette.data.targets import Targets
from maquette.models.encoders import DinoEncoder, EncoderConfig, PrecomputedCodes, ResnetEncoder, SmallEncoder
from maquette.models.features import Features
from maquette.models.network import (
    AtlasConfig,
    MeshConfig,
    ModelConfig,
    MultiHeadConfig,
    OccupancyConfig,
    PointsConfig,
    SingleView,
    VoxelsConfig,
    build,
    total_loss,
)
from maquette.models.runs import Run, load_run, save_model
from maquette.models.viewpoint import Viewpoint

__all__ = [
    "AtlasConfig",
    "DinoEncoder",
    "EncoderConfig",
    "Features",
    "MeshConfig",
    "ModelConfig",
    "MultiHeadConfig",
    "OccupancyConfig",
    "PointsConfig",
    "PrecomputedCodes",
    "ResnetEncoder",
    "Run",
    "SingleView",
    "SmallEncoder",
    "Targets",
    "Viewpoint",
    "VoxelsConfig",
    "build",
    "load_run",
    "save_model",
    "total_loss",
]
