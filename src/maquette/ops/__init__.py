"""Tensors in, tensors out: the one door to compiled kernels. An op decides *which*; torch computes *how much*."""

from maquette.ops.isosurface import isosurface
from maquette.ops.nearest import nearest, nearest_reference
from maquette.ops.raster import raster, raster_reference
from maquette.ops.raster_discs import raster_discs, raster_discs_reference

__all__ = [
    "isosurface",
    "nearest",
    "nearest_reference",
    "raster",
    "raster_discs",
    "raster_discs_reference",
    "raster_reference",
]
