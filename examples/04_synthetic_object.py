"""The procedural world: an object of each category, its parts by name, and its signed distance."""

import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.data.synthetic import CATEGORIES, make_object, signed_distance
from maquette.io import write_picture

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
camera = mq.orbit(0.6, 0.4, 1.6, focal=200.0, size=(160, 160))

pictures = []
for seed, category in enumerate(CATEGORIES):
    thing = make_object(seed, "train", category)
    pictures.append(mq.render(thing.mesh, camera).rgb)
    # How much of the box [-0.5, 0.5]^3 is solid? Distances are negative inside.
    inside = signed_distance(thing, torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)).numpy() - 0.5) < 0
    print(f"{category:6}  {len(thing.mesh.faces):5} faces  {inside.mean():5.1%} solid  {', '.join(thing.label_names)}")

rows = [torch.cat(pictures[k : k + 4], 1) for k in range(0, len(pictures), 4)]
write_picture(torch.cat(rows), out / "world.png")
mq.save(thing.mesh, out / f"{category}.glb")
