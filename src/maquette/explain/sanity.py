"""Does a map depend on what the network has learnt? Weights are randomised from the answer down to the picture.

Adebayo et al. 2018, section 3.1 (cascading randomisation): a map that stays the same while the weights are lost shows
edges of the picture, not what the network looks at. S pixels a side.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from maquette.models import SingleView
from maquette.models.encoders.dino import Dino

WINDOW = 7
"""Pixels a side of the window that SSIM compares."""


@dataclass(frozen=True)
class Sanity:
    """How alike a map and those of the network with randomised weights are: 1 is the same, 0 as it should be."""

    stages: tuple[str, ...]
    """What was randomised beside all before it."""
    correlation: tuple[float | None, ...]
    """Spearman's rank correlation of absolute values, over the pixels of the object; None where a map is constant."""
    similarity: tuple[float | None, ...]
    """SSIM of absolute values, each map by its own maximum, its mean over the pixels of the object; None as above."""

    @property
    def without_decoder(self) -> float | None:
        """The correlation once all of the decoder is randomised and the encoder is not: the answer is worthless then,
        and a map that stays shows what the encoder does with any picture."""
        last = max(number for number, stage in enumerate(self.stages) if stage.startswith("decoder"))
        return self.correlation[last]


def stages_of(model: SingleView, representation: str, *, fine: bool) -> list[tuple[str, nn.Module]]:
    """What is randomised, the answer's end first: decoder and encoder, or each of their modules with weights."""
    whole = [("decoder", model.decoders[representation]), ("encoder", model.encoder)]
    if not fine:
        return whole
    found: list[tuple[str, nn.Module]] = []
    for name, part in whole:
        pieces: list[tuple[str, nn.Module]] = []
        for child, module in (part.vit if isinstance(part, Dino) else part).named_children():
            listed = getattr(module, "layer", module)  # a transformer's blocks
            inner = listed.named_children() if isinstance(listed, nn.Sequential | nn.ModuleList) else [("", module)]
            pieces += [(f"{name}.{child}.{piece}".rstrip("."), each) for piece, each in inner]
        found += [(title, each) for title, each in reversed(pieces) if any(True for _ in each.parameters())]
    return found


def cascade(
    model: SingleView, representation: str, *, fine: bool = False, seed: int = 0
) -> Iterator[tuple[str, SingleView]]:
    """The network with more and more weights randomised, and the name of what was added; one copy, changed each time.

    Each tensor's numbers change places with each other, so that their size and spread stay and no layer dies or
    overflows: only what was learnt is lost. How, follows from the seed and the tensor's place in the network alone.
    """
    lost = copy.deepcopy(model)
    numbers = {id(values): number for number, values in enumerate(lost.parameters())}
    for name, part in stages_of(lost, representation, fine=fine):
        with torch.no_grad():
            for values in part.parameters():
                generator = torch.Generator().manual_seed(seed * 1_000_003 + numbers[id(values)])
                order = torch.randperm(values.numel(), generator=generator).to(values.device)
                values.copy_(values.flatten()[order].reshape(values.shape))
        yield name, lost


def likeness(
    a: Float[Tensor, "S S"], b: Float[Tensor, "S S"], inside: Bool[Tensor, "S S"]
) -> tuple[float | None, float | None]:
    """(Spearman's rank correlation, SSIM) of the absolute values of two maps, over the pixels `inside`.

    Beyond the object both maps are 0 by construction, which would make any two of them alike. For a map that is the
    same everywhere neither is defined (None): the ReLU of a class activation map may leave nothing of it.
    """
    from scipy.stats import rankdata
    from skimage.metrics import structural_similarity

    first, second = (value.detach().abs().double().cpu().numpy() for value in (a, b))
    chosen = inside.cpu().numpy()
    ranks = [rankdata(values[chosen]) for values in (first, second)]
    if not all(np.ptp(rank) > 0 for rank in ranks):
        return None, None
    correlation = float(np.corrcoef(*ranks)[0, 1])
    full = structural_similarity(
        first / first.max(), second / second.max(), win_size=WINDOW, data_range=1.0, full=True
    )[1]
    return correlation, float(full[chosen].mean())
