"""Occupancy fields: a place and a picture's features to the logit of being inside. B pictures, Q places, C channels.

A field is asked in two steps: `condition` once a picture, then the field itself as often as there are places. Places
are in the frame of learning, (x, y, z) in the cube [-0.5, 0.5]^3, as meshes and points are: there is no grid, so no
order of axes, between what is learnt and what is asked.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.data.targets import Targets
from maquette.models.features import Features
from maquette.models.ranges import check_ranges
from maquette.shapes import Mesh, implicit_mesh_refined

FIRST = 32
"""Cells along each side of the coarsest grid on which a surface is looked for."""
EMPTY = -10.0
"""Logit on and beyond the border of the cube: no object of diagonal 1 reaches it, and surfaces are closed there."""


@dataclass(frozen=True)
class Balanced:
    """The places that the data keeps, as many inside as outside (see `Targets.queries`).

    Probabilities are then those of such draws: 0.5 lies where the solid is as likely as it is among them, not as it is
    in space, most of which is empty.
    """


@dataclass(frozen=True)
class Uniform:
    """Places drawn evenly from the cube, inside where their voxel is full, as in the course's reports.

    Most of them are outside: a field that says so everywhere has a small loss already.
    """

    count: int = 1000
    """A step and object. Report 000 has 1,000, report 001 10,000."""

    def __post_init__(self) -> None:
        check_ranges(self, {"count": (1, 1_000_000)})


Queries = Balanced | Uniform


@dataclass(frozen=True)
class Meshing:
    """How a field becomes a mesh."""

    resolution: int = 64
    """Cells along each side of the cube, a power of two; found from 32 on, where the surface is."""
    level: float = 0.5
    """Probability at the surface."""

    def __post_init__(self) -> None:
        check_ranges(self, {"resolution": (2, 1024), "level": (1e-4, 1 - 1e-4)})
        if self.resolution & (self.resolution - 1):
            raise ValueError(f"Meshing: resolution is {self.resolution}; give a power of two, as 64 or 128")


@dataclass(frozen=True)
class ConcatOccupancy:
    """Report 000: code and place side by side through one perceptron, 515-256-128-64-1 with ReLU between."""

    queries: Queries = Balanced()
    meshing: Meshing = Meshing()


@dataclass(frozen=True)
class AdditiveOccupancy:
    """Report 001: branches of code (512-256-128) and place (3-64-128-128), their sum 128-128-128-64-1; PReLU."""

    queries: Queries = Balanced()
    meshing: Meshing = Meshing()


@dataclass(frozen=True)
class ConditionalOccupancy:
    """Residual layers whose normalisation the code scales and shifts (Mescheder et al. 2019, Occupancy Networks)."""

    hidden: int = 128
    """Width; the paper has 256."""
    blocks: int = 5
    """Of two layers each."""
    normalisation: Literal["batch", "layer"] = "batch"
    """Over all places of all pictures, as in the paper; or over the channels of one place, alike whatever the batch."""
    queries: Queries = Balanced()
    meshing: Meshing = Meshing()

    def __post_init__(self) -> None:
        check_ranges(self, {"hidden": (1, 4096), "blocks": (1, 64)})


@dataclass(frozen=True)
class TriplaneOccupancy:
    """The code drawn as three pictures, of the planes xy, xz and yz, which a place reads where it projects to.

    Feature planes as of Peng et al. 2020 (section 3, made from points there) and Chan et al. 2022 (section 3).
    Convolutions make detail that one perceptron would have to hold for all objects at once, and most of the work is
    done once a picture, not once a place.
    """

    channels: int = 32
    """Of the planes."""
    doublings: int = 3
    """Of the planes' size, from 4 x 4 on: 3 gives 32 x 32."""
    hidden: int = 128
    """Width of the perceptron that reads them."""
    queries: Queries = Balanced()
    meshing: Meshing = Meshing()

    def __post_init__(self) -> None:
        check_ranges(self, {"channels": (1, 1024), "doublings": (0, 6), "hidden": (1, 4096)})


OccupancyHead = ConcatOccupancy | AdditiveOccupancy | ConditionalOccupancy | TriplaneOccupancy


