"""The foreground by a network of `rembg` (extra `maquette[rembg]`), which downloads its weights at first use."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from maquette.masks.mask import Mask, NoForeground
from maquette.masks.pieces import without_holes, without_specks

RembgModel = Literal["u2netp", "u2net", "silueta", "isnet-general-use", "birefnet-general", "birefnet-general-lite"]
"""Networks whose weights may be used commercially; `bria-rmbg` may not and is left out."""


def is_rembg_installed() -> bool:
    from importlib.util import find_spec

    return find_spec("rembg") is not None and find_spec("onnxruntime") is not None


def by_rembg(rgb: Float[Tensor, "H W 3"], model: RembgModel) -> Mask:
    """What the network takes for the main object.

    The score is how stable the mask is: the area above 0.75 over the area above 0.25 of the network's answer. Without
    the library a NoForeground says what to install; weights that cannot be loaded are an OSError.
    """
    if not is_rembg_installed():
        raise NoForeground("foreground: rembg is not installed; pip install 'maquette[rembg]'")
    import rembg
    from PIL import Image

    try:
        session = rembg.new_session(model)
    except (OSError, ValueError, RuntimeError) as error:  # network, checksum, broken file
        said = " ".join(str(error).split())[:160]
        raise OSError(
            f"rembg: the weights of {model} cannot be loaded ({said}); connect once to download them"
        ) from error
    picture = Image.fromarray((rgb.clamp(0, 1) * 255).round().byte().numpy())
    answer = rembg.remove(picture, session=session, only_mask=True)
    return mask_of_answer(torch.from_numpy(np.asarray(answer, np.float32) / 255), "rembg", "")


def mask_of_answer(answer: Float[Tensor, "H W"], source: Literal["rembg", "segmenter"], category: str) -> Mask:
    """The mask of a network's probabilities: above a half, without specks and pinholes, scored by its stability."""
    solid = (answer > 0.5).numpy()
    if not solid.any():
        raise NoForeground(f"foreground: {source} found no {category or 'object'} in the picture")
    kept, dropped = without_specks(solid)
    filled = without_holes(kept, largest=0.01)
    # What was dropped keeps no soft edge, what was filled is whole.
    alpha = answer * torch.from_numpy(kept)
    alpha = torch.where(torch.from_numpy(filled & ~kept), 1.0, alpha)
    loose = float((answer > 0.25).sum())
    return Mask(
        torch.from_numpy(filled),
        alpha,
        source,
        float((answer > 0.75).sum()) / loose,
        category=category,
        dropped=dropped,
    )
