"""A shape from a file, a picture of it, and the same shape in another format."""

import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.io import write_picture
from maquette.shapes import VertexColors, ico_sphere

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")

# Something to load: a ball, cyan below and yellow above.
ball = ico_sphere(3)
height = (ball.vertices[:, 1:2] + 1) / 2
cyan, yellow = torch.tensor([0.0, 1, 1]), torch.tensor([1.0, 1, 0])
mq.save(ball.with_appearance(VertexColors(cyan + height * (yellow - cyan))), out / "ball.glb")

shape = mq.load(out / "ball.glb")
camera = mq.look_at(torch.tensor([1.0, 1.5, 3.0]), torch.zeros(3), focal=350.0, size=(256, 256))
rendering = mq.render(shape, camera, smooth=True)
write_picture(rendering.rgb, out / "ball.png")
mq.save(shape, out / "ball.ply")

seen = rendering.alpha > 0
print(f"{int(seen.sum())} pixels show the ball; its nearest point is {rendering.depth[seen].min():.2f} away")
