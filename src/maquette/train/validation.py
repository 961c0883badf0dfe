"""A look at the validation split: mean losses of fixed views, and a sheet of pictures."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette.data.augment import Augmentation
from maquette.data.batches import fixed_batch
from maquette.data.pack import Pack
from maquette.models import SingleView

VALIDATION_VIEWS = 256
PICTURED = 6
"""Validation objects in the pictures."""


def validation_views(data: Pack) -> np.ndarray:
    """One fixed view an object: its place in the list says which."""
    counts = np.diff(data.first_view)
    views = data.first_view[:-1] + np.arange(len(counts)) % counts
    # Spread over the split, so that every category has its share.
    return views[np.linspace(0, len(views) - 1, min(len(views), VALIDATION_VIEWS)).astype(int)]


def _chunks(views: np.ndarray, size: int = 64) -> Iterator[np.ndarray]:
    for start in range(0, len(views), size):
        yield views[start : start + size]


@torch.no_grad()
def validate(
    model: SingleView, data: Pack, device: torch.device, augmentation: Augmentation = Augmentation()
) -> dict[str, float]:
    """Mean loss terms over fixed views of the validation split."""
    model.eval()
    views = validation_views(data)
    total: dict[str, float] = {}
    for chunk in _chunks(views):
        images, targets = fixed_batch(data, chunk, augmentation=augmentation)
        for name, term in model.losses(images.to(device), targets.to(device)).items():
            total[name] = total.get(name, 0.0) + term.item() * len(chunk) / len(views)
    return total


@torch.no_grad()
def draw(
    model: SingleView,
    data: Pack,
    device: torch.device,
    out: Path,
    step: int,
    *,
    augmentation: Augmentation = Augmentation(),
) -> Float[Tensor, "3 H W"]:
    """A sheet of a few validation objects: the picture, every representation from the same azimuth, the truth."""
    from maquette.camera import orbit
    from maquette.io.pictures import write_picture
    from maquette.rendering import render
    from maquette.shapes import Mesh, PointCloud, Voxels, to_mesh

    model.eval()
    views = validation_views(data)
    views = views[np.linspace(0, len(views) - 1, min(PICTURED, len(views))).astype(int)]
    images, targets = fixed_batch(data, views, augmentation=augmentation)
    features = model.encode(images.to(device))
    shapes = [model.shapes(features, name) for name in model.representations]
    side = 128
    rows = []
    for i in range(len(views)):
        camera = orbit(
            targets.azimuth[i], targets.elevation[i], torch.tensor(1.9), focal=1.55 * side, size=(side, side)
        )
        # Of a network that reads codes, too, the picture is shown.
        pixels = torch.from_numpy(np.array(data.views[views[i]])).permute(2, 0, 1)[None] / 255
        picture = torch.nn.functional.interpolate(pixels, (side, side))[0].permute(1, 2, 0)
        cells = [picture[..., :3] * picture[..., 3:] + 1 - picture[..., 3:]]
        solids = [predicted[i] for predicted in shapes] + [PointCloud(targets.points[i])]
        for solid in solids:
            solid = _on_cpu(solid)
            surface = to_mesh(solid) if isinstance(solid, Voxels) else solid
            if isinstance(surface, Mesh) and len(surface.faces) == 0:
                # An untrained network may predict an empty grid; an empty picture says so.
                cells.append(torch.ones(side, side, 3))
            else:
                cells.append(render(surface, camera, smooth=True, radius=0.012).rgb)
        rows.append(torch.cat(cells, 1))
    sheet = torch.cat(rows, 0)
    write_picture(sheet, out / "pictures" / f"step-{step + 1:06d}.png")
    return sheet.permute(2, 0, 1)


def _on_cpu(shape):
    moved = {name: value.cpu() for name, value in vars(shape).items() if isinstance(value, Tensor)}
    return replace(shape, **moved)
