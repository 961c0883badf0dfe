"""A sphere becomes a vase: the loop of a fit is yours, its losses are named terms, its random draws follow the step."""

import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.data.synthetic import make_object
from maquette.fitting import fit, generator_at, unit_from_target
from maquette.losses import chamfer, laplacian_uniform
from maquette.shapes import ico_sphere, topology_of

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")
vase = make_object(1, "test", "vase").mesh
vase = mq.transform(vase, unit_from_target(vase))  # losses and learning rates know the cube [-1, 1]^3
sphere = ico_sphere(3, 0.6)
topology, offsets = topology_of(sphere.faces), torch.zeros_like(sphere.vertices, requires_grad=True)


def objective(index: int) -> dict[str, torch.Tensor]:
    mesh = sphere.with_vertices(sphere.vertices + offsets)
    ours, theirs = (mq.sample(shape, 1500, generator=generator_at(0, index)) for shape in (mesh, vase))
    return {"chamfer": chamfer(ours.points, theirs.points), "smooth": 0.1 * laplacian_uniform(mesh, topology)}


for step in fit(objective, torch.optim.Adam([offsets], lr=0.02), steps=120):
    if step.index % 40 == 0 or step.index == 119:
        print(f"step {step.index:3d}  " + "  ".join(f"{name} {value:.4f}" for name, value in step.terms.items()))
mq.save(sphere.with_vertices(sphere.vertices + offsets.detach()), out / "vase.glb")
