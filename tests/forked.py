"""Processes of their own that need not import torch again: copies of the one that runs the tests.

A copy can be killed or interrupted, and has an exit code, an environment and streams like any other program.
"""

import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkProcess
from pathlib import Path

NOTHING = Path(os.devnull)


def forked(
    target: Callable[..., object], *arguments, said: Path = NOTHING, environment: Mapping[str, str] | None = None
) -> ForkProcess:
    """A process that calls `target` and has begun; what it says on both streams goes to the file `said`.

    It ends with the code of SystemExit, 0 where `target` returns, 1 and a traceback at any other exception.
    """
    process = multiprocessing.get_context("fork").Process(
        target=_alone, args=(target, arguments, said, environment or {})
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork beside threads
        process.start()
    return process


def ended(process: ForkProcess, timeout: float = 120) -> int | None:
    """The exit code, which is minus the signal where one has ended it."""
    process.join(timeout)
    code = process.exitcode
    process.kill()  # it does nothing unless the time is over
    return code


def send(process: ForkProcess, number: signal.Signals) -> None:
    if process.pid is not None and process.is_alive():
        os.kill(process.pid, number)


def _alone(target: Callable[..., object], arguments: tuple, said: Path, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.resetwarnings()  # a program's are told, not raised
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(file, stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1, closefd=False) for stream in (1, 2))
    target(*arguments)
