"""Train a single-view network: read `learn` from top to bottom.

Every batch follows from (seed, step), so a run that is killed and resumed goes through the same losses as one that
is not, and so do several processes that share each batch. A run folder holds config.json, model.safetensors,
metrics.jsonl, state.safetensors, pictures/ and tensorboard/.
"""

import copy
import math
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import torch
import tyro
from torch import Tensor

from maquette.data.augment import Augmentation
from maquette.data.batches import WHOLE, objects_at, training_batch
from maquette.data.dataset import open_dataset
from maquette.data.entries import splits
from maquette.data.pack import Pack, pack
from maquette.data.targets import Targets
from maquette.fitting.descent import FusedAdam
from maquette.io.atomic import write_json
from maquette.models import (
    AtlasConfig,
    MeshConfig,
    MultiHeadConfig,
    OccupancyConfig,
    PointsConfig,
    PrecomputedCodes,
    SingleView,
    VoxelsConfig,
    build,
    load_run,
    save_model,
    total_loss,
)
from maquette.models.network import shares
from maquette.models.runs import misfit, part_of, saved_settings
from maquette.settings import to_json
from maquette.train.failures import failed, not_finite, save_batch, telling_of_memory
from maquette.train.loader import ahead
from maquette.train.log import main_log
from maquette.train.processes import Learner, Precision, in_turns, means_of, parts_of, processes
from maquette.train.schedule import Schedule, follow, learning_rate
from maquette.train.state import STATE, cut_metrics, load_state, save_state
from maquette.train.validation import draw, validate
from maquette.version import __version__

if TYPE_CHECKING:
    from accelerate import Accelerator

NamedModel = (
    Annotated[VoxelsConfig, tyro.conf.subcommand("voxels")]
    | Annotated[PointsConfig, tyro.conf.subcommand("points")]
    | Annotated[MeshConfig, tyro.conf.subcommand("mesh")]
    | Annotated[AtlasConfig, tyro.conf.subcommand("atlas")]
    | Annotated[OccupancyConfig, tyro.conf.subcommand("occupancy")]
    | Annotated[MultiHeadConfig, tyro.conf.subcommand("multihead")]
)
"""`ModelConfig` under the names that the command line gives its members: model:voxels and so on."""


