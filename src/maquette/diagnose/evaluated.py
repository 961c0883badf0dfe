"""The evaluation that a diagnosis begins from: what was measured, by which network, on which objects."""

from dataclasses import dataclass
from pathlib import Path

from maquette.data.dataset import Dataset, open_dataset
from maquette.data.entries import Entry
from maquette.evaluate.runs import Measured, read_run
from maquette.evaluate.scoring import fixed_view
from maquette.models import Run, load_run
from maquette.models.runs import BUNDLED


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


def open_evaluation(run: Path, command: str, data: Path | None = None) -> Evaluated:
    """The evaluation in a run's folder, or the folder of an evaluation itself.

    `data` replaces the path that the evaluation names, where the data set has moved. `command` stands in errors.
    """
    folder = evaluation_of(run, command)
    measured = read_run(run, folder, run.resolve().name)
    scores = measured.scores
    network = network_of(Path(scores["run"]["folder"]), run if folder != run else folder.parent)
    where = Path(scores["data"]["path"]) if data is None else data
    if not where.exists():
        raise FileNotFoundError(f"{where}: the data that {folder} was measured on is not there; give --data")
    dataset = open_dataset(where)
    loaded = load_run(network)
    parameters = sum(parameter.numel() for parameter in loaded.model.parameters())
    if parameters != scores["run"]["parameters"]:
        raise ValueError(
            f"{command}: {folder} was measured with a network of {scores['run']['parameters']:,} parameters, "
            f"{loaded.folder} has {parameters:,}; evaluate again"
        )
    check_step(measured, loaded.settings.get("step"), command)
    return Evaluated(measured, loaded, dataset, entries_of(measured, dataset, command))


def check_step(measured: Measured, step: int | None, command: str) -> None:
    """ValueError where the run has another number of steps than when it was measured: scores and answers differ."""
    then = measured.scores["run"]["step"]
    if step != then:
        raise ValueError(
            f"{command}: {measured.run} has {step} steps now and had {then} when it was measured; evaluate it again "
            f"with `maquette evaluate {measured.run} {measured.command()}`"
        )


def network_of(named: Path, beside: Path) -> Path | None:
    """The folder of the network that an evaluation names: there, or beside the evaluation, with which it has moved.

    None for the network that comes with Maquette, which another installation has elsewhere.
    """
    if (named / "model.safetensors").is_file():
        return named
    if (beside / "model.safetensors").is_file():
        return beside
    return None if named.parts[-3:-1] == BUNDLED.parts[-3:-1] else named


def evaluation_of(run: Path, command: str) -> Path:
    """The folder with scores.json."""
    if not run.is_dir():
        raise FileNotFoundError(
            f"{run}: no such folder; give {command} a run made by `maquette train`, or the folder of an evaluation"
        )
    for folder in (run, run / "evaluation"):
        if (folder / "scores.json").is_file():
            return folder
    if (run / "model.safetensors").is_file():
        raise FileNotFoundError(f"{run}: has no evaluation; make it with `maquette evaluate {run} --data DATA`")
    raise FileNotFoundError(
        f"{run}: neither a run nor an evaluation; make one with `maquette evaluate --data DATA --out {run}`"
    )


def entries_of(measured: Measured, dataset: Dataset, command: str) -> tuple[Entry, ...]:
    """The objects that were measured; an error where the data set does not hold them as they were."""
    wanted = measured.objects()
    found = {entry.id: entry for entry in dataset.entries if entry.id in wanted}
    again = f"measure it again: `maquette evaluate {measured.run} {measured.command()}`"
    lost = [id for id in wanted if id not in found]
    if lost:
        raise ValueError(
            f"{command}: {len(lost)} of {len(wanted)} measured objects are not in {dataset.name}, first {lost[0]}; "
            f"give the --data of the evaluation, or {again}"
        )
    other = [id for id, view in wanted.items() if str(fixed_view(found[id])) != view]
    if other:
        raise ValueError(
            f"{command}: {len(other)} of {len(wanted)} objects have other views in {dataset.name} than were measured, "
            f"first {other[0]}; {again}"
        )
    return tuple(found[id] for id in wanted)
