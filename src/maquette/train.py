"""Train a single-view network: read `train` from top to bottom.

Every batch follows from (seed, step), so a run that is killed and resumed goes through the same losses as one that
is not. A run folder holds config.json, model.safetensors, metrics.jsonl, state.safetensors, pictures/ and tensorboard/.
"""

import json
import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette.checkpoints import load_checkpoint, restore_moments, save_checkpoint
from maquette.data.batches import fixed_batch, training_batch
from maquette.data.dataset import open_dataset
from maquette.data.pack import Pack, pack
from maquette.io.atomic import write_json, write_text
from maquette.models import (
    MeshConfig,
    OccupancyConfig,
    PointsConfig,
    SingleView,
    TrioConfig,
    VoxelsConfig,
    build,
    save_model,
    total_loss,
)
from maquette.settings import to_json
from maquette.version import __version__

NamedModel = (
    Annotated[VoxelsConfig, tyro.conf.subcommand("voxels")]
    | Annotated[PointsConfig, tyro.conf.subcommand("points")]
    | Annotated[MeshConfig, tyro.conf.subcommand("mesh")]
    | Annotated[OccupancyConfig, tyro.conf.subcommand("occupancy")]
    | Annotated[TrioConfig, tyro.conf.subcommand("trio")]
)
"""`ModelConfig` under the names that the command line gives its members: model:voxels and so on."""


