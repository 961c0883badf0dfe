"""Refusing tensors of the wrong shape, type or device: what signatures promise, kept where types are not checked.

A compiled kernel trusts the sizes it is given; these cost a microsecond and stand before it.
"""

from functools import cache

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)
INTEGERS = (torch.int64, torch.int32)


def check_shape(function: str, argument: str, tensor: Tensor, shape: str) -> None:
    """An error unless the tensor has a shape such as '*batch N 3': as many axes, and the sizes given as numbers."""
    leading, axes, sizes = _spelled(shape)
    given = tensor.shape
    if len(given) < axes or (len(given) > axes and not leading) or any(given[i] != size for i, size in sizes):
        raise ValueError(f"{function}: {argument} has shape {tuple(given)}; give '{shape}'")


def check_batch(function: str, first: Tensor, second: Tensor) -> None:
    """An error unless two tensors '*batch N 3' have the same leading axes."""
    if first.shape[:-2] != second.shape[:-2]:
        raise ValueError(
            f"{function}: {tuple(first.shape)} against {tuple(second.shape)}; give the same leading axes, "
            "or expand the one that is to be repeated"
        )


def check_triangles(function: str, vertices: Tensor, faces: Tensor, shape: str = "*batch V 3") -> None:
    """An error unless these are vertices in float32 or float64 and rows of three integers on the same device."""
    check_shape(function, "vertices", vertices, shape)
    check_shape(function, "faces", faces, "F 3")
    if vertices.dtype not in FLOATS:
        raise ValueError(f"{function}: vertices are {vertices.dtype}; make them float32 or float64")
    if faces.dtype not in INTEGERS:
        raise ValueError(f"{function}: faces are {faces.dtype}; give vertex indices as int64")
    if vertices.device != faces.device:
        raise ValueError(f"{function}: vertices are on {vertices.device} and faces on {faces.device}; move one")


def check_indices(function: str, faces: Tensor, count: int) -> None:
    """An error unless the faces name some of `count` vertices. On a GPU this waits until the faces are there."""
    if len(faces):
        low, high = (int(bound) for bound in torch.aminmax(faces))
        if low < 0 or high >= count:
            raise ValueError(f"{function}: faces name vertices {low}..{high} of {count}; make them index `vertices`")


@cache
def _spelled(shape: str) -> tuple[bool, int, tuple[tuple[int, int], ...]]:
    """Whether more axes may lead, how many there must be, and the sizes (axis from the end, size) that are given."""
    axes = shape.split()
    sizes = tuple((i - len(axes), int(axis)) for i, axis in enumerate(axes) if axis.isdigit())
    return axes[0].startswith("*"), len(axes) - axes[0].startswith("*"), sizes
