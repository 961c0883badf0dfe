"""`maquette diagnose RUN`: what a network's errors depend on, and who its best, median and worst objects are.

Read `diagnose_run` from top to bottom. Scores are those of the evaluation; the network answers once more, to the same
pictures, for the errors point by point.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import tyro

from maquette.console import bar
from maquette.diagnose.breakdowns import (
    Scored,
    azimuth_bins,
    category_bins,
    elevation_bins,
    nearness,
    objects_breakdown,
    points_breakdown,
    ranked,
    thickness_names,
)
from maquette.diagnose.diagnosis import (
    FILE,
    Breakdown,
    Diagnosis,
    Facts,
    File,
    Nearness,
    Shown,
    origin_of,
    write_diagnosis,
)
from maquette.diagnose.error_pictures import Errors, still, write_errors
from maquette.diagnose.errors import errors_between
from maquette.diagnose.measuring import (
    ASKED,
    PRECISION,
    RECALL,
    THICKNESS,
    ObjectErrors,
    Reply,
    measured_errors,
    replies,
)
from maquette.diagnose.page import CAPTIONS, PLOTS, write_diagnosis_page
from maquette.evaluate.opened import Evaluated, open_evaluation
from maquette.evaluate.pictures import CLAY, STONE, camera_like, input_picture, portrait, surface_shown, webp
from maquette.evaluate.scoring import Seen, generator_of, look, target_of
from maquette.io.atomic import write_bytes
from maquette.io.folder import replacing
from maquette.ops.devices import usable_device
from maquette.shapes import PointCloud

FOLDER = "diagnosis"
"""In the folder of the evaluation."""
KINDS = ("best", "median", "worst")
UNIT = "distance (diagonal of the object = 1)"


@dataclass(frozen=True)
class DiagnoseConfig:
    """Find where a network fails: by part, view, thickness and distance to the training set; best, median and worst.

    Begins from what `maquette evaluate` has left: the same pictures, the same scores.
    """

    run: tyro.conf.Positional[Path]
    """Folder of an evaluated run, or the folder of an evaluation, as the bundled network's (`evaluate --out`)."""
    data: Path | None = None
    """The data set of the evaluation, where it has moved."""
    out: Path | None = None
    """Folder of the results; EVALUATION/diagnosis unless told. An earlier diagnosis in it is replaced."""
    tolerance: float = 0.02
    """Distance, in object diagonals, from which on a point counts as wrong or missed; 0.05, the headline's, is
    reached by nearly all points of a good network."""
    limit: float = 0.05
    """Distance from which on the colour of an error is red."""
    frames: int = 24
    """Pictures of one turn of a coloured solid."""
    device: str = "cpu"
    """A torch device for the network: cpu, cuda, cuda:1, mps."""

    def __post_init__(self) -> None:
        for name in ("tolerance", "limit"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"diagnose: {name} is {getattr(self, name)}; give a distance above 0")
        if self.frames < 1:
            raise ValueError(f"diagnose: frames is {self.frames}; give at least 1")


def diagnose_run(config: DiagnoseConfig) -> Diagnosis:
    """Measure point by point, put together, draw, write."""
    device = usable_device(config.device, "diagnose")
    evaluated = open_evaluation(config.run, "diagnose", config.data)
    out = evaluated.measured.folder / FOLDER if config.out is None else config.out
    check_replaceable(out)
    run, entries = evaluated.run, evaluated.entries
    run.model.to(device)
    with replacing(out, force=True) as folder:
        with bar() as progress:

            def phase(name: str, total: int):
                if progress.disable:
                    progress.console.print(f"{name}: {total} objects", highlight=False)
                task = progress.add_task(name, total=total, note="objects")
                return lambda done: progress.update(task, advance=done)

            seen = look(run.model, evaluated.dataset, entries, phase("looking", len(entries)), frame=run.frame)
            found = measured_errors(evaluated, seen, config.tolerance, phase("errors", len(entries)))
            diagnosis = diagnosed(evaluated, seen, found, config.tolerance)
            diagnosis = replace(diagnosis, shown=write_shown(evaluated, seen, diagnosis, config, folder, phase))
        write_diagnosis(diagnosis, folder)
        write_diagnosis_page(diagnosis, folder)
    print_diagnosis(diagnosis, out)
    return diagnosis


def check_replaceable(out: Path) -> None:
    """An error where `out` holds anything but an earlier diagnosis, for all that it holds is replaced."""
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out}: exists and is not a folder; give another --out")
    pictures = (f"pictures/[0-9]*-{what}.webp" for what in CAPTIONS)
    names = [FILE, "index.html", *PLOTS, *pictures, *(f"errors/{kind}/*" for kind in KINDS)]
    ours = {file for name in names for file in out.glob(name)}
    others = sorted(file for file in out.rglob("*") if not file.is_dir() and file not in ours)
    if others:
        raise FileExistsError(
            f"{others[0]}: is not of an earlier diagnosis, and all of {out} would be replaced; move it, or give "
            "another --out"
        )


# ----------------------------------------------------------------------------------------------------- putting together


