"""Is a picture like those a network was trained on? The distance of its features to the nearest training features.

M training pictures, D features. Features are brought to length 1: the angle between them tells kinds of objects apart
better than distances of raw or standardised features do.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from maquette.io.atomic import atomic_path
from maquette.models.network import SingleView

FILE = "features.safetensors"
"""In a run's folder."""
BATCH = 256
BEYOND = 0.025
"""Share of held-out pictures that the threshold calls outside."""


@dataclass(frozen=True)
class TrainingFeatures:
    """A sample of what a network made of its training pictures."""

    features: Float[Tensor, "M D"]
    """Of length 1."""
    threshold: float
    """Beyond this distance a picture is outside: so are `BEYOND` of held-out pictures of the same kind."""
    labels: Int64[Tensor, "M"]
    """Index into `categories`."""
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Novelty:
    """How far a picture is from the training pictures."""

    distance: float
    threshold: float
    nearest: str
    """Category of the nearest training picture; empty if the run does not know."""

    @property
    def is_outside(self) -> bool:
        return self.distance > self.threshold


@torch.no_grad()
def encoded(model: SingleView, images: Float[Tensor, "M 4 S S"]) -> Float[Tensor, "M D"]:
    """Raw features of many pictures, in batches."""
    return torch.cat([model.encode(batch).code for batch in images.split(BATCH)])


def training_features(
    training: Float[Tensor, "M D"],
    held_out: Float[Tensor, "N D"],
    *,
    labels: Int64[Tensor, "M"] | None = None,
    categories: tuple[str, ...] = ("",),
) -> TrainingFeatures:
    """From raw features (see `encoded`) of training pictures, and of held-out ones for the threshold.

    4,000 training pictures and some hundreds of held-out ones do; `labels` name each training picture's category.
    """
    known = torch.nn.functional.normalize(training, dim=-1)
    distances = torch.cdist(torch.nn.functional.normalize(held_out, dim=-1), known).amin(1)
    labels = torch.zeros(len(training), dtype=torch.int64) if labels is None else labels
    return TrainingFeatures(known, float(distances.quantile(1 - BEYOND)), labels, categories)


def distance_to_training(features: Float[Tensor, "B D"], known: TrainingFeatures) -> list[Novelty]:
    """How far each of a batch of raw features is from the nearest training picture's."""
    distances, nearest = torch.cdist(torch.nn.functional.normalize(features, dim=-1), known.features).min(1)
    return [
        Novelty(float(distance), known.threshold, known.categories[int(known.labels[index])])
        for distance, index in zip(distances, nearest, strict=True)
    ]


def save_features(known: TrainingFeatures, folder: Path) -> None:
    """Write `features.safetensors` into a run's folder, in 16-bit floats."""
    from safetensors.torch import save_file

    tensors = {
        "features": known.features.half().contiguous(),
        "threshold": torch.tensor([known.threshold]),
        "labels": known.labels.to(torch.int16),
    }
    with atomic_path(folder / FILE) as path:
        save_file(tensors, path, metadata={"categories": json.dumps(known.categories)})


def load_features(folder: Path) -> TrainingFeatures | None:
    """The training features of a run, or None for a run without them."""
    from safetensors import SafetensorError, safe_open

    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in ("features", "threshold", "labels")}
            categories = tuple(json.loads((file.metadata() or {})["categories"]))
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise OSError(f"{path}: not training features: {' '.join(str(error).split())}") from error
    return TrainingFeatures(
        tensors["features"].float(),
        float(tensors["threshold"]),
        tensors["labels"].long(),
        categories,
    )
