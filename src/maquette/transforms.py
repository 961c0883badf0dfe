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


# Quaternions ---------------------------------------------------------------------------------------------------------


def quaternion_multiply(a: Float[Tensor, "*#batch 4"], b: Float[Tensor, "*#batch 4"]) -> Float[Tensor, "*batch 4"]:
    """Hamilton's product: the rotation `a` after the rotation `b`."""
    aw, ax, ay, az = a.unbind(-1)
    bw, bx, by, bz = b.unbind(-1)
    parts = (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
    return torch.stack(parts, -1)


def quaternion_inverse(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 4"]:
    """The conjugate divided by the squared length: of a unit quaternion, the rotation back."""
    conjugate = quaternion * quaternion.new_tensor([1.0, -1.0, -1.0, -1.0])
    return conjugate / quaternion.square().sum(-1, keepdim=True)


def quaternion_apply(
    quaternion: Float[Tensor, "*#batch 4"], points: Float[Tensor, "*#batch 3"]
) -> Float[Tensor, "*batch 3"]:
    """Points turned by a unit quaternion (one each, or broadcast)."""
    w, xyz = quaternion.split([1, 3], -1)
    xyz, points = torch.broadcast_tensors(xyz, points)
    twice = 2 * torch.linalg.cross(xyz, points)
    return points + w * twice + torch.linalg.cross(xyz, twice)


# Rotation vectors: direction is the axis, length the angle -----------------------------------------------------------

SMALL = 0.04
"""Squared angles below this are served by Taylor series, whose first term left out is below 1e-15 there."""


def _half_angle_factors(squared: Float[Tensor, "*batch"]) -> tuple[Tensor, Tensor, Tensor]:
    """sin(a) / a, (1 - cos a) / a^2 and (a - sin a) / a^3 of squared angles, smooth through 0."""
    small = squared < SMALL
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    sine, cosine = torch.sin(angle), torch.cos(angle)
    exact = (sine / angle, (1 - cosine) / safe, (angle - sine) / (safe * angle))
    s = squared
    series = (
        1 - s / 6 * (1 - s / 20 * (1 - s / 42 * (1 - s / 72 * (1 - s / 110)))),
        0.5 * (1 - s / 12 * (1 - s / 30 * (1 - s / 56 * (1 - s / 90 * (1 - s / 132))))),
        (1 - s / 20 * (1 - s / 42 * (1 - s / 72 * (1 - s / 110 * (1 - s / 156))))) / 6,
    )
    of_sine, of_cosine, of_rest = (torch.where(small, near, far) for near, far in zip(series, exact, strict=True))
    return of_sine, of_cosine, of_rest


def cross_matrix(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The skew matrix whose product with x is the cross product of `vector` and x."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)


def rotation_from_vector(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The exponential of so(3): right-handed rotation about `vector` by its length in radians (Rodrigues 1840).

    Gradients are exact everywhere, at the zero vector, too.
    """
    first, second, _ = _half_angle_factors(vector.square().sum(-1))
    skew = cross_matrix(vector)
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return identity + first[..., None, None] * skew + second[..., None, None] * (skew @ skew)


def vector_from_rotation(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """The logarithm of SO(3): the rotation vector of length at most pi; of a half turn, one of the two.

    By way of the quaternion, which keeps its digits near half turns; gradients are finite everywhere.
    """
    return vector_from_quaternion(quaternion_from_rotation(rotation))


def vector_from_quaternion(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3"]:
    """The rotation vector, of length at most pi, of a quaternion, which is brought to length 1 first."""
    w, xyz = torch.nn.functional.normalize(quaternion, dim=-1).split([1, 3], -1)
    w, xyz = torch.where(w < 0, -w, w), torch.where(w < 0, -xyz, xyz)
    squared = xyz.square().sum(-1, keepdim=True)
    small = squared < 1e-4
    sine = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # 2 atan2(s, w) / s with w = sqrt(1 - s^2) near 0: the series of 2 asin(s) / s.
    s = squared
    series = 2 * (1 + s / 6 * (1 + s * 9 / 20 * (1 + s * 25 / 42)))
    return xyz * torch.where(small, series, 2 * torch.atan2(sine, w) / sine)


def quaternion_from_vector(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 4"]:
    """The unit quaternion of a rotation vector; smooth at the zero vector."""
    half = vector / 2
    sinc, _, _ = _half_angle_factors(half.square().sum(-1))
    squared = half.square().sum(-1)
    small = squared < SMALL
    cosine = torch.cos(torch.where(small, torch.ones_like(squared), squared).sqrt())
    s = squared
    series = 1 - s / 2 * (1 - s / 12 * (1 - s / 30 * (1 - s / 56 * (1 - s / 90 * (1 - s / 132)))))
    w = torch.where(small, series, cosine)
    return torch.cat([w[..., None], half * sinc[..., None]], -1)


def rigid_from_vectors(
    translation: Float[Tensor, "*batch 3"], vector: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 4 4"]:
    """The exponential of se(3): the screw motion whose speed is (`translation`, `vector`), after one unit of time.

    The last column is V translation, with V the mean of the rotations on the way (Sola et al. 2018, eq. 174).
    """
    return rigid(rotation_from_vector(vector), (_mean_rotation(vector) @ translation[..., None])[..., 0])


def vectors_from_rigid(
    b_from_a: Float[Tensor, "*batch 4 4"],
) -> tuple[Float[Tensor, "*batch 3"], Float[Tensor, "*batch 3"]]:
    """The logarithm of SE(3): (translation, vector) that `rigid_from_vectors` takes to `b_from_a`."""
    vector = vector_from_rotation(b_from_a[..., :3, :3])
    return torch.linalg.solve(_mean_rotation(vector), b_from_a[..., :3, 3:])[..., 0], vector


def _mean_rotation(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    _, second, third = _half_angle_factors(vector.square().sum(-1))
    skew = cross_matrix(vector)
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return identity + second[..., None, None] * skew + third[..., None, None] * (skew @ skew)


# Euler angles, six numbers, random rotations -------------------------------------------------------------------------


def rotation_from_euler(angles: Float[Tensor, "*batch 3"], axes: str) -> Float[Tensor, "*batch 3 3"]:
    """R_first(a) R_second(b) R_third(c) for axes such as 'xyz' or 'zyz': each turn is about the axis as turned before.

    Radians; these are PyTorch3D's angles of the same letters in capitals, and scipy's of the same capitals.
    """
    _check_axes(axes, "rotation_from_euler")
    a, b, c = (rotation_about(axis, angle) for axis, angle in zip(axes, angles.unbind(-1), strict=True))
    return a @ b @ c


def euler_from_rotation(rotation: Float[Tensor, "*batch 3 3"], axes: str) -> Float[Tensor, "*batch 3"]:
    """Angles that `rotation_from_euler` takes to this rotation; the middle one lies in -pi/2..pi/2, or in 0..pi where
    the first and third axis are one.

    In gimbal lock, where only the sum or difference of the outer two is known, the third is 0. No useful gradients
    there.
    """
    _check_axes(axes, "euler_from_rotation")
    i, j, k = ("xyz".index(axis) for axis in axes)
    same = i == k
    if same:
        k = 3 - i - j
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    r = rotation
    if same:
        middle = torch.atan2(torch.hypot(r[..., i, j], r[..., i, k]), r[..., i, i])
        locked = torch.hypot(r[..., i, j], r[..., i, k]) < 1e-6
        first = torch.atan2(r[..., j, i], -sign * r[..., k, i])
        third = torch.atan2(r[..., i, j], sign * r[..., i, k])
    else:
        middle = torch.atan2(sign * r[..., i, k], torch.hypot(r[..., i, i], r[..., i, j]))
        locked = torch.hypot(r[..., i, i], r[..., i, j]) < 1e-6
        first = torch.atan2(-sign * r[..., j, k], r[..., k, k])
        third = torch.atan2(-sign * r[..., i, j], r[..., i, i])
    alone = torch.atan2(sign * r[..., k, j], r[..., j, j])
    return torch.stack(
        [torch.where(locked, alone, first), middle, torch.where(locked, torch.zeros_like(third), third)], -1
    )


def _check_axes(axes: str, name: str) -> None:
    if len(axes) != 3 or set(axes) - set("xyz") or axes[0] == axes[1] or axes[1] == axes[2]:
        raise ValueError(f"{name}: axes are {axes!r}; give three of x, y, z, no two neighbours alike, such as 'xyz'")


def rotation_from_six(six: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """A rotation from two vectors, its first two rows before Gram and Schmidt (Zhou et al. 2019, transposed).

    Continuous, unlike angles and quaternions, so a network may give it. Parallel or zero vectors have no rotation: the
    rows missing are 0 there.
    """
    a, b = six.split(3, -1)
    first = torch.nn.functional.normalize(a, dim=-1)
    second = torch.nn.functional.normalize(b - (first * b).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -2)


def six_from_rotation(rotation: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """The first two rows."""
    return rotation[..., :2, :].reshape(*rotation.shape[:-2], 6)


def random_quaternions(
    n: int, *, generator: torch.Generator | None = None, dtype=torch.float32
) -> Float[Tensor, "n 4"]:
    """Unit quaternions with w >= 0, uniform over all rotations; on the CPU."""
    drawn = torch.nn.functional.normalize(torch.randn(n, 4, generator=generator, dtype=dtype), dim=-1)
    return torch.where(drawn[:, :1] < 0, -drawn, drawn)


def random_rotations(
    n: int, *, generator: torch.Generator | None = None, dtype=torch.float32
) -> Float[Tensor, "n 3 3"]:
    """Rotation matrices, uniform over all rotations (Haar's measure); on the CPU."""
    return rotation_from_quaternion(random_quaternions(n, generator=generator, dtype=dtype))


def rotation_angle(a: Float[Tensor, "*#batch 3 3"], b: Float[Tensor, "*#batch 3 3"]) -> Float[Tensor, "*batch"]:
    """The angle, 0..pi, of the rotation from `a` to `b`, exact for small angles, too."""
    return vector_from_rotation(a.mT @ b).norm(dim=-1)
