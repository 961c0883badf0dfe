"""Antialiased pictures of a whole shape: where to stand so that all of it is seen, and how it looks. T frames."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.camera import AnyCamera, Camera
from maquette.ops import nearest
from maquette.rendering.lights import STUDIO, Lambert, Light, Material
from maquette.rendering.verbs import WHITE, antialiased, render
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, bounds, to_mesh, transform

FOV = math.radians(35)
"""Field of view across the shorter side of a picture."""
MARGIN = 1.08
"""Room around the shape, as a factor of its radius."""
OVERSAMPLING = 2
LARGEST_DISC = 0.02
"""Part of a cloud's radius: discs of sparse clouds stay apart."""


@dataclass(frozen=True)
class Look:
    """How a shape is shown, whatever the camera."""

    lights: tuple[Light, ...] = STUDIO
    material: Material = Lambert()
    background: tuple[float, float, float] = WHITE
    """sRGB 0..1, of films."""
    smooth: bool = False
    """Shade meshes with vertex normals."""
    disc: float | None = None
    """Radius of a cloud's discs, as a part of the cloud's own; by default its density says, up to 0.02."""


@dataclass(frozen=True)
class Centred:
    """A shape moved so that the middle of its bounds is the origin."""

    shape: Mesh | PointCloud
    radius: float
    """Of the smallest sphere about the origin that holds it, in world units; above 0."""
    middle: Float[Tensor, "3"]
    """Where the origin lies in the world of the shape that was given."""
    disc: float = LARGEST_DISC
    """Radius that suits the density of a cloud, as a part of `radius`."""

    def disc_radius(self, look: Look) -> float:
        """Of a cloud's discs, in world units."""
        return self.radius * (self.disc if look.disc is None else look.disc)


def centred(shape: Shape, name: str) -> Centred:
    """The shape about the origin, voxels as their surface; `name` stands in the error for a batch."""
    if isinstance(shape, Voxels):
        shape = to_mesh(shape)
    low, high = bounds(shape).unbind(-2)
    if low.ndim != 1:
        raise ValueError(f"{name}: bounds have shape {tuple(low.shape)}; give one shape, not a batch")
    middle = (low + high) / 2
    moved = transform(shape, transforms.scale_translate(1.0, -middle))
    match moved:
        case Mesh(points) | PointCloud(points):
            radius = max(float(points.detach().norm(dim=-1).max()), 1e-12)
            disc = covering_disc(points.detach()) / radius if isinstance(moved, PointCloud) else LARGEST_DISC
            return Centred(moved, radius, middle, min(disc, LARGEST_DISC))
        case Voxels():
            raise AssertionError("voxels became a mesh above")


def covering_disc(points: Float[Tensor, "N 3"]) -> float:
    """A radius at which discs close the surface that the points lie on, in world units; inf for less than 7 points.

    Nine in ten points have six others within it: of points strewn at random over a surface with that density, discs
    miss exp(-6) of it. Looked at for a thousand points of the cloud; copies of one place count as neighbours.
    """
    if len(points) < 7:
        return math.inf
    some = points[:: max(1, len(points) // 1000)]
    sixth = points[nearest(some, points, 7)[:, -1]]
    distance = float((sixth - some).norm(dim=-1).quantile(0.9))
    return distance if distance > 0 else math.inf


def fitting_distance(radius: float, fov: float = FOV) -> float:
    """Distance at which the cone of view of `fov` radians touches a sphere of `radius`, with a margin."""
    return MARGIN * radius / math.sin(fov / 2)


def picture(whole: Centred, camera: AnyCamera, look: Look = Look()) -> Float[Tensor, "H W 4"]:
    """An antialiased picture by one camera, with straight alpha and without background."""
    double = camera.resized((OVERSAMPLING * camera.size[0], OVERSAMPLING * camera.size[1]))
    seen = render(
        whole.shape,
        double,
        lights=look.lights,
        material=look.material,
        background=(0.0, 0.0, 0.0),
        smooth=look.smooth,
        radius=whole.disc_radius(look),
    )
    return antialiased(seen, OVERSAMPLING)


def over(rgba: Float[Tensor, "*batch H W 4"], color: tuple[float, float, float]) -> Float[Tensor, "*batch H W 3"]:
    """A picture with straight alpha composited over a colour, both sRGB."""
    rgb, alpha = rgba.split([3, 1], -1)
    return rgb * alpha + rgb.new_tensor(color) * (1 - alpha)


def film(whole: Centred, cameras: Camera, look: Look = Look()) -> Float[Tensor, "T H W 3"]:
    """Antialiased pictures by each of a batch of cameras, over the look's background."""
    return torch.stack([over(picture(whole, cameras[k], look), look.background) for k in range(len(cameras.focal))])
