"""Shapes in the browser through viser: side by side or overlaid, each with a check box, on a turntable.

Three.js and viser's page look along -z as our cameras do not, but its world is ours: right-handed, here with y up.
"""

import contextlib
import io
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.evaluate.pictures import CLAY
from maquette.io.glb import glb_bytes
from maquette.rendering.looks import covering_disc
from maquette.shapes import Mesh, PointCloud, Shape, VertexColors, Voxels, bounds, cubify, local_frames

if TYPE_CHECKING:
    from viser import ViserServer

GAP = 0.25
"""Between shapes side by side, as a part of the widest."""
FOV = math.radians(35)
FRAMES_A_SECOND = 25
TURN = math.radians(40)
"""Of the turntable, a second."""


@dataclass(frozen=True)
class Item:
    """One shape of the scene."""

    name: str
    """Shown beside its check box and below it."""
    shape: Shape
    color: tuple[float, float, float] = CLAY
    """sRGB, of what has no colours of its own."""


@dataclass(frozen=True)
class Placed:
    """Where an item stands: its point p is drawn at position + scale * (p - middle)."""

    position: tuple[float, float, float]
    middle: tuple[float, float, float]
    scale: float


def visible(shape: Shape, color: tuple[float, float, float]) -> Mesh | PointCloud:
    """What is drawn: voxels as blocks, and a colour where there is none."""
    match cubify(shape) if isinstance(shape, Voxels) else shape:
        case Mesh(vertices, faces, None):
            return Mesh(vertices, faces, VertexColors(torch.tensor(color).expand(len(vertices), 3)))
        case PointCloud(points, None, normals):
            return PointCloud(points, torch.tensor(color) * lit(points, normals)[:, None], normals)
        case other:
            assert isinstance(other, Mesh | PointCloud)
            return other


def lit(points: Float[Tensor, "N 3"], normals: Float[Tensor, "N 3"] | None) -> Float[Tensor, " N"]:
    """Light from above and in front, as part of a cloud's own colour: the browser draws its points without any."""
    if normals is None:
        if len(points) < 3:
            return torch.ones(len(points))
        normals = local_frames(points, min(16, len(points))).axes[..., 0]
    return 0.55 + 0.45 * (normals @ normals.new_tensor([0.36, 0.8, 0.48])).abs()


def is_empty(shape: Shape) -> bool:
    """Whether nothing of it would be seen."""
    match shape:
        case Voxels(occupancy):
            return not bool((occupancy >= 0.5).any())
        case Mesh(_, faces):
            return len(faces) == 0
        case PointCloud(points):
            return len(points) == 0


def placed(boxes: Sequence[Float[Tensor, "2 3"]], *, overlaid: bool, alike: bool) -> list[Placed]:
    """Each shape by the box around it: all where they are, or in a row along x, their feet on one floor.

    `alike`: every box gets a diagonal of 1.
    """
    spans = [(high - low) for low, high in boxes]
    scales = [1 / max(float(span.norm()), 1e-12) if alike else 1.0 for span in spans]
    if overlaid:
        corners = torch.cat(list(boxes))
        common = _triple((corners.amin(0) + corners.amax(0)) / 2)
        middles = [_triple(box.mean(0)) if alike else common for box in boxes]
        return [Placed((0.0, 0.0, 0.0), middle, scale) for middle, scale in zip(middles, scales, strict=True)]
    # On a turntable a shape sweeps a circle: its width is that of its floor's diagonal.
    widths = [float(span[[0, 2]].norm()) * scale for span, scale in zip(spans, scales, strict=True)]
    gap = GAP * max(widths)
    at, found = -(sum(widths) + gap * (len(widths) - 1)) / 2, []
    for box, span, width, scale in zip(boxes, spans, widths, scales, strict=True):
        found.append(Placed((at + width / 2, float(span[1]) * scale / 2, 0.0), _triple(box.mean(0)), scale))
        at += width + gap
    return found


def _triple(vector: Float[Tensor, "3"]) -> tuple[float, float, float]:
    x, y, z = vector.tolist()
    return x, y, z


