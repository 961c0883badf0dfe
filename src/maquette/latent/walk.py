"""`maquette latent walk A.png B.png --out DIR`: the solids between two pictures, by codes between theirs.

D numbers of a code, T frames, S pixels a side.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor

from maquette.camera import Camera
from maquette.data.crop import crop_to_mask
from maquette.diagnose.errors import distances_to
from maquette.evaluate.pictures import CLAY, PAPER, camera_like
from maquette.io.atomic import write_json
from maquette.io.pictures import write_picture
from maquette.io.video import save_video
from maquette.masks import cut_from_file
from maquette.metrics import failure_of
from maquette.models import SingleView, load_run
from maquette.models.features import Features
from maquette.models.solids import preferred, solid_surface
from maquette.rendering import antialiased, render
from maquette.rendering.looks import covering_disc, over
from maquette.shapes import Mesh, PointCloud, Shape, VertexColors, Voxels, sample

Blend = Literal["linear", "spherical"]
CORRESPONDING = ("points", "mesh")
"""Representations whose points or vertices keep their numbers: each goes its own way from the first solid to the
last."""
STAGES = 7
"""Of the strip."""
SAMPLES = 2000
"""Points of a mesh by which steps are measured."""
VIEW = (math.radians(35), math.radians(20))


@dataclass(frozen=True)
class WalkConfig:
    """Go from one picture's code to another's and show the solids on the way.

    A way of small even steps through sensible solids says that the code has learnt what shapes have in common.
    """

    pictures: tyro.conf.Positional[tuple[Path, Path]]
    """The first picture and the last."""
    out: Path
    """Folder of walk.gif, walk.png and walk.json. Existing files are replaced."""
    run: Path | None = None
    """Folder of a training run; the bundled network unless told."""
    representation: Annotated[str | None, tyro.conf.arg(name="as")] = None
    """What is shown; the field of occupancy or else voxels unless told. Points and meshes of fixed topology are
    coloured so that each point can be followed."""
    blend: Blend = "linear"
    """Between codes: along a straight line, or along the great circle between their directions (lengths linearly).
    Feature maps, which some decoders read, are mixed linearly."""
    steps: int = 24
    """Solids, both ends included."""
    size: int = 320
    """Width and height of the solid in pixels."""
    fps: int = 12
    """Pictures a second."""

    def __post_init__(self) -> None:
        if self.steps < 2 or self.size < 64 or self.fps < 1:
            raise ValueError(
                f"latent walk: steps {self.steps}, size {self.size}, fps {self.fps}; give at least 2, 64 and 1"
            )


@torch.no_grad()
def walk(config: WalkConfig) -> list[Shape]:
    """Encode both, decode what lies between, draw and measure."""
    run = load_run(config.run)
    if run.model.reads_codes:
        raise ValueError(f"latent walk: {run.folder} reads codes, not pictures; choose a run that reads pictures")
    held = run.model.representations
    name = config.representation or preferred(held)
    if name not in held:
        raise ValueError(f"latent walk: the network predicts {', '.join(held)}, not {name}")
    inputs = torch.stack([seen_by_network(path, run.model) for path in config.pictures])
    features = run.model.encode(inputs)
    ways = torch.linspace(0, 1, config.steps).tolist()
    solids = [run.model.shapes(between(features[:1], features[1:], t, config.blend), name)[0] for t in ways]
    for t, solid in zip(ways, solids, strict=True):
        failure = failure_of(solid)
        if failure:
            raise ValueError(f"latent walk: no solid at {100 * t:.0f} % of the way: {failure}; try another --as")
    camera = walk_camera(run.frame, config.size)
    frames = drawn(solids, name, camera)
    film = torch.stack([beside(inputs, frame, t) for frame, t in zip(frames, ways, strict=True)])
    hold = config.fps // 2
    there_and_back = [0] * hold + [*range(len(ways))] + [len(ways) - 1] * hold + [*range(len(ways) - 2, 0, -1)]
    save_video(film[there_and_back], config.out / "walk.gif", fps=config.fps)
    chosen = [round(k * (len(ways) - 1) / (STAGES - 1)) for k in range(STAGES)]
    write_picture(torch.cat([frames[k] for k in chosen], 1), config.out / "walk.png")
    numbers = measured(solids) | {"pictures": [str(path) for path in config.pictures], "as": name,
                                  "blend": config.blend, "run": str(run.folder)}  # fmt: skip
    write_json(config.out / "walk.json", numbers)
    print(
        f"{name}: {config.steps} solids, {numbers['ends']:.3g} from the first to the last (mean distance), "
        f"{numbers['path']:.3g} along the way; largest step {numbers['largest_step']:.2f} of their mean"
    )
    print(f"{config.out}: walk.gif  walk.png  walk.json")
    return solids


def seen_by_network(path: Path, model: SingleView) -> Float[Tensor, "4 S S"]:
    """A photograph as the network sees it: its object found and cropped."""
    return crop_to_mask(cut_from_file(path), model.picture_size).rgba.permute(2, 0, 1)


def between(first: Features, last: Features, t: float, blend: Blend) -> Features:
    """Features at `t` from 0 to 1 of the way between those of two pictures."""
    code = slerp(first.code, last.code, t) if blend == "spherical" else torch.lerp(first.code, last.code, t)
    maps = tuple(torch.lerp(a, b, t) for a, b in zip(first.maps, last.maps, strict=True))
    return Features(code, maps)


def slerp(first: Float[Tensor, "B D"], last: Float[Tensor, "B D"], t: float) -> Float[Tensor, "B D"]:
    """Along the great circle between two directions (Shoemake 1985), the length going linearly.

    Directions that are nearly equal are mixed on a straight line; opposite ones have no one circle: then an error.
    """
    lengths = first.norm(dim=-1, keepdim=True), last.norm(dim=-1, keepdim=True)
    a, b = (v / length.clamp(min=1e-12) for v, length in zip((first, last), lengths, strict=True))
    cosine = (a * b).sum(-1, keepdim=True).clamp(-1, 1)
    if bool((cosine < -1 + 1e-6).any()):
        raise ValueError("slerp: the codes are opposite, every great circle joins them; take --blend linear")
    angle = cosine.acos()
    sine = angle.sin()
    near = sine < 1e-4
    safe = torch.where(near, 1.0, sine)
    u = torch.where(near, 1 - t, ((1 - t) * angle).sin() / safe)
    v = torch.where(near, t, (t * angle).sin() / safe)
    return (u * a + v * b) * torch.lerp(lengths[0], lengths[1], t)


# ------------------------------------------------------------------------------------------------------------- drawing


def walk_camera(frame: str, size: int) -> Camera:
    """Half from the front; in the viewer's frame from a little aside of where the pictures were taken."""
    azimuth, elevation = VIEW if frame == "object" else (VIEW[0] / 2, VIEW[1] / 2)
    return camera_like((azimuth, elevation), size)


