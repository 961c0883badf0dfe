"""Errors to look at: coloured solids turning beside each other over a scale bar, histograms. T frames, H W pixels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette import transforms
from maquette.camera import Camera, focal_from_fov, orbit
from maquette.diagnose.errors import Side, color_ramp, error_colors
from maquette.io.atomic import atomic_path, write_json
from maquette.io.load_save import save
from maquette.io.video import save_video
from maquette.rendering import Ambient, Headlight, Look
from maquette.rendering.looks import FOV, LARGEST_DISC, Centred, centred, film, fitting_distance, over, picture
from maquette.shapes import Mesh, PointCloud, transform, union

EVEN = Look((Ambient(0.84), Headlight(0.16)))
"""Light that hardly changes colours, which mean something here."""
INK, SOFT, LINE = (29, 39, 51), (93, 107, 122), (215, 221, 227)
TITLES = ("prediction: distance to the truth", "truth: distance to the prediction")


@dataclass(frozen=True)
class Errors:
    """Of a prediction and its truth, and how they are shown."""

    prediction: Side
    truth: Side
    limit: float
    """Distance from which on the colour is red."""
    unit: str
    """What a distance is given in, as it stands below scales."""

    def numbers(self) -> dict[str, object]:
        """Both directions in numbers, of points spread evenly over each surface."""
        return {
            "unit": self.unit,
            "limit": self.limit,
            "prediction_to_truth": distribution(self.prediction.distances),
            "truth_to_prediction": distribution(self.truth.distances),
        }


def distribution(distances: Float[Tensor, " N"]) -> dict[str, float | int]:
    """How distances are spread: mean, root of the mean square, quantiles, largest."""
    found = distances.double()
    middle, most, nearly = torch.quantile(found, torch.tensor([0.5, 0.9, 0.99], dtype=torch.float64)).tolist()
    return {
        "points": len(found),
        "mean": float(found.mean()),
        "rms": float(found.square().mean().sqrt()),
        "median": middle,
        "quantile_0.9": most,
        "quantile_0.99": nearly,
        "max": float(found.max()),
    }


def write_errors(errors: Errors, out: Path, *, film: str = "webp", frames: int = 36, size: int = 300) -> list[str]:
    """Coloured prediction and truth as PLY and GLB, a turntable, a histogram and errors.json; gives their names."""
    colored = {"prediction": errors.prediction.colored(errors.limit), "truth": errors.truth.colored(errors.limit)}
    for name, shape in colored.items():
        for kind in ("ply", "glb"):
            save(shape, out / f"{name}.{kind}")
    save_video(turning(errors, frames=frames, size=size), out / f"turntable.{film}", fps=15)
    plot_histogram(errors, out / "histogram.png")
    write_json(out / "errors.json", errors.numbers())
    return [
        *(f"{name}.{kind}" for name in colored for kind in ("ply", "glb")),
        f"turntable.{film}", "histogram.png", "errors.json",
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ turntable


def turning(errors: Errors, *, frames: int = 36, size: int = 300) -> Float[Tensor, "T H W 3"]:
    """Prediction and truth in one frame, from all sides, side by side above the scale bar."""
    azimuth = torch.arange(frames) / frames * 2 * math.pi
    both = stage(errors, (errors.prediction.shown, errors.truth.shown))
    distance = fitting_distance(both[0].radius)
    cameras = orbit(azimuth, math.radians(20), distance, focal=focal_from_fov(FOV, size), size=(size, size))
    films = [film(whole, cameras, EVEN) for whole in both]
    return with_scale(torch.cat(films, 2), TITLES, errors.limit, errors.unit)


def still(errors: Errors, camera: Camera) -> tuple[Float[Tensor, "H W 3"], Float[Tensor, "H W 3"]]:
    """Prediction and truth, coloured, as one camera sees them, on white."""
    shapes = errors.prediction.colored(errors.limit), errors.truth.colored(errors.limit)
    ours, theirs = (over(picture(unmoved(shape), camera, EVEN), (1.0, 1.0, 1.0)) for shape in shapes)
    return ours, theirs


def unmoved(shape: Mesh | PointCloud) -> Centred:
    """The shape where it stands, with the discs that suit it."""
    whole = centred(shape, "errors")
    return Centred(shape, whole.radius, torch.zeros(3), whole.disc)


def stage(errors: Errors, shapes: Sequence[Mesh | PointCloud]) -> list[Centred]:
    """Both shapes coloured and moved alike: the middle of what holds both is the origin."""
    points = [shape.vertices if isinstance(shape, Mesh) else shape.points for shape in shapes]
    together = centred(union([PointCloud(cloud) for cloud in points]), "errors")
    move = transforms.scale_translate(1.0, -together.middle)
    staged = []
    for side in (errors.prediction, errors.truth):
        colored = side.colored(errors.limit)
        own = centred(colored, "errors")
        moved = transform(colored, move)
        assert isinstance(moved, Mesh | PointCloud)
        disc = min(own.disc * own.radius / together.radius, LARGEST_DISC)
        staged.append(Centred(moved, together.radius, together.middle, disc))
    return staged


def with_scale(
    frames: Float[Tensor, "T H W 3"], titles: Sequence[str], limit: float, unit: str
) -> Float[Tensor, "T K W 3"]:
    """Frames of solids beside each other, each below its title, all above a bar of the colours and their distances."""
    from PIL import Image, ImageDraw, ImageFont

    count, height, width = frames.shape[:3]
    head, foot = round(24 * width / 600), round(62 * width / 600)
    font = ImageFont.load_default(round(13 * width / 600))
    picture = Image.new("RGB", (width, height + head + foot), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    for k, title in enumerate(titles):
        x = (k + 0.5) * width / len(titles)
        draw.text((x, head * 0.65), title, fill=INK, font=font, anchor="mm")
    left, right = round(0.18 * width), round(0.82 * width)
    top, thick = head + height + round(0.1 * foot), round(0.22 * foot)
    ramp = (color_ramp() * 255).round().to(torch.uint8).numpy()
    bar = np.ascontiguousarray(np.broadcast_to(ramp, (thick, *ramp.shape)))
    picture.paste(Image.fromarray(bar).resize((right - left, thick), Image.Resampling.BILINEAR), (left, top))
    draw.rectangle((left, top, right, top + thick), outline=LINE)
    for part in (0, 0.25, 0.5, 0.75, 1):
        x = left + part * (right - left)
        draw.line((x, top + thick, x, top + thick + 3), fill=SOFT)
        text = f"{limit * part:.3g}" + (" or more" if part == 1 else "")
        draw.text((x, top + thick + 0.2 * foot), text, fill=INK, font=font, anchor="mm")
    draw.text((width / 2, top + thick + 0.5 * foot), unit, fill=SOFT, font=font, anchor="mm")
    around = torch.from_numpy(np.asarray(picture, np.float32) / 255).expand(count, -1, -1, -1).clone()
    around[:, head : head + height] = frames
    return around


# ------------------------------------------------------------------------------------------------------------ histogram


def plot_histogram(errors: Errors, path: Path) -> None:
    """A PNG: how many points are how far away, each direction; bars have the colours of the solids."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 4.6), dpi=160)
    panels = figure.subplots(2, 1, sharex=True)
    figure.subplots_adjust(left=0.085, right=0.97, top=0.93, bottom=0.115, hspace=0.34)
    edges = np.linspace(0, 1.2 * errors.limit, 61)
    colors = error_colors(torch.from_numpy((edges[1:] + edges[:-1]) / 2), errors.limit).numpy()
    for axes, title, side in zip(panels, TITLES, (errors.prediction, errors.truth), strict=True):
        distances = side.distances.double().numpy()
        share, _ = np.histogram(distances, edges)
        share = 100 * share / len(distances)
        axes.bar(edges[:-1], share, np.diff(edges), align="edge", color=colors, edgecolor="white", linewidth=0.4)
        beyond = 100 * float((distances >= errors.limit).mean())
        middle = float(np.median(distances))
        axes.axvline(middle, color="#333333", linewidth=1.1, linestyle=(0, (4, 2)))
        axes.set_title(
            f"{title}: median {middle:.3g}, mean {distances.mean():.3g}; {beyond:.1f} % at {errors.limit:.3g} or more",
            loc="left", fontsize=9.5, color="#333333",
        )  # fmt: skip
        farther = 100 * float((distances > edges[-1]).mean())
        if farther > 0:
            axes.text(1, 0.93, f"{farther:.2g} % farther →", transform=axes.transAxes, ha="right", va="top", fontsize=9)
        axes.set_ylabel("% of points", fontsize=9)
        axes.grid(axis="y", color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
        for spine in ("top", "right"):
            axes.spines[spine].set_visible(False)
        axes.tick_params(labelsize=8.5)
    panels[1].set(xlim=(0, edges[-1]), xlabel=errors.unit)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
