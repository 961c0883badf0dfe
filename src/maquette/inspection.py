"""`maquette inspect FILE`: what a file holds, and what is wrong with it."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from maquette.io import load
from maquette.shapes import Mesh, PointCloud, Shape, bounds, report, weld


@dataclass(frozen=True)
class InspectConfig:
    """Report on a shape: closed, in one piece, its area, volume and faults."""

    file: tyro.conf.Positional[Path]
    """A shape: .glb .gltf .obj .ply .stl .off .npz"""


def inspect_file(config: InspectConfig) -> None:
    print(f"{config.file}: {described(load(config.file))}")


def described(shape: Shape) -> str:
    """The shape in a few lines for people."""
    if isinstance(shape, Mesh):
        facts = report(shape)
        lines = [f"a mesh of {facts}"]
        if facts.coincident_vertices and not facts.watertight:
            # Readers keep seams, and many files repeat vertices there: not holes that anybody sees.
            welded = report(weld(shape.with_appearance(None)))
            lines.append(f"with coincident vertices as one: {'' if welded.watertight else 'not '}watertight, ")
            lines[-1] += f"{welded.boundary_edges} boundary edges, {welded.components} components"
        return "\n".join(lines)
    low, high = bounds(shape).unbind(-2)
    extent = f"bounds {' '.join(f'{x:.6g}' for x in low)} to {' '.join(f'{x:.6g}' for x in high)}"
    if isinstance(shape, PointCloud):
        colors = "no colours" if shape.colors is None else "colours"
        normals = "no normals" if shape.normals is None else "normals"
        return f"a cloud of {shape.points.shape[-2]} points, {colors}, {normals}\n{extent}"
    z, y, x = shape.occupancy.shape[-3:]
    full = int((shape.occupancy > 0.5).sum())
    return f"voxels, {x} x {y} x {z}, {full} of them full\n{extent}"