@dataclass(frozen=True)
class TrainConfig:
    """Train a single-view network on a data set made by `maquette prepare`.

    `--preset NAME` begins from the settings of a report of the course, such as cmu2025-points (see docs/models.md).
    """

    out: Path
    """Run folder; must not exist, unless `resume`."""
    data: Path
    """Data set: a folder made by `maquette prepare`, or one in the R2N2/ShapeNet layout. Its split 'train' is learnt
    from, or all of it where nobody has split it."""
    model: NamedModel = PointsConfig()
    start: Literal["bundled"] | Path | None = None
    """Run to begin from, or `bundled`, the network that comes with Maquette: its weights where names and shapes agree,
    random ones elsewhere. What it lacks is told."""
    take: Literal["all", "encoder"] = "all"
    """Of `start`; with 'encoder' only what the pictures go through and the camera's head, so that every head begins
    with random weights."""
    learn: Literal["all", "decoders"] = "all"
    """What learns; with 'decoders' the encoder stays as it is, which makes sense after `start`."""
    steps: int = 10_000
    """Optimiser steps."""
    batch: int = 64
    """Objects a step, one random view each; of all processes together."""
    accumulate: int = 1
    """Parts that a process works through its share of a batch in; more need less memory and take longer."""
    lr: float = 1e-3
    """Peak learning rate of Adam."""
    schedule: Schedule = "cosine"
    """Of the learning rate, after the warm-up."""
    warmup: int = 200
    """Steps over which the learning rate rises from 0."""
    clip: float | None = None
    """Largest norm of all gradients together; longer ones are shortened to it."""
    ema: float | None = None
    """Decay of a moving average of the weights, 0.999 for one; it is then what is validated and saved as the model."""
    precision: Precision = "no"
    """Mixed precision of the encoder: no, bf16, fp16 (CUDA only). Decoders and losses are in single precision."""
    sync_norm: bool = False
    """Batch normalisation over all processes (CUDA only) instead of over each one's part."""
    augment: Augmentation = Augmentation()
    """How pictures are varied, and the frame of what is learnt."""
    seed: int = 0
    device: str = "cpu"
    """A torch device: cpu, cuda, cuda:1, mps. Of several processes, started by `torchrun`, each takes its own GPU."""
    resume: bool = False
    """Go on from the last checkpoint in `out`, or from the start if it has none yet; losses are as without the stop."""
    allow_missing: bool = False
    """Train although objects are missing or cannot be read; they are named and counted, and left out."""
    save_every: int = 500
    """Steps between checkpoints; the last step is always saved."""
    validate_every: int = 1000
    """Steps between validations, with pictures of a few validation objects."""
    workers: int | None = None
    """Processes that pack the data before the first step; all cores unless told."""
    loaders: int = 1
    """Threads of each process that make batches ahead of the step; 0: they are made when they are needed."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate", "save_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"train: {name} is {getattr(self, name)}; give at least 1")
        for name in ("warmup", "loaders"):
            if getattr(self, name) < 0:
                raise ValueError(f"train: {name} is {getattr(self, name)}; give 0 or more")
        for name, value in (("lr", self.lr), ("clip", self.clip)):
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ValueError(f"train: {name} is {value}; give a positive number")
        if self.sync_norm and getattr(self.model.encoder, "norm", None) == "frozen":
            raise ValueError(
                "train: sync_norm takes statistics over all processes, and norm frozen has those of published weights; "
                "leave one of them out"
            )
        if self.take == "encoder" and self.start is None:
            raise ValueError("train: take says what is taken of start; give --start RUN, or --start bundled")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"train: ema is {self.ema}; give a decay between 0 and 1, as 0.999")


def train(config: TrainConfig) -> None:
    """Run the whole training, as one process or as one of those that `torchrun` has started."""
    with processes(config.device, config.precision, config.accumulate) as team, telling_of_memory(advice(config)):
        learn(config, team)


def learn(config: TrainConfig, team: "Accelerator") -> None:
    """The training of one process of a team; KeyboardInterrupt leaves a checkpoint to resume from."""
    from maquette.console import TrainingConsole

    parts = parts_of(config.batch, team, config.accumulate)
    if team.is_main_process:
        prepare_folder(config)
    data, validation = packs(config, team)

    torch.manual_seed(config.seed)
    model = begun(config, team).to(team.device)
    if config.sync_norm:
        model = synchronised(model, team.device)
    average = None if config.ema is None else copy.deepcopy(model).requires_grad_(False)
    result = model if average is None else average  # what is validated and saved
    modules = {"model": model} | ({} if average is None else {"average": average})
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adam = FusedAdam(learning, lr=config.lr, fused=team.device.type in ("cpu", "cuda"))
    stopped = config.resume and (config.out / STATE).is_file()
    start = load_state(config.out, modules, adam, team.scaler) if stopped else 0
    check_together(team, start)
    learner, optimizer = team.prepare(Learner(model).train(), adam)

    settings = {"maquette": __version__, "train": to_json(config)}
    if team.is_main_process:
        cut_metrics(config.out, start)
        # Before the first step, so that a run killed before its first checkpoint can be resumed, too.
        write_json(config.out / "config.json", settings | {"model": to_json(config.model), "step": start})
        console = TrainingConsole(config, data, validation, model, start)
        logging = main_log(config.out, config.batch, start, console)
    else:
        logging = nullcontext()

    def draw_batch(step: int, part: slice = WHOLE) -> tuple[Tensor, Targets]:
        return training_batch(data, config.batch, config.seed, step, part=part, augmentation=config.augment)

    def batch_of(step: int) -> list[tuple[Tensor, Targets]]:
        made = [draw_batch(step, part) for part in parts]
        pin = team.device.type == "cuda"
        return [(images.pin_memory(), targets.pinned()) for images, targets in made] if pin else made

    step = start
    with logging as log, ahead(batch_of, range(start, config.steps), config.loaders) as batches:
        try:
            for step, batch in batches:
                lr = learning_rate(config.lr, config.schedule, config.warmup, config.steps, step)
                for group in optimizer.param_groups:
                    group["lr"] = lr
                found = []
                for images, targets in batch:
                    with team.accumulate(learner):
                        found.append(learner(images.to(team.device, non_blocking=True), targets.to(team.device)))
                        team.backward(total_loss(found[-1]))
                norm = team.clip_grad_norm_(learning, config.clip or math.inf)
                assert norm is not None  # but under DeepSpeed, which is not used
                terms = means_of(team, found) | {"gradient": float(norm)}
                # Half precision overflows now and then; its scaler then skips the step and lowers the scale.
                if not_finite({**terms, "gradient": 0.0} if team.scaler else terms):
                    if log is not None:
                        objects = objects_at(len(data.entries), config.batch, config.seed, step)
                        whole = draw_batch(step)
                        save_batch(config.out, data, objects.tolist(), whole, step, terms)
                    raise failed(step, terms, config.out)
                optimizer.step()
                optimizer.zero_grad()
                if config.ema is not None:
                    follow(result, model, config.ema, step)

                if log is None:
                    continue
                log.step(step, terms, {"lr": lr})
                last = step + 1 == config.steps
                if validation is not None and ((step + 1) % config.validate_every == 0 or last):
                    sheet = draw(result, validation, team.device, config.out, step, augmentation=config.augment)
                    log.validation(step, validate(result, validation, team.device, config.augment), sheet)
                    model.train()
                if (step + 1) % config.save_every == 0 or last:
                    log.flush()
                    # The state last: killed between the two, the run goes on from the one before and saves both again.
                    save_model(result, config.out, settings | {"step": step + 1})
                    save_state(config.out, modules, adam, team.scaler, step + 1)
        except KeyboardInterrupt:
            # The step in hand may be half done; it is done again when the run is resumed.
            if log is not None:
                log.say(f"stopped in step {step}; the last checkpoint is in {config.out}; go on with --resume")
            raise


def begun(config: TrainConfig, team: "Accelerator") -> SingleView:
    """The network before its first step."""
    model = build(config.model)
    if config.start is not None:
        begin_from(model, config, tell=team.is_main_process)
    if config.learn == "decoders":
        model.freeze_encoder()
    for name, share in shares(config.model).items():
        if share == 0 and name in model.decoders:
            # What learns nothing has no gradient to share with other processes.
            model.decoders[name].requires_grad_(False)
    return model


def begin_from(model: SingleView, config: TrainConfig, *, tell: bool) -> None:
    """Take from the run `config.start` what `config.take` wants of it and the model has; `tell` says what stays random.

    An encoder that fits in part only is nothing to leave as it is.
    """
    begun, own = load_run(None if config.start == "bundled" else config.start).model.state_dict(), model.state_dict()
    wanted = ("",) if config.take == "all" else ("encoder.", "viewpoint_decoder.")
    taken = {
        name: value
        for name, value in begun.items()
        if name in own and own[name].shape == value.shape and name.startswith(wanted)
    }
    encoder = {name for name in own if name.startswith("encoder.")}
    if encoder and not encoder & taken.keys():
        raise ValueError(f"train: {config.start} has no weights for this encoder; give a run with the same one")
    if config.learn == "decoders" and encoder - taken.keys():
        part = {name: value for name, value in own.items() if name in encoder}
        differs = misfit(part, {name: value for name, value in begun.items() if name.startswith("encoder.")})
        raise ValueError(
            f"train: the encoder is not to learn, and {config.start} has not all of it: {differs}; give a run with the "
            "same encoder, or --learn all"
        )
    model.load_state_dict(own | taken)
    if tell:
        left = dict.fromkeys(part_of(name) for name in own if name not in taken)
        rest = f"; random: {', '.join(left)}" if left else ""
        print(f"{len(taken)} of {len(own)} tensors begin as in {config.start}{rest}", file=sys.stderr)


def packs(config: TrainConfig, team: "Accelerator") -> tuple[Pack, Pack | None]:
    """Those of `make_packs`, made by one process and read by all."""
    made = None
    for mine in in_turns(team):
        if mine:
            made = make_packs(config)
    assert made is not None  # every process has its turn
    return made


def make_packs(config: TrainConfig) -> tuple[Pack, Pack | None]:
    """What is learnt from, and the split 'val', or None for data without one."""
    from maquette.console import packing_progress

    size, split = config.model.encoder.picture_size, training_split(config.data)
    codes = isinstance(config.model.encoder, PrecomputedCodes)
    take = partial(
        pack, config.data, size=size, workers=config.workers, allow_missing=config.allow_missing, codes=codes
    )
    with packing_progress(split) as report:
        data = take(split=split, progress=report)
    return data, take(split="val") if "val" in splits(open_dataset(config.data).entries) else None


def synchronised(model: SingleView, device: torch.device) -> SingleView:
    """With the statistics of batch normalisation over all processes."""
    if device.type != "cuda":
        raise ValueError(f"train: sync_norm needs CUDA devices, not {device.type}; give --model.encoder.norm group")
    return cast(SingleView, torch.nn.SyncBatchNorm.convert_sync_batchnorm(model))


def check_together(team: "Accelerator", start: int) -> None:
    """All processes go on from the same step, which they read from the run folder."""
    starts = team.gather(torch.tensor([start], device=team.device))
    assert isinstance(starts, Tensor)
    if len(set(starts.tolist())) > 1:
        raise ValueError(
            f"train: processes found checkpoints after steps {sorted(set(starts.tolist()))}; "
            "give an --out that all machines share"
        )


def advice(config: TrainConfig) -> str:
    """What needs less memory."""
    return (
        f"raise --accumulate (now {config.accumulate}), or lower --batch (now {config.batch}) or "
        f"--model.encoder.picture-size (now {config.model.encoder.picture_size}), or give --precision bf16"
    )


def prepare_folder(config: TrainConfig) -> None:
    if config.resume:
        if not (config.out / "config.json").is_file():
            raise FileNotFoundError(f"{config.out}: no run to resume; leave --resume out to begin one")
        check_resumed(config)
    elif config.out.exists() and any(config.out.iterdir()):
        raise FileExistsError(f"{config.out}: exists; give --resume to go on with it, or another folder")
    config.out.mkdir(parents=True, exist_ok=True)


STEERING = ("out", "steps", "accumulate", "resume", "device", "workers", "loaders", "save_every", "validate_every")
"""Settings that may differ when a run is resumed. Other steps (by the cosine), parts (by batch norms) or another
device change the losses that follow, which are then not those of a run that was never stopped."""


def check_resumed(config: TrainConfig) -> None:
    """A resumed run must have been begun with the same settings, or its losses would not be those of one run."""
    saved = saved_settings(config.out / "config.json").get("train", {})
    # A setting that the run does not know came after it: what it did is the default's doing.
    begun = to_json(TrainConfig(data=config.data, out=config.out)) | saved
    for name, value in to_json(config).items():
        if name not in STEERING and begun[name] != value:
            raise ValueError(f"train: {config.out} was begun with {name} {begun[name]}, not {value}; give it as it was")


def training_split(data: Path) -> str:
    """'train', or 'all' for data that nobody has split; then scores on the same data are those of known objects."""
    return "all" if splits(open_dataset(data).entries) == {"all"} else "train"
