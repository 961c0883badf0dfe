"""Image features where points are seen: the pooling of Pixel2Mesh (Wang et al. 2018), PyTorch3D's `vert_align`."""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette.camera import AnyCamera


def features_at(
    features: Float[Tensor, "*#batch C H W"], camera: AnyCamera, points: Float[Tensor, "*#batch N 3"]
) -> Float[Tensor, "*batch N C"]:
    """Features of a picture read where the camera sees world `points`, bilinear between pixel centres.

    The map covers the camera's whole picture whatever its own size, so a map of stride 16 needs no other camera: its
    pixel (i, j) is centred at ((j + 0.5) / W, (i + 0.5) / H) of the picture. Up to half a pixel from the border the
    outermost pixel's value holds. Points outside the picture, at or behind the camera's plane, and those not finite,
    read 0 and get no gradient; hidden points read what hides them. Batches of maps, cameras and points broadcast.
    Gradients flow to features, points and camera.
    """
    pose = camera.world_from_cam
    if not features.dtype == points.dtype == pose.dtype or not features.device == points.device == pose.device:
        raise ValueError(
            f"features_at: features are {features.dtype} on {features.device}, points {points.dtype} on "
            f"{points.device}, the camera {pose.dtype} on {pose.device}; make them alike"
        )
    # NumPy's, because torch's imports sympy, which takes half a second.
    batch = np.broadcast_shapes(features.shape[:-3], points.shape[:-2], pose.shape[:-2])
    count, (channels, height, width) = points.shape[-2], features.shape[-3:]
    if min(height, width) < 1:
        raise ValueError(f"features_at: features are {tuple(features.shape)}; give a map of at least one pixel")
    pixels = camera.pixels_from_world(points).expand(*batch, count, 3)
    x, y, w = pixels.unbind(-1)
    # Told before the division, so that nothing infinite meets a gradient.
    seen = (x >= 0) & (x <= w * camera.size[1]) & (y >= 0) & (y <= w * camera.size[0])
    seen = seen & (camera.depth(points) > 0) & pixels.isfinite().all(-1)
    safe = torch.where(seen[..., None], pixels, 1.0)
    extent = torch.tensor([camera.size[1], camera.size[0]], dtype=points.dtype, device=points.device)
    places = safe[..., :2] / safe[..., 2:] / extent * 2 - 1
    read = torch.nn.functional.grid_sample(
        features.expand(*batch, channels, height, width).reshape(math.prod(batch), channels, height, width),
        places.reshape(math.prod(batch), 1, count, 2),
        padding_mode="border",
        align_corners=False,
    )
    return torch.where(seen[..., None], read[:, :, 0].mT.reshape(*batch, count, channels), 0.0)
