"""Surfaces that a formula gives twice: as points over two angles, and as the zeros of a function. N points."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.shapes.points import PointCloud


@dataclass(frozen=True)
class Sphere:
    """All points at one distance from the origin."""

    radius: float = 1.0


@dataclass(frozen=True)
class Torus:
    """A tube around the z axis."""

    major: float = 0.75
    """R, from the axis to the middle of the tube."""
    minor: float = 0.25
    """r, of the tube."""


@dataclass(frozen=True)
class Superquadric:
    """A superellipsoid (Barr 1981): powers of 1 make an ellipsoid, near 0 a box, 2 an octahedron."""

    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Half extents a, b, c along x, y, z."""
    powers: tuple[float, float] = (1.0, 1.0)
    """m shapes the meridians, n the parallels; both are positive."""

    def __post_init__(self):
        if min(*self.scale, *self.powers) <= 0:
            raise ValueError(
                f"Superquadric: scale is {self.scale} and powers are {self.powers}; all of them are positive"
            )


Surface = Sphere | Torus | Superquadric


def points_on(surface: Surface, n: int, *, dtype=torch.float32, device=None) -> PointCloud:
    """n x n points of the surface, all different, over a grid of equal steps in its two angles t and p.

    A full turn has no end of its own, so its n steps leave out 2 pi: nothing is there twice. Half a turn, from pole to
    pole, is stepped through the middles of n equal parts, so that a pole is not there n times. p runs fastest. Points
    are not uniform by area. Colours are positions, min-max normalised over all axes together.
    """
    if n < 1:
        raise ValueError(f"points_on: n is {n}; ask for at least one step of each angle")
    step = torch.arange(n, dtype=torch.float64, device=device)
    turn = step * (2 * math.pi / n)
    match surface:
        case Sphere():
            first = (step + 0.5) * (math.pi / n)
        case Torus():
            first = turn
        case Superquadric():
            first = (step + 0.5) * (math.pi / n) - math.pi / 2
    t, p = torch.meshgrid(first, turn, indexing="ij")
    points = surface_at(surface, t.reshape(-1), p.reshape(-1))
    low, high = torch.aminmax(points)
    colors = (points - low) / torch.where(high > low, high - low, 1.0)
    return PointCloud(points.to(dtype), colors.to(dtype))


def surface_at(surface: Surface, t: Float[Tensor, "*some"], p: Float[Tensor, "*some"]) -> Float[Tensor, "*some 3"]:
    """The point at two angles in radians; differentiable in them where no power is below 1.

    Sphere: (sin t cos p, cos t, sin t sin p) r, with t in 0..pi. Torus: ((R + r cos t) cos p, (R + r cos t) sin p,
    r sin t). Superquadric: (a cos^m t cos^n p, b cos^m t sin^n p, c sin^m t) with t in -pi/2..pi/2 and signed powers
    sign(x) |x|^k.
    """
    match surface:
        case Sphere(radius):
            return radius * torch.stack([t.sin() * p.cos(), t.cos(), t.sin() * p.sin()], -1)
        case Torus(major, minor):
            ring = major + minor * t.cos()
            return torch.stack([ring * p.cos(), ring * p.sin(), minor * t.sin()], -1)
        case Superquadric((a, b, c), (m, n)):
            # cos(pi/2) is 6e-17 in floating point, which a small power would lift to something.
            cos_t, sin_t, cos_p, sin_p = (
                torch.where(value.abs() < 4 * torch.finfo(value.dtype).eps, 0.0, value)
                for value in (t.cos(), t.sin(), p.cos(), p.sin())
            )
            ring = signed_power(cos_t, m)
            return torch.stack(
                [a * ring * signed_power(cos_p, n), b * ring * signed_power(sin_p, n), c * signed_power(sin_t, m)], -1
            )


def value(surface: Surface, xyz: Float[Tensor, "*some 3"]) -> Float[Tensor, "*some"]:
    """The implicit function: negative inside, 0 on the surface, positive outside; it is no distance.

    Sphere: |x|^2 - r^2. Torus: (R - sqrt(x^2 + y^2))^2 + z^2 - r^2. Superquadric: (|x/a|^(2/n) + |y/b|^(2/n))^(n/m) +
    |z/c|^(2/m) - 1. Differentiable; where a power or the root has no finite derivative, at 0, it counts as 0.
    """
    x, y, z = xyz.unbind(-1)
    match surface:
        case Sphere(radius):
            return (xyz * xyz).sum(-1) - radius**2
        case Torus(major, minor):
            return (major - _power(x * x + y * y, 0.5)) ** 2 + z * z - minor**2
        case Superquadric((a, b, c), (m, n)):
            around = _power((x / a).abs(), 2 / n) + _power((y / b).abs(), 2 / n)
            return _power(around, n / m) + _power((z / c).abs(), 2 / m) - 1


def extent(surface: Surface) -> Float[Tensor, "2 3"]:
    """Its smallest and largest coordinates."""
    match surface:
        case Sphere(radius):
            high = (radius, radius, radius)
        case Torus(major, minor):
            high = (major + minor, major + minor, minor)
        case Superquadric(scale):
            high = scale
    return torch.tensor([[-x for x in high], high])


def signed_power(x: Float[Tensor, "*some"], exponent: float) -> Float[Tensor, "*some"]:
    """sign(x) |x|^exponent, where a plain power of a negative number is NaN."""
    return x.sign() * _power(x.abs(), exponent)


def _power(x: Float[Tensor, "*some"], exponent: float) -> Float[Tensor, "*some"]:
    """x^exponent of non-negative x, whose gradient at 0 is 0 where it would be infinite."""
    positive = x > 0
    return torch.where(positive, torch.where(positive, x, 1.0) ** exponent, 0.0)
