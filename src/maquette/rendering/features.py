"""Image features where points are seen: Pixel2Mesh's pooling, PyTorch3D's `vert_align`."""

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.camera import Camera


def features_at(
    features: Float[Tensor, "*batch C H W"], camera: Camera, points: Float[Tensor, "*batch N 3"]
) -> Float[Tensor, "*batch N C"]:
    """Features of a picture read where the camera sees world `points`, bilinear between pixel centres.

    The map covers the camera's whole picture whatever its own size, so a stride-16 map needs no other camera: its pixel
    (i, j) is centred at ((j + 0.5) / W, (i + 0.5) / H) of the picture. Up to half a pixel from the border the
    outermost pixel's value holds. Points outside the picture, at or behind the camera, and those not finite, read 0 and
    get no gradient; hidden points read what hides them. Gradients flow to features, points and camera.
    """
    if (
        not features.dtype == points.dtype == camera.focal.dtype
        or not features.device == points.device == camera.focal.device
    ):
        raise ValueError(
            f"features_at: features are {features.dtype} on {features.device}, points {points.dtype} on "
            f"{points.device}, the camera {camera.focal.dtype} on {camera.focal.device}; make them alike"
        )
    batch = points.shape[:-2]
    if features.shape[:-3] != batch or camera.focal.shape[:-1] not in (batch, ()):
        raise ValueError(
            f"features_at: batches are {tuple(features.shape[:-3])} of features, {tuple(batch)} of points and "
            f"{tuple(camera.focal.shape[:-1])} of cameras; make them the same (or give one camera)"
        )
    channels, height, width = features.shape[-3:]
    pixels = camera.pixels_from_world(points)
    x, y, w = pixels.unbind(-1)
    # Before the division, so that nothing infinite meets a gradient.
    seen = (
        (w > 0)
        & (x >= 0)
        & (x <= w * camera.size[1])
        & (y >= 0)
        & (y <= w * camera.size[0])
        & pixels.isfinite().all(-1)
    )
    safe = torch.where(seen[..., None], pixels, 1.0)
    extent = torch.tensor([camera.size[1], camera.size[0]], dtype=points.dtype, device=points.device)
    places = safe[..., :2] / safe[..., 2:] / extent * 2 - 1
    read = torch.nn.functional.grid_sample(
        features.reshape(-1, channels, height, width),
        places.reshape(-1, 1, points.shape[-2], 2),
        padding_mode="border",
        align_corners=False,
    )
    read = read[:, :, 0].mT.reshape(*batch, points.shape[-2], channels)
    return torch.where(seen[..., None], read, 0.0)
