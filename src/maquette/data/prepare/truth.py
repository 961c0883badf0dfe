"""Truth of a triangle mesh that may be open, double-sided or made of parts that intersect.

N points, F faces, D directions. Inside is where the generalised winding number (Jacobson et al. 2013) is beyond one
half; it is read with the fast approximation of Barill et al. 2018, which tolerates holes.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maquette import ops
from maquette.camera import Camera, look_at
from maquette.data.dataset import Surroundings, Truth
from maquette.data.prepare.shell import shell_distance, visible_shell
from maquette.shapes import (
    Mesh,
    face_areas,
    face_normals,
    is_inside,
    positions_at,
    sample_faces,
    signed_distance,
    weld,
)
from maquette.shapes.columns import is_closed
from maquette.shapes.voxelize import cells_touched, solid_cells, without_cavities

RESOLUTION = 32
"""Cells along each edge of the voxel cube."""
STEP = 5e-4
"""How far beside the surface the winding number is read, in object diagonals."""
DIRECTIONS = 96
"""From how many sides a point is looked at before it counts as hidden."""
PLAINLY = DIRECTIONS // 4
"""A side seen from this many directions (half of those it faces) is outer even where the winding number says inside."""
LOOK_SIZE = 256
"""Pixels across the pictures by which points are found hidden."""
LOOK_DISTANCE = 20.0
HIDDEN_BEHIND = 1.5e-3
"""A point this far behind what a picture shows is not seen in it, in object diagonals."""
PER_CELL = 24
"""Samples on a piece of surface as large as a cell's side, by which the touched cells are found."""
MOST_SAMPLES = 4_000_000
"""By which touched cells are found."""
ROUNDS = 40
PLACES = 4096
"""Signed distances kept of every object."""
BEYOND = 0.05
"""How far places all over reach beyond the cube, in object diagonals."""
STRAY = (0.06, 0.015)
"""Standard deviations of the places about the surface, in object diagonals."""


Facts = dict[str, object]
"""For object.json."""


def mesh_truth(mesh: Mesh, n: int, seed: int, *, resolution: int = RESOLUTION) -> tuple[Truth, list[str]]:
    """`n` outer points and the voxels of a mesh in the frame of learning, and what was noticed on the way.

    A point is outer if one of its sides can be seen from far away and is not inside, or is plainly seen; its normal
    points there.
    Hidden walls of closed cavities are not outer, and cavities count as solid. Cells are solid where their centre
    is inside or where the surface passes through.
    """
    generator = torch.Generator().manual_seed(seed)
    points, normals, warnings = outer_points(mesh, n, generator)
    dense = math.ceil(float(face_areas(mesh).double().sum()) * resolution**2 * PER_CELL)
    everywhere = positions_at(mesh, sample_faces(mesh, min(dense, MOST_SAMPLES), generator=generator)).double().numpy()
    voxels = solid_cells(
        lambda centers: is_inside(mesh, torch.from_numpy(centers)).numpy(),
        cells_touched(everywhere, resolution),
        everywhere,
    )
    labels = np.zeros(n, dtype=np.int16)
    return Truth(points, normals, labels, ("surface",), without_cavities(voxels)), warnings


def mesh_surroundings(mesh: Mesh, surface: Float[np.ndarray, "N 3"], seed: int) -> tuple[Surroundings | None, Facts]:
    """Signed distances about a mesh, None where nobody can tell them, and how they were found.

    About a closed mesh they are those to the nearest face, of the sign of the winding number; about an open one those
    to its visible shell, which passes over places where the sign is doubtful.
    """
    if is_closed(weld(Mesh(mesh.vertices, mesh.faces)).faces):
        found = surroundings(
            lambda places: signed_distance(mesh, torch.from_numpy(places).float()).numpy(), surface, seed
        )
        return found, {"distances": "winding number"}
    shell = visible_shell(mesh)
    # Many places beside open sheets are doubtful.
    drawn = surroundings(lambda places: shell_distance(shell, places), surface, seed, count=4 * PLACES)
    sure = np.flatnonzero(np.isfinite(drawn.distances))
    kept = np.random.default_rng((seed, 4)).permutation(sure)[:PLACES]
    facts: Facts = {
        "distances": "visible shell",
        "doubtful_places": round(1 - len(sure) / len(drawn.distances), 4),
        "wrong_observations": round(shell.wrong_observations, 4),
        "bad_faces": round(shell.bad_faces, 4),
    }
    if len(kept) < PLACES or not (drawn.distances[kept] < 0).any():
        return None, facts | {"distances": None}
    return Surroundings(drawn.places[kept], drawn.distances[kept]), facts


