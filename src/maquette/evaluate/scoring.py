"""Every method's answer to every object, scored. Q objects to measure, D features."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from maquette.data.augment import Frame
from maquette.data.crop import crop_to_mask
from maquette.data.dataset import Dataset, Entry, HasCodes, Truth
from maquette.data.pack import Pack
from maquette.evaluate.baselines import MeanShape, Retrieved, thumbnails
from maquette.evaluate.viewer import turn_of, turned_cells, turned_surface, turned_truth
from maquette.metrics import Protocol, Scores, Target, ceiling, iou_of_cells, no_scores, score
from maquette.models import SingleView
from maquette.models.looks import Look
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, sample, to_mesh

NOTHING_SHOWN = "the picture shows no object"


def fixed_view(entry: Entry) -> int:
    """The view in which an object is measured: the first 8 bytes of the SHA-256 of its id, modulo its views."""
    return int.from_bytes(hashlib.sha256(entry.id.encode()).digest()[:8], "big") % entry.views


def generator_of(seed: int, *names: str) -> torch.Generator:
    """A generator that follows from the seed and the names alone."""
    digest = hashlib.sha256("/".join((str(seed), *names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def target_of(truth: Truth) -> Target:
    normals, voxels = (None if array is None else torch.from_numpy(array) for array in (truth.normals, truth.voxels))
    places = inside = None
    about = truth.surroundings
    if about is not None and about.everywhere:
        places = torch.from_numpy(about.places[: about.everywhere])
        inside = torch.from_numpy(about.distances[: about.everywhere] < 0)
    return Target(torch.from_numpy(truth.points), normals, voxels, places, inside)


@dataclass(frozen=True)
class Seen:
    """What the network and the untrained feature make of each object's fixed view."""

    images: UInt8[Tensor, "Q 4 S S"]
    codes: Float[Tensor, "Q D"]
    thumbnails: Float[Tensor, "Q E"]
    shown: tuple[bool, ...]
    """False where the picture shows nothing."""
    viewpoints: tuple[tuple[float, float], ...]
    """Azimuth and elevation of each object's camera, radians; NaN where the data does not know them."""
    turns: Float[Tensor, "Q 3 3"] | None
    """From each object's frame to that of its viewer; None where the network predicts in the object's."""
    reads_codes: bool = False
    """Whether the network was given `codes`, which the data holds, in the place of pictures."""

    def given(self, chosen: slice) -> Float[Tensor, "B *rest"]:
        """What the network is given of some of the objects, on its device."""
        return self.codes[chosen] if self.reads_codes else self.images[chosen].to(self.codes.device) / 255

    def viewpoint(self, at: int) -> tuple[float, float]:
        """From where the camera looks in the frame that the network predicts in."""
        return self.viewpoints[at] if self.turns is None else (0.0, 0.0)


@torch.no_grad()
def look(
    model: SingleView,
    dataset: Dataset,
    entries: Sequence[Entry],
    advance: Callable[[int], object],
    *,
    frame: Frame = "object",
    altered: Callable[[Entry, Float[Tensor, "H W 4"]], Float[Tensor, "h w 4"]] = lambda entry, rgba: rgba,
    batch: int = 64,
) -> Seen:
    """The fixed views, cropped as in training, and their codes. A picture without an object goes in empty.

    A network that reads codes is given those of the data. `frame` is the one that the network predicts in. `altered`
    is done to each picture, straight RGBA in 0..1, before it is cropped.
    """
    size, device = model.picture_size, next(model.parameters()).device
    seen, codes, small, shown, viewpoints, turns = [], [], [], [], [], []
    for start in range(0, len(entries), batch):
        pictures, given = [], []
        for entry in entries[start : start + batch]:
            k = fixed_view(entry)
            view = dataset.view(entry, k)
            viewpoints.append((view.azimuth, view.elevation))
            if frame == "viewer":
                whose = f"view {k} of {entry.id} in {dataset.name}"
                turns.append(turn_of(view.azimuth, view.elevation, whose))
            if model.reads_codes:
                assert isinstance(dataset, HasCodes)
                given.append(torch.from_numpy(dataset.codes(entry)[k]))
            rgba = altered(entry, torch.from_numpy(view.rgba.astype(np.float32) / 255))
            shown.append(bool((rgba[..., 3] > 0.5).any()))
            cropped = crop_to_mask(rgba, size).rgba if shown[-1] else torch.zeros(size, size, 4)
            # Training pictures are kept in 8 bits after the crop, so these pass through 8 bits.
            pictures.append((cropped * 255 + 0.5).to(torch.uint8))
        seen.append(torch.stack(pictures).permute(0, 3, 1, 2))
        images = seen[-1].to(device) / 255
        codes.append(model.encode(torch.stack(given).to(device) if given else images).code)
        small.append(thumbnails(images))
        advance(len(pictures))
    rotations = torch.stack(turns) if turns else None
    return Seen(
        torch.cat(seen), torch.cat(codes), torch.cat(small), tuple(shown), tuple(viewpoints), rotations,
        model.reads_codes,
    )  # fmt: skip


