"""`foreground(picture, provider)`: the verb for masks, and the choice of ways to find one."""

import warnings
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from maquette.io.pictures import read_picture
from maquette.masks.alpha import from_alpha
from maquette.masks.color_model import by_colors
from maquette.masks.cut import cut_out
from maquette.masks.mask import Mask, NoForeground, validate
from maquette.masks.plain import on_plain_background
from maquette.masks.rembg import RembgModel, by_rembg, is_rembg_installed
from maquette.masks.segmenter import by_segmenter


@dataclass(frozen=True)
class Auto:
    """The first that fits: alpha, a plain background, rembg if it is installed, the colour model."""


@dataclass(frozen=True)
class Alpha:
    """The picture's own transparency."""


@dataclass(frozen=True)
class PlainBackground:
    """What stands on a background of one colour, or of one that shades slowly."""


@dataclass(frozen=True)
class Rembg:
    """A network of rembg, which knows objects of any kind; needs the extra `rembg`."""

    model: RembgModel = "u2netp"
    """Downloaded at first use, 5 to 1000 MB."""


@dataclass(frozen=True)
class Segmenter:
    """A semantic segmenter of transformers, which knows its classes alone; needs the extra `segment`."""

    model: str
    """Folder or name on the hub, of a model with weights in safetensors."""
    revision: str = "main"
    """Of the hub's repository; a commit, for results that stay."""
    category: str = ""
    """Class of the object, such as car; whatever covers most unless told."""


@dataclass(frozen=True)
class ColorModel:
    """What differs in colour from the picture's rim; no weights."""


Provider = Auto | Alpha | PlainBackground | Rembg | Segmenter | ColorModel


def foreground(picture: Float[Tensor, "H W 4"], provider: Provider = Auto()) -> Mask:
    """The mask of an RGBA picture (sRGB, straight alpha), found by `provider` and checked by `validate`.

    A picture in which the provider finds no object is a ValueError that says what to do.
    """
    rgb = picture[..., :3]
    match provider:
        case Auto():
            return _first_that_fits(picture)
        case Alpha():
            mask = from_alpha(picture)
        case PlainBackground():
            mask = on_plain_background(rgb)
        case Rembg(model):
            mask = by_rembg(rgb, model)
        case Segmenter(model, revision, category):
            mask = by_segmenter(rgb, model, revision, category)
        case ColorModel():
            mask = by_colors(rgb)
    return validate(mask)


def cut_from_file(path: Path) -> Float[Tensor, "H W 4"]:
    """The object of a picture in a file, cut out; it is found by `foreground`."""
    rgba = read_picture(path)
    return cut_out(rgba, foreground(rgba))


def _first_that_fits(picture: Float[Tensor, "H W 4"]) -> Mask:
    rgb = picture[..., :3]
    try:
        return validate(from_alpha(picture))
    except NoForeground:
        pass
    try:
        return validate(on_plain_background(rgb))
    except NoForeground as error:
        why = str(error).removeprefix("foreground: ").split("; give")[0]
    if is_rembg_installed():
        try:
            return validate(by_rembg(rgb, "u2netp"))
        except OSError as error:
            warnings.warn(f"{error}; the colour model is used instead", stacklevel=3)
        except NoForeground:
            pass
    try:
        return validate(by_colors(rgb))
    except NoForeground as error:
        said = str(error).removeprefix("foreground: ")
        raise NoForeground(f"foreground: {why}; {said}") from error