def diagnosed(evaluated: Evaluated, seen: Seen, found: list[ObjectErrors], tolerance: float) -> Diagnosis:
    """All breakdowns, from the evaluation's scores and the errors of its objects; who is shown, without pictures."""
    measured, methods, seed = evaluated.measured, evaluated.ranked_methods(), evaluated.seed
    headline = measured.protocol.headline
    scored = scored_objects(evaluated, seen)
    tallies = [one.tallies for one in found]
    parts = sorted({name for one in tallies for key, name, _ in one if key in (RECALL, PRECISION)})

    def by_points(key: str, title: str, of: str, names: list[str]) -> Breakdown | None:
        return points_breakdown(tallies, key, title, of, names, methods, seed)

    def by_objects(bins: list, key: str, title: str) -> Breakdown | None:
        return objects_breakdown(scored, bins, key, title, headline, methods, seed)

    breakdowns = (
        by_objects(category_bins(scored), "category", "By category"),
        by_points(RECALL, "True points that are missed, by the part they belong to", "true points", parts),
        by_points(PRECISION, "Predicted points that are wrong, by the nearest part", "predicted points", parts),
        by_points(THICKNESS, "True points that are missed, by the thickness of the solid there", "true points",
                  thickness_names()),
        by_objects(azimuth_bins(scored), "azimuth", "By the azimuth of the camera"),
        by_objects(elevation_bins(scored), "elevation", "By the elevation of the camera"),
    )  # fmt: skip
    near = nearness_of(evaluated, scored)
    facts = Facts(
        origin=origin_of(evaluated),
        headline=headline,
        higher_is_better=measured.protocol.higher_is_better,
        methods=tuple(methods),
        tolerance=tolerance,
        seed=seed,
        remarks=tuple(remarks(evaluated, seen, found, near)),
    )
    there = tuple(one for one in breakdowns if one is not None and one.bins)
    return Diagnosis(facts, there, near, picked(evaluated, methods[0]))


def scored_objects(evaluated: Evaluated, seen: Seen) -> list[Scored]:
    """Each object's headline by every method, with the camera that the data knows and the nearest training shape."""
    measured = evaluated.measured
    headline = measured.protocol.headline
    scores = {name: measured.values(name, headline) for name in measured.scores["methods"]}
    distances = distances_to_training(evaluated)
    return [
        Scored(
            entry.id, entry.category, azimuth, elevation,
            {name: values[entry.id] for name, values in scores.items() if entry.id in values},
            distances.get(entry.id),
        )
        for entry, (azimuth, elevation) in zip(evaluated.entries, seen.viewpoints, strict=True)
    ]  # fmt: skip


def distances_to_training(evaluated: Evaluated) -> dict[str, float]:
    """By id: how far the oracle's answer, the best training shape, is from the truth; empty without training data."""
    measured = evaluated.measured
    if distance_measure(evaluated) == "chamfer_plain":
        return measured.values("oracle", "chamfer_plain")
    found = measured.values("oracle", measured.protocol.headline)
    return {id: 100 - value if measured.protocol.higher_is_better else value for id, value in found.items()}


def distance_measure(evaluated: Evaluated) -> str:
    """The mean distance where the protocol has it, else what its headline says."""
    protocol = evaluated.measured.protocol
    if any(chamfer.name == "chamfer_plain" for chamfer in protocol.chamfers):
        return "chamfer_plain"
    return f"100 - {protocol.headline}" if protocol.higher_is_better else protocol.headline


def nearness_of(evaluated: Evaluated, scored: list[Scored]) -> Nearness | None:
    retrieval = evaluated.better_retrieval()
    methods = [*evaluated.ranked_methods(), *([retrieval] if retrieval else []), "oracle"]
    methods = [name for name in methods if any(name in one.scores for one in scored)]
    headline = evaluated.measured.protocol.headline
    return nearness(scored, distance_measure(evaluated), headline, methods, evaluated.seed)


def remarks(evaluated: Evaluated, seen: Seen, found: list[ObjectErrors], near: Nearness | None) -> list[str]:
    """What could not be told, what was left out, and how much."""
    lines, count = [], len(found)
    for method in evaluated.run.model.representations:
        failed = sum(method in one.failures for one in found)
        if failed:
            lines.append(f"{method}: {failed} of {count} objects have no solid; they are in no breakdown of points")
    if not any(key == RECALL for one in found for key, _, _ in one.tallies):
        lines.append("no errors by part: the data has no labels of parts")
    unknown = sum(one.unknown for one in found)
    if unknown == ASKED * count:
        lines.append("no errors by thickness: the data has no normals")
    elif unknown:
        share = 100 * unknown / (ASKED * count)
        lines.append(
            f"{share:.1f} % of the true points have no known thickness (no far side was found) and are left out"
        )
    blind = sum(not math.isfinite(azimuth) for azimuth, _ in seen.viewpoints)
    if blind:
        lines.append(f"{blind} of {count} objects were seen by cameras that the data does not know: in no view's bin")
    if near is None:
        lines.append("nothing on the distance to the training set: the evaluation has no oracle; give it --train-data")
    lines.append(
        "one picture an object: bins of views hold different objects, so that a difference may be that of the objects"
    )
    return lines


