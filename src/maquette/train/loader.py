"""Batches made ahead of the step that needs them."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def ahead(make: Callable[[int], T], steps: range, threads: int) -> Iterator[Iterator[tuple[int, T]]]:
    """(step, make(step)) of every step in order; meanwhile `threads` work on those that follow, two each.

    `make` must depend on its step alone. Without threads each batch is made when it is asked for.
    """
    if threads == 0:
        yield ((step, make(step)) for step in steps)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")
    try:
        yield _taken(pool, make, steps, depth=2 * threads)
    finally:
        pool.shutdown(cancel_futures=True)


def _taken(pool: ThreadPoolExecutor, make: Callable[[int], T], steps: range, depth: int) -> Iterator[tuple[int, T]]:
    waiting = deque(pool.submit(make, step) for step in steps[:depth])
    for place, step in enumerate(steps):
        batch = waiting.popleft().result()
        if place + depth < len(steps):
            waiting.append(pool.submit(make, steps[place + depth]))
        yield step, batch
