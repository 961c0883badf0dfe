"""The mesh of graph convolutions: stages, what vertices read of the picture, gradients, runs."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from maquette.models import Features, MeshConfig, Viewpoint, build, load_run, save_model
from maquette.models.graph_mesh import GraphMeshDecoder, GraphMeshHead, Pyramid, neighbour_means
from maquette.shapes import Mesh, edges_of, ico_sphere, topology_of
from maquette.shapes.columns import is_closed
from test_models import SMALL, targets_of

HEAD = GraphMeshHead(level=1, widths=(12, 8), hidden=10, blocks=1, channels=6, samples=60)


def network():
    torch.manual_seed(0)
    return build(MeshConfig(SMALL, HEAD))


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 4, 32, 32, generator=torch.Generator().manual_seed(1))


def looking(azimuth: list[float], elevation: float = 0.0, distance: float = 1.6) -> Viewpoint:
    angles = torch.tensor(azimuth)
    return Viewpoint(angles, torch.full_like(angles, elevation), torch.full_like(angles, distance))


def test_means_are_those_of_the_neighbours_along_edges():
    sphere = ico_sphere(1)
    mean = torch.sparse.mm(neighbour_means(topology_of(sphere.faces)), sphere.vertices)
    for vertex in (0, 5, 41):
        edges = edges_of(sphere.faces)
        beside = torch.cat([edges[edges[:, 0] == vertex, 1], edges[edges[:, 1] == vertex, 0]])
        torch.testing.assert_close(mean[vertex], sphere.vertices[beside].mean(0))


@pytest.mark.parametrize("count", [1, 3])
def test_every_stage_has_four_times_the_faces_of_the_one_before(count):
    model = network().eval()
    features = model.encode(pictures(count))
    steps = model.decoders["mesh"](features, model.viewpoint(features))
    assert [after.vertices.shape for _, after in steps] == [(count, 42, 3), (count, 162, 3)]
    assert [len(before.faces) for before, _ in steps] == [80, 320]
    # A stage begins where the last one ended: old vertices stay in front, new ones halve its edges.
    (_, first), (second, _) = steps
    torch.testing.assert_close(second.vertices[:, :42], first.vertices)
    ends = first.vertices[:, edges_of(first.faces)]
    torch.testing.assert_close(second.vertices[:, 42:], ends.mean(2))
    shapes = model.shapes(features, "mesh")
    assert len(shapes) == count and all(isinstance(mesh, Mesh) and is_closed(mesh.faces) for mesh in shapes)
    assert torch.equal(shapes[-1].vertices, steps[-1][1].vertices[-1])


def test_a_picture_is_predicted_alike_alone_and_in_a_batch():
    model, images = network().eval(), pictures(3)
    together = model.shapes(model.encode(images), "mesh")[1].vertices
    alone = model.shapes(model.encode(images[1:2]), "mesh")[0].vertices
    # Float32 sums in another order.
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


def test_vertices_read_the_picture_where_they_are_seen():
    torch.manual_seed(0)
    decoder = GraphMeshDecoder(replace(HEAD, channels=2), 16, (2,))
    decoder.pyramid = Picked()
    with torch.no_grad():
        decoder.coarse[-1].weight.zero_()  # the sphere as it is
    line = (torch.arange(32) + 0.5) / 32
    places = torch.stack([line.expand(32, 32), line[:, None].expand(32, 32)]).expand(2, 2, 32, 32)
    read = []
    decoder.stages[0].register_forward_hook(lambda _, given, __: read.append(given[0]))
    decoder(Features(torch.zeros(2, 16), (places,)), looking([0.0, torch.pi / 2]))
    sphere, seen = decoder.sphere, read[0].detach()[..., 3:]
    # From the front, x is to the right and y up; from the left side of the solid, -z is to the right.
    for view, right in ((0, sphere[:, 0]), (1, -sphere[:, 2])):
        across, down = (seen[:, view, 0] - 0.5) * 2, (seen[:, view, 1] - 0.5) * 2
        assert torch.equal(across.sign()[right.abs() > 0.01], right.sign()[right.abs() > 0.01])
        assert torch.equal(down.sign()[sphere[:, 1].abs() > 0.01], -sphere[:, 1].sign()[sphere[:, 1].abs() > 0.01])
        # The longer side of the object is 1 / (1 + 2 * 0.06) of the square, half a pixel of the map less at most.
        assert 0.94 / 1.12 < float(across.abs().max()) <= 1 / 1.12 + 1e-4


class Picked(nn.Module):
    def forward(self, maps):
        return maps[0]


def test_a_pyramid_adds_coarser_maps_to_finer_ones():
    pyramid = Pyramid((3, 5), 4)
    fine, coarse = torch.rand(2, 3, 8, 8), torch.ones(2, 5, 2, 2)
    joined = pyramid((fine, coarse))
    added = pyramid.lateral[0](fine) + pyramid.lateral[1](coarse)[:, :, :1, :1]
    torch.testing.assert_close(joined, added)


def test_the_mesh_teaches_the_encoder_through_code_and_maps_but_not_the_viewpoint(generator):
    model = network()
    images, targets = pictures(4), targets_of(4, generator)
    terms = model.losses(images, targets)
    assert set(terms) == {"viewpoint", "mesh", "smooth"}
    for name in ("mesh", "smooth"):
        # The stem is reached by both ways, the last layer by the code alone.
        for weight in (model.encoder.stem[0].weight, model.encoder.head[1].weight):
            (gradient,) = torch.autograd.grad(terms[name], weight, retain_graph=True)
            assert gradient.abs().sum() > 0
        viewpoint = model.viewpoint_decoder.layers[0].weight
        assert torch.autograd.grad(terms[name], viewpoint, retain_graph=True, allow_unused=True) == (None,)
    features = model.encode(images)
    maps = tuple(each.detach().requires_grad_() for each in features.maps)
    loss = model.decoders["mesh"].loss(Features(features.code, maps), targets, model.viewpoint(features))["mesh"]
    assert all(gradient.abs().sum() > 0 for gradient in torch.autograd.grad(loss, maps))


def test_an_encoder_without_maps_is_refused():
    with pytest.raises(ValueError, match=r"gives codes without maps of the picture.*or MeshHead"):
        GraphMeshDecoder(HEAD, 16, ())


def test_numbers_that_no_stages_are_built_from_are_refused():
    for widths in ((), (8, 0), (8,) * 6):
        with pytest.raises(ValueError, match="give 1 to 5 of them, each 1 to 4096"):
            GraphMeshHead(level=2, widths=widths)
    with pytest.raises(ValueError, match="GraphMeshHead: edge is -1"):
        GraphMeshHead(edge=-1.0)


def test_a_saved_network_predicts_the_same_when_it_is_loaded(tmp_path):
    model, images = network().eval(), pictures(2)
    save_model(model, tmp_path, {})
    run = load_run(tmp_path)
    assert run.model.config == model.config
    ours, theirs = (each.shapes(each.encode(images), "mesh") for each in (model, run.model))
    assert all(torch.equal(a.vertices, b.vertices) for a, b in zip(ours, theirs, strict=True))
