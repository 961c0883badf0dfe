"""Colours of a fitted mesh from its views: those that the pictures' squared error is least for. V vertices, P pixels.

With the shape held, a pixel's colour is linear in those of its face's corners, so that the minimum is found by solving,
not by steps. Nothing is shaded: pictures with strong light keep its shadows on the object.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from maquette.fitting.views import Views
from maquette.rendering import Ambient, fragments, render
from maquette.shapes import Mesh, VertexColors, bake, subdivide_midpoint, topology_of

SMOOTHNESS = 0.05
"""Weight of a squared difference of neighbours beside that of one pixel; it fills what no view shows."""
RIM = 1
"""Pixels at a mask's rim that are left out: they hold background."""
FINE = 40_000
"""Vertices on which a texture is solved for, before it is baked."""
CHUNK = 8
"""Views that are looked at a time."""


@dataclass(frozen=True)
class NoColors:
    """The result is grey."""


@dataclass(frozen=True)
class ColoredVertices:
    """A colour for each vertex."""


@dataclass(frozen=True)
class Textured:
    """A texture, finer than the mesh."""

    size: int = 1024
    """Pixels of its side."""


Colors = NoColors | ColoredVertices | Textured


def colored(mesh: Mesh, views: Views, choice: Colors) -> Mesh:
    """The mesh with colours from the views; ValueError if they have none."""
    match choice:
        case NoColors():
            return mesh
        case ColoredVertices():
            return mesh.with_appearance(VertexColors(vertex_colors(mesh, views)))
        case Textured(size):
            steps = 0
            while len(mesh.vertices) * 4**steps < FINE:
                steps += 1
            fine = subdivide_midpoint(mesh, steps)
            source = fine.with_appearance(VertexColors(vertex_colors(fine, views)))
            return bake(mesh, size, source=source)


@torch.no_grad()
def vertex_colors(mesh: Mesh, views: Views) -> Float[Tensor, "V 3"]:
    """sRGB that minimises the squared error of all pixels inside the masks, and a little that of neighbours."""
    import numpy as np
    from scipy import sparse
    from scipy.sparse.linalg import splu

    if views.rgb is None:
        raise ValueError("fit silhouettes: the views are masks without colours; leave `colors` out, or give pictures")
    count = len(mesh.vertices)
    rows, columns, weights, wanted, start = [], [], [], [], 0
    for first in range(0, len(views), CHUNK):
        part = views[list(range(first, min(first + CHUNK, len(views))))]
        assert part.rgb is not None
        seen = fragments(mesh, part.cameras)
        inside = _inner(part.masks).reshape(-1)[seen.pixels]
        corners = seen.corners[inside]
        rows.append(torch.arange(start, start + len(corners)).repeat_interleave(3))
        columns.append(corners.reshape(-1))
        weights.append(seen.barycentrics[inside].reshape(-1))
        wanted.append(part.rgb.reshape(-1, 3)[seen.pixels[inside]])
        start += len(corners)
    place = (torch.cat(rows).numpy(), torch.cat(columns).numpy())
    matrix = sparse.coo_array((torch.cat(weights).double().numpy(), place), shape=(start, count)).tocsr()
    low, high = topology_of(mesh.faces).edges.numpy().T
    beside = sparse.coo_array((np.full(len(low), 1.0), (low, high)), shape=(count, count))
    beside = beside + beside.T
    smooth = sparse.diags_array(beside.sum(0)) - beside
    grey = 1e-6  # what is neither seen nor joined to what is
    system = (matrix.T @ matrix + SMOOTHNESS * smooth + grey * sparse.eye_array(count)).tocsc()
    right = matrix.T @ torch.cat(wanted).double().numpy() + grey * 0.5
    factors = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return torch.from_numpy(factors.solve(right)).to(mesh.vertices).clamp(0, 1)


@torch.no_grad()
def color_error(mesh: Mesh, views: Views) -> float:
    """Root of the mean squared error of colours, 0..1, over the pixels that mask and mesh share."""
    assert views.rgb is not None
    total, pixels = 0.0, 0
    for first in range(0, len(views), CHUNK):
        part = views[list(range(first, min(first + CHUNK, len(views))))]
        assert part.rgb is not None
        picture = render(mesh, part.cameras, lights=(Ambient(1.0),))
        both = (picture.alpha > 0.5) & _inner(part.masks)
        total += float((picture.rgb - part.rgb)[both].square().sum())
        pixels += 3 * int(both.sum())
    return (total / max(pixels, 1)) ** 0.5


def _inner(masks: Tensor) -> Tensor:
    """The masks without their rims."""
    outside = torch.nn.functional.max_pool2d((~masks)[:, None].float(), 2 * RIM + 1, 1, RIM)
    return outside[:, 0] < 0.5
