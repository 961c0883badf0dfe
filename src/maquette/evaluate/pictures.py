"""Solids as small pictures, all from the side that the network saw: for galleries and comparisons. S pixels a side."""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from maquette.camera import Camera, orbit
from maquette.data.dataset import Dataset
from maquette.data.entries import Entry
from maquette.evaluate.scoring import Row, Seen, Times, fixed_view, predict, target_of, truth_seen
from maquette.evaluate.viewer import turned_surface
from maquette.io.atomic import write_bytes, write_json
from maquette.metrics import failure_of
from maquette.models import SingleView
from maquette.rendering import antialiased, render
from maquette.rendering.looks import covering_disc, over
from maquette.shapes import Mesh, PointCloud, Shape, VertexColors, Voxels, estimate_normals, to_mesh

SIDE = 192
CLAY = (0.80, 0.74, 0.66)
"""sRGB of predictions."""
STONE = (0.62, 0.68, 0.74)
"""sRGB of the truth."""
PAPER = (1.0, 1.0, 1.0)
DISC = 0.02
"""Largest radius of a cloud's discs, in object diagonals."""
UNKNOWN = (math.radians(35), math.radians(20))
"""Azimuth and elevation where the data does not know the camera."""


def camera_like(viewpoint: tuple[float, float], side: int = SIDE) -> Camera:
    """From where the picture was taken, at a distance that shows all of the frame of learning."""
    azimuth, elevation = viewpoint if math.isfinite(viewpoint[0]) else UNKNOWN
    return orbit(azimuth, elevation, torch.tensor(1.9), focal=1.55 * side, size=(side, side))


def surface_shown(shape: Shape) -> Mesh | PointCloud | None:
    """What is drawn of a prediction, where it lies; None where it failed."""
    if failure_of(shape):
        return None
    surface = to_mesh(shape) if isinstance(shape, Voxels) else shape
    assert isinstance(surface, Mesh | PointCloud)
    return surface if isinstance(surface, PointCloud) or len(surface.faces) else None


def answers_shown(model: SingleView, seen: Seen, at: int) -> dict[str, Mesh | PointCloud | None]:
    """By representation, what is drawn of the network's answer to one of the pictures, in the frame of the object."""
    with torch.no_grad():
        predicted = predict(model, seen.given(slice(at, at + 1)), Times())
    found = {name: surface_shown(shapes[0]) if seen.shown[at] else None for name, shapes in predicted.items()}
    if seen.turns is None:
        return found
    back = seen.turns[at].T.contiguous()
    return {name: surface and turned_surface(surface, back) for name, surface in found.items()}


def portrait(shape: Shape, camera: Camera, color: tuple[float, float, float] = CLAY) -> Float[Tensor, "S S 3"]:
    """An antialiased picture on paper; a failure shows nothing."""
    surface = surface_shown(shape)
    if surface is None:
        return torch.tensor(PAPER).expand(*camera.size, 3)
    if isinstance(surface, PointCloud):
        points = surface.points
        normals = surface.normals
        if normals is None and len(points) >= 3:
            eye = camera.world_from_cam[:3, 3].to(points)
            normals = estimate_normals(PointCloud(points), min(16, len(points)), viewpoint=eye).normals
        surface = PointCloud(points, torch.tensor(color).expand_as(points), normals)
        radius = min(covering_disc(points), DISC)
    else:
        paint = VertexColors(torch.tensor(color).expand(len(surface.vertices), 3))
        surface, radius = Mesh(surface.vertices, surface.faces, paint), DISC
    double = camera.resized((2 * camera.size[0], 2 * camera.size[1]))
    return over(antialiased(render(surface, double, background=(0.0, 0.0, 0.0), radius=radius)), PAPER)


def input_picture(rgba: UInt8[Tensor, "4 S S"], side: int = SIDE) -> Float[Tensor, "T T 3"]:
    """The crop that the network saw, on paper."""
    picture = torch.nn.functional.interpolate(
        rgba[None].float() / 255, (side, side), mode="bilinear", antialias=True, align_corners=False
    )[0]
    return over(picture.permute(1, 2, 0), PAPER)


