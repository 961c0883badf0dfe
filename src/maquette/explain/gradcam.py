"""Class activation maps of an encoder's feature maps: Grad-CAM, Grad-CAM++, HiResCAM. C channels, h w places of a map.

The maps are `Features.maps`, which every encoder gives, so no layer is searched for by name. Of a transformer they are
the patch tokens that enter a late block: those that leave the last one do not reach the class token any more. Class and
register tokens have no place in the picture and are left out.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maquette.models import Features, SingleView
from maquette.models.encoders.dino import Dino


def activations(
    model: SingleView, picture: Float[Tensor, "4 S S"], layer: int, score: Callable[[Features], Tensor]
) -> tuple[Float[Tensor, "C h w"], Float[Tensor, "C h w"]]:
    """(a feature map of a picture, the gradient by it of the number that `score` makes of the features)."""
    given = picture[None].clone().requires_grad_()
    with torch.enable_grad():
        if isinstance(model.encoder, Dino):
            features, tokens = _entering(model, given, layer)
            (grad,) = torch.autograd.grad(score(features).sum(), tokens)
            return _patches(model.encoder, tokens), _patches(model.encoder, grad)
        features = model.encode(given)
        if not -len(features.maps) <= layer < len(features.maps):
            raise ValueError(
                f"explain: layer is {layer}; this encoder has {len(features.maps)} maps, "
                f"{-len(features.maps)} to {len(features.maps) - 1}"
            )
        feature_map = features.maps[layer]
        (grad,) = torch.autograd.grad(score(features).sum(), feature_map)
    return feature_map[0].detach(), grad[0]


def _entering(
    model: SingleView, given: Float[Tensor, "1 4 S S"], layer: int
) -> tuple[Features, Float[Tensor, "1 T C"]]:
    """The features, and the tokens on the way to them that enter a block."""
    assert isinstance(model.encoder, Dino)
    blocks = model.encoder.blocks
    if not -len(blocks) <= layer < len(blocks):
        raise ValueError(
            f"explain: layer is {layer}; this encoder has {len(blocks)} blocks, {-len(blocks)} to {len(blocks) - 1}"
        )
    seen: list[Tensor] = []
    hook = blocks[layer].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))
    try:
        features = model.encode(given)
    finally:
        hook.remove()
    return features, seen[0]


def _patches(encoder: Dino, tokens: Float[Tensor, "1 T C"]) -> Float[Tensor, "C h w"]:
    side = encoder.config.picture_size // encoder.config.patch
    return tokens[0, -side * side :].detach().mT.reshape(-1, side, side)


def grad_cam(activation: Float[Tensor, "C h w"], grad: Float[Tensor, "C h w"]) -> Float[Tensor, "h w"]:
    """ReLU of the sum of channels, each weighted by the mean of its gradient (Selvaraju et al. 2017, eq. 1 and 2)."""
    return (grad.mean((-2, -1), keepdim=True) * activation).sum(0).relu()


def hires_cam(activation: Float[Tensor, "C h w"], grad: Float[Tensor, "C h w"]) -> Float[Tensor, "h w"]:
    """ReLU of the sum over channels of activation times gradient, place by place (Draelos and Carin 2020, eq. 9)."""
    return (grad * activation).sum(0).relu()


def grad_cam_plus_plus(activation: Float[Tensor, "C h w"], grad: Float[Tensor, "C h w"]) -> Float[Tensor, "h w"]:
    """ReLU of the sum of channels, weighted by sum(alpha ReLU(gradient)) (Chattopadhay et al. 2018, eq. 10, 11 and 19).

    alpha = g^2 / (2 g^2 + sum(A) g^3), 0 where g is 0: second and third derivatives of exp(number asked for) in closed
    form, as if the network were piecewise linear. The factor exp(number asked for), common to a picture, is left out.
    Meant for maps after a ReLU: where sum(A) is negative, as a transformer's may be, alpha has no bound and no sign.
    """
    total = activation.sum((-2, -1), keepdim=True)
    below = 2 * grad.square() + total * grad**3
    alpha = torch.where(below != 0, grad.square() / torch.where(below != 0, below, 1.0), 0.0)
    weights = (alpha * grad.relu()).sum((-2, -1), keepdim=True)
    return (weights * activation).sum(0).relu()


def enlarged(small: Float[Tensor, "h w"], side: int) -> Float[Tensor, "S S"]:
    """To `side` pixels a side, linearly between the middles of its places."""
    return nn.functional.interpolate(small[None, None], (side, side), mode="bilinear", align_corners=False)[0, 0]
