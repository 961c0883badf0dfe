"""The evaluation that a diagnosis begins from: what was measured, by which network, on which objects."""

from dataclasses import dataclass
from pathlib import Path

from maquette.data.dataset import Dataset, open_dataset
from maquette.data.entries import Entry
from maquette.evaluate.runs import Measured, read_run
from maquette.evaluate.scoring import fixed_view
from maquette.models import Run, load_run


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
    network = Path(scores["run"]["folder"])
    if not network.is_dir() and folder != run:
        network = run  # a run that has moved with its evaluation
    where = Path(scores["data"]["path"]) if data is None else data
    if not where.exists():
        raise FileNotFoundError(f"{where}: the data that {folder} was measured on is not there; give --data")
    dataset = open_dataset(where)
    return Evaluated(measured, load_run(network), dataset, entries_of(measured, dataset, command))


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
