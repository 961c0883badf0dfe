"""Run a task over many jobs on a Ray cluster: the counterpart of `maquette.data.workers` beyond one machine.

J is the type of a job, R what the task returns for it. The machines need Maquette and the files that jobs name.
"""

import contextlib
import importlib
import importlib.util
import inspect
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from maquette.data.workers import PRELOAD, Lost

J = TypeVar("J")
R = TypeVar("R")


def require_ray() -> None:
    """ValueError in one line where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise ValueError("a cluster needs Ray; pip install 'maquette[cluster]', or leave --cluster out")


def run_on_cluster(
    task: Callable[[J], R],
    jobs: Sequence[J],
    *,
    address: str,
    cpus: float = 1,
    gpus: float = 0,
    limit_s: float = math.inf,
) -> Iterator[tuple[J, R | Lost]]:
    """Results in the order in which they are ready, as `run_jobs` gives them; `cpus` and `gpus` are what a job takes.

    One that takes longer than `limit_s` seconds, from when its process has started, is stopped.

    `address` is 'auto' for the cluster that this machine belongs to, 'local' for one on this machine alone, or where
    its head listens, as ray://head:10001.
    """
    require_ray()
    import ray

    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="error")
    except Exception as error:
        # All that Ray documents is "Exception": a node that does not start in time is a plain one, nothing narrower.
        if type(error) is not Exception and not isinstance(error, (ConnectionError, ValueError, RuntimeError)):
            raise
        told = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(f"no Ray cluster at {address!r}: {told}; mend that, or leave --cluster out") from error
    try:
        make = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0, num_returns="streaming")
        remote = make(inspect.unwrap(_run))  # checks of types that a test run wraps around it hide the generator
        shared = ray.put(task)
        most = max(1, int(ray.cluster_resources().get("CPU", 1) / max(cpus, 0.1)))
        todo, waiting = list(reversed(jobs)), {}
        while todo or waiting:
            while todo and len(waiting) < most:
                job = todo.pop()
                waiting[remote.remote(shared, job)] = (job, None)  # no deadline before it has begun
            for ready in ray.wait(list(waiting), num_returns=1, timeout=1.0)[0]:
                job, deadline = waiting.pop(ready)
                try:
                    told = ray.get(next(ready))
                except ray.exceptions.RayTaskError as error:
                    yield job, Lost(f"{type(error.cause).__name__}: {' '.join(str(error.cause).split())}")
                    continue
                except ray.exceptions.RayError as error:
                    yield job, Lost(str(error).strip().splitlines()[-1])
                    continue
                if deadline is None:
                    waiting[ready] = (job, time.monotonic() + limit_s)
                else:
                    yield job, told
            late = [
                key for key, (_, deadline) in waiting.items() if deadline is not None and time.monotonic() > deadline
            ]
            for begun in late:
                ray.cancel(begun, force=True)
                yield waiting.pop(begun)[0], Lost(f"took longer than {limit_s:g} s; it was stopped")
    finally:
        ray.shutdown()


def _run(task: Callable[[J], R], job: J) -> Iterator[R | None]:
    """First None, when the process has started and imported what is slow to import; then the result."""
    for name in PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # Ray tells OpenMP how many cores a job has; libigl asks for its own variable and would take them all.
    os.environ["IGL_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    yield None
    yield task(job)
