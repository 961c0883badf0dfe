"""A picture in, a solid out: `reconstruct` for programs, `maquette reconstruct` for people.

    from maquette.reconstruct import reconstruct
    result = reconstruct("chair.png")
    mq.save(result.mesh, "chair.glb")

The way: picture -> mask -> square crop -> network -> shape and viewpoint -> camera -> colours.
"""

import glob
import math
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, cast

import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette.alignment import aligned_camera
from maquette.camera import Camera
from maquette.data.augment import Frame
from maquette.data.crop import Crop, crop_to_mask
from maquette.fitting.outline import Outlined, fit_outline
from maquette.io import read_picture, save, save_video, write_json, write_picture
from maquette.io.folder import check_out, reason_of, replacing
from maquette.masks import GUESSES, Mask, cut_out, foreground
from maquette.models.outside import Novelty, TrainingFeatures, distance_to_training, load_features
from maquette.models.runs import Run, load_run
from maquette.models.solids import fine_surface, preferred, solid_surface
from maquette.ops.threads import one_thread
from maquette.page import Card, Failure, solid_of, write_page
from maquette.rendering import Ambient, Directional, Headlight, Look, render, turntable
from maquette.shapes import Mesh, PointCloud, Shape, Voxels
from maquette.texturing import subdivided, textured, textured_points

Representation = Literal["mesh", "points", "voxels", "atlas", "occupancy"]
CROP = 512
"""Pixels a side of the crop from which colours are read."""
VERTICES = 12_000
"""Meshes are subdivided to at least this many, so that vertex colours hold the picture's detail."""
GENTLE = (Ambient(0.78), Headlight(0.14), Directional((-0.4, -1.0, -0.6), 0.16))
"""Lights for turntables: colours from a photograph already hold the photograph's light."""
POOR = 0.5
"""Where silhouettes agree to less than this (intersection over union), the page says that the solid does not match."""
TINT = (0.10, 0.55, 0.75)
"""Of the prediction in overlays."""
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif", ".jp2", ".tga", ".qoi")
"""What is taken for a picture in a folder."""
RECORD = "reconstruction.json"
"""All numbers of a batch; also tells that a folder is the work of this program and may be replaced."""


@dataclass(frozen=True)
class Reconstruction:
    """What one picture gave. The solid is in the frame of learning: y up, front +z, about 1 in diagonal.

    Of a run that learnt in the viewer's frame it is as the picture shows it: +z points to the camera, y up in the
    picture. Nothing turns it back: such a network does not know the object's own front.
    """

    shape: Mesh | PointCloud
    """Coloured from the picture: the mesh (of a predicted mesh, of voxels or of a field) or the points."""
    surface: Mesh | None
    """The mesh without colours, before it was subdivided to hold them; None for points."""
    representation: Representation
    """What was predicted."""
    predicted: Shape
    """As the network gave it."""
    camera: Camera
    """Lays the shape over the crop."""
    viewpoint: tuple[float, float, float]
    """Predicted azimuth and elevation in radians, distance in object diagonals. Both angles are 0 in the viewer's
    frame."""
    mask: Mask
    crop: Crop
    novelty: Novelty | None
    """Distance to the training pictures; None where the run does not hold their features."""
    outlined: Outlined | None = None
    """What refining has changed, where it was asked for."""
    frame: Frame = "object"
    """Of the solid."""

    @property
    def mesh(self) -> Mesh:
        if not isinstance(self.shape, Mesh):
            raise ValueError(
                "mesh: the prediction is a point cloud; save `shape`, or reconstruct as 'mesh' or 'voxels'"
            )
        return self.shape


def reconstruct(
    picture: str | Path | Float[Tensor, "H W 4"],
    *,
    representation: Representation | None = None,
    run: Run | str | Path | None = None,
    refine: int = 0,
) -> Reconstruction:
    """The solid that a picture shows, coloured from the picture.

    `picture` is a file or RGBA in 0..1; its object is found by `foreground`. `run` is a
    folder made by `maquette train`, or what `load_run` gave; None takes the network that comes with Maquette.
    `representation` is the best that the run has unless told. `refine` steps of differentiable rendering bring the
    mesh's outline to the picture's; what does not agree better is left as it was predicted.
    """
    if not isinstance(run, Run):
        run = load_run(None if run is None else Path(run))
    rgba = picture if isinstance(picture, Tensor) else read_picture(picture)
    return _reconstruct(rgba, chosen(run, representation), run, load_features(run.folder), refine)


