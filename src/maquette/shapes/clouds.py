"""Several clouds as one, and a cloud with fewer points. N points, M points left."""

from collections.abc import Sequence

import torch

from maquette.shapes.points import PointCloud

NAMES = ("colors", "normals")


def union(clouds: Sequence[PointCloud]) -> PointCloud:
    """The points of all clouds, which lie in one frame, in the order given. Batches agree; none are merged.

    Either all clouds have colours (normals) or none has: to drop those of a few silently would be a loss.
    """
    if not clouds:
        raise ValueError("union: no clouds; give at least one")
    first = clouds[0]
    for k, cloud in enumerate(clouds):
        here, there = (f"{tuple(c.points.shape[:-2])} {c.points.dtype} on {c.points.device}" for c in (cloud, first))
        if here != there:
            raise ValueError(f"union: cloud {k} is {here} and cloud 0 {there}; bring them together first")
        for name in NAMES:
            if (getattr(cloud, name) is None) != (getattr(first, name) is None):
                has, has_not = (k, 0) if getattr(first, name) is None else (0, k)
                raise ValueError(
                    f"union: cloud {has} has {name} and cloud {has_not} has none; give them to both, or to neither"
                )

    def joined(values: list[torch.Tensor | None]) -> torch.Tensor | None:
        present = [v for v in values if v is not None]
        return torch.cat(present, -2) if present else None

    points = torch.cat([cloud.points for cloud in clouds], -2)
    return PointCloud(points, joined([cloud.colors for cloud in clouds]), joined([cloud.normals for cloud in clouds]))


def thin(cloud: PointCloud, edge: float) -> PointCloud:
    """At most one point in each cell of a grid of `edge` world units: the mean of the points in it.

    Colours are averaged, too, and normals averaged and brought to length 1 (those that cancel become 0). Cells lie at
    multiples of `edge`, so that what is near the origin does not depend on what lies elsewhere; the result is ordered
    by cell (x first). Gradients flow through the means. A cloud without points stays as it is.
    """
    if not 0 < edge < float("inf"):
        raise ValueError(f"thin: edge is {edge}; give a positive length in world units")
    if cloud.points.ndim != 2 or cloud.points.shape[1] != 3:
        raise ValueError(f"thin: points have shape {tuple(cloud.points.shape)}; give 'N 3', each cloud by itself")
    bad = int((~torch.isfinite(cloud.points).all(-1)).sum())
    if bad:
        raise ValueError(f"thin: {bad} of {len(cloud.points)} points are not finite; leave them out")
    if len(cloud.points) == 0:
        return cloud
    cells = (cloud.points.detach().double() / edge).floor()
    if bool((cells.abs() > 2**53).any()):
        raise ValueError(f"thin: an edge of {edge} is too small for points {float(cloud.points.abs().max()):g} away")
    kept, cell, count = torch.unique(cells, dim=0, return_inverse=True, return_counts=True)

    def mean(values: torch.Tensor) -> torch.Tensor:
        return values.new_zeros(len(kept), 3).index_add(0, cell, values) / count[:, None].to(values)

    colors = None if cloud.colors is None else mean(cloud.colors)
    normals = None if cloud.normals is None else torch.nn.functional.normalize(mean(cloud.normals), dim=-1)
    return PointCloud(mean(cloud.points), colors, normals)
