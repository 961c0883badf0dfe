"""`maquette explain`: heat maps over pictures, of what in them makes a part of the answer what it is.

Read `explain_pictures` from top to bottom. For each picture a number is asked of the network (`questions`), such as the
mean log-odds of the cells in a box; each method (`methods`) tells what the pixels have to do with it; and each map is
compared with that of the same network without its knowledge (`sanity`).
"""

import io
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

import numpy as np
import torch
import tyro
from jaxtyping import Float
from torch import Tensor
from tyro.conf import subcommand

from maquette.data.crop import crop_to_mask
from maquette.data.dataset import Truth
from maquette.explain.drawing import Panel, write_cascade, write_panel, write_sheet
from maquette.explain.gradcam import enlarged
from maquette.explain.heat import overlaid
from maquette.explain.maps import check_representation, heat_map, heat_maps, refusal
from maquette.explain.methods import (
    TITLES,
    Channels,
    GradCam,
    GradCamPlusPlus,
    GuidedBackprop,
    GuidedGradCam,
    HiResCam,
    IntegratedGradients,
    Method,
    MethodName,
    Saliency,
    SmoothGrad,
)
from maquette.explain.questions import Asked, ask, check_truth, value_of
from maquette.explain.sanity import Sanity, cascade, likeness
from maquette.explain.sources import Source, object_named, photographs, truth_of_file
from maquette.explain.targets import Box, Loss, Part, Picked, Target, Whole, in_words
from maquette.io import write_bytes, write_json, write_picture
from maquette.io.folder import check_out, reason_of, replacing
from maquette.models import Run, load_run
from maquette.models.solids import preferred
from maquette.ops.devices import usable_device
from maquette.ops.threads import one_thread
from maquette.page import Failure
from maquette.reconstruct import Representation, complain, find_pictures, folder_names

__all__ = [
    "Box", "ExplainConfig", "GradCam", "GradCamPlusPlus", "GuidedBackprop", "GuidedGradCam", "HiResCam",
    "IntegratedGradients", "Loss", "Method", "Part", "Picked", "Saliency", "SmoothGrad", "Target", "Whole",
    "explain_pictures", "heat_maps", "overlaid",
]  # fmt: skip

RECORD = "explain.json"
"""All numbers of a batch; also tells that a folder is the work of this program and may be replaced."""
SHOWN = 512
"""Pixels a side of the pictures that are written."""

AnyTarget = (
    Annotated[Whole, subcommand("target:whole", prefix_name=False)]
    | Annotated[Box, subcommand("target:box", prefix_name=False)]
    | Annotated[Part, subcommand("target:part", prefix_name=False)]
    | Annotated[Picked, subcommand("target:picked", prefix_name=False)]
    | Annotated[Loss, subcommand("target:loss", prefix_name=False)]
)


@dataclass(frozen=True)
class ExplainConfig:
    """Heat maps over pictures: what in them makes the answer, or a part of it, what it is.

    Each picture is looked at once, as it is. docs/interpretation.md tells what each method says and does not say.
    """

    photos: tyro.conf.Positional[tuple[str, ...]]
    """Pictures, folders of pictures, or patterns such as 'photos/*.png'; none for the --object of a data set."""
    out: Path
    """Folder of the results; must not exist, unless `force`."""
    run: Path | None = None
    """Folder of a training run; the bundled network unless told."""
    representation: Annotated[Representation | None, tyro.conf.arg(name="as")] = None
    """Which answer is explained; the field of occupancy or else voxels unless told."""
    target: AnyTarget = Whole()
    """What of it."""
    methods: tuple[MethodName, ...] = ()
    """Methods; all that have a meaning for the network unless told."""
    channels: Channels = "rgb"
    """What gradients are taken by: the colours, or the mask (alpha)."""
    samples: int = 32
    """Noisy copies of a picture that SmoothGrad takes."""
    noise: float = 0.15
    """Their standard deviation, of colours in 0..1."""
    steps: int = 64
    """Of integrated gradients."""
    layer: int | None = None
    """Which of the encoder's maps the CAMs take, fine to coarse; of a transformer, which block's incoming patches. The
    last (-1) unless told, for HiResCAM the last but one (-2)."""
    truth: Path | None = None
    """A mesh or cloud, front +z, that the pictures show: for target:loss."""
    data: Path | None = None
    """A data set that holds the object that the pictures show: for target:part and target:loss."""
    object: str | None = None
    """Its id in the data set."""
    view: int = 0
    """Which of its views is explained where no pictures are given."""
    sanity: Literal["parts", "cascade", "none"] = "parts"
    """Compare maps with those of the network with randomised weights: of its decoder, then of its encoder, too; or
    module by module from the answer down."""
    seed: int = 0
    """Of noise and of randomised weights."""
    device: str = "cpu"
    """A torch device for the network: cpu, cuda, cuda:1, mps."""
    force: bool = False
    """Replace the results in `out`, once the new ones are complete."""

    def __post_init__(self) -> None:
        if not self.photos and self.object is None:
            raise ValueError("explain: no pictures; give files, folders or patterns, or the --object of a --data set")
        if (self.data is None) != (self.object is None):
            raise ValueError("explain: --data and --object belong together; give both or neither")
        if self.truth is not None and self.data is not None:
            raise ValueError("explain: --truth and --data are two truths; give one")
        if isinstance(self.target, Part) and self.data is None:
            raise ValueError("explain: target:part needs labels; give the --data set and the --object that is shown")
        if isinstance(self.target, Loss) and self.data is None and self.truth is None:
            raise ValueError("explain: target:loss needs a truth; give --truth FILE, or --data and --object")
        for name in get_args(MethodName):
            self.method(name)

    def method(self, name: str) -> Method:
        """A method with its options."""
        layer = () if self.layer is None else (self.layer,)
        match name:
            case "saliency":
                return Saliency(self.channels)
            case "smoothgrad":
                return SmoothGrad(self.samples, self.noise, self.seed, self.channels)
            case "integrated-gradients":
                return IntegratedGradients(self.steps)
            case "guided-backprop":
                return GuidedBackprop(self.channels)
            case "grad-cam":
                return GradCam(*layer)
            case "grad-cam++":
                return GradCamPlusPlus(*layer)
            case "hires-cam":
                return HiResCam(*layer)
            case _:
                return GuidedGradCam(*layer)


