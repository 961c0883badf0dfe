"""Where was the camera? Gradients flow from the picture's colours through the renderer to the camera's angles."""

import torch

import maquette as mq
from maquette.rendering import Ambient
from maquette.shapes import VertexColors, ico_sphere

# A ball whose colours tell its sides apart: red grows with x, green with y, blue with z.
ball = ico_sphere(3).with_appearance(VertexColors((ico_sphere(3).vertices + 1) / 2))


def picture(angles: torch.Tensor) -> torch.Tensor:
    azimuth, elevation = angles
    camera = mq.orbit(azimuth, elevation, 3.0, focal=60.0, size=(48, 48))
    return mq.render(ball, camera, lights=(Ambient(1.0),)).rgb


truth = torch.tensor([0.7, 0.3])
target = picture(truth)
angles = torch.tensor([0.0, 0.0], requires_grad=True)
optimizer = torch.optim.Adam([angles], lr=0.05)
for step in range(60):
    loss = (picture(angles) - target).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step:2d}  loss {loss:.6f}  azimuth {angles[0]:.3f}  elevation {angles[1]:.3f}")
print(f"off by {(angles - truth).abs().max():.4f} radians")
