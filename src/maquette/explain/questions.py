"""From a target to a number that can be differentiated: what is asked of a network about one picture.

A question holds fixed which pieces of the answer it is about, so that the same one can be put to other pictures, and to
the network with other weights. B pictures, N pieces of an answer, K of them asked about, M points, Q places.
"""

from dataclasses import dataclass
from typing import assert_never, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from maquette import ops
from maquette.data.dataset import Truth
from maquette.data.pack import queries
from maquette.data.targets import Targets
from maquette.explain.targets import Box, Loss, Part, Picked, Target, Whole, in_words, numbers
from maquette.models import Features, SingleView, total_loss
from maquette.models.atlas import AtlasDecoder
from maquette.models.deconvolution import DeconvolutionDecoder
from maquette.models.folding_points import FoldingDecoder
from maquette.models.graph_mesh import GraphMeshDecoder
from maquette.models.mesh import MeshDecoder
from maquette.models.network import Decoder
from maquette.models.occupancy import OccupancyDecoder, Uniform
from maquette.models.points import PointsDecoder
from maquette.models.residual_voxels import ResidualVoxelsDecoder
from maquette.models.voxels import VoxelsDecoder
from maquette.shapes import cell_centers

LATTICE = 32
"""Places along each side of the cube at which a field is asked."""
COMPARED = 2048
"""Points of the truth in a loss, as in training."""
ASKED = 512
"""Places inside and as many outside in a loss of a field, as in training."""


@dataclass(frozen=True)
class Cells:
    """The mean log-odds that some cells of a grid are full."""

    index: Int64[Tensor, " K"]
    """In the flattened grid Z Y X."""


@dataclass(frozen=True)
class Places:
    """The mean log-odds that some places are inside."""

    places: Float[Tensor, "K 3"]


@dataclass(frozen=True)
class Reach:
    """How far out some points or vertices are, in object diagonals.

    The mean over them of (p - middle) . direction, where `middle`, the mean of all points of the answer to the picture,
    and `direction`, the unit vector from it to each of them, are held fixed. For the picture itself it is their mean
    distance from the middle.
    """

    index: Int64[Tensor, " K"]
    middle: Float[Tensor, "3"]
    direction: Float[Tensor, "K 3"]


@dataclass(frozen=True)
class Wrong:
    """The decoder's own loss terms against the truth, weighted and added as in training."""

    targets: Targets
    """Of one object."""


Question = Cells | Places | Reach | Wrong


@dataclass(frozen=True)
class Pieces:
    """What an answer consists of, in the frame that it is predicted in."""

    kind: str
    """Full cells, places inside, points or vertices."""
    positions: Float[Tensor, "N 3"]
    index: Int64[Tensor, " N"]
    """In the decoder's output."""


@dataclass(frozen=True)
class Asked:
    """A question about the answer to one picture."""

    question: Question
    pieces: Pieces
    chosen: Bool[Tensor, " N"]
    """Which pieces it is about."""
    words: str
    """The question for people."""


def value_of(question: Question, model: SingleView, representation: str, features: Features) -> Float[Tensor, "B"]:
    """The number asked for, of each of some pictures."""
    decoder = cast(Decoder, model.decoders[representation])
    match question:
        case Cells(index):
            assert isinstance(decoder, VoxelsDecoder | DeconvolutionDecoder | ResidualVoxelsDecoder)
            return decoder(features).flatten(1)[:, index].mean(1)
        case Places(places):
            assert isinstance(decoder, OccupancyDecoder)
            return decoder(features, places.expand(len(features), -1, 3)).mean(1)
        case Reach(index, middle, direction):
            positions = positions_of(model, decoder, features)[:, index]
            return ((positions - middle) * direction).sum(-1).mean(1)
        case Wrong(targets):
            return torch.stack([_loss(model, decoder, features[i : i + 1], targets) for i in range(len(features))])
        case _:
            assert_never(question)