def chosen(run: Run, representation: Representation | None) -> Representation:
    """The representation asked for; unless told the first of `PREFERRED`."""
    if run.model.reads_codes:
        raise ValueError(
            f"reconstruct: the run {run.folder} reads codes that another network made of pictures (encoder:codes), "
            "which a picture alone does not give; choose a run that reads pictures"
        )
    held = run.model.representations
    if representation is None:
        return cast(Representation, preferred(held))
    if representation not in held:
        raise ValueError(f"reconstruct: the run {run.folder} predicts {', '.join(held)}, not {representation}")
    return representation


@torch.no_grad()
def _reconstruct(
    rgba: Float[Tensor, "H W 4"],
    representation: Representation,
    run: Run,
    known: TrainingFeatures | None,
    refine: int,
) -> Reconstruction:
    mask = foreground(rgba)
    cut = cut_out(rgba, mask)
    crop = crop_to_mask(cut, CROP)
    image = crop_to_mask(cut, run.model.picture_size).rgba.permute(2, 0, 1)[None]
    looks = run.model.look(image)
    features = looks[0].features
    if representation == "occupancy":
        predicted = fine_surface(run.model, features)
    else:
        predicted = run.model.shapes_of_looks(looks, representation)[0]
    view = run.model.viewpoint(features)
    viewpoint = (float(view.azimuth[0]), float(view.elevation[0]), float(view.distance[0]))
    if run.frame == "viewer":
        viewpoint = (0.0, 0.0, viewpoint[2])
    novelty = None if known is None else distance_to_training(features.code, known)[0]

    if isinstance(predicted, PointCloud):
        camera = aligned_camera(predicted.points, viewpoint, _box(crop), size=(CROP, CROP))
        shape = textured_points(predicted, camera, crop.rgba)
        return Reconstruction(
            shape, None, representation, predicted, camera, viewpoint, mask, crop, novelty, frame=run.frame
        )
    surface = predicted if isinstance(predicted, Mesh) else solid_surface(predicted)
    camera = aligned_camera(surface.vertices, viewpoint, _box(crop), size=(CROP, CROP))
    outlined = fit_outline(surface, camera, crop.rgba[..., 3] > 0.5, steps=refine) if refine else None
    if outlined is not None:
        surface, camera = outlined.mesh, outlined.camera
    shape = textured(subdivided(surface, VERTICES), camera, crop.rgba)
    return Reconstruction(
        shape, surface, representation, predicted, camera, viewpoint, mask, crop, novelty, outlined, run.frame
    )


def _box(crop: Crop) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of the object in the crop's pixels."""
    solid = crop.rgba[..., 3] > 0.5
    rows, columns = solid.any(1).nonzero(), solid.any(0).nonzero()
    return float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1


@dataclass(frozen=True)
class ReconstructConfig:
    """Pictures to solids: GLB, OBJ, PLY, a turntable for each, and one page for all."""

    photos: tyro.conf.Positional[tuple[str, ...]]
    """Pictures, folders of pictures, or patterns such as 'photos/*.png'."""
    out: Path
    """Folder of the results; must not exist, unless `force`."""
    representation: Annotated[Representation | None, tyro.conf.arg(name="as")] = None
    """What is predicted; the field of occupancy or else voxels unless told. Points are saved as points."""
    refine: int = 0
    """Steps of differentiable rendering that bring outlines to the picture's, kept where they agree better; 50 do."""
    run: Path | None = None
    """Folder of a training run; the bundled network unless told."""
    force: bool = False
    """Replace the results in `out`, once the new ones are complete."""
    turntable_frames: int = 36
    """Pictures of one turn."""

    def __post_init__(self):
        if not self.photos:
            raise ValueError("reconstruct: no pictures; give files, folders or patterns")
        if self.refine < 0:
            raise ValueError(f"reconstruct: refine is {self.refine}; give 0 or more steps")
        if self.turntable_frames < 1:
            raise ValueError(f"reconstruct: turntable_frames is {self.turntable_frames}; give at least 1")


