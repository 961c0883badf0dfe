"""What a solid can be here, and what can be asked of any of them."""

from maquette.shapes.closest import closest_points
from maquette.shapes.clouds import thin, union
from maquette.shapes.components import component_of_faces, components, keep_faces, weld, without_floaters
from maquette.shapes.cubify import cubify
from maquette.shapes.estimate import LocalFrames, curvatures, estimate_normals, local_frames
from maquette.shapes.hits import Hits, cast
from maquette.shapes.implicit import implicit_mesh, surface_mesh
from maquette.shapes.implicit_refined import implicit_mesh_refined
from maquette.shapes.inside import is_inside, signed_distance, winding_number
from maquette.shapes.laplacian import cotangent_weights, laplacian
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
    sample_faces_from,
    vertex_normals,
)
from maquette.shapes.parametric import Sphere, Superquadric, Surface, Torus, points_on
from maquette.shapes.points import PointCloud
from maquette.shapes.primitives import (
    cube,
    cylinder,
    ico_sphere,
    plane,
    superquadric,
    tetrahedron,
    torus,
    uv_sphere,
)
from maquette.shapes.recolor import recolored
from maquette.shapes.report import MeshReport, report
from maquette.shapes.simplify import simplify
from maquette.shapes.smooth import smooth, smooth_taubin
from maquette.shapes.subdivide import (
    Refinement,
    loop_limit,
    loop_refinement,
    midpoint_refinement,
    refined,
    subdivide,
    subdivide_loop,
    subdivide_midpoint,
)
from maquette.shapes.tetrahedra import (
    TetrahedralGrid,
    crossed_tetrahedra,
    grid_points,
    grid_tetrahedra,
    isosurface_of,
)
from maquette.shapes.topology import (
    Topology,
    boundary_edges,
    edges_of,
    nonmanifold_edges,
    topology_of,
    vertex_neighbors,
)
from maquette.shapes.unwrap import Atlas, bake, unwrap
from maquette.shapes.verbs import Shape, bounds, learning_from_world, sample, to_mesh, transform
from maquette.shapes.volumes import Volume, points_to_volume, volume_at
from maquette.shapes.voxelize import Filling, Interior, Shell, Solid, cube_around, voxelize
from maquette.shapes.voxels import Voxels, cell_centers, cells_of_points

__all__ = [
    "Appearance",
    "Atlas",
    "FaceColors",
    "FaceSamples",
    "Filling",
    "Hits",
    "Interior",
    "LocalFrames",
    "Mesh",
    "MeshReport",
    "PointCloud",
    "Refinement",
    "Shape",
    "Shell",
    "Solid",
    "Sphere",
    "Superquadric",
    "Surface",
    "TetrahedralGrid",
    "Texture",
    "Topology",
    "Torus",
    "VertexColors",
    "Volume",
    "Voxels",
    "bake",
    "boundary_edges",
    "bounds",
    "cast",
    "cell_centers",
    "cells_of_points",
    "check",
    "closest_points",
    "colors_at",
    "component_of_faces",
    "components",
    "cotangent_weights",
    "crossed_tetrahedra",
    "cube",
    "cube_around",
    "cubify",
    "curvatures",
    "cylinder",
    "edges_of",
    "estimate_normals",
    "face_areas",
    "face_normals",
    "grid_points",
    "grid_tetrahedra",
    "ico_sphere",
    "implicit_mesh",
    "implicit_mesh_refined",
    "interpolate",
    "is_inside",
    "isosurface_of",
    "keep_faces",
    "laplacian",
    "learning_from_world",
    "local_frames",
    "loop_limit",
    "loop_refinement",
    "midpoint_refinement",
    "nonmanifold_edges",
    "plane",
    "points_on",
    "points_to_volume",
    "positions_at",
    "read_texture",
    "recolored",
    "refined",
    "report",
    "sample",
    "sample_faces",
    "sample_faces_from",
    "signed_distance",
    "simplify",
    "smooth",
    "smooth_taubin",
    "subdivide",
    "subdivide_loop",
    "subdivide_midpoint",
    "superquadric",
    "surface_mesh",
    "tetrahedron",
    "thin",
    "to_mesh",
    "topology_of",
    "torus",
    "transform",
    "union",
    "unwrap",
    "uv_sphere",
    "vertex_neighbors",
    "vertex_normals",
    "volume_at",
    "voxelize",
    "weld",
    "winding_number",
    "without_floaters",
]
