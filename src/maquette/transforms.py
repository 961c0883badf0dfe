"""Rotations and rigid transforms as matrices acting on column vectors.

`b_from_a` takes coordinates in frame a to coordinates in frame b; frames compose by
matrix product: `c_from_a = c_from_b @ b_from_a`.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def apply(b_from_a: Float[Tensor, "*#batch 4 4"], points: Float[Tensor, "*#batch N 3"]) -> Float[Tensor, "*batch N 3"]:
    """Affine transform of points (the last row of the matrix is taken to be 0 0 0 1); batches broadcast."""
    return points @ b_from_a[..., :3, :3].mT + b_from_a[..., None, :3, 3]


def rigid(rotation: Float[Tensor, "*batch 3 3"], translation: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4 4"]:
    """The 4x4 matrix of x -> rotation x + translation."""
    top = torch.cat([rotation, translation[..., None]], -1)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=top.dtype, device=top.device).expand(*top.shape[:-2], 1, 4)
    return torch.cat([top, last], -2)


def inverse(b_from_a: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """`a_from_b` of a rigid transform: the rotation transposed, no general inverse."""
    rotation = b_from_a[..., :3, :3].mT
    return rigid(rotation, -(rotation @ b_from_a[..., :3, 3:])[..., 0])


def scale_translate(scale: float | Tensor, translation: Float[Tensor, "3"]) -> Float[Tensor, "4 4"]:
    """The 4x4 matrix of x -> scale x + translation."""
    return rigid(torch.eye(3, dtype=translation.dtype, device=translation.device) * scale, translation)


def rotation_about(axis: str, angle: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3 3"]:
    """Right-handed rotation by `angle` radians about the 'x', 'y' or 'z' axis."""
    if axis not in ("x", "y", "z"):
        raise ValueError(f"rotation_about: axis is {axis!r}; give 'x', 'y' or 'z'")
    cos, sin, zero, one = torch.cos(angle), torch.sin(angle), torch.zeros_like(angle), torch.ones_like(angle)
    rows = {
        "x": (one, zero, zero, zero, cos, -sin, zero, sin, cos),
        "y": (cos, zero, sin, zero, one, zero, -sin, zero, cos),
        "z": (cos, -sin, zero, sin, cos, zero, zero, zero, one),
    }[axis]
    return torch.stack(rows, -1).reshape(*angle.shape, 3, 3)


FRONTS = {"+z": 0.0, "-x": 0.5, "-z": 1.0, "+x": -0.5}
"""Turn about y, in units of pi, that takes a front axis to +z."""


def z_from_front(front: str) -> Float[Tensor, "4 4"]:
    """The turn about y that takes a declared front axis ('+z', '-z', '+x' or '-x') to +z."""
    if front not in FRONTS:
        raise ValueError(f"z_from_front: front axis is {front!r}; one of {', '.join(FRONTS)}")
    turn = rotation_about("y", torch.tensor(FRONTS[front] * torch.pi, dtype=torch.float64)).round().float()
    return rigid(turn, torch.zeros(3))
