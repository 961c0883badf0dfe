"""Losses: pure functions of tensors to one number per shape. Weights and schedules belong to the caller."""

from maquette.losses.mesh import edge_loss, laplacian_cot, laplacian_cotcurv, laplacian_uniform, normal_consistency
from maquette.losses.occupancy import occupancy_bce
from maquette.losses.points import chamfer, squared_distances
from maquette.losses.surface import (
    edges_to_point,
    mesh_to_point,
    point_mesh_edge_distance,
    point_mesh_face_distance,
    point_to_edges,
    point_to_mesh,
)

__all__ = [
    "chamfer",
    "edge_loss",
    "edges_to_point",
    "laplacian_cot",
    "laplacian_cotcurv",
    "laplacian_uniform",
    "mesh_to_point",
    "normal_consistency",
    "occupancy_bce",
    "point_mesh_edge_distance",
    "point_mesh_face_distance",
    "point_to_edges",
    "point_to_mesh",
    "squared_distances",
]
