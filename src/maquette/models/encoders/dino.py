"""DINOv2 and DINOv3 vision transformers (Oquab et al. 2023, Siméoni et al. 2025) by the library `transformers`.

B pictures, S pixels a side, C numbers a token, h w patches down and across.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.models.encoders.resnet import on_white
from maquette.models.features import Features
from maquette.models.ranges import check_ranges


@dataclass(frozen=True)
class DinoEncoder:
    """Vision transformer that learnt without labels; its patches are the maps. Unless told, ViT-S/14 of DINOv2."""

    weights: str | None = "facebook/dinov2-small"
    """Name on the Hugging Face hub, or a folder with config.json and model.safetensors; none: random."""
    version: Literal[2, 3] = 2
    """DINOv2 or DINOv3."""
    width: int = 384
    """Numbers a token: 384 in ViT-S, 768 in ViT-B, 1,024 in ViT-L."""
    layers: int = 12
    """12 in ViT-S and ViT-B, 24 in ViT-L."""
    heads: int = 6
    """Of attention: 6 in ViT-S, 12 in ViT-B, 16 in ViT-L."""
    patch: int = 14
    """Pixels a side of a patch: 14 in DINOv2, 16 in DINOv3."""
    grid: int = 37
    """Patches a side for which DINOv2 has learnt positions; others are interpolated."""
    code: Literal["cls", "cls+mean"] = "cls+mean"
    """The class token, or beside it the mean of the patches."""
    frozen: bool = True
    """Keep the weights as they are; decoders alone learn."""
    picture_size: int = 224
    """Pixels a side, a multiple of `patch`."""

    def __post_init__(self) -> None:
        check_ranges(
            self,
            {
                "width": (8, 4096),
                "layers": (1, 64),
                "heads": (1, 64),
                "patch": (4, 64),
                "grid": (1, 128),
                "picture_size": (16, 2048),
            },
        )
        if self.picture_size % self.patch:
            raise ValueError(f"DinoEncoder: picture_size is {self.picture_size}; give a multiple of {self.patch}")
        if self.width % self.heads:
            raise ValueError(f"DinoEncoder: width is {self.width}; give a multiple of the {self.heads} heads")


DINOV2_BASE = DinoEncoder("facebook/dinov2-base", width=768, heads=12)
DINOV2_LARGE = DinoEncoder("facebook/dinov2-large", width=1024, layers=24, heads=16)
DINOV3_SMALL = DinoEncoder("facebook/dinov3-vits16-pretrain-lvd1689m", version=3, patch=16)
DINOV3_BASE = DinoEncoder("facebook/dinov3-vitb16-pretrain-lvd1689m", version=3, width=768, heads=12, patch=16)


STRUCTURE = (
    "model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "patch_size", "mlp_ratio",
    "intermediate_size", "use_swiglu_ffn", "use_gated_mlp", "num_register_tokens",
)  # fmt: skip
"""What published weights must agree on with the encoder's settings."""


class Dino(nn.Module):
    """The transformer of `transformers`, its tokens as features."""

    def __init__(self, config: DinoEncoder):
        super().__init__()
        self.config = config
        self.vit = _transformer(config)
        if config.frozen:
            self.vit.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Dino":
        super().train(mode)
        if self.config.frozen:
            self.vit.eval()
        return self

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer's blocks, from the picture on."""
        # DINOv3's encoder has its blocks under `model` in some versions of the library, at its top in others.
        inner = getattr(self.vit, "encoder", None) or getattr(self.vit, "model", None) or self.vit
        blocks = inner.layer  # pyrefly: ignore[missing-attribute]: a module
        assert isinstance(blocks, nn.ModuleList)
        return blocks

    def forward(self, images: Float[Tensor, "B 4 S S"]) -> Features:
        # What is frozen learns nothing, but the picture itself may be asked for its gradient.
        wanted = images.requires_grad or not self.config.frozen
        with torch.set_grad_enabled(torch.is_grad_enabled() and wanted):
            tokens = self.vit(pixel_values=on_white(images)).last_hidden_state
        side = self.config.picture_size // self.config.patch
        # The class token comes first, then registers where there are any, then the patches row by row.
        patches = tokens[:, -side * side :]
        code = tokens[:, 0]
        if self.config.code == "cls+mean":
            code = torch.cat([code, patches.mean(1)], 1)
        return Features(code, (patches.transpose(1, 2).reshape(len(tokens), -1, side, side),))


def _transformer(config: DinoEncoder) -> nn.Module:
    """Of the sizes that `config` says, with random weights or those it names, which must be of these sizes."""
    try:
        import transformers
    except ImportError as error:
        raise OSError("DinoEncoder: transformers is not installed; pip install 'maquette[transformers]'") from error
    sizes = {"hidden_size": config.width, "num_hidden_layers": config.layers, "num_attention_heads": config.heads}
    if config.version == 2:
        image = {"patch_size": config.patch, "image_size": config.patch * config.grid}
        kind, settings = transformers.Dinov2Model, transformers.Dinov2Config(**sizes, **image)
    else:
        wide = {"intermediate_size": 4 * config.width, "num_register_tokens": 4}
        kind = transformers.DINOv3ViTModel
        settings = transformers.DINOv3ViTConfig(
            **sizes, **wide, patch_size=config.patch, image_size=config.picture_size
        )
    if config.weights is None:
        return kind(settings)
    folder = _folder(config.weights)
    found = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    wanted = {name: getattr(settings, name) for name in STRUCTURE if hasattr(settings, name)}
    other = {name: getattr(found, name, None) for name in wanted if getattr(found, name, None) != wanted[name]}
    if other:
        told, said = (", ".join(f"{name} {values[name]}" for name in other) for values in (other, wanted))
        raise ValueError(f"{config.weights}: has {told}; the encoder's settings say {said}; make them agree")
    return kind.from_pretrained(folder, config=found, local_files_only=True, use_safetensors=True)


def _folder(weights: str) -> Path:
    """The folder of the weights' files: given, in the hub's cache, or downloaded; asked once, not for every file."""
    if Path(weights).expanduser().is_dir():
        return Path(weights).expanduser()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(weights, allow_patterns=["config.json", "*.safetensors"], etag_timeout=3))
    except HFValidationError as error:
        raise OSError(f"{weights}: neither a folder nor a name on the hub") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise OSError(
            f"{weights}: not on this machine, and the hub did not give it ({type(error).__name__}); connect to "
            "download it (DINOv3 asks for a login: `hf auth login`), or give a folder with config.json and "
            "model.safetensors"
        ) from error