def drawn(solids: Sequence[Shape], name: str, camera: Camera) -> list[Float[Tensor, "S S 3"]]:
    """Each solid on paper. Points that correspond have the colour of their place in the first solid."""
    first = solids[0]
    colors = None
    alike = len({_count(solid) for solid in solids}) == 1
    if name in CORRESPONDING and alike and not isinstance(first, Voxels):
        places = first.vertices if isinstance(first, Mesh) else first.points
        low, high = places.aminmax(dim=0)
        colors = 0.22 + 0.68 * (places - low) / (high - low).clamp(min=1e-9)
    disc = covering_disc(first.points) if isinstance(first, PointCloud) else 0.0
    double = camera.resized((2 * camera.size[0], 2 * camera.size[1]))
    pictures = []
    for solid in solids:
        surface = _surface(solid)
        places = surface.vertices if isinstance(surface, Mesh) else surface.points
        paint = torch.tensor(CLAY).expand(len(places), 3) if colors is None else colors
        if isinstance(surface, Mesh):
            shown = Mesh(places, surface.faces, VertexColors(paint))
        else:
            shown = PointCloud(places, paint)
        radius = min(disc, 0.012) or 0.01
        pictures.append(over(antialiased(render(shown, double, background=(0.0, 0.0, 0.0), radius=radius)), PAPER))
    return pictures


def _count(solid: Shape) -> int:
    match solid:
        case Mesh(points) | PointCloud(points):
            return len(points)
        case Voxels():
            return 0


def beside(inputs: Float[Tensor, "2 4 S S"], solid: Float[Tensor, "T T 3"], t: float) -> Float[Tensor, "H W 3"]:
    """The two pictures left and right of the solid, and below it how far the way is."""
    from PIL import Image, ImageDraw

    side = solid.shape[0]
    small = side // 2
    thumbs = torch.nn.functional.interpolate(inputs, (small, small), mode="bilinear", antialias=True)
    height, width = side + 24, side + 2 * small + 16
    page = torch.ones(height, width, 3)
    top = (side - small) // 2
    for k, x in enumerate((4, width - small - 4)):
        page[top : top + small, x : x + small] = over(thumbs[k].permute(1, 2, 0).clamp(0, 1), PAPER)
    page[:side, small + 8 : small + 8 + side] = solid.clamp(0, 1)
    picture = Image.fromarray((page * 255).round().to(torch.uint8).numpy())
    draw = ImageDraw.Draw(picture)
    left, right, y = small + 8 + 0.15 * side, small + 8 + 0.85 * side, side + 8
    draw.line((left, y, right, y), fill=(215, 221, 227), width=3)
    x = left + t * (right - left)
    draw.ellipse((x - 6, y - 6, x + 6, y + 6), fill=(31, 111, 139))
    for k, x in enumerate((4, width - small - 4)):
        weight = (1 - t, t)[k]
        draw.rectangle((x, top + small + 6, x + small, top + small + 10), fill=(236, 239, 242))
        draw.rectangle((x, top + small + 6, x + weight * small, top + small + 10), fill=(31, 111, 139))
    return torch.from_numpy(np.asarray(picture, np.float32) / 255)


def measured(solids: Sequence[Shape]) -> dict[str, object]:
    """How long the way is, in mean distances of neighbouring solids, and how even its steps are.

    Distances to a mesh are exact: two samples of one surface would be farther apart than two steps of a short way.
    """
    generator = torch.Generator().manual_seed(0)
    surfaces = [_surface(solid) for solid in solids]
    steps = [_apart(a, b, generator) for a, b in itertools.pairwise(surfaces)]
    mean = sum(steps) / len(steps)
    return {
        "ends": _apart(surfaces[0], surfaces[-1], generator),
        "path": sum(steps),
        "steps": steps,
        "largest_step": max(steps) / mean if mean > 0 else 1.0,
    }


def _surface(solid: Shape) -> Mesh | PointCloud:
    return solid_surface(solid) if isinstance(solid, Voxels) else solid


def _apart(a: Mesh | PointCloud, b: Mesh | PointCloud, generator: torch.Generator) -> float:
    """Mean distance of the points of each to the other, half the sum of both ways."""
    both = [distances_to(other, _points(one, generator)).double().mean() for one, other in ((a, b), (b, a))]
    return float(sum(both)) / 2


def _points(surface: Mesh | PointCloud, generator: torch.Generator) -> Float[Tensor, "N 3"]:
    return surface.points if isinstance(surface, PointCloud) else sample(surface, SAMPLES, generator=generator).points
