"""Losses: pure functions of tensors to one number per shape. Weights and schedules belong to the caller."""

from maquette.losses.field import eikonal, field_laplacian, sign_change
from maquette.losses.image import photometric_l1, photometric_l2, silhouette_mse, soft_iou_loss
from maquette.losses.mesh import edge_loss, laplacian_cot, laplacian_cotcurv, laplacian_uniform, normal_consistency
from maquette.losses.occupancy import occupancy_bce
from maquette.losses.p2m import edge_normal_p2m, laplacian_delta
from maquette.losses.points import chamfer, chamfer_normal, chamfer_plain, squared_distances
from maquette.losses.quadric import Quadrics, quadric_loss, quadrics
from maquette.losses.surface import (
    edges_to_point,
    mesh_to_point,
    point_mesh_edge_distance,
    point_mesh_face_distance,
    point_to_edges,
    point_to_mesh,
)

__all__ = [
    "Quadrics",
    "chamfer",
    "chamfer_normal",
    "chamfer_plain",
    "edge_loss",
    "edge_normal_p2m",
    "edges_to_point",
    "eikonal",
    "field_laplacian",
    "laplacian_cot",
    "laplacian_cotcurv",
    "laplacian_delta",
    "laplacian_uniform",
    "mesh_to_point",
    "normal_consistency",
    "occupancy_bce",
    "photometric_l1",
    "photometric_l2",
    "point_mesh_edge_distance",
    "point_mesh_face_distance",
    "point_to_edges",
    "point_to_mesh",
    "quadric_loss",
    "quadrics",
    "sign_change",
    "silhouette_mse",
    "soft_iou_loss",
    "squared_distances",
]