class OccupancyDecoder(nn.Module):
    def __init__(self, config: OccupancyHead, features: int):
        super().__init__()
        self.config = config
        self.field = build_field(config, features)

    def forward(self, features: Features, places: Float[Tensor, "B Q 3"]) -> Float[Tensor, "B Q"]:
        """Logits of being inside, at the same number of places for every picture."""
        return self.field(self.field.condition(features.code), places)

    def loss(self, features: Features, targets: Targets) -> dict[str, Float[Tensor, ""]]:
        """Mean cross-entropy over the places, in nats; ln 2 = 0.69 is to know nothing of balanced ones."""
        match self.config.queries:
            case Balanced():
                places, inside = targets.queries, targets.inside
            case Uniform(count):
                places, inside = uniform_queries(targets, count)
        logits = self(features, places)
        return {"occupancy": nn.functional.binary_cross_entropy_with_logits(logits, inside)}

    def shapes(self, features: Features) -> list[Mesh]:
        """Closed meshes; one without faces where a picture gives nothing above the level."""
        return self.meshes(features, self.config.meshing)

    @torch.no_grad()
    def meshes(self, features: Features, meshing: Meshing) -> list[Mesh]:
        conditions = self.field.condition(features.code)
        level = math.log(meshing.level / (1 - meshing.level))
        box = torch.tensor([[-0.5] * 3, [0.5] * 3], device=features.code.device)
        return [
            implicit_mesh_refined(
                lambda places, condition=condition: -self.closed(condition[None], places),
                box,
                cells=meshing.resolution,
                level=-level,
                first=min(FIRST, meshing.resolution),
            )
            for condition in conditions
        ]

    def closed(self, condition: Float[Tensor, "1 *condition"], places: Float[Tensor, "N 3"]) -> Float[Tensor, " N"]:
        """Logits of one picture, with nothing on and beyond the border of the cube."""
        logits = self.field(condition, places[None])[0]
        return torch.where(places.abs().amax(-1) < 0.5, logits, EMPTY)

    @torch.no_grad()
    def shift_level(self, level: float) -> None:
        """Shift all logits by one number, so that what had probability `level` now has 0.5."""
        last = self.field.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.sub_(math.log(level / (1 - level)))


def uniform_queries(targets: Targets, count: int) -> tuple[Float[Tensor, "B Q 3"], Float[Tensor, "B Q"]]:
    """`count` places in the cube, and the occupancy of the voxel that each lies in; x is the voxels' last axis."""
    grid = targets.grid()
    side, cells = grid.shape[-1], grid.flatten(1)
    places = targets.uniform(count, 3).to(cells) - 0.5
    x, y, z = ((places + 0.5) * side).long().clamp(0, side - 1).unbind(-1)
    return places, cells.gather(1, (z * side + y) * side + x)


# -------------------------------------------------------------------------------------------------------------- fields


def build_field(config: OccupancyHead, features: int) -> "Concatenated | Added | Conditional | Triplane":
    match config:
        case ConcatOccupancy():
            return Concatenated(features)
        case AdditiveOccupancy():
            return Added(features)
        case ConditionalOccupancy():
            return Conditional(config, features)
        case TriplaneOccupancy():
            return Triplane(config, features)


