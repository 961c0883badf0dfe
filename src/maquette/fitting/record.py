"""The folder of a fit: config.json, metrics.jsonl, frames/ and moulding.gif, curves.png, state.safetensors, the result.

    with Record(out, config, total) as record:
        for step in fit(objective, optimizer, total, start=record.start):
            record.step(step, {"offsets": offsets}, optimizer)

A fit that ends early, by Ctrl-C or by a loss that is not finite, leaves the last good state to be resumed from.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.checkpoints import Checkpoint, load_checkpoint, restore_moments, snapshot, write_snapshot
from maquette.fitting.loop import Step
from maquette.io import save_video
from maquette.io.atomic import atomic_path, write_json, write_text
from maquette.settings import to_json

SAVE_EVERY = 20.0
"""Seconds between checkpoints."""
FILMED = 40
"""Frames of the moulding; more of them early, when more happens."""
STATE = "state.safetensors"


class Record:
    """What a fit leaves behind, kept while it runs."""

    def __init__(self, out: Path, settings: dict, total: int, *, resume: bool = False, force: bool = False):
        """Begin in a folder that is new, or begun with the same `settings` if `resume`, or any other with `force`."""
        self.out, self.settings, self.total = out, settings, total
        self.checkpoint: Checkpoint | None = None
        if resume:
            self._check_resumed()
            self.checkpoint = load_checkpoint(out / STATE) if (out / STATE).is_file() else None
        elif out.exists() and (not out.is_dir() or any(out.iterdir())) and not force:
            raise FileExistsError(f"{out}: exists; give another --out, --resume to go on with it, or --force")
        self.start = 0 if self.checkpoint is None else self.checkpoint.step
        self.film_at = film_steps(total)
        self.proven: tuple[dict[str, Tensor], int] | None = None
        self.newest: tuple[dict[str, Tensor], int] | None = None
        self.saved = self.told = time.monotonic()

    def _check_resumed(self) -> None:
        path = self.out / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"{self.out}: no fit to resume; leave --resume out to begin one")
        saved = json.loads(path.read_text())
        for name, value in json.loads(json.dumps(self.settings)).items():
            if saved.get(name) != value:
                raise ValueError(
                    f"fit: {self.out} was begun with {name} {saved.get(name)!r}, not {value!r}; give it as it was"
                )

    def __enter__(self) -> "Record":
        from maquette.console import bar

        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "frames").mkdir(exist_ok=True)
        for left in (self.out / "frames").glob("*.png"):
            if self.checkpoint is None or left.name.startswith("."):  # half a frame, left by a kill
                left.unlink()
        if self.checkpoint is None:
            # Results of an earlier fit must not stand beside the settings of this one.
            for old in (STATE, "results.json", "cameras.json", "moulding.gif", "curves.png"):
                (self.out / old).unlink(missing_ok=True)
            for old in self.out.glob("result.*"):
                old.unlink()
            write_json(self.out / "config.json", self.settings)
        self._cut_metrics()
        self.metrics = open(self.out / "metrics.jsonl", "a", encoding="utf-8")
        self.progress = bar()
        self.progress.start()
        self.task = self.progress.add_task("fitting", total=self.total, completed=self.start, note="")
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _) -> None:
        self.progress.stop()
        self.metrics.close()
        # A loss that is not finite accuses the state it was computed from.
        left = self.proven if isinstance(error, FloatingPointError) or self._frame_is_due() else self.newest
        if isinstance(error, KeyboardInterrupt | FloatingPointError) and left is not None:
            write_snapshot(self.out / STATE, *left)
            where = f"the state after {left[1]} steps is in {self.out}"
            if isinstance(error, FloatingPointError):
                raise FloatingPointError(f"{error}; {where}") from error
            self.progress.console.print(f"stopped; {where}; go on with --resume", soft_wrap=True)

    def restore(self, state: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Bring the tensors and the optimiser over the leaves among them to where the stopped fit was, if there is one.

        The parameters of the optimiser must be the tensors of `state` that require gradients, in their order. Where
        they begin is the first state to be kept: a fit whose first step is its last has it to go back to.
        """
        if self.checkpoint is not None:
            with torch.no_grad():
                for name, tensor in state.items():
                    tensor.copy_(self.checkpoint.tensors[name])
            parameters = [tensor for group in optimizer.param_groups for tensor in group["params"]]
            restore_moments(optimizer, parameters, self.checkpoint)
        self.newest = (snapshot(state, optimizer), self.start)

    def _cut_metrics(self) -> None:
        """Drop lines of steps that will be taken again, and one cut short by a kill."""
        path = self.out / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.is_file() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] < self.start]
        write_text(path, "".join(f"{line}\n" for line in kept))

    def step(self, step: Step, state: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
        """Note a step that was taken; `state` holds every tensor that a resumed fit needs, as it is after it."""
        self.metrics.write(json.dumps({"step": step.index, "loss": step.loss} | step.terms) + "\n")
        now = time.monotonic()
        if now - self.told > 0.1 or step.index + 1 == self.total:
            self.told = now
            self.progress.update(self.task, completed=step.index + 1, note=_note(step))
        # The loss of a step proves the state before it; the one it leaves behind is proven by the next.
        self.proven, self.newest = self.newest, (snapshot(state, optimizer), step.index + 1)
        if now - self.saved > SAVE_EVERY and self.proven is not None:
            # The state before this step: its frame lies in the folder, that of this step does not yet.
            self.saved = now
            self.metrics.flush()
            write_snapshot(self.out / STATE, *self.proven)

    def _frame_is_due(self) -> bool:
        """The newest step is to be shown in the film and is not there: a resumed fit must take it again."""
        index = -1 if self.newest is None else self.newest[1] - 1
        return index in self.film_at and not (self.out / "frames" / f"{index:06d}.png").exists()

    def films(self, step: Step) -> bool:
        """Whether this step is to be shown in the film."""
        return step.index in self.film_at

    def frame(self, step: Step, picture: Float[Tensor, "H W 3"]) -> None:
        from maquette.io.pictures import write_picture

        write_picture(picture, self.out / "frames" / f"{step.index:06d}.png")

    def finish(self, results: dict, *, save_shape: Callable[[Path], None], suffix: str) -> None:
        """Write the solid (by `save_shape`), results.json, the film and the curves; what is only for resuming goes."""
        from maquette.io.pictures import read_picture

        self.metrics.flush()
        if self.newest is not None:
            write_snapshot(self.out / STATE, *self.newest)
            self.newest = self.proven = None
        save_shape(self.out / f"result{suffix}")
        write_json(self.out / "results.json", results)
        frames = sorted((self.out / "frames").glob("*.png"))
        # A fit that was stopped while its frames were removed has its film.
        if frames and not (self.start == self.total and (self.out / "moulding.gif").is_file()):
            pictures = torch.stack([read_picture(path)[..., :3] for path in frames])
            save_video(torch.cat([pictures, pictures[-1:].expand(10, -1, -1, -1)]), self.out / "moulding.gif", fps=10)
        for path in frames:
            path.unlink()
        (self.out / "frames").rmdir()
        plot_curves(self.out / "metrics.jsonl", self.out / "curves.png")


def _note(step: Step) -> str:
    """A step in a line: the loss, and its terms where there are several."""
    terms = step.terms if len(step.terms) > 1 else {}
    return "  ".join(f"{name} {value:.4g}" for name, value in {"loss": step.loss, **terms}.items())


def settings_of(config) -> dict:
    """What a resumed fit must share with the one it goes on with, in JSON's types."""
    steering = ("out", "resume", "force")
    return {name: value for name, value in to_json(config).items() if name not in steering}


def film_steps(total: int) -> set[int]:
    """Steps shown in the film: the first, the last, and between them evenly in the square root of time."""
    count = min(FILMED, total)
    return {round((total - 1) * (i / max(count - 1, 1)) ** 2) for i in range(count)}


def plot_curves(metrics: Path, out: Path) -> None:
    """Every term of metrics.jsonl over the steps, on a logarithmic scale."""
    from matplotlib.figure import Figure

    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    names = list(dict.fromkeys(name for line in lines for name in line if name != "step"))
    for name in names[1:] if len(names) == 2 else names:  # the only term is the loss
        shown = [(line["step"], line[name]) for line in lines if line.get(name, 0) > 0]
        if shown:
            axes.plot(*zip(*shown, strict=True), label=name, linewidth=2 if name == "loss" else 1)
    axes.set(xlabel="step", ylabel="weighted terms", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(out) as path:
        figure.savefig(path, dpi=110)
