"""Where cameras stand: the renders of Choy et al. 2016 (r2n2), or the easy and hard views of Xu et al. 2019 (DISN).

K views. Frame of learning: the object's box is centred and its diagonal is 1.
"""

import math
from dataclasses import asdict, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8

from maquette.camera import Camera, orbit, orbit_angles
from maquette.conventions import R2N2_DISTANCE, R2N2_FOCAL
from maquette.data.dataset import Pictures
from maquette.data.prepare.views import Ranges, pictures, random_lights, random_pictures
from maquette.shapes import Mesh

ViewsStyle = Literal["r2n2", "easy", "hard"]
TRIES = 50
"""Of a view that leaves the frame, before the object is given up."""
BORDER = 600
"""Most that the alphas of a picture's first and last rows and columns may add up to, of 255 each."""
FAR_OFF = 4
"""Tries in which a hard view may be shifted by its full range."""


def styled_pictures(
    mesh: Mesh, style: ViewsStyle, ranges: Ranges, *, views: int, size: int, rng: np.random.Generator
) -> Pictures:
    """`views` square pictures of `size` pixels; `ranges` are those of the style r2n2, the others have their own."""
    if style == "r2n2":
        return random_pictures(mesh, ranges, views=views, size=size, rng=rng)
    lights = random_lights(rng)
    base = (np.arange(views) + 1) * 2 * math.pi / views
    tried = np.zeros(views, dtype=int)
    camera = _cameras(style, base, tried, size, rng)
    rgba = pictures(mesh, camera, lights)
    for _ in range(TRIES):
        again = np.flatnonzero(leaves_frame(rgba))
        if not len(again):
            break
        tried[again] += 1
        drawn = _cameras(style, base[again], tried[again], size, rng)
        pose = camera.world_from_cam.clone()
        pose[torch.from_numpy(again)] = drawn.world_from_cam
        camera = replace(camera, world_from_cam=pose)
        rgba[again] = pictures(mesh, drawn, lights)
    else:
        first = again[0]  # pyrefly: ignore[unbound-name]: there is a first try
        raise ValueError(f"view {first} leaves the frame in all of {TRIES} tries; use another style of views")
    named = [{"light": type(light).__name__, **asdict(light)} for light in lights]
    azimuth, elevation, distance = (angle.double().numpy() for angle in orbit_angles(camera))
    return Pictures(rgba, camera, azimuth, elevation, distance, named)


def leaves_frame(rgba: UInt8[np.ndarray, "K H W 4"]) -> Bool[np.ndarray, " K"]:
    """Where the object reaches the border of its picture."""
    alpha = rgba[..., 3].astype(np.int64)
    rows, columns = alpha[:, [0, -1]].sum((1, 2)), alpha[:, :, [0, -1]].sum((1, 2))
    return rows + columns >= BORDER


def _cameras(
    style: ViewsStyle, base: Float[np.ndarray, " K"], tried: np.ndarray, size: int, rng: np.random.Generator
) -> Camera:
    """One draw of a camera for each of the azimuths `base`.

    A hard view looks at the origin while the object stands beside it: seen from the object, the camera is moved by the
    opposite shift.
    """
    count = len(base)
    azimuth = base + np.radians(rng.uniform(-5, 5, count))
    if style == "easy":
        elevation, ratio = rng.uniform(20, 30, count), rng.uniform(0.65, 1.0, count)
        shift = np.zeros((count, 3))
    else:
        far_off = tried < FAR_OFF
        elevation = rng.uniform(0, 45, count)
        ratio = rng.uniform(np.where(far_off, 0.6, 0.75), np.where(far_off, 1.0, 1.1))
        shift = rng.uniform(-1, 1, (count, 3)) * np.where(far_off, 0.2, 0.1)[:, None]
    numbers = (azimuth, np.radians(elevation), ratio * R2N2_DISTANCE)
    around, above, away = (torch.from_numpy(values).float() for values in numbers)
    camera = orbit(around, above, away, focal=R2N2_FOCAL * size, size=(size, size))
    pose = camera.world_from_cam.clone()
    pose[:, :3, 3] -= torch.from_numpy(shift).float()
    return replace(camera, world_from_cam=pose)