class Concatenated(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(features + 3, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(),
            nn.Linear(64, 1),
        )  # fmt: skip

    def condition(self, code: Float[Tensor, "B D"]) -> Float[Tensor, "B 256"]:
        """The code's part of the first layer, which is the same for all places."""
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        return nn.functional.linear(code, first.weight[:, :-3], first.bias)

    def forward(self, condition: Float[Tensor, "B 256"], places: Float[Tensor, "B Q 3"]) -> Float[Tensor, "B Q"]:
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        x = condition[:, None] + nn.functional.linear(places, first.weight[:, -3:])
        return self.layers[1:](x)[..., 0]


class Added(nn.Module):
    def __init__(self, features: int):
        super().__init__()
        self.code = nn.Sequential(nn.Linear(features, 256), nn.PReLU(), nn.Linear(256, 128))
        self.place = nn.Sequential(
            nn.Linear(3, 64), nn.PReLU(), nn.Linear(64, 128), nn.PReLU(), nn.Linear(128, 128),
        )  # fmt: skip
        self.layers = nn.Sequential(
            nn.PReLU(), nn.Linear(128, 128), nn.PReLU(), nn.Linear(128, 128), nn.PReLU(), nn.Linear(128, 64),
            nn.PReLU(), nn.Linear(64, 1),
        )  # fmt: skip

    def condition(self, code: Float[Tensor, "B D"]) -> Float[Tensor, "B 128"]:
        return self.code(code)

    def forward(self, condition: Float[Tensor, "B 128"], places: Float[Tensor, "B Q 3"]) -> Float[Tensor, "B Q"]:
        return self.layers(condition[:, None] + self.place(places))[..., 0]


class Conditional(nn.Module):
    """x + f(f(x)) in every block, f a normalisation, ReLU and a linear map (Mescheder et al. 2019, supplement 1)."""

    def __init__(self, config: ConditionalOccupancy, features: int):
        super().__init__()
        self.place = nn.Linear(3, config.hidden)
        self.norms = nn.ModuleList(_Norm(config) for _ in range(2 * config.blocks + 1))
        self.maps = nn.ModuleList(nn.Linear(config.hidden, config.hidden) for _ in range(2 * config.blocks))
        self.layers = nn.Sequential(nn.ReLU(), nn.Linear(config.hidden, 1))
        # One scale and one shift a channel and normalisation; from features that say nothing, 1 and 0.
        self.modulation = nn.Linear(features, 2 * config.hidden * len(self.norms))
        with torch.no_grad():
            self.modulation.weight.mul_(0.1)
            self.modulation.bias.zero_()
            for second in self.maps[1::2]:
                assert isinstance(second, nn.Linear)
                second.weight.zero_()

    def condition(self, code: Float[Tensor, "B D"]) -> Float[Tensor, "B N2 C"]:
        return self.modulation(code).reshape(len(code), 2 * len(self.norms), -1)

    def forward(self, condition: Float[Tensor, "B N2 C"], places: Float[Tensor, "B Q 3"]) -> Float[Tensor, "B Q"]:
        scales, shifts = condition[:, ::2, None] + 1, condition[:, 1::2, None]

        def normed(x: Float[Tensor, "B Q C"], i: int) -> Float[Tensor, "B Q C"]:
            return self.norms[i](x) * scales[:, i] + shifts[:, i]

        x = self.place(places)
        for i in range(0, len(self.maps), 2):
            y = self.maps[i](torch.relu(normed(x, i)))
            x = x + self.maps[i + 1](torch.relu(normed(y, i + 1)))
        return self.layers(normed(x, len(self.maps)))[..., 0]


class _Norm(nn.Module):
    """To mean 0 and variance 1, without a scale and a shift of its own."""

    def __init__(self, config: ConditionalOccupancy):
        super().__init__()
        width = config.hidden
        batch = config.normalisation == "batch"
        self.norm = nn.BatchNorm1d(width, affine=False) if batch else nn.LayerNorm(width, elementwise_affine=False)

    def forward(self, x: Float[Tensor, "B Q C"]) -> Float[Tensor, "B Q C"]:
        return self.norm(x.flatten(0, 1)).reshape(x.shape)


class Triplane(nn.Module):
    """The three planes are three pictures to one stack of convolutions; the linear map before it tells them apart."""

    def __init__(self, config: TriplaneOccupancy, features: int):
        super().__init__()
        widths = [config.channels * 2] * max(config.doublings, 1) + [config.channels]
        widths = widths[-(config.doublings + 1) :]
        self.widest = widths[0]
        self.start = nn.Sequential(nn.Linear(features, 256), nn.ReLU(), nn.Linear(256, 3 * self.widest * 16))
        grow: list[nn.Module] = []
        for before, after in pairwise(widths):
            grow += [_normalisation(before), nn.ReLU(), nn.ConvTranspose2d(before, after, 4, 2, 1)]
        self.grow = nn.Sequential(*grow)
        # Channels last is the quicker memory order of convolutions on CPUs.
        self.grow.to(memory_format=torch.channels_last)  # pyrefly: ignore[no-matching-overload]: torch's types lack it
        self.layers = nn.Sequential(
            nn.Linear(3 * config.channels + 3, config.hidden), nn.ReLU(),
            nn.Linear(config.hidden, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 1),
        )  # fmt: skip

    def condition(self, code: Float[Tensor, "B D"]) -> Float[Tensor, "B 3 C S S"]:
        """The planes xy, xz and yz over the cube; the first axis of each runs along its columns."""
        start = self.start(code).reshape(3 * len(code), self.widest, 4, 4)
        planes = self.grow(start.contiguous(memory_format=torch.channels_last))
        return planes.reshape(len(code), 3, *planes.shape[1:])

    def forward(self, condition: Float[Tensor, "B 3 C S S"], places: Float[Tensor, "B Q 3"]) -> Float[Tensor, "B Q"]:
        batch, count = places.shape[:2]
        x, y, z = places.unbind(-1)
        # The planes' outer borders are at -0.5 and 0.5, which torch calls -1 and 1.
        grid = 2 * torch.stack([torch.stack(pair, -1) for pair in ((x, y), (x, z), (y, z))], 1)
        read = nn.functional.grid_sample(
            condition.flatten(0, 1), grid.flatten(0, 1)[:, None], padding_mode="border", align_corners=False
        )
        read = read.reshape(batch, -1, count).mT
        return self.layers(torch.cat([read, places], -1))[..., 0]


def _normalisation(channels: int) -> nn.Module:
    """Over a quarter of one plane's channels: alike whatever the batch."""
    return nn.GroupNorm(4 if channels % 4 == 0 else 1, channels)
