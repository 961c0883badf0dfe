"""Smoothing that moves vertices towards their neighbours: plain Laplacian, and Taubin's, which does not shrink.

V vertices, E edges. Differentiable in the vertices; leading `*batch` axes are smoothed one by one.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.shapes.laplacian import checked_topology, coordinates, neighbor_sums
from maquette.shapes.mesh import Mesh
from maquette.shapes.topology import Topology


def smooth(
    mesh: Mesh,
    steps: int = 10,
    *,
    factor: float = 0.5,
    weights: Float[Tensor, "*batch E"] | None = None,
    topology: Topology | None = None,
) -> Mesh:
    """Every vertex goes `factor` (0..1) of the way to the weighted mean of its neighbours, `steps` times.

    It shrinks the mesh; `smooth_taubin` does not. `weights` of the edges are 1 unless given, such as
    `cotangent_weights`; they stay what they are in all steps. Where they do not sum to more than zero, a vertex stays.
    """
    if steps < 0 or not 0 <= factor <= 1:
        raise ValueError(f"smooth: steps {steps}, factor {factor}; give steps from 0 and a factor in 0..1")
    return _filtered(mesh, (factor,) * steps, weights, checked_topology(mesh, topology, "smooth"))


def smooth_taubin(
    mesh: Mesh,
    steps: int = 10,
    *,
    factor: float = 0.6307,
    pass_band: float = 0.1,
    weights: Float[Tensor, "*batch E"] | None = None,
    topology: Topology | None = None,
) -> Mesh:
    """Low-pass smoothing: each step shrinks by `factor` as `smooth` does, then swells by mu (Taubin 1995, section 3).

    A wave of frequency k (0 constant, 2 the highest; eigenvalues of the umbrella operator) is multiplied by
    (1 - factor k)(1 - mu k) a step, with 1 / factor + 1 / mu = pass_band, so that mu < -factor: below `pass_band` it
    grows a little (by 0.1 % at most, with the defaults), above it fades. The defaults are the paper's. The rim of an
    open mesh is smoothed, too, and creeps.
    """
    if steps < 0 or not 0 < factor < 1 or not 0 < pass_band < 1 / factor:
        raise ValueError(
            f"smooth_taubin: steps {steps}, factor {factor}, pass band {pass_band}; give steps from 0, "
            "a factor between 0 and 1 and a pass band between 0 and 1 / factor"
        )
    mu = 1 / (pass_band - 1 / factor)
    highest = abs((1 - 2 * factor) * (1 - 2 * mu))
    if highest > 1:
        raise ValueError(
            f"smooth_taubin: factor {factor} with pass band {pass_band} multiplies the highest frequency by "
            f"{highest:.3g} a step; lower either"
        )
    return _filtered(mesh, (factor, mu) * steps, weights, checked_topology(mesh, topology, "smooth_taubin"))


def _filtered(mesh: Mesh, factors: tuple[float, ...], weights: Tensor | None, topology: Topology) -> Mesh:
    rows = coordinates(mesh.vertices)
    if weights is None:
        weights = rows.new_ones((*mesh.vertices.shape[:-2], len(topology.edges)))
    total = neighbor_sums(torch.ones_like(rows[:1]), topology.edges, weights)[0]
    scale = torch.where(total > 0, 1 / total, 0.0)
    for factor in factors:
        mean = neighbor_sums(rows, topology.edges, weights) * scale
        rows = rows + factor * (mean - rows * (total > 0))
    return mesh.with_vertices(rows.movedim(0, -1))
