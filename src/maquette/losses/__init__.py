"""Losses: pure functions of tensors to one number per shape. Weights and schedules belong to the caller."""

from maquette.losses.mesh import edges_of, laplacian_uniform
from maquette.losses.occupancy import occupancy_bce
from maquette.losses.points import chamfer, squared_distances

__all__ = ["chamfer", "edges_of", "laplacian_uniform", "occupancy_bce", "squared_distances"]
