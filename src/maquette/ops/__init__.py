"""Tensors in, tensors out: the one door to compiled kernels. An op decides *which*; torch computes *how much*."""

from maquette.ops.ball import ball_query, ball_query_ragged, ball_reference
from maquette.ops.farthest import farthest_points, farthest_points_ragged, farthest_reference
from maquette.ops.isosurface import isosurface
from maquette.ops.nearest import nearest, nearest_both, nearest_ragged, nearest_reference
from maquette.ops.nearest_face import (
    nearest_face,
    nearest_face_reference,
    nearest_to_face,
    nearest_to_face_reference,
)
from maquette.ops.raster import raster, raster_layers, raster_reference
from maquette.ops.raster_discs import (
    raster_discs,
    raster_discs_layers,
    raster_discs_layers_reference,
    raster_discs_reference,
)
from maquette.ops.rays import ray_hits, ray_hits_reference
from maquette.ops.silhouette import dibr_silhouette, soft_silhouette
from maquette.ops.touched import touched_cells, touched_cells_reference

__all__ = [
    "ball_query",
    "ball_query_ragged",
    "ball_reference",
    "dibr_silhouette",
    "farthest_points",
    "farthest_points_ragged",
    "farthest_reference",
    "isosurface",
    "nearest",
    "nearest_both",
    "nearest_face",
    "nearest_face_reference",
    "nearest_ragged",
    "nearest_reference",
    "nearest_to_face",
    "nearest_to_face_reference",
    "raster",
    "raster_discs",
    "raster_discs_layers",
    "raster_discs_layers_reference",
    "raster_discs_reference",
    "raster_layers",
    "raster_reference",
    "ray_hits",
    "ray_hits_reference",
    "soft_silhouette",
    "touched_cells",
    "touched_cells_reference",
]
