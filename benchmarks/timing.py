"""How things are timed here: in turns, the fastest counts, memory in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

Call = Callable[[], object]


@dataclass(frozen=True)
class Task:
    """One row of the table: ours first, then whatever does the same work."""

    name: str
    reach: str
    """The most it may take, as told in the table; empty where nothing is promised."""
    prepare: Callable[[], dict[str, Call]]
    """The calls by the name of their column; the first is ours."""


def milliseconds(calls: list[Call], turns: int) -> list[float]:
    """The least time of each call, in turns, so that whatever else the machine does meets all of them."""
    for call in calls:
        call()  # compiles, and fills the caches
    best = [float("inf")] * len(calls)
    for turn in range(turns):
        for i, call in enumerate(calls):
            if turn >= 3 and best[i] > 1000:
                continue  # three turns of a slow one are enough
            start = time.perf_counter()
            call()
            best[i] = min(best[i], 1000 * (time.perf_counter() - start))
    return best


def peak_megabytes(program: str, name: str) -> float:
    """`measure_memory` of task `name`, in a process of its own."""
    command = [sys.executable, program, "--memory", name]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(answer.split()[-1])


def first_call(preparation: str, call: str, turns: int) -> float:
    """Milliseconds of `call` as the first of a fresh process, after torch, maquette and `preparation`; the fastest.

    One process more comes before, so that compiled kernels and bytecode lie on the disk.
    """
    code = (
        f"import torch, maquette, time\n{preparation}\nt = time.perf_counter()\n{call}\nprint(time.perf_counter() - t)"
    )
    there = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", code]
    answers = [
        subprocess.run(command, check=True, capture_output=True, text=True, env=there).stdout for _ in range(turns + 1)
    ]
    return 1000 * min(float(answer) for answer in answers[1:])


def measure_memory(task: Task) -> float:
    """In MB: the most that calling ours once more takes beyond what is resident with inputs ready and kernels warm.

    Linux keeps the peak, and forgets it when asked to.
    """
    call = next(iter(task.prepare().values()))
    call()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = _status("VmRSS")
    call()
    return max(0.0, _status("VmHWM") - before)


def _status(name: str) -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith(name))
