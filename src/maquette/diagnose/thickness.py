"""How thick a solid is below a point of its surface, known by points alone. N points, Q of them asked for.

A ray goes from the point against its normal until it leaves the solid; its length is the thickness, as in the shape
diameter function (Shapira et al. 2008), of one ray. Of a slab it is the distance of the two sides, also near an edge,
where the largest ball that fits would be small; of a sphere the diameter.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.rendering.looks import covering_disc

LEAVING = 0.2
"""A ray leaves where the cosine between it and the outward normal is above: side walls along its way do not count."""
PIECE = 256
"""Points asked for at a time."""


def local_thickness(points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"], count: int) -> Float[Tensor, " Q"]:
    """Of the first `count` points, in units of the points; NaN where no point of a far side is found.

    Points are uniform on the closed outer surface, normals point outwards. The ray meets the tangent plane of the point
    of the far side that is nearest to it, among those closer to it than the points are apart (`covering_disc`).
    """
    if len(points) < 7:
        raise ValueError(f"local_thickness: {len(points)} points; give at least 7")
    reach = covering_disc(points)
    pieces = []
    for start in range(0, min(count, len(points)), PIECE):
        here = slice(start, min(start + PIECE, count))
        found = _through(points, normals, points[here], -normals[here], reach)
        lost = found.isnan()
        if bool(lost.any()):
            found[lost] = _through(points, normals, points[here][lost], -normals[here][lost], 2 * reach)
        pieces.append(found)
    return torch.cat(pieces) if pieces else points.new_empty(0)


def _through(
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    origins: Float[Tensor, "Q 3"],
    rays: Float[Tensor, "Q 3"],
    reach: float,
) -> Float[Tensor, " Q"]:
    along = rays @ points.T - (rays * origins).sum(-1, keepdim=True)
    aside = (torch.cdist(origins, points).square() - along.square()).clamp(min=0)
    far: Bool[Tensor, "Q N"] = (along > 0) & (aside < reach**2) & (rays @ normals.T > LEAVING)
    first = torch.where(far, along, torch.inf).amin(1, keepdim=True)
    # A slanting far side is met a little before and after the ray.
    near = far & (along <= first + 2 * reach)
    chosen = torch.where(near, aside, torch.inf).argmin(1)
    normal = normals[chosen]
    length = ((points[chosen] - origins) * normal).sum(-1) / (rays * normal).sum(-1).clamp(min=LEAVING)
    first = first[:, 0]
    length = torch.minimum(length.clamp(min=0), first + 2 * reach)
    return torch.where(first.isfinite(), length, torch.nan)
