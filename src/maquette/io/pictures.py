"""Picture files as tensors: H W 3 or H W 4 floats in 0..1, sRGB, rows from the top.

Whatever Pillow can open among the formats below is turned upright (EXIF), scaled by its true depth and given an alpha
channel.
"""

import io
import logging
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from maquette.io.atomic import atomic_path
from maquette.io.references import read_file

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "TGA", "DDS", "QOI")
"""What is opened, in Pillow's names. EPS and PDF are left out on purpose: Pillow starts Ghostscript for them, which
runs programs.
"""

LARGEST = 100_000_000
"""Pixels; decided from the header, before anything is decoded."""

logging.getLogger("PIL").addHandler(logging.NullHandler())  # its remarks on broken files: our error says enough

MOST_TEXELS = 400_000_000
"""Pixels of all textures of one model together, 1.2 gigabytes: a file of zeros packs a thousand times smaller."""

# What Pillow's decoders are known to raise on broken data, besides OSError.
_BROKEN = (
    OSError, SyntaxError, ValueError, struct.error, zlib.error, EOFError, IndexError, KeyError, TypeError,
    OverflowError, NotImplementedError, AttributeError, RuntimeError, ZeroDivisionError, MemoryError,
)  # fmt: skip


def read_picture(path: str | Path) -> Float[Tensor, "H W 4"]:
    """A picture as sRGB and alpha in 0..1, rows from the top; alpha is 1 where the file has none.

    The first frame of an animation, upright by its EXIF orientation, 16 bits a channel at their full depth, palettes
    with their transparency, CMYK converted. Files of the network or embedded colour profiles are not considered. Raises
    OSError with the path first.
    """
    path = Path(path)
    data = read_file(path)
    deep = _deep_png(data)
    image = _open(data, str(path))
    if deep is None:
        pixels = _rgba(image, str(path))
    else:
        pixels = deep
    return torch.from_numpy(np.ascontiguousarray(pixels, np.float32))


def decode_texture(data: bytes, name: str, *, decoded: int = 0) -> UInt8[np.ndarray, "H W 4"]:
    """A texture as 8-bit RGBA, rows from the top, as it lies in the file (no EXIF turn); OSError with `name` first.

    `decoded` is the number of pixels that the model's textures have so far; together they stay below `MOST_TEXELS`.
    """
    image = _open(data, name)
    if decoded + image.width * image.height > MOST_TEXELS:
        raise OSError(f"{name}: the textures have more than {MOST_TEXELS // 1_000_000} million pixels together")
    if image.mode.startswith(("I", "F")):
        return np.round(_rgba(image, name, turn=False) * 255).astype(np.uint8)
    return np.asarray(_loaded(image, name, turn=False, mode="RGBA"))


