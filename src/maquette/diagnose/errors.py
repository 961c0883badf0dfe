"""How far each point of a prediction is from the truth, and each true point from the prediction; and their colours.

N predicted points, M true points, in one frame; distances are in its units.
"""

import functools
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from maquette.metrics import match
from maquette.shapes import (
    Mesh,
    PointCloud,
    Shape,
    VertexColors,
    closest_points,
    positions_at,
    sample,
    subdivide_midpoint,
    to_mesh,
)

ANCHORS = ("#2b4a9b", "#4f97cc", "#e9e5c4", "#ee9a4d", "#b0161e")
"""From no error to the limit: blue, pale, red. Red and blue differ for every kind of colour vision."""
STEPS = 256
FINEST = 80_000
"""Faces that a mesh is cut into at most, so that its vertices can carry the colours."""
LONGEST_EDGE = 0.025
"""Of a coloured mesh, as a part of the diagonal of its box, as long as `FINEST` allows it."""


def point_errors(
    predicted: Float[Tensor, "N 3"], true: Float[Tensor, "M 3"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " M"]]:
    """The distance of each predicted point to the nearest true one, and of each true point to the nearest predicted
    one, in units of the points. No gradient flows; a set without points is an error."""
    matches = match(predicted, true)
    return matches.to_truth, matches.to_predicted


def error_colors(distances: Float[Tensor, " N"], limit: float) -> Float[Tensor, "N 3"]:
    """sRGB in 0..1: blue at 0, pale at half the limit, red at the limit and above it.

    Equal steps of distance are equal steps of colour: straight lines through Oklab (Ottosson 2020), by their length.
    """
    if not 0 < limit < float("inf"):
        raise ValueError(f"error_colors: limit is {limit:g}; give a finite distance above 0")
    if bool(distances.isnan().any()):
        raise ValueError(f"error_colors: {int(distances.isnan().sum())} of {len(distances)} distances are not numbers")
    place = (distances.double() / limit).clamp(0, 1) * (STEPS - 1)
    low = place.floor().long().clamp(max=STEPS - 2)
    part = (place - low)[..., None]
    ramp = color_ramp().to(distances.device)
    return (ramp[low] * (1 - part) + ramp[low + 1] * part).to(distances)


@functools.cache
def color_ramp() -> Float64[Tensor, "S 3"]:
    """`STEPS` sRGB colours through `ANCHORS`, equally far from each other in Oklab."""
    anchors = torch.tensor([[int(a[i : i + 2], 16) / 255 for i in (1, 3, 5)] for a in ANCHORS], dtype=torch.float64)
    lab = oklab(anchors)
    ends = torch.cat([torch.zeros(1, dtype=torch.float64), (lab[1:] - lab[:-1]).norm(dim=-1).cumsum(0)])
    asked = torch.linspace(0, float(ends[-1]), STEPS, dtype=torch.float64)
    part = (torch.searchsorted(ends, asked, right=True) - 1).clamp(0, len(lab) - 2)
    t = ((asked - ends[part]) / (ends[part + 1] - ends[part]))[:, None]
    return from_oklab(lab[part] * (1 - t) + lab[part + 1] * t).clamp(0, 1)


_LMS = torch.tensor(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=torch.float64,
)
_LAB = torch.tensor(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=torch.float64,
)


def oklab(srgb: Float64[Tensor, "*n 3"]) -> Float64[Tensor, "*n 3"]:
    """Lightness and two opponent colours, in which distances are as large as they look (Ottosson 2020)."""
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lms = linear @ _LMS.T
    return lms.sign() * lms.abs() ** (1 / 3) @ _LAB.T


def from_oklab(lab: Float64[Tensor, "*n 3"]) -> Float64[Tensor, "*n 3"]:
    """sRGB, which may lie outside 0..1."""
    linear = (lab @ torch.linalg.inv(_LAB).T) ** 3 @ torch.linalg.inv(_LMS).T
    return torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)


# ------------------------------------------------------------------------------------------------------ any two shapes


@dataclass(frozen=True)
class Side:
    """One of two shapes, and how far it is from the other."""

    points: Float[Tensor, "N 3"]
    """Spread evenly over its surface, or those of a cloud."""
    distances: Float[Tensor, " N"]
    """Of `points`, to the other shape's surface, or to the nearest point of a cloud."""
    shown: Mesh | PointCloud
    """The shape itself, its faces cut until its vertices are close enough to carry colours."""
    shown_distances: Float[Tensor, " V"]
    """Of the vertices or points of `shown`."""

    def colored(self, limit: float) -> Mesh | PointCloud:
        """`shown`, blue where it is right, red from `limit` on."""
        colors = error_colors(self.shown_distances, limit)
        if isinstance(self.shown, Mesh):
            return Mesh(self.shown.vertices, self.shown.faces, VertexColors(colors))
        return PointCloud(self.shown.points, colors)


def errors_between(prediction: Shape, truth: Shape, *, points: int, generator: torch.Generator) -> tuple[Side, Side]:
    """The prediction's side and the truth's, in the frame that both are in.

    `points` are drawn evenly from a surface; a cloud has its own, all of them. The distance to a mesh is that to its
    nearest place on a face, exact; the distance to a cloud is that to its nearest point, which is never 0 for another
    sampling of the same surface.
    """
    ours, theirs = (to_mesh(shape) if not isinstance(shape, PointCloud) else shape for shape in (prediction, truth))
    return _side(ours, theirs, points, generator), _side(theirs, ours, points, generator)


def _side(shape: Mesh | PointCloud, other: Mesh | PointCloud, points: int, generator: torch.Generator) -> Side:
    if isinstance(shape, PointCloud):
        distances = distances_to(other, shape.points)
        return Side(shape.points, distances, PointCloud(shape.points), distances)
    drawn = sample(shape, points, generator=generator).points
    shown = finely_cut(Mesh(shape.vertices, shape.faces))
    return Side(drawn, distances_to(other, drawn), shown, distances_to(other, shown.vertices))


def distances_to(shape: Mesh | PointCloud, points: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
    """Of points to a surface, or to the nearest point of a cloud."""
    if isinstance(shape, PointCloud):
        return point_errors(points, shape.points)[0]
    return (positions_at(shape, closest_points(shape, points)) - points).norm(dim=-1)


def finely_cut(mesh: Mesh) -> Mesh:
    """The same surface with edges of at most `LONGEST_EDGE` of its diagonal, or with about `FINEST` faces."""
    low, high = mesh.vertices.aminmax(dim=0)
    limit = LONGEST_EDGE * float((high - low).norm())
    while 4 * len(mesh.faces) <= FINEST:
        corners = mesh.corners()
        if float((corners - corners.roll(1, -2)).norm(dim=-1).max()) <= limit:
            break
        mesh = subdivide_midpoint(mesh)
    return mesh
