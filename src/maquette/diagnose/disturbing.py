"""`maquette robustness RUN`: what the scores of a network become when its pictures are disturbed, step by step.

Read `sweep_disturbances` from top to bottom. Undisturbed pictures score as in the evaluation that this begins from.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from jaxtyping import Float, UInt8
from torch import Tensor

from maquette.console import bar
from maquette.data.dataset import open_dataset
from maquette.data.entries import Entry
from maquette.diagnose.diagnosis import Value, origin_of
from maquette.diagnose.robustness import FILE, Point, Robustness, Swept, write_robustness
from maquette.diagnose.robustness_plots import plot_curves, plot_sheet
from maquette.diagnose.sweeps import KINDS, SWEEPS, Kind, Sweep, disturbed_picture
from maquette.evaluate import open_training, spread
from maquette.evaluate.baselines import retrieve
from maquette.evaluate.opened import Evaluated, open_evaluation
from maquette.evaluate.scoring import (
    NOTHING_SHOWN,
    Answers,
    Seen,
    answer_row,
    generator_of,
    look,
    target_of,
    to_cpu,
    training_view,
    truth_seen,
)
from maquette.metrics import Estimate, Interval, Protocol, bootstrap, no_scores, paired, score
from maquette.models.looks import Look
from maquette.ops.devices import usable_device

FOLDER = "robustness"
"""In the folder of the evaluation."""
BATCH = 16
SHEET_OBJECTS = 2


@dataclass(frozen=True)
class RobustnessConfig:
    """Disturb the pictures of an evaluation step by step and score again: occlusion, crop, blur, noise, light,
    background.

    Beside the network stand retrieval by the same disturbed pictures, and the mean shape.
    """

    run: tyro.conf.Positional[Path]
    """Folder of an evaluated run, or the folder of an evaluation, as the bundled network's (`evaluate --out`)."""
    data: Path | None = None
    """The data set of the evaluation, where it has moved."""
    train_data: Path | None = None
    """Data set for retrieval; the one of the evaluation unless told."""
    out: Path | None = None
    """Folder of the results; EVALUATION/robustness unless told. Existing files are replaced."""
    limit: int = 48
    """Objects, evenly spread over those of the evaluation."""
    kinds: tuple[Kind, ...] = KINDS
    """Disturbances to try."""
    representations: tuple[str, ...] = ()
    """Of the network; the best by the headline unless told."""
    seed: int = 0
    """Of the disturbances."""
    device: str = "cpu"
    """A torch device for the network: cpu, cuda, cuda:1, mps."""

    def __post_init__(self) -> None:
        if self.limit < 1 or not self.kinds:
            raise ValueError(f"robustness: limit is {self.limit}, kinds {self.kinds}; give at least one of each")


Scores = dict[tuple[str, int, str, str], dict[str, float]]
"""By (kind, level, method, score), then by id."""


@dataclass(frozen=True)
class Asked:
    """What all parts of the sweep need."""

    evaluated: Evaluated
    entries: tuple[Entry, ...]
    protocol: Protocol
    """The evaluation's, without what does not enter the scores shown."""
    scores: tuple[str, ...]
    representations: tuple[str, ...]
    seed: int


@dataclass(frozen=True)
class Kept:
    """Of the pictures under one level: what retrieval and the sheet need."""

    codes: Float[Tensor, "Q D"]
    thumbnails: Float[Tensor, "Q E"]
    shown: tuple[bool, ...]
    turns: Float[Tensor, "Q 3 3"] | None
    first: UInt8[Tensor, "P 4 S S"]
    """The pictures of the first objects."""


def kept(seen: Seen) -> Kept:
    return Kept(seen.codes, seen.thumbnails, seen.shown, seen.turns, seen.images[:SHEET_OBJECTS])


def sweep_disturbances(config: RobustnessConfig) -> Robustness:
    """Look at every object under every level, score network and retrieval, write curves and what was seen."""
    device = usable_device(config.device, "robustness")
    evaluated = open_evaluation(config.run, "robustness", config.data)
    model = evaluated.run.model
    if model.reads_codes:
        raise ValueError(f"robustness: {evaluated.run.folder} reads codes, not pictures; there is nothing to disturb")
    asked = asked_of(config, evaluated)
    model.to(device)
    sweeps = [sweep for sweep in SWEEPS if sweep.kind in config.kinds]
    out = evaluated.measured.folder / FOLDER if config.out is None else config.out
    found: Scores = {}
    looks: dict[tuple[str, int], Kept] = {}
    with bar() as progress:

        def phase(name: str, total: int, note: str = "objects"):
            if progress.disable:
                progress.console.print(f"{name}: {total} {note}", highlight=False)
            task = progress.add_task(name, total=total, note=note)
            return lambda done: progress.update(task, advance=done)

        steps = [(sweep, level) for sweep in sweeps for level in range(1, len(sweep.levels))]
        advance = phase("disturbing", (1 + len(steps)) * len(asked.entries), "pictures")
        plain = looked(asked, None, 0.0)
        network_scores(asked, plain, [(sweep.kind, 0) for sweep in sweeps], found, advance)
        undisturbed = kept(plain)
        looks |= {(sweep.kind, 0): undisturbed for sweep in sweeps}
        for sweep, level in steps:
            seen = looked(asked, sweep.kind, sweep.levels[level])
            network_scores(asked, seen, [(sweep.kind, level)], found, advance)
            looks[sweep.kind, level] = kept(seen)
        answers, missing = training_of(evaluated, config.train_data, phase)
        if answers is not None:
            retrieval_scores(asked, answers, looks, found, phase)
    robustness = put_together(asked, sweeps, found, missing)
    write_robustness(robustness, out)
    plot_curves(robustness, out / "robustness.png")
    plot_sheet(asked.entries, sweeps, {key: seen.first for key, seen in looks.items()},
               out / "disturbances.png")  # fmt: skip
    print_robustness(robustness, out)
    return robustness


