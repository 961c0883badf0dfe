"""Heat maps: how much each pixel of a picture has to do with a part of a network's answer. B pictures of S pixels."""

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.data.dataset import Truth
from maquette.explain.attribution import (
    gradient,
    guided_gradient,
    integrated_gradients,
    smooth_gradient,
    strength,
)
from maquette.explain.gradcam import activations, enlarged, grad_cam, grad_cam_plus_plus, hires_cam
from maquette.explain.guided import relus_of_encoder
from maquette.explain.methods import (
    GradCam,
    GradCamPlusPlus,
    GuidedBackprop,
    GuidedGradCam,
    HiResCam,
    IntegratedGradients,
    Method,
    Saliency,
    SmoothGrad,
)
from maquette.explain.questions import Question, ask, value_of
from maquette.explain.targets import Target
from maquette.models import SingleView
from maquette.models.encoders.dino import Dino


def heat_maps(
    model: SingleView,
    pictures: Float[Tensor, "B 4 S S"],
    method: Method,
    target: Target,
    representation: str,
    *,
    truth: Truth | None = None,
) -> Float[Tensor, "B S S"]:
    """Raw maps of pictures as the network takes them (`maquette.data.crop`), of one look each.

    0 or more, but integrated gradients are signed. Units: that of the number asked for (see `questions`), by a pixel's
    colour for gradients, by pixel for integrated ones; those of class activation maps mean nothing. `truth` is the
    solid that all the pictures show, for `Part` and `Loss`. A method without a meaning for the network is an error.
    """
    check_representation(model, representation)
    if (reason := refusal(model, method)) is not None:
        raise ValueError(f"explain: {reason}")
    maps = [
        heat_map(
            model, picture, method, ask(model, picture, target, representation, truth=truth).question, representation
        )
        for picture in pictures
    ]
    return torch.stack(maps) if maps else pictures[:, 0]


def heat_map(
    model: SingleView, picture: Float[Tensor, "4 S S"], method: Method, question: Question, representation: str
) -> Float[Tensor, "S S"]:
    """The raw map of one picture."""

    def score(pictures: Tensor) -> Tensor:
        return value_of(question, model, representation, model.encode(pictures))

    def activation_map(layer: int) -> tuple[Tensor, Tensor]:
        return activations(model, picture, layer, lambda features: value_of(question, model, representation, features))

    side = picture.shape[-1]
    match method:
        case Saliency(channels):
            return strength(gradient(score, picture), channels)
        case SmoothGrad(channels=channels):
            return strength(smooth_gradient(score, picture, method), channels)
        case IntegratedGradients():
            return integrated_gradients(score, picture, method).sum(0)
        case GuidedBackprop(channels):
            return strength(guided_gradient(score, picture), channels)
        case GradCam(layer):
            return enlarged(grad_cam(*activation_map(layer)), side)
        case GradCamPlusPlus(layer):
            return enlarged(grad_cam_plus_plus(*activation_map(layer)), side)
        case HiResCam(layer):
            return enlarged(hires_cam(*activation_map(layer)), side)
        case GuidedGradCam(layer):
            fine = strength(guided_gradient(score, picture), "rgb")
            return fine * enlarged(grad_cam(*activation_map(layer)), side)


def check_representation(model: SingleView, representation: str) -> None:
    """ValueError for a network that reads no pictures, or does not predict this."""
    if model.reads_codes:
        raise ValueError(
            "explain: this network reads codes that another one made of pictures (encoder:codes): there is no picture "
            "to lay a map over; choose a run that reads pictures"
        )
    if representation not in model.representations:
        raise ValueError(f"explain: this network predicts {', '.join(model.representations)}, not {representation!r}")


def refusal(model: SingleView, method: Method) -> str | None:
    """Why a method has no meaning for a network that reads pictures; None where it has one."""
    if isinstance(method, GradCamPlusPlus) and isinstance(model.encoder, Dino):
        return (
            "Grad-CAM++ is defined for maps after a ReLU; a transformer's tokens have both signs, for which its "
            "weights have no bound; choose another method"
        )
    if not isinstance(method, GuidedBackprop | GuidedGradCam):
        return None
    side = model.picture_size
    probe = torch.zeros(4, side, side, device=next(model.parameters()).device)
    if relus_of_encoder(model.encoder, probe):
        return None
    name = type(model.config.encoder).__name__
    return (
        f"guided backpropagation changes the backward pass of ReLUs, and the encoder {name} has none (transformers "
        "have GELUs); choose another method"
    )