@dataclass(frozen=True)
class Answers:
    """What the baselines answer. Without the training set there are at most mean shapes."""

    means: dict[str, MeanShape]
    dataset: Dataset | None = None
    """The training set, to read the answers from."""
    training: Pack | None = None
    """Its objects and views, which the indices below count."""
    retrieved: Retrieved | None = None
    oracle: Int[Tensor, " Q"] | None = None


@dataclass(frozen=True)
class Row:
    """One method's scores of one object."""

    entry: Entry
    method: str
    scores: Scores
    answer: str = ""
    """The training object that the method answered with, if it did."""

    @property
    def view(self) -> int:
        return fixed_view(self.entry)


@dataclass(frozen=True)
class Answer:
    """A baseline's shape."""

    surface: Shape
    cells: Bool[Tensor, "Z Y X"] | None
    """Its solid, which for a training object is not made from the surface."""
    name: str = ""
    """The training object, if it is one."""


Times = dict[str, list[float]]
"""Seconds an object, one number a batch, by what was done: `encode`, `decode points`, `mesh voxels`."""


@torch.no_grad()
def predict(
    model: SingleView, images: Float[Tensor, "B *rest"], times: Times, *, once: bool = False
) -> dict[str, list[Shape]]:
    """Every representation of each picture, or of each code in the place of one, on the CPU.

    `once`: of one look, as protocols want that take a cloud as the network gives it; else of all of `SingleView.look`.
    """
    device = next(model.parameters()).device
    with timed(times, "encode", len(images), device):
        looks = (Look(model.encode(images)),) if once else model.look(images)
    predicted: dict[str, list[Shape]] = {}
    for name in model.representations:
        with timed(times, f"decode {name}", len(images), device):
            predicted[name] = [to_cpu(shape) for shape in model.shapes_of_looks(looks, name)]
        if all(isinstance(shape, Voxels) for shape in predicted[name]):
            with timed(times, f"mesh {name}", len(images), device):
                for shape in predicted[name]:
                    to_mesh(shape)
    return predicted


@contextlib.contextmanager
def timed(times: Times, name: str, objects: int, device: torch.device) -> Iterator[None]:
    """Note how long the block takes an object; a GPU is waited for."""
    began = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    times.setdefault(name, []).append((time.perf_counter() - began) / objects)


