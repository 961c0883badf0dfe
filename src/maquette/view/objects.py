"""Objects of a data set beside what a network answers to their pictures, chosen in the browser."""

import threading
from collections.abc import Sequence
from pathlib import Path

import torch

from maquette.data.dataset import Dataset, open_dataset
from maquette.data.entries import Entry, of_split, splits
from maquette.diagnose.errors import error_colors, point_errors
from maquette.evaluate import data_of_training
from maquette.evaluate.evaluation import UNLABELLED, label
from maquette.evaluate.pictures import STONE, answers_shown, input_picture
from maquette.evaluate.scoring import look
from maquette.models import Run
from maquette.shapes import Mesh, PointCloud, VertexColors
from maquette.view.stage import Item, Stage

LIMIT = 0.05
"""Distance, in object diagonals, from which on the colour of an error is red."""
EVERY = "all classes"


def objects_of(run: Run, data: Path | None, split: str) -> tuple[Dataset, tuple[Entry, ...]]:
    """The data set and its objects with a picture, by id."""
    where = data_of_training(run, data)
    if where is None:
        raise ValueError(f"view: {run.folder} does not say what it was trained on; give --data")
    if not where.exists():
        raise FileNotFoundError(f"{where}: the data set of {run.folder} is not there; give --data")
    dataset = open_dataset(where)
    entries = sorted(of_split(dataset.entries, split), key=lambda entry: entry.id)
    if not entries:
        held = ", ".join(sorted(splits(dataset.entries)))
        raise ValueError(f"view: {dataset.name} has no object of split {split!r}, only of {held}; choose --split")
    shown = tuple(entry for entry in entries if entry.views)
    if not shown:
        raise ValueError(f"view: no object of {dataset.name} has a picture; nothing can be asked of a network")
    return dataset, shown


def items_of(run: Run, dataset: Dataset, entry: Entry, *, errors: bool) -> tuple[torch.Tensor, list[Item]]:
    """The picture that the network saw (S S 3), the truth and every answer, in the frame of the object."""
    seen = look(run.model, dataset, [entry], lambda done: None, frame=run.frame)
    cloud = PointCloud(torch.from_numpy(dataset.truth(entry).points))
    items = [Item("truth", cloud, STONE)]
    for name, surface in answers_shown(run.model, seen, 0).items():
        if surface is None:
            items.append(Item(f"{label(name)}: failed", PointCloud(torch.zeros(0, 3))))
        else:
            items.append(Item(label(name), colored(surface, cloud) if errors else surface))
    return input_picture(seen.images[0], 256), items


def colored(surface: Mesh | PointCloud, truth: PointCloud) -> Mesh | PointCloud:
    """By the distance of each vertex or point to the nearest point of the truth: blue to red at LIMIT."""
    points = surface.vertices if isinstance(surface, Mesh) else surface.points
    colors = error_colors(point_errors(points, truth.points)[0], LIMIT)
    if isinstance(surface, Mesh):
        return Mesh(surface.vertices, surface.faces, VertexColors(colors))
    return PointCloud(surface.points, colors)


def add_objects(stage: Stage, run: Run, dataset: Dataset, entries: Sequence[Entry]) -> None:
    """The list to choose from, and the first object."""
    gui, busy = stage.server.gui, threading.Lock()
    names = sorted({entry.category or UNLABELLED for entry in entries})
    with gui.add_folder("Object", order=-1.0):
        category = gui.add_dropdown("Class", [EVERY, *names]) if len(names) > 1 else None
        chosen = gui.add_dropdown("Object", [entry.id for entry in entries])
        step = gui.add_button_group("", ["previous", "next"])
        errors = gui.add_checkbox("Errors", False, hint=f"blue: none; red: {LIMIT} of the diagonal and more")
        picture = gui.add_image(torch.ones(2, 2, 3).numpy(), label="input", format="png")
    by_id = {entry.id: entry for entry in entries}

    def show(_=None) -> None:
        with busy:
            seen, items = items_of(run, dataset, by_id[chosen.value], errors=errors.value)
            picture.image = (seen * 255).round().byte().numpy()
            stage.show(items)

    def filtered(_) -> None:
        wanted = category.value if category is not None else EVERY
        chosen.options = [one.id for one in entries if wanted in (EVERY, one.category or UNLABELLED)]
        show()

    def moved(_) -> None:
        ids = list(chosen.options)
        by = 1 if step.value == "next" else -1
        chosen.value = ids[(ids.index(chosen.value) + by) % len(ids)]

    if category is not None:
        category.on_update(filtered)
    chosen.on_update(show)
    errors.on_update(show)
    step.on_click(moved)
    show()