@dataclass(frozen=True)
class Explained:
    """What one picture gave."""

    asked: Asked
    viewpoint: tuple[float, float]
    """Azimuth and elevation of the camera as the network sees it, radians."""
    value: float
    """The number asked for."""
    value_of_empty: float
    """Of an empty picture."""
    maps: dict[str, Float[Tensor, "S S"]]
    """Raw, by the name of the method."""
    sanity: dict[str, Sanity]
    seconds: float


def explain_pictures(config: ExplainConfig) -> None:
    """Maps of each picture into a folder that appears whole at the end; a ValueError says how many pictures failed."""
    pictures, failures = find_pictures(config.photos)
    check_out(config.out, pictures, RECORD, force=config.force)
    device = usable_device(config.device, "explain")
    run = load_run(config.run)
    representation = config.representation or preferred(run.model.representations)
    check_representation(run.model, representation)
    methods, refused = usable(run, config)
    sources, truth = sources_of(config, run, pictures)
    if isinstance(config.target, Part | Loss):
        check_truth(run.model, representation, config.target, truth)
    run.model.to(device).requires_grad_(False)
    for name, reason in refused.items():
        print(f"{name} is left out: {reason}", flush=True)
    for failure in failures:
        complain(failure.name, failure.reason)
    records: list[dict] = []
    names = folder_names([Path(source.name) for source in sources])
    with replacing(config.out, force=config.force) as folder, one_thread():
        for source, name in zip(sources, names, strict=True):
            try:
                cut = source.cut()
                explained = explain(run, cut, representation, config, methods, truth)
                record = _write_one(folder / name, source.name, cut, explained, methods)
            except (OSError, ValueError, MemoryError) as error:
                reason = reason_of(error, Path(source.name)).removeprefix("explain: ")
                failures.append(Failure(source.name, reason))
                complain(failures[-1].name, failures[-1].reason)
                continue
            records.append(record)
            print(f"{source.name} -> {config.out / name}  ({explained.asked.words}: {explained.value:.3g})", flush=True)
        if not records:
            raise ValueError(f"nothing was explained: {_failed(failures)}; {config.out} was not written")
        write_json(
            folder / RECORD,
            {
                "made_by": "maquette explain",
                "run": {"folder": str(run.folder), "model": run.settings.get("model", {}).get("type")}
                | {"encoder": type(run.model.config.encoder).__name__, "frame": run.frame},
                "representation": representation,
                "target": {"kind": type(config.target).__name__, "words": in_words(config.target)}
                | asdict(config.target),
                "methods": {name: {"title": TITLES[name]} | asdict(method) for name, method in methods.items()},
                "refused": refused,
                "seed": config.seed,
                "pictures": records,
                "failed": [{"picture": failure.name, "reason": failure.reason} for failure in failures],
            },
        )
    if failures:
        raise ValueError(f"{_failed(failures)}; the reasons are above and in {config.out / RECORD}")


def usable(run: Run, config: ExplainConfig) -> tuple[dict[str, Method], dict[str, str]]:
    """Methods by name, and those left out with the reason; one asked for that has no meaning is an error."""
    methods, refused = {}, {}
    for name in config.methods or get_args(MethodName):
        method = config.method(name)
        reason = refusal(run.model, method)
        if reason is None:
            methods[name] = method
        elif config.methods:
            raise ValueError(f"explain: {name}: {reason}")
        else:
            refused[name] = reason
    return methods, refused


