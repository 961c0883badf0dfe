"""The bundled network from nothing: procedural objects, four trainings, a folder of at most 25 MB.

Everything is seeded, and all long steps go on where they were stopped.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette.data.augment import Augmentation
from maquette.data.batches import fixed_batch
from maquette.data.disturb import PHOTOGRAPHS
from maquette.data.pack import Pack, pack
from maquette.data.prepare.synthetic import PrepareSynthetic, prepare_synthetic
from maquette.metrics import f_score, match
from maquette.models import MultiHeadConfig, SingleView, load_run, save_model
from maquette.models.mesh import MeshHead
from maquette.models.occupancy import Meshing, OccupancyDecoder, TriplaneOccupancy
from maquette.models.outside import encoded, save_features, training_features
from maquette.models.points import PointsHead
from maquette.models.runs import BUNDLED
from maquette.models.voxels import VoxelsDecoder
from maquette.ops.devices import usable_device
from maquette.shapes import sample, to_mesh
from maquette.train import TrainConfig, train

LEVELS = tuple(round(0.3 + 0.05 * step, 2) for step in range(13))
"""Probabilities tried as the surface of predicted voxels and fields."""
STUDIO = MultiHeadConfig()
"""The first training: an encoder and three heads that learn what objects are like, in even light."""
WILD = MultiHeadConfig(
    points=PointsHead(distance="plain"),
    mesh=MeshHead(hidden=256),
    voxels_share=0.0,
    mesh_share=0.0,
    occupancy=TriplaneOccupancy(),
)
"""The second: the encoder, the points and a field, under any light. The other heads wait: they cost the most."""
POINTS = replace(WILD, occupancy_share=0.0)
"""The third: the encoder and the points on new objects, most of them stretched unevenly along their axes."""
HEADS = replace(WILD, voxels_share=0.5, mesh_share=0.5)
"""The fourth: all heads learn what the encoder, which stays as it is, says of pictures."""
STRETCHED = 2 / 3
"""Share of the new objects that are stretched."""
REFRAMED = 0.7
"""Share of their pictures: clouds unite looks at several squares of one picture."""


@dataclass(frozen=True)
class Recipe:
    """Make the weights that come with Maquette."""

    work: Path = Path("runs/weights")
    """Folder of the data sets (about 7 GB) and of the trainings; what is there already is used."""
    out: Path = BUNDLED
    """Folder of the finished weights."""
    objects: tuple[int, int, int] = (16_000, 20_000, 30_000)
    """In the studio, under wild conditions, and new ones under these."""
    views: int = 6
    steps: tuple[int, int, int, int] = (6_800, 5_000, 9_000, 1_000)
    """Of the four trainings."""
    batch: int = 64
    device: str = "cpu"
    """A torch device: cpu, cuda."""
    known_pictures: int = 2_000
    """Training features kept to tell pictures that are unlike them."""


def make_weights(recipe: Recipe) -> None:
    usable_device(recipe.device, "weights")
    studio = PrepareSynthetic(
        out=recipe.work / "studio", count=recipe.objects[0], views=recipe.views, size=96, val=0.02, test=0.03
    )
    wild = replace(studio, out=recipe.work / "wild", count=recipe.objects[1], conditions="wild")
    new = replace(
        wild, out=recipe.work / "new", count=recipe.objects[2], seed=7, val=0.0, test=0.0, stretched=STRETCHED
    )
    for data in (studio, wild, new):
        prepare_synthetic(data)
    first, second, third, fourth = (recipe.work / f"run-{number}" for number in (1, 2, 3, 4))
    steps, kept = recipe.steps, {"batch": recipe.batch, "device": recipe.device}
    usual = {"ema": 0.999, "augment": Augmentation(disturbance=PHOTOGRAPHS)}
    moved = {"ema": 0.999, "augment": Augmentation(reframed=REFRAMED, disturbance=PHOTOGRAPHS)}
    trainings = (
        TrainConfig(out=first, data=studio.out, model=STUDIO, steps=steps[0], **kept),
        TrainConfig(out=second, data=wild.out, model=WILD, start=first, steps=steps[1], lr=5e-4, **kept, **usual),
        TrainConfig(out=third, data=new.out, model=POINTS, start=second, steps=steps[2], lr=5e-4, **kept, **moved),
        TrainConfig(
            out=fourth, data=new.out, model=HEADS, start=third, learn="decoders", steps=steps[3], **kept, **moved
        ),
    )
    for config in trainings:
        train(replace(config, resume=(config.out / "state.safetensors").is_file()))
    bundle(fourth, wild.out, recipe.out, recipe.known_pictures)


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
    settings["levels"] = {
        name: calibrate(trained.model, name, held_out)
        for name in ("voxels", "occupancy")
        if name in trained.model.representations
    }
    # The folders of the machine that trained say nothing to anybody else.
    settings["train"] = {
        name: value for name, value in settings["train"].items() if name not in ("out", "data", "start", "resume")
    }
    save_model(trained.model, out, json.loads(json.dumps(settings)), half=True)
    save_features(known, out)


@torch.no_grad()
def calibrate(model: SingleView, name: str, held_out: Pack, views: int = 120) -> float:
    """Shift the logits of 'voxels' or 'occupancy' so that 0.5 is the level whose surface has the best F@0.05 on
    held-out objects. Returns the level of the probabilities before the shift.

    The cross-entropy knows nothing of surfaces. Cells that a surface merely touches count as full, and of the places
    that a field is taught more are inside than in space, so that their own 0.5 lies outside.
    """
    decoder = model.decoders[name]
    assert isinstance(decoder, VoxelsDecoder | OccupancyDecoder)
    score = dict.fromkeys(LEVELS, 0.0)
    for view in _spread(held_out, views).tolist():
        features = model.encode(fixed_batch(held_out, np.array([view]))[0])
        truth = _points_of(held_out, view)
        for level in LEVELS:
            if isinstance(decoder, OccupancyDecoder):
                surface = decoder.meshes(features, Meshing(resolution=32, level=level))[0]
            else:
                surface = to_mesh(decoder.shapes(features)[0], level=level)
            if len(surface.faces):
                drawn = sample(surface, len(truth), generator=torch.Generator().manual_seed(0)).points
                score[level] += float(f_score(match(drawn, truth), [0.05]).f[0])
    best = max(LEVELS, key=lambda level: score[level])
    decoder.shift_level(best)
    return best


def _points_of(data: Pack, view: int) -> Float[Tensor, "N 3"]:
    """Of the object that a view shows."""
    place = np.searchsorted(data.first_view, view, side="right") - 1
    return torch.from_numpy(data.points[place].astype(np.float32))


def _spread(data: Pack, count: int) -> np.ndarray:
    """`count` views, spread evenly over the whole pack."""
    return np.linspace(0, len(data.views) - 1, min(count, len(data.views))).astype(np.int64)
