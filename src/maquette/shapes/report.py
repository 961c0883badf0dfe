"""What is right and wrong with a mesh: closed, wound alike, in one piece, of what volume.

V vertices, F faces. Faces that repeat a vertex are left out of everything but their own count.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from maquette.shapes.components import component_of_faces, first_equal, weld
from maquette.shapes.laplacian import flat_sine
from maquette.shapes.mesh import FaceColors, Mesh, Texture, VertexColors
from maquette.shapes.topology import Topology, connected, topology_of


@dataclass(frozen=True)
class MeshReport:
    """Facts of one mesh; `str` of it is for people."""

    vertices: int
    faces: int
    edges: int
    appearance: str
    """none, vertex colours, face colours, or texture with its size."""
    components: int
    """Pieces, by shared vertices."""
    watertight: bool
    """Every edge has exactly two faces."""
    winding_consistent: bool
    """At every edge with two faces they run through it in opposite directions."""
    orientable: bool
    """Faces could be flipped so that the winding becomes consistent; not so on a Möbius strip."""
    boundary_edges: int
    nonmanifold_edges: int
    """Edges with more than two faces."""
    flipped_edges: int
    """Edges with two faces that run through it in the same direction."""
    pinched_vertices: int
    """Vertices at which several fans of faces meet in a point."""
    degenerate_faces: int
    """Without area: they repeat a vertex, have corners on a line, or are not finite."""
    duplicate_faces: int
    """Faces with the same three vertices as an earlier one, in any order."""
    unreferenced_vertices: int
    coincident_vertices: int
    """Vertices at the place of an earlier one."""
    nonfinite_vertices: int
    euler_characteristic: int
    """Vertices in use - edges + faces."""
    genus: int | None
    """Handles of all pieces together; only a watertight, consistently wound mesh without pinched vertices has one."""
    area: float
    """In squared world units."""
    volume: float | None
    """In cubed world units, negative when the mesh is inside out; of a watertight, consistently wound mesh only."""
    bounds: tuple[tuple[float, float, float], tuple[float, float, float]] | None
    """Smallest and largest corner of the finite vertices that faces use; None when there are none."""

    def __str__(self) -> str:
        lines = [
            f"{self.vertices} vertices, {self.edges} edges, {self.faces} faces, {self.appearance}",
            f"watertight          {_yes(self.watertight)}{_of(self.boundary_edges, 'boundary edge')}"
            f"{_of(self.nonmanifold_edges, 'non-manifold edge')}",
            f"winding consistent  {_yes(self.winding_consistent)}{_of(self.flipped_edges, 'flipped edge')}"
            f"{'' if self.orientable else ', not orientable'}",
            f"components          {self.components}",
            f"Euler number        {self.euler_characteristic}{'' if self.genus is None else f', genus {self.genus}'}",
            f"area                {self.area:.6g}",
            f"volume              {_volume(self.volume)}",
        ]
        if self.bounds is not None:
            low, high = (" ".join(f"{x:.6g}" for x in corner) for corner in self.bounds)
            size = " x ".join(f"{b - a:.6g}" for a, b in zip(*self.bounds, strict=True))
            lines.append(f"bounds              {low} to {high} ({size})")
        faults = [
            _counted(count, name)
            for count, name in (
                (self.degenerate_faces, "degenerate face"),
                (self.duplicate_faces, "duplicate face"),
                (self.pinched_vertices, "pinched vertex"),
                (self.unreferenced_vertices, "unreferenced vertex"),
                (self.coincident_vertices, "coincident vertex"),
                (self.nonfinite_vertices, "vertex not finite"),
            )
            if count
        ]
        return "\n".join([*lines, f"faults              {', '.join(faults) or 'none'}"])


def report(mesh: Mesh) -> MeshReport:
    """The facts of one mesh. Nothing is repaired; indices outside the vertices are an error."""
    if mesh.vertices.ndim != 2:
        raise ValueError(f"report: vertices have shape {tuple(mesh.vertices.shape)}; give one mesh at a time")
    vertices, faces = mesh.vertices.detach().double().cpu(), mesh.faces.cpu().long()
    count = len(vertices)
    outside = ((faces < 0) | (faces >= count)).any(1)
    if bool(outside.any()):
        raise ValueError(
            f"report: {int(outside.sum())} faces point outside the {count} vertices, the first is face "
            f"{int(outside.nonzero()[0])} = {faces[outside][0].tolist()}"
        )
    collapsed = (faces == faces.roll(1, 1)).any(1)
    proper = faces[~collapsed]
    topology = topology_of(proper)
    used = torch.zeros(count, dtype=torch.bool)
    used[proper.reshape(-1)] = True
    finite = vertices.isfinite().all(1)

    flat, areas, volume = _measures(vertices, proper, mesh.vertices.dtype)
    inner = topology.uses[topology.pair_edges] == 2
    flipped = int((inner & ~topology.opposed).sum())
    watertight = len(proper) > 0 and bool((topology.uses == 2).all())
    pinched = _pinched(proper, topology, count)
    pieces = int(component_of_faces(proper).max()) + 1 if len(proper) else 0
    euler = int(used.sum()) - len(topology.edges) + len(proper)
    solid = watertight and flipped == 0
    known = used & finite
    bounds = (vertices[known].amin(0).tolist(), vertices[known].amax(0).tolist()) if bool(known.any()) else None
    return MeshReport(
        vertices=count,
        faces=len(faces),
        edges=len(topology.edges),
        appearance=_appearance(mesh),
        components=pieces,
        watertight=watertight,
        winding_consistent=flipped == 0,
        orientable=_orientable(len(proper), topology),
        boundary_edges=int((topology.uses == 1).sum()),
        nonmanifold_edges=int((topology.uses > 2).sum()),
        flipped_edges=flipped,
        pinched_vertices=pinched,
        degenerate_faces=int(collapsed.sum()) + int(flat.sum()),
        duplicate_faces=int((first_equal(proper.sort(1).values) != torch.arange(len(proper))).sum()),
        unreferenced_vertices=int((~used).sum()),
        coincident_vertices=count - len(weld(Mesh(vertices, faces)).vertices),
        nonfinite_vertices=int((~finite).sum()),
        euler_characteristic=euler,
        genus=(2 * pieces - euler) // 2 if solid and pinched == 0 else None,
        area=areas,
        volume=volume if solid else None,
        bounds=None if bounds is None else (tuple(bounds[0]), tuple(bounds[1])),
    )


def _measures(vertices: Tensor, faces: Tensor, dtype: torch.dtype) -> tuple[Bool[Tensor, " F"], float, float | None]:
    """Which faces have no area but rounding in `dtype`; total area; volume by the divergence theorem."""
    a, b, c = vertices[faces].unbind(1)
    doubled = torch.linalg.cross(b - a, c - a)
    sizes = doubled.norm(dim=1)
    longest = torch.stack([(b - a).norm(dim=1), (c - b).norm(dim=1), (a - c).norm(dim=1)]).amax(0)
    flat = ~(sizes > flat_sine(dtype) * longest.square())
    area = float(sizes.nan_to_num(0, 0, 0).sum() / 2)
    if len(faces) == 0:
        return flat, area, None
    # About the middle, so that a mesh far away does not lose its volume in rounding.
    volume = float(((a - a.mean(0)) * doubled).sum() / 6)
    return flat, area, volume if math.isfinite(volume) else None


def _pinched(faces: Tensor, topology: Topology, count: int) -> int:
    """Vertices whose corners are not all connected through edges of their faces."""
    if len(faces) == 0:
        return 0
    ends = topology.edges[topology.pair_edges]
    links = []
    for end in ends.unbind(1):
        corner = [(faces[side] == end[:, None]).long().argmax(1) + 3 * side for side in topology.pairs.unbind(1)]
        links.append(torch.stack(corner))
    labels = connected(torch.cat(links, 1), 3 * len(faces))
    fans = (faces.reshape(-1) * len(labels) + labels).unique() // len(labels)
    return int((torch.bincount(fans, minlength=count) > 1).sum())


def _orientable(faces: int, topology: Topology) -> bool:
    """Each face stands there twice, as it is and flipped; on a one-sided surface both are connected."""
    a, b = topology.pairs[topology.uses[topology.pair_edges] == 2].unbind(1)
    same = topology.opposed[topology.uses[topology.pair_edges] == 2]
    there = torch.where(same, b, b + faces)
    back = torch.where(same, b + faces, b)
    labels = connected(torch.stack([torch.cat([a, a + faces]), torch.cat([there, back])]), 2 * faces)
    return not bool((labels[:faces] == labels[faces:]).any())


def _appearance(mesh: Mesh) -> str:
    match mesh.appearance:
        case None:
            return "no colours"
        case VertexColors():
            return "vertex colours"
        case FaceColors():
            return "face colours"
        case Texture(_, image):
            return f"texture of {image.shape[1]} x {image.shape[0]}"


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _counted(count: int, name: str) -> str:
    if count == 1:
        return f"1 {name}"
    return f"{count} {name.replace('vertex', 'vertices') if 'vertex' in name else name + 's'}"


def _of(count: int, name: str) -> str:
    return f", {_counted(count, name)}" if count else ""


def _volume(volume: float | None) -> str:
    if volume is None:
        return "only a closed mesh has one"
    return f"{volume:.6g}{' (inside out)' if volume < 0 else ''}"
