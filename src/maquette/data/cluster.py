"""Run a task over many jobs on a Ray cluster: the counterpart of `maquette.data.workers` beyond one machine.

J is the type of a job, R what the task returns for it. The machines need Maquette and the files that jobs name.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from maquette.data.workers import Lost

J = TypeVar("J")
R = TypeVar("R")


def run_on_cluster(
    task: Callable[[J], R], jobs: Sequence[J], *, address: str, cpus: float = 1, gpus: float = 0
) -> Iterator[tuple[J, R | Lost]]:
    """Results in the order in which they are ready, as `run_jobs` gives them; `cpus` and `gpus` are what a job takes.

    `address` is 'auto' for the cluster that this machine belongs to, 'local' for one on this machine alone, or where
    its head listens, as ray://head:10001.
    """
    try:
        import ray
    except ImportError as error:
        raise ValueError("a cluster needs Ray; pip install 'maquette[cluster]', or leave --cluster out") from error
    try:
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level="error")
    except (ConnectionError, ValueError) as error:
        raise ValueError(f"no Ray cluster at {address!r}: {str(error).splitlines()[0]}") from error
    try:
        remote = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(task)
        waiting = {remote.remote(job): job for job in jobs}
        while waiting:
            (ready, *_), _ = ray.wait(list(waiting), num_returns=1)
            try:
                result = ray.get(ready)
            except ray.exceptions.RayError as error:
                result = Lost(str(error).strip().splitlines()[-1])
            yield waiting.pop(ready), result
    finally:
        ray.shutdown()
