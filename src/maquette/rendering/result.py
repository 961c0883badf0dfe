"""What every renderer returns, and the choice of what happens at silhouettes."""

import math
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
    alpha; depth and normal are those of `Hard`. The soft outline takes no part in occlusion: `Blended` has SoftRas'
    blending of colours over depth.
    """

    sigma: float = 1e-4
    """Squared screen units. The larger the softer, and the farther gradients reach."""
    blur_radius: float | None = None
    """Squared distance, in squared screen units, beyond which a face leaves no trace; None is where its coverage is
    1e-4: log(1 / 1e-4 - 1) sigma."""


@dataclass(frozen=True)
class Blended:
    """The alpha of `Soft`, and the colours of all faces within the blur, blended over depth (SoftRas: Liu et al. 2019).

    A face of coverage D_f = sigmoid(-d_f / sigma) has the weight D_f exp(-depth_f / gamma) in the pixel's colour,
    over the sum of these, so that colours have gradients to what is hidden and to depths. The mean is laid over the
    background by alpha, where SoftRas has the background as one more face behind all others (for `softmax_rgb_blend`
    colours do not fade at silhouettes). Depth and normal are those of `Hard`. Every face within the blur is shaded,
    and in PyTorch: some ten times the time of `Soft`.
    """

    sigma: float = 1e-4
    """Squared screen units (see `Soft`). The larger the softer, and the farther gradients reach."""
    gamma: float = 0.01
    """World units of depth: a face as much behind another has 1/e of its weight. PyTorch3D's gamma is a part of zfar -
    znear; its defaults are 1e-4 of 99."""
    blur_radius: float | None = None
    """As for `Soft`."""

    def __post_init__(self):
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"Blended: gamma is {self.gamma}; give world units of depth above 0")


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


Edges = Hard | Soft | Dibr | Antialias | Blended
"""How silhouettes are drawn and differentiated."""