class Stage:
    """The scene of a server: shows items, and turns them while its check box says so. Safe to call from any thread."""

    def __init__(self, server: "ViserServer", *, overlaid: bool) -> None:
        self.server = server
        self.lock = threading.RLock()
        self.items: list[Item] = []
        self.hidden: set[str] = set()
        self.frames: list = []
        self.boxes: list = []
        self.angle = 0.0
        server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=(11, 110, 143))
        server.scene.set_up_direction("+y")
        self.layout = server.gui.add_checkbox("Overlaid", overlaid, hint="all where they are, or side by side")
        self.alike = server.gui.add_checkbox("Same size", False, hint="every diagonal 1")
        self.turning = server.gui.add_checkbox("Turntable", False)
        self.folder = server.gui.add_folder("Shapes")
        self.layout.on_update(lambda _: self.show(self.items))
        self.alike.on_update(lambda _: self.show(self.items))
        self.closed = threading.Event()
        threading.Thread(target=self._turn, daemon=True).start()

    def show(self, items: Sequence[Item]) -> None:
        """These items in the place of what was shown; a name that was hidden stays so."""
        with self.lock:
            self.items = list(items)
            for handle in (*self.frames, *self.boxes):
                handle.remove()
            self.frames, self.boxes = [], []
            shapes = [visible(item.shape, item.color) for item in items if not is_empty(item.shape)]
            drawn = [item for item in items if not is_empty(item.shape)]
            if not drawn:
                return
            around = [bounds(shape).detach().cpu() for shape in shapes]
            places = placed(around, overlaid=self.layout.value, alike=self.alike.value)
            for number, (item, shape, place) in enumerate(zip(drawn, shapes, places, strict=True)):
                self._add(number, item, shape, place, around[number])
            self._look(places, around)

    def _add(self, number: int, item: Item, shape: Mesh | PointCloud, place: Placed, box: Float[Tensor, "2 3"]) -> None:
        scene, name = self.server.scene, f"/item{number}"
        frame = scene.add_frame(name, show_axes=False, position=place.position, visible=item.name not in self.hidden)
        offset = _triple(-place.scale * torch.tensor(place.middle))
        if isinstance(shape, Mesh):
            scene.add_glb(f"{name}/shape", glb_bytes(shape, item.name), scale=place.scale, position=offset)
        else:
            assert shape.colors is not None
            scene.add_point_cloud(
                f"{name}/shape", shape.points.detach().cpu().numpy() * place.scale,
                (shape.colors.clamp(0, 1) * 255).round().byte().cpu().numpy(),
                point_size=place.scale * covering_disc(shape.points.detach().cpu()), point_shape="circle",
                precision="float32", position=offset,
            )  # fmt: skip
        if not self.layout.value:
            below = -0.56 * place.scale * float(box[1, 1] - box[0, 1])
            scene.add_label(f"{name}/label", item.name, position=(0.0, below, 0.0), anchor="top-center")
        with self.folder:
            check = self.server.gui.add_checkbox(item.name, item.name not in self.hidden)

        def changed(_, frame=frame, check=check) -> None:
            frame.visible = check.value
            (self.hidden.discard if check.value else self.hidden.add)(item.name)

        check.on_update(changed)
        self.frames.append(frame)
        self.boxes.append(check)

    def _look(self, places: Sequence[Placed], around: Sequence[Float[Tensor, "2 3"]]) -> None:
        """From the front and a little above, so far away that all is seen."""
        low, high = torch.full((3,), math.inf), torch.full((3,), -math.inf)
        for place, box in zip(places, around, strict=True):
            moved = torch.tensor(place.position) + place.scale * (box - torch.tensor(place.middle))
            low, high = torch.minimum(low, moved[0]), torch.maximum(high, moved[1])
        middle, radius = (low + high) / 2, max(float((high - low).norm()) / 2, 1e-9)
        away = radius / math.sin(FOV / 2)
        eye = middle + away * torch.tensor([0.0, math.sin(0.3), math.cos(0.3)])
        camera = self.server.initial_camera
        camera.fov, camera.near, camera.far = FOV, away / 100, away * 20
        camera.position, camera.look_at, camera.up = _triple(eye), _triple(middle), (0.0, 1.0, 0.0)
        for client in self.server.get_clients().values():
            client.camera.position, client.camera.look_at = _triple(eye), _triple(middle)

    def _turn(self) -> None:
        while not self.closed.wait(1 / FRAMES_A_SECOND):
            if not self.turning.value:
                continue
            with self.lock:
                self.angle += TURN / FRAMES_A_SECOND
                quaternion = (math.cos(self.angle / 2), 0.0, math.sin(self.angle / 2), 0.0)
                for frame in self.frames:
                    frame.wxyz = quaternion

    def close(self) -> None:
        self.closed.set()
        with contextlib.redirect_stdout(io.StringIO()):  # its farewell
            self.server.stop()
