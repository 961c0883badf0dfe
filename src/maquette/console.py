"""What a person sees while something long runs: bars on a terminal, plain lines in a log."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_EVERY = 30.0
"""Seconds between lines where there is no terminal."""


def bar(console: Console | None = None) -> Progress:
    """The one look of progress bars."""
    return Progress(
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=28),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
        disable=not (console or Console(stderr=True)).is_terminal,
    )


@contextlib.contextmanager
def packing_progress(split: str) -> Iterator[Callable[[int, int], None]]:
    with bar() as progress:
        task = progress.add_task(f"packing {split}", total=None, note="objects")
        yield lambda done, total: progress.update(task, completed=done, total=total)


class TrainingConsole:
    """Header, a bar with the losses by name, images a second and the time left, and a line a validation."""

    def __init__(self, config, data, validation, model, start: int):
        self.console = Console(stderr=True, highlight=False)
        self.progress = bar(self.console)
        self.config = config
        count = sum(parameter.numel() for parameter in model.parameters())
        held = 0 if validation is None else len(validation.entries)
        split = "not split" if data.entries[0].split == "all" else "train"
        self.header = (
            f"{', '.join(model.representations)} from {config.model.encoder.picture_size} px pictures, "
            f"{count / 1e6:.1f} M parameters\n"
            f"{len(data.entries)} objects ({split}) with {len(data.views)} views, {held} for validation, "
            f"batch {config.batch}, {config.steps} steps from {start}, {config.device}, run {config.out}"
        )
        self.start = start
        self.mean: dict[str, float] = {}
        self.told = time.perf_counter()
        self.began = time.perf_counter()

    def __enter__(self) -> "TrainingConsole":
        self.console.print(self.header, soft_wrap=True)
        self.progress.start()
        self.task = self.progress.add_task("training", total=self.config.steps, completed=self.start, note="")
        return self

    def __exit__(self, *_) -> None:
        self.progress.stop()
        self.console.print(f"{(time.perf_counter() - self.began) / 60:.1f} minutes")

    def step(self, line: dict, rate: float) -> None:
        for name, value in line.items():
            if name != "step":
                self.mean[name] = value if name not in self.mean else 0.98 * self.mean[name] + 0.02 * value
        note = "  ".join(f"{name} {value:.4g}" for name, value in self.mean.items()) + f"  {rate:.0f} images/s"
        self.progress.update(self.task, completed=line["step"] + 1, note=note)
        now = time.perf_counter()
        if not self.console.is_terminal and now - self.told > LOG_EVERY:
            self.told = now
            left = (self.config.steps - line["step"]) * self.config.batch / max(rate, 1e-9)
            self.say(f"step {line['step'] + 1}/{self.config.steps}  {note}  {left / 60:.0f} min left")

    def validation(self, step: int, terms: dict[str, float]) -> None:
        self.say(f"validation after step {step + 1}: " + "  ".join(f"{k} {v:.4g}" for k, v in terms.items()))

    def say(self, line: str) -> None:
        self.progress.console.print(line, soft_wrap=True)
