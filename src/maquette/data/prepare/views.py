"""Pictures of a mesh from random viewpoints under random lights.

K views, F faces, H W pixels. Everything random comes from the generator that is handed in.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from maquette import ops
from maquette.camera import Camera, orbit
from maquette.data.dataset import Pictures
from maquette.rendering import Ambient, Directional, Headlight, Lambert, Light, antialiased, render
from maquette.rendering.lights import Material, shade
from maquette.rendering.mesh import PLAIN
from maquette.shapes import FaceColors, Mesh, face_normals

FOCAL = 149.8 / 137
"""Focal length in picture sizes: that of the renders of Choy et al. 2016, 49.1 degrees across."""
OVERSAMPLING = 2
CHUNK = 8
"""Views rendered at a time, to bound the memory."""


@dataclass(frozen=True)
class Ranges:
    """Where cameras may stand; azimuths go all round."""

    elevation: tuple[float, float]
    """Radians."""
    distance: tuple[float, float]
    """Object diagonals, from the centre of the object's box."""


def random_pictures(mesh: Mesh, ranges: Ranges, *, views: int, size: int, rng: np.random.Generator) -> Pictures:
    """`views` square antialiased pictures of `size` pixels of a mesh in the frame of learning.

    Azimuths are stratified: one in each of `views` equal sectors, in a random phase. Lights are drawn once an object.
    """
    angles = draw_angles(ranges, views, rng)
    return _pictures_from(mesh, angles, FOCAL * size, size, random_lights(rng), Lambert())


def orbit_pictures(
    mesh: Mesh,
    ranges: Ranges,
    *,
    views: int,
    size: int,
    focal: float,
    lights: tuple[Light, ...],
    material: Material,
    rng: np.random.Generator,
) -> Pictures:
    """As `random_pictures`, under lights, with a finish and through a lens (focal length in pixels) that are given."""
    return _pictures_from(mesh, draw_angles(ranges, views, rng), focal, size, lights, material)


Angles = tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"], Float[np.ndarray, " K"]]
"""Azimuth, elevation (radians) and distance (object diagonals)."""


def draw_angles(ranges: Ranges, views: int, rng: np.random.Generator) -> Angles:
    phase, jitter = rng.random(), rng.random(views)
    azimuth = (2 * math.pi * (phase + (np.arange(views) + jitter) / views)) % (2 * math.pi)
    return azimuth, rng.uniform(*ranges.elevation, views), rng.uniform(*ranges.distance, views)


def _pictures_from(
    mesh: Mesh, angles: Angles, focal: float, size: int, lights: tuple[Light, ...], material: Material
) -> Pictures:
    camera = orbit(*(torch.from_numpy(values).float() for values in angles), focal=focal, size=(size, size))
    rgba = pictures(mesh, camera, lights, material)
    named = [{"light": type(light).__name__, **asdict(light)} for light in lights]
    return Pictures(rgba, camera, *angles, named)


def random_lights(rng: np.random.Generator) -> tuple[Light, ...]:
    """Light from everywhere, from the camera, and from one or two places above the horizon; no side is black."""
    lights: list[Light] = [Ambient(float(rng.uniform(0.4, 0.65))), Headlight(float(rng.uniform(0.1, 0.3)))]
    for share in (0.45, 0.25)[: rng.integers(1, 3)]:
        azimuth, elevation = rng.uniform(0, 2 * math.pi), rng.uniform(math.radians(20), math.radians(80))
        towards = (
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
            math.cos(elevation) * math.cos(azimuth),
        )
        direction = (-towards[0], -towards[1], -towards[2])
        lights.append(Directional(direction, float(share * rng.uniform(0.6, 1.2))))
    return tuple(lights)


def pictures(
    mesh: Mesh, camera: Camera, lights: tuple[Light, ...], material: Material = Lambert()
) -> UInt8[np.ndarray, "K H W 4"]:
    """Antialiased RGBA pictures, straight alpha, flat shading; `camera` is a batch of K."""
    size = (camera.size[0] * OVERSAMPLING, camera.size[1] * OVERSAMPLING)
    flat = mesh.appearance is None or isinstance(mesh.appearance, FaceColors)
    chunks = []
    for start in range(0, len(camera.focal), CHUNK):
        large = camera[start : start + CHUNK].resized(size)
        if flat:
            rgba = _flat_pictures(mesh, large, lights, material)
        else:
            picture = render(mesh, large, lights=lights, material=material, background=(0.0, 0.0, 0.0))
            rgba = antialiased(picture, OVERSAMPLING)
        chunks.append((rgba * 255 + 0.5).to(torch.uint8).numpy())
    return np.concatenate(chunks)


def _flat_pictures(
    mesh: Mesh, camera: Camera, lights: tuple[Light, ...], material: Material
) -> Float[Tensor, "K h w 4"]:
    """What `antialiased(render(...))` gives for one colour a face, five times as fast: shade faces, not pixels."""
    face = ops.raster(camera.pixels_from_world(mesh.vertices), mesh.faces, camera.size)
    views, (height, width) = len(face), camera.size
    normal = face_normals(mesh)
    corner = mesh.vertices[mesh.faces[:, 0]]
    towards = camera.position[:, None] - corner
    away = (towards * normal).sum(-1, keepdim=True) < 0
    turned = torch.where(away, -normal, normal)  # K F 3
    color = mesh.appearance.colors if isinstance(mesh.appearance, FaceColors) else torch.full_like(normal, PLAIN)
    lit = shade(
        color.expand_as(turned),
        turned,
        positions=corner.expand_as(turned),
        towards_camera=towards,
        forward=camera.world_from_cam[:, None, :3, 2].expand_as(turned),
        lights=lights,
        material=material,
    )
    # Row 0 of every view is the background; the last column counts as coverage.
    table = normal.new_zeros(views, len(mesh.faces) + 1, 4)
    table[:, 1:, :3] = lit.clamp(0, 1)
    table[:, 1:, 3] = 1
    row = face + 1 + (torch.arange(views) * (len(mesh.faces) + 1))[:, None, None]
    n = OVERSAMPLING
    rows = row.reshape(views, height // n, n, width // n, n)
    flat = table.reshape(-1, 4)
    total = flat.new_zeros(views, height // n, width // n, 4)
    for i in range(n):
        for j in range(n):
            total += flat.index_select(0, rows[:, :, i, :, j].reshape(-1)).reshape(total.shape)
    total /= n * n
    total[..., :3] /= total[..., 3:].clamp(min=1e-6)
    return total
