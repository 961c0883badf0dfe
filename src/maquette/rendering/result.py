"""What every renderer returns, and the choice of what happens at silhouettes."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Rendering:
    """Pictures of one shape, aligned pixel by pixel."""

    rgb: Float[Tensor, "*batch H W 3"]
    """sRGB 0..1, composited over the background."""
    alpha: Float[Tensor, "*batch H W"]
    """Coverage 0..1."""
    depth: Float[Tensor, "*batch H W"]
    """Distance along the camera's z axis, in world units; 0 where there is nothing."""
    normal: Float[Tensor, "*batch H W 3"]
    """World axes, unit length, turned to the camera; 0 where there is nothing."""


@dataclass(frozen=True)
class Hard:
    """A pixel belongs to the surface in front at its centre. No gradient flows across silhouettes."""


@dataclass(frozen=True)
class Soft:
    """Every face covers the pixels around its outline a little: SoftRas' alpha (Liu et al. 2019), which has gradients.

    alpha = 1 - prod_f (1 - sigmoid(-d_f / sigma)), where d_f is the squared distance on the screen of a pixel's centre
    from face f, negative inside. Screen units are PyTorch3D's: the shorter side of the picture is 2 long, and the
    defaults are those of its silhouettes. Unlike there all faces within the blur count, not the nearest 50. The colour
    is that of the surface in front, or of the nearest face on the screen where there is none, over the background by
    alpha; depth and normal are those of `Hard`. The soft outline takes no part in occlusion: SoftRas' blending of
    colours over depth is not done.
    """

    sigma: float = 1e-4
    """Squared screen units. The larger the softer, and the farther gradients reach."""
    blur_radius: float | None = None
    """Squared distance, in squared screen units, beyond which a face leaves no trace; None is where its coverage is
    1e-4: log(1 / 1e-4 - 1) sigma."""


@dataclass(frozen=True)
class Dibr:
    """Alpha is 1 where a face is, and around it 1 - prod_f (1 - exp(-d_f / delta)) (DIB-R: Chen et al. 2019).

    Colours inside are interpolated as with `Hard`; around them, and for units and the rest, see `Soft`.
    """

    delta: float = 1 / 7000
    """Squared screen units."""
    blur_radius: float | None = None
    """Squared distance, in squared screen units, beyond which a face leaves no trace; None is where its coverage is
    1e-4: log(1 / 1e-4) delta."""


@dataclass(frozen=True)
class Antialias:
    """Pixels beside a silhouette are blended by where it crosses between their centres (Laine et al. 2020, 3.3).

    Gradients of rgb and alpha flow to the vertices of silhouette edges through the crossing points; depth and normal
    are those of `Hard`. Silhouettes are found from the pixels beside them; what no pixel's centre sees is missed.
    """


Edges = Hard | Soft | Dibr | Antialias
"""How silhouettes are drawn and differentiated."""