def reconstruct_pictures(config: ReconstructConfig) -> None:
    """Reconstruct a batch into a folder that appears whole at the end; a ValueError says how many pictures failed."""
    pictures, failures = find_pictures(config.photos)
    check_out(config.out, pictures, RECORD, force=config.force)
    run = load_run(config.run)
    known = load_features(run.folder)
    representation = chosen(run, config.representation)
    if config.refine and representation in ("points", "atlas"):
        raise ValueError(f"reconstruct: --refine moves meshes, and {representation} are none; leave it out")
    for failure in failures:
        complain(failure.name, failure.reason)
    cards: list[Card] = []
    records: list[dict] = []
    with replacing(config.out, force=config.force) as folder, one_thread():
        for path, name in zip(pictures, folder_names(pictures), strict=True):
            started = time.perf_counter()
            try:
                result = _reconstruct(read_picture(path), representation, run, known, config.refine)
            except (OSError, ValueError, MemoryError) as error:
                failures.append(Failure(str(path), reason_of(error, path)))
                complain(failures[-1].name, failures[-1].reason)
                continue
            seconds = time.perf_counter() - started
            card, record = _write_one(result, folder, name, str(path), seconds, config.turntable_frames)
            cards.append(card)
            records.append(record)
            notes = [f"outside the training categories ({record['novelty']:.2f})"] if card.outside else []
            notes += [f"poor match: silhouettes agree to {record['silhouette_iou']:.0%}"] if card.poor else []
            if result.outlined is not None:
                notes.append(f"silhouettes agree to {result.outlined.before:.1%}, refined {result.outlined.after:.1%}")
            doubtful = result.mask.source in GUESSES or result.mask.dropped or result.mask.remarks
            notes += [foreground_in_words(result.mask)] if doubtful else []
            print(f"{path} -> {config.out / name}  ({', '.join([card.summary, *notes])})", flush=True)
        if not cards:
            raise ValueError(f"nothing was reconstructed: {_all_failed(failures)}; {config.out} was not written")
        write_page(folder / "index.html", cards, failures)
        failed = [{"picture": failure.name, "reason": failure.reason} for failure in failures]
        write_json(folder / RECORD, {"made_by": "maquette reconstruct", "solids": records, "failed": failed})
    print(f"open {config.out / 'index.html'}", flush=True)
    if failures:
        raise ValueError(f"{_all_failed(failures)}; the reasons are above and in {config.out / 'index.html'}")


def find_pictures(photos: tuple[str, ...]) -> tuple[list[Path], list[Failure]]:
    """The files that arguments name, each once, in the order given; and arguments that name none, with the reason."""
    found: dict[Path, Path] = {}
    failures: list[Failure] = []
    for text in photos:
        path = Path(text).expanduser()
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in PICTURES)
            if not inside:
                failures.append(Failure(text, f"a folder without pictures ({' '.join(PICTURES)})"))
        elif path.exists() or not glob.has_magic(text):
            inside = [path]
        else:
            inside = [Path(file) for file in sorted(glob.glob(str(path), recursive=True))]
            if not inside:
                failures.append(Failure(text, "the pattern matches no file"))
        for file in inside:
            found.setdefault(file.absolute(), file)
    return list(found.values()), failures


def folder_names(pictures: list[Path]) -> list[str]:
    """A folder for each picture, called like it; equal names get a number. Names that differ only in case are equal."""
    taken = {"index.html", RECORD.casefold(), ".", "..", ""}
    names = []
    for path in pictures:
        stem = path.stem[:120].strip().rstrip(".") or "picture"
        name, number = stem, 2
        while name.casefold() in taken or name.startswith(".tmp-"):
            name, number = f"{stem.lstrip('.')}-{number}", number + 1
        taken.add(name.casefold())
        names.append(name)
    return names


