"""Heat maps: known answers on networks made by hand, laws of each method, every representation, bad input."""

import pytest
import torch

from maquette.explain import (
    Box,
    GradCam,
    GradCamPlusPlus,
    GuidedBackprop,
    GuidedGradCam,
    IntegratedGradients,
    Saliency,
    SmoothGrad,
    Whole,
    heat_maps,
    overlaid,
)
from maquette.explain.attribution import gradient, integrated_gradients, smooth_gradient
from maquette.explain.maps import heat_map
from maquette.explain.questions import answered, ask
from maquette.models import (
    AtlasConfig,
    MeshConfig,
    OccupancyConfig,
    PointsConfig,
    SingleView,
    SmallEncoder,
    VoxelsConfig,
    build,
)
from maquette.models.atlas import AtlasHead
from maquette.models.graph_mesh import GraphMeshHead
from maquette.models.mesh import MeshHead
from maquette.models.occupancy import ConcatOccupancy
from maquette.models.points import PointsHead
from maquette.models.voxels import VoxelsDecoder, VoxelsHead

ENCODER = SmallEncoder(width=8, features=16, picture_size=32)
NETWORKS = {
    "voxels": VoxelsConfig(ENCODER, VoxelsHead(hidden=8, channels=2)),
    "points": PointsConfig(ENCODER, PointsHead(points=40, hidden=8)),
    "mesh": MeshConfig(ENCODER, MeshHead(level=1, hidden=8)),
    "graph mesh": MeshConfig(ENCODER, GraphMeshHead(level=1, widths=(8, 8), hidden=8, blocks=1, channels=4)),
    "atlas": AtlasConfig(ENCODER, AtlasHead(patches=2, points=40, width=8)),
    "occupancy": OccupancyConfig(ENCODER, ConcatOccupancy()),
}
METHODS = (
    Saliency(), SmoothGrad(samples=3), IntegratedGradients(steps=4), GuidedBackprop(), GradCam(), GradCamPlusPlus(),
    GuidedGradCam(),
)  # fmt: skip


def network(name: str) -> SingleView:
    """With random weights; half of the cells of a grid are full."""
    torch.manual_seed(0)
    model = build(NETWORKS[name]).eval()
    decoder = model.decoders[model.representations[0]]
    if isinstance(decoder, VoxelsDecoder):
        with torch.no_grad():
            decoder.shift_level(float(decoder(model.encode(picture()[None])).median().sigmoid()))
    return model


def picture(side: int = 32, seed: int = 0) -> torch.Tensor:
    """A disc of random colours."""
    line = torch.linspace(-1, 1, side)
    disc = (line[:, None].square() + line.square() < 0.6).float()
    rgb = torch.rand(3, side, side, generator=torch.Generator().manual_seed(seed))
    return torch.cat([rgb * disc, disc[None]])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_method_gives_a_map_of_every_representation(name):
    model = network(name)
    representation = model.representations[0]
    corner = Box((0.0, -1.0, -1.0), (1.0, 0.0, 1.0))
    question = ask(model, picture(), corner, representation).question
    for method in METHODS:
        heat = heat_map(model, picture(), method, question, representation)
        assert heat.shape == (32, 32)
        assert bool(heat.isfinite().all())
        if isinstance(method, Saliency | IntegratedGradients):
            assert float(heat.abs().max()) > 0


def test_maps_of_a_batch_are_those_of_its_pictures_alone():
    model, two = network("voxels"), torch.stack([picture(seed=0), picture(seed=1)])
    together = heat_maps(model, two, Saliency(), Whole(), "voxels")
    alone = [heat_maps(model, one[None], Saliency(), Whole(), "voxels")[0] for one in two]
    torch.testing.assert_close(together, torch.stack(alone))


def test_saliency_and_integrated_gradients_of_a_linear_function_are_its_weights():
    weights = torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(0))
    given = torch.rand(4, 5, 5, generator=torch.Generator().manual_seed(1))

    def score(pictures):
        return (pictures * weights).sum((1, 2, 3)) + 3

    torch.testing.assert_close(gradient(score, given), weights)
    torch.testing.assert_close(smooth_gradient(score, given, SmoothGrad(samples=4))[:3], weights[:3])
    torch.testing.assert_close(integrated_gradients(score, given, IntegratedGradients(steps=4)), weights * given)


def test_integrated_gradients_add_up_to_what_the_picture_changes():
    model = network("voxels")
    question = ask(model, picture(), Box((-0.5, -0.5, -0.5), (0.5, 0.0, 0.5)), "voxels").question
    heat = heat_map(model, picture(), IntegratedGradients(steps=256), question, "voxels")
    with torch.no_grad():
        features = model.encode(torch.stack([picture(), torch.zeros(4, 32, 32)]))
        full, empty = answered(question, model, "voxels", features)
    # The network has kinks on the way, so the quadrature is not exact.
    assert float(heat.sum()) == pytest.approx(float(full - empty), rel=0.02)


def test_a_map_of_nothing_leaves_the_picture_grey_and_heat_colours_it():
    rgba = picture(8).permute(1, 2, 0)
    plain = overlaid(rgba, torch.zeros(8, 8))
    assert bool((plain == plain[..., :1]).all())
    heat = torch.zeros(8, 8)
    heat[2, 3], heat[4, 4] = 1.0, -1.0
    drawn = overlaid(rgba, heat)
    assert drawn[2, 3, 0] > drawn[2, 3, 2]  # warm: red above blue
    assert drawn[4, 4, 2] > drawn[4, 4, 0]
    untouched = heat == 0
    torch.testing.assert_close(drawn[untouched], plain[untouched])
