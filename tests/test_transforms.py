"""Rotations as quaternions, vectors, angles and six numbers: groups' laws, known turns, and gradients at zero."""

import itertools
import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from maquette import transforms as tf

EULER = ["".join(axes) for axes in itertools.product("xyz", repeat=3) if axes[0] != axes[1] != axes[2]]
DOUBLE = torch.float64
EXACT = 1e-12
"""float64 after a handful of products."""


def vectors(n: int = 64, longest: float = math.pi) -> torch.Tensor:
    """Rotation vectors of all lengths up to `longest`, tiny ones and zero among them."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(n, 3, dtype=DOUBLE, generator=generator), dim=-1)
    length = torch.cat(
        [
            torch.tensor([0.0, 1e-12, 1e-6, 1e-3, 0.19, 0.21], dtype=DOUBLE),
            torch.rand(n - 6, dtype=DOUBLE, generator=generator) * longest,
        ]
    )
    return direction * length[:, None]


def rotations(n: int = 32) -> torch.Tensor:
    return tf.random_rotations(n, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


def points(n: int) -> torch.Tensor:
    return torch.randn(n, 3, dtype=DOUBLE, generator=torch.Generator().manual_seed(2))


def is_rotation(r: torch.Tensor) -> bool:
    identity = torch.eye(3, dtype=r.dtype).expand_as(r)
    return torch.allclose(r @ r.mT, identity, rtol=0, atol=EXACT) and bool((torch.linalg.det(r) > 0).all())


# Quaternions -----------------------------------------------------------------------------------------------------


def test_the_product_of_quaternions_is_the_product_of_their_rotations():
    a, b = (tf.random_quaternions(32, generator=torch.Generator().manual_seed(k), dtype=DOUBLE) for k in (0, 1))
    product = tf.rotation_from_quaternion(tf.quaternion_multiply(a, b))
    assert torch.allclose(product, tf.rotation_from_quaternion(a) @ tf.rotation_from_quaternion(b), rtol=0, atol=EXACT)


def test_the_units_of_quaternions_multiply_as_hamilton_carved_them():
    i, j, k = torch.eye(4)[1:]
    minus_one = torch.tensor([-1.0, 0, 0, 0])
    for a in (i, j, k, tf.quaternion_multiply(i, j) * 1.0):
        assert torch.equal(tf.quaternion_multiply(a, a), minus_one)
    assert torch.equal(tf.quaternion_multiply(tf.quaternion_multiply(i, j), k), minus_one)


def test_a_quaternion_times_its_inverse_is_one_whatever_its_length():
    q = torch.randn(16, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) * 3
    one = torch.tensor([1.0, 0, 0, 0], dtype=DOUBLE).expand(16, 4)
    assert torch.allclose(tf.quaternion_multiply(q, tf.quaternion_inverse(q)), one, rtol=0, atol=EXACT)
    assert torch.allclose(tf.quaternion_multiply(tf.quaternion_inverse(q), q), one, rtol=0, atol=EXACT)


def test_a_quaternion_turns_points_as_its_matrix_does():
    q = tf.random_quaternions(16, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    x = points(5)
    turned = tf.quaternion_apply(q[:, None], x)
    assert torch.allclose(turned, x @ tf.rotation_from_quaternion(q).mT, rtol=0, atol=EXACT)


# Rotation vectors ------------------------------------------------------------------------------------------------


def test_the_exponential_is_that_of_matrices():
    v = vectors(longest=6.0)
    assert torch.allclose(tf.rotation_from_vector(v), torch.matrix_exp(tf.cross_matrix(v)), rtol=0, atol=EXACT)


def test_the_cross_matrix_gives_the_cross_product():
    a, b = points(8), points(8).flip(0)
    assert torch.allclose((tf.cross_matrix(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b), rtol=0, atol=EXACT)


def test_the_logarithm_undoes_the_exponential_up_to_half_a_turn():
    v = vectors(longest=math.pi - 1e-4)
    assert torch.allclose(tf.vector_from_rotation(tf.rotation_from_vector(v)), v, rtol=0, atol=1e-9)
    assert torch.allclose(tf.vector_from_quaternion(tf.quaternion_from_vector(v)), v, rtol=0, atol=1e-9)


@pytest.mark.parametrize("axis", [[1.0, 0, 0], [0, -1.0, 0], [0.6, 0, 0.8], [-0.48, 0.6, 0.64]])
def test_the_logarithm_of_half_a_turn_is_its_axis_or_the_opposite(axis):
    half = torch.tensor(axis, dtype=DOUBLE) * math.pi
    found = tf.vector_from_rotation(tf.rotation_from_vector(half))
    assert min(float((found - half).norm()), float((found + half).norm())) < 1e-9


def test_vectors_quaternions_and_matrices_agree():
    v = vectors(longest=9.0)
    q = tf.quaternion_from_vector(v)
    assert torch.allclose(q.norm(dim=-1), torch.ones(len(v), dtype=DOUBLE), rtol=0, atol=EXACT)
    assert torch.allclose(tf.rotation_from_quaternion(q), tf.rotation_from_vector(v), rtol=0, atol=EXACT)


def test_turns_about_one_axis_add():
    axis = torch.nn.functional.normalize(points(1), dim=-1)
    a, b = (tf.rotation_from_vector(axis * angle) for angle in (0.7, 1.9))
    assert torch.allclose(a @ b, tf.rotation_from_vector(axis * 2.6), rtol=0, atol=EXACT)


def test_in_single_precision_small_turns_keep_their_digits():
    v = vectors().float()
    exact = torch.matrix_exp(tf.cross_matrix(v.double()))
    assert torch.allclose(tf.rotation_from_vector(v).double(), exact, rtol=0, atol=3e-7)
    assert torch.allclose(tf.vector_from_rotation(tf.rotation_from_vector(v[:6])), v[:6], rtol=0, atol=1e-7)


@pytest.mark.parametrize("length", [0.0, 1e-9, 1e-3, 0.1999, 0.2001, 1.0, 3.0])
@pytest.mark.parametrize("function", [tf.rotation_from_vector, tf.quaternion_from_vector])
def test_exponentials_have_exact_gradients_at_and_near_zero(function, length):
    v = (torch.tensor([0.36, -0.48, 0.8], dtype=DOUBLE) * length).requires_grad_()
    assert torch.autograd.gradcheck(function, (v,), eps=1e-5, atol=1e-8)


def test_the_gradient_of_the_exponential_at_zero_is_the_three_generators():
    v = torch.zeros(3, dtype=DOUBLE, requires_grad=True)
    jacobian = torch.autograd.functional.jacobian(tf.rotation_from_vector, v)
    generators = torch.stack([tf.cross_matrix(axis) for axis in torch.eye(3, dtype=DOUBLE)], -1)
    assert torch.equal(jacobian, generators)


@pytest.mark.parametrize("length", [0.0, 1e-9, 1e-3, 0.0199, 0.0201, 1.0, 3.0])
def test_there_and_back_through_the_logarithm_has_the_identity_s_gradient(length):
    v = (torch.tensor([0.36, -0.48, 0.8], dtype=DOUBLE) * length).requires_grad_()
    jacobian = torch.autograd.functional.jacobian(lambda x: tf.vector_from_rotation(tf.rotation_from_vector(x)), v)
    assert torch.allclose(jacobian, torch.eye(3, dtype=DOUBLE), rtol=0, atol=1e-7)


# Rigid motions ---------------------------------------------------------------------------------------------------


def test_the_exponential_of_a_screw_is_that_of_matrices():
    v = vectors(longest=6.0)
    translation = points(len(v))
    twist = torch.zeros(len(v), 4, 4, dtype=DOUBLE)
    twist[:, :3, :3], twist[:, :3, 3] = tf.cross_matrix(v), translation
    assert torch.allclose(tf.rigid_from_vectors(translation, v), torch.matrix_exp(twist), rtol=0, atol=1e-11)


def test_the_logarithm_of_a_rigid_motion_undoes_its_exponential():
    v = vectors(longest=3.0)
    translation = points(len(v))
    back = tf.vectors_from_rigid(tf.rigid_from_vectors(translation, v))
    assert torch.allclose(back[0], translation, rtol=0, atol=1e-9) and torch.allclose(back[1], v, rtol=0, atol=1e-9)


@pytest.mark.parametrize("length", [0.0, 1e-6, 0.3, 2.0])
def test_rigid_motions_have_exact_gradients(length):
    v = (torch.tensor([0.36, -0.48, 0.8], dtype=DOUBLE) * length).requires_grad_()
    translation = torch.tensor([0.3, 0.2, -1.0], dtype=DOUBLE, requires_grad=True)
    assert torch.autograd.gradcheck(tf.rigid_from_vectors, (translation, v), eps=1e-5, atol=1e-8)


# Angles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", EULER)
def test_euler_angles_are_those_of_scipy(axes):
    angles = points(32)
    expected = Rotation.from_euler(axes.upper(), angles.numpy()).as_matrix()
    assert torch.allclose(tf.rotation_from_euler(angles, axes), torch.from_numpy(expected), rtol=0, atol=EXACT)


@pytest.mark.parametrize("axes", EULER)
def test_euler_angles_there_and_back(axes):
    angles = tf.euler_from_rotation(rotations(), axes)
    assert torch.allclose(tf.rotation_from_euler(angles, axes), rotations(), rtol=0, atol=1e-9)
    low, high = (0.0, math.pi) if axes[0] == axes[2] else (-math.pi / 2, math.pi / 2)
    assert bool(((angles[:, 1] >= low) & (angles[:, 1] <= high)).all())


@pytest.mark.parametrize("axes", EULER)
@pytest.mark.parametrize("upper", [False, True])
def test_in_gimbal_lock_the_rotation_is_still_right(axes, upper):
    middle = (math.pi if upper else 0.0) if axes[0] == axes[2] else (math.pi / 2 if upper else -math.pi / 2)
    rotation = tf.rotation_from_euler(torch.tensor([[0.7, middle, -0.4]], dtype=DOUBLE), axes)
    angles = tf.euler_from_rotation(rotation, axes)
    assert float(angles[0, 2]) == 0
    assert torch.allclose(tf.rotation_from_euler(angles, axes), rotation, rtol=0, atol=1e-6)


@pytest.mark.parametrize("axes", ["xxz", "xy", "abc", "XYZ", "xzz"])
def test_axes_that_are_no_euler_angles_are_refused(axes):
    with pytest.raises(ValueError, match=f"axes are {axes!r}; give three of x, y, z"):
        tf.rotation_from_euler(torch.zeros(1, 3), axes)


# Six numbers, random rotations, angles between -------------------------------------------------------------------


def test_six_numbers_there_and_back():
    assert torch.allclose(tf.rotation_from_six(tf.six_from_rotation(rotations())), rotations(), rtol=0, atol=EXACT)


def test_any_six_numbers_are_a_rotation():
    six = torch.randn(64, 6, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)) * 5
    assert is_rotation(tf.rotation_from_six(six))
    # The first row keeps its direction, whatever its length.
    assert torch.allclose(tf.rotation_from_six(six)[:, 0], torch.nn.functional.normalize(six[:, :3], dim=-1))
    assert torch.autograd.gradcheck(tf.rotation_from_six, (six[:3].requires_grad_(),))


def test_random_rotations_are_uniform():
    n = 20_000
    r = tf.random_rotations(n, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    assert is_rotation(r)
    # Of Haar's measure the nine numbers have mean 0 and variance 1/3, and the angle has mean pi/2 + 2/pi.
    assert float(r.mean(0).abs().max()) < 5 * math.sqrt(1 / 3 / n)
    assert torch.allclose(r.square().mean(0), torch.full((3, 3), 1 / 3, dtype=DOUBLE), atol=0.015)
    angle = tf.vector_from_rotation(r).norm(dim=-1).mean()
    assert float(angle) == pytest.approx(math.pi / 2 + 2 / math.pi, abs=0.02)
    again = tf.random_rotations(n, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    assert torch.equal(r, again)


def test_the_angle_between_rotations_is_that_of_the_turn_between_them():
    for angle in (0.0, 1e-6, 0.5, 3.0):
        turned = rotations() @ tf.rotation_from_vector(torch.tensor([0.0, 0.6, -0.8], dtype=DOUBLE) * angle)
        assert torch.allclose(
            tf.rotation_angle(rotations(), turned), torch.tensor(angle, dtype=DOUBLE), rtol=0, atol=1e-9
        )