def picked(evaluated: Evaluated, method: str) -> tuple[Shown, ...]:
    """Best, median and worst of all objects and of every category, by the headline of `method`."""
    measured = evaluated.measured
    values = measured.values(method, measured.protocol.headline)
    failed = {line.id: line.failure for line in measured.lines if line.method == method and line.failure}
    groups: dict[str, list[str]] = {"": [entry.id for entry in evaluated.entries]}
    for entry in sorted(evaluated.entries, key=lambda entry: entry.category):
        if entry.category:
            groups.setdefault(entry.category, []).append(entry.id)
    found = []
    for category, ids in groups.items():
        own = {id: values[id] for id in ids if id in values}
        broken = [id for id in ids if id in failed]
        for kind, id in ranked(own, broken, measured.protocol.higher_is_better):
            found.append(Shown(category, kind, id, own.get(id, 0.0), failed.get(id, ""), ()))
    return tuple(found)


# ----------------------------------------------------------------------------------------------------------- the shown


def write_shown(
    evaluated: Evaluated, seen: Seen, diagnosis: Diagnosis, config: DiagnoseConfig, out: Path, phase
) -> tuple[Shown, ...]:
    """Pictures of who is shown, each object once; of the best, median and worst of all the coloured solids, too."""
    method, places = diagnosis.facts.methods[0], {entry.id: k for k, entry in enumerate(evaluated.entries)}
    wanted = sorted({places[one.id] for one in diagnosis.shown})
    whole = {one.id: one.kind for one in diagnosis.shown if not one.category}
    advance, files = phase("pictures", len(wanted)), {}
    for number, one in enumerate(replies(evaluated, seen, wanted)):
        errors = errors_of_reply(evaluated, one, method, config.limit)
        files[one.entry.id] = write_pictures_of(one, method, seen, errors, out, f"{number:03d}")
        kind = whole.get(one.entry.id)
        if kind is not None and errors is not None:
            write_errors(errors, out / "errors" / kind, frames=config.frames, size=256)
        advance(1)
    return tuple(
        Shown(one.category, one.kind, one.id, one.score, one.failure, files[one.id]) for one in diagnosis.shown
    )


def errors_of_reply(evaluated: Evaluated, one: Reply, method: str, limit: float) -> Errors | None:
    """Both ways, where the solid lies, whatever frame the protocol measures in; None where it failed."""
    surface = None if method in one.failures else surface_shown(one.answers[method])
    if surface is None:
        return None
    truth, points = PointCloud(torch.from_numpy(one.truth.points)), evaluated.measured.protocol.points
    generator = generator_of(evaluated.seed, one.entry.id, "errors")
    return Errors(*errors_between(surface, truth, points=points, generator=generator), limit, UNIT)


def write_pictures_of(
    one: Reply, method: str, seen: Seen, errors: Errors | None, out: Path, name: str
) -> tuple[File, ...]:
    """Input, truth, prediction, and both coloured by their errors, all from where the picture was taken."""
    camera = camera_like(seen.viewpoint(one.index))
    target = target_of(one.truth)
    pictures = {
        "input": input_picture(seen.images[one.index]),
        "truth": portrait(PointCloud(target.points, normals=target.normals), camera, STONE),
        "prediction": portrait(one.answers[method], camera, CLAY),
    }
    if errors is not None:
        pictures["errors"], pictures["missed"] = still(errors, camera)
    files = []
    for what, picture in pictures.items():
        path = f"pictures/{name}-{what}.webp"
        write_bytes(out / path, webp(picture))
        files.append(File(what, path))
    return tuple(files)


def print_diagnosis(diagnosis: Diagnosis, out: Path) -> None:
    """The worst bins, in a few lines, and where the files are."""
    facts = diagnosis.facts
    best = facts.methods[0]
    print(f"{facts.origin.objects}; {best}, protocol {facts.origin.protocol}")
    for one in diagnosis.breakdowns:
        measure = one.measures[0]
        known = [(found, b) for b in one.bins if not b.few and (found := b.value(best, measure)) is not None]
        if len(known) > 1:
            is_bad = measure == "beyond" or not facts.higher_is_better
            found, worst = (max if is_bad else min)(known, key=lambda pair: pair[0].value)
            said = f"{found.value:.1f} % beyond {facts.tolerance:g}" if measure == "beyond" else f"{found.value:.4g}"
            print(
                f"{one.title}: worst at {worst.name}, {said} ({found.low:.3g} to {found.high:.3g}; "
                f"{worst.objects} objects)"
            )
    if diagnosis.nearness is not None and diagnosis.nearness.correlations[0] is not None:
        rho = diagnosis.nearness.correlations[0]
        print(
            f"rank correlation of {facts.headline} with the distance to the nearest training shape: {rho.value:+.2f} "
            f"({rho.low:+.2f} to {rho.high:+.2f})"
        )
    for remark in facts.remarks:
        print(remark)
    print(f"{out}: index.html  diagnosis.json  *.png  pictures/  errors/")
