"""Make the example pictures: objects that no training has seen, drawn by our own renderer.

Half have a transparent background, half a plain one: both are what `maquette reconstruct` takes.
"""

import math
from pathlib import Path

import torch

from maquette.camera import orbit
from maquette.data.synthetic import make_object
from maquette.io import write_picture
from maquette.rendering import STUDIO, antialiased, render

HERE = Path(__file__).parent
SIZE = 384
PICTURES = {
    "chair.png": ("chair", 2, 35.0, 18.0),
    "sofa.jpg": ("sofa", 5, -30.0, 22.0),
    "table.png": ("table", 8, 25.0, 24.0),
    "lamp.jpg": ("lamp", 6, 20.0, 12.0),
    "car.png": ("car", 5, 40.0, 20.0),
    "plane.jpg": ("plane", 7, -40.0, 25.0),
}
"""Category, number in the test split, azimuth and elevation in degrees."""

for name, (category, number, azimuth, elevation) in PICTURES.items():
    mesh = make_object(number, "test", category).mesh
    angles = torch.tensor([azimuth, elevation]) * math.pi / 180
    camera = orbit(angles[0], angles[1], torch.tensor(1.6), focal=1.25 * 4 * SIZE, size=(4 * SIZE, 4 * SIZE))
    picture = antialiased(render(mesh, camera, lights=STUDIO, background=(0.0, 0.0, 0.0)), 4)
    if name.endswith(".jpg"):
        alpha = picture[..., 3:]
        picture = picture[..., :3] * alpha + 0.93 * (1 - alpha)
    write_picture(picture, HERE / name)
