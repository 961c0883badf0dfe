"""`maquette evaluate RUN`: measure a network, and beside it everything it must beat.

Read `evaluate_run` from top to bottom. Each object is seen in one view that follows from its id, so two evaluations
look at the same pictures; its random draws follow from (seed, id, method), so a score depends on nothing else.
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
import tyro

from maquette.console import bar
from maquette.data.dataset import Dataset, HasCodes, open_dataset
from maquette.data.entries import UNLABELLED, Entry, counts, of_split, splits
from maquette.data.pack import UNREADABLE, Pack, first_of, in_a_line, missing_in, pack
from maquette.evaluate.baselines import (
    MeanShape,
    load_mean_shapes,
    mean_shapes,
    oracle,
    oracle_points,
    retrieve,
    save_mean_shapes,
)
from maquette.evaluate.evaluation import Evaluation
from maquette.evaluate.gallery import write_evaluation_page, write_gallery
from maquette.evaluate.pictures import Studio, picks, write_pictures
from maquette.evaluate.report import write_evaluation
from maquette.evaluate.scoring import Answers, Times, fixed_view, look, score_objects
from maquette.evaluate.tables import print_evaluation
from maquette.metrics import PROTOCOLS, Protocol
from maquette.models import Run, load_run
from maquette.ops.devices import usable_device
from maquette.train import training_split
from maquette.version import __version__

BASELINES_FILE = "baselines.npz"
ProtocolName = Literal[
    "maquette", "cmu2022", "cmu2025", "occnet", "atlasnet", "p2m", "meshrcnn", "what3d", "deepsdf", "disn", "triposr"
]
OPEN = ("cmu2022", "cmu2025")
"""Protocols that leave the number of points to the user."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Measure a trained network beside the ceiling, the mean shape, retrieval and the oracle.

    Each object is seen in one view: the first 8 bytes of the SHA-256 of its id, modulo the number of its views.
    """

    run: tyro.conf.Positional[Path | None] = None
    """Run folder; without one, the network that comes with Maquette."""
    data: Path | None = None
    """Data set to measure on; the one of the training unless told."""
    split: Literal["train", "val", "test", "all"] = "test"
    labelled: bool = False
    """Only objects whose category is known, which 'other' and 'unknown' are not."""
    protocol: ProtocolName = "maquette"
    """What is compared with what, and how: docs/protocols.md."""
    points: int | None = None
    """Points on each surface where the protocol leaves them open (cmu2022: 5000, cmu2025: 1000)."""
    train_data: Path | None = None
    """Data set for mean shapes, retrieval and oracle; the one of the training unless told."""
    out: Path | None = None
    """Folder for scores.json, scores.csv, fscore.png, gallery.png, index.html and pictures/; unless told
    RUN/evaluation, or RUN/evaluation-PROTOCOL for another protocol than ours. Existing files are replaced."""
    limit: int | None = None
    """Measure only so many objects, evenly spread over the split."""
    allow_missing: bool = False
    """Measure although objects are missing or cannot be read; they are named and counted, and left out. Training
    objects may be missing, too, where the run was trained with it."""
    pictures: int = 12
    """Objects kept as small pictures for `maquette compare`, evenly spread; 0 for none, and then no gallery either."""
    seed: int = 0
    """Of the points drawn."""
    device: str = "cpu"
    """A torch device for the network: cpu, cuda, cuda:1, mps."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"evaluate: limit is {self.limit}; measure at least one object")
        if self.points is not None and self.protocol not in OPEN:
            raise ValueError(f"evaluate: protocol {self.protocol} fixes its points; leave --points out")
        if self.pictures < 0:
            raise ValueError(f"evaluate: pictures is {self.pictures}; give 0 or more objects")
        if self.run is None and self.out is None:
            raise ValueError("evaluate: the bundled network has no folder for results; give --out")