def write_picture(image: Float[Tensor, "H W C"], path: str | Path) -> None:
    """Write an sRGB picture in 0..1 (1, 3 or 4 channels) as PNG, JPEG or WebP by the suffix, whole or not at all.

    Values outside 0..1 are clamped. JPEG holds no alpha: a picture with alpha is refused there, composite it first.
    """
    from PIL import Image

    path = Path(path)
    kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"write_picture: no writer for {path.suffix!r} ({path}); use one of {', '.join(kinds)}")
    channels = image.shape[-1]
    if channels not in (1, 3, 4) or 0 in image.shape:
        raise ValueError(f"write_picture: a picture is H W 1, H W 3 or H W 4, got {tuple(image.shape)}")
    if kind == "JPEG" and channels == 4:
        raise ValueError(
            f"write_picture: JPEG holds no alpha ({path}); composite over a background first, or write PNG"
        )
    picture = Image.fromarray(_bytes_of(image.squeeze(-1) if channels == 1 else image))
    if kind == "WEBP":
        picture = picture.convert("RGBA" if channels == 4 else "RGB")
    options = {"PNG": {}, "JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}[kind]
    with atomic_path(path) as temporary:
        picture.save(temporary, kind, **options)


def encode_png(image: Float[Tensor, "H W C"]) -> bytes:
    """An sRGB picture in 0..1 as the bytes of an 8-bit PNG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(_bytes_of(image)).save(file, "PNG")
    return file.getvalue()


def _bytes_of(image: Tensor) -> np.ndarray:
    return (image.detach().cpu().float().nan_to_num(0.0).clamp(0, 1) * 255).round().byte().numpy()


def _open(data: bytes, name: str):
    from PIL import Image, UnidentifiedImageError

    Image.init()
    formats = [kind for kind in FORMATS if kind in Image.OPEN]  # AVIF is new in Pillow, and may be built without
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of half-sized bombs and odd metadata; the limit below is ours
        try:
            image = Image.open(io.BytesIO(data), formats=formats)
        except Image.DecompressionBombError as error:
            count = re.search(r"\d+", str(error))
            raise OSError(_too_large(name, int(count[0]) if count else None)) from error
        except UnidentifiedImageError as error:
            raise OSError(f"{name}: not a picture that can be read (known: {', '.join(formats)})") from error
        except _BROKEN as error:
            raise OSError(f"{name}: broken picture: {_one_line(error)}") from error
    if image.width * image.height > LARGEST:
        raise OSError(_too_large(name, image.width * image.height))
    if image.width * image.height == 0:
        raise OSError(f"{name}: picture of {image.width} x {image.height} pixels")
    return image


def _too_large(name: str, pixels: int | None) -> str:
    count = "too many" if pixels is None else f"{pixels / 1e6:.0f} million"
    return f"{name}: {count} pixels; the limit is {LARGEST // 1_000_000} million, make it smaller first"


def _loaded(image, name: str, *, turn: bool, mode: str | None = None):
    """The picture decoded, upright if `turn`, and converted to `mode` (None: as it is)."""
    from PIL import ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image.load()
            if turn:
                image = ImageOps.exif_transpose(image)
            if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
                image = image.convert("RGB")  # Pillow has no direct way from these to RGBA
            return image if mode is None else image.convert(mode)
        except _BROKEN as error:
            raise OSError(f"{name}: truncated or broken picture: {_one_line(error)}") from error


def _rgba(image, name: str, *, turn: bool = True) -> Float[np.ndarray, "H W 4"]:
    if image.mode.startswith(("I", "F")):
        image = _loaded(image, name, turn=turn)
        grey = np.asarray(image).astype(np.float32)
        # "F" holds 0..1 by custom; 16-bit greys open as I;16 or, in some formats, as 32-bit I with 16-bit values.
        grey = np.nan_to_num(grey if image.mode == "F" else grey / 65535).clip(0, 1)
        return np.stack([grey, grey, grey, np.ones_like(grey)], -1)
    pixels = np.asarray(_loaded(image, name, turn=turn, mode="RGBA")).astype(np.float32)
    pixels /= 255
    return pixels


def _deep_png(data: bytes) -> Float[np.ndarray, "H W 4"] | None:
    """A PNG of 16 bits a channel in colour or with alpha, which Pillow would cut to 8 bits; None for all else."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33 or data[24] != 16 or data[25] not in (2, 4, 6):
        return None
    if b"eXIf" in data or b"tRNS" in data:  # turned or keyed pictures: the high byte, which Pillow gives, is enough
        return None
    width, height = struct.unpack(">II", data[16:24])
    if width * height > LARGEST:
        return None
    import av

    try:
        with av.open(io.BytesIO(data), "r", format="png_pipe") as container:
            frame = next(iter(container.decode(video=0)))
            pixels = frame.reformat(format="rgba64le").to_ndarray()
    except (av.FFmpegError, StopIteration, ValueError):
        return None  # Pillow gets its turn and, if it fails too, says why
    return pixels.astype(np.float32) / 65535


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
