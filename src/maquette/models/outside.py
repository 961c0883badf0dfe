"""Is a picture like those a network was trained on? The distance of its features to the nearest training features.

M training pictures, D features. Features are standardised and brought to length 1, so distances lie in 0..2.
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


@dataclass(frozen=True)
class TrainingFeatures:
    """A sample of what a network made of its training pictures."""

    features: Float[Tensor, "M D"]
    """Standardised, of length 1."""
    mean: Float[Tensor, "D"]
    scale: Float[Tensor, "D"]
    """Of the raw features: what standardises them."""
    threshold: float
    """The 99th percentile of the distances of held-out pictures of the same kind: beyond it, a picture is outside."""
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
    return torch.cat([model.encode(batch) for batch in images.split(BATCH)])


def training_features(
    training: Float[Tensor, "M D"],
    held_out: Float[Tensor, "N D"],
    *,
    labels: Int64[Tensor, "M"] | None = None,
    categories: tuple[str, ...] = ("",),
) -> TrainingFeatures:
    """From raw features (see `encoded`) of training pictures, and of held-out ones for the threshold.

    A few thousand of each are enough. `labels` name the category of each training picture.
    """
    mean = training.mean(0)
    # A feature that never varies says nothing; it must not be divided by zero.
    scale = training.std(0).clamp(min=1e-6 + 1e-3 * float(training.std()))
    known = _standardised(training, mean, scale)
    distances = torch.cdist(_standardised(held_out, mean, scale), known).amin(1)
    labels = torch.zeros(len(training), dtype=torch.int64) if labels is None else labels
    return TrainingFeatures(known, mean, scale, float(distances.quantile(0.99)), labels, categories)


def distance_to_training(features: Float[Tensor, "B D"], known: TrainingFeatures) -> list[Novelty]:
    """How far each of a batch of raw features is from the nearest training picture's."""
    distances, nearest = torch.cdist(_standardised(features, known.mean, known.scale), known.features).min(1)
    return [
        Novelty(float(distance), known.threshold, known.categories[int(known.labels[index])])
        for distance, index in zip(distances, nearest, strict=True)
    ]


def save_features(known: TrainingFeatures, folder: Path) -> None:
    """Write `features.safetensors` into a run's folder, in 16-bit floats."""
    from safetensors.torch import save_file

    tensors = {
        "features": known.features.half().contiguous(),
        "mean": known.mean.float().contiguous(),
        "scale": known.scale.float().contiguous(),
        "threshold": torch.tensor([known.threshold]),
        "labels": known.labels.to(torch.uint8),
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
            tensors = {name: file.get_tensor(name) for name in ("features", "mean", "scale", "threshold", "labels")}
            categories = tuple(json.loads((file.metadata() or {})["categories"]))
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise OSError(f"{path}: not training features: {' '.join(str(error).split())}") from error
    return TrainingFeatures(
        tensors["features"].float(),
        tensors["mean"],
        tensors["scale"],
        float(tensors["threshold"]),
        tensors["labels"].long(),
        categories,
    )


def _standardised(
    features: Float[Tensor, "B D"], mean: Float[Tensor, "D"], scale: Float[Tensor, "D"]
) -> Float[Tensor, "B D"]:
    return torch.nn.functional.normalize((features - mean) / scale, dim=-1)
