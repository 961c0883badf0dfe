"""The edges of a mesh as antialiased lines, those behind its faces hidden by depth.

E edges, K samples: one for each column that a flat line crosses, or row that a steep one crosses; R pixels across it.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from maquette.camera import AnyCamera, Camera, OrthographicCamera
from maquette.rendering.verbs import render
from maquette.shapes import Mesh, check, face_normals, topology_of

NEAR = 1e-4
"""Lines are cut at this part of the largest depth before the camera."""
BIAS = 1e-3
"""A line is seen if it lies at most this part of its depth behind the farthest surface of the 3 x 3 pixels around."""
CHUNK = 1 << 18
"""Samples drawn at a time, to bound the memory."""


def wireframe(mesh: Mesh, camera: AnyCamera, *, width: float = 1.0, hidden: float = 0.0) -> Float[Tensor, "H W"]:
    """How much of each pixel lines of `width` pixels cover, 0..1; lines behind faces count `hidden` times as much.

    Whether a line is hidden is decided by a z-buffer at pixel centres, which leaves hidden lines visible for about a
    pixel where they pass behind an outline; closed meshes, whose edges between two faces seen from behind are hidden
    for certain, have hardly any of these. One mesh, one camera; no gradients. An edge through the camera's plane is cut
    before it.
    """
    if mesh.vertices.ndim != 2 or camera.position.ndim != 1:
        shapes = f"{tuple(mesh.vertices.shape)} and {tuple(camera.position.shape)}"
        raise ValueError(f"wireframe: vertices and camera positions have shapes {shapes}; give one mesh and one camera")
    if not width > 0 or not 0 <= hidden <= 1:
        raise ValueError(f"wireframe: width is {width}, hidden {hidden}; give above 0, and from 0 to 1")
    check(mesh, "wireframe")
    with torch.no_grad():
        mesh = mesh.with_appearance(None).with_vertices(mesh.vertices.detach())
        farthest = _farthest_around(render(mesh, camera, lights=()).depth) * (1 + BIAS)
        limit = -1 / farthest if isinstance(camera, Camera) else farthest
        edges, possible = _edges(mesh, camera)
        ends, ranks, index = _segments(mesh, camera, edges, margin=width / 2 + 2)
        possible = possible[index]
        seen, behind = farthest.new_zeros(2, farthest.numel())
        counts = (ends[:, 1] - ends[:, 0]).abs().amax(-1).floor().long() + 2
        parts = torch.unique_consecutive(counts.cumsum(0) // CHUNK, return_counts=True)[1].tolist()
        for a, b, n, able in zip(*(x.split(parts) for x in (ends, ranks, counts, possible)), strict=True):
            pixel, covered, visible = _drawn(a, b, n, width, limit)
            visible &= torch.repeat_interleave(able, n)[:, None]
            seen.scatter_reduce_(0, pixel[visible], covered[visible], "amax")
            behind.scatter_reduce_(0, pixel[~visible], covered[~visible], "amax")
        return torch.maximum(seen, hidden * behind).reshape(camera.size)


def _farthest_around(depth: Float[Tensor, "H W"]) -> Float[Tensor, "H W"]:
    """The largest depth of the 3 x 3 pixels around each, where nothing is infinitely far."""
    open_depth = torch.where(depth > 0, depth, torch.inf)
    padded = torch.nn.functional.pad(open_depth[None, None], (1,) * 4, value=-torch.inf)
    return torch.nn.functional.max_pool2d(padded, 3, stride=1)[0, 0]


def _edges(mesh: Mesh, camera: AnyCamera) -> tuple[Int[Tensor, "E 2"], Bool[Tensor, " E"]]:
    """The edges, and whether each can be seen: in a closed mesh, one of its faces must be turned to the camera."""
    topology = topology_of(mesh.faces)
    closed = bool((topology.uses == 2).all()) and bool(topology.opposed.all())
    possible = torch.ones(len(topology.edges), dtype=torch.bool, device=mesh.faces.device)
    if closed:
        match camera:
            case Camera():
                towards = camera.position - mesh.vertices[mesh.faces[:, 0].long()]
            case OrthographicCamera():
                towards = -camera.world_from_cam[:3, 2]
        front = (face_normals(mesh) * towards).sum(-1) > 0
        corners = topology.face_edges
        possible[:] = False
        possible[corners[front & (corners >= 0).all(1)].reshape(-1)] = True
    return topology.edges, possible


def _segments(
    mesh: Mesh, camera: AnyCamera, edges: Int[Tensor, "E 2"], *, margin: float
) -> tuple[Float[Tensor, "S 2 2"], Float[Tensor, "S 2"], Int[Tensor, " S"]]:
    """The parts of the edges inside the picture and its margin: pixels and ranks of both ends, and the edge's number.

    Ranks grow with depth and are linear along a line on the screen: -1 / depth for a pinhole, depth without
    perspective. In float64: lines may come from far outside.
    """
    pixels = camera.pixels_from_world(mesh.vertices).double()[edges]
    depth = camera.depth(mesh.vertices).double()[edges]
    height, width = camera.size
    # Liang and Barsky's clipping in homogeneous pixels: inside is where all of these are at least 0.
    x, y, w = pixels.unbind(-1)
    near = NEAR * float(depth.max()) if len(depth) else 0.0
    inside = torch.stack(
        [depth - near, x + margin * w, (width + margin) * w - x, y + margin * w, (height + margin) * w - y]
    )
    first, last = inside.unbind(-1)
    crossing = first / torch.where(first == last, torch.ones_like(first), first - last)
    begin = torch.where((first < 0) & (last >= 0), crossing, 0.0).amax(0)
    end = torch.where((first >= 0) & (last < 0), crossing, 1.0).amin(0)
    keep = (begin < end) & ~((first < 0) & (last < 0)).any(0) & (depth.amax(-1) > 0)
    share = torch.stack([begin, end], -1)[keep]

    def cut(values: Float[Tensor, "E 2 *C"]) -> Float[Tensor, "S 2 *C"]:
        low, high = values[keep][:, :1], values[keep][:, 1:]
        along = share.reshape(*share.shape, *(1,) * (values.ndim - 2))
        return low + along * (high - low)

    ends, away = cut(pixels), cut(depth)
    ranks = -1 / away if isinstance(camera, Camera) else away
    return ends[..., :2] / ends[..., 2:], ranks, keep.nonzero()[:, 0]


def _drawn(
    ends: Float[Tensor, "S 2 2"],
    ranks: Float[Tensor, "S 2"],
    counts: Int[Tensor, " S"],
    width: float,
    limit: Float[Tensor, "H W"],
) -> tuple[Int[Tensor, "K R"], Float[Tensor, "K R"], Bool[Tensor, "K R"]]:
    """Pixels at the lines, how much of them is covered, and whether the line is in front there."""
    height, columns = limit.shape
    line = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    step = torch.arange(len(line), device=counts.device) - (counts.cumsum(0) - counts)[line]
    begin, end = ends[line].unbind(1)
    way = end - begin
    steep = way[:, 1].abs() > way[:, 0].abs()
    # Along the major axis the pixel centres, across it the line itself.
    major = torch.where(steep, way[:, 1], way[:, 0])
    origin = torch.where(steep, begin[:, 1], begin[:, 0])
    low = torch.where(major < 0, origin + major, origin)
    center = low.floor() + step + 0.5
    share = ((center - origin) / torch.where(major == 0, torch.ones_like(major), major)).clamp(0, 1)
    across = torch.where(steep, begin[:, 0] + share * way[:, 0], begin[:, 1] + share * way[:, 1])

    # A line at 45 degrees is cut by a column over sqrt(2) times its width.
    reach = int((width / 2 + 0.5) * 2**0.5) + 1
    offset = torch.arange(-reach, reach + 1, dtype=ends.dtype, device=ends.device)
    other = across.floor()[:, None] + offset + 0.5
    x = torch.where(steep[:, None], other, center[:, None])
    y = torch.where(steep[:, None], center[:, None], other)
    point = torch.stack([x, y], -1)
    length2 = (way**2).sum(-1).clamp(min=1e-12)
    along = (((point - begin[:, None]) * way[:, None]).sum(-1) / length2[:, None]).clamp(0, 1)
    nearest = begin[:, None] + along[..., None] * way[:, None]
    covered = (width / 2 + 0.5 - (point - nearest).norm(dim=-1)).clamp(0, min(width, 1.0))

    here = ranks[line]
    rank = here[:, :1] + along * (here[:, 1:] - here[:, :1])
    row = nearest[..., 1].floor().long().clamp(0, height - 1)
    column = nearest[..., 0].floor().long().clamp(0, columns - 1)
    visible = rank <= limit[row, column]
    inside = (x > 0) & (x < columns) & (y > 0) & (y < height)
    pixel = torch.where(inside, y.floor().long() * columns + x.floor().long(), 0)
    return pixel, torch.where(inside, covered, 0.0).to(limit), visible
