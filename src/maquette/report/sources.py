"""The evaluations that a report is of, of runs or in folders of their own, and whether their data are still there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maquette.data.dataset import Dataset, open_dataset, read_json
from maquette.data.entries import Entry
from maquette.diagnose.evaluated import check_step, entries_of, network_of
from maquette.evaluate.runs import Measured, read_run, short_names
from maquette.models.runs import BUNDLED

BUNDLED_NAME = "bundled network"


@dataclass(frozen=True)
class Source:
    """One run of the report, with the objects that it was measured on."""

    measured: Measured
    dataset: Dataset
    entries: dict[str, Entry]
    """By id, of every object that was measured."""


def read_measured(folders: Sequence[Path], evaluation: str) -> list[Measured]:
    """The evaluations of runs, or evaluations themselves, in their order; an error says how a missing one is made."""
    found: list[tuple[Path, Path]] = []
    for folder in folders:
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder; give a run with an evaluation, or an evaluation")
        if (folder / "scores.json").is_file():
            found.append((run_measured(folder), folder))
        elif (folder / evaluation / "scores.json").is_file():
            found.append((folder, folder / evaluation))
        else:
            raise FileNotFoundError(f"{folder / evaluation}: no evaluation; make it with `{_command(folder, found)}`")
    twice = [str(at) for k, (_, at) in enumerate(found) if at.resolve() in [other.resolve() for _, other in found[:k]]]
    if twice:
        raise ValueError(f"report: {twice[0]} is given twice; give each evaluation once")
    runs = [run for run, _ in found]
    names = short_names(runs if len({run.resolve() for run in runs}) == len(runs) else [at for _, at in found])
    return [
        read_run(run, at, BUNDLED_NAME if run.resolve() == BUNDLED.resolve() else name)
        for (run, at), name in zip(found, names, strict=True)
    ]


def run_measured(evaluation: Path) -> Path:
    """The run that an evaluation is of; the network that comes with Maquette is that of this installation."""
    named = Path(str(read_json(evaluation / "scores.json").get("run", {}).get("folder", "")))
    found = network_of(named, evaluation.parent)
    if found is None:
        return BUNDLED
    if not (found / "config.json").is_file():
        raise FileNotFoundError(
            f"{named}: the run that {evaluation} measured is not there; give the run's folder instead"
        )
    return found


def _command(folder: Path, found: Sequence[tuple[Path, Path]]) -> str:
    """What would evaluate a run, as the others were if there are others."""
    if found:
        run, at = found[0]
        return f"maquette evaluate {folder} {read_run(run, at, run.name).command()}"
    config = folder / "config.json"
    knows_data = config.is_file() and "data" in read_json(config).get("train", {})
    return f"maquette evaluate {folder}" + ("" if knows_data else " --data DATA")


def with_data(measured: Measured, data: Path | None) -> Source:
    """The run beside the data set that it was measured on, which must hold the same objects in the same views."""
    where = Path(measured.scores["data"]["path"]) if data is None else data
    if not where.exists():
        raise FileNotFoundError(
            f"{where}: the data set that {measured.folder} was measured on is not there; say with --data where it lies"
        )
    dataset = open_dataset(where)
    entries = {entry.id: entry for entry in entries_of(measured, dataset, "report")}
    check_step(measured, measured.settings.get("step"), "report")
    return Source(measured, dataset, entries)
