"""Regularisers of a signed distance sampled on a grid: N corners as an array Z Y X, `spacing` apart in world units."""

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def eikonal(values: Float[Tensor, "Z Y X"], spacing: float) -> Float[Tensor, ""]:
    """Mean of (|gradient| - 1)^2, by forward differences: 0 for a distance (Gropp et al. 2020, eq. 2).

    It keeps values far from the surface distances, so that the surface can move there.
    """
    _checked(values, spacing, "eikonal")
    corner = values[:-1, :-1, :-1]
    squared = (
        (values[1:, :-1, :-1] - corner).square()
        + (values[:-1, 1:, :-1] - corner).square()
        + (values[:-1, :-1, 1:] - corner).square()
    ) / spacing**2
    # The root has no slope at 0; below 1e-6 the slope is as good as none.
    return ((squared + 1e-12).sqrt() - 1).square().mean()


def field_laplacian(values: Float[Tensor, "Z Y X"], spacing: float, *, reach: float) -> Float[Tensor, ""]:
    """Mean of (spacing * Laplacian)^2 over the inner corners with |value| < `reach`: the surface's roughness.

    The Laplacian of a distance is twice the mean curvature. Where no corner is so near, 0.
    """
    _checked(values, spacing, "field_laplacian")
    middle = values[1:-1, 1:-1, 1:-1]
    around = (
        values[2:, 1:-1, 1:-1]
        + values[:-2, 1:-1, 1:-1]
        + values[1:-1, 2:, 1:-1]
        + values[1:-1, :-2, 1:-1]
        + values[1:-1, 1:-1, 2:]
        + values[1:-1, 1:-1, :-2]
    )
    near = (middle.detach().abs() < reach).to(values.dtype)
    rough = ((around - 6 * middle) / spacing).square() * near
    return rough.sum() / near.sum().clamp(min=1)


def sign_change(values: Float[Tensor, "Z Y X"], spacing: float) -> Float[Tensor, ""]:
    """Cross-entropy of both ends of an edge of the grid with each other's sign; the mean over edges that change sign.

    It lets go of surfaces that no other loss holds, such as pieces inside (Munkberg et al. 2022, eq. 2; there the sum).
    Values count in spacings. A field of one sign has 0.
    """
    _checked(values, spacing, "sign_change")
    total, count = values.new_zeros(()), 0
    for axis in range(3):
        low, high = values.narrow(axis, 0, values.shape[axis] - 1), values.narrow(axis, 1, values.shape[axis] - 1)
        changed = (low.detach() < 0) != (high.detach() < 0)
        a, b = low[changed] / spacing, high[changed] / spacing
        signs = [(end.detach() >= 0).to(values.dtype) for end in (a, b)]
        total = total + binary_cross_entropy_with_logits(a, signs[1], reduction="sum")
        total = total + binary_cross_entropy_with_logits(b, signs[0], reduction="sum")
        count += len(a)
    return total / max(count, 1)


def _checked(values: Tensor, spacing: float, name: str) -> None:
    least = 3 if name == "field_laplacian" else 2
    if min(values.shape) < least or not spacing > 0:
        raise ValueError(
            f"{name}: values are {tuple(values.shape)}, spacing is {spacing}; give {least} corners along each axis "
            "at least, and above 0"
        )
