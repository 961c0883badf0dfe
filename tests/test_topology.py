"""Who neighbours whom, on meshes whose neighbourhoods can be counted by hand."""

import pytest
import torch

from maquette.shapes import (
    boundary_edges,
    cube,
    edges_of,
    ico_sphere,
    nonmanifold_edges,
    tetrahedron,
    topology_of,
    vertex_neighbors,
)

SQUARE = torch.tensor([[0, 1, 2], [0, 2, 3]])
FAN_OF_THREE = torch.tensor([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
"""Three faces at the edge from 0 to 1; the second runs through it the other way."""


def test_a_tetrahedron_has_six_edges_each_with_two_faces():
    topology = topology_of(tetrahedron().faces)
    expected = torch.tensor([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    assert torch.equal(edges_of(tetrahedron().faces), expected)
    assert torch.equal(topology.edges, expected)
    assert topology.uses.tolist() == [2] * 6
    # Any two faces of a tetrahedron share an edge.
    assert sorted(map(tuple, topology.pairs.tolist())) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    assert bool(topology.opposed.all())


def test_an_edge_from_a_vertex_to_itself_is_no_edge():
    assert torch.equal(edges_of(torch.tensor([[1, 1, 2]])), torch.tensor([[1, 2]]))


@pytest.mark.parametrize("mesh", [tetrahedron(), cube(), ico_sphere(2)], ids=["tetrahedron", "cube", "ico sphere"])
def test_a_closed_surface_has_three_edges_for_two_faces_and_euler_characteristic_two(mesh):
    topology = topology_of(mesh.faces)
    assert 2 * len(topology.edges) == 3 * len(mesh.faces) == 2 * len(topology.pairs)
    assert topology.vertices - len(topology.edges) + len(mesh.faces) == 2
    assert len(boundary_edges(topology)) == len(nonmanifold_edges(topology)) == 0
    assert bool(topology.opposed.all())


def test_the_edges_of_a_face_join_its_corners_in_order():
    mesh = ico_sphere(1)
    topology = topology_of(mesh.faces)
    for corner in range(3):
        ends = mesh.faces[:, [corner, (corner + 1) % 3]].sort(1).values
        assert torch.equal(topology.edges[topology.face_edges[:, corner]], ends)


def test_a_pair_of_faces_has_its_edge_in_common():
    mesh = ico_sphere(2)
    topology = topology_of(mesh.faces)
    for side in range(2):
        assert bool((topology.face_edges[topology.pairs[:, side]] == topology.pair_edges[:, None]).any(1).all())
    assert bool((topology.pairs[:, 0] < topology.pairs[:, 1]).all())


def test_a_square_of_two_faces_has_four_boundary_edges():
    topology = topology_of(SQUARE)
    assert boundary_edges(topology).tolist() == [[0, 1], [0, 3], [1, 2], [2, 3]]
    assert topology.pairs.tolist() == [[0, 1]]
    assert topology.edges[topology.pair_edges].tolist() == [[0, 2]]


def test_flipping_one_face_of_two_makes_their_pair_run_the_same_way():
    assert topology_of(SQUARE).opposed.tolist() == [True]
    assert topology_of(torch.stack([SQUARE[0], SQUARE[1].flip(0)])).opposed.tolist() == [False]


def test_three_faces_at_an_edge_are_three_pairs():
    topology = topology_of(FAN_OF_THREE)
    assert nonmanifold_edges(topology).tolist() == [[0, 1]]
    found = {tuple(pair): way for pair, way in zip(topology.pairs.tolist(), topology.opposed.tolist(), strict=True)}
    assert found == {(0, 1): True, (0, 2): False, (1, 2): True}


def test_a_collapsed_face_borders_nothing():
    # The collapsed face (2, 0, 0) lies along the diagonal of the square.
    topology = topology_of(torch.cat([SQUARE, torch.tensor([[2, 0, 0]])]))
    plain = topology_of(SQUARE)
    assert torch.equal(topology.pairs, plain.pairs)
    assert torch.equal(topology.uses, plain.uses)
    assert topology.face_edges[2].tolist() == [-1, -1, -1]


def test_no_faces_have_no_neighbours():
    topology = topology_of(torch.zeros((0, 3), dtype=torch.int64))
    assert topology.vertices == len(topology.edges) == len(topology.pairs) == len(topology.face_edges) == 0
    assert torch.equal(edges_of(torch.zeros((0, 3), dtype=torch.int32)), torch.zeros((0, 2), dtype=torch.int64))


def test_neighbours_of_a_vertex_are_the_other_ends_of_its_edges():
    splits, neighbors = vertex_neighbors(edges_of(SQUARE), 5)
    lists = [neighbors[splits[i] : splits[i + 1]].tolist() for i in range(5)]
    assert lists == [[1, 2, 3], [0, 2], [0, 1, 3], [0, 2], []]


def test_topology_does_not_depend_on_the_order_of_faces_or_corners():
    mesh, order = ico_sphere(1), torch.randperm(80, generator=torch.Generator().manual_seed(0))
    plain, mixed = topology_of(mesh.faces), topology_of(mesh.faces[order].roll(1, 1))
    assert torch.equal(plain.edges, mixed.edges)
    assert {frozenset(p) for p in plain.pairs.tolist()} == {frozenset(p) for p in order[mixed.pairs].tolist()}


def test_a_negative_index_and_too_many_pairs_are_refused():
    with pytest.raises(ValueError, match="topology_of: vertex indices go down to -1"):
        topology_of(torch.tensor([[0, 1, -1]]))
    with pytest.raises(ValueError, match="20000 faces meet at the edge from vertex 0 to 1"):
        topology_of(torch.tensor([[0, 1, 2]]).repeat(20_000, 1))


def test_topology_stays_on_its_device(device):
    assert topology_of(SQUARE.to(device)).pairs.device.type == device.type