def score_objects(
    model: SingleView,
    dataset: Dataset,
    entries: Sequence[Entry],
    seen: Seen,
    answers: Answers,
    protocol: Protocol,
    seed: int,
    advance: Callable[[int], object],
    times: Times,
) -> Iterator[Row]:
    """One row per object and method, object by object. Only 32 objects' predictions are held at a time."""
    surfaces = {name: mean.surface() for name, mean in answers.means.items()}
    for start in range(0, len(entries), 32):
        once = protocol.clouds == "as they are" or protocol.drawn == "all vertices"
        predicted = predict(model, seen.given(slice(start, start + 32)), times, once=once)
        for at, entry in enumerate(entries[start : start + 32], start):
            turn = None if seen.turns is None else seen.turns[at]
            target = target_of(truth_seen(dataset, entry, turn))
            shown = seen.shown[at]
            for name, shapes in predicted.items():
                shape = shapes[at - start]
                generator = generator_of(seed, entry.id, name)
                if shown:
                    scores = score(protocol, shape, target, generator=generator)
                else:
                    scores = no_scores(protocol, shape, target, NOTHING_SHOWN)
                yield Row(entry, name, scores)
            generator = generator_of(seed, entry.id, "ceiling")
            yield Row(entry, "ceiling", ceiling(protocol, target, generator=generator))
            if target.voxels is not None and "voxels" in model.representations:
                voxels = Voxels(target.voxels.float(), torch.eye(4))
                generator = generator_of(seed, entry.id, "ceiling_voxels")
                # Without the target's voxels: their IoU with themselves says nothing.
                surface_only = replace(target, voxels=None)
                yield Row(entry, "ceiling_voxels", score(protocol, voxels, surface_only, generator=generator))
            if entry.category in answers.means:
                mean = answers.means[entry.category]
                answer = turned(Answer(surfaces[entry.category], mean.occupancy > mean.level), turn)
                yield answer_row(entry, "mean_shape", answer, target, protocol, seed)
            if answers.retrieved is not None:
                for name, view in answers.retrieved.by_feature().items():
                    answer = training_view(answers, int(view[at]), in_its_frame=turn is not None) if shown else None
                    yield answer_row(entry, name, answer, target, protocol, seed)
            if answers.oracle is not None:
                answer = turned(training_object(answers, int(answers.oracle[at])), turn)
                yield answer_row(entry, "oracle", answer, target, protocol, seed)
            advance(1)


def truth_seen(dataset: Dataset, entry: Entry, turn: Float[Tensor, "3 3"] | None) -> Truth:
    """An object's truth in the frame that the network predicts in."""
    truth = dataset.truth(entry)
    return truth if turn is None else turned_truth(truth, turn)


def turned(answer: Answer, turn: Float[Tensor, "3 3"] | None) -> Answer:
    if turn is None:
        return answer
    assert isinstance(answer.surface, Mesh | PointCloud)
    cells = None if answer.cells is None else turned_cells(answer.cells, turn)
    return replace(answer, surface=turned_surface(answer.surface, turn), cells=cells)


def training_view(answers: Answers, view: int, *, in_its_frame: bool) -> Answer:
    """The object of a training view, as that view's camera sees it if that is asked for."""
    training = answers.training
    assert training is not None
    answer = training_object(answers, int(np.searchsorted(training.first_view, view, side="right")) - 1)
    if not in_its_frame:
        return answer
    azimuth, elevation = training.cameras[view, :2].tolist()
    return turned(answer, turn_of(azimuth, elevation, f"a training view of {answer.name}"))


def training_object(answers: Answers, index: int) -> Answer:
    assert answers.dataset is not None and answers.training is not None
    entry = answers.training.entries[index]
    target = target_of(answers.dataset.truth(entry))
    return Answer(PointCloud(target.points, normals=target.normals), target.voxels, entry.id)


def answer_row(entry: Entry, method: str, answer: Answer | None, target: Target, protocol: Protocol, seed: int) -> Row:
    """A baseline's scores. Points of a training object stand for its surface: as many are taken as of a surface."""
    if answer is None:
        cells = None if target.voxels is None else Voxels(target.voxels.float(), torch.eye(4))
        return Row(entry, method, no_scores(protocol, cells or PointCloud(target.points), target, NOTHING_SHOWN))
    generator = generator_of(seed, entry.id, method)
    surface = answer.surface
    if isinstance(surface, PointCloud):
        surface = sample(surface, min(protocol.points, len(surface.points)), generator=generator)
    scores = score(protocol, surface, target, generator=generator)
    cells, truth = answer.cells, target.voxels
    if protocol.voxel_iou and cells is not None and truth is not None and not scores.failure:
        iou = iou_of_cells(Voxels(cells.float(), torch.eye(4)), truth)
        assert iou is not None
        scores = replace(scores, values=scores.values | {"iou": iou})
    return Row(entry, method, scores, answer.name)


def to_cpu(shape: Shape) -> Shape:
    match shape:
        case Mesh(vertices, faces):
            return Mesh(vertices.cpu(), faces.cpu())
        case PointCloud(points):
            return PointCloud(points.cpu())
        case Voxels(occupancy, world_from_grid):
            return Voxels(occupancy.cpu(), world_from_grid.cpu())
