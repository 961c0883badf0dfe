"""The surface where a sampled function crosses a level."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor


def isosurface(values: Float[Tensor, "Z Y X"], level: float = 0.5) -> tuple[Float[Tensor, "V 3"], Int64[Tensor, "F 3"]]:
    """Vertices and faces of the surface `values == level` (marching cubes 33, Lewiner et al. 2003).

    Vertices are float32 in index coordinates, in the order x, y, z: the sample `values[k, j, i]` is at (i, j, k). Faces
    are counter-clockwise seen from the side of the lower values, so outward for an occupancy. A level that is never
    crossed gives no vertices and no faces; a surface that meets the border of the grid is open there. No gradient
    flows.
    """
    if min(values.shape) < 2:
        raise ValueError(f"isosurface: values are {tuple(values.shape)}; give at least two samples along each axis")
    if not bool(values.isfinite().all()):
        raise ValueError("isosurface: values are not all finite; replace NaN and infinity first")
    volume = np.ascontiguousarray(values.detach().cpu().numpy(), dtype=np.float32)
    if not volume.min() < level < volume.max():
        return torch.zeros(0, 3, device=values.device), torch.zeros(0, 3, dtype=torch.int64, device=values.device)

    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(volume, level)
    return (
        torch.from_numpy(vertices[:, ::-1].copy()).to(values.device),
        torch.from_numpy(faces.astype(np.int64)).to(values.device),
    )
