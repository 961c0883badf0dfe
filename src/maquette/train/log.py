"""What a training tells: metrics.jsonl, TensorBoard and the console, all of the main process alone."""

import json
import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

BOARD_EVERY = 20
"""Steps between points of TensorBoard's curves."""


class Log:
    """A line a step; metrics.jsonl has no lines of steps at or after `start`, which is for the caller to see to."""

    def __init__(self, metrics, board, console, batch: int):
        self.metrics, self.board, self.console = metrics, board, console
        self.rate = Rate(batch)

    def step(self, step: int, terms: dict[str, float], extra: dict[str, float]) -> None:
        rate = self.rate.tick()
        line = {"step": step} | terms | extra | {"images_per_s": round(rate, 1)}
        # JSON has no infinity: the norm of gradients that half precision could not hold.
        self._write({name: value if math.isfinite(value) else None for name, value in line.items()})
        self.console.step({"step": step} | terms, rate)
        if step % BOARD_EVERY == 0:
            for name, value in (terms | extra).items():
                self.board.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, terms: dict[str, float], sheet: Float[Tensor, "3 H W"]) -> None:
        self._write({"step": step, "validation": terms})
        self.console.validation(step, terms)
        for name, value in terms.items():
            self.board.add_scalar(f"validation/{name}", value, step)
        self.board.add_image("validation", sheet, step)

    def say(self, line: str) -> None:
        self.console.say(line)

    def flush(self) -> None:
        self.metrics.flush()

    def _write(self, line: dict) -> None:
        self.metrics.write(json.dumps(line) + "\n")


@contextmanager
def main_log(out: Path, batch: int, start: int, console) -> Iterator[Log]:
    from torch.utils.tensorboard import SummaryWriter

    with (
        console,
        open(out / "metrics.jsonl", "a") as metrics,
        SummaryWriter(str(out / "tensorboard"), purge_step=start) as board,
    ):
        yield Log(metrics, board, console, batch)


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
