"""Parametric patches (AtlasNet, Groueix et al. 2018): a network a patch takes (place, code) to a point of the surface.

Each point is computed from its own place alone, so any number of places may be asked, in any order, and of a patch a
mesh may be made. The course's report 001 flattens all n places into one vector of 2 n numbers: that network is tied to
n, mixes the points with each other, and its answer depends on their order; it is not built here.
B shapes, N points, K patches, P numbers of a place (2 in a square, 3 on a sphere), G cells along a patch.
"""

import math
from dataclasses import dataclass
from typing import Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.losses import chamfer
from maquette.models.features import Features
from maquette.models.lattice import in_square, on_sphere
from maquette.models.ranges import check_ranges
from maquette.shapes import Mesh, PointCloud, ico_sphere, plane


@dataclass(frozen=True)
class AtlasHead:
    """Patches bent by a network each, which is told the picture's code; any number of points, also after training."""

    patches: int = 16
    """K; a sphere is closed with one, squares need several to cover a solid."""
    template: Literal["square", "sphere"] = "square"
    """What a patch is before it is bent."""
    points: int = 2048
    """N, of all patches together, in training and unless told otherwise. No weight depends on it."""
    width: int = 256
    """Of the first layer; the next have a half and a quarter of it. In the paper it is as long as the code, 1,024."""

    def __post_init__(self) -> None:
        check_ranges(self, {"patches": (1, 1024), "points": (1, 1_000_000), "width": (4, 8192)})


class Patch(nn.Module):
    """f(place, code) -> point: shared by all places of the patch."""

    def __init__(self, place: int, width: int, features: int):
        super().__init__()
        # The first layer takes place and code side by side; as two summands, the code's is computed once a picture.
        self.of_code, self.of_place = nn.Linear(features, width), nn.Linear(place, width, bias=False)
        self.layers = nn.Sequential(
            nn.ReLU(), nn.Linear(width, width // 2), nn.ReLU(), nn.Linear(width // 2, width // 4), nn.ReLU(),
            nn.Linear(width // 4, 3),
        )  # fmt: skip

    def forward(self, places: Float[Tensor, "*B N P"], code: Float[Tensor, "B D"]) -> Float[Tensor, "B N 3"]:
        # No coordinate leaves the cube (-1, 1), as in the paper.
        return self.layers(self.of_code(code)[:, None] + self.of_place(places)).tanh()


class AtlasDecoder(nn.Module):
    def __init__(self, config: AtlasHead, features: int):
        super().__init__()
        self.config = config
        place = 2 if config.template == "square" else 3
        self.patches = nn.ModuleList(Patch(place, config.width, features) for _ in range(config.patches))

    def on_template(self, square: Float[Tensor, "*some 2"]) -> Float[Tensor, "*some P"]:
        """Places of a patch, spread over it as the given ones over the unit square."""
        return square if self.config.template == "square" else on_sphere(square)

    def at(self, features: Features, patch: int, places: Float[Tensor, "*B N P"]) -> Float[Tensor, "B N 3"]:
        """Points of one patch at places in [0, 1]^2, or on the unit sphere: of all pictures, or for each its own."""
        return cast(Patch, self.patches[patch])(places, features.code)

    def forward(self, features: Features, points: int | None = None) -> Float[Tensor, "B N 3"]:
        """N points, evenly spread over the templates; the first patches have one more where K does not divide N."""
        total, count = self.config.points if points is None else points, self.config.patches
        places = self.on_template(in_square(math.ceil(total / count), device=features.code.device))
        shares = [total // count + (patch < total % count) for patch in range(count)]
        return torch.cat([self.at(features, patch, places[:share]) for patch, share in enumerate(shares)], 1)

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """Chamfer distance at places drawn anew at every step, so that all of a patch is taught."""
        count, of_all = self.config.patches, self.config.points
        drawn = targets.uniform(count, math.ceil(of_all / count), 2).to(features.code)
        clouds = [self.at(features, patch, self.on_template(drawn[:, patch])) for patch in range(count)]
        return {"atlas": chamfer(torch.cat(clouds, 1)[:, :of_all], targets.points).mean()}

    def shapes(self, features: Features, points: int | None = None) -> list[PointCloud]:
        return [PointCloud(cloud) for cloud in self(features, points)]

    def meshes(self, features: Features, cells: int = 16) -> list[Mesh]:
        """The patches as one mesh: of every square a regular grid of `cells` x `cells`, an ico-sphere of every sphere.

        Patches overlap and know no outside: the mesh is not watertight, and each patch has two sides.
        """
        if self.config.template == "square":
            flat = plane(cells=cells)
            places, faces = flat.vertices[:, [0, 2]] + 0.5, flat.faces
        else:
            ball = ico_sphere(max(1, round(math.log2(cells / 2))))
            places, faces = ball.vertices, ball.faces
        places, faces = places.to(features.code), faces.to(features.code.device)
        vertices = torch.cat([self.at(features, patch, places) for patch in range(self.config.patches)], 1)
        every = torch.cat([faces + patch * len(places) for patch in range(self.config.patches)])
        return [Mesh(of_one, every) for of_one in vertices]