def _write_one(
    result: Reconstruction, folder: Path, name: str, source: str, seconds: float, frames: int
) -> tuple[Card, dict]:
    """The files of one picture, its card for the page and its record."""
    place = folder / name
    kind = "points" if isinstance(result.shape, PointCloud) else "mesh"
    files = [f"{kind}.glb", f"{kind}.ply"] if kind == "points" else ["mesh.glb", "mesh.obj", "mesh.ply"]
    with ThreadPoolExecutor(1) as other:
        # The film takes as long as all the rest: it is made beside it.
        filming = other.submit(_film, result.shape, place / "turntable.gif", frames)
        for file in files:
            save(result.shape, place / file)
        if isinstance(result.predicted, Voxels):
            files.append("voxels.npz")
            save(result.predicted, place / "voxels.npz")
        write_picture(result.crop.rgba, place / "input.png")
        laid_over, agreement = overlay(result)
        write_picture(laid_over, place / "overlay.png")
        film = filming.result()

    azimuth, elevation, distance = result.viewpoint
    match result.shape:
        case Mesh(vertices, faces):
            size = f"{len(vertices):,} vertices, {len(faces):,} faces"
        case PointCloud(points):
            size = f"{len(points):,} points"
    degrees = (math.degrees(azimuth), math.degrees(elevation))
    numbers = {
        "solid": f"{result.representation}: {size}",
        "seen from": f"azimuth {degrees[0]:.0f}°, elevation {degrees[1]:.0f}°, {distance:.1f} diagonals away"
        + (": the network predicts in the viewer's frame" if result.frame == "viewer" else ""),
        "silhouettes": f"agree to {agreement:.0%} (intersection over union)" + refined_from(result.outlined),
        "foreground": foreground_in_words(result.mask),
        "time": f"{seconds:.1f} s",
    }
    outside = False
    if result.novelty is not None:
        outside = result.novelty.is_outside
        like = f", most like a {result.novelty.nearest}" if result.novelty.nearest else ""
        numbers["distance to training"] = f"{result.novelty.distance:.2f} (limit {result.novelty.threshold:.2f}){like}"
    card = Card(
        name=Path(source).name,
        folder=name,
        files=(*files, "turntable.gif", "overlay.png", "input.png"),
        numbers=numbers,
        outside=outside,
        poor=agreement < POOR,
        summary=f"{result.representation}, {size}, {seconds:.1f} s",
        picture=result.crop.rgba,
        overlay=laid_over,
        film=film,
        solid=solid_of(result.shape, base=result.surface),
        direction=(azimuth, elevation),
    )
    record = {
        "picture": source,
        "folder": name,
        "files": list(card.files),
        "representation": result.representation,
        "size": size,
        "azimuth_deg": degrees[0],
        "elevation_deg": degrees[1],
        "distance_diagonals": distance,
        "frame": result.frame,
        "silhouette_iou": agreement,
        "silhouette_iou_before_refining": None if result.outlined is None else result.outlined.before,
        "mask": result.mask.source,
        "mask_score": result.mask.score,
        "left_out": result.mask.dropped,
        "seconds": seconds,
        "novelty": None if result.novelty is None else result.novelty.distance,
        "novelty_limit": None if result.novelty is None else result.novelty.threshold,
        "outside": None if result.novelty is None else outside,
    }
    return card, record


def _film(shape: Mesh | PointCloud, path: Path, frames: int) -> Float[Tensor, "T H W 3"]:
    """The turntable, written to `path`, of about three seconds a turn."""
    film = turntable(shape, frames=frames, look=Look(lights=GENTLE))
    save_video(film, path, fps=max(1, min(15, frames // 3)))
    return film


def refined_from(outlined: Outlined | None) -> str:
    """How well outlines agreed before they were refined, in words."""
    return "" if outlined is None else f", {outlined.before:.1%} before refining, {outlined.after:.1%} after"


def overlay(result: Reconstruction) -> tuple[Float[Tensor, "S S 3"], float]:
    """The prediction, tinted, over the crop on white; and the intersection over union of their silhouettes."""
    rgb, alpha = result.crop.rgba.split([3, 1], -1)
    base = rgb * alpha + (1 - alpha)
    seen = render(_plain(result.shape), result.camera, lights=(Ambient(0.55), Headlight(0.6)), radius=0.012)
    covered = seen.alpha[None]
    inner = -torch.nn.functional.max_pool2d(-covered, 5, stride=1, padding=2)
    outline = (covered - inner)[0][..., None]
    tint = seen.rgb.mean(-1, keepdim=True) * base.new_tensor(TINT) / 0.75
    over = base + seen.alpha[..., None] * 0.5 * (tint.clamp(0, 1) - base)
    both, either = torch.minimum(seen.alpha, alpha[..., 0]), torch.maximum(seen.alpha, alpha[..., 0])
    return over + outline * (base.new_tensor(TINT) - over), float(both.sum() / either.sum())


def _plain(shape: Mesh | PointCloud) -> Mesh | PointCloud:
    return shape.with_appearance(None) if isinstance(shape, Mesh) else PointCloud(shape.points)


def foreground_in_words(mask: Mask) -> str:
    """Where the mask is from, how sure a guess is, and what is doubtful about it."""
    guess = f"the object was guessed by the {mask.source}, score {mask.score:.2f}: see the cut-out"
    notes = [f"left out {mask.dropped}"] if mask.dropped else []
    notes += mask.remarks
    words = guess if mask.source in GUESSES else mask.source
    return words + (f" ({', '.join(notes)})" if notes else "")


def complain(name: str, reason: str) -> None:
    """A line on stderr for an input that gave nothing."""
    print(f"maquette: {name}: {reason}", file=sys.stderr, flush=True)


def _all_failed(failures: list[Failure]) -> str:
    return f"{len(failures)} {'input' if len(failures) == 1 else 'inputs'} failed"
