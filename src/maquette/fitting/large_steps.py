"""Large steps: a mesh is moved through u = (I + lambda L) x, so that noisy gradients move it smoothly.

Nicolet, Jacobson & Jakob 2021, "Large Steps in Inverse Rendering of Geometry". V vertices, C columns; L is the
positive semidefinite graph Laplacian (degree on the diagonal, -1 for a neighbour), lambda its weight.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.shapes.topology import Topology


@dataclass(frozen=True)
class Smoother:
    """I + lambda L of one topology, factored once; made by `smoother`."""

    matrix: Any
    """scipy's sparse matrix, V x V."""
    factors: Any
    """Its factors, which solve for any right-hand side (scipy's SuperLU)."""


def smoother(topology: Topology, vertices: int, strength: float) -> Smoother:
    """I + `strength` L over so many vertices, factored (Nicolet et al. 2021, eq. 10).

    It depends on who neighbours whom alone. Strength 0 is the identity; the paper uses 19 for fine meshes.
    """
    import numpy as np
    from scipy import sparse
    from scipy.sparse.linalg import splu

    if not strength >= 0:
        raise ValueError(f"smoother: strength is {strength}; give 0 or more")
    if topology.vertices > vertices:
        raise ValueError(f"smoother: faces use vertex {topology.vertices - 1}, but there are {vertices} vertices")
    low, high = topology.edges.cpu().numpy().T
    rows, columns = np.concatenate([low, high]), np.concatenate([high, low])
    beside = sparse.coo_array((np.full(len(rows), -strength), (rows, columns)), shape=(vertices, vertices))
    degree = np.bincount(rows, minlength=vertices)
    matrix = (beside + sparse.diags_array(1.0 + strength * degree)).tocsc()
    # Symmetric and positive definite: no pivoting, an ordering for symmetric matrices.
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return Smoother(matrix, factors)


def roughened(smoother: Smoother, positions: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
    """u = (I + lambda L) x, the inverse of `smoothed`; detached."""
    return torch.from_numpy(smoother.matrix @ positions.detach().cpu().double().numpy()).to(positions)


def smoothed(smoother: Smoother, values: Float[Tensor, "V C"]) -> Float[Tensor, "V C"]:
    """x = (I + lambda L)^-1 u, solved in float64; the gradient of u is that of x, smoothed by the same solve."""
    return _Solve.apply(values, smoother)


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, smoother: Smoother) -> Tensor:
        ctx.smoother = smoother
        return _solve(smoother, values)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor, None]:
        # The matrix is symmetric, so its transpose is solved by the same factors.
        return _solve(ctx.smoother, gradients[0]), None


def _solve(smoother: Smoother, values: Tensor) -> Tensor:
    count = smoother.matrix.shape[0]
    if values.ndim != 2 or len(values) != count:
        raise ValueError(f"smoothed: values have shape {tuple(values.shape)}; the smoother is of {count} vertices")
    return torch.from_numpy(smoother.factors.solve(values.detach().cpu().double().numpy())).to(values)
