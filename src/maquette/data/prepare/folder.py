"""Make the objects of a data set, whatever they come from: in parallel, resumable, with an account of what failed."""

import errno
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from maquette.data.cluster import require_ray, run_on_cluster
from maquette.data.dataset import (
    FORMAT,
    FORMAT_VERSION,
    PACKS,
    Pictures,
    Truth,
    finished_ids,
    object_folder,
    read_json,
    remove_unfinished,
    write_index,
    write_object,
)
from maquette.data.entries import Entry
from maquette.data.workers import Lost, run_jobs
from maquette.io.atomic import write_json
from maquette.version import __version__


@runtime_checkable
class Job(Protocol):
    """One object to make. Its id is its folder's name, so it is known before the work begins."""

    @property
    def id(self) -> str: ...

    @property
    def source(self) -> str:
        """How the report names it."""
        ...


J = TypeVar("J", bound=Job)
Built = tuple[Entry, Pictures, Truth, dict[str, object]]
"""All that `write_object` writes; notes may hold a list of `warnings`."""


@dataclass(frozen=True)
class Failure:
    """An object that could not be made."""

    source: str
    reason: str


@dataclass(frozen=True)
class Plan(Generic[J]):
    """What a data set shall hold."""

    out: Path
    kind: str
    """Names the command: synthetic or meshes."""
    noun: str
    """What the sources are called in the report: objects, files."""
    config: dict[str, object]
    """All that decides the bytes of an object; another config in the same folder is refused."""
    jobs: Sequence[J]
    missing: tuple[Failure, ...] = ()
    """Sources that were asked for and are not there."""
    remarks: tuple[str, ...] = ()
    """What a person should know about the sources as a whole; said at the end."""


@dataclass(frozen=True)
class Report:
    """What became of every source."""

    out: Path
    kind: str
    noun: str
    sources: int
    objects: int
    failures: tuple[Failure, ...]
    warnings: tuple[tuple[str, tuple[str, ...]], ...]
    """Source, and what was noticed about it."""

    def summary(self) -> str:
        """One line, such as `223 files: 221 objects, 2 failed`."""
        line = f"{self.sources} {self.noun}: {self.objects} objects, {len(self.failures)} failed"
        return line + (f", {len(self.warnings)} with warnings (see report.json)" if self.warnings else "")


@dataclass(frozen=True)
class _Fatal:
    """The data set itself cannot be written; there is no point in going on."""

    reason: str


@dataclass(frozen=True)
class Labour:
    """Who makes the objects."""

    workers: int
    """Processes of this machine."""
    limit_s: float
    """Seconds after which an object is given up."""
    cluster: bool = False
    """A Ray cluster makes them instead."""


def prepare(plan: Plan[J], build: Callable[[J], Built], how: Labour) -> Report:
    """Make what is not there yet, then write index and report. Raises ValueError if no object could be made at all."""
    if how.cluster:
        require_ray()
    claim(plan)
    remove_unfinished(plan.out)
    there = finished_ids(plan.out)
    todo = [job for job in plan.jobs if job.id not in there]
    if todo:  # packs of what was there before are of no use to anybody
        shutil.rmtree(plan.out / PACKS, ignore_errors=True)
    failures = list(plan.missing)
    make = partial(_make, plan.out, build)
    if how.cluster:
        results = run_on_cluster(make, todo, address=os.environ.get("RAY_ADDRESS", "local"), limit_s=how.limit_s)
    else:
        results = run_jobs(make, todo, workers=how.workers, limit_s=how.limit_s)
    with _progress(len(plan.jobs), len(plan.jobs) - len(todo)) as advance:
        for job, result in results:
            match result:
                case _Fatal(reason):
                    raise OSError(reason)
                case Failure():
                    failures.append(result)
                case Lost(reason):
                    failures.append(Failure(job.source, reason))
            advance()
    remove_unfinished(plan.out)
    report = _account(plan, failures)
    for line in (report.summary(), *plan.remarks):
        print(line, file=sys.stderr)
    for failure in report.failures[:20]:
        print(f"  failed: {failure.source}: {failure.reason}", file=sys.stderr)
    if len(report.failures) > 20:
        print(f"  and {len(report.failures) - 20} more, see {plan.out / 'report.json'}", file=sys.stderr)
    if not report.objects:
        first = report.failures[0] if report.failures else Failure(str(plan.out), f"there are no {plan.noun}")
        raise ValueError(f"prepare {plan.kind}: no object was made; the first reason: {first.source}: {first.reason}")
    return report


