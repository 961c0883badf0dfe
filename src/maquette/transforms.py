"""Rotations, quaternions (w, x, y, z) and rigid transforms as matrices acting on column vectors.

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


def rotation_from_quaternion(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation of a quaternion (w, x, y, z), which is brought to length 1 first; q and -q are the same rotation."""
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(rows, -1).reshape(*quaternion.shape[:-1], 3, 3)


def quaternion_from_rotation(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """The unit quaternion (w, x, y, z) of a rotation, with w >= 0."""
    r = rotation
    # Each row is 4 q_k q for one component k; the longest one loses no digits (Shepperd 1978).
    traces = 1 + torch.stack(
        [
            r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2],
            r[..., 0, 0] - r[..., 1, 1] - r[..., 2, 2],
            r[..., 1, 1] - r[..., 0, 0] - r[..., 2, 2],
            r[..., 2, 2] - r[..., 0, 0] - r[..., 1, 1],
        ],
        -1,
    )
    wx, wy, wz = r[..., 2, 1] - r[..., 1, 2], r[..., 0, 2] - r[..., 2, 0], r[..., 1, 0] - r[..., 0, 1]
    xy, xz, yz = r[..., 0, 1] + r[..., 1, 0], r[..., 0, 2] + r[..., 2, 0], r[..., 1, 2] + r[..., 2, 1]
    ww, xx, yy, zz = traces.unbind(-1)
    products = torch.stack([ww, wx, wy, wz, wx, xx, xy, xz, wy, xy, yy, yz, wz, xz, yz, zz], -1)
    best = traces.argmax(-1)[..., None, None].expand(*rotation.shape[:-2], 1, 4)
    row = torch.gather(products.reshape(*rotation.shape[:-2], 4, 4), -2, best)[..., 0, :]
    quaternion = torch.nn.functional.normalize(row, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


FRONTS = {"+z": 0.0, "-x": 0.5, "-z": 1.0, "+x": -0.5}
"""Turn about y, in units of pi, that takes a front axis to +z."""


def z_from_front(front: str) -> Float[Tensor, "4 4"]:
    """The turn about y that takes a declared front axis ('+z', '-z', '+x' or '-x') to +z."""
    if front not in FRONTS:
        raise ValueError(f"z_from_front: front axis is {front!r}; one of {', '.join(FRONTS)}")
    turn = rotation_about("y", torch.tensor(FRONTS[front] * torch.pi, dtype=torch.float64)).round().float()
    return rigid(turn, torch.zeros(3))
