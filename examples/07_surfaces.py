"""Surfaces from formulas: parametric ones to clouds, implicit ones to meshes, with the torus's area and volume."""

import math
import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.shapes import Superquadric, Torus, face_areas, points_on, surface_mesh

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
ring, pillow = Torus(0.75, 0.3), Superquadric((1.0, 1.0, 0.8), (0.5, 1.6))

for name, surface in (("torus", ring), ("superquadric", pillow)):
    mq.save(points_on(surface, 200), out / f"{name}_points.ply")
    mq.save(surface_mesh(surface), out / f"{name}.glb")

mesh = surface_mesh(ring)
a, b, c = mesh.corners().unbind(1)
volume = float((a * torch.linalg.cross(b, c)).sum() / 6)
print(f"torus: area {float(face_areas(mesh).sum()):.3f}, by the formula {4 * math.pi**2 * 0.75 * 0.3:.3f}")
print(f"torus: volume {volume:.4f}, by the formula {2 * math.pi**2 * 0.75 * 0.3**2:.4f}")