@dataclass(frozen=True)
class TrainConfig:
    """Train a single-view network on a data set made by `maquette prepare`."""

    out: Path
    """Run folder; must not exist, unless `resume`."""
    data: Path
    """Data set: a folder made by `maquette prepare`, or one in the R2N2/ShapeNet layout. Its split 'train' is learnt
    from, or all of it where nobody has split it."""
    model: NamedModel = PointsConfig()
    steps: int = 10_000
    """Optimiser steps."""
    batch: int = 64
    """Objects a step, one random view each."""
    lr: float = 1e-3
    """Peak learning rate of Adam."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Of the learning rate, after 200 steps of warm-up."""
    seed: int = 0
    device: str = "cpu"
    """A torch device: cpu, cuda, cuda:1, mps."""
    resume: bool = False
    """Go on from the last checkpoint in `out`, or from the start if it has none yet; losses are as without the stop."""
    save_every: int = 500
    """Steps between checkpoints; the last step is always saved."""
    validate_every: int = 1000
    """Steps between validations, with pictures of a few validation objects."""
    workers: int | None = None
    """Processes that pack the data before the first step; all cores unless told."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"train: {name} is {getattr(self, name)}; give at least 1")
        if not self.lr > 0:
            raise ValueError(f"train: lr is {self.lr}; give a positive number")


WARMUP = 200
"""Steps over which the learning rate rises from 0."""
VALIDATION_VIEWS = 256
PICTURED = 6
"""Validation objects in the pictures."""


def train(config: TrainConfig) -> None:
    """Run the whole training; KeyboardInterrupt leaves a checkpoint to resume from."""
    from torch.utils.tensorboard import SummaryWriter

    from maquette.console import TrainingConsole, packing_progress

    device = checked_device(config.device)
    prepare_folder(config)
    split = training_split(config.data)
    with packing_progress(split) as report:
        data = pack(config.data, split, config.model.encoder.picture_size, workers=config.workers, progress=report)
    validation = validation_pack(config)

    torch.manual_seed(config.seed)
    model = build(config.model).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=device.type in ("cpu", "cuda"))
    stopped = config.resume and (config.out / "state.safetensors").is_file()
    start = load_state(config.out, model, optimizer) if stopped else 0
    cut_metrics(config.out, start)
    settings = {"maquette": __version__, "train": to_json(config)}
    # Before the first step, so that a run killed before its first checkpoint can be resumed, too.
    write_json(config.out / "config.json", settings | {"model": to_json(config.model), "step": start})
    rate = Rate(config.batch)
    with (
        TrainingConsole(config, data, validation, model, start) as console,
        open(config.out / "metrics.jsonl", "a") as metrics,
        SummaryWriter(str(config.out / "tensorboard"), purge_step=start) as board,
    ):
        step = start
        try:
            for step in range(start, config.steps):
                lr = learning_rate(config, step)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                images, targets = training_batch(data, config.batch, config.seed, step)
                terms = model.train().losses(images.to(device), targets.to(device))
                loss = total_loss(terms)
                check_finite(loss, terms, step)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

                line = {"step": step, "loss": loss.item()} | {name: term.item() for name, term in terms.items()}
                metrics.write(json.dumps(line | {"lr": lr, "images_per_s": round(rate.tick(), 1)}) + "\n")
                console.step(line, rate.value)
                if step % 20 == 0:
                    for name, value in line.items():
                        board.add_scalar(f"train/{name}", value, step)
                last = step + 1 == config.steps
                if validation is not None and ((step + 1) % config.validate_every == 0 or last):
                    terms = validate(model, validation, device)
                    metrics.write(json.dumps({"step": step, "validation": terms}) + "\n")
                    console.validation(step, terms)
                    for name, value in terms.items():
                        board.add_scalar(f"validation/{name}", value, step)
                    board.add_image("validation", draw(model, validation, device, config.out, step), step)
                if (step + 1) % config.save_every == 0 or last:
                    metrics.flush()
                    save_state(config.out, model, optimizer, step + 1)
                    save_model(model, config.out, settings | {"step": step + 1})
        except KeyboardInterrupt:
            # The step in hand may be half done; it is done again when the run is resumed.
            console.say(f"stopped in step {step}; the last checkpoint is in {config.out}; go on with --resume")
            raise


def learning_rate(config: TrainConfig, step: int) -> float:
    warm = min(1.0, (step + 1) / WARMUP)
    if config.schedule == "constant":
        return config.lr * warm
    return config.lr * warm * 0.5 * (1 + math.cos(math.pi * step / config.steps))


def checked_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"train: device {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device


def prepare_folder(config: TrainConfig) -> None:
    if config.resume:
        if not (config.out / "config.json").is_file():
            raise FileNotFoundError(f"{config.out}: no run to resume; leave --resume out to begin one")
        check_resumed(config)
    elif config.out.exists() and any(config.out.iterdir()):
        raise FileExistsError(f"{config.out}: exists; give --resume to go on with it, or another folder")
    config.out.mkdir(parents=True, exist_ok=True)


STEERING = ("out", "steps", "resume", "device", "workers", "save_every", "validate_every")
"""Settings that may differ when a run is resumed: the losses up to then do not follow from them."""


def check_resumed(config: TrainConfig) -> None:
    """A resumed run must have been begun with the same settings, or its losses would not be those of one run."""
    saved = json.loads((config.out / "config.json").read_text()).get("train", {})
    for name, value in to_json(config).items():
        if name not in STEERING and saved.get(name) != value:
            raise ValueError(
                f"train: {config.out} was begun with {name} {saved.get(name)}, not {value}; give it as it was"
            )


def training_split(data: Path) -> str:
    """'train', or 'all' for data that nobody has split; then scores on the same data are those of known objects."""
    return "all" if {entry.split for entry in open_dataset(data).entries} == {"all"} else "train"


def validation_pack(config: TrainConfig) -> Pack | None:
    """The split 'val', or None for data without one."""
    if not any(entry.split == "val" for entry in open_dataset(config.data).entries):
        return None
    return pack(config.data, "val", config.model.encoder.picture_size, workers=config.workers)


def check_finite(loss: Float[Tensor, ""], terms: dict[str, Float[Tensor, ""]], step: int) -> None:
    if not bool(torch.isfinite(loss)):
        bad = [f"{name} = {term.item()}" for name, term in terms.items() if not bool(torch.isfinite(term))]
        raise FloatingPointError(f"train: loss is not finite in step {step} ({', '.join(bad)}); try a lower --lr")


class Rate:
    """Images a second, over the last 50 steps."""

    def __init__(self, batch: int):
        self.batch = batch
        self.times: deque[float] = deque([time.perf_counter()], maxlen=51)
        self.value = 0.0

    def tick(self) -> float:
        self.times.append(time.perf_counter())
        self.value = self.batch * (len(self.times) - 1) / max(self.times[-1] - self.times[0], 1e-9)
        return self.value


# ----------------------------------------------------------------------------------------------------------- validation


def validation_views(data: Pack) -> np.ndarray:
    """One fixed view an object: its place in the list says which."""
    counts = np.diff(data.first_view)
    views = data.first_view[:-1] + np.arange(len(counts)) % counts
    # Spread over the split, so that every category has its share.
    return views[np.linspace(0, len(views) - 1, min(len(views), VALIDATION_VIEWS)).astype(int)]


def _chunks(views: np.ndarray, size: int = 64) -> Iterator[np.ndarray]:
    for start in range(0, len(views), size):
        yield views[start : start + size]


@torch.no_grad()
def validate(model: SingleView, data: Pack, device: torch.device) -> dict[str, float]:
    """Mean loss terms over fixed views of the validation split."""
    model.eval()
    views = validation_views(data)
    total: dict[str, float] = {}
    for chunk in _chunks(views):
        images, targets = fixed_batch(data, chunk)
        for name, term in model.losses(images.to(device), targets.to(device)).items():
            total[name] = total.get(name, 0.0) + term.item() * len(chunk) / len(views)
    return total


@torch.no_grad()
def draw(model: SingleView, data: Pack, device: torch.device, out: Path, step: int) -> Float[Tensor, "3 H W"]:
    """A sheet of a few validation objects: the picture, every representation from the same azimuth, the truth."""
    from maquette.camera import orbit
    from maquette.io.pictures import write_picture
    from maquette.rendering import render
    from maquette.shapes import Mesh, PointCloud, Voxels, to_mesh

    model.eval()
    views = validation_views(data)
    views = views[np.linspace(0, len(views) - 1, min(PICTURED, len(views))).astype(int)]
    images, targets = fixed_batch(data, views)
    features = model.encode(images.to(device))
    shapes = [model.shapes(features, name) for name in model.representations]
    side = 128
    rows = []
    for i in range(len(views)):
        camera = orbit(
            targets.azimuth[i], targets.elevation[i], torch.tensor(1.9), focal=1.55 * side, size=(side, side)
        )
        picture = torch.nn.functional.interpolate(images[i : i + 1], (side, side))[0].permute(1, 2, 0)
        cells = [picture[..., :3] * picture[..., 3:] + 1 - picture[..., 3:]]
        solids = [predicted[i] for predicted in shapes] + [PointCloud(targets.points[i])]
        for solid in solids:
            solid = _on_cpu(solid)
            surface = to_mesh(solid) if isinstance(solid, Voxels) else solid
            if isinstance(surface, Mesh) and len(surface.faces) == 0:
                # An untrained network may predict an empty grid; an empty picture says so.
                cells.append(torch.ones(side, side, 3))
            else:
                cells.append(render(surface, camera, smooth=True, radius=0.012).rgb)
        rows.append(torch.cat(cells, 1))
    sheet = torch.cat(rows, 0)
    write_picture(sheet, out / "pictures" / f"step-{step + 1:06d}.png")
    return sheet.permute(2, 0, 1)


def _on_cpu(shape):
    from dataclasses import replace

    moved = {name: value.cpu() for name, value in vars(shape).items() if isinstance(value, Tensor)}
    return replace(shape, **moved)


# ---------------------------------------------------------------------------------------------------------- checkpoints


def save_state(out: Path, model: SingleView, optimizer: torch.optim.Optimizer, step: int) -> None:
    save_checkpoint(out / "state.safetensors", model.state_dict(), optimizer, step)


def load_state(out: Path, model: SingleView, optimizer: torch.optim.Optimizer) -> int:
    """Fill model and optimizer from the checkpoint; returns the number of steps done."""
    path = out / "state.safetensors"
    checkpoint = load_checkpoint(path)
    saved, wanted = checkpoint.tensors, model.state_dict()
    wrong = [name for name in wanted if name not in saved or saved[name].shape != wanted[name].shape]
    if wrong or len(saved) != len(wanted):
        raise ValueError(
            f"{path}: checkpoint of another network ({len(wrong)} tensors do not fit); give the same model"
        )
    model.load_state_dict(saved)
    restore_moments(optimizer, model.parameters(), checkpoint)
    return checkpoint.step


def cut_metrics(out: Path, step: int) -> None:
    """Drop the lines of steps at or after `step`: they were written after the checkpoint and will be written again."""
    path = out / "metrics.jsonl"
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except json.JSONDecodeError:
            # A line cut short by a kill is of a step after the checkpoint.
            continue
    write_text(path, "".join(f"{line}\n" for line in kept))
