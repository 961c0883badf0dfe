"""What a solid can be here, and what can be asked of any of them."""

from maquette.shapes.mesh import (
    Appearance,
    FaceColors,
    FaceSamples,
    Mesh,
    Texture,
    VertexColors,
    check,
    colors_at,
    face_areas,
    face_normals,
    interpolate,
    positions_at,
    read_texture,
    sample_faces,
    vertex_normals,
)
from maquette.shapes.points import PointCloud
from maquette.shapes.primitives import cube, ico_sphere, tetrahedron
from maquette.shapes.verbs import Shape, bounds, learning_from_world, sample, to_mesh, transform
from maquette.shapes.voxels import Voxels, cell_centers, cells_of_points

__all__ = [
    "Appearance",
    "FaceColors",
    "FaceSamples",
    "Mesh",
    "PointCloud",
    "Shape",
    "Texture",
    "VertexColors",
    "Voxels",
    "bounds",
    "cell_centers",
    "cells_of_points",
    "check",
    "colors_at",
    "cube",
    "face_areas",
    "face_normals",
    "ico_sphere",
    "interpolate",
    "learning_from_world",
    "positions_at",
    "read_texture",
    "sample",
    "sample_faces",
    "tetrahedron",
    "to_mesh",
    "transform",
    "vertex_normals",
]
