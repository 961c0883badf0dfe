"""The methods that draw heat maps, a union of configs; what each does is in `attribution`, `guided` and `gradcam`."""

import math
from dataclasses import dataclass
from typing import Literal

Channels = Literal["rgb", "alpha"]
"""Of a picture's gradient. rgb: the mean over the three colours of its absolute values. alpha: its absolute value in
the mask, that is, what cutting the object out otherwise would change."""


@dataclass(frozen=True)
class Saliency:
    """|gradient| of the number asked for by the picture (Simonyan et al. 2013, section 3)."""

    channels: Channels = "rgb"


@dataclass(frozen=True)
class SmoothGrad:
    """|mean of the gradients at noisy copies of the picture| (Smilkov et al. 2017, section 3). Noise is in the colours,
    not in the mask."""

    samples: int = 32
    """Noisy copies."""
    noise: float = 0.15
    """Standard deviation, of colours in 0..1; the paper advises 0.1 to 0.2."""
    seed: int = 0
    """Of the noise."""
    channels: Channels = "rgb"

    def __post_init__(self) -> None:
        if not 1 <= self.samples <= 10_000:
            raise ValueError(f"SmoothGrad: samples is {self.samples}; give 1 to 10,000")
        if not 0 <= self.noise < math.inf:
            raise ValueError(f"SmoothGrad: noise is {self.noise}; give 0 or more")


@dataclass(frozen=True)
class IntegratedGradients:
    """What each pixel adds on the straight way from an empty, transparent picture (Sundararajan et al. 2017, eq. 1).

    Signed; the sum over all pixels is the number asked for less that of the empty picture, the more exactly the more
    steps.
    """

    steps: int = 64
    """Of the way, at the places of Gauss and Legendre's quadrature."""

    def __post_init__(self) -> None:
        if not 2 <= self.steps <= 10_000:
            raise ValueError(f"IntegratedGradients: steps is {self.steps}; give 2 to 10,000")


@dataclass(frozen=True)
class GuidedBackprop:
    """|gradient| that passes a ReLU only where it is positive, too (Springenberg et al. 2014, section 3.4)."""

    channels: Channels = "rgb"


@dataclass(frozen=True)
class GradCam:
    """A feature map's channels, weighted by their mean gradient, where positive (Selvaraju et al. 2017, eq. 1-2)."""

    layer: int = -1
    """Of the encoder's maps, fine to coarse (`Features.maps`); -1 is the last. Of a transformer the block whose
    incoming patches are taken, -1 the last."""


@dataclass(frozen=True)
class GradCamPlusPlus:
    """As Grad-CAM, with weights that count alike every place that speaks for it (Chattopadhay et al. 2018)."""

    layer: int = -1
    """As of `GradCam`."""


@dataclass(frozen=True)
class HiResCam:
    """The sum over channels of activation times gradient, place by place, where positive (Draelos and Carin 2020,

    eq. 9). Grad-CAM's mean over the places is meant for networks that end in a mean over them. One that lays the places
    side by side before its first linear layer, as the small encoder does, weights each place otherwise.
    """

    layer: int = -2
    """As of `GradCam`; the last but one is twice as fine."""


@dataclass(frozen=True)
class GuidedGradCam:
    """The product of guided backpropagation and Grad-CAM (Selvaraju et al. 2017, section 3.3)."""

    layer: int = -1
    """As of `GradCam`."""


Method = (
    Saliency | SmoothGrad | IntegratedGradients | GuidedBackprop | GradCam | GradCamPlusPlus | HiResCam | GuidedGradCam
)

MethodName = Literal[
    "saliency",
    "smoothgrad",
    "integrated-gradients",
    "guided-backprop",
    "grad-cam",
    "grad-cam++",
    "hires-cam",
    "guided-grad-cam",
]
TITLES: dict[str, str] = {
    "saliency": "Saliency",
    "smoothgrad": "SmoothGrad",
    "integrated-gradients": "Integrated gradients",
    "guided-backprop": "Guided backprop",
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "hires-cam": "HiResCAM",
    "guided-grad-cam": "Guided Grad-CAM",
}
