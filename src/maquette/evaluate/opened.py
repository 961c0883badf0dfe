"""An evaluation in a folder, opened again: what was measured, by which network, on which objects."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maquette.data.dataset import Dataset, open_dataset, read_json
from maquette.data.entries import Entry
from maquette.evaluate.runs import Measured, again, is_bundled, read_run, short_names
from maquette.evaluate.scoring import fixed_view
from maquette.metrics import PROTOCOLS
from maquette.models import Run, load_run
from maquette.models.runs import BUNDLED

BUNDLED_NAME = "bundled network"


@dataclass(frozen=True)
class Evaluated:
    """A network, its evaluation, and the objects of it as the data set has them."""

    measured: Measured
    run: Run
    dataset: Dataset
    entries: tuple[Entry, ...]
    """In the order of the evaluation."""

    @property
    def seed(self) -> int:
        return self.measured.scores["seed"]

    def ranked_methods(self) -> list[str]:
        """The network's representations, the best by the headline's mean first."""
        protocol, methods = self.measured.protocol, self.measured.scores["methods"]
        sign = -1 if protocol.higher_is_better else 1
        means = {name: methods[name]["means"].get(protocol.headline) for name in self.measured.network}
        return sorted(means, key=lambda name: (means[name] is None, sign * (means[name] or 0.0)))

    def better_retrieval(self) -> str | None:
        """The one of the two features that the evaluation found better."""
        return self.measured.scores["retrieval"]


def open_evaluation(folder: Path, command: str, data: Path | None = None) -> Evaluated:
    """The evaluation in a run's folder, or in a folder of its own, with its network and its objects.

    `data` replaces the path that the evaluation names, where the data set has moved. `command` stands in errors.
    """
    (measured,) = read_evaluations([folder], command)
    return with_objects(measured, command, data)


def read_evaluations(folders: Sequence[Path], command: str, evaluation: str = "evaluation") -> list[Measured]:
    """Evaluations in folders `evaluation` of runs, or in folders of their own, in their order and by unlike names; an
    error says how one that is missing is made.
    """
    found: list[tuple[Path, Path]] = []
    for folder in folders:
        found.append(_found(folder, command, evaluation, found))
    twice = [str(at) for k, (_, at) in enumerate(found) if at.resolve() in [other.resolve() for _, other in found[:k]]]
    if twice:
        raise ValueError(f"{command}: {twice[0]} is given twice; give each evaluation once")
    runs = [run for run, _ in found]
    names = short_names(runs if len({run.resolve() for run in runs}) == len(runs) else [at for _, at in found])
    bundled = [is_bundled(run) for run in runs]
    if bundled.count(True) == 1:
        names[bundled.index(True)] = BUNDLED_NAME
    return [read_run(run, at, name) for (run, at), name in zip(found, names, strict=True)]


def with_objects(measured: Measured, command: str, data: Path | None) -> Evaluated:
    """An evaluation beside its network and its data set, both of which must be as they were when it was made."""
    where = Path(measured.scores["data"]["path"]) if data is None else data
    if not where.exists():
        raise FileNotFoundError(
            f"{where}: the data set that {measured.folder} was measured on is not there; say with --data where it lies"
        )
    if not (measured.run / "model.safetensors").is_file():
        raise FileNotFoundError(
            f"{measured.run}: the run that {measured.folder} measured is not there; give the run's folder instead"
        )
    dataset = open_dataset(where)
    entries = _entries(measured, dataset, command)
    run = load_run(measured.run)
    now, then = run.settings.get("step"), measured.scores["run"]["step"]
    if now != then:
        raise ValueError(
            f"{command}: {measured.run} has {now} steps now and had {then} when it was measured; evaluate it again "
            f"with `{again(measured)}`"
        )
    now, then = sum(p.numel() for p in run.model.parameters()), measured.scores["run"]["parameters"]
    if now != then:
        raise ValueError(
            f"{command}: {measured.folder} was measured with a network of {then:,} parameters, {run.folder} has "
            f"{now:,}; evaluate again with `{again(measured)}`"
        )
    return Evaluated(measured, run, dataset, entries)


def _found(folder: Path, command: str, evaluation: str, before: Sequence[tuple[Path, Path]]) -> tuple[Path, Path]:
    """The folders of the run and of its evaluation; `before`: those already found, as which it would be made."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: no such folder; give {command} a run made by `maquette train`, or the folder of an evaluation"
        )
    is_run = (folder / "config.json").is_file()
    for at in (folder, folder / evaluation):
        if (at / "scores.json").is_file():
            return folder if is_run else run_measured(at), at
    if not is_run:
        raise FileNotFoundError(
            f"{folder}: neither a run nor an evaluation; make one with `maquette evaluate --data DATA --out {folder}`"
        )
    if before:
        like = f" {read_run(*before[0], before[0][0].name).command()}"
    else:
        like = "" if "data" in read_json(folder / "config.json").get("train", {}) else " --data DATA"
        protocol = evaluation.removeprefix("evaluation-")
        if protocol in PROTOCOLS:
            like += f" --protocol {protocol}"
        elif evaluation != "evaluation":
            like += f" --out {folder / evaluation}"
    raise FileNotFoundError(f"{folder / evaluation}: no evaluation; make it with `maquette evaluate {folder}{like}`")


def run_measured(evaluation: Path) -> Path:
    """The run that an evaluation is of: where it says, or around it if both have moved; the network that comes with
    Maquette is that of this installation. Where no run is there any more, the place that it says.
    """
    named = Path(str(read_json(evaluation / "scores.json").get("run", {}).get("folder", "")))
    for folder in (named, evaluation.parent):
        if (folder / "model.safetensors").is_file():
            return folder
    return BUNDLED if named.parts[-3:-1] == BUNDLED.parts[-3:-1] else named


def _entries(measured: Measured, dataset: Dataset, command: str) -> tuple[Entry, ...]:
    """The objects that were measured; an error where the data set does not hold them as they were."""
    wanted = measured.objects()
    found = {entry.id: entry for entry in dataset.entries if entry.id in wanted}
    advice = f"measure it again: `{again(measured)}`"
    lost = [id for id in wanted if id not in found]
    if lost:
        raise ValueError(
            f"{command}: {len(lost)} of {len(wanted)} measured objects are not in {dataset.name}, first {lost[0]}; "
            f"give the --data of the evaluation, or {advice}"
        )
    other = [id for id, view in wanted.items() if str(fixed_view(found[id])) != view]
    if other:
        raise ValueError(
            f"{command}: {len(other)} of {len(wanted)} objects have other views in {dataset.name} than were measured, "
            f"first {other[0]}; {advice}"
        )
    return tuple(found[id] for id in wanted)
