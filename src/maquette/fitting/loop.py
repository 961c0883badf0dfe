"""The loop of every fit, as a generator: the caller's `for` decides what else happens, and when to stop."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

Objective = Callable[[int], dict[str, Float[Tensor, ""]]]
"""From the index of a step to named terms, weighted as they enter the sum; schedules and random draws live in it."""


@dataclass(frozen=True)
class Step:
    """One step of an optimisation, told after it was taken; loss and terms are those before it."""

    index: int
    loss: float
    """The sum of the terms."""
    terms: dict[str, float]


def fit(objective: Objective, optimizer: torch.optim.Optimizer, steps: int, *, start: int = 0) -> Iterator[Step]:
    """Minimise the sum of the objective's terms; yields after each of the steps `start .. steps - 1`.

        for step in fit(objective, torch.optim.Adam([offsets], lr=1e-2), steps=500):
            if step.loss < 1e-3:
                break

    A term that is not finite raises FloatingPointError with its name and the step, before anything is changed.
    """
    for index in range(start, steps):
        terms = objective(index)
        values = {name: float(term.detach()) for name, term in terms.items()}
        for name, value in values.items():
            if not math.isfinite(value):
                told = ", ".join(f"{other} {number:.4g}" for other, number in values.items())
                raise FloatingPointError(
                    f"fit: {name} is not finite in step {index} ({told}); try a lower learning rate"
                )
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        yield Step(index, sum(values.values()), values)


def generator_at(seed: int, index: int) -> torch.Generator:
    """The random numbers of step `index`: they follow from (seed, step), so a resumed fit draws what it would have."""
    return torch.Generator().manual_seed((seed * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9) % 2**63)
