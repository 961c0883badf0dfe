"""`foreground(picture, provider)`: the verb for masks, and the choice of ways to find one."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from maquette.masks.alpha import from_alpha
from maquette.masks.mask import Mask, NoForeground, validate
from maquette.masks.plain import on_plain_background


@dataclass(frozen=True)
class Auto:
    """The first that fits: alpha, a plain background."""


@dataclass(frozen=True)
class Alpha:
    """The picture's own transparency."""


@dataclass(frozen=True)
class PlainBackground:
    """What stands on a background of one colour, or of one that shades slowly."""


Provider = Auto | Alpha | PlainBackground


def foreground(picture: Float[Tensor, "H W 4"], provider: Provider = Auto()) -> Mask:
    """The mask of an RGBA picture (sRGB, straight alpha), found by `provider` and checked by `validate`."""
    match provider:
        case Auto():
            try:
                mask = from_alpha(picture)
            except NoForeground:
                mask = on_plain_background(picture[..., :3])
        case Alpha():
            mask = from_alpha(picture)
        case PlainBackground():
            mask = on_plain_background(picture[..., :3])
    return validate(mask)