def asked_of(config: RobustnessConfig, evaluated: Evaluated) -> Asked:
    protocol, held = evaluated.measured.protocol, evaluated.run.model.representations
    unknown = [name for name in config.representations if name not in held]
    if unknown:
        raise ValueError(f"robustness: the network predicts {', '.join(held)}, not {unknown[0]}")
    second = ["F@0.02"] if 0.02 in protocol.thresholds and protocol.headline != "F@0.02" else []
    scores = (protocol.headline, *second)
    # Volumes are compared last: without them the points are drawn as in the evaluation.
    slim = replace(protocol, volume_iou=None, voxel_iou=False, normals=False)
    chosen = config.representations or tuple(evaluated.ranked_methods()[:1])
    return Asked(evaluated, spread(evaluated.entries, config.limit), slim, scores, chosen, config.seed)


def looked(asked: Asked, kind: Kind | None, level: float) -> Seen:
    """The pictures under one level of a disturbance."""

    def altered(entry: Entry, rgba: Float[Tensor, "H W 4"]) -> Float[Tensor, "h w 4"]:
        return rgba if kind is None else disturbed_picture(rgba, kind, level, seed=asked.seed, id=entry.id)

    run, dataset = asked.evaluated.run, asked.evaluated.dataset
    return look(run.model, dataset, asked.entries, lambda done: None, frame=run.frame, altered=altered)


@torch.no_grad()
def network_scores(
    asked: Asked, seen: Seen, keys: Sequence[tuple[str, int]], found: Scores, advance: Callable[[int], object]
) -> None:
    """Score the answers to the pictures, and note them under each of the keys (kind, level)."""
    model, protocol = asked.evaluated.run.model, asked.protocol
    once = protocol.clouds == "as they are" or protocol.drawn == "all vertices"
    for start in range(0, len(asked.entries), BATCH):
        given = seen.given(slice(start, start + BATCH))
        looks = (Look(model.encode(given)),) if once else model.look(given)
        for name in asked.representations:
            for at, shape in enumerate(model.shapes_of_looks(looks, name), start):
                entry, shape = asked.entries[at], to_cpu(shape)
                target = target_of(truth_seen(asked.evaluated.dataset, entry, _turn(seen, at)))
                if seen.shown[at]:
                    generator = generator_of(asked.evaluated.seed, entry.id, name)
                    values = score(protocol, shape, target, generator=generator).values
                else:
                    values = no_scores(protocol, shape, target, NOTHING_SHOWN).values
                _note(found, keys, asked, name, entry.id, values)
        advance(len(given))


def training_of(evaluated: Evaluated, told: Path | None, phase) -> tuple[Answers | None, list[str]]:
    """The training objects that retrieval answers with; or None and why there is no retrieval."""
    path = evaluated.measured.scores["training_data"]["path"]
    data = told if told is not None else None if path is None else Path(path)
    if evaluated.better_retrieval() is None and told is None:
        return None, ["no retrieval: the evaluation has none; evaluate with --train-data"]
    training, missing = open_training(data, evaluated.run.model.picture_size, phase)
    if training is None or data is None:
        return None, [f"no retrieval: {reason}" for reason in missing]
    return Answers({}, open_dataset(data), training), []


