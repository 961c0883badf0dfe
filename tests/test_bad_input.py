"""What users get for tensors of wrong shapes, types and devices, where nothing checks the types in signatures."""

import pytest
import torch

import maquette
from checked import unchecked
from maquette import losses, ops, registration, shapes

BALL = shapes.ico_sphere(0)
VERTICES, FACES = BALL.vertices, BALL.faces


def points(*shape: int) -> torch.Tensor:
    return torch.rand(*shape)


def elsewhere(tensor: torch.Tensor) -> torch.Tensor:
    """On another device, which every machine has."""
    return tensor.to("meta")


def splits(*offsets: int) -> torch.Tensor:
    return torch.tensor(offsets)


def with_(vertices: torch.Tensor = VERTICES, faces: torch.Tensor = FACES) -> shapes.Mesh:
    return shapes.Mesh(vertices, faces)


FLAT = VERTICES[:, :2]
SQUARES = FACES[:, [0, 1, 2, 0]]
TWO, THREE = splits(0, 3, 6), splits(0, 2, 4, 6)

# Function, what the error must tell besides, the call.
CASES = [
    ("nearest", "queries has shape .6, 2.", lambda: ops.nearest(points(6, 2), points(6, 3))),
    ("nearest", "points has shape .6, 2.", lambda: ops.nearest(points(6, 3), points(6, 2))),
    ("nearest", "queries has shape .3,.", lambda: ops.nearest(points(3), points(6, 3))),
    ("nearest", "leading axes", lambda: ops.nearest(points(2, 5, 3), points(3, 5, 3))),
    ("nearest", "points on meta", lambda: ops.nearest(points(5, 3), elsewhere(points(5, 3)))),
    ("nearest", "torch.float16", lambda: ops.nearest(points(5, 3).half(), points(5, 3).half())),
    ("nearest_both", "b has shape .6, 2.", lambda: ops.nearest_both(points(6, 3), points(6, 2))),
    (
        "nearest_ragged",
        "2 clouds of queries and 3 of points",
        lambda: ops.nearest_ragged(points(6, 3), points(6, 3), query_splits=TWO, point_splits=THREE),
    ),
    ("ball_query", "queries has shape .6, 2.", lambda: ops.ball_query(points(6, 2), points(6, 3), radius=1, k=1)),
    ("ball_query", "leading axes", lambda: ops.ball_query(points(2, 5, 3), points(3, 5, 3), radius=1, k=1)),
    (
        "ball_query_ragged",
        "3 clouds of queries and 2 of points",
        lambda: ops.ball_query_ragged(points(6, 3), points(6, 3), radius=1, k=1, query_splits=THREE, point_splits=TWO),
    ),
    ("farthest_points", "points has shape .6, 2.", lambda: ops.farthest_points(points(6, 2), 2)),
    (
        "farthest_points",
        "start has shape .3,.; give one index, or .2,.",
        lambda: ops.farthest_points(points(2, 5, 3), 2, start=splits(0, 1, 2)),
    ),
    (
        "farthest_points",
        "start is torch.float32",
        lambda: ops.farthest_points(points(2, 5, 3), 2, start=points(2)),
    ),
    (
        "farthest_points_ragged",
        "counts has shape .3,.; give one for each of the 2",
        lambda: ops.farthest_points_ragged(points(6, 3), splits(1, 1, 1), splits=TWO),
    ),
    (
        "farthest_points_ragged",
        "starts has shape .3,.; give one for each of the 2",
        lambda: ops.farthest_points_ragged(points(6, 3), splits(1, 1), splits=TWO, starts=splits(0, 0, 0)),
    ),
    ("nearest_face", "points has shape .6, 2.", lambda: ops.nearest_face(points(6, 2), VERTICES, FACES)),
    ("nearest_face", "faces has shape .20, 4.", lambda: ops.nearest_face(points(6, 3), VERTICES, SQUARES)),
    ("nearest_face", "faces are torch.float32", lambda: ops.nearest_face(points(6, 3), VERTICES, FACES.float())),
    ("nearest_face", "leading axes", lambda: ops.nearest_face(points(2, 6, 3), VERTICES, FACES)),
    ("nearest_to_face", "vertices has shape", lambda: ops.nearest_to_face(FLAT, FACES, points(6, 3))),
    ("raster", "vertices has shape .12, 3.; give 'B V 3'", lambda: ops.raster(VERTICES, FACES, (4, 4))),
    ("raster", "vertices has shape .1, 12, 2.", lambda: ops.raster(FLAT[None], FACES, (4, 4))),
    ("raster", "faces on meta", lambda: ops.raster(VERTICES[None], elsewhere(FACES), (4, 4))),
    ("raster", "vertices are torch.float16", lambda: ops.raster(VERTICES[None].half(), FACES, (4, 4))),
    ("raster_layers", "faces has shape", lambda: ops.raster_layers(VERTICES[None], SQUARES, (4, 4), layers=2)),
    ("raster_discs", "radii has shape .1, 4.", lambda: ops.raster_discs(points(1, 5, 3), points(1, 4), (4, 4))),
    ("raster_discs", "radii has shape .1, 5.", lambda: ops.raster_discs(points(2, 5, 3), points(1, 5), (4, 4))),
    (
        "raster_discs_layers",
        "radii torch.float64",
        lambda: ops.raster_discs_layers(points(1, 5, 3), points(1, 5).double(), (4, 4), layers=2),
    ),
    (
        "soft_silhouette",
        "vertices has shape .12, 3.",
        lambda: ops.soft_silhouette(VERTICES, FACES, (4, 4), sigma=1, blur_radius=1),
    ),
    ("ray_hits", "directions has shape", lambda: ops.ray_hits(points(4, 3), points(4, 2), VERTICES, FACES)),
    ("ray_hits", "directions .5, 3.", lambda: ops.ray_hits(points(4, 3), points(5, 3), VERTICES, FACES)),
    ("touched_cells", "corners has shape .4, 3.", lambda: ops.touched_cells(points(4, 3), (2, 2, 2))),
    ("touched_cells", "size is .2, 2.", lambda: ops.touched_cells(points(4, 3, 3), (2, 2))),
    ("closest_points", "points has shape .5, 2.", lambda: shapes.closest_points(BALL, points(5, 2))),
    (
        "closest_points",
        "faces are torch.float32",
        lambda: shapes.closest_points(with_(faces=FACES.float()), points(5, 3)),
    ),
    ("cast", "points has shape .5, 2.", lambda: shapes.cast(BALL, points(5, 2), points(5, 2))),
    ("winding_number", "points has shape .6, 2.", lambda: shapes.winding_number(BALL, points(6, 2))),
    ("face_areas", "vertices has shape .12, 2.", lambda: shapes.face_areas(with_(FLAT))),
    ("vertex_normals", "vertices are torch.int64", lambda: shapes.vertex_normals(with_(VERTICES.long()))),
    ("sample", "vertices has shape .12, 2.", lambda: maquette.sample(with_(FLAT), 5)),
    ("simplify", "vertices has shape .12, 2.", lambda: shapes.simplify(with_(FLAT), 5)),
    ("unwrap", "vertices has shape .12, 2.", lambda: shapes.unwrap(with_(FLAT))),
    ("smooth_taubin", "vertices has shape .12, 2.", lambda: shapes.smooth_taubin(with_(FLAT))),
    ("edges_of", "faces has shape .20, 4.", lambda: shapes.edges_of(SQUARES)),
    ("edges_of", "go down to -11", lambda: shapes.edges_of(-FACES)),
    ("topology_of", "faces are torch.float32", lambda: shapes.topology_of(FACES.float())),
    ("transform", "b_from_a has shape .3, 3.", lambda: maquette.transform(BALL, torch.eye(3))),
    ("voxelize", "world_from_grid has shape", lambda: shapes.voxelize(BALL, 4, world_from_grid=torch.eye(3))),
    ("voxelize", "cannot be inverted", lambda: shapes.voxelize(BALL, 4, world_from_grid=torch.zeros(4, 4))),
    (
        "points_to_volume",
        "points has shape .5, 2.",
        lambda: shapes.points_to_volume(points(5, 2), points(5, 4), resolution=4),
    ),
    (
        "points_to_volume",
        "resolution is .4, 4.",
        lambda: shapes.points_to_volume(points(5, 3), points(5, 4), resolution=(4, 4)),
    ),
    ("volume_at", "volume has shape .4, 4, 4.", lambda: shapes.volume_at(points(4, 4, 4), points(5, 3))),
    ("local_frames", "points has shape .9, 2.", lambda: shapes.local_frames(points(9, 2), 4)),
    (
        "local_frames",
        "neighbors are torch.int64 .8, 4.",
        lambda: shapes.local_frames(points(9, 3), FACES[:8, [0, 0, 1, 2]]),
    ),
    ("thin", "points have shape .9, 2.", lambda: shapes.thin(shapes.PointCloud(points(9, 2)), 1.0)),
    ("cylinder", "radius -1", lambda: shapes.cylinder(-1.0)),
    ("plane", "width 0", lambda: shapes.plane(0.0)),
    ("edge_loss", "vertices has shape .12, 2.", lambda: losses.edge_loss(with_(FLAT))),
    ("mesh_to_point", "points has shape .5, 2.", lambda: losses.mesh_to_point(BALL, points(5, 2))),
    ("kabsch", "source has shape .5, 2.", lambda: registration.kabsch(points(5, 2), points(5, 2))),
    ("icp", "leading axes", lambda: registration.icp(points(2, 5, 3), points(5, 3))),
]


@pytest.mark.parametrize(
    ("function", "part", "call"), CASES, ids=[f"{function}: {part}" for function, part, _ in CASES]
)
def test_the_error_names_the_function_the_argument_and_what_it_got(function, part, call):
    with unchecked(), pytest.raises(ValueError, match=rf"^{function}: .*{part}"):
        call()
