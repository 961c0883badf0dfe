"""A scene to look at with `maquette render`: a chair on a chequered floor, in one coloured mesh."""

import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.data.synthetic import make_object
from maquette.shapes import FaceColors, bounds, plane

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
chair = make_object(3, "test", "chair").mesh
cells = 10
floor = plane(1.8, 1.8, cells=cells)
under = floor.vertices + torch.tensor([0.0, float(bounds(chair)[0, 1]), 0.0])

# Two triangles a cell; cells are dark where row and column are both even or both odd.
row, column = torch.meshgrid(torch.arange(cells), torch.arange(cells), indexing="ij")
dark = ((row + column) % 2 == 0).reshape(-1, 1).repeat_interleave(2, 0)
tiles = torch.where(dark, torch.tensor([0.35, 0.42, 0.5]), torch.tensor([0.85, 0.87, 0.88]))

scene = mq.Mesh(
    torch.cat([chair.vertices, under]),
    torch.cat([chair.faces, floor.faces + len(chair.vertices)]),
    FaceColors(torch.cat([chair.appearance.colors, tiles])),
)
mq.save(chair, out / "chair.glb")
mq.save(scene, out / "scene.glb")
print(f"scene.glb: {len(scene.faces)} faces; chair.glb: {len(chair.faces)}")
