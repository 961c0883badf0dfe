"""Heat maps of the report: what in the picture of an object makes the answer what it is. S pixels a side."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.evaluate.comparison import Comparison
from maquette.evaluate.evaluation import label
from maquette.evaluate.pictures import webp
from maquette.explain.gradcam import enlarged
from maquette.explain.heat import overlaid
from maquette.explain.maps import heat_map, refusal
from maquette.explain.methods import TITLES, GradCam, HiResCam, IntegratedGradients, Method, SmoothGrad
from maquette.explain.questions import ask
from maquette.explain.targets import Whole
from maquette.models import Run, SingleView
from maquette.models.solids import preferred

SIDE = 224
"""Pixels a side of a map in the page."""
METHODS: dict[str, Method] = {
    "hires-cam": HiResCam(),
    "grad-cam": GradCam(),
    "integrated-gradients": IntegratedGradients(16),
    "smoothgrad": SmoothGrad(16),
}
"""Cheap enough for sixty objects; `maquette explain` has more of them, and finer ones."""


@dataclass(frozen=True)
class Heats:
    """Which maps a run gets."""

    representation: str
    methods: tuple[tuple[str, Method], ...]
    """Titles, and how."""


def heats_of_run(run: Run, name: str, comparison: Comparison, wanted: Sequence[str]) -> tuple[Heats, list[str]]:
    """The wanted methods that have a meaning for a run's network; of the others why they have none."""
    representation = preferred(run.model.representations)
    if run.model.reads_codes:
        return Heats(representation, ()), [f"no heat maps of {name}: its network reads codes, not pictures"] * bool(
            wanted
        )
    refused = {method: refusal(run.model, METHODS[method]) for method in wanted}
    whose = label(representation) if len(comparison.runs) == 1 else f"{name}, {label(representation)}"
    methods = tuple((f"{TITLES[key]}, {whose}", METHODS[key]) for key, reason in refused.items() if reason is None)
    return Heats(representation, methods), [f"{name}: {reason}" for reason in refused.values() if reason is not None]


def drawn_heats(model: SingleView, picture: Float[Tensor, "4 S S"], heats: Heats) -> list[bytes | None]:
    """A WebP a method, of the whole answer to one picture; None where there is no answer to ask about."""
    if not heats.methods:
        return []
    try:
        asked = ask(model, picture, Whole(), heats.representation)
    except ValueError:  # The network answers with nothing: the page says that this prediction failed.
        return [None for _ in heats.methods]
    large = torch.nn.functional.interpolate(picture[None].cpu(), (SIDE, SIDE), mode="bilinear", antialias=True)[0]
    shown = large.permute(1, 2, 0).clamp(0, 1)
    maps = [heat_map(model, picture, method, asked.question, heats.representation) for _, method in heats.methods]
    return [webp(overlaid(shown, enlarged(one.detach().cpu(), SIDE))) for one in maps]