def retrieval_scores(asked: Asked, answers: Answers, looks: dict[tuple[str, int], Kept], found: Scores, phase) -> None:
    """What retrieval answers to all disturbed pictures, scored. Every training view is encoded once."""
    evaluated, training = asked.evaluated, answers.training
    assert training is not None
    name = evaluated.better_retrieval() or "retrieval_encoder"
    distinct = {id(seen): seen for seen in looks.values()}
    codes, small = (torch.cat([getattr(seen, part) for seen in distinct.values()]) for part in ("codes", "thumbnails"))
    advance = phase("retrieval", len(training.views), "views")
    views = retrieve(evaluated.run.model, training, codes, small, advance).by_feature()[name]
    per_look = dict(zip(distinct, views.view(len(distinct), len(asked.entries)), strict=True))
    known: dict[tuple[int, int], dict[str, float]] = {}
    advance = phase("scoring retrieval", len(distinct) * len(asked.entries), "answers")
    for which, seen in distinct.items():
        keys = [key for key, other in looks.items() if other is seen]
        for at, (entry, view) in enumerate(zip(asked.entries, per_look[which].tolist(), strict=True)):
            turn = _turn(seen, at)
            answered = view if turn is not None else int(np.searchsorted(training.first_view, view, side="right")) - 1
            if not seen.shown[at]:
                answered = -1
            if (at, answered) not in known:
                target = target_of(truth_seen(evaluated.dataset, entry, turn))
                answer = training_view(answers, view, in_its_frame=turn is not None) if answered >= 0 else None
                row = answer_row(entry, name, answer, target, asked.protocol, evaluated.seed)
                known[at, answered] = row.scores.values
            _note(found, keys, asked, name, entry.id, known[at, answered])
            advance(1)


def _turn(seen: Seen | Kept, at: int) -> Float[Tensor, "3 3"] | None:
    return None if seen.turns is None else seen.turns[at]


def _note(
    found: Scores, keys: Sequence[tuple[str, int]], asked: Asked, method: str, id: str, values: dict[str, float]
) -> None:
    for kind, level in keys:
        for name in asked.scores:
            if name in values:
                found.setdefault((kind, level, method, name), {})[id] = values[name]


# ----------------------------------------------------------------------------------------------------- putting together


def put_together(asked: Asked, sweeps: Sequence[Sweep], found: Scores, missing: Sequence[str]) -> Robustness:
    """Means and changes with their intervals, over the objects that have the score with and without disturbance."""
    measured = asked.evaluated.measured
    methods = tuple(dict.fromkeys(method for _, _, method, _ in found))
    points, remarks = [], list(missing)
    for sweep in sweeps:
        for method in methods:
            for name in asked.scores:
                plain = found.get((sweep.kind, 0, method, name), {})
                for level, words in enumerate(sweep.names):
                    values = found.get((sweep.kind, level, method, name), {})
                    both = [entry.id for entry in asked.entries if entry.id in values and entry.id in plain]
                    if not both:
                        continue
                    if len(both) < len(asked.entries):
                        remarks.append(f"{sweep.kind} {words}: {method} has {name} of {len(both)} objects only")
                    points.append(_point(sweep.kind, words, method, name, values, plain, both))
    ids = [entry.id for entry in asked.entries]
    floors = []
    for name in asked.scores:
        values = measured.values("mean_shape", name)
        if all(id in values for id in ids):
            found_mean = bootstrap(np.array([values[id] for id in ids]))
            floors.append(
                Value("mean_shape", name, Estimate(found_mean.mean, found_mean.mean_low, found_mean.mean_high))
            )
    if not floors:
        remarks.append("no mean shape: the evaluation has none; evaluate with --train-data")
    return Robustness(
        origin=origin_of(asked.evaluated),
        objects=len(asked.entries),
        scores=asked.scores,
        methods=methods,
        sweeps=tuple(Swept(sweep.kind, sweep.title, sweep.names) for sweep in sweeps),
        points=tuple(points),
        floors=tuple(floors),
        seed=asked.seed,
        remarks=tuple(remarks),
    )


def estimate_of(found: Interval) -> Estimate:
    """The mean of a bootstrap."""
    return Estimate(found.mean, found.mean_low, found.mean_high)


def _point(
    kind: str, level: str, method: str, name: str, values: dict[str, float], plain: dict[str, float], ids: Sequence[str]
) -> Point:
    ours, before = (np.array([scores[id] for id in ids]) for scores in (values, plain))
    mean, change = bootstrap(ours), paired(ours, before)
    return Point(
        kind, level, method, name, estimate_of(mean),
        Estimate(change.difference, change.low, change.high),
    )  # fmt: skip


def print_robustness(robustness: Robustness, out: Path) -> None:
    """The headline by kind, level and method."""
    headline = robustness.scores[0]
    print(f"{headline}, means over {robustness.objects} objects; in brackets against no disturbance")
    for sweep in robustness.sweeps:
        print(f"{sweep.title}")
        for method in robustness.methods:
            curve = robustness.curve(sweep.kind, method, headline)
            cells = [f"{p.level}: {p.mean.value:.1f} ({p.change.value:+.1f})" for p in curve]
            print(f"  {method:<20}{'   '.join(cells)}")
    for value in robustness.floors:
        if value.measure == headline:
            print(f"mean shape {value.estimate.value:.1f}, whatever the picture")
    for remark in robustness.remarks:
        print(remark)
    print(f"{out}: {FILE}  robustness.png  disturbances.png")