def sources_of(config: ExplainConfig, run: Run, pictures: Sequence[Path]) -> tuple[list[Source], Truth | None]:
    """The pictures to explain, and the truth that they show, in the frame that the run predicts in."""
    sources = photographs(pictures)
    if config.truth is not None:
        if run.frame == "viewer":
            raise ValueError(
                "explain: the run predicts in the viewer's frame, and --truth has no camera; give the truth by --data "
                "and --object"
            )
        return sources, truth_of_file(config.truth)
    if config.data is None or config.object is None:
        return sources, None
    if run.frame == "viewer" and pictures:
        raise ValueError(
            "explain: the run predicts in the viewer's frame, and from where pictures were taken is not known; leave "
            "them out and choose a --view of the object"
        )
    view, truth = object_named(config.data, config.object, config.view, frame=run.frame)
    return sources if config.photos else [view], truth


def explain(
    run: Run,
    cut: Float[Tensor, "H W 4"],
    representation: str,
    config: ExplainConfig,
    methods: dict[str, Method],
    truth: Truth | None,
) -> Explained:
    """Ask about one picture, whose object is cut out, and draw all maps; then those of randomised networks."""
    began = time.perf_counter()
    model = run.model
    picture = crop_to_mask(cut, model.picture_size).rgba.permute(2, 0, 1).to(config.device)
    asked = ask(model, picture, config.target, representation, truth=truth)
    with torch.no_grad():
        both = model.encode(torch.stack([picture, torch.zeros_like(picture)]))
        value, value_of_empty = value_of(asked.question, model, representation, both).tolist()
        view = model.viewpoint(both[:1])
    viewpoint = (0.0, 0.0) if run.frame == "viewer" else (float(view.azimuth[0]), float(view.elevation[0]))
    maps = {name: heat_map(model, picture, method, asked.question, representation) for name, method in methods.items()}
    inside = picture[3] > 0.5
    likenesses: dict[str, list[tuple[str, float | None, float | None]]] = {name: [] for name in methods}
    randomised = cascade(model, representation, fine=config.sanity == "cascade", seed=config.seed)
    for stage, lost in () if config.sanity == "none" else randomised:
        for name, method in methods.items():
            other = heat_map(lost, picture, method, asked.question, representation)
            likenesses[name].append((stage, *likeness(maps[name], other, inside)))
    sanity = {name: Sanity(*map(tuple, zip(*found, strict=True))) for name, found in likenesses.items() if found}
    return Explained(asked, viewpoint, value, value_of_empty, maps, sanity, time.perf_counter() - began)


def _write_one(
    place: Path, source: str, cut: Float[Tensor, "H W 4"], explained: Explained, methods: dict[str, Method]
) -> dict:
    """The files of one picture, and its record."""
    shown = crop_to_mask(cut, SHOWN).rgba
    write_picture(shown, place / "input.png")
    panels = []
    record: dict[str, dict] = {}
    for name, heat in explained.maps.items():
        large = enlarged(heat.cpu(), SHOWN)
        sanity = explained.sanity.get(name)
        panels.append(Panel(name, TITLES[name], overlaid(shown, large), large, sanity))
        write_panel(panels[-1], place / f"{name}.png")
        record[name] = {"largest": float(heat.abs().max()), "file": f"{name}.png"}
        if isinstance(methods[name], IntegratedGradients):
            record[name] |= {"sum": float(heat.sum())}
        if sanity is not None:
            record[name]["sanity"] = asdict(sanity) | {"without_decoder": sanity.without_decoder}
    write_sheet(panels, shown, explained.asked, explained.viewpoint, place / "sheet.png")
    files = ["sheet.png", "input.png", "maps.npz"]
    if any(len(sanity.stages) > 2 for sanity in explained.sanity.values()):
        write_cascade(panels, place / "cascade.png")
        files.append("cascade.png")
    _write_maps(place / "maps.npz", explained.maps)
    return {
        "picture": source,
        "folder": place.name,
        "files": files,
        "question": explained.asked.words,
        "value": explained.value,
        "value_of_empty_picture": explained.value_of_empty,
        "maps": record,
        "seconds": round(explained.seconds, 2),
    }


def _write_maps(path: Path, maps: dict[str, Float[Tensor, "S S"]]) -> None:
    """Raw maps by the full name of their method, float32."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **{name: heat.cpu().float().numpy() for name, heat in maps.items()})
    write_bytes(path, file.getvalue())


def _failed(failures: list[Failure]) -> str:
    return f"{len(failures)} {'input' if len(failures) == 1 else 'inputs'} failed"
