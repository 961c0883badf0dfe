"""What a fit can be moulded to: a file that holds a surface, or enough points of one."""

from pathlib import Path

from maquette.fitting.frame import unit_from_target
from maquette.io import load
from maquette.shapes import Mesh, PointCloud, Shape, Voxels, face_areas, to_mesh, transform

LEAST_POINTS = 100
"""Of a cloud. Fewer say nothing of a surface: most are the vertices of a mesh whose faces were lost."""


def load_target(path: Path, command: str) -> Shape:
    """The shape in a file; ValueError, beginning with the command, if there is no surface to be moulded to.

    A mesh needs faces that have an area, voxels a full cell, a cloud LEAST_POINTS points.
    """
    target = load(path)
    match target:
        case PointCloud(points):
            if len(points) < LEAST_POINTS:
                raise ValueError(
                    f"{command}: {path} has {len(points)} points and no faces, which is no surface; "
                    f"give a mesh with faces, or a cloud of {LEAST_POINTS} points at least"
                )
        case Voxels(occupancy):
            if not bool((occupancy >= 0.5).any()):
                raise ValueError(f"{command}: {path} has no full cell, and so no surface; give voxels that are filled")
        case Mesh():
            # In the frame of fitting: areas of small units would underflow.
            flat = transform(Mesh(target.vertices, target.faces), unit_from_target(target))
            if not bool(face_areas(to_mesh(flat)).sum() > 0):
                raise ValueError(
                    f"{command}: the {len(target.faces)} faces of {path} have no area, and so no surface; "
                    "give a mesh whose faces are not lines or points"
                )
    return target


def load_surface(path: Path, command: str) -> Mesh:
    """The same as a mesh; a cloud is an error."""
    target = load_target(path, command)
    if isinstance(target, PointCloud):
        raise ValueError(f"{command}: {path} is a cloud, which has no outlines; give a mesh with faces")
    return to_mesh(target)
