"""Gaussian mixtures of colours, with full covariances. N colours of C channels, K components."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SAMPLES = 3000
"""Colours that a fit looks at; more change nothing that can be seen."""
VARIANCE = 4.0
"""Added to every component's variances: colours (CIE Lab) nearer than 2 are one."""


@dataclass(frozen=True)
class Mixture:
    log_weights: Float[np.ndarray, " K"]
    means: Float[np.ndarray, "K C"]
    whitening: Float[np.ndarray, "K C C"]
    """Inverse Cholesky factors of the covariances."""


def fit_mixture(colors: Float[np.ndarray, "N C"], components: int) -> Mixture:
    """Expectation-maximisation from slices along the colours' principal axis; no randomness."""
    if len(colors) < components:
        raise ValueError(f"fit_mixture: {len(colors)} colours for {components} components; give at least as many")
    colors = colors[np.linspace(0, len(colors) - 1, min(SAMPLES, len(colors))).astype(int)]
    count = len(colors)
    centred = colors - colors.mean(0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    slices = np.empty(count, int)
    slices[np.argsort(centred @ axis, kind="stable")] = np.arange(count) * components // count
    means = np.stack([colors[slices == k].mean(0) for k in range(components)])
    for _ in range(10):
        nearest = ((colors[:, None] - means) ** 2).sum(-1).argmin(1)
        for k in np.unique(nearest):
            means[k] = colors[nearest == k].mean(0)
    share = np.eye(components)[nearest]
    mixture = _maximised(colors, share)
    for _ in range(8):
        parts = log_parts(colors, mixture)
        share = np.exp(parts - parts.max(1, keepdims=True))
        mixture = _maximised(colors, share / share.sum(1, keepdims=True))
    return mixture


def _maximised(colors: Float[np.ndarray, "N C"], share: Float[np.ndarray, "N K"]) -> Mixture:
    weights = share.sum(0) + 1e-9
    means = share.T @ colors / weights[:, None]
    moved = colors[:, None] - means
    covariances = np.einsum("nk,nki,nkj->kij", share, moved, moved, optimize=True) / weights[:, None, None]
    covariances = covariances + VARIANCE * np.eye(colors.shape[1])
    return Mixture(np.log(weights / len(colors)), means, np.linalg.inv(np.linalg.cholesky(covariances)))


def log_density(colors: Float[np.ndarray, "N C"], mixture: Mixture) -> Float[np.ndarray, " N"]:
    parts = log_parts(colors, mixture)
    most = parts.max(1)
    return most + np.log(np.exp(parts - most[:, None]).sum(1))


def log_parts(colors: Float[np.ndarray, "N C"], mixture: Mixture) -> Float[np.ndarray, "N K"]:
    """Logarithm of each component's share of the density."""
    parts = []
    for log_weight, mean, whitening in zip(mixture.log_weights, mixture.means, mixture.whitening, strict=True):
        white = (colors - mean) @ whitening.T
        scale = np.log(np.diag(whitening)).sum() - 0.5 * len(mean) * np.log(2 * np.pi)
        parts.append(log_weight + scale - 0.5 * (white**2).sum(1))
    return np.stack(parts, 1)
