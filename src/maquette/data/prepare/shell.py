"""Signed distance to what can be seen of a mesh that is not closed (Park et al. 2019, DeepSDF, and their code).

The mesh is looked at by parallel rays from all sides; what the pictures hit is a cloud of points with normals towards
the viewer, the visible shell. Near it the sign is that of a vote of the nearest points. N points, Q places, F faces.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from maquette.camera import OrthographicCamera, look_at
from maquette.rendering.fragments import fragments, interpolate
from maquette.shapes import Mesh, face_normals

VIEWS = 100
PIXELS = 400
"""Across each picture, which reaches as far as the farthest vertex on every side."""
AWAY = 1.1
"""Distance of the cameras, in distances of the farthest vertex."""
GRAZING = 1e-3
"""Hits under a smaller cosine between ray and normal do not count."""
VOTERS = 11
BUFFER = 1.03
"""DeepSDF's unit is this many distances of the farthest vertex."""
VARIANCE = 0.005
"""In that unit; within its square root the distance is that to the plane of the nearest point."""
CHUNK = 10
"""Pictures taken at a time."""


@dataclass(frozen=True)
class Shell:
    """What can be seen of a mesh from outside."""

    points: Float[np.ndarray, "N 3"]
    normals: Float[np.ndarray, "N 3"]
    """Of the faces, towards the viewer."""
    near: float
    """Within this distance, planes stand for points."""
    wrong_observations: float
    """Share of the hits on the side of a face that fewer hits see; DeepSDF finds more than 0.02 suspicious."""
    bad_faces: float
    """Share of the seen faces that are seen from both sides; more than 0.03 is suspicious."""


def visible_shell(mesh: Mesh) -> Shell:
    """The shell of a mesh that is centred at the origin."""
    mesh = Mesh(mesh.vertices.float(), mesh.faces)
    reach = float(mesh.vertices[mesh.faces.reshape(-1)].norm(dim=-1).max())
    k = torch.arange(VIEWS) + 0.5
    up, angle = 1 - 2 * k / VIEWS, math.pi * (1 + math.sqrt(5)) * k
    ring = (1 - up * up).sqrt()
    eye = AWAY * reach * torch.stack([ring * angle.sin(), up, ring * angle.cos()], -1)
    pose = look_at(eye, torch.zeros_like(eye), focal=1.0, size=(PIXELS, PIXELS))
    normal = face_normals(mesh)
    points, normals = [], []
    sides = torch.zeros(2, len(mesh.faces), dtype=torch.int64)
    for start in range(0, VIEWS, CHUNK):
        some = pose[start : start + CHUNK]
        scale = torch.full_like(some.focal, PIXELS / (2 * reach))
        seen = fragments(mesh, OrthographicCamera(some.world_from_cam, scale, some.center, some.size))
        forward = some.world_from_cam[seen.pixels // PIXELS**2, :3, 2]
        hit = normal[seen.faces]
        cosine = -(hit * forward).sum(-1)
        kept = cosine.abs() >= GRAZING
        facing = torch.where(cosine > 0, 1.0, -1.0)[:, None]
        points.append(interpolate(seen, mesh.vertices)[kept])
        normals.append((hit * facing)[kept])
        for side, which in enumerate((cosine > 0, cosine < 0)):
            sides[side] += torch.bincount(seen.faces[kept & which], minlength=len(mesh.faces))
    total = int(sides.sum())
    if total == 0:
        raise ValueError("visible_shell: no face can be seen from outside")
    both, seen_faces = int((sides > 0).all(0).sum()), int((sides > 0).any(0).sum())
    return Shell(
        torch.cat(points).numpy(),
        torch.cat(normals).numpy(),
        math.sqrt(VARIANCE) * BUFFER * reach,
        int(sides.amin(0).sum()) / total,
        both / seen_faces,
    )


def shell_distance(shell: Shell, places: Float[np.ndarray, "Q 3"]) -> Float[np.ndarray, " Q"]:
    """Signed distances, negative inside; NaN where the nearest points of the shell disagree about the side."""
    from scipy.spatial import cKDTree

    count = min(VOTERS, len(shell.points))
    # Millions of points and few places: a tree that is built quickly.
    tree = cKDTree(shell.points, balanced_tree=False, compact_nodes=False)
    distance, index = tree.query(places, k=[*range(1, count + 1)])
    along = ((places[:, None] - shell.points[index]) * shell.normals[index]).sum(-1)
    votes = (along > 0).sum(1)
    size = np.where(distance[:, 0] < shell.near, np.abs(along[:, 0]), distance[:, 0])
    return np.where(votes == count, size, np.where(votes == 0, -size, np.nan))
