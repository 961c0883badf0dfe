"""The bundled network from nothing: procedural objects, a training, a folder of at most 25 MB.

Everything is seeded, and both long steps go on where they were stopped.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from maquette.data.batches import fixed_batch
from maquette.data.pack import Pack, pack
from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic
from maquette.metrics import f_score, match
from maquette.models import SingleView, TrioConfig, load_run, save_model
from maquette.models.outside import encoded, save_features, training_features
from maquette.models.runs import BUNDLED
from maquette.models.voxels import VoxelsDecoder
from maquette.shapes import sample, to_mesh
from maquette.train import TrainConfig, train

LEVELS = tuple(round(0.3 + 0.05 * step, 2) for step in range(10))
"""Probabilities tried as the surface of predicted voxels."""


@dataclass(frozen=True)
class Recipe:
    """Make the weights that come with Maquette."""

    work: Path = Path("runs/weights")
    """Folder of the data set (2 GB) and of the training; what is there already is used."""
    out: Path = BUNDLED
    """Folder of the finished weights."""
    objects: int = 16_000
    views: int = 6
    steps: int = 6_800
    batch: int = 64
    device: str = "cpu"
    """A torch device: cpu, cuda."""
    known_pictures: int = 2_000
    """Training features kept to tell pictures that are unlike them."""


def make_weights(recipe: Recipe) -> None:
    data, run = recipe.work / "data", recipe.work / "run"
    prepare_synthetic(
        PrepareSynthetic(out=data, count=recipe.objects, views=recipe.views, size=96, val=0.02, test=0.03)
    )
    train(
        TrainConfig(
            out=run,
            data=data,
            model=TrioConfig(),
            steps=recipe.steps,
            batch=recipe.batch,
            device=recipe.device,
            resume=(run / "state.safetensors").is_file(),
        )
    )
    bundle(run, data, recipe.out, recipe.known_pictures)


def bundle(run: Path, data: Path, out: Path, known_pictures: int) -> None:
    """Half-precision weights, and the training features that tell what is outside; metrics and states stay behind."""
    trained = load_run(run)
    size = trained.model.picture_size
    training, held_out = pack(data, "train", size), pack(data, "val", size)
    categories = tuple(sorted({entry.category for entry in training.entries}))
    labels = torch.tensor([categories.index(entry.category) for entry in training.entries])
    views = _spread(training, known_pictures)
    objects = np.searchsorted(training.first_view, views, side="right") - 1
    known = training_features(
        encoded(trained.model, fixed_batch(training, views)[0]),
        encoded(trained.model, fixed_batch(held_out, _spread(held_out, 1000))[0]),
        labels=labels[torch.from_numpy(objects)],
        categories=categories,
    )
    settings = {name: value for name, value in trained.settings.items() if name != "model"}
    settings["voxels_level"] = calibrate_voxels(trained.model, held_out)
    # The folders of the machine that trained say nothing to anybody else.
    settings["train"] = {
        name: value for name, value in settings["train"].items() if name not in ("out", "data", "resume")
    }
    save_model(trained.model, out, json.loads(json.dumps(settings)), half=True)
    save_features(known, out)


@torch.no_grad()
def calibrate_voxels(model: SingleView, held_out: Pack, views: int = 160) -> float:
    """Shift the voxels' logits so that 0.5 is the level whose surface has the best F@0.05 on held-out objects.

    The cross-entropy knows nothing of surfaces, and cells that a surface merely touches count as full, so its own 0.5
    lies a little outside. Returns the level of the probabilities before the shift.
    """
    chosen = _spread(held_out, views)
    objects = np.searchsorted(held_out.first_view, chosen, side="right") - 1
    predicted = model.shapes(model.encode(fixed_batch(held_out, chosen)[0]), "voxels")
    score = dict.fromkeys(LEVELS, 0.0)
    for voxels, place in zip(predicted, objects, strict=True):
        truth = torch.from_numpy(held_out.points[place].astype(np.float32))
        for level in LEVELS:
            surface = to_mesh(voxels, level=level)
            if len(surface.faces):
                drawn = sample(surface, len(truth), generator=torch.Generator().manual_seed(0)).points
                score[level] += float(f_score(match(drawn, truth), [0.05]).f[0])
    best = max(LEVELS, key=lambda level: score[level])
    decoder = model.decoders["voxels"]
    assert isinstance(decoder, VoxelsDecoder)
    decoder.shift_level(best)
    return best


def _spread(data: Pack, count: int) -> np.ndarray:
    """`count` views, spread evenly over the whole pack."""
    return np.linspace(0, len(data.views) - 1, min(count, len(data.views))).astype(np.int64)
