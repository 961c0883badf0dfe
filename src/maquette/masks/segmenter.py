"""The foreground by a semantic segmenter of `transformers` (extra `maquette[segment]`), from the hub or a folder."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.masks.mask import Mask, NoForeground
from maquette.masks.rembg import mask_of_answer
from maquette.masks.scaling import reduced, resized

LARGEST = 1024
"""Pixels of the longer side that the network sees."""


def by_segmenter(rgb: Float[Tensor, "H W 3"], model: str, revision: str, category: str) -> Mask:
    """Pixels of one class, or of the class that covers most of the picture besides the background.

    The score is the stability of the class's probability, as in `by_rembg`. Only files in safetensors are read. Weights
    that are not on this machine are an OSError at once where HF_HUB_OFFLINE=1 or the hub cannot be reached.
    """
    try:
        from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation
    except ImportError as error:
        raise NoForeground("foreground: transformers is not installed; pip install 'maquette[segment]'") from error
    folder = weights_folder(model, revision)
    processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, use_fast=False)
    network = AutoModelForSemanticSegmentation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    small = reduced(rgb, LARGEST)
    with torch.no_grad():
        inputs = processor(images=(small.clamp(0, 1) * 255).round().byte().numpy(), return_tensors="pt")
        probabilities = network.eval()(**inputs).logits[0].softmax(0)
    names = {int(k): str(v) for k, v in network.config.id2label.items()}
    index = class_index(probabilities, names, category)
    size = (rgb.shape[0], rgb.shape[1])
    answer = resized(probabilities[index][..., None], size)[..., 0]
    return mask_of_answer(answer, "segmenter", names.get(index, str(index)))


def class_index(probabilities: Float[Tensor, "K h w"], names: dict[int, str], category: str) -> int:
    """The class called `category`, or, if that is empty, the most frequent that is not the background."""
    if category:
        for index, name in names.items():
            if category.casefold() in (part.strip().casefold() for part in name.split(",")):
                return index
        known = ", ".join(names.values())
        raise ValueError(f"foreground: the segmenter knows no {category!r}; one of {known}")
    counts = torch.bincount(probabilities.argmax(0).flatten(), minlength=len(probabilities))
    for index, name in names.items():
        if name.casefold() == "background":
            counts[index] = 0
    if int(counts.max()) == 0:
        raise NoForeground("foreground: the segmenter sees nothing but background")
    return int(counts.argmax())


def weights_folder(model: str, revision: str) -> Path:
    """The folder of a model's files: given, in the hub's cache, or downloaded; an OSError in one line otherwise.

    The hub is asked once: `from_pretrained` would ask for every file it might need, and try each again, for 23 s.
    """
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    wanted = ["*.json", "*.safetensors"]
    advice = "connect to download it, set HF_HUB_OFFLINE=1 to use the cache alone, or give a folder"
    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=wanted, etag_timeout=3))
    except HFValidationError as error:
        raise OSError(f"{model}: neither a folder nor a name on the hub") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise OSError(f"{model}: the segmenter is not on this machine and the hub did not give it; {advice}") from error
