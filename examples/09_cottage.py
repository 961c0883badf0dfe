"""A textured OBJ of two materials, written by hand: brick walls with a door, under a roof of tiles."""

import sys
from pathlib import Path

import torch

import maquette as mq
from maquette.io import write_picture, write_text

out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/examples")


def stones(color: tuple[float, float, float], joint: float, across: int, down: int) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(128.0) / 128 * down, torch.arange(128.0) / 128 * across, indexing="ij")
    x = x + 0.5 * (y.floor() % 2)
    tint = 0.75 + 0.25 * torch.rand(down, across, generator=torch.Generator().manual_seed(1))
    stone = tint[y.long(), x.long() % across][..., None] * torch.tensor(color)
    return torch.where(((x % 1 < 0.08) | (y % 1 < 0.14))[..., None], torch.tensor([joint] * 3), stone)


door = stones((0.72, 0.34, 0.25), 0.8, 6, 10)
door[48:, 44:84] = torch.tensor([0.25, 0.4, 0.35])
write_picture(torch.cat([stones((0.72, 0.34, 0.25), 0.8, 6, 10), door], 1), out / "wall.png")
write_picture(stones((0.42, 0.34, 0.46), 0.22, 8, 8), out / "roof.png")
write_text(out / "cottage.mtl", "newmtl wall\nmap_Kd wall.png\nnewmtl roof\nmap_Kd roof.png\n")
write_text(out / "cottage.obj", (Path(__file__).parent / "cottage.obj").read_text())
mesh = mq.load(out / "cottage.obj")
print(f"cottage.obj: {len(mesh.faces)} faces, two materials in one texture of {tuple(mesh.appearance.image.shape[:2])}")
