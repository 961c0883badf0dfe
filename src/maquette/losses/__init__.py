"""Losses: pure functions of tensors to one number per shape. Weights and schedules belong to the caller."""

from maquette.losses.mesh import edge_loss, laplacian_cot, laplacian_cotcurv, laplacian_uniform, normal_consistency
from maquette.losses.occupancy import occupancy_bce
from maquette.losses.points import chamfer, squared_distances

__all__ = [
    "chamfer",
    "edge_loss",
    "laplacian_cot",
    "laplacian_cotcurv",
    "laplacian_uniform",
    "normal_consistency",
    "occupancy_bce",
    "squared_distances",
]
