"""A cloud learns three pictures: gradients flow through discs that are clear towards their rims to where points are."""

import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.data.synthetic import make_object
from maquette.io import write_picture
from maquette.rendering import Ambient, Composited

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
cameras = mq.orbit(torch.arange(3) * 2.1 + 0.5, 0.4, 1.8, focal=170.0, size=(96, 96))
target = mq.render(make_object(2, "test", "chair").mesh, cameras, lights=(Ambient(1.0),)).rgb
generator = torch.Generator().manual_seed(0)
points = ((torch.rand(2000, 3, generator=generator) - 0.5) * 0.8).requires_grad_()
colors = torch.full((2000, 3), 0.5, requires_grad=True)
optimizer = torch.optim.Adam([{"params": [points], "lr": 0.006}, {"params": [colors], "lr": 0.02}])
pictures = [target[0]]
for step in range(81):
    picture = mq.render(mq.PointCloud(points, colors), cameras, radius=0.02, edges=Composited(16)).rgb
    loss = (picture - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step in (0, 10, 80):
        pictures.append(picture[0].detach())
        print(f"step {step:2d}  loss {loss:.5f}")
write_picture(torch.cat(pictures, 1), out / "fit_points.png")