def surroundings(
    distance: Callable[[Float[np.ndarray, "Q 3"]], Float[np.ndarray, " Q"]],
    surface: Float[np.ndarray, "N 3"],
    seed: int,
    *,
    count: int = PLACES,
) -> Surroundings:
    """Signed distances at `count` places: half all over the cube and a little beyond, half about points of the surface.

    Those about the surface stray by Gaussians of two widths (DeepSDF's recipe, Park et al. 2019, at our scale). Places
    are rounded to 16 bits before they are asked for, so that they can be kept in 16 bits.
    """
    rng = np.random.default_rng((seed, 3))
    uniform = rng.uniform(-0.5 - BEYOND, 0.5 + BEYOND, (count // 2, 3))
    near = surface[rng.integers(len(surface), size=count - count // 2)]
    near = near + rng.normal(size=near.shape) * np.where(np.arange(len(near)) % 2, *STRAY)[:, None]
    places = np.concatenate([uniform, near]).astype(np.float16).astype(np.float32)
    return Surroundings(places, distance(places.astype(np.float64)).astype(np.float32), everywhere=count // 2)


def outer_points(
    mesh: Mesh, n: int, generator: torch.Generator
) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, "N 3"], list[str]]:
    """`n` points uniform by area on the outer surface and their outward normals, float32, and warnings."""
    looks = _looks()
    front = ops.raster(looks.pixels_from_world(mesh.vertices), mesh.faces, looks.size)
    face_normal = face_normals(mesh)
    kept: list[tuple[Tensor, Tensor]] = []
    found, drawn, warnings = 0, 0, []
    draw = 2 * n
    for _ in range(ROUNDS):
        samples = sample_faces(mesh, draw, generator=generator)
        points, normals = positions_at(mesh, samples), face_normal[samples.faces]
        sides = _seen_from(mesh, face_normal, looks, front, points, normals, samples.faces)
        # What is plainly seen is outer, whatever a winding number of badly oriented faces says.
        outside = torch.stack([_outside(mesh, points + sign * STEP * normals) for sign in (1, -1)], -1)
        sides = torch.where(outside | (sides >= PLAINLY), sides, 0)
        outer = (sides > 0).any(-1)
        flip = torch.where(sides[:, 1] > sides[:, 0], -1.0, 1.0)[:, None]
        kept.append((points[outer], (normals * flip)[outer]))
        found, drawn = found + int(outer.sum()), drawn + draw
        if found >= n:
            break
        share = max(found / drawn, 1e-3)
        draw = min(math.ceil(1.2 * (n - found) / share) + 64, 500_000)
    if found == 0:
        raise ValueError(f"mesh_truth: none of {drawn} points of the surface can be seen from outside")
    if found < n:
        warnings.append(f"only {found} different outer points among {drawn}; they are repeated to make {n}")
    if found < 0.25 * drawn:
        warnings.append(f"{100 * (1 - found / drawn):.0f} % of the surface is hidden or inside")
    points, normals = (torch.cat([pair[i] for pair in kept]) for i in (0, 1))
    index = np.resize(np.arange(found), n)
    return points.numpy()[index], normals.numpy()[index], warnings


def _outside(mesh: Mesh, points: Float[Tensor, "N 3"]) -> Bool[Tensor, " N"]:
    return ~is_inside(mesh, points)


def _looks() -> Camera:
    """Cameras far away, evenly over the sphere (a Fibonacci lattice), that see the whole frame of learning."""
    k = np.arange(DIRECTIONS) + 0.5
    y = 1 - 2 * k / DIRECTIONS
    angle = math.pi * (1 + math.sqrt(5)) * k
    ring = np.sqrt(1 - y * y)
    directions = torch.from_numpy(np.stack([ring * np.sin(angle), y, ring * np.cos(angle)], -1)).float()
    eye = LOOK_DISTANCE * directions
    focal = LOOK_SIZE * (LOOK_DISTANCE - 0.5) / 1.02
    return look_at(eye, torch.zeros_like(eye), focal=focal, size=(LOOK_SIZE, LOOK_SIZE))


def _seen_from(
    mesh: Mesh,
    face_normal: Float[Tensor, "F 3"],
    looks: Camera,
    front: Int[Tensor, "D H W"],
    points: Float[Tensor, "N 3"],
    normals: Float[Tensor, "N 3"],
    own: Int[Tensor, " N"],
) -> Int[Tensor, "N 2"]:
    """How many of the D pictures show each point, from the side of its normal and from the other.

    A picture shows a point unless the face in front at the point's pixel crosses the ray to it clearly before it. The
    plane of that face is met, not its depth at the pixel's centre, so that slanted faces do not hide themselves.
    """
    seen = torch.zeros(len(points), 2, dtype=torch.int64)
    corner = mesh.vertices[mesh.faces[:, 0]]
    for d in range(len(front)):
        camera = looks[d]
        eye = camera.position
        pixel = camera.project(points).floor().long().clamp(0, LOOK_SIZE - 1)
        face = front[d, pixel[:, 1], pixel[:, 0]]
        ray = points - eye
        normal = face_normal[face]  # of any face where there is none: such points are at a silhouette, and seen
        along = (ray * normal).sum(-1)
        to_plane = ((corner[face] - eye) * normal).sum(-1)
        # The ray meets the plane at eye + t ray; the point itself is at t = 1.
        t = to_plane / torch.where(along.abs() < 1e-12, torch.full_like(along, 1e-12), along)
        hidden = (face >= 0) & (face != own) & ((1 - t) * LOOK_DISTANCE > HIDDEN_BEHIND) & (t > 0)
        facing = (ray * normals).sum(-1)
        seen[:, 0] += ~hidden & (facing < 0)
        seen[:, 1] += ~hidden & (facing > 0)
    return seen