def evaluate_run(config: EvaluateConfig) -> Evaluation:
    """Score every representation and every baseline, print the table, write the files."""
    began = time.perf_counter()
    protocol = PROTOCOLS[config.protocol]
    if config.points is not None:
        protocol = replace(protocol, points=config.points)
    device, run = usable_device(config.device, "evaluate"), load_run(config.run)
    model = run.model.to(device)
    data = data_of_training(run, config.data)
    if data is None:
        raise ValueError(f"evaluate: {run.folder} does not say what it was trained on; give --data")
    dataset = open_dataset(data)
    found, left_out = objects_to_measure(dataset, config), missing_in(dataset, config.split)
    requested = len(found) + len(left_out)
    out = run.folder / evaluation_folder(protocol.name) if config.out is None else config.out
    training_data = data_of_training(run, config.train_data)

    with bar() as progress:

        def phase(name: str, total: int, note: str = "objects"):
            if progress.disable:
                progress.console.print(f"{name}: {total} {note}", highlight=False)
            task = progress.add_task(name, total=total, note=note)
            return lambda done: progress.update(task, advance=done)

        if config.allow_missing:
            advance = phase("checking", len(found))
            found, broken = readable(dataset, found, advance, codes=model.reads_codes)
            left_out += broken
        if not found:
            raise OSError(f"{data}: all {requested} requested objects are missing: {first_of(left_out)}; mend them")
        entries = spread(found, config.limit)
        check_fit(protocol, dataset, run, entries[0])
        seen = look(model, dataset, entries, phase("looking", len(entries), "pictures"), frame=run.frame)
        incomplete = config.allow_missing or trained_without_missing(run, config)
        training, missing = open_training(
            training_data, model.picture_size, phase, codes=model.reads_codes, allow_missing=incomplete
        )
        if training is None or training_data is None:
            means, missing = known_mean_shapes(run, out, missing)
            answers = Answers(means)
        else:
            named = {category for _, category in counts(training.entries)} - {""}
            if training.voxels is None:
                means, missing = {}, [*missing, "no mean shape: the training data has no voxels to average"]
            else:
                means = mean_shapes(training, phase("mean shapes", len(named), "categories"))
            advance = phase("retrieval", len(training.views), "views")
            retrieved = retrieve(model, training, seen.codes, seen.thumbnails, advance)
            truths = torch.stack([oracle_points(dataset.truth(entry).points) for entry in entries])
            best = oracle(truths, training, phase("oracle", len(entries)))
            answers = Answers(means, open_dataset(training_data), training, retrieved, best)
        advance, times = phase("scoring", len(entries)), Times()
        rows = tuple(score_objects(model, dataset, entries, seen, answers, protocol, config.seed, advance, times))

    known = set(means) if training is None else {category for _, category in counts(training.entries)} - {""}
    categories = None if training is None and not means else sorted(known)
    facts = {
        "run": facts_of_run(run),
        "data": {"path": str(data), "name": dataset.name, "split": config.split, "frame": dataset.frame}
        | {"labelled_only": config.labelled, "requested": requested, "evaluated": len(entries)}
        | {"left_out": left_out}
        | {"view": "SHA-256 of the id, first 8 bytes, modulo the views"},
        "training_data": {"path": None if training_data is None else str(training_data), "categories": categories}
        | ({} if training is None else facts_of_training(training)),
        "missing": missing,
        "runtime": runtime(times, device),
        "seed": config.seed,
        "seconds": round(time.perf_counter() - began, 1),
    }
    evaluation = Evaluation(protocol, model.representations, rows, facts)
    if training is not None and means:
        save_mean_shapes(out / BASELINES_FILE, means)
    write_evaluation(evaluation, out)
    written = ["scores.json", "scores.csv"] + ["fscore.png"] * (len(protocol.thresholds) > 1)
    if config.pictures:
        studio = Studio(model, dataset, entries, seen)
        write_pictures(out / "pictures", [studio.shown(entry) for entry in spread(entries, config.pictures)])
        chosen = picks(rows, evaluation.network(), protocol.headline, protocol.higher_is_better)
        answered = [studio.answered(pick) for pick in chosen]
        write_gallery(evaluation, answered, out / "gallery.png")
        write_evaluation_page(evaluation, answered, out)
        written += ["gallery.png", "index.html", "pictures/"]
    print_evaluation(evaluation, out, written)
    return evaluation


def evaluation_folder(protocol: str) -> str:
    """Where in a run its evaluation under a protocol lies."""
    return "evaluation" if protocol == "maquette" else f"evaluation-{protocol}"


def check_fit(protocol: Protocol, dataset: Dataset, run: Run, entry: Entry) -> None:
    """Refuse what this run cannot be given, and a protocol that means something else for it, before any work."""
    if run.model.reads_codes and not isinstance(dataset, HasCodes):
        raise ValueError(
            f"evaluate: {run.folder} reads codes of pictures that another network made (feats.npy), and "
            f"{dataset.name} holds none; give the --data that it was trained on, or a run that reads pictures"
        )
    if protocol.viewer_centred and run.frame != "viewer":
        raise ValueError(
            f"evaluate: protocol {protocol.name} is defined in the viewer's frame, where a network must find the pose; "
            f"{run.folder} predicts in the frame of the object; train with --augment.frame viewer, or choose another "
            "--protocol"
        )
    points = torch.from_numpy(dataset.truth(entry).points)
    diagonal = float((points.amax(0) - points.amin(0)).norm())
    # Points need not reach the corners of the box.
    if protocol.needs_unit_diagonal and not 0.9 < diagonal < 1.1:
        raise ValueError(
            f"evaluate: protocol {protocol.name} is in units in which the diagonal of an object is 1; that of "
            f"{entry.id} in {dataset.name} is {diagonal:.3g}; prepare the data again, or choose a protocol with a size "
            "of its own"
        )


def runtime(times: Times, device: torch.device) -> dict[str, object]:
    """Milliseconds an object, the median over the batches of 32, and the largest memory that the process has held."""
    held = peak_memory_mb() if device.type != "cuda" else round(torch.cuda.max_memory_allocated(device) / 2**20)
    spent = {name: round(1000 * statistics.median(seconds), 2) for name, seconds in times.items()}
    return {"device": str(device), "milliseconds": spent, "peak_memory_mb": held}


