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


class UniformAdam(torch.optim.Optimizer):
    """Adam that divides by the largest second moment of a parameter instead of each entry's own.

    Coordinates then share one step size, so that a step keeps the direction of the gradient (Nicolet et al. 2021,
    section 3.3). The moments are tensors, `exp_avg` and `exp_avg_sq`, as in torch's Adam.
    """

    def __init__(self, params, lr: float = 1e-2, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-12):
        if not lr > 0 or not 0 <= betas[0] < 1 or not 0 <= betas[1] < 1:
            raise ValueError(f"UniformAdam: lr is {lr}, betas are {betas}; give lr > 0 and betas in [0, 1)")
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"] = torch.zeros_like(parameter)
                    state["exp_avg_sq"] = torch.zeros_like(parameter)
                state["step"] += 1
                count = int(state["step"])
                mean = state["exp_avg"].lerp_(parameter.grad, 1 - first)
                square = state["exp_avg_sq"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
                largest = float((square.max() / (1 - second**count)).sqrt())
                parameter.sub_(mean, alpha=group["lr"] / (1 - first**count) / (largest + group["eps"]))
        return loss