def claim(plan: Plan[J]) -> None:
    """Write dataset.json, or see that the one there says the same; ValueError where it does not."""
    head = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "kind": plan.kind,
        "maquette": __version__,
        "config": plan.config,
    }
    path = plan.out / "dataset.json"
    if path.is_file():
        found = read_json(path)
        if found != head:
            raise ValueError(
                f"prepare {plan.kind}: {plan.out} was made with {_difference(found, head)}; give another --out"
            )
        return
    if plan.out.exists() and (not plan.out.is_dir() or any(plan.out.iterdir())):
        raise ValueError(f"prepare {plan.kind}: {plan.out} exists and is not a data set; give another --out")
    write_json(path, head)


def _difference(found: dict, wanted: dict) -> str:
    pairs = []
    old, new = ({**head, **head.get("config", {}), "config": None} for head in (found, wanted))
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            pairs.append(f"{key} {old.get(key)!r} instead of {new.get(key)!r}")
    return ", ".join(pairs)


def _make(out: Path, build: Callable[[J], Built], job: J) -> Failure | _Fatal | None:
    """In a worker: one object from its source to its folder."""
    try:
        entry, pictures, truth, notes = build(job)
    except (ValueError, OSError, MemoryError, FloatingPointError, ZeroDivisionError, OverflowError) as error:
        return Failure(job.source, str(error) or type(error).__name__)
    try:
        write_object(out, entry, pictures, truth, notes)
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)
        return _Fatal(f"{object_folder(out, entry.id)}: cannot be written: {reason}")
    return None


def _account(plan: Plan[J], failures: list[Failure]) -> Report:
    entries, warnings = [], []
    for id in sorted(finished_ids(plan.out)):
        facts = read_json(object_folder(plan.out, id) / "object.json")
        entries.append(Entry(facts["id"], facts["category"], facts["split"], facts["source"], facts["views"]))
        if facts.get("warnings"):
            warnings.append((facts["source"], tuple(facts["warnings"])))
    write_index(plan.out, entries)
    sources = len(plan.jobs) + len(plan.missing)
    failures = sorted(failures, key=lambda failure: failure.source)
    report = Report(plan.out, plan.kind, plan.noun, sources, len(entries), tuple(failures), tuple(warnings))
    count: dict[str, dict[str, int]] = {}
    for entry in entries:
        row = count.setdefault(entry.category, {})
        row[entry.split] = row.get(entry.split, 0) + 1
    text = {
        "summary": report.summary(),
        plan.noun: sources,
        "made": len(entries),
        "remarks": list(plan.remarks),
        "failed": [asdict(failure) for failure in failures],
        "warnings": [{"source": source, "warnings": list(lines)} for source, lines in warnings],
        "categories": dict(sorted(count.items())),
    }
    write_json(plan.out / "report.json", text)
    return report


@contextmanager
def _progress(total: int, done: int) -> Iterator[Callable[[], None]]:
    """A bar with objects/s and the time left; where nobody watches, a line every half minute."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = TextColumn("preparing"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}")
    with Progress(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total, completed=done, rate="starting")
        started = said = time.monotonic()
        made = 0

        def advance() -> None:
            nonlocal made, said
            made += 1
            now = time.monotonic()
            speed = made / max(now - started, 1e-6)
            left = round((total - done - made) / speed)
            rate = f"{speed:.1f} objects/s, {left // 60}:{left % 60:02d} left"
            progress.update(bar, advance=1, rate=rate)
            if not console.is_terminal and now - said > 30:
                said = now
                print(f"{done + made}/{total}, {rate}", file=sys.stderr, flush=True)

        yield advance
