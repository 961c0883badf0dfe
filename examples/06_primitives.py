"""Eight primitives in one picture, each with its vertices, its faces and V - E + F (2: closed, without a hole)."""

import sys
from pathlib import Path

import torch

from maquette.camera import orbit
from maquette.io import write_picture
from maquette.rendering.looks import centred, over, picture
from maquette.shapes import cube, cylinder, edges_of, ico_sphere, plane, superquadric, tetrahedron, torus, uv_sphere

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
tiles = []
for name, mesh in {
    "tetrahedron": tetrahedron(),
    "cube": cube(),
    "ico_sphere": ico_sphere(2),
    "uv_sphere": uv_sphere(),
    "torus": torus(),
    "cylinder": cylinder(),
    "plane": plane(cells=4),
    "superquadric": superquadric((1.0, 1.0, 1.0), (0.4, 1.8)),
}.items():
    whole = centred(mesh, name)
    camera = orbit(0.6, 0.5, 3.4 * whole.radius, focal=220.0, size=(150, 150))
    tiles.append(over(picture(whole, camera), (1.0, 1.0, 1.0)))
    v, e, f = len(mesh.vertices), len(edges_of(mesh.faces)), len(mesh.faces)
    print(f"{name:12} {v:4} vertices {f:4} faces, V - E + F = {v - e + f}")
write_picture(torch.cat([torch.cat(tiles[:4], 1), torch.cat(tiles[4:], 1)]), out / "primitives.png")
