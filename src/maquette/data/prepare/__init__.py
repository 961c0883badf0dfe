"""`maquette prepare`: make a data set of pictures and solids from a generator or from a folder of models."""

from maquette.data.prepare.folder import Failure, Report
from maquette.data.prepare.meshes import PrepareMeshes, prepare_meshes
from maquette.data.prepare.shapenet import PrepareShapenet, prepare_shapenet
from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic

__all__ = [
    "Failure",
    "PrepareMeshes",
    "PrepareShapenet",
    "PrepareSynthetic",
    "Report",
    "prepare_meshes",
    "prepare_shapenet",
    "prepare_synthetic",
]
