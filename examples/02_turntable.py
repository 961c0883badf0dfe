"""One torus three times, as voxels, as a mesh and as points: the same verbs, one film."""

import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.io import save_video
from maquette.shapes import cell_centers

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")

# The signed distance of a torus about the y axis, in the cube [-0.5, 0.5]^3, sampled at the centres of 32^3 cells.
x, y, z = cell_centers(32).unbind(-1)
distance = ((x**2 + z**2).sqrt() - 0.3).hypot(y) - 0.12

solid = mq.Voxels((distance < 0).float(), torch.eye(4))
smooth = mq.Voxels((0.5 - 8 * distance).clamp(0, 1), torch.eye(4))
mesh = mq.to_mesh(smooth)
points = mq.sample(mesh, 4000, generator=torch.Generator().manual_seed(0))

films = [mq.turntable(shape, frames=12, size=(128, 128), elevation=0.6) for shape in (solid, mesh, points)]
save_video(torch.cat(films, 2), out / "torus.gif", fps=8)
print(f"torus.gif: {len(solid.occupancy) ** 3} cells, {len(mesh.faces)} faces, {len(points.points)} points")
