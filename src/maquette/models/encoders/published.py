"""Published weights: from a file, or from a file on the Hugging Face hub. Nothing is unpickled."""

from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor

HUB = "hub:"


def weights_file(weights: str) -> Path:
    """The file of a path, or of 'hub:OWNER/NAME/FILE', which is downloaded unless it is in the hub's cache."""
    if not weights.startswith(HUB):
        return Path(weights).expanduser()
    owner, _, rest = weights.removeprefix(HUB).partition("/")
    name, _, file = rest.partition("/")
    if not (owner and name and file):
        raise ValueError(f"weights: {weights!r} names no file on the hub; give hub:OWNER/NAME/FILE")
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    except ImportError as error:
        raise OSError(f"{weights}: huggingface_hub is not installed; pip install 'maquette[transformers]'") from error
    try:
        return Path(hf_hub_download(f"{owner}/{name}", file, etag_timeout=3))
    except HFValidationError as error:
        raise ValueError(f"weights: {owner}/{name} is no name on the hub; give hub:OWNER/NAME/FILE") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise OSError(
            f"{weights}: not on this machine, and the hub did not give it ({type(error).__name__}); connect to "
            "download it, or give the path of a file"
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The named tensors of a .safetensors or .pth file, read without running code."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give published weights (.safetensors or .pth)")
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        read = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise OSError(f"{path}: cannot be read as weights ({type(error).__name__}); download the file again") from error
    return {name: value for name, value in read.items() if isinstance(value, Tensor)} if isinstance(read, dict) else {}