def _loss(model: SingleView, decoder: Decoder, features: Features, targets: Targets) -> Float[Tensor, ""]:
    if isinstance(decoder, GraphMeshDecoder):
        return total_loss(decoder.loss(features, targets, model.viewpoint(features)))
    return total_loss(decoder.loss(features, targets))


def positions_of(model: SingleView, decoder: Decoder, features: Features) -> Float[Tensor, "B N 3"]:
    """Points or vertices that a decoder gives."""
    match decoder:
        case PointsDecoder() | FoldingDecoder() | AtlasDecoder():
            return decoder(features)
        case MeshDecoder():
            return decoder(features).vertices
        case GraphMeshDecoder():
            return decoder(features, model.viewpoint(features))[-1][1].vertices
        case _:
            raise TypeError(f"{type(decoder).__name__} gives no positions")


@torch.no_grad()
def pieces(model: SingleView, features: Features, representation: str) -> Pieces:
    """Of the answer to one picture: cells and places that are rather full than empty, or all points or vertices."""
    decoder = cast(Decoder, model.decoders[representation])
    device = features.code.device
    if isinstance(decoder, VoxelsDecoder | DeconvolutionDecoder | ResidualVoxelsDecoder):
        logits = decoder(features)[0]
        full = (logits.flatten() > 0).nonzero()[:, 0]
        return Pieces("full cells", cell_centers(logits.shape[-1], device=device).reshape(-1, 3)[full], full)
    if isinstance(decoder, OccupancyDecoder):
        lattice = cell_centers(LATTICE, device=device).reshape(1, -1, 3)
        inside = (decoder(features, lattice)[0] > 0).nonzero()[:, 0]
        return Pieces("places inside", lattice[0, inside], inside)
    positions = positions_of(model, decoder, features)[0]
    kind = "vertices" if isinstance(decoder, MeshDecoder | GraphMeshDecoder) else "points"
    return Pieces(kind, positions, torch.arange(len(positions), device=device))


@torch.no_grad()
def ask(
    model: SingleView,
    picture: Float[Tensor, "4 S S"],
    target: Target,
    representation: str,
    *,
    truth: Truth | None = None,
) -> Asked:
    """The question that a target means for the network's answer to a picture; a region without pieces is an error.

    `truth` is the solid that the picture shows, which `Part` and `Loss` need, in the frame that the network predicts
    in.
    """
    features = model.encode(picture[None])
    found = pieces(model, features, representation)
    if isinstance(target, Loss):
        targets = targets_of(_given(truth, target)).to(picture.device)
        chosen = torch.ones(len(found.positions), dtype=torch.bool, device=picture.device)
        return Asked(Wrong(targets), found, chosen, in_words(target))
    if not len(found.positions):
        raise ValueError(f"explain: no {found.kind} in the answer to this picture: there is nothing to explain")
    chosen = within(target, found.positions, truth)
    if not bool(chosen.any()):
        raise ValueError(f"explain: {_nothing(target, found)}")
    index = found.index[chosen]
    few = f"{int(chosen.sum()):,} of {len(chosen):,} {found.kind}: {in_words(target)}"
    count = f"all {len(chosen):,} {found.kind}" if isinstance(target, Whole) else few
    match found.kind:
        case "full cells":
            return Asked(Cells(index), found, chosen, f"mean log-odds of being full, of {count}")
        case "places inside":
            places = found.positions[chosen]
            return Asked(Places(places), found, chosen, f"mean log-odds of being inside, of {count}")
        case _:
            middle = found.positions.mean(0)
            direction = torch.nn.functional.normalize(found.positions[chosen] - middle, dim=-1)
            return Asked(Reach(index, middle, direction), found, chosen, f"mean distance from the middle, of {count}")


