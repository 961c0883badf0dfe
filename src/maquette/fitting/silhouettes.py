"""`maquette fit silhouettes`: an ico-sphere moulded until its outlines are those in the views; K views, H W pixels.

Everything happens in the frame of fitting, where the visual hull spans [-1, 1]; the result is in the views' own world.
"""

import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from jaxtyping import Bool, Float
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera
from maquette.fitting import optimizers
from maquette.fitting.colors import Colors, NoColors, color_error, colored
from maquette.fitting.film import film_camera, film_picture
from maquette.fitting.frame import unit_from_target
from maquette.fitting.hull import hull_points, unit_from_points
from maquette.fitting.loop import fit, generator_at
from maquette.fitting.measure import measure
from maquette.fitting.moulding import Growth, Moulding, Subdivided, begun, grown, has_left
from maquette.fitting.optimizers import Adam, Sgd, checked
from maquette.fitting.poses import FixedPoses, Poses, RefinedPoses, corrected, without_gauge
from maquette.fitting.record import Record, settings_of
from maquette.fitting.target import load_surface
from maquette.fitting.views import Fibonacci, Preset, Views, check_views, load_views, render_views, save_cameras, scaled
from maquette.io import save
from maquette.losses import edge_loss, laplacian_uniform, normal_consistency
from maquette.losses.image import silhouette_mse, soft_iou_loss
from maquette.rendering import Antialias, Dibr, Soft
from maquette.rendering.coverage import coverage, silhouette
from maquette.shapes import Mesh, to_mesh, transform
from maquette.shapes.topology import Topology

SoftEdges = Soft | Dibr | Antialias
"""What gradients an outline has."""
UNSEEN = Fibonacci(views=8, turn_deg=60.0)
"""Views that the fit of a rendered mesh is measured by and has never seen."""
CHUNK = 8
"""Views that are compared at a time."""


@dataclass(frozen=True)
class Given:
    """Cameras as the folder's transforms.json or cameras.json has them; with --render, 20 of fibonacci."""


@dataclass(frozen=True)
class LargeSteps(optimizers.LargeSteps):
    """Uniform Adam through (I + smoothness L)^-1 (Nicolet et al. 2021).

    Only the few vertices at outlines have gradients, other ones in every step: the learning rate is therefore higher,
    and gradients are spread less wide, than where all of a surface is attracted.
    """

    lr: float = 0.5
    smoothness: float = 5.0


@dataclass(frozen=True)
class SilhouetteWeights:
    """Weights of the losses; one of 0 is not computed. Terms are defined in `maquette.losses`, under the same names."""

    silhouette_mse: float = 1.0
    soft_iou: float = 0.0
    edge: float = 0.0
    normal_consistency: float = 0.01
    laplacian_uniform: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            weight = getattr(self, field.name)
            if not (weight >= 0 and math.isfinite(weight)):
                raise ValueError(f"fit silhouettes: weights.{field.name} is {weight}; give 0 or more")
        if not (self.silhouette_mse or self.soft_iou):
            raise ValueError("fit silhouettes: weights.silhouette_mse and .soft_iou are 0; nothing would attract")


