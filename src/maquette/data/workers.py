"""Run a task over many jobs in worker processes that may die or hang without taking the run with them.

J is the type of a job, R what the task returns for it; both are pickled between processes that trust each other.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

import torch

J = TypeVar("J")
R = TypeVar("R")

PRELOAD = ["maquette.data.prepare", "maquette.ops.raster_numba", "maquette.data.synthetic", "numba", "igl", "PIL.Image"]
"""What tasks need and is slow to import (2.4 s a worker); the fork server passes over what is not installed."""


@dataclass(frozen=True)
class Lost:
    """A job without a result: its worker died or ran out of time."""

    reason: str


@dataclass
class _Worker(Generic[J]):
    process: BaseProcess
    connection: Connection
    ready: bool = False
    job: J | None = None
    deadline: float = float("inf")


def run_jobs(
    task: Callable[[J], R], jobs: Sequence[J], *, workers: int, limit_s: float
) -> Iterator[tuple[J, R | Lost]]:
    """Results in the order in which they are ready. Each worker uses one thread and takes one job at a time.

    A worker that takes longer than `limit_s` seconds for a job is killed, one that dies is replaced; both give `Lost`.
    When the caller stops early, or this process dies, the workers end. A job is taken from `jobs` when its turn comes.
    """
    process = _process()
    todo = list(reversed(range(len(jobs))))
    crew = [_start(process, task) for _ in range(min(workers, len(jobs)))]
    try:
        while crew:
            now = time.monotonic()
            timeout = max(0.0, min(worker.deadline for worker in crew) - now)
            wait([worker.connection for worker in crew], None if timeout == float("inf") else timeout)
            for worker in list(crew):
                result = _poll(worker, limit_s)
                if result is not None:
                    job, worker.job = worker.job, None
                    assert job is not None  # who has no job gives no result
                    yield job, result[0]
                if not worker.ready:
                    continue
                if not worker.process.is_alive():
                    _end(worker)
                    crew.remove(worker)
                    if todo:
                        crew.append(_start(process, task))
                elif worker.job is None:
                    if todo:
                        worker.job, worker.deadline = jobs[todo.pop()], time.monotonic() + limit_s
                        worker.connection.send(worker.job)
                    else:
                        _end(worker)
                        crew.remove(worker)
    finally:
        for worker in crew:
            _end(worker)


def _process() -> Callable[..., BaseProcess]:
    """Never plain fork: a copy of a process with threads may hang. A fork server has imported the slow modules once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn").Process
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    return context.Process


def _start(make: Callable[..., BaseProcess], task: Callable[[J], object]) -> _Worker[J]:
    ours, theirs = multiprocessing.Pipe()
    process = make(target=_serve, args=(theirs, task), daemon=True)
    with _without_main():
        process.start()
    theirs.close()
    return _Worker(process, ours)


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes started here do not import the program that starts them, as they else would before anything.

    Tasks come from modules, so nothing of the program is needed, and a script of a few lines works without
    `if __name__ == "__main__"`.
    """
    main = sys.modules["__main__"]
    spec, file = main.__spec__, main.__dict__.pop("__file__", None)
    main.__spec__ = None
    try:
        yield
    finally:
        main.__spec__ = spec
        if file is not None:
            main.__file__ = file


def _poll(worker: _Worker[J], limit_s: float) -> tuple[Any] | None:
    """The result of the worker's job, or `Lost`, if there is one now."""
    if worker.connection.poll():
        try:
            message = worker.connection.recv()
        except (EOFError, ConnectionResetError):
            worker.process.join()
            if not worker.ready:
                raise OSError(f"worker processes do not start ({_death(worker.process.exitcode)})") from None
            return (Lost(_death(worker.process.exitcode)),)
        if not worker.ready:
            worker.ready = True
            return None
        worker.deadline = float("inf")
        return (message,)
    if time.monotonic() >= worker.deadline:
        worker.process.kill()
        worker.process.join()
        return (Lost(f"took longer than {limit_s:g} s; the worker was stopped"),)
    return None


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        return f"the worker was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
    return f"the worker ended with exit code {code}; its traceback stands above"


def _end(worker: _Worker[J]) -> None:
    worker.connection.close()
    if worker.process.is_alive():
        worker.process.kill()
    worker.process.join()
    worker.process.close()


def _serve(connection: Connection, task: Callable[[J], R]) -> None:
    """What a worker does until its pipe closes."""
    # Ctrl-C goes to the whole process group; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    os.environ["IGL_NUM_THREADS"] = "1"
    try:
        connection.send(None)
        while True:
            connection.send(task(connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