def within(target: Target, positions: Float[Tensor, "N 3"], truth: Truth | None) -> Bool[Tensor, " N"]:
    """Which pieces a target means."""
    match target:
        case Box(low, high):
            return ((positions >= positions.new_tensor(low)) & (positions <= positions.new_tensor(high))).all(-1)
        case Picked(place, radius):
            return (positions - positions.new_tensor(place)).norm(dim=-1) <= radius
        case Part(label):
            solid = _given(truth, target)
            number = label_number(solid, label)
            points = torch.from_numpy(solid.points).to(positions)
            labels = torch.from_numpy(solid.labels.astype(np.int64)).to(positions.device)
            return labels[ops.nearest(positions, points)[:, 0]] == number
        case Whole() | Loss():
            return torch.ones(len(positions), dtype=torch.bool, device=positions.device)


def label_number(truth: Truth, label: str) -> int:
    """Of a part that the truth has; an error that lists those there are."""
    there = [name for number, name in enumerate(truth.label_names) if (truth.labels == number).any()]
    if label not in there:
        raise ValueError(f"explain: the truth has no part {label!r}; it has {', '.join(sorted(there))}")
    return truth.label_names.index(label)


def check_truth(model: SingleView, representation: str, target: Part | Loss, truth: Truth | None) -> None:
    """ValueError where a truth cannot say what a target needs of it."""
    solid = _given(truth, target)
    if isinstance(target, Part):
        label_number(solid, target.label)
        return
    decoder = cast(Decoder, model.decoders[representation])
    by_grid = isinstance(decoder, VoxelsDecoder | DeconvolutionDecoder) or (
        isinstance(decoder, OccupancyDecoder) and isinstance(decoder.config.queries, Uniform)
    )
    by_places = isinstance(decoder, OccupancyDecoder | ResidualVoxelsDecoder)
    if solid.voxels is None and (by_grid or (by_places and solid.surroundings is None)):
        raise ValueError(
            f"explain: the loss of {representation} needs to know what is inside, which this truth does not tell; give "
            "a mesh, or explain --as points or mesh"
        )


def _given(truth: Truth | None, target: Target) -> Truth:
    if truth is None:
        raise ValueError(f"explain: {type(target).__name__} needs the truth that the picture shows; give it")
    return truth


def _nothing(target: Target, found: Pieces) -> str:
    """Why a region is empty, and what is nearest to it."""
    low, high = (tuple(found.positions.aminmax(dim=0)[i].tolist()) for i in (0, 1))
    where = f"the answer's {found.kind} reach from {numbers(_rounded(low))} to {numbers(_rounded(high))}"
    match target:
        case Picked(place, radius):
            away = (found.positions - found.positions.new_tensor(place)).norm(dim=-1)
            nearest = _rounded(tuple(found.positions[int(away.argmin())].tolist()))
            return (
                f"no {found.kind} within {radius:g} of {numbers(place)}; the nearest is {float(away.min()):.3g} away, "
                f"at {numbers(nearest)}"
            )
        case Box():
            return f"no {found.kind} in the box; {where}"
        case _:
            return f"no {found.kind} of the answer are {in_words(target).removeprefix('those ')}; {where}"


def _rounded(triple: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = (round(value, 3) for value in triple)
    return x, y, z


def targets_of(truth: Truth) -> Targets:
    """A truth as the loss of a network takes it, for one object; its draws follow from a fixed seed.

    Where the data tells nothing of inside and outside, there are no places, and grids are missing.
    """
    places, inside = np.zeros((0, 3), np.float32), np.zeros(0, bool)
    if truth.surroundings is not None or truth.voxels is not None:
        places, inside = queries(truth, 0)
        chosen = np.concatenate([np.flatnonzero(inside)[:ASKED], np.flatnonzero(~inside)[:ASKED]])
        places, inside = places[chosen], inside[chosen]
    nothing = torch.zeros(1)
    return Targets(
        torch.from_numpy(truth.points[:COMPARED])[None],
        None if truth.voxels is None else torch.from_numpy(truth.voxels.astype(np.float32))[None],
        torch.from_numpy(places.astype(np.float32))[None],
        torch.from_numpy(inside.astype(np.float32))[None],
        nothing, nothing, nothing, torch.zeros(1, dtype=torch.bool), torch.zeros(1, dtype=torch.int64),
    )  # fmt: skip
