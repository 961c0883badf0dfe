"""One verb, every representation: what can be asked of any shape."""

from dataclasses import replace
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from maquette import ops, transforms
from maquette.ops.checks import check_shape
from maquette.shapes.mesh import Mesh, Texture, check, colors_at, face_normals, positions_at, sample_faces
from maquette.shapes.points import PointCloud
from maquette.shapes.voxels import Voxels

Shape = Mesh | PointCloud | Voxels


def sample(shape: Shape, n: int, *, generator: torch.Generator | None = None) -> PointCloud:
    """`n` points of the surface, uniform by area, with normals and colours where the shape has them.

    A cloud gives `n` of its points: without repetition while it has enough, then whole copies and a random rest.
    Voxels are sampled on their surface mesh. `generator` makes the draw repeatable (a CPU generator for any device).
    Gradients flow to the shape through positions, normals and colours; which face a point lies on is held fixed.
    """
    if n < 1:
        raise ValueError(f"sample: n is {n}; ask for at least one point")
    match shape:
        case Mesh():
            samples = sample_faces(check(shape, "sample"), n, generator=generator)
            normals = face_normals(shape)
            index = samples.faces[..., None].expand(*samples.faces.shape, 3)
            return PointCloud(positions_at(shape, samples), colors_at(shape, samples), torch.gather(normals, -2, index))
        case PointCloud(points, colors, normals):
            count = points.shape[-2]
            if count == 0:
                raise ValueError("sample: the cloud has no points")
            whole, rest = divmod(n, count)
            order = torch.randperm(count, generator=generator)[:rest]
            index = torch.cat([torch.arange(count).repeat(whole), order]).to(points.device)
            return PointCloud(
                points[..., index, :],
                None if colors is None else colors[..., index, :],
                None if normals is None else normals[..., index, :],
            )
        case Voxels():
            return sample(to_mesh(shape), n, generator=generator)
        case _:
            raise not_a_shape("sample", shape)


def to_mesh(shape: Shape, *, level: float = 0.5) -> Mesh:
    """The surface of a shape. Voxels: marching cubes at occupancy `level` through the cell centres, closed at the box.

    `level` lies above 0, which is the occupancy outside. Empty voxels give a mesh without faces. A cloud has no surface
    of its own: that is an error.
    """
    match shape:
        case Mesh():
            return shape
        case PointCloud():
            raise ValueError("to_mesh: a point cloud has no faces; save it as .ply or reconstruct a mesh instead")
        case Voxels(occupancy, world_from_grid):
            if occupancy.ndim != 3:
                raise ValueError(
                    f"to_mesh: voxels have shape {tuple(occupancy.shape)}; give one grid (Z, Y, X) at a time"
                )
            # A ring of empty cells closes the surface at the box; it shifts indices by one.
            vertices, faces = ops.isosurface(torch.nn.functional.pad(occupancy, (1,) * 6), level)
            cells = torch.tensor(occupancy.shape[::-1], dtype=vertices.dtype, device=vertices.device)
            in_cube = Mesh((vertices - 1 + 0.5) / cells - 0.5, faces)
            return _moved(in_cube, world_from_grid.to(in_cube.vertices))
        case _:
            raise not_a_shape("to_mesh", shape)


def bounds(shape: Shape) -> Float[Tensor, "*batch 2 3"]:
    """Smallest and largest coordinates: of all vertices or points; for voxels, of the cells at least half full."""
    match shape:
        case Mesh(points) | PointCloud(points):
            if points.shape[-2] == 0:
                raise ValueError("bounds: the shape is empty")
            return torch.stack([points.amin(-2), points.amax(-2)], -2)
        case Voxels(occupancy, world_from_grid):
            if occupancy.ndim != 3:
                raise ValueError(
                    f"bounds: voxels have shape {tuple(occupancy.shape)}; give one grid (Z, Y, X) at a time"
                )
            full = (occupancy >= 0.5).nonzero().flip(-1)
            if len(full) == 0:
                raise ValueError(
                    f"bounds: no cell of the {tuple(occupancy.shape)} grid is half full; give one that is not empty"
                )
            cells = torch.tensor(occupancy.shape[::-1], dtype=occupancy.dtype, device=occupancy.device)
            low, high = full.amin(0) / cells - 0.5, (full.amax(0) + 1) / cells - 0.5
            choice = torch.cartesian_prod(*(torch.stack([low[i], high[i]]) for i in range(3)))
            corners = transforms.apply(world_from_grid.to(choice), choice)
            return torch.stack([corners.amin(0), corners.amax(0)])
        case _:
            raise not_a_shape("bounds", shape)


def transform(shape: Shape, b_from_a: Float[Tensor, "4 4"]) -> Shape:
    """The shape in frame b: an affine map of its points. A mirroring map turns the faces: outside stays outside."""
    check_shape("transform", "b_from_a", b_from_a, "4 4")
    match shape:
        case Mesh(vertices):
            return _moved(shape, b_from_a.to(vertices))
        case PointCloud(points, _, normals):
            b_from_a = b_from_a.to(points)
            if normals is not None:
                turned = normals @ torch.linalg.inv(b_from_a[:3, :3])
                normals = torch.nn.functional.normalize(turned, dim=-1)
            return replace(shape, points=transforms.apply(b_from_a, points), normals=normals)
        case Voxels(_, world_from_grid):
            return replace(shape, world_from_grid=b_from_a.to(world_from_grid) @ world_from_grid)
        case _:
            raise not_a_shape("transform", shape)


def not_a_shape(verb: str, thing: object) -> ValueError:
    """The error of a verb that was given something else: an array, a file's name, a pair of tensors."""
    *others, last = (kind.__name__ for kind in get_args(Shape))
    return ValueError(f"{verb}: {type(thing).__name__} is not a shape; give a {', '.join(others)} or {last}")


def _moved(mesh: Mesh, b_from_a: Float[Tensor, "4 4"]) -> Mesh:
    """`transform` of a mesh. Under a mirror every face turns, and per-corner texture coordinates turn with it."""
    vertices, faces, appearance = transforms.apply(b_from_a, mesh.vertices), mesh.faces, mesh.appearance
    if bool(torch.linalg.det(b_from_a[:3, :3]) < 0):
        faces = faces.flip(1)
        if isinstance(appearance, Texture):
            appearance = replace(appearance, uv=appearance.uv.flip(1))
    return Mesh(vertices, faces, appearance)


def learning_from_world(shape: Shape) -> Float[Tensor, "4 4"]:
    """The map to the frame of learning: bounding box centred at the origin, its diagonal 1."""
    low, high = bounds(shape).unbind(-2)
    if low.ndim != 1:
        raise ValueError(f"learning_from_world: bounds have shape {tuple(low.shape)}; give one shape, not a batch")
    diagonal = float((high - low).norm())
    if not diagonal > 0:
        raise ValueError(
            f"learning_from_world: the bounding box has diagonal {diagonal:g}; the shape is a single point"
        )
    return transforms.scale_translate(1 / diagonal, -(low + high) / 2 / diagonal)
