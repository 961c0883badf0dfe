"""Codes in two dimensions: principal components, t-SNE, UMAP; and how well codes tell categories apart.

N codes of D numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

Method = Literal["pca", "tsne", "umap"]
NEIGHBOURS = 5


@dataclass(frozen=True)
class Embedding:
    """Where each code lies on the map."""

    method: Method
    places: Float[Tensor, "N 2"]
    explained: tuple[float, float] | None
    """Parts of the codes' variance along both axes, of principal components; other maps have no axes to speak of."""


def embed(codes: Float[Tensor, "N D"], method: Method, *, seed: int = 0) -> Embedding:
    """The map by one of the methods; t-SNE and UMAP begin from the same seed every time."""
    if len(codes) < 3:
        raise ValueError(f"latent map: {len(codes)} pictures; a map needs at least 3")
    match method:
        case "pca":
            return principal_components(codes)
        case "tsne":
            return Embedding("tsne", _tsne(codes, seed), None)
        case "umap":
            return Embedding("umap", _umap(codes, seed), None)


def principal_components(codes: Float[Tensor, "N D"]) -> Embedding:
    """The two directions along which centred codes vary most (Pearson 1901), by singular values.

    Of each direction the entry of the largest size is positive, so that the map does not flip.
    """
    centred = codes.double() - codes.double().mean(0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    axes = torch.zeros(2, codes.shape[1], dtype=torch.float64)
    axes[: len(directions[:2])] = directions[:2]
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    axes = axes * torch.where(largest < 0, -1.0, 1.0)
    total = float(sizes.square().sum())
    shares = [float(size) ** 2 / total if total > 0 else 0.0 for size in sizes[:2]]
    return Embedding("pca", (centred @ axes.T).float(), (shares[0], shares[1] if len(shares) > 1 else 0.0))


def _tsne(codes: Float[Tensor, "N D"], seed: int) -> Float[Tensor, "N 2"]:
    _needs("sklearn", "tsne", "scikit-learn")
    from sklearn.manifold import TSNE

    # Each point must have three times as many others as it is to have neighbours.
    perplexity = min(30.0, (len(codes) - 1) / 3)
    fit = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed)
    return torch.from_numpy(np.asarray(fit.fit_transform(codes.double().numpy()), dtype=np.float32))


def _umap(codes: Float[Tensor, "N D"], seed: int) -> Float[Tensor, "N 2"]:
    _needs("umap", "umap", "umap-learn")
    import umap

    fit = umap.UMAP(n_components=2, n_neighbors=min(15, len(codes) - 1), random_state=seed, n_jobs=1)
    return torch.from_numpy(np.asarray(fit.fit_transform(codes.numpy()), dtype=np.float32))


def _needs(module: str, method: str, package: str) -> None:
    if find_spec(module) is None:
        raise ValueError(
            f"latent map: --method {method} needs {package}, which is not installed; pip install 'maquette[latent]', "
            "or take --method pca"
        )


def same_category(codes: Float[Tensor, "N D"], categories: Sequence[str]) -> tuple[float, float]:
    """(share of each code's `NEIGHBOURS` nearest others, by cosine, that are of its category; the same by chance)."""
    normalised = torch.nn.functional.normalize(codes.double(), dim=1)
    likeness = normalised @ normalised.T
    likeness.fill_diagonal_(-math.inf)
    count = min(NEIGHBOURS, len(codes) - 1)
    nearest = likeness.topk(count, dim=1).indices
    numbers = torch.from_numpy(np.unique(np.array(categories), return_inverse=True)[1])
    same = (numbers[nearest] == numbers[:, None]).double().mean()
    sizes = numbers.bincount().double()
    chance = (sizes * (sizes - 1)).sum() / (len(codes) * (len(codes) - 1))
    return float(same), float(chance)
