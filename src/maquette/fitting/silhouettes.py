"""`maquette fit silhouettes`: an ico-sphere moulded until its outlines are those in the views; K views, H W pixels.

Everything happens in the frame of fitting, where the visual hull spans [-1, 1]; the result is in the views' own world.
"""

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import torch
import tyro
from jaxtyping import Bool, Float
from torch import Tensor

from maquette.camera import Camera
from maquette.fitting.colors import Colors, NoColors, colored
from maquette.fitting.film import film_camera, film_picture
from maquette.fitting.frame import unit_from_target
from maquette.fitting.hull import hull_points, unit_from_points
from maquette.fitting.loop import fit, generator_at
from maquette.fitting.measure import measure
from maquette.fitting.moulding import Growth, Moulding, Subdivided, begun, grown
from maquette.fitting.optimizers import Adam, Optimizer, checked
from maquette.fitting.poses import FixedPoses, Poses, RefinedPoses, corrected, without_gauge
from maquette.fitting.record import Record, settings_of
from maquette.fitting.views import Fibonacci, Preset, Views, check_views, load_views, render_views, resized, scaled
from maquette.io import load, save
from maquette.losses import edge_loss, laplacian_uniform, normal_consistency
from maquette.losses.image import silhouette_mse, soft_iou_loss
from maquette.rendering import Antialias, Dibr, Soft
from maquette.rendering.coverage import coverage, silhouette
from maquette.shapes import Mesh, to_mesh, transform

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
    edges: SoftEdges = Soft()
    """How outlines are drawn and differentiated."""
    optimizer: Optimizer = Adam()
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


def fit_silhouettes(config: FitSilhouettes) -> None:
    seen, unseen, target = views_of(config)
    points = hull_points(seen)
    unit = unit_from_points(points)
    views, device = in_frame(seen, unit), points.device
    with Record(config.out, settings_of(config), config.steps, resume=config.resume, force=config.force) as record:
        if record.checkpoint is None:
            moulding = begun(points @ unit[:3, :3].T + unit[:3, 3], config.growth, config.optimizer)
        else:
            saved = record.checkpoint.tensors
            moulding = Moulding(saved["vertices"], saved["faces"], config.optimizer)
        twists = torch.zeros(len(views), 6, device=device, requires_grad=isinstance(config.poses, RefinedPoses))
        state = {}
        if isinstance(config.poses, RefinedPoses):
            moulding.optimizer.add_param_group({"params": [twists], "lr": config.poses.lr})
            state["twists"] = twists
        record.restore(moulding.state() | state, moulding.optimizer)

        def objective(index: int) -> dict[str, Float[Tensor, ""]]:
            grown(moulding, config.growth, index, config.steps)
            progress = index / config.steps
            moulding.anneal(progress)
            cameras = views.cameras
            if isinstance(config.poses, RefinedPoses):
                moulding.optimizer.param_groups[1]["lr"] = config.poses.rate(progress)
                cameras = corrected(cameras, without_gauge(twists, cameras))
            drawn = torch.randperm(len(views), generator=generator_at(config.seed, index))[: config.batch]
            return silhouette_terms(moulding, cameras, views, drawn.tolist(), config)

        camera = film_camera()
        for step in fit(objective, moulding.optimizer, config.steps, start=record.start):
            record.step(step, moulding.state() | state, moulding.optimizer)
            if record.films(step):
                mesh = moulding.mesh()
                record.frame(step, beside(film_picture(mesh, camera), mesh, refined_views(views, twists)))
        found, world = refined_views(views, twists), unit.inverse()
        mesh = colored(moulding.mesh(), found, config.colors)
        result = transform(mesh, world)
        scores = scores_of(mesh, found, None if unseen is None else in_frame(unseen, unit))
        if target is not None:
            scores |= measure(result, target, unit_from_target(target), seed=config.seed)
        record.finish(scores, save_shape=lambda path: save(result, path), suffix=".glb")
    print(f"{config.out}: {told(scores)}")


def views_of(config: FitSilhouettes) -> tuple[Views, Views | None, Mesh | None]:
    """Views to fit, views to measure by, and the mesh that they were rendered from, where there is one."""
    preset = None if isinstance(config.cameras, Given) else config.cameras
    if config.render is not None:
        target = to_mesh(load(config.render))
        if len(target.faces) == 0:
            raise ValueError(f"fit silhouettes: {config.render} has no surface; give a mesh with faces")
        unit = unit_from_target(target)
        moved = to_mesh(transform(target, unit))
        count = UNSEEN.views if config.unseen is None else config.unseen
        seen = render_views(moved, preset or Fibonacci(), config.size)
        unseen = render_views(moved, replace(UNSEEN, views=count), config.size) if count else None
        back = unit.inverse()
        return in_frame(check_views(seen), back), None if unseen is None else in_frame(unseen, back), target
    assert config.folder is not None
    views = check_views(load_views(config.folder, preset, up=config.up))
    height, width = views.cameras.size
    ratio = min(1.0, config.size / max(height, width))
    views = check_views(resized(views, (max(round(height * ratio), 1), max(round(width * ratio), 1))))
    count = config.unseen or 0
    if count > len(views) - 2:
        raise ValueError(f"fit silhouettes: {count} of {len(views)} views kept out; leave at least 2 for the fit")
    out = [(2 * i + 1) * len(views) // (2 * count) for i in range(count)]
    kept = [index for index in range(len(views)) if index not in out]
    return views[kept], views[out] if out else None, None


def in_frame(views: Views, b_from_a: Float[Tensor, "4 4"]) -> Views:
    """The views after a change of the world by a scale and a translation."""
    return replace(views, cameras=scaled(views.cameras, float(b_from_a[0, 0]), b_from_a[:3, 3]))


def refined_views(views: Views, twists: Float[Tensor, "K 6"]) -> Views:
    """The views from where the fit has found their cameras to be."""
    if not twists.requires_grad:
        return views
    with torch.no_grad():
        return replace(views, cameras=corrected(views.cameras, without_gauge(twists, views.cameras)))


def silhouette_terms(
    moulding: Moulding, cameras: Camera, views: Views, drawn: list[int], config: FitSilhouettes
) -> dict[str, Float[Tensor, ""]]:
    """The weighted losses of the mesh as it is, in the views drawn."""
    mesh, topology, weights = moulding.live(), moulding.topology, config.weights
    alpha, masks = coverage(mesh, cameras[drawn], config.edges), views.masks[drawn]
    terms = {}
    if weights.silhouette_mse:
        terms["silhouette_mse"] = weights.silhouette_mse * silhouette_mse(alpha, masks).mean()
    if weights.soft_iou:
        terms["soft_iou"] = weights.soft_iou * soft_iou_loss(alpha, masks).mean()
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
    """Mean and least intersection over union with the masks."""
    ours = view_ious(mesh, seen)
    scores = {"views": len(seen), "iou": float(ours.mean()), "iou_least": float(ours.min())}
    if unseen is not None:
        new = view_ious(mesh, unseen)
        scores |= {
            "unseen_views": len(unseen),
            "unseen_iou": float(new.mean()),
            "unseen_iou_least": float(new.min()),
        }
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
def beside(picture: Float[Tensor, "S S 3"], mesh: Mesh, views: Views) -> Float[Tensor, "S T 3"]:
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