def webp(picture: Float[Tensor, "H W 3"]) -> bytes:
    """A few kilobytes."""
    from PIL import Image

    file = io.BytesIO()
    array = (picture.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    Image.fromarray(np.ascontiguousarray(array)).save(file, "WEBP", quality=82)
    return file.getvalue()


# -------------------------------------------------------------------------------------------- kept beside the scores


@dataclass(frozen=True)
class Shown:
    """One object in pictures: what was seen, the truth, and every representation."""

    id: str
    category: str
    view: int
    pictures: dict[str, Float[Tensor, "S S 3"]]
    """`input`, `truth`, and by the name of a representation."""


def write_pictures(folder: Path, objects: Sequence[Shown]) -> None:
    """A WebP a picture and index.json, which says what they show; what an earlier evaluation left is taken away."""
    for old in folder.glob("*.webp"):
        old.unlink()
    index = []
    for number, shown in enumerate(objects):
        files = {name: f"{number:02d}-{name}.webp" for name in shown.pictures}
        for name, file in files.items():
            write_bytes(folder / file, webp(shown.pictures[name]))
        index.append({"id": shown.id, "category": shown.category, "view": shown.view, "files": files})
    write_json(folder / "index.json", {"side": SIDE, "objects": index})


@dataclass(frozen=True)
class Pick:
    """An object that a representation did best, middling or worst on."""

    method: str
    kind: str
    row: Row


def picks(rows: Sequence[Row], methods: Sequence[str], score: str, higher_is_better: bool) -> list[Pick]:
    """Best, median and worst object of each method by a score; failures are the worst. Ties: the first of the ids."""
    found = []
    for method in methods:
        own = [row for row in rows if row.method == method]
        sign = -1 if higher_is_better else 1

        def order(row: Row, sign: int = sign) -> tuple[float, str]:
            failed = math.inf if row.scores.failure else 0.0
            return failed + sign * row.scores.values.get(score, 0.0), row.entry.id

        ranked = sorted(own, key=order)
        if not ranked:
            continue
        chosen = {"best": ranked[0], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[-1]}
        found += [Pick(method, kind, row) for kind, row in chosen.items()]
    return found


@dataclass(frozen=True)
class Answered:
    """A pick and its pictures."""

    pick: Pick
    seen: Float[Tensor, "S S 3"]
    truth: Float[Tensor, "S S 3"]
    answer: Float[Tensor, "S S 3"]


@dataclass(frozen=True)
class Studio:
    """Takes pictures of what a network answers, once more, to objects of an evaluation."""

    model: SingleView
    dataset: Dataset
    entries: Sequence[Entry]
    seen: Seen
    """Of the entries."""

    def shown(self, entry: Entry) -> Shown:
        """An object in every representation."""
        at = self.entries.index(entry)
        camera = self._camera(at)
        drawn = {"input": self._input(at), "truth": self._truth(at, camera)}
        drawn |= {name: portrait(shape, camera) for name, shape in self._answers(at).items()}
        return Shown(entry.id, entry.category, fixed_view(entry), drawn)

    def answered(self, pick: Pick) -> Answered:
        at = self.entries.index(pick.row.entry)
        camera = self._camera(at)
        answer = portrait(self._answers(at)[pick.method], camera)
        return Answered(pick, self._input(at), self._truth(at, camera), answer)

    def _camera(self, at: int) -> Camera:
        return camera_like(self.seen.viewpoint(at))

    def _input(self, at: int) -> Float[Tensor, "T T 3"]:
        return input_picture(self.seen.images[at])

    def _truth(self, at: int, camera: Camera) -> Float[Tensor, "S S 3"]:
        turn = None if self.seen.turns is None else self.seen.turns[at]
        target = target_of(truth_seen(self.dataset, self.entries[at], turn))
        return portrait(PointCloud(target.points, normals=target.normals), camera, STONE)

    def _answers(self, at: int) -> dict[str, Shape]:
        found = predict(self.model, self.seen.given(slice(at, at + 1)), Times())
        return {name: shapes[0] for name, shapes in found.items()}
