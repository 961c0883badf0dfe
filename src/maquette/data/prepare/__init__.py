"""`maquette prepare`: make a data set of pictures and solids from a generator or from a folder of meshes."""

from maquette.data.prepare.folder import Report
from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic

__all__ = ["PrepareSynthetic", "Report", "prepare_synthetic"]
