"""What stops a training: numbers that are not finite, with the batch kept to look at, and memory that is not enough."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from maquette.data.pack import Pack
from maquette.data.targets import Targets
from maquette.io.atomic import atomic_path, write_json

FAILED = "failed-batch.safetensors"


def not_finite(terms: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in terms.items() if not math.isfinite(value)}


def failed(step: int, terms: dict[str, float], out: Path) -> FloatingPointError:
    bad = ", ".join(f"{name} = {value}" for name, value in not_finite(terms).items())
    return FloatingPointError(
        f"train: loss is not finite in step {step} ({bad}); the batch is in {out / FAILED}; "
        "try a lower --lr, or --clip 1"
    )


def save_batch(
    out: Path, data: Pack, objects: list[int], batch: tuple[Tensor, Targets], step: int, terms: dict[str, float]
) -> None:
    """The whole batch of `step` as tensors, and beside it in JSON which objects they are of, in their order."""
    from safetensors.torch import save_file

    images, targets = batch
    tensors = {name: value.contiguous() for name, value in vars(targets).items() if isinstance(value, Tensor)}
    with atomic_path(out / FAILED) as path:
        save_file({"pictures": images.contiguous()} | tensors, path)
    told = {name: value if math.isfinite(value) else str(value) for name, value in terms.items()}
    ids = [data.entries[int(i)].id for i in objects]
    write_json((out / FAILED).with_suffix(".json"), {"step": step, "terms": told, "objects": ids})


@contextmanager
def telling_of_memory(advice: str) -> Iterator[None]:
    """Running out of memory, of a GPU's or of the machine's, becomes an error that says what to lower."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"train: out of memory; {advice}") from error
    except RuntimeError as error:
        # torch has no exception type of its own for a CPU allocation that fails.
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        raise MemoryError(f"train: out of memory ({str(error).splitlines()[0]}); {advice}") from error