@dataclass(frozen=True)
class FitSilhouettes:
    """Mould an ico-sphere to silhouettes from known cameras."""

    out: Path
    """Folder of the result, the film and the curves."""
    folder: tyro.conf.Positional[Path | None] = None
    """Views: transforms.json or cameras.json with pictures, or pictures alone and a preset of cameras."""
    render: Path | None = None
    """A mesh instead of a folder: its views are made here, and the result is compared with it."""
    cameras: Given | Preset = Given()
    """Where the views were taken from."""
    edges: SoftEdges = Antialias()
    """How outlines are drawn and differentiated."""
    optimizer: Adam | Sgd | LargeSteps = Adam()
    growth: Growth = Subdivided()
    """How fine the sphere is, and when it becomes so."""
    poses: Poses = FixedPoses()
    colors: Colors = NoColors()
    weights: SilhouetteWeights = SilhouetteWeights()
    up: Literal["y", "z"] = "z"
    """The vertical axis of a transforms.json; the result's is y."""
    size: int = 128
    """Pixels of the longer side; larger pictures are made smaller."""
    unseen: int | None = None
    """Views kept out of the fit, to measure it by; by default 8 further ones with --render, none of a folder."""
    batch: int = 2
    """Views in each step."""
    steps: int = 2000
    seed: int = 0
    resume: bool = False
    """Go on where the fit in `out` was stopped."""
    force: bool = False
    """Write over an existing folder."""

    def __post_init__(self) -> None:
        if (self.folder is None) == (self.render is None):
            raise ValueError("fit silhouettes: give a folder of views, or --render and a mesh; one of them")
        for name, least in (("steps", 1), ("batch", 1), ("size", 8), ("unseen", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"fit silhouettes: {name} is {value}; give at least {least}")
        checked(self.optimizer, "fit silhouettes")


class SilhouetteFit:
    """A mesh, and cameras if they are to be refined, under one optimiser; a loop of one's own is

    task = SilhouetteFit(views, config)
    for step in fit(task.objective, task.optimizer, config.steps):
        ...
    mesh = task.mesh()
    """

    def __init__(self, views: Views, config: FitSilhouettes, saved: dict[str, Tensor] | None = None):
        """Begin with a sphere scaled to the visual hull, or with the mesh of a stopped fit's tensors."""
        points = hull_points(check_views(views))
        self.config = config
        self.unit = unit_from_points(points)
        """From the views' world to the frame of fitting."""
        self.given = in_frame(views, self.unit)
        if saved is None:
            self.moulding = begun(transforms.apply(self.unit, points), config.growth, config.optimizer)
        else:
            self.moulding = Moulding(saved["vertices"], saved["faces"], config.optimizer)
        self.optimizer = self.moulding.optimizer
        self.twists: Float[Tensor, "K 6"] | None = None
        if isinstance(config.poses, RefinedPoses):
            self.twists = torch.zeros(len(views), 6, requires_grad=True)
            self.optimizer.add_param_group({"params": [self.twists], "lr": config.poses.lr})

    def state(self) -> dict[str, Tensor]:
        """What a resumed fit needs."""
        return self.moulding.state() | ({} if self.twists is None else {"twists": self.twists})

    def objective(self, index: int) -> dict[str, Float[Tensor, ""]]:
        """The weighted losses before step `index`, in a few views; the mesh becomes finer when it is time to.

        One that has left for where no camera looks has NaN: `fit` then tells the step, and the state before is kept.
        """
        config, progress = self.config, index / self.config.steps
        grown(self.moulding, config.growth, index, config.steps)
        self.moulding.anneal(progress)
        if isinstance(config.poses, RefinedPoses):
            self.optimizer.param_groups[1]["lr"] = config.poses.rate(progress)
        drawn = torch.randperm(len(self.given), generator=generator_at(config.seed, index))[: config.batch].tolist()
        mesh = self.moulding.live()
        if has_left(mesh):
            return {name: torch.tensor(math.nan) for name, weight in asdict(config.weights).items() if weight}
        alpha = coverage(mesh, self.cameras()[drawn], config.edges)
        return silhouette_terms(alpha, self.given.masks[drawn], config.weights) | shape_terms(
            mesh, self.moulding.topology, config.weights
        )

    def cameras(self) -> Camera:
        """Where they are by now, differentiable; in the frame of fitting."""
        cameras = self.given.cameras
        return cameras if self.twists is None else corrected(cameras, without_gauge(self.twists, cameras))

    def mesh(self) -> Mesh:
        """In the frame of fitting."""
        return self.moulding.mesh()

    @torch.no_grad()
    def views(self) -> Views:
        """In the frame of fitting, from the cameras as they are by now."""
        return replace(self.given, cameras=self.cameras())


def fit_silhouettes(config: FitSilhouettes) -> None:
    seen, unseen, target = views_of(config)
    with Record(config.out, settings_of(config), config.steps, resume=config.resume, force=config.force) as record:
        task = SilhouetteFit(seen, config, None if record.checkpoint is None else record.checkpoint.tensors)
        record.restore(task.state(), task.optimizer)
        camera = film_camera()
        for step in fit(task.objective, task.optimizer, config.steps, start=record.start):
            record.step(step, task.state(), task.optimizer)
            if record.films(step):
                mesh = task.mesh()
                record.frame(step, with_outlines(film_picture(mesh, camera), mesh, task.views()))
        views = task.views()
        mesh = colored(task.mesh(), views, config.colors)
        others = None if unseen is None else in_frame(unseen, task.unit)
        scores = scores_of(mesh, views, others)
        result = transform(mesh, task.unit.inverse())
        if target is not None:
            scores |= measure(result, target, unit_from_target(target), seed=config.seed)
        if task.twists is not None:
            save_cameras(in_frame(views, task.unit.inverse()), config.out / "cameras.json")
        record.finish(scores, save_shape=lambda path: save(result, path), suffix=".glb")
    print(f"{config.out}: {told(scores)}")


def views_of(config: FitSilhouettes) -> tuple[Views, Views | None, Mesh | None]:
    """Views to fit, views to measure by, and the mesh that they were rendered from, where there is one."""
    preset = None if isinstance(config.cameras, Given) else config.cameras
    if config.render is not None:
        target = load_surface(config.render, "fit silhouettes")
        unit = unit_from_target(target)
        moved = to_mesh(transform(target, unit))
        count = UNSEEN.views if config.unseen is None else config.unseen
        seen = render_views(moved, preset or Fibonacci(), config.size)
        unseen = render_views(moved, replace(UNSEEN, views=count), config.size) if count else None
        back = unit.inverse()
        return in_frame(check_views(seen), back), None if unseen is None else in_frame(unseen, back), target
    assert config.folder is not None
    views = check_views(load_views(config.folder, preset, up=config.up, most=config.size))
    count = config.unseen or 0
    if count > len(views) - 2:
        raise ValueError(f"fit silhouettes: {count} of {len(views)} views kept out; leave at least 2 for the fit")
    out = [(2 * i + 1) * len(views) // (2 * count) for i in range(count)]
    kept = [index for index in range(len(views)) if index not in out]
    return views[kept], views[out] if out else None, None


def in_frame(views: Views, b_from_a: Float[Tensor, "4 4"]) -> Views:
    """The views after a change of the world by a scale and a translation."""
    return replace(views, cameras=scaled(views.cameras, float(b_from_a[0, 0]), b_from_a[:3, 3]))


def silhouette_terms(
    alpha: Float[Tensor, "B H W"], masks: Bool[Tensor, "B H W"], weights: SilhouetteWeights
) -> dict[str, Float[Tensor, ""]]:
    """The weighted losses of outlines, each the mean over the views."""
    terms = {}
    if weights.silhouette_mse:
        terms["silhouette_mse"] = weights.silhouette_mse * silhouette_mse(alpha, masks).mean()
    if weights.soft_iou:
        terms["soft_iou"] = weights.soft_iou * soft_iou_loss(alpha, masks).mean()
    return terms


def shape_terms(mesh: Mesh, topology: Topology, weights: SilhouetteWeights) -> dict[str, Float[Tensor, ""]]:
    """The weighted losses of the mesh alone."""
    terms = {}
    if weights.edge:
        terms["edge"] = weights.edge * edge_loss(mesh, topology)
    if weights.normal_consistency:
        terms["normal_consistency"] = weights.normal_consistency * normal_consistency(mesh, topology)
    if weights.laplacian_uniform:
        terms["laplacian_uniform"] = weights.laplacian_uniform * laplacian_uniform(mesh, topology)
    return terms


@torch.no_grad()
def view_ious(mesh: Mesh, views: Views) -> Float[Tensor, " K"]:
    """Intersection over union of the mesh's silhouette and the mask, in each view; by pixel centres."""
    values = []
    for start in range(0, len(views), CHUNK):
        ours, masks = (silhouette(mesh, views.cameras[start : start + CHUNK]), views.masks[start : start + CHUNK])
        both, either = ((ours & masks).sum((1, 2)), (ours | masks).sum((1, 2)))
        values.append(both / either.clamp(min=1))
    return torch.cat(values)


def scores_of(mesh: Mesh, seen: Views, unseen: Views | None) -> dict:
    """Mean and least intersection over union with the masks; with colours, their root mean squared error (0..1)."""
    ours = view_ious(mesh, seen)
    scores = {"views": len(seen), "iou": float(ours.mean()), "iou_least": float(ours.min())}
    colors = mesh.appearance is not None
    if colors:
        scores["color_error"] = color_error(mesh, seen)
    if unseen is not None:
        new = view_ious(mesh, unseen)
        scores |= {
            "unseen_views": len(unseen),
            "unseen_iou": float(new.mean()),
            "unseen_iou_least": float(new.min()),
        }
        if colors:
            scores["unseen_color_error"] = color_error(mesh, unseen)
    return scores


def told(scores: dict) -> str:
    """The scores in a few words."""
    parts = [f"IoU {scores['iou']:.4f} in {scores['views']} views"]
    if "unseen_iou" in scores:
        parts.append(f"{scores['unseen_iou']:.4f} in {scores['unseen_views']} unseen ones")
    if "chamfer" in scores:
        parts.append(f"chamfer {scores['chamfer']:.3g} (target with itself {scores['target_chamfer']:.3g})")
    return ", ".join(parts)


AGREED, MISSING, SURPLUS = (0.45, 0.5, 0.55), (0.15, 0.4, 0.9), (0.95, 0.5, 0.1)
"""Colours of the film: in both silhouettes, in the mask alone, in ours alone."""


@torch.no_grad()
def with_outlines(picture: Float[Tensor, "S S 3"], mesh: Mesh, views: Views) -> Float[Tensor, "S T 3"]:
    """The film's picture, with four of the views to its right: grey agrees, blue is missing, orange is too much."""
    side = picture.shape[0] // 2
    some = views[sorted({round(i * (len(views) - 1) / 3.5) for i in range(4)})]
    ours = silhouette(mesh, some.cameras)
    tiles = []
    for mask, outline in zip(some.masks, ours, strict=True):
        colors = torch.ones(*mask.shape, 3)
        for where, color in ((outline & mask, AGREED), (mask & ~outline, MISSING), (outline & ~mask, SURPLUS)):
            colors[where] = torch.tensor(color)
        tiles.append(_enlarged(_around(mask, colors), side))
    tiles += [torch.ones(side, side, 3)] * (4 - len(tiles))
    return torch.cat([picture, torch.cat([torch.cat(tiles[:2]), torch.cat(tiles[2:])], 1)], 1)


def _around(mask: Bool[Tensor, "H W"], picture: Float[Tensor, "H W 3"]) -> Float[Tensor, "S S 3"]:
    """A square of the picture with the mask in its middle, white beyond the picture."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    top, left = (int(rows[0]) + int(rows[-1])) // 2, (int(columns[0]) + int(columns[-1])) // 2
    half = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) * 6 // 10 + 2
    wide = torch.nn.functional.pad(picture, (0, 0, half, half, half, half), value=1.0)
    return wide[top : top + 2 * half, left : left + 2 * half]


def _enlarged(picture: Float[Tensor, "S S 3"], side: int) -> Float[Tensor, "T T 3"]:
    """In `side` pixels, with a white margin; pixels stay squares."""
    planes = picture.movedim(-1, 0)[None]
    larger = torch.nn.functional.interpolate(planes, size=(side - 8, side - 8), mode="nearest")
    return torch.nn.functional.pad(larger[0].movedim(0, -1), (0, 0, 4, 4, 4, 4), value=1.0)
