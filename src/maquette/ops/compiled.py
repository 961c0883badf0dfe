"""Kernels that numba compiles for the CPU: whether there are any, and loading them without delay."""

import contextlib
import gc
import importlib.util
from collections.abc import Iterator
from functools import cache


@cache
def compiled() -> bool:
    """Whether there is numba to compile kernels, or to load compiled ones; the first call imports it."""
    if importlib.util.find_spec("numba") is None:
        return False
    with collection_paused():
        importlib.import_module("numba")
    return True


@contextlib.contextmanager
def collection_paused() -> Iterator[None]:
    """No garbage is collected within.

    Numba makes objects by the hundred thousand when it is imported and when it loads its first kernel. The collector
    would then look through everything torch has made again and again, which takes as long as the rest.
    """
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            gc.enable()