def peak_memory_mb() -> int | None:
    """None where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def data_of_training(run: Run, told: Path | None) -> Path | None:
    """`told`, or the data set that the run's configuration names, which may not be there any more."""
    if told is not None:
        return told
    path = run.settings.get("train", {}).get("data")
    return None if path is None else Path(path)


def objects_to_measure(dataset: Dataset, config: EvaluateConfig) -> tuple[Entry, ...]:
    """The split's objects in the order of their ids, those with a category if only they are wanted.

    One that the split names and the data set lacks is an error, unless missing objects are allowed.
    """
    missing = missing_in(dataset, config.split)
    entries = sorted(of_split(dataset.entries, config.split), key=lambda entry: entry.id)
    if missing and not config.allow_missing:
        raise OSError(
            f"evaluate: {len(missing)} of {len(entries) + len(missing)} requested objects of {dataset.name} are "
            f"missing: {first_of(missing)}; mend them, or measure the others with --allow-missing"
        )
    if not entries and not missing:
        held = ", ".join(sorted(splits(dataset.entries)))
        raise ValueError(
            f"evaluate: {dataset.name} has no object of split {config.split!r}, only of {held}; choose --split, "
            "`all` takes every object"
        )
    if config.labelled and entries:
        entries = [entry for entry in entries if entry.category not in UNLABELLED]
        if not entries:
            raise ValueError(f"evaluate: no object of {dataset.name} has a category; leave --labelled out")
    blind = [entry.id for entry in entries if not entry.views]
    if blind and not config.allow_missing:
        raise ValueError(
            f"evaluate: {len(blind)} of {len(entries)} objects of {dataset.name} have no picture, first {blind[0]}; "
            "nothing can be asked of a network there"
        )
    return tuple(entries)


def readable(
    dataset: Dataset, entries: Sequence[Entry], advance: Callable[[int], object], *, codes: bool = False
) -> tuple[tuple[Entry, ...], list[str]]:
    """The objects whose solid and picture can be read, and the others, each with the reason."""
    found, broken = [], []
    for entry in entries:
        try:
            if not entry.views:
                raise ValueError("has no picture")
            dataset.truth(entry)
            dataset.view(entry, fixed_view(entry))
            if codes and isinstance(dataset, HasCodes):
                dataset.codes(entry)
            found.append(entry)
        except UNREADABLE as error:
            broken.append(f"{entry.id}: {in_a_line(error)}")
        advance(1)
    return tuple(found), broken


def spread(entries: Sequence[Entry], limit: int | None) -> tuple[Entry, ...]:
    """At most `limit` of the entries, evenly spaced."""
    count = len(entries) if limit is None else min(limit, len(entries))
    return tuple(entries[i * len(entries) // count] for i in range(count))


def trained_without_missing(run: Run, config: EvaluateConfig) -> bool:
    """Whether the run was trained with `--allow-missing`, which says nothing of another set of training objects."""
    return config.train_data is None and bool(run.settings.get("train", {}).get("allow_missing", False))


def open_training(
    data: Path | None, size: int, phase, *, codes: bool = False, allow_missing: bool = False
) -> tuple[Pack | None, list[str]]:
    """The objects that were trained on, packed, or None and why they are not there."""
    if data is None:
        return None, ["the run does not say what it was trained on; give --train-data"]
    if not data.exists():
        return None, [f"the training data {data} is not there; give --train-data"]
    told, advance = 0, None

    def report(done: int, total: int) -> None:
        nonlocal told, advance
        advance = advance or phase("packing", total)
        advance(done - told)
        told = done

    packed = pack(data, training_split(data), size, codes=codes, allow_missing=allow_missing, progress=report)
    return packed, []


def known_mean_shapes(run: Run, out: Path, missing: list[str]) -> tuple[dict[str, MeanShape], list[str]]:
    """Mean shapes that an earlier evaluation saved, and in words what is missing."""
    missing = [f"no retrieval and no oracle: {reason}" for reason in missing]
    for folder in (out, run.folder, run.folder / "evaluation"):
        if (folder / BASELINES_FILE).is_file():
            return load_mean_shapes(folder / BASELINES_FILE), missing
    return {}, [*missing, f"no mean shape: {run.folder} holds no {BASELINES_FILE}; give --train-data"]


def facts_of_training(training: Pack) -> dict[str, object]:
    return {"objects": len(training.entries), "views": len(training.views), "left_out": len(training.left_out)}


def facts_of_run(run: Run) -> dict[str, object]:
    model = run.settings.get("model", {})
    return {
        "folder": str(run.folder),
        "model": model.get("type"),
        "frame": run.frame,
        "representations": list(run.model.representations),
        "parameters": sum(parameter.numel() for parameter in run.model.parameters()),
        "step": run.settings.get("step"),
        "versions": {"maquette": __version__, "torch": torch.__version__, "trained_with": run.settings.get("maquette")},
    }
