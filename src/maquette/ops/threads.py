"""Run a compiled kernel on several threads.

A kernel is an `@njit(nogil=True, cache=True)` function `kernel(lo, hi, *arguments)` that does work items `lo..hi-1`.
All that it calls and all constants it uses stand in its own file: numba keeps compiled kernels on disk, and looks at no
other file to see whether they are out of date.
The pool belongs to one process: a pool inherited through `fork` has no threads and would hang.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import torch

from maquette.ops.compiled import collection_paused

_pools: dict[int, ThreadPoolExecutor] = {}


def pool() -> ThreadPoolExecutor:
    """The thread pool of this process, made at its first use; it starts threads only as they are needed."""
    pid = os.getpid()
    # No lock, which a fork could copy while held: `setdefault` is atomic, a pool that loses the race has no threads.
    return _pools.get(pid) or _pools.setdefault(pid, ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="maquette"))


def parallel(kernel: Callable[..., None], count: int, *arguments: object, chunks_per_thread: int = 1) -> None:
    """Call `kernel(lo, hi, *arguments)` over ranges that cover `0..count-1`, on `torch.get_num_threads()` threads.

    With one thread, or one item, the calling thread does all the work and no pool is made. More chunks than threads
    level out items of unequal cost. An exception of the kernel is raised here, after every chunk has ended.
    """
    if getattr(kernel, "signatures", None) == []:  # of numba, and not loaded yet
        with collection_paused():
            kernel(0, 0, *arguments)
    threads = torch.get_num_threads()
    chunks = min(count, threads * chunks_per_thread) if threads > 1 else 1
    if chunks <= 1:
        kernel(0, count, *arguments)
        return
    bounds = [count * i // chunks for i in range(chunks + 1)]
    futures = [pool().submit(kernel, lo, hi, *arguments) for lo, hi in pairwise(bounds[1:])]
    try:
        kernel(bounds[0], bounds[1], *arguments)
    finally:
        errors = [future.exception() for future in futures]
    for error in errors:
        if error is not None:
            raise error


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch and kernels on one thread, for many small steps: threads that wait for each other spin, and where a machine
    does other work as well, each step then takes the scheduler's time slices: five times as long in all."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
